"""Optimizers that scale each weight's step by norms, for large batches: lamb, lars, novograd, fromage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlc.components.optimizers.optimizer import (
    B1,
    B2,
    Eps,
    EpsRoot,
    Momentum,
    Nesterov,
    Optimizer,
    WeightDecay,
    needs_momentum,
    rate,
)
from dlc.components.schedules.schedule import Horizon, LearningRate, rate_of
from dlc.language.options import OptionError, option
from dlc.support.lazy import optax

if TYPE_CHECKING:
    import optax as optax_types


class Lamb(Optimizer):
    """adamw with steps u scaled to the weight's norm: w - rate * u * |w| / |u| (You et al. 2019, arXiv:1904.00962)."""

    word = "lamb"
    copies = 2
    per_weight = True
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-6)
    eps_root: EpsRoot = option(0.0)
    weight_decay: WeightDecay = option(0.0)
    examples = ("lamb", "lamb: {learning_rate: {linear: {value: 2e-3, warmup: 10%}}, weight_decay: 0.01}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.lamb`."""
        rate = rate_of(self.learning_rate, horizon)
        return optax.lamb(rate, self.b1, self.b2, self.eps, self.eps_root, self.weight_decay)


class Lars(Optimizer):
    """sgd with momentum whose gradient is scaled to trust_coefficient * |w| / |g| (You et al. 2017, arXiv:1708.03888).

    `weight_decay` adds weight_decay * w to the gradient first; the publication divides by |g| + weight_decay * |w|
    instead of the norm of that sum. The rate is larger than sgd's, by about 1 / trust_coefficient times |g| / |w|.
    """

    word = "lars"
    per_weight = True
    learning_rate: LearningRate = rate(1.0)
    weight_decay: float = option(0.0, ge=0, description="this share of the weight is added to its gradient")
    trust_coefficient: float = option(0.001, gt=0, description="share of its norm that a weight moves at a rate of 1")
    eps: float = option(0.0, ge=0, description="added to the gradient's norm")
    momentum: Momentum = option(0.9)
    nesterov: Nesterov = option(False)
    examples = ("lars: 1.0", "lars: {learning_rate: {cosine: {peak: 5.0, warmup: 5%}}, weight_decay: 1e-4}")

    def without_effect(self) -> Iterator[OptionError]:
        """Nesterov's step without momentum is the plain step."""
        return needs_momentum(self.nesterov, self.momentum)

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.lars`."""
        return optax.lars(
            rate_of(self.learning_rate, horizon),
            self.weight_decay,
            trust_coefficient=self.trust_coefficient,
            eps=self.eps,
            momentum=self.momentum,
            nesterov=self.nesterov,
        )


class NovoGrad(Optimizer):
    """m = b1 * m + g / (sqrt(v) + eps) + weight_decay * w, v being the running mean of |g|^2 of the whole weight.

    Then w - rate * m (Ginsburg et al. 2019, arXiv:1905.11286).
    """

    word = "novograd"
    per_weight = True
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: float = option(0.25, ge=0, lt=1, description="decay of the mean of squared norms")
    eps: float = option(1e-6, gt=0, description="added to its root")
    eps_root: float = option(0.0, ge=0, description="added to it, under its root")
    weight_decay: WeightDecay = option(0.0)
    examples = ("novograd", "novograd: {learning_rate: 0.01, b1: 0.95, b2: 0.98, weight_decay: 1e-3}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.novograd`."""
        rate = rate_of(self.learning_rate, horizon)
        return optax.novograd(rate, self.b1, self.b2, self.eps, self.eps_root, self.weight_decay)


class Fromage(Optimizer):
    """(w - rate * g * |w| / |g|) / sqrt(1 + rate^2): steps relative to each weight's norm (Bernstein et al. 2020).

    A rate of 0.01 suits most networks (arXiv:2002.03432).
    """

    word = "fromage"
    per_weight = True
    learning_rate: LearningRate = rate(0.01)
    min_norm: float = option(1e-6, gt=0, description="the minimum norm of weights and gradients")
    examples = ("fromage", "fromage: {learning_rate: 0.005}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.fromage`."""
        return optax.fromage(rate_of(self.learning_rate, horizon), self.min_norm)
