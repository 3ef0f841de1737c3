"""`dlc show`: which options can be used together."""

from __future__ import annotations

import pytest

import dlc
from dlc.cli.show import ShowOptions, check_options

EVERYTHING = ShowOptions(
    expanded=True, emit="hlo", step=True, platform="cuda", lowering=True, memory=True, compiled=True
)


def options(*given: str) -> ShowOptions:
    values = {"emit": "stablehlo", "platform": "cuda"}
    return ShowOptions(**{name: values.get(name, True) for name in given})  # type: ignore[arg-type]


def test_options_are_named_as_they_are_written() -> None:
    assert ShowOptions().given == []
    assert EVERYTHING.given == [
        "--expanded",
        "--emit",
        "--step",
        "--platform",
        "--lowering",
        "--memory",
        "--compiled",
    ]


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("expanded",),
        ("lowering",),
        ("memory",),
        ("memory", "compiled"),
        ("emit",),
        ("emit", "step"),
        ("emit", "step", "platform"),
    ],
)
def test_options_that_fit(given: tuple[str, ...]) -> None:
    check_options(options(*given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("lowering", "compiled"), "`--compiled` can't be used with `--lowering`"),
        (("memory", "step"), "`--step` can't be used with `--memory`"),
        (("memory", "platform"), "`--platform` can't be used with `--memory`"),
        (("emit", "expanded"), "`--expanded` can't be used with `--emit`"),
        (("expanded", "step"), "`--step` has no effect without `--emit`"),
        (("platform",), "`--platform` has no effect without `--emit stablehlo`"),
        (("compiled",), "`--compiled` has no effect without `--memory`"),
    ],
)
def test_options_that_do_not_fit(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(dlc.SpecError, match=f"DLC510: {message}"):
        check_options(options(*given))


def test_unknown_programs_and_platforms() -> None:
    with pytest.raises(dlc.SpecError, match="unknown program `hol`"):
        check_options(ShowOptions(emit="hol"))
    with pytest.raises(dlc.SpecError, match="unknown platform `cdua`"):
        check_options(ShowOptions(emit="stablehlo", platform="cdua"))
