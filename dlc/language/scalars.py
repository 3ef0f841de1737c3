"""Plain scalars of YAML 1.2, without a YAML parser."""

from __future__ import annotations

import re
from typing import Any

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_PADDED_INT = re.compile(r"[-+]?0[0-9]+\Z")
_BASED_INT = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def scalar(text: str) -> Any:
    """The value of a plain scalar in YAML 1.2's core schema.

    Raises:
        ValueError: for an integer with leading zeros, which YAML 1.1 and 1.2 read differently.

    >>> scalar("1e-3"), scalar("on"), scalar("0x1F"), scalar("1:30"), scalar("~")
    (0.001, 'on', 31, '1:30', None)
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    first = text[0]
    if first.isalpha():
        return text
    if _INT.match(text):
        return int(text) if len(text) < 400 else text
    if _PADDED_INT.match(text):
        raise ValueError(text)
    if _BASED_INT.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    return text


def comma_hint(before: str, after: str, fraction: bool = True) -> str | None:
    """The hint for a number with a comma: `0,001` is a decimal one, `10,000` may be either.

    >>> comma_hint("0", "001"), comma_hint("60", "000"), comma_hint("60", "000", False)
    ('write `0.001`', 'write `60.000` for the decimal number, or `60000`', 'write `60000`')
    """
    grouped = len(after) == 3 and before.lstrip("+-") not in ("0", "")
    if not fraction:
        return f"write `{before}{after}`" if grouped else None
    decimal = f"write `{before}.{after}`"
    return f"{decimal} for the decimal number, or `{before}{after}`" if grouped else decimal
