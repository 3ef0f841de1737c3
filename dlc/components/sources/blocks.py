"""Tables in blocks of consecutive rows: several files one after another, and blocks as one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.components.sources.python_values import column_of, object_column
from dlc.components.sources.source import Columns
from dlc.diagnostics import listing
from dlc.language.options import RuleViolation
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


Record = tuple[dict[str, Any], int]
"""The values of a record by column, and about how many bytes they take."""


def rows_in(block: Columns) -> int:
    """The number of rows."""
    return len(next(iter(block.values()), ()))


def same_columns(tables: Iterable[tuple[Path, Iterator[Columns]]]) -> Iterator[Columns]:
    """The blocks of several files, one after another, with the columns in the order of the first file.

    Raises:
        RuleViolation: DLC401 when a file has other columns than the first one.
    """
    first: tuple[Path, tuple[str, ...]] | None = None
    for path, blocks in tables:
        for block in blocks:
            if first is None:
                first = path, tuple(block)
            names = first[1]
            if set(block) != set(names):
                missing, more = [name for name in names if name not in block], [x for x in block if x not in names]
                parts = [f"no column {listing(missing, 6)}"] if missing else []
                parts += [f"also {listing(more, 6)}"] if more else []
                message = f"`{path}` has other columns than `{first[0]}`"
                expected = f"the columns {listing(names, 12)}"
                raise RuleViolation("DLC401", message, found=", ".join(parts), expected=expected, option="path")
            yield block if tuple(block) == names else {name: block[name] for name in names}


def limited(blocks: Iterator[Columns], rows: int | None) -> Iterator[Columns]:
    """The first rows; all of them if `rows` is None. Blocks after these are not read."""
    if rows is None:
        yield from blocks
        return
    left = rows
    for block in blocks:
        count = rows_in(block)
        yield block if count <= left else {name: column[:left] for name, column in block.items()}
        left -= count
        if left <= 0:
            return


def keyed_blocks(records: Callable[[], Iterator[Record]], room: int | None) -> Iterator[Columns]:
    """Records with different keys in blocks that have a column for each key of any record.

    If one block does not hold all records, they are read twice: first for their keys.

    Args:
        records: returns the records, from the first one on.
        room: how many bytes a block takes, about; all records are one block if it is None.
    """
    stream = records()
    first = _taken(stream, room)
    names = _keys(first)
    more = next(stream, None)
    if more is None:
        yield _columns(first, names)
        return
    names = list(dict.fromkeys([*names, *_keys(chain([more], stream))]))
    del first
    stream = records()
    while block := _taken(stream, room):
        yield _columns(block, names)


def _taken(records: Iterator[Record], room: int | None) -> list[Record]:
    """The next records that take about `room` bytes; all of them if it is None."""
    found, size = list[Record](), 0
    for record in records:
        found.append(record)
        size += record[1]
        if room is not None and size >= room:
            break
    return found


def _keys(records: Iterable[Record]) -> list[str]:
    found: dict[str, None] = {}
    for record, _ in records:
        found |= dict.fromkeys(record)
    return list(found)


def _columns(records: Sequence[Record], names: Sequence[str]) -> Columns:
    return {name: column_of([record.get(name) for record, _ in records]) for name in names}


def joined(blocks: Sequence[Columns]) -> Columns:
    """Blocks of rows as one table."""
    if len(blocks) == 1:
        return blocks[0]
    return {name: _concatenated([block[name] for block in blocks]) for name in blocks[0]}


def _concatenated(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    parts = [part for part in parts if len(part)] or list(parts[:1])
    kinds = {part.dtype.kind for part in parts}
    if len({part.shape[1:] for part in parts}) > 1:  # arrays in some blocks, lists of different lengths in others
        return object_column(value for part in parts for value in part.tolist())
    if len(kinds) > 1 and not kinds <= set("biuf"):  # numpy would write numbers as strings
        parts = [part.astype(object) for part in parts]
    found: NDArray[Any] = np.concatenate(parts)
    return found
