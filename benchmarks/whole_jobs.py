"""Whole training jobs, from the command to its exit: dlc beside its own loop, and beside Keras, Flax NNX and PyTorch.

Each job reads its data from a file, trains, evaluates a validation split of a tenth after each epoch, and writes the
best weights; dlc also writes checkpoints, metrics and a report. Programs are interleaved, after one round that is not
counted and fills the caches on disk.

The loop's rate is that of steps alone: whole epochs of the same size in one process, nothing between them but their
sums. The rate beside the start is that of all epochs but one: the examples that the longer of two jobs trains more,
by the time that it takes more. It contains evaluation.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.arguments import one_of, parser
from benchmarks.beside_others import TORCH, begin, compared, iteration
from benchmarks.timing import machine, ratio, summary
from benchmarks.work import BY_NAME, Work

ROUNDS = 3
OTHERS = ("keras", "flax", *TORCH)


class Job(NamedTuple):
    """The steps of an epoch, the epochs beside the loop (some ten seconds in all), and those beside the others."""

    steps: int
    epochs: int
    shared: int


JOBS = {
    "digits_mlp": Job(40, 2400, 400),
    "mnist_cnn": Job(100, 6, 3),
    "resnet20": Job(30, 3, 3),
    "lstm": Job(60, 4, 4),
    "char_gpt": Job(60, 4, 4),
}


def held_out(work: Work, job: Job) -> int:
    """The examples of the validation split."""
    return max(1, job.steps // 10) * work.batch


def write(work: Work, job: Job, folder: Path) -> Path:
    """The spec and its data."""
    sized = work._replace(steps=job.steps)
    path = sized.write(folder)
    held = held_out(work, job)
    np.savez(path.with_suffix(".npz"), **work.arrays(job.steps * work.batch + held))
    data = f"data: {{source: {{npz: {work.name}.npz}}"
    text = path.read_text(encoding="utf-8").replace(data, f"{data}, split: {{validation: {held}, shuffle: false}}")
    path.write_text(text, encoding="utf-8")
    return path


def timed(command: list[str], folder: Path, **variables: str) -> float:
    """The seconds of a process, with more variables in its environment.

    Raises:
        SystemExit: when it fails.
    """
    environment = {**os.environ, **variables, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return seconds


def own(path: Path, epochs: int, folder: Path) -> float:
    """The seconds of `dlc train`."""
    run = folder / f"run-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "dlc", "train", str(path), "--run", str(run), "--set", f"train.epochs={epochs}"]
    found = [str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return timed(command, folder, PYTHONPATH=os.pathsep.join(found))


def other(program: str, work: Work, job: Job, path: Path, python: str) -> float:
    """The seconds of the same job by another framework."""
    rivals = str(Path(__file__).with_name("rivals.py"))
    data, held = str(path.with_suffix(".npz")), held_out(work, job)
    command = [python, rivals, program, work.name, data, str(work.batch), str(job.shared), str(held)]
    return timed(command, path.parent)


def measured(name: str, python: str | None, folder: Path) -> None:
    """Measure one row, and print it."""
    work, job = BY_NAME[name], JOBS[name]
    path = write(work, job, folder)
    examples = job.steps * work.batch
    programs = OTHERS if python is not None else ()
    own(path, 1, folder)
    if python is not None:
        for program in programs:
            other(program, work, job._replace(shared=1), path, python)
    loop = begin("dlc", work, path, sys.executable)
    whole: dict[str, list[float]] = {program: [] for program in ("dlc", *programs)}
    rates: list[float] = []
    steps: list[float] = []
    for _ in range(ROUNDS):
        steps.append(iteration(loop))
        longer = own(path, job.epochs, folder)
        rates.append(examples * (job.epochs - 1) / (longer - own(path, 1, folder)))
        whole["dlc"].append(longer if job.shared == job.epochs else own(path, job.shared, folder))
        for program in programs:
            assert python is not None
            whole[program].append(other(program, work, job, path, python))
    loop.communicate()
    print(f"{name}: {job.epochs:,} epochs of {job.steps} steps, batches of {work.batch}")
    print(f"  loop: {summary(steps, 'examples/s')}; job beside its start: {summary(rates, 'examples/s')}; ", end="")
    print(f"job / loop: {ratio(rates, steps)}", flush=True)
    print(f"  whole jobs of {job.shared} epochs:")
    for program, values in whole.items():
        beside = "" if program == "dlc" else f"; dlc is {compared(values, whole['dlc'])}"
        print(f"  {program:14} {summary(values)}{beside}", flush=True)


def main() -> None:
    """Measure and print."""
    arguments = parser("whole_jobs", __doc__)
    arguments.add_argument("--beside", metavar="PYTHON", help="measure the others, too; it has keras, flax and torch")
    arguments.add_argument("names", metavar="NAME", nargs="*", type=one_of(JOBS), help=f"of {', '.join(JOBS)}")
    options = arguments.parse_args()
    print(f"{machine()}; seconds from the command to its exit, median (smallest to largest) of {ROUNDS} rounds")
    for name in options.names or JOBS:
        with tempfile.TemporaryDirectory() as temporary:
            measured(name, options.beside, Path(temporary))


if __name__ == "__main__":
    main()
