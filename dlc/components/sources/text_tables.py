"""Reading text tables: rows of fields as columns of strings, block by block."""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from dlc.components.sources import arrow_text
from dlc.components.sources.arrow_text import FIELD_BYTES, ArrowText, Missing
from dlc.components.sources.blocks import rows_in
from dlc.components.sources.delimiters import fields_by_delimiter, first_lines, most_frequent_delimiter, spelled
from dlc.components.sources.packed import (
    HEAD_BYTES,
    encoding_of,
    lines_before,
    lines_of,
    need_fit,
    reported,
    undecodable,
    unpacked,
)
from dlc.components.sources.source import TABBED, Columns, kind_of_file, normalized_names
from dlc.components.wrong_values import WrongValues, field
from dlc.diagnostics import listing, plural, reason
from dlc.language.options import RuleViolation
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Dialect(NamedTuple):
    """How a text table is written, and how many rows are read: the options of `csv`."""

    header: bool
    names: tuple[str, ...] | None
    delimiter: str | None
    decimal: str
    comment: str | None
    missing_values: tuple[str | int | float, ...]
    encoding: str
    rows: int | None

    def blocks(self, path: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The columns of consecutive rows that take about `room` bytes; of all rows if it is None.

        A compressed file may unpack to at most `limit` bytes.
        """
        encoding = self.encoding
        try:
            if self.rows is None:
                need_fit(path, limit)
            with reported(path), unpacked(path, limit) as file:
                encoding = encoding_of(file.peek(HEAD_BYTES), self.encoding)
                marked = file.peek(HEAD_BYTES).startswith(codecs.BOM_UTF8)
                lines = lines_of(file, encoding, path)
                first = first_lines(lines)
                delimiter = self.delimiter or self._found_delimiter(self._without_comments(first), path)
                rows = _Rows(chain(first, lines), delimiter, self.comment)
                with malformed(rows, path):
                    names, records = self._begun(rows, path)
                begin = len("".join(first[: rows.line]).encode()) if self.header else 0
                whole = rows.line <= len(first) or not self.header
                if room is None or not (whole and self._suits_arrow(path, encoding, delimiter)):
                    yield from self._blocks(rows, names, records, path, room)
                    return
                with unpacked(path, limit) as again:
                    begin += len(codecs.BOM_UTF8) * marked
                    again.read(begin)
                    yield from self._by_arrow(again, begin, names, delimiter, path, room)
        except UnicodeError:
            raise undecodable(path, encoding, self.encoding) from None

    def _suits_arrow(self, path: Path, encoding: str, delimiter: str) -> bool:
        """Whether Arrow may parse a file: it is large, and its text is in UTF-8."""
        suits = encoding in ("utf-8", "utf-8-sig") and delimiter.isascii()
        return suits and path.stat().st_size >= arrow_text.LEAST_BYTES and arrow_text.available()

    def _by_arrow(
        self, file: IO[bytes], begin: int, names: list[str], delimiter: str, path: Path, room: int
    ) -> Iterator[Columns]:
        """The blocks of a file that Arrow parses as far as it can.

        Args:
            file: the file, from the first record on.
            begin: how many bytes come before it.
            names: the names of the columns.
            delimiter: the character between fields.
            path: the file, for messages.
            room: the most bytes of a block.
        """
        size = max(1, min(room, arrow_text.PIECE_BYTES))
        text = ArrowText(file, len(names), delimiter, self.decimal, self.comment, self._missing(), size)
        count = 0
        with closing(text.blocks(names, room)) as blocks:
            for block in blocks:
                left = sys.maxsize if self.rows is None else self.rows - count
                here = rows_in(block)
                yield block if here <= left else {name: column[:left] for name, column in block.items()}
                count += here
                if here >= left:
                    return
        if text.rest is None and count:
            return
        lines = lines_of(text.rest or io.BufferedReader(io.BytesIO()), "utf-8", path)
        rows = _Rows(lines, delimiter, self.comment, lines_before(path, begin + text.done))
        yield from self._blocks(rows, names, [], path, room, count)

    def _missing(self) -> Missing:
        texts = frozenset(value for value in self.missing_values if isinstance(value, str))
        numbers = frozenset(float(value) for value in self.missing_values if not isinstance(value, str))
        return Missing(texts, numbers, self._filled)

    def _without_comments(self, lines: Sequence[str]) -> list[str]:
        return [line for line in lines if self.comment is None or not line.startswith(self.comment)]

    def _found_delimiter(self, first: Sequence[str], path: Path) -> str:
        """The delimiter of the first rows.

        Raises:
            RuleViolation: DLC401 when several characters divide them into equally many fields.
        """
        if kind_of_file(path) in TABBED and any("\t" in line for line in first):
            return "\t"
        widths = fields_by_delimiter(first)
        if self.decimal == "," and len(widths) > 1:
            widths.pop(",", None)
        if not widths:
            return most_frequent_delimiter(first)
        if len(widths) > 1:
            found = ", ".join(f"{plural(width, 'field')} with `{spelled(mark)}`" for mark, width in widths.items())
            message = f"the delimiter of `{path}` is ambiguous"
            hint = f'set it, for example `delimiter: "{spelled(max(widths, key=widths.__getitem__))}"`'
            raise RuleViolation("DLC401", message, found=found, expected="one delimiter", hint=hint, option="path")
        return next(iter(widths))

    def _filled(self, column: NDArray[Any]) -> NDArray[Any]:
        """The fields of a column, empty where they are among `missing_values`."""
        if not self.missing_values:
            return column
        texts = {value for value in self.missing_values if isinstance(value, str)}
        numbers = {float(value) for value in self.missing_values if not isinstance(value, str)}
        fields = column.tolist()
        absent = {text: text.strip() in texts or number_in(text, numbers, self.decimal) for text in set(fields)}
        if any(absent.values()):
            column[:] = ["" if absent[text] else text for text in fields]
        return column

    def _begun(self, rows: _Rows, path: Path) -> tuple[list[str], list[list[str]]]:
        """The column names, and the first record if the first row is one.

        Raises:
            RuleViolation: DLC401 when there is no row, or it does not name the columns.
        """
        first = next((row for row in rows if row), None)
        if first is None:
            raise RuleViolation("DLC401", f"`{path}` is empty", expected="a table", option="path")
        return self._names(first, path), [] if self.header else [first]

    def _blocks(
        self, reader: _Rows, names: list[str], records: list[list[str]], path: Path, room: int | None, count: int = 0
    ) -> Iterator[Columns]:
        """The columns of records that Python parses, block by block; at least one block, unless some came before.

        Args:
            reader: the rows.
            names: the names of the columns.
            records: the records that were read before, which are part of the first block.
            path: the file, for messages.
            room: the most bytes of a block; unbounded if it is None.
            count: the number of records in earlier blocks.

        Raises:
            RuleViolation: DLC401 for rows that are malformed or have another length.
        """
        rows: Iterator[list[str]] = (row for row in reader if row)
        if self.rows is not None:
            rows = islice(rows, self.rows - count - len(records))
        most = sys.maxsize if room is None else max(1, room // (FIELD_BYTES * len(names)))
        whole = not count
        ragged: list[tuple[int, int]] = []  # line and number of fields of the first row of another length
        others = 0
        with malformed(reader, path):
            for row in rows:
                if len(row) != len(names):
                    ragged, others = ragged or [(reader.line, len(row))], others + 1
                    continue
                records.append(row)
                if len(records) >= most:
                    yield self._columns(names, records)
                    records, whole = [], False
        if records or whole:
            yield self._columns(names, records)
        for line, width in ragged:
            hint = "set `delimiter` to the character between fields" if 1 in (len(names), width) else None
            message = f"line {line} of `{path}` has {plural(width, 'field')}"
            found = f"{others:,} rows of another length" if others > 1 else None
            raise RuleViolation(
                "DLC401", message, found=found, expected=plural(len(names), "field"), hint=hint, option="path"
            )

    def _columns(self, names: Sequence[str], records: Sequence[Sequence[str]]) -> Columns:
        table = np.array(records, dtype=object).reshape(len(records), len(names))
        return {name: self._filled(table[:, index]) for index, name in enumerate(names)}

    def _names(self, first: Sequence[str], path: Path) -> list[str]:
        """The names of the columns.

        Args:
            first: the first row.
            path: the file.

        Raises:
            RuleViolation: DLC401 when it does not name them, or names two of them alike.
        """
        if self.names is not None:
            if len(self.names) != len(first):
                message = f"`names` has {plural(len(self.names), 'name')}, but `{path}` has other columns"
                found = f"{plural(len(first), 'column')}: {listing(first, 6)}"
                raise RuleViolation("DLC401", message, found=found, option="names")
            return normalized_names(self.names, path)
        if not self.header:
            return [f"column_{index}" for index in range(len(first))]
        names = [name.strip() for name in first]
        if all(_is_number(name.replace(",", ".")) for name in names):
            message = f"the first row of `{path}` holds numbers instead of column names"
            fix = "if the file has no header, set `header: false`"
            raise RuleViolation("DLC401", message, found=listing(first, 6), expected="names", hint=fix, option="path")
        try:
            return normalized_names(names, path)
        except RuleViolation as wrong:
            wrong.hint = wrong.hint or "give each column a name of its own with `names: [...]`"
            raise


class _Rows:
    """The rows of a text table, without lines of comments.

    Only a line that begins a row is one: a quoted field may hold such a line.

    Args:
        lines: the lines.
        delimiter: the character between fields.
        comment: what such a line begins with; None if there are none.
        line: how many lines of the file come before them.
    """

    def __init__(self, lines: Iterator[str], delimiter: str, comment: str | None, line: int = 0) -> None:
        self._lines, self._comment = lines, comment
        self._skipped = line  # lines before these, and of comments
        self._begins = True  # whether the next line begins a row
        given = lines if comment is None else self._given(comment)
        self._reader = csv.reader(given, delimiter=delimiter, strict=True)

    @property
    def line(self) -> int:
        """The number of the last line that was read."""
        return self._reader.line_num + self._skipped

    def __iter__(self) -> Iterator[list[str]]:
        if self._comment is None:
            return self._reader
        return self._rows()

    def _rows(self) -> Iterator[list[str]]:
        for row in self._reader:
            self._begins = True
            yield row

    def _given(self, comment: str) -> Iterator[str]:
        for line in self._lines:
            if self._begins and line.startswith(comment):
                self._skipped += 1
                continue
            self._begins = False
            yield line


@contextmanager
def malformed(rows: _Rows, path: Path) -> Iterator[None]:
    """Report a row that can't be parsed as DLC401."""
    try:
        yield
    except csv.Error as error:
        message = f"line {rows.line} of `{path}` is malformed: {reason(error)}"
        raise RuleViolation("DLC401", message, option="path") from None


def without_groups(column: NDArray[Any], mark: str, decimal: str) -> NDArray[Any]:
    """Fields whose digits are in groups of three, without the marks between them; others unchanged.

    Args:
        column: strings.
        mark: the mark between groups; a space stands for narrow and non-breaking ones as well.
        decimal: the decimal mark.
    """
    marks = f"[{re.escape(mark)}]" if mark != " " else "[ \u00a0\u202f]"
    grouped = re.compile(rf"[+-]?\d{{1,3}}(?:{marks}\d{{3}})+(?:{re.escape(decimal)}\d*)?(?:[eE][+-]?\d+)?")
    found = column.copy()
    for index, value in enumerate(column.tolist()):
        if isinstance(value, str) and grouped.fullmatch(value.strip()):
            found[index] = re.sub(marks, "", value.strip())
    return found


def with_decimal_points(column: NDArray[Any], name: str, first_row: int) -> NDArray[Any]:
    """Fields with a decimal comma, with a decimal point instead.

    Raises:
        WrongValues: DLC403 for numbers with a decimal point.
    """
    texts = [value.strip() if isinstance(value, str) else value for value in column.tolist()]
    bad = [isinstance(text, str) and _POINTED.fullmatch(text) is not None for text in texts]
    if any(bad):
        counts = Counter(field(text) for text, wrong in zip(texts, bad, strict=True) if wrong)
        raise WrongValues(
            "DLC403",
            "is not a number with a decimal comma",
            name,
            first_row + bad.index(True),
            counts,
            expected="numbers such as `1,5`, without points",
            hint="remove `decimal` if the decimal mark is a point; remove points between groups of digits",
        )
    fixed = [text.replace(",", ".") if isinstance(text, str) and text.count(",") == 1 else text for text in texts]
    found = np.empty(len(fixed), dtype=object)
    found[:] = fixed
    return found


_POINTED = re.compile(r"[+-]?\d[\d,]*\.\d[\d.,]*(e[+-]?\d+)?|[+-]?\.\d+", re.IGNORECASE)


def number_in(text: str, numbers: Collection[float], decimal: str) -> bool:
    """Whether a field is one of some numbers."""
    if not numbers:
        return False
    try:
        return float(text.replace(decimal, ".")) in numbers
    except ValueError:
        return False


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
