"""`python -m dlc` is the command `dlc`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.common import SMALL, run_dlc


def test_the_module_is_the_command(tmp_path: Path) -> None:
    """`python -m dlc` prints what `dlc` prints, and ends with its exit code."""
    (tmp_path / "good.yaml").write_text(SMALL)
    (tmp_path / "bad.yaml").write_text(SMALL.replace("units: 8", "unit: 8"))
    for arguments in (["--version"], ["check", "good.yaml"], ["check", "bad.yaml"], ["show", "good.yaml"]):
        module = subprocess.run(
            [sys.executable, "-m", "dlc", *arguments],
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )
        command = run_dlc(arguments, cwd=tmp_path)
        assert (module.returncode, module.stdout, module.stderr) == (
            command.returncode,
            command.stdout,
            command.stderr,
        )
