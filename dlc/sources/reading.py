"""Reading tables: the columns of sources as the raw values of features, in memory while they fit, else on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.diagnostics import Diagnostic, Report, SpecError
from dlc.features.feature import Feature
from dlc.options import Wrong
from dlc.pipeline import Spec
from dlc.sources.records import Parsed, Picked, block_slices
from dlc.sources.source import Columns, Opened, Source, select
from dlc.sources.stored import Scratch, Stored

COPIES = 3  # of records that are in memory when they are read: columns, raw values, encoded values
_LEAST = 256 << 20  # bytes, where the machine does not say how much memory it has
_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

Place = tuple[str, str]  # section and name of a feature


def allowed_memory(spec: Spec) -> int:
    """What records may take in memory, bytes: `data.memory`, or half of what the machine or its container has."""
    asked = spec.document.data.memory if spec.document.data is not None else "auto"
    if isinstance(asked, int):
        return asked
    found = []
    try:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        found += [int(text) for path in _GROUPS if (text := _text(path)).isdecimal()]
    except (ValueError, OSError, AttributeError):  # not every system tells
        pass
    return min(found) // 2 if found else _LEAST


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""


@dataclass
class Room:
    """What raw values may take in memory, of all tables together.

    Args:
        limit: bytes.
        used: bytes.
    """

    limit: int
    used: int = 0


@dataclass
class _Gathered:
    """The raw values of one feature of one table, block after block.

    Args:
        parts: those in memory.
        like: the first block's, for shapes.
        scratch: where they are once they don't fit memory and can't be read again.
        count: how many there are.
    """

    parts: list[NDArray[Any]] = field(default_factory=list)
    like: NDArray[Any] | None = None
    scratch: Scratch | None = None
    count: int = 0

    def leave(self, *, forget: bool) -> None:
        """Take what is there out of memory: to the disk, unless it can be read again."""
        if not forget:
            self.scratch = self.scratch or Scratch()
            for part in self.parts:
                self.scratch.append(part)
        self.parts.clear()


def read_table(spec: Spec, source: Source, key: str, room: Room) -> dict[Place, Any]:
    """The raw values of every feature from one source, all of them checked.

    Returns:
        (n, ...) for each feature: an array, or what is sliced and indexed like one and lies on the disk.

    Raises:
        SpecError: DLC401-DLC407, DLC507.
    """
    features = {
        (section, name): feature
        for section, part in (("inputs", spec.document.inputs), ("targets", spec.document.targets))
        for name, feature in part.items()
        if feature is not None
    }
    gathered = {place: _Gathered() for place in features}
    try:
        opened = source.open(spec.document.folder, room.limit)
        again = opened if isinstance(opened, Mapping) else None
        fits, count = True, 0
        for size, block in _blocks(opened):
            if not size:
                break
            for place, feature in features.items():
                values = read_feature(spec, *place, feature, block, first_row=count + 1)
                if block is again and any(np.may_share_memory(values, column) for column in block.values()):
                    values = values.copy()  # so that it does not keep the columns alive
                _add(spec, place, gathered[place], values)
                room.used += values.nbytes if fits else 0
                fits = fits and room.used <= room.limit
                if not fits:
                    for each in gathered.values():
                        each.leave(forget=again is not None)
            count += size
    except Wrong as wrong:
        raise wrong_data(spec, wrong, ("data", key, source.word)) from None
    if not count:
        raise wrong_data(spec, Wrong("DLC405", "the data hold no record"), ("data", key))
    return {
        place: _settled(gathered[place], None if fits else again, partial(parse, spec, place, feature))
        for place, feature in features.items()
    }


def _blocks(opened: Opened) -> Iterator[tuple[int, Columns]]:
    """The table in blocks, with their counts of records. Columns in memory are one block."""
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


def _add(spec: Spec, place: Place, gathered: _Gathered, values: NDArray[Any]) -> None:
    if gathered.like is None:
        gathered.like = values[:1].copy()
    elif gathered.like.shape[1:] != values.shape[1:]:
        message = f"records of `{place[1]}` have different sizes"
        found = f"{list(gathered.like.shape[1:])}, from row {gathered.count + 1} on {list(values.shape[1:])}"
        raise wrong_data(spec, Wrong("DLC406", message, found=found), place)
    gathered.parts.append(values)
    gathered.count += len(values)


def _settled(gathered: _Gathered, again: Columns | None, parse: Any) -> Any:
    assert gathered.like is not None
    if again is not None:
        return Parsed(again, parse, gathered.like)
    if gathered.scratch is not None:
        return gathered.scratch.array((gathered.count, *gathered.like.shape[1:]), gathered.like.dtype)
    return gathered.parts[0] if len(gathered.parts) == 1 else np.concatenate(gathered.parts)


def parse(spec: Spec, place: Place, feature: Feature, columns: Columns, first_row: int) -> NDArray[Any]:
    """`read_feature` by the feature's place."""
    return read_feature(spec, *place, feature, columns, first_row=first_row)


def read_feature(
    spec: Spec,
    section: str,
    name: str,
    feature: Feature,
    columns: Columns,
    *,
    whole: bool = False,
    first_row: int = 1,
) -> NDArray[Any]:
    """The raw values of one feature: from the columns that it reads, or `whole` from the one of its own name.

    Raises:
        SpecError: DLC402-DLC406.
    """
    try:
        chosen = select((name,) if whole else feature.reads(name), _visible(spec, section, columns))
        return feature.read([columns[column] for column in chosen], ", ".join(chosen[:3]), first_row)
    except Wrong as wrong:
        raise wrong_data(spec, wrong, (section, name, feature.word)) from None


def _visible(spec: Spec, section: str, columns: Columns) -> tuple[str, ...]:
    """The columns that a feature may select: a pattern of an input, such as `*`, does not reach what a target reads."""
    known = tuple(columns)
    if section != "inputs":
        return known
    named = {column for feature in _reads(spec.document.inputs) for column in feature if "*" not in column}
    hidden = {column for feature in _reads(spec.document.targets) for column in _selected(feature, known)} - named
    return tuple(column for column in known if column not in hidden)


def _reads(features: Mapping[str, Feature | None]) -> list[tuple[str, ...]]:
    return [feature.reads(name) for name, feature in features.items() if feature is not None]


def _selected(columns: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    try:
        return select(columns, known)
    except Wrong:  # a target that is not there, as in prediction
        return []


def wrong_data(spec: Spec, wrong: Wrong, path: tuple[str, ...]) -> SpecError:
    """What was wrong with data, at the place of the spec that says what the data should be."""
    source = spec.document.source
    place = (*path, wrong.option) if wrong.option else path
    span = source.values.get(place) or source.key_span(path)
    item = Diagnostic(wrong.code, wrong.message, span, wrong.found, wrong.expected, wrong.hint)
    return SpecError(Report((item,), spec.texts))
