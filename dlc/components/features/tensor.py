"""Arrays of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from dlc.components.features.feature import (
    NORMALIZER,
    FeatureExample,
    Stats,
    as_numbers,
    denormalized,
    fit_normalizer,
    normalized,
    without_shift,
)
from dlc.components.features.missing import MissingValues, numeric_missing
from dlc.components.wrong_values import Violations, WrongValues
from dlc.ir import Dim, TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


NAN = float("nan")


def _shape(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value]
    for part in parts:
        size = isinstance(part, int) and not isinstance(part, bool) and part > 0
        if not size and not (isinstance(part, str) and part.isidentifier() and part != "batch"):
            expected = "a list of sizes; a name for a size that varies"
            raise reject(OptionError((), "DLC104", "not a valid shape", found=spell(value), expected=expected))
    return tuple(parts)


def _lays_out(record: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    """Whether a record has these sizes in this order, ignoring axes of size 1."""
    have, want = [[dim for dim in dims if dim != 1] for dims in (record, sizes)]
    return prod(have) == prod(want) and (have == want or len(have) == 1 or len(want) == 1)


def _described(record: tuple[int, ...], columns: int) -> str:
    """What a record is, for a message."""
    if columns > 1:
        return f"{columns} columns of {prod(record)} numbers"
    return f"arrays of shape {list(record)}" if record else "single numbers"


def _matches(record: tuple[int, ...], shape: tuple[Dim, ...]) -> bool:
    """Whether a record has a shape; each name in it stands for one size."""
    known: dict[Dim, int] = {}
    return len(record) == len(shape) and all(
        have == (want if isinstance(want, int) else known.setdefault(want, have))
        for want, have in zip(shape, record, strict=True)
    )


class Tensor(MissingValues):
    """An array of numbers: (batch, *shape) in float32.

    It reads one column that holds arrays, or several columns of numbers side by side, in the order given.
    """

    word = "tensor"
    shape: Annotated[tuple[Dim, ...], BeforeValidator(_shape)] = main(description="sizes without the batch axis")
    columns: tuple[str, ...] | None = option(
        None, description="columns of numbers to combine; `pixel_*` matches several"
    )
    scale: float | None = option(None, gt=0, description="divide by this; 255 scales bytes to 0..1")
    normalize: Literal["none", "standard", "minmax"] = option(
        "none",
        description="scale entries of the last axis to mean 0 and deviation 1, or to 0..1, by the training split",
    )
    missing: Annotated[float | str | None, BeforeValidator(numeric_missing)] = option(
        None,
        description="what stands for an empty field or NaN: a number, or `mean`, `median`, `most_frequent` of each "
        "entry of the last axis in the training split; `drop` leaves out records without this target",
    )

    examples = (
        FeatureExample("tensor: {shape: [2], scale: 2}", "f32[batch, 2]", [[0, 1], [2, 4]], [[0, 1], [2, 4]]),
        FeatureExample("tensor: [2, 1]", "f32[batch, 2, 1]", [[0, 1], [2, 4]], [[[0], [1]], [[2], [4]]]),
        FeatureExample("tensor: [2, time]", "f32[batch, 2, time]", [[[0, 1, 2], [3, 4, 5]]], [[[0, 1, 2], [3, 4, 5]]]),
        FeatureExample("tensor: []", "f32[batch]", [1, 2], [1, 2]),
        FeatureExample("tensor: [3]", "f32[batch, 3]", [[0, 1], [2, 4]], error="DLC406"),
        FeatureExample("tensor: [3, 2]", "f32[batch, 3, 2]", [[[0, 1, 2], [3, 4, 5]]], error="DLC406"),
        FeatureExample("tensor: [time, 2]", "f32[batch, time, 2]", [[[0, 1, 2], [3, 4, 5]]], error="DLC406"),
        FeatureExample("tensor: [2, batch]", "f32[batch, 2]", [[0, 1]], error="DLC104"),
        FeatureExample("tensor: {shape: [2, time], normalize: standard}", "f32[batch, 2]", [[0, 1]], error="DLC203"),
        FeatureExample("tensor: [1]", "f32[batch, 1]", ["1", "x"], error="DLC403"),
        FeatureExample(
            "tensor: {shape: [2], missing: most_frequent, missing_indicator: true, normalize: minmax}",
            "f32[batch, 4]",
            [[1, 2], [4, NAN], [4, 3.0]],
            [[1, 2], [4, NAN], [4, 3]],
        ),
        FeatureExample("tensor: {shape: [time], missing: 0}", "f32[batch, time]", [[1, NAN]], [[1, NAN]]),
        FeatureExample("tensor: {shape: [time], missing: mean}", "f32[batch, time]", [[1, 2]], error="DLC203"),
    )

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("columns"), list):
            return {**data, "columns": tuple(data["columns"])}
        if isinstance(data, dict) and isinstance(data.get("columns"), str):
            return {**data, "columns": (data["columns"],)}
        return data

    @model_validator(mode="after")
    def _check(self) -> Tensor:
        if self.columns and self.column:
            raise reject(OptionError(("column",), "DLC303", "`column` has no effect with `columns`", at_key=True))
        if self.columns == ():
            raise reject(OptionError(("columns",), "DLC104", "`columns` is empty", expected="at least one name"))
        if self.normalize != "none" and not isinstance(self.shape[-1] if self.shape else 1, int):
            raise reject(OptionError(("normalize",), "DLC203", "`normalize` needs a last axis of known size"))
        fitted, known = isinstance(self.missing, str) and self.fills, self.shape and isinstance(self.shape[-1], int)
        if (fitted and self.shape and not known) or (self.missing_indicator and not known):
            name = "missing_indicator" if self.missing_indicator else "missing"
            raise reject(OptionError((name,), "DLC203", f"`{name}` needs a last axis of known size", at_key=True))
        return self

    def reads(self, name: str) -> tuple[str, ...]:
        """The named columns, by default the column with the feature's name."""
        return self.columns or super().reads(name)

    def value_type(self) -> TensorType:
        """f32[batch, *shape], with a last axis of twice the size if there are indicators."""
        if not self.missing_indicator:
            return self.raw_type()
        last = self.shape[-1]
        assert isinstance(last, int), "checked above"
        return TensorType(("batch", *self.shape[:-1], 2 * last))

    def raw_type(self) -> TensorType:
        """f32[batch, *shape]."""
        return TensorType(("batch", *self.shape))

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """The columns side by side, in the declared shape."""
        parts = self._numbers(columns, name, first_row)
        rows = parts[0].shape[0]
        flat = [part.reshape(rows, prod(part.shape[1:])) for part in parts]
        values = parts[0] if len(parts) == 1 else np.concatenate(flat, axis=1)
        if values.dtype.kind in "iu" and values.dtype.itemsize > 2:  # of columns of several types
            values = values.astype(np.float64)
        record = values.shape[1:]
        sizes = tuple(dim for dim in self.shape if isinstance(dim, int))
        if len(sizes) == len(self.shape) and _lays_out(record, sizes):
            return np.ascontiguousarray(values.reshape(rows, *sizes))
        if _matches(record, self.shape):
            return np.ascontiguousarray(values)
        declared = f"[{', '.join(map(str, self.shape))}]"
        same_count = len(sizes) == len(self.shape) and prod(sizes) == prod(record)
        raise RuleViolation(
            "DLC406",
            f"records of `{name}` don't have the declared shape {declared}",
            found=_described(record, len(columns)),
            expected=f"{prod(sizes)} numbers" if len(sizes) == len(self.shape) and not same_count else declared,
            hint="the axes are in another order; declare them in the order of the data, channels last"
            if same_count
            else None,
            option="shape",
        )

    def _numbers(self, columns: Sequence[NDArray[Any]], name: str, first_row: int) -> list[NDArray[Any]]:
        """The columns as numbers.

        Raises:
            Violations: the wrong values of all columns.
        """
        labels = self.columns if self.columns and len(self.columns) == len(columns) else [name] * len(columns)
        parts, wrong = [], []
        for index, (column, label) in enumerate(zip(columns, labels, strict=True)):
            try:
                parts.append(as_numbers(column, label, first_row, self.gap))
            except WrongValues as error:
                wrong.append(error.of(label, index))
        if len(wrong) == 1:
            raise wrong[0]
        if wrong:
            raise Violations(list(wrong))
        return parts

    def fit(self, raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Shift and scale of each entry of the last axis."""
        return {} if self.normalize == "none" else fit_normalizer(raw, self.normalize)

    def stats_types(self) -> dict[str, TensorType]:
        """The normaliser's vectors."""
        kind = TensorType(self.shape[-1:] or (1,))
        return {} if self.normalize == "none" else dict.fromkeys(NORMALIZER, kind)

    def encode(self, raw: Any, stats: Stats) -> Any:
        """(raw - shift) / deviation, or raw / scale."""
        if self.normalize != "none":
            return normalized(raw, stats)
        return raw / self.scale if self.scale else raw

    def decode(self, value: Any, stats: Stats) -> Any:
        """The inverse of `encode`."""
        if self.normalize != "none":
            return self.on_values(value, lambda values: denormalized(values, stats))
        return self.on_values(value, lambda values: values * self.scale) if self.scale else value

    def centered(self, stats: Stats) -> Stats:
        """Those of a shift of 0."""
        return without_shift(stats) if self.normalize != "none" else stats
