"""Losses of real values: how far an output lies from its target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.components.losses.loss import Loss, LossExample, score
from dlc.components.losses.shape_checks import need_pairs, paired
from dlc.components.sums import in_units
from dlc.components.value_ranges import Domain
from dlc.ir import TensorType
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array


class _Pairs(Loss):
    """Shared by losses whose output and target have one shape."""

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Numbers of one shape."""
        need_pairs(self.code, self.word, output, target)


class MeanSquaredError(_Pairs):
    """(batch, *axes) with (batch, *axes): the mean of (output - target)^2."""

    word = "mse"
    examples = (
        LossExample("mse", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("mse", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("mse", "f32[batch, 2]", "f32[batch, 1]", error="DLC301"),
        LossExample("mse", "f32[batch, 1]", "i32[batch]<10", error="DLC301"),
    )

    def elements(self, output: Array, target: Array) -> Array:
        """The squared differences."""
        y, t = paired(output, target)
        return jnp.square(y - t)

    def reported(self, total: Array, output: Array, target: Any, mask: Any = None) -> tuple[Array, Array, Array]:
        """The means of the squares, which may be too small for float32."""
        y, t = paired(output, target)
        low, middle, high = (score(part, mask).total for part in in_units(y - t, 2))
        return low, middle, jnp.where(jnp.isfinite(total), high, total)  # a loss that overflows in training diverges


class MeanAbsoluteError(_Pairs):
    """(batch, *axes) with (batch, *axes): the mean of |output - target|."""

    word = "mae"
    examples = (
        LossExample("mae", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("mae", "f32[batch, 4, 2]", "f32[batch, 4, 2]"),
        LossExample("mae", "f32[batch, 2]", "f32[batch, 1]", error="DLC301"),
    )

    def elements(self, output: Array, target: Array) -> Array:
        """The absolute differences."""
        y, t = paired(output, target)
        return jnp.abs(y - t)


class MeanAbsolutePercentageError(_Pairs):
    """(batch, *axes) with (batch, *axes): the mean of 100 * |output - target| / |target|.

    Targets must differ from 0, by more than 1e-7.
    """

    word = "mape"
    domain = Domain(nonzero=True, hint="`mae` and `huber` accept any values; do not normalize the target")
    examples = (
        LossExample("mape", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("mape", "f32[batch, 2]", "f32[batch, 1]", error="DLC301"),
    )

    def elements(self, output: Array, target: Array) -> Array:
        """The differences in percent of the target."""
        y, t = paired(output, target)
        return 100 * jnp.abs(y - t) / jnp.maximum(jnp.abs(t), 1e-7)


class MeanSquaredLogarithmicError(_Pairs):
    """(batch, *axes) with (batch, *axes): the mean of (log(1 + output) - log(1 + target))^2.

    Targets must lie above -1. An output of -1 or less counts as just above -1 and has no gradient: end the network with
    `softplus` or `relu`. In Keras both start at 0.
    """

    word = "msle"
    domain = Domain(-1.0, above=True, hint="do not center it with `normalize: standard`; `mse` accepts any values")
    examples = (
        LossExample("msle", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("msle", "f32[batch, 2]", "f32[batch, 1]", error="DLC301"),
    )

    def elements(self, output: Array, target: Array) -> Array:
        """The squared differences of logarithms."""
        y, t = paired(output, target)
        return jnp.square(jnp.log1p(jnp.maximum(y, 1e-6 - 1)) - jnp.log1p(t))
