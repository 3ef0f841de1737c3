"""Arrays of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan, nan, prod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from dlc.components.features.decision import Thresholds, limit, read_thresholds
from dlc.components.features.feature import (
    FeatureExample,
    Stats,
    array_columns,
    before_data,
    numbers_of,
    present_array,
    single_values,
    where_defined,
)
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
from dlc.components.features.ragged import rectangular
from dlc.components.value_ranges import Bounds, ValueRange, out_of_bounds
from dlc.components.wrong_values import RecordColumns, raise_all
from dlc.diagnostics import plural
from dlc.ir import Dim, TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell, unquoted_hint
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
            hint = unquoted_hint(value)
            raise reject(
                OptionError((), "DLC104", "not a valid shape", found=spell(value), expected=expected, hint=hint)
            )
    return tuple(parts)


def _lays_out(record: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    """Whether a record has these sizes in this order, ignoring axes of size 1."""
    have, want = [[dim for dim in dims if dim != 1] for dims in (record, sizes)]
    return prod(have) == prod(want) and (have == want or len(have) == 1 or len(want) == 1)


def _described(record: tuple[int, ...], columns: int) -> str:
    """What a record is, for a message."""
    if columns > 1:
        return f"{columns} columns of {plural(prod(record), 'number')}"
    return f"arrays of shape {list(record)}" if record else "single numbers"


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


class Tensor(MissingValues):
    """An array of numbers: (batch, *shape) in float32.

    It reads one column that holds arrays, or several columns of numbers side by side, in the order given. `padding` is
    the number that fills the end of shorter series, whose first axis is time: a time step whose elements all equal it
    is padding. The value then has a mask. Padding is recognised before the values are scaled, does not count in
    `normalize`, and becomes 0. With `padding: nan`, empty fields are padding as well. `missing` fills in single values
    of the other time steps.

    A target of 0 and 1 may have a `threshold`, or a list of one for each label: metrics and reports use it, and
    predictions contain the labels beside their probabilities. `best_f1` fits one for each label after every epoch, and
    keeps those of the best weights.
    """

    word = "tensor"
    shape: Annotated[tuple[Dim, ...], BeforeValidator(_shape)] = main(description="sizes without the batch axis")
    columns: tuple[str, ...] | None = option(
        None, description="columns of numbers to combine; `pixel_*` matches several"
    )
    scale: float | None = option(None, gt=0, description="divide by this; 255 scales bytes to 0..1")
    normalize: Normalization = option("none", description=f"entries of the last axis, {NORMALIZATION}")
    clip: Clipping = option(None, description=CLIP)
    missing: Annotated[float | str | None, BeforeValidator(numeric_missing)] = option(
        None,
        description="replacement for an empty field or NaN: a number, or `mean`, `median`, `most_frequent` of each "
        "entry of the last axis in the training split; `drop` leaves out records without this target",
    )
    threshold: Annotated[Thresholds, BeforeValidator(read_thresholds)] = option(
        None, description="probability above which a label is predicted; only for targets of 0 and 1; `best_f1`: fitted"
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
        FeatureExample("tensor: {shape: [2], threshold: 0.2}", "f32[batch, 2]", [[0, 1]], [[0, 1]]),
        FeatureExample("tensor: {shape: [2], threshold: f1}", "f32[batch, 2]", [[0, 1]], error="DLC104"),
        FeatureExample("tensor: {shape: [2], scale: 2, threshold: 0.2}", "f32[batch, 2]", [[0, 1]], error="DLC303"),
        FeatureExample("tensor: [1]", "f32[batch, 1]", ["1", "x"], error="DLC403"),
        FeatureExample(
            "tensor: {shape: [2], missing: most_frequent, missing_indicator: true, normalize: minmax}",
            "f32[batch, 4]",
            [[1, 2], [4, NAN], [4, 3.0]],
            [[1, 2], [4, NAN], [4, 3]],
        ),
        FeatureExample(
            "tensor: {shape: [2], normalize: robust, clip: [0, null]}",
            "f32[batch, 2]",
            [[1, 2], [4, -3], [9, 0]],
            [[1, 2], [4, -3], [9, 0]],
        ),
        FeatureExample(
            "tensor: {shape: [time, 1], padding: -1, normalize: log}",
            "f32[batch, time, 1] masked",
            [[[1], [5]], [[2], [-1]]],
            [[[1], [5]], [[2], [-1]]],
        ),
        FeatureExample("tensor: {shape: [2], normalize: log}", "f32[batch, 2]", [[1, -1]], error="DLC403"),
        FeatureExample("tensor: {shape: [time], missing: 0}", "f32[batch, time]", [[1, NAN]], [[1, NAN]]),
        FeatureExample("tensor: {shape: [time], missing: mean}", "f32[batch, time]", [[1, 2]], error="DLC203"),
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
        FeatureExample(
            "tensor: {shape: [time, 2], padding: nan, missing: mean, missing_indicator: true, normalize: standard}",
            "f32[batch, time, 4] masked",
            [[[1, 2], [3, NAN]], [[5, 4], [NAN, NAN]]],
            [[[1, 2], [3, NAN]], [[5, 4], [NAN, NAN]]],
        ),
        FeatureExample(
            "tensor: {shape: [time, 1], padding: 0, missing: 0}",
            "f32[batch, time, 1] masked",
            [[[1], [NAN], [0]]],
            [[[1], [NAN], [0]]],
        ),
        FeatureExample("tensor: {shape: [time, 1], padding: nan, missing: 0}", "f32[batch]", [[1]], error="DLC303"),
        FeatureExample("tensor: {shape: [3], padding: 0, missing: mean}", "f32[batch]", [[1]], error="DLC203"),
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
        check_clip(self.clip, self.normalize, self.missing)
        if self.threshold is not None and (self.normalize != "none" or self.scale is not None):
            message, hint = "`threshold` has no effect on scaled values: labels are 0 and 1", "remove one of them"
            raise reject(OptionError(("threshold",), "DLC303", message, hint=hint, at_key=True))
        if self._fits_fill() and self.shape and not isinstance(self.shape[-1], int):
            name = "missing_indicator" if self.missing_indicator else "missing"
            raise reject(OptionError((name,), "DLC203", f"`{name}` needs a last axis of known size", at_key=True))
        if self.missing_indicator and not self.shape:
            message = "`missing_indicator` needs a last axis of known size"
            raise reject(OptionError(("missing_indicator",), "DLC203", message, at_key=True))
        return self

    def _fits_fill(self) -> bool:
        """Whether each entry of the last axis has a value for missing ones, or an indicator."""
        return self.missing_indicator or (isinstance(self.missing, str) and self.fills)

    @model_validator(mode="after")
    def _check_padding(self) -> Tensor:
        if self.padding is None:
            return self
        if not self.shape:
            message = "`padding` needs a time axis"
            hint = "for a series of single numbers write `shape: [time, 1]`"
            raise reject(OptionError(("padding",), "DLC203", message, hint=hint, at_key=True))
        if self.missing is not None and self.padding == "nan" and all(dim == 1 for dim in self.shape[1:]):
            message, hint = "`missing` has no effect: all NaN are padding", "remove it, or pad with a number"
            raise reject(OptionError(("missing",), "DLC303", message, hint=hint, at_key=True))
        name = "normalize" if self.normalize != "none" else None
        if self._fits_fill():
            name = name or ("missing_indicator" if self.missing_indicator else "missing")
        if name is not None and len(self.shape) == 1:
            message = f"`{name}` needs an axis after the time axis of a padded series"
            raise reject(OptionError((name,), "DLC203", message, hint=f"write `shape: [{self.shape[0]}, 1]`"))
        return self

    @property
    def gap(self) -> float | None:
        """NaN for a missing number, which may be padding."""
        return nan if self.padding == "nan" else super().gap

    @property
    def decision(self) -> Thresholds:
        """The option's value."""
        return self.threshold

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

    def reads(self, name: str) -> tuple[str, ...]:
        """The named columns, by default the column with the feature's name."""
        return self.columns or super().reads(name)

    def value_type(self) -> TensorType:
        """The raw type, with a last axis of twice the size if there are indicators."""
        if not self.missing_indicator:
            return self.raw_type()
        last = self.shape[-1]
        assert isinstance(last, int), "checked above"
        return TensorType(("batch", *self.shape[:-1], 2 * last), mask=self.padding is not None)

    def raw_type(self) -> TensorType:
        """f32[batch, *shape], masked if `padding` is set."""
        return TensorType(("batch", *self.shape), mask=self.padding is not None)

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """The columns side by side, in the declared shape."""
        labels = self.columns if self.columns and len(self.columns) == len(columns) else [name] * len(columns)
        padding = None if self.padding is None else float(self.padding)
        columns = rectangular(columns, labels, first_row, padding, self.shape[0] if self.shape else None)
        parts = numbers_of(columns, labels, first_row, self.gap)
        source = RecordColumns(labels, [prod(part.shape[1:]) for part in parts], first_row)
        rows = parts[0].shape[0]
        flat = [part.reshape(rows, prod(part.shape[1:])) for part in parts]
        values = parts[0] if len(parts) == 1 else np.concatenate(flat, axis=1)
        if values.dtype.kind in "iu" and values.dtype.itemsize > 2:  # of columns of several types
            values = values.astype(np.float64)
        record = values.shape[1:]
        sizes = tuple(dim for dim in self.shape if isinstance(dim, int))
        if len(sizes) == len(self.shape) and _lays_out(record, sizes):
            return self._checked(np.ascontiguousarray(values.reshape(rows, *sizes)), source)
        if _matches(record, self.shape):
            return self._checked(np.ascontiguousarray(values), source)
        if _matches(record, tuple(dim for dim in self.shape if dim != 1)):  # axes of size 1 may be left out
            left = iter(record)
            whole = [1 if dim == 1 else next(left) for dim in self.shape]
            return self._checked(np.ascontiguousarray(values.reshape(rows, *whole)), source)
        declared = f"[{', '.join(map(str, self.shape))}]"
        same_count = len(sizes) == len(self.shape) and prod(sizes) == prod(record)
        raise RuleViolation(
            "DLC406",
            f"records of `{name}` don't have the declared shape {declared}",
            found=_described(record, len(columns)),
            expected=plural(prod(sizes), "number") if len(sizes) == len(self.shape) and not same_count else declared,
            hint="the axes are in another order; declare them in the order of the data, channels last"
            if same_count
            else None,
            option="shape",
        )

    def _checked(self, values: NDArray[Any], source: RecordColumns) -> NDArray[Any]:
        """The values, which lie in their range, and whose padding comes after the series and fills whole time steps."""
        mask = self.mask(values) if self.padding is not None else None
        wrong = out_of_bounds(self.value_range, values, source, mask)
        wrong = wrong or undefined(self.normalize, values, source, self.clip, mask)
        if mask is not None:
            wrong += self._misplaced_padding(values, mask, source)
        raise_all(wrong)
        return values

    def _misplaced_padding(
        self, values: NDArray[Any], mask: NDArray[np.bool_], source: RecordColumns
    ) -> list[RuleViolation]:
        """The findings about padding before data, and about time steps that are padding in part."""
        wrong: list[RuleViolation] = []
        early = before_data(~mask)
        if early.any():
            first = np.zeros(values.shape, bool)  # the first number of each time step: the step counts once
            first.reshape(*mask.shape, -1)[:, :, 0] = early
            wrong += source.wrong(
                first,
                values,
                "DLC403",
                "has padding before data",
                expected="padding only after the series",
                hint="move the padding to the end, or pad with a number that is no value of the series",
                option="padding",
                spelled="a time step of {:g}".format,
            )
        if self.padding == "nan" and self.missing is None:
            wrong += source.wrong(
                np.asarray(self.absent(values), bool),
                values,
                "DLC403",
                "has a time step with some values missing",
                expected="a time step that is all `nan`, or has all its numbers",
                hint="set `missing` to fill in single values, for example with their `mean`",
                option="padding",
                spelled="`{:g}` beside numbers".format,
            )
        return wrong

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

    def entries(self, name: str, raw: Any) -> list[str]:
        """The columns, if each is an entry."""
        found = super().entries(name, raw)
        listed = self.columns is not None and len(self.columns) == len(found) and "*" not in "".join(self.columns)
        return list(self.columns or ()) if listed else found

    def filled(self, raw: Any, stats: Stats) -> Any:
        """Raw values with replacements for missing ones, clipped."""
        return clip_raw(super().filled(raw, stats), self.clip)

    def fit(self, raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What the normalizer learns about each entry of the last axis, without padding."""
        mask = self.mask if self.padding is not None else None
        return {} if self.normalize == "none" else fit_normalizer(raw, self.normalize, mask)

    def declared_range(self) -> ValueRange | None:
        """`value_range`; without it 0 to `scale`, which maps that to 0..1."""
        if self.value_range is not None:
            return ValueRange(*self.value_range)
        return ValueRange(0.0, self.scale) if self.scale is not None else None

    def encoded_range(self) -> ValueRange | None:
        """That of `normalize`, else the declared one, scaled."""
        if self.normalize != "none":
            return NORMALIZED[self.normalize]
        found, unit = clip_range(self.declared_range(), self.clip), self.scale or 1.0
        return ValueRange(found.low / unit, found.high / unit) if found is not None else None

    def stats_types(self) -> dict[str, TensorType]:
        """The normalizer's vectors."""
        return normalizer_types(self.normalize, self.shape[-1] if self.shape else 1)

    def encode(self, raw: Any, stats: Stats) -> Any:
        """Normalized numbers, or raw / scale."""
        if self.normalize != "none":
            return clip_deviations(normalized(raw, stats, self.normalize), self.clip)
        return raw / self.scale if self.scale else raw

    def decode(self, value: Any, stats: Stats) -> Any:
        """The inverse of `encode`."""
        if self.normalize != "none":
            return self.on_values(value, lambda values: denormalized(values, stats, self.normalize))
        return self.on_values(value, lambda values: values * self.scale) if self.scale else value

    def prediction_columns(self, name: str, sizes: Sequence[int]) -> list[str]:
        """The elements; with a threshold also the labels."""
        labels = array_columns(f"{name}_label", sizes) if self.threshold is not None else []
        return [*super().prediction_columns(name, sizes), *labels]

    def present(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The elements; with a threshold also the labels, 0 or 1, or None where the probability is NaN."""
        labels = present_array(f"{name}_label", self._labels(prediction)) if self.threshold is not None else {}
        return {**super().present(name, prediction), **labels}

    def arrays(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The elements; with a threshold also the labels."""
        labels = {f"{name}_label": single_values(self._labels(prediction))} if self.threshold is not None else {}
        return {**super().arrays(name, prediction), **labels}

    def _labels(self, prediction: NDArray[Any]) -> NDArray[Any]:
        """Which probabilities are above the threshold."""
        return where_defined((prediction > limit(self.threshold)).astype(int), np.isnan(prediction))

    def centered(self, stats: Stats) -> Stats:
        """Those of a shift of 0."""
        return without_shift(stats, self.normalize)
