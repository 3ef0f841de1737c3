"""Optimizers: optax's, by name. Options are called as in optax."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import model_validator

from dlc.lazy import optax
from dlc.objectives.schedules import Horizon, LearningRate, rate_of
from dlc.options import Fault, Options, main, option, reject

if TYPE_CHECKING:
    import optax as optax_types


class Optimizer(Options):
    """A rule that turns gradients into updates."""

    learning_rate: LearningRate

    @model_validator(mode="after")
    def _check(self) -> Optimizer:
        faults = list(self.without_effect())
        if faults:
            raise reject(*faults)
        return self

    def without_effect(self) -> Iterator[Fault]:
        """Settings that would do nothing."""
        yield from ()

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """The optax transformation for a run of this length."""
        raise NotImplementedError


class Sgd(Optimizer):
    """Stochastic gradient descent: w - rate * g; with momentum m, the velocity v = m * v + g is followed instead.

    `nesterov` looks ahead: w - rate * (g + m * v) (Sutskever et al. 2013, proceedings.mlr.press/v28/sutskever13).
    """

    word = "sgd"
    learning_rate: LearningRate = main(0.01, description="step size, a number or a schedule")
    momentum: float = option(0.0, ge=0, lt=1, description="share of the velocity that a step keeps")
    nesterov: bool = option(False, description="use the gradient of the place ahead")
    examples = ("sgd: 0.1", "sgd: {learning_rate: {cosine: 0.1}, momentum: 0.9, nesterov: true}")

    def without_effect(self) -> Iterator[Fault]:
        """Nesterov's step without momentum is the plain one."""
        if self.nesterov and not self.momentum:
            hint = "add `momentum: 0.9`, or remove `nesterov`"
            yield Fault(("nesterov",), "DLC303", "`nesterov` has no effect without `momentum`", hint=hint)

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.sgd`."""
        return optax.sgd(rate_of(self.learning_rate, horizon), self.momentum or None, self.nesterov)


class Adam(Optimizer):
    """Adam: steps scaled by running moments of the gradient (Kingma and Ba 2014, arXiv:1412.6980)."""

    word = "adam"
    learning_rate: LearningRate = main(1e-3, description="step size, a number or a schedule")
    b1: float = option(0.9, ge=0, lt=1, description="decay of the first moment")
    b2: float = option(0.999, ge=0, lt=1, description="decay of the second moment")
    eps: float = option(1e-8, gt=0, description="added to the root of the second moment")
    nesterov: bool = option(False, description="use Nesterov momentum (NAdam)")
    examples = ("adam", "adam: {learning_rate: 1e-3, b1: 0.9}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adam`."""
        return optax.adam(rate_of(self.learning_rate, horizon), self.b1, self.b2, self.eps, nesterov=self.nesterov)


class AdamW(Optimizer):
    """Adam with decoupled weight decay on every weight (Loshchilov and Hutter 2017, arXiv:1711.05101)."""

    word = "adamw"
    learning_rate: LearningRate = main(1e-3, description="step size, a number or a schedule")
    b1: float = option(0.9, ge=0, lt=1, description="decay of the first moment")
    b2: float = option(0.999, ge=0, lt=1, description="decay of the second moment")
    eps: float = option(1e-8, gt=0, description="added to the root of the second moment")
    weight_decay: float = option(1e-4, gt=0, description="share of a weight that a step takes off, times the rate")
    nesterov: bool = option(False, description="use Nesterov momentum")
    examples = ("adamw", "adamw: {learning_rate: {cosine: 3e-4}, weight_decay: 0.01}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adamw`."""
        rate = rate_of(self.learning_rate, horizon)
        return optax.adamw(rate, self.b1, self.b2, self.eps, weight_decay=self.weight_decay, nesterov=self.nesterov)
