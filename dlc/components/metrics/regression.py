"""Metrics of numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from dlc.components.losses.loss import LossExample
from dlc.components.losses.shape_checks import need_pairs, paired, rows
from dlc.components.metrics.metric import Metric, Statistics, spread
from dlc.components.sums import in_units, whole
from dlc.ir import TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject
from dlc.support.lazy import jnp, np

if TYPE_CHECKING:
    from jax import Array
    from numpy.typing import NDArray


class Deviation(Metric):
    """Shared by metrics of numbers of one shape."""

    upward = False

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Numbers of one shape."""
        need_pairs(self.code, self.word, output, target)


class MeanAbsoluteError(Deviation):
    """(batch, *axes) with (batch, *axes): the mean of |output - target|, in the target's own unit."""

    word = "mae"
    shift_invariant = True
    examples = (
        LossExample("mae", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("mae", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def elements(self, prediction: Array, target: Array) -> Array:
        """The absolute differences."""
        y, t = paired(prediction, target)
        return jnp.abs(y - t)


class MeanSquaredError(Deviation):
    """(batch, *axes) with (batch, *axes): the mean of (output - target)^2, in the square of the target's own unit."""

    word = "mse"
    shift_invariant = True
    power = 2
    examples = (
        LossExample("mse", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("mse", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def elements(self, prediction: Array, target: Array) -> Array:
        """The differences, which are squared."""
        y, t = paired(prediction, target)
        return y - t


class RootMeanSquaredError(Deviation):
    """(batch, *axes) with (batch, *axes): sqrt(mean((output - target)^2)) over the split, in the target's own unit."""

    word = "rmse"
    shift_invariant = True
    power = 2
    examples = (
        LossExample("rmse", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("rmse", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def elements(self, prediction: Array, target: Array) -> Array:
        """The differences, which are squared."""
        y, t = paired(prediction, target)
        return y - t

    def finish(self, mean: float) -> float:
        """The root of the mean."""
        return math.sqrt(mean)


class MeanAbsolutePercentageError(Deviation):
    """(batch, *axes) with (batch, *axes): the mean of |output - target| / |target|: 0.1 is ten percent.

    A target of 0 counts as 2.2e-16, as in scikit-learn: an error there makes the value huge.
    """

    word = "mape"
    examples = (
        LossExample("mape", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("mape", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def parts(self, prediction: Array, target: Array) -> tuple[Array, Array, Array]:
        """The relative differences; those of a target of 0 may leave float32."""
        y, t = paired(prediction, target)
        factor = 2.0**85
        error, size = jnp.abs(y - t), jnp.maximum(jnp.abs(t), 2.0**-52)
        scaled = error / factor / size
        large = scaled >= 1 / factor * 2.0**80
        return jnp.zeros_like(error), jnp.where(large, 0.0, error / size), jnp.where(large, scaled / factor, 0.0)


class SymmetricMeanAbsolutePercentageError(Deviation):
    """(batch, *axes) with (batch, *axes): the mean of 2 |output - target| / (|output| + |target|), from 0 to 2.

    Where both are 0 it is 0 (Makridakis 1993, as defined by the M4 competition, without the factor 100).
    """

    word = "smape"
    bounded = True
    examples = (
        LossExample("smape", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("smape", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def elements(self, prediction: Array, target: Array) -> Array:
        """The relative differences."""
        y, t = paired(prediction, target)
        scale = jnp.where(jnp.maximum(jnp.abs(y), jnp.abs(t)) > 1, 0.25, 1.0)  # the sum stays in float32
        y, t = y * scale, t * scale
        size = jnp.abs(y) + jnp.abs(t)
        return jnp.where(size == 0, 0.0, 2 * jnp.abs(y - t) / jnp.where(size == 0, 1.0, size))


class MeanAbsoluteScaledError(Deviation):
    """(batch, time, *axes) with (batch, time, *axes): the mean absolute error / that of the naive seasonal forecast.

    The naive forecast at a time is the target `season` time steps earlier. Its error is the mean over the split's
    targets, or `scale` in the target's unit: for example its error on the training series, as in Hyndman and Koehler
    (2006). Below 1 is better than naive.
    """

    word = "mase"
    shift_invariant = True
    season: int = main(1, ge=1, description="time steps per season: 12 for months, 1 without seasons")
    scale: float | None = option(
        None, gt=0, description="error of the naive forecast; default: computed from the targets"
    )
    examples = (
        LossExample("mase", "f32[batch, 12]", "f32[batch, 12]"),
        LossExample("mase: 4", "f32[batch, 6, 2]", "f32[batch, 6, 2]"),
        LossExample("mase: {scale: 2.5}", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("mase: {season: 4, scale: 2.5}", "f32[batch, 12]", "f32[batch, 12]", error="DLC303"),
        LossExample("mase", "f32[batch, 1]", "f32[batch, 1]", error="DLC302"),
        LossExample("mase: 12", "f32[batch, 12]", "f32[batch, 12]", error="DLC302"),
        LossExample("mase", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    @model_validator(mode="after")
    def _check(self) -> MeanAbsoluteScaledError:
        if self.scale is not None and self.season != 1:
            message, hint = "`season` has no effect with `scale`", "remove one of them"
            raise reject(OptionError(("season",), "DLC303", message, hint=hint, at_key=True))
        return self

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Series longer than a season, unless the scale is given."""
        super().infer(output, target)
        time = target.shape[1] if target.rank > 1 else 1
        if self.scale is None and isinstance(time, int) and time <= self.season:
            message = f"`{self.word}` needs targets along time, axis 1, that are longer than a season"
            expected = f"at least {self.season + 1} time steps"
            hint = "or set the naive forecast's error: `mase: {scale: ...}`"
            raise RuleViolation(self.code, message, found=f"target {target}", expected=expected, hint=hint)

    def statistics(self, prediction: Array, target: Array, weights: Array, mask: Array | None = None) -> Statistics:
        """The absolute errors, those of the naive forecast, and their weights."""
        y, t = prediction.reshape(target.shape).astype("float32"), target.astype("float32")
        counted = spread(weights, mask, t.shape)
        found = {"total": _kept(jnp.abs(y - t), counted), "weight": counted.sum()}
        if self.scale is not None:
            return found
        both = counted[:, self.season :] * (counted[:, : -self.season] > 0)
        naive = jnp.abs(t[:, self.season :] - t[:, : -self.season])
        return {**found, "naive": _kept(naive, both), "pairs": both.sum()}

    def result(self, statistics: Statistics) -> float:
        """The ratio of the means; undefined for constant targets."""
        values = {name: whole(value) for name, value in statistics.items()}
        scale = self.scale
        if scale is None:
            scale = values["naive"] / values["pairs"] if values["pairs"] else 0.0
        return values["total"] / values["weight"] / scale if scale and values["weight"] else float("nan")


def _kept(values: Array, weights: Array) -> Array:
    """The weighted sum in three parts, see `in_units`; elements of weight 0 may be NaN."""
    return jnp.stack([jnp.where(weights > 0, part * weights, 0.0).sum() for part in in_units(values)])


class MaxError(Deviation):
    """(batch, *axes) with (batch, *axes): the largest |output - target| of the split, in the target's own unit."""

    word = "max_error"
    shift_invariant = True
    examples = (
        LossExample("max_error", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("max_error", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def statistics(self, prediction: Array, target: Array, weights: Array, mask: Array | None = None) -> Statistics:
        """The largest difference, and the total weight."""
        y, t = paired(prediction, target)
        shape = prediction.shape if prediction.ndim >= target.ndim else target.shape
        counted = rows(spread(weights, mask, shape))
        return {"largest": jnp.where(counted > 0, jnp.abs(y - t), 0.0).max(initial=0.0), "weight": counted.sum()}

    def merge(self, first: Statistics, second: Statistics) -> Statistics:
        """The maximum of both."""
        larger = (np if isinstance(first["largest"], (np.ndarray, np.generic)) else jnp).maximum
        return {
            "largest": larger(first["largest"], second["largest"]),
            "weight": first["weight"] + second["weight"],
        }

    def result(self, statistics: Statistics) -> float:
        """The largest."""
        return float(statistics["largest"]) if statistics["weight"] else float("nan")


class MedianAbsoluteError(Deviation):
    """(batch, *axes) with (batch, *axes): the median of |output - target|, in the target's own unit.

    The mean of the medians of several outputs along the last axis, as in scikit-learn. It needs all predictions at
    once.
    """

    word = "median_absolute_error"
    shift_invariant = True
    collected = True
    examples = (
        LossExample("median_absolute_error", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("median_absolute_error", "f32[batch, 12, 2]", "f32[batch, 12, 2]"),
        LossExample("median_absolute_error", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def judge(self, prediction: NDArray[Any], target: NDArray[Any], weights: NDArray[Any]) -> float:
        """The median of what counts."""
        from sklearn.metrics import median_absolute_error

        shape = with_columns(prediction.shape, target.shape, masked=weights.ndim > 1)
        counted = spread(weights, None, shape[:-1]).reshape(-1)
        y, t = (value.reshape(-1, shape[-1])[counted > 0].astype(np.float64) for value in (prediction, target))
        if not len(y) or not np.isfinite(y).all():
            return float("nan")
        counted = counted[counted > 0]
        equal = (counted == counted[0]).all()  # scikit-learn's weighted median is the upper of two middle ones
        return float(median_absolute_error(t, y, sample_weight=None if equal else counted))


def with_columns(prediction: tuple[int, ...], target: tuple[int, ...], masked: bool) -> tuple[int, ...]:
    """The shape of pairs of numbers whose last axis distinguishes outputs: (batch, *axes, outputs)."""
    shape = prediction if len(prediction) >= len(target) else target
    return shape if len(shape) > (2 if masked else 1) else (*shape, 1)
