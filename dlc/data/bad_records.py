"""Records that can't be read, and are left out if `data.on_bad_record` is `skip`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dlc.components.features.feature import Feature, as_text
from dlc.components.sources.source import Columns, Source
from dlc.components.wrong_values import Violations, WrongValues
from dlc.diagnostics import plural
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FeatureKey = tuple[str, str]  # section and name of a feature
Read = Callable[[slice], "NDArray[Any]"]  # rows of a block -> their raw values

BAD_RECORDS = "bad_records.jsonl"
"""The file of a run folder that lists the records which were left out."""
_SHOWN = 3  # records in a note


class BadRecord(NamedTuple):
    """A record that can't be read.

    Args:
        source: the option of `data` that names its source, or what is read instead.
        row: its row in the source, from 1.
        column: the column that can't be read.
        file: the file that holds the entry; None for data in memory.
        reason: why it can't be read.
    """

    source: str
    row: int
    column: str
    file: str | None
    reason: str

    def __str__(self) -> str:
        return f"row {self.row:,}: {self.reason}"


class BadRecords:
    """The records of a table that can't be read.

    Args:
        name: the option of `data` that names the source, or what is read instead.
        source: the source.
        report: gets the feature and the errors of each of them.
    """

    def __init__(
        self, name: str, source: Source, report: Callable[[FeatureKey, list[WrongValues]], None] = lambda *_: None
    ) -> None:
        self.name, self.count, self.report = name, 0, report
        self._file = next((str(dict(source).get(key)) for key in source.locations if dict(source).get(key)), None)
        self._found: dict[int, BadRecord] = {}

    @property
    def found(self) -> list[BadRecord]:
        """All of them, in the order of their rows."""
        return [self._found[row] for row in sorted(self._found)]

    @property
    def sound(self) -> NDArray[np.int32]:
        """The row numbers of all other records, from 0."""
        keep = np.ones(self.count, bool)
        keep[list(self._found)] = False
        return np.flatnonzero(keep).astype(np.int32)

    def read(
        self, read: Read, count: int, start: int, key: FeatureKey, feature: Feature, block: Columns
    ) -> tuple[NDArray[Any] | None, NDArray[np.bool_]]:
        """The values of a block, and which of its records they belong to. The others are added to those that are bad.

        A block that holds a bad record is read again in halves, down to the record itself: a feature needs to know
        nothing of skipping.

        Args:
            read: reads a part of the block.
            count: the number of its records.
            start: how many records come before it.
            key: section and name of the feature that reads it.
            feature: the feature.
            block: its columns.

        Raises:
            RuleViolation, Violations: errors that are not about single records.
        """
        parts: list[NDArray[Any]] = []
        sound = np.ones(count, bool)
        pending = [slice(0, count)]
        while pending:
            rows = pending.pop()
            try:
                parts.append(read(rows))
            except (RuleViolation, Violations) as error:
                wrong = wrong_values(error)
                middle = (rows.start + rows.stop) // 2
                if middle > rows.start:
                    pending += [slice(middle, rows.stop), slice(rows.start, middle)]
                    continue
                sound[rows.start] = False
                self.report(key, wrong)
                self._add(start + rows.start, feature, wrong, block, rows)
        if not parts:
            return None, sound
        return parts[0] if len(parts) == 1 else np.concatenate(feature.aligned(parts)), sound

    def _add(self, row: int, feature: Feature, wrong: list[WrongValues], block: Columns, rows: slice) -> None:
        """Add the record of a row, which is at `rows` of a block, if it is not yet known."""
        column, file = wrong[0].column, self._file
        what = [str(each.found) for each in wrong]
        if not feature.reads_files:
            what = [f"`{each.column}` {each.what}: {found}" for each, found in zip(wrong, what, strict=True)]
        elif column in block:
            file = as_text(np.asarray(block[column][rows])[0])
        self._found.setdefault(row, BadRecord(self.name, row + 1, column, file, "; ".join(what)))

    def check(self) -> None:
        """Check that most records can be read.

        Raises:
            RuleViolation: DLC403.
        """
        if 2 * len(self._found) > self.count:
            message = f"{len(self._found):,} of {plural(self.count, 'record')} can't be read"
            hint = "`on_bad_record: skip` leaves out at most half of them: correct the spec or the data"
            found = "; ".join(map(str, self.found[:_SHOWN]))
            raise RuleViolation("DLC403", message, found=found, hint=hint, option="on_bad_record")

    def notes(self, become: str = "are left out") -> list[str]:
        """A note, if there are any.

        Args:
            become: what happens to them.
        """
        if not self._found:
            return []
        shown = "; ".join(map(str, self.found[:_SHOWN]))
        more = len(self._found) - _SHOWN
        rest = f"; and {more:,} more" if more > 0 else ""
        which = f"{len(self._found):,} of {plural(self.count, 'record')} of `{self.name}`"
        return [f"{which} can't be read and {become}: {shown}{rest}"]

    def spread(self, columns: Mapping[str, Any], gap: Any) -> dict[str, NDArray[Any]]:
        """Columns of the sound records as columns of all records.

        Args:
            columns: (n, *axes) for the n sound records.
            gap: what the others get; columns of other types than its own become objects with None.
        """
        if not self._found:
            return dict(columns)
        rows, found = self.sound, {}
        for name, values in columns.items():
            array = np.asarray(values)
            fits = gap is not None and array.dtype.kind == "f"
            whole = np.full((self.count, *array.shape[1:]), gap if fits else None, array.dtype if fits else object)
            whole[rows] = array
            found[name] = whole
        return found


def wrong_values(error: RuleViolation | Violations) -> list[WrongValues]:
    """The errors of single values.

    Raises:
        RuleViolation, Violations: the error itself, if it holds others.
    """
    found = error.found if isinstance(error, Violations) else [error]
    wrong = [each for each in found if isinstance(each, WrongValues)]
    if len(wrong) < len(found):
        raise error
    return wrong


def bad_records_of(plan: Plan, name: str, source: Source) -> BadRecords | None:
    """What collects the bad records of a source; None if they are errors."""
    skips = plan.data is not None and plan.data.on_bad_record == "skip"
    return BadRecords(name, source) if skips else None


def as_lines(records: Sequence[BadRecord]) -> bytes:
    """Bad records as JSON, one object per line."""
    return "".join(json.dumps(record._asdict(), ensure_ascii=False) + "\n" for record in records).encode(
        errors="backslashreplace"
    )
