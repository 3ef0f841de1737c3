"""The contract of features: how columns of records become the network's values, and predictions become columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dlc.ir import TensorType
from dlc.lazy import np
from dlc.options import Options, Wrong, option, spell

if TYPE_CHECKING:
    from numpy.typing import NDArray

Stats = Mapping[str, "NDArray[Any]"]


class FeatureExample(NamedTuple):
    """A worked use: the feature as written, its type, and a column with the values that are read from it."""

    spec: str
    type: str
    column: Sequence[Any]
    read: Sequence[Any] | None = None
    error: str | None = None


class Feature(Options):
    """A kind of input or target.

    A value passes three stages: `read` parses columns on the host (texts, class names) into an array of numbers;
    `encode` brings that into the network's range; `decode` leads predictions back. The last two only use operators, so
    that they work on numpy arrays and inside a compiled program alike, and travel with an exported program.
    """

    column: str | None = option(None, description="column to read; the feature's own name when left out")

    def reads(self, name: str) -> tuple[str, ...]:
        """The columns that it reads; `*` in a name matches many."""
        return (self.column or name,)

    def value_type(self) -> TensorType:
        """What the network sees."""
        raise NotImplementedError

    def raw_type(self) -> TensorType:
        """What `read` gives and an exported program takes."""
        return self.value_type()

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """Columns of n records -> an array of n rows of the raw type.

        Raises:
            Wrong: DLC403, DLC404 or DLC406, with the row, when a value doesn't fit.
        """
        raise NotImplementedError

    def fit(self, raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What is learned from the training split: means, ranges. Empty by default."""
        return {}

    def stats_types(self) -> dict[str, TensorType]:
        """The types of what `fit` gives."""
        return {}

    def encode(self, raw: Any, stats: Stats) -> Any:
        """Raw values -> the network's values."""
        return raw

    def decode(self, value: Any, stats: Stats) -> Any:
        """The network's values -> values in the user's unit."""
        return value

    def present(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Columns of a table of predictions, from decoded predictions of n records."""
        flat = prediction.reshape(prediction.shape[0], -1)
        if flat.shape[1] == 1:
            return {name: flat[:, 0]}
        return {f"{name}_{index}": flat[:, index] for index in range(flat.shape[1])}


def as_numbers(column: NDArray[Any], name: str, first_row: int, missing: float | None = None) -> NDArray[Any]:
    """A column as float32 numbers; `missing` stands for empty fields.

    Raises:
        Wrong: DLC403, naming the first row that is no number.
    """
    if column.dtype.kind in "fiub":
        values = column.astype(np.float32)
    elif column.dtype.kind not in "OUS":
        raise Wrong("DLC403", f"the column `{name}` holds no numbers", found=f"values of type {column.dtype}")
    else:
        try:
            values = column.astype(np.float32)
        except (ValueError, TypeError):
            values = np.array([_number(value, name, first_row + row, missing) for row, value in enumerate(column.ravel())])
            values = values.astype(np.float32).reshape(column.shape)
    bad = ~np.isfinite(values)
    if not bad.any():
        return values
    if missing is not None and np.isnan(values[bad]).all():
        return np.where(bad, np.float32(missing), values)
    row = int(np.argwhere(bad)[0][0])
    raise Wrong(
        "DLC403",
        f"row {first_row + row} of column `{name}` is not finite",
        found=spell(float(values[tuple(np.argwhere(bad)[0])])),
        expected="a number",
        hint="`missing:` fills gaps in a `number`",
    )


def _number(value: Any, name: str, row: int, missing: float | None) -> float:
    text = str(value).strip()
    if not text and missing is not None:
        return missing
    try:
        return float(text)
    except ValueError:
        found = spell(text) if text else "an empty field"
        hint = None if text else "`missing:` fills gaps in a `number`"
        raise Wrong(
            "DLC403", f"row {row} of column `{name}` is not a number", found=found, expected="a number", hint=hint
        ) from None


def fit_normalizer(raw: NDArray[Any], how: str) -> dict[str, NDArray[Any]]:
    """The shift and scale that normalise values along the last axis: `standard` (mean 0, deviation 1) or `minmax` (0 to 1)."""
    rows = raw.reshape(-1, raw.shape[-1]).astype(np.float64)
    if how == "standard":
        shift, scale = rows.mean(0), rows.std(0)
    else:
        shift = rows.min(0)
        scale = rows.max(0) - shift
    scale = np.where(scale == 0, 1.0, scale)
    return {"shift": shift.astype(np.float32), "scale": scale.astype(np.float32)}
