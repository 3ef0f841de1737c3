"""Series: consecutive rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, model_validator

from dlc.components.features.feature import FeatureExample, Stats, numbers_of, present_array
from dlc.components.features.missing import DROP, MissingValues, numeric_missing
from dlc.components.features.normalizers import (
    NORMALIZATION,
    NORMALIZED,
    Normalization,
    denormalized,
    fit_normalizer,
    normalized,
    normalizer_types,
    undefined,
    without_shift,
)
from dlc.components.value_ranges import ValueRange
from dlc.components.wrong_values import RecordColumns, raise_all
from dlc.ir import TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class Series(MissingValues):
    """Consecutive rows of some columns: (batch, steps, columns) in float32.

    Each row of the table is a time step, in the order of the table. A record is a point in time: `past: 336` holds the
    336 rows before it, and `future: 96` the row at it and the 95 after it. Known values of the future, such as
    holidays, may be an input. Each row is stored once, however many windows contain it.
    """

    word = "series"
    columns: Annotated[tuple[str, ...] | None, BeforeValidator(_names)] = main(
        None, description="columns of numbers to combine, by name; default: the one with the name of the feature"
    )
    past: int | None = option(None, ge=1, description="how many rows before the point in time")
    future: int | None = option(None, ge=1, description="how many rows from the point in time on")
    normalize: Normalization = option("none", description=f"each column, {NORMALIZATION}")
    missing: Annotated[float | str | None, BeforeValidator(numeric_missing)] = option(
        None,
        description="replacement for an empty field or NaN: a number, or `mean`, `median`, `most_frequent` of the "
        "column in the training split",
    )

    examples = (
        FeatureExample("series: {past: 3}", "f32[batch, 3, 1]", ["1.5", "2"], [[1.5], [2.0]]),
        FeatureExample("series: {future: 2, normalize: standard}", "f32[batch, 2, 1]", [1, 3], [[1.0], [3.0]]),
        FeatureExample("series: {past: 2, missing: mean}", "f32[batch, 2, 1]", [1, None], [[1], [float("nan")]]),
        FeatureExample("series: {past: 2, future: 2}", "f32[batch, 2, 1]", [1], error="DLC303"),
        FeatureExample("series", "f32[batch, 2, 1]", [1], error="DLC105"),
        FeatureExample("series: {columns: 'x_*', past: 2}", "f32[batch, 2, 1]", [1], error="DLC104"),
        FeatureExample("series: {past: 2, missing: drop}", "f32[batch, 2, 1]", [1], error="DLC104"),
        FeatureExample("series: {past: 2}", "f32[batch, 2, 1]", ["1", ""], error="DLC403"),
        FeatureExample("series: {past: 2}", "f32[batch, 2, 1]", [[1, 2]], error="DLC406"),
    )

    @model_validator(mode="after")
    def _check(self) -> Series:
        if self.past is None and self.future is None:
            message, hint = "a series needs its length", "write `past: N` or `future: N`, with N rows"
            raise reject(OptionError((), "DLC105", message, hint=hint))
        if self.past is not None and self.future is not None:
            message, hint = "`future` has no effect beside `past`", "make them two features"
            raise reject(OptionError(("future",), "DLC303", message, hint=hint, at_key=True))
        if self.columns is not None and self.column is not None:
            raise reject(OptionError(("column",), "DLC303", "`column` has no effect with `columns`", at_key=True))
        if self.columns == () or any("*" in name for name in self.columns or ()):
            message, expected = "the columns of a series are listed by name", "at least one name, without `*`"
            raise reject(OptionError(("columns",), "DLC104", message, expected=expected))
        if self.missing == DROP:
            message, expected = "a row of a series can't be left out", "a replacement, such as `mean`"
            raise reject(OptionError(("missing",), "DLC104", message, found="`drop`", expected=expected))
        return self

    @property
    def span(self) -> tuple[int, int]:
        """The rows before, or those from the point in time on."""
        return (-self.past, 0) if self.past is not None else (0, self.future or 0)

    @property
    def normalization(self) -> str:
        """The option `normalize`."""
        return self.normalize

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.columns or ("",))

    def reads(self, name: str) -> tuple[str, ...]:
        """The columns."""
        return self.columns or super().reads(name)

    def value_type(self) -> TensorType:
        """f32[batch, steps, columns], with twice the columns if there are indicators."""
        first, stop = self.span
        return TensorType(("batch", stop - first, self.width * (1 + self.missing_indicator)))

    def raw_type(self) -> TensorType:
        """f32[batch, steps, columns]."""
        first, stop = self.span
        return TensorType(("batch", stop - first, self.width))

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """The columns side by side: (rows, columns)."""
        labels = self.columns if self.columns and len(self.columns) == len(columns) else [name] * len(columns)
        for column, label in zip(columns, labels, strict=True):
            if column.size != len(column):
                message, found = f"records of `{label}` are arrays", f"arrays of shape {list(column.shape[1:])}"
                raise RuleViolation("DLC406", message, found=found, expected="a table with a row for each time step")
        parts = numbers_of(columns, labels, first_row, self.gap)
        values = np.stack([part.reshape(len(part)) for part in parts], axis=1)
        raise_all(undefined(self.normalize, values, RecordColumns(labels, [1] * len(labels), first_row), None))
        return values.astype(np.float64) if values.dtype.kind in "iu" and values.dtype.itemsize > 2 else values

    def fit(self, raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What the normalizer learns about each column."""
        return {} if self.normalize == "none" else fit_normalizer(raw, self.normalize)

    def stats_types(self) -> dict[str, TensorType]:
        """The normalizer's vectors."""
        return normalizer_types(self.normalize, self.width)

    def encoded_range(self) -> ValueRange | None:
        """That of `normalize`."""
        return None if self.normalize == "none" else NORMALIZED[self.normalize]

    def encode(self, raw: Any, stats: Stats) -> Any:
        """Normalized numbers."""
        return raw if self.normalize == "none" else normalized(raw, stats, self.normalize)

    def decode(self, value: Any, stats: Stats) -> Any:
        """The inverse of `encode`."""
        if self.normalize == "none":
            return value
        return self.on_values(value, lambda values: denormalized(values, stats, self.normalize))

    def centered(self, stats: Stats) -> Stats:
        """Those of a shift of 0."""
        return without_shift(stats, self.normalize)

    def prediction_columns(self, name: str, sizes: Sequence[int]) -> list[str]:
        """A column for each step of each column, `OT_1` for the first step."""
        if tuple(sizes) != self.raw_type().shape[1:]:
            return super().prediction_columns(name, sizes)
        return [f"{column}_{step + 1}" for step in range(sizes[0]) for column in self.columns or (name,)]

    def present(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The values of each step."""
        names = self.prediction_columns(name, prediction.shape[1:])
        return dict(zip(names, present_array(name, prediction).values(), strict=True))
