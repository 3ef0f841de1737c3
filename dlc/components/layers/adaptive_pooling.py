"""Pooling to a given size, channels last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dlc.components.layers.windows import Spatial
from dlc.ir import Context, Example, Signature, TensorType
from dlc.language.options import main
from dlc.support.lazy import jnp, lax

if TYPE_CHECKING:
    from jax import Array


# ---- to a given size ----


class AdaptiveAvgPool(Spatial):
    """The mean of as many windows as are asked for."""

    size: tuple[int, ...] = main(description="positions of the result along each axis")

    def infer(self, x: TensorType) -> Signature:
        """The sizes asked for."""
        self.need(x)
        return Signature(x.resized(x.shape[0], *self.size, x.shape[-1]), flops=x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The mean from position floor(i * size / count) to ceil((i + 1) * size / count), along each axis in turn."""
        y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        for axis, count in enumerate(self.size, 1):
            size = x.shape[axis]
            index, place = jnp.arange(count)[:, None], jnp.arange(size)[None, :]
            first, end = index * size // count, -((index + 1) * -size // count)
            share = jnp.where((place >= first) & (place < end), 1.0 / (end - first), 0.0).astype(y.dtype)
            y = jnp.moveaxis(jnp.tensordot(y, share, (axis, 1), precision=lax.Precision.HIGHEST), -1, axis)
        return y.astype(x.dtype)


class AdaptiveAvgPool1D(AdaptiveAvgPool):
    """(batch, time, channels) -> (batch, size, channels): the mean of `size` windows that cover the sequence.

    Window i goes from position floor(i * time / size) to ceil((i + 1) * time / size), as in PyTorch.
    """

    word = "adaptive_avg_pool1d"
    rank = 1
    examples = (
        Example("adaptive_avg_pool1d: 3", "f32[batch, 7, 2]", "f32[batch, 3, 2]"),
        Example("adaptive_avg_pool1d: 2", "f32[batch, 7, 2, 3]", error="DLC204"),
        Example("adaptive_avg_pool1d", "f32[batch, 7, 2]", error="DLC102"),
    )


class AdaptiveAvgPool2D(AdaptiveAvgPool):
    """(batch, height, width, channels) -> (batch, *size, channels): the mean of windows that cover the image.

    Window i of n goes from position floor(i * size / n) to ceil((i + 1) * size / n), as in PyTorch.
    """

    word = "adaptive_avg_pool2d"
    rank = 2
    examples = (
        Example("adaptive_avg_pool2d: [2, 3]", "f32[batch, height, 5, 2]", "f32[batch, 2, 3, 2]"),
        Example("adaptive_avg_pool2d: 7", "f32[batch, 3, 7, 1]", "f32[batch, 7, 7, 1]"),
        Example("adaptive_avg_pool2d: 0", "f32[batch, 3, 7, 1]", error="DLC104"),
        Example("adaptive_avg_pool2d: 2", "f32[batch, 64]", error="DLC204"),
    )


class AdaptiveAvgPool3D(AdaptiveAvgPool):
    """(batch, depth, height, width, channels) -> (batch, *size, channels): the mean of windows that cover the volume.

    Window i of n goes from position floor(i * size / n) to ceil((i + 1) * size / n), as in PyTorch.
    """

    word = "adaptive_avg_pool3d"
    rank = 3
    examples = (
        Example("adaptive_avg_pool3d: [1, 2, 3]", "f32[batch, 2, 3, 4, 1]", "f32[batch, 1, 2, 3, 1]"),
        Example("adaptive_avg_pool3d: [1, 2]", "f32[batch, 2, 3, 4, 1]", error="DLC104"),
    )
