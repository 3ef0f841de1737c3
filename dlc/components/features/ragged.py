"""Columns of lists of different lengths, as tables of Arrow and JSON have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlc.components.wrong_values import WrongValues
from dlc.language.options import RuleViolation
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rectangular(
    columns: Sequence[NDArray[Any]], labels: Sequence[str], first_row: int, padding: float | None, length: Any
) -> list[NDArray[Any]]:
    """Columns of lists as arrays (n, longest, ...), with padding after the shorter ones; other columns as they are.

    Args:
        columns: columns (n, ...); the entries of a column of objects may be lists of numbers, or of such lists.
        labels: their names.
        first_row: the number of the first record, from 1.
        padding: the number after shorter lists; None if all must have one length.
        length: the declared length: a number, or a name if it is that of the data.

    Raises:
        RuleViolation: DLC406 for other lengths without padding.
        WrongValues: DLC403 for lists that hold something else, DLC406 for a list that is too long.
    """
    return [
        _padded(column, label, first_row, padding, length) if _holds_lists(column) else column
        for column, label in zip(columns, labels, strict=True)
    ]


def _holds_lists(column: NDArray[Any]) -> bool:
    return column.dtype.kind == "O" and column.ndim == 1 and any(isinstance(value, list) for value in column.tolist())


def _padded(column: NDArray[Any], name: str, first_row: int, padding: float | None, length: Any) -> NDArray[Any]:
    records = [_record(value, name, first_row + row) for row, value in enumerate(column.tolist())]
    longest = max(len(record) for record in records)
    inner = {record.shape[1:] for record in records if len(record)}
    if len(inner) > 1:
        found = " and ".join(str(list(shape)) for shape in sorted(inner)[:2])
        raise RuleViolation("DLC406", f"the time steps of `{name}` have different sizes", found=found)
    if padding is None and any(len(record) != longest for record in records):
        found = f"lists of {min(map(len, records))} to {longest} entries"
        hint = "set `padding` to a number that fills the end of shorter ones"
        raise RuleViolation("DLC406", f"records of `{name}` have different lengths", found=found, hint=hint)
    if isinstance(length, int) and padding is not None:
        row = next((row for row, record in enumerate(records) if len(record) > length), None)
        if row is not None:
            counts = {f"a list of {len(records[row])} entries": 1}
            expected = f"at most {length} entries"
            raise WrongValues("DLC406", "is too long", name, first_row + row, counts, expected=expected)
        longest = length
    kind = np.result_type(*(record.dtype for record in records if len(record)), *([] if inner else [np.float64]))
    if padding is not None and not float(padding).is_integer():
        kind = np.result_type(kind, np.float64)
    found_array = np.full((len(records), longest, *next(iter(inner), ())), padding or 0, kind)
    for row, record in enumerate(records):
        if len(record):
            found_array[row, : len(record)] = record
    return found_array


def _record(value: Any, name: str, row: int) -> NDArray[Any]:
    """A list as an array; an empty one for a missing value."""
    try:
        found = np.array([] if value is None or value == "" else value)
        if found.dtype.kind == "O":
            found = found.astype(np.float64)
        if found.ndim and found.dtype.kind in "iufb":
            return found
    except (ValueError, TypeError, OverflowError):
        pass
    shown = repr(value)
    counts = {f"`{shown if len(shown) <= 60 else shown[:60] + '...'}`": 1}
    raise WrongValues("DLC403", "is not a list of numbers", name, row, counts, expected="a list of numbers")
