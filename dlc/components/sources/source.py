"""The interface of sources: a source is a table of columns, each with one entry per record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self
from unicodedata import category as unicode_category
from unicodedata import normalize

from dlc.components.sources.paths import absolute
from dlc.diagnostics import did_you_mean, listing
from dlc.language.options import Options, RuleViolation
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Columns = Mapping[str, "NDArray[Any]"]
Opened = Columns | Iterator[Columns]


class Source(Options):
    """A source of records.

    The options in `locations` say where the records are, and not what they are: they may differ in a resumed run. Each
    is a path, or a mapping of names to paths.
    """

    locations: ClassVar[tuple[str, ...]] = ()

    def places(self) -> dict[tuple[str, ...], str]:
        """The paths in `locations`, each under its option; under option and name if the option is a mapping."""
        found: dict[tuple[str, ...], str] = {}
        for option in self.locations:
            value = getattr(self, option)
            if isinstance(value, Mapping):
                found |= {(option, name): path for name, path in value.items()}
            elif isinstance(value, str):
                found[(option,)] = value
        return found

    def columns(self) -> tuple[str, ...] | None:
        """The names of its columns if they are known without reading it, else None."""
        return None

    def classes(self, column: str) -> tuple[str, ...] | None:
        """The different values of a column of classes if they are known without reading it, else None."""
        return None

    def find(self, base: Path) -> None:
        """Check that the files which it reads exist, without reading them.

        Raises:
            RuleViolation: DLC401 when one doesn't.
        """

    def load(self, base: Path) -> Columns:
        """All columns, of equal length. Relative paths start from the folder `base`.

        Raises:
            RuleViolation: DLC401 when it can't be read.
        """
        raise NotImplementedError

    def count(self, base: Path) -> int | None:
        """The number of records, if known without reading them, else None.

        Raises:
            RuleViolation: DLC401 when there are no records.
        """
        return None

    def open(self, base: Path, room: int) -> Opened:
        """The same table, if it may not fit into memory.

        Args:
            base: the folder that relative paths start from.
            room: the most bytes in memory at a time.

        Returns:
            All columns, if their records can be read in any order: arrays, or objects that are indexed like arrays and
            stay in a file. Else an iterator over consecutive blocks of records, from the first record on.

        Raises:
            RuleViolation: DLC401 when it can't be read; an iterator may also raise it later.
        """
        return self.load(base)

    def numbers(self, column: NDArray[Any], name: str, first_row: int) -> NDArray[Any]:
        """A column for a feature that reads numbers: strings that spell numbers as Python does.

        Args:
            column: the column.
            name: its name.
            first_row: the number of its first record, from 1.

        Raises:
            RuleViolation: DLC403 for strings that are certainly no numbers in this source.
        """
        return column

    def write_sample(self, base: Path) -> None:
        """Write the small files that it reads, for the tests of its examples."""
        raise NotImplementedError(f"`{type(self).__name__}` defines no `write_sample` for the tests")

    def names_from(self, base: Path) -> Path:
        """The folder that relative names of files in its columns start from: that of the spec."""
        return base

    def origin(self, base: Path, row: int) -> tuple[Path, int] | None:
        """The file that holds a record, and its number there, from 1; None if all records are in one place.

        Args:
            base: the folder that relative paths start from.
            row: the number of the record, from 1.
        """
        return None

    def rooted(self, base: Path) -> Self:
        """The same source with absolute paths."""
        changed: dict[str, Any] = {}
        for (option, *name), path in self.places().items():
            if name:
                changed.setdefault(option, {})[name[0]] = absolute(base, path)
            else:
                changed[option] = absolute(base, path)
        return self.model_copy(update=changed) if changed else self

    @classmethod
    def check_class(cls) -> None:
        """A path that is not made absolute would be looked for in another folder by whoever reads the run."""
        if "path" in cls.model_fields and cls.rooted is Source.rooted and not getattr(cls, "locations", ()):
            hint = "extend `FileSource` of `dlc.components.sources.files`, which has `path`, `rooted` and `file`"
            raise RuleViolation("DLC119", "it has an option `path`, but no method `rooted`", hint=hint)

    def wrong_result(self, method: str, inputs: tuple[Any, ...], result: Any) -> str | None:
        """Columns are numpy arrays of one length, those that `columns` declares."""
        return wrong_columns(result, self.columns()) if method == "load" else None


def wrong_columns(found: Any, declared: tuple[str, ...] | None) -> str | None:
    """What is wrong with the columns that a source loaded, None if nothing is.

    >>> wrong_columns({"x": [1, 2]}, None)
    'the column `x` is of type list, but it must be a numpy array'
    """
    if not isinstance(found, Mapping):
        return f"a value of type {type(found).__name__}, but it must be a mapping of columns"
    for name, column in found.items():
        if not isinstance(column, np.ndarray) or not column.ndim:
            shown = "a number" if isinstance(column, np.ndarray) else f"of type {type(column).__name__}"
            return f"the column `{name}` is {shown}, but it must be a numpy array"
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        return "the columns have different lengths: " + ", ".join(f"`{name}` {size}" for name, size in lengths.items())
    if not found:
        return "no columns"
    if declared is not None and set(declared) != set(found):
        return f"the columns {listing(found)}, but `columns` declares {listing(declared)}"
    return None


def select(columns: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    """The known columns that a feature's names and patterns select, in the order given.

    Raises:
        RuleViolation: DLC402 when one selects nothing.

    >>> select(("pixel_*",), ("label", "pixel_0", "pixel_1"))
    ['pixel_0', 'pixel_1']
    """
    chosen: list[str] = []
    exact = set(known)
    for pattern in (normalize("NFC", column) for column in columns):
        found = [pattern] if pattern in exact else _matching(pattern, known)
        if not found:
            raise missing_column(pattern, known, "set `column` to the column of the feature")
        chosen += found
    return chosen


def missing_column(
    name: str, known: Iterable[str], hint: str | None = None, option: str | None = None
) -> RuleViolation:
    """The error of a column that a table doesn't have.

    Args:
        name: the column.
        known: the columns of the table.
        hint: what to do if no column has a similar name.
        option: the option to point at.
    """
    known = list(known)
    hint = look_alike(name, known) or did_you_mean(name, known) or hint
    found = f"columns {listing(known, 12)}"
    return RuleViolation("DLC402", f"the data has no column `{name}`", found=found, hint=hint, option=option)


def look_alike(name: str, known: Iterable[str]) -> str | None:
    r"""The hint for a name that differs from a known one only in characters that look alike or are invisible, or None.

    >>> look_alike("a\u00a0b", ["c", "a b"])
    '`a b` differs only in the form of its characters or in invisible ones: copy it from the data'
    """
    found = next((other for other in known if other != name and _visible(other) == _visible(name)), None)
    return (
        f"`{found}` differs only in the form of its characters or in invisible ones: copy it from the data"
        if found
        else None
    )


def _visible(name: str) -> str:
    return " ".join("".join(c for c in normalize("NFKC", name) if unicode_category(c) != "Cf").split())


def _matching(pattern: str, known: tuple[str, ...]) -> list[str]:
    """The names that a pattern with `*` matches. Other characters match themselves: `a[0]*` has no character class."""
    if "*" not in pattern:
        return []
    first, *inner, last = pattern.split("*")
    return [name for name in known if _fits(name, first, inner, last)]


def _fits(name: str, first: str, inner: Sequence[str], last: str) -> bool:
    """Whether a name begins with `first`, ends with `last`, and holds the other strings in order between them.

    Each is searched for once: a regular expression would try all combinations.
    """
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in inner:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def normalized_names(names: Sequence[str], path: Path | str) -> list[str]:
    """The names of columns in Unicode's composed form (NFC), so that equal names are equal strings.

    Raises:
        RuleViolation: DLC401 when two of them are then the same.
    """
    found = [normalize("NFC", name) for name in names]
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        forms = len({name for name in names if normalize("NFC", name) == twice[0]})
        hint = "they differ only in the Unicode form of their characters (NFC and NFD)" if forms > 1 else None
        message = f"`{path}` has duplicate column names"
        raise RuleViolation("DLC401", message, found=listing(twice, 8), hint=hint, option="path")
    return found


PACKED = (".gz", ".bz2", ".xz", ".zip")
TABBED = (".tsv", ".tab")
"""Endings of the names of tables with tabs between fields."""


def kind_of_file(path: Path) -> str:
    """The ending that says what a file holds, in lower case, without those of compression.

    >>> kind_of_file(Path("t.CSV.gz")), kind_of_file(Path("t.zip"))
    ('.csv', '')
    """
    endings = [ending.lower() for ending in path.suffixes]
    while endings and endings[-1] in PACKED:
        endings.pop()
    return endings[-1] if endings else ""
