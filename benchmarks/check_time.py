"""Time of `dlc check specs/*.yaml` beside the imports that it can't do without."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.timing import machine, ratio, summary

ROUNDS = 10
IMPORTS = [sys.executable, "-c", "import typer, yaml, pydantic, rich.console"]


def seconds(command: list[str]) -> float:
    """Wall time of a command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    command = shutil.which("dlc", path=str(Path(sys.executable).parent)) or "dlc"
    specs = sorted(str(path) for path in Path("specs").glob("*.yaml"))
    check = [command, "check", *specs]
    seconds(check), seconds(IMPORTS)  # files into the page cache
    pairs = [(seconds(check), seconds(IMPORTS)) for _ in range(ROUNDS)]
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    print(f"{machine()}; {ROUNDS} interleaved rounds; median (smallest to largest)")
    print(f"dlc check, {len(specs)} specs   {summary(ours)}")
    print(f"imports alone            {summary(theirs)}")
    print(ratio(ours, theirs))


if __name__ == "__main__":
    main()
