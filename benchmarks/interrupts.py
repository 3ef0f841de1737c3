"""Interrupts at random moments of commands: `python -m benchmarks.interrupts [COUNT] [--seed S] [--command NAME]`.

Each command is started COUNT times and gets a SIGINT after a random part of the time that it takes. It must end with
130, or with its usual exit code if it was done (`dlc train` also with 75: stopped after a chunk), and print no
traceback and no DLC900. No temporary file may be left. Python's own start, before it loads dlc, is left out: the signal
is blocked until dlc runs, and delivered then.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

from benchmarks.attack_kinds.attack import SPEC

CODE = "from dlc.cli import main; main()"
SECONDS = 120.0  # for a command to end after the signal


class Command(NamedTuple):
    """A command.

    Args:
        name: its name.
        arguments: of `dlc`, in a folder with `spec.yaml`, `run` and `x.npz`.
        codes: the exit codes that it may end with.
    """

    name: str
    arguments: tuple[str, ...]
    codes: tuple[int, ...] = (0, 130)


COMMANDS = (
    Command("check", ("check", "spec.yaml")),
    Command("show", ("show", "spec.yaml")),
    Command("layers", ("layers",)),
    Command("explain", ("explain", "DLC205")),
    Command("init", ("init", "tabular_regression", "--out", "new.yaml")),
    Command("doctor", ("doctor",)),
    Command("train", ("train", "spec.yaml", "--run", "new", "-q"), (0, 75, 130)),
    Command("resume", ("train", "run", "--resume", "-q", "--set", "train.epochs=3"), (0, 75, 130)),
    Command("eval", ("eval", "run")),
    Command("predict", ("predict", "run", "x.npz", "--out", "out.csv")),
    Command("report", ("report", "run")),
    Command("export", ("export", "run", "--to", "safetensors")),
)


def main() -> int:
    """Interrupt commands, and print what came of it; the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.interrupts", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", action="append", choices=[command.name for command in COMMANDS])
    options = parser.parse_args()
    chosen = [command for command in COMMANDS if options.command is None or command.name in options.command]
    failures = 0
    with tempfile.TemporaryDirectory(prefix="dlc-interrupts-") as name:
        base = Path(name)
        prepare(base)
        for command in chosen:
            failures += storm(command, base, options.count, Random(f"{options.seed} {command.name}"))
    print(f"{failures} of {options.count * len(chosen)} ended wrongly")
    return 1 if failures else 0


def prepare(base: Path) -> None:
    """The files that commands read."""
    os.environ.update({"NO_COLOR": "1", "COLUMNS": "120", "DLC_CACHE": str(base / "cache")})
    template = base / "template"
    template.mkdir()
    (template / "spec.yaml").write_text(SPEC)
    np.savez(template / "x.npz", features=np.array([[5, 3, 1, 0.2]]))
    subprocess.run(
        [sys.executable, "-c", CODE, "train", "spec.yaml", "--run", "run", "-q"],
        cwd=template,
        check=True,
        capture_output=True,
    )


def storm(command: Command, base: Path, count: int, random: Random) -> int:
    """Interrupt a command so many times; how many ended wrongly.

    Raises:
        RuntimeError: when it fails without an interrupt.
    """
    code, text, usual, _ = started(command, base, None)
    if code:
        raise RuntimeError(f"{command.name} ends with {code}: {text}")
    outcomes: dict[int, int] = {}
    failures = 0
    for _ in range(count):
        after = random.uniform(0, usual * 1.05)
        code, text, seconds, left = started(command, base, after)
        outcomes[code] = outcomes.get(code, 0) + 1
        problem = ""
        if code not in command.codes:
            problem = f"exit code {code}"
        elif "Traceback" in text or "DLC900" in text or "Exception ignored" in text:
            problem = "a traceback"
        elif left:
            problem = f"left {', '.join(left)}"
        if problem:
            failures += 1
            print(f"FAILED {command.name} after {after:.3f} s: {problem}: {text.strip()[-300:]}", flush=True)
        del seconds
    shown = ", ".join(f"{number} x {code}" for code, number in sorted(outcomes.items()))
    print(f"{command.name:<9} {usual:6.2f} s  exit codes {shown}  {failures} wrong", flush=True)
    return failures


def started(command: Command, base: Path, after: float | None) -> tuple[int, str, float, list[str]]:
    """Run a command, and interrupt it after some seconds: its exit code, output, seconds, and temporary files."""
    folder = base / "work"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base / "template", folder)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *command.arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=_blocked,  # noqa: PLW1509 - this process has one thread
    )
    if after is not None:
        time.sleep(after)
        process.send_signal(signal.SIGINT)
    try:
        output = process.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate()[0] + b"\nit did not end"
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob(".*.part"))
    return process.returncode, output.decode(errors="replace"), time.monotonic() - began, left


def _blocked() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background of a shell ignores it
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


if __name__ == "__main__":
    raise SystemExit(main())
