"""Variants of adam with another first moment, second moment or norm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlc.components.optimizers.optimizer import B1, B2, Eps, EpsRoot, Optimizer, WeightDecay, decays_nothing, rate
from dlc.components.schedules.schedule import Horizon, LearningRate, rate_of
from dlc.language.options import OptionError, option
from dlc.support.lazy import optax

if TYPE_CHECKING:
    import optax as optax_types


class NAdam(Optimizer):
    """Adam with Nesterov momentum: the step uses b1 * m + (1 - b1) * g, the moment after the next gradient.

    (Dozat 2016, openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.)
    """

    word = "nadam"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    examples = ("nadam", "nadam: {learning_rate: 2e-3}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.nadam`."""
        return optax.nadam(rate_of(self.learning_rate, horizon), self.b1, self.b2, self.eps, self.eps_root)


class NAdamW(Optimizer):
    """nadam with decoupled weight decay: plus rate * weight_decay * w (arXiv:1711.05101)."""

    word = "nadamw"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    weight_decay: WeightDecay = option(1e-4)
    examples = ("nadamw", "nadamw: {learning_rate: 2e-3, weight_decay: 0.01}")

    def idle(self) -> Iterator[OptionError]:
        """Without decay it is the same as nadam."""
        return decays_nothing(self, self.weight_decay, "nadam")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.nadamw`."""
        rate, decay = rate_of(self.learning_rate, horizon), self.weight_decay
        return optax.nadamw(rate, self.b1, self.b2, self.eps, self.eps_root, weight_decay=decay)


class AmsGrad(Optimizer):
    """Adam whose second moment never decreases: v is its maximum so far (Reddi et al. 2018, arXiv:1904.09237)."""

    word = "amsgrad"
    copies = 3
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    examples = ("amsgrad", "amsgrad: {learning_rate: 1e-3, b2: 0.99}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.amsgrad`."""
        return optax.amsgrad(rate_of(self.learning_rate, horizon), self.b1, self.b2, self.eps, self.eps_root)


class RAdam(Optimizer):
    """Adam that uses only the first moment until the second has seen enough gradients (Liu et al. 2019).

    From `threshold` on, the variance of the second moment is rectified (arXiv:1908.03265).
    """

    word = "radam"
    copies = 2
    learning_rate: LearningRate = rate(1e-3)
    b1: B1 = option(0.9)
    b2: B2 = option(0.999)
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(0.0)
    threshold: float = option(5.0, gt=4, description="length of the moving average from which steps are adaptive")
    nesterov: bool = option(False, description="use Nesterov momentum")
    examples = ("radam", "radam: {learning_rate: 3e-4, nesterov: true}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.radam`."""
        rate = rate_of(self.learning_rate, horizon)
        return optax.radam(rate, self.b1, self.b2, self.eps, self.eps_root, self.threshold, nesterov=self.nesterov)


class Adamax(Optimizer):
    """Adam with the infinity norm: u = max(b2 * u, |g| + eps) instead of the second moment's root.

    (Kingma and Ba 2014, section 7, arXiv:1412.6980.)
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

    The step follows m + b2 * v over the root of the third (Xie et al. 2022, arXiv:2208.06677). As in optax the decays
    are 1 minus those of the paper.
    """

    word = "adan"
    copies = 3
    learning_rate: LearningRate = rate(1e-3)
    b1: float = option(0.98, ge=0, lt=1, description="decay of the mean of gradients")
    b2: float = option(0.92, ge=0, lt=1, description="decay of the mean of their changes")
    b3: float = option(0.99, ge=0, lt=1, description="decay of the mean of squares")
    eps: Eps = option(1e-8)
    eps_root: EpsRoot = option(1e-8)
    weight_decay: WeightDecay = option(0.0)
    examples = ("adan", "adan: {learning_rate: 5e-3, weight_decay: 0.02}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adan`."""
        rate, decay = rate_of(self.learning_rate, horizon), self.weight_decay
        return optax.adan(rate, self.b1, self.b2, self.b3, self.eps, self.eps_root, weight_decay=decay)


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
        """`optax.contrib.adopt`."""
        rate = rate_of(self.learning_rate, horizon)
        options = {"nesterov": self.nesterov, "use_clipping": self.use_clipping}
        return optax.contrib.adopt(rate, self.b1, self.b2, self.eps, **options)
