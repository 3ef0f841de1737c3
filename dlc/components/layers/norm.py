"""Normalization."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dlc.ir import (
    ONES,
    ZEROS,
    Context,
    Example,
    Layer,
    Normalized,
    Outcome,
    ParamSpec,
    RunningMean,
    Signature,
    TensorType,
    known_size,
    need_behind_mask,
    need_float,
    over,
)
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jnp, lax

if TYPE_CHECKING:
    from jax import Array


def affine(size: int, center: bool, scale: bool) -> dict[str, ParamSpec]:
    """The learned scale and bias of a normalization, as far as they are wanted."""
    params = {"scale": ParamSpec((size,), ONES, ("channels",))} if scale else {}
    return {**params, "bias": ParamSpec((size,), ZEROS, ("channels",))} if center else params


def averaging(mask: Array | None, rank: int) -> Callable[[Array, tuple[int, ...]], Array]:
    """The mean over axes, all of them kept at size 1, (batch, time) among the first; what a mask hides does not count.

    Where nothing counts the mean is 0.
    """
    if mask is None:
        return lambda x, axes: x.mean(axes, keepdims=True)
    real = over(mask, rank)  # (batch, time, 1, ...)

    def average(x: Array, axes: tuple[int, ...]) -> Array:
        counted = jnp.broadcast_to(real, x.shape).sum(axes, dtype=x.dtype, keepdims=True)
        total: Array = jnp.where(real, x, 0.0).sum(axes, keepdims=True)
        return total / jnp.maximum(counted, 1.0)

    return average


def need_vectors(x: TensorType, word: str) -> None:
    """Raise DLC204 or DLC207 unless `x` holds vectors of real numbers along its last axis."""
    need_float(x, word)
    if x.rank < 2:
        raise RuleViolation(
            "DLC204", f"`{word}` takes at least 2 axes", found=str(x), expected="f32[batch, ..., channels]"
        )


BIAS = "its bias, whatever the input"  # what norms that subtract a mean make of a single element


class BatchNorm(Layer):
    """(batch, *axes, channels) -> (batch, *axes, channels): each channel to mean 0, variance 1, then scale and bias.

    Training uses the batch's own mean and variance and moves the running ones towards them,
    `running = momentum * running + (1 - momentum) * batch`; evaluation uses the running ones
    (Ioffe and Szegedy 2015, arXiv:1502.03167). Masked positions count in neither.
    """

    word = "batch_norm"
    masks = "used"
    decoding = "pointwise"  # with the running statistics
    full_precision = True
    momentum: float = main(0.99, ge=0, lt=1, description="share of the running statistics that a step keeps")
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
        need_vectors(x, self.word)
        need_behind_mask(x, self.word)
        channels = known_size(x, -1, self.word)
        state = {
            "mean": ParamSpec((channels,), ZEROS, ("channels",), trainable=False, running=RunningMean(self.momentum)),
            "variance": ParamSpec(
                (channels,), ONES, ("channels",), trainable=False, running=RunningMean(self.momentum, 0.0)
            ),
        }
        return Signature(x, affine(channels, self.center, self.scale), state, flops=8 * x.size)

    def normalized(self, *inputs: TensorType) -> Normalized:
        """The elements of a channel, over the examples and positions of a batch."""
        hint = "raise `batch_size`, or normalize each example by itself: `layer_norm`, `group_norm`"
        return Normalized(inputs[0].shape[:-1], BIAS, hint)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Outcome:
        """(x - mean) / sqrt(variance + epsilon) * scale + bias, and the new running statistics."""
        mean, variance = weights["mean"], weights["variance"]
        state = {"mean": mean, "variance": variance}
        wide = x.astype(jnp.float32)
        if ctx.train and 0 not in x.shape:
            # One pass gives both moments. E[d^2] - E[d]^2 cancels when the mean is large beside the deviation, so
            # the distances are taken from one element of the batch: the error then stays below n * epsilon of the
            # variance.
            origin = lax.stop_gradient(wide[(0,) * (x.ndim - 1)])  # (channels,)
            away = wide - origin
            mean_of = averaging(ctx.mask, x.ndim)

            def average(values: Array) -> Array:
                return mean_of(values, tuple(range(x.ndim - 1))).reshape(-1)  # (channels,)

            drift = average(away)
            mean = origin + drift
            variance = jnp.maximum(average(away * away) - drift * drift, 0.0)
            keep: float | Array = self.momentum
            if ctx.mask is not None:
                keep = jnp.where(ctx.mask.any(), keep, 1.0)  # a batch of nothing but padding moves nothing
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
    decoding = "pointwise"
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
        need_vectors(x, self.word)
        size = known_size(x, -1, self.word)
        return Signature(x, affine(size, self.center, self.scale), flops=8 * x.size)

    def normalized(self, *inputs: TensorType) -> Normalized:
        """The last axis."""
        return Normalized(inputs[0].shape[-1:], BIAS)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """(x - mean) / sqrt(variance + epsilon) * scale + bias, along the last axis."""
        wide = x.astype(jnp.float32)
        centered = wide - wide.mean(-1, keepdims=True)
        y = centered * lax.rsqrt(jnp.square(centered).mean(-1, keepdims=True) + self.epsilon)
        if self.scale:
            y = y * weights["scale"]
        if self.center:
            y = y + weights["bias"]
        return y.astype(x.dtype)
