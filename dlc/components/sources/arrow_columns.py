"""Tables of Arrow as columns of numpy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.components.sources.archives import MOST_GROWTH
from dlc.components.sources.packed import is_compressed, too_large
from dlc.components.sources.python_values import column_of, object_column
from dlc.components.sources.source import Columns, normalized_names
from dlc.diagnostics import reason
from dlc.language.options import RuleViolation
from dlc.support.lazy import np
from dlc.support.optional import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HARMLESS = 64 << 20  # bytes that any file may unpack to
_VALUE = 8  # bytes of a value in memory, at least
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # a second in each unit


@contextmanager
def arrow_errors(path: Path) -> Iterator[None]:
    """Report a file that Arrow can't read as DLC401."""
    try:
        yield
    except (require("pyarrow").lib.ArrowException, OSError, MemoryError, OverflowError, ValueError) as error:
        why = str(error).split("\n", maxsplit=1)[0] if not isinstance(error, OSError) else reason(error)
        what = "is compressed: unpack it" if _packed(path) else f"can't be read: {why[:1].lower()}{why[1:]}"
        raise RuleViolation("DLC401", f"`{path}` {what}", option="path") from None


def _packed(path: Path) -> bool:
    try:
        return is_compressed(path)
    except OSError:
        return False


def need_room(path: Path, rows: int, columns: int, unpacked: int, limit: int | None) -> None:
    """Check that a small file does not become a table that is larger than memory and many times as large as the file.

    Args:
        path: the file.
        rows: its number of rows.
        columns: its number of columns.
        unpacked: the bytes of its data after unpacking, as far as they are known.
        limit: the most bytes; unbounded if it is None.

    Raises:
        RuleViolation: DLC401.
    """
    size = max(unpacked, rows * columns * _VALUE)
    if limit is not None and size > max(limit, _HARMLESS, MOST_GROWTH * path.stat().st_size):
        raise too_large(path, limit)


def class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """The names of the classes of columns that a data set of Hugging Face declares, from the metadata of its schema."""
    try:
        info = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        return named_classes(info.get("info", {}).get("features") or {})
    except (ValueError, AttributeError):  # not of Hugging Face
        return {}


def named_classes(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of the classes of each column, from the declared features of a data set of Hugging Face."""
    return {
        name: [str(each) for each in feature["names"]]
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)
    }


def columns_of(table: Any, path: Path, classes: Mapping[str, list[str]]) -> Columns:
    """The columns of a table or a batch of records. Those of pandas' index are left out.

    Args:
        table: the table of Arrow.
        path: its file, for messages.
        classes: the names of the classes of columns of class numbers.

    Raises:
        RuleViolation: DLC401 when two columns have one name.
    """
    found: list[tuple[str, NDArray[Any]]] = []
    for name, array in zip(table.schema.names, table.columns, strict=True):
        if name.startswith("__index_level_"):
            continue
        for each, column in _columns(name, array):
            found.append((each, _named(column, classes[each]) if each in classes else column))
    names = normalized_names([name for name, _ in found], path)
    return dict(zip(names, (column for _, column in found), strict=True))


def _named(column: NDArray[Any], names: list[str]) -> NDArray[Any]:
    """Numbers of classes as their names; empty for no class."""
    known = range(len(names))
    return object_column(
        "" if value is None or value == -1 else names[value] if value in known else str(value)
        for value in column.tolist()
    )


def _columns(name: str, array: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """A column; those of a struct are named after both."""
    types = require("pyarrow", "pyarrow.types")
    array = _whole(array)
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not types.is_struct(array.type):
        yield name, column(array)
        return
    parts = {field.name: part for field, part in zip(array.type, array.flatten(), strict=True)}
    if set(parts) == {"bytes", "path"}:  # a picture or sound of Hugging Face: its content, or the name of a file
        contents, paths = column(parts["bytes"]), column(parts["path"])
        yield name, object_column(paths[i] if data is None else data for i, data in enumerate(contents.tolist()))
        return
    for inner, part in parts.items():
        yield from _columns(f"{name}.{inner}", part)


def _whole(array: Any) -> Any:
    """A column as one array, in the type in which it is stored."""
    pyarrow = require("pyarrow")
    if isinstance(array, pyarrow.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pyarrow.ChunkedArray):
            array = pyarrow.concat_arrays(array.chunks)
    return array


def column(array: Any) -> NDArray[Any]:
    """An array of Arrow as a column.

    Numbers stay numbers: a missing one is NaN, or None among integers and booleans. Categories and decimals become
    strings and numbers, dates and times ISO strings, durations seconds. Lists of one length become an array.
    """
    types = require("pyarrow", "pyarrow.types")
    array = _whole(array)
    if isinstance(array, require("pyarrow").ExtensionArray):
        shape = getattr(array.type, "shape", None)
        found = column(array.storage)
        return found.reshape(len(found), *shape) if shape is not None and found.dtype.kind != "O" else found
    if types.is_dictionary(array.type):
        return column(array.dictionary_decode())
    converted = next((convert for fits, convert in _CONVERSIONS if getattr(types, fits)(array.type)), None)
    return converted(array) if converted is not None else column_of(array.to_pylist())


def _numbers(array: Any) -> NDArray[Any]:
    if array.null_count:
        return object_column(array.to_pylist())
    found: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return found


def _floats(array: Any) -> NDArray[Any]:
    found: NDArray[Any] = array.to_numpy(zero_copy_only=False)  # a missing one is NaN
    return found


def _decimals(array: Any) -> NDArray[Any]:
    return _floats(array.cast(require("pyarrow").float64()))


def _strings(array: Any) -> NDArray[Any]:
    pyarrow = require("pyarrow")
    return object_column(array.cast(pyarrow.large_string()).fill_null("").to_pylist())


def _nothing(array: Any) -> NDArray[Any]:
    return object_column([""] * len(array))


def _objects(array: Any) -> NDArray[Any]:
    return object_column(array.to_pylist())


def _timestamps(array: Any) -> NDArray[Any]:
    """ISO strings of the local time; with its offset from UTC if there is a time zone."""
    pyarrow, compute = require("pyarrow"), require("pyarrow", "pyarrow.compute")
    plain = pyarrow.timestamp(array.type.unit)
    if array.type.tz is None:
        return _iso(array, array.type.unit)
    utc = array.cast(pyarrow.timestamp(array.type.unit, "UTC")).cast(plain)
    try:
        local = compute.local_timestamp(array)
    except (pyarrow.ArrowInvalid, NotImplementedError):  # a zone that this system doesn't know
        local = utc
    minutes = (_ticks(local) - _ticks(utc)) // (60 * _TICKS[array.type.unit])
    times = _iso(local, array.type.unit)
    signs = np.where(minutes < 0, "-", "+")
    return object_column(
        f"{time}{sign}{abs(minute) // 60:02}:{abs(minute) % 60:02}" if time else ""
        for time, sign, minute in zip(times.tolist(), signs.tolist(), minutes.tolist(), strict=True)
    )


def _ticks(array: Any) -> NDArray[np.int64]:
    """Points in time in their unit; 0 for a missing one."""
    found: NDArray[np.int64] = array.cast(require("pyarrow").int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return found


def _iso(array: Any, unit: str) -> NDArray[Any]:
    """ISO strings of points in time, each to the second if it is a whole second; empty for a missing one."""
    ticks, missing = _ticks(array), array.is_null().to_numpy(zero_copy_only=False)
    whole = ticks % _TICKS[unit] == 0
    points: Any = ticks.view(f"datetime64[{unit}]")
    texts: Any = np.datetime_as_string(points.astype("datetime64[s]"))
    if not whole.all():
        texts = np.where(whole, texts, np.datetime_as_string(points))
    return object_column("" if none else text for text, none in zip(texts.tolist(), missing.tolist(), strict=True))


def _durations(array: Any) -> NDArray[Any]:
    seconds = _ticks(array) / _TICKS[array.type.unit]
    return np.where(array.is_null().to_numpy(zero_copy_only=False), np.nan, seconds)


def _lists(array: Any) -> NDArray[Any]:
    """Lists of numbers of one length as an array (n, length, ...); others as Python's lists."""
    if not array.null_count and len(array):
        inner = column(array.flatten())
        length = len(inner) // len(array)
        lengths = require("pyarrow", "pyarrow.compute").list_value_length(array).to_numpy(zero_copy_only=False)
        if inner.dtype.kind in "iufb" and length and (lengths == length).all():
            return inner.reshape(len(array), length, *inner.shape[1:])
    return column_of(array.to_pylist())


_CONVERSIONS: tuple[tuple[str, Callable[[Any], NDArray[Any]]], ...] = (
    ("is_null", _nothing),
    ("is_boolean", _numbers),
    ("is_integer", _numbers),
    ("is_floating", _floats),
    ("is_decimal", _decimals),
    ("is_string", _strings),
    ("is_large_string", _strings),
    ("is_string_view", _strings),
    ("is_binary", _objects),
    ("is_large_binary", _objects),
    ("is_binary_view", _objects),
    ("is_fixed_size_binary", _objects),
    ("is_timestamp", _timestamps),
    ("is_duration", _durations),
    ("is_list", _lists),
    ("is_large_list", _lists),
    ("is_fixed_size_list", _lists),
)
"""Predicates of `pyarrow.types`, and how an array of such a type becomes a column; others by their Python values."""


def bytes_per_row(table_bytes: int, rows: int, columns: int) -> int:
    """About how many bytes a row takes in memory, in Arrow's form and as a column together."""
    return 4 * table_bytes // max(1, rows) + 2 * _VALUE * columns
