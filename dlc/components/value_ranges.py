"""Ranges of values: what a feature's values lie in, and what a loss, a metric or an augmentation needs.

A feature declares its range, or it is found in the training split (`dlc/data/ranges.py`). Losses, metrics and
augmentations ask for it instead of assuming one.
"""

from __future__ import annotations

from math import inf, isfinite, isinf
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BeforeValidator

from dlc.components.wrong_values import RecordColumns
from dlc.ir import over
from dlc.language.options import OptionError, RuleViolation, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDING = 1e-5  # of the span of a range: what scaling in float32 may exceed it by
_LEAST_SHARE = 0.1  # of a range that values must use: those of another unit use less


class ValueRange(NamedTuple):
    """The lowest and the highest value.

    >>> str(ValueRange(0.0, 255.0)), ValueRange(-1.0, 1.0).span
    ('0 to 255', 2.0)
    """

    low: float
    high: float

    @property
    def span(self) -> float:
        """The distance of both."""
        return self.high - self.low

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"

    def fits(self, held: ValueRange) -> bool:
        """Whether values that lie in `held` are in the unit of this range: they lie in it, and use a good part of it.

        >>> pixels = ValueRange(0.0, 255.0)
        >>> pixels.fits(ValueRange(3.0, 250.0)), pixels.fits(ValueRange(0.0, 300.0)), pixels.fits(ValueRange(0.0, 1.0))
        (True, False, False)
        """
        margin = _ROUNDING * self.span
        inside = self.low - margin <= held.low and held.high <= self.high + margin
        return inside and held.span >= _LEAST_SHARE * self.span


def mismatch(expected: ValueRange, held: ValueRange) -> str:
    """How values that don't fit a range differ from it, as the end of a sentence.

    >>> mismatch(ValueRange(0.0, 1.0), ValueRange(0.0, 16.0)), mismatch(ValueRange(0.0, 255.0), ValueRange(0.0, 1.0))
    ('range from 0 to 16', 'range only from 0 to 1')
    """
    only = " only" if expected != held and expected.low <= held.low and held.high <= expected.high else ""
    return "are normalized to mean 0" if isinf(held.span) else f"range{only} from {held}"


def contradicted(
    word: str, option: str, own: ValueRange | None, held: ValueRange | None, name: str, *, spread: bool = False
) -> RuleViolation | None:
    """The error of a range that an augmentation or metric states, and values have another one; None if they fit.

    Args:
        word: the augmentation or metric.
        option: the option that states its range.
        own: this range; None if it is not stated.
        held: what the values lie in, infinite for centered ones; None if it is unknown.
        name: the input or target that has these values.
        spread: whether only the distance of the lowest and the highest value counts.
    """
    if own is None or held is None:
        return None
    centered = isinf(held.span) and own.low < 0 < own.high
    if centered or own.fits(ValueRange(0.0, held.span) if spread else held):
        return None
    message = f"`{word}` expects values from {own}, but those of `{name}` {mismatch(own, held)}"
    hint = f"remove `{option}` from `{word}`: the default is the range of `{name}`"
    return RuleViolation("DLC313", message, hint=hint)


def _bounds(value: Any) -> Any:
    if value is None:
        return None
    parts = value if isinstance(value, (list, tuple)) else []
    numbers = all(isinstance(part, (int, float)) and not isinstance(part, bool) and isfinite(part) for part in parts)
    if len(parts) == 2 and numbers and parts[0] < parts[1]:
        return (float(parts[0]), float(parts[1]))
    expected = "[lowest, highest]"
    raise reject(OptionError((), "DLC104", "not a valid range of values", found=spell(value), expected=expected))


Bounds = Annotated[tuple[float, float] | None, BeforeValidator(_bounds)]
"""The option of a range: [lowest, highest], or None."""


def out_of_bounds(
    bounds: tuple[float, float] | None,
    values: NDArray[Any],
    source: RecordColumns,
    mask: NDArray[np.bool_] | None = None,
) -> list[RuleViolation]:
    """The findings about values (n, *axes) outside of the option `value_range`, DLC403, one for each column.

    Args:
        bounds: the option.
        values: the values of some records.
        source: the columns that they come from.
        mask: (n, time), false at padding, which may have any value.
    """
    if bounds is None:
        return []
    bad = (values < bounds[0]) | (values > bounds[1])
    if mask is not None:
        bad &= over(mask, bad)
    what, expected = "has a value outside of its range", f"a number from {ValueRange(*bounds)}"
    return source.wrong(bad, values, "DLC403", what, expected=expected, option="value_range")


class Domain(NamedTuple):
    """The values for which a loss or metric is defined.

    Args:
        low: the lowest value.
        high: the highest value.
        above: whether `low` itself is excluded.
        nonzero: whether 0 is excluded.
        hint: what to do about others.
    """

    low: float = -inf
    high: float = inf
    above: bool = False
    nonzero: bool = False
    hint: str | None = None

    def __str__(self) -> str:
        if self.nonzero:
            return "values other than 0"
        if self.high < inf:
            return f"values from {self.low:g} to {self.high:g}"
        return f"values above {self.low:g}" if self.above else f"values of at least {self.low:g}"

    def holds(self, values: ValueRange) -> bool:
        """Whether values of a range can be in the domain. Those around a mean of 0 are too close to 0 for `nonzero`."""
        least = values.low > self.low if self.above else values.low >= self.low
        return least and values.high <= self.high and not (self.nonzero and isinf(values.span))


PROBABILITIES = Domain(0.0, 1.0, hint="use `mse` for real values, or declare a `category`")
SIGNS = Domain(-1.0, 1.0, hint="declare a `category` of two classes; for real values use `mse`")


def need_domain(word: str, domain: Domain | None, values: NDArray[Any]) -> None:
    """Check the real-valued targets of all records.

    Raises:
        RuleViolation: DLC403 when one is outside of the domain of the loss or metric `word`.
    """
    if domain is None or values.dtype.kind != "f" or not values.size:
        return
    least, most = values.min(), values.max()
    near = np.abs(values).min() if domain.nonzero else 1.0
    if domain._replace(nonzero=False).holds(ValueRange(least, most)) and near > _NEAREST:
        return
    found = f"values from {least:g} to {most:g}" if near > _NEAREST else f"the value {near:g}"
    message = f"`{word}` is not defined for the target's values"
    raise RuleViolation("DLC403", message, found=found, expected=str(domain), hint=domain.hint)


_NEAREST = 1e-7  # numbers closer to 0 count as 0
