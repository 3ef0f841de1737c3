"""Reading tables: the columns of sources as the raw values of features, in memory if they fit, else on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from unicodedata import is_normalized

from dlc.components.features.feature import Feature
from dlc.components.sources.source import Columns, Opened, Source, missing_column, normalized_names
from dlc.components.sources.stored import Scratch, Stored
from dlc.components.wrong_values import Violations
from dlc.data.bad_records import BadRecords
from dlc.data.columns import Chosen, Hiding, Parsed, Picked, Read, block_slices
from dlc.data.decoding import FileReader
from dlc.data.errors import DataErrors
from dlc.data.values import Entries, FeatureKey, choose, parse, values_of
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import np
from dlc.support.machine import fitting_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECODED_BYTES = 64 << 20  # of decoded files in a block
COPIES = 3  # of records in memory while they are read: columns, raw values, encoded values


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
        """Move present and future values out of memory: to disk, unless they can be read again. Strings stay."""
        if self.like is not None and self.like.dtype == object:
            return
        self.left = True
        if self.again is None:
            self.scratch = self.scratch or Scratch()
            for part in self.parts:
                self.scratch.append(part)
        self.parts.clear()

    def collected(self, parse: Read, rows: NDArray[np.int32] | None) -> Any:
        """All values: an array, or an object that is indexed like one.

        Args:
            parse: reads values of the whole table again.
            rows: the rows of the table that have values; all of them if None.
        """
        assert self.like is not None
        if self.scratch is not None:
            return self.scratch.array((self.count, *self.like.shape[1:]), self.like.dtype)
        if self.left and self.again is not None:
            values = Parsed(self.again, parse, self.like)
            return values if rows is None else Chosen(values, rows)
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)


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
    files: FileReader | None = None,
    bad: BadRecords | None = None,
) -> dict[FeatureKey, Any]:
    """Read one source of a spec, and parse the raw values of its features.

    It continues after an error, so that all errors are found at once.

    Args:
        plan: the plan of the spec.
        source: the source.
        room: the memory for the table; the memory that its values take is added.
        columns: the columns that each feature reads from earlier tables; those of the first table are added.
        errors: collects what is wrong, DLC401-DLC406.
        path: the position of the source in the spec, for messages.
        features: the features to read; all of the plan if None.
        also: get the blocks of the table as well.
        folder: the folder that relative paths start from; that of the plan if None.
        files: reads the files that columns name; if None, one that keeps nothing for later runs.
        bad: collects the records that can't be read, which are left out; they are errors if None.

    Returns:
        The raw values of each feature; none of a feature with errors.
    """
    wanted = features_of(plan) if features is None else features
    base = Path(plan.folder) if folder is None else folder
    entries = Entries.of(source, base, files or FileReader(plan.data.workers if plan.data is not None else "auto"))
    reading = Reading(plan, wanted, columns, errors, entries, bad)
    gathered: dict[FeatureKey, _Gathered] = {}
    try:
        for block in reading.blocks(source, base, room.limit, path, also):
            for key, values in block.values.items():
                with reading.reporting(key):
                    each = gathered.setdefault(key, _Gathered(None if wanted[key].reads_files else block.table))
                    _add(key, each, block.owned(wanted[key], values), block.first_row)
            for key in reading.failed & gathered.keys():
                gathered[key].parts.clear()
            _make_room(gathered, room)
        if bad is not None:
            bad.check()
    except RuleViolation as wrong:
        errors.add(path[:1] if wrong.option == "on_bad_record" else path, wrong)
        return {}
    room.taken += sum(each.nbytes for each in gathered.values())
    return {
        key: gathered[key].collected(
            partial(parse, plan, key, feature, reading.chosen[key], entries=reading.entries),
            bad.sound if bad is not None and bad.found else None,
        )
        for key, feature in wanted.items()
        if key not in reading.failed and reading.count
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
        section = "windows" if wrong.option == "series" else "split"
        errors.add(("data", section) if wrong.option else path, wrong)
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
        rows: the rows that are kept, in their order; all when None.
    """

    names: tuple[str, ...]
    parts: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    rows: NDArray[np.int32] | None = None

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
        """A column."""
        parts = self.parts[name]
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return found if self.rows is None else found[self.rows]


@fast_dataclass
class ValueBlock:
    """The raw values of consecutive records of a table.

    Args:
        table: the whole table, if it can be read again.
        columns: the columns of all records of the block.
        first_row: the row of the first record, from 1.
        whole: whether the block is the whole table, in memory.
        sound: which of the records were read; the others are bad ones.
        values: the values of these records for each feature; none of a feature with errors.
    """

    table: Columns | None
    columns: Columns
    first_row: int
    whole: bool
    sound: NDArray[np.bool_]
    values: dict[FeatureKey, NDArray[Any]]

    def owned(self, feature: Feature, values: NDArray[Any]) -> NDArray[Any]:
        """Values of a feature that keep no columns alive, and have one type in all blocks."""
        if self.table is None and feature.raw_type().is_float and values.dtype.kind in "fiu":
            return values.astype(np.float64, copy=False)
        if self.whole and any(np.may_share_memory(values, column) for column in self.columns.values()):
            return values.copy()
        return values


class Reading:
    """The features of one table while its blocks are read.

    Args:
        plan: the plan.
        features: the features to read.
        columns: the columns that each feature reads from earlier tables; those of the first table are added.
        errors: collects what is wrong.
        entries: how the source means its entries.
        bad: collects the records that can't be read; they are errors if None.
    """

    def __init__(
        self,
        plan: Plan,
        features: Mapping[FeatureKey, Feature],
        columns: dict[str, tuple[str, ...]],
        errors: DataErrors,
        entries: Entries,
        bad: BadRecords | None = None,
    ) -> None:
        self.plan, self.features, self.columns, self.errors, self.entries = plan, features, columns, errors, entries
        self.bad = bad
        self.count = 0
        self.chosen: dict[FeatureKey, tuple[str, ...]] = {}
        self.failed: set[FeatureKey] = set()

    def blocks(
        self, source: Source, base: Path, limit: int, path: tuple[str, ...], also: Sequence[Other] = ()
    ) -> Iterator[ValueBlock]:
        """Read a source block by block.

        Args:
            source: the source.
            base: the folder that relative paths start from.
            limit: the most bytes of columns in memory.
            path: the position of the source in the spec, for messages.
            also: get the blocks of the table as well.

        Raises:
            RuleViolation: DLC401 when the source can't be read.
        """
        opened = source.open(base, limit)
        table = normalized(opened, source.word) if isinstance(opened, Mapping) else None
        for size, block in _blocks(opened if table is None else table, _most_rows(self.features.values())):
            named = block if table is not None else normalized(block, source.word)
            also = [other for other in also if _added(other, named, self.errors, path)]
            if size:
                visible = Hiding(named, hidden) if (hidden := _hidden(also, self.columns)) else named
                yield self._block(table, visible, size, whole=block is table)
            self.count += size
            if self.bad is not None:
                self.bad.count = self.count
        if not self.count:
            self.errors.add(path[:2], RuleViolation("DLC405", "the data have no records"))

    @contextmanager
    def reporting(self, key: FeatureKey) -> Iterator[None]:
        """Add errors of a feature to the others."""
        try:
            yield
        except (RuleViolation, Violations) as wrong:
            self.errors.add((*key, self.features[key].word), wrong, self.chosen.get(key, ()))
            self.failed.add(key)

    def _block(self, table: Columns | None, block: Columns, size: int, *, whole: bool) -> ValueBlock:
        """Read one block. A feature with errors is parsed further, to find all of them."""
        found: dict[FeatureKey, NDArray[Any] | None] = {}
        own: dict[FeatureKey, NDArray[np.bool_]] = {}
        for key, feature in self.features.items():
            if key in self.failed and key not in self.chosen:  # its columns are missing
                continue
            with self.reporting(key):
                if key not in self.chosen:
                    self.chosen[key] = choose(self.plan, *key, feature, block, self.columns.get(key[1]))
                    self.columns.setdefault(key[1], self.chosen[key])
                values, own[key] = self._read(key, feature, block, size)
                if key not in self.failed:
                    found[key] = values
        sound = np.logical_and.reduce(list(own.values())) if own else np.ones(size, bool)
        count = int(sound.sum())
        kept = {
            key: values if len(values) == count else values[sound[own[key]]]
            for key, values in found.items()
            if values is not None and count
        }
        return ValueBlock(table, block, self.count + 1, whole, sound, kept)

    def _read(
        self, key: FeatureKey, feature: Feature, block: Columns, size: int
    ) -> tuple[NDArray[Any] | None, NDArray[np.bool_]]:
        """The values of a block, and which of its records they belong to."""
        chosen = self.chosen[key]
        if self.bad is None:
            values = values_of(feature, key[1], block, chosen, self.count + 1, self.entries)
            return values, np.ones(size, bool)

        entries = self.entries.unplaced()

        def read(rows: slice) -> NDArray[Any]:
            part = block if rows == slice(0, size) else Picked(block, rows)
            return values_of(feature, key[1], part, chosen, self.count + rows.start + 1, entries)

        return self.bad.read(read, size, self.count, key, feature, block)


def _make_room(gathered: Mapping[FeatureKey, _Gathered], room: Room) -> None:
    for each in gathered.values():
        if each.left:
            each.leave()
    while room.taken + sum(each.nbytes for each in gathered.values()) > room.limit:
        largest = max(gathered.values(), key=lambda each: each.nbytes)
        before = largest.left
        largest.leave()
        if before or not largest.left:  # earlier tables take all of it, or strings that stay in memory
            return


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


def _add(feature_key: FeatureKey, gathered: _Gathered, values: NDArray[Any], first_row: int) -> None:
    if gathered.like is None:
        gathered.like = values[:1].copy()
    elif gathered.like.shape[1:] != values.shape[1:]:
        message = f"records of `{feature_key[1]}` have different sizes"
        found = f"{list(gathered.like.shape[1:])}, from row {first_row} on {list(values.shape[1:])}"
        raise RuleViolation("DLC406", message, found=found)
    gathered.parts.append(values)
    gathered.count += len(values)
