"""Pooling, channels last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dlc.ir import Example, Layer, Signature, TensorType, need_float, need_rank
from dlc.layers.windows import Padding2, lax_padding, window_sizes
from dlc.lazy import jnp, lax, np
from dlc.options import Size2, Wrong, main, option

if TYPE_CHECKING:
    from jax import Array

_AXES = "(batch, height, width, channels)"


class Pool2D(Layer):
    """What pools with a window share."""

    window: Size2 = main((2, 2), description="height and width of the window")
    strides: Size2 | None = option(None, description="steps of the window; the window's size when left out")
    padding: Padding2 = option("valid", description="valid, same, an amount, or [[top, bottom], [left, right]]")

    def infer(self, x: TensorType) -> Signature:
        """Sizes as the window goes."""
        need_rank(x, 4, self.word, _AXES)
        need_float(x, self.word)
        self._need_covered()
        sizes = window_sizes(x, self.window, self.steps, (1, 1), self.padding, self.word)
        output = x.resized(x.shape[0], *sizes, x.shape[3])
        return Signature(output, flops=output.size * self.window[0] * self.window[1])

    def _need_covered(self) -> None:
        """Raise DLC205 when a window could lie in the padding alone, where there is nothing to pool."""
        if isinstance(self.padding, str):
            return
        for axis, pads, size in zip(("height", "width"), self.padding, self.window, strict=True):
            if max(pads) >= size:
                raise Wrong(
                    "DLC205",
                    f"the padding of `{self.word}` must be smaller than its window",
                    found=f"{axis}: padding {max(pads)}, window {size}",
                    expected=f"at most {size - 1}",
                    option="padding",
                )

    @property
    def steps(self) -> tuple[int, int]:
        """The strides, defaults filled in."""
        return self.strides or self.window

    @property
    def tiles(self) -> bool:
        """Whether the windows lie side by side, so that a reshape separates them."""
        return self.steps == self.window and self.padding == "valid"

    def tiled(self, x: Array) -> Array:
        """(B, H, W, C) -> (B, H // h, h, W // w, w, C): the windows side by side, a rest at the edge cut off."""
        (h, w), (batch, height, width, channels) = self.window, x.shape
        x = x[:, : height // h * h, : width // w * w]
        return x.reshape(batch, height // h, h, width // w, w, channels)  # (B, H/h, h, W/w, w, C)

    def slide(self, x: Array, start: float, combine: Callable[..., Array]) -> Array:
        """Combine each window's elements, beginning with `start`."""
        dims, strides = (1, *self.window, 1), (1, *self.steps, 1)
        pads = lax_padding(self.padding)
        padding = pads if isinstance(pads, str) else [(0, 0), *pads, (0, 0)]
        # A numpy scalar stays a constant inside jit: lax then knows the operation and its gradient.
        result: Array = lax.reduce_window(x, np.asarray(start, x.dtype)[()], combine, dims, strides, padding)
        return result


class MaxPool2D(Pool2D):
    """(batch, height, width, channels) -> (batch, height', width', channels): the largest element of each window."""

    word = "max_pool2d"
    examples = (
        Example("max_pool2d", "f32[batch, 8, 8, 3]", "f32[batch, 4, 4, 3]"),
        Example("max_pool2d: {window: 3, strides: 2, padding: same}", "f32[batch, 7, 7, 1]", "f32[batch, 4, 4, 1]"),
        Example("max_pool2d: 2", "f32[batch, 7, 7, 1]", "f32[batch, 3, 3, 1]"),
        Example("max_pool2d: 9", "f32[batch, 8, 8, 3]", error="DLC205"),
        Example("max_pool2d: {window: 3, strides: 2, padding: 1}", "f32[batch, 6, 5, 1]", "f32[batch, 3, 3, 1]"),
        Example(
            "max_pool2d: {window: 3, strides: 2}",
            "f32[batch, height, 7, 1]",
            "f32[batch, ((height - 3) // 2 + 1), 3, 1]",
        ),
        Example("max_pool2d: {window: 2, padding: 2}", "f32[batch, 8, 8, 3]", error="DLC205"),
        Example("max_pool2d: 2", "f32[batch, 64]", error="DLC204"),
        Example("max_pool2d: 2", "i32[batch, 8, 8, 3]", error="DLC207"),
        Example("max_pool2d: 0", "f32[batch, 8, 8, 3]", error="DLC104"),
    )

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """The maximum over each window."""
        # A reshape is much faster than reduce_window and its select-and-scatter gradient on a CPU.
        if self.tiles:
            return self.tiled(x).max(axis=(2, 4))
        return self.slide(x, -float("inf"), lax.max)


class AvgPool2D(Pool2D):
    """(batch, height, width, channels) -> (batch, height', width', channels): the mean of each window.

    Padding does not count: the mean is over the elements of the image.
    """

    word = "avg_pool2d"
    examples = (
        Example("avg_pool2d: 2", "f32[batch, 8, 8, 3]", "f32[batch, 4, 4, 3]"),
        Example("avg_pool2d: {window: 2, strides: 1, padding: same}", "f32[batch, 3, 3, 1]", "f32[batch, 3, 3, 1]"),
        Example("avg_pool2d: {window: [2, 3], strides: [1, 2]}", "f32[batch, 4, 7, 2]", "f32[batch, 3, 3, 2]"),
        Example("avg_pool2d: {window: 2, padding: [[0, 2], [0, 0]]}", "f32[batch, 8, 8, 3]", error="DLC205"),
    )

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """The mean over each window's elements."""
        if self.tiles:
            return self.tiled(x).mean(axis=(2, 4))
        total = self.slide(x, 0.0, lax.add)
        count = self.slide(jnp.ones((1, *x.shape[1:3], 1), x.dtype), 0.0, lax.add)
        return total / count


class GlobalMaxPool2D(Layer):
    """(batch, height, width, channels) -> (batch, channels): the largest element of each channel."""

    word = "global_max_pool2d"
    examples = (
        Example("global_max_pool2d", "f32[batch, height, width, 3]", "f32[batch, 3]"),
        Example("global_max_pool2d", "f32[batch, 12]", error="DLC204"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The image axes go."""
        return _global(x, self.word)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """The maximum over height and width."""
        return x.max(axis=(1, 2))


class GlobalAvgPool2D(Layer):
    """(batch, height, width, channels) -> (batch, channels): the mean of each channel.

    Lin et al. 2013, arXiv:1312.4400.
    """

    word = "global_avg_pool2d"
    examples = (
        Example("global_avg_pool2d", "f32[batch, 4, 4, 3]", "f32[batch, 3]"),
        Example("global_avg_pool2d", "f32[batch, 12]", error="DLC204"),
        Example("global_avg_pool2d: 2", "f32[batch, 4, 4, 3]", error="DLC106"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The image axes go."""
        return _global(x, self.word)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """The mean over height and width."""
        return x.mean(axis=(1, 2))


def _global(x: TensorType, word: str) -> Signature:
    need_rank(x, 4, word, _AXES)
    need_float(x, word)
    return Signature(x.resized(x.shape[0], x.shape[3]), flops=x.size)
