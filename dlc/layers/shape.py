"""Layers that only change the shape."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from dlc.ir import Example, Layer, Signature, TensorType, known_size
from dlc.options import Fault, Wrong, main, reject, spell

if TYPE_CHECKING:
    from jax import Array


class Flatten(Layer):
    """(batch, *axes) -> (batch, product of the axes)."""

    word = "flatten"
    examples = (
        Example("flatten", "f32[batch, 8, 8, 3]", "f32[batch, 192]"),
        Example("flatten", "f32[batch, 5]", "f32[batch, 5]"),
        Example("flatten", "f32[batch, time, 5]", error="DLC203"),
        Example("flatten: 2", "f32[batch, 8]", error="DLC106"),
    )

    def infer(self, x: TensorType) -> Signature:
        """All axes but the first become one."""
        sizes = [known_size(x, axis, self.word) for axis in range(1, x.rank)]
        return Signature(x.resized(x.shape[0], prod(sizes)))

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """The elements of each example in a row."""
        return x.reshape(x.shape[0], prod(x.shape[1:]))


def _shape(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value]
    whole = all(isinstance(part, int) and not isinstance(part, bool) and (part > 0 or part == -1) for part in parts)
    if not whole or list(parts).count(-1) > 1:
        expected = "a list of sizes without the batch axis, at most one of them -1"
        raise reject(Fault((), "DLC104", "this is not a shape", found=spell(value), expected=expected))
    return tuple(parts)


class Reshape(Layer):
    """(batch, *axes) -> (batch, *shape): the same elements, row by row; one size may be -1, what is left."""

    word = "reshape"
    shape: Annotated[tuple[int, ...], BeforeValidator(_shape)] = main(description="new sizes, without the batch axis")

    examples = (
        Example("reshape: [8, 8, 1]", "f32[batch, 64]", "f32[batch, 8, 8, 1]"),
        Example("reshape: [-1, 2]", "f32[batch, 4, 6]", "f32[batch, 12, 2]"),
        Example("reshape: [5, 5]", "f32[batch, 24]", error="DLC205"),
        Example("reshape: [-1, 5]", "f32[batch, 24]", error="DLC205"),
        Example("reshape: [0, 5]", "f32[batch, 24]", error="DLC104"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The declared shape, -1 filled in."""
        total = prod(known_size(x, axis, self.word) for axis in range(1, x.rank))
        fixed = prod(part for part in self.shape if part != -1)
        fits = total % fixed == 0 if -1 in self.shape else total == fixed
        if not fits:
            raise Wrong(
                "DLC205",
                f"`reshape` can't lay out {total} elements as {list(self.shape)}",
                found=str(x),
                expected=f"a shape of {total} elements",
            )
        return Signature(x.resized(x.shape[0], *(total // fixed if part == -1 else part for part in self.shape)))

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """The same elements in the new shape."""
        total = prod(x.shape[1:])
        fixed = prod(part for part in self.shape if part != -1)
        return x.reshape(x.shape[0], *(total // fixed if part == -1 else part for part in self.shape))
