"""Metrics from means and variances over a split: r2, explained variance, correlation.

A variance is not computed as the difference of two large sums. Mean and sum of squared deviations of a batch take two
passes; two sets of examples are merged as in Chan, Golub and LeVeque (1983). A mean is kept as its distance from a
nearby shift, so that a large offset of the values costs no precision. Squares are those of values divided by a power of
two, so that they neither overflow nor underflow in float32, whatever the unit of the values.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from dlc.components.losses.loss import LossExample
from dlc.components.losses.shape_checks import need_pairs
from dlc.components.metrics.metric import Metric, Statistics, spread
from dlc.components.metrics.regression import with_columns
from dlc.ir import TensorType
from dlc.support.lazy import jnp, np

if TYPE_CHECKING:
    from jax import Array
    from numpy.typing import NDArray


class Moments(Metric):
    """Shared by metrics of variances.

    `statistics`, for each of the outputs along the last axis: `weight` and `count` of positions, `shift` and `mean` of
    target and prediction, (2, outputs); `unit`, the power of two by which values are divided before they are
    multiplied; `products`, (5, outputs): the sums of squared deviations of target, prediction and difference from their
    means, of the product of the first two, and of squared differences; `rest`, the rounding errors of these.
    """

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Numbers of one shape."""
        need_pairs(self.code, self.word, output, target)

    def statistics(self, prediction: Array, target: Array, weights: Array, mask: Array | None = None) -> Statistics:
        """The moments of a batch."""
        shape = with_columns(prediction.shape, target.shape, masked=mask is not None)
        flat = (prod(shape[:-1]), shape[-1])
        counted = spread(weights, mask, shape[:-1]).reshape(flat[0], 1).astype("float32")
        here = counted > 0
        both = jnp.stack([x.reshape(flat).astype("float32") for x in (target, prediction)])  # (2, places, outputs)
        both = jnp.where(here, both, 0.0)
        weight = counted.sum()
        least = jnp.where(here, both, jnp.inf).min(1, initial=jnp.inf)
        most = jnp.where(here, both, -jnp.inf).max(1, initial=-jnp.inf)
        shift = jnp.where(weight > 0, least / 2 + most / 2, 0.0)  # (2, outputs); of a constant it is the constant
        away = jnp.where(here, both - shift[:, None], 0.0)
        over = jnp.where(weight > 0, weight, 1.0)
        miss = jnp.where(here, both[1] - both[0], 0.0)
        unit = _unit(jnp.maximum(jnp.abs(away).max((0, 1), initial=0.0), jnp.abs(miss).max(0, initial=0.0)))
        away, miss = away / unit, miss / unit
        mean = (away * counted).sum(1) / over
        t, y = (away - mean[:, None]) * here
        pairs = [(t, t), (y, y), (y - t, y - t), (t, y), (miss, miss)]
        products = jnp.stack([(a * b * counted).sum(0) for a, b in pairs])
        ones = jnp.ones(shape[-1], "float32")
        return {
            "weight": weight * ones,
            "count": here.sum().astype("float32") * ones,
            "shift": shift,
            "mean": mean * unit,
            "unit": unit,
            "products": products,
            "rest": jnp.zeros_like(products),
        }

    def merge(self, first: Statistics, second: Statistics) -> Statistics:
        """The merged moments of two sets of examples; those of an empty set are all zero."""
        with np.errstate(invalid="ignore", over="ignore"):  # of values that are not finite
            return self._merged(first, second)

    def _merged(self, first: Statistics, second: Statistics) -> Statistics:
        weight = first["weight"] + second["weight"]
        share = second["weight"] / (weight + (weight == 0))
        none = first["weight"] == 0
        shift = first["shift"] * (1 - none) + second["shift"] * none
        mean = first["mean"] * (1 - none) + second["mean"] * none
        difference = ((second["shift"] - shift) + (second["mean"] - mean)) * (second["weight"] > 0)
        arrays = np if isinstance(weight, np.ndarray) else jnp
        unit = arrays.maximum(arrays.maximum(first["unit"], second["unit"]), _unit(abs(difference).max(0)))
        t, y = difference / unit
        between = first["weight"] * share
        moved: Any = arrays.stack([t * t, y * y, (y - t) * (y - t), t * y, 0 * t]) * between
        before, after = ((part["unit"] / unit) ** 2 for part in (first, second))
        products, rest = first["products"] * before, first["rest"] * before + second["rest"] * after
        for part in (second["products"] * after, moved):
            products, error = _two(products, part)
            rest = rest + error
        return {
            "weight": weight,
            "count": first["count"] + second["count"],
            "shift": shift,
            "mean": mean + difference * share,
            "unit": unit,
            "products": products,
            "rest": rest,
        }

    def result(self, statistics: Statistics) -> float:
        """The mean over the outputs."""
        found = {name: np.asarray(value, np.float64) for name, value in statistics.items()}
        if not found["weight"].all():
            return float("nan")
        with np.errstate(invalid="ignore"):
            return float(np.mean(self.of_products(found["products"] + found["rest"], found["count"])))

    def of_products(self, products: NDArray[Any], count: NDArray[Any]) -> NDArray[Any]:
        """The value of each output from `products` and the number of positions; it does not depend on the unit."""
        raise NotImplementedError(f"`{self.word}` defines no value")


def _unit(size: Any) -> Any:
    """The powers of two next to sizes; the smallest normal one for 0."""
    arrays = np if isinstance(size, np.ndarray) else jnp
    _, exponent = arrays.frexp(size)
    return arrays.ldexp(arrays.ones_like(size), arrays.clip(arrays.where(size == 0, -125, exponent), -125, 127))


def _two(a: Any, b: Any) -> tuple[Any, Any]:
    """A sum and its rounding error (Knuth 1969)."""
    total = a + b
    late = total - a
    return total, (a - (total - late)) + (b - late)


def _explained(missed: NDArray[Any], spread_: NDArray[Any]) -> NDArray[Any]:
    """1 - missed / spread; for a constant target 1 if predicted exactly, else 0, as in scikit-learn."""
    varies = spread_ > 0
    shares = 1 - np.divide(missed, spread_, out=np.ones_like(missed), where=varies)
    constant = np.where(missed > 0, 0.0, 1.0)
    return np.where(np.isnan(missed), np.nan, np.where(varies, shares, constant))


class R2(Moments):
    """(batch, *axes) with (batch, *axes): 1 - sum((output - target)^2) / sum((target - mean)^2) over the split.

    The mean over several outputs along the last axis, as in scikit-learn. For a constant target it is 1 if predicted
    exactly, else 0; a single example has no value.
    """

    word = "r2"
    shift_invariant = True
    examples = (
        LossExample("r2", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("r2", "f32[batch, 12, 2]", "f32[batch, 12, 2]"),
        LossExample("r2", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def of_products(self, products: NDArray[Any], count: NDArray[Any]) -> NDArray[Any]:
        """The share of the target's variance that the output explains."""
        return np.where(count > 1, _explained(products[4], products[0]), np.nan)


class ExplainedVariance(Moments):
    """(batch, *axes) with (batch, *axes): 1 - Var(output - target) / Var(target) over the split.

    Like `r2`, but a constant offset of the output does not count. The mean over several outputs along the last axis.
    """

    word = "explained_variance"
    shift_invariant = True
    examples = (
        LossExample("explained_variance", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("explained_variance", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def of_products(self, products: NDArray[Any], count: NDArray[Any]) -> NDArray[Any]:
        """The share of the variance."""
        return _explained(products[2], products[0])


class Pearson(Moments):
    """(batch, *axes) with (batch, *axes): the correlation of output and target over the split, -1 to 1.

    The mean over several outputs along the last axis. It has no value if the output or the target is constant.
    """

    word = "pearson"
    shift_invariant = True
    examples = (
        LossExample("pearson", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("pearson", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def of_products(self, products: NDArray[Any], count: NDArray[Any]) -> NDArray[Any]:
        """The covariance over the root of the variances."""
        t, y, _, together, _ = products
        root = np.sqrt(t) * np.sqrt(y)
        found = np.divide(together, root, out=np.full_like(t, np.nan), where=root > 0)
        return np.asarray(np.clip(found, -1.0, 1.0))
