"""Depthwise and separable convolutions, channels last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from dlc.components.layers.activations import Activation
from dlc.components.layers.conv import ACTIVATION, BIAS, DILATION, KERNEL, STRIDES, Sliding, by_window
from dlc.components.layers.windows import Padding, Window, causal_padding_option, known, size_option
from dlc.ir import Context, Example, Signature, TensorType
from dlc.kernels.selection import REST, Operation
from dlc.language.options import main, option
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array


def depthwise(x: Array, kernel: Array, window: Window) -> Array:
    """Each channel with windows of its own: a kernel (*window, channels, multiplier) gives channels * multiplier."""
    found: Array = DEPTHWISE(window, x, kernel)
    return found


def by_channels(window: Window, x: Array, kernel: Array) -> Array:
    """The depthwise convolution as XLA's own operation, each channel being a group."""
    channels, multiplier = kernel.shape[-2:]
    return by_window(window, x, kernel.reshape(*window.size, 1, channels * multiplier))


def by_elements(window: Window, x: Array, kernel: Array) -> Array:
    """The same as a sum over the window's elements, in float32 at least."""
    channels, multiplier = kernel.shape[-2:]
    wide = jnp.promote_types(x.dtype, jnp.float32)
    factors = kernel.astype(wide).reshape(-1, channels, multiplier)
    parts = [part[..., None].astype(wide) * factor for part, factor in zip(window.taps(x), factors, strict=True)]
    y: Array = sum(parts[1:], parts[0])  # (B, *axes', C, multiplier)
    return y.reshape(*y.shape[:-2], channels * multiplier).astype(x.dtype)


def _fitting(_window: Window, x: Array, _kernel: Array) -> tuple[str, ...]:
    return ("channels", "elements") if known(x) else ("channels",)


def _table(window: Window, x: Array, _kernel: Array) -> dict[str, str]:
    few = known(x) and prod(window.size) <= 128  # above, the program is large
    return {"cpu": "elements" if few else "channels", REST: "channels"}


DEPTHWISE = Operation("depthwise convolution", {"channels": by_channels, "elements": by_elements}, _fitting, _table)


# ---- depthwise and separable ----


class DepthwiseConv(Sliding):
    """A convolution of each channel by itself, along `rank` axes."""

    kernel: tuple[int, ...] = main(3, validate_default=True, description=KERNEL)
    depth_multiplier: int = option(1, ge=1, description="output channels of each input channel")
    strides: tuple[int, ...] = size_option(1, STRIDES)
    padding: Padding = causal_padding_option()
    dilation: tuple[int, ...] = size_option(1, DILATION)
    use_bias: bool = option(True, description=BIAS)
    activation: Activation = option(None, description=ACTIVATION)

    @property
    def window(self) -> Window:
        """The window that slides."""
        return Window(self.kernel, self.strides, self.dilation, self.padding)

    def infer(self, x: TensorType) -> Signature:
        """Sizes as the window goes; `depth_multiplier` channels of each."""
        channels = self.channels(x)
        output = self.window.output_type(x, channels * self.depth_multiplier, self.word)
        multiplier = self.depth_multiplier
        kernel = self.kernel_of(self.kernel, channels, multiplier, (channels, multiplier), ("channels", "out"))
        flops = output.size * 2 * prod(self.kernel)
        signature = self.sign(output, {"kernel": kernel}, flops, self.use_bias, self.activation)
        return replace(signature, cache=self.window.cache(x))

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Any:
        """activation(conv of each channel + bias)."""

        def function(window: Window, x: Array) -> Array:
            return depthwise(x, weights["kernel"], window)

        return self.convolved(weights, x, ctx, self.activation, function)


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
    """(batch, height, width, channels) -> (batch, height', width', channels * depth_multiplier): channel by channel.

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
    """A depthwise convolution along `rank` axes, then a map of the channels at each position."""

    filters: int = main(ge=1, description="count of output channels")
    kernel: tuple[int, ...] = size_option(3, KERNEL)
    depth_multiplier: int = option(1, ge=1, description="channels of each input channel between the two steps")
    strides: tuple[int, ...] = size_option(1, STRIDES)
    padding: Padding = causal_padding_option()
    dilation: tuple[int, ...] = size_option(1, DILATION)
    use_bias: bool = option(True, description=BIAS)
    activation: Activation = option(None, description=ACTIVATION)

    @property
    def window(self) -> Window:
        """The window that slides."""
        return Window(self.kernel, self.strides, self.dilation, self.padding)

    def infer(self, x: TensorType) -> Signature:
        """Sizes as the window goes; channels become `filters`."""
        channels = self.channels(x)
        multiplier = self.depth_multiplier
        between = channels * multiplier
        output = self.window.output_type(x, self.filters, self.word)
        params = {
            "depthwise/kernel": self.kernel_of(
                self.kernel, channels, multiplier, (channels, multiplier), ("channels", "out")
            ),
            "pointwise/kernel": self.kernel_of((1,) * self.rank, between, self.filters, (between, self.filters)),
        }
        places = output.size // self.filters
        flops = places * 2 * between * (prod(self.kernel) + self.filters)
        signature = self.sign(output, params, flops, self.use_bias, self.activation)
        return replace(signature, cache=self.window.cache(x))

    def apply(self, weights: Mapping[str, Any], x: Array, *, ctx: Context) -> Any:
        """activation(conv of each channel @ pointwise kernel + bias)."""

        def function(window: Window, x: Array) -> Array:
            pointwise = weights["pointwise"]["kernel"]
            between = depthwise(x, weights["depthwise"]["kernel"], window)
            return jnp.matmul(between, pointwise.reshape(pointwise.shape[-2:]))

        return self.convolved(weights, x, ctx, self.activation, function)


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
