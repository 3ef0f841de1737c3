"""Variants of the cross-entropy that weight confident predictions differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, model_validator

from dlc.components.losses.classification import SMALL, binary_logs, log_probabilities, of_target
from dlc.components.losses.loss import Loss, LossExample
from dlc.components.losses.shape_checks import need_classes, need_pairs, paired
from dlc.components.losses.value_checks import need_length, need_scores_behind_mask, read_numbers
from dlc.components.value_ranges import PROBABILITIES
from dlc.ir import TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


def missed(logs: Array, gamma: float) -> Array:
    """(1 - p)^gamma from log p, exact for p near 1, with a gradient for any gamma."""
    return jnp.clip(-jnp.expm1(logs), SMALL, 1.0) ** gamma if gamma else jnp.ones_like(logs)


class Focal(Loss):
    """(batch, *axes, classes) logits with (batch, *axes) classes: -alpha[t] * (1 - p[t])^gamma * log p[t].

    The mean over the axes (Lin et al. 2017, arXiv:1708.02002); t is the target, p softmax(output). The target may also
    be rows of probabilities; it is then averaged by them, as in Keras' `CategoricalFocalCrossentropy`. The mean is not
    divided by `alpha`.
    """

    word = "focal"
    domain = PROBABILITIES
    gamma: float = main(2.0, gt=0, description="how strongly confident predictions are down-weighted")
    alpha: Annotated[tuple[float, ...] | None, BeforeValidator(read_numbers)] = option(
        None, description="factor of each class, one number for each"
    )
    from_logits: bool = option(True, description="whether the output is logits, without softmax")

    examples = (
        LossExample("focal", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("focal: {gamma: 0.5, alpha: [0.2, 0.3, 0.5]}", "f32[batch, 4, 4, 3]", "i32[batch, 4, 4]<3"),
        LossExample("focal: {from_logits: false}", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("focal: 0", "f32[batch, 3]", "i32[batch]<3", error="DLC104"),
        LossExample("focal: {alpha: 0.25}", "f32[batch, 3]", "i32[batch]<3", error="DLC103"),
        LossExample("focal: {alpha: [0.25, 0.75]}", "f32[batch, 3]", "i32[batch]<3", error="DLC301"),
        LossExample("focal", "f32[batch, 1]", "i32[batch]<2", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One score per class."""
        need_scores_behind_mask(self.word, output)
        need_classes(self.code, self.word, output, target)
        if self.alpha is not None:
            need_length("alpha", self.alpha, output.shape[-1], "class")

    def elements(self, output: Array, target: Array) -> Array:
        """-alpha * (1 - p)^gamma * log p of the target."""
        logs = log_probabilities(output, self.from_logits)
        losses = -missed(logs, self.gamma) * logs
        return of_target(losses if self.alpha is None else losses * jnp.asarray(self.alpha, jnp.float32), target)

    def activate(self, output: Array) -> Array:
        """Probabilities."""
        return jax.nn.softmax(output, axis=-1) if self.from_logits else output

    def activations(self) -> tuple[str, ...]:
        """Softmax, unless the network applies it."""
        return ("softmax",) if self.from_logits else ()


class Poly(Loss):
    """(batch, *axes, classes) logits with (batch, *axes) classes: -log p[t] + epsilon * (1 - p[t]), t the target.

    The mean over the axes: Poly-1 (Leng et al. 2022, arXiv:2204.12511), with optax's default; p is softmax(output).
    """

    word = "poly"
    domain = PROBABILITIES
    epsilon: float = main(2.0, ge=-1, description="weight of the added term 1 - p; 0 is the cross-entropy")
    from_logits: bool = option(True, description="whether the output is logits, without softmax")

    examples = (
        LossExample("poly", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("poly: -0.5", "f32[batch, 4, 3]", "f32[batch, 4, 3]"),
        LossExample("poly: -2", "f32[batch, 3]", "i32[batch]<3", error="DLC104"),
        LossExample("poly: 0", "f32[batch, 3]", "i32[batch]<3", error="DLC303"),
        LossExample("poly", "f32[batch, 1]", "i32[batch]<2", error="DLC301"),
    )

    @model_validator(mode="after")
    def _idle(self) -> Poly:
        if self.epsilon == 0:
            message = "`epsilon: 0` is the plain cross-entropy"
            raise reject(OptionError(("epsilon",), "DLC303", message, hint="use `cross_entropy`"))
        return self

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One score per class."""
        need_scores_behind_mask(self.word, output)
        need_classes(self.code, self.word, output, target)

    def elements(self, output: Array, target: Array) -> Array:
        """-log p + epsilon * (1 - p) of the target."""
        logs = log_probabilities(output, self.from_logits)
        return of_target(-logs, target) + self.epsilon * (1 - of_target(jnp.exp(logs), target))

    def activate(self, output: Array) -> Array:
        """Probabilities."""
        return jax.nn.softmax(output, axis=-1) if self.from_logits else output

    def activations(self) -> tuple[str, ...]:
        """Softmax, unless the network applies it."""
        return ("softmax",) if self.from_logits else ()


class BinaryFocal(Loss):
    """(batch, 1) logits with (batch,) classes 0 and 1: -alpha * (1 - p)^gamma * log p of class 1, p = sigmoid(output).

    For class 0 it is -(1 - alpha) * p^gamma * log(1 - p). Also (batch, *axes) with targets of the same shape between 0
    and 1; the mean over the axes (Lin et al. 2017, arXiv:1708.02002; torchvision's `sigmoid_focal_loss`). With
    `alpha: null` both classes have the factor 1, as in Keras' `BinaryFocalCrossentropy`.

    For a target t between 0 and 1 the cross-entropy is multiplied by (1 - q)^gamma, where q = t * p + (1 - t) *
    (1 - p), as in torchvision, Keras and optax. `soft_targets: averaged` instead averages the losses of both classes
    by the target, as `focal` does.
    """

    word = "binary_focal"
    domain = PROBABILITIES
    gamma: float = main(2.0, gt=0, description="how strongly confident predictions are down-weighted")
    alpha: float | None = option(0.25, gt=0, lt=1, description="factor of class 1; class 0 has 1 - alpha")
    from_logits: bool = option(True, description="whether the output is logits, without sigmoid")
    soft_targets: Literal["modulated", "averaged"] = option(
        "modulated", description="the loss of targets between 0 and 1: one factor for both parts, or the mean of losses"
    )

    examples = (
        LossExample("binary_focal", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("binary_focal: {soft_targets: averaged}", "f32[batch, 4]", "f32[batch, 4]"),
        LossExample("binary_focal: {soft_targets: averaged}", "f32[batch, 1]", "i32[batch]<2", error="DLC303"),
        LossExample("binary_focal: {gamma: 0.5, alpha: null}", "f32[batch, 4, 4]", "f32[batch, 4, 4]"),
        LossExample("binary_focal: {alpha: 1}", "f32[batch, 1]", "i32[batch]<2", error="DLC104"),
        LossExample("binary_focal", "f32[batch, 3]", "i32[batch]<3", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One logit per 0/1 target."""
        need_pairs(self.code, self.word, output, target)
        if not target.is_float and self.soft_targets == "averaged":
            message = "`soft_targets` has no effect: the target is class numbers"
            raise RuleViolation("DLC303", message, found=f"target {target}", hint="remove it", option="soft_targets")

    def elements(self, output: Array, target: Array) -> Array:
        """The cross-entropy times how far its probability is missed, or the losses of both classes by the target."""
        y, t = paired(output, target)
        yes, no = binary_logs(y, self.from_logits)
        up, down = (1.0, 1.0) if self.alpha is None else (self.alpha, 1 - self.alpha)
        if self.soft_targets == "averaged":
            return -(up * t * missed(yes, self.gamma) * yes + down * (1 - t) * missed(no, self.gamma) * no)
        away = jnp.clip(t * jnp.exp(no) + (1 - t) * jnp.exp(yes), SMALL, 1.0)
        return -(up * t + down * (1 - t)) * away**self.gamma * (t * yes + (1 - t) * no)

    def activate(self, output: Array) -> Array:
        """Probabilities of class 1."""
        return jax.nn.sigmoid(output) if self.from_logits else output

    def activations(self) -> tuple[str, ...]:
        """Sigmoid, unless the network applies it."""
        return ("sigmoid",) if self.from_logits else ()
