"""Optimizers that scale each weight's step by its squared gradients: adagrad, adadelta, rmsprop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlc.components.optimizers import rules
from dlc.components.optimizers.optimizer import Momentum, Nesterov, Optimizer, needs_momentum, rate
from dlc.components.schedules.schedule import Horizon, LearningRate, rate_of
from dlc.language.options import OptionError, option
from dlc.support.lazy import optax

if TYPE_CHECKING:
    import optax as optax_types


class Adagrad(Optimizer):
    """w - rate * g / sqrt(s + eps), s being the sum of all squared gradients.

    The steps only shrink, which suits sparse gradients (Duchi et al. 2011, jmlr.org/papers/v12/duchi11a.html). The
    defaults are those of Keras and optax; PyTorch's `Adagrad` is `{initial_accumulator_value: 0, eps: 1e-10,
    eps_in_sqrt: false}`.
    """

    word = "adagrad"
    copies = 1
    learning_rate: LearningRate = rate(0.01)
    initial_accumulator_value: float = option(0.1, ge=0, description="the sum before the first step")
    eps: float = option(1e-7, gt=0, description="added to the sum, under its root")
    eps_in_sqrt: bool = option(True, description="add eps under the root; `false` adds it to the root, as in PyTorch")
    examples = ("adagrad: 0.1", "adagrad: {learning_rate: 0.1, initial_accumulator_value: 0}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adagrad`, unless eps is added to the root."""
        rate, initial = rate_of(self.learning_rate, horizon), self.initial_accumulator_value
        if not self.eps_in_sqrt:
            return optax.chain(rules.scale_by_rss(initial, self.eps), optax.scale_by_learning_rate(rate))
        return optax.adagrad(rate, initial, self.eps)


class Adadelta(Optimizer):
    """w - rate * g * sqrt(d + eps) / sqrt(s + eps), s and d being running means of squared gradients and steps.

    Its steps have the weights' unit, so the rate is 1 (Zeiler 2012, arXiv:1212.5701). `weight_decay` adds weight_decay
    * w to the gradient.
    """

    word = "adadelta"
    copies = 2
    learning_rate: LearningRate = rate(1.0)
    rho: float = option(0.9, ge=0, lt=1, description="decay of both means")
    eps: float = option(1e-6, gt=0, description="added to both means, under their roots")
    weight_decay: float = option(0.0, ge=0, description="this share of the weight is added to its gradient")
    examples = ("adadelta", "adadelta: {rho: 0.95, eps: 1e-4}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adadelta`."""
        return optax.adadelta(rate_of(self.learning_rate, horizon), self.rho, self.eps, self.weight_decay)


class RmsProp(Optimizer):
    """w - rate * g / sqrt(v + eps), v being the running mean of squared gradients (Hinton 2012, lecture 6e).

    `centered` uses their variance instead (Graves 2013, arXiv:1308.0850); `momentum` accumulates these steps, which
    contain the rate, in a velocity. PyTorch's `RMSprop` is `{decay: 0.99, eps_in_sqrt: false}`; its velocity is
    multiplied by the rate afterwards, which differs while the rate changes.
    """

    word = "rmsprop"
    copies = 1
    learning_rate: LearningRate = rate(1e-3)
    decay: float = option(0.9, ge=0, lt=1, description="decay of the mean of squares")
    eps: float = option(1e-8, gt=0, description="added to the mean, under its root")
    initial_scale: float = option(0.0, ge=0, description="the mean before the first step")
    eps_in_sqrt: bool = option(True, description="add eps under the root; `false` adds it to the root, as in PyTorch")
    centered: bool = option(False, description="scale by the variance of gradients")
    momentum: Momentum = option(0.0)
    nesterov: Nesterov = option(False)
    bias_correction: bool = option(False, description="divide the mean by 1 - decay^t")
    examples = ("rmsprop", "rmsprop: {learning_rate: 1e-3, decay: 0.95, centered: true, momentum: 0.9}")

    def without_effect(self) -> Iterator[OptionError]:
        """Nesterov's step without momentum is the plain step."""
        return needs_momentum(self.nesterov, self.momentum)

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.rmsprop`."""
        return optax.rmsprop(
            rate_of(self.learning_rate, horizon),
            self.decay,
            self.eps,
            self.initial_scale,
            eps_in_sqrt=self.eps_in_sqrt,
            centered=self.centered,
            momentum=self.momentum or None,
            nesterov=self.nesterov,
            bias_correction=self.bias_correction,
        )
