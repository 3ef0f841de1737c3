"""adam and adamw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlc.components.optimizers import rules
from dlc.components.optimizers.optimizer import (
    B1,
    B2,
    Eps,
    EpsHat,
    EpsRoot,
    Optimizer,
    WeightDecay,
    decays_nothing,
    rate,
)
from dlc.components.schedules.schedule import Horizon, LearningRate, rate_of
from dlc.language.options import OptionError, option
from dlc.support.lazy import optax

if TYPE_CHECKING:
    import optax as optax_types


class Adam(Optimizer):
    """Adam: steps scaled by running moments of the gradient (Kingma and Ba 2014, arXiv:1412.6980).

    m = b1 * m + (1 - b1) * g and v = b2 * v + (1 - b2) * g^2, each divided by 1 - b^t to correct
    their bias; then w - rate * m / (sqrt(v + eps_root) + eps). This is the publication's algorithm and PyTorch's
    `Adam`. Keras adds eps before v is corrected, which is `eps_hat: true`, with eps 1e-7.
    """

    word = "adam"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    eps_hat: EpsHat = option(False)
    nesterov: bool = option(False, description="use Nesterov momentum (NAdam)")
    examples = ("adam", "adam: {learning_rate: 1e-3, b1: 0.9}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adam`, unless `eps_hat` is set."""
        rate, moments = rate_of(self.learning_rate, horizon), (self.b1, self.b2, self.eps, self.eps_root)
        if self.eps_hat:
            direction = rules.scale_by_adam_hat(*moments, nesterov=self.nesterov)
            return optax.chain(direction, optax.scale_by_learning_rate(rate))
        return optax.adam(rate, *moments, nesterov=self.nesterov)


class AdamW(Optimizer):
    """Adam with decoupled weight decay on every weight (Loshchilov and Hutter 2017, arXiv:1711.05101).

    Adam's step plus rate * weight_decay * w, as PyTorch's `AdamW`, whose default decay is 0.01. Keras adds eps before v
    is corrected, which is `eps_hat: true`, with eps 1e-7 and a decay of 0.004.
    """

    word = "adamw"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    weight_decay: WeightDecay = option(1e-4)
    eps_hat: EpsHat = option(False)
    nesterov: bool = option(False, description="use Nesterov momentum (NAdamW)")
    examples = ("adamw", "adamw: {learning_rate: {cosine: 3e-4}, weight_decay: 0.01}")

    def idle(self) -> Iterator[OptionError]:
        """Without decay it is the same as adam."""
        return decays_nothing(self, self.weight_decay, "adam")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adamw`, unless `eps_hat` is set."""
        rate, moments = rate_of(self.learning_rate, horizon), (self.b1, self.b2, self.eps, self.eps_root)
        if self.eps_hat:
            direction = rules.scale_by_adam_hat(*moments, nesterov=self.nesterov)
            return rules.decoupled(direction, self.weight_decay, rate)
        return optax.adamw(rate, *moments, weight_decay=self.weight_decay, nesterov=self.nesterov)
