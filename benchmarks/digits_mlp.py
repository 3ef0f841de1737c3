"""Training of specs/digits_mlp.yaml beside the same training written by hand in JAX (`digits_mlp_twin.py`).

Steady throughput: both in this process, whole epochs, interleaved. Time to the first finished step: both as processes
of their own, from their start, interleaved; dlc with its checks, run folder and progress.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import machine, ratio, summary

SPEC = "specs/digits_mlp.yaml"
ROUNDS, EPOCHS, STARTS = 15, 20, 8

FIRST_STEP = """
import sys, os
import dlc
from dlc.training.progress import Silent
class First(Silent):
    def moment(self, moment):
        print("first step", flush=True)
        os._exit(0)
dlc.train(dlc.load(sys.argv[1]), sys.argv[2], reporter=First())
"""


def twin_arguments() -> list[str]:
    """The network of the spec, as the twin takes it."""
    import dlc
    from dlc.sources.dataset import load_dataset

    spec = dlc.load(SPEC)
    table = dlc.show(spec)
    sizes = [64, *(row.output.shape[-1] for row in table.rows if row.word == "dense")]
    rates = {node.layer.rate for node, _ in spec.graph.walk() if node.layer.word == "dropout"}
    assert len(rates) <= 1, "the twin has one dropout rate"
    optimizer = spec.document.optimizer
    assert optimizer is not None and optimizer.thing.word == "adam"
    rate = optimizer.thing.learning_rate
    assert isinstance(rate, float), "the twin has a constant rate"
    train = len(load_dataset(spec).splits["train"])
    return [",".join(map(str, sizes)), str(rates.pop() if rates else 0.0), str(rate), str(train)]


def throughput(arguments: list[str]) -> tuple[list[float], list[float]]:
    """Examples a second of dlc and of the twin, round by round."""
    import jax
    import numpy as np

    import dlc
    from benchmarks import digits_mlp_twin as twin
    from dlc.training.fit import Training
    from dlc.training.progress import Silent

    fit = Training(dlc.load(SPEC), None, Silent(), time.perf_counter(), None, None)
    state = jax.device_put(fit.trainer.start(fit.program.init(0), fit.feeder.shapes()))
    sizes, rate, learning_rate, train = twin.eval_arguments(arguments)
    data, rows = twin.data_and_rows(train)
    chunk, other = twin.make(sizes, rate, learning_rate)
    turns = train // twin.BATCH
    indices = rows[: turns * twin.BATCH].reshape(turns, twin.BATCH)
    done = 0
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS + 2):
        began = time.perf_counter()
        for _ in range(EPOCHS):  # as the run does it: batches drawn, a chunk, its sums fetched
            state = fit.trainer.chunk(
                state, fit.feeder.training(done, turns), np.int32(turns), np.bool_(True), fit.stats
            )
            jax.device_get(state.sums)
            done += turns
        middle = time.perf_counter()
        for _ in range(EPOCHS):
            order = np.random.default_rng(0).permutation(indices)
            other = chunk(other, order, data)
            jax.device_get(other[3])
        end = time.perf_counter()
        ours.append(EPOCHS * turns * twin.BATCH / (middle - began))
        theirs.append(EPOCHS * turns * twin.BATCH / (end - middle))
    return ours[2:], theirs[2:]  # the first rounds compile and warm up


def first_step(command: list[str]) -> float:
    """Seconds from the start of a process to its first finished step."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    seconds = time.perf_counter() - began
    process.wait()
    return seconds


def main() -> None:
    """Measure and print."""
    arguments = twin_arguments()
    print(f"{machine()}; {SPEC}; median (smallest to largest)")
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for index in range(STARTS + 1):
            dlc_command = [sys.executable, "-c", FIRST_STEP, SPEC, str(Path(folder) / f"run-{index}")]
            twin_command = [sys.executable, "-m", "benchmarks.digits_mlp_twin", *arguments]
            pairs.append((first_step(dlc_command), first_step(twin_command)))
    ours, theirs = [pair[0] for pair in pairs[1:]], [pair[1] for pair in pairs[1:]]
    print(f"first finished step   dlc {summary(ours)}, by hand {summary(theirs)}")
    print(f"  {ratio(ours, theirs)}")
    ours, theirs = throughput(arguments)
    print(f"steady throughput     dlc {summary(ours, 'examples/s')}, by hand {summary(theirs, 'examples/s')}")
    print(f"  {ratio(ours, theirs)}")


if __name__ == "__main__":
    main()
