"""A formula as a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from dlc.components.formulas.formula import ELEMENTWISE, Call, Formula, Function, Tree, Variable, parse
from dlc.components.losses.loss import Loss, LossExample, Score, score, weights_of
from dlc.components.losses.shape_checks import need_pairs, need_real_output, rows
from dlc.ir import TensorType, where_real
from dlc.kernels.maxima import largest
from dlc.language.interpolation import ExpressionError
from dlc.language.options import OptionError, RuleViolation, main, reject
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array

NAMES = ("prediction", "target")
REDUCTIONS = ("mean", "sum", "max", "min")


def _unbound(_: Any) -> Any:
    raise AssertionError("reductions are bound to the unmasked elements before they are computed")


FUNCTIONS: Mapping[str, Function] = {**ELEMENTWISE, **{name: Function(1, _unbound) for name in REDUCTIONS}}


def _formula(value: Any) -> Any:
    """Check that a string is a formula that uses the prediction."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return value
    try:
        names = parse(value, NAMES, FUNCTIONS).names
    except ExpressionError as option_error:
        raise reject(
            OptionError(
                (),
                option_error.code,
                option_error.message,
                hint=option_error.hint,
                inside=(value, option_error.start, option_error.length),
            )
        ) from None
    if "prediction" not in names:
        hint = "`prediction` is the output, `target` what it is compared with"
        raise reject(OptionError((), "DLC108", "the formula does not use `prediction`", hint=hint))
    return value


class FormulaLoss(Loss):
    """(batch, *axes) with (batch, *axes): the mean of a formula of `prediction` and `target`, element by element.

    Formulas have + - * / and ** with a number as exponent, numbers, pi and e, and the functions of the layer `formula`.
    `mean(x)`, `sum(x)`, `max(x)` and `min(x)` reduce the unmasked elements of an example:
    `mean(abs(prediction - target) ** 1.5)`. A result that still has elements is averaged. `prediction` is the output of
    the network, without softmax or sigmoid; classes 0 and 1 are numbers. A formula may omit `target`:
    `0.1 * mean(abs(prediction))` keeps an output small.
    """

    word = "formula"
    compares = "either"
    formula: Annotated[str, BeforeValidator(_formula)] = main(description="the formula of `prediction` and `target`")

    examples = (
        LossExample('formula: "mean(abs(prediction - target) ** 1.5)"', "f32[batch, 4]", "f32[batch, 4]"),
        LossExample('formula: "softplus(prediction) - target * prediction"', "f32[batch, 1]", "i32[batch]<2"),
        LossExample('formula: "sum(square(prediction - target)) / (1 + max(abs(target)))"', *["f32[batch, 4, 2]"] * 2),
        LossExample('formula: "mean(abs(prediction))"', "f32[batch, 4]", None),
        LossExample('formula: "prediction - target"', "f32[batch, 4]", "f32[batch, 3]", error="DLC301"),
        LossExample('formula: "prediction - target"', "f32[batch, 4]", None, error="DLC301"),
        LossExample('formula: "square(prediction)"', "f32[batch, 4]", "f32[batch, 4]", error="DLC303"),
        LossExample('formula: "square(target)"', "f32[batch, 4]", "f32[batch, 4]", error="DLC108"),
        LossExample('formula: "prediction.sum()"', "f32[batch, 4]", "f32[batch, 4]", error="DLC108"),
        LossExample('formula: "mean(prediction, target)"', "f32[batch, 4]", "f32[batch, 4]", error="DLC108"),
        LossExample("formula: [prediction]", "f32[batch, 4]", "f32[batch, 4]", error="DLC103"),
        LossExample("formula", "f32[batch, 4]", "f32[batch, 4]", error="DLC102"),
    )

    @property
    def parsed(self) -> Formula:
        """The formula as a tree."""
        return parse(self.formula, NAMES, FUNCTIONS)

    def infer(self, output: TensorType, target: TensorType | None) -> None:
        """An output, and a target of its shape if the formula mentions one."""
        compares = "target" in self.parsed.names
        if target is None:
            need_real_output(self.code, self.word, output)
            if compares:
                message, hint = (
                    "the formula uses `target`, but the loss has none",
                    "set it beside the loss: `target: NAME`",
                )
                raise RuleViolation(
                    self.code, message, found=f"output {output}, no target", hint=hint, option="formula"
                )
            return
        if not compares:
            message = "`target` has no effect: the formula does not use it"
            raise RuleViolation("DLC303", message, found=f"target {target}", hint="use it in the formula, or remove it")
        need_pairs(self.code, self.word, output, target)

    def averages(self) -> bool:
        """Whether the formula's result has elements."""
        return _has_elements(self.parsed.tree)

    def apply(self, output: Array, target: Any, mask: Array | None = None, real: Array | None = None) -> Score:
        """The formula of each element, or of each example."""
        y = rows(output if mask is None else where_real(mask, output)).astype(jnp.float32)
        weights = weights_of(output, mask, None)
        arrays = {"prediction": y} if target is None else {"prediction": y, "target": rows(target).astype(jnp.float32)}
        value = jnp.asarray(self.parsed._replace(functions=_bound(y.shape[1], weights)).value(arrays), jnp.float32)
        if self.averages():
            return score(jnp.broadcast_to(value, y.shape).reshape(output.shape), mask)
        weight = jnp.ones(y.shape[0], jnp.float32) if weights is None else weights.max(-1)
        return Score(jnp.where(weight > 0, value[:, 0], 0.0), weight)


def _has_elements(tree: Tree) -> bool:
    if not isinstance(tree, Call):
        return isinstance(tree, Variable)
    return tree.function not in REDUCTIONS and any(_has_elements(part) for part in tree.arguments)


def _bound(size: int, weights: Array | None) -> Mapping[str, Function]:
    """The functions, with reductions over the elements of (batch, size) that have a weight.

    They return (batch, 1). A number, or a reduced value, is its own mean, sum, max and min.
    """

    def reduction(reduce: Callable[[Array, Any], Array]) -> Callable[[Any], Array]:
        def run(x: Any) -> Array:
            wide = jnp.asarray(x, jnp.float32)
            return wide if wide.ndim < 2 or wide.shape[1] != size else reduce(wide, weights)

        return run

    def total(x: Array, w: Any) -> Array:
        return (x if w is None else jnp.where(w > 0, x, 0.0)).sum(1, keepdims=True)

    def mean(x: Array, w: Any) -> Array:
        return total(x, w) / (size if w is None else jnp.maximum((w > 0).sum(1, keepdims=True), 1))

    def most(x: Array, w: Any) -> Array:
        if w is None:
            return largest(x, 1)
        top = largest(jnp.where(w > 0, x, -jnp.inf), 1)
        return jnp.where(jnp.isneginf(top), 0.0, top)

    made = {
        "mean": reduction(mean),
        "sum": reduction(total),
        "max": reduction(most),
        "min": reduction(lambda x, w: -most(-x, w)),
    }
    return {**ELEMENTWISE, **{name: Function(1, run) for name, run in made.items()}}
