"""Dense layers."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BeforeValidator

from dlc.components.layers.activations import Activation, activated
from dlc.components.layers.axis_options import need_positions, with_mask
from dlc.diagnostics import plural
from dlc.ir import (
    ZEROS,
    Context,
    Dim,
    Example,
    Init,
    Layer,
    ParamSpec,
    Signature,
    TensorType,
    known_size,
    need_float,
)
from dlc.kernels.products import product
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell, unquoted_hint
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array


class Dense(Layer):
    """(*lead, d) -> (*lead, units): an affine map of the last axis, x W + b, then the activation.

    The kernel is (d, units), drawn Glorot uniform (Glorot and Bengio 2010); the bias begins at zero.
    """

    word = "dense"
    masks = "pointwise"
    decoding = "pointwise"
    units: int = main(ge=1, description="size of the new last axis")
    use_bias: bool = option(True, description="add a learned vector to the result")
    activation: Activation = option(None, description="activation applied to the affine map")

    examples = (
        Example("dense: 4", "f32[batch, 3]", "f32[batch, 4]", params=16),
        Example("dense: {units: 4, use_bias: false}", "f32[batch, time, 3]", "f32[batch, time, 4]", params=12),
        Example("dense: {units: 2, activation: {leaky_relu: 0.1}}", "f32[batch, 3]", "f32[batch, 2]", params=8),
        Example("dense: 4", "f32[batch, width]", error="DLC203"),
        Example("dense: 4", "i32[batch, 3]", error="DLC207"),
        Example("dense: 4", "f32[batch]", error="DLC204"),
        Example("dense", "f32[batch, 3]", error="DLC102"),
        Example("dense: 0", "f32[batch, 3]", error="DLC104"),
        Example("dense: {units: 4, activaton: relu}", "f32[batch, 3]", error="DLC101"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The last axis becomes `units` long."""
        need_float(x, self.word)
        if x.rank < 2:
            raise RuleViolation("DLC204", "`dense` takes at least 2 axes", found=str(x), expected="f32[batch, ..., d]")
        d = known_size(x, -1, self.word)
        params = {
            "kernel": ParamSpec((d, self.units), Init("glorot_uniform", d, self.units), ("in", "out"), kernel=True)
        }
        if self.use_bias:
            params["bias"] = ParamSpec((self.units,), ZEROS, ("out",))
        output = x.resized(*x.shape[:-1], self.units)
        flops = 2 * x.size * self.units + (output.size if self.use_bias else 0)
        return activated(Signature(output, params, flops=flops), self.activation)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """activation(x @ kernel + bias)."""
        y = product(x, weights["kernel"])
        if self.use_bias:
            y = y + weights["bias"]
        return y if self.activation is None else self.activation.function(y)


class Scale(Layer):
    """(*lead, channels) -> (*lead, channels): each channel times a learned factor.

    With factors that start near 0, at the end of a residual's body, it lets deep networks train: layer scale (Touvron
    et al. 2021, arXiv:2103.17239), as in ConvNeXt.
    """

    word = "scale"
    masks = "pointwise"
    decoding = "pointwise"
    initial: float = main(1.0, description="initial value of the factors")

    examples = (
        Example("scale", "f32[batch, height, width, 3]", "f32[batch, height, width, 3]", params=3),
        Example("scale: 1e-6", "f32[batch, 3]", "f32[batch, 3]", params=3),
        Example("scale", "f32[batch, width]", error="DLC203"),
        Example("scale", "f32[batch]", error="DLC204"),
        Example("scale", "i32[batch, 3]", error="DLC207"),
        Example("scale: small", "f32[batch, 3]", error="DLC103"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays; a factor for each channel."""
        need_float(x, self.word)
        if x.rank < 2:
            raise RuleViolation(
                "DLC204", "`scale` takes at least 2 axes", found=str(x), expected="f32[batch, ..., channels]"
            )
        init = Init("constant", options=(("value", self.initial),))
        return Signature(x, {"scale": ParamSpec((known_size(x, -1, self.word),), init, ("channels",))}, flops=x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """X * scale."""
        return x * weights["scale"]


_EQUATION = re.compile(
    r"(?P<left>\.\.\.)?(?P<x>[A-Za-z]+)(?P<right>\.\.\.)?,(?P<kernel>[A-Za-z]+)->"
    r"(?P<left2>\.\.\.)?(?P<y>[A-Za-z]+)(?P<right2>\.\.\.)?"
)


def _equation(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace(" ", "")
    match = _EQUATION.fullmatch(text)
    expected = "`ab,bc->ac`, `...b,bc->...c` or `ab...,bc->ac...`"
    if match is None or (match["left"], match["right"]) != (match["left2"], match["right2"]) or all(match.group(1, 3)):
        raise reject(OptionError((), "DLC104", "not a valid equation of an input and a kernel", spell(value), expected))
    x, kernel, y = match["x"], match["kernel"], match["y"]
    for part in (x, kernel, y):
        twice = [letter for letter in part if part.count(letter) > 1]
        if twice:
            raise reject(OptionError((), "DLC104", f"`{twice[0]}` occurs twice in `{part}`", expected="each axis once"))
    for letter in dict.fromkeys(kernel + y + x):
        if sum(letter in part for part in (x, kernel, y)) < 2:
            message = f"the axis `{letter}` occurs only once"
            hint = "each axis of the input occurs in the kernel or the output, and each of the kernel in either"
            raise reject(OptionError((), "DLC104", message, found=spell(value), hint=hint))
    if not match["left"] and x[0] != y[0]:
        message = "the first axis is the batch, which must stay first"
        raise reject(OptionError((), "DLC104", message, found=spell(value), expected=f"{x[0]}... -> {x[0]}..."))
    if not match["left"] and x[0] in kernel:
        raise reject(OptionError((), "DLC104", "the kernel can't have the batch axis", found=spell(value)))
    return text


def _output_shape(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value]
    good = all(part is None or (isinstance(part, int) and not isinstance(part, bool) and part > 0) for part in parts)
    if not good:
        expected = "sizes after the batch axis; null for an axis that the input has"
        hint = unquoted_hint(value)
        raise reject(OptionError((), "DLC104", "not a valid shape", found=spell(value), expected=expected, hint=hint))
    return tuple(parts)


class _Axes(NamedTuple):
    """An equation on an input: what each letter stands for.

    Args:
        x: a letter for each axis of the input.
        kernel: of the kernel.
        y: of the output.
        sizes: of each letter.
    """

    x: str
    kernel: str
    y: str
    sizes: dict[str, Dim]


class EinsumDense(Layer):
    """(batch, *axes) -> (batch, *axes): sums of products with a kernel, given by an equation, then bias and activation.

    `...x,xy->...y` is `dense`; `abc,cde->abde` makes heads (b, t, h, s) of vectors. The kernel is drawn Glorot uniform:
    the axes that it sums over are its inputs, the others its outputs. The bias begins at zero.
    """

    word = "einsum_dense"
    masks = "used"
    decoding = "pointwise"
    equation: Annotated[str, BeforeValidator(_equation)] = main(
        description="letters for the axes of input, kernel and output: `ab,bc->ac`; `...` for any number of axes"
    )
    output_shape: Annotated[tuple[int | None, ...], BeforeValidator(_output_shape)] = option(
        description="sizes of the output's axes after the batch and without `...`; null for one that the input has"
    )
    bias_axes: str | None = option(None, min_length=1, description="the letters of the output that have a bias")
    activation: Activation = option(None, description="activation applied to the result")

    examples = (
        Example(
            "einsum_dense: {equation: 'ab,bc->ac', output_shape: 4, bias_axes: c}",
            "f32[batch, 3]",
            "f32[batch, 4]",
            params=16,
        ),
        Example(
            "einsum_dense: {equation: 'abc,cde->abde', output_shape: [null, 2, 4], bias_axes: de}",
            "f32[batch, time, 3] masked",
            "f32[batch, time, 2, 4] masked",
            params=32,
        ),
        Example(
            "einsum_dense: {equation: '...x,xy->...y', output_shape: 4, activation: relu}",
            "f32[batch, time, 3]",
            "f32[batch, time, 4]",
            params=12,
        ),
        Example(
            "einsum_dense: {equation: 'ab...,bc->ac...', output_shape: 4, bias_axes: c}",
            "f32[batch, 3, time]",
            "f32[batch, 4, time]",
            params=16,
        ),
        Example(
            "einsum_dense: {equation: 'abc,bcd->abd', output_shape: [null, 2]}",
            "f32[batch, 5, 3]",
            "f32[batch, 5, 2]",
            params=30,
        ),
        Example(
            "einsum_dense: {equation: 'abc,bd->adc', output_shape: [2, null]}",
            "f32[batch, 5, 3] masked",
            error="DLC212",
        ),
        Example("einsum_dense: {equation: 'abc,cd->abd', output_shape: [null, 2]}", "f32[batch, 3]", error="DLC204"),
        Example("einsum_dense: {equation: 'abc,cd->abd', output_shape: 2}", "f32[batch, 5, 3]", error="DLC205"),
        Example("einsum_dense: {equation: 'abc,cd->abd', output_shape: [4, 2]}", "f32[batch, 5, 3]", error="DLC205"),
        Example(
            "einsum_dense: {equation: 'abc,cd->abd', output_shape: [null, null]}", "f32[batch, 5, 3]", error="DLC205"
        ),
        Example("einsum_dense: {equation: 'ab,bc->ac', output_shape: 2}", "f32[batch, width]", error="DLC203"),
        Example(
            "einsum_dense: {equation: 'ab,bc->ac', output_shape: 2, bias_axes: d}", "f32[batch, 3]", error="DLC104"
        ),
        Example("einsum_dense: {equation: 'ab,bc', output_shape: 2}", "f32[batch, 3]", error="DLC104"),
        Example("einsum_dense: {equation: 'ab,bc->acd', output_shape: 2}", "f32[batch, 3]", error="DLC104"),
        Example("einsum_dense: {equation: 'ab,bc->ca', output_shape: 2}", "f32[batch, 3]", error="DLC104"),
        Example("einsum_dense: {equation: 'abb,bc->ac', output_shape: 2}", "f32[batch, 3]", error="DLC104"),
        Example("einsum_dense: {equation: 'ab,bc->ac', output_shape: 2}", "i32[batch, 3]", error="DLC207"),
        Example("einsum_dense: {equation: 'ab,bc->ac', output_shape: two}", "f32[batch, 3]", error="DLC104"),
        Example("einsum_dense: 'ab,bc->ac'", "f32[batch, 3]", error="DLC102"),
    )

    def axes(self, shape: Sequence[Dim]) -> _Axes:
        """The equation on an input of a shape, `...` written out."""
        match = _EQUATION.fullmatch(self.equation)
        assert match is not None, "the equation was checked"
        x, kernel, y = match["x"], match["kernel"], match["y"]
        more = len(shape) - len(x)
        spare = [letter for letter in string.ascii_letters if letter not in x + kernel + y]
        if more < 0 or (more and not (match["left"] or match["right"])) or (match["left"] and not more):
            least = len(x) + (match["left"] is not None)
            expected = f"{least} axes" + (" or more" if match["left"] or match["right"] else "")
            found = f"{len(shape)} axes, `{self.equation}`"
            raise RuleViolation(
                "DLC204", "the equation does not fit the input", found=found, expected=expected, option="equation"
            )
        extra = "".join(spare[:more])
        x, y = (extra + x, extra + y) if match["left"] else (x + extra, y + extra)
        sizes: dict[str, Dim] = dict(zip(x, shape, strict=True))
        own = [letter for letter in y[1:] if letter not in extra]
        if len(own) != len(self.output_shape):
            raise RuleViolation(
                "DLC205",
                "`output_shape` has a size for each axis of the output after the batch",
                found=plural(len(self.output_shape), "size"),
                expected=f"{len(own)}, for `{''.join(own)}`",
                option="output_shape",
            )
        for letter, size in zip(own, self.output_shape, strict=True):
            if size is None and letter not in sizes:
                message = f"the size of the new axis `{letter}` is not declared"
                raise RuleViolation(
                    "DLC205", message, expected="a number for it in `output_shape`", option="output_shape"
                )
            if size is not None and sizes.setdefault(letter, size) != size:
                message = f"the axis `{letter}` has another size in the input"
                found, expected = f"{size}, and {sizes[letter]} in the input", f"{sizes[letter]} or null"
                raise RuleViolation("DLC205", message, found=found, expected=expected, option="output_shape")
        return _Axes(x, kernel, y, sizes)

    def infer(self, x: TensorType) -> Signature:
        """Sizes as the equation specifies."""
        need_float(x, self.word)
        axes = self.axes(x.shape)

        def known(letter: str) -> int:
            return known_size(TensorType((axes.sizes[letter],)), 0, self.word)

        inputs = prod(known(letter) for letter in axes.kernel if letter not in axes.y)
        outputs = prod(known(letter) for letter in axes.kernel if letter in axes.y)
        shape = tuple(known(letter) for letter in axes.kernel)
        meaning = tuple("out" if letter in axes.y else "in" for letter in axes.kernel)
        params = {"kernel": ParamSpec(shape, Init("glorot_uniform", inputs, outputs), meaning, kernel=True)}
        bias = self.bias(axes)
        if bias:
            params["bias"] = ParamSpec(tuple(known(letter) if letter else 1 for letter in bias))
        output = TensorType(tuple(axes.sizes[letter] for letter in axes.y), x.dtype)
        kept = x.rank > 1 and len(axes.y) > 1 and axes.x[1] == axes.y[1]
        output = with_mask(x, output, kept, self.word, "it removes or moves the time axis")
        flops = 2 * output.size * inputs + (output.size if bias else 0)
        return activated(Signature(output, params, flops=flops), self.activation)

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The time axis must stay, and have no weights of its own."""
        axes = self.axes(inputs[0].shape)
        time = axes.x[1]
        kept = axes.y[1:2] == time and time not in (*axes.kernel, *self.bias(axes))
        need_positions(self.word, kept, "it has weights for each position, or moves the time axis")

    def bias(self, axes: _Axes) -> tuple[str, ...]:
        """The bias' axes from its first letter on, empty where it is 1; no axes without a bias."""
        if self.bias_axes is None:
            return ()
        wrong = [letter for letter in self.bias_axes if letter not in axes.y or letter not in self.equation]
        if wrong or self.bias_axes.startswith(axes.y[0]) or axes.y[0] in self.bias_axes:
            message = f"`{(wrong or [axes.y[0]])[0]}` can't have a bias"
            expected = f"letters of `{axes.y[1:]}`"
            raise RuleViolation("DLC104", message, expected=expected, option="bias_axes")
        first = min(axes.y.index(letter) for letter in self.bias_axes)
        return tuple(letter if letter in self.bias_axes else "" for letter in axes.y[first:])

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """activation(einsum(equation, x, kernel) + bias)."""
        axes = self.axes(x.shape)
        y = jnp.einsum(f"{axes.x},{axes.kernel}->{axes.y}", x, weights["kernel"])
        if self.bias_axes is not None:
            y = y + weights["bias"]
        return y if self.activation is None else self.activation.function(y)
