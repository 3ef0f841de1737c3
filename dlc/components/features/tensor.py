"""Arrays of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan, nan, prod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from dlc.components.features.feature import (
    NORMALIZED,
    NORMALIZER,
    Feature,
    FeatureExample,
    Stats,
    as_numbers,
    denormalized,
    fit_normalizer,
    normalized,
    where_real,
    without_shift,
)
from dlc.components.value_ranges import Bounds, ValueRange, need_bounds
from dlc.ir import Dim, TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell, unquoted_hint
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _shape(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value]
    for part in parts:
        size = isinstance(part, int) and not isinstance(part, bool) and part > 0
        if not size and not (isinstance(part, str) and part.isidentifier() and part != "batch"):
            expected = "a list of sizes; a name for a size that varies"
            hint = unquoted_hint(value)
            raise reject(
                OptionError((), "DLC104", "not a valid shape", found=spell(value), expected=expected, hint=hint)
            )
    return tuple(parts)


def _lays_out(record: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    """Whether a record has these sizes in this order, ignoring axes of size 1."""
    have, want = [[dim for dim in dims if dim != 1] for dims in (record, sizes)]
    return prod(have) == prod(want) and (have == want or len(have) == 1 or len(want) == 1)


def _matches(record: tuple[int, ...], shape: tuple[Dim, ...]) -> bool:
    """Whether a record has a shape; each name in it stands for one size."""
    known: dict[Dim, int] = {}
    return len(record) == len(shape) and all(
        have == (want if isinstance(want, int) else known.setdefault(want, have))
        for want, have in zip(shape, record, strict=True)
    )


def _padding(value: Any) -> Any:
    if value is None or (isinstance(value, float) and isnan(value)) or value == "nan":
        return "nan" if value is not None else None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    raise reject(OptionError((), "DLC103", "not a valid `padding`", found=spell(value), expected="a number, or `nan`"))


class Tensor(Feature):
    """An array of numbers: (batch, *shape) in float32.

    It reads one column that holds arrays, or several columns of numbers side by side, in the order given. `padding` is
    the number that fills the end of shorter series, whose first axis is time: a time step whose elements all equal it
    is padding. The value then has a mask. Padding is recognised before the values are scaled, has no part in
    `normalize`, and becomes 0. With `padding: nan`, empty fields are padding as well.
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

    value_range: Bounds = option(
        None, description="[lowest, highest] number that the data may hold, before scaling; others are errors"
    )
    padding: Annotated[float | Literal["nan"] | None, BeforeValidator(_padding)] = option(
        None, description="the number that fills the end of shorter series along the first axis, or `nan`"
    )

    examples = (
        FeatureExample("tensor: {shape: [2], scale: 2}", "f32[batch, 2]", [[0, 1], [2, 4]], [[0, 1], [2, 4]]),
        FeatureExample("tensor: [2, 1]", "f32[batch, 2, 1]", [[0, 1], [2, 4]], [[[0], [1]], [[2], [4]]]),
        FeatureExample("tensor: [2, time]", "f32[batch, 2, time]", [[[0, 1, 2], [3, 4, 5]]], [[[0, 1, 2], [3, 4, 5]]]),
        FeatureExample("tensor: [time, 1]", "f32[batch, time, 1]", [[0, 1, 2]], [[[0], [1], [2]]]),
        FeatureExample("tensor: []", "f32[batch]", [1, 2], [1, 2]),
        FeatureExample("tensor: [3]", "f32[batch, 3]", [[0, 1], [2, 4]], error="DLC406"),
        FeatureExample("tensor: [3, 2]", "f32[batch, 3, 2]", [[[0, 1, 2], [3, 4, 5]]], error="DLC406"),
        FeatureExample("tensor: [time, 2]", "f32[batch, time, 2]", [[[0, 1, 2], [3, 4, 5]]], error="DLC406"),
        FeatureExample("tensor: [2, batch]", "f32[batch, 2]", [[0, 1]], error="DLC104"),
        FeatureExample("tensor: {shape: [2, time], normalize: standard}", "f32[batch, 2]", [[0, 1]], error="DLC203"),
        FeatureExample("tensor: [1]", "f32[batch, 1]", ["1", "x"], error="DLC403"),
        FeatureExample(
            "tensor: {shape: [time, 1], padding: 0, normalize: standard}",
            "f32[batch, time, 1] masked",
            [[[1], [3]], [[1], [0]]],
            [[[1], [3]], [[1], [0]]],
        ),
        FeatureExample(
            "tensor: {shape: [3], padding: nan}", "f32[batch, 3] masked", [[1, 2, None]], [[1, 2, float("nan")]]
        ),
        FeatureExample("tensor: {shape: [3], padding: 0}", "f32[batch, 3] masked", [[1, 0, 2]], error="DLC403"),
        FeatureExample(
            "tensor: {shape: [1, 2], padding: nan}", "f32[batch, 1, 2] masked", [[1, float("nan")]], error="DLC403"
        ),
        FeatureExample("tensor: {shape: [], padding: 0}", "f32[batch]", [1], error="DLC203"),
        FeatureExample("tensor: {shape: [3], padding: 0, normalize: minmax}", "f32[batch]", [[1]], error="DLC203"),
        FeatureExample("tensor: {shape: [3], padding: none}", "f32[batch]", [[1]], error="DLC103"),
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
            hint = (
                f"for a series of single numbers write `shape: [{self.shape[0]}, 1]`" if len(self.shape) == 1 else None
            )
            message = "`normalize` needs a last axis of known size"
            raise reject(OptionError(("normalize",), "DLC203", message, hint=hint))
        if self.padding is not None and not self.shape:
            message = "`padding` needs a time axis"
            hint = "for a series of single numbers write `shape: [time, 1]`"
            raise reject(OptionError(("padding",), "DLC203", message, hint=hint, at_key=True))
        if self.padding is not None and self.normalize != "none" and len(self.shape) == 1:
            message = "`normalize` needs an axis after the time axis of a padded series"
            hint = f"write `shape: [{self.shape[0]}, 1]`"
            raise reject(OptionError(("normalize",), "DLC203", message, hint=hint))
        return self

    def reads(self, name: str) -> tuple[str, ...]:
        """The named columns, by default the column with the feature's name."""
        return self.columns or super().reads(name)

    def value_type(self) -> TensorType:
        """f32[batch, *shape], masked if `padding` is set."""
        return TensorType(("batch", *self.shape), mask=self.padding is not None)

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """The columns side by side, in the declared shape."""
        labels = self.columns if self.columns and len(self.columns) == len(columns) else [name] * len(columns)
        gap = nan if self.padding == "nan" else None
        parts = [as_numbers(column, label, first_row, gap) for column, label in zip(columns, labels, strict=True)]
        rows = parts[0].shape[0]
        flat = [part.reshape(rows, prod(part.shape[1:])) for part in parts]
        values = parts[0] if len(parts) == 1 else np.concatenate(flat, axis=1)
        if values.dtype.kind in "iu" and values.dtype.itemsize > 2:  # of columns of several types
            values = values.astype(np.float64)
        record = values.shape[1:]
        sizes = tuple(dim for dim in self.shape if isinstance(dim, int))
        if len(sizes) == len(self.shape) and _lays_out(record, sizes):
            return self._checked(np.ascontiguousarray(values.reshape(rows, *sizes)), name, first_row)
        if _matches(record, self.shape):
            return self._checked(np.ascontiguousarray(values), name, first_row)
        if _matches(record, tuple(dim for dim in self.shape if dim != 1)):  # axes of size 1 may be left out
            left = iter(record)
            whole = [1 if dim == 1 else next(left) for dim in self.shape]
            return self._checked(np.ascontiguousarray(values.reshape(rows, *whole)), name, first_row)
        declared = f"[{', '.join(map(str, self.shape))}]"
        same_count = len(sizes) == len(self.shape) and prod(sizes) == prod(record)
        raise RuleViolation(
            "DLC406",
            f"records of `{name}` don't have the declared shape {declared}",
            found=f"arrays of shape {list(record)}" if record else "single numbers",
            expected=f"{prod(sizes)} numbers" if len(sizes) == len(self.shape) and not same_count else declared,
            hint="the axes are in another order; declare them in the order of the data, channels last"
            if same_count
            else None,
            option="shape",
        )

    def _checked(self, values: NDArray[Any], name: str, first_row: int) -> NDArray[Any]:
        """The values, which lie in their range, and whose padding comes after the series and fills whole time steps."""
        mask = self.mask(values) if self.padding is not None else None
        need_bounds(self.value_range, values, name, first_row, mask)
        if mask is None:
            return values
        before = ~mask[:, :-1] & mask[:, 1:]
        if before.any():
            raise RuleViolation(
                "DLC403",
                f"row {first_row + int(before.any(1).argmax())} of `{name}` has padding before data",
                found=f"a time step of {float(self.padding or 0):g}",
                expected="padding only after the series",
                hint="move the padding to the end, or pad with a number that is no value of the series",
                option="padding",
            )
        if self.padding == "nan":
            gaps = np.isnan(values) & mask.reshape(*mask.shape, *(1,) * (values.ndim - 2))
            if gaps.any():
                row = first_row + int(gaps.reshape(len(values), -1).any(1).argmax())
                raise RuleViolation(
                    "DLC403",
                    f"row {row} of `{name}` has a time step with some values missing",
                    found="`nan` beside numbers",
                    expected="a time step that is all `nan`, or has all its numbers",
                    option="padding",
                )
        return values

    def mask(self, raw: Any) -> Any:
        """True where a time step is not padding: (n, time)."""
        if self.padding == "nan":
            real = raw == raw  # false for NaN, also in a compiled program
        else:
            assert self.padding is not None, "only a padded series has a mask"
            real = raw != self.padding
            narrow = float(np.float32(self.padding))
            if narrow != self.padding:  # numbers that were float32 before
                real = real & (raw != narrow)
        return real.any(axis=tuple(range(2, raw.ndim))) if raw.ndim > 2 else real

    def aligned(self, parts: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """All padded to the longest series, if `padding` is set."""
        longest = max(part.shape[1] for part in parts) if self.padding is not None else 0
        found = []
        for part in parts:
            missing = longest - part.shape[1] if self.padding is not None else 0
            if missing > 0:
                if part.dtype.kind != "f":  # the number may not be one of its type
                    part = part.astype(np.float64)  # noqa: PLW2901
                widths = [(0, 0), (0, missing), *[(0, 0)] * (part.ndim - 2)]
                part = np.pad(part, widths, constant_values=float(str(self.padding)))  # noqa: PLW2901
            found.append(part)
        return found

    def fit(self, raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Shift and scale of each entry of the last axis, without padding."""
        mask = self.mask if self.padding is not None else None
        return {} if self.normalize == "none" else fit_normalizer(raw, self.normalize, mask)

    def declared_range(self) -> ValueRange | None:
        """`value_range`; without it 0 to `scale`, which maps that to 0..1."""
        if self.value_range is not None:
            return ValueRange(*self.value_range)
        return ValueRange(0.0, self.scale) if self.scale is not None else None

    def encoded_range(self) -> ValueRange | None:
        """That of `normalize`, else the declared one, scaled."""
        found = self.declared_range() if self.normalize == "none" else NORMALIZED[self.normalize]
        unit = self.scale if self.normalize == "none" and self.scale is not None else 1.0
        return ValueRange(found.low / unit, found.high / unit) if found is not None else None

    def stats_types(self) -> dict[str, TensorType]:
        """The normaliser's vectors."""
        kind = TensorType(self.shape[-1:] or (1,))
        return {} if self.normalize == "none" else dict.fromkeys(NORMALIZER, kind)

    def encode(self, raw: Any, stats: Stats) -> Any:
        """(raw - shift) / deviation, or raw / scale; 0 at padding."""
        value = self.scaled(raw, stats)
        return value if self.padding is None else where_real(self.mask(raw), value)

    def scaled(self, raw: Any, stats: Stats) -> Any:
        """(raw - shift) / deviation, or raw / scale."""
        if self.normalize != "none":
            return normalized(raw, stats)
        return raw / self.scale if self.scale else raw

    def decode(self, value: Any, stats: Stats) -> Any:
        """The inverse of `encode`."""
        if self.normalize != "none":
            return denormalized(value, stats)
        return value * self.scale if self.scale else value

    def centered(self, stats: Stats) -> Stats:
        """Those of a shift of 0."""
        return without_shift(stats) if self.normalize != "none" else stats
