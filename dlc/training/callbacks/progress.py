"""The progress of a run, and the interface of what displays it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import jax

from dlc.support.fast_dataclass import fast_dataclass
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.best_weights import BestWeights
from dlc.training.callbacks.loop_callback import Chunk, Epoch, LoopCallback
from dlc.training.evaluation import monitored


@fast_dataclass(frozen=True)
class RunInfo:
    """What a run is about to do.

    Args:
        name: the spec's name.
        folder: the run folder, or None.
        epochs: epochs in all.
        steps: steps in all.
        batch_size: examples per step.
        examples: examples of each split.
        parameters: count of trained numbers.
        device: what it runs on.
        start: the step that it begins at, more than 0 when it resumes.
        monitor: the value that decides which epoch is best, such as `validation/loss`.
        learning_rate: the rate of a step, as it is known now: a plateau may lower it later.
    """

    name: str
    folder: str | None
    epochs: int
    steps: int
    batch_size: int
    examples: Mapping[str, int]
    parameters: int
    device: str
    start: int
    monitor: str
    learning_rate: Callable[[int], float]


@fast_dataclass(frozen=True)
class Moment:
    """Where a run stands within an epoch.

    Args:
        epoch: the current epoch, from 1.
        step: steps done; a run that goes back may do one twice.
        iterations: steps of the chunk that ended here.
        metrics: loss and metrics over the epoch so far, by name.
        rate: examples per second.
        waiting: share of the time in which the device waited for records.
    """

    epoch: int
    step: int
    iterations: int
    metrics: Mapping[str, float]
    rate: float
    waiting: float = 0.0


class Reporter(Protocol):
    """Displays the progress of a run. It is called on the training thread, so calls should be short."""

    def begin(self, info: RunInfo) -> None:
        """The run is about to compile."""

    def moment(self, moment: Moment) -> None:
        """A chunk of steps is done."""

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """An epoch is done: the line of `metrics.jsonl`, the time it took, whether it is the best so far."""

    def note(self, text: str) -> None:
        """A note to the user, such as a damaged checkpoint."""

    def end(self) -> None:
        """The run is over; also called when it fails."""


class Silent:
    """Displays nothing."""

    def begin(self, info: RunInfo) -> None:
        """Do nothing."""

    def moment(self, moment: Moment) -> None:
        """Do nothing."""

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class Reporting(LoopCallback):
    """Passes the progress of a run to a reporter.

    Args:
        reporter: displays the progress.
        best: knows whether an epoch is the best so far.
    """

    def __init__(self, reporter: Reporter, best: BestWeights) -> None:
        self.reporter, self.best = reporter, best

    def on_begin(self, run: ActiveRun) -> None:
        """Report what the run is about to do."""
        self.reporter.begin(info_of(run))

    def on_chunk(self, run: ActiveRun, chunk: Chunk) -> None:
        """Report where the run stands."""
        speed = chunk.iterations * run.setup.sampler.batch_size / chunk.seconds
        moment = Moment(run.epoch, run.step, chunk.iterations, run.figures, speed, run.chunks.waiting)
        self.reporter.moment(moment)

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Report an epoch."""
        self.reporter.epoch(epoch.record, time.perf_counter() - epoch.began, self.best.improved)

    def close(self) -> None:
        """Tell the reporter that the run is over."""
        self.reporter.end()


def device_name() -> str:
    """The kind of device that a run computes on."""
    device = jax.devices()[0]
    return device.device_kind if device.platform != "cpu" else "cpu"


def info_of(run: ActiveRun) -> RunInfo:
    """What a run is about to do."""
    setup = run.setup
    return RunInfo(
        name=setup.plan.name,
        folder=str(run.folder.path) if run.folder else None,
        epochs=setup.plan.train.epochs,
        steps=setup.horizon.steps,
        batch_size=setup.sampler.batch_size,
        examples={name: len(rows) for name, rows in setup.data.splits.items()},
        parameters=sum(slot.size for slot in setup.program.params.values()),
        device=device_name(),
        start=run.step,
        monitor=monitored(setup.plan)[0],
        learning_rate=run.learning_rate,
    )
