"""What the training loop calls: the hooks of recovery, checkpointing, progress and the like.

A user's callback has a narrower interface, `dlc.components.callbacks.callback.Callback`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlc.support.fast_dataclass import fast_dataclass
from dlc.training.active_run import ActiveRun
from dlc.training.checkpoint import Checkpoint


@fast_dataclass(frozen=True)
class Chunk:
    """A chunk of steps that is done.

    Args:
        iterations: its steps.
        seconds: how long it took, including the time to fetch its sums.
        first: whether it was the first of this process, which compiles.
        sums: the statistics of the epoch so far, on the host.
    """

    iterations: int
    seconds: float
    first: bool
    sums: Mapping[str, Any]


@fast_dataclass(frozen=True)
class Evaluation:
    """An evaluation of the validation split.

    Args:
        variables: the weights that were evaluated: those of training, or their average.
        values: loss and metrics; empty without a validation split.
    """

    variables: Any
    values: Mapping[str, float]


@fast_dataclass(frozen=True)
class Epoch:
    """An epoch that is done.

    Args:
        record: its line of `metrics.jsonl`.
        variables: the weights that were evaluated.
        began: when it began, on `time.perf_counter`.
    """

    record: dict[str, float]
    variables: Any
    began: float


class LoopCallback:
    """Hooks of the training loop. They are called in the order of the callbacks, and do nothing by default."""

    def on_resume(self, run: ActiveRun, checkpoint: Checkpoint) -> None:
        """The run continues from a checkpoint. Its `progress` is restored."""

    def on_begin(self, run: ActiveRun) -> None:
        """The loop is about to begin: `run.state` is the state before the next step."""

    def on_chunk(self, run: ActiveRun, chunk: Chunk) -> None:
        """Some steps are done. May make the run go back to another state."""

    def on_evaluation(self, run: ActiveRun, evaluation: Evaluation) -> None:
        """The steps of an epoch are done and evaluated. May make the run go back, to do the rest of the epoch again."""

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """An epoch is done."""

    def on_interrupt(self, run: ActiveRun) -> None:
        """The run is about to stop where it stands: within an epoch, between its steps and its evaluation, or after."""

    def on_finish(self, run: ActiveRun, test: Mapping[str, float]) -> None:
        """The last epoch is done, and the best weights were evaluated on the test split: loss and metrics, if any."""

    def close(self) -> None:
        """The loop is over, whatever ended it."""
