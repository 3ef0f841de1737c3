"""Notes about values that training can't use: metrics without a value, gradients that overflow."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from dlc.backend import loss_scale
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.loop_callback import Epoch, LoopCallback


class Warnings(LoopCallback):
    """Notes once of each metric that it has no value, and once that no loss scale is small enough for float16.

    Args:
        watched: the monitored values.
    """

    def __init__(self, watched: Collection[str | None]) -> None:
        self.watched = watched
        self.noted: set[str] = set()

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Look at the loss scale and the metrics."""
        scale = run.state.scale
        if scale and "loss scale" not in self.noted and float(scale["loss"].scale) <= loss_scale.LEAST:
            self.noted.add("loss scale")
            run.note("gradients overflow in float16 at any loss scale; bfloat16 has the range of float32")
        self._note_undefined(run, epoch.record)

    def _note_undefined(self, run: ActiveRun, record: Mapping[str, float]) -> None:
        for name, value in record.items():
            if math.isnan(value) and name not in self.noted:
                self.noted.add(name)
                after = "; it is monitored, and counts as no improvement" if name in self.watched else ""
                run.note(f"`{name}` has no value in epoch {run.epoch}: it is undefined{after}")
