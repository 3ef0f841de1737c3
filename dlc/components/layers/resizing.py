"""Layers that change the sizes of sequences, images and volumes without weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import field_validator

from dlc.components.layers.axis_options import need_positions
from dlc.components.layers.windows import (
    AXES,
    SIDES,
    Pads,
    Spatial,
    Window,
    read_pads,
    real_only,
    scaled,
    shift_mask,
    shifted,
    size_option,
)
from dlc.ir import Context, Decoding, Example, Outcome, Signature, TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array

_TAPS = {"nearest": 0, "bilinear": 2, "bicubic": 4}
_METHODS = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}


_ALIGN = "align the centres of the corner pixels, as in PyTorch, instead of the edges of the image"
_CUBIC_A = "the parameter of bicubic: -0.5 by default (Keys 1981, Keras), with `align_corners` -0.75 (PyTorch)"


def resized(x: Array, sizes: Sequence[Any], interpolation: str, antialias: bool = False) -> Array:
    """Images at another size, pixels being squares: the centre of pixel i lies at (i + 1/2) / size."""
    shape = (x.shape[0], *sizes, x.shape[-1])
    result: Array = jax.image.resize(x, shape, _METHODS[interpolation], antialias=antialias)
    return result


def interpolated(x: Array, sizes: Sequence[Any], align_corners: bool, cubic_a: float | None) -> Array:
    """Images at another size as PyTorch's `interpolate` has them: pixels of the edge are repeated outside.

    Args:
        x: (batch, *axes, channels).
        sizes: the new sizes.
        align_corners: whether pixel i of n lies at i / (n - 1), otherwise at (i + 1/2) / n.
        cubic_a: the parameter of bicubic; None for bilinear.
    """
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis, size in enumerate(sizes, 1):
        matrix = _weights(y.shape[axis], size, align_corners, cubic_a)
        y = jnp.moveaxis(jnp.tensordot(y, matrix, [[axis], [1]]), -1, axis)
    return y.astype(x.dtype)


def _weights(before: Any, after: Any, align_corners: bool, cubic_a: float | None) -> Array:
    """(after, before): what each pixel of an axis contributes to each new one."""
    old, new = (jnp.asarray(size, jnp.float32) for size in (before, after))
    index = jnp.arange(after, dtype=jnp.float32)
    if align_corners:
        place = index * ((old - 1) / jnp.maximum(new - 1, 1))
    else:
        place = (index + 0.5) * (old / new) - 0.5
        place = place if cubic_a is not None else jnp.maximum(place, 0)
    left = jnp.floor(place)
    t = place - left
    taps = {0: 1 - t, 1: t} if cubic_a is None else {k: _cubic(jnp.abs(t - k), cubic_a) for k in (-1, 0, 1, 2)}
    pixels = jnp.arange(before, dtype=jnp.float32)
    found = [
        jnp.where(jnp.clip(left + k, 0, old - 1)[:, None] == pixels, weight[:, None], 0) for k, weight in taps.items()
    ]
    total: Array = sum(found[1:], start=found[0])
    return total


def _cubic(x: Array, a: float) -> Array:
    """The kernel of cubic convolution (Keys 1981, equation 4, with his a of -1/2 left open)."""
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return jnp.where(x <= 1, near, far)


def interpolation_errors(layer: Upsample2D | Resize) -> None:
    """Raise for options without effect on the interpolation of a layer."""
    if layer.align_corners and layer.interpolation == "nearest":
        message = "`align_corners` has no effect with `interpolation: nearest`"
        hint = "leave it out, or use bilinear or bicubic"
        because = ("align_corners", "interpolation")
        raise RuleViolation("DLC303", message, hint=hint, option="align_corners", because=because)
    if layer.cubic_a is not None and layer.interpolation != "bicubic":
        message = f"`cubic_a` has no effect with `interpolation: {layer.interpolation}`"
        hint, because = "leave it out, or use bicubic", ("cubic_a", "interpolation")
        raise RuleViolation("DLC303", message, hint=hint, option="cubic_a", because=because)


def enlarged(layer: Upsample2D | Resize, x: Array, sizes: Sequence[Any], antialias: bool = False) -> Array:
    """Images at another size with the interpolation and the definition that a layer's options select."""
    if not layer.align_corners and layer.cubic_a is None:
        return resized(x, sizes, layer.interpolation, antialias)
    a = -0.75 if layer.cubic_a is None else layer.cubic_a
    return interpolated(x, sizes, layer.align_corners, a if layer.interpolation == "bicubic" else None)


# ---- larger ----


class Upsample(Spatial):
    """Sizes times a factor along `rank` axes."""

    decoding: ClassVar[Decoding] = "pointwise"

    size: tuple[int, ...] = main(2, validate_default=True, description="factors of the sizes")

    def infer(self, x: TensorType) -> Signature:
        """Sizes times `size`."""
        self.need(x)
        sizes = [scaled(x.shape[axis], factor) for axis, factor in enumerate(self.size, 1)]
        return Signature(x.resized(x.shape[0], *sizes, x.shape[-1]).masked(x.mask))

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The first axis, which is the time axis, must stay."""
        need_positions(self.word, self.size[0] == 1, "it changes the size of axis 1")

    def repeated(self, x: Array) -> Array:
        """Each element as often as `size` specifies, along each spatial axis."""
        parts = [part for pair in zip(x.shape[1:-1], (1,) * self.rank, strict=True) for part in pair]
        wider = [part for pair in zip(x.shape[1:-1], self.size, strict=True) for part in pair]
        sizes = [size * factor for size, factor in zip(x.shape[1:-1], self.size, strict=True)]
        lead, channels = x.shape[0], x.shape[-1]
        wide = jnp.broadcast_to(x.reshape(lead, *parts, channels), (lead, *wider, channels))  # (B, H, h, W, w, C)
        return wide.reshape(lead, *sizes, channels)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Any:
        """Each position repeated, with its mask."""
        y = self.repeated(x)
        return y if ctx.mask is None else Outcome(y, mask=jnp.repeat(ctx.mask, self.size[0], axis=1))


class Upsample1D(Upsample):
    """(batch, time, channels) -> (batch, time * size, channels): each position repeated `size` times."""

    word = "upsample1d"
    rank = 1
    masks = "used"
    examples = (
        Example("upsample1d", "f32[batch, time, 3] masked", "f32[batch, (time * 2), 3] masked"),
        Example("upsample1d: 3", "f32[batch, 4, 1]", "f32[batch, 12, 1]"),
        Example("upsample1d: 2", "f32[batch, 4, 4, 1]", error="DLC204"),
        Example("upsample1d: 0", "f32[batch, 4, 1]", error="DLC104"),
    )


class Upsample2D(Upsample):
    """(batch, height, width, channels) -> (batch, height * size, width * size, channels): images enlarged.

    `nearest` repeats each pixel; `bilinear` interpolates linearly between the centres of pixels, `bicubic` with cubic
    curves. The centre of pixel i of n lies at (i + 1/2) / n, as in Keras and by default in PyTorch; with
    `align_corners: true` at i / (n - 1), as in PyTorch's `Upsample(align_corners=True)`.
    """

    word = "upsample2d"
    rank = 2
    interpolation: Literal["nearest", "bilinear", "bicubic"] = option(
        "nearest", description="nearest, bilinear or bicubic"
    )
    align_corners: bool = option(False, description=_ALIGN)
    cubic_a: float | None = option(None, ge=-1, lt=0, description=_CUBIC_A)
    static = frozenset({"cubic_a"})

    examples = (
        Example("upsample2d", "f32[batch, height, 4, 3]", "f32[batch, (height * 2), 8, 3]"),
        Example("upsample2d: {size: [1, 3], interpolation: bilinear}", "f32[batch, 3, 4, 1]", "f32[batch, 3, 12, 1]"),
        Example(
            "upsample2d: {interpolation: bilinear, align_corners: true}",
            "f32[batch, height, 4, 3]",
            "f32[batch, (height * 2), 8, 3]",
        ),
        Example("upsample2d: {interpolation: bicubic, cubic_a: -0.75}", "f32[batch, 3, 4, 1]", "f32[batch, 6, 8, 1]"),
        Example("upsample2d: {align_corners: true}", "f32[batch, 3, 4, 1]", error="DLC303"),
        Example("upsample2d: {interpolation: cubic}", "f32[batch, 3, 4, 1]", error="DLC104"),
        Example("upsample2d: [2, 2, 2]", "f32[batch, 3, 4, 1]", error="DLC104"),
        Example("upsample2d", "f32[batch, 64]", error="DLC204"),
        Example("upsample2d", "u8[batch, 3, 4, 3]", error="DLC207"),
    )

    def infer(self, x: TensorType) -> Signature:
        """Sizes times `size`."""
        interpolation_errors(self)
        return super().infer(x)

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The first axis, which is the time axis, must stay."""
        need_positions(self.word, self.size[0] == 1, "it changes the size of axis 1")

    def repeated(self, x: Array) -> Array:
        """Enlarged with the interpolation asked for."""
        if self.interpolation == "nearest":
            return super().repeated(x)
        sizes = [size * factor for size, factor in zip(x.shape[1:-1], self.size, strict=True)]
        return enlarged(self, x, sizes)


class Upsample3D(Upsample):
    """(batch, depth, height, width, channels) -> (batch, depth * size, height * size, width * size, channels)."""

    word = "upsample3d"
    rank = 3
    examples = (
        Example("upsample3d: [1, 2, 3]", "f32[batch, depth, 2, 2, 1]", "f32[batch, depth, 4, 6, 1]"),
        Example("upsample3d", "f32[batch, 4, 4, 1]", error="DLC204"),
    )


# ---- any size ----


class Resize(Spatial):
    """(batch, height, width, channels) -> (batch, *size, channels): images at another size.

    The centre of pixel i of n lies at (i + 1/2) / n, as in Keras and by default in PyTorch; with `align_corners: true`
    at i / (n - 1), so that corner pixels keep their values, as in PyTorch's `interpolate(align_corners=True)`. Bicubic
    has a = -1/2 (Keys 1981), as in Keras, and leaves out pixels outside of the image; PyTorch has a = -3/4 and repeats
    those of the edge, as here with `align_corners` or `cubic_a: -0.75`. Without `antialias` a much smaller image skips
    pixels.
    """

    word = "resize"
    size: tuple[int, ...] = main(description="new height and width: one integer for both, or a list of two")
    interpolation: Literal["nearest", "bilinear", "bicubic"] = option(
        "bilinear", description="nearest, bilinear or bicubic"
    )
    antialias: bool = option(False, description="average over all pixels when images become smaller")
    align_corners: bool = option(False, description=_ALIGN)
    cubic_a: float | None = option(None, ge=-1, lt=0, description=_CUBIC_A)
    static = frozenset({"cubic_a"})

    examples = (
        Example("resize: [4, 6]", "f32[batch, 8, 3, 1]", "f32[batch, 4, 6, 1]"),
        Example("resize: {size: 4, interpolation: nearest}", "f32[batch, 8, 3, 1]", "f32[batch, 4, 4, 1]"),
        Example(
            "resize: {size: 4, interpolation: bicubic, antialias: true}",
            "f32[batch, height, 3, 1]",
            "f32[batch, 4, 4, 1]",
        ),
        Example("resize: {size: [4, 1], align_corners: true}", "f32[batch, height, 3, 1]", "f32[batch, 4, 1, 1]"),
        Example(
            "resize: {size: 5, interpolation: bicubic, align_corners: true}",
            "f32[batch, 8, 3, 1]",
            "f32[batch, 5, 5, 1]",
        ),
        Example("resize: {size: 4, align_corners: true, antialias: true}", "f32[batch, 8, 3, 1]", error="DLC104"),
        Example("resize: {size: 4, cubic_a: -0.75}", "f32[batch, 8, 3, 1]", error="DLC303"),
        Example("resize: {size: 4, interpolation: nearest, antialias: true}", "f32[batch, 8, 3, 1]", error="DLC303"),
        Example("resize", "f32[batch, 8, 3, 1]", error="DLC102"),
        Example("resize: 4", "f32[batch, 8, 3]", error="DLC204"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The size asked for."""
        self.need(x)
        if self.antialias and self.interpolation == "nearest":
            raise RuleViolation(
                "DLC303",
                "`antialias` has no effect with `interpolation: nearest`",
                hint="leave it out, or use bilinear or bicubic",
                option="antialias",
                because=("interpolation",),
            )
        interpolation_errors(self)
        if self.antialias and (self.align_corners or self.cubic_a is not None):
            name = "align_corners" if self.align_corners else "cubic_a"
            message = f"`antialias` can't be combined with `{name}`"
            raise RuleViolation("DLC104", message, hint="leave one of them out", option="antialias")
        output = x.resized(x.shape[0], *self.size, x.shape[-1])
        return Signature(output, flops=2 * output.size * _TAPS[self.interpolation] ** 2)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The images at the new size."""
        return enlarged(self, x, self.size, self.antialias)


class PixelShuffle(Spatial):
    """(batch, height, width, channels) -> (batch, height * factor, width * factor, channels / factor^2): enlarged.

    The channels of a pixel become a square of pixels (Shi et al. 2016, arXiv:1609.05158). They are ordered (row of the
    square, column of the square, new channel), as in TensorFlow's `depth_to_space`; PyTorch's `PixelShuffle` puts the
    new channel first.
    """

    word = "pixel_shuffle"
    factor: int = main(2, ge=2, description="factor of height and width")

    examples = (
        Example("pixel_shuffle", "f32[batch, height, 3, 8]", "f32[batch, (height * 2), 6, 2]"),
        Example("pixel_shuffle: 3", "f32[batch, 2, 1, 9]", "f32[batch, 6, 3, 1]"),
        Example("pixel_shuffle: 3", "f32[batch, 2, 2, 8]", error="DLC205"),
        Example("pixel_shuffle: 1", "f32[batch, 2, 2, 8]", error="DLC104"),
        Example("pixel_shuffle", "f32[batch, 8]", error="DLC204"),
        Example("pixel_shuffle", "f32[batch, 2, 2, channels]", error="DLC203"),
    )

    def infer(self, x: TensorType) -> Signature:
        """Height and width times `factor`, channels through its square."""
        channels = self.channels(x)
        if channels % self.factor**2:
            raise RuleViolation(
                "DLC205",
                f"the square of `factor` must divide the {channels} channels",
                found=f"`{self.factor}`, squared {self.factor**2}",
                expected=f"a multiple of {self.factor**2} channels",
                option="factor",
            )
        sizes = [scaled(size, self.factor) for size in x.shape[1:3]]
        return Signature(x.resized(x.shape[0], *sizes, channels // self.factor**2))

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """Each pixel's channels as a square of pixels."""
        batch, height, width, channels = x.shape
        r, new = self.factor, channels // self.factor**2
        x = x.reshape(batch, height, width, r, r, new).swapaxes(2, 3)  # (B, H, r, W, r, C')
        return x.reshape(batch, height * r, width * r, new)


class Patches(Spatial):
    """(batch, height, width, channels) -> (batch, rows, columns, size * size * channels): images cut into patches.

    A patch's elements are ordered (row, column, channel), as those of a convolution's kernel: `patches` and then
    `dense` is a convolution.
    """

    word = "patches"
    size: tuple[int, ...] = main(description="height and width of a patch: one integer for both, or a list of two")
    strides: tuple[int, ...] | None = size_option(None, "steps from patch to patch; the patch's size when left out")
    padding: Literal["valid", "same"] = option(
        "valid", description="valid: whole patches only; same: zeros around the image"
    )

    examples = (
        Example("patches: 2", "f32[batch, 4, 7, 3]", "f32[batch, 2, 3, 12]"),
        Example("patches: {size: [3, 2], strides: 1}", "f32[batch, 5, 4, 1]", "f32[batch, 3, 3, 6]"),
        Example("patches: {size: 2, padding: same}", "f32[batch, 3, 5, 1]", "f32[batch, 2, 3, 4]"),
        Example("patches: 8", "f32[batch, 4, 7, 3]", error="DLC205"),
        Example("patches: 2", "f32[batch, 64]", error="DLC204"),
        Example("patches", "f32[batch, 4, 4, 1]", error="DLC102"),
    )

    @property
    def window(self) -> Window:
        """The window that slides."""
        return Window(self.size, self.strides or self.size, (1, 1), self.padding)

    def infer(self, x: TensorType) -> Signature:
        """Sizes as the window goes."""
        channels = self.channels(x)
        return Signature(self.window.output_type(x, prod(self.size) * channels, self.word))

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """What each window holds, in a row."""
        return self.window.patches(x)


# ---- edges ----


def _read_amounts(value: Any, rank: int) -> Any:
    found = read_pads(value, rank)
    if found is None:
        expected = f"an integer, or {SIDES[rank]}"
        raise reject(OptionError((), "DLC104", "not valid amounts", found=spell(value), expected=expected))
    return found


class ZeroPad(Spatial):
    """Zeros around `rank` axes."""

    decoding: ClassVar[Decoding] = "pointwise"

    padding: Pads = main(
        1, validate_default=True, description="zeros on all sides, or [[before, after], ...] for each axis"
    )

    @field_validator("padding", mode="before")
    @classmethod
    def read_padding(cls, value: Any) -> Any:
        """An amount, or amounts before and after each axis."""
        return _read_amounts(value, cls.rank)

    def infer(self, x: TensorType) -> Signature:
        """Sizes plus the zeros."""
        self.need(x)
        sizes = [shifted(x.shape[axis], sum(pads)) for axis, pads in enumerate(self.padding, 1)]
        return Signature(x.resized(x.shape[0], *sizes, x.shape[-1]).masked(x.mask))

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The first axis, which is the time axis, must stay."""
        need_positions(self.word, not any(self.padding[0]), "it changes the size of axis 1")

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Any:
        """Zeros before and after each axis; after the last real position of a masked sequence."""
        y = jnp.pad(real_only(x, ctx.mask), ((0, 0), *self.padding, (0, 0)))
        return y if ctx.mask is None else Outcome(y, mask=shift_mask(ctx.mask, -sum(self.padding[0])))


class ZeroPad1D(ZeroPad):
    """(batch, time, channels) -> (batch, time', channels): zeros before and after the sequence.

    In a masked sequence, zeros at the end follow its last real position.
    """

    word = "zero_pad1d"
    rank = 1
    masks = "used"
    examples = (
        Example("zero_pad1d", "f32[batch, 4, 3]", "f32[batch, 6, 3]"),
        Example("zero_pad1d: [[2, 1]]", "f32[batch, time, 3] masked", "f32[batch, (time + 3), 3] masked"),
        Example("zero_pad1d: [[2, 1], [0, 0]]", "f32[batch, time, 3]", error="DLC104"),
        Example("zero_pad1d", "f32[batch, 4, 4, 3]", error="DLC204"),
    )


class ZeroPad2D(ZeroPad):
    """(batch, height, width, channels) -> (batch, height', width', channels): zeros around the image."""

    word = "zero_pad2d"
    rank = 2
    examples = (
        Example("zero_pad2d: 2", "f32[batch, height, 4, 3]", "f32[batch, (height + 4), 8, 3]"),
        Example("zero_pad2d: [[0, 1], [2, 0]]", "f32[batch, 3, 4, 1]", "f32[batch, 4, 6, 1]"),
        Example("zero_pad2d: -1", "f32[batch, 3, 4, 1]", error="DLC104"),
        Example("zero_pad2d", "f32[batch, 64]", error="DLC204"),
    )


class ZeroPad3D(ZeroPad):
    """(batch, depth, height, width, channels) -> (batch, depth', height', width', channels): volumes padded."""

    word = "zero_pad3d"
    rank = 3
    examples = (
        Example("zero_pad3d: [[0, 1], [2, 0], [0, 0]]", "f32[batch, 1, 3, 4, 1]", "f32[batch, 2, 5, 4, 1]"),
        Example("zero_pad3d", "f32[batch, 3, 4, 1]", error="DLC204"),
    )


class Crop(Spatial):
    """Positions cut off along `rank` axes."""

    decoding: ClassVar[Decoding] = "pointwise"

    cropping: Pads = main(
        1, validate_default=True, description="positions cut off on all sides, or [[before, after], ...] for each axis"
    )

    @field_validator("cropping", mode="before")
    @classmethod
    def read_cropping(cls, value: Any) -> Any:
        """An amount, or amounts before and after each axis."""
        return _read_amounts(value, cls.rank)

    def infer(self, x: TensorType) -> Signature:
        """Sizes less what is cut off."""
        self.need(x)
        for name, size, ends in zip(AXES[self.rank], x.shape[1:], self.cropping, strict=False):
            if isinstance(size, int) and sum(ends) >= size:
                raise RuleViolation(
                    "DLC205",
                    f"`{self.word}` would leave nothing",
                    found=f"{name} {size}, {sum(ends)} cut off",
                    expected=f"at most {size - 1}",
                    option="cropping",
                )
        if x.mask and self.cropping[0][1]:
            raise RuleViolation(
                "DLC212",
                f"`{self.word}` would cut off padding after one sequence and data after another",
                found=str(x),
                hint="crop in front only: `cropping: [[1, 0]]`",
                option="cropping",
            )
        sizes = [shifted(x.shape[axis], -sum(ends)) for axis, ends in enumerate(self.cropping, 1)]
        return Signature(x.resized(x.shape[0], *sizes, x.shape[-1]).masked(x.mask))

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The first axis, which is the time axis, must stay."""
        need_positions(self.word, not any(self.cropping[0]), "it changes the size of axis 1")

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Any:
        """What lies between the ends."""
        kept = [slice(before, size - after) for size, (before, after) in zip(x.shape[1:], self.cropping, strict=False)]
        y = x[:, *kept]
        return y if ctx.mask is None else Outcome(y, mask=shift_mask(ctx.mask, self.cropping[0][0]))


class Crop1D(Crop):
    """(batch, time, channels) -> (batch, time', channels): positions cut off before and after the sequence."""

    word = "crop1d"
    rank = 1
    masks = "used"
    examples = (
        Example("crop1d", "f32[batch, 4, 3]", "f32[batch, 2, 3]"),
        Example("crop1d: [[2, 0]]", "f32[batch, time, 3] masked", "f32[batch, (time - 2), 3] masked"),
        Example("crop1d: 1", "f32[batch, time, 3] masked", error="DLC212"),
        Example("crop1d: 2", "f32[batch, 4, 3]", error="DLC205"),
        Example("crop1d", "f32[batch, 4, 4, 3]", error="DLC204"),
    )


class Crop2D(Crop):
    """(batch, height, width, channels) -> (batch, height', width', channels): edges cut off the image."""

    word = "crop2d"
    rank = 2
    examples = (
        Example("crop2d: [[0, 1], [2, 0]]", "f32[batch, height, 4, 1]", "f32[batch, (height - 1), 2, 1]"),
        Example("crop2d: [[0, 1], [2, 2]]", "f32[batch, 3, 4, 1]", error="DLC205"),
        Example("crop2d: all", "f32[batch, 3, 4, 1]", error="DLC104"),
    )


class Crop3D(Crop):
    """(batch, depth, height, width, channels) -> (batch, depth', height', width', channels): volumes cropped."""

    word = "crop3d"
    rank = 3
    examples = (
        Example("crop3d", "f32[batch, 3, 5, 4, 1]", "f32[batch, 1, 3, 2, 1]"),
        Example("crop3d: 1", "f32[batch, 3, 4, 1]", error="DLC204"),
    )
