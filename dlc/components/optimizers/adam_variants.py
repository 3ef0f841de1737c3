"""Variants of adam with another first moment, second moment or norm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from dlc.components.optimizers import rules
from dlc.components.optimizers.optimizer import (
    B1,
    B2,
    Eps,
    EpsHat,
    EpsRoot,
    MomentumDecay,
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


class NAdam(Optimizer):
    """Adam with Nesterov momentum: the step uses b1 * m + (1 - b1) * g, the moment after the next gradient.

    (Dozat 2016, openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.) The publication's momentum rises from b1 / 2 to b1: with
    `momentum_decay: 0.004` this is PyTorch's `NAdam`. By default it is b1 at every step, as in optax.
    """

    word = "nadam"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    momentum_decay: MomentumDecay = option(None)
    static = frozenset({"momentum_decay"})
    examples = ("nadam", "nadam: {learning_rate: 2e-3, momentum_decay: 0.004}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.nadam`, unless the momentum has a schedule."""
        rate, moments = rate_of(self.learning_rate, horizon), (self.b1, self.b2, self.eps, self.eps_root)
        if self.momentum_decay is not None:
            direction = rules.scale_by_nadam(*moments, self.momentum_decay)
            return optax.chain(direction, optax.scale_by_learning_rate(rate))
        return optax.nadam(rate, *moments)


class NAdamW(Optimizer):
    """nadam with decoupled weight decay: plus rate * weight_decay * w (arXiv:1711.05101)."""

    word = "nadamw"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    momentum_decay: MomentumDecay = option(None)
    weight_decay: WeightDecay = option(1e-4)
    static = frozenset({"momentum_decay"})
    examples = ("nadamw", "nadamw: {learning_rate: 2e-3, weight_decay: 0.01}")

    def idle(self) -> Iterator[OptionError]:
        """Without decay it is the same as nadam."""
        return decays_nothing(self, self.weight_decay, "nadam")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.nadamw`, unless the momentum has a schedule."""
        rate, moments = rate_of(self.learning_rate, horizon), (self.b1, self.b2, self.eps, self.eps_root)
        if self.momentum_decay is not None:
            return rules.decoupled(rules.scale_by_nadam(*moments, self.momentum_decay), self.weight_decay, rate)
        return optax.nadamw(rate, *moments, weight_decay=self.weight_decay)


class AmsGrad(Optimizer):
    """Adam whose second moment never decreases: v is its maximum so far (Reddi et al. 2018, arXiv:1904.09237).

    `correction` selects the definition. `before`, that of optax, takes the maximum of corrected moments; `after`
    corrects the maximum, as `Adam(amsgrad=True)` of PyTorch, and with `eps_hat` of Keras; `none`, that of the
    publication, corrects neither moment.
    """

    word = "amsgrad"
    copies = 3
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    correction: Literal["before", "after", "none"] = option(
        "before", description="whether moments are corrected for their bias before the maximum, after it, or not at all"
    )
    eps_hat: EpsHat = option(False)
    examples = ("amsgrad", "amsgrad: {learning_rate: 1e-3, b2: 0.99, correction: after}")

    def without_effect(self) -> Iterator[OptionError]:
        """Without a correction eps is added to the uncorrected moment in any case."""
        if self.eps_hat and self.correction == "none":
            message = "`eps_hat` has no effect with `correction: none`, which corrects no moment"
            yield OptionError(("eps_hat",), "DLC303", message, hint="remove it")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.amsgrad`, unless `correction` or `eps_hat` is set."""
        rate, moments = rate_of(self.learning_rate, horizon), (self.b1, self.b2, self.eps, self.eps_root)
        if self.correction == "before" and not self.eps_hat:
            return optax.amsgrad(rate, *moments)
        direction = rules.scale_by_amsgrad(*moments, correction=self.correction, eps_hat=self.eps_hat)
        return optax.chain(direction, optax.scale_by_learning_rate(rate))


class RAdam(Optimizer):
    """Adam that uses only the first moment until the second has seen enough gradients (Liu et al. 2019).

    From `threshold` on, the variance of the second moment is rectified (arXiv:1908.03265). With
    `eps_hat` it is PyTorch's `RAdam`.
    """

    word = "radam"
    copies = 2
    static = frozenset({"b2"})
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    eps_hat: EpsHat = option(False)
    threshold: float = option(5.0, gt=4, description="length of the moving average from which steps are adaptive")
    nesterov: bool = option(False, description="use Nesterov momentum")
    examples = ("radam", "radam: {learning_rate: 3e-4, nesterov: true}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.radam`, with the length of the moving average in higher precision."""
        direction = rules.scale_by_radam(
            self.b1,
            self.b2,
            self.eps,
            self.eps_root,
            self.threshold,
            nesterov=self.nesterov,
            eps_hat=self.eps_hat,
        )
        return optax.chain(direction, optax.scale_by_learning_rate(rate_of(self.learning_rate, horizon)))


class Adamax(Optimizer):
    """Adam with the infinity norm: u = max(b2 * u, |g| + eps) instead of the second moment's root.

    (Kingma and Ba 2014, section 7, arXiv:1412.6980; eps as in PyTorch's `Adamax`. Keras divides by u + eps.)
    """

    word = "adamax"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: float = option(0.999, ge=0, lt=1, description="decay of the norm")
    eps: float = option(1e-8, gt=0, description="added to the gradient's magnitude")
    examples = ("adamax", "adamax: {learning_rate: 2e-3}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adamax`."""
        return optax.adamax(rate_of(self.learning_rate, horizon), self.b1, self.b2, self.eps)


class AdamaxW(Optimizer):
    """adamax with decoupled weight decay: plus rate * weight_decay * w (arXiv:1412.6980, arXiv:1711.05101)."""

    word = "adamaxw"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: float = option(0.999, ge=0, lt=1, description="decay of the norm")
    eps: float = option(1e-8, gt=0, description="added to the gradient's magnitude")
    weight_decay: WeightDecay = option(1e-4)
    examples = ("adamaxw", "adamaxw: {learning_rate: 2e-3, weight_decay: 0.01}")

    def idle(self) -> Iterator[OptionError]:
        """Without decay it is the same as adamax."""
        return decays_nothing(self, self.weight_decay, "adamax")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adamaxw`."""
        rate = rate_of(self.learning_rate, horizon)
        return optax.adamaxw(rate, self.b1, self.b2, self.eps, weight_decay=self.weight_decay)


class AdaBelief(Optimizer):
    """Adam with v the mean of (g - m)^2: large steps where gradients are as expected (Zhuang et al. 2020).

    arXiv:2010.07468. `eps` and `eps_root` matter more than in adam.
    """

    word = "adabelief"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-16)
    eps_root: EpsRoot = option(1e-16)
    nesterov: bool = option(False, description="use Nesterov momentum")
    examples = ("adabelief", "adabelief: {learning_rate: 1e-3, eps: 1e-8, eps_root: 0}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adabelief`."""
        rate = rate_of(self.learning_rate, horizon)
        return optax.adabelief(rate, self.b1, self.b2, self.eps, self.eps_root, nesterov=self.nesterov)


class Yogi(Optimizer):
    """Adam whose second moment moves by a bounded share: v - (1 - b2) * sign(v - g^2) * g^2.

    As in optax both moments start at 1e-6 and are corrected for their bias.

    (Zaheer et al. 2018, proceedings.neurips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3.)
    """

    word = "yogi"
    copies = 2
    learning_rate: LearningRate = rate(0.01)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-3)
    examples = ("yogi", "yogi: {learning_rate: 1e-3}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.yogi`."""
        return optax.yogi(rate_of(self.learning_rate, horizon), self.b1, self.b2, self.eps)


class Adan(Optimizer):
    """Adaptive Nesterov momentum: means of g (b1), of its change g - g' (b2), and of (g + b2 * (g - g'))^2 (b3).

    The step u is m + b2 * v over the root of the third, all corrected for their bias; then (w - rate * u) / (1 + rate
    * weight_decay) (Xie et al. 2022, arXiv:2208.06677). As in its authors' program the decays are 1 minus those of the
    publication.
    """

    word = "adan"
    copies = 3
    learning_rate: LearningRate = rate(1e-3)
    b1: float = option(0.98, ge=0, lt=1, description="decay of the mean of gradients")
    b2: float = option(0.92, ge=0, lt=1, description="decay of the mean of their changes")
    b3: float = option(0.99, ge=0, lt=1, description="decay of the mean of squares")
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    weight_decay: WeightDecay = option(0.0)
    examples = ("adan", "adan: {learning_rate: 5e-3, weight_decay: 0.02}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """The rule of its authors."""
        rate, decay = rate_of(self.learning_rate, horizon), self.weight_decay
        return rules.adan(rate, self.b1, self.b2, self.b3, self.eps, self.eps_root, decay)


class AdEMAMix(Optimizer):
    """adamw that adds a slow mean of gradients to the fast one: (m1 + alpha * m2) / (sqrt(v) + eps).

    m2 decays with b3 and averages tens of thousands of steps (Pagliardini et al. 2024, arXiv:2409.03137).
    """

    word = "ademamix"
    copies = 3
    learning_rate: LearningRate = rate(1e-3)
    b1: float = option(0.9, ge=0, lt=1, description="decay of the fast mean")
    b2: B2 = option(0.999)
    b3: float = option(0.9999, ge=0, lt=1, description="decay of the slow mean")
    alpha: float = option(5.0, gt=0, description="weight of the slow mean")
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    weight_decay: WeightDecay = option(0.0)
    examples = ("ademamix", "ademamix: {learning_rate: 3e-4, alpha: 8.0, weight_decay: 0.1}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.contrib.ademamix`."""
        return optax.contrib.ademamix(
            rate_of(self.learning_rate, horizon),
            self.b1,
            self.b2,
            self.b3,
            self.alpha,
            self.eps,
            self.eps_root,
            weight_decay=self.weight_decay,
        )


class Adopt(Optimizer):
    """Adam that divides a gradient by the second moment of earlier ones, and averages afterwards.

    It converges for any b2 (Taniguchi et al. 2024, arXiv:2411.02853). The first step only initializes the moment. With
    `use_clipping` the quotient is clipped to t^0.25.
    """

    word = "adopt"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.9999)
    eps: float = option(1e-6, gt=0, description="the minimum of the second moment's root")
    nesterov: bool = option(False, description="use Nesterov momentum")
    use_clipping: bool = option(True, description="clip the scaled gradient to t^0.25 at step t")
    examples = ("adopt", "adopt: {learning_rate: 1e-3, b2: 0.99}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.contrib.adopt`, with 1 - b2 in higher precision."""
        direction = rules.scale_by_adopt(
            self.b1, self.b2, self.eps, nesterov=self.nesterov, use_clipping=self.use_clipping
        )
        return optax.chain(direction, optax.scale_by_learning_rate(rate_of(self.learning_rate, horizon)))
