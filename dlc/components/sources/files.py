"""Tables in files.

What reads a file is imported when one is read: `dlc check` does not need it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self
from unicodedata import normalize

from pydantic import BeforeValidator, model_validator

from dlc.components.sources.blocks import joined, limited, same_columns
from dlc.components.sources.paths import fixed_folder, full_path, plain_file, plain_files
from dlc.components.sources.source import TABBED, Columns, Opened, Source, kind_of_file
from dlc.components.sources.text_encodings import Encoding
from dlc.language.options import OptionError, main, option, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK_BYTES = 64 << 20  # the most bytes of fields in memory at a time


class FileSource(Source):
    """Shared by sources that read one file."""

    locations: ClassVar[tuple[str, ...]] = ("path",)
    suffixes: ClassVar[tuple[str, ...]] = ()  # of the names of its files, such as `.csv`
    empty: ClassVar[str] = "is empty"  # what is said of a file without content
    content: ClassVar[str] = "a table"  # what it should hold

    path: str = main(min_length=1, description="the file; relative to the spec's folder")

    @classmethod
    def sample(cls) -> bytes:
        """The content of a small file, which the tests read with each of its examples."""
        raise NotImplementedError(f"`{cls.__name__}` defines no `sample`, the content of a small file for the tests")

    def write_sample(self, base: Path) -> None:
        """Write the `sample` to each of its paths; a pattern gets one file."""
        for path in self.places().values():
            file = full_path(base, path.replace("*", "1"))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.sample())

    @classmethod
    def recognizes(cls, head: bytes) -> bool:  # noqa: ARG003 - used by others
        """Whether a file with this beginning is one of its files, whatever its name."""
        return False

    @classmethod
    def recognizes_folder(cls, folder: Path) -> bool:  # noqa: ARG003 - used by others
        """Whether a folder is what it reads."""
        return False

    def fits(self, kind: str) -> bool:
        """Whether other files with this ending have the format of its own, even if their content does not show it."""
        return kind in {kind_of_file(Path(path)) for path in self.places().values()}

    def for_file(self, path: Path) -> Self:
        """A source of the same format that reads another file."""
        return self.model_copy(update={"path": str(path)})

    def find(self, base: Path) -> None:
        """Check that the file exists."""
        self.file(base)

    def file(self, base: Path) -> Path:
        """The file's full path.

        Raises:
            RuleViolation: DLC401 when there is no such file.
        """
        return plain_file(base, self.path, empty=self.empty)

    def names_from(self, base: Path) -> Path:
        """The folder of the file."""
        return fixed_folder(full_path(base, next(iter(self.places().values()))))


def read_paths(value: Any) -> Any:
    """A path, or a mapping of names to paths; rejects anything else."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, Mapping) and value and all(isinstance(path, str) and path for path in value.values()):
        names = [str(name).lower() if isinstance(name, bool) else str(name) for name in value]
        if all(name.strip() for name in names) and len({*names}) == len(names):
            return dict(zip((normalize("NFC", name) for name in names), value.values(), strict=True))
    expected = "a path, or a mapping of names to paths"
    raise reject(OptionError((), "DLC104", "not valid files", found=spell(value), expected=expected))


class TableSource(FileSource):
    """Shared by sources that read tables row by row: one file, or several with the same columns, one after another."""

    parsed: ClassVar[bool] = False
    """Whether the values of its files are parsed, and of large files kept for later runs."""

    path: str = main(
        min_length=1, description="the file, or a pattern with `*` for several; relative to the spec's folder"
    )
    rows: int | None = option(None, ge=1, description="read only so many rows, from the first one on")

    def blocks(self, path: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The columns of consecutive rows of a file.

        Args:
            path: the file.
            room: how many bytes a block takes, about; all rows are one block if it is None.
            limit: the most bytes that a compressed file may unpack to; unbounded if it is None.

        Raises:
            RuleViolation: DLC401 when it can't be read.
        """
        raise NotImplementedError

    def files(self, base: Path) -> list[Path]:
        """The full paths of the files, in the order in which they are read.

        Raises:
            RuleViolation: DLC401 when there is none.
        """
        return plain_files(base, self.path, empty=self.empty)

    def for_file(self, path: Path) -> Self:
        """A source of the same format that reads all rows of another file."""
        return super().for_file(path).model_copy(update={"rows": None})

    def find(self, base: Path) -> None:
        """Check that the files exist."""
        self.files(base)

    def load(self, base: Path) -> Columns:
        """Read all rows."""
        return joined(list(self.read(base, None, None)))

    def open(self, base: Path, room: int) -> Opened:
        """The rows in blocks: a field takes many times its length in memory."""
        return self.read(base, min(room // 16, _BLOCK_BYTES), room)

    def read(self, base: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The rows of all files, in blocks; `blocks` describes `room` and `limit`."""
        found = self.files(base)
        return limited(same_columns((file, self.blocks(file, room, limit)) for file in found), self.rows)

    def origin(self, base: Path, row: int) -> tuple[Path, int] | None:
        """The file that holds a row, and its number there; None if there is only one file."""
        found = self.files(base)
        if len(found) == 1:
            return None
        before = 0
        for file in found:
            count = 0
            for block in self.blocks(file, _BLOCK_BYTES, None):
                count += len(next(iter(block.values()), ()))
            if row <= before + count:
                return file, row - before
            before += count
        return None


class Npz(FileSource):
    """Arrays of a numpy archive: one column for each, records along the first axis. Pickled objects are rejected."""

    word = "npz"
    suffixes = (".npz",)
    empty = "is empty, not a numpy archive"
    examples = ("npz: data/train.npz",)

    @classmethod
    def sample(cls) -> bytes:
        """Two columns of three records."""
        from io import BytesIO

        file = BytesIO()
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
        from dlc.components.sources.archives import first_length

        return first_length(self.file(base))

    def open(self, base: Path, room: int) -> Opened:
        """The arrays, in memory if there is room, else in the file; compressed ones are unpacked first."""
        return self._read(base, room)

    def _read(self, base: Path, room: int | None) -> Columns:
        from dlc.components.sources.archives import read_archive

        return read_archive(self.file(base), room)


class Npy(FileSource):
    """Arrays that `np.save` wrote: the column `array`, or those that a mapping names; records along the first axis.

    Pickled objects are rejected.
    """

    word = "npy"
    suffixes = (".npy",)
    empty = "is empty, not an array"
    path: Annotated[str | dict[str, str], BeforeValidator(read_paths)] = main(  # type: ignore[assignment]
        description="the file, or a mapping of columns to files; relative to the spec's folder"
    )
    examples = ("npy: data/x.npy", "npy: {path: {x: data/x.npy, y: data/y.npy}}")

    @classmethod
    def sample(cls) -> bytes:
        """Three records."""
        from io import BytesIO

        file = BytesIO()
        np.save(file, np.arange(6.0).reshape(3, 2))
        return file.getvalue()

    @classmethod
    def recognizes(cls, head: bytes) -> bool:
        """The first six bytes."""
        return head.startswith(b"\x93NUMPY")

    def columns(self) -> tuple[str, ...]:
        """The names in the mapping, or `array`."""
        return tuple(self.path) if isinstance(self.path, dict) else ("array",)

    def for_file(self, path: Path) -> Self:
        """Another file with the first column."""
        other: Any = {self.columns()[0]: str(path)} if isinstance(self.path, dict) else str(path)
        return self.model_copy(update={"path": other})

    def find(self, base: Path) -> None:
        """Check that the files exist."""
        self._files(base)

    def load(self, base: Path) -> Columns:
        """Read the arrays."""
        return self._read(base, None)

    def open(self, base: Path, room: int) -> Opened:
        """The arrays, in memory if there is room, else in their files."""
        return self._read(base, room)

    def count(self, base: Path) -> int | None:
        """The length of the first array, from its header."""
        from dlc.components.sources.archives import array_length

        return array_length(next(iter(self._files(base).values())))

    def _files(self, base: Path) -> dict[str, Path]:
        """The full path of the file of each column."""
        if isinstance(self.path, str):
            return {"array": plain_file(base, self.path, empty=self.empty)}
        return {name: plain_file(base, path, part=(name,), empty=self.empty) for name, path in self.path.items()}

    def _read(self, base: Path, room: int | None) -> Columns:
        from dlc.components.sources.archives import read_array, same_length

        files = self._files(base)
        each = None if room is None else room // len(files)
        found = {name: read_array(path, each) for name, path in files.items()}
        return same_length(found, ", ".join(map(str, files.values())))


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


def _names(value: Any) -> Any:
    names = value if isinstance(value, (list, tuple)) else ()
    if value is None:
        return None
    if names and all(isinstance(name, str) and name.strip() for name in names) and len({*names}) == len(names):
        return tuple(name.strip() for name in names)
    expected = "a list of different names, one for each column"
    raise reject(OptionError((), "DLC104", "not valid names", found=spell(value), expected=expected))


class Csv(TableSource):
    """A text table, which may be compressed (gzip, bzip2, xz, or the only file of a zip archive).

    The first row names the columns; without `header` they are `column_0`, `column_1`, ..., or as `names` gives them.
    Empty lines are skipped. The delimiter, by default, is the one of `,`, `;`, tab and `|` that divides the first rows
    into equally many fields. The encoding, by default, is UTF-8, or UTF-16 if the text has its byte order mark or zero
    bytes. Names of columns are normalized (Unicode NFC). Several files have the same columns, in any order.
    """

    word = "csv"
    parsed = True
    suffixes = (".csv", ".tsv", ".tab")
    header: bool = option(True, description="whether the first row names the columns")
    names: Annotated[tuple[str, ...] | None, BeforeValidator(_names)] = option(
        None, description="the names of the columns, instead of those in the first row"
    )
    delimiter: Annotated[str | None, BeforeValidator(_delimiter)] = option(
        None, description="the character between fields; default: found in the first rows"
    )
    decimal: Literal[".", ","] = option(".", description="the decimal mark of numbers")
    thousands: Literal[",", ".", "'", " ", "_"] | None = option(
        None, description="the mark between groups of three digits, as in `1,234,567`"
    )
    comment: str | None = option(
        None, min_length=1, max_length=8, description="what lines begin with that are skipped, such as `#`"
    )
    missing_values: Annotated[tuple[str | int | float, ...], BeforeValidator(_missing_values)] = option(
        (), description="fields that stand for a missing value, besides empty ones, such as `[NA, -999]`"
    )
    encoding: Encoding = option("auto", description="the encoding of the text")
    examples = (
        "csv: data/train.csv",
        "csv: {path: data/iris.csv, header: false}",
        "csv: {path: data/iris.csv, header: false, names: [number, word], rows: 2}",
        "csv: 'data/part-*.csv'",
        'csv: {path: data/measured.csv.gz, delimiter: ";", decimal: ",", missing_values: [NA, "?"]}',
        'csv: {path: data/prices.csv, thousands: ",", comment: "#"}',
    )

    @model_validator(mode="after")
    def _check(self) -> Csv:
        if self.thousands == self.decimal:
            message = f"`{self.thousands}` can't be both the decimal mark and the mark between groups of digits"
            hint = 'numbers such as `1.234,5` need `decimal: ","` and `thousands: "."`'
            raise reject(OptionError(("thousands",), "DLC104", message, hint=hint))
        return self

    @classmethod
    def sample(cls) -> bytes:
        """Two columns of three records."""
        return b"x;y\n1;one\n2;two\n3;three\n"

    def fits(self, kind: str) -> bool:
        """Its own ending, and `.txt`, which many tables have."""
        return super().fits(kind) or kind == ".txt"

    def for_file(self, path: Path) -> Self:
        """Other files have the same format; a name that ends in `.tsv` or `.tab` stands for tabs between fields."""
        mine, other = (kind_of_file(Path(name)) in TABBED for name in (self.path, path))
        changed = {"delimiter": None} if other and not mine else {}
        return super().for_file(path).model_copy(update=changed)

    def numbers(self, column: NDArray[Any], name: str, first_row: int) -> NDArray[Any]:
        """Fields with a decimal point, and without marks between groups of digits; numbers if Arrow read them."""
        from dlc.components.sources.arrow_text import Fields

        if isinstance(column, Fields):
            numbers = column.numbers()
            if numbers is not None:
                return numbers
            column = np.asarray(column)
        if column.dtype.kind != "O" or (self.decimal == "." and self.thousands is None):
            return column
        from dlc.components.sources.text_tables import with_decimal_points, without_groups

        if self.thousands is not None:
            column = without_groups(column, self.thousands, self.decimal)
        return column if self.decimal == "." else with_decimal_points(column, name, first_row)

    def blocks(self, path: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The rows of a file as strings; the features parse them."""
        from dlc.components.sources.text_tables import Dialect

        dialect = Dialect(
            self.header,
            self.names,
            self.delimiter,
            self.decimal,
            self.comment,
            self.missing_values,
            self.encoding,
            self.rows,
        )
        return dialect.blocks(path, room, limit)
