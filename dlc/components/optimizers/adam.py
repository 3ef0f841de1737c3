"""adam and adamw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlc.components.optimizers.optimizer import B1, B2, Eps, EpsRoot, Optimizer, WeightDecay, decays_nothing, rate
from dlc.components.schedules.schedule import Horizon, LearningRate, rate_of
from dlc.language.options import OptionError, option
from dlc.support.lazy import optax

if TYPE_CHECKING:
    import optax as optax_types


class Adam(Optimizer):
    """Adam: steps scaled by running moments of the gradient (Kingma and Ba 2014, arXiv:1412.6980).

    m = b1 * m + (1 - b1) * g and v = b2 * v + (1 - b2) * g^2, each divided by 1 - b^t to correct
    their bias; then w - rate * m / (sqrt(v + eps_root) + eps).
    """

    word = "adam"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    nesterov: bool = option(False, description="use Nesterov momentum (NAdam)")
    examples = ("adam", "adam: {learning_rate: 1e-3, b1: 0.9}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adam`."""
        rate = rate_of(self.learning_rate, horizon)
        return optax.adam(rate, self.b1, self.b2, self.eps, self.eps_root, nesterov=self.nesterov)


class AdamW(Optimizer):
    """Adam with decoupled weight decay on every weight (Loshchilov and Hutter 2017, arXiv:1711.05101).

    Adam's step plus rate * weight_decay * w.
    """

    word = "adamw"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    weight_decay: WeightDecay = option(1e-4)
    nesterov: bool = option(False, description="use Nesterov momentum (NAdamW)")
    examples = ("adamw", "adamw: {learning_rate: {cosine: 3e-4}, weight_decay: 0.01}")

    def idle(self) -> Iterator[OptionError]:
        """Without decay it is the same as adam."""
        return decays_nothing(self, self.weight_decay, "adam")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adamw`."""
        rate, decay = rate_of(self.learning_rate, horizon), self.weight_decay
        return optax.adamw(rate, self.b1, self.b2, self.eps, self.eps_root, weight_decay=decay, nesterov=self.nesterov)
