"""Normalisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from dlc.ir import (
    ONES,
    ZEROS,
    Example,
    Layer,
    Masks,
    Outcome,
    ParamSpec,
    Signature,
    TensorType,
    known_size,
    need_behind_mask,
    need_float,
)
from dlc.layers.axes import place_of, with_mask
from dlc.lazy import jnp, lax
from dlc.options import Wrong, main, option

if TYPE_CHECKING:
    from jax import Array


def _affine(size: int, center: bool, scale: bool) -> dict[str, ParamSpec]:
    params = {"scale": ParamSpec((size,), ONES, ("channels",))} if scale else {}
    return {**params, "bias": ParamSpec((size,), ZEROS, ("channels",))} if center else params


def _averaging(mask: Array | None, rank: int) -> Callable[[Array, tuple[int, ...]], Array]:
    """The mean over axes, all of them kept at size 1, (batch, time) among the first; what a mask hides does not count.

    Where nothing counts the mean is 0.
    """
    if mask is None:
        return lambda x, axes: x.mean(axes, keepdims=True)
    real = mask.reshape(*mask.shape, *(1,) * (rank - 2))  # (batch, time, 1, ...)

    def average(x: Array, axes: tuple[int, ...]) -> Array:
        counted = jnp.broadcast_to(real, x.shape).sum(axes, dtype=x.dtype, keepdims=True)
        total: Array = jnp.where(real, x, 0.0).sum(axes, keepdims=True)
        return total / jnp.maximum(counted, 1.0)

    return average


def _need_vectors(x: TensorType, word: str) -> None:
    need_float(x, word)
    if x.rank < 2:
        raise Wrong("DLC204", f"`{word}` takes at least 2 axes", found=str(x), expected="f32[batch, ..., channels]")


class BatchNorm(Layer):
    """(batch, *axes, channels) -> (batch, *axes, channels): each channel to mean 0, variance 1, then scale and bias.

    Training uses the batch's own mean and variance and moves the running ones towards them,
    `running = momentum * running + (1 - momentum) * batch`; evaluation uses the running ones
    (Ioffe and Szegedy 2015, arXiv:1502.03167). What a mask hides counts in neither.
    """

    word = "batch_norm"
    masks = "used"
    full_precision = True
    momentum: float = main(0.99, ge=0, lt=1, description="how much of the running statistics a step keeps")
    epsilon: float = option(1e-3, gt=0, description="added to the variance")
    center: bool = option(True, description="learn a bias")
    scale: bool = option(True, description="learn a scale")

    examples = (
        Example("batch_norm", "f32[batch, 4, 4, 3]", "f32[batch, 4, 4, 3]", params=6, state=6),
        Example("batch_norm: {scale: false, momentum: 0.9}", "f32[batch, 5]", "f32[batch, 5]", params=5, state=10),
        Example("batch_norm", "f32[batch, time, 3] masked", "f32[batch, time, 3] masked", params=6, state=6),
        Example("batch_norm", "f32[batch, 5] masked", error="DLC212"),
        Example("batch_norm: 1.0", "f32[batch, 5]", error="DLC104"),
        Example("batch_norm", "f32[batch, width]", error="DLC203"),
        Example("batch_norm", "f32[batch]", error="DLC204"),
        Example("batch_norm", "i32[batch, 5]", error="DLC207"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays; weights and statistics are per channel."""
        _need_vectors(x, self.word)
        need_behind_mask(x, self.word)
        channels = known_size(x, -1, self.word)
        state = {
            "mean": ParamSpec((channels,), ZEROS, ("channels",), trainable=False),
            "variance": ParamSpec((channels,), ONES, ("channels",), trainable=False),
        }
        return Signature(x, _affine(channels, self.center, self.scale), state, flops=8 * x.size)

    def apply(
        self,
        weights: Mapping[str, Array],
        x: Array,
        *,
        key: Array | None,
        train: bool,
        masks: Sequence[Array | None] = (None,),
    ) -> Outcome:
        """(x - mean) / sqrt(variance + epsilon) * scale + bias, and the new running statistics."""
        mean, variance = weights["mean"], weights["variance"]
        state = {"mean": mean, "variance": variance}
        wide = x.astype(jnp.float32)
        if train and 0 not in x.shape:
            # One pass gives both moments. E[d^2] - E[d]^2 cancels when the mean is large beside the deviation, so the
            # distances are taken from one element of the batch: the error then stays below n * epsilon of the variance.
            origin = lax.stop_gradient(wide[(0,) * (x.ndim - 1)])  # (channels,)
            away = wide - origin
            averaging = _averaging(masks[0], x.ndim)

            def average(values: Array) -> Array:
                return averaging(values, tuple(range(x.ndim - 1))).reshape(-1)  # (channels,)

            drift = average(away)
            mean = origin + drift
            variance = jnp.maximum(average(away * away) - drift * drift, 0.0)
            keep: float | Array = self.momentum
            if masks[0] is not None:
                keep = jnp.where(masks[0].any(), keep, 1.0)  # a batch of nothing but padding moves nothing
            state = {
                "mean": keep * state["mean"] + (1 - keep) * lax.stop_gradient(mean),
                "variance": keep * state["variance"] + (1 - keep) * lax.stop_gradient(variance),
            }
        factor = lax.rsqrt(variance + self.epsilon)
        if self.scale:
            factor = factor * weights["scale"]
        y = (wide - mean) * factor  # subtracted first: x * factor - mean * factor would lose the digits of a large mean
        if self.center:
            y = y + weights["bias"]
        return Outcome(y.astype(x.dtype), state)


class LayerNorm(Layer):
    """(*lead, d) -> (*lead, d): each vector of the last axis to mean 0 and variance 1, then scale and bias.

    Ba et al. 2016, arXiv:1607.06450.
    """

    word = "layer_norm"
    masks = "pointwise"
    full_precision = True
    epsilon: float = main(1e-3, gt=0, description="added to the variance")
    center: bool = option(True, description="learn a bias")
    scale: bool = option(True, description="learn a scale")

    examples = (
        Example("layer_norm", "f32[batch, time, 6]", "f32[batch, time, 6]", params=12),
        Example("layer_norm: {center: false, scale: false}", "f32[batch, 6]", "f32[batch, 6]"),
        Example("layer_norm", "i32[batch, 6]", error="DLC207"),
        Example("layer_norm", "f32[batch]", error="DLC204"),
        Example("layer_norm", "f32[batch, width]", error="DLC203"),
        Example("layer_norm: 0", "f32[batch, 6]", error="DLC104"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays; weights are as long as the last axis."""
        _need_vectors(x, self.word)
        size = known_size(x, -1, self.word)
        return Signature(x, _affine(size, self.center, self.scale), flops=8 * x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """(x - mean) / sqrt(variance + epsilon) * scale + bias, along the last axis."""
        wide = x.astype(jnp.float32)
        centred = wide - wide.mean(-1, keepdims=True)
        y = centred * lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + self.epsilon)
        if self.scale:
            y = y * weights["scale"]
        if self.center:
            y = y + weights["bias"]
        return y.astype(x.dtype)


class RMSNorm(Layer):
    """(*lead, d) -> (*lead, d): each vector of the last axis to root mean square 1, then scale.

    x / sqrt(mean(x^2) + epsilon) * scale (Zhang and Sennrich 2019, arXiv:1910.07467).
    """

    word = "rms_norm"
    masks = "pointwise"
    full_precision = True
    epsilon: float = main(1e-6, gt=0, description="added to the mean of the squares")
    scale: bool = option(True, description="learn a scale")

    examples = (
        Example("rms_norm", "f32[batch, time, 6]", "f32[batch, time, 6]", params=6),
        Example("rms_norm: {epsilon: 1e-5, scale: false}", "f32[batch, 6]", "f32[batch, 6]"),
        Example("rms_norm", "i32[batch, 6]", error="DLC207"),
        Example("rms_norm", "f32[batch]", error="DLC204"),
        Example("rms_norm", "f32[batch, width]", error="DLC203"),
        Example("rms_norm: 0", "f32[batch, 6]", error="DLC104"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays; the scale is as long as the last axis."""
        _need_vectors(x, self.word)
        size = known_size(x, -1, self.word)
        return Signature(x, _affine(size, center=False, scale=self.scale), flops=5 * x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """X / sqrt(mean(x^2) + epsilon) * scale, along the last axis."""
        wide = x.astype(jnp.float32)
        y = wide * lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + self.epsilon)
        return (y * weights["scale"] if self.scale else y).astype(x.dtype)


class Grouped(Layer):
    """What the norms share that take statistics over the places of one example and a group of its channels."""

    masks: ClassVar[Masks] = "used"
    full_precision: ClassVar[bool] = True
    epsilon: float = option(1e-3, gt=0, description="added to the variance")
    center: bool = option(True, description="learn a bias")
    scale: bool = option(True, description="learn a scale")

    def groups_of(self, x: TensorType) -> int:
        """How many groups the channels form."""
        raise NotImplementedError

    def infer(self, x: TensorType) -> Signature:
        """The shape stays; weights are per channel."""
        _need_vectors(x, self.word)
        need_behind_mask(x, self.word)
        self.groups_of(x)
        return Signature(x, _affine(known_size(x, -1, self.word), self.center, self.scale), flops=8 * x.size)

    def apply(
        self,
        weights: Mapping[str, Array],
        x: Array,
        *,
        key: Array | None,
        train: bool,
        masks: Sequence[Array | None] = (None,),
    ) -> Array:
        """(x - mean) / sqrt(variance + epsilon) * scale + bias, each group of each example by itself."""
        groups = self.groups_of(TensorType(("batch", *x.shape[1:])))
        wide = x.astype(jnp.float32).reshape(*x.shape[:-1], groups, x.shape[-1] // groups)  # (B, *, G, C / G)
        axes = (*range(1, x.ndim - 1), x.ndim)
        average = _averaging(masks[0], x.ndim + 1)
        centred = wide - average(wide, axes)
        y = (centred * lax.rsqrt(average(jnp.square(centred), axes) + self.epsilon)).reshape(x.shape)
        y = y * weights["scale"] if self.scale else y
        y = y + weights["bias"] if self.center else y
        return y.astype(x.dtype)


class GroupNorm(Grouped):
    """(batch, *axes, channels) -> (batch, *axes, channels): each group of channels to mean 0, variance 1, by example.

    Then each channel gets its scale and bias (Wu and He 2018, arXiv:1803.08494). The statistics are those of the places
    that are not padding.
    """

    word = "group_norm"
    groups: int = main(32, ge=1, description="how many groups the channels form, side by side")

    examples = (
        Example("group_norm: 2", "f32[batch, 4, 4, 6]", "f32[batch, 4, 4, 6]", params=12),
        Example("group_norm: {groups: 3, scale: false}", "f32[batch, 6]", "f32[batch, 6]", params=6),
        Example("group_norm: 2", "f32[batch, time, 6] masked", "f32[batch, time, 6] masked", params=12),
        Example("group_norm: 2", "f32[batch, height, width, 4]", "f32[batch, height, width, 4]", params=8),
        Example("group_norm: 4", "f32[batch, 4, 4, 6]", error="DLC205"),
        Example("group_norm", "f32[batch, 4, 4, 6]", error="DLC205"),
        Example("group_norm: 0", "f32[batch, 6]", error="DLC104"),
        Example("group_norm: 2", "f32[batch, 6] masked", error="DLC212"),
        Example("group_norm: 2", "f32[batch, width]", error="DLC203"),
        Example("group_norm: 2", "f32[batch]", error="DLC204"),
        Example("group_norm: 2", "i32[batch, 6]", error="DLC207"),
    )

    def groups_of(self, x: TensorType) -> int:
        """`groups`, which must divide the channels."""
        channels = known_size(x, -1, self.word)
        if channels % self.groups:
            raise Wrong(
                "DLC205",
                "the groups of `group_norm` must divide the channels",
                found=f"{channels} channels, {self.groups} groups",
                expected=f"a divisor of {channels}",
                option="groups",
            )
        return self.groups


class InstanceNorm(Grouped):
    """(batch, *axes, channels) -> (batch, *axes, channels): each channel of each example to mean 0, variance 1.

    Then each channel gets its scale and bias: a group norm whose groups are single channels (Ulyanov et al. 2016,
    arXiv:1607.08022). The statistics are those of the places that are not padding.
    """

    word = "instance_norm"
    epsilon: float = main(1e-3, gt=0, description="added to the variance")

    examples = (
        Example("instance_norm", "f32[batch, 4, 4, 3]", "f32[batch, 4, 4, 3]", params=6),
        Example("instance_norm: {center: false}", "f32[batch, time, 3] masked", "f32[batch, time, 3] masked", params=3),
        Example("instance_norm", "f32[batch, 6]", error="DLC204"),
        Example("instance_norm", "f32[batch, 4, width]", error="DLC203"),
        Example("instance_norm", "i32[batch, 4, 6]", error="DLC207"),
    )

    def groups_of(self, x: TensorType) -> int:
        """One for each channel; a single number would always become 0."""
        if x.rank < 3:
            expected = "f32[batch, ..., channels] with at least one axis between"
            raise Wrong("DLC204", "`instance_norm` takes at least 3 axes", found=str(x), expected=expected)
        return known_size(x, -1, self.word)


def unit(x: Array, axis: int) -> Array:
    """X over its length along an axis; a vector shorter than 1e-6 counts as that long."""
    wide = x.astype(jnp.float32)
    square = jnp.square(wide).sum(axis, keepdims=True)
    return (wide * lax.rsqrt(jnp.maximum(square, 1e-12))).astype(x.dtype)


class L2Normalize(Layer):
    """(*shape) -> (*shape): each vector along an axis divided by its length, sqrt(sum(x^2)).

    A vector shorter than 1e-6 is divided by that.
    """

    word = "l2_normalize"
    masks = "pointwise"
    axis: int = main(-1, description="along which axis, the batch axis counted as 0; negative from the end")

    examples = (
        Example("l2_normalize", "f32[batch, time, 3]", "f32[batch, time, 3]"),
        Example("l2_normalize: 1", "f32[batch, time, 3]", "f32[batch, time, 3]"),
        Example("l2_normalize: 2", "f32[batch, time, 3] masked", "f32[batch, time, 3] masked"),
        Example("l2_normalize: 1", "f32[batch, time, 3] masked", error="DLC212"),
        Example("l2_normalize: 0", "f32[batch, 3]", error="DLC104"),
        Example("l2_normalize: 2", "f32[batch, 3]", error="DLC104"),
        Example("l2_normalize", "i32[batch, 3]", error="DLC207"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays."""
        need_float(x, self.word)
        axis = place_of(self.axis, x.rank, self.word)
        return Signature(with_mask(x, x, axis > 1, self.word, "it sums over the padding"), flops=3 * x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """X / sqrt(sum(x^2)) along the axis."""
        return unit(x, self.axis)
