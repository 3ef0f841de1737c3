"""reduce_on_plateau: a rate that falls when a validated metric stops improving."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from dlc.components.schedules.schedule import Horizon, Rate, Run, Schedule
from dlc.language.options import OptionError, main, option
from dlc.support.lazy import optax


class Plateau(NamedTuple):
    """The state of a monitored value: plain numbers, for a checkpoint.

    Args:
        scale: factor of the schedule's rate.
        best: the best value; None before the first.
        waited: epochs without improvement.
        cooling: remaining epochs that are not counted.
    """

    scale: float = 1.0
    best: float | None = None
    waited: int = 0
    cooling: int = 0


class ReduceOnPlateau(Schedule):
    """A constant rate, multiplied by `factor` whenever a monitored value has not improved for `patience` epochs.

    The rules are those of Keras' ReduceLROnPlateau: an improvement must exceed `min_delta`; after a change
    `cooldown` epochs are not counted; the rate never falls below `min_value`. PyTorch's waits one epoch longer, and its
    threshold is a share of the best value.
    """

    word = "reduce_on_plateau"
    plateau = True
    value: float = main(gt=0, description="the initial rate, after the warm-up")
    factor: float = option(0.1, gt=0, lt=1, description="factor of the rate at each reduction")
    patience: int = option(3, ge=1, description="epochs without improvement")
    cooldown: int = option(0, ge=0, description="epochs after a change that are not counted")
    min_value: float = option(0.0, ge=0, description="the lowest rate")
    min_delta: float = option(1e-4, ge=0, description="smallest change that counts as an improvement")
    monitor: str | None = option(None, description="SPLIT/METRIC; default: that of `train.monitor`")
    examples = (
        "reduce_on_plateau: 1e-3",
        "reduce_on_plateau: {value: 0.1, factor: 0.5, patience: 5, min_value: 1e-4, monitor: validation/loss}",
    )

    def wrong(self) -> Iterator[OptionError]:
        """A lowest rate that is not below the initial rate."""
        if self.min_value >= self.value:
            found, expected = f"`min_value` {self.min_value:g}, `value` {self.value:g}", "a number below `value`"
            yield OptionError(("min_value",), "DLC303", "the rate could never be lowered", found, expected)

    def late(self, run: Run) -> Iterator[OptionError]:
        """A patience that reaches beyond the last epoch."""
        yield from super().late(run)
        if self.patience >= run.epochs:
            message, hint = f"the rate can't be lowered within {run.epochs:g} epochs", "lower `patience`"
            given = "" if "patience" in self.model_fields_set else " (its default)"
            found, expected = f"`patience` {self.patience}{given}", f"below {run.epochs:g}"
            yield OptionError(("patience",), "DLC303", message, found, expected, hint)

    def first(self) -> float:
        """The value."""
        return self.value

    def monitored(self) -> str | None:
        """What `monitor` names."""
        return self.monitor

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """The value: the training loop multiplies updates by the scale of `after`."""
        rate: Rate = optax.constant_schedule(self.value)
        return rate

    def after(self, state: Plateau, value: float, higher_is_better: bool = False) -> Plateau:
        """The state after an epoch that ended with a monitored value.

        >>> slow = ReduceOnPlateau(value=0.1, patience=2, factor=0.5)
        >>> state = Plateau()
        >>> for loss in (1.0, 0.8, 0.8, 0.8):
        ...     state = slow.after(state, loss)
        >>> state
        Plateau(scale=0.5, best=0.8, waited=0, cooling=0)
        """
        cooling = max(state.cooling - 1, 0)
        waited = 0 if state.cooling else state.waited
        gain = 0.0 if state.best is None else value - state.best if higher_is_better else state.best - value
        if math.isfinite(value) and (state.best is None or gain > self.min_delta):
            return Plateau(state.scale, value, 0, cooling)
        if cooling:
            return Plateau(state.scale, state.best, waited, cooling)
        lowest = self.min_value / self.value
        if waited + 1 < self.patience or state.scale <= lowest:
            return Plateau(state.scale, state.best, waited + 1, 0)
        return Plateau(max(state.scale * self.factor, lowest), state.best, 0, self.cooldown)
