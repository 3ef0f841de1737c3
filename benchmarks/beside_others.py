"""The five trainings of `work.py` in dlc, Keras 3 on JAX, Flax NNX and PyTorch: examples a second, one table.

`python -m benchmarks.beside_others PYTHON [NAME ...]`: PYTHON is one that has keras, flax and torch installed; dlc is
measured in this one. Each program is a process of its own that waits for its turn; turns are interleaved. Each has the
environment that its users have: `dlc train` asks for huge pages (`dlc/cli/pages.py`), the others don't.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arguments import one_of, parser
from benchmarks.timing import machine, ratios, summary
from benchmarks.work import BY_NAME, Work
from dlc.cli.huge_pages import environment

ROUNDS = 7
OWN = "dlc"
OWN_LOOP = "import sys, pathlib, benchmarks.beside_others as b; b.own(pathlib.Path(sys.argv[1]))"
TORCH = ("torch", "torch-compile")


def programs(work: Work) -> list[str]:
    """What is measured; Keras with one step an execution, and with a whole epoch of them."""
    return [OWN, "keras-1", f"keras-{work.steps}", "flax", *TORCH]


def begin(program: str, work: Work, path: Path, python: str) -> subprocess.Popen[str]:
    """Start a program; it waits when it has compiled and warmed up."""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if program == OWN:
        quiet |= environment(quiet)
        command = [sys.executable, "-c", OWN_LOOP, str(path)]
    else:
        rivals = str(Path(__file__).with_name("rivals.py"))
        command = [python, rivals, program, work.name, str(path.with_suffix(".npz")), str(work.batch)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=quiet
    )
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        process.wait()
        raise SystemExit(f"{program} failed on {work.name}: run {' '.join(command)}")
    return process


def iteration(process: subprocess.Popen[str]) -> float:
    """Examples a second of one turn."""
    assert process.stdin is not None
    assert process.stdout is not None
    print("go", file=process.stdin, flush=True)
    return float(process.stdout.readline())


def own(path: Path) -> None:
    """Train with dlc on request, as a run does: whole epochs, their sums fetched."""
    import jax

    import dlc
    from benchmarks.rivals import SECONDS
    from dlc.training.chunks import Chunks
    from dlc.training.setup import initial_state, set_up

    work, done = BY_NAME[path.stem], 0
    setup = set_up(dlc.load(path).plan)
    state, chunks = initial_state(setup), Chunks(setup, time.perf_counter(), work.steps)

    def epoch() -> None:
        nonlocal state, done
        state = chunks.run(state, done, work.steps)
        jax.device_get(state.sums)
        done += work.steps

    epoch()
    epoch()
    print("ready", flush=True)
    for _ in sys.stdin:
        before, began = done, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            epoch()
        print((done - before) * work.batch / (time.perf_counter() - began), flush=True)


def main() -> None:
    """Measure and print."""
    arguments = parser("beside_others", __doc__)
    arguments.add_argument("python", metavar="PYTHON", help="an interpreter that has keras, flax and torch")
    arguments.add_argument("names", metavar="NAME", nargs="*", type=one_of(BY_NAME), help=f"of {', '.join(BY_NAME)}")
    options = arguments.parse_args()
    python, names = options.python, options.names or list(BY_NAME)
    print(f"{machine()}; examples a second, median (smallest to largest) of {ROUNDS} interleaved turns")
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            work = BY_NAME[name]
            path = work.write(Path(temporary))
            running = {program: begin(program, work, path, python) for program in programs(work)}
            found: dict[str, list[float]] = {program: [] for program in running}
            for _ in range(ROUNDS):
                for program, process in running.items():
                    found[program].append(iteration(process))
            for process in running.values():
                process.communicate()
            print(f"{name}, batches of {work.batch}")
            for program, values in found.items():
                beside = "" if program == OWN else f"; dlc is {compared(found[OWN], values)}"
                print(f"  {program:14} {summary(values, '')}{beside}", flush=True)


def compared(ours: list[float], theirs: list[float]) -> str:
    """How many times as fast."""
    each = ratios(ours, theirs)
    whole = statistics.median(ours) / statistics.median(theirs)
    return f"{whole:.2f} times as fast, by round {statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"


if __name__ == "__main__":
    main()
