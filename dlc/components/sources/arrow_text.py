"""Text tables that Arrow parses: many times as fast as Python's `csv`, with the same fields.

Arrow gets pieces of whole rows, and only those in which both parsers find the same fields. Fields stay in its memory
until a feature reads them: numbers all at once, others as strings. From the first piece that it does not get, Python
reads the rest of the file.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib.util import find_spec
from math import isfinite
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from dlc.components.sources.source import Columns
from dlc.support.lazy import np
from dlc.support.optional import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_BYTES = 1 << 20
"""The size of a file from which on Arrow reads it: importing Arrow takes as long as Python takes for a smaller one."""
PIECE_BYTES = 16 << 20
FIELD_BYTES = 100
"""The memory of a short field as a Python string, including list entries."""
_NUMBER_BYTES = 16  # the memory of a field as a number, and in Arrow
_FIRST_BYTES = 1 << 18  # of the first piece, which shows what the columns hold
_LONGEST_ROWS = 4  # pieces without the end of a row until Python reads them


def available() -> bool:
    """Whether Arrow is installed."""
    return find_spec("pyarrow") is not None


class Missing(NamedTuple):
    """What stands for a missing value besides empty fields.

    Args:
        texts: fields.
        numbers: numbers, however they are spelled.
        filled: makes them empty in a column of strings.
    """

    texts: frozenset[str]
    numbers: frozenset[float]
    filled: Callable[[NDArray[Any]], NDArray[Any]]


class Fields:
    """A column of fields. It is indexed like an array of strings (n,).

    Args:
        piece: the rows that hold it.
        index: the number of the column.
        rows: those of the piece that it has.
    """

    ndim = 1

    def __init__(self, piece: _Piece, index: int, rows: range) -> None:
        self.shape, self.size = (len(rows),), len(rows)
        self._piece, self._index, self._rows = piece, index, rows

    @property
    def dtype(self) -> Any:
        """Objects."""
        return np.dtype(object)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, where: Any) -> Any:
        if isinstance(where, slice) and where.step in (None, 1):
            return Fields(self._piece, self._index, self._rows[where])
        return np.asarray(self)[where]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The strings."""
        found = self._piece.table.missing.filled(self._texts().to_numpy())
        return found if dtype is None else found.astype(dtype)

    def __getattr__(self, name: str) -> Any:
        """Anything else that arrays have, such as `tolist`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def numbers(self) -> NDArray[np.float64] | None:
        """The fields as numbers, NaN for empty ones; None if some are anything else than finite numbers."""
        found = self._piece.numbers(self._index)
        return None if found is None else found[self._rows.start : self._rows.stop].copy()

    def coded(self) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """The different strings, and the number of that of each field."""
        found = self._texts().combine_chunks().dictionary_encode()
        if isinstance(found, require("pyarrow").ChunkedArray):  # of no rows
            found = found.combine_chunks()
        strings = self._piece.table.missing.filled(found.dictionary.to_numpy(zero_copy_only=False))
        return strings, found.indices.to_numpy().astype(np.intp)

    def _texts(self) -> Any:
        return self._piece.texts(self._index).slice(self._rows.start, len(self._rows))


class ArrowText:
    """A text table in UTF-8 that is parsed in pieces.

    Args:
        file: the table, from the first record on.
        width: the number of its columns.
        delimiter: the character between fields, in ASCII.
        decimal: the decimal mark.
        comment: what a line of comment begins with; None if there are none.
        missing: what stands for a missing value.
        size: about how many bytes are parsed at a time.
    """

    def __init__(
        self,
        file: IO[bytes],
        width: int,
        delimiter: str,
        decimal: str,
        comment: str | None,
        missing: Missing,
        size: int,
    ) -> None:
        self.missing, self.width = missing, width
        self.done = 0
        """The bytes that Arrow has parsed."""
        self.rest: io.BufferedReader | None = None
        """What Python must read, after the last piece; None if there is nothing left."""
        self.as_numbers: set[int] = set()  # the columns that features read, and how they read them
        self.as_texts: set[int] = set()
        self.numeric: set[int] | None = None  # those whose fields were numbers so far; None before the first piece
        self._file, self._size, self._next = file, size, b""
        self._delimiter, self._decimal = delimiter, decimal
        self._comment = None if comment is None else comment.encode()
        self._names = [str(index) for index in range(width)]
        number_like = any(_is_finite(text.replace(decimal, ".")) for text in missing.texts)
        self._never_numbers = number_like  # ` 0` would be the number 0 for Arrow, but `0` is a missing value

    def blocks(self, names: Sequence[str], room: int) -> Generator[Columns]:
        """The columns of consecutive rows that take about `room` bytes, as far as Arrow reads the file.

        The next piece is parsed while features read a piece, as soon as it is known how they read each column.
        """
        from concurrent.futures import ThreadPoolExecutor

        pieces = self._pieces()
        with ThreadPoolExecutor(1, "parser") as pool:
            ahead = pool.submit(next, pieces, None)
            while (piece := ahead.result()) is not None:
                early = bool(self.as_numbers or self.as_texts)
                if early:
                    ahead = pool.submit(next, pieces, None)
                row = FIELD_BYTES * len(self.as_texts) + _NUMBER_BYTES * self.width
                most = max(1, room // row)
                for start in range(0, piece.count, most):
                    rows = range(start, min(start + most, piece.count))
                    yield {name: Fields(piece, index, rows) for index, name in enumerate(names)}  # type: ignore[misc]
                if not early:
                    ahead = pool.submit(next, pieces, None)

    def _pieces(self) -> Iterator[_Piece]:
        """The pieces that Arrow can parse."""
        for data, quotes in self._cut():
            piece = self._parsed(data, quoted=bool(quotes.size))
            if piece is None:
                self._leave(data)
                return
            self.done += len(data)
            yield piece

    def _cut(self) -> Iterator[tuple[bytes, NDArray[np.intp]]]:
        """Pieces of whole rows in which Arrow and Python find the same fields, and the positions of quotation marks."""
        size, final = min(_FIRST_BYTES, self._size), False
        while not final:
            more = self._file.read(size)
            data, final, size = self._next + more, not more, self._size
            if not data:
                return
            quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == _QUOTE) if b'"' in data else np.empty(0, np.intp)
            end = len(data) if final else _end_of_rows(data, quotes, len(data))
            if not end and len(data) > _LONGEST_ROWS * self._size:
                final = True
            elif not end:
                self._next = data
                continue
            piece, self._next = data[:end], data[end:]
            quotes = quotes[: np.searchsorted(quotes, end)]
            if not end or not self._alike(piece, quotes):
                self._leave(piece)
                return
            if piece.lstrip(b"\r\n"):
                yield piece, quotes
            else:
                self.done += len(piece)

    def _leave(self, piece: bytes) -> None:
        """Leave the rest, from a piece on, to Python."""
        self.rest = io.BufferedReader(_Continued(piece + self._next, self._file), _BUFFER)

    def _alike(self, data: bytes, quotes: NDArray[np.intp]) -> bool:
        """Whether Arrow finds the fields in a piece that Python's `csv` finds."""
        if b"\0" in data or (self._comment is not None and self._comment in data):
            return False
        if not _well_quoted(data, quotes, self._delimiter) or not _is_utf8(data):
            return False
        return _fields_fit(data, quotes, self._delimiter, csv.field_size_limit())

    def _parsed(self, data: bytes, *, quoted: bool) -> _Piece | None:
        """A piece; None if Arrow can't parse it, such as rows of different lengths."""
        failed = require("pyarrow").lib.ArrowException
        piece = _Piece(self, data, quoted)
        try:
            if self.numeric is None:
                self.numeric = piece.numeric()
                return piece
            try:
                piece.read(self.as_numbers & self.numeric, self.as_texts)
            except failed:  # a column holds other fields than before, or a row has another length
                self.numeric &= piece.numeric()
        except failed:
            return None
        return piece

    def read(self, data: bytes, kinds: dict[int, Any] | None, *, quoted: bool) -> Any:
        """Some columns of a piece, each with its type; if `kinds` is None, all columns with the types of their fields.

        Raises:
            ArrowException: when rows have different lengths, or fields another type.
        """
        arrow, names = require("pyarrow", "pyarrow.csv"), self._names
        own = kinds or {}
        convert = arrow.ConvertOptions(
            check_utf8=False,
            column_types={names[index]: kind for index, kind in own.items()},
            include_columns=[names[index] for index in own],
            null_values=["", *self.missing.texts],
            strings_can_be_null=False,
            decimal_point=self._decimal,
        )
        return arrow.read_csv(
            require("pyarrow").BufferReader(data),
            read_options=arrow.ReadOptions(column_names=names),
            parse_options=arrow.ParseOptions(delimiter=self._delimiter, newlines_in_values=quoted),
            convert_options=convert,
        )

    def numeric_types(self, table: Any) -> set[int]:
        """The columns of a table that hold only numbers."""
        types = require("pyarrow", "pyarrow.types")
        fits = (types.is_integer, types.is_floating, types.is_null)
        if self._never_numbers:
            return set()
        return {int(field.name) for field in table.schema if any(test(field.type) for test in fits)}


class _Piece:
    """Consecutive rows of a table.

    Args:
        table: the table.
        data: the rows.
        quoted: whether some fields are quoted.
    """

    def __init__(self, table: ArrowText, data: bytes, quoted: bool) -> None:
        self.table, self.count = table, 0
        self._data, self._quoted = data, quoted
        self._columns: dict[tuple[int, bool], Any] = {}  # by number, and whether they are numbers
        self._arrays: dict[int, NDArray[np.float64] | None] = {}

    def numeric(self) -> set[int]:
        """The columns that hold only numbers.

        Raises:
            ArrowException: when Arrow can't parse the rows.
        """
        found = self.table.read(self._data, None, quoted=self._quoted)
        self.count = found.num_rows
        return self.table.numeric_types(found)

    def read(self, numbers: set[int], texts: set[int]) -> None:
        """Read columns as numbers, and others as strings.

        Raises:
            ArrowException: when Arrow can't parse the rows, or a column does not hold numbers.
        """
        pyarrow = require("pyarrow")
        kinds = dict.fromkeys(sorted(texts), pyarrow.string()) | dict.fromkeys(sorted(numbers), pyarrow.float64())
        found = self.table.read(self._data, kinds or {0: pyarrow.string()}, quoted=self._quoted)
        self.count = found.num_rows
        self._columns |= {(index, index in numbers): found[str(index)] for index in kinds}

    def numbers(self, index: int) -> NDArray[np.float64] | None:
        """A column as numbers; None if it holds others than finite ones."""
        table = self.table
        table.as_numbers.add(index)
        assert table.numeric is not None
        if index not in table.numeric:
            return None
        if index not in self._arrays:
            if (index, True) not in self._columns:
                self._try(table.numeric)
            self._arrays[index] = self._finite(self._columns.get((index, True)))
            if self._arrays[index] is None:
                table.numeric.discard(index)
        return self._arrays[index]

    def _try(self, numbers: set[int]) -> None:
        """Read columns as numbers if they are."""
        try:
            self.read(numbers, set())
        except require("pyarrow").lib.ArrowException:
            numbers.clear()

    def _finite(self, column: Any) -> NDArray[np.float64] | None:
        if column is None:
            return None
        found = np.array(column.to_numpy(), np.float64)
        if int(np.count_nonzero(np.isfinite(found))) + column.null_count < len(found):
            return None
        numbers = self.table.missing.numbers
        if numbers:
            found[np.isin(found, list(numbers))] = np.nan
        return found

    def texts(self, index: int) -> Any:
        """A column as strings of Arrow."""
        self.table.as_texts.add(index)
        if (index, False) not in self._columns:
            self.read(set(), set(range(self.table.width)))
        return self._columns[index, False]


class _Continued(io.RawIOBase):
    """Bytes, and after them the rest of a file."""

    def __init__(self, data: bytes, file: IO[bytes]) -> None:
        self._data, self._file = memoryview(data), file

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read at most as many bytes as the buffer holds."""
        if self._data:
            part, self._data = self._data[: len(buffer)], self._data[len(buffer) :]
        else:
            part = memoryview(self._file.read(len(buffer)))
        buffer[: len(part)] = part
        return len(part)


_QUOTE = ord('"')
_BUFFER = 1 << 16
_STEP = 1 << 20  # bytes that are decoded at a time


def _end_of_rows(data: bytes, quotes: NDArray[np.intp], end: int) -> int:
    """The end of the last whole row before `end`; 0 if there is none. A line feed in a quoted field ends no row."""
    while end := data.rfind(b"\n", 0, end) + 1:
        before = int(np.searchsorted(quotes, end))
        if before % 2 == 0:
            break
        end = int(quotes[before - 1])
    return end


def _well_quoted(data: bytes, quotes: NDArray[np.intp], delimiter: str) -> bool:
    """Whether all quotation marks enclose whole fields, or are doubled inside of these."""
    if not quotes.size:
        return True
    if quotes.size % 2:
        return False
    fits = np.zeros(256, bool)
    fits[list(f'\r\n"{delimiter}'.encode())] = True
    values = np.frombuffer(data, np.uint8)
    before, after = quotes[::2] - 1, quotes[1::2] + 1
    before = before[1:] if before[0] < 0 else before
    after = after[:-1] if after[-1] == len(data) else after
    return bool(fits[values[before]].all() and fits[values[after]].all())


def _fields_fit(data: bytes, quotes: NDArray[np.intp], delimiter: str, limit: int) -> bool:
    """Whether no field is longer than Python's `csv` allows: every part of that length ends a field."""
    start, mark = 0, delimiter.encode()
    while start + limit < len(data):
        end = start + limit
        at = _end_of_rows(data[start:end], quotes[np.searchsorted(quotes, start) :] - start, limit) + start
        if not quotes.size:
            at = max(at, data.rfind(mark, start, end) + 1)
        if at <= start:
            return False
        start = at
    return True


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    decoder, view = codecs.getincrementaldecoder("utf-8")(), memoryview(data)
    try:
        for start in range(0, len(data), _STEP):
            decoder.decode(view[start : start + _STEP], final=start + _STEP >= len(data))
    except UnicodeDecodeError:
        return False
    return True


def _is_finite(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
