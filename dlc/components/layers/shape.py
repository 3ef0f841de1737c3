"""Layers that change the shape, the order or the mask, not the values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from dlc.components.layers.axis_options import need_positions, with_mask
from dlc.diagnostics import plural
from dlc.ir import Context, Dim, Example, Layer, Signature, TensorType, known_size
from dlc.language.options import OptionError, RuleViolation, flow, main, reject, spell, unquoted_hint

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

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The elements of each example in a row."""
        return x.reshape(x.shape[0], prod(x.shape[1:]))


def _shape(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value]
    whole = all(
        part is None or (isinstance(part, int) and not isinstance(part, bool) and (part > 0 or part == -1))
        for part in parts
    )
    if not whole or list(parts).count(-1) > 1:
        expected = "a list of sizes without the batch axis, at most one of them -1; null for an axis that stays"
        hint = unquoted_hint(value)
        if any(isinstance(part, str) and part.isidentifier() for part in parts) or list(parts).count(-1) > 1:
            hint = "write null for an axis that stays"
        raise reject(OptionError((), "DLC104", "not a valid shape", found=spell(value), expected=expected, hint=hint))
    return tuple(parts)


class Reshape(Layer):
    """(batch, *axes) -> (batch, *shape): the same elements, row by row; one size may be -1: what remains.

    null is the size of the input's axis at the same position: [null, null, 2, 4] makes (batch, height, width, 2, 4) of
    (batch, height, width, 8). With -1 one more size may be a symbol: [-1, 2, 3] makes (batch, time, 2, 3) of
    (batch, time, 6). A mask is kept if axis 1 keeps its size, so that each position keeps its elements.
    """

    word = "reshape"
    masks = "used"
    decoding = "pointwise"
    shape: Annotated[tuple[int | None, ...], BeforeValidator(_shape)] = main(
        description="new sizes, without the batch axis; -1 for what is left, null for an axis that stays"
    )

    examples = (
        Example("reshape: [8, 8, 1]", "f32[batch, 64]", "f32[batch, 8, 8, 1]"),
        Example("reshape: [-1, 2]", "f32[batch, 4, 6]", "f32[batch, 12, 2]"),
        Example("reshape: [-1, 2, 3]", "f32[batch, time, 6] masked", "f32[batch, time, 2, 3] masked"),
        Example("reshape: [-1, 2]", "f32[batch, time, 6]", "f32[batch, (time * 3), 2]"),
        Example("reshape: [4, 3, 2]", "f32[batch, 4, 6] masked", "f32[batch, 4, 3, 2] masked"),
        Example("reshape: [null, null, 2, 3]", "f32[batch, height, width, 6]", "f32[batch, height, width, 2, 3]"),
        Example("reshape: [null, -1]", "f32[batch, time, width, 3] masked", "f32[batch, time, (width * 3)] masked"),
        Example("reshape: [6, null]", "f32[batch, 6]", error="DLC205"),
        Example("reshape: [null, 5]", "f32[batch, time, 6]", error="DLC205"),
        Example("reshape: [-1, 2]", "f32[batch, time, 6] masked", error="DLC212"),
        Example("reshape: [5, 5]", "f32[batch, 24]", error="DLC205"),
        Example("reshape: [-1, 5]", "f32[batch, 24]", error="DLC205"),
        Example("reshape: [-1, 5]", "f32[batch, time, 6]", error="DLC205"),
        Example("reshape: [4, 6]", "f32[batch, time, 6]", error="DLC203"),
        Example("reshape: [-1, 6]", "f32[batch, height, width, 6]", error="DLC203"),
        Example("reshape: [0, 5]", "f32[batch, 24]", error="DLC104"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The declared shape, -1 filled in."""
        stays = [axis for axis, part in enumerate(self.shape, 1) if part is None]
        if stays and stays[-1] >= x.rank:
            message, expected = f"the input has no axis {stays[-1]} that could stay", f"null for axes 1 to {x.rank - 1}"
            raise RuleViolation("DLC205", message, found=str(x), expected=expected, option="shape")
        others = [axis for axis in range(1, x.rank) if axis not in stays]
        symbols = [axis for axis in others if isinstance(x.shape[axis], str)]
        spared = symbols[0] if len(symbols) == 1 and -1 in self.shape else 0
        if symbols and not spared:
            size, hint = x.shape[symbols[0]], "write null for an axis that stays, and -1 for what is left"
            message = f"`{self.word}` must know the size of the axis `{size}`"
            raise RuleViolation("DLC203", message, found=str(x), expected=f"a number instead of `{size}`", hint=hint)
        total = prod(known_size(x, axis, self.word) for axis in others if axis != spared)
        fixed = prod(part for part in self.shape if part is not None and part != -1)
        fits = total % fixed == 0 if -1 in self.shape else total == fixed
        if not fits:
            elements = f"{total} times `{x.shape[spared]}` elements" if spared else plural(total, "element")
            raise RuleViolation(
                "DLC205",
                f"`reshape` can't lay out {elements} as {flow(self.shape)}",
                found=str(x),
                expected=f"a shape of {elements}",
            )
        left: Dim = total // fixed
        if spared:
            left = str(x.shape[spared]) if left == 1 else f"({x.shape[spared]} * {left})"
        sizes = [x.shape[axis] if part is None else part for axis, part in enumerate(self.shape, 1)]
        output = x.resized(x.shape[0], *(left if part == -1 else part for part in sizes))
        kept = output.shape[1:2] == x.shape[1:2]
        return Signature(with_mask(x, output, kept, self.word, "it changes the size of axis 1"))

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The time axis must stay."""
        kept = self.infer(inputs[0].masked(False)).output.shape[1:2] == inputs[0].shape[1:2]
        need_positions(self.word, kept, "it changes the size of axis 1")

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The same elements in the new shape."""
        shape = (None, *self.shape[1:]) if ctx.decode else self.shape
        sizes = [x.shape[axis] if part is None else part for axis, part in enumerate(shape, 1)]
        if -1 in sizes:
            stays = [axis for axis, part in enumerate(shape, 1) if part is None]
            total = prod(size for axis, size in enumerate(x.shape) if axis and axis not in stays)
            fixed = prod(part for part in self.shape if part is not None and part != -1)
            sizes[sizes.index(-1)] = total // fixed
        return x.reshape(x.shape[0], *sizes)
