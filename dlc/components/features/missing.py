"""Missing values: how a feature fills them, for all features that can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from dlc.components.features.feature import Feature, Stats, entries_of
from dlc.components.value_ranges import ValueRange
from dlc.ir import TensorType, where_real
from dlc.language.options import OptionError, RuleViolation, option, reject, spell
from dlc.support.lazy import jnp, np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DROP = "drop"


class MissingValues(Feature):
    """A feature whose values may be missing.

    `read` marks a missing value: with NaN, or a class with a negative number. `missing` says what stands for it. It is
    computed from the training split in float64, and kept with the run.
    """

    missing: Any = None  # declared by each feature, for its own type of constant
    missing_indicator: bool = option(
        False, description="append a number for each value that is 1 where the value is missing"
    )

    @model_validator(mode="after")
    def _check_indicator(self) -> MissingValues:
        if self.missing_indicator and self.missing in (None, DROP):
            message = "`missing_indicator` has no effect without `missing`"
            raise reject(OptionError(("missing_indicator",), "DLC303", message, at_key=True))
        return self

    @model_validator(mode="after")
    def _check_range(self) -> MissingValues:
        bounds = dict(self).get("value_range")
        if bounds is not None and isinstance(self.missing, float) and not bounds[0] <= self.missing <= bounds[1]:
            message, expected = "`missing` lies outside of `value_range`", f"a number from {ValueRange(*bounds)}"
            found = f"`{self.missing:g}`"
            raise reject(OptionError(("missing",), "DLC104", message, found=found, expected=expected))
        return self

    @property
    def fills(self) -> bool:
        """Whether `missing` says what replaces missing values."""
        return self.missing is not None and not self.drops

    @property
    def drops(self) -> bool:
        """Whether `missing` is `drop`."""
        return isinstance(self.missing, str) and self.missing == DROP

    @property
    def indicators(self) -> int:
        """As many as a record has values in the last axis."""
        if not self.missing_indicator:
            return 0
        last = self.raw_type().shape[1:][-1:]
        return last[0] if last and isinstance(last[0], int) else 1

    @property
    def gap(self) -> float | None:
        """What `as_numbers` returns for a missing number; None if it is an error."""
        return np.nan if self.missing is not None else None

    def constant(self) -> float | None:
        """The constant that replaces missing values; None if it is fitted."""
        return None if isinstance(self.missing, str) else float(self.missing)

    def gaps(self, raw: Any) -> Any:
        """Bool like `raw`: true at the mark of a missing value, which may be that of padding too."""
        return raw != raw

    def absent(self, raw: Any) -> Any:
        """Bool like `raw`: true where a value is missing, and not padding."""
        gaps = self.gaps(raw)
        return where_real(self.mask(raw), gaps) if self.value_type().mask else gaps

    def fill_types(self) -> dict[str, TensorType]:
        """The type of the values that replace missing ones: one for each entry of the last axis."""
        if not self.fills:
            return {}
        last = self.raw_type().shape[1:][-1:]
        width = last if self.constant() is None and last and isinstance(last[0], int) else (1,)
        return {"fill": TensorType(width)}

    def fit_fill(self, raw: NDArray[Any], name: str) -> dict[str, NDArray[Any]]:
        """The values that replace missing ones.

        Raises:
            RuleViolation: DLC405 when a value is missing in all records.
        """
        if not self.fills:
            return {}
        constant = self.constant()
        if constant is not None:
            return {"fill": np.array([constant], np.float64)}
        mask = self.mask if self.value_type().mask else None
        return {"fill": fit_fill(raw, self.missing, self.entries(name, raw), self.gaps, mask)}

    def entries(self, name: str, raw: Any) -> list[str]:
        """What messages call the entries of the last axis of raw values."""
        width = raw.shape[-1] if raw.ndim > 1 else 1
        return [name] if width == 1 else [f"{name}[..., {index}]" for index in range(width)]

    def filled(self, raw: Any, stats: Stats) -> Any:
        """Raw values with replacements for missing ones."""
        if not self.fills:
            return raw
        if isinstance(raw, np.ndarray):
            gaps = self.absent(raw)
            return np.where(gaps, stats["fill"], raw).astype(_filled_type(raw), copy=False) if gaps.any() else raw
        return jnp.where(self.absent(raw), stats["fill"].astype(raw.dtype), raw)

    def marked(self, value: Any, raw: Any) -> Any:
        """Encoded values, 0 at padding, with the indicators at the end of the last axis if there are some."""
        if self.value_type().mask:
            value = where_real(self.mask(raw), value)
        if not self.missing_indicator:
            return value
        arrays = np if isinstance(value, np.ndarray) else jnp
        gaps = self.absent(raw).astype(np.float32)
        return arrays.concatenate([value, gaps.reshape(*value.shape[:-1], -1)], axis=-1)

    def on_values(self, value: Any, change: Any) -> Any:
        """Apply a function to encoded values, and not to their indicators."""
        if not self.missing_indicator:
            return change(value)
        arrays = np if isinstance(value, np.ndarray) else jnp
        width = self.value_type().shape[-1]
        kept = width - self.indicators if isinstance(width, int) else width
        return arrays.concatenate([change(value[..., :kept]), value[..., kept:]], axis=-1)


def _filled_type(raw: NDArray[Any]) -> Any:
    return np.float64 if raw.dtype.kind == "f" else raw.dtype


def numeric_missing(value: Any) -> Any:
    """The option `missing` of a feature of numbers: a number, or how to compute it."""
    words = ("mean", "median", "most_frequent", DROP)
    if isinstance(value, dict) and set(value) == {"constant"}:
        value = value["constant"]
    if value is None or (isinstance(value, str) and value in words):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    hint = "write the number itself, as in `missing: 0`" if value == "constant" else None
    expected = "a number, `mean`, `median` or `most_frequent`; `drop` for a target"
    raise reject(OptionError((), "DLC104", "not a valid `missing`", found=spell(value), expected=expected, hint=hint))


def fit_fill(
    raw: Any, how: str, names: Sequence[str], gaps: Callable[[Any], Any], mask: Callable[[Any], Any] | None = None
) -> NDArray[np.float64]:
    """The mean, median or most frequent value of each entry of the last axis, without missing values and padding.

    The smallest of several most frequent values is taken, as by scikit-learn's SimpleImputer.

    Args:
        raw: (n, *axes), an array or an object that is sliced like one.
        how: `mean`, `median` or `most_frequent`.
        names: of the entries, for messages.
        gaps: raw values -> true where a value is missing.
        mask: raw values of some records -> bool (n, time), false at padding.

    Raises:
        RuleViolation: DLC405 when an entry is missing in all records.
    """
    found = np.empty(len(names), np.float64)
    for index, entry in enumerate(entries_of(raw, mask)):
        values = entry[~gaps(entry)]
        if not len(values):
            message = f"no record of the training split has a value of `{names[index]}` to fill others with"
            hint = "set `missing` to a number, or leave the column out"
            raise RuleViolation("DLC405", message, hint=hint, option="missing")
        found[index] = _typical(values, how)
    return found


def _typical(values: NDArray[Any], how: str) -> float:
    if how == "most_frequent":
        distinct, counts = np.unique(values, return_counts=True)
        return float(distinct[counts.argmax()])
    return float(np.median(values) if how == "median" else np.mean(values, dtype=np.float64))
