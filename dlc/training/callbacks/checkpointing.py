"""When checkpoints are written, and what they hold."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from dlc.data.batching import Batching
from dlc.data.dataset import Sampler
from dlc.diagnostics import SpecError
from dlc.frontend.plan import Plan
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.files import Log
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.best_weights import BestWeights
from dlc.training.callbacks.loop_callback import Epoch, LoopCallback
from dlc.training.callbacks.recovery import Recovery
from dlc.training.checkpoint import Checkpoint, Policy, Writer, flatten_state


class Checkpointing(LoopCallback):
    """Writes a checkpoint every `checkpoint_every` epochs, at the end, and when the run stops.

    A checkpoint that is due less than `checkpoint_seconds` after the last one is left out: with short epochs, writing
    would take most of the time. A run that is not kept writes none, but its recovery gets the states that it may go
    back to.

    Args:
        recovery: what finds a state to go back to.
        best: the best weights.
        writer: writes checkpoints on a thread; None for a run that is not kept.
        log: the log of metrics, whose length a checkpoint holds.
        identity: the digest of what decides the run's bits.
    """

    clock = staticmethod(time.monotonic)

    def __init__(
        self, recovery: Recovery, best: BestWeights, writer: Writer | None, log: Log | None, identity: str
    ) -> None:
        self.recovery, self.best, self.writer, self.log, self.identity = recovery, best, writer, log, identity
        self.run: ActiveRun | None = None
        self.submitted = (-1, -1)  # steps and epochs done at the newest checkpoint
        self.at = -math.inf  # when it was submitted
        self.written: dict[str, Any] | None = None  # the best weights that the folder holds, or soon will

    def on_resume(self, run: ActiveRun, checkpoint: Checkpoint) -> None:
        """What the checkpoint holds is written already."""
        self.submitted = (checkpoint.step, run.progress.epoch)
        self.at, run.kept_epoch = self.clock(), run.progress.epoch
        self.written = run.best

    def on_begin(self, run: ActiveRun) -> None:
        """Remember the run, whose best weights are written whatever ends it."""
        self.run = run

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Write a checkpoint if one is due, at the run's end, or of an epoch that is to be kept."""
        train = run.setup.plan.train
        due = run.epoch % train.checkpoint_every == 0
        over = run.step >= run.setup.horizon.steps or run.ending
        every = train.keep_checkpoints.every
        lasting = every is not None and run.epoch % every == 0
        wanted = over or lasting or (self.best.improved and train.keep_checkpoints.best)
        early = self.clock() - self.at < train.checkpoint_seconds
        if (due and not early) or (wanted and self.writer is not None):
            self._submit(run, due)
        elif due:
            self.recovery.passed(run.state, run.step)

    def on_interrupt(self, run: ActiveRun) -> None:
        """Write a checkpoint of the state as it is: the sums over the epoch are part of it."""
        if self.writer is not None:
            self._submit(run, due=False)
            self.writer.flush()

    def on_finish(self, run: ActiveRun, test: Mapping[str, float]) -> None:
        """Wait until all is written."""
        if self.writer is not None:
            with run.timed("checkpoints"):
                self.writer.flush()

    def close(self) -> None:
        """Write what waits, and best weights that are newer than the last checkpoint."""
        if self.writer is None:
            return
        self.writer.close()
        run = self.run
        if run is not None and run.folder is not None and run.best is not None and run.best is not self.written:
            with suppress(SpecError):  # then that they can't be written is what ended the run
                run.folder.save_weights(run.best, self.best.metadata(run))

    def _submit(self, run: ActiveRun, due: bool) -> None:
        """Submit a checkpoint. A run that diverges goes back only to those that were due."""
        if self.submitted == (run.step, run.progress.epoch):
            return
        self.submitted, self.at = (run.step, run.progress.epoch), self.clock()
        with run.timed("checkpoints"):
            arrays = flatten_state(run.state)
            good = self.recovery.beside(arrays, run.step, due)
            if self.writer is None:
                return
            assert self.log is not None, "a run that writes checkpoints has a log"
            progress = run.progress.plain(asdict(self.recovery.memory))
            fresh = run.best is not None and run.best is not self.written
            weights = (run.best, self.best.metadata(run)) if run.best is not None and fresh else None
            self.written = run.best
            checkpoint = Checkpoint(run.step, arrays, progress, self.log.mark, run.best, self.identity, good)
            self.writer.submit(checkpoint, weights)
            run.kept_epoch = run.progress.epoch


def policy_of(plan: Plan, sampler: Sampler) -> Policy:
    """Which checkpoints of a run are kept."""
    keep = plan.train.keep_checkpoints
    return Policy(keep.last, keep.best, EpochEnds(sampler.batching, keep.every) if keep.every is not None else ())


@fast_dataclass(frozen=True)
class EpochEnds:
    """The steps at the ends of every so many epochs, of however many epochs.

    Args:
        batching: the number of batches of an epoch.
        every: epochs between two of them.

    >>> steps = EpochEnds(Batching(examples=10, batch_size=4), 2)
    >>> [step for step in range(16) if step in steps]
    [5, 10, 15]
    """

    batching: Batching
    every: int

    def __contains__(self, step: object) -> bool:
        examples, size = self.batching.examples, self.batching.batch_size
        if not isinstance(step, int) or step < 1:
            return False
        newest = step * size // examples // self.every * self.every  # the last such epoch that is over by then
        return newest > 0 and self.batching.steps(newest) == step
