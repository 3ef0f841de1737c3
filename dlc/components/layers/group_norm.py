"""Normalization by groups, by root mean square, and to unit length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from dlc.components.layers.axis_options import place_of, with_mask
from dlc.components.layers.norm import BIAS, affine, averaging, need_vectors
from dlc.diagnostics import plural
from dlc.ir import (
    Context,
    Example,
    Layer,
    Masks,
    Normalized,
    Signature,
    TensorType,
    known_size,
    need_behind_mask,
    need_float,
    refused_decoding,
)
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jnp, lax

if TYPE_CHECKING:
    from jax import Array


SIGN = "the sign of that element"  # what norms without a mean make of a single element


class RMSNorm(Layer):
    """(*lead, d) -> (*lead, d): each vector of the last axis to root mean square 1, then scale.

    x / sqrt(mean(x^2) + epsilon) * scale (Zhang and Sennrich 2019, arXiv:1910.07467).
    """

    word = "rms_norm"
    masks = "pointwise"
    decoding = "pointwise"
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
        need_vectors(x, self.word)
        size = known_size(x, -1, self.word)
        return Signature(x, affine(size, center=False, scale=self.scale), flops=5 * x.size)

    def normalized(self, *inputs: TensorType) -> Normalized:
        """The last axis."""
        return Normalized(inputs[0].shape[-1:], SIGN)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """X / sqrt(mean(x^2) + epsilon) * scale, along the last axis."""
        wide = x.astype(jnp.float32)
        y = wide * lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + self.epsilon)
        return (y * weights["scale"] if self.scale else y).astype(x.dtype)


class Grouped(Layer):
    """What the norms share that take statistics over the positions of one example and a group of its channels."""

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
        need_vectors(x, self.word)
        need_behind_mask(x, self.word)
        self.groups_of(x)
        return Signature(x, affine(known_size(x, -1, self.word), self.center, self.scale), flops=8 * x.size)

    def normalized(self, *inputs: TensorType) -> Normalized:
        """The positions and channels of a group."""
        x = inputs[0]
        return Normalized((*x.shape[1:-1], known_size(x, -1, self.word) // self.groups_of(x)), BIAS)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """(x - mean) / sqrt(variance + epsilon) * scale + bias, each group of each example by itself."""
        groups = self.groups_of(TensorType(("batch", *x.shape[1:])))
        wide = x.astype(jnp.float32).reshape(*x.shape[:-1], groups, x.shape[-1] // groups)  # (B, *, G, C / G)
        axes = (*range(1, x.ndim - 1), x.ndim)
        average = averaging(ctx.mask, x.ndim + 1)
        centered = wide - average(wide, axes)
        y = (centered * lax.rsqrt(average(jnp.square(centered), axes) + self.epsilon)).reshape(x.shape)
        y = y * weights["scale"] if self.scale else y
        y = y + weights["bias"] if self.center else y
        return y.astype(x.dtype)


class GroupNorm(Grouped):
    """(batch, *axes, channels) -> (batch, *axes, channels): each group of channels to mean 0, variance 1, by example.

    Then each channel gets its scale and bias (Wu and He 2018, arXiv:1803.08494). The statistics are those of the
    positions that are not padding.
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
            raise RuleViolation(
                "DLC205",
                "the groups of `group_norm` must divide the channels",
                found=f"{plural(channels, 'channel')}, {plural(self.groups, 'group')}",
                expected=f"a divisor of {channels}",
                option="groups",
            )
        return self.groups


class InstanceNorm(Grouped):
    """(batch, *axes, channels) -> (batch, *axes, channels): each channel of each example to mean 0, variance 1.

    Then each channel gets its scale and bias: a group norm whose groups are single channels (Ulyanov et al. 2016,
    arXiv:1607.08022). The statistics are those of the positions that are not padding.
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
            raise RuleViolation("DLC204", "`instance_norm` takes at least 3 axes", found=str(x), expected=expected)
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
    decoding = "pointwise"
    axis: int = main(-1, description="axis of the vectors: 0 is the batch axis, negative numbers count from the end")

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

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """Each position by itself, unless its vectors lie along the time axis."""
        super().check_decoding(inputs, stepped)
        if place_of(self.axis, inputs[0].rank, self.word) == 1:
            raise refused_decoding(self.word, "it sums over the time axis")

    def normalized(self, *inputs: TensorType) -> Normalized:
        """The axis."""
        x = inputs[0]
        return Normalized((x.shape[place_of(self.axis, x.rank, self.word)],), SIGN)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """X / sqrt(sum(x^2)) along the axis."""
        return unit(x, self.axis)
