"""Pooling over whole axes, channels last."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

from dlc.components.layers.windows import Spatial, real_only
from dlc.ir import Context, Example, Signature, TensorType
from dlc.kernels.maxima import largest
from dlc.language.options import option
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array


# ---- over all positions ----


class GlobalPool(Spatial):
    """What pools over all positions share."""

    keep_dims: bool = option(False, description="keep the spatial axes, with size 1")

    def infer(self, x: TensorType) -> Signature:
        """The axes between batch and channels go."""
        self.need(x)
        kept = (1,) * self.rank if self.keep_dims else ()
        return Signature(x.resized(x.shape[0], *kept, x.shape[-1]).masked(False), flops=x.size)

    @property
    def places(self) -> tuple[int, ...]:
        """The spatial axes."""
        return tuple(range(1, self.rank + 1))


class GlobalMaxPool(GlobalPool):
    """The largest element of each channel."""

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The maximum over all positions that are real; 0 where there is none."""
        places = real_only(x, ctx.mask, -float("inf")).reshape(x.shape[0], prod(x.shape[1:-1]), x.shape[-1])
        y = largest(places, 1).reshape(x.shape[0], *(1,) * self.rank, x.shape[-1])
        if ctx.mask is not None:
            y = real_only(y, ctx.mask.any(axis=1, keepdims=True))
        return y if self.keep_dims else y.squeeze(self.places)


class GlobalAvgPool(GlobalPool):
    """The mean of each channel."""

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The mean over all positions that are real; 0 where there is none."""
        mask = ctx.mask
        if mask is None:
            return x.mean(axis=self.places, keepdims=self.keep_dims)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        total = real_only(x, ctx.mask).sum(axis=1, keepdims=True, dtype=wide)
        count = mask.sum(axis=1, keepdims=True, dtype=wide)[:, :, None]  # (batch, 1, 1)
        y: Array = (total / jnp.maximum(count, 1.0)).astype(x.dtype)
        return y if self.keep_dims else y.squeeze(1)


class GlobalMaxPool1D(GlobalMaxPool):
    """(batch, time, channels) -> (batch, channels): the largest element of each channel.

    Masked positions do not count; a sequence that is all padding gives 0.
    """

    word = "global_max_pool1d"
    rank = 1
    masks = "used"
    examples = (
        Example("global_max_pool1d", "f32[batch, time, 3] masked", "f32[batch, 3]"),
        Example("global_max_pool1d: {keep_dims: true}", "f32[batch, time, 3]", "f32[batch, 1, 3]"),
        Example("global_max_pool1d", "f32[batch, 4, 4, 3]", error="DLC204"),
    )


class GlobalMaxPool2D(GlobalMaxPool):
    """(batch, height, width, channels) -> (batch, channels): the largest element of each channel."""

    word = "global_max_pool2d"
    rank = 2
    examples = (
        Example("global_max_pool2d", "f32[batch, height, width, 3]", "f32[batch, 3]"),
        Example("global_max_pool2d", "f32[batch, 12]", error="DLC204"),
    )


class GlobalMaxPool3D(GlobalMaxPool):
    """(batch, depth, height, width, channels) -> (batch, channels): the largest element of each channel."""

    word = "global_max_pool3d"
    rank = 3
    examples = (
        Example("global_max_pool3d", "f32[batch, depth, 2, 3, 3]", "f32[batch, 3]"),
        Example("global_max_pool3d", "i32[batch, 2, 2, 3, 3]", error="DLC207"),
    )


class GlobalAvgPool1D(GlobalAvgPool):
    """(batch, time, channels) -> (batch, channels): the mean of each channel.

    Masked positions do not count; a sequence that is all padding gives 0.
    """

    word = "global_avg_pool1d"
    rank = 1
    masks = "used"
    examples = (
        Example("global_avg_pool1d", "f32[batch, time, 3] masked", "f32[batch, 3]"),
        Example("global_avg_pool1d: {keep_dims: true}", "f32[batch, time, 3] masked", "f32[batch, 1, 3]"),
        Example("global_avg_pool1d", "f32[batch, 3]", error="DLC204"),
    )


class GlobalAvgPool2D(GlobalAvgPool):
    """(batch, height, width, channels) -> (batch, channels): the mean of each channel.

    Lin et al. 2013, arXiv:1312.4400.
    """

    word = "global_avg_pool2d"
    rank = 2
    examples = (
        Example("global_avg_pool2d", "f32[batch, 4, 4, 3]", "f32[batch, 3]"),
        Example("global_avg_pool2d: {keep_dims: true}", "f32[batch, height, 4, 3]", "f32[batch, 1, 1, 3]"),
        Example("global_avg_pool2d", "f32[batch, 12]", error="DLC204"),
        Example("global_avg_pool2d: 2", "f32[batch, 4, 4, 3]", error="DLC106"),
    )


class GlobalAvgPool3D(GlobalAvgPool):
    """(batch, depth, height, width, channels) -> (batch, channels): the mean of each channel."""

    word = "global_avg_pool3d"
    rank = 3
    examples = (
        Example("global_avg_pool3d", "f32[batch, 2, height, 3, 3]", "f32[batch, 3]"),
        Example("global_avg_pool3d", "f32[batch, 4, 4, 3]", error="DLC204"),
    )
