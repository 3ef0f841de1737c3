"""Reading tables: the columns of sources as the raw values of features, in memory if they fit, else on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from dlc.data.columns import Hiding, Parsed, Picked, Read, block_slices
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

    def collected(self, parse: Read) -> Any:
        """All values: an array, or an object that is indexed like one."""
        assert self.like is not None
        if self.scratch is not None:
            return self.scratch.array((self.count, *self.like.shape[1:]), self.like.dtype)
        if self.left and self.again is not None:
            return Parsed(self.again, parse, self.like)
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

    Returns:
        The raw values of each feature; none of a feature with errors.
    """
    base = Path(plan.folder) if folder is None else folder
    entries = Entries.of(source, base, files or FileReader(plan.data.workers if plan.data is not None else "auto"))
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


def _add(feature_key: FeatureKey, gathered: _Gathered, values: NDArray[Any]) -> None:
    if gathered.like is None:
        gathered.like = values[:1].copy()
    elif gathered.like.shape[1:] != values.shape[1:]:
        message = f"records of `{feature_key[1]}` have different sizes"
        found = f"{list(gathered.like.shape[1:])}, from row {gathered.count + 1} on {list(values.shape[1:])}"
        raise RuleViolation("DLC406", message, found=found)
    gathered.parts.append(values)
    gathered.count += len(values)
