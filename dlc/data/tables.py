"""Reading tables: the columns of sources as the raw values of features, in memory if they fit, else on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.components.features.feature import Feature
from dlc.components.sources.source import Columns, Opened, Source, select
from dlc.components.sources.stored import Scratch, Stored
from dlc.data.columns import Parsed, Picked, Read, block_slices
from dlc.diagnostics import Diagnostic, Report, SpecError, did_you_mean, listing
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import np
from dlc.support.memory import machine_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

COPIES = 3  # of records in memory while they are read: columns, raw values, encoded values
_LEAST = 256 << 20  # bytes, if the machine's memory is unknown

FeatureKey = tuple[str, str]  # section and name of a feature


def allowed_memory(plan: Plan) -> int:
    """The memory for records in bytes: `data.memory`, or half of the memory of the machine or its container."""
    asked = plan.data.memory if plan.data is not None else "auto"
    if isinstance(asked, int):
        return asked
    found = machine_memory()
    return found // 2 if found is not None else _LEAST


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


def read_table(
    plan: Plan, source: Source, key: str, room: Room, columns: dict[str, tuple[str, ...]]
) -> dict[FeatureKey, Any]:
    """The raw values of every feature from one source, all of them checked.

    If they don't fit into memory, the largest are moved out first: small values, such as classes, may stay.

    Args:
        plan: the plan of the spec.
        source: the source.
        key: its key in the section `data`.
        room: the memory for all tables.
        columns: the columns that features read, by name of the feature. Those of features that are missing are selected
            from this table, and added: later tables are read by the same names.

    Returns:
        (n, ...) for each feature: an array, or an object on disk that is sliced and indexed like one.

    Raises:
        SpecError: DLC401-DLC407, DLC507.
    """
    features = {
        (section, name): feature
        for section, part in (("inputs", plan.inputs), ("targets", plan.targets))
        for name, feature in part.items()
    }
    count = 0
    read_from: dict[FeatureKey, tuple[str, ...]] = {}
    try:
        opened = source.open(Path(plan.folder), room.limit)
        again = opened if isinstance(opened, Mapping) else None
        gathered = {feature_key: _Gathered(again) for feature_key in features}
        for size, block in _blocks(opened):
            for feature_key, feature in features.items() if size else ():
                chosen = selected(plan, *feature_key, feature, block, columns.get(feature_key[1]))
                columns.setdefault(feature_key[1], chosen)
                read_from[feature_key] = chosen
                values = read_feature(plan, *feature_key, feature, block, chosen, first_row=count + 1)
                if again is None and feature.raw_type().is_float and values.dtype.kind in "fiu":
                    values = values.astype(np.float64, copy=False)  # one type for all blocks
                if block is again and any(np.may_share_memory(values, column) for column in block.values()):
                    values = values.copy()  # so that it does not keep the columns alive
                _add(plan, feature_key, gathered[feature_key], values)
                _make_room(gathered, room)
            count += size
    except RuleViolation as wrong:
        raise wrong_data(plan, wrong, ("data", key, source.word)) from None
    if not count:
        raise wrong_data(plan, RuleViolation("DLC405", "the data have no records"), ("data", key))
    room.taken += sum(each.nbytes for each in gathered.values())
    return {
        feature_key: gathered[feature_key].collected(partial(parse, plan, feature_key, feature, read_from[feature_key]))
        for feature_key, feature in features.items()
    }


def _make_room(gathered: Mapping[FeatureKey, _Gathered], room: Room) -> None:
    for each in gathered.values():
        if each.left:
            each.leave()
    while room.taken + sum(each.nbytes for each in gathered.values()) > room.limit:
        largest = max(gathered.values(), key=lambda each: each.nbytes)
        if largest.left:  # earlier tables take all of it
            return
        largest.leave()


def _blocks(opened: Opened) -> Iterator[tuple[int, Columns]]:
    """The table in blocks, with their numbers of records. Columns in memory are one block."""
    if not isinstance(opened, Mapping):
        for block in opened:
            yield len(next(iter(block.values()))), block
        return
    count = len(next(iter(opened.values()), ()))
    kept = [column for column in opened.values() if isinstance(column, Stored)]
    if not kept or not count:
        yield count, opened
        return
    for rows in block_slices(count, 4 * sum(column.size for column in kept)):
        yield len(range(count)[rows]), Picked(opened, rows)


def _add(plan: Plan, feature_key: FeatureKey, gathered: _Gathered, values: NDArray[Any]) -> None:
    if gathered.like is None:
        gathered.like = values[:1].copy()
    elif gathered.like.shape[1:] != values.shape[1:]:
        message = f"records of `{feature_key[1]}` have different sizes"
        found = f"{list(gathered.like.shape[1:])}, from row {gathered.count + 1} on {list(values.shape[1:])}"
        raise wrong_data(plan, RuleViolation("DLC406", message, found=found), feature_key)
    gathered.parts.append(values)
    gathered.count += len(values)


def parse(
    plan: Plan, feature_key: FeatureKey, feature: Feature, chosen: Sequence[str], columns: Columns, first_row: int
) -> NDArray[Any]:
    """`read_feature` by section and name of the feature."""
    return read_feature(plan, *feature_key, feature, columns, chosen, first_row=first_row)


def read_feature(
    plan: Plan,
    section: str,
    name: str,
    feature: Feature,
    columns: Columns,
    chosen: Sequence[str],
    *,
    first_row: int = 1,
) -> NDArray[Any]:
    """The raw values of one feature, from the chosen columns.

    Raises:
        SpecError: DLC402-DLC406.
    """
    try:
        return feature.read([columns[column] for column in chosen], ", ".join(chosen[:3]), first_row)
    except RuleViolation as wrong:
        raise wrong_data(plan, wrong, (section, name, feature.word)) from None


def selected(
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
            series whose length varies, there may be more or fewer at its end.

    Raises:
        SpecError: DLC402 when a column is missing, or a pattern matches others than in the earlier table.
    """
    try:
        if known is None:
            return tuple(select(feature.reads(name), _visible(plan, section, columns)))
        there = tuple(column for column in known if column in columns)
        missing = [column for column in known if column not in columns]
        patterns = tuple(pattern for pattern in feature.reads(name) if "*" in pattern and pattern not in columns)
        more = set(_selected(patterns, _visible(plan, section, columns))) - set(known)
        varies = bool(patterns) and any(isinstance(dim, str) for dim in feature.value_type().shape[1:])
        if varies and there and there == known[: len(there)]:  # a longer or shorter series
            return (*there, *(column for column in columns if column in more))
        if missing:
            raise RuleViolation(
                "DLC402",
                f"the data has no column {listing(missing, 8)}, which training read",
                found=f"columns {listing(list(columns), 12)}",
                hint=did_you_mean(missing[0], [column for column in columns if column not in known]),
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
    except RuleViolation as wrong:
        raise wrong_data(plan, wrong, (section, name, feature.word)) from None


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


def wrong_data(plan: Plan, wrong: RuleViolation, path: tuple[str, ...]) -> SpecError:
    """An error in data, with the span of the feature that declares the data."""
    location = (*path, wrong.option) if wrong.option else path
    span = plan.places.values.get(location) or plan.places.key_span(path)
    item = Diagnostic(wrong.code, wrong.message, span, wrong.found, wrong.expected, wrong.hint)
    return SpecError(Report((item,)))
