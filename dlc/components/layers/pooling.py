"""Pooling, channels last: with a window, over all positions, and to a given size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import field_validator

from dlc.components.layers.windows import (
    AXES,
    Padding,
    Spatial,
    Window,
    known,
    padding_option,
    read_padding,
    real_only,
    size_option,
    with_past,
)
from dlc.ir import Context, Decoding, Example, Outcome, Signature, TensorType, over
from dlc.kernels.maxima import larger
from dlc.language.options import RuleViolation, main
from dlc.support.lazy import jnp, lax

if TYPE_CHECKING:
    from jax import Array


class Pool(Spatial):
    """What pools with a window share."""

    decoding: ClassVar[Decoding] = "cached"

    window: tuple[int, ...] = main(2, validate_default=True, description="size of the window")
    strides: tuple[int, ...] | None = size_option(None, "steps of the window; the window's size when left out")
    padding: Padding = padding_option()

    @field_validator("padding", mode="before")
    @classmethod
    def read_padding(cls, value: Any) -> Any:
        """A word, an amount, or amounts before and after each axis."""
        return read_padding(value, cls.rank, causal=False)

    @property
    def slide(self) -> Window:
        """The window that slides."""
        return Window(self.window, self.strides or self.window, (1,) * self.rank, self.padding)

    def infer(self, x: TensorType) -> Signature:
        """Sizes as the window goes."""
        self.need(x)
        self._need_covered()
        output = self.slide.output_type(x, x.shape[-1], self.word)
        cache = self.slide.cache(x)
        if cache:
            cache["real"] = TensorType(cache["past"].shape[:2], "bool")
        return Signature(output, flops=output.size * prod(self.window), cache=cache)

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The window must be causal."""
        self.slide.check_decoding(self.word)

    def _need_covered(self) -> None:
        """Raise DLC205 when a window could lie only in the padding, where there is nothing to pool."""
        if isinstance(self.padding, str):
            return
        for axis, pads, size in zip(AXES[self.rank], self.padding, self.window, strict=True):
            if max(pads) >= size:
                raise RuleViolation(
                    "DLC205",
                    f"the padding of `{self.word}` must be smaller than its window",
                    found=f"{axis}: padding {max(pads)}, window {size}",
                    expected=f"at most {size - 1}",
                    option="padding",
                )

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Any:
        """Each window pooled; what a mask hides does not count."""
        slide, real, cache = self.slide, ctx.mask, {}
        if ctx.decode:
            slide = slide.unpadded
            if ctx.cache:
                real = jnp.ones(x.shape[:2], bool) if real is None else real
                x, cache["past"] = with_past(x, ctx)
                real, cache["real"] = with_past(real, ctx, "real")
        y = self.pooled(slide, x, real)
        mask = self.masked(ctx.mask)
        if mask is None:
            return Outcome(y, cache=cache) if cache else y
        return Outcome(real_only(y, mask), mask=mask, cache=cache)

    def masked(self, mask: Array | None) -> Array | None:
        """The mask of the result: also false where a sequence has no real position, for there is nothing to pool."""
        if mask is None:
            return None
        if self.tiles:  # the mask's symbolic size is then that of the tiles
            windows, axes = self.tiled(mask[:, :, None])
            return windows.all(axis=axes)[:, :, 0]
        full = self.slide.masked(mask)
        return None if full is None else full & mask.any(axis=1, keepdims=True)

    def pooled(self, slide: Window, x: Array, mask: Array | None) -> Array:
        """The result of each window."""
        raise NotImplementedError

    @property
    def tiles(self) -> bool:
        """Whether the windows lie side by side, so that a reshape separates them."""
        return self.slide.strides == self.window and self.padding == "valid"

    def tiled(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        """The windows side by side, a rest at the edge cut off, and the axes inside a window.

        (B, H, W, C) -> (B, H // h, h, W // w, w, C) and (2, 4).
        """
        counts = [size // step for size, step in zip(x.shape[1:-1], self.window, strict=True)]
        kept = tuple(slice(count * step) for count, step in zip(counts, self.window, strict=True))
        parts = [part for pair in zip(counts, self.window, strict=True) for part in pair]
        axes = tuple(range(2, 2 * self.rank + 1, 2))
        return x[:, *kept].reshape(x.shape[0], *parts, x.shape[-1]), axes


class MaxPool(Pool):
    """The largest element of each window."""

    def pooled(self, slide: Window, x: Array, mask: Array | None) -> Array:
        """The maximum over each window."""
        x = real_only(x, mask, -float("inf"))
        if known(x):
            return slide.reduce(x, -float("inf"), larger)
        if self.tiles:
            windows, axes = self.tiled(x)
            return windows.max(axis=axes)
        return slide.combine(x, -float("inf"), lax.max)


class AvgPool(Pool):
    """The mean of each window."""

    def pooled(self, slide: Window, x: Array, mask: Array | None) -> Array:
        """The mean over each window's elements."""
        x = real_only(x, mask)
        if self.tiles:
            windows, axes = self.tiled(x)
            return windows.mean(axis=axes)
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        total = self.summed(slide, wide)
        return (total / self.count(slide, wide, mask)).astype(x.dtype)

    def count(self, slide: Window, x: Array, mask: Array | None) -> Array | int:
        """How many elements of each window are real."""
        if self.padding == "valid":
            return prod(self.window)  # a window that a mask hides a part of gives no real position
        real = jnp.ones((1, *x.shape[1:-1], 1), x.dtype)
        real = real if mask is None else real * over(mask, x)
        return jnp.maximum(self.summed(slide, real), 1.0)

    def summed(self, slide: Window, x: Array) -> Array:
        """The sum over each window's elements."""
        return slide.reduce(x, 0.0, add) if known(x) else slide.combine(x, 0.0, lax.add)


class MaxPool1D(MaxPool):
    """(batch, time, channels) -> (batch, time', channels): the largest element of each window.

    A masked sequence gives as many real positions as it would without its padding.
    """

    word = "max_pool1d"
    rank = 1
    masks = "used"
    examples = (
        Example("max_pool1d", "f32[batch, 7, 3]", "f32[batch, 3, 3]"),
        Example(
            "max_pool1d: {window: 3, strides: 2, padding: 1}",
            "f32[batch, time, 3] masked",
            "f32[batch, ((time - 1) // 2 + 1), 3] masked",
        ),
        Example("max_pool1d: {padding: same}", "f32[batch, time, 3] masked", error="DLC212"),
        Example("max_pool1d: {padding: causal}", "f32[batch, time, 3]", error="DLC104"),
        Example("max_pool1d: 9", "f32[batch, 8, 3]", error="DLC205"),
        Example("max_pool1d: 2", "f32[batch, 8, 8, 3]", error="DLC204"),
    )


class MaxPool2D(MaxPool):
    """(batch, height, width, channels) -> (batch, height', width', channels): the largest element of each window."""

    word = "max_pool2d"
    rank = 2
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


class MaxPool3D(MaxPool):
    """(batch, depth, height, width, channels) -> (batch, depth', height', width', channels): maxima of windows."""

    word = "max_pool3d"
    rank = 3
    examples = (
        Example("max_pool3d", "f32[batch, 4, 5, 2, 3]", "f32[batch, 2, 2, 1, 3]"),
        Example(
            "max_pool3d: {window: [1, 3, 2], strides: 2, padding: same}",
            "f32[batch, 3, 5, 2, 1]",
            "f32[batch, 2, 3, 1, 1]",
        ),
        Example("max_pool3d: 3", "f32[batch, 4, 5, 2, 3]", error="DLC205"),
        Example("max_pool3d: 2", "f32[batch, 8, 8, 3]", error="DLC204"),
    )


class AvgPool1D(AvgPool):
    """(batch, time, channels) -> (batch, time', channels): the mean of each window.

    Padding does not count: the mean is over the elements of the sequence. Masks as in `max_pool1d`.
    """

    word = "avg_pool1d"
    rank = 1
    masks = "used"
    examples = (
        Example("avg_pool1d", "f32[batch, 7, 3]", "f32[batch, 3, 3]"),
        Example(
            "avg_pool1d: {window: 3, strides: 1, padding: same}",
            "f32[batch, time, 3] masked",
            "f32[batch, time, 3] masked",
        ),
        Example("avg_pool1d: {padding: same}", "f32[batch, time, 3] masked", error="DLC212"),
        Example("avg_pool1d: {padding: [[2, 0]]}", "f32[batch, time, 3]", error="DLC205"),
    )


class AvgPool2D(AvgPool):
    """(batch, height, width, channels) -> (batch, height', width', channels): the mean of each window.

    Padding does not count: the mean is over the elements of the image.
    """

    word = "avg_pool2d"
    rank = 2
    examples = (
        Example("avg_pool2d: 2", "f32[batch, 8, 8, 3]", "f32[batch, 4, 4, 3]"),
        Example("avg_pool2d: {window: 2, strides: 1, padding: same}", "f32[batch, 3, 3, 1]", "f32[batch, 3, 3, 1]"),
        Example("avg_pool2d: {window: [2, 3], strides: [1, 2]}", "f32[batch, 4, 7, 2]", "f32[batch, 3, 3, 2]"),
        Example("avg_pool2d: {window: 2, padding: [[0, 2], [0, 0]]}", "f32[batch, 8, 8, 3]", error="DLC205"),
    )


class AvgPool3D(AvgPool):
    """(batch, depth, height, width, channels) -> (batch, depth', height', width', channels): means of windows.

    Padding does not count: the mean is over the elements of the volume.
    """

    word = "avg_pool3d"
    rank = 3
    examples = (
        Example("avg_pool3d", "f32[batch, 4, 5, 2, 3]", "f32[batch, 2, 2, 1, 3]"),
        Example(
            "avg_pool3d: {strides: [1, 2, 2], padding: [[1, 0], [0, 0], [0, 1]]}",
            "f32[batch, 3, 5, 2, 1]",
            "f32[batch, 3, 2, 1, 1]",
        ),
        Example("avg_pool3d: 2", "f32[batch, 8, 3]", error="DLC204"),
    )
