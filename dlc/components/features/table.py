"""Tables: many columns as one vector."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BeforeValidator, model_validator

from dlc.components.features.category import Category
from dlc.components.features.date import Date
from dlc.components.features.feature import Feature, FeatureExample, Stats, encoded, fitted, fitted_types
from dlc.components.features.missing import numeric_missing
from dlc.components.features.normalizers import CLIP, NORMALIZATION, Clipping, Normalization
from dlc.components.features.tensor import Tensor
from dlc.components.wrong_values import Violations, WrongValues, raise_all
from dlc.diagnostics import listing, plural
from dlc.ir import TensorType
from dlc.language.options import OptionError, Options, RuleViolation, main, option, reject, spell, unshorten, validate
from dlc.support.lazy import jnp, np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAN = float("nan")
Columns = tuple[str | dict[str, int], ...]


def _numbers(value: Any) -> Any:
    """Names of columns, and patterns with the numbers of columns that they match."""
    items = value if isinstance(value, (list, tuple)) else [value]
    expected = 'names of columns, and patterns with their number of columns: `[age, {"hours_*": 24}]`'
    for index, item in enumerate(items):
        loc = (index,) if items is value else ()
        if isinstance(item, str) and "*" in item:
            message = f"how many columns `{item}` matches must be declared: the network needs the width"
            raise reject(OptionError(loc, "DLC203", message, hint=f'write `{{"{item}": NUMBER}}`'))
        counts = item if isinstance(item, dict) else {item: 1}
        for name, count in counts.items():
            if not isinstance(name, str) or not name or not isinstance(count, int) or count < 1 or count is True:
                raise reject(OptionError(loc, "DLC104", "not a valid column", found=spell(item), expected=expected))
            if isinstance(item, dict) and "*" not in name:
                message, hint = f"`{name}` is a single column", f"write `{name}`, without a number"
                raise reject(OptionError(loc, "DLC104", message, found=spell(item), expected=expected, hint=hint))
    return tuple(items)


def _named(value: Any) -> Any:
    """Options by column; a list of names is short for columns without options."""
    found = dict.fromkeys(map(str, value)) if isinstance(value, (list, tuple)) else value
    if not isinstance(found, dict) or (isinstance(value, (list, tuple)) and len(found) < len(value)):
        expected = "a mapping with the names of columns as keys"
        raise reject(OptionError((), "DLC103", "not valid columns", found=spell(value), expected=expected))
    patterns = [name for name in found if "*" in str(name)]
    if patterns:
        expected, hint = "names of columns", "only `numbers` may have patterns"
        message = "a pattern is not allowed here"
        raise reject(OptionError((patterns[0],), "DLC104", message, expected=expected, hint=hint, at_key=True))
    return {str(name): options for name, options in found.items()}


def _size(kind: TensorType) -> int:
    return prod(dim for dim in kind.shape[1:] if isinstance(dim, int))


class _Section(NamedTuple):
    """Columns of a table with one rule.

    Args:
        name: prefix of its statistics.
        option: the option of the table that declares them.
        columns: how many columns it reads.
        feature: the rule.
        start: the position of its first raw value.
    """

    name: str
    option: str
    columns: int
    feature: Feature
    start: int = 0

    @property
    def width(self) -> int:
        """The number of its raw values."""
        return _size(self.feature.raw_type())

    @property
    def encoded(self) -> int:
        """The number of its values in the vector."""
        return _size(self.feature.value_type())

    def of(self, raw: Any) -> Any:
        """Its part of the raw values (*axes, columns), in the form that the feature reads."""
        part = raw[..., self.start : self.start + self.width]
        if self.feature.raw_type().is_float:
            return part
        return part[..., 0].astype(np.int32)

    def own(self, stats: Stats) -> dict[str, Any]:
        """Its part of the statistics."""
        prefix = f"{self.name}."
        return {key[len(prefix) :]: value for key, value in stats.items() if key.startswith(prefix)}

    def prefixed(self, stats: Mapping[str, Any]) -> dict[str, Any]:
        """Its statistics as those of the table."""
        return {f"{self.name}.{key}": value for key, value in stats.items()}

    def moved(self, wrong: RuleViolation, first: int) -> RuleViolation:
        """A finding about its columns as one of the table, in which its first column has the number `first`."""
        wrong.option = wrong.option if self.option == "numbers" and wrong.option in Table.model_fields else self.option
        return wrong.of(wrong.column, wrong.index + first) if isinstance(wrong, WrongValues) else wrong


class Table(Feature):
    """Columns of a table as one vector: (batch, width) in float32.

    All `numbers` are normalized and filled by one rule, each by its own statistics; `categories` become rows of 0 and
    1, all 0 if the field is empty; `dates` become parts of the calendar. The vector has these parts in this order: the
    numbers, their indicators of missing values, then each category and each date. A pattern needs the number of columns
    that it matches, because the network needs the width: `{"hours_*": 24}`.
    """

    word = "table"
    numbers: Annotated[Columns, BeforeValidator(_numbers)] = main(
        (), description='columns of numbers, and patterns with their number of columns: `{"hours_*": 24}`'
    )
    categories: Annotated[dict[str, Any], BeforeValidator(_named)] = option(
        {}, description="columns of classes, each with what `category` takes: a number, names, groups, or its options"
    )
    dates: Annotated[dict[str, Any], BeforeValidator(_named)] = option(
        {}, description="columns of dates, each with what `date` takes: its parts, or its options"
    )
    normalize: Normalization = option("standard", description=f"numbers, {NORMALIZATION}")
    clip: Clipping = option(None, description=CLIP)
    missing: Annotated[float | str | None, BeforeValidator(numeric_missing)] = option(
        "median",
        description="replacement for an empty field of numbers: a number, or `mean`, `median`, `most_frequent` of the "
        "training split; null makes empty fields errors",
    )
    missing_indicator: bool | None = option(
        None,
        description="append a number for each number and date that is 1 where it is missing; unless `missing` is null",
    )

    examples = (
        FeatureExample("table: [x]", "f32[batch, 2]", ["1", "", "4"], [[1], [NAN], [4]]),
        FeatureExample("table: {numbers: [x], missing_indicator: false}", "f32[batch, 1]", [1, 3], [[1], [3]]),
        FeatureExample("table: {numbers: [x], missing: null}", "f32[batch, 1]", [1, 3], [[1], [3]]),
        FeatureExample("table: {categories: {x: [a, b, c]}}", "f32[batch, 3]", ["b", "", "a"], [[1], [-(2**31)], [0]]),
        FeatureExample("table: {categories: {x: {classes: [a, b], missing: b}}}", "f32[batch, 2]", ["b"], [[1]]),
        FeatureExample(
            "table: {categories: {x: {found: 2}}}", "f32[batch, 3]", ["b", "a", "b"], ['["b"]', '["a"]', '["b"]']
        ),
        FeatureExample("table: {dates: {x: [year, month]}}", "f32[batch, 4]", ["2024-05-01"], [[2024, 5]]),
        FeatureExample("table: {numbers: [x], missing: null}", "f32[batch, 1]", [""], error="DLC403"),
        FeatureExample("table: {categories: {x: [a, b]}}", "f32[batch, 2]", ["c"], error="DLC404"),
        FeatureExample("table: {categories: {x: [a, a]}}", "f32[batch, 2]", ["c"], error="DLC104"),
        FeatureExample("table: {categories: {'x_*': [a, b]}}", "f32[batch, 2]", ["c"], error="DLC104"),
        FeatureExample("table: {dates: {x: moon}}", "f32[batch, 2]", ["2024-05-01"], error="DLC104"),
        FeatureExample("table: ['x_*']", "f32[batch, 2]", [1], error="DLC203"),
        FeatureExample("table: [x, x]", "f32[batch, 4]", [1], error="DLC104"),
        FeatureExample("table: {numbers: [x: 2]}", "f32[batch, 4]", [1], error="DLC104"),
        FeatureExample("table", "f32[batch, 0]", [1], error="DLC104"),
        FeatureExample("table: {numbers: [x], column: x}", "f32[batch, 0]", [1], error="DLC303"),
        FeatureExample("table: {categories: {x: [a, b]}, missing: 3}", "f32[batch, 2]", [1], error="DLC303"),
    )

    @model_validator(mode="after")
    def _check(self) -> Table:
        if self.column is not None:
            message, hint = "`column` has no effect: a table names its columns", "remove it"
            raise reject(OptionError(("column",), "DLC303", message, hint=hint, at_key=True))
        names = self.reads("")
        if not names:
            raise reject(
                OptionError((), "DLC104", "the table has no columns", "none", "`numbers`, `categories` or `dates`")
            )
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise reject(OptionError((), "DLC104", f"{listing(twice)} is declared twice", expected="each column once"))
        own = [name for name in ("normalize", "clip", "missing_indicator", "missing") if name in self.model_fields_set]
        useless = [name for name in own if not self.numbers and not (self.dates and name.startswith("missing"))]
        if useless:
            message, hint = f"`{useless[0]}` has no effect without `numbers`", "remove it"
            raise reject(OptionError((useless[0],), "DLC303", message, hint=hint, at_key=True, because=("numbers",)))
        assert self._sections  # reports wrong options of categories and dates
        return self

    @cached_property
    def _sections(self) -> tuple[_Section, ...]:
        """The rules of the columns."""
        indicator = self.missing_indicator if self.missing_indicator is not None else self.missing is not None
        fills = {"missing": self.missing, "missing_indicator": indicator}
        found: list[_Section] = []
        if self.numbers:
            names, count = self._number_names(), self._count()
            rules = {"normalize": self.normalize, "clip": self.clip, **fills}
            made = _made(Tensor, {"shape": (count,), "columns": names, **rules}, ())
            found.append(_Section("numbers", "numbers", count, made))
        for name, value in self.categories.items():
            found.append(_Section(name, "categories", 1, _category(name, value)))
        for name, value in self.dates.items():
            given = value if isinstance(value, dict) else {"parts": value} if value is not None else {}
            if self.missing is not None:
                given = {"missing": "median", "missing_indicator": indicator, **given}
            location = ("dates", name)
            found.append(_Section(name, "dates", 1, _made(Date, given, location, None if given is value else "parts")))
        starts = [0, *accumulate(section.width for section in found)]
        return tuple(section._replace(start=start) for section, start in zip(found, starts, strict=False))

    @property
    def learns(self) -> bool:
        """Whether classes are found in the training split."""
        return any(section.feature.learns for section in self._sections)

    def _number_names(self) -> tuple[str, ...]:
        return tuple(name for item in self.numbers for name in (item if isinstance(item, dict) else [item]))

    def _count(self) -> int:
        """The number of columns of numbers."""
        return sum(sum(item.values()) if isinstance(item, dict) else 1 for item in self.numbers)

    def reads(self, name: str) -> tuple[str, ...]:
        """The columns, those of numbers first."""
        return (*self._number_names(), *self.categories, *self.dates)

    def unfit_target(self) -> RuleViolation | None:
        """A table is only an input."""
        hint = "declare each target by itself, or several numbers as one `tensor: {columns: [...]}`"
        return RuleViolation("DLC104", "a `table` can't be a target", hint=hint)

    def value_type(self) -> TensorType:
        """f32[batch, width]."""
        return TensorType(("batch", sum(section.encoded for section in self._sections)))

    def raw_type(self) -> TensorType:
        """f32[batch, values]: numbers as they are, the numbers of classes, and the parts of dates."""
        return TensorType(("batch", sum(section.width for section in self._sections)))

    def reads_numbers(self, index: int) -> bool:
        """Only `numbers` hold numbers."""
        return index < self._count()

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """The values of all columns side by side, in float64; as JSON if some classes are to be found."""
        self._need_columns(columns)
        wrong: list[RuleViolation] = []
        parts: list[NDArray[Any]] = []
        first = 0
        for section in self._sections:
            try:
                own = columns[first : first + section.columns]
                part = section.feature.read(own, name, first_row)
                parts.append(part.reshape(len(part), section.width))
            except Violations as several:
                wrong += [section.moved(found, first) for found in several.found]
            except RuleViolation as found:
                wrong.append(section.moved(found, first))
            first += section.columns
        raise_all(wrong)
        if not self.learns:
            return np.concatenate(parts, axis=1, dtype=np.float64)
        rows = np.empty(len(parts[0]), object)
        rows[:] = [json.dumps(list(chain(*values))) for values in zip(*(part.tolist() for part in parts), strict=True)]
        return rows

    def learn(self, raw: Any, base: Path) -> bytes:
        """The classes that are to be found."""
        found = {}
        values = _rows(raw)
        for section in self._sections:
            if section.feature.learns:
                found[section.name] = json.loads(section.feature.learn(_strings(values, section), base))
        return json.dumps(found, ensure_ascii=False).encode()

    def prepare(self, raw: NDArray[Any], artifact: bytes, name: str, first_row: int = 1) -> NDArray[Any]:
        """The values of all columns side by side, in float64."""
        known, values = json.loads(artifact), _rows(raw)
        found = np.empty((len(values), _size(self.raw_type())), np.float64)
        for section in self._sections:
            own = slice(section.start, section.start + section.width)
            if section.feature.learns:
                strings, document = _strings(values, section), json.dumps(known[section.name]).encode()
                found[:, own] = section.feature.prepare(strings, document, name, first_row)[:, None]
            else:
                found[:, own] = np.array([row[own] for row in values], np.float64).reshape(len(values), section.width)
        return found

    def _need_columns(self, columns: Sequence[NDArray[Any]]) -> None:
        """Check that patterns match as many columns as they declare.

        Raises:
            RuleViolation: DLC402.
        """
        wanted = sum(section.columns for section in self._sections)
        if len(columns) == wanted:
            return
        patterns = {name: count for item in self.numbers if isinstance(item, dict) for name, count in item.items()}
        extra = len(columns) - wanted
        match = "matches" if len(patterns) == 1 else "match"
        raise RuleViolation(
            "DLC402",
            f"{listing(patterns)} {match} another number of columns than declared",
            found=plural(sum(patterns.values()) + extra, "column"),
            expected=f"{sum(patterns.values()):,}",
            option="numbers",
        )

    def fit(self, raw: Any) -> dict[str, NDArray[Any]]:
        """What each rule learns."""
        found: dict[str, NDArray[Any]] = {}
        for section in self._sections:
            try:
                found |= section.prefixed(fitted(section.feature, section.name, _Part(raw, section)))
            except RuleViolation as wrong:
                wrong.option = wrong.option if section.option == "numbers" else section.option
                raise
        return found

    def stats_types(self) -> dict[str, TensorType]:
        """The types of the results of `fit`."""
        found: dict[str, TensorType] = {}
        for section in self._sections:
            found |= section.prefixed(fitted_types(section.feature))
        return found

    def encode(self, raw: Any, stats: Stats) -> Any:
        """The vector."""
        arrays = np if isinstance(raw, np.ndarray) else jnp
        found = [
            encoded(section.feature, section.name, section.of(raw), section.own(stats))[section.name]
            for section in self._sections
        ]
        return arrays.concatenate(found, axis=-1)

    def decode(self, value: Any, stats: Stats) -> Any:
        """The vector with numbers in their own unit, for an autoencoder."""
        arrays = np if isinstance(value, np.ndarray) else jnp
        found, start = [], 0
        for section in self._sections:
            end = start + section.encoded
            found.append(section.feature.decode(value[..., start:end], section.own(stats)))
            start = end
        return arrays.concatenate(found, axis=-1)


class _Part:
    """The raw values of a section of a table, which can be sliced like an array.

    Args:
        raw: the raw values of the table, (n, columns): an array, or an object that is sliced like one.
        section: the section.
    """

    def __init__(self, raw: Any, section: _Section) -> None:
        self.raw, self.section = raw, section
        like = section.of(raw[:0])
        self.shape: tuple[int, ...] = (len(raw), *like.shape[1:])
        self.ndim, self.dtype = len(self.shape), like.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: slice) -> NDArray[Any]:
        found: NDArray[Any] = self.section.of(self.raw[where])
        return found


def _rows(raw: Any) -> list[list[Any]]:
    """The values of the records of a table, some of which are strings."""
    return [json.loads(text) for text in raw[:].tolist()]


def _strings(rows: Sequence[Sequence[Any]], section: _Section) -> NDArray[Any]:
    """The values of a column of classes that are to be found: an object array (n,)."""
    found = np.empty(len(rows), object)
    found[:] = [row[section.start] for row in rows]
    return found


def _category(name: str, value: Any) -> Feature:
    """The rule of a column of classes: rows of 0 and 1, by default all 0 for an empty field."""
    own = isinstance(value, dict) and bool(value) and set(value) <= set(Category.model_fields)
    given = dict(value) if own else {"classes": value}
    classes = given.get("classes")
    groups = classes.values() if isinstance(classes, dict) else classes if isinstance(classes, (list, tuple)) else []
    members = {item for group in groups for item in (group if isinstance(group, (list, tuple)) else [group])}
    filled = "" in members or "found" in given
    defaults = {"one_hot": True} if filled else {"one_hot": True, "missing": "zeros"}
    return _made(Category, {**defaults, **given}, ("categories", name), None if own else "classes")


def _made(cls: type[Feature], given: dict[str, Any], loc: tuple[str, ...], short: str | None = None) -> Feature:
    """A feature of these options.

    Args:
        cls: its class.
        given: the options.
        loc: where they are.
        short: the option that is written without its name.

    Raises:
        PydanticCustomError: with all that is wrong, as `reject` makes it.
    """
    made: Options | list[OptionError] = validate(cls, given)
    if isinstance(made, list):
        raise reject(*(error._replace(loc=(*loc, *error.loc)) for error in unshorten(made, None, short)))
    assert isinstance(made, Feature)
    return made
