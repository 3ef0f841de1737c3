"""The walk-throughs in examples/ run as their readers would run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.common import ROOT

EXAMPLES = ROOT / "examples"
SCRIPTS = ["wine_table/run.sh", "graph/run.sh", "python_interface/walk.py", "language_model/run.sh"]
DATA = Path(os.environ.get("DLC_TEST_DATA", ROOT.parent / "shared" / "data"))
NEEDED = {"language_model": DATA / "tinyshakespeare" / "input.txt"}


def test_all_are_run() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}
    assert folders == {script.partition("/")[0] for script in SCRIPTS}
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({folder})" in page for folder in folders)


@pytest.mark.slow  # .ci/run runs all of them
@pytest.mark.parametrize("script", SCRIPTS)
def test_example(script: str, tmp_path: Path) -> None:
    folder, _, name = script.partition("/")
    if folder in NEEDED and not NEEDED[folder].is_file():
        pytest.skip(f"{NEEDED[folder]} is not there")
    work = tmp_path / folder
    shutil.copytree(
        EXAMPLES / folder, work, ignore=shutil.ignore_patterns("run", "wide", "*.csv", "exported", "input.txt")
    )
    bin_folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
    environment |= {"DLC_TEST_DATA": str(DATA.resolve()), "STEPS": "3"}  # of an epoch of `language_model`
    command = ["bash", name] if name.endswith(".sh") else [sys.executable, "-W", "error", name]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if folder == "wine_table":
        assert done.stdout.splitlines()[-1] == "the same as dlc predict"
    if folder == "language_model":
        assert "ROMEO:" in done.stdout and "--- 2 of 2 ---" in done.stdout and "tokens/s" in done.stderr
    if folder == "graph":
        assert "repeat/*/residual/dense" in done.stdout
        assert "repeat/2/residual/dense" in done.stdout
