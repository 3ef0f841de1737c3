"""Optimizers that average their iterates: schedule_free_adamw, schedule_free_sgd, madgrad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.components.optimizers.optimizer import B2, Eps, Optimizer, WeightDecay, rate
from dlc.components.schedules.schedule import Horizon, LearningRate, rate_of
from dlc.language.options import option
from dlc.support.lazy import optax

if TYPE_CHECKING:
    import optax as optax_types

_RATE = "step size, a number or a schedule that does not decrease: `constant: {value: 2.5e-3, warmup: 5%}`"
_B1 = "weight of the average in the point where gradients are computed"
_POWER = "weight of an iterate in the average: the largest rate so far to this power"


class ScheduleFreeAdamW(Optimizer):
    """adamw whose iterates z are averaged to x, with gradients computed in between, at y = (1 - b1) * z + b1 * x.

    It needs no decreasing rate and no run length (Defazio et al. 2024, arXiv:2405.15682). The trained weights are y;
    evaluation, predictions and exports use x.
    """

    word = "schedule_free_adamw"
    learning_rate: LearningRate = rate(2.5e-3, _RATE)
    b1: float = option(0.9, gt=0, lt=1, description=_B1)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    weight_decay: WeightDecay = option(0.0)
    weight_lr_power: float = option(2.0, ge=0, description=_POWER)
    examples = (
        "schedule_free_adamw",
        "schedule_free_adamw: {learning_rate: {constant: {value: 2.5e-3, warmup: 5%}}, weight_decay: 0.01}",
    )

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.contrib.schedule_free_adamw`."""
        return optax.contrib.schedule_free_adamw(
            rate_of(self.learning_rate, horizon),
            b1=self.b1,
            b2=self.b2,
            eps=self.eps,
            weight_decay=self.weight_decay,
            weight_lr_power=self.weight_lr_power,
        )

    def evaluated(self, state: optax_types.OptState, params: Any) -> Any:
        """The average x."""
        return optax.contrib.schedule_free_eval_params(state, params)


class ScheduleFreeSgd(Optimizer):
    """sgd whose iterates z are averaged to x, with gradients computed in between, at y = (1 - b1) * z + b1 * x.

    It needs no decreasing rate and no run length (Defazio et al. 2024, arXiv:2405.15682). The trained weights are y;
    evaluation, predictions and exports use x. `weight_decay` adds weight_decay * y to the gradient.
    """

    word = "schedule_free_sgd"
    learning_rate: LearningRate = rate(1.0, _RATE)
    b1: float = option(0.9, gt=0, lt=1, description=_B1)
    weight_decay: float = option(0.0, ge=0, description="this share of the weight is added to its gradient")
    weight_lr_power: float = option(2.0, ge=0, description=_POWER)
    examples = ("schedule_free_sgd: 0.5", "schedule_free_sgd: {learning_rate: {constant: {value: 1.0, warmup: 5%}}}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.contrib.schedule_free_sgd`."""
        return optax.contrib.schedule_free_sgd(
            rate_of(self.learning_rate, horizon),
            b1=self.b1,
            weight_decay=self.weight_decay or None,
            weight_lr_power=self.weight_lr_power,
        )

    def evaluated(self, state: optax_types.OptState, params: Any) -> Any:
        """The average x."""
        return optax.contrib.schedule_free_eval_params(state, params)


class MadGrad(Optimizer):
    """Dual averaging: w0 - s / (cbrt(v) + eps), s and v being sums of gradients and their squares, weighted by sqrt(t).

    A step moves the weights the share 1 - momentum of the way there (Defazio and Jelassi 2021, arXiv:2101.11075).
    """

    word = "madgrad"
    learning_rate: LearningRate = rate(0.01)
    momentum: float = option(0.9, ge=0, lt=1, description="share of the way that a step does not move")
    weight_decay: float = option(0.0, ge=0, description="this share of the weight is added to its gradient")
    eps: float = option(1e-6, gt=0, description="added to the cube root and to the rate")
    examples = ("madgrad", "madgrad: {learning_rate: 1e-3, momentum: 0.95}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.contrib.madgrad`."""
        rate = rate_of(self.learning_rate, horizon)
        return optax.contrib.madgrad(rate, self.momentum, self.weight_decay, self.eps)
