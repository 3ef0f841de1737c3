"""Tables in files."""

from __future__ import annotations

import csv
import io
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator

from dlc.components.sources.archives import first_length, read_columns
from dlc.components.sources.delimiters import fields_by_delimiter, first_lines, most_frequent_delimiter, spelled
from dlc.components.sources.packed import HEAD_BYTES, encoding_of, is_compressed, lines_of, reported, unpacked
from dlc.components.sources.source import Columns, Opened, Source, kind_of_file, normalized_names
from dlc.components.wrong_values import WrongValues, field
from dlc.diagnostics import did_you_mean, listing, reason
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIELD_BYTES = 100  # memory of a short field as a Python string, including list entries
_BLOCK_BYTES = 64 << 20  # the most bytes of fields in memory at a time
_MOST_NAMES = 1000  # of files that a wrong path is compared with


class FileSource(Source):
    """Shared by sources that read one file."""

    locations: ClassVar[tuple[str, ...]] = ("path",)
    suffixes: ClassVar[tuple[str, ...]] = ()  # of the names of its files, such as `.csv`
    empty: ClassVar[str] = "is empty"  # what is said of a file without content

    path: str = main(min_length=1, description="the file; relative to the spec's folder")

    @classmethod
    def sample(cls) -> bytes:
        """The content of a small file, which the tests read with each of its examples."""
        raise NotImplementedError(f"`{cls.__name__}` defines no `sample`, the content of a small file for the tests")

    @classmethod
    def recognizes(cls, head: bytes) -> bool:  # noqa: ARG003 - used by others
        """Whether a file with this beginning is one of its files, whatever its name."""
        return False

    def for_file(self, path: Path) -> Self:
        """A source of the same format that reads another file."""
        return self.model_copy(update={"path": str(path)})

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
            hint = None if path.exists() else _similar(path)
            raise RuleViolation("DLC401", f"the data file `{path}` {kind}", hint=hint, option="path")
        if empty:  # as the files of /proc, which may have no end
            raise RuleViolation("DLC401", f"`{path}` {self.empty}", expected="a table", option="path")
        return path

    def _full_path(self, base: Path) -> Path:
        try:
            return base / Path(self.path).expanduser()
        except RuntimeError:  # `~name` of an unknown user
            return base / self.path


def _similar(path: Path) -> str | None:
    """The hint for a file that does not exist: one of its folder with a similar name."""
    try:
        names = [entry.name for entry in islice(path.parent.iterdir(), _MOST_NAMES)]
    except OSError:
        return None
    return did_you_mean(path.name, sorted(names))


class Npz(FileSource):
    """Arrays of a numpy archive: one column for each, records along the first axis. Pickled objects are rejected."""

    word = "npz"
    suffixes = (".npz",)
    empty = "is empty, not a numpy archive"
    examples = ("npz: data/train.npz",)

    @classmethod
    def sample(cls) -> bytes:
        """Two columns of three records."""
        file = io.BytesIO()
        np.savez(file, x=np.arange(6.0).reshape(3, 2), y=np.arange(3))
        return file.getvalue()

    @classmethod
    def recognizes(cls, head: bytes) -> bool:
        """An archive whose first file is an array."""
        length = int.from_bytes(head[26:28], "little")  # of the name in a local header, which has 30 bytes
        return head.startswith(b"PK\3\4") and head[30 : 30 + length].endswith(b".npy")

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
                if is_compressed(path):
                    what = "is compressed"
                    hint = "unpack it; `np.savez_compressed` writes an archive that is compressed itself"
                raise RuleViolation(
                    "DLC401", f"`{path}` {what}", expected="a file written by np.savez", hint=hint, option="path"
                )
        except OSError as error:
            raise RuleViolation("DLC401", f"`{path}` is not a numpy archive: {reason(error)}", option="path") from None
        return same_length(read_columns(path, room), path)


def _delimiter(value: Any) -> Any:
    if value is None or (isinstance(value, str) and len(value) == 1 and value not in '"\r\n\0'):
        return value
    hint = 'write `"\\t"` for a tab' if value in ("tab", "\\t") else None
    expected = "one character such as `;`, other than a quotation mark or line break"
    raise reject(OptionError((), "DLC104", "not a valid delimiter", found=spell(value), expected=expected, hint=hint))


def _missing_values(value: Any) -> Any:
    values = value if isinstance(value, (list, tuple)) else [value]
    if all(isinstance(item, (str, int, float)) and not isinstance(item, bool) for item in values):
        return tuple(item.strip() if isinstance(item, str) else item for item in values)
    expected = 'a list of fields such as `[NA, "?"]`'
    raise reject(OptionError((), "DLC104", "not valid missing values", found=spell(value), expected=expected))


class Csv(FileSource):
    """A text table, which may be compressed (gzip, bzip2, xz, or the only file of a zip archive).

    The first row names the columns; without `header` they are `column_0`, `column_1`, ... Empty lines are skipped. The
    delimiter, by default, is the one of `,`, `;`, tab and `|` that divides the first rows into equally many fields. The
    encoding, by default, is UTF-8, or UTF-16 if the text has its byte order mark or zero bytes. Names of columns are
    normalized (Unicode NFC).
    """

    word = "csv"
    suffixes = (".csv", ".tsv", ".tab")
    header: bool = option(True, description="whether the first row names the columns")
    delimiter: Annotated[str | None, BeforeValidator(_delimiter)] = option(
        None, description="the character between fields; default: found in the first rows"
    )
    decimal: Literal[".", ","] = option(".", description="the decimal mark of numbers")
    missing_values: Annotated[tuple[str | int | float, ...], BeforeValidator(_missing_values)] = option(
        (), description="fields that stand for a missing value, besides empty ones, such as `[NA, -999]`"
    )
    encoding: Literal["auto", "utf-8", "utf-16", "latin-1", "windows-1252"] = option(
        "auto", description="the encoding of the text"
    )
    examples = (
        "csv: data/train.csv",
        "csv: {path: data/iris.csv, header: false}",
        'csv: {path: data/measured.csv.gz, delimiter: ";", decimal: ",", missing_values: [NA, "?"]}',
    )

    @classmethod
    def sample(cls) -> bytes:
        """Two columns of three records."""
        return b"x;y\n1;one\n2;two\n3;three\n"

    def for_file(self, path: Path) -> Self:
        """Other files have the same format; a name that ends in `.tsv` or `.tab` stands for tabs between fields."""
        mine, other = (kind_of_file(Path(name)) in _TABBED for name in (self.path, path))
        changed = {"delimiter": None} if other and not mine else {}
        return self.model_copy(update={"path": str(path), **changed})

    def load(self, base: Path) -> Columns:
        """Read all rows as strings; the features parse them."""
        parts = list(self._blocks(self.file(base), None, None))
        return parts[0]

    def open(self, base: Path, room: int) -> Opened:
        """The rows as strings, in blocks: a field takes many times its length in memory."""
        return self._blocks(self.file(base), min(room // 16, _BLOCK_BYTES), room)

    def numbers(self, column: NDArray[Any], name: str, first_row: int) -> NDArray[Any]:
        """Fields with a decimal comma, with a decimal point instead."""
        if self.decimal == "." or column.dtype.kind != "O":
            return column
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

    def _blocks(self, path: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The columns of consecutive rows that take about `room` bytes; of all rows if it is None.

        A compressed file may unpack to at most `limit` bytes.
        """
        try:
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
        except UnicodeError as error:
            raise _undecodable(path, error, self.encoding) from None

    def _found_delimiter(self, first: Sequence[str], path: Path) -> str:
        """The delimiter of the first rows.

        Raises:
            RuleViolation: DLC401 when several characters divide them into equally many fields.
        """
        if kind_of_file(path) in _TABBED and any("\t" in line for line in first):
            return "\t"
        widths = fields_by_delimiter(first)
        if self.decimal == "," and len(widths) > 1:
            widths.pop(",", None)
        if not widths:
            return most_frequent_delimiter(first)
        if len(widths) > 1:
            found = ", ".join(f"{_fields(width)} with `{spelled(mark)}`" for mark, width in widths.items())
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
        most = sys.maxsize if room is None else max(1, room // (_FIELD_BYTES * len(names)))
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
            message = f"line {line} of `{path}` has {_fields(width)}"
            found = f"{others:,} rows of another length" if others > 1 else None
            raise RuleViolation("DLC401", message, found=found, expected=_fields(len(names)), hint=hint, option="path")


_TABBED = (".tsv", ".tab")
_POINTED = re.compile(r"[+-]?\d[\d,]*(\.\d+)+[\d.,]*(e[+-]?\d+)?|[+-]?\.\d+", re.IGNORECASE)


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


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


def _undecodable(path: Path, error: UnicodeError, encoding: str) -> RuleViolation:
    """The error of a file in another encoding, with the line that shows it."""
    kind = error.encoding.upper() if isinstance(error, UnicodeDecodeError) else "UTF-16"
    if not kind.startswith("UTF-8"):
        kind = kind.removesuffix("-LE").removesuffix("-BE")
        return RuleViolation("DLC401", f"`{path}` is not {kind} text, or it is incomplete", option="path")
    where = ""
    with reported(path), unpacked(path, None) as file:
        for number, line in enumerate(iter(lambda: file.readline(_FIELD_BYTES << 10), b""), 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                where = f"line {number} of "
                break
    hint = "set `encoding: windows-1252` or `latin-1`, or save it as UTF-8" if encoding == "auto" else None
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
