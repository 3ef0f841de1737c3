"""Convolutions, channels last: plain, transposed, depthwise and separable ones, each along one to three axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import field_validator

from dlc.components.layers.activations import Activation, Elementwise, activated
from dlc.components.layers.windows import (
    Padding,
    Pads,
    Spatial,
    Window,
    causal_padding_option,
    known,
    read_padding,
    real_only,
    size_option,
    with_past,
)
from dlc.ir import ZEROS, Context, Decoding, Example, Init, Outcome, ParamSpec, Signature, TensorType
from dlc.kernels.products import fusion_barrier, product, with_gradient
from dlc.kernels.selection import REST, Operation
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jnp, lax

if TYPE_CHECKING:
    from jax import Array

MOST_GROWTH = 64  # Larger patches fill the memory.
MOST_GROUPS = 32  # A product for each of more groups is a large program.
_LETTERS = {1: "W", 2: "HW", 3: "DHW"}
KERNEL = "size of the window"
STRIDES = "steps of the window"
DILATION = "spacing of the window's elements"
BIAS = "add a learned value to each filter"
ACTIVATION = "activation applied to the result"


def numbers(rank: int) -> tuple[str, str, str]:
    """The names of the axes of input, kernel and output as `jax.lax` wants them.

    >>> numbers(2)
    ('NHWC', 'HWIO', 'NHWC')
    """
    letters = _LETTERS[rank]
    return f"N{letters}C", f"{letters}IO", f"N{letters}C"


def by_window(window: Window, x: Array, kernel: Array) -> Array:
    """The convolution of (batch, *axes, channels) with (*window, channels / groups, filters), XLA's own operation."""
    padding = window.lax_padding()
    amounts = () if isinstance(window.padding, str) else window.padding
    if any(max(pair) >= extent for pair, extent in zip(amounts, window.extent, strict=False)):
        # The gradient would be a convolution with negative padding, for which XLA:CPU gives wrong numbers.
        x, padding = window.padded(x), "VALID"
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=window.strides,
        padding=padding,
        rhs_dilation=window.dilation,
        dimension_numbers=numbers(len(window.size)),
        feature_group_count=groups_of(x, kernel),
    )


def by_patches(window: Window, x: Array, kernel: Array) -> Array:
    """The same as a matrix product for each group: the windows' contents, laid side by side along the channels."""
    groups = groups_of(x, kernel)
    parts = (
        zip(jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
        if groups > 1
        else ((x, kernel),)
    )
    made = [product(window.patches(x), kernel.reshape(-1, kernel.shape[-1])) for x, kernel in parts]
    return jnp.concatenate(made, axis=-1) if groups > 1 else made[0]


def groups_of(x: Array, kernel: Array) -> int:
    """How many groups of channels are convolved separately."""
    groups: int = x.shape[-1] // kernel.shape[-2]
    return groups


def channels_last(window: Window, x: Array, kernel: Array) -> Array:
    """The same as XLA's own operation, for steps of 1, with gradients that are such operations, too.

    JAX's own gradients of the kernel have the channels first, for which XLA:CPU has only its slowest loops. A sequence
    is an image of one row: XLA:CPU's fast loops are those of images.
    """
    if len(window.size) == 1:
        return _channels_last(((0, 0), *window.pads(x)), x[:, None], kernel[None])[:, 0]
    return _channels_last(window.pads(x), x, kernel)


def _channels_last(pads: Pads, x: Array, kernel: Array) -> Array:
    def plain(x: Array, kernel: Array, pads: Pads) -> Array:
        return lax.conv_general_dilated(x, kernel, (1,) * len(pads), pads, dimension_numbers=numbers(len(pads)))

    def forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
        return plain(x, kernel, pads), (x, kernel)

    def backward(kept: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
        x, kernel = kept
        dkernel, dx = fusion_barrier(both_gradients, (kernel, x), kernel, x, dy)
        return dx, dkernel

    def both_gradients(kernel: Array, x: Array, dy: Array) -> tuple[Array, Array]:
        """The gradients of kernel and input."""
        places = range(len(pads))
        turned = jnp.swapaxes(jnp.flip(kernel, places), -1, -2)  # (*window, filters, channels)
        around = [(size - 1 - low, size - 1 - high) for size, (low, high) in zip(kernel.shape, pads, strict=False)]
        dx = plain(dy, turned, tuple(around))
        # Channels as batch, examples as channels: (C, *axes, B) with a kernel (*axes', B, F) gives (C, *window, F).
        dkernel = plain(jnp.swapaxes(x, 0, -1), jnp.moveaxis(dy, 0, -2), pads)
        return jnp.moveaxis(dkernel, 0, -2), dx

    result: Array = with_gradient(lambda x, kernel: plain(x, kernel, pads), forward, backward)(x, kernel)
    return result


def _fitting(window: Window, x: Array, kernel: Array) -> tuple[str, ...]:
    """The variants of a convolution: symbolic sizes have no patches."""
    if not known(x):
        return ("xla",)
    plain = {*window.strides, *window.dilation} == {1} and groups_of(x, kernel) == 1
    fast = plain and len(window.size) < 3 and x.dtype == jnp.float32  # XLA:CPU's fast loops take nothing else
    inside = fast and all(max(pair) < size for pair, size in zip(window.pads(x), window.size, strict=True))
    return ("xla", "product", "channels_last") if inside else ("xla", "product")


def _table(window: Window, x: Array, kernel: Array) -> dict[str, str]:
    """By measurement, see docs/performance.md."""
    fitting, channels = _fitting(window, x, kernel), kernel.shape[-2]
    growth = prod(window.size) / prod(window.strides)  # elements of the patches for each one of `x`
    if "channels_last" in fitting and growth >= 8 and (channels >= 8 or growth * channels > 100):
        best = "channels_last"
    elif "product" in fitting and growth <= MOST_GROWTH and groups_of(x, kernel) <= MOST_GROUPS:
        best = "product"
    else:
        best = "xla"
    return {"cpu": best, REST: "xla"}


CONVOLUTION = Operation(
    "convolution", {"xla": by_window, "product": by_patches, "channels_last": channels_last}, _fitting, _table
)


class Convolution(Spatial):
    """What all convolutions share."""

    def finished(self, y: Array, weights: Mapping[str, Array], activation: Elementwise | None) -> Array:
        """activation(y + bias)."""
        if "bias" in weights:
            y = y + weights["bias"]
        return y if activation is None else activation.function(y)

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

    def kernel_of(
        self,
        window: Sequence[int],
        into: int,
        out: int,
        fans: tuple[int, int],
        axes: tuple[str, str] = ("in", "out"),
    ) -> ParamSpec:
        """A kernel (*window, into, out), drawn Glorot uniform; `fans` are the channels in and out of one window.

        `axes` says what the last two axes mean.
        """
        area = prod(window)
        init = Init("glorot_uniform", area * fans[0], area * fans[1])
        return ParamSpec((*window, into, out), init, (*("kernel",) * len(window), *axes), kernel=True)


class Sliding(Convolution):
    """A convolution that is no transposed one: its padding may be causal."""

    decoding: ClassVar[Decoding] = "cached"

    @field_validator("padding", mode="before", check_fields=False)
    @classmethod
    def read_padding(cls, value: Any) -> Any:
        """A word, an amount, or amounts before and after each axis."""
        return read_padding(value, cls.rank, causal=True)

    @property
    def window(self) -> Window:
        """The window that slides."""
        raise NotImplementedError

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The window must be causal."""
        self.window.check_decoding(self.word)

    def convolved(
        self,
        weights: Mapping[str, Array],
        x: Array,
        ctx: Context,
        activation: Elementwise | None,
        function: Callable[[Window, Array], Array],
    ) -> Any:
        """activation(function(window, x) + bias), without what a mask hides; decoding slides on from where it was."""
        window, x, past = self.window, real_only(x, ctx.mask), None
        if ctx.decode:
            window = window.unpadded
            if ctx.cache:
                x, past = with_past(x, ctx)
        y, mask = self.finished(function(window, x), weights, activation), self.window.masked(ctx.mask)
        if mask is None and past is None:
            return y
        return Outcome(y, mask=mask, cache=None if past is None else {"past": past})


# ---- plain ----


class Conv(Sliding):
    """A convolution along `rank` axes."""

    filters: int = main(ge=1, description="count of output channels")
    kernel: tuple[int, ...] = size_option(3, KERNEL)
    strides: tuple[int, ...] = size_option(1, STRIDES)
    padding: Padding = causal_padding_option()
    dilation: tuple[int, ...] = size_option(1, DILATION)
    groups: int = option(1, ge=1, description="groups of channels that are convolved separately")
    use_bias: bool = option(True, description=BIAS)
    activation: Activation = option(None, description=ACTIVATION)

    @property
    def window(self) -> Window:
        """The window that slides."""
        return Window(self.kernel, self.strides, self.dilation, self.padding)

    def infer(self, x: TensorType) -> Signature:
        """Sizes as the window goes; channels become `filters`."""
        channels = self.channels(x)
        for count, name in ((channels, "channels"), (self.filters, "filters")):
            if count % self.groups:
                raise RuleViolation(
                    "DLC205",
                    f"`groups` must divide the {count} {name}",
                    found=f"`{self.groups}`",
                    expected=f"a divisor of {count}",
                    option="groups",
                )
        output = self.window.output_type(x, self.filters, self.word)
        into = channels // self.groups
        kernel = self.kernel_of(self.kernel, into, self.filters, (into, self.filters))
        flops = output.size * 2 * prod(self.kernel) * into
        signature = self.sign(output, {"kernel": kernel}, flops, self.use_bias, self.activation)
        return replace(signature, cache=self.window.cache(x))

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Any:
        """activation(conv(x, kernel) + bias)."""

        def function(window: Window, x: Array) -> Array:
            found: Array = CONVOLUTION(window, x, weights["kernel"])
            return found

        return self.convolved(weights, x, ctx, self.activation, function)


class Conv1D(Conv):
    """(batch, time, channels) -> (batch, time', filters): a convolution along time, then the activation.

    The kernel is (kernel, channels / groups, filters), drawn Glorot uniform; the bias begins at zero. `same` pads as
    TensorFlow does: the size becomes ceil(time / stride); `causal` pads in front only, so that a position sees no later
    one (van den Oord et al. 2016, arXiv:1609.03499).

    In a masked sequence, padding counts as zeros. The result has as many real positions as it would have without the
    padding.
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
