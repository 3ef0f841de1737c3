"""A run in progress: the state, and the plain values that its callbacks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

import numpy as np

from dlc.backend import statistics
from dlc.backend.train_step import TrainState
from dlc.components.callbacks.callback import Status
from dlc.components.schedules.schedule import rate_at
from dlc.diagnostics import SpecError
from dlc.frontend.decisions import with_thresholds
from dlc.frontend.plan import Plan
from dlc.frontend.trainable import need_trainable
from dlc.support.fast_dataclass import fast_dataclass
from dlc.training.chunks import Chunks
from dlc.training.run_folder import RunFolder
from dlc.training.setup import Setup, Timed


@fast_dataclass
class Progress:
    """The plain values that a checkpoint keeps beside the arrays.

    Args:
        epoch: the epochs done.
        best_epoch: the epoch of the best weights.
        best_step: the steps done at its end.
        best_value: its monitored value; None before the first epoch with a value.
        data: the checksum of the records.
        rate: the factor by which a plateau has scaled the learning rate.
        plateau_best: the best value that the plateau has seen.
        plateau_waited: the epochs since then.
        plateau_cooling: the epochs in which it waits after a change.
        thresholds: those of the newest evaluation, by target, if they are fitted.
        recovery: the values of `recovery.Memory`.
        stop: the values of `Stop` when a callback has ended the run; a checkpoint of any other run has none.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_step: int = 0
    best_value: float | None = None
    data: int = 0
    rate: float = 1.0
    plateau_best: float | None = None
    plateau_waited: int = 0
    plateau_cooling: int = 0
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    recovery: Mapping[str, Any] = field(default_factory=dict)
    stop: Mapping[str, Any] | None = None

    def plain(self, recovery: Mapping[str, Any]) -> dict[str, Any]:
        """The values as a checkpoint keeps them, with those of the recovery."""
        values = {**vars(self), "recovery": recovery}
        return {name: value for name, value in values.items() if name not in ("stop", "thresholds") or value}


@fast_dataclass(frozen=True)
class Stop:
    """A run that a callback has ended.

    Args:
        callback: the callback's name in the spec.
        options: the callback with its options.
        reason: why it ended the run.
        epochs: the epochs that the spec asked for.
    """

    callback: str
    options: str
    reason: str
    epochs: int

    def holds(self, plan: Plan) -> bool:
        """Whether the run stays ended: it is asked for no more epochs, and has that callback with those options."""
        known = any(repr(callback) == self.options for callback in plan.train.callbacks)
        return known and plan.train.epochs <= self.epochs


class ActiveRun:
    """A run in progress. The loop and its callbacks read and change it.

    Args:
        setup: what the run computes with.
        folder: the run folder, or None for a run that is not kept.
        note: prints a note to the user.
        chunks: runs and measures chunks of steps.
        timed: counts the time of a block for a part of the run.
    """

    def __init__(
        self, setup: Setup, folder: RunFolder | None, note: Callable[[str], None], chunks: Chunks, timed: Timed
    ) -> None:
        self.setup, self.folder, self.note, self.chunks, self.timed = setup, folder, note, chunks, timed
        self.progress = Progress(data=setup.data.fingerprint if folder is not None else 0)
        self.history: list[dict[str, float]] = []  # the lines of `metrics.jsonl`
        self.best: dict[str, Any] | None = None  # the best weights
        self.epoch = 0  # the current epoch, from 1
        self.kept_epoch = 0  # the epochs done at the newest checkpoint
        self.step = 0  # steps done
        self.values: dict[str, float] = {}  # loss and metrics of the epoch so far
        self.ending = False  # whether the run ends after this epoch
        self.failure: SpecError | None = None  # raised when the state is saved
        self.status: Status = "training"
        self._state: TrainState | None = None
        self._noted: set[str] = set()

    @property
    def state(self) -> TrainState:
        """The state of training."""
        assert self._state is not None, "the loop sets the state when it begins"
        return self._state

    @state.setter
    def state(self, state: TrainState) -> None:
        self._state = state

    @property
    def epoch_end(self) -> int:
        """The steps done at the end of the current epoch."""
        return self.setup.sampler.steps(self.epoch)

    @property
    def figures(self) -> dict[str, float]:
        """Loss and metrics of the epoch so far, NaN for those that are not finite."""
        return finite(self.values)

    def note_once(self, what: str, text: str) -> None:
        """Print a note, if it is the first about something."""
        if what not in self._noted:
            self._noted.add(what)
            self.note(text)

    def decide(self, thresholds: Mapping[str, Any]) -> None:
        """Take thresholds, float32 (labels,) by target, for all metrics from here on."""
        self.progress.thresholds = {name: np.asarray(values).tolist() for name, values in thresholds.items()}
        found = {name: np.asarray(values, np.float32) for name, values in self.progress.thresholds.items()}
        self.chunks.stats = with_thresholds(self.setup.stats, found)

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        optimizer = need_trainable(self.setup.plan).optimizer
        return rate_at(optimizer.learning_rate, self.setup.horizon, step) * self.progress.rate

    def test_record(self, test: Mapping[str, float]) -> dict[str, float]:
        """The line of `metrics.jsonl` for the metrics of the test split; empty without one."""
        if not test:
            return {}
        named = {f"test/{name}": value for name, value in test.items()}
        return {"epoch": self.progress.best_epoch, "step": self.progress.best_step, **named}

    def go_back(self, state: TrainState) -> None:
        """Go on from another state, with nothing known of the epoch."""
        self.state, self.step = state, int(state.step)
        self.values = statistics.values(self.setup.plan, {statistics.COUNT: 0})


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The values, NaN for those that are not finite."""
    return {name: value if math.isfinite(value) else math.nan for name, value in values.items()}
