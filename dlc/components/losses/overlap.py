"""Losses of overlap: how well a predicted region covers the true one."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from pydantic import model_validator

from dlc.components.losses.loss import Loss, LossExample, Score
from dlc.components.losses.shape_checks import need_classes, need_pairs
from dlc.components.losses.value_checks import need_scores_behind_mask
from dlc.components.value_ranges import PROBABILITIES
from dlc.ir import TensorType
from dlc.language.options import OptionError, main, option, reject
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class Overlap(Loss):
    """Shared by overlap losses: probabilities, and for each class the overlap, false and missed parts of its region."""

    domain = PROBABILITIES
    from_logits: bool = main(True, description="whether the output is logits, without softmax (one score: sigmoid)")
    smooth: float = option(1.0, gt=0, description="added to numerator and denominator, so that an absent class gives 0")
    per_batch: bool = option(False, description="treat the regions of a batch as one region")

    @property
    def in_batch(self) -> bool:
        """Whether the batch counts as one region."""
        return self.per_batch

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One score per class, or one score for region and background."""
        need_scores_behind_mask(self.word, output)
        if output.rank > 1 and output.shape[-1] == 1:
            need_pairs(self.code, self.word, output, target)
        else:
            need_classes(self.code, self.word, output, target)

    def index(self, hit: Array, extra: Array, lost: Array) -> Array:
        """The overlap, 0 to 1, from the common, false and missed parts of a region."""
        raise NotImplementedError

    def apply(self, output: Array, target: Array, mask: Array | None = None, real: Array | None = None) -> Score:
        """1 - the overlap, the mean over classes."""
        size, classes = output.shape[0], output.shape[-1]
        positions = prod(output.shape[1:-1])
        p = self.activate(output.astype(jnp.float32)).reshape(size, positions, classes)
        if jnp.issubdtype(target.dtype, jnp.integer) and classes > 1:
            known = (target >= 0) & (target < classes)
            t = (target[..., None] == jnp.arange(classes, dtype=target.dtype)).astype(jnp.float32)
            t = jnp.where(known[..., None], t, jnp.nan)  # an invalid class must not be hidden
        else:
            t = target.astype(jnp.float32)
        t = t.reshape(size, positions, classes)
        weight = jnp.ones(size, jnp.float32)
        if mask is not None:
            there = jnp.repeat(mask, positions // mask.shape[1], axis=1)[:, :, None]
            p, t = jnp.where(there, p, 0.0), jnp.where(there, t, 0.0)
            weight = mask.any(1).astype(jnp.float32)
        parts = [(p * t).sum(1), (p * (1 - t)).sum(1), ((1 - p) * t).sum(1)]  # (batch, classes) each
        if self.per_batch:
            if real is not None:
                parts = [jnp.where(real[:, None], part, 0.0) for part in parts]
            parts = [jnp.broadcast_to(part.sum(0), part.shape) for part in parts]
        return Score((1 - self.index(*parts)).mean(-1) * weight, weight)

    def activate(self, output: Array) -> Array:
        """Probabilities."""
        if not self.from_logits:
            return output
        return jax.nn.sigmoid(output) if output.shape[-1] == 1 else jax.nn.softmax(output, axis=-1)

    def activations(self) -> tuple[str, ...]:
        """Softmax, or sigmoid for one score, unless the network applies it."""
        return ("softmax", "sigmoid") if self.from_logits else ()


class Dice(Overlap):
    """(batch, *axes, classes) logits with (batch, *axes) classes: 1 - (2 * I + smooth) / (P + T + smooth).

    I, P and T are the sums over the axes of p * t, p and t, for each class; then the mean over classes (Milletari et
    al. 2016, arXiv:1606.04797, without their squares; MONAI's `DiceLoss`). p is softmax(output), or sigmoid(output) of
    one score. The target may also be one-hot rows, or 0 and 1 for one score. Computed per example, unless
    `per_batch`.
    """

    word = "dice"
    examples = (
        LossExample("dice", "f32[batch, 4, 4, 3]", "i32[batch, 4, 4]<3"),
        LossExample("dice", "f32[batch, 4, 4, 1]", "f32[batch, 4, 4, 1]"),
        LossExample("dice: {from_logits: false, smooth: 1e-5}", "f32[batch, 4, 3]", "f32[batch, 4, 3]"),
        LossExample("dice: {per_batch: true}", "f32[batch, 3]", "i32[batch]<3"),
        LossExample("dice: {smooth: 0}", "f32[batch, 3]", "i32[batch]<3", error="DLC104"),
        LossExample("dice", "f32[batch, 4, 4, 3]", "i32[batch, 4]<3", error="DLC301"),
    )

    def index(self, hit: Array, extra: Array, lost: Array) -> Array:
        """2 I / (P + T)."""
        return (2 * hit + self.smooth) / (2 * hit + extra + lost + self.smooth)


class Jaccard(Overlap):
    """(batch, *axes, classes) logits with (batch, *axes) classes: 1 - (I + smooth) / (P + T - I + smooth).

    The soft intersection over union: I, P and T are the sums over the axes of p * t, p and t, for each class; then the
    mean over classes. p is softmax(output), or sigmoid(output) of one score. The target may also be one-hot rows, or 0
    and 1 for one score. Computed per example, unless `per_batch`.
    """

    word = "jaccard"
    examples = (
        LossExample("jaccard", "f32[batch, 4, 4, 3]", "i32[batch, 4, 4]<3"),
        LossExample("jaccard", "f32[batch, 4, 4, 1]", "f32[batch, 4, 4]"),
        LossExample("jaccard", "f32[batch, 4, 3]", "f32[batch, 4, 2]", error="DLC301"),
    )

    def index(self, hit: Array, extra: Array, lost: Array) -> Array:
        """I / (P + T - I)."""
        return (hit + self.smooth) / (hit + extra + lost + self.smooth)


class Tversky(Overlap):
    """(batch, *axes, classes) logits with (batch, *axes) classes: 1 - (I + s) / (I + alpha * F + beta * M + s).

    I, F and M are the sums over the axes of p * t, p * (1 - t) and (1 - p) * t, for each class, s is `smooth`; then the
    mean over classes (Salehi et al. 2017, arXiv:1706.05721). A beta above alpha finds more of a rare class; Keras'
    `Tversky` has 0.5 for both, and its alpha weighs what is missed. p is softmax(output), or sigmoid(output) of one
    score. The target may also be one-hot rows, or 0 and 1 for one score. Computed per example, unless `per_batch`.
    """

    word = "tversky"
    alpha: float = option(0.3, ge=0, description="weight of false positives")
    beta: float = option(0.7, ge=0, description="weight of false negatives")
    examples = (
        LossExample("tversky", "f32[batch, 4, 4, 3]", "i32[batch, 4, 4]<3"),
        LossExample("tversky: {alpha: 0, beta: 1}", "f32[batch, 4, 1]", "f32[batch, 4]"),
        LossExample("tversky: {alpha: 0, beta: 0}", "f32[batch, 4, 1]", "f32[batch, 4]", error="DLC104"),
        LossExample("tversky", "f32[batch, 4, 3]", "f32[batch, 4, 2]", error="DLC301"),
    )

    @model_validator(mode="after")
    def _counts(self) -> Tversky:
        if self.alpha == self.beta == 0:
            raise reject(OptionError((), "DLC104", "`alpha` and `beta` are both 0: no mistake would count"))
        return self

    def index(self, hit: Array, extra: Array, lost: Array) -> Array:
        """I / (I + alpha F + beta M)."""
        return (hit + self.smooth) / (hit + self.alpha * extra + self.beta * lost + self.smooth)
