"""Tables in files."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator

from dlc.components.sources.archives import first_length, read_columns
from dlc.components.sources.source import Columns, Opened, Source
from dlc.diagnostics import listing, reason
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import np

_FIELD_BYTES = 100  # memory of a short field as a Python string, including list entries
_LONGEST_LINE = 1 << 24  # characters
_BLOCK_BYTES = 64 << 20  # the most bytes of fields in memory at a time


class FileSource(Source):
    """Shared by sources that read one file."""

    locations: ClassVar[tuple[str, ...]] = ("path",)
    empty: ClassVar[str] = "is empty"  # what is said of a file without content

    path: str = main(min_length=1, description="the file; relative to the spec's folder")

    @classmethod
    def sample(cls) -> bytes:
        """The content of a small file, which the tests read with each of its examples."""
        raise NotImplementedError(f"`{cls.__name__}` defines no `sample`, the content of a small file for the tests")

    def rooted(self, base: Path) -> Self:
        """The same source with an absolute path."""
        try:
            path = self._full_path(base).resolve()
        except (OSError, RuntimeError, ValueError):  # a cycle of links, or an invalid path: reported when it is read
            path = self._full_path(base)
        return self.model_copy(update={"path": str(path)})

    def file(self, base: Path) -> Path:
        """The file's full path.

        Raises:
            RuleViolation: DLC401 when there is no such file.
        """
        path = self._full_path(base)
        try:
            is_file, is_folder = path.is_file(), path.is_dir()
            empty = is_file and not path.stat().st_size
        except (OSError, ValueError) as error:
            raise RuleViolation("DLC401", f"`{path}` can't be read: {reason(error)}", option="path") from None
        if not is_file:
            kind = "is a directory" if is_folder else "is not a plain file" if path.exists() else "does not exist"
            raise RuleViolation("DLC401", f"the data file `{path}` {kind}", option="path")
        if empty:  # as the files of /proc, which may have no end
            raise RuleViolation("DLC401", f"`{path}` {self.empty}", expected="a table", option="path")
        return path

    def _full_path(self, base: Path) -> Path:
        try:
            return base / Path(self.path).expanduser()
        except RuntimeError:  # `~name` of an unknown user
            return base / self.path


class Npz(FileSource):
    """Arrays of a numpy archive: one column for each, records along the first axis. Pickled objects are rejected."""

    word = "npz"
    empty = "is empty, not a numpy archive"
    examples = ("npz: data/train.npz",)

    @classmethod
    def sample(cls) -> bytes:
        """Two columns of three records."""
        file = io.BytesIO()
        np.savez(file, x=np.arange(6.0).reshape(3, 2), y=np.arange(3))
        return file.getvalue()

    def load(self, base: Path) -> Columns:
        """Read all arrays."""
        return self._read(base, None)

    def count(self, base: Path) -> int | None:
        """The length of the first array, from its header."""
        return first_length(self.file(base))

    def open(self, base: Path, room: int) -> Opened:
        """The arrays, in memory if there is room, else in the file; compressed ones are unpacked first."""
        return self._read(base, room)

    def _read(self, base: Path, room: int | None) -> Columns:
        path = self.file(base)
        try:
            if not zipfile.is_zipfile(path):
                with open(path, "rb") as file:
                    single = file.read(6) == b"\x93NUMPY"
                what = "holds a single array, not an archive" if single else "is not a numpy archive"
                hint = "write one with `np.savez(path, image=..., label=...)`"
                raise RuleViolation(
                    "DLC401", f"`{path}` {what}", expected="a file written by np.savez", hint=hint, option="path"
                )
        except OSError as error:
            raise RuleViolation("DLC401", f"`{path}` is not a numpy archive: {reason(error)}", option="path") from None
        return same_length(read_columns(path, room), path)


def _delimiter(value: Any) -> Any:
    if isinstance(value, str) and len(value) == 1 and value not in '"\r\n\0':
        return value
    hint = 'write `"\\t"` for a tab' if value in ("tab", "\\t") else None
    expected = "one character such as `;`, other than a quotation mark or line break"
    raise reject(OptionError((), "DLC104", "not a valid delimiter", found=spell(value), expected=expected, hint=hint))


class Csv(FileSource):
    """A text table in UTF-8. The first row names the columns.

    Without `header` they are `column_0`, `column_1`, ... Empty lines are skipped.
    """

    word = "csv"
    header: bool = option(True, description="whether the first row names the columns")
    delimiter: Annotated[str, BeforeValidator(_delimiter)] = option(",", description="the character between fields")
    examples = ("csv: data/train.csv", "csv: {path: data/iris.csv, header: false}")

    @classmethod
    def sample(cls) -> bytes:
        """Two columns of three records."""
        return b"x,y\n1,one\n2,two\n3,three\n"

    def load(self, base: Path) -> Columns:
        """Read all rows as strings; the features parse them."""
        parts = list(self._blocks(self.file(base), None))
        return parts[0]

    def open(self, base: Path, room: int) -> Opened:
        """The rows as strings, in blocks: a field takes many times its length in memory."""
        return self._blocks(self.file(base), min(room // 16, _BLOCK_BYTES))

    def _blocks(self, path: Path, room: int | None) -> Iterator[Columns]:
        """The columns of consecutive rows that take about `room` bytes; of all rows if it is None."""
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(_lines(file, path), delimiter=self.delimiter, strict=True)
                try:
                    for names, records in self._tables(reader, path, room):
                        table = np.array(records, dtype=object).reshape(len(records), len(names))
                        yield {name: table[:, index] for index, name in enumerate(names)}
                except csv.Error as error:
                    message = f"line {reader.line_num} of `{path}` is malformed: {reason(error)}"
                    raise RuleViolation("DLC401", message, option="path") from None
        except UnicodeDecodeError:
            raise _not_utf8(path) from None
        except OSError as error:
            raise RuleViolation("DLC401", f"`{path}` can't be read: {reason(error)}", option="path") from None

    def _tables(self, reader: Any, path: Path, room: int | None) -> Iterator[tuple[list[str], list[list[str]]]]:
        """The column names and records, all of one length, block by block; at least one block."""
        rows: Iterator[list[str]] = (row for row in reader if row)
        first = next(rows, None)
        if first is None:
            raise RuleViolation("DLC401", f"`{path}` is empty", expected="a table", option="path")
        names = [name.strip() for name in first] if self.header else [f"column_{i}" for i in range(len(first))]
        if self.header and all(map(_is_number, first)):
            message = f"the first row of `{path}` holds numbers instead of column names"
            fix = "if the file has no header, set `header: false`"
            raise RuleViolation("DLC401", message, found=listing(first, 6), expected="names", hint=fix, option="path")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise RuleViolation(
                "DLC401", f"`{path}` has duplicate column names", found=listing(twice, 8), option="path"
            )
        records = [] if self.header else [first]
        most = sys.maxsize if room is None else max(1, room // (_FIELD_BYTES * len(names)))
        whole = True
        for row in rows:
            if len(row) != len(names):
                hint = "set `delimiter` to the character between fields" if 1 in (len(names), len(row)) else None
                message = f"line {reader.line_num} of `{path}` has {_fields(len(row))}"
                raise RuleViolation("DLC401", message, expected=_fields(len(names)), hint=hint, option="path")
            records.append(row)
            if len(records) >= most:
                yield names, records
                records, whole = [], False
        if records or whole:
            yield names, records


def _lines(file: IO[str], path: Path) -> Iterator[str]:
    """The lines of a text.

    Raises:
        RuleViolation: DLC401 for a line that is too long for a row of a table.
    """
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            message = f"`{path}` has a line of more than {_LONGEST_LINE:,} characters"
            raise RuleViolation("DLC401", message, expected="a table with a row in each line", option="path")
        yield line


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _not_utf8(path: Path) -> RuleViolation:
    """The error of a file in another encoding, with the line that shows it."""
    where = ""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                where = f"line {number} of "
                break
    hint = "save it as UTF-8, for example `iconv -f latin1 -t utf-8 old.csv > new.csv`"
    return RuleViolation("DLC401", f"{where}`{path}` is not UTF-8 text", hint=hint, option="path")


def same_length(columns: dict[str, Any], path: Path) -> Columns:
    """The columns, if all have one entry per record and records are not empty.

    Raises:
        RuleViolation: DLC401 when they don't.
    """
    lengths = {name: column.shape[0] if column.ndim else None for name, column in columns.items()}
    if not columns or len(set(lengths.values())) != 1 or None in lengths.values():
        spelt = [f"`{name}` {'a single value' if count is None else count}" for name, count in lengths.items()]
        found = ", ".join(spelt[:12]) + (f" and {len(spelt) - 12} more" if len(spelt) > 12 else "")
        message = f"the arrays of `{path}` have different lengths"
        raise RuleViolation(
            "DLC401", message, found=found or "no arrays", expected="one entry per record", option="path"
        )
    if any(lengths.values()) and not any(column.nbytes for column in columns.values()):
        raise RuleViolation("DLC401", f"the records of `{path}` are empty", option="path")
    return columns
