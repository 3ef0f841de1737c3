"""Classes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Any
from unicodedata import normalize

from pydantic import BeforeValidator, model_validator

from dlc.components.features.decision import Threshold, limit, read_threshold
from dlc.components.features.feature import FeatureExample, Stats, as_text, only, where_defined
from dlc.components.features.missing import DROP, MissingValues
from dlc.components.value_ranges import ValueRange
from dlc.components.wrong_values import WrongValues
from dlc.diagnostics import did_you_mean, listing
from dlc.ir import TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_UNKNOWN, _IGNORED, _ABSENT = -1, -2, -3  # codes of spellings that are not a class

ZEROS = "zeros"
NO_CLASS = -(2**31)  # a raw value: the class is missing

Classes = int | tuple[str, ...] | dict[str, tuple[str, ...]]


def read_classes(value: Any) -> Any:
    """The option `classes`: a count, names, or groups of names."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= 2**31 - 1:
        return value
    if isinstance(value, (list, tuple)) and len(value) >= 2:
        names = tuple(_name(item) for item in value)
        if len(set(names)) == len(names) and None not in names:
            return names
    if isinstance(value, dict) and len(value) >= 2:
        groups = {
            str(key): tuple(_name(item) for item in (group if isinstance(group, (list, tuple)) else [group]))
            for key, group in value.items()
        }
        members = [item for group in groups.values() for item in group]
        if len(set(members)) == len(members) and None not in members and all(groups.values()):
            return groups
    expected = "a count of at least 2, a list of at least 2 different names, or groups `{name: [values]}`"
    raise reject(OptionError((), "DLC104", "not valid classes", found=spell(value), expected=expected))


def _name(value: Any) -> str | None:
    """A class name as spelled in the data; None if the value is not a name."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).strip() if isinstance(value, (str, int, float)) else None


_WHOLE = re.compile(r"([+-]?\d{1,18})\.0*")


def _loose(text: str) -> str:
    """A normalized spelling, for tables that write `True` for `true`, `2.0` for `2`, or compose letters of accents."""
    if text.lower() in ("true", "false"):
        return text.lower()
    match = _WHOLE.fullmatch(text)
    return match.group(1) if match else normalize("NFC", text)


def _spelling(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return as_text(value)


def read_missing(value: Any) -> Any:
    """The option `missing` of a feature of classes."""
    if isinstance(value, dict) and set(value) == {"constant"}:
        value = value["constant"]
    if value is None or (name := _name(value)) is not None:
        return None if value is None else name
    raise reject(OptionError((), "DLC104", "not a valid `missing`", found=spell(value), expected="the name of a class"))


class Category(MissingValues):
    """A class: (batch,) in int32, numbers from 0; or (batch, classes) in float32 with `one_hot`.

    `classes` is a count (the data holds 0, 1, ...), a list of the names in the data, or groups of them:
    `{flower: [rose, tulip], tree: [oak]}`. `ignored` is the number for unlabelled positions, in the data and in the
    target: a loss with this `ignore_index` skips them.

    Without `classes`, `found` bounds how many are found in the training split: the most frequent values get the numbers
    from 1 on, and 0 stands for all others. An empty field is a value like others.

    With two classes, the second is predicted if its probability is above `threshold`: in metrics, predictions and
    reports alike. `best_f1` fits it after every epoch, and keeps that of the best weights.
    """

    word = "category"
    categorical = True
    separate = True
    classes: Annotated[Classes | None, BeforeValidator(read_classes)] = main(
        None, description="number, names or groups of the classes"
    )
    found: int | None = option(
        None, ge=1, lt=2**24, description="the most values to find in the training split, in place of `classes`"
    )
    min_count: int = option(1, ge=1, description="how often a value must occur in the training split to be found")
    one_hot: bool = option(False, description="return rows of 0 and 1 instead of numbers")
    threshold: Annotated[Threshold, BeforeValidator(read_threshold)] = option(
        None, description="probability above which the second of two classes is predicted; `best_f1`: fitted"
    )
    ignored: int | None = option(
        None, ge=-(2**31) + 1, lt=2**31, description="the number in the data for no class; only for targets"
    )
    missing: Annotated[str | None, BeforeValidator(read_missing)] = option(
        None,
        description="replacement for an empty field: a class, or the `most_frequent` one of the training split; "
        "`zeros` makes the row of `one_hot` all 0; `drop` leaves out records without this target",
    )

    examples = (
        FeatureExample("category: 3", "i32[batch]<3", ["0", "2"], [0, 2]),
        FeatureExample("category: 3", "i32[batch]<3", [0, 2.0], [0, 2]),
        FeatureExample("category: [no, yes]", "i32[batch]<2", ["yes", "no"], [1, 0]),
        FeatureExample("category: {classes: {a: [x, y], b: z}}", "i32[batch]<2", ["z", "y"], [1, 0]),
        FeatureExample("category: {classes: 2, one_hot: true}", "f32[batch, 2]", ["1", "0"], [1, 0]),
        FeatureExample("category: 2", "i32[batch]<2", [False, True], [0, 1]),
        FeatureExample("category: [false, true]", "i32[batch]<2", ["True", "FALSE"], [1, 0]),
        FeatureExample("category: [5, 7]", "i32[batch]<2", ["7.0", 5], [1, 0]),
        FeatureExample("category: ['', a]", "i32[batch]<2", [None, "a"], [0, 1]),
        FeatureExample("category: {classes: 2, ignored: -1}", "i32[batch]<2", ["1", "-1", 0.0], [1, -1, 0]),
        FeatureExample("category: {classes: [a, b], ignored: 255}", "i32[batch]<2", ["b", 255], [1, 255]),
        FeatureExample("category: {classes: [no, yes], threshold: 0.2}", "i32[batch]<2", ["yes", "no"], [1, 0]),
        FeatureExample("category: {classes: 2, threshold: best_f1}", "i32[batch]<2", [0, 1], [0, 1]),
        FeatureExample("category: {classes: 3, threshold: 0.2}", "i32[batch]<3", [0, 2], error="DLC303"),
        FeatureExample("category: {classes: 2, threshold: 20}", "i32[batch]<2", [0, 1], error="DLC104"),
        FeatureExample("category: {classes: 2, threshold: [0.2, 0.3]}", "i32[batch]<2", [0, 1], error="DLC104"),
        FeatureExample("category: {classes: 2, ignored: -1}", "i32[batch]<2", ["0", "-2"], error="DLC404"),
        FeatureExample("category: {classes: 2, ignored: 1}", "i32[batch]<2", ["0"], error="DLC104"),
        FeatureExample("category: {classes: 2, ignored: 2, one_hot: true}", "f32[batch, 2]", ["0"], error="DLC303"),
        FeatureExample("category: 2", "i32[batch]<2", ["0", "2"], error="DLC404"),
        FeatureExample("category: 2", "i32[batch]<2", [0, 0.5], error="DLC404"),
        FeatureExample("category: 2", "i32[batch]<2", ["0", ""], error="DLC404"),
        FeatureExample("category: 2", "i32[batch]<2", [[0, 1], [1, 0]], error="DLC406"),
        FeatureExample("category: [no, yes]", "i32[batch]<2", ["maybe"], error="DLC404"),
        FeatureExample("category: 1", "i32[batch]<1", ["0"], error="DLC104"),
        FeatureExample("category: [a, a]", "i32[batch]<1", ["a"], error="DLC104"),
        FeatureExample("category: [a, null]", "i32[batch]<1", ["a"], error="DLC104"),
        FeatureExample("category: {classes: {a: [x, y], b: y}}", "i32[batch]<2", ["y"], error="DLC104"),
        FeatureExample("category", "i32[batch]<2", ["y"], error="DLC102"),
        FeatureExample("category: {found: 3}", "i32[batch]<4", ["b", "a", "b", 2.0], ["b", "a", "b", "2"]),
        FeatureExample(
            "category: {found: 2, min_count: 2, one_hot: true}", "f32[batch, 3]", ["b", "a", "b"], ["b", "a", "b"]
        ),
        FeatureExample("category: {found: 2, classes: 2}", "i32[batch]<2", ["y"], error="DLC303"),
        FeatureExample("category: {found: 2, missing: most_frequent}", "i32[batch]<3", ["y"], error="DLC303"),
        FeatureExample("category: {classes: 2, min_count: 2}", "i32[batch]<2", ["y"], error="DLC303"),
        FeatureExample("category: {found: 2}", "i32[batch]<3", [[1, 2]], error="DLC406"),
        FeatureExample("category: {classes: [a, b], missing: b}", "i32[batch]<2", ["a", ""], [0, NO_CLASS]),
        FeatureExample(
            "category: {classes: [a, b], one_hot: true, missing: most_frequent, missing_indicator: true}",
            "f32[batch, 3]",
            ["a", "b", "b", None],
            [0, 1, 1, NO_CLASS],
        ),
        FeatureExample(
            "category: {classes: [a, b], one_hot: true, missing: zeros}", "f32[batch, 2]", ["b", ""], [1, NO_CLASS]
        ),
        FeatureExample("category: {classes: [a, b], missing: zeros}", "i32[batch]<2", ["a"], error="DLC303"),
        FeatureExample("category: {classes: [a, b], missing: c}", "i32[batch]<2", ["a"], error="DLC104"),
        FeatureExample("category: {classes: [a, ''], missing: a}", "i32[batch]<2", ["a"], error="DLC303"),
        FeatureExample(
            "category: {classes: 2, missing: '1', missing_indicator: true}", "i32[batch]<2", ["1"], error="DLC303"
        ),
    )

    @model_validator(mode="after")
    def _check_found(self) -> Category:
        if self.classes is None and self.found is None:
            hint = "`classes`: number, names or groups of the classes; or `found: N`, the most to find in the data"
            raise reject(OptionError((), "DLC102", "`category` needs `classes`", hint=hint, at_key=True))
        others = ("classes", "threshold", "ignored", "missing") if self.found is not None else ("min_count",)
        without = "with `found`" if self.found is not None else "without `found`"
        for name in others:
            if getattr(self, name) != type(self).model_fields[name].default:
                message = f"`{name}` has no effect {without}"
                raise reject(OptionError((name,), "DLC303", message, hint="remove it", at_key=True))
        return self

    @model_validator(mode="after")
    def _check_missing(self) -> Category:
        if self.missing is None:
            return self
        known = self._numbering()
        if known("") >= 0:
            message = "`missing` has no effect: empty fields are a class"
            raise reject(OptionError(("missing",), "DLC303", message, hint="remove it, or the class `''`", at_key=True))
        if self.missing == ZEROS and not self.one_hot:
            message, advice = "`missing: zeros` needs `one_hot`", "or make missing values a class: name it `''`"
            raise reject(OptionError(("missing",), "DLC303", message, hint=advice, at_key=True))
        if self.missing not in (DROP, ZEROS, "most_frequent") and known(self.missing) < 0:
            expected = "one of the classes, `most_frequent`, `zeros`, or `drop` for a target"
            words = [*self.names[:1000], "most_frequent", ZEROS]
            message, hint = "not a valid `missing`", did_you_mean(self.missing, words)
            found = spell(self.missing)
            raise reject(OptionError(("missing",), "DLC104", message, found=found, expected=expected, hint=hint))
        if self.missing_indicator and not self.one_hot:
            message, hint = "`missing_indicator` needs `one_hot`", "or make missing values a class: name it `''`"
            raise reject(OptionError(("missing_indicator",), "DLC303", message, hint=hint, at_key=True))
        return self

    @model_validator(mode="after")
    def _check(self) -> Category:
        if self.threshold is not None and self.count > 2:
            message = "`threshold` has no effect on more than two classes: the most probable one is predicted"
            raise reject(OptionError(("threshold",), "DLC303", message, hint="remove it", at_key=True))
        if self.ignored is None:
            return self
        if 0 <= self.ignored < self.count:
            expected = f"a number that is not a class, outside of 0 to {self.count - 1}"
            message = "`ignored` is the number of a class"
            raise reject(OptionError(("ignored",), "DLC104", message, found=f"`{self.ignored}`", expected=expected))
        if self.one_hot:
            message = "`ignored` has no effect with `one_hot`: rows of 0 and 1 can't represent it"
            raise reject(OptionError(("ignored",), "DLC303", message, hint="remove `one_hot`", at_key=True))
        return self

    @property
    def fills(self) -> bool:
        """Whether `missing` says which class replaces missing ones."""
        return super().fills and self.missing != ZEROS

    @property
    def learns(self) -> bool:
        """Whether the classes are found in the training split."""
        return self.found is not None

    def unfit_target(self) -> RuleViolation | None:
        """The classes of a target are declared: the network has an output for each."""
        if self.found is None:
            return None
        hint = "list the classes: `category: [NAME, ...]`"
        return RuleViolation("DLC104", "the classes of a target must be declared", hint=hint, option="found")

    @property
    def decision(self) -> Threshold:
        """The option's value."""
        return self.threshold

    @property
    def unlabelled(self) -> int | None:
        """The option `ignored`."""
        return self.ignored

    @property
    def count(self) -> int:
        """The number of classes."""
        if self.found is not None:
            return self.found + 1
        assert self.classes is not None
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def names(self) -> list[str]:
        """The names of the classes, in order."""
        if self.classes is None or isinstance(self.classes, int):
            return [str(index) for index in range(self.count)]
        return list(self.classes)

    def class_name(self, number: int) -> str:
        """The name of a class."""
        return self.names[number] if not isinstance(self.classes, int) else str(number)

    def value_type(self) -> TensorType:
        """i32[batch], or f32[batch, classes] with one_hot, and one more with an indicator."""
        return TensorType(("batch", self.count + self.missing_indicator)) if self.one_hot else self.raw_type()

    def raw_type(self) -> TensorType:
        """i32[batch]."""
        return TensorType(("batch",), "i32", bound=self.count)

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """Class numbers; strings if the classes are to be found."""
        column = only(columns, name, self.word)
        if self.found is not None:
            return _strings(column)
        known, ignored = self._numbering(), str(self.ignored) if self.ignored is not None else None

        def number(text: str) -> int:
            code = known(text)
            if code == _UNKNOWN and self.missing is not None and text.lower() in ("", "nan"):
                return _ABSENT
            return _IGNORED if code == _UNKNOWN and ignored is not None and _loose(text) == ignored else code

        if column.dtype.kind in "OUS":  # objects of several types can't be sorted, so no np.unique
            texts = [value.strip() if isinstance(value, str) else _spelling(value) for value in column.tolist()]
            codes = {text: number(text) for text in dict.fromkeys(texts)}
            numbers = np.fromiter((codes[text] for text in texts), np.int32, len(texts))
        else:
            values, inverse = np.unique(column, return_inverse=True)
            texts = [_spelling(value) for value in values]
            codes = {text: number(text) for text in texts}
            numbers = np.array([codes[text] for text in texts], np.int32)[inverse]
        bad = numbers == _UNKNOWN
        if bad.any():
            raise self._unknown(column[bad].tolist(), codes, name, first_row + int(bad.argmax()))
        if self.missing is not None:
            numbers = np.where(numbers == _ABSENT, np.int32(NO_CLASS), numbers)
        return numbers if self.ignored is None else np.where(numbers == _IGNORED, np.int32(self.ignored), numbers)

    def learn(self, raw: NDArray[Any], base: Path) -> bytes:
        """The most frequent values; of equally frequent ones the first in the order of their characters."""
        assert self.found is not None
        counts: Counter[str] = Counter()
        for start in range(0, len(raw), _BLOCK):
            counts.update(raw[start : start + _BLOCK].tolist())
        ranked = sorted((-count, value) for value, count in counts.items() if count >= self.min_count)
        return json.dumps({"values": [value for _, value in ranked[: self.found]]}, ensure_ascii=False).encode()

    def prepare(self, raw: NDArray[Any], artifact: bytes, name: str, first_row: int = 1) -> NDArray[Any]:
        """Class numbers, 0 for values that were not found."""
        numbers = {value: 1 + index for index, value in enumerate(json.loads(artifact)["values"])}
        return np.fromiter((numbers.get(value, 0) for value in raw.tolist()), np.int32, len(raw))

    def gaps(self, raw: Any) -> Any:
        """True where there is no class."""
        return raw == NO_CLASS

    def constant(self) -> float | None:
        """The number of the class that replaces missing ones; None if it is fitted."""
        return None if self.missing in ("most_frequent", None) else float(self._numbering()(self.missing))

    def _numbering(self) -> Callable[[str], int]:
        """A function from a spelling to its class number, -1 for none."""
        classes = self.classes
        assert classes is not None
        if isinstance(classes, int):
            return lambda text: _index(text, classes)
        groups = classes.values() if isinstance(classes, dict) else [(name,) for name in classes]
        exact = {key: index for index, keys in enumerate(groups) for key in keys}
        loose: dict[str, int] = {}
        for key, index in exact.items():
            loose[_loose(key)] = index if loose.get(_loose(key), index) == index else -1
        return lambda text: exact.get(text, loose.get(_loose(text), -1))

    def _unknown(self, values: Sequence[Any], codes: Mapping[str, int], column: str, row: int) -> WrongValues:
        """The error of unknown classes, the first of which is in `row`."""
        first, classes, hint = _spelling(values[0]), self.classes, None
        assert classes is not None
        if isinstance(classes, int):
            expected = f"an integer from 0 to {classes - 1}"
            numbered = any(_WHOLE.fullmatch(f"{key}.") for key in codes)
            if len(codes) <= 12 and not numbered:
                hint = f"list the names: `classes: [{', '.join(sorted(codes))}]`"
            highest = max((int(key) for key in codes if key.isdecimal() and len(key) < 10), default=0)
            if numbered and classes <= highest < 2 * classes + 10 and all(map(str.isdecimal, codes)):
                hint = f"they are numbered up to {highest}: write `category: {highest + 1}`"
                if "0" not in codes and len(codes) <= 12:
                    hint = f"they are not numbered from 0: write `category: [{', '.join(sorted(codes, key=int))}]`"
        else:
            known = [key for keys in classes.values() for key in keys] if isinstance(classes, dict) else list(classes)
            expected, hint = f"one of {listing(known, 8)}", did_you_mean(first, known)
        if not first:
            hint = "to make empty fields a class, name it `''`; to replace them, set `missing`"
        counts = Counter(map(_shown, values))
        return WrongValues(
            "DLC404", "holds an unknown class", column, row, counts, expected=expected, hint=hint, option="classes"
        )

    def undeclared(self, values: Sequence[str]) -> RuleViolation | None:
        """The error of a column with these values, as strings; None if all are classes.

        The values are right: a declared name that is similar to one of them is misspelt.
        """
        if self.found is not None:
            return None
        known = self._numbering()
        codes = {value: known(value) for value in values}
        unknown = [value for value, code in codes.items() if code < 0 and value != str(self.ignored)]
        if not unknown or len(unknown) == self.classes:  # what classes of the right number are called is seen in data
            return None
        wrong = self._unknown(unknown, codes, self.word, 1)
        if isinstance(self.classes, int):
            return wrong
        wrong.hint = f"add {listing(unknown, 8)} to `classes`"
        for part, name in self._written():
            close = did_you_mean(name, unknown) if not {name, _loose(name)} & {*values, *map(_loose, values)} else None
            if close is not None:
                wrong.hint, wrong.part = close, part
                break
        return wrong

    def _written(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """The names that are listed, with their position in the option."""
        if isinstance(self.classes, dict):
            for group, names in self.classes.items():
                yield from (((group, index), name) for index, name in enumerate(names))
        elif isinstance(self.classes, tuple):
            yield from (((index,), name) for index, name in enumerate(self.classes))

    def encoded_range(self) -> ValueRange | None:
        """0 to 1 with one_hot."""
        return ValueRange(0.0, 1.0) if self.one_hot else None

    def encode(self, raw: Any, stats: Stats) -> Any:
        """Class numbers, or rows of 0 and 1."""
        if not self.one_hot:
            return raw
        return (raw[:, None] == np.arange(self.count, dtype=np.int32)).astype("float32")

    def prediction_columns(self, name: str, sizes: Sequence[int]) -> list[str]:
        """The class, and the probability of each class, or that of the second class if there is a single one."""
        probable = self.names[1:2] if prod(sizes) == 1 else self.names
        return [name, *(f"{name}_{key}" for key in probable)]

    def present(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """A column of the class, and columns of probabilities. A record whose probabilities are NaN has no class."""
        rows = prediction.reshape(prediction.shape[0], prod(prediction.shape[1:]))
        if rows.shape[1] == 1 or self.threshold is not None:
            best = (rows[:, -1] > limit(self.threshold)).astype(int)
        else:
            best = rows.argmax(axis=1)
        classes = where_defined(np.array(self.names)[best], np.isnan(rows).any(axis=1))
        columns = self.prediction_columns(name, prediction.shape[1:])
        return dict(zip(columns, [classes, *rows.T], strict=True))

    def arrays(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The same as the columns of a table."""
        return self.present(name, prediction)


_BLOCK = 1 << 16  # values that are counted at a time


def _strings(column: NDArray[Any]) -> NDArray[Any]:
    """The values of a column as strings in which equal classes are equal: an object array (n,)."""
    texts = [_spelling(value) for value in column.tolist()]
    known = {text: "" if text.lower() == "nan" else _loose(text) for text in dict.fromkeys(texts)}
    found = np.empty(len(texts), object)
    found[:] = [known[text] for text in texts]
    return found


def _shown(value: Any) -> str:
    """A value of a column as messages spell it."""
    text = as_text(value) if isinstance(value, str) else _spelling(value)
    counted = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return "an empty field" if not text else f"the number `{text}`" if counted else spell(text)


def _index(text: str, count: int) -> int:
    """The class number in a string, -1 for none; with two classes also `false` and `true`."""
    text = _loose(text)
    if count == 2 and text in ("false", "true"):
        return int(text == "true")
    index = int(text) if _WHOLE.fullmatch(f"{text}.") else -1
    return index if 0 <= index < count else -1
