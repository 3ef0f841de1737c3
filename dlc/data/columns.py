"""Values of records that stay on disk and are read, parsed and encoded on access."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from dlc.components.features.feature import Feature, Stats, encoded_on_host
from dlc.diagnostics import SpecError
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 20  # of raw values in one block of a pass over all records

Columns = Mapping[str, Any]
Read = Callable[[Columns, int], "NDArray[Any]"]  # (columns of some records, number of the first) -> raw values


class Picked(Mapping[str, Any]):
    """Some records of a table; columns are read on access.

    Args:
        columns: the columns of all records, which can be sliced and indexed along the first axis.
        where: a slice, or row numbers.
    """

    def __init__(self, columns: Columns, where: Any) -> None:
        self.columns, self.where = columns, where

    def __getitem__(self, name: str) -> NDArray[Any]:
        found: NDArray[Any] = self.columns[name][self.where]
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.columns  # without reading it

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


class Hiding(Mapping[str, Any]):
    """A table without some of its columns.

    Args:
        columns: the table.
        hidden: the names of the columns that it does not have.
    """

    def __init__(self, columns: Columns, hidden: Collection[str]) -> None:
        self.columns, self.hidden = columns, hidden

    def __getitem__(self, name: str) -> Any:
        if name in self.hidden:
            raise KeyError(name)
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name not in self.hidden and name in self.columns

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.columns if name not in self.hidden)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Parsed:
    """Raw values that are parsed from their columns on access.

    Args:
        columns: the columns of all records.
        read: parses some records, given the number of the first, from 1.
        like: the raw values of some records.
    """

    def __init__(self, columns: Columns, read: Read, like: NDArray[Any]) -> None:
        self.columns, self.read = columns, read
        self.shape: tuple[int, ...] = (len(next(iter(columns.values()))), *like.shape[1:])
        self.dtype = like.dtype
        self.nbytes = prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: Any) -> NDArray[Any]:
        """The raw values of a slice, or at an array of row numbers.

        Raises:
            SpecError: DLC403-DLC406, with the row.
        """
        if isinstance(where, slice):
            first = where.indices(len(self))[0]
            return self.read(Picked(self.columns, where), first + 1)
        rows = np.asarray(where).reshape(-1)
        try:
            found = self.read(Picked(self.columns, rows), 1)
        except SpecError:
            for row in rows.tolist():  # find the record that caused the error
                self[row : row + 1]
            raise
        return found.reshape(*np.shape(where), *self.shape[1:])


class Joined:
    """The concatenated raw values of several sources.

    Args:
        parts: the raw values of each source.
        aligned: pads raw values of several sources to one size.
    """

    def __init__(self, parts: Sequence[Any], aligned: Callable[[Sequence[NDArray[Any]]], list[NDArray[Any]]]) -> None:
        self.parts, self.aligned = parts, aligned
        self.ends = np.cumsum([len(part) for part in parts])
        none = np.concatenate(self.aligned([part[:0] for part in parts]))
        self.shape: tuple[int, ...] = (int(self.ends[-1]), *none.shape[1:])
        self.dtype = none.dtype
        self.nbytes = prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: Any) -> NDArray[Any]:
        """The raw values of a slice, or at an array of row numbers."""
        rows = np.arange(*where.indices(len(self))) if isinstance(where, slice) else np.asarray(where).reshape(-1)
        owner = np.searchsorted(self.ends, rows, side="right")
        positions = [np.flatnonzero(owner == index) for index in range(len(self.parts))]
        starts = [0, *self.ends[:-1].tolist()]
        parts = [part[rows[chosen] - start] for part, chosen, start in zip(self.parts, positions, starts, strict=True)]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for chosen, part in zip(positions, self.aligned(parts), strict=True):
            found[chosen] = part
        shape = (len(rows),) if isinstance(where, slice) else np.shape(where)
        return found.reshape(*shape, *self.shape[1:])


class Chosen:
    """The records that a feature is fitted to, in the order of the file. It can be sliced like an array.

    Args:
        raw: the raw values of all records.
        rows: row numbers.
    """

    def __init__(self, raw: Any, rows: NDArray[Any]) -> None:
        self.raw, self.rows = raw, np.sort(rows)
        self.shape: tuple[int, ...] = (len(rows), *raw.shape[1:])
        self.dtype = raw.dtype
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: Any) -> NDArray[Any]:
        found: NDArray[Any] = self.raw[self.rows[where]]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All records as one array, for features that need it."""
        return np.asarray(self[:], dtype)


class Encoded:
    """An encoded value of a feature, or its mask, which is encoded on access.

    Args:
        feature: the feature.
        name: the feature's name.
        key: the key of the value: the name, or that of the mask.
        raw: the raw values of all records.
        stats: the feature's statistics.
    """

    def __init__(self, feature: Feature, name: str, key: str, raw: Any, stats: Stats) -> None:
        self.feature, self.name, self.key, self.raw, self.stats = feature, name, key, raw, stats
        like = self._of(raw[:1])
        self.shape: tuple[int, ...] = (len(raw), *like.shape[1:])
        self.dtype = like.dtype
        self.nbytes = like.nbytes * len(raw)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: Any) -> NDArray[Any]:
        """The encoded values of a slice, or at an array of row numbers."""
        if isinstance(where, slice):
            return self._of(self.raw[where])
        rows = np.asarray(where)
        return self._of(self.raw[rows.reshape(-1)]).reshape(*rows.shape, *self.shape[1:])

    def _of(self, raw: NDArray[Any]) -> NDArray[Any]:
        return encoded_on_host(self.feature, self.name, raw, self.stats)[self.key]


class Windows:
    """The windows of one value: (n, length, *axes). It is indexed like an array.

    Args:
        values: the values of all rows, (rows, *axes): an array, or an object that is indexed like one.
        rows: the row of each record.
        span: the rows of a window: the first, and that after the last, relative to the record's row.
    """

    def __init__(self, values: Any, rows: NDArray[np.int32], span: tuple[int, int]) -> None:
        self.values, self.rows, self.span = values, rows, span
        self.offsets = np.arange(*span, dtype=np.int32)
        self.shape: tuple[int, ...] = (len(rows), len(self.offsets), *values.shape[1:])
        self.dtype = values.dtype
        self.ndim = len(self.shape)
        self.nbytes: int = values.nbytes + rows.nbytes

    @property
    def size(self) -> int:
        """The numbers of all windows, as if each were stored."""
        return prod(self.shape)

    @property
    def in_memory(self) -> bool:
        """Whether the values are an array."""
        return isinstance(self.values, np.ndarray)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, where: Any) -> NDArray[Any]:
        """The windows of a slice of records, or at an array of their numbers."""
        found: NDArray[Any] = self.values[self.rows[where][..., None] + self.offsets]
        return found


def blocks_of(values: Any) -> Iterator[NDArray[Any]]:
    """All values in blocks of records; an array in memory is one block. Of windows the rows, each once."""
    if isinstance(values, Windows):
        yield from blocks_of(values.values)
        return
    if not isinstance(values, Encoded):
        yield values
        return
    for rows in block_slices(len(values), values.nbytes):
        yield values[rows]


def block_slices(count: int, nbytes: int) -> Iterator[slice]:
    """Slices that divide `count` records with a total of `nbytes` into blocks."""
    step = max(1, count * BLOCK_BYTES // max(1, nbytes))
    for start in range(0, count, step):
        yield slice(start, start + step)
