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


def test_all_are_run() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}
    assert folders == {script.partition("/")[0] for script in SCRIPTS}
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({folder})" in page for folder in folders)


@pytest.mark.slow  # .ci/run runs all of them
@pytest.mark.parametrize("script", SCRIPTS)
def test_example(script: str, tmp_path: Path) -> None:
    folder, _, name = script.partition("/")
    work = tmp_path / folder
    shutil.copytree(
        EXAMPLES / folder, work, ignore=shutil.ignore_patterns("run", "wide", "*.csv", "exported", "spec.yaml")
    )
    bin_folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
    command = ["bash", name] if name.endswith(".sh") else [sys.executable, "-W", "error", name]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if folder == "wine_table":
        assert done.stdout.splitlines()[-1] == "the same as dlc predict"
    if folder == "language_model":
        assert "--- 2 of 2 ---\nThe " in done.stdout and "tokens/s" in done.stderr
    if folder == "graph":
        assert "repeat/*/residual/dense" in done.stdout
        assert "repeat/2/residual/dense" in done.stdout
