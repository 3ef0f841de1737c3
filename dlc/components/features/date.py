"""Dates and times."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from math import pi
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, model_validator

from dlc.components.features.feature import FeatureExample, Stats, as_text, only
from dlc.components.features.missing import MissingValues
from dlc.components.features.normalizers import NORMALIZER, denormalized, fit_normalizer, normalized
from dlc.components.wrong_values import WrongValues, field
from dlc.diagnostics import did_you_mean, listing
from dlc.ir import TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import jnp, np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Part(NamedTuple):
    """A part of the calendar.

    Args:
        read: the part of a point in time.
        first: its lowest value.
        period: the number of its values; 0 if it does not repeat.
    """

    read: Callable[[datetime], int]
    first: int = 0
    period: int = 0


PARTS = {
    "year": Part(lambda time: time.year),
    "month": Part(lambda time: time.month, 1, 12),
    "day": Part(lambda time: time.day, 1, 31),
    "weekday": Part(lambda time: time.weekday(), 0, 7),
    "dayofyear": Part(lambda time: time.timetuple().tm_yday, 1, 366),
    "hour": Part(lambda time: time.hour, 0, 24),
    "minute": Part(lambda time: time.minute, 0, 60),
    "second": Part(lambda time: time.second, 0, 60),
}
MICROSECONDS = {"d": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1e-3}
NAN = float("nan")
_SHORT = re.compile(r"\d{4}(-\d{2})?")
_NUMERIC = re.compile(r"(\d{1,2})([./-])(\d{1,2})[./-](\d{4})( .*)?")
_DIGITS = re.compile(r"[+-]?\d{9,}(\.\d*)?")


def _parts(value: Any) -> Any:
    names = value if isinstance(value, (list, tuple)) else [value]
    wrong = [name for name in names if name not in PARTS]
    if wrong or not names or len(set(names)) < len(names):
        hint = did_you_mean(wrong[0], PARTS) if wrong and isinstance(wrong[0], str) else None
        expected = f"different ones of {listing(PARTS)}"
        raise reject(OptionError((), "DLC104", "not valid parts of a date", spell(value), expected, hint))
    return tuple(names)


def _format(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, str) and "%" in value:
        try:
            datetime.strptime(datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC).strftime(value), value)
        except ValueError:
            pass
        else:
            return value
    expected = "directives of `strptime`, such as `%d.%m.%Y` or `%Y-%m-%d %H:%M`"
    raise reject(OptionError((), "DLC104", "not a valid `format`", found=spell(value), expected=expected))


class Date(MissingValues):
    """A point in time as parts of the calendar: (batch, n) in float32.

    It reads ISO 8601 (`2024-05-31`, `2024-05-31T14:30`), strings of another `format`, or numbers since 1970. Each part
    but the year repeats: it becomes a point on a circle, sin and cos of 2 pi (part - first) / period, so that December
    is close to January. `cyclic: false` maps it to -0.5..0.5 instead, as GluonTS does. Years are scaled to mean 0 and
    deviation 1 by the training split. Time zones are not converted: the parts are those that the data spell.
    """

    word = "date"
    parts: Annotated[tuple[str, ...], BeforeValidator(_parts)] = main(
        ("year", "month", "day", "weekday"),
        description="the parts: `year`, `month`, `day`, `weekday`, `dayofyear`, `hour`, `minute`, `second`",
    )
    format: Annotated[str | None, BeforeValidator(_format)] = option(
        None, description="how the data spell dates, as for Python's `strptime`: `%d.%m.%Y`; by default ISO 8601"
    )
    unit: Literal["d", "s", "ms", "us", "ns"] | None = option(
        None, description="the unit of numbers since 1970: days, seconds, milliseconds, ...; seconds by default"
    )
    cyclic: bool = option(True, description="sine and cosine of each part but the year; else a number for each")
    missing: Literal["median", "most_frequent"] | None = option(
        None, description="replacement for an empty field: the parts' `median` or `most_frequent` in the training split"
    )

    examples = (
        FeatureExample(
            "date: [year, month]", "f32[batch, 3]", ["2024-05-31", "2023-12-01T10:30"], [[2024, 5], [2023, 12]]
        ),
        FeatureExample(
            "date: {parts: [hour, weekday], cyclic: false}",
            "f32[batch, 2]",
            ["2024-05-31 14:30:00", "2024-06-03"],
            [[14, 4], [0, 0]],
        ),
        FeatureExample("date: {parts: dayofyear, format: '%d.%m.%Y'}", "f32[batch, 2]", ["31.12.2024"], [[366]]),
        FeatureExample("date: {parts: [day, minute]}", "f32[batch, 4]", [90000, 120], [[2, 0], [1, 2]]),
        FeatureExample("date: {parts: month, unit: d}", "f32[batch, 2]", ["40", "366"], [[2], [1]]),
        FeatureExample(
            "date: {parts: [year], missing: median, missing_indicator: true}",
            "f32[batch, 2]",
            ["2020-01-01", "", "2022"],
            [[2020], [NAN], [2022]],
        ),
        FeatureExample("date", "f32[batch, 7]", ["31/12/2024"], error="DLC403"),
        FeatureExample("date", "f32[batch, 7]", ["2024-02-30"], error="DLC403"),
        FeatureExample("date", "f32[batch, 7]", [""], error="DLC403"),
        FeatureExample("date", "f32[batch, 7]", [[1, 2]], error="DLC406"),
        FeatureExample("date: [month, moon]", "f32[batch, 2]", ["2024-05-31"], error="DLC104"),
        FeatureExample("date: {format: dd.mm.yyyy}", "f32[batch, 2]", ["2024-05-31"], error="DLC104"),
        FeatureExample("date: {parts: year, cyclic: false}", "f32[batch, 1]", ["2024-05-31"], error="DLC303"),
        FeatureExample("date: {format: '%d.%m.%Y', unit: s}", "f32[batch, 2]", ["2024-05-31"], error="DLC303"),
    )

    @model_validator(mode="after")
    def _check(self) -> Date:
        if self.parts == ("year",) and not self.cyclic:
            message = "`cyclic` has no effect: the year does not repeat"
            raise reject(OptionError(("cyclic",), "DLC303", message, hint="remove it", at_key=True))
        if self.format is not None and self.unit is not None:
            message = "`unit` has no effect with `format`: one is for numbers, the other for strings"
            raise reject(OptionError(("unit",), "DLC303", message, hint="remove one of them", at_key=True))
        return self

    @property
    def indicators(self) -> int:
        """One for the whole date."""
        return int(self.missing_indicator)

    def unfit_target(self) -> RuleViolation | None:
        """A date is only an input."""
        hint = "predict a number, such as the days until the date, or a category, such as the weekday"
        return RuleViolation("DLC104", "a `date` can't be a target", hint=hint)

    def value_type(self) -> TensorType:
        """f32[batch, n]."""
        widths = [2 if self.cyclic and PARTS[name].period else 1 for name in self.parts]
        return TensorType(("batch", sum(widths) + self.indicators))

    def raw_type(self) -> TensorType:
        """f32[batch, parts]."""
        return TensorType(("batch", len(self.parts)))

    def reads_numbers(self, index: int) -> bool:
        """A date is not a number, even if it is spelled with points."""
        return False

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """The parts of each date, NaN where it is missing."""
        column = only(columns, name, self.word)
        values = [value.strip() if isinstance(value, str) else value for value in _plain(column)]
        known = {value: self._read(value) for value in dict.fromkeys(values)}
        bad = [known[value] is None for value in values]
        if any(bad):
            wrong = [as_text(value) for value, lost in zip(values, bad, strict=True) if lost]
            raise WrongValues(
                "DLC403",
                "is not a date" if wrong[0] else "has no date",
                name,
                first_row + bad.index(True),
                Counter(map(field, wrong)),
                expected=f"a date as in `{self.format}`" if self.format else "a date such as `2024-05-31T14:30`",
                hint=self._advice(wrong),
            )
        rows = [known[value] or () for value in values]
        return np.array(rows, np.float64).reshape(len(rows), len(self.parts))

    def _read(self, value: Any) -> tuple[float, ...] | None:
        """The parts of a date; None if it is not one."""
        if value is None or value == "" or value != value or (isinstance(value, str) and value.lower() == "nan"):
            return (NAN,) * len(self.parts) if self.missing is not None else None
        try:
            time = self._time(value)
        except (ValueError, OverflowError, TypeError):
            return None
        return tuple(float(PARTS[name].read(time)) for name in self.parts)

    def _time(self, value: Any) -> datetime:
        """A point in time as Python has it, without a time zone."""
        if isinstance(value, datetime):
            return value
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day)
        if self.unit is None and isinstance(value, (int, float)) and _SPELLED.fullmatch(f"{value:.10g}"):
            value = f"{value:.0f}"
        if isinstance(value, (int, float)) or self.unit is not None:
            count = float(value) * MICROSECONDS[self.unit or "s"]
            return datetime(1970, 1, 1) + timedelta(microseconds=round(count))
        text = as_text(value)
        if self.format is not None:
            return datetime.strptime(text, self.format)
        if _SHORT.fullmatch(text):
            return datetime(int(text[:4]), int(text[5:] or 1), 1)
        return datetime.fromisoformat(text)

    def _advice(self, wrong: Sequence[str]) -> str | None:
        """The hint for fields that are not dates."""
        if not all(wrong):
            return "set `missing`: `median` or `most_frequent` fills in the parts of the date"
        if all(_DIGITS.fullmatch(text) for text in wrong):
            return "if these are seconds since 1970, set `unit: s`; milliseconds are `ms`"
        found = [match for text in wrong if (match := _NUMERIC.fullmatch(text)) is not None]
        if len(found) < len(wrong):
            return None if self.format else "set `format`, for example `%d %B %Y` for `31 May 2024`"
        day_first = any(int(match.group(1)) > 12 for match in found)
        mark, month_first = found[0].group(2), any(int(match.group(3)) > 12 for match in found)
        time = " %H:%M" if found[0].group(5) else ""
        formats = [f"`%d{mark}%m{mark}%Y{time}`"] * (not month_first) + [f"`%m{mark}%d{mark}%Y{time}`"] * (
            not day_first
        )
        return f"set `format` to {' or '.join(formats)}" if formats else None

    def fit(self, raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Mean and deviation of the year."""
        if "year" not in self.parts:
            return {}
        at = self.parts.index("year")
        return {name: values[at : at + 1] for name, values in fit_normalizer(raw, "standard").items()}

    def stats_types(self) -> dict[str, TensorType]:
        """Those of the year."""
        return dict.fromkeys(NORMALIZER, TensorType((1,))) if "year" in self.parts else {}

    def encode(self, raw: Any, stats: Stats) -> Any:
        """Points on circles, or numbers; the year normalized."""
        arrays = np if isinstance(raw, np.ndarray) else jnp
        found = []
        for index, name in enumerate(self.parts):
            part, values = PARTS[name], raw[..., index : index + 1]
            if not part.period:
                found.append(normalized(values, stats))
            elif self.cyclic:
                since = values - part.first
                angle = (since - part.period * (since > part.period / 2)) * (2 * pi / part.period)  # -pi to pi: exact
                found += [arrays.sin(angle), arrays.cos(angle)]
            else:
                found.append((values - part.first) / (part.period - 1) - 0.5)
        return arrays.concatenate(found, axis=-1)

    def decode(self, value: Any, stats: Stats) -> Any:
        """The parts, from a number for each."""
        if self.cyclic:
            return value
        arrays = np if isinstance(value, np.ndarray) else jnp
        found = []
        for index, name in enumerate(self.parts):
            part, values = PARTS[name], value[..., index : index + 1]
            whole = (values + 0.5) * (part.period - 1) + part.first
            found.append(whole if part.period else denormalized(values, stats))
        return arrays.concatenate([*found, value[..., len(self.parts) :]], axis=-1)

    def marked(self, value: Any, raw: Any) -> Any:
        """Encoded values, with the indicator at the end if there is one."""
        if not self.missing_indicator:
            return value
        arrays = np if isinstance(value, np.ndarray) else jnp
        gaps = self.absent(raw)[..., :1].astype(np.float32)
        return arrays.concatenate([value, gaps], axis=-1)


_SPELLED = re.compile(r"(?:19|20)\d\d(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))?")
"""A number that spells a year, or a date without marks: as seconds since 1970 it would be a day of that year."""


def _plain(column: NDArray[Any]) -> list[Any]:
    """The values of a column as Python has them: points in time, numbers or strings; None for no time."""
    if column.dtype.kind == "O":
        known = (str, bytes, bool, int, float, date, type(None))
        return [value if isinstance(value, known) else f"{value}"[:80] for value in column.tolist()]
    if column.dtype.kind != "M":
        return list(column.tolist())
    return list(column.astype("datetime64[us]").tolist())
