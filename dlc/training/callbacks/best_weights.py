"""The best weights so far, by the monitored value."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from dlc.frontend.decisions import kept_thresholds
from dlc.frontend.plan import Plan
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.loop_callback import Epoch, LoopCallback
from dlc.training.checkpoint import Checkpoint
from dlc.training.evaluation import better, monitored


class BestWeights(LoopCallback):
    """Keeps the weights of the epoch with the best monitored value. Checkpointing writes them.

    Args:
        plan: the spec's plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.name = plan.name
        self.monitor, self.higher = monitored(plan)
        self.improved = False  # whether the newest epoch is the best so far

    def on_resume(self, run: ActiveRun, checkpoint: Checkpoint) -> None:
        """Restore the weights: those in the folder may be of an epoch that is not done yet, or damaged."""
        if checkpoint.best is not None:
            run.best = dict(checkpoint.best)
            assert run.folder is not None, "only a run in a folder resumes"
            run.folder.save_weights(run.best, self.metadata(run))

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Compare the epoch with the best so far. Until one has a value, the newest weights are kept."""
        progress, value = run.progress, epoch.record[self.monitor]
        improved = better(value, progress.best_value, self.higher)
        if improved:
            progress.best_value = value
        self.improved = improved or progress.best_value is None
        if self.improved:
            progress.best_epoch, progress.best_step = run.epoch, run.step
            weights = run.setup.program.to_flat(jax.tree.map(np.array, epoch.variables))
            run.best = {**weights, **kept_thresholds(progress.thresholds)}

    def metadata(self, run: ActiveRun) -> dict[str, Any]:
        """The metadata of the weights file."""
        progress = run.progress
        return {
            "spec": self.name,
            "epoch": str(progress.best_epoch),
            "step": str(progress.best_step),
            "monitor": self.monitor,
            "value": repr(progress.best_value),
        }
