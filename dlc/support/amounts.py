"""Amounts of memory, as users write them."""

from __future__ import annotations

import re

_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B\Z")


def bytes_in(text: str) -> int | None:
    """The bytes of an amount such as `512 MB` or `4 GiB`; None if the text is none.

    >>> bytes_in("1.5 kB"), bytes_in("4GiB"), bytes_in("4 G")
    (1500, 4294967296, None)
    """
    match = _BYTES.match(text.strip())
    if match is None:
        return None
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** " kMGT".index(prefix or " "))
