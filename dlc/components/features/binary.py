"""Features of two values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, model_validator

from dlc.components.features.category import Category, read_classes, read_missing
from dlc.components.features.feature import FeatureExample
from dlc.components.features.missing import MissingValues
from dlc.components.value_ranges import ValueRange
from dlc.ir import TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAN = float("nan")
Pair = int | tuple[str, ...] | dict[str, tuple[str, ...]]


def _pair(value: Any) -> Any:
    found = read_classes(value)
    if (found if isinstance(found, int) else len(found)) == 2:
        return found
    expected, hint = "two values", "`category` reads more"
    raise reject(OptionError((), "DLC104", "not a pair of values", found=spell(value), expected=expected, hint=hint))


class Binary(MissingValues):
    """One of two values as a number, 0 or 1: (batch, 1) in float32.

    Without names the data hold 0 and 1, or `false` and `true`. A target of two values is a `category`.
    """

    word = "binary"
    classes: Annotated[Pair, BeforeValidator(_pair)] = main(
        2, description="the values for 0 and for 1, or groups of them"
    )
    missing: Annotated[str | None, BeforeValidator(read_missing)] = option(
        None, description="replacement for an empty field: a value, or the `most_frequent` one of the training split"
    )

    examples = (
        FeatureExample("binary", "f32[batch, 1]", ["1", "0"], [[1], [0]]),
        FeatureExample("binary", "f32[batch, 1]", [False, True], [[0], [1]]),
        FeatureExample("binary: [male, female]", "f32[batch, 1]", ["male", "female"], [[0], [1]]),
        FeatureExample(
            "binary: {classes: [no, yes], missing: most_frequent, missing_indicator: true}",
            "f32[batch, 2]",
            ["yes", "", "yes"],
            [[1], [NAN], [1]],
        ),
        FeatureExample("binary: [no, yes]", "f32[batch, 1]", ["maybe"], error="DLC404"),
        FeatureExample("binary: [no, yes]", "f32[batch, 1]", [""], error="DLC404"),
        FeatureExample("binary: [no, maybe, yes]", "f32[batch, 1]", ["maybe"], error="DLC104"),
        FeatureExample("binary: {classes: [no, yes], missing: maybe}", "f32[batch, 1]", ["no"], error="DLC104"),
    )

    @model_validator(mode="after")
    def _check(self) -> Binary:
        assert self._category.count == 2  # reports a `missing` that is not a value
        return self

    @cached_property
    def _category(self) -> Category:
        """The feature that reads the values."""
        return Category(classes=self.classes, missing=self.missing)

    def unfit_target(self) -> RuleViolation | None:
        """A target of two values is a category: metrics and predictions know its values then."""
        return RuleViolation("DLC104", "a `binary` can't be a target", hint="write `category`, with the same values")

    def undeclared(self, values: Sequence[str]) -> RuleViolation | None:
        """What is wrong with a column that has these values."""
        return self._category.undeclared(values)

    def value_type(self) -> TensorType:
        """f32[batch, 1], or f32[batch, 2] with an indicator."""
        return TensorType(("batch", 1 + self.missing_indicator))

    def raw_type(self) -> TensorType:
        """f32[batch, 1]."""
        return TensorType(("batch", 1))

    def reads_numbers(self, index: int) -> bool:
        """The values are names."""
        return False

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """0 and 1, NaN where the value is missing."""
        numbers = self._category.read(columns, name, first_row).reshape(-1, 1)
        return np.where(self._category.gaps(numbers), np.nan, numbers)

    def constant(self) -> float | None:
        """The number that replaces missing ones; None if it is fitted."""
        return self._category.constant()

    def encoded_range(self) -> ValueRange | None:
        """0 to 1."""
        return ValueRange(0.0, 1.0)
