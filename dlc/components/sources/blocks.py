"""Tables in blocks of consecutive rows: several files one after another, and blocks as one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.components.sources.source import Columns
from dlc.diagnostics import listing
from dlc.language.options import RuleViolation
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def joined(blocks: Sequence[Columns], where: str) -> Columns:
    """Blocks of rows as one table.

    Raises:
        RuleViolation: DLC401 when records of a column are arrays of different sizes.
    """
    if len(blocks) == 1:
        return blocks[0]
    return {name: _concatenated([block[name] for block in blocks], name, where) for name in blocks[0]}


def _concatenated(parts: Sequence[NDArray[Any]], name: str, where: str) -> NDArray[Any]:
    shapes = sorted({part.shape[1:] for part in parts if len(part)})
    if len(shapes) > 1:
        found = " and ".join(str(list(shape)) for shape in shapes[:2])
        message = f"records of the column `{name}` of `{where}` have different sizes"
        raise RuleViolation("DLC401", message, found=found, option="path")
    parts = [part for part in parts if len(part)] or list(parts[:1])
    kinds = {part.dtype.kind for part in parts}
    if len(kinds) > 1 and not kinds <= set("biuf"):  # numpy would write numbers as strings
        parts = [part.astype(object) for part in parts]
    found_column: NDArray[Any] = np.concatenate(parts)
    return found_column
