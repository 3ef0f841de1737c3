"""Constraints of norms and signs, as Keras defines them. The norms are Euclidean, one for each output of a kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, model_validator

from dlc.components.constraints.constraint import Constraint, input_axes
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell, wrong_type
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dlc.ir import ParamSpec

EPSILON = 1e-7  # added to a norm before division, as in Keras


def _axes(value: Any) -> Any:
    """One axis or several, each once."""
    axes = value if isinstance(value, list) else [value]
    if not axes or not all(isinstance(axis, int) and not isinstance(axis, bool) for axis in axes):
        raise reject(wrong_type("axis", value, "an integer, or a list of integers"))
    if len(set(axes)) != len(axes):
        raise reject(OptionError((), "DLC104", "`axis` contains an axis twice", found=spell(value)))
    return tuple(axes)


Axes = Annotated[tuple[int, ...] | None, BeforeValidator(lambda value: None if value is None else _axes(value))]


class NormConstraint(Constraint):
    """Shared by constraints of norms: the axes of the norm."""

    axis: Axes = option(None, description="axes of the norm; default: those of a kernel's inputs")

    def over(self, spec: ParamSpec) -> tuple[int, ...]:
        """The named axes, or those of the inputs."""
        rank = len(spec.shape)
        if self.axis is None:
            return input_axes(spec)
        wrong = [axis for axis in self.axis if not -rank <= axis < rank]
        if wrong:
            message, expected = f"the weight has no axis {wrong[0]}", f"from {-rank} to {rank - 1}"
            raise RuleViolation("DLC104", message, found=f"a weight {list(spec.shape)}", expected=expected)
        axes = {axis if axis < 0 else axis - rank for axis in self.axis}
        return tuple(sorted(axes))


def norm(weight: Any, axes: Sequence[int]) -> Any:
    """sqrt(sum w^2) over axes, which are kept with size 1."""
    return jnp.sqrt(jnp.square(weight).sum(tuple(axes), keepdims=True))


class MaxNorm(NormConstraint):
    """Weights with a larger norm are scaled down to the bound (Srivastava et al. 2014, JMLR 15)."""

    word = "max_norm"
    examples = ("max_norm: 3",)
    value: float = main(2.0, gt=0, description="largest norm")

    def apply(self, weight: Any, axes: Sequence[int]) -> Any:
        """Weights w * value / |w| where |w| > value; others stay bit for bit."""
        size = norm(weight, axes)
        return jnp.where(size > self.value, weight * (self.value / (size + EPSILON)), weight)


class UnitNorm(NormConstraint):
    """Weights are scaled to norm 1."""

    word = "unit_norm"
    examples = ("unit_norm",)

    def over(self, spec: ParamSpec) -> tuple[int, ...]:
        """The named axes, or those of the inputs; of a single element only the sign would be left."""
        axes = super().over(spec)
        if all(spec.shape[axis] == 1 for axis in axes):
            message, found = "the norm of a single element leaves its sign", f"a weight {list(spec.shape)}"
            raise RuleViolation("DLC217", message, found=found, expected="more than one element along its axes")
        return axes

    def apply(self, weight: Any, axes: Sequence[int]) -> Any:
        """Weights w / |w|; zeros stay."""
        return weight / (norm(weight, axes) + EPSILON)


class MinMaxNorm(NormConstraint):
    """Weights are scaled towards norms between two bounds."""

    word = "min_max_norm"
    examples = ("min_max_norm: {min_value: 0.5, max_value: 2.0}",)
    min_value: float = option(0.0, ge=0, description="smallest norm")
    max_value: float = option(1.0, gt=0, description="largest norm")
    rate: float = option(1.0, gt=0, le=1, description="how far weights move towards the bound; 1 is all the way")

    @model_validator(mode="after")
    def _ordered(self) -> MinMaxNorm:
        if self.min_value > self.max_value:
            message, expected = "`min_value` is above `max_value`", f"at most `{self.max_value:g}`"
            raise reject(OptionError(("min_value",), "DLC104", message, f"`{self.min_value:g}`", expected))
        return self

    def apply(self, weight: Any, axes: Sequence[int]) -> Any:
        """Weights w * (rate * clip(|w|) + (1 - rate) * |w|) / |w|."""
        size = norm(weight, axes)
        wanted = self.rate * jnp.clip(size, self.min_value, self.max_value) + (1 - self.rate) * size
        return weight * (wanted / (size + EPSILON))


class NonNegative(Constraint):
    """Weights below 0 become 0."""

    word = "non_negative"
    examples = ("non_negative",)

    def apply(self, weight: Any, axes: Sequence[int]) -> Any:
        """max(w, 0)."""
        return jnp.maximum(weight, 0)
