"""What a column of single values shows: gaps, a constant, and whether it is another column in disguise."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose, isfinite, isnan
from typing import TYPE_CHECKING, Any

from dlc.components.features.feature import as_text
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_VALUES = 1 << 20  # different values of a column that are compared
_LINE = 5  # different values from which on a straight line is no coincidence


def comparable(column: NDArray[Any]) -> list[Any]:
    """The values of a column (n, *ones): numbers as floats, other strings without blanks around, None where missing."""
    flat = column.reshape(len(column))
    if flat.dtype.kind in "fiub":
        return [None if value != value else value for value in flat.astype(np.float64).tolist()]
    texts = [value if isinstance(value, str) else as_text(value) for value in flat.tolist()]
    meant = {text: _meaning(text) for text in set(texts)}
    return [meant[text] for text in texts]


def _meaning(text: str) -> float | str | None:
    """A number if a string spells one; None if it is empty or `nan`."""
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        return text or None
    return None if isnan(number) else number if isfinite(number) else text


class ColumnFacts:
    """How many values of a column are missing, and whether the others are all the same."""

    def __init__(self) -> None:
        self.count = self.missing = 0
        self.unit = "record"
        self.value: Any = None
        self._same = True

    @property
    def constant(self) -> bool:
        """Whether there are several values, and all are the same."""
        return self._same and self.value is not None and self.count - self.missing > 1

    def add(self, values: Sequence[Any]) -> None:
        """Add the values of some records."""
        self.count += len(values)
        self.missing += values.count(None)
        for value in set(values):
            if value is not None and value != (self.value if self.value is not None else value):
                self._same = False
            if self.value is None:
                self.value = value

    def add_array(self, values: NDArray[Any]) -> None:
        """Add records that are arrays: each of their elements counts."""
        self.unit, self._same = "element", False
        self.count += values.size
        if values.dtype.kind == "f":
            self.missing += int(np.isnan(values).sum())


class Resemblance:
    """Whether a column determines another one value by value.

    Args:
        same: whether it is the same column.
    """

    def __init__(self, same: bool) -> None:
        self.same, self.count = same, 0
        self._equal = self._renamed = self._straight = True
        self._forward: dict[Any, Any] = {}
        self._backward: dict[Any, Any] = {}
        self._line: tuple[float, float] | None = None

    def found(self) -> str | None:
        """How the column reveals the other one, None if it doesn't."""
        if self.same:
            return "is its own column"
        if len(self._forward) < 2:
            return None
        if self._equal:
            return "is a copy"
        if self._renamed and 2 * len(self._forward) <= self.count:
            return "is a renaming"
        if self._straight and self._line is not None and len(self._forward) >= _LINE:
            return "is a linear function"
        return None

    def add(self, values: Sequence[Any], others: Sequence[Any]) -> None:
        """Compare some records; missing values don't count."""
        if self.same or not (self._equal or self._renamed or self._straight):
            return
        pairs = {(x, y) for x, y in zip(values, others, strict=True) if x is not None and y is not None}
        self.count += sum(x is not None and y is not None for x, y in zip(values, others, strict=True))
        for x, y in pairs:
            self._equal = self._equal and x == y
            if len(self._forward) < _MOST_VALUES:
                one, other = self._forward.setdefault(x, y), self._backward.setdefault(y, x)
                self._renamed = self._renamed and one == y and other == x
        self._renamed = self._renamed and len(self._forward) < _MOST_VALUES
        self._straight = self._straight and self._is_straight(pairs)

    def _is_straight(self, pairs: set[tuple[Any, Any]]) -> bool:
        """Whether points lie on the line through the first ones."""
        if not all(isinstance(x, float) and isinstance(y, float) for x, y in pairs):
            return False
        if self._line is None:
            (x0, y0), (x1, y1) = min(pairs, default=(0.0, 0.0)), max(pairs, default=(0.0, 0.0))
            if x0 == x1:
                return True
            slope = (y1 - y0) / (x1 - x0)
            if not slope:
                return False
            self._line = (slope, y0 - slope * x0)
        slope, start = self._line
        size = max((abs(y) for _, y in pairs), default=1.0)
        return all(isclose(slope * x + start, y, rel_tol=1e-9, abs_tol=1e-9 * size) for x, y in pairs)
