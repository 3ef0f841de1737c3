"""`dlc check` without Typer: which calls it takes, and that nothing else differs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dlc.cli import main
from dlc.cli.entry import _plain_check


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["check", "a.yaml", "b.yaml"], (["a.yaml", "b.yaml"], "text")),
        (["check", "--format", "json", "a.yaml"], (["a.yaml"], "json")),
        (["check", "a.yaml", "--format=sarif"], (["a.yaml"], "sarif")),
        (["check", "a.yaml", "--format"], None),
        (["check", "--format", "json"], None),
        (["check", "--set", "seed=1", "a.yaml"], None),
        (["check", "--help"], None),
        (["show", "a.yaml"], None),
        ([], None),
    ],
)
def test_a_plain_check_is_run_without_typer(arguments: list[str], found: object) -> None:
    assert _plain_check(arguments) == found


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github", "nonsense"])
def test_without_typer_the_output_is_the_same(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text("inputs: {x: {tensor: [3]}}\nnetwork: [dens: 2]\n")
    results = []
    for plain in (_plain_check, lambda _: None):
        monkeypatch.setattr("dlc.cli.entry._plain_check", plain)
        monkeypatch.setattr(sys, "argv", ["dlc", "check", "--format", form, str(tmp_path / "a.yaml")])
        with pytest.raises(SystemExit) as end:
            main()
        results.append((end.value.code, *capsys.readouterr()))
    assert results[0] == results[1]
    assert results[0][0] == (2 if form == "nonsense" else 1)
