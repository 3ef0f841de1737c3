"""A formula as a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from dlc.components.formulas.formula import ELEMENTWISE, Function, parse
from dlc.components.losses.loss import LossExample
from dlc.components.losses.shape_checks import need_pairs
from dlc.components.metrics.metric import Metric, Statistics, spread
from dlc.components.sums import in_units
from dlc.ir import TensorType
from dlc.language.interpolation import ExpressionError
from dlc.language.options import OptionError, main, option, reject
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array

NAMES = ("prediction", "target")


def _functions(counted: Any) -> Mapping[str, Function]:
    """The functions of formulas, with reductions over the elements that `counted`, (batch, *axes), selects."""

    def over(reduce: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
        def of(x: Any) -> Any:
            full = jnp.broadcast_to(x, counted.shape)
            return reduce(full, tuple(range(1, full.ndim)))

        return of

    def mean(x: Any, axes: Any) -> Any:
        count = counted.sum(axes, keepdims=True)
        return jnp.where(counted, x, 0.0).sum(axes, keepdims=True) / jnp.where(count > 0, count, 1)

    return {
        **ELEMENTWISE,
        "mean": Function(1, over(mean)),
        "sum": Function(1, over(lambda x, axes: jnp.where(counted, x, 0.0).sum(axes, keepdims=True))),
        "max": Function(1, over(lambda x, axes: jnp.where(counted, x, -jnp.inf).max(axes, keepdims=True))),
        "min": Function(1, over(lambda x, axes: jnp.where(counted, x, jnp.inf).min(axes, keepdims=True))),
    }


KNOWN = _functions(None)  # for parsing formulas


def _formula(value: Any) -> Any:
    """Check that a string is a formula of prediction and target."""
    if not isinstance(value, str):
        return value
    try:
        names = parse(value, NAMES, KNOWN).names
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
    if missing := [name for name in NAMES if name not in names]:
        message, hint = f"the formula does not use `{missing[0]}`", "a metric compares `prediction` with `target`"
        raise reject(OptionError((), "DLC108", message, hint=hint))
    return value


class FormulaMetric(Metric):
    """(batch, *axes) with (batch, *axes): the mean of a formula of `prediction` and `target` over the split's elements.

    `mean(x)`, `sum(x)`, `max(x)` and `min(x)` reduce the elements of an example, without padding. If a formula has one
    value for each example, the metric is their mean. It is computed in float32, where squares of numbers above 1.8e19
    are infinite. Other functions are those of the layer `formula`:
    `sqrt(mean((prediction - target) ** 2))` is the mean of each example's root mean squared error.
    """

    word = "formula"
    formula: Annotated[str, BeforeValidator(_formula)] = main(description="the formula of `prediction` and `target`")
    higher_is_better: bool = option(False, description="whether a higher value is better")

    examples = (
        LossExample('formula: "abs(prediction - target) ** 1.5"', "f32[batch, 1]", "f32[batch, 1]"),
        LossExample('formula: "sqrt(mean((prediction - target) ** 2))"', "f32[batch, 4, 3]", "f32[batch, 4, 3]"),
        LossExample('formula: "max(prediction) - max(target)"', "f32[batch, 3]", "f32[batch, 3]"),
        LossExample('formula: "prediction - target"', "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
        LossExample('formula: "prediction ** 2"', "f32[batch, 3]", "f32[batch, 3]", error="DLC108"),
        LossExample('formula: "predicted - target"', "f32[batch, 3]", "f32[batch, 3]", error="DLC108"),
        LossExample("formula: 3", "f32[batch, 3]", "f32[batch, 3]", error="DLC103"),
    )

    @property
    def rises(self) -> bool:
        """The option's value."""
        return self.higher_is_better

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Numbers of one shape."""
        need_pairs(self.code, self.word, output, target)

    def statistics(self, prediction: Array, target: Array, weights: Array, mask: Array | None = None) -> Statistics:
        """The sum of the elements, or of the examples' values."""
        shape = prediction.shape if prediction.ndim >= target.ndim else target.shape
        arrays = {
            name: value.reshape(shape).astype("float32")
            for name, value in zip(NAMES, (prediction, target), strict=True)
        }
        counted = spread(jnp.ones(weights.shape, "float32"), mask, shape) > 0
        formula = parse(self.formula, NAMES, KNOWN)._replace(functions=_functions(counted))
        values = jnp.asarray(formula.value(arrays)).astype("float32")
        if values.shape != shape:  # one value for each example
            counted = counted.any(tuple(range(1, len(shape))), keepdims=True)
        each = counted * spread(weights, None, counted.shape)
        scaled = each / (counted.size // max(1, counted.shape[0]))  # sums of examples, so that float32 is exact enough
        parts = [jnp.where(each > 0, part * scaled, 0.0).sum() for part in in_units(values)]
        return {"total": jnp.stack(parts), "weight": scaled.sum()}
