"""Classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from dlc.diagnostics import listing
from dlc.features.feature import Feature, FeatureExample, Stats
from dlc.ir import TensorType
from dlc.lazy import np
from dlc.options import Fault, Wrong, main, option, reject, spell

if TYPE_CHECKING:
    from numpy.typing import NDArray

Classes = int | tuple[str, ...] | dict[str, tuple[str, ...]]


def _classes(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2:
        return value
    if isinstance(value, (list, tuple)) and len(value) >= 2:
        names = tuple(_name(item) for item in value)
        if len(set(names)) == len(names):
            return names
    if isinstance(value, dict) and len(value) >= 2:
        groups = {key: tuple(_name(item) for item in (group if isinstance(group, (list, tuple)) else [group])) for key, group in value.items()}
        members = [item for group in groups.values() for item in group]
        if len(set(members)) == len(members):
            return groups
    expected = "a count of at least 2, a list of at least 2 names, or groups `{name: [values]}`, none of them twice"
    raise reject(Fault((), "DLC104", "these are no classes", found=spell(value), expected=expected))


def _name(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Category(Feature):
    """A class: (batch,) in int32, numbers from 0; or (batch, classes) in float32 with `one_hot`.

    `classes` is a count (the data holds 0, 1, ...), a list of the names in the data, or groups of them:
    `{flower: [rose, tulip], tree: [oak]}`.
    """

    word = "category"
    classes: Annotated[Classes, BeforeValidator(_classes)] = main(description="count, names or groups of the classes")
    one_hot: bool = option(False, description="give rows of 0 and 1 instead of numbers")

    examples = (
        FeatureExample("category: 3", "i32[batch]<3", ["0", "2"], [0, 2]),
        FeatureExample("category: 3", "i32[batch]<3", [0, 2.0], [0, 2]),
        FeatureExample("category: [no, yes]", "i32[batch]<2", ["yes", "no"], [1, 0]),
        FeatureExample("category: {classes: {a: [x, y], b: z}}", "i32[batch]<2", ["z", "y"], [1, 0]),
        FeatureExample("category: {classes: 2, one_hot: true}", "f32[batch, 2]", ["1", "0"], [1, 0]),
        FeatureExample("category: 2", "i32[batch]<2", ["0", "2"], error="DLC404"),
        FeatureExample("category: [no, yes]", "i32[batch]<2", ["maybe"], error="DLC404"),
        FeatureExample("category: 1", "i32[batch]<1", ["0"], error="DLC104"),
    )

    @property
    def names(self) -> list[str]:
        """What the classes are called, in order."""
        return [str(index) for index in range(self.classes)] if isinstance(self.classes, int) else list(self.classes)

    def value_type(self) -> TensorType:
        """i32[batch], or f32[batch, classes] with one_hot."""
        count = len(self.names)
        return TensorType(("batch", count)) if self.one_hot else TensorType(("batch",), "i32", bound=count)

    def raw_type(self) -> TensorType:
        """i32[batch]."""
        return TensorType(("batch",), "i32", bound=len(self.names))

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """Class numbers."""
        column = columns[0].reshape(columns[0].shape[0], -1)
        if column.shape[1] != 1:
            raise Wrong("DLC406", f"records of `{name}` are arrays, not classes", expected="one class a record")
        values, inverse = np.unique(column[:, 0], return_inverse=True)
        table = {key: index for index, keys in enumerate(self._keys()) for key in keys}
        codes = np.array([table.get(self._spelling(value), -1) for value in values], np.int32)
        numbers = codes[inverse.reshape(-1)] if len(values) else np.zeros(0, np.int32)
        bad = np.flatnonzero(numbers < 0)
        if len(bad):
            known = listing(table, limit=8)
            row = int(bad[0])
            unknown = [self._spelling(value) for value, code in zip(values, codes, strict=True) if code < 0]
            hint = f"list the names: `classes: [{', '.join(map(str, values))}]`"
            raise Wrong(
                "DLC404",
                f"row {first_row + row} of column `{name}` holds an unknown class",
                found=f"`{self._spelling(column[row, 0])}` ({len(unknown)} unknown in all)",
                expected=f"one of {known}",
                hint=hint if isinstance(self.classes, int) and len(values) <= 12 else None,
                option="classes",
            )
        return numbers

    def _keys(self) -> list[tuple[str, ...]]:
        if isinstance(self.classes, dict):
            return list(self.classes.values())
        return [(name,) for name in self.names]

    @staticmethod
    def _spelling(value: Any) -> str:
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            return str(int(value))
        return str(value).strip()

    def encode(self, raw: Any, stats: Stats) -> Any:
        """Class numbers, or rows of 0 and 1."""
        if not self.one_hot:
            return raw
        return (raw[:, None] == np.arange(len(self.names), dtype=np.int32)).astype("float32")

    def present(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The class, and a column of probability for each."""
        names = self.names
        rows = prediction.reshape(prediction.shape[0], -1)
        if rows.shape[1] == 1:  # one probability, of the second class
            best = (rows[:, 0] > 0.5).astype(int)
            return {name: np.array(names)[best], f"{name}_{names[1]}": rows[:, 0]}
        best = rows.argmax(axis=1)
        return {name: np.array(names)[best], **{f"{name}_{key}": rows[:, index] for index, key in enumerate(names)}}
