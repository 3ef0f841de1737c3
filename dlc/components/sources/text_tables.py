"""Reading text tables: rows of fields as columns of strings, block by block."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dlc.components.sources.delimiters import fields_by_delimiter, first_lines, most_frequent_delimiter, spelled
from dlc.components.sources.packed import (
    HEAD_BYTES,
    encoding_of,
    lines_of,
    need_fit,
    reported,
    undecodable_line,
    unpacked,
)
from dlc.components.sources.source import TABBED, Columns, kind_of_file, normalized_names
from dlc.components.wrong_values import WrongValues, field
from dlc.diagnostics import listing, plural, reason
from dlc.language.options import RuleViolation
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIELD_BYTES = 100  # memory of a short field as a Python string, including list entries


class Dialect(NamedTuple):
    """How a text table is written: the options of `csv`."""

    header: bool
    delimiter: str | None
    decimal: str
    missing_values: tuple[str | int | float, ...]
    encoding: str

    def blocks(self, path: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The columns of consecutive rows that take about `room` bytes; of all rows if it is None.

        A compressed file may unpack to at most `limit` bytes.
        """
        encoding = self.encoding
        try:
            need_fit(path, limit)
            with reported(path), unpacked(path, limit) as file:
                encoding = encoding_of(file.peek(HEAD_BYTES), self.encoding)
                lines = lines_of(file, encoding, path)
                first = first_lines(lines)
                delimiter = self.delimiter or self._found_delimiter(first, path)
                reader = csv.reader(chain(first, lines), delimiter=delimiter, strict=True)
                try:
                    for names, records in self._tables(reader, path, room):
                        table = np.array(records, dtype=object).reshape(len(records), len(names))
                        yield {name: self._filled(table[:, index]) for index, name in enumerate(names)}
                except csv.Error as error:
                    message = f"line {reader.line_num} of `{path}` is malformed: {reason(error)}"
                    raise RuleViolation("DLC401", message, option="path") from None
        except UnicodeError:
            raise _undecodable(path, encoding, self.encoding) from None

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

    def _tables(self, reader: Any, path: Path, room: int | None) -> Iterator[tuple[list[str], list[list[str]]]]:
        """The column names and records, all of one length, block by block; at least one block."""
        rows: Iterator[list[str]] = (row for row in reader if row)
        first = next(rows, None)
        if first is None:
            raise RuleViolation("DLC401", f"`{path}` is empty", expected="a table", option="path")
        names = [name.strip() for name in first] if self.header else [f"column_{i}" for i in range(len(first))]
        if self.header and all(_is_number(name.replace(",", ".")) for name in first):
            message = f"the first row of `{path}` holds numbers instead of column names"
            fix = "if the file has no header, set `header: false`"
            raise RuleViolation("DLC401", message, found=listing(first, 6), expected="names", hint=fix, option="path")
        names = normalized_names(names, path)
        records = [] if self.header else [first]
        most = sys.maxsize if room is None else max(1, room // (FIELD_BYTES * len(names)))
        whole = True
        ragged: list[tuple[int, int]] = []  # line and number of fields of the first row of another length
        others = 0
        for row in rows:
            if len(row) != len(names):
                ragged, others = ragged or [(reader.line_num, len(row))], others + 1
                continue
            records.append(row)
            if len(records) >= most:
                yield names, records
                records, whole = [], False
        if records or whole:
            yield names, records
        for line, width in ragged:
            hint = "set `delimiter` to the character between fields" if 1 in (len(names), width) else None
            message = f"line {line} of `{path}` has {plural(width, 'field')}"
            found = f"{others:,} rows of another length" if others > 1 else None
            raise RuleViolation(
                "DLC401", message, found=found, expected=plural(len(names), "field"), hint=hint, option="path"
            )


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


def _undecodable(path: Path, encoding: str, declared: str) -> RuleViolation:
    """The error of a file in another encoding, with the line that shows it.

    Args:
        path: the file.
        encoding: the encoding that it was read with.
        declared: the option `encoding`.
    """
    with reported(path), unpacked(path, None) as file:
        line = undecodable_line(file, encoding)
    where, end = (f"line {line} of ", "") if line is not None else ("", ", or it is incomplete")
    kind = re.sub("-(SIG|LE|BE)$", "", encoding.upper()) if encoding.startswith("utf") else encoding
    message = f"{where}`{path}` is not {kind} text{end}"
    hint: str | None = "remove `encoding`: UTF-8 and UTF-16 are recognized"
    if declared == "auto":
        hint = "set `encoding: windows-1252` or `latin-1`, or save it as UTF-8" if kind == "UTF-8" else None
    return RuleViolation("DLC401", message, hint=hint, option="path" if declared == "auto" else "encoding")
