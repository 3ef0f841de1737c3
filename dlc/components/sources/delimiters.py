"""The delimiter of a text table, found in its first rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

CANDIDATES = (",", ";", "\t", "|")
_LINES = 100
_CHARACTERS = 1 << 18


def first_lines(lines: Iterator[str]) -> list[str]:
    """Take the first lines: at most 100 of them, or 262,144 characters."""
    found: list[str] = []
    size = 0
    for line in islice(lines, _LINES):
        found.append(line)
        size += len(line)
        if size >= _CHARACTERS:
            break
    return found


def fields_by_delimiter(lines: Sequence[str]) -> dict[str, int]:
    r"""The characters that divide all rows into equally many fields, at least 2, with that number.

    >>> fields_by_delimiter(["a;b\n", "1,5;2\n"])
    {';': 2}
    """
    found = {}
    for delimiter in CANDIDATES:
        rows = _rows(lines, delimiter)
        if rows and len(rows[0]) > 1 and all(len(row) == len(rows[0]) for row in rows):
            found[delimiter] = len(rows[0])
    return found


def most_frequent_delimiter(lines: Sequence[str]) -> str:
    r"""The character that divides the first row into the most fields; a comma if none does.

    >>> most_frequent_delimiter(["a;b\n", "1\n"]), most_frequent_delimiter(["a\n"])
    (';', ',')
    """
    widths = {delimiter: len(rows[0]) for delimiter in CANDIDATES if (rows := _rows(lines, delimiter))}
    return max(widths, key=widths.__getitem__) if widths else CANDIDATES[0]


def spelled(delimiter: str) -> str:
    r"""A delimiter as YAML and messages spell it.

    >>> spelled("\t")
    '\\t'
    """
    return delimiter.replace("\t", "\\t")


def _rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The rows of some lines up to the first malformed one."""
    rows: list[list[str]] = []
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    with suppress(csv.Error):  # also a quoted field that ends after these lines
        rows.extend(row for row in reader if row)
    return rows
