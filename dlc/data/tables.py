"""Reading tables: the columns of sources as the raw values of features, in memory if they fit, else on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from unicodedata import is_normalized

from dlc.components.features.feature import Feature
from dlc.components.sources.references import file_entries
from dlc.components.sources.source import Columns, Opened, Source, look_alike, missing_column, normalized_names, select
from dlc.components.sources.stored import Scratch, Stored
from dlc.components.wrong_values import Violations, WrongValues
from dlc.data.columns import Hiding, Parsed, Picked, Read, block_slices
from dlc.data.errors import DataErrors
from dlc.diagnostics import did_you_mean, listing
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import np
from dlc.support.machine import fitting_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECODED_BYTES = 64 << 20  # of decoded files in a block
COPIES = 3  # of records in memory while they are read: columns, raw values, encoded values

FeatureKey = tuple[str, str]  # section and name of a feature


def allowed_memory(plan: Plan) -> int:
    """The memory for records in bytes: `data.memory`, or half of what this process may use."""
    asked = plan.data.memory if plan.data is not None else "auto"
    if isinstance(asked, int):
        return asked
    return fitting_bytes()


@fast_dataclass
class Room:
    """The memory for raw values of all tables.

    Args:
        limit: bytes.
        taken: bytes of tables that were read before.
    """

    limit: int
    taken: int = 0


@fast_dataclass
class _Gathered:
    """The raw values of one feature of one table, block by block.

    Args:
        again: the whole table, if it can be read again.
        parts: the blocks in memory.
        left: whether they were moved out of memory because they don't fit.
        like: the first values, for their shapes.
        scratch: the file for values that can't be read again.
        count: the number of values.
    """

    again: Columns | None
    parts: list[NDArray[Any]] = field(default_factory=list)
    left: bool = False
    like: NDArray[Any] | None = None
    scratch: Scratch | None = None
    count: int = 0

    @property
    def nbytes(self) -> int:
        """The bytes in memory."""
        return sum(part.nbytes for part in self.parts)

    def leave(self) -> None:
        """Move present and future values out of memory: to disk, unless they can be read again."""
        self.left = True
        if self.again is None:
            self.scratch = self.scratch or Scratch()
            for part in self.parts:
                self.scratch.append(part)
        self.parts.clear()

    def collected(self, parse: Read) -> Any:
        """All values: an array, or an object that is indexed like one."""
        assert self.like is not None
        if self.scratch is not None:
            return self.scratch.array((self.count, *self.like.shape[1:]), self.like.dtype)
        if self.left and self.again is not None:
            return Parsed(self.again, parse, self.like)
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)


Numbers = Callable[["NDArray[Any]", str, int], "NDArray[Any]"]  # `Source.numbers`


def as_they_are(column: NDArray[Any], name: str, first_row: int) -> NDArray[Any]:  # noqa: ARG001 - a `Numbers`
    """The numbers of columns that come from no source."""
    return column


class Entries(NamedTuple):
    """How a source means the entries of its columns.

    Args:
        numbers: makes strings of the source numbers as Python spells them.
        folder: the folder that the names of files start from.
    """

    numbers: Numbers = as_they_are
    folder: Path = Path()

    @classmethod
    def of(cls, source: Source, base: Path) -> Entries:
        """Those of a source whose relative paths start from `base`."""
        return cls(source.numbers, source.names_from(base))

    def read_by(self, feature: Feature, column: NDArray[Any], name: str, first_row: int) -> NDArray[Any]:
        """A column as a feature reads it.

        Raises:
            WrongValues: DLC403 for what is certainly no number, or no name of a file.
        """
        if feature.reads_files and column.dtype.kind in "OUS":
            return file_entries(column, self.folder, name, first_row)
        return self.numbers(column, name, first_row) if feature.raw_type().is_float else column


UNCHANGED = Entries()
"""Entries of columns that come from no source."""


def read_table(
    plan: Plan, source: Source, key: str, room: Room, columns: dict[str, tuple[str, ...]]
) -> dict[FeatureKey, Any]:
    """Read one source of a spec, and parse the raw values of each feature.

    Args:
        plan: the plan of the spec.
        source: the source.
        key: its key in `data`, for messages.
        room: the memory for it; the memory that its values take is added.
        columns: the columns that each feature reads from earlier tables; those of the first table are added.

    Raises:
        SpecError: DLC401-DLC406, with everything that is wrong in all of its columns.
    """
    errors = DataErrors(plan)
    found = read_values(plan, source, room, columns, errors, ("data", key, source.word))
    errors.check()
    return found


def read_values(
    plan: Plan,
    source: Source,
    room: Room,
    columns: dict[str, tuple[str, ...]],
    errors: DataErrors,
    path: tuple[str, ...],
    features: Mapping[FeatureKey, Feature] | None = None,
    also: Sequence[Other] = (),
    folder: Path | None = None,
) -> dict[FeatureKey, Any]:
    """`read_table` with errors that are collected, and with some of the features.

    Args:
        plan: the plan of the spec.
        source: the source.
        room: the memory for the table.
        columns: the columns that each feature reads.
        errors: collects what is wrong.
        path: the position of the source in the spec, for messages.
        features: the features to read; all of the plan if None.
        also: get the blocks of the table as well.
        folder: the folder that relative paths start from; that of the plan if None.

    Returns:
        The raw values of each feature; none of a feature with errors.
    """
    base = Path(plan.folder) if folder is None else folder
    entries = Entries.of(source, base)
    reading = _Reading(plan, features_of(plan) if features is None else features, columns, errors, entries)
    gathered: dict[FeatureKey, _Gathered] = {}
    try:
        opened = source.open(base, room.limit)
        again = normalized(opened, source.word) if isinstance(opened, Mapping) else None
        gathered = {
            feature_key: _Gathered(None if feature.reads_files else again)
            for feature_key, feature in reading.features.items()
        }
        for size, block in _blocks(opened if again is None else again, _most_rows(reading.features.values())):
            named = block if again is not None else normalized(block, source.word)
            also = [other for other in also if _added(other, named, errors, path)]
            if size:
                visible = Hiding(named, hidden) if (hidden := _hidden(also, columns)) else named
                reading.block(visible, gathered, in_memory=block is again, streamed=again is None)
                _make_room(gathered, room)
            reading.count += size
    except RuleViolation as wrong:
        errors.add(path, wrong)
        return {}
    if not reading.count:
        errors.add(path[:2], RuleViolation("DLC405", "the data have no records"))
    room.taken += sum(each.nbytes for each in gathered.values())
    return {
        feature_key: gathered[feature_key].collected(
            partial(parse, plan, feature_key, feature, reading.chosen[feature_key], entries=entries)
        )
        for feature_key, feature in reading.features.items()
        if feature_key not in reading.failed and reading.count
    }


def features_of(plan: Plan) -> dict[FeatureKey, Feature]:
    """All features of a plan."""
    sections = (("inputs", plan.inputs), ("targets", plan.targets))
    return {(section, name): feature for section, part in sections for name, feature in part.items()}


def normalized(columns: Columns, where: str) -> Columns:
    """Columns whose names are in Unicode's composed form (NFC).

    Raises:
        RuleViolation: DLC401 when two names are then the same.
    """
    if all(name.isascii() or is_normalized("NFC", name) for name in columns):
        return columns
    return dict(zip(normalized_names(list(columns), where), columns.values(), strict=True))


class Other(Protocol):
    """What gets the blocks of a table besides the features."""

    def add(self, block: Columns) -> None:
        """Add a block."""


def _added(other: Other, block: Columns, errors: DataErrors, path: tuple[str, ...]) -> bool:
    """Hand over a block; false if that is an error."""
    try:
        other.add(block)
    except RuleViolation as wrong:
        errors.add(("data", "split") if wrong.option else path, wrong)
        return False
    return True


def _hidden(also: Sequence[Other], columns: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """The kept columns that no feature reads: patterns don't match them."""
    kept = {name for other in also if isinstance(other, Kept) for name in other.names}
    return frozenset(kept - {name for part in columns.values() for name in part}) if kept else frozenset()


@fast_dataclass
class Kept:
    """Columns of a table that no feature reads, block by block.

    Args:
        names: their names.
        parts: their blocks.
    """

    names: tuple[str, ...]
    parts: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def add(self, block: Columns) -> None:
        """Add a block.

        Raises:
            RuleViolation: DLC402 when the table has no such column.
        """
        for name in self.names:
            if name not in block:
                raise missing_column(name, block)
            self.parts.setdefault(name, []).append(np.asarray(block[name][:]))

    def column(self, name: str) -> NDArray[Any]:
        """A whole column."""
        parts = self.parts[name]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class _Reading:
    """The features of one table while its blocks are read.

    Args:
        plan: the plan.
        features: the features to read.
        columns: the columns that each feature reads from earlier tables; those of the first table are added.
        errors: collects what is wrong.
        entries: how the source means its entries.
    """

    def __init__(
        self,
        plan: Plan,
        features: Mapping[FeatureKey, Feature],
        columns: dict[str, tuple[str, ...]],
        errors: DataErrors,
        entries: Entries,
    ) -> None:
        self.plan, self.features, self.columns, self.errors, self.entries = plan, features, columns, errors, entries
        self.count = 0
        self.chosen: dict[FeatureKey, tuple[str, ...]] = {}
        self.failed: set[FeatureKey] = set()

    def block(
        self, block: Columns, gathered: Mapping[FeatureKey, _Gathered], *, in_memory: bool, streamed: bool
    ) -> None:
        """Add the values of one block. A feature with errors is parsed further, to find all of them."""
        for key, feature in self.features.items():
            path = (*key, feature.word)
            if key in self.failed and key not in self.chosen:  # its columns are missing
                continue
            try:
                if key not in self.chosen:
                    self.chosen[key] = choose(self.plan, *key, feature, block, self.columns.get(key[1]))
                    self.columns.setdefault(key[1], self.chosen[key])
                values = values_of(feature, key[1], block, self.chosen[key], self.count + 1, self.entries)
                if key in self.failed:
                    continue
                if streamed and feature.raw_type().is_float and values.dtype.kind in "fiu":
                    values = values.astype(np.float64, copy=False)  # one type for all blocks
                if in_memory and any(np.may_share_memory(values, column) for column in block.values()):
                    values = values.copy()  # so that it does not keep the columns alive
                _add(key, gathered[key], values)
            except (RuleViolation, Violations) as wrong:
                self.errors.add(path, wrong, self.chosen.get(key, ()))
                self.failed.add(key)
                gathered[key].parts.clear()


def _make_room(gathered: Mapping[FeatureKey, _Gathered], room: Room) -> None:
    for each in gathered.values():
        if each.left:
            each.leave()
    while room.taken + sum(each.nbytes for each in gathered.values()) > room.limit:
        largest = max(gathered.values(), key=lambda each: each.nbytes)
        if largest.left:  # earlier tables take all of it
            return
        largest.leave()


def _most_rows(features: Iterable[Feature]) -> int | None:
    """The most records of a block, if files are decoded; None for any number."""
    kinds = [feature.raw_type() for feature in features if feature.reads_files]
    sizes = [prod(dim for dim in kind.shape if isinstance(dim, int)) for kind in kinds]
    return max(1, DECODED_BYTES // max(sizes)) if sizes else None


def _blocks(opened: Opened, most: int | None) -> Iterator[tuple[int, Columns]]:
    """The table in blocks of at most `most` rows, with their numbers of records.

    Otherwise columns in memory are one block.
    """
    for table in (opened,) if isinstance(opened, Mapping) else opened:
        count = len(next(iter(table.values()), ()))
        kept = [column for column in table.values() if isinstance(column, Stored)]
        whole = slice(0, count)
        parts = list(block_slices(count, 4 * sum(column.size for column in kept))) if kept and count else [whole]
        if most is not None and count > most:
            parts = [slice(start, start + most) for start in range(0, count, most)]
        for rows in parts:
            yield len(range(count)[rows]), table if rows is whole else Picked(table, rows)


def _add(feature_key: FeatureKey, gathered: _Gathered, values: NDArray[Any]) -> None:
    if gathered.like is None:
        gathered.like = values[:1].copy()
    elif gathered.like.shape[1:] != values.shape[1:]:
        message = f"records of `{feature_key[1]}` have different sizes"
        found = f"{list(gathered.like.shape[1:])}, from row {gathered.count + 1} on {list(values.shape[1:])}"
        raise RuleViolation("DLC406", message, found=found)
    gathered.parts.append(values)
    gathered.count += len(values)


def parse(
    plan: Plan,
    feature_key: FeatureKey,
    feature: Feature,
    chosen: Sequence[str],
    columns: Columns,
    first_row: int,
    entries: Entries = UNCHANGED,
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
    label = chosen[0] if len(chosen) == 1 else name
    found: list[RuleViolation] = []
    parts = []
    for index, column in enumerate(chosen):
        try:
            part = columns[column]
            parts.append(entries.read_by(feature, part, column, first_row))
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
    raise Violations(found)


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
