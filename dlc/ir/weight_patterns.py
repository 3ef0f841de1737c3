"""Patterns of weight paths: `encoder/**` matches all in the encoder, `**/bias` every bias.

A path is the names from the outside in, separated by slashes: `encoder/0/attention/query/kernel`. A pattern must match
all of it. `*` matches any characters within one part, `**` any number of parts, including none.
"""

from __future__ import annotations

from typing import Any

from dlc.language.options import OptionError, spell, wrong_type

MAX_LENGTH = 1000


def pattern_error(pattern: Any) -> OptionError | None:
    """The error in a pattern, or None.

    >>> pattern_error("encoder/**") is None
    True
    >>> pattern_error("/encoder").message
    'the pattern has an empty part'
    """
    if not isinstance(pattern, str):
        return wrong_type("the pattern", pattern, "a string")
    expected = "names separated by `/`, with `*` within a name and `**` for any number of names"
    if not pattern:
        return OptionError((), "DLC104", "the pattern is empty", expected=expected)
    found = spell(pattern if len(pattern) <= 60 else f"{pattern[:60]}...")
    if len(pattern) > MAX_LENGTH:
        return OptionError((), "DLC104", "the pattern is too long", found, f"at most {MAX_LENGTH} characters")
    odd = [letter for letter in pattern if not (letter.isascii() and (letter.isalnum() or letter in "_-/*"))]
    if odd:
        return OptionError((), "DLC104", f"a pattern can't contain `{odd[0]}`", found, expected)
    parts = pattern.split("/")
    if not all(parts):
        hint = f"`{'/'.join(part for part in parts if part)}`" if any(parts) else None
        return OptionError(
            (), "DLC104", "the pattern has an empty part", found, expected, f"write {hint}" if hint else None
        )
    if any("**" in part and part != "**" for part in parts):
        hint = "write `*` within a name, or `/` around `**`"
        return OptionError((), "DLC104", "`**` must be a part of its own", found, expected, hint)
    return None


def matches(pattern: str, path: str) -> bool:
    """Whether a valid pattern matches a path.

    >>> matches("encoder/**/kernel", "encoder/0/query/kernel"), matches("encoder/*", "encoder/0/query/kernel")
    (True, False)
    """
    return _fits(pattern.split("/"), path.split("/"), "**", _part_fits)


def _part_fits(pattern: str, part: str) -> bool:
    """Whether one part matches: `dense*` and `dense_2`."""
    return _fits(list(pattern), list(part), "*", str.__eq__) if "*" in pattern else pattern == part


def _fits(pattern: list[str], given: list[str], any_number: str, fits: Any) -> bool:
    """Whether a sequence matches a pattern of items and gaps of any length, in len(pattern) * len(given) steps.

    When an item does not match, only the last gap has to grow: earlier gaps can stay as short as they are.
    """
    index = at = 0
    gap, grown = -1, 0
    while at < len(given):
        if index < len(pattern) and pattern[index] == any_number:
            gap, grown = index, at
            index += 1
        elif index < len(pattern) and fits(pattern[index], given[at]):
            index, at = index + 1, at + 1
        elif gap >= 0:
            grown += 1
            index, at = gap + 1, grown
        else:
            return False
    return all(part == any_number for part in pattern[index:])
