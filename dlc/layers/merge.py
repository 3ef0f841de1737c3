"""Layers of several inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from dlc.ir import Dim, Example, Layer, Signature, TensorType, need_float
from dlc.lazy import jnp
from dlc.options import Wrong, option

if TYPE_CHECKING:
    from jax import Array


class Merge(Layer):
    """What merges share: at least two inputs, named in the short form."""

    takes: ClassVar[tuple[int, int | None]] = (2, None)
    short_form_inputs: ClassVar[bool] = True


class Add(Merge):
    """(*shape), (*shape), ... -> (*shape): the sum, element by element."""

    word = "add"
    masks = "elementwise"
    examples = (
        Example("add: [a, b]", ("f32[batch, 4]", "f32[batch, 4]"), "f32[batch, 4]"),
        Example("add: [a, b, c]", ("f32[batch, 4, 2]",) * 3, "f32[batch, 4, 2]"),
        Example("add: [a, b]", ("f32[batch, 4]", "f32[batch, 5]"), error="DLC205"),
        Example("add: [a, b]", ("f32[batch, 4]", "f32[batch, 4, 4]"), error="DLC205"),
        Example("add: [a, b]", ("f32[batch, 4]", "bf16[batch, 4]"), error="DLC207"),
        Example("add: [a, b]", ("f32[batch, 4]", "i32[batch, 4]"), error="DLC207"),
        Example("add: [a]", ("f32[batch, 4]",), error="DLC206"),
    )

    def infer(self, *inputs: TensorType) -> Signature:
        """All shapes must be the same."""
        for x in inputs:
            need_float(x, self.word)
            if x.shape != inputs[0].shape:
                raise Wrong("DLC205", "`add` takes inputs of one shape", expected="the same shape for all")
        need_one_dtype(inputs, self.word)
        return Signature(inputs[0], flops=(len(inputs) - 1) * inputs[0].size)

    def apply(self, weights: Mapping[str, Array], *inputs: Array, key: Array | None, train: bool) -> Array:
        """The sum."""
        return reduce(jnp.add, inputs)


class Concat(Merge):
    """(*lead, c), (*lead, d), ... -> (*lead, c + d + ...): the inputs side by side, along the last axis or another."""

    word = "concat"
    axis: int = option(-1, description="the axis that grows, the batch axis counted as 0; negative from the end")

    examples = (
        Example("concat: [a, b]", ("f32[batch, 4]", "f32[batch, 3]"), "f32[batch, 7]"),
        Example("concat: {axis: 1}", ("f32[batch, 2, 5]", "f32[batch, 3, 5]", "f32[batch, 1, 5]"), "f32[batch, 6, 5]"),
        Example("concat: {axis: 1}", ("f32[batch, time, 5]", "f32[batch, 3, 5]"), "f32[batch, (time + 3), 5]"),
        Example("concat: [a, b]", ("i32[batch, 1]<3", "i32[batch, 1]<7"), "i32[batch, 2]<7"),
        Example("concat: [a, b]", ("i32[batch, 1]<3", "i32[batch, 1]"), "i32[batch, 2]"),
        Example("concat: [a, b]", ("f32[batch, 4, 2]", "f32[batch, 3, 2]"), error="DLC205"),
        Example("concat: [a, b]", ("f32[batch, 4, 2]", "f32[batch, 4]"), error="DLC204"),
        Example("concat: [a, b]", ("f32[batch, 4]", "i32[batch, 4]"), error="DLC207"),
        Example("concat: {axis: 2}", ("f32[batch, 4]", "f32[batch, 3]"), error="DLC104"),
        Example("concat: {axis: 0}", ("f32[batch, 4]", "f32[batch, 4]"), error="DLC104"),
    )

    def infer(self, *inputs: TensorType) -> Signature:
        """The joined axis is the sum; the others must agree."""
        rank = inputs[0].rank
        axis = self.axis + rank if self.axis < 0 else self.axis
        if any(x.rank != rank for x in inputs):
            raise Wrong("DLC204", "`concat` takes inputs with as many axes", expected="the same number of axes for all")
        if not 0 < axis < rank:
            hint = "axis 0 is the batch" if axis == 0 else None
            raise Wrong(
                "DLC104", f"no axis {self.axis} to join along", expected=f"1 to {rank - 1}", hint=hint, option="axis"
            )
        need_one_dtype(inputs, self.word)
        for x in inputs:
            rest, first = list(x.shape), list(inputs[0].shape)
            rest[axis] = first[axis] = 0
            if rest != first:
                raise Wrong("DLC205", f"`concat` joins axis {axis}; the other sizes must agree")
        shape = list(inputs[0].shape)
        shape[axis] = _sum([x.shape[axis] for x in inputs])
        bounds = [x.bound for x in inputs if x.bound is not None]
        output = replace(inputs[0].resized(*shape), bound=max(bounds) if len(bounds) == len(inputs) else None)
        return Signature(output)

    def apply(self, weights: Mapping[str, Array], *inputs: Array, key: Array | None, train: bool) -> Array:
        """The inputs side by side."""
        return jnp.concatenate(inputs, axis=self.axis)


def need_one_dtype(inputs: Sequence[TensorType], word: str) -> None:
    """Raise DLC207 unless all inputs have elements of one type."""
    if any(x.dtype != inputs[0].dtype for x in inputs):
        raise Wrong("DLC207", f"`{word}` takes inputs of one element type", expected=f"{inputs[0].dtype} for all")


def _sum(dims: list[Dim]) -> Dim:
    whole = [dim for dim in dims if isinstance(dim, int)]
    if len(whole) == len(dims):
        return sum(whole)
    return "(" + " + ".join(str(dim) for dim in dims) + ")"
