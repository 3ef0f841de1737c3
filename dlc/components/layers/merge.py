"""Layers of several inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator

from dlc.components.layers.axis_options import need_positions, place_of, with_mask
from dlc.components.layers.group_norm import unit
from dlc.ir import (
    Context,
    Decoding,
    Dim,
    Example,
    Layer,
    Masks,
    Normalized,
    Outcome,
    Signature,
    TensorType,
    need_float,
    refused_decoding,
)
from dlc.kernels.maxima import larger
from dlc.language.options import OptionError, RuleViolation, option, reject, spell
from dlc.support.lazy import jnp, lax

if TYPE_CHECKING:
    from jax import Array


class Merge(Layer):
    """What merges share: at least two inputs, named in the short form."""

    arity: ClassVar[tuple[int, int | None]] = (2, None)
    short_form_inputs: ClassVar[bool] = True


class ElementwiseMerge(Merge):
    """What the merges share that combine inputs of one shape element by element."""

    masks: ClassVar[Masks] = "elementwise"
    decoding: ClassVar[Decoding] = "pointwise"
    broadcasts: ClassVar[bool] = False  # whether a size of 1 goes with another size

    def infer(self, *inputs: TensorType) -> Signature:
        """All shapes must be the same, but for a size of 1 where the layer allows it."""
        for x in inputs:
            need_float(x, self.word)
        need_one_dtype(inputs, self.word)
        shape = self.shape(inputs)
        for x in inputs:
            if x.mask and x.shape[1:2] != shape[1:2]:
                message = f"`{self.word}` can't broadcast a mask of size {x.shape[1]} over {shape[1]}"
                raise RuleViolation("DLC212", message, expected="a masked input of the full size of axis 1")
        output = TensorType(shape, inputs[0].dtype, any(x.mask for x in inputs))
        return Signature(output, flops=(len(inputs) - 1) * output.size)

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """Element by element, unless an input is repeated along the time axis."""
        super().check_decoding(inputs, stepped)
        if len({x.shape[1] for x in inputs}) > 1:
            raise refused_decoding(self.word, "it repeats an input along the time axis")

    def shape(self, inputs: Sequence[TensorType]) -> tuple[Dim, ...]:
        """The common shape."""
        first = inputs[0]
        if any(x.rank != first.rank for x in inputs):
            raise RuleViolation("DLC205", f"`{self.word}` takes inputs of one shape", expected="the same shape for all")
        sizes: list[Dim] = []
        for axis in range(first.rank):
            found = list(dict.fromkeys(x.shape[axis] for x in inputs))
            if self.broadcasts and axis > 0:
                found = [size for size in found if size != 1] or [1]
            if len(found) > 1:
                expected = "the same shape for all"
                if self.broadcasts:
                    expected += ", or a size of 1 where another has more"
                raise RuleViolation("DLC205", f"`{self.word}` takes inputs of one shape", expected=expected)
            sizes += found
        return tuple(sizes)

    def apply(self, weights: Mapping[str, Array], *inputs: Array, ctx: Context) -> Array:
        """The inputs combined from the first to the last."""
        return reduce(self.combine, inputs)

    def combine(self, a: Array, b: Array) -> Array:
        """Two values as one."""
        raise NotImplementedError


class Add(ElementwiseMerge):
    """(*shape), (*shape), ... -> (*shape): the sum, element by element.

    A size of 1 is broadcast to the other inputs' size, (batch, 1, 1, c) over (batch, h, w, c). Of the other merge
    layers, only `multiply` does that.
    """

    word = "add"
    broadcasts = True
    examples = (
        Example("add: [a, b]", ("f32[batch, 4]", "f32[batch, 4]"), "f32[batch, 4]"),
        Example("add: [a, b, c]", ("f32[batch, 4, 2]",) * 3, "f32[batch, 4, 2]"),
        Example("add: [a, b]", ("f32[batch, 1, 2]", "f32[batch, time, 1]"), "f32[batch, time, 2]"),
        Example("add: [a, b]", ("f32[batch, 4]", "f32[batch, 5]"), error="DLC205"),
        Example("add: [a, b]", ("f32[batch, 4]", "f32[batch, 4, 4]"), error="DLC205"),
        Example("add: [a, b]", ("f32[batch, 4]", "bf16[batch, 4]"), error="DLC207"),
        Example("add: [a, b]", ("f32[batch, 4]", "i32[batch, 4]"), error="DLC207"),
        Example("add: [a]", ("f32[batch, 4]",), error="DLC206"),
    )

    def combine(self, a: Array, b: Array) -> Array:
        """The sum."""
        return a + b


class ResidualSum(ElementwiseMerge):
    """(*shape), (*shape), ... -> (*shape): the sum at the end of a residual, where the shapes must be the same.

    It has no name of its own: a body of size 1 would be a mistake there.
    """

    word = "add"

    def combine(self, a: Array, b: Array) -> Array:
        """The sum."""
        return a + b


class Subtract(ElementwiseMerge):
    """(*shape), (*shape) -> (*shape): the first less the second, element by element."""

    word = "subtract"
    arity = (2, 2)
    examples = (
        Example("subtract: [a, b]", ("f32[batch, 4]", "f32[batch, 4]"), "f32[batch, 4]"),
        Example("subtract: [a, b]", ("f32[batch, 4]", "f32[batch, 1]"), error="DLC205"),
        Example("subtract: [a, b, c]", ("f32[batch, 4]",) * 3, error="DLC206"),
    )

    def combine(self, a: Array, b: Array) -> Array:
        """The difference."""
        return a - b


class Multiply(ElementwiseMerge):
    """(*shape), (*shape), ... -> (*shape): the product, element by element.

    A size of 1 is broadcast to the other inputs' size, as in squeeze-and-excitation, where (batch, 1, 1, c) weighs the
    channels of (batch, h, w, c) (Hu et al. 2017, arXiv:1709.01507). Of the other merge layers, only `add` does that.
    """

    word = "multiply"
    broadcasts = True
    examples = (
        Example("multiply: [a, b]", ("f32[batch, 4]", "f32[batch, 4]"), "f32[batch, 4]"),
        Example("multiply: [a, b]", ("f32[batch, 1, 1, 3]", "f32[batch, 4, width, 3]"), "f32[batch, 4, width, 3]"),
        Example("multiply: [a, b]", ("f32[batch, 4, 4, 3]", "f32[batch, 4, 4, 1]"), "f32[batch, 4, 4, 3]"),
        Example("multiply: [a, b]", ("f32[batch, 4]", "f32[batch, 2]"), error="DLC205"),
        Example("multiply: [a, b]", ("f32[batch, 4, 3]", "f32[batch, 3]"), error="DLC205"),
        Example("multiply: [a, b]", ("f32[batch, 1, 3] masked", "f32[batch, time, 3]"), error="DLC212"),
    )

    def combine(self, a: Array, b: Array) -> Array:
        """The product."""
        return a * b


class Average(ElementwiseMerge):
    """(*shape), (*shape), ... -> (*shape): the mean, element by element."""

    word = "average"
    examples = (
        Example("average: [a, b, c]", ("f32[batch, time, 4]",) * 3, "f32[batch, time, 4]"),
        Example("average: [a, b]", ("f32[batch, 4]", "f32[batch, 5]"), error="DLC205"),
    )

    def apply(self, weights: Mapping[str, Array], *inputs: Array, ctx: Context) -> Array:
        """The sum over the count."""
        total = reduce(self.combine, [x.astype(jnp.float32) for x in inputs])  # the sum may exceed float16
        return (total / len(inputs)).astype(inputs[0].dtype)

    def combine(self, a: Array, b: Array) -> Array:
        """The sum."""
        return a + b


class Maximum(ElementwiseMerge):
    """(*shape), (*shape), ... -> (*shape): the largest, element by element."""

    word = "maximum"
    examples = (
        Example("maximum: [a, b]", ("f32[batch, 4]", "f32[batch, 4]"), "f32[batch, 4]"),
        Example("maximum: [a, b]", ("f32[batch, 4]", "f32[batch, 1]"), error="DLC205"),
    )

    def combine(self, a: Array, b: Array) -> Array:
        """The larger."""
        return larger(a, b)


class Minimum(ElementwiseMerge):
    """(*shape), (*shape), ... -> (*shape): the smallest, element by element."""

    word = "minimum"
    examples = (
        Example("minimum: [a, b]", ("f32[batch, 4]", "f32[batch, 4]"), "f32[batch, 4]"),
        Example("minimum: [a, b]", ("f32[batch, 4]", "f32[batch, 1]"), error="DLC205"),
    )

    def combine(self, a: Array, b: Array) -> Array:
        """The smaller."""
        return -larger(-a, -b)


def _pair(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value, value]
    if len(parts) != 2 or not all(isinstance(part, int) and not isinstance(part, bool) for part in parts):
        expected = "an integer, or a list of two"
        raise reject(OptionError((), "DLC103", "not a valid list of axes", found=spell(value), expected=expected))
    return tuple(parts)


class Dot(Merge):
    """(batch, *a, n), (batch, *b, n) -> (batch, *a, *b): the products summed along an axis of each input.

    If no axes but the batch remain, the result is (batch, 1). Normalized, the vectors along the axes have length 1, and
    a result is the cosine of their angle.
    """

    word = "dot"
    arity = (2, 2)
    axes: Annotated[tuple[int, int], BeforeValidator(_pair)] = option(
        (-1, -1), description="the axis of each input that is summed, with the batch axis as 0: one for both, or two"
    )
    normalize: bool = option(False, description="divide the vectors along the axes by their length")

    examples = (
        Example("dot: [a, b]", ("f32[batch, 4]", "f32[batch, 4]"), "f32[batch, 1]"),
        Example("dot: {axes: 2}", ("f32[batch, time, 3]", "f32[batch, 5, 3]"), "f32[batch, time, 5]"),
        Example("dot: {axes: [1, 2], normalize: true}", ("f32[batch, 3, 2]", "f32[batch, 4, 3]"), "f32[batch, 2, 4]"),
        Example("dot: [a, b]", ("f32[batch, 4]", "f32[batch, 5]"), error="DLC205"),
        Example("dot: {axes: 0}", ("f32[batch, 4]", "f32[batch, 4]"), error="DLC104"),
        Example("dot: {axes: 2}", ("f32[batch, 4]", "f32[batch, 4]"), error="DLC104"),
        Example("dot: {axes: [1, 2, 1]}", ("f32[batch, 4]", "f32[batch, 4]"), error="DLC103"),
        Example("dot: [a, b]", ("f32[batch, 4]", "i32[batch, 4]"), error="DLC207"),
        Example("dot: [a, b, c]", ("f32[batch, 4]",) * 3, error="DLC206"),
    )

    def infer(self, a: TensorType, b: TensorType) -> Signature:
        """The axes that go must have one size."""
        need_float(a, self.word)
        need_float(b, self.word)
        need_one_dtype((a, b), self.word)
        first, second = self.places(a.rank, b.rank)
        if a.shape[first] != b.shape[second]:
            message = f"`dot` sums along axis {first} of the first and axis {second} of the second, which must agree"
            raise RuleViolation("DLC205", message, option="axes")
        left, right = list(a.shape), list(b.shape)
        size = left.pop(first)
        right.pop(second)
        shape = (*left, *right[1:])
        output = TensorType(shape if len(shape) > 1 else (*shape, 1), a.dtype)
        return Signature(output, flops=2 * output.size * (size if isinstance(size, int) else 1))

    def normalized(self, *inputs: TensorType) -> Normalized | None:
        """The vectors, with `normalize`."""
        a, b = inputs
        size = a.shape[self.places(a.rank, b.rank)[0]]
        return Normalized((size,), "the product of two signs") if self.normalize else None

    def places(self, a: int, b: int) -> tuple[int, int]:
        """The axes counted from 0, for inputs of `a` and `b` axes."""
        return place_of(self.axes[0], a, self.word, "axes"), place_of(self.axes[1], b, self.word, "axes")

    def apply(self, weights: Mapping[str, Array], a: Array, b: Array, *, ctx: Context) -> Array:
        """Sum over n of a[..., n] * b[..., n]."""
        first, second = self.places(a.ndim, b.ndim)
        if self.normalize:
            a, b = unit(a, first), unit(b, second)
        y = lax.dot_general(a, b, (((first,), (second,)), ((0,), (0,))))  # (B, *a, *b)
        return y if y.ndim > 1 else y[:, None]


class Concat(Merge):
    """(*lead, c), (*lead, d), ... -> (*lead, c + d + ...): the inputs side by side, along the last axis or another.

    Along axis 1 the masks are joined as the values are; along another axis padding in any input is padding.
    """

    word = "concat"
    masks = "used"
    decoding = "pointwise"
    axis: int = option(-1, description="the axis that grows: 0 is the batch axis, negative numbers count from the end")

    examples = (
        Example("concat: [a, b]", ("f32[batch, 4]", "f32[batch, 3]"), "f32[batch, 7]"),
        Example("concat: {axis: 1}", ("f32[batch, 2, 5]", "f32[batch, 3, 5]", "f32[batch, 1, 5]"), "f32[batch, 6, 5]"),
        Example("concat: {axis: 1}", ("f32[batch, time, 5]", "f32[batch, 3, 5]"), "f32[batch, (time + 3), 5]"),
        Example(
            "concat: {axis: 1}",
            ("f32[batch, time, 5] masked", "f32[batch, 3, 5]"),
            "f32[batch, (time + 3), 5] masked",
        ),
        Example("concat: [a, b]", ("f32[batch, 4, 5]", "f32[batch, 4, 2] masked"), "f32[batch, 4, 7] masked"),
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
        need_one_rank(inputs, self.word)
        axis = place_of(self.axis, inputs[0].rank, self.word)
        need_one_dtype(inputs, self.word)
        for x in inputs:
            rest, first = list(x.shape), list(inputs[0].shape)
            rest[axis] = first[axis] = 0
            if rest != first:
                raise RuleViolation("DLC205", f"`concat` joins axis {axis}; the other sizes must agree")
        shape = list(inputs[0].shape)
        shape[axis] = _sum([x.shape[axis] for x in inputs])
        mask = any(x.mask for x in inputs)
        return Signature(TensorType(tuple(shape), inputs[0].dtype, mask, common_bound(inputs)))

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """Each position by itself, unless the time axis grows."""
        super().check_decoding(inputs, stepped)
        if place_of(self.axis, inputs[0].rank, self.word) == 1:
            raise refused_decoding(self.word, "it joins its inputs along the time axis")

    def apply(self, weights: Mapping[str, Array], *inputs: Array, ctx: Context) -> Outcome:
        """The inputs side by side, with their masks."""
        axis = place_of(self.axis, inputs[0].ndim, self.word)
        real = [mask for mask in ctx.masks if mask is not None]
        mask = None
        if real and axis == 1:
            given = [
                jnp.ones(x.shape[:2], bool) if mask is None else mask for x, mask in zip(inputs, ctx.masks, strict=True)
            ]
            mask = jnp.concatenate(given, axis=1)  # (B, T + T' + ...)
        elif real:
            mask = reduce(jnp.logical_and, real)
        return Outcome(jnp.concatenate(inputs, axis=axis), mask=mask)


class Stack(Merge):
    """(batch, *axes), (batch, *axes), ... -> (batch, n, *axes): the inputs one after another along a new axis."""

    word = "stack"
    masks = "used"
    decoding = "pointwise"
    axis: int = option(1, description="index of the new axis: 0 is the batch axis, negative numbers count from the end")

    examples = (
        Example("stack: [a, b]", ("f32[batch, 4]", "f32[batch, 4]"), "f32[batch, 2, 4]"),
        Example("stack: {axis: -1}", ("f32[batch, time, 4]",) * 3, "f32[batch, time, 4, 3]"),
        Example("stack: {axis: 2}", ("f32[batch, 4, 3] masked", "f32[batch, 4, 3]"), "f32[batch, 4, 2, 3] masked"),
        Example("stack: [a, b]", ("i32[batch]<3", "i32[batch]<7"), "i32[batch, 2]<7"),
        Example("stack: [a, b]", ("f32[batch, 4, 3] masked", "f32[batch, 4, 3]"), error="DLC212"),
        Example("stack: [a, b]", ("f32[batch, 4]", "f32[batch, 3]"), error="DLC205"),
        Example("stack: [a, b]", ("f32[batch, 4]", "f32[batch, 4, 1]"), error="DLC204"),
        Example("stack: {axis: 3}", ("f32[batch, 4]", "f32[batch, 4]"), error="DLC104"),
        Example("stack: {axis: 0}", ("f32[batch, 4]", "f32[batch, 4]"), error="DLC104"),
        Example("stack: [a, b]", ("f32[batch, 4]", "i32[batch, 4]"), error="DLC207"),
    )

    def infer(self, *inputs: TensorType) -> Signature:
        """All shapes must be the same; a new axis as long as there are inputs."""
        need_one_rank(inputs, self.word)
        axis = place_of(self.axis, inputs[0].rank + 1, self.word)
        need_one_dtype(inputs, self.word)
        if any(x.shape != inputs[0].shape for x in inputs):
            raise RuleViolation("DLC205", "`stack` takes inputs of one shape", expected="the same shape for all")
        shape = list(inputs[0].shape)
        shape.insert(axis, len(inputs))
        output = TensorType(tuple(shape), inputs[0].dtype, False, common_bound(inputs))
        masked = next((x for x in inputs if x.mask), inputs[0])
        return Signature(with_mask(masked, output, axis > 1, self.word, "the new axis replaces the time axis"))

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The time axis must stay where it is."""
        kept = place_of(self.axis, inputs[0].rank + 1, self.word) > 1
        need_positions(self.word, kept, "the new axis replaces the time axis", stepped)

    def apply(self, weights: Mapping[str, Array], *inputs: Array, ctx: Context) -> Outcome:
        """The inputs along the new axis."""
        real = [mask for mask in ctx.masks if mask is not None]
        axis = place_of(self.axis, inputs[0].ndim + 1, self.word)
        return Outcome(jnp.stack(inputs, axis=axis), mask=reduce(jnp.logical_and, real) if real else None)


def need_one_rank(inputs: Sequence[TensorType], word: str) -> None:
    """Raise DLC204 unless all inputs have as many axes."""
    if any(x.rank != inputs[0].rank for x in inputs):
        raise RuleViolation(
            "DLC204", f"`{word}` takes inputs with as many axes", expected="the same number of axes for all"
        )


def need_one_dtype(inputs: Sequence[TensorType], word: str) -> None:
    """Raise DLC207 unless all inputs have elements of one type."""
    if any(x.dtype != inputs[0].dtype for x in inputs):
        raise RuleViolation(
            "DLC207", f"`{word}` takes inputs of one element type", expected=f"{inputs[0].dtype} for all"
        )


def common_bound(inputs: Sequence[TensorType]) -> int | None:
    """What the elements of all inputs lie below, if it is known."""
    bounds = [x.bound for x in inputs if x.bound is not None]
    return max(bounds) if len(bounds) == len(inputs) else None


def _sum(dims: list[Dim]) -> Dim:
    whole = [dim for dim in dims if isinstance(dim, int)]
    if len(whole) == len(dims):
        return sum(whole)
    return "(" + " + ".join(str(dim) for dim in dims) + ")"
