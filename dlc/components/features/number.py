"""Single numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, model_validator

from dlc.components.features.feature import FeatureExample, Stats, as_numbers, only
from dlc.components.features.missing import MissingValues, numeric_missing
from dlc.components.features.normalizers import (
    CLIP,
    NORMALIZATION,
    NORMALIZED,
    Clipping,
    Normalization,
    check_clip,
    clip_deviations,
    clip_range,
    clip_raw,
    clipped_target,
    denormalized,
    fit_normalizer,
    normalized,
    normalizer_types,
    undefined,
    without_shift,
)
from dlc.components.value_ranges import Bounds, ValueRange, out_of_bounds
from dlc.components.wrong_values import RecordColumns, raise_all
from dlc.ir import TensorType
from dlc.language.options import RuleViolation, main, option

if TYPE_CHECKING:
    from numpy.typing import NDArray


NAN = float("nan")


class Number(MissingValues):
    """One number per record: (batch, 1) in float32.

    A normalised target is predicted in the normalised range; metrics and predictions use its own unit.
    """

    word = "number"
    normalize: Normalization = main("none", description=NORMALIZATION)
    clip: Clipping = option(None, description=CLIP)
    value_range: Bounds = option(
        None, description="[lowest, highest] number that the data may hold, before scaling; others are errors"
    )
    missing: Annotated[float | str | None, BeforeValidator(numeric_missing)] = option(
        None,
        description="replacement for an empty field: a number, or `mean`, `median`, `most_frequent` of the training "
        "split; `drop` leaves out records without this target",
    )

    examples = (
        FeatureExample("number", "f32[batch, 1]", ["1.5", "2"], [[1.5], [2.0]]),
        FeatureExample("number: {missing: 0}", "f32[batch, 1]", ["1.5", ""], [[1.5], [NAN]]),
        FeatureExample("number: {missing: mean}", "f32[batch, 1]", ["1.5", "", "3"], [[1.5], [NAN], [3.0]]),
        FeatureExample(
            "number: {normalize: standard, missing: median, missing_indicator: true}",
            "f32[batch, 2]",
            ["1", None, "3", 8.0],
            [[1], [NAN], [3], [8]],
        ),
        FeatureExample("number: {missing: constant}", "f32[batch, 1]", ["1"], error="DLC104"),
        FeatureExample("number: {missing_indicator: true}", "f32[batch, 2]", ["1"], error="DLC303"),
        FeatureExample("number: standard", "f32[batch, 1]", [1, 3], [[1.0], [3.0]]),
        FeatureExample("number", "f32[batch, 1]", ["1.5", ""], error="DLC403"),
        FeatureExample("number", "f32[batch, 1]", ["1.5", "n/a"], error="DLC403"),
        FeatureExample("number", "f32[batch, 1]", [1.5, float("nan")], error="DLC403"),
        FeatureExample("number: {missing: -1}", "f32[batch, 1]", [1.5, None], [[1.5], [NAN]]),
        FeatureExample("number", "f32[batch, 1]", [True, False], [[1.0], [0.0]]),
        FeatureExample("number", "f32[batch, 1]", [[1, 2], [3, 4]], error="DLC406"),
        FeatureExample("number: robust", "f32[batch, 1]", [1, 2, 4], [[1.0], [2.0], [4.0]]),
        FeatureExample("number: log", "f32[batch, 1]", [0, 3], [[0.0], [3.0]]),
        FeatureExample("number: log", "f32[batch, 1]", [0, -3], error="DLC403"),
        FeatureExample("number: quantile", "f32[batch, 1]", [1, 2, 4], [[1.0], [2.0], [4.0]]),
        FeatureExample("number: quantile_uniform", "f32[batch, 1]", [1, 2, 4], [[1.0], [2.0], [4.0]]),
        FeatureExample("number: {normalize: standard, clip: 3}", "f32[batch, 1]", [1, 2, 4], [[1.0], [2.0], [4.0]]),
        FeatureExample("number: {clip: 3}", "f32[batch, 1]", [1], error="DLC303"),
        FeatureExample("number: {clip: [3, 1]}", "f32[batch, 1]", [1], error="DLC104"),
        FeatureExample("number: {clip: [0, 9], missing: -1}", "f32[batch, 1]", [1], error="DLC104"),
        FeatureExample("number: logarithm", "f32[batch, 1]", [1], error="DLC104"),
    )

    @model_validator(mode="after")
    def _check(self) -> Number:
        check_clip(self.clip, self.normalize, self.missing)
        return self

    @property
    def refines(self) -> bool:
        """Whether values are filled or clipped."""
        return super().refines or isinstance(self.clip, tuple)

    def unfit_target(self) -> RuleViolation | None:
        """A target is not clipped."""
        return clipped_target(self.clip)

    @property
    def normalization(self) -> str:
        """The option `normalize`."""
        return self.normalize

    def value_type(self) -> TensorType:
        """f32[batch, 1], or f32[batch, 2] with an indicator."""
        return TensorType(("batch", 2 if self.missing_indicator else 1))

    def raw_type(self) -> TensorType:
        """f32[batch, 1]."""
        return TensorType(("batch", 1))

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """The numbers as a column of one."""
        values = as_numbers(only(columns, name, self.word), name, first_row, self.gap).reshape(-1, 1)
        source = RecordColumns((name,), (1,), first_row)
        wrong = out_of_bounds(self.value_range, values, source)
        raise_all(wrong or undefined(self.normalize, values, source, self.clip))
        return values

    def filled(self, raw: Any, stats: Stats) -> Any:
        """Raw values with replacements for missing ones, clipped."""
        return clip_raw(super().filled(raw, stats), self.clip)

    def declared_range(self) -> ValueRange | None:
        """`value_range`."""
        return ValueRange(*self.value_range) if self.value_range is not None else None

    def encoded_range(self) -> ValueRange | None:
        """That of `normalize`, else the declared one."""
        if self.normalize == "none":
            return clip_range(self.declared_range(), self.clip)
        return NORMALIZED[self.normalize]

    def fit(self, raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What the normalizer learns."""
        return {} if self.normalize == "none" else fit_normalizer(raw, self.normalize)

    def stats_types(self) -> dict[str, TensorType]:
        """The normalizer's numbers."""
        return normalizer_types(self.normalize)

    def encode(self, raw: Any, stats: Stats) -> Any:
        """Normalized numbers."""
        return raw if self.normalize == "none" else clip_deviations(normalized(raw, stats, self.normalize), self.clip)

    def decode(self, value: Any, stats: Stats) -> Any:
        """The inverse of `encode`."""
        if self.normalize == "none":
            return value
        return self.on_values(value, lambda values: denormalized(values, stats, self.normalize))

    def centered(self, stats: Stats) -> Stats:
        """Those of a shift of 0."""
        return without_shift(stats, self.normalize)
