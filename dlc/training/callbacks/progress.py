"""What a training tells while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from dlc.support.fast_dataclass import fast_dataclass


@fast_dataclass(frozen=True)
class RunInfo:
    """What a run is about to do.

    Args:
        name: the spec's name.
        folder: the run folder, or None.
        epochs: epochs in all.
        steps: steps in all.
        batch_size: examples a step.
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
        turns: steps of the chunk that ended here.
        metrics: loss and metrics over the epoch so far, by name.
        rate: examples a second.
        waiting: share of the time in which the device waited for records.
    """

    epoch: int
    step: int
    iterations: int
    metrics: Mapping[str, float]
    rate: float
    waiting: float = 0.0


class Reporter(Protocol):
    """Whoever wants to know. Calls come from the training thread and should be short."""

    def begin(self, info: RunInfo) -> None:
        """The run is about to compile."""

    def moment(self, moment: Moment) -> None:
        """A chunk of steps is done."""

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """An epoch is done: the line of `metrics.jsonl`, the time it took, whether it is the best so far."""

    def note(self, text: str) -> None:
        """Something worth saying, such as a damaged checkpoint."""

    def end(self) -> None:
        """Nothing more will come; also called when the run fails."""


class Silent:
    """Says nothing."""

    def begin(self, info: RunInfo) -> None:
        """Say nothing."""

    def moment(self, moment: Moment) -> None:
        """Say nothing."""

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""
