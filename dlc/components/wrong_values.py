"""Values of a column that can't be read: all of them in one finding, with the first row and how often each occurs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dlc.diagnostics import plural
from dlc.language.options import RuleViolation, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHOWN = 4  # different values in a message


class WrongValues(RuleViolation):
    """Values of a column that a feature can't read.

    Args:
        code: the diagnostic's code.
        what: what is wrong with the first one: `is not a number`.
        column: the column.
        row: the row of the first one, from 1.
        counts: how often each occurs, as messages spell it; the first one first.
        expected: what would fit.
        hint: the likely fix.
        option: the option to point at; the whole feature when None.
        index: the number of the column among those that the feature reads.
        file: the file that holds the row, if there are several.
    """

    def __init__(
        self,
        code: str,
        what: str,
        column: str,
        row: int,
        counts: Mapping[str, int],
        *,
        expected: str | None = None,
        hint: str | None = None,
        option: str | None = None,
        index: int = 0,
        file: Path | None = None,
    ) -> None:
        where = f"row {row} of column `{column}`" if file is None else f"row {row} of `{file}`, column `{column}`,"
        super().__init__(code, f"{where} {what}", found=_listed(counts), expected=expected, hint=hint, option=option)
        self.what, self.column, self.row, self.index, self.file = what, column, row, index, file
        self.counts = Counter(dict(counts))

    @property
    def kind(self) -> str:
        """What the values of several blocks that make one finding have in common."""
        return self.what if self.option is not None else self.code

    def of(self, column: str, index: int) -> WrongValues:
        """The same values of another column."""
        return self._with(column=column, index=index)

    def joined(self, later: WrongValues) -> WrongValues:
        """These values, and later ones of the same column."""
        return self._with(counts=self.counts + later.counts)

    def in_file(self, file: Path, row: int) -> WrongValues:
        """The same values, whose first row is one of a file."""
        return self._with(file=file, row=row)

    def _with(self, **changed: Any) -> WrongValues:
        facts = {name: getattr(self, name) for name in ("code", "what", "column", "row", "counts")}
        more = {name: getattr(self, name) for name in ("expected", "hint", "option", "index", "file")}
        return WrongValues(**{**facts, **more, **changed})


class Violations(Exception):  # noqa: N818 - findings, not an error of the program
    """Several findings about the values of one feature."""

    def __init__(self, found: list[RuleViolation]) -> None:
        super().__init__("; ".join(violation.message for violation in found))
        self.found = found


def raise_all(found: Sequence[RuleViolation]) -> None:
    """Raise what was found, if anything: `Violations` if there are several."""
    if len(found) == 1:
        raise found[0]
    if found:
        raise Violations(list(found))


class RecordColumns(NamedTuple):
    """The columns that an array of records was read from, side by side.

    Args:
        columns: their names.
        widths: how many values of a record each of them holds.
        first_row: the row of the first record, from 1.
    """

    columns: Sequence[str]
    widths: Sequence[int]
    first_row: int

    def wrong(
        self,
        bad: NDArray[np.bool_],
        values: NDArray[Any],
        code: str,
        what: str,
        *,
        expected: str,
        option: str,
        hint: str | None = None,
        spelled: Callable[[Any], str] = "`{:g}`".format,
    ) -> list[RuleViolation]:
        """The findings about wrong values, one for each column that holds some.

        Args:
            bad: true at wrong values, (n, *axes).
            values: the values, in the same shape.
            code: the diagnostic's code.
            what: what is wrong with them: `has a value outside of its range`.
            expected: what would fit.
            option: the option to point at.
            hint: the likely fix.
            spelled: a wrong value as messages spell it.
        """
        if not bad.any():
            return []
        size = prod(bad.shape[1:])
        bad, values = bad.reshape(len(bad), size), values.reshape(len(bad), size)
        found: list[RuleViolation] = []
        for index, (name, end, width) in enumerate(
            zip(self.columns, accumulate(self.widths), self.widths, strict=True)
        ):
            part = bad[:, end - width : end]
            if part.any():
                row = self.first_row + int(part.any(1).argmax())
                counts = _counted(values[:, end - width : end][part], spelled)
                found.append(
                    WrongValues(code, what, name, row, counts, expected=expected, hint=hint, option=option, index=index)
                )
        return found


def _counted(values: NDArray[Any], spelled: Callable[[Any], str]) -> Counter[str]:
    """How often each value occurs, the first one first."""
    distinct, first, counts = np.unique(values, return_index=True, return_counts=True)
    found: Counter[str] = Counter()
    for index in np.argsort(first).tolist():
        found[spelled(distinct[index].item())] += int(counts[index])
    return found


def _listed(counts: Mapping[str, int]) -> str:
    """The first values, with their numbers if there is more than one.

    >>> _listed({"`?`": 1}), _listed({"`?`": 2, "an empty field": 1})
    ('`?`', '`?` (2 times), an empty field (once)')
    """
    if sum(counts.values()) == 1:
        return next(iter(counts))
    shown = [f"{value} ({_times(count)})" for value, count in list(counts.items())[:_SHOWN]]
    rest = list(counts.values())[_SHOWN:]
    if rest:
        shown.append(f"and {plural(len(rest), 'other value')} ({_times(sum(rest))})")
    return ", ".join(shown)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def field(text: str) -> str:
    """A field of a table as messages spell it."""
    return spell(text) if text else "an empty field"
