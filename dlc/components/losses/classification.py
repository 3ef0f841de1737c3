"""Losses of classes, by the probability of the right one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from dlc.components.losses.loss import Loss, LossExample
from dlc.components.losses.shape_checks import need_classes, need_pairs, paired, rows
from dlc.components.losses.value_checks import (
    BALANCED,
    need_length,
    need_scores_behind_mask,
    read_class_factor,
    read_class_weights,
)
from dlc.components.value_ranges import PROBABILITIES
from dlc.ir import TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject
from dlc.support.lazy import jax, jnp, np

if TYPE_CHECKING:
    from jax import Array
    from numpy.typing import NDArray

SMALL = 1e-7  # probabilities are clipped to [this, 1 - this], as in Keras


def log_probabilities(output: Array, from_logits: bool) -> Array:
    """(batch, *axes, classes) -> log p of each class, float32."""
    wide = output.astype(jnp.float32)
    logs: Array = jax.nn.log_softmax(wide, axis=-1) if from_logits else jnp.log(jnp.clip(wide, SMALL, 1.0))
    return logs


def of_target(values: Array, target: Array) -> Array:
    """The values of (batch, *axes, classes) at the target: at its class, or their mean by its probabilities.

    A number that is not a class gives NaN, which stops training: 0 would be silently wrong.
    """
    if not jnp.issubdtype(target.dtype, jnp.integer):
        return (values * target).sum(-1)
    # a comparison, not a gather, whose gradient is a scatter: slow on a CPU and inexact on a GPU
    chosen = target[..., None] == jnp.arange(values.shape[-1], dtype=target.dtype)
    known = (target >= 0) & (target < values.shape[-1])
    return jnp.where(known, jnp.where(chosen, values, 0.0).sum(-1), jnp.nan)


class CrossEntropy(Loss):
    """(batch, *axes, classes) logits with (batch, *axes) classes: -log softmax(output)[target], the mean over the axes.

    The target may also be rows of probabilities, in the shape of the output: -sum(target * log softmax(output)). With
    `class_weights` it is the weighted mean: the sum of w[target] * loss divided by the sum of w[target], as in
    PyTorch's `CrossEntropyLoss` of class numbers. `weighted_mean: false` divides by the number of elements, as PyTorch
    does for rows of probabilities and Keras with `class_weight`. Positions whose class is `ignore_index` do not count.
    Probabilities (`from_logits: false`) are clipped at 1e-7.
    """

    word = "cross_entropy"
    domain = PROBABILITIES
    from_logits: bool = main(True, description="whether the output is logits, without softmax")
    label_smoothing: float = option(
        0.0, ge=0, lt=1, description="share of the probability spread evenly over all classes"
    )
    class_weights: Annotated[tuple[float, ...] | Literal["balanced"] | None, BeforeValidator(read_class_weights)] = (
        option(
            None, description="weights of the classes, one number for each; `balanced`: n / (classes * n of the class)"
        )
    )
    weighted_mean: bool = option(True, description="divide by the sum of the weights of targets, not by their number")
    ignore_index: int | None = option(None, description="the target value of positions that do not count; not a class")

    examples = (
        LossExample("cross_entropy", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("cross_entropy: {from_logits: false}", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("cross_entropy: {label_smoothing: 0.1}", "f32[batch, 4, 5, 3]", "i32[batch, 4, 5]<3"),
        LossExample("cross_entropy: {class_weights: [1, 2, 0.5]}", "f32[batch, 4, 3]", "i32[batch, 4]<3"),
        LossExample("cross_entropy: {class_weights: [1, 2], weighted_mean: false}", "f32[batch, 2]", "f32[batch, 2]"),
        LossExample("cross_entropy: {class_weights: balanced}", "f32[batch, 3]", "i32[batch]<3"),
        LossExample("cross_entropy: {class_weights: equal}", "f32[batch, 3]", "i32[batch]<3", error="DLC104"),
        LossExample("cross_entropy: {weighted_mean: false}", "f32[batch, 3]", "i32[batch]<3", error="DLC303"),
        LossExample("cross_entropy: {ignore_index: -1}", "f32[batch, 4, 3]", "i32[batch, 4]<3"),
        LossExample("cross_entropy: {ignore_index: 0}", "f32[batch, 3]", "f32[batch, 3]", error="DLC303"),
        LossExample("cross_entropy: {class_weights: [1, 2]}", "f32[batch, 3]", "i32[batch]<3", error="DLC301"),
        LossExample("cross_entropy: {class_weights: [2, 2]}", "f32[batch, 2]", "i32[batch]<2", error="DLC303"),
        LossExample("cross_entropy: {class_weights: [0, -1]}", "f32[batch, 2]", "i32[batch]<2", error="DLC104"),
        LossExample("cross_entropy: {class_weights: 2}", "f32[batch, 2]", "i32[batch]<2", error="DLC103"),
        LossExample("cross_entropy", "f32[batch, 8]", "i32[batch]<10", error="DLC301"),
        LossExample("cross_entropy", "f32[batch, 1]", "f32[batch, 1, 1]", error="DLC301"),
        LossExample("cross_entropy", "f32[batch, 1]", "f32[batch, 1]", error="DLC301"),
        LossExample("cross_entropy", "f32[batch, 1]", "i32[batch]<2", error="DLC301"),
        LossExample("cross_entropy", "i32[batch, 3]", "i32[batch]<3", error="DLC301"),
        LossExample("cross_entropy", "f32[batch, time] masked", "i32[batch]<3", error="DLC301"),
        LossExample("cross_entropy: {label_smoothing: 1}", "f32[batch, 3]", "i32[batch]<3", error="DLC104"),
    )

    @model_validator(mode="after")
    def _idle(self) -> CrossEntropy:
        if self.class_weights is None and not self.weighted_mean:
            message = "`weighted_mean` has no effect without `class_weights`"
            raise reject(OptionError(("weighted_mean",), "DLC303", message, hint="remove it", at_key=True))
        if len(set(self._weights or ())) == 1 and self.weighted_mean:
            message = "equal `class_weights` have no effect: the loss is a weighted mean"
            raise reject(OptionError(("class_weights",), "DLC303", message, hint="remove them", at_key=True))
        return self

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One score per class."""
        need_scores_behind_mask(self.word, output)
        need_classes(self.code, self.word, output, target)
        if self._weights is not None:
            need_length("class_weights", self._weights, output.shape[-1], "class")
        if self.ignore_index is not None and target.is_float:
            message = "`ignore_index` has no effect: the target is rows of probabilities, not class numbers"
            raise RuleViolation("DLC303", message, found=f"target {target}", hint="remove it", option="ignore_index")

    @property
    def _weights(self) -> tuple[float, ...] | None:
        """The weights of the classes; None if there are none, or until they are found in the training split."""
        return None if isinstance(self.class_weights, str) else self.class_weights

    @property
    def balances(self) -> bool:
        """Whether `class_weights` is `balanced`."""
        return self.class_weights == BALANCED

    def class_weights_of(self, blocks: Iterable[NDArray[Any]], size: int) -> tuple[float, ...]:
        """As in scikit-learn, n / (k * n of the class) for the k classes that occur; 1 for others."""
        counts = np.zeros(size)
        for block in blocks:
            if block.dtype.kind == "f":
                counts += block.reshape(-1, size).sum(0, dtype=np.float64)
            else:
                counts += np.bincount(block[(block >= 0) & (block != self.ignore_index)], minlength=size)
        occurs = counts > 0
        return tuple(np.where(occurs, counts.sum() / (occurs.sum() * np.where(occurs, counts, 1)), 1.0).tolist())

    def weighted(self, weights: tuple[float, ...]) -> CrossEntropy:
        """The same loss with these weights."""
        return self.model_copy(update={"class_weights": weights})

    def ignores(self, number: int) -> bool:
        """Whether positions with this number in the target do not count."""
        return number == self.ignore_index

    def elements(self, output: Array, target: Array) -> Array:
        """-log p(target), computed stably from logits."""
        losses = -log_probabilities(output, self.from_logits)
        if self._weights is not None:
            losses = losses * jnp.asarray(self._weights, jnp.float32)
        wanted = of_target(losses, target)
        if self.label_smoothing:
            wanted = (1 - self.label_smoothing) * wanted + self.label_smoothing * losses.mean(-1)
        if self._weights is None or not self.weighted_mean:
            return wanted
        weight = self._weight(target)
        return wanted / jnp.where(weight > 0, weight, 1.0)  # the mean multiplies by the weight again

    def importance(self, target: Array) -> Array | None:
        """The weight of the target's class; 0 where it is ignored."""
        weighted = self._weights is not None and self.weighted_mean
        if not weighted and self.ignore_index is None:
            return None
        weight = self._weight(target)
        return weight if self.ignore_index is None else jnp.where(target == self.ignore_index, 0.0, weight)

    def _weight(self, target: Array) -> Array:
        if self._weights is None or not self.weighted_mean:
            return jnp.ones(target.shape, jnp.float32)
        weights = jnp.asarray(self._weights, jnp.float32)
        shape = target.shape if jnp.issubdtype(target.dtype, jnp.integer) else target.shape[:-1]
        found = of_target(jnp.broadcast_to(weights, (*shape, len(self._weights))), target)
        return jnp.where(jnp.isnan(found), 1.0, found)  # an invalid class must stay NaN

    def activate(self, output: Array) -> Array:
        """Probabilities."""
        return jax.nn.softmax(output, axis=-1) if self.from_logits else output

    def activations(self) -> tuple[str, ...]:
        """Softmax, unless the network applies it."""
        return ("softmax",) if self.from_logits else ()


def binary_logs(y: Array, from_logits: bool) -> tuple[Array, Array]:
    """Log p and log(1 - p) of float32 outputs."""
    if from_logits:
        return jax.nn.log_sigmoid(y), jax.nn.log_sigmoid(-y)
    p = jnp.clip(y, SMALL, 1 - SMALL)
    return jnp.log(p), jnp.log1p(-p)


class BinaryCrossEntropy(Loss):
    """(batch, 1) logits with (batch,) classes 0 and 1: -log p(target), p = sigmoid(output).

    Also (batch, *axes) with targets of the same shape between 0 and 1, such as (batch, labels) of 0 and 1 when several
    labels may hold at once; the mean over the axes. `label_smoothing` moves targets to t * (1 - s) + s / 2, as Keras
    does; `pos_weight` multiplies the part of class 1, as PyTorch's `BCEWithLogitsLoss` does.
    """

    word = "binary_cross_entropy"
    domain = PROBABILITIES
    from_logits: bool = main(True, description="whether the output is logits, without sigmoid")
    label_smoothing: float = option(0.0, ge=0, lt=1, description="how far targets move towards 1/2")
    pos_weight: Annotated[
        float | tuple[float, ...] | Literal["balanced"] | None, BeforeValidator(read_class_factor)
    ] = option(
        None,
        description="factor of class 1; a list has one for each entry of the last axis; `balanced`: n of 0 / n of 1",
    )

    examples = (
        LossExample("binary_cross_entropy", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("binary_cross_entropy", "f32[batch, 4, 4]", "f32[batch, 4, 4]"),
        LossExample("binary_cross_entropy: {from_logits: false}", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("binary_cross_entropy: {pos_weight: [1, 2, 3]}", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("binary_cross_entropy: {pos_weight: 3, label_smoothing: 0.1}", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("binary_cross_entropy: {pos_weight: balanced}", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("binary_cross_entropy: {pos_weight: [1, 2]}", "f32[batch, 3]", "f32[batch, 3]", error="DLC301"),
        LossExample("binary_cross_entropy: {pos_weight: 1}", "f32[batch, 1]", "i32[batch]<2", error="DLC303"),
        LossExample("binary_cross_entropy: {pos_weight: 0}", "f32[batch, 1]", "i32[batch]<2", error="DLC104"),
        LossExample("binary_cross_entropy", "f32[batch, 1]", "i32[batch]<3", error="DLC301"),
        LossExample("binary_cross_entropy", "f32[batch, 2]", "i32[batch]<2", error="DLC301"),
    )

    @model_validator(mode="after")
    def _idle(self) -> BinaryCrossEntropy:
        factors = (self.pos_weight,) if isinstance(self.pos_weight, float) else self.pos_weight
        if factors and not self.balances and set(factors) == {1.0}:
            message = "a `pos_weight` of 1 has no effect"
            raise reject(OptionError(("pos_weight",), "DLC303", message, hint="remove it", at_key=True))
        return self

    @property
    def balances(self) -> bool:
        """Whether `pos_weight` is `balanced`."""
        return self.pos_weight == BALANCED

    def class_weights_of(self, blocks: Iterable[NDArray[Any]], size: int) -> tuple[float, ...]:
        """The number of 0 / that of 1 for each entry of the last axis; 1 where one of them does not occur."""
        ones, count = np.zeros(size), 0
        for block in blocks:
            flat = block.reshape(-1, size)
            ones, count = ones + flat.sum(0, dtype=np.float64), count + len(flat)
        both = (ones > 0) & (ones < count)
        return tuple(np.where(both, (count - ones) / np.where(both, ones, 1), 1.0).tolist())

    def weighted(self, weights: tuple[float, ...]) -> BinaryCrossEntropy:
        """The same loss with these factors."""
        return self.model_copy(update={"pos_weight": weights})

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One logit per 0/1 target."""
        need_pairs(self.code, self.word, output, target)
        if isinstance(self.pos_weight, tuple):
            need_length("pos_weight", self.pos_weight, output.shape[-1] if output.rank > 1 else 1, "entry")

    def elements(self, output: Array, target: Array) -> Array:
        """-(t log p + (1 - t) log(1 - p)), computed stably from logits."""
        y, t = paired(output, target)
        if self.label_smoothing:
            t = t * (1 - self.label_smoothing) + self.label_smoothing / 2
        yes, no = binary_logs(y, self.from_logits)
        if self.pos_weight is not None and not self.balances:
            yes = yes * rows(jnp.broadcast_to(jnp.asarray(self.pos_weight, jnp.float32), output.shape))
        return -(t * yes + (1 - t) * no)

    def activate(self, output: Array) -> Array:
        """Probabilities of class 1."""
        return jax.nn.sigmoid(output) if self.from_logits else output

    def activations(self) -> tuple[str, ...]:
        """Sigmoid, unless the network applies it."""
        return ("sigmoid",) if self.from_logits else ()
