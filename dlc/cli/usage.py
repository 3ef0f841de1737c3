"""Usage errors: options that exclude or need one another, and values that a command does not know."""

from __future__ import annotations

from collections.abc import Collection

from dlc.diagnostics import SpecError, did_you_mean, listing


def excludes(option: str, other: str, hint: str = "remove one of them") -> SpecError:
    """Two options that can't be used together."""
    return SpecError.of("DLC510", f"`{option}` can't be used with `{other}`", hint=hint)


def needs(option: str, other: str) -> SpecError:
    """An option that has no effect without another one."""
    return SpecError.of("DLC510", f"`{option}` has no effect without `{other}`", hint=f"add `{other}`")


def unknown(what: str, given: str, known: Collection[str]) -> SpecError:
    """A value that is none of the known ones."""
    return SpecError.of(
        "DLC510",
        f"unknown {what} `{given}`",
        expected=f"one of {listing(known)}",
        hint=did_you_mean(given, known),
    )
