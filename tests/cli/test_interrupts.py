"""An interrupt ends a command with 130 wherever it is, and leaves nothing behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dlc.training.run_folder import RunFolder
from tests.common import SMALL

BLOCKED = "import os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
MAIN = "from dlc.cli import main\nmain()\n"


def outcome(code: str, *arguments: str) -> tuple[int, str]:
    """The exit code of a program, and what it printed."""
    code = (
        f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{code}"  # jobs of a shell ignore it
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def interrupting(event: str) -> str:
    """A program that interrupts itself as soon as it opens or imports something, by its audit event and first value."""
    return (
        "import os, signal, sys\n"
        f"sys.addaudithook(lambda name, values: {event} and os.kill(os.getpid(), signal.SIGINT) if values else None)\n"
    )


def test_an_interrupt_before_the_command_runs(tmp_path: Path) -> None:
    """As it arrives while the process restarts itself with huge pages."""
    assert outcome(f"{BLOCKED}os.kill(os.getpid(), signal.SIGINT)\n{MAIN}", "check", "x.yaml") == (130, "interrupted\n")


@pytest.mark.parametrize("module", ["dlc.frontend.pipeline", "yaml", "pydantic", "dlc.language.loader"])
def test_an_interrupt_in_an_import(module: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("inputs: {x: {tensor: [4]}}\nnetwork: [dense: 2]\n")
    code = interrupting(f"name == 'import' and values[0] == {module!r}") + MAIN
    assert outcome(code, "check", str(tmp_path / "x.yaml")) == (130, "interrupted\n")


def test_an_interrupt_in_a_finalizer_is_not_lost() -> None:
    """Python prints exceptions of finalizers, and goes on."""
    code = (
        "import os, signal\nimport dlc.cli.commands as commands\n"
        "class Last:\n    def __del__(self): os.kill(os.getpid(), signal.SIGINT); sum(range(100))\n"
        "commands.explain_code = lambda code: (Last(), None)[1]\n"
    )
    assert outcome(code + MAIN, "explain", "DLC205") == (130, "interrupted\n")


def test_an_interrupt_while_a_library_computes() -> None:
    """As XLA does when it compiles: the main thread runs no Python then."""
    code = (
        "import hashlib, os, signal, threading\nimport dlc.cli.commands as commands\n"
        "def compute(code):\n"
        "    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    return hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
        "commands.explain_code = compute\n"
    )
    assert outcome(code + MAIN, "explain", "DLC205") == (130, "interrupted\n")


def test_an_interrupt_removes_what_is_being_written(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nimport dlc.cli.commands as commands\n"
        "from dlc.support.files import write_atomic\n"
        "os.fsync = lambda handle: (os.kill(os.getpid(), signal.SIGINT), sum(range(100)))\n"
        "commands.explain_code = lambda code: write_atomic(Path(sys.argv[3]), b'new')\n"
    )
    path = tmp_path / "kept"
    path.write_text("old")
    code = code.replace("sys.argv[3]", repr(str(path)))
    assert outcome(code + MAIN, "explain", "DLC205") == (130, "interrupted\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]
    assert path.read_text() == "old"


def test_an_interrupt_after_the_end_changes_nothing() -> None:
    code = "import atexit, os, signal\natexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
    found, text = outcome(code + MAIN, "explain", "DLC205")
    assert (found, "Traceback" in text, "interrupted" in text) == (0, False, False)


def test_a_background_job_ignores_interrupts() -> None:
    """A shell starts it with interrupts ignored."""
    code = "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nos.kill(os.getpid(), signal.SIGINT)\n"
    assert outcome(code + MAIN, "explain", "DLC205")[0] == 0


COMMANDS = {
    "show": (["show", "spec.yaml"], "name == 'import' and values[0] == 'dlc.frontend.summary'"),
    "layers": (["layers"], "name == 'import' and values[0] == 'dlc.cli.components'"),
    "init": (["init", "tabular_regression", "--out", "new.yaml"], "name == 'open' and '.part' in str(values[0])"),
    "eval": (["eval", "run"], "name == 'open' and str(values[0]).endswith('weights.safetensors')"),
    "predict": (["predict", "run", "x.npz", "--out", "out.csv"], "name == 'open' and '.part' in str(values[0])"),
    "report": (["report", "run"], "name == 'open' and '.part' in str(values[0])"),
    "export": (["export", "run", "--to", "safetensors"], "name == 'open' and 'exports' in str(values[0])"),
    "train": (["train", "spec.yaml", "--run", "new"], "name == 'import' and values[0] == 'dlc.data.dataset'"),
}
"""Commands, and the moment in which they are interrupted: a condition of an audit event."""


@pytest.mark.few(3)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupt_of_each_command(command: str, small_run: RunFolder, tmp_path: Path) -> None:
    """`python -m benchmarks.interrupts` interrupts them at random moments."""
    (tmp_path / "spec.yaml").write_text(SMALL)
    np.savez(tmp_path / "x.npz", features=np.array([[5, 3, 1, 0.2]]))
    shutil.copytree(small_run.path, tmp_path / "run")
    before = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    arguments, event = COMMANDS[command]
    code = f"import os\nos.chdir({str(tmp_path)!r})\n" + interrupting(event) + MAIN
    assert outcome(code, *arguments) == (130, "interrupted\n")
    left = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} - before
    assert left <= {Path("run/exports"), Path("new"), Path("new/.lock")}, "half of a file is left"
