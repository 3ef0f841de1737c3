"""Losses of real values that grow slower than the square for large errors, and of quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from dlc.components.losses.loss import Loss, LossExample
from dlc.components.losses.shape_checks import need_pairs, need_real_output, paired
from dlc.components.losses.value_checks import need_scores_behind_mask
from dlc.ir import TensorType
from dlc.language.options import OptionError, RuleViolation, main, reject, spell
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array


class _Pairs(Loss):
    """Shared by losses whose output and target have one shape."""

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Numbers of one shape."""
        need_pairs(self.code, self.word, output, target)


class Huber(_Pairs):
    """(batch, *axes) with (batch, *axes): d^2 / 2 up to delta, then delta * (d - delta / 2).

    The mean, with d = |output - target| (Huber 1964; Keras' `Huber` and PyTorch's `HuberLoss`).
    """

    word = "huber"
    delta: float = main(1.0, gt=0, description="where the square becomes a line")
    examples = (
        LossExample("huber", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("huber: 0.5", "f32[batch, 4, 2]", "f32[batch, 4, 2]"),
        LossExample("huber: 0", "f32[batch, 1]", "f32[batch, 1]", error="DLC104"),
        LossExample("huber", "f32[batch, 2]", "f32[batch, 1]", error="DLC301"),
    )

    def elements(self, output: Array, target: Array) -> Array:
        """A square near 0, a line further out."""
        return huber_curve(output, target, self.delta)


class SmoothL1(_Pairs):
    """(batch, *axes) with (batch, *axes): with d = |output - target|, d^2 / (2 * beta) up to beta, then d - beta / 2.

    The mean (Girshick 2015, arXiv:1504.08083; PyTorch's `SmoothL1Loss`). It is `huber` divided by beta.
    """

    word = "smooth_l1"
    beta: float = main(1.0, gt=0, description="where the square becomes a line of gradient 1")
    examples = (
        LossExample("smooth_l1", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("smooth_l1: 0.1", "f32[batch, 4]", "f32[batch, 4]"),
        LossExample("smooth_l1: 0", "f32[batch, 1]", "f32[batch, 1]", error="DLC104"),
        LossExample("smooth_l1", "f32[batch, 2]", "f32[batch, 1]", error="DLC301"),
    )

    def elements(self, output: Array, target: Array) -> Array:
        """A square near 0, a line further out."""
        return huber_curve(output, target, self.beta) / self.beta


def huber_curve(output: Array, target: Array, bend: float) -> Array:
    """Huber's function of the differences; the square is never evaluated beyond the bend."""
    y, t = paired(output, target)
    away = jnp.abs(y - t)
    near = jnp.minimum(away, bend)
    return near * (away - near / 2)


class LogCosh(_Pairs):
    """(batch, *axes) with (batch, *axes): the mean of log(cosh(output - target))."""

    word = "log_cosh"
    examples = (
        LossExample("log_cosh", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("log_cosh", "f32[batch, 2]", "f32[batch, 1]", error="DLC301"),
    )

    def elements(self, output: Array, target: Array) -> Array:
        """log(cosh(x)) = |x| + log(1 + exp(-2 |x|)) - log(2), which does not overflow."""
        y, t = paired(output, target)
        away = jnp.abs(y - t)
        return away + jnp.log1p(jnp.exp(-2 * away)) - jnp.log(2.0)


def _quantiles(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(part, (int, float)) and not isinstance(part, bool) for part in parts):
        expected = "a number, or a list of them"
        raise reject(OptionError((), "DLC103", "not a valid list of quantiles", found=spell(value), expected=expected))
    if not parts or not all(0 < part < 1 for part in parts) or len(set(parts)) < len(parts):
        expected = "different numbers between 0 and 1"
        raise reject(OptionError((), "DLC104", "not a valid list of quantiles", found=spell(value), expected=expected))
    return tuple(float(part) for part in parts)


class Quantile(Loss):
    """(batch, *axes, quantiles) with (batch, *axes): the mean of max(q * (t - y), (q - 1) * (t - y)), q each quantile.

    The pinball loss (Koenker and Bassett 1978), with which outputs learn the q-quantile of targets; the mean over
    quantiles and axes. The target may also be (batch, *axes, 1). Predictions are in the target's unit if it is
    one number, else in the network's.
    """

    word = "quantile"
    quantiles: Annotated[tuple[float, ...], BeforeValidator(_quantiles)] = main(
        description="the quantiles, one for each entry of the output's last axis"
    )
    examples = (
        LossExample("quantile: 0.9", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("quantile: [0.1, 0.5, 0.9]", "f32[batch, 3]", "f32[batch, 1]"),
        LossExample("quantile: [0.1, 0.9]", "f32[batch, 4, 2]", "f32[batch, 4]"),
        LossExample("quantile: [0.1, 0.9]", "f32[batch, 3]", "f32[batch, 1]", error="DLC301"),
        LossExample("quantile: [0.1, 0.9]", "f32[batch, 2]", "i32[batch]<2", error="DLC301"),
        LossExample("quantile: [0.1, 1]", "f32[batch, 2]", "f32[batch, 1]", error="DLC104"),
        LossExample("quantile: [0.5, 0.5]", "f32[batch, 2]", "f32[batch, 1]", error="DLC104"),
        LossExample("quantile: half", "f32[batch, 2]", "f32[batch, 1]", error="DLC103"),
        LossExample("quantile", "f32[batch, 2]", "f32[batch, 1]", error="DLC102"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One output per quantile of each number."""
        need_scores_behind_mask(self.word, output)
        need_real_output(self.code, self.word, output)
        count = len(self.quantiles)
        plain = target.shape[:-1] if target.rank > 1 and target.shape[-1] == 1 else target.shape
        fits = output.shape in ((*plain, count), (*target.shape, count))
        if not target.is_float or not fits:
            expected = f"an output f32[{', '.join(map(str, (*plain, count)))}] and a real-valued target"
            hint = f"end the network with `dense: {count}`" if target.is_float and len(plain) == 1 else None
            message = f"`{self.word}` takes one output per quantile"
            found = f"output {output}, target {target}"
            raise RuleViolation(self.code, message, found=found, expected=expected, hint=hint)

    def predicts(self, output: TensorType, target: TensorType) -> bool:
        """Whether the target is one number: its unit then holds for all quantiles."""
        return target.rank == 1 or target.shape[1:] == (1,)

    def elements(self, output: Array, target: Array) -> Array:
        """The pinball losses, in the shape of the output."""
        y = output.astype(jnp.float32)
        away = target.astype(jnp.float32).reshape(*y.shape[:-1], 1) - y
        q = jnp.asarray(self.quantiles, jnp.float32)
        return jnp.maximum(q * away, (q - 1) * away)
