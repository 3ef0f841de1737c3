"""Tables in files.

What reads a file is imported when one is read: `dlc check` does not need it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator

from dlc.components.sources.source import TABBED, Columns, Opened, Source, kind_of_file
from dlc.diagnostics import did_you_mean, reason
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_NAMES = 1000  # of files that a wrong path is compared with
_BLOCK_BYTES = 64 << 20  # the most bytes of fields in memory at a time


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

    def find(self, base: Path) -> None:
        """Check that the file exists."""
        self.file(base)

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
        mine, other = (kind_of_file(Path(name)) in TABBED for name in (self.path, path))
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
        from dlc.components.sources.text_tables import with_decimal_points

        return with_decimal_points(column, name, first_row)

    def _blocks(self, path: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The columns of consecutive rows that take about `room` bytes; of all rows if it is None.

        A compressed file may unpack to at most `limit` bytes.
        """
        from dlc.components.sources.text_tables import Dialect

        dialect = Dialect(self.header, self.delimiter, self.decimal, self.missing_values, self.encoding)
        return dialect.blocks(path, room, limit)
