"""Classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, model_validator

from dlc.components.features.feature import Feature, FeatureExample, Stats, as_text, only
from dlc.components.value_ranges import ValueRange
from dlc.diagnostics import did_you_mean, listing
from dlc.ir import TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UNKNOWN, _IGNORED = -1, -2  # codes of spellings that are not a class

Classes = int | tuple[str, ...] | dict[str, tuple[str, ...]]


def _classes(value: Any) -> Any:
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
    """A normalized spelling, for tables that write `True` for `true` and `2.0` for `2`."""
    if text.lower() in ("true", "false"):
        return text.lower()
    match = _WHOLE.fullmatch(text)
    return match.group(1) if match else text


def _spelling(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return as_text(value)


class Category(Feature):
    """A class: (batch,) in int32, numbers from 0; or (batch, classes) in float32 with `one_hot`.

    `classes` is a count (the data holds 0, 1, ...), a list of the names in the data, or groups of them:
    `{flower: [rose, tulip], tree: [oak]}`. `ignored` is the number for unlabelled positions, in the data and in the
    target: a loss with this `ignore_index` skips them.
    """

    word = "category"
    classes: Annotated[Classes, BeforeValidator(_classes)] = main(description="number, names or groups of the classes")
    one_hot: bool = option(False, description="return rows of 0 and 1 instead of numbers")
    ignored: int | None = option(
        None, ge=-(2**31), lt=2**31, description="the number in the data for no class; only for targets"
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
    )

    @model_validator(mode="after")
    def _check(self) -> Category:
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
    def count(self) -> int:
        """The number of classes."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def names(self) -> list[str]:
        """The names of the classes, in order."""
        return [str(index) for index in range(self.classes)] if isinstance(self.classes, int) else list(self.classes)

    def value_type(self) -> TensorType:
        """i32[batch], or f32[batch, classes] with one_hot."""
        return TensorType(("batch", self.count)) if self.one_hot else self.raw_type()

    def raw_type(self) -> TensorType:
        """i32[batch]."""
        return TensorType(("batch",), "i32", bound=self.count)

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """Class numbers."""
        column = only(columns, name, self.word)
        known, ignored = self._numbering(), str(self.ignored) if self.ignored is not None else None

        def number(text: str) -> int:
            code = known(text)
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
            row = int(bad.argmax())
            raise self._unknown(column[row], codes, f"row {first_row + row} of column `{name}`")
        return numbers if self.ignored is None else np.where(numbers == _IGNORED, np.int32(self.ignored), numbers)

    def _numbering(self) -> Callable[[str], int]:
        """A function from a spelling to its class number, -1 for none."""
        classes = self.classes
        if isinstance(classes, int):
            return lambda text: _index(text, classes)
        groups = classes.values() if isinstance(classes, dict) else [(name,) for name in classes]
        exact = {key: index for index, keys in enumerate(groups) for key in keys}
        loose: dict[str, int] = {}
        for key, index in exact.items():
            loose[_loose(key)] = index if loose.get(_loose(key), index) == index else -1
        return lambda text: exact.get(text, loose.get(_loose(text), -1))

    def _unknown(self, value: Any, codes: Mapping[str, int], where: str) -> RuleViolation:
        text = _spelling(value)
        unknown = [key for key, code in codes.items() if code == _UNKNOWN]
        classes, hint = self.classes, None
        if isinstance(classes, int):
            expected = f"an integer from 0 to {classes - 1}"
            if len(codes) <= 12 and not any(_WHOLE.fullmatch(f"{key}.") for key in codes):
                hint = f"list the names: `classes: [{', '.join(sorted(codes))}]`"
        else:
            values = [key for keys in classes.values() for key in keys] if isinstance(classes, dict) else list(classes)
            expected, hint = f"one of {listing(values, 8)}", did_you_mean(text, values)
        if not text:
            hint = "to make empty fields a class, name it `''`"
        counted = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        shown = f"the number `{text}`" if counted else spell(text)
        found = shown if text else "an empty field"
        more = f", the first of {len(unknown)} unknown ones" if len(unknown) > 1 else ""
        message = f"{where} holds an unknown class"
        return RuleViolation("DLC404", message, found=found + more, expected=expected, hint=hint, option="classes")

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
        best = (rows[:, 0] > 0.5).astype(int) if rows.shape[1] == 1 else rows.argmax(axis=1)
        classes = np.array(self.names)[best]
        undefined = np.isnan(rows).any(axis=1)
        if undefined.any():
            classes = np.where(undefined, None, classes.astype(object))
        columns = self.prediction_columns(name, prediction.shape[1:])
        return dict(zip(columns, [classes, *rows.T], strict=True))

    def arrays(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The same as the columns of a table."""
        return self.present(name, prediction)


def _index(text: str, count: int) -> int:
    """The class number in a string, -1 for none; with two classes also `false` and `true`."""
    text = _loose(text)
    if count == 2 and text in ("false", "true"):
        return int(text == "true")
    index = int(text) if _WHOLE.fullmatch(f"{text}.") else -1
    return index if 0 <= index < count else -1
