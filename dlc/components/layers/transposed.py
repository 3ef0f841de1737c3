"""Transposed convolutions, channels last."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import field_validator

from dlc.components.layers.activations import Activation
from dlc.components.layers.conv import ACTIVATION, BIAS, DILATION, KERNEL, MOST_GROWTH, Convolution, numbers
from dlc.components.layers.windows import AXES, Padding, Pads, Window, known, read_padding, scaled, size_option
from dlc.ir import Context, Dim, Example, Signature, TensorType
from dlc.kernels.products import product
from dlc.kernels.selection import REST, Operation
from dlc.language.options import RuleViolation, main, option, read_sizes
from dlc.support.lazy import jax, jnp, lax

if TYPE_CHECKING:
    from jax import Array


class Spread(NamedTuple):
    """Windows that put what a position holds where a convolution's windows would meet it.

    Args:
        window: the windows, unpadded.
        pads: zeros before and after each axis of the input, its positions spread by the strides, as XLA has them.
    """

    window: Window
    pads: Pads


def by_spreading(spread: Spread, x: Array, kernel: Array) -> Array:
    """(batch, *axes, channels), (*window, filters, channels) -> (batch, *axes', filters): XLA's own operation."""
    return lax.conv_transpose(
        x,
        kernel,
        spread.window.strides,
        spread.pads,
        rhs_dilation=spread.window.dilation,
        dimension_numbers=numbers(len(spread.pads)),
        transpose_kernel=True,
    )


def by_patches(spread: Spread, x: Array, kernel: Array) -> Array:
    """The same as one matrix product, whose patches are added up where they overlap."""
    window, pads = spread
    patches = product(x, jnp.moveaxis(kernel, -1, 0).reshape(kernel.shape[-1], -1))
    sizes = [
        (size - 1) * step + extent
        for size, step, extent in zip(x.shape[1:-1], window.strides, window.extent, strict=True)
    ]
    whole = jax.ShapeDtypeStruct((x.shape[0], *sizes, kernel.shape[-2]), patches.dtype)
    (y,) = jax.linear_transpose(window.patches, whole)(patches)
    edges = [(low + 1 - extent, high + 1 - extent, 0) for (low, high), extent in zip(pads, window.extent, strict=True)]
    result: Array = lax.pad(y, jnp.zeros((), y.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    return result


def _fitting(_spread: Spread, x: Array, _kernel: Array) -> tuple[str, ...]:
    """The variants of a transposed convolution: symbolic sizes have no patches."""
    return ("xla", "product") if known(x) else ("xla",)


def _table(spread: Spread, x: Array, _kernel: Array) -> dict[str, str]:
    """By measurement, see docs/performance.md."""
    small = prod(spread.window.size) / prod(spread.window.strides) <= MOST_GROWTH
    return {"cpu": "product" if known(x) and small else "xla", REST: "xla"}


TRANSPOSED = Operation("transposed convolution", {"xla": by_spreading, "product": by_patches}, _fitting, _table)


class ConvTranspose(Convolution):
    """The transpose of a convolution along `rank` axes."""

    filters: int = main(ge=1, description="count of output channels")
    kernel: tuple[int, ...] = size_option(3, KERNEL)
    strides: tuple[int, ...] = size_option(1, "factors by which the sizes grow")
    padding: Padding = option(
        "valid",
        description="valid: what each window gives; same: size * stride; an amount that is cut off on all sides, as in "
        "PyTorch, or [[before, after], ...] for each axis",
    )
    output_padding: tuple[int, ...] | None = option(
        None, description="positions added after each axis, fewer than its stride; as `padding` needs when left out"
    )
    dilation: tuple[int, ...] = size_option(1, DILATION)
    use_bias: bool = option(True, description=BIAS)
    activation: Activation = option(None, description=ACTIVATION)

    @field_validator("padding", mode="before")
    @classmethod
    def read_padding(cls, value: Any) -> Any:
        """A word, an amount, or amounts before and after each axis."""
        return read_padding(value, cls.rank, causal=False)

    @field_validator("output_padding", mode="before")
    @classmethod
    def read_output_padding(cls, value: Any) -> Any:
        """One integer for all axes, or a list of one for each."""
        return None if value is None else read_sizes(value, cls.rank, 0)

    def pads(self, axis: int) -> tuple[int, int]:
        """Zeros before and after the input, its positions spread by the stride: as Keras has them for words.

        Amounts of padding are those of the convolution that is transposed, as in PyTorch: that many positions of the
        result are cut off, before `output_padding` adds some at the end.
        """
        extent, stride = (self.kernel[axis] - 1) * self.dilation[axis] + 1, self.strides[axis]
        extra = None if self.output_padding is None else self.output_padding[axis]
        if self.padding == "valid":
            return extent - 1, extent - 1 + (max(stride - extent, 0) if extra is None else extra)
        if not isinstance(self.padding, str):
            before, after = self.padding[axis]
            return extent - 1 - before, extent - 1 - after + (extra or 0)
        total = stride + extent - 2 if extra is None else extent + extent % 2 - 2 + extra
        before = min(total // 2 + total % 2, extent - 1)
        return before, total - before

    def size(self, size: Dim, axis: int) -> Dim:
        """The new size of an axis: (size - 1) * stride + 1, padded, as the window goes.

        Raises:
            RuleViolation: DLC205 when no position is left.
        """
        extent, stride = (self.kernel[axis] - 1) * self.dilation[axis] + 1, self.strides[axis]
        grown = scaled(size, stride, 2 - stride - extent + sum(self.pads(axis)))
        if isinstance(grown, int) and grown < 1:
            raise RuleViolation(
                "DLC205",
                f"`{self.word}` leaves no positions",
                found=f"{AXES[self.rank][axis]} {size}, which becomes {grown}",
                expected="a size of at least 1",
                hint="leave it out, and the result has `size * stride` positions",
                option="output_padding",
            )
        return grown

    def infer(self, x: TensorType) -> Signature:
        """Sizes grow by the strides; channels become `filters`."""
        channels = self.channels(x)
        if max(self.strides) > 1 and max(self.dilation) > 1:
            raise RuleViolation(
                "DLC104",
                f"`{self.word}` can't have strides and dilation together",
                found=f"strides {list(self.strides)}, dilation {list(self.dilation)}",
                expected="one of them 1",
                option="dilation",
            )
        for extra, stride in zip(self.output_padding or (), self.strides, strict=False):
            if extra >= stride:
                raise RuleViolation(
                    "DLC104",
                    "`output_padding` must be less than the stride",
                    found=f"output_padding {extra}, stride {stride}",
                    expected=f"at most {stride - 1}",
                    option="output_padding",
                )
        self._need_amounts()
        sizes = [self.size(x.shape[axis + 1], axis) for axis in range(self.rank)]
        output = x.resized(x.shape[0], *sizes, self.filters)
        kernel = self.kernel_of(self.kernel, self.filters, channels, (channels, self.filters), ("out", "in"))
        flops = x.size * 2 * prod(self.kernel) * self.filters
        return self.sign(output, {"kernel": kernel}, flops, self.use_bias, self.activation)

    def _need_amounts(self) -> None:
        """Raise DLC104 for amounts of padding that are not smaller than the window."""
        if isinstance(self.padding, str):
            return
        for name, amounts, kernel, dilation in zip(
            AXES[self.rank], self.padding, self.kernel, self.dilation, strict=True
        ):
            extent = (kernel - 1) * dilation + 1
            if max(amounts) >= extent:
                raise RuleViolation(
                    "DLC104",
                    "`padding` must be smaller than the window",
                    found=f"{name} {max(amounts)}, a window of {extent}",
                    expected=f"at most {extent - 1}",
                    option="padding",
                )

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Any:
        """activation(conv_transpose(x, kernel) + bias)."""
        spread = Spread(
            Window(self.kernel, self.strides, self.dilation, "valid"),
            tuple(self.pads(axis) for axis in range(self.rank)),
        )
        y = TRANSPOSED(spread, x, weights["kernel"])
        return self.finished(y, weights, self.activation)


class Conv1DTranspose(ConvTranspose):
    """(batch, time, channels) -> (batch, time', filters): the transpose of a convolution along time.

    The kernel is (kernel, filters, channels), drawn Glorot uniform. `valid` gives (time - 1) * stride +
    max(kernel, stride) positions, `same` time * stride (Dumoulin and Visin 2016, arXiv:1603.07285). `same` is that of
    Keras and TensorFlow, which cut off more at the end than at the start where both can't be equal. PyTorch has none:
    `padding: 1, output_padding: 1` is its `ConvTranspose1d(..., 3, stride=2, padding=1, output_padding=1)`.
    """

    word = "conv1d_transpose"
    rank = 1
    examples = (
        Example("conv1d_transpose: {filters: 2, strides: 2}", "f32[batch, 4, 3]", "f32[batch, 9, 2]", params=20),
        Example(
            "conv1d_transpose: {filters: 2, kernel: 4, strides: 2, padding: same}",
            "f32[batch, time, 1]",
            "f32[batch, (time * 2), 2]",
            params=10,
        ),
        Example("conv1d_transpose: {filters: 2, dilation: 2, strides: 2}", "f32[batch, 4, 3]", error="DLC104"),
        Example("conv1d_transpose: {filters: 2, padding: causal}", "f32[batch, 4, 3]", error="DLC104"),
        Example("conv1d_transpose: 2", "f32[batch, 4, 4, 3]", error="DLC204"),
    )


class Conv2DTranspose(ConvTranspose):
    """(batch, height, width, channels) -> (batch, height', width', filters): the transpose of a 2-D convolution.

    The kernel is (kernel height, kernel width, filters, channels), drawn Glorot uniform. `valid` gives
    (size - 1) * stride + max(kernel, stride) positions, `same` size * stride (Dumoulin, Visin 2016, arXiv:1603.07285).
    `same` is that of Keras and TensorFlow, which cut off more at the end than at the start where both can't be equal.
    PyTorch has none: `padding: 1, output_padding: 1` is its `ConvTranspose2d(..., 3, stride=2, padding=1,
    output_padding=1)`.
    """

    word = "conv2d_transpose"
    rank = 2
    examples = (
        Example(
            "conv2d_transpose: {filters: 2, strides: 2, padding: same}",
            "f32[batch, 3, width, 3]",
            "f32[batch, 6, (width * 2), 2]",
            params=56,
        ),
        Example(
            "conv2d_transpose: {filters: 2, kernel: 2, strides: [2, 3], output_padding: [1, 0], activation: relu}",
            "f32[batch, 3, 4, 1]",
            "f32[batch, 7, 11, 2]",
            params=10,
        ),
        Example(
            "conv2d_transpose: {filters: 2, strides: 2, padding: 1, output_padding: 1}",
            "f32[batch, 3, width, 3]",
            "f32[batch, 6, (width * 2), 2]",
            params=56,
        ),
        Example("conv2d_transpose: {filters: 2, kernel: 2, padding: 2}", "f32[batch, 3, 4, 1]", error="DLC104"),
        Example("conv2d_transpose: {filters: 2, output_padding: 1}", "f32[batch, 3, 4, 1]", error="DLC104"),
        Example("conv2d_transpose: 2", "f32[batch, 3, 4, channels]", error="DLC203"),
        Example("conv2d_transpose: 2", "f32[batch, 4, 3]", error="DLC204"),
    )


class Conv3DTranspose(ConvTranspose):
    """(batch, depth, height, width, channels) -> (batch, depth', height', width', filters): transposed 3-D convolution.

    The kernel is (kernel depth, kernel height, kernel width, filters, channels), drawn Glorot uniform. `valid` gives
    (size - 1) * stride + max(kernel, stride) positions, `same` size * stride (Dumoulin, Visin 2016, arXiv:1603.07285),
    as in Keras; amounts of padding are those of PyTorch.
    """

    word = "conv3d_transpose"
    rank = 3
    examples = (
        Example(
            "conv3d_transpose: {filters: 2, kernel: 2, strides: [1, 2, 2], use_bias: false}",
            "f32[batch, 2, 3, width, 1]",
            "f32[batch, 3, 6, (width * 2), 2]",
            params=16,
        ),
        Example("conv3d_transpose: 2", "f32[batch, 4, 4, 3]", error="DLC204"),
    )
