"""The interface of features: how columns become the network's values, and predictions become columns."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from dlc.components.features.decision import Thresholds
from dlc.components.value_ranges import ValueRange
from dlc.components.wrong_values import WrongValues, field, raise_all
from dlc.ir import MASK, TensorType
from dlc.language.options import Options, RuleViolation, option
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dlc.components.features.decoder import Decoder

Stats = Mapping[str, "NDArray[Any]"]


class FeatureExample(NamedTuple):
    """An example: the feature as written, its type, and a column with the values read from it."""

    spec: str
    type: str
    column: Sequence[Any]
    read: Sequence[Any] | None = None
    error: str | None = None


class Feature(Options):
    """A kind of input or target.

    A value passes these stages: `read` parses columns on the host (strings, class names) into an array of numbers. If
    the feature `learns`, `read` returns strings, `learn` finds a vocabulary, and `prepare` returns numbers. `filled`
    replaces missing ones; `encode` converts that to the network's values; `marked` marks padding and missing values in
    them; `decode` converts predictions back. From `filled` on they use only operators, so that they work on numpy
    arrays, inside a compiled program and in an exported one. On the host they compute in float64: differences of large
    numbers keep their digits.
    """

    categorical: ClassVar[bool] = False  # whether values are classes
    packed: ClassVar[bool] = False
    """Whether a data set and a batch hold the raw values, and the compiled program encodes them."""
    reads_files: ClassVar[bool] = False
    """Whether strings in its columns are the names of files: `read` then gets what its `decoder` makes of them."""
    reads_texts: ClassVar[bool] = False
    """Whether the strings in its column are texts, so that each line of a text file may be a record."""

    separate: ClassVar[bool] = False
    """Whether it reads one column, and `read` finds each value by itself: different values are then read once."""

    column: str | None = option(None, description="column to read; default: the name of the feature")

    @property
    def learns(self) -> bool:
        """Whether `read` returns strings, and `prepare` makes numbers of them with what `learn` found."""
        return False

    @property
    def span(self) -> tuple[int, int] | None:
        """The rows of a window, relative to the record's: the first, and that after the last. None for a single row."""
        return None

    @property
    def sequential(self) -> bool:
        """Whether the tokens of its strings are the rows."""
        return False

    @property
    def unlabelled(self) -> int | None:
        """The number in the data at positions without a class or token, which losses skip; None if there is none."""
        return None

    @property
    def fills(self) -> bool:
        """Whether missing values are replaced."""
        return False

    @property
    def drops(self) -> bool:
        """Whether records without its value are left out."""
        return False

    @property
    def refines(self) -> bool:
        """Whether `filled` may change values."""
        return bool(self.fill_types())

    @property
    def indicators(self) -> int:
        """How many entries at the end of the last axis of the network's values show what is missing."""
        return 0

    @property
    def normalization(self) -> str | None:
        """How values are normalized, `none` if they are not; None if they can't be."""
        return None

    @property
    def decision(self) -> Thresholds:
        """The score above which a label, or the second of two classes, is predicted; None for the default."""
        return None

    def reads(self, name: str) -> tuple[str, ...]:
        """The columns that it reads; `*` in a name matches several."""
        return (self.column or name,)

    def rooted(self, folder: str | Path) -> Self:
        """The same feature with absolute paths."""
        return self

    def value_type(self) -> TensorType:
        """The type of the network's values."""
        raise NotImplementedError

    def raw_type(self) -> TensorType:
        """The type that `read` returns and an exported program takes."""
        return self.value_type()

    def data_type(self) -> TensorType:
        """The type of the values that a data set and a batch hold: raw ones if they are `packed`."""
        return self.raw_type() if self.packed else self.value_type()

    def reads_numbers(self, index: int) -> bool:
        """Whether its column of this number holds numbers, which a source may spell in its own way."""
        return self.raw_type().is_float

    def unfit_target(self) -> RuleViolation | None:
        """What is wrong with it as a target; None if it can be one."""
        return None

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """Columns of n records -> an array of n rows with the shape of the raw type, without loss of precision.

        Raises:
            RuleViolation: DLC403, DLC404 or DLC406, with the row, when a value doesn't fit.
        """
        raise NotImplementedError

    def learn(self, raw: NDArray[Any], base: Path) -> bytes:
        """A JSON document of what `prepare` needs, from the strings of the training split (n,).

        Args:
            raw: the strings.
            base: the folder that relative paths start from.

        Raises:
            RuleViolation: DLC405 when nothing can be learned from them.
        """
        raise NotImplementedError

    def prepare(self, raw: NDArray[Any], artifact: bytes, name: str, first_row: int = 1) -> NDArray[Any]:
        """Strings (n,) as an array of n rows with the shape of the raw type.

        Raises:
            RuleViolation: DLC404, with the row, when a string doesn't fit.
        """
        raise NotImplementedError

    def sequences(self, raw: NDArray[Any], artifact: bytes, name: str, first_row: int = 1) -> list[Any]:
        """The tokens of each string, if the feature is `sequential`.

        Raises:
            RuleViolation: DLC404, with the row, when a string doesn't fit.
        """
        raise NotImplementedError

    def decoder(self) -> Decoder:
        """How the files of a feature with `reads_files` become arrays."""
        raise NotImplementedError

    def spelled(self, values: NDArray[Any], artifact: bytes) -> NDArray[Any]:
        """The strings of prepared values (n, time): an object array (n,). Only of features that `reads_texts`."""
        raise NotImplementedError

    def token_names(self, artifact: bytes) -> list[str]:
        """The tokens of the vocabulary, in the order of their ids. Only of features that `reads_texts`."""
        raise NotImplementedError

    def undeclared(self, values: Sequence[str]) -> RuleViolation | None:
        """What is wrong with a column of classes that has these values, None if nothing is."""
        return None

    def fit(self, raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Statistics learned from the training split: means, ranges, in float64. Empty by default.

        A compiled program gets them in float32. The rounding error of a statistic `x` is passed as `x_rest`, if there
        is one; on the host it is 0.

        If the data don't fit into memory, `raw` is not an array but can be sliced like one: read it block by block.
        """
        return {}

    def stats_types(self) -> dict[str, TensorType]:
        """The types of the results of `fit`."""
        return {}

    def absent(self, raw: Any) -> Any:
        """Bool like `raw`: true where a value is missing; None if none can be."""
        return None

    def fill_types(self) -> dict[str, TensorType]:
        """The types of the results of `fit_fill`."""
        return {}

    def fit_fill(self, raw: NDArray[Any], name: str) -> dict[str, NDArray[Any]]:
        """What replaces missing values, learned before `fit`, in float64. Nothing by default."""
        return {}

    def filled(self, raw: Any, stats: Stats) -> Any:
        """Raw values with replacements for missing ones and within their limits, as `fit` and `encode` get them."""
        return raw

    def marked(self, value: Any, raw: Any) -> Any:
        """Encoded values with 0 at padding, and where raw ones are missing, if the network gets that.

        Only raw values show both: filled ones may equal padding.
        """
        return value

    def encode(self, raw: Any, stats: Stats) -> Any:
        """Raw values without missing ones -> the network's values."""
        return raw

    def declared_range(self) -> ValueRange | None:
        """What the raw values lie in, in the user's unit; None if only the data tell."""
        return None

    def encoded_range(self) -> ValueRange | None:
        """What the network's values lie in, as far as it is known without the data; infinite for centered values."""
        return None

    def mask(self, raw: Any) -> Any:
        """Bool (n, time), false at padding; only for features with a masked type."""
        raise NotImplementedError

    def aligned(self, parts: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Raw values of several sources, padded to one size if the feature supports it."""
        return list(parts)

    def decode(self, value: Any, stats: Stats) -> Any:
        """The network's values -> values in the user's unit."""
        return value

    def centered(self, stats: Stats) -> Stats:
        """Statistics with which `decode` omits a constant offset, for measures that do not depend on it."""
        return stats

    def prediction_columns(self, name: str, sizes: Sequence[int]) -> list[str]:
        """The names of the columns in a table of predictions, whose records have these sizes."""
        return array_columns(name, sizes)

    def present(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The columns `prediction_columns` of a table, from decoded predictions of n records."""
        return present_array(name, prediction)

    def arrays(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Decoded predictions of n records as arrays, each in its own shape: (n, *sizes), or (n,) for single values."""
        return {name: single_values(prediction)}


def where_defined(values: NDArray[Any], undefined: NDArray[np.bool_]) -> NDArray[Any]:
    """Values with None in the place of undefined ones; as they are if all are defined."""
    if not undefined.any():
        return values
    found = values.astype(object)
    found[undefined] = None
    return found


def array_columns(name: str, sizes: Sequence[int]) -> list[str]:
    """The names of the elements of an array: `name` of a single one, else `name_0`, or `name_0_0` with two axes."""
    if prod(sizes) == 1:
        return [name]
    return ["_".join(map(str, (name, *position))) for position in product(*map(range, sizes))]


def single_values(prediction: NDArray[Any]) -> NDArray[Any]:
    """(n, *sizes), or (n,) if each record is a single value."""
    return prediction.reshape(len(prediction)) if prod(prediction.shape[1:]) == 1 else prediction


def present_array(name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The elements of n arrays as columns."""
    flat = prediction.reshape(prediction.shape[0], prod(prediction.shape[1:]))
    columns = array_columns(name, prediction.shape[1:])
    return {column: flat[:, index] for index, column in enumerate(columns)}


def fitted(feature: Feature, name: str, raw: Any) -> dict[str, NDArray[Any]]:
    """Everything that a feature learns from the training split: replacements of missing values, then the rest."""
    fill = feature.fit_fill(raw, name)
    return {**fill, **feature.fit(with_filled(feature, raw, fill))}


def fitted_types(feature: Feature) -> dict[str, TensorType]:
    """The types of the results of `fitted`."""
    return {**feature.fill_types(), **feature.stats_types()}


def with_filled(feature: Feature, raw: Any, stats: Stats) -> Any:
    """Raw values as `fit` gets them: `filled` on access, which can be sliced like an array."""
    return _Filled(feature, raw, stats) if feature.refines else raw


class _Filled:
    """The result of `with_filled`."""

    def __init__(self, feature: Feature, raw: Any, stats: Stats) -> None:
        self.feature, self.raw, self.stats = feature, raw, stats
        self.shape, self.ndim, self.dtype = raw.shape, len(raw.shape), raw.dtype

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, where: slice) -> NDArray[Any]:
        found: NDArray[Any] = self.feature.filled(self.raw[where], self.stats)
        return found


def encoded(feature: Feature, name: str, raw: Any, stats: Stats) -> dict[str, Any]:
    """The network's values of a feature under its name, and its mask, if it has one."""
    values = {name: feature.marked(feature.encode(feature.filled(raw, stats), stats), raw)}
    return {**values, name + MASK: feature.mask(raw)} if feature.value_type().mask else values


def encoded_on_host(feature: Feature, name: str, raw: NDArray[Any], stats: Stats) -> dict[str, NDArray[Any]]:
    """`encoded` of records on the host, block by block: values that are computed in float64 are stored in float32."""
    step = max(1, _BLOCK // max(1, prod(raw.shape[1:])))
    found: dict[str, NDArray[Any]] = {}
    for start in range(0, max(1, len(raw)), step):
        for key, value in encoded(feature, name, raw[start : start + step], stats).items():
            block = np.asarray(value)
            if key not in found:
                number = key == name and feature.value_type().is_float
                kind = np.float32 if number else block.dtype
                if len(block) == len(raw):
                    found[key] = np.asarray(block, kind)
                    continue
                found[key] = np.empty((len(raw), *block.shape[1:]), kind)
            found[key][start : start + step] = block
    return found


def only(columns: Sequence[NDArray[Any]], name: str, word: str) -> NDArray[Any]:
    """The single column of a feature that reads one, with one value per record: (n,).

    Raises:
        RuleViolation: DLC402 when a pattern selects several columns, DLC406 when records are arrays.
    """
    if len(columns) != 1:
        raise RuleViolation(
            "DLC402",
            f"a `{word}` reads one column",
            found=f"{len(columns)} columns: {name}",
            hint="declare several columns as one `tensor: {columns: [...]}`",
            option="column",
        )
    column = columns[0]
    if column.size != column.shape[0]:
        raise RuleViolation(
            "DLC406",
            f"records of `{name}` are arrays, but a `{word}` is a single value",
            found=f"arrays of shape {list(column.shape[1:])}",
            expected="one value per record",
            hint="declare it as a `tensor`",
        )
    return column.reshape(column.shape[0])


def as_numbers(column: NDArray[Any], name: str, first_row: int, missing: float | None = None) -> NDArray[Any]:
    """A column as numbers, exactly: in its own type if float32 holds all of its values, else in float64.

    `missing`, which may be NaN, replaces empty fields and NaN.

    Raises:
        WrongValues: DLC403, with all values that are not numbers.
    """
    if column.dtype.kind not in "fiubOUS":
        raise RuleViolation("DLC403", f"the column `{name}` holds no numbers", found=f"values of type {column.dtype}")
    texts: NDArray[np.bool_] | None = None
    with np.errstate(over="ignore", invalid="ignore"):  # overflow is reported below, with its row
        try:
            values = column.astype(_EXACT.get(column.dtype.name, np.float64), copy=False)
        except (ValueError, TypeError, OverflowError):
            numbers = [_number(value) for value in column.flat]
            texts = np.array([number is None for number in numbers], bool).reshape(column.shape)
            values = np.array([np.nan if number is None else number for number in numbers]).reshape(column.shape)
        if values.dtype.kind != "f":
            return values
        bad = ~(np.abs(values) <= _LARGEST)
        if missing is not None and bad.any():
            gaps = np.isnan(values) if texts is None else np.isnan(values) & ~texts
            values, bad = np.where(gaps, np.asarray(missing, values.dtype), values), bad & ~gaps
    if bad.any():
        raise _not_numbers(column, values, bad, name, first_row)
    return values


def numbers_of(
    columns: Sequence[NDArray[Any]], labels: Sequence[str], first_row: int, missing: float | None = None
) -> list[NDArray[Any]]:
    """`as_numbers` of several columns, with their names.

    Raises:
        WrongValues: those of one column; `Violations` if several columns have some.
    """
    parts: list[NDArray[Any]] = []
    wrong: list[RuleViolation] = []
    for index, (column, label) in enumerate(zip(columns, labels, strict=True)):
        try:
            parts.append(as_numbers(column, label, first_row, missing))
        except WrongValues as error:
            wrong.append(error.of(label, index))
    raise_all(wrong)
    return parts


def before_data(padding: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which padding (n, time) comes before a time step that is not padding."""
    later: NDArray[np.bool_] = np.logical_or.accumulate(~padding[:, ::-1], axis=1)[:, ::-1]
    return padding & later


def _not_numbers(
    column: NDArray[Any], values: NDArray[Any], bad: NDArray[np.bool_], name: str, first_row: int
) -> WrongValues:
    """The error of values that are not numbers."""
    rows = np.nonzero(bad)[0]
    found = [as_text(value) for value in column[bad].tolist()]
    undefined = np.isnan(values[bad])
    counts = Counter(field(text) if _number(text) is None else f"`{text}`" if text else field(text) for text in found)
    texts = list(dict.fromkeys(found))
    return WrongValues(
        "DLC403",
        "is not a number" if undefined[0] else "is not a finite number",
        name,
        first_row + int(rows[0]),
        counts,
        expected="a number" if undefined.any() else "a number within float32, up to 3.4e38",
        hint=_advice(texts) if undefined.any() else None,
    )


def _advice(texts: Sequence[str]) -> str | None:
    """The hint for fields that are not numbers."""
    marks = [text for text in texts if text.lower() in _MARKS]
    if marks:
        listed = ", ".join(json.dumps(mark) for mark in marks)
        stand = "these stand for missing values" if len(marks) > 1 else "it stands for a missing value"
        return f"if {stand}, set `missing_values: [{listed}]` of the `csv`"
    if any(_COMMA.fullmatch(text) for text in texts):
        return 'if the comma is a decimal mark, set `decimal: ","` of the `csv`'
    if any(not text or text.lower() == "nan" for text in texts):
        return "set `missing`: for example `median` fills an input, and `drop` leaves out records without a target"
    return None


_EXACT = {"float16": "float32", **{name: name for name in ("float32", "int8", "uint8", "int16", "uint16")}}
_LARGEST = 3.4028234663852886e38  # of float32
_COMMA = re.compile(r"[+-]?\d*,\d+")
_MARKS = {"na", "n/a", "n.a.", "#n/a", "#na", "null", "none", "nil", "?", "-", "--", ".", "..", "missing", "unknown"}


def as_text(value: Any) -> str:
    """A field as a string: empty for None, UTF-8 for bytes."""
    if value is None:
        return ""
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def _number(value: Any) -> float | None:
    """A field as a number: NaN if it is empty, infinite if it is too large, None if it is not a number."""
    if isinstance(value, float):
        return value
    text = str(int(value)) if isinstance(value, (bool, np.bool_)) else as_text(value)
    try:
        return float(text) if text else np.nan
    except ValueError:
        return None


_BLOCK = 1 << 17  # elements of a block in float64: 1 MiB, whatever the size of the split


def rows_of(raw: Any, mask: Callable[[Any], Any] | None = None) -> Iterator[NDArray[Any]]:
    """The entries of the last axis of all records, block by block: (k, width).

    Records are read in blocks, so that a fold over the rows is the same for data in memory and on disk. With a mask the
    rows of padding are left out, and the others make blocks of one size: further padding changes no sum.

    Args:
        raw: (n, *axes), an array or an object that is sliced like one.
        mask: raw values of some records -> bool (n, time), false at padding.
    """
    width = raw.shape[-1] if raw.ndim > 1 else 1
    step = max(1, _BLOCK // max(1, prod(raw.shape[1:])))
    blocks = [slice(start, start + step) for start in range(0, len(raw), step)]
    if mask is None:
        yield from (raw[block].reshape(-1, width) for block in blocks)
        return
    read = raw.raw if isinstance(raw, _Filled) else raw  # padding is recognized before missing values are filled
    size = max(1, _BLOCK // max(1, width))
    rest = np.empty((0, width), raw.dtype)
    for block in blocks:
        rest = np.concatenate([rest, raw[block][mask(read[block])].reshape(-1, width)])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if len(rest):
        yield rest


_GATHERED = 1 << 23  # numbers of some entries of all records that are in memory at a time: 64 MiB


def entries_of(raw: Any, mask: Callable[[Any], Any] | None = None) -> Iterator[NDArray[Any]]:
    """All values of one entry of the last axis after another: (n,), in float64 if they have fractions.

    Args:
        raw: (n, *axes), an array or an object that is sliced like one.
        mask: raw values of some records -> bool (n, time), false at padding, which is left out.
    """
    width = raw.shape[-1] if raw.ndim > 1 else 1
    together = max(1, _GATHERED // max(1, prod(raw.shape) // max(1, width)))
    for start in range(0, width, together):
        parts = [_widened(rows[:, start : start + together]) for rows in rows_of(raw, mask)]
        part = np.concatenate(parts) if parts else np.empty((0, min(together, width - start)))
        yield from part.T


def _widened(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float64) if values.dtype.kind == "f" else values
