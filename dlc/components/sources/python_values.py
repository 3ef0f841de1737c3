"""Values of Python, as JSON and databases give them, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dlc.components.sources.references import Entry
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT = 1 << 53  # integers up to it are exact in float64
_LARGEST = 1 << 63


def object_column(values: Iterable[Any]) -> NDArray[Any]:
    """Values as a column of objects: (n,)."""
    listed = list(values)
    found = np.empty(len(listed), object)
    for index, value in enumerate(listed):  # numpy would make one array of equal lists
        found[index] = value
    return found


def column_of(values: Sequence[Any]) -> NDArray[Any]:
    """A column of the values of all records, in which None is a missing one.

    Numbers become an array of numbers, in which a missing one is NaN; lists of equally many numbers an array with
    further axes; anything else a column of objects, in which a missing string is empty.

    >>> column_of([1, None, 2.5]), column_of(["a", None]), column_of([[1, 2], [3, 4]]).shape
    (array([1. , nan, 2.5]), array(['a', ''], dtype=object), (2, 2))
    """
    kinds = {type(value) for value in values}
    missing = type(None) in kinds
    kinds.discard(type(None))
    if kinds == {bool} and not missing:
        return np.array(values, bool)
    if kinds and kinds <= {int, float}:
        return _numbers(values, kinds, missing)
    if kinds == {list}:
        return _arrays(values)
    if kinds == {np.ndarray}:
        return _stacked(values)
    plain = list(map(plain_value, values))
    strings = all(value is None or isinstance(value, str) for value in plain)
    return object_column("" if value is None and strings else value for value in plain)


def plain_value(value: Any) -> Any:
    """A value as a table holds it: dates and times as ISO strings, decimals and durations (in seconds) as numbers."""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (memoryview, bytearray)):
        return bytes(value)
    if value is None or isinstance(value, (str, bool, int, float, bytes, list, dict, tuple, Entry)):
        return value
    return str(value)


def _numbers(values: Sequence[Any], kinds: set[type], missing: bool) -> NDArray[Any]:
    largest = max((abs(value) for value in values if type(value) is int), default=0)
    if kinds == {int} and not missing and largest < _LARGEST:
        return np.array(values, np.int64)
    if largest > _EXACT or (kinds == {int} and missing):  # as floats they would lose digits, or read `1.0`
        return object_column(values)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _arrays(values: Sequence[Any]) -> NDArray[Any]:
    """Lists of numbers of one shape as an array; others as they are. A missing one is all NaN."""
    given = [value for value in values if value is not None]
    try:
        found = np.array(given)
        if found.dtype.kind == "O":  # None among numbers, or integers of more than 64 bits
            found = found.astype(np.float64)
    except (ValueError, TypeError, OverflowError):  # they have different lengths, or hold other things
        return object_column(values)
    if found.dtype.kind not in "iufb" or not found.size:
        return object_column(values)
    if len(given) == len(values):
        return found
    whole = np.full((len(values), *found.shape[1:]), np.nan)
    whole[[value is not None for value in values]] = found
    return whole


def _stacked(values: Sequence[Any]) -> NDArray[Any]:
    """Arrays of one shape and type as one array; others as they are."""
    if any(value is None for value in values) or len({(value.shape, value.dtype) for value in values}) > 1:
        return object_column(values)
    return np.stack(values)


def flattened(record: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """The values of a record; those of a mapping inside it are named after both, with a point between.

    Raises:
        ValueError: when two values would have one name.

    >>> flattened({"a": 1, "b": {"c": 2, "d": {"e": 3}}})
    {'a': 1, 'b.c': 2, 'b.d.e': 3}
    """
    found: list[tuple[str, Any]] = []
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            found += flattened(value, f"{before}{name}.").items()
        else:
            found.append((f"{before}{name}", value))
    return unique(found)


def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of pairs.

    Raises:
        ValueError: when two have one name.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two values have the name `{twice}`")
    return found


def without_surrogates(value: Any) -> Any:
    """A value of JSON in which halves of surrogate pairs, which are no characters, are U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {without_surrogates(name): without_surrogates(item) for name, item in value.items()}
    return value
