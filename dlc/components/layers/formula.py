"""A formula as a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator

from dlc.components.formulas.formula import Formula, parse
from dlc.components.layers.activations import Elementwise
from dlc.components.layers.merge import need_one_dtype
from dlc.ir import Context, Example, Layer, Signature, TensorType, need_float
from dlc.language.interpolation import ExpressionError
from dlc.language.options import OptionError, RuleViolation, main, reject
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array


def _names(text: str) -> set[str]:
    """The inputs that a formula mentions; rejects what is none."""
    try:
        return set(parse(text, "x").names)
    except ExpressionError as option_error:
        inside = (text, option_error.start, option_error.length)
        raise reject(
            OptionError((), option_error.code, option_error.message, hint=option_error.hint, inside=inside)
        ) from None


def _formula(value: Any) -> Any:
    """A string that is a formula of x, or of x1, x2, ..."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return value
    names = _names(value)
    if not names:
        hint = "the input is `x`; several inputs are `x1`, `x2`, ..."
        raise reject(OptionError((), "DLC108", "the formula mentions no input", hint=hint))
    if "x" in names and len(names) > 1:
        message, hint = "the formula mentions `x` and numbered inputs", "call them all `x1`, `x2`, ..."
        raise reject(OptionError((), "DLC108", message, hint=hint))
    return value


def _formula_of_x(value: Any) -> Any:
    """A string that is a formula of one input, x."""
    if not isinstance(value, str):
        return _formula(value)
    numbered = _names(value) - {"x"}
    if numbered:
        hint = "an activation has one input, `x`; the layer `formula` takes several"
        raise reject(OptionError((), "DLC108", f"the formula mentions `{min(numbered)}`", hint=hint))
    return _formula(value)


class FormulaActivation(Elementwise):
    """(*shape) -> (*shape): a formula of x, element by element, as an activation: `x * sigmoid(x)`."""

    word = "formula"
    formula: Annotated[str, BeforeValidator(_formula_of_x)] = main(description="the formula of x")
    examples = (
        Example('formula: "x * sigmoid(x)"', "f32[batch, 3]", "f32[batch, 3]"),
        Example('formula: "x1 * sigmoid(x1)"', "f32[batch, 3]", error="DLC108"),
        Example('formula: "x * sigmiod(x)"', "f32[batch, 3]", error="DLC108"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays."""
        need_float(x, self.word)
        return Signature(x, flops=parse(self.formula, "x").cost * x.size)

    def function(self, x: Array) -> Array:
        """The formula of x."""
        return jnp.asarray(parse(self.formula, "x").value({"x": x})).astype(x.dtype)


class FormulaLayer(Layer):
    """(*shape), (*shape), ... -> (*shape): a formula, element by element: `x * sigmoid(x)`.

    The input is called x; several inputs are called x1, x2, ... in their order, and must have one shape. There are
    + - * / and ** with a number as exponent, numbers, pi and e, and the functions abs, exp, log, log1p, expm1, sqrt,
    rsqrt, square, sign, sin, cos, tan, tanh, sigmoid, softplus, relu, erf, floor, ceil, round, minimum, maximum,
    clip(x, low, high) and where(x > 0, a, b).
    """

    word = "formula"
    masks = "elementwise"
    decoding = "pointwise"
    arity: ClassVar[tuple[int, int | None]] = (1, None)
    formula: Annotated[str, BeforeValidator(_formula)] = main(description="the formula of x, or of x1, x2, ...")

    examples = (
        Example('formula: "x * sigmoid(x)"', "f32[batch, time, 3]", "f32[batch, time, 3]"),
        Example('formula: "x1 * exp(-x2 ** 2 / 2)"', ("f32[batch, 3]", "f32[batch, 3]"), "f32[batch, 3]"),
        Example('formula: "where(x > 0, x, 0.1 * x)"', "f32[batch, 3]", "f32[batch, 3]"),
        Example('formula: "x1 + x2"', ("f32[batch, 3]", "f32[batch, 4]"), error="DLC205"),
        Example('formula: "x1 + x2"', ("f32[batch, 3]",), error="DLC206"),
        Example('formula: "x1 + x1"', ("f32[batch, 3]", "f32[batch, 3]"), error="DLC206"),
        Example('formula: "x + x2"', ("f32[batch, 3]", "f32[batch, 3]"), error="DLC108"),
        Example('formula: "x.real"', "f32[batch, 3]", error="DLC108"),
        Example('formula: "sigmiod(x)"', "f32[batch, 3]", error="DLC108"),
        Example('formula: "1 + 2"', "f32[batch, 3]", error="DLC108"),
        Example("formula: 3", "f32[batch, 3]", error="DLC108"),
        Example("formula: [x]", "f32[batch, 3]", error="DLC103"),
        Example("formula", "f32[batch, 3]", error="DLC102"),
        Example('formula: "2 * x"', "i32[batch, 3]", error="DLC207"),
    )

    @property
    def parsed(self) -> Formula:
        """The formula as a tree."""
        return parse(self.formula, "x")

    def infer(self, *inputs: TensorType) -> Signature:
        """All shapes must be the same; the formula must mention every input."""
        names = self.names(len(inputs))
        mentioned = set(self.parsed.names)
        if mentioned != set(names):
            found = ", ".join(f"`{name}`" for name in sorted(mentioned))
            expected = ", ".join(f"`{name}`" for name in names)
            message = "the formula must mention each of its inputs, and no others"
            raise RuleViolation("DLC206", message, found=found, expected=expected, option="formula")
        for x in inputs:
            need_float(x, self.word)
            if x.shape != inputs[0].shape:
                raise RuleViolation("DLC205", "`formula` takes inputs of one shape", expected="the same shape for all")
        need_one_dtype(inputs, self.word)
        return Signature(inputs[0], flops=self.parsed.cost * inputs[0].size)

    def names(self, count: int) -> tuple[str, ...]:
        """What so many inputs are called."""
        return ("x",) if count == 1 else tuple(f"x{index + 1}" for index in range(count))

    def apply(self, weights: Mapping[str, Array], *inputs: Array, ctx: Context) -> Array:
        """The formula of the inputs."""
        y = self.parsed.value(dict(zip(self.names(len(inputs)), inputs, strict=True)))
        return jnp.asarray(y).astype(inputs[0].dtype)
