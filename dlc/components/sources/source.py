"""The interface of sources: a source is a table of columns, each with one entry per record."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dlc.diagnostics import did_you_mean, listing
from dlc.language.options import Options, RuleViolation

if TYPE_CHECKING:
    from numpy.typing import NDArray

Columns = Mapping[str, "NDArray[Any]"]
Opened = Columns | Iterator[Columns]


class Source(Options):
    """A source of records.

    The options in `locations` say where the records are, and not what they are: they may differ in a resumed run.
    """

    locations: ClassVar[tuple[str, ...]] = ()

    def columns(self) -> tuple[str, ...] | None:
        """The names of its columns if they are known without reading it, else None."""
        return None

    def load(self, base: Path) -> Columns:
        """All columns, of equal length. Relative paths start from the folder `base`.

        Raises:
            RuleViolation: DLC401 when it can't be read.
        """
        raise NotImplementedError

    def count(self, base: Path) -> int | None:
        """The number of records, if known without reading them, else None.

        Raises:
            RuleViolation: DLC401 when there are no records.
        """
        return None

    def open(self, base: Path, room: int) -> Opened:
        """The same table, if it may not fit into memory.

        Args:
            base: the folder that relative paths start from.
            room: the most bytes in memory at a time.

        Returns:
            All columns, if their records can be read in any order: arrays, or objects that are indexed like arrays and
            stay in a file. Else an iterator over consecutive blocks of records, from the first record on.

        Raises:
            RuleViolation: DLC401 when it can't be read; an iterator may also raise it later.
        """
        return self.load(base)

    def rooted(self, base: Path) -> Source:
        """The same source with absolute paths."""
        return self


def select(columns: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    """The known columns that a feature's names and patterns select, in the order given.

    Raises:
        RuleViolation: DLC402 when one selects nothing.

    >>> select(("pixel_*",), ("label", "pixel_0", "pixel_1"))
    ['pixel_0', 'pixel_1']
    """
    chosen: list[str] = []
    exact = set(known)
    for pattern in columns:
        found = [pattern] if pattern in exact else _matching(pattern, known)
        if not found:
            hint = did_you_mean(pattern, known) or "set `column` to the column of the feature"
            message = f"the data has no column `{pattern}`"
            raise RuleViolation("DLC402", message, found=f"columns {listing(known, 12)}", hint=hint)
        chosen += found
    return chosen


def _matching(pattern: str, known: tuple[str, ...]) -> list[str]:
    """The names that a pattern with `*` matches. Other characters match themselves: `a[0]*` has no character class."""
    if "*" not in pattern:
        return []
    regex = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    return [name for name in known if regex.fullmatch(name)]
