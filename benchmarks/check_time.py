"""Time of `dlc check specs/*.yaml`, as text and as JSON, beside the imports that it can't do without."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.arguments import parser
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
    parser("check_time", __doc__).parse_args()
    command = shutil.which("dlc", path=str(Path(sys.executable).parent)) or "dlc"
    specs = sorted(str(path) for path in Path("specs").glob("*.yaml"))
    checks = {"text": [command, "check", *specs], "json": [command, "check", "--format", "json", *specs]}
    commands = [*checks.values(), IMPORTS]
    for each in commands:
        seconds(each)  # files into the page cache
    *ours, theirs = zip(*([seconds(each) for each in commands] for _ in range(ROUNDS)), strict=True)
    print(f"{machine()}; {ROUNDS} interleaved rounds; median (smallest to largest)")
    print(f"imports alone                 {summary(theirs)}")
    for form, times in zip(checks, ours, strict=True):
        print(f"dlc check, {len(specs)} specs, {form}      {summary(times)}")
        print(f"    {ratio(times, theirs)}")


if __name__ == "__main__":
    main()
