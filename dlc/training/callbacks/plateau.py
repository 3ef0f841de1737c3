"""A learning rate that is lowered when a monitored value stops improving: the schedule `reduce_on_plateau`."""

from __future__ import annotations

import jax
import numpy as np

from dlc.components.schedules.plateau import Plateau, ReduceOnPlateau
from dlc.components.schedules.schedule import rate_at
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.loop_callback import Epoch, LoopCallback
from dlc.training.callbacks.recovery import Recovery
from dlc.training.evaluation import monitored


class PlateauRate(LoopCallback):
    """Sets the factor of the learning rate that the schedule finds after each epoch.

    Args:
        schedule: the schedule.
        recovery: needs each change, since it may repeat steps.
    """

    def __init__(self, schedule: ReduceOnPlateau, recovery: Recovery) -> None:
        self.schedule, self.recovery = schedule, recovery

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Lower the rate if the monitored value has stopped improving."""
        progress, step = run.progress, run.step
        name, higher = monitored(run.setup.plan, self.schedule.monitored())
        known = Plateau(progress.rate, progress.plateau_best, progress.plateau_waited, progress.plateau_cooling)
        found = self.schedule.after(known, epoch.record[name], higher)
        if found.scale != progress.rate:
            rate = rate_at(self.schedule, run.setup.horizon, step) * found.scale
            run.note(f"{name} has stopped improving: the learning rate is {rate:g} from here on")
            run.state = run.state._replace(rate={"factor": jax.device_put(np.float32(found.scale))})
            self.recovery.lowered(step, found.scale)
        progress.rate, progress.plateau_best, progress.plateau_waited, progress.plateau_cooling = found
