"""Each command of `benchmarks/` explains itself, and refuses arguments that it does not know."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

from benchmarks import whole_jobs
from tests.common import ROOT

COMMANDS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if '"__main__"' in path.read_text())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_has_help(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module(f"benchmarks.{name}").main
    for argument, code in (("--help", 0), ("--unknown", 2)):
        monkeypatch.setattr("sys.argv", [name, argument])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == code
        printed = capsys.readouterr()
        assert (printed.out or printed.err).startswith("usage: ")


@pytest.mark.parametrize("name", ["beside_others", "beside_twins", "mutations", "whole_jobs"])
def test_an_unknown_name_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [name, *(["python"] if name == "beside_others" else []), "999"])
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module(f"benchmarks.{name}").main()
    assert "invalid choice: " in capsys.readouterr().err


def test_the_environment_of_a_whole_job_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What dlc needs does not reach the programs that it is compared with."""
    monkeypatch.setenv("PYTHONPATH", "before")
    monkeypatch.setattr(whole_jobs, "timed", lambda command, folder, **variables: variables)
    wanted = {"PYTHONPATH": f"{ROOT}{os.pathsep}before"}
    assert [whole_jobs.own(tmp_path / "a.yaml", 1, tmp_path) for _ in range(2)] == [wanted, wanted]
    monkeypatch.undo()
    code = "import os, sys; sys.exit(os.environ.get('A') != sys.argv[1])"
    whole_jobs.timed([sys.executable, "-c", code, "b"], tmp_path, A="b")
    with pytest.raises(SystemExit):
        whole_jobs.timed([sys.executable, "-c", code, "b"], tmp_path)
