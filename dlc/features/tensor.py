"""Arrays of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from dlc.features.feature import Feature, FeatureExample, Stats, as_numbers, fit_normalizer
from dlc.ir import Dim, TensorType
from dlc.lazy import np
from dlc.options import Fault, Wrong, main, option, reject, spell

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _shape(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value]
    for part in parts:
        size = isinstance(part, int) and not isinstance(part, bool) and part > 0
        if not size and not (isinstance(part, str) and part.isidentifier() and part != "batch"):
            expected = "a list of sizes; a word for a size that varies"
            raise reject(Fault((), "DLC104", "this is not a shape", found=spell(value), expected=expected))
    return tuple(parts)


class Tensor(Feature):
    """An array of numbers: (batch, *shape) in float32.

    It reads one column that holds arrays, or several columns of numbers side by side, in the order given.
    """

    word = "tensor"
    shape: Annotated[tuple[Dim, ...], BeforeValidator(_shape)] = main(description="sizes without the batch axis")
    columns: tuple[str, ...] | None = option(
        None, description="columns of numbers to put side by side; `pixel_*` matches many"
    )
    scale: float | None = option(None, gt=0, description="divide by this: 255 brings bytes to 0..1")
    normalize: Literal["none", "standard", "minmax"] = option(
        "none", description="bring each entry of the last axis to mean 0 and deviation 1, or to 0..1, as the training split has it"
    )

    examples = (
        FeatureExample("tensor: {shape: [2], scale: 2}", "f32[batch, 2]", [[0, 1], [2, 4]], [[0, 1], [2, 4]]),
        FeatureExample("tensor: [2, 1]", "f32[batch, 2, 1]", [[0, 1], [2, 4]], [[[0], [1]], [[2], [4]]]),
        FeatureExample("tensor: [3]", "f32[batch, 3]", [[0, 1], [2, 4]], error="DLC406"),
        FeatureExample("tensor: [1]", "f32[batch, 1]", ["1", "x"], error="DLC403"),
    )

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("columns"), list):
            return {**data, "columns": tuple(data["columns"])}
        if isinstance(data, dict) and isinstance(data.get("columns"), str):
            return {**data, "columns": (data["columns"],)}
        return data

    @model_validator(mode="after")
    def _check(self) -> Tensor:
        if self.columns and self.column:
            raise reject(Fault(("column",), "DLC303", "`column` has no effect beside `columns`", at_key=True))
        if self.normalize != "none" and not isinstance(self.shape[-1] if self.shape else 1, int):
            raise reject(Fault(("normalize",), "DLC203", "`normalize` needs a last axis of known size"))
        return self

    def reads(self, name: str) -> tuple[str, ...]:
        """The named columns, else the feature's own."""
        return self.columns or super().reads(name)

    def value_type(self) -> TensorType:
        """f32[batch, *shape]."""
        return TensorType(("batch", *self.shape))

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """The columns side by side, in the declared shape."""
        parts = [as_numbers(column, name, first_row) for column in columns]
        rows = parts[0].shape[0]
        values = parts[0] if len(parts) == 1 else np.concatenate([part.reshape(rows, -1) for part in parts], axis=1)
        sizes = [dim for dim in self.shape if isinstance(dim, int)]
        record = values.shape[1:]
        if len(sizes) == len(self.shape) and prod(sizes) == prod(record):
            return np.ascontiguousarray(values.reshape(rows, *sizes))
        matches = len(record) == len(self.shape) and all(
            isinstance(want, str) or want == have for want, have in zip(self.shape, record, strict=True)
        )
        if not matches:
            declared = f"[{', '.join(map(str, self.shape))}]"
            raise Wrong(
                "DLC406",
                f"records of `{name}` don't have the declared shape {declared}",
                found=f"arrays of shape {list(record)}",
                expected=f"{prod(sizes)} numbers" if len(sizes) == len(self.shape) else declared,
                option="shape",
            )
        return np.ascontiguousarray(values)

    def fit(self, raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Shift and scale of each entry of the last axis."""
        if self.normalize == "none":
            return {}
        return fit_normalizer(raw / self.scale if self.scale else raw, self.normalize)

    def stats_types(self) -> dict[str, TensorType]:
        """The normaliser's vectors."""
        kind = TensorType(self.shape[-1:] or (1,))
        return {} if self.normalize == "none" else {"shift": kind, "scale": kind}

    def encode(self, raw: Any, stats: Stats) -> Any:
        """(raw / scale - shift) / deviation."""
        if self.scale:
            raw = raw / self.scale
        return (raw - stats["shift"]) / stats["scale"] if self.normalize != "none" else raw

    def decode(self, value: Any, stats: Stats) -> Any:
        """The inverse of encode."""
        if self.normalize != "none":
            value = value * stats["scale"] + stats["shift"]
        return value * self.scale if self.scale else value
