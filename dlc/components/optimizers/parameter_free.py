"""Optimizers that estimate the step size: prodigy, dadapt_adamw, dog, dowg, cocob. The rate is a factor of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from dlc.components.optimizers.optimizer import B1, B2, Eps, Optimizer, WeightDecay, rate
from dlc.components.schedules.schedule import Horizon, LearningRate, rate_of
from dlc.language.options import option
from dlc.support.lazy import optax

if TYPE_CHECKING:
    import optax as optax_types

_FACTOR = "factor of the estimated step size, a number or a schedule"


class Prodigy(Optimizer):
    """adamw that estimates its rate from how far the weights moved along the gradients.

    Recent gradients count more than in dadapt_adamw (Mishchenko and Defazio 2023, arXiv:2306.06101). A schedule should
    have a peak of 1.
    """

    word = "prodigy"
    learning_rate: LearningRate = rate(1.0, _FACTOR)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    b3: float | None = option(None, gt=0, lt=1, description="decay of the estimate; default: the root of b2")
    eps: Eps = option(1e-8)
    estim_lr0: float = option(1e-6, gt=0, description="the initial estimate; choose it too small rather than too large")
    estim_lr_coef: float = option(1.0, gt=0, description="factor of the estimate")
    weight_decay: WeightDecay = option(0.0)
    safeguard_warmup: bool = option(False, description="ignore the rate in the estimate, for a warm-up")
    examples = ("prodigy", "prodigy: {learning_rate: {cosine: 1.0}, estim_lr_coef: 2.0, weight_decay: 0.01}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.contrib.prodigy`."""
        return optax.contrib.prodigy(
            rate_of(self.learning_rate, horizon),
            (self.b1, self.b2),
            self.b3,
            self.eps,
            self.estim_lr0,
            self.estim_lr_coef,
            self.weight_decay,
            self.safeguard_warmup,
        )


class DAdaptAdamW(Optimizer):
    """adamw that estimates its rate from a lower bound of the distance to the solution (Defazio and Mishchenko 2023).

    arXiv:2301.07733. A schedule should have a peak of 1.
    """

    word = "dadapt_adamw"
    learning_rate: LearningRate = rate(1.0, _FACTOR)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    estim_lr0: float = option(1e-6, gt=0, description="the initial estimate; choose it too small rather than too large")
    weight_decay: WeightDecay = option(0.0)
    examples = ("dadapt_adamw", "dadapt_adamw: {learning_rate: {cosine: 1.0}, weight_decay: 0.01}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.contrib.dadapt_adamw`."""
        rate = rate_of(self.learning_rate, horizon)
        return optax.contrib.dadapt_adamw(rate, (self.b1, self.b2), self.eps, self.estim_lr0, self.weight_decay)


class DoG(Optimizer):
    """Distance over gradients: sgd with the rate max |w - w0| / sqrt(sum of |g|^2), over all weights together.

    (Ivgi et al. 2023, arXiv:2302.12022.) Evaluate averaged weights. `init_step` selects what `init_value` is:
    the initial rate, the initial distance, or with `heuristic` the initial distance divided by 1 + |w0|.
    """

    word = "dog"
    learning_rate: LearningRate = rate(1.0, _FACTOR)
    init_step: Literal["heuristic", "distance", "learning_rate"] = option(
        "heuristic", description="how the first step is set"
    )
    init_value: float = option(1e-6, gt=0, description="the value for it; use 1e-4 with batch_norm")
    eps: float = option(1e-8, gt=0, description="added to the sum of squared gradients")
    weight_decay: float = option(0.0, ge=0, description="this share of the weight is added to its gradient")
    examples = ("dog", "dog: {init_step: distance, init_value: 1e-3}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.contrib.dog`."""
        rate, first = rate_of(self.learning_rate, horizon), (self.init_step, self.init_value)
        return optax.contrib.dog(rate, first, self.eps, self.weight_decay or None)


class DoWG(Optimizer):
    """Distance over weighted gradients: dog with each gradient weighted by the distance at its time.

    (Khaled et al. 2023, arXiv:2305.16284.)
    """

    word = "dowg"
    learning_rate: LearningRate = rate(1.0, _FACTOR)
    init_estim_sq_dist: float | None = option(None, gt=0, description="the initial squared distance; default: eps")
    eps: float = option(1e-4, gt=0, description="added to the root of the sum of weighted squared gradients")
    weight_decay: float = option(0.0, ge=0, description="this share of the weight is added to its gradient")
    examples = ("dowg", "dowg: {init_estim_sq_dist: 0.01}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.contrib.dowg`."""
        rate, first = rate_of(self.learning_rate, horizon), self.init_estim_sq_dist
        return optax.contrib.dowg(rate, first, self.eps, self.weight_decay or None)


class Cocob(Optimizer):
    """Coin betting: each weight bets a share of its winnings on the sign of its gradient.

    (Orabona and Tommasi 2017, arXiv:1705.07795.)
    """

    word = "cocob"
    learning_rate: LearningRate = rate(1.0, _FACTOR)
    alpha: float = option(100.0, gt=0, description="keeps the first bets small")
    eps: float = option(1e-8, gt=0, description="the minimum of the largest gradient")
    weight_decay: float = option(0.0, ge=0, description="this share of the weight is added to a step")
    examples = ("cocob", "cocob: {alpha: 50.0}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.contrib.cocob`."""
        rate = rate_of(self.learning_rate, horizon)
        return optax.contrib.cocob(rate, self.alpha, self.eps, self.weight_decay)
