"""The raw values of one feature: which columns of a table it reads, and how their entries are meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dlc.components.features.feature import Feature
from dlc.components.sources.arrow_text import Fields
from dlc.components.sources.references import file_entries
from dlc.components.sources.source import Columns, Source, look_alike, select
from dlc.components.wrong_values import Violations, WrongValues
from dlc.data.decoding import FileReader
from dlc.data.errors import DataErrors
from dlc.diagnostics import did_you_mean, listing
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FeatureKey = tuple[str, str]  # section and name of a feature
Origin = Callable[[int], "tuple[Path, int] | None"]  # `Source.origin`
Numbers = Callable[["NDArray[Any]", str, int], "NDArray[Any]"]  # `Source.numbers`


class Entries(NamedTuple):
    """How a source means the entries of its columns.

    Args:
        numbers: makes strings of the source numbers as Python spells them.
        folder: the folder that the names of files start from.
        files: reads these files.
        origin: the file of a row and its number there, if the source has several files.
    """

    numbers: Numbers
    folder: Path
    files: FileReader
    origin: Origin = lambda _: None

    @classmethod
    def of(cls, source: Source, base: Path, files: FileReader) -> Entries:
        """Those of a source whose relative paths start from `base`."""
        return cls(source.numbers, source.names_from(base), files, partial(source.origin, base))

    def unplaced(self) -> Entries:
        """The same without `origin`, which reads the files before a row."""
        return self._replace(origin=lambda _: None)

    def placed(self, wrong: RuleViolation) -> RuleViolation:
        """What is wrong with a row, with the file that holds it, if there are several."""
        place = self.origin(wrong.row) if isinstance(wrong, WrongValues) else None
        return wrong.in_file(*place) if isinstance(wrong, WrongValues) and place is not None else wrong

    def read_by(self, feature: Feature, index: int, column: NDArray[Any], name: str, first_row: int) -> NDArray[Any]:
        """A column as a feature reads it, which is the feature's column number `index`.

        Raises:
            WrongValues: DLC403 for what is certainly no number, no name of a file, or a file that can't be decoded.
        """
        if feature.reads_files and column.dtype.kind in "OUS":
            entries = file_entries(np.asarray(column), self.folder, name, first_row)
            return self.files.read(feature.decoder(), entries, name, first_row)
        return np.asarray(self.numbers(column, name, first_row) if feature.reads_numbers(index) else column)


def parse(
    plan: Plan,
    feature_key: FeatureKey,
    feature: Feature,
    chosen: Sequence[str],
    columns: Columns,
    first_row: int,
    entries: Entries,
) -> NDArray[Any]:
    """`values_of` by section and name of the feature.

    Raises:
        SpecError: DLC402-DLC406.
    """
    try:
        return values_of(feature, feature_key[1], columns, chosen, first_row, entries)
    except (RuleViolation, Violations) as wrong:
        errors = DataErrors(plan)
        errors.add((*feature_key, feature.word), wrong, chosen)
        raise errors.error() from None


def values_of(
    feature: Feature, name: str, columns: Columns, chosen: Sequence[str], first_row: int, entries: Entries
) -> NDArray[Any]:
    """The raw values of one feature, from the chosen columns.

    Raises:
        RuleViolation: DLC402-DLC406; `Violations` if there are several.
    """
    if not any(isinstance(columns.get(column), Fields) for column in chosen):
        return _values_of(feature, name, columns, chosen, first_row, entries)
    try:
        return _values_of_fields(feature, name, columns, chosen, first_row, entries)
    except (RuleViolation, Violations, TypeError, ValueError, AttributeError):  # the strings show what is wrong
        strings = {column: np.asarray(columns[column]) for column in chosen}
        return _values_of(feature, name, strings, chosen, first_row, entries)


def _values_of_fields(
    feature: Feature, name: str, columns: Columns, chosen: Sequence[str], first_row: int, entries: Entries
) -> NDArray[Any]:
    """`values_of`, where columns are `Fields`: different strings are read once, if the feature allows that."""
    column: Any = columns[chosen[0]]
    if feature.separate and not feature.reads_numbers(0) and len(chosen) == 1:
        values, codes = column.coded()
        if len(values) <= len(column) // 2:
            found = _values_of(feature, name, {chosen[0]: values}, chosen, first_row, entries)
            return np.asarray(found[codes])
    return _values_of(feature, name, columns, chosen, first_row, entries)


def _values_of(
    feature: Feature, name: str, columns: Columns, chosen: Sequence[str], first_row: int, entries: Entries
) -> NDArray[Any]:
    label = chosen[0] if len(chosen) == 1 else name
    found: list[RuleViolation] = []
    parts = []
    for index, column in enumerate(chosen):
        try:
            part = columns[column]
            parts.append(entries.read_by(feature, index, part, column, first_row))
        except WrongValues as wrong:
            found.append(wrong.of(column, index))
    try:
        if not found:
            return feature.read(parts, label, first_row)
    except WrongValues as wrong:
        found.append(wrong.of(chosen[wrong.index], wrong.index))
    except Violations as several:
        found += [
            wrong.of(chosen[wrong.index], wrong.index) if isinstance(wrong, WrongValues) else wrong
            for wrong in several.found
        ]
    raise Violations([entries.placed(wrong) for wrong in found])


def choose(
    plan: Plan, section: str, name: str, feature: Feature, columns: Columns, known: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """The columns that a feature reads from a table, in order.

    Args:
        plan: the plan of the spec.
        section: the section of the feature.
        name: its name.
        feature: the feature.
        columns: the table.
        known: the columns that it read from an earlier table: it reads the same ones, by name. If a pattern selects a
            series whose length varies, there may be more or fewer at its end. Several columns may be given as one
            array under the name of the feature.

    Raises:
        RuleViolation: DLC402 when a column is missing, or a pattern matches others than in the earlier table.
    """
    if known is None:
        return tuple(select(feature.reads(name), _visible(plan, section, columns)))
    there = tuple(column for column in known if column in columns)
    missing = [column for column in known if column not in columns]
    if not there and name in columns and columns[name].ndim > 1:
        return (name,)
    patterns = tuple(pattern for pattern in feature.reads(name) if "*" in pattern and pattern not in columns)
    more = set(_selected(patterns, _visible(plan, section, columns))) - set(known)
    varies = bool(patterns) and any(isinstance(dim, str) for dim in feature.value_type().shape[1:])
    if varies and there and there == known[: len(there)]:  # a longer or shorter series
        return (*there, *(column for column in columns if column in more))
    if missing:
        others = [column for column in columns if column not in known]
        raise RuleViolation(
            "DLC402",
            f"the data has no column {listing(missing, 8)}, which training read",
            found=f"columns {listing(list(columns), 12)}",
            hint=look_alike(missing[0], others) or did_you_mean(missing[0], others),
        )
    if more:
        raise RuleViolation(
            "DLC402",
            f"{listing(patterns)} of `{name}` matches columns that training did not read",
            found=listing([column for column in columns if column in more], 8),
            expected=f"only {listing(known, 8)}",
            hint="rename or remove the other columns",
        )
    return known


def _visible(plan: Plan, section: str, columns: Columns) -> tuple[str, ...]:
    """The columns that a feature may select: patterns of inputs, such as `*`, exclude columns read by targets."""
    known = tuple(columns)
    if section != "inputs":
        return known
    named = {column for feature in _reads(plan.inputs) for column in feature if "*" not in column}
    hidden = {column for feature in _reads(plan.targets) for column in _selected(feature, known)} - named
    return tuple(column for column in known if column not in hidden)


def _reads(features: Mapping[str, Feature]) -> list[tuple[str, ...]]:
    return [feature.reads(name) for name, feature in features.items()]


def _selected(columns: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    try:
        return select(columns, known)
    except RuleViolation:  # a missing target, as in prediction
        return []
