"""Early stopping: how long a run has gone without an improvement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dlc.diagnostics import plural
from dlc.frontend.plan import Plan
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.loop_callback import Epoch, LoopCallback
from dlc.training.evaluation import better, monitored


class Stopping:
    """The state of `train.early_stopping` after the epochs so far.

    It follows only from the epochs' records. So settings that change when a run resumes apply as if they had been set
    from the first epoch.

    Args:
        plan: the spec; without `early_stopping` a run is never due to stop.
        records: the epochs so far.
    """

    def __init__(self, plan: Plan, records: Iterable[Mapping[str, float]] = ()) -> None:
        self.options = plan.train.early_stopping
        self.monitor, self._higher = monitored(plan, self.options.monitor if self.options is not None else None)
        self._best: float | None = None
        self.stale = 0  # epochs without improvement
        for record in records:
            self.see(record)

    def see(self, record: Mapping[str, float]) -> None:
        """An epoch is done."""
        if self.options is None:
            return
        if better(record[self.monitor], self._best, self._higher, self.options.min_delta):
            self._best, self.stale = record[self.monitor], 0
        else:
            self.stale += 1

    @property
    def due(self) -> bool:
        """Whether the run is to stop."""
        return self.options is not None and self.stale >= self.options.patience


class EarlyStopping(LoopCallback):
    """Ends the run when the value of `train.early_stopping` has not improved for `patience` epochs.

    Args:
        plan: the spec's plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.stopping = Stopping(plan)

    def on_begin(self, run: ActiveRun) -> None:
        """Look at the epochs from before a resume."""
        for record in run.history:
            self.stopping.see(record)
        if self.stopping.due:
            run.ending = True
            name, stale = self.stopping.monitor, self.stopping.stale
            run.note(f"{name} has not improved in {plural(stale, 'epoch')}: early stopping ends the run here")

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Look at an epoch."""
        self.stopping.see(epoch.record)
        run.ending = run.ending or self.stopping.due
