"""Optimizers without a second moment: sgd, signs of gradients, lion, rprop, optimistic gradient descent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlc.components.optimizers import rules
from dlc.components.optimizers.optimizer import (
    B1,
    Momentum,
    Nesterov,
    Optimizer,
    WeightDecay,
    needs_momentum,
    no_schedule,
    rate,
)
from dlc.components.schedules.schedule import Horizon, LearningRate, rate_of
from dlc.language.options import OptionError, option
from dlc.support.lazy import optax

if TYPE_CHECKING:
    import optax as optax_types


class Sgd(Optimizer):
    """Stochastic gradient descent: w - rate * g; with momentum m, w - rate * v with the velocity v = m * v + g.

    `nesterov` looks ahead: w - rate * (g + m * v) (Sutskever et al. 2013, proceedings.mlr.press/v28/sutskever13). This
    is PyTorch's `SGD`; Keras' velocity contains the rate, which differs while the rate changes.
    """

    word = "sgd"
    learning_rate: LearningRate = rate(0.01)
    momentum: Momentum = option(0.0)
    nesterov: Nesterov = option(False)
    examples = ("sgd: 0.1", "sgd: {learning_rate: {cosine: 0.1}, momentum: 0.9, nesterov: true}")

    def without_effect(self) -> Iterator[OptionError]:
        """Nesterov's step without momentum is the plain step."""
        return needs_momentum(self.nesterov, self.momentum)

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.sgd`."""
        return optax.sgd(rate_of(self.learning_rate, horizon), self.momentum or None, self.nesterov)


class SignSgd(Optimizer):
    """w - rate * sign(g): steps of equal size (Bernstein et al. 2018, arXiv:1802.04434)."""

    word = "sign_sgd"
    learning_rate: LearningRate = rate(1e-3)
    examples = ("sign_sgd: 1e-3",)

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.sign_sgd`."""
        return optax.sign_sgd(rate_of(self.learning_rate, horizon))


class Signum(Optimizer):
    """w - rate * sign(m) with the running mean m = beta * m + (1 - beta) * g (arXiv:1802.04434)."""

    word = "signum"
    copies = 1
    learning_rate: LearningRate = rate(1e-3)
    beta: float = option(0.9, gt=0, lt=1, description="decay of the mean of gradients")
    examples = ("signum", "signum: {learning_rate: 1e-3, beta: 0.95}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.signum`."""
        return optax.signum(rate_of(self.learning_rate, horizon), self.beta)


class Lion(Optimizer):
    """w - rate * (sign(b1 * m + (1 - b1) * g) + weight_decay * w), then m = b2 * m + (1 - b2) * g.

    All elements move equally far, so use a rate 3 to 10 times smaller than for adamw, and a decay larger by that
    factor (Chen et al. 2023, arXiv:2302.06675).
    """

    word = "lion"
    copies = 1
    learning_rate: LearningRate = rate(1e-4)
    b1: float = option(0.9, ge=0, lt=1, description="weight of the mean of gradients in a step")
    b2: float = option(0.99, ge=0, lt=1, description="decay of the mean of gradients")
    weight_decay: WeightDecay = option(1e-3)
    examples = ("lion", "lion: {learning_rate: {cosine: {peak: 3e-4, warmup: 5%}}, weight_decay: 0.1}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.lion`."""
        return optax.lion(rate_of(self.learning_rate, horizon), self.b1, self.b2, weight_decay=self.weight_decay)


class Rprop(Optimizer):
    """Resilient propagation: a step size for each weight, which grows while its gradient keeps its sign.

    The first step has the size `learning_rate`. After a change of sign the weight stays for one step, without going
    back (iRprop-, as PyTorch's `Rprop`). Use gradients of the whole split (`train: {batch_size: full}`): noise changes
    signs (Riedmiller and Braun 1993, doi:10.1109/ICNN.1993.298623; Igel and Hüsken 2003).
    """

    word = "rprop"
    static = frozenset({"learning_rate", "eta_minus", "eta_plus", "min_step_size", "max_step_size"})
    learning_rate: LearningRate = rate(1e-3, "initial step size, a number")
    eta_minus: float = option(0.5, gt=0, lt=1, description="factor of a step size after a change of sign")
    eta_plus: float = option(1.2, gt=1, description="factor of a step size while the sign stays")
    min_step_size: float = option(1e-6, gt=0, description="the smallest step size")
    max_step_size: float = option(50.0, gt=0, description="the largest step size")
    examples = ("rprop", "rprop: {learning_rate: 0.01, max_step_size: 1.0}")

    def without_effect(self) -> Iterator[OptionError]:
        """A schedule, or sizes in the wrong order."""
        yield from no_schedule(self, "the rate is only the initial step size")
        if self.min_step_size > self.max_step_size:
            found, expected = f"`{self.min_step_size:g}`", f"at most `max_step_size`, {self.max_step_size:g}"
            yield OptionError(("min_step_size",), "DLC104", "`min_step_size` is above `max_step_size`", found, expected)

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """The rule of Igel and Hüsken."""
        assert isinstance(self.learning_rate, float)  # `without_effect`
        return rules.rprop(self.learning_rate, self.eta_minus, self.eta_plus, self.min_step_size, self.max_step_size)


class OptimisticGradientDescent(Optimizer):
    """w - rate * ((alpha + beta) * g - beta * g'), g' being the previous gradient: for games such as GANs.

    (Mokhtari et al. 2019, arXiv:1901.08511.)
    """

    word = "optimistic_gradient_descent"
    learning_rate: LearningRate = rate(0.01)
    alpha: float = option(1.0, gt=0, description="weight of the gradient")
    beta: float = option(1.0, gt=0, description="weight of its change")
    examples = ("optimistic_gradient_descent: 0.05",)

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.optimistic_gradient_descent`."""
        return optax.optimistic_gradient_descent(rate_of(self.learning_rate, horizon), self.alpha, self.beta)


class OptimisticAdam(Optimizer):
    """Adam's direction r, as (alpha + beta) * r - beta * r', r' being the previous one: for games such as GANs.

    (Daskalakis et al. 2017, arXiv:1711.00141.)
    """

    word = "optimistic_adam"
    learning_rate: LearningRate = rate(1e-3)
    alpha: float = option(1.0, gt=0, description="weight of the direction")
    beta: float = option(1.0, gt=0, description="weight of its change")
    b1: B1 = option(0.9)
    b2: float = option(0.999, ge=0, lt=1, description="decay of the second moment")
    eps: float = option(1e-8, gt=0, description="added to the root of the second moment")
    nesterov: Nesterov = option(True)
    examples = ("optimistic_adam", "optimistic_adam: {learning_rate: 2e-4, b1: 0.5}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.optimistic_adam_v2`."""
        return optax.optimistic_adam_v2(
            rate_of(self.learning_rate, horizon),
            alpha=self.alpha,
            beta=self.beta,
            b1=self.b1,
            b2=self.b2,
            eps=self.eps,
            nesterov=self.nesterov,
        )
