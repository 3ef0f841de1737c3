"""The lines of `metrics.jsonl`, one for each epoch."""

from __future__ import annotations

from contextlib import suppress

from dlc.diagnostics import SpecError
from dlc.support.files import Log
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.loop_callback import Epoch, LoopCallback
from dlc.training.checkpoint import Checkpoint


class History(LoopCallback):
    """Keeps each epoch's record, and appends it to the log of a run that is kept.

    Args:
        log: the log, or None.
    """

    def __init__(self, log: Log | None) -> None:
        self.log = log

    def on_resume(self, run: ActiveRun, checkpoint: Checkpoint) -> None:
        """Cut off what was written after the checkpoint."""
        assert self.log is not None, "only a run in a folder resumes"
        run.history = self.log.rewind(checkpoint.metrics)

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Add the epoch."""
        run.history.append(epoch.record)
        if self.log is not None:
            self.log.append(epoch.record)

    def close(self) -> None:
        """Write the lines that wait. What could not be written is what ended the run."""
        if self.log is not None:
            with suppress(SpecError):
                self.log.flush()
