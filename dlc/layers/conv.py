"""Convolutions, channels last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dlc.ir import ZEROS, Example, Init, Layer, ParamSpec, Signature, TensorType, known_size, need_float, need_rank
from dlc.layers.activations import Activation, activated
from dlc.layers.windows import Padding2, lax_padding, window_sizes
from dlc.lazy import jnp, lax
from dlc.options import Size2, Wrong, main, option

if TYPE_CHECKING:
    from jax import Array


class Conv2D(Layer):
    """(batch, height, width, channels) -> (batch, height', width', filters): a 2-D convolution, then the activation.

    The kernel is (kernel height, kernel width, channels / groups, filters), drawn Glorot uniform; the bias begins at
    zero. `same` pads as TensorFlow does: the size becomes ceil(size / stride).
    """

    word = "conv2d"
    filters: int = main(ge=1, description="count of output channels")
    kernel: Size2 = option((3, 3), description="height and width of the window")
    strides: Size2 = option((1, 1), description="steps of the window")
    padding: Padding2 = option("valid", description="valid, same, an amount, or [[top, bottom], [left, right]]")
    dilation: Size2 = option((1, 1), description="spacing of the window's elements")
    groups: int = option(1, ge=1, description="groups of channels that are convolved apart")
    use_bias: bool = option(True, description="add a learned value to each filter")
    activation: Activation = option(None, description="what follows the convolution")

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
        Example("conv2d: {filters: 4, padding: -1}", "f32[batch, 8, 8, 2]", error="DLC104"),
        Example("conv2d: {kernel: 3}", "f32[batch, 8, 8, 2]", error="DLC102"),
        Example("conv2d: {filters: 4, kernel: [3, 3, 3]}", "f32[batch, 8, 8, 2]", error="DLC104"),
        Example("conv2d: {filters: 4, activation: rellu}", "f32[batch, 8, 8, 2]", error="DLC105"),
        Example("conv2d: {filters: 4, groups: 2}", "f32[batch, 8, 8, 3]", error="DLC205"),
        Example("conv2d: 4", "f32[batch, 64]", error="DLC204"),
        Example("conv2d: 4", "f32[batch, 8, 8, channels]", error="DLC203"),
    )

    def infer(self, x: TensorType) -> Signature:
        """Sizes as the window goes; channels become `filters`."""
        need_rank(x, 4, self.word, "(batch, height, width, channels)")
        need_float(x, self.word)
        channels = known_size(x, -1, self.word)
        for count, name in ((channels, "channels"), (self.filters, "filters")):
            if count % self.groups:
                raise Wrong(
                    "DLC205",
                    f"`groups` must divide the {count} {name}",
                    found=f"`{self.groups}`",
                    expected=f"a divisor of {count}",
                    option="groups",
                )
        sizes = window_sizes(x, self.kernel, self.strides, self.dilation, self.padding, self.word)
        area = self.kernel[0] * self.kernel[1]
        shape = (*self.kernel, channels // self.groups, self.filters)
        init = Init("glorot_uniform", area * channels // self.groups, area * self.filters)
        params = {"kernel": ParamSpec(shape, init, ("kernel", "kernel", "in", "out"), kernel=True)}
        if self.use_bias:
            params["bias"] = ParamSpec((self.filters,), ZEROS, ("out",))
        output = x.resized(x.shape[0], *sizes, self.filters)
        flops = output.size * (2 * area * channels // self.groups + self.use_bias)
        return activated(Signature(output, params, flops=flops), self.activation)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """activation(conv(x, kernel) + bias)."""
        kernel = weights["kernel"]
        if self.groups == 1 and all(isinstance(size, int) for size in x.shape[1:3]):
            # In a loop XLA's CPU convolutions take a path that is slower by up to thirty times; a product does not.
            y = lax.platform_dependent(x, kernel, cpu=self.by_patches, default=self.by_window)
        else:
            y = self.by_window(x, kernel)
        if self.use_bias:
            y = y + weights["bias"]
        return y if self.activation is None else self.activation.function(y)

    def by_window(self, x: Array, kernel: Array) -> Array:
        """The convolution as XLA's own operation."""
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=self.strides,
            padding=lax_padding(self.padding),
            rhs_dilation=self.dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
        )

    def by_patches(self, x: Array, kernel: Array) -> Array:
        """The same as one matrix product of the windows' contents, laid side by side along the channels."""
        reach = tuple((size - 1) * step + 1 for size, step in zip(self.kernel, self.dilation, strict=True))
        padding = lax_padding(self.padding)
        pads = lax.padtype_to_pads(x.shape[1:3], reach, self.strides, padding) if isinstance(padding, str) else padding
        x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
        batch, height, width, channels = x.shape
        (high, wide), (down, right) = self.strides, self.dilation
        rows, columns = (height - reach[0]) // high + 1, (width - reach[1]) // wide + 1
        parts = [
            lax.slice(
                x,
                (0, i * down, j * right, 0),
                (batch, i * down + (rows - 1) * high + 1, j * right + (columns - 1) * wide + 1, channels),
                (1, high, wide, 1),
            )
            for i in range(self.kernel[0])
            for j in range(self.kernel[1])
        ]
        patches = jnp.concatenate(parts, axis=-1)  # (B, rows, columns, kh * kw * C)
        depth = self.kernel[0] * self.kernel[1] * channels
        flat = patches.reshape(batch * rows * columns, depth) @ kernel.reshape(depth, self.filters)
        return flat.reshape(batch, rows, columns, self.filters)
