"""The five trainings of `work.py` beside the same by hand in JAX (`twins.py`): throughput, first step, peak memory.

Throughput: both in this process, interleaved, whole epochs as a run does them. First step and memory: both as processes
of their own, interleaved; dlc with its checks, run folder and progress. The first step is timed from the start of the
process; memory is its peak to its end, after one epoch, dlc's with its checkpoint and its best weights written.
`python -m benchmarks.beside_twins [NAME ...]`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.arguments import one_of, parser
from benchmarks.timing import machine, ratio, summary
from benchmarks.work import BY_NAME, Work

ROUNDS, STARTS, SECONDS = 9, 5, 0.5

EPOCH = """
import sys
import dlc
from dlc.training.callbacks.progress import Silent
class First(Silent):
    def moment(self, moment):
        print("first step", flush=True)
dlc.train(dlc.load(sys.argv[1], ["train.epochs=1"]), sys.argv[2], reporter=First())
"""


def throughput(work: Work, path: Path) -> tuple[list[float], list[float]]:
    """Examples a second of dlc and of the twin, round by round."""
    import jax
    import numpy as np

    import dlc
    from benchmarks.twins import make
    from dlc.training.chunks import Chunks
    from dlc.training.setup import initial_state, set_up

    setup = set_up(dlc.load(path).plan)
    state, chunks = initial_state(setup), Chunks(setup, time.perf_counter(), work.steps)
    with np.load(path.with_suffix(".npz")) as found:
        data = jax.device_put(tuple(found.values()))
    chunk, other = make(work.name)
    steps, done = work.steps, 0

    def ours() -> None:
        nonlocal state, done
        state = chunks.run(state, done, steps)
        jax.device_get(state.sums)
        done += steps

    def theirs() -> None:
        nonlocal other
        order = np.random.default_rng(done).permutation(steps * work.batch).astype(np.int32)
        other = chunk(other, order.reshape(steps, work.batch), data)
        jax.device_get(other[4])

    def timed(epoch: Any, count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            epoch()
        return count * steps * work.batch / (time.perf_counter() - began)

    for epoch in (ours, theirs):
        timed(epoch, 2)  # compiles and warms up
    count = max(1, round(SECONDS * timed(theirs, 2) / (steps * work.batch)))
    pairs = [(timed(ours, count), timed(theirs, count)) for _ in range(ROUNDS)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def started(command: list[str], cache: str) -> tuple[float, float]:
    """Seconds from the start of a process to its first finished step, and its peak memory in MiB to its end."""
    began = time.perf_counter()
    environment = {**os.environ, "DLC_CACHE": cache}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    process.stdout.readline()
    seconds = time.perf_counter() - began
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return seconds, usage.ru_maxrss / 1024


def starts(work: Work, path: Path, folder: Path) -> dict[str, tuple[list[Any], list[Any]]]:
    """Seconds and MiB of dlc and of the twin: with empty caches, with full ones."""
    found: dict[str, tuple[list[Any], list[Any]]] = {"empty": ([], []), "warm": ([], [])}
    data = str(path.with_suffix(".npz"))
    for index in range(STARTS + 1):
        for kind in found:
            full = kind == "warm"
            own = str(folder / ("ours" if full else f"ours-{index}"))
            other = str(folder / ("theirs" if full else f"theirs-{index}"))
            run = str(folder / f"{work.name}-{kind}-{index}")
            mine = started([sys.executable, "-c", EPOCH, str(path), run], own)
            twin = [sys.executable, "-m", "benchmarks.twins", work.name, data, str(work.batch), other]
            pair = mine, started(twin, "off")
            if index:  # the first round fills the caches
                for side, value in zip(found[kind], pair, strict=True):
                    side.append(value)
    return found


def main() -> None:
    """Measure and print."""
    arguments = parser("beside_twins", __doc__)
    arguments.add_argument("names", metavar="NAME", nargs="*", type=one_of(BY_NAME), help=f"of {', '.join(BY_NAME)}")
    names = arguments.parse_args().names or list(BY_NAME)
    print(f"{machine()}; median (smallest to largest)")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = {name: BY_NAME[name].write(folder) for name in names}
        measured = {name: starts(BY_NAME[name], paths[name], folder) for name in names}  # while this process is small
        for name in names:
            print(f"{name}, batches of {BY_NAME[name].batch}")
            for kind, (ours, theirs) in measured[name].items():
                row(f"first step, caches {kind}", [value[0] for value in ours], [value[0] for value in theirs], "s")
            row("peak memory", *([value[1] for value in side] for side in measured[name]["empty"]), "MiB")
            row("throughput", *throughput(BY_NAME[name], paths[name]), "examples/s")


def row(label: str, ours: list[float], theirs: list[float], unit: str) -> None:
    """Print one comparison."""
    print(f"  {label:24} dlc {summary(ours, unit)}, by hand {summary(theirs, unit)}; {ratio(ours, theirs)}", flush=True)


if __name__ == "__main__":
    main()
