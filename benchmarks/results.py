"""Applications on real data: `python -m benchmarks.results DATA [TASK ...]` trains each spec and prints its figure.

DATA is a folder with the data sets as `docs/results.md` names them. Each spec is trained by the command, in a process
of its own, and its figure is read from the run folder. A run that is there is continued, or only read.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import noisy_pictures

SPECS = Path(__file__).parent.parent / "specs" / "applications"


class Task(NamedTuple):
    """A spec with what it should reach.

    Args:
        spec: its name.
        data: the folder of its data set.
        figure: a metric of the test split, or `validation/METRIC` of the best epoch.
        aim: what it should be; at most that for a loss, at least for an accuracy; None if it is only reported.
        weights: how many it has, if they are published.
        prepare: makes the data of the spec: (the data set, a folder for them).
    """

    spec: str
    data: str
    figure: str
    aim: float | None = None
    weights: int | None = None
    prepare: Callable[[Path, Path], None] | None = None


TASKS = {
    task.spec: task
    for task in (
        Task("mnist_convnet", "mnist", "accuracy", 0.99, 34_826),
        Task("mnist_autoencoder", "mnist", "validation/loss", 0.0635, 28_353),
        Task("mnist_denoising", "mnist", "validation/loss", 0.086, 28_353, noisy_pictures.write),
        Task("cifar10_linear", "cifar10_small", "accuracy"),
        Task("cifar10_resnet", "cifar10_small", "accuracy"),
        Task("etth1_dlinear", "ett", "loss", 0.380, 64_704),
        Task("etth1_nlinear", "ett", "loss", 0.380, 32_352),
        Task("etth1_lstm", "ett", "loss"),
        Task("etth1_transformer", "ett", "loss"),
        Task("polarity_cnn", "rt_polarity", "accuracy", 0.74),
        Task("trec_cnn", "trec", "accuracy", 0.87),
        Task("trec_bilstm", "trec", "accuracy", 0.87),
        Task("shakespeare_gpt", "tinyshakespeare", "validation/loss", 1.89, 804_096),
    )
}


def main() -> int:
    """Train and print; 1 if an aim was not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("task", nargs="*", help=f"one or more of {', '.join(TASKS)}; all when left out")
    parser.add_argument("--runs", type=Path, default=Path("runs/results"))
    parser.add_argument("--set", action="append", default=[], help="passed to `dlc train`")
    options = parser.parse_args()
    missed = 0
    for name in options.task or TASKS:
        task = TASKS[name]
        folder = options.data / task.data
        if name.startswith("etth1") and name == "etth1_dlinear":
            print(f"repeat the last value: MSE {repeat_last(folder / 'ETTh1.csv'):.4f}", flush=True)
        missed += not measured(task, folder, options.runs / name, options.set)
    return int(missed > 0)


def measured(task: Task, data: Path, run: Path, settings: list[str]) -> bool:
    """Train a spec, print its figure, and say whether it is good enough."""
    if task.prepare is not None:
        task.prepare(data, run.parent / f"{run.name}_data")
        data = run.parent / f"{run.name}_data"
    began = time.perf_counter()
    command = [sys.executable, "-m", "dlc", "train", str(SPECS / f"{task.spec}.yaml"), "--run", str(run), "--quiet"]
    command += ["--set", f"vars.data={data.resolve()}", *(part for value in settings for part in ("--set", value))]
    if (run / "resolved.yaml").exists():
        command.append("--resume")
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        print(f"{task.spec}: `dlc train` ended with {done.returncode}")
        return False
    split, _, metric = task.figure.rpartition("/")
    result = json.loads((run / "result.json").read_text())
    figures = result["test"] if not split else best_epoch(run, result["best_epoch"])
    value = figures[f"{split}/{metric}" if split else metric]
    good = task.aim is None or (value >= task.aim if metric == "accuracy" else value <= task.aim)
    aim = "" if task.aim is None else f" ({'at least' if metric == 'accuracy' else 'at most'} {task.aim:g})"
    which = f"best {split}" if split else "test"
    trained = sum(session["training"] for session in json.loads((run / "timing.json").read_text())["sessions"])
    reached = f"{which} {metric} {value:.4f}{aim}{'' if good else ' NOT REACHED'}"
    epochs = f"epoch {result['best_epoch']} of {result['epochs']}"
    print(f"{task.spec}: {reached}, {epochs}, {trained:.0f} s of training, {seconds:.0f} s in all", flush=True)
    return good


def best_epoch(run: Path, epoch: int) -> dict[str, float]:
    """The metrics of an epoch as `metrics.jsonl` has them."""
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record.get("epoch") == epoch:
            found: dict[str, float] = record
            return found
    raise ValueError(f"`{run}` has no metrics of epoch {epoch}")


def repeat_last(path: Path, ahead: int = 96) -> float:
    """The mean squared error of normalized test values if all 96 hours are as the last one."""
    with path.open() as file:
        rows = [row[1:] for row in csv.reader(file)][1:14401]
    values = np.asarray(rows, np.float64)
    train = values[:8640]
    values = (values - train.mean(0)) / train.std(0)
    starts = np.arange(11520, 14400 - ahead + 1)
    errors = [np.square(values[start : start + ahead] - values[start - 1]).mean() for start in starts]
    return float(np.mean(errors))


if __name__ == "__main__":
    raise SystemExit(main())
