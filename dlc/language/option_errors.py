"""Errors in options, with their location in the options; and values as messages show them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dlc.diagnostics import did_you_mean, one_of
from dlc.language.aliases import option_advice, option_meant
from dlc.language.scalars import comma_hint, scalar

Location = tuple[str | int, ...]


class OptionError(NamedTuple):
    """What is wrong with an option.

    `loc` leads from the options to the value. `inside` is the value's string, with the start and length of the error.
    `because` names the options whose values make this one have no effect.
    """

    loc: Location
    code: str
    message: str
    found: str | None = None
    expected: str | None = None
    hint: str | None = None
    at_key: bool = False
    inside: tuple[str, int, int] | None = None
    because: tuple[str, ...] = ()


def unknown_key(key: str, known: Sequence[str], what: str) -> OptionError:
    """The error of a key that `what` does not have."""
    expected = one_of(known) if known else "no options"
    meant = option_meant(key, known)
    hint = f"dlc calls it `{meant}`" if meant else option_advice(key) or did_you_mean(key, known)
    return OptionError((key,), "DLC101", f"unknown option `{key}` of {what}", expected=expected, hint=hint, at_key=True)


def wrong_type(name: str, value: Any, expected: str) -> OptionError:
    """The error of a value that is not of the `expected` type: `an integer`, `a string`."""
    hint = _type_hint(value, expected)
    return OptionError((), "DLC103", f"wrong type for `{name}`", found=spell(value), expected=expected, hint=hint)


def _type_hint(value: Any, expected: str) -> str | None:
    numeric = expected in ("an integer", "a number")
    if isinstance(value, Mapping) and value and expected == "a list of items":
        return "begin each item with `- `"
    if isinstance(value, str):
        if expected == "`true` or `false`":
            if value.lower() in ("yes", "no", "on", "off", "y", "n"):
                right = "true" if value.lower() in ("yes", "on", "y") else "false"
                return f"YAML 1.2 reads `{value}` as a string; write `{right}`"
            return did_you_mean(value, ("true", "false"))
        if match := _KEYWORD.match(value):
            return f"write `{{{match.group(1)}: {match.group(2)}}}`"
        if expected == "a number" and (match := _PERCENT.match(value)):
            return f"write `{float(match.group(1)) / 100:g}`"
        if numeric and (match := _COMMA.match(value)):
            return comma_hint(match.group(1), match.group(2), expected == "a number")
        try:
            number = float(value.replace("_", "")) if numeric else math.nan
        except ValueError:
            return None
        if math.isnan(number) or (expected == "an integer" and not number.is_integer()):
            return None
        return f"write `{value.replace('_', '').strip()}`" if "_" in value else f"remove the quotes: `{value.strip()}`"
    if isinstance(value, float) and expected == "an integer" and math.isfinite(value):
        whole = value.is_integer()
        return f"write `{int(value)}`" if whole and abs(value) < 1e15 else None
    if isinstance(value, (int, float)) and expected == "a string":
        return f'quote it: `"{flow(value)}"`'
    return None


_KEYWORD = re.compile(r" *([A-Za-z_]\w*) *= *+([^=,]*[^=, ]) *\Z")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%\Z")
_SIZES = re.compile(r"[(\[]? *[1-9][0-9]*(?: *[,x] *[1-9][0-9]*)+ *[)\]]?\Z")
_COMMA = re.compile(r" *([-+]?[0-9]+),([0-9]+(?:[eE][-+]?[0-9]+)?) *\Z")


def unquoted_hint(value: Any) -> str | None:
    """The hint for a value that holds numbers in quotes.

    >>> unquoted_hint(["4", 3]), unquoted_hint(["time"])
    ('remove the quotes: `[4, 3]`', None)
    """
    if isinstance(value, str) and _SIZES.match(value):
        return f"write `[{', '.join(re.findall('[0-9]+', value))}]`"
    parts = value if isinstance(value, (list, tuple)) else [value]
    plain = [
        scalar(part) if isinstance(part, str) and part.isdecimal() and not part.startswith("0") else part
        for part in parts
    ]
    return f"remove the quotes: `{flow(plain if parts is value else plain[0])}`" if plain != list(parts) else None


def spell(value: Any, limit: int = 60) -> str:
    """A value as the user would write it, with its type where that may surprise.

    >>> spell("on"), spell(True), spell([1, 2]), spell(None)
    ('the string `on`', '`true`', 'the list `[1, 2]`', 'nothing')
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (int, float)):
        return f"`{value}`"
    if isinstance(value, str):
        shown = value.strip("\n").replace("\n", "\\n")
        shown = shown if len(shown) <= limit else shown[:limit] + "..."
        return f"the string `{shown}`" if shown.strip() else "an empty string"
    if not value:
        return f"an empty {'mapping' if isinstance(value, Mapping) else 'list'}"
    words = flow(value)
    words = words if len(words) <= limit else words[:limit] + "..."
    return f"the {'list' if isinstance(value, (list, tuple)) else 'mapping'} `{words}`"


def flow(value: Any) -> str:
    """A plain value in YAML's flow style.

    >>> flow({"kernel": [3, 3], "padding": "same"})
    '{kernel: [3, 3], padding: same}'
    >>> flow(["4", "time"])
    '["4", time]'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(value: str) -> str:
    """A string as it is written inside of brackets: in quotes if it would be read as something else."""
    try:
        plain = scalar(value) == value and not set(value) & set(",[]{}") and ": " not in value
    except ValueError:
        plain = False
    return value if plain else f'"{value}"'
