"""What a table holds: its dialect, and for each column its kind, its values and what is missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dlc.components.features.feature import as_text
from dlc.components.registry import KINDS
from dlc.components.sources.files import Csv, FileSource
from dlc.components.sources.source import Columns, Source, kind_of_file
from dlc.diagnostics import did_you_mean, listing
from dlc.language.options import RuleViolation
from dlc.tasks.task import FEW, Given, is_folder, scalar

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["number", "category", "date", "text", "id", "constant", "empty", "array", "pattern"]

TARGETS = ("target", "label", "class", "y")
"""The names of columns that are targets, if nobody says otherwise."""
MARKS = ("NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "none", "?", "-", "--", "#N/A", "missing")
"""Fields that stand for a missing value in a column of numbers."""
SURE_MARKS = ("NA", "N/A", "n/a", "NaN", "null", "NULL", "?", "#N/A")
"""Fields that stand for a missing value in any column."""
FEW_VALUES = 20
"""The most different values of a column that are listed as classes."""
MANY_VALUES = 100
"""The most different values of a column whose classes are found while training."""
FALLBACK = "windows-1252"
"""The encoding of files that are not UTF-8: it decodes nearly all bytes."""
_COUNTED = 1000  # different values of a column that are told apart
_ROOM = 256 << 20  # bytes of fields in memory
_NUMBERS = 10  # different numbers of a column that may hold a few other strings
_RARE = 20  # one such string for so many values
_WORDS = 4.0  # on average: from here on a string is a text
_ID = re.compile(r"(.*[_\W])?(id|uuid|guid|key|index|number|no|nr)|.*(?<=[a-z])(Id|ID|No)|unnamed.*|", re.IGNORECASE)
_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M", "%Y-%m")


class Column(NamedTuple):
    """A column.

    Args:
        name: its name.
        kind: what it holds.
        records: how many records there are.
        missing: how many of them have no value.
        values: its different values, in the order of their first row, up to some number.
        many: whether there are more different values.
        whole: whether all numbers are integers.
        words: the words of a value, on average.
        format: how dates are spelled, if it is not ISO 8601.
        odd: a few values that are no numbers, in a column of numbers.
    """

    name: str
    kind: Kind
    records: int
    missing: int
    values: tuple[str, ...]
    many: bool
    whole: bool
    words: float
    format: str | None = None
    odd: tuple[str, ...] = ()

    @property
    def classes(self) -> list[str]:
        """Its values, numbers in their order."""
        if all(_number(value) is not None for value in self.values):
            return list(dict.fromkeys(_plain(value) for value in sorted(self.values, key=float)))
        return sorted(self.values)


_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")


class SeenTable(NamedTuple):
    """A table.

    Args:
        source: the source, as YAML.
        columns: its columns.
        records: their number.
        table: the source.
    """

    source: str
    columns: tuple[Column, ...]
    records: int
    table: Source

    def column(self, name: str) -> Column:
        """A column by its name.

        Raises:
            RuleViolation: DLC402.
        """
        found = next((column for column in self.columns if column.name == name), None)
        if found is None:
            names = [column.name for column in self.columns]
            found_names = f"columns {listing(names, 12)}"
            raise RuleViolation(
                "DLC402", f"the data has no column `{name}`", found=found_names, hint=did_you_mean(name, names)
            )
        return found

    def target(self, asked: str | None) -> Column:
        """The column to predict: the one that was asked for, the one named like a target, else the last."""
        if asked is not None:
            return self.column(asked)
        named = [column for word in TARGETS for column in self.columns if column.name.lower() == word]
        return named[0] if named else self.columns[-1]


def look_at_table(given: Given) -> SeenTable:
    """What a table in a file holds.

    Args:
        given: the path.

    Raises:
        RuleViolation: DLC401 when it can't be read, DLC405 when it has no records.
    """
    path = given.data
    assert path is not None
    if is_folder(path, "give a file such as `table.csv`"):
        names = sorted(entry.name for entry in path.iterdir() if _kinds().get(kind_of_file(Path(entry.name))))
        hint = f"give one of its files, such as `--data {path / names[0]}`" if names else "give a file, such as a .csv"
        raise RuleViolation("DLC401", f"`{path}` is a folder, not a table", hint=hint)
    cls = _kinds().get(kind_of_file(path), Csv)
    options = _dialect(path) if issubclass(cls, Csv) else {}
    source = cls.model_validate({"path": str(path.absolute()), **options})
    folds: dict[str, _Fold] = {}
    for block in blocks_of_table(source):
        for name, column in block.items():
            folds.setdefault(name, _Fold(name)).add(column)
    count = max((fold.count for fold in folds.values()), default=0)
    if not count:
        raise RuleViolation("DLC405", f"`{path}` has no records", expected=f"at least {FEW}")
    if issubclass(cls, Csv):
        options |= _marks(list(folds.values()))
    decimal, marks = str(options.get("decimal", ".")), options.get("missing_values", ())
    columns = tuple(fold.column(decimal, marks) for fold in folds.values())
    parts = [f"path: {scalar(given.relative(path))}", *(f"{name}: {_yaml(value)}" for name, value in options.items())]
    text = scalar(given.relative(path)) if len(parts) == 1 else f"{{{', '.join(parts)}}}"
    made = cls.model_validate({"path": str(path.absolute()), **options})
    return SeenTable(f"{{{cls.word}: {text}}}", columns, count, made)


def _kinds() -> Mapping[str, type[FileSource]]:
    """The sources of tables by the endings of their files."""
    kind = KINDS["source"]
    classes = [cls for word in kind.table if issubclass(cls := kind.load(word), FileSource)]
    return {ending: cls for cls in classes for ending in cls.suffixes if ending != ".txt"}


def blocks_of_table(source: Source) -> Iterator[Columns]:
    """The columns of a source, block by block."""
    opened = source.open(Path(), _ROOM)
    yield from (opened,) if isinstance(opened, Mapping) else opened


def _first(path: Path, options: Mapping[str, Any]) -> Columns:
    return next(blocks_of_table(Csv.model_validate({"path": str(path.absolute()), **options})))


def _dialect(path: Path) -> dict[str, Any]:
    """The options of `csv` with which a file can be read: its encoding, its delimiter, and whether there is a header.

    A first row of which half are numbers is a record.

    Raises:
        RuleViolation: DLC401 when it can't be read.
    """
    options: dict[str, Any] = {}
    try:
        headless = _first(path, {"header": False})
    except RuleViolation as wrong:
        if "UTF-8" in wrong.message:
            options["encoding"] = FALLBACK
        elif "ambiguous" in wrong.message:
            options["delimiter"] = max(
                ";\t,|", key=lambda mark: len(_first(path, {"header": False, "delimiter": mark}))
            )
        else:
            raise
        headless = _first(path, {**options, "header": False})
    first = [as_text(column[0]) for column in headless.values()]
    if 2 * sum(_number(field) is not None for field in first) >= len(first):
        return {**options, "header": False}
    _first(path, options)
    return options


def _marks(folds: Sequence[_Fold]) -> dict[str, Any]:
    """The options of `csv` for fields that stand for missing values, and for decimal commas."""
    found: dict[str, Any] = {}
    if any(fold.decimal_commas(MARKS) for fold in folds):
        found["decimal"] = ","
    elif any(fold.grouped(MARKS) for fold in folds):
        found["thousands"] = ","
    decimal = found.get("decimal", ".")
    marks = [mark for mark in MARKS if any(mark in fold.texts and fold.numeric(decimal, MARKS) for fold in folds)]
    marks += [mark for mark in SURE_MARKS if mark not in marks and any(mark in fold.texts for fold in folds)]
    if marks:
        found["missing_values"] = marks
    return found


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(scalar(item) for item in value)}]"
    return scalar(str(value))


class _Fold:
    """The values of a column, block by block."""

    def __init__(self, name: str) -> None:
        self.name, self.count = name, 0
        self.array = False
        self.texts: dict[str, int] = {}  # how often each of the first different values occurs
        self.many = False
        self.odd: dict[str, None] = {}  # values that are no numbers
        self.whole = True
        self.increasing, self._last = True, -float("inf")
        self.words = 0

    def add(self, column: NDArray[Any]) -> None:
        """Add a block."""
        self.count += len(column)
        if column.ndim > 1 or column.dtype.kind not in "fiubOUS":
            self.array = True
            return
        texts = [_spelled(value) for value in column.tolist()]
        counts = Counter(texts)
        for text, count in counts.items():
            if text in self.texts or len(self.texts) < _COUNTED:
                self.texts[text] = self.texts.get(text, 0) + count
            else:
                self.many = True
            number = _number(text)
            if text and number is None and len(self.odd) < _COUNTED:
                self.odd[text] = None
            self.whole = self.whole and (number is None or number.is_integer())
        numbers = [_number(text) for text in counts] if self.whole and len(counts) == len(texts) else [None]
        for number in numbers if self.increasing else ():
            if number is None or number <= self._last:
                self.increasing = False
                break
            self._last = number
        self.words += sum(count * len(text.split()) for text, count in counts.items())

    def decimal_commas(self, marks: Sequence[str]) -> bool:
        """Whether values that are no numbers become numbers with a decimal point."""
        odd = [text for text in self.odd if text not in marks]
        return bool(odd) and all(re.fullmatch(r"[+-]?\d+,\d+", text) for text in odd) and not self.grouped(marks)

    def grouped(self, marks: Sequence[str]) -> bool:
        """Whether values that are no numbers become numbers without commas between groups of three digits."""
        odd = [text for text in self.odd if text not in marks]
        return bool(odd) and all(_GROUPED.fullmatch(text) for text in odd)

    def numeric(self, decimal: str, marks: Sequence[str]) -> bool:
        """Whether all values but some marks are numbers."""
        odd = [text for text in self.odd if text not in marks]
        some = len(self.texts) > len([text for text in self.texts if not text or text in marks])
        if some and decimal == "." and self.grouped(marks):
            return True
        return some and all(_number(text.replace(decimal, ".")) is not None for text in odd)

    def column(self, decimal: str, marks: Sequence[str]) -> Column:
        """What the column holds."""
        missing = self.texts.get("", 0) + sum(self.texts.get(mark, 0) for mark in marks)
        values = tuple(text for text in self.texts if text and text not in marks)
        filled = max(1, self.count - missing)
        kind, form = self._kind(values, filled, decimal, marks)
        odd = self._odd(decimal, marks) if kind == "number" else ()
        words = self.words / filled
        return Column(self.name, kind, self.count, missing, values, self.many, self.whole, words, form, odd)

    def _odd(self, decimal: str, marks: Sequence[str]) -> tuple[str, ...]:
        """The values that are no numbers."""
        odd = [text for text in self.odd if text not in marks]
        return tuple(text for text in odd if _number(text.replace(decimal, ".")) is None)

    def _mostly_numbers(self, filled: int, decimal: str, marks: Sequence[str]) -> bool:
        """Whether only a few of many values are no numbers."""
        odd = self._odd(decimal, marks)
        rows = sum(self.texts.get(text, 0) for text in odd)
        numbers = sum(_number(text.replace(decimal, ".")) is not None for text in self.texts)
        return numbers >= _NUMBERS and len(odd) < _COUNTED and _RARE * rows <= filled

    def _kind(
        self, values: tuple[str, ...], filled: int, decimal: str, marks: Sequence[str]
    ) -> tuple[Kind, str | None]:
        if "*" in self.name:
            return "pattern", None
        if self.array:
            return "array", None
        if not values:
            return "empty", None
        if len(values) == 1 and not self.many:
            return "constant", None
        unique = self.many or len(values) == filled
        if self.numeric(decimal, marks) or self._mostly_numbers(filled, decimal, marks):
            counter = self.whole and (unique or self.increasing)
            return ("id" if counter and _ID.fullmatch(self.name) else "number"), None
        form = date_format(values[:100])
        if form is not None:
            return "date", form or None
        if self.words / filled >= _WORDS:
            return "text", None
        if not self.many and (len(values) <= FEW_VALUES or (len(values) <= MANY_VALUES and 10 * len(values) <= filled)):
            return "category", None
        return ("id" if unique or 2 * len(values) > filled else "text"), None


def date_format(values: Sequence[str]) -> str | None:
    """How some strings spell dates: empty for ISO 8601, a format of `strptime`; None if they are no dates."""
    if all(_is_iso(value) for value in values):
        return ""
    return next((form for form in _DATES if all(_parses(value, form) for value in values)), None)


def _is_iso(value: str) -> bool:
    if len(value) < len("2024-01-01"):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _parses(value: str, form: str) -> bool:
    try:
        datetime.strptime(value, form)
    except ValueError:
        return False
    return True


def _spelled(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return _plain(as_text(value)) if isinstance(value, float) else as_text(value)


def _plain(text: str) -> str:
    """A number without needless zeros, as classes are spelled."""
    return text.removesuffix(".0") if re.fullmatch(r"-?\d+\.0", text) else text


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if isfinite(found) else None
