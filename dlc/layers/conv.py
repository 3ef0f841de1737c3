"""Convolutions, channels last: plain, transposed, depthwise and separable ones, each along one to three axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from dlc.ir import ZEROS, Dim, Example, Init, Outcome, ParamSpec, Signature, TensorType
from dlc.layers.activations import Activation, Elementwise, activated
from dlc.layers.windows import (
    Padding,
    Spatial,
    Window,
    causal_padding_option,
    read_padding,
    real_only,
    scaled,
    size_option,
)
from dlc.lazy import jnp, lax
from dlc.options import Wrong, main, option, read_sizes

if TYPE_CHECKING:
    from jax import Array

_LETTERS = {1: "W", 2: "HW", 3: "DHW"}
_KERNEL = "size of the window"
_STRIDES = "steps of the window"
_DILATION = "spacing of the window's elements"
_BIAS = "add a learned value to each filter"
_ACTIVATION = "what follows the convolution"


def numbers(rank: int) -> tuple[str, str, str]:
    """The names of the axes of input, kernel and output as `jax.lax` wants them.

    >>> numbers(2)
    ('NHWC', 'HWIO', 'NHWC')
    """
    letters = _LETTERS[rank]
    return f"N{letters}C", f"{letters}IO", f"N{letters}C"


def convolved(x: Array, kernel: Array, window: Window, groups: int = 1) -> Array:
    """The convolution of (batch, *places, channels) with a kernel (*window, channels / groups, filters)."""
    if groups == 1 and all(isinstance(size, int) for size in x.shape[1:-1]):
        # In a loop XLA's CPU convolutions take a path that is slower by up to thirty times; a product does not.
        result: Array = lax.platform_dependent(
            x, kernel, cpu=partial(by_patches, window), default=partial(by_window, window)
        )
        return result
    return by_window(window, x, kernel, groups)


def by_window(window: Window, x: Array, kernel: Array, groups: int = 1) -> Array:
    """The convolution as XLA's own operation."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=window.strides,
        padding=window.lax_padding(),
        rhs_dilation=window.dilation,
        dimension_numbers=numbers(len(window.size)),
        feature_group_count=groups,
    )


def by_patches(window: Window, x: Array, kernel: Array) -> Array:
    """The same as one matrix product of the windows' contents, laid side by side along the channels."""
    patches = jnp.concatenate(window.parts(x), axis=-1)  # (B, *places', area * C)
    lead, depth, filters = patches.shape[:-1], patches.shape[-1], kernel.shape[-1]
    flat = patches.reshape(prod(lead), depth) @ kernel.reshape(depth, filters)
    return flat.reshape(*lead, filters)


def depthwise(x: Array, kernel: Array, window: Window) -> Array:
    """Each channel with windows of its own: a kernel (*window, channels, multiplier) gives channels * multiplier."""
    if all(isinstance(size, int) for size in x.shape[1:-1]):  # for the same reason
        result: Array = lax.platform_dependent(
            x, kernel, cpu=partial(by_elements, window), default=partial(by_channels, window)
        )
        return result
    return by_channels(window, x, kernel)


def by_channels(window: Window, x: Array, kernel: Array) -> Array:
    """The depthwise convolution as XLA's own operation, each channel being a group."""
    channels, multiplier = kernel.shape[-2:]
    return by_window(window, x, kernel.reshape(*window.size, 1, channels * multiplier), channels)


def by_elements(window: Window, x: Array, kernel: Array) -> Array:
    """The same as a sum over the window's elements, in float32 at least."""
    channels, multiplier = kernel.shape[-2:]
    wide = jnp.promote_types(x.dtype, jnp.float32)
    factors = kernel.astype(wide).reshape(-1, channels, multiplier)
    parts = [part[..., None].astype(wide) * factor for part, factor in zip(window.parts(x), factors, strict=True)]
    y: Array = sum(parts[1:], parts[0])  # (B, *places', C, multiplier)
    return y.reshape(*y.shape[:-2], channels * multiplier).astype(x.dtype)


class Convolution(Spatial):
    """What all convolutions share."""

    def finished(
        self,
        y: Array,
        weights: Mapping[str, Array],
        activation: Elementwise | None,
        mask: Array | None = None,
    ) -> Any:
        """activation(y + bias), and the mask where there is one."""
        if "bias" in weights:
            y = y + weights["bias"]
        y = y if activation is None else activation.function(y)
        return y if mask is None else Outcome(y, mask=mask)

    def sign(
        self,
        output: TensorType,
        kernels: Mapping[str, ParamSpec],
        flops: int,
        use_bias: bool,
        activation: Elementwise | None,
    ) -> Signature:
        """The signature, bias and activation counted."""
        filters = output.shape[-1]
        assert isinstance(filters, int)
        params = {**kernels, "bias": ParamSpec((filters,), ZEROS, ("out",))} if use_bias else dict(kernels)
        flops += output.size if use_bias else 0
        return activated(Signature(output, params, flops=flops), activation)

    def kernel_of(self, window: Sequence[int], into: int, out: int, fans: tuple[int, int]) -> ParamSpec:
        """A kernel (*window, into, out), drawn Glorot uniform; `fans` are the channels in and out of one window."""
        area = prod(window)
        init = Init("glorot_uniform", area * fans[0], area * fans[1])
        return ParamSpec((*window, into, out), init, (*("kernel",) * len(window), "in", "out"), kernel=True)


class Sliding(Convolution):
    """A convolution that is no transposed one: its padding may be given in numbers."""

    @field_validator("padding", mode="before", check_fields=False)
    @classmethod
    def read_padding(cls, value: Any) -> Any:
        """A word, an amount, or amounts before and after each axis."""
        return read_padding(value, cls.rank, causal=True)


# ---- plain ----


class Conv(Sliding):
    """A convolution along `rank` axes."""

    filters: int = main(ge=1, description="count of output channels")
    kernel: tuple[int, ...] = size_option(3, _KERNEL)
    strides: tuple[int, ...] = size_option(1, _STRIDES)
    padding: Padding = causal_padding_option()
    dilation: tuple[int, ...] = size_option(1, _DILATION)
    groups: int = option(1, ge=1, description="groups of channels that are convolved apart")
    use_bias: bool = option(True, description=_BIAS)
    activation: Activation = option(None, description=_ACTIVATION)

    @property
    def window(self) -> Window:
        """The window that slides."""
        return Window(self.kernel, self.strides, self.dilation, self.padding)

    def infer(self, x: TensorType) -> Signature:
        """Sizes as the window goes; channels become `filters`."""
        channels = self.channels(x)
        for count, name in ((channels, "channels"), (self.filters, "filters")):
            if count % self.groups:
                raise Wrong(
                    "DLC205",
                    f"`groups` must divide the {count} {name}",
                    found=f"`{self.groups}`",
                    expected=f"a divisor of {count}",
                    option="groups",
                )
        output = self.window.slid(x, self.filters, self.word)
        into = channels // self.groups
        kernel = self.kernel_of(self.kernel, into, self.filters, (into, self.filters))
        flops = output.size * 2 * prod(self.kernel) * into
        return self.sign(output, {"kernel": kernel}, flops, self.use_bias, self.activation)

    def apply(
        self,
        weights: Mapping[str, Array],
        x: Array,
        *,
        key: Array | None,
        train: bool,
        masks: Sequence[Array | None] = (None,),
    ) -> Any:
        """activation(conv(x, kernel) + bias)."""
        y = convolved(real_only(x, masks), weights["kernel"], self.window, self.groups)
        return self.finished(y, weights, self.activation, self.window.masked(masks))


class Conv1D(Conv):
    """(batch, time, channels) -> (batch, time', filters): a convolution along time, then the activation.

    The kernel is (kernel, channels / groups, filters), drawn Glorot uniform; the bias begins at zero. `same` pads as
    TensorFlow does: the size becomes ceil(time / stride); `causal` pads in front only, so that a place sees no later
    one (van den Oord et al. 2016, arXiv:1609.03499).

    Of a masked sequence the padding counts as zeros. A place of the result is real where the sequence without its
    padding has it.
    """

    word = "conv1d"
    rank = 1
    masks = "used"
    examples = (
        Example("conv1d: 4", "f32[batch, 8, 2]", "f32[batch, 6, 4]", params=28),
        Example(
            "conv1d: {filters: 4, padding: causal, dilation: 2, activation: relu}",
            "f32[batch, time, 2] masked",
            "f32[batch, time, 4] masked",
            params=28,
        ),
        Example(
            "conv1d: {filters: 2, kernel: 2, strides: 2, groups: 2, use_bias: false}",
            "f32[batch, time, 4] masked",
            "f32[batch, ((time - 2) // 2 + 1), 2] masked",
            params=8,
        ),
        Example("conv1d: {filters: 1, padding: [[2, 1]]}", "f32[batch, 4, 1]", "f32[batch, 5, 1]", params=4),
        Example("conv1d: {filters: 4, padding: same, strides: 2}", "f32[batch, time, 2] masked", error="DLC212"),
        Example("conv1d: {filters: 4, kernel: 9}", "f32[batch, 8, 2]", error="DLC205"),
        Example("conv1d: 4", "f32[batch, 8, 8, 2]", error="DLC204"),
        Example("conv1d: {filters: 4, padding: [[1, 0], [1, 0]]}", "f32[batch, 8, 2]", error="DLC104"),
    )


class Conv2D(Conv):
    """(batch, height, width, channels) -> (batch, height', width', filters): a 2-D convolution, then the activation.

    The kernel is (kernel height, kernel width, channels / groups, filters), drawn Glorot uniform; the bias begins at
    zero. `same` pads as TensorFlow does: the size becomes ceil(size / stride).
    """

    word = "conv2d"
    rank = 2
    examples = (
        Example("conv2d: {filters: 4, kernel: 3}", "f32[batch, 8, 8, 2]", "f32[batch, 6, 6, 4]", params=76),
        Example(
            "conv2d: {filters: 4, padding: same, strides: 2}", "f32[batch, 7, 8, 1]", "f32[batch, 4, 4, 4]", params=40
        ),
        Example(
            "conv2d: {filters: 4, groups: 2, use_bias: false, activation: relu}",
            "f32[batch, 5, 5, 2]",
            "f32[batch, 3, 3, 4]",
            params=36,
        ),
        Example(
            "conv2d: {filters: 2, kernel: [1, 3], dilation: 2}", "f32[batch, 5, 9, 1]", "f32[batch, 5, 5, 2]", params=8
        ),
        Example(
            "conv2d: {filters: 2, padding: [[1, 0], [0, 2]]}", "f32[batch, 5, 5, 1]", "f32[batch, 4, 5, 2]", params=20
        ),
        Example(
            "conv2d: {filters: 2, padding: same}",
            "f32[batch, height, width, 1]",
            "f32[batch, height, width, 2]",
            params=20,
        ),
        Example(
            "conv2d: {filters: 2, strides: 2}",
            "f32[batch, height, width, 1]",
            "f32[batch, ((height - 3) // 2 + 1), ((width - 3) // 2 + 1), 2]",
            params=20,
        ),
        Example(
            "conv2d: {filters: 2, kernel: 2, padding: 1, use_bias: false}",
            "f32[batch, height, 4, 1]",
            "f32[batch, (height + 1), 5, 2]",
            params=8,
        ),
        Example(
            "conv2d: {filters: 2, padding: same, strides: 2}",
            "f32[batch, height, 4, 1]",
            "f32[batch, ((height + 1) // 2), 2, 2]",
            params=20,
        ),
        Example("conv2d: {filters: 4, kernel: 9}", "f32[batch, 8, 8, 2]", error="DLC205"),
        Example("conv2d: {filters: 3, groups: 2}", "f32[batch, 8, 8, 2]", error="DLC205"),
        Example("conv2d: 4", "i32[batch, 8, 8, 2]", error="DLC207"),
        Example("conv2d: {filters: 4, padding: full}", "f32[batch, 8, 8, 2]", error="DLC104"),
        Example("conv2d: {filters: 4, padding: causal}", "f32[batch, 8, 8, 2]", error="DLC104"),
        Example("conv2d: {filters: 4, padding: -1}", "f32[batch, 8, 8, 2]", error="DLC104"),
        Example("conv2d: {kernel: 3}", "f32[batch, 8, 8, 2]", error="DLC102"),
        Example("conv2d: {filters: 4, kernel: [3, 3, 3]}", "f32[batch, 8, 8, 2]", error="DLC104"),
        Example("conv2d: {filters: 4, activation: rellu}", "f32[batch, 8, 8, 2]", error="DLC105"),
        Example("conv2d: {filters: 4, groups: 2}", "f32[batch, 8, 8, 3]", error="DLC205"),
        Example("conv2d: 4", "f32[batch, 64]", error="DLC204"),
        Example("conv2d: 4", "f32[batch, 8, 8, channels]", error="DLC203"),
    )


class Conv3D(Conv):
    """(batch, depth, height, width, channels) -> (batch, depth', height', width', filters): a 3-D convolution.

    The kernel is (kernel depth, kernel height, kernel width, channels / groups, filters), drawn Glorot uniform; the
    bias begins at zero. `same` pads as TensorFlow does: the size becomes ceil(size / stride).
    """

    word = "conv3d"
    rank = 3
    examples = (
        Example("conv3d: 2", "f32[batch, 4, 5, 3, 1]", "f32[batch, 2, 3, 1, 2]", params=56),
        Example(
            "conv3d: {filters: 2, kernel: [1, 2, 3], strides: 2, padding: same, groups: 2, activation: relu}",
            "f32[batch, depth, 5, 4, 4]",
            "f32[batch, ((depth + 1) // 2), 3, 2, 2]",
            params=26,
        ),
        Example("conv3d: 2", "f32[batch, 8, 8, 3]", error="DLC204"),
        Example("conv3d: {filters: 4, kernel: [3, 3]}", "f32[batch, 8, 8, 8, 2]", error="DLC104"),
        Example("conv3d: {filters: 4, padding: causal}", "f32[batch, 8, 8, 8, 2]", error="DLC104"),
        Example("conv3d: {filters: 4, kernel: 3}", "f32[batch, 8, 8, 2, 2]", error="DLC205"),
    )


# ---- transposed ----


class ConvTranspose(Convolution):
    """The transpose of a convolution along `rank` axes."""

    filters: int = main(ge=1, description="count of output channels")
    kernel: tuple[int, ...] = size_option(3, _KERNEL)
    strides: tuple[int, ...] = size_option(1, "factors by which the sizes grow")
    padding: Literal["valid", "same"] = option(
        "valid", description="valid: what each window gives; same: size * stride"
    )
    output_padding: tuple[int, ...] | None = option(
        None, description="places added behind each axis, fewer than its stride; as `padding` needs when left out"
    )
    dilation: tuple[int, ...] = size_option(1, _DILATION)
    use_bias: bool = option(True, description=_BIAS)
    activation: Activation = option(None, description=_ACTIVATION)

    @field_validator("output_padding", mode="before")
    @classmethod
    def read_output_padding(cls, value: Any) -> Any:
        """One integer for all axes, or a list of one for each."""
        return None if value is None else read_sizes(value, cls.rank, 0)

    def pads(self, axis: int) -> tuple[int, int]:
        """Zeros before and after the input, its places spread by the stride, as Keras has them."""
        reach, stride = (self.kernel[axis] - 1) * self.dilation[axis] + 1, self.strides[axis]
        extra = None if self.output_padding is None else self.output_padding[axis]
        if self.padding == "valid":
            return reach - 1, reach - 1 + (max(stride - reach, 0) if extra is None else extra)
        total = stride + reach - 2 if extra is None else reach + reach % 2 - 2 + extra
        before = min(total // 2 + total % 2, reach - 1)
        return before, total - before

    def size(self, size: Dim, axis: int) -> Dim:
        """The new size of an axis: (size - 1) * stride + 1, padded, as the window goes."""
        reach, stride = (self.kernel[axis] - 1) * self.dilation[axis] + 1, self.strides[axis]
        return scaled(size, stride, 2 - stride - reach + sum(self.pads(axis)))

    def infer(self, x: TensorType) -> Signature:
        """Sizes grow by the strides; channels become `filters`."""
        channels = self.channels(x)
        if max(self.strides) > 1 and max(self.dilation) > 1:
            raise Wrong(
                "DLC104",
                f"`{self.word}` can't have strides and dilation together",
                found=f"strides {list(self.strides)}, dilation {list(self.dilation)}",
                expected="one of them 1",
                option="dilation",
            )
        for extra, stride in zip(self.output_padding or (), self.strides, strict=False):
            if extra >= stride:
                raise Wrong(
                    "DLC104",
                    "`output_padding` must be less than the stride",
                    found=f"output_padding {extra}, stride {stride}",
                    expected=f"at most {stride - 1}",
                    option="output_padding",
                )
        sizes = [self.size(x.shape[axis + 1], axis) for axis in range(self.rank)]
        output = x.resized(x.shape[0], *sizes, self.filters)
        kernel = self.kernel_of(self.kernel, self.filters, channels, (channels, self.filters))
        flops = x.size * 2 * prod(self.kernel) * self.filters
        return self.sign(output, {"kernel": kernel}, flops, self.use_bias, self.activation)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Any:
        """activation(conv_transpose(x, kernel) + bias)."""
        y = lax.conv_transpose(
            x,
            weights["kernel"],
            self.strides,
            [self.pads(axis) for axis in range(self.rank)],
            rhs_dilation=self.dilation,
            dimension_numbers=numbers(self.rank),
            transpose_kernel=True,
        )
        return self.finished(y, weights, self.activation)


class Conv1DTranspose(ConvTranspose):
    """(batch, time, channels) -> (batch, time', filters): the transpose of a convolution along time.

    The kernel is (kernel, filters, channels), drawn Glorot uniform. `valid` gives (time - 1) * stride +
    max(kernel, stride) places, `same` time * stride (Dumoulin and Visin 2016, arXiv:1603.07285).
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
    (size - 1) * stride + max(kernel, stride) places, `same` size * stride (Dumoulin and Visin 2016, arXiv:1603.07285).
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
        Example("conv2d_transpose: {filters: 2, output_padding: 1}", "f32[batch, 3, 4, 1]", error="DLC104"),
        Example("conv2d_transpose: 2", "f32[batch, 3, 4, channels]", error="DLC203"),
        Example("conv2d_transpose: 2", "f32[batch, 4, 3]", error="DLC204"),
    )


class Conv3DTranspose(ConvTranspose):
    """(batch, depth, height, width, channels) -> (batch, depth', height', width', filters): transposed 3-D convolution.

    The kernel is (kernel depth, kernel height, kernel width, filters, channels), drawn Glorot uniform. `valid` gives
    (size - 1) * stride + max(kernel, stride) places, `same` size * stride (Dumoulin and Visin 2016, arXiv:1603.07285).
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


# ---- depthwise and separable ----


class DepthwiseConv(Sliding):
    """A convolution of each channel apart, along `rank` axes."""

    kernel: tuple[int, ...] = main(3, validate_default=True, description=_KERNEL)
    depth_multiplier: int = option(1, ge=1, description="output channels of each input channel")
    strides: tuple[int, ...] = size_option(1, _STRIDES)
    padding: Padding = causal_padding_option()
    dilation: tuple[int, ...] = size_option(1, _DILATION)
    use_bias: bool = option(True, description=_BIAS)
    activation: Activation = option(None, description=_ACTIVATION)

    @property
    def window(self) -> Window:
        """The window that slides."""
        return Window(self.kernel, self.strides, self.dilation, self.padding)

    def infer(self, x: TensorType) -> Signature:
        """Sizes as the window goes; `depth_multiplier` channels of each."""
        channels = self.channels(x)
        output = self.window.slid(x, channels * self.depth_multiplier, self.word)
        kernel = self.kernel_of(self.kernel, channels, self.depth_multiplier, (channels, self.depth_multiplier))
        flops = output.size * 2 * prod(self.kernel)
        return self.sign(output, {"kernel": kernel}, flops, self.use_bias, self.activation)

    def apply(
        self,
        weights: Mapping[str, Array],
        x: Array,
        *,
        key: Array | None,
        train: bool,
        masks: Sequence[Array | None] = (None,),
    ) -> Any:
        """activation(conv of each channel + bias)."""
        y = depthwise(real_only(x, masks), weights["kernel"], self.window)
        return self.finished(y, weights, self.activation, self.window.masked(masks))


class DepthwiseConv1D(DepthwiseConv):
    """(batch, time, channels) -> (batch, time', channels * depth_multiplier): each channel with a window of its own.

    The kernel is (kernel, channels, depth_multiplier), drawn Glorot uniform with Keras' fans: window * channels in,
    window * depth_multiplier out. Output channel c * depth_multiplier + m is the m-th of input channel c. Masks as
    in `conv1d`.
    """

    word = "depthwise_conv1d"
    rank = 1
    masks = "used"
    examples = (
        Example("depthwise_conv1d: 2", "f32[batch, 8, 3]", "f32[batch, 7, 3]", params=9),
        Example(
            "depthwise_conv1d: {padding: same, depth_multiplier: 2, use_bias: false}",
            "f32[batch, time, 3] masked",
            "f32[batch, time, 6] masked",
            params=18,
        ),
        Example("depthwise_conv1d: {padding: same, strides: 2}", "f32[batch, time, 3] masked", error="DLC212"),
        Example("depthwise_conv1d: 9", "f32[batch, 8, 3]", error="DLC205"),
        Example("depthwise_conv1d", "f32[batch, 8, 8, 3]", error="DLC204"),
    )


class DepthwiseConv2D(DepthwiseConv):
    """(batch, height, width, channels) -> (batch, height', width', channels * depth_multiplier): channels apart.

    The kernel is (kernel height, kernel width, channels, depth_multiplier), drawn Glorot uniform with Keras' fans:
    window * channels in, window * depth_multiplier out. Output channel c * depth_multiplier + m is the m-th of input
    channel c (Howard et al. 2017, arXiv:1704.04861).
    """

    word = "depthwise_conv2d"
    rank = 2
    examples = (
        Example("depthwise_conv2d", "f32[batch, 5, 5, 3]", "f32[batch, 3, 3, 3]", params=30),
        Example(
            "depthwise_conv2d: {kernel: [2, 1], padding: same, strides: 2, depth_multiplier: 2, activation: relu}",
            "f32[batch, height, 4, 1]",
            "f32[batch, ((height + 1) // 2), 2, 2]",
            params=6,
        ),
        Example("depthwise_conv2d: {padding: causal}", "f32[batch, 5, 5, 3]", error="DLC104"),
        Example("depthwise_conv2d: {depth_multiplier: 0}", "f32[batch, 5, 5, 3]", error="DLC104"),
        Example("depthwise_conv2d", "f32[batch, 5, 5, channels]", error="DLC203"),
        Example("depthwise_conv2d: {filters: 3}", "f32[batch, 5, 5, 3]", error="DLC101"),
    )


class SeparableConv(Sliding):
    """A depthwise convolution along `rank` axes, then a map of the channels at each place."""

    filters: int = main(ge=1, description="count of output channels")
    kernel: tuple[int, ...] = size_option(3, _KERNEL)
    depth_multiplier: int = option(1, ge=1, description="channels of each input channel between the two steps")
    strides: tuple[int, ...] = size_option(1, _STRIDES)
    padding: Padding = causal_padding_option()
    dilation: tuple[int, ...] = size_option(1, _DILATION)
    use_bias: bool = option(True, description=_BIAS)
    activation: Activation = option(None, description=_ACTIVATION)

    @property
    def window(self) -> Window:
        """The window that slides."""
        return Window(self.kernel, self.strides, self.dilation, self.padding)

    def infer(self, x: TensorType) -> Signature:
        """Sizes as the window goes; channels become `filters`."""
        channels = self.channels(x)
        between = channels * self.depth_multiplier
        output = self.window.slid(x, self.filters, self.word)
        params = {
            "depthwise/kernel": self.kernel_of(
                self.kernel, channels, self.depth_multiplier, (channels, self.depth_multiplier)
            ),
            "pointwise/kernel": self.kernel_of((1,) * self.rank, between, self.filters, (between, self.filters)),
        }
        places = output.size // self.filters
        flops = places * 2 * between * (prod(self.kernel) + self.filters)
        return self.sign(output, params, flops, self.use_bias, self.activation)

    def apply(
        self,
        weights: Mapping[str, Any],
        x: Array,
        *,
        key: Array | None,
        train: bool,
        masks: Sequence[Array | None] = (None,),
    ) -> Any:
        """activation(conv of each channel @ pointwise kernel + bias)."""
        between = depthwise(real_only(x, masks), weights["depthwise"]["kernel"], self.window)
        pointwise = weights["pointwise"]["kernel"]
        y = jnp.matmul(between, pointwise.reshape(pointwise.shape[-2:]))
        return self.finished(y, weights, self.activation, self.window.masked(masks))


class SeparableConv1D(SeparableConv):
    """(batch, time, channels) -> (batch, time', filters): a depthwise convolution, then a map of the channels.

    The kernels are (kernel, channels, depth_multiplier) and (1, channels * depth_multiplier, filters), drawn Glorot
    uniform (Chollet 2017, arXiv:1610.02357). Masks as in `conv1d`.
    """

    word = "separable_conv1d"
    rank = 1
    masks = "used"
    examples = (
        Example("separable_conv1d: 4", "f32[batch, 8, 3]", "f32[batch, 6, 4]", params=25),
        Example(
            "separable_conv1d: {filters: 4, padding: causal, strides: 2, depth_multiplier: 2, use_bias: false}",
            "f32[batch, time, 3] masked",
            "f32[batch, ((time + 1) // 2), 4] masked",
            params=42,
        ),
        Example("separable_conv1d: {filters: 4, kernel: 9}", "f32[batch, 8, 3]", error="DLC205"),
        Example("separable_conv1d: 4", "f32[batch, 3]", error="DLC204"),
    )


class SeparableConv2D(SeparableConv):
    """(batch, height, width, channels) -> (batch, height', width', filters): depthwise, then a map of the channels.

    The kernels are (kernel height, kernel width, channels, depth_multiplier) and (1, 1, channels * depth_multiplier,
    filters), drawn Glorot uniform (Chollet 2017, arXiv:1610.02357).
    """

    word = "separable_conv2d"
    rank = 2
    examples = (
        Example(
            "separable_conv2d: {filters: 4, padding: same, strides: 2, activation: relu}",
            "f32[batch, 5, 6, 3]",
            "f32[batch, 3, 3, 4]",
            params=43,
        ),
        Example("separable_conv2d: {kernel: 3}", "f32[batch, 5, 5, 3]", error="DLC102"),
        Example("separable_conv2d: 4", "f32[batch, 5, 3]", error="DLC204"),
    )
