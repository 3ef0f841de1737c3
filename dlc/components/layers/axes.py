"""Layers that move, take and mark positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from dlc.components.layers.axis_options import axes_list, need_positions, place_of, with_mask
from dlc.components.layers.windows import shifted
from dlc.diagnostics import plural
from dlc.ir import (
    Context,
    Dim,
    Example,
    Layer,
    Outcome,
    Signature,
    TensorType,
    known_size,
    need_behind_mask,
    need_float,
    need_rank,
    over,
)
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import jnp, lax

if TYPE_CHECKING:
    from jax import Array


class Permute(Layer):
    """(batch, *axes) -> (batch, *axes): the axes in another order; axis 1 is the first after the batch."""

    word = "permute"
    masks = "used"
    decoding = "pointwise"
    dims: Annotated[tuple[int, ...], BeforeValidator(axes_list)] = main(
        description="for each new axis after the batch the number of the old one, counted from 1"
    )

    examples = (
        Example("permute: [2, 1]", "f32[batch, time, 3]", "f32[batch, 3, time]"),
        Example("permute: [3, 1, 2]", "i32[batch, 2, 3, 4]<9", "i32[batch, 4, 2, 3]<9"),
        Example("permute: [1, 3, 2]", "f32[batch, time, 2, 3] masked", "f32[batch, time, 3, 2] masked"),
        Example("permute: [2, 1]", "f32[batch, time, 3] masked", error="DLC212"),
        Example("permute: [2, 1]", "f32[batch, 2, 3, 4]", error="DLC204"),
        Example("permute: [0, 1]", "f32[batch, 2, 3]", error="DLC104"),
        Example("permute: [1, 1]", "f32[batch, 2, 3]", error="DLC104"),
        Example("permute: [a, b]", "f32[batch, 2, 3]", error="DLC103"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The sizes, permuted."""
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            expected = f"each of 1 to {len(self.dims)}"
            raise RuleViolation(
                "DLC104", "not a valid order of the axes", found=f"{list(self.dims)}", expected=expected, option="dims"
            )
        if x.rank != len(self.dims) + 1:
            expected = plural(x.rank - 1, "number") if x.rank > 1 else "an input with more axes"
            message = "`permute` must name every axis after the batch"
            raise RuleViolation("DLC204", message, found=str(x), expected=expected, option="dims")
        output = x.resized(x.shape[0], *(x.shape[axis] for axis in self.dims))
        return Signature(with_mask(x, output, self.dims[0] == 1, self.word, "it moves the time axis"))

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The time axis must stay."""
        need_positions(self.word, self.dims[0] == 1, "it moves the time axis")

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The axes in the new order."""
        return x.transpose(0, *self.dims)


class RepeatVector(Layer):
    """(batch, d) -> (batch, n, d): the vector n times, one after the other."""

    word = "repeat_vector"
    n: int = main(ge=1, description="how many times")

    examples = (
        Example("repeat_vector: 3", "f32[batch, 4]", "f32[batch, 3, 4]"),
        Example("repeat_vector: 3", "f32[batch, width]", "f32[batch, 3, width]"),
        Example("repeat_vector: 3", "f32[batch, 4, 2]", error="DLC204"),
        Example("repeat_vector: 0", "f32[batch, 4]", error="DLC104"),
        Example("repeat_vector", "f32[batch, 4]", error="DLC102"),
    )

    def infer(self, x: TensorType) -> Signature:
        """A new axis 1."""
        need_rank(x, 2, self.word, "(batch, d)")
        return Signature(x.resized(x.shape[0], self.n, x.shape[1]))

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The vector along the new axis."""
        return jnp.broadcast_to(x[:, None], (x.shape[0], self.n, x.shape[1]))


class Slice(Layer):
    """(batch, *axes) -> (batch, *axes): the part of one axis from `start` up to, not including, `stop`.

    Negative numbers count from the end of the axis. Along an axis with a mask, `start` and `stop` must count from the
    beginning, because the position of the end depends on the padding.
    """

    word = "slice"
    masks = "used"
    decoding = "pointwise"
    axis: int = option(1, description="the axis: 0 is the batch axis, negative numbers count from the end")
    start: int = option(0, description="the first position")
    stop: int | None = option(None, description="the position after the last one; the end when left out")

    examples = (
        Example("slice: {stop: 1}", "f32[batch, time, 3]", "f32[batch, 1, 3]"),
        Example("slice: {axis: -1, start: 1, stop: -1}", "f32[batch, 6]", "f32[batch, 4]"),
        Example("slice: {start: 2}", "f32[batch, time, 3] masked", "f32[batch, (time - 2), 3] masked"),
        Example("slice: {start: -1}", "f32[batch, time, 3]", "f32[batch, 1, 3]"),
        Example("slice: {start: 1, stop: -1}", "f32[batch, time, 3]", "f32[batch, (time - 2), 3]"),
        Example("slice: {axis: 2, stop: 2}", "i32[batch, time, 3]<4 masked", "i32[batch, time, 2]<4 masked"),
        Example("slice: {start: -1}", "f32[batch, time, 3] masked", error="DLC212"),
        Example("slice: {stop: 4}", "f32[batch, 3]", error="DLC205"),
        Example("slice: {start: 2, stop: 2}", "f32[batch, 3]", error="DLC205"),
        Example("slice: {start: -4}", "f32[batch, 3]", error="DLC205"),
        Example("slice: {start: -1, stop: 2}", "f32[batch, time, 3]", error="DLC203"),
        Example("slice: {start: 3, stop: 2}", "f32[batch, time, 3]", error="DLC205"),
        Example("slice: {axis: 2}", "f32[batch, 3]", error="DLC104"),
        Example("slice", "f32[batch, 3]", error="DLC303"),
        Example("slice: {axis: 0, stop: 1}", "f32[batch, 3]", error="DLC104"),
        Example("slice: 2", "f32[batch, 3]", error="DLC106"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The axis gets the length of the part."""
        axis = place_of(self.axis, x.rank, self.word)
        if self.start == 0 and self.stop is None:
            hint, because = "set `start` or `stop`", ("start", "stop")
            raise RuleViolation("DLC303", "`slice` takes everything", hint=hint, because=because)
        counted = self.start >= 0 and (self.stop is None or self.stop >= 0)
        shape = list(x.shape)
        shape[axis] = self.length(x, axis)
        kept = axis > 1 or counted
        return Signature(with_mask(x, x.resized(*shape), kept, self.word, "it counts from the end of a padded axis"))

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The part must be of another axis than time."""
        kept = place_of(self.axis, inputs[0].rank, self.word) > 1
        need_positions(self.word, kept, "it takes a part of the time axis")

    def length(self, x: TensorType, axis: int) -> Dim:
        """How long the part is."""
        size = x.shape[axis]
        start, stop = self.start, self.stop
        if isinstance(size, int):
            first = start + size if start < 0 else start
            last = size if stop is None else stop + size if stop < 0 else stop
            if not 0 <= first < last <= size:
                message = f"`slice` takes no part of axis {axis}"
                found = f"{first} up to {last} of {size}"
                raise RuleViolation("DLC205", message, found=found, expected=f"0 <= start < stop <= {size}")
            return last - first
        # from the beginning or from the end, a length that does not depend on the size; else the size less a number
        if stop is not None and (start < 0) == (stop < 0):
            return self._fixed(stop - start)
        if stop is None and start < 0:
            return -start
        if stop is not None and start < 0:
            known_size(x, axis, self.word)
        cut = start - (stop or 0)
        return shifted(size, -cut)

    def _fixed(self, length: int) -> int:
        if length < 1:
            raise RuleViolation("DLC205", "`slice` takes an empty part", found=f"{self.start} up to {self.stop}")
        return length

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Outcome:
        """The part of the values, and of their mask."""
        axis = place_of(self.axis, x.ndim, self.word)

        def cut(value: Array, axis: int) -> Array:
            size = value.shape[axis]
            first = self.start + size if self.start < 0 else self.start
            last = size if self.stop is None else self.stop + size if self.stop < 0 else self.stop
            if isinstance(size, int):
                return lax.slice_in_dim(value, first, last, axis=axis)  # an axis that is too short is an error
            return value[(slice(None),) * axis + (slice(self.start, self.stop),)]

        mask = cut(ctx.mask, 1) if ctx.mask is not None and axis == 1 else ctx.mask
        return Outcome(cut(x, axis), mask=mask)


class Take(Layer):
    """(batch, n, *axes) -> (batch, *axes): one position of an axis, which is removed.

    A negative index counts from the end: `take: -1` is the last position. Along an axis with a mask it counts only real
    positions, so that padding never changes what is taken. The result is 0 if the position is padding, or if the
    sequence is too short.
    """

    word = "take"
    masks = "used"
    decoding = "cached"
    index: int = main(description="the position, from 0; negative numbers count from the end")
    axis: int = option(1, description="the axis: 0 is the batch axis, negative numbers count from the end")

    examples = (
        Example("take: 0", "f32[batch, time, 3]", "f32[batch, 3]"),
        Example("take: -1", "f32[batch, 5, 3]", "f32[batch, 3]"),
        Example("take: {index: 1, axis: -1}", "i32[batch, time, 3]<4 masked", "i32[batch, time]<4 masked"),
        Example("take: 1", "f32[batch, 5, 3, 2] masked", "f32[batch, 3, 2]"),
        Example("take: -1", "f32[batch, time, 3] masked", "f32[batch, 3]"),
        Example("take: 3", "f32[batch, 3]", error="DLC205"),
        Example("take: -4", "f32[batch, 3]", error="DLC205"),
        Example("take: {index: 0, axis: 0}", "f32[batch, 3]", error="DLC104"),
        Example("take", "f32[batch, 3]", error="DLC102"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The axis goes."""
        axis = place_of(self.axis, x.rank, self.word)
        size = x.shape[axis]
        if isinstance(size, int) and not -size <= self.index < size:
            message = f"axis {axis} has no position {self.index}"
            raise RuleViolation("DLC205", message, found=str(x), expected=f"{-size} to {size - 1}", option="index")
        output = x.resized(*x.shape[:axis], *x.shape[axis + 1 :])
        cache = {"taken": output.masked(False)} if axis == 1 and self.index == -1 else {}
        return Signature(output.masked(x.mask and axis > 1), cache=cache)

    def keeps_time(self, inputs: Sequence[TensorType], result: TensorType) -> bool:
        """Along another axis than time."""
        return place_of(self.axis, inputs[0].rank, self.word) > 1

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """Another axis than time, or the last position of the sequence so far."""
        kept = self.keeps_time(inputs, inputs[0]) or self.index == -1
        need_positions(self.word, kept, "it takes a certain position", stepped)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Any:
        """The elements at the position; in a step of decoding those of the last position so far."""
        axis = place_of(self.axis, x.ndim, self.word)
        if ctx.decode and axis == 1:
            assert ctx.cache is not None, "decoding needs a cache"
            mask, counted = ctx.mask, ctx.counted(*x.shape[:2])
            real = jnp.ones(x.shape[:2], bool) if mask is None else mask
            before = jnp.where(over(ctx.begins(x.shape[0]), x.ndim - 1), jnp.zeros((), x.dtype), ctx.cache["taken"])
            found = self._real(x, real if counted is None else real & counted, before)
            return Outcome(found, cache={"taken": found})
        if ctx.mask is None or axis > 1:
            return lax.index_in_dim(x, self.index, axis, keepdims=False)
        return self._real(x, ctx.mask, jnp.zeros((), x.dtype))

    def _real(self, x: Array, mask: Array, other: Array) -> Array:
        """The elements at the position of those that are real; others where there is no such position."""
        if self.index >= 0:
            taken, real = lax.index_in_dim(x, self.index, 1, keepdims=False), mask[:, self.index]
        else:
            left = jnp.cumsum(mask[:, ::-1], axis=1)[:, ::-1]  # (B, T): real positions from here to the end
            chosen = mask & (left == -self.index)
            place = jnp.argmax(chosen, axis=1).reshape(-1, *(1,) * (x.ndim - 1))  # (B, 1, ...)
            taken, real = jnp.take_along_axis(x, place, axis=1)[:, 0], chosen.any(axis=1)
        return jnp.where(over(real, taken), taken, other)


class Squeeze(Layer):
    """(batch, *axes) -> (batch, *axes): axes of size 1 are removed, or only the named ones."""

    word = "squeeze"
    masks = "used"
    decoding = "pointwise"
    axis: Annotated[tuple[int, ...] | None, BeforeValidator(axes_list)] = main(
        None, description="the axes to remove, counted with the batch axis as 0; default: every one of size 1"
    )

    examples = (
        Example("squeeze: 1", "f32[batch, 1, 4]", "f32[batch, 4]"),
        Example("squeeze", "f32[batch, 1, 4, 1]", "f32[batch, 4]"),
        Example("squeeze: [1, -1]", "f32[batch, 1, 1, 1]", "f32[batch, 1]"),
        Example("squeeze: -1", "i32[batch, time, 1]<5 masked", "i32[batch, time]<5 masked"),
        Example("squeeze: 1", "f32[batch, 1, 4] masked", error="DLC212"),
        Example("squeeze: 2", "f32[batch, 1, 4]", error="DLC205"),
        Example("squeeze: 1", "f32[batch, time, 4]", error="DLC205"),
        Example("squeeze", "f32[batch, 4]", error="DLC303"),
        Example("squeeze: 3", "f32[batch, 1, 4]", error="DLC104"),
        Example("squeeze: 0", "f32[batch, 4]", error="DLC104"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The axes go."""
        places = self.places(x.shape)
        for axis in places:
            if x.shape[axis] != 1:
                message = f"axis {axis} can't be removed: its size is not 1"
                raise RuleViolation("DLC205", message, found=str(x), expected="a size of 1", option="axis")
        if not places:
            raise RuleViolation("DLC303", "`squeeze` has no effect: no axis has size 1", found=str(x), hint="remove it")
        output = x.resized(*(size for axis, size in enumerate(x.shape) if axis not in places))
        return Signature(with_mask(x, output, 1 not in places, self.word, "it removes the masked axis"))

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The time axis must stay."""
        need_positions(self.word, 1 not in self.places(inputs[0].shape), "it removes the time axis")

    def places(self, shape: Sequence[Any]) -> tuple[int, ...]:
        """The axes that go, counted from 0."""
        if self.axis is None:
            return tuple(axis for axis, size in enumerate(shape) if axis > 0 and size == 1)
        return tuple(place_of(axis, len(shape), self.word) for axis in self.axis)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The same elements."""
        places = self.places(x.shape)
        return jnp.squeeze(x, [axis for axis in places if axis > 1] if ctx.decode else places)  # time may be one step


class ExpandDims(Layer):
    """(batch, *axes) -> (batch, *axes): a new axis of size 1."""

    word = "expand_dims"
    masks = "used"
    decoding = "pointwise"
    axis: int = main(description="index of the new axis: 0 is the batch axis, negative numbers count from the end")

    examples = (
        Example("expand_dims: 1", "f32[batch, 4]", "f32[batch, 1, 4]"),
        Example("expand_dims: -1", "i32[batch, time]<5 masked", "i32[batch, time, 1]<5 masked"),
        Example("expand_dims: 1", "f32[batch, 1, 4] masked", error="DLC212"),
        Example("expand_dims: 0", "f32[batch, 4]", error="DLC104"),
        Example("expand_dims: 3", "f32[batch, 4]", error="DLC104"),
        Example("expand_dims", "f32[batch, 4]", error="DLC102"),
    )

    def infer(self, x: TensorType) -> Signature:
        """One axis more."""
        axis = place_of(self.axis, x.rank + 1, self.word)
        output = x.resized(*x.shape[:axis], 1, *x.shape[axis:])
        return Signature(with_mask(x, output, axis > 1, self.word, "the new axis replaces the time axis"))

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The time axis must stay where it is."""
        kept = place_of(self.axis, inputs[0].rank + 1, self.word) > 1
        need_positions(self.word, kept, "the new axis replaces the time axis")

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The same elements."""
        return jnp.expand_dims(x, place_of(self.axis, x.ndim + 1, self.word))


class Masking(Layer):
    """(batch, time, *axes) -> (batch, time, *axes): positions whose elements all equal a value become padding.

    The output carries a mask, and is 0 at masked positions. What was padding before stays padding.
    """

    word = "masking"
    masks = "used"
    decoding = "pointwise"
    mask_value: float = main(0.0, description="the value of all elements of a padded position")

    examples = (
        Example("masking", "f32[batch, time, 3]", "f32[batch, time, 3] masked"),
        Example("masking: -1", "f32[batch, 4, 3, 2] masked", "f32[batch, 4, 3, 2] masked"),
        Example("masking", "f32[batch, 3]", error="DLC204"),
        Example("masking", "i32[batch, 4, 3]", error="DLC207"),
        Example("masking: zero", "f32[batch, 4, 3]", error="DLC103"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The same type with a mask."""
        need_float(x, self.word)
        if x.rank < 3:
            expected = "f32[batch, time, ...] with at least one axis after time"
            raise RuleViolation("DLC204", "`masking` takes at least 3 axes", found=str(x), expected=expected)
        return Signature(x.masked(True), flops=x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Outcome:
        """The values, 0 where padding is, and the mask."""
        real = jnp.any(x != self.mask_value, axis=tuple(range(2, x.ndim)))  # (B, T)
        if ctx.mask is not None:
            real = real & ctx.mask
        return Outcome(jnp.where(over(real, x), x, jnp.zeros((), x.dtype)), mask=real)


def _sides(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value] * 2
    whole = all(isinstance(part, int) and not isinstance(part, bool) and part >= 0 for part in parts)
    if len(parts) != 2 or not whole or not any(parts):
        expected = "an integer of at least 1, or [before, after]"
        raise reject(OptionError((), "DLC104", "not a valid number of channels", found=spell(value), expected=expected))
    return tuple(parts)


class PadChannels(Layer):
    """(*lead, channels) -> (*lead, before + channels + after): zeros before and after the channels.

    The shortcut without weights of He et al. 2015, arXiv:1512.03385, option A.
    """

    word = "pad_channels"
    masks = "pointwise"
    decoding = "pointwise"
    amount: Annotated[tuple[int, int], BeforeValidator(_sides)] = main(
        description="how many on either side, or [before, after]"
    )

    examples = (
        Example("pad_channels: 2", "f32[batch, 4, 4, 3]", "f32[batch, 4, 4, 7]"),
        Example("pad_channels: [0, 1]", "f32[batch, time, 3]", "f32[batch, time, 4]"),
        Example("pad_channels: 2", "f32[batch, channels]", "f32[batch, (channels + 4)]"),
        Example("pad_channels: [1, 2]", "i32[batch, 3]<7", "i32[batch, 6]<7"),
        Example("pad_channels: 0", "f32[batch, 3]", error="DLC104"),
        Example("pad_channels: [1, 2, 3]", "f32[batch, 3]", error="DLC104"),
        Example("pad_channels: 1", "f32[batch]", error="DLC204"),
        Example("pad_channels: 1", "f32[batch, time] masked", error="DLC212"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The last axis grows."""
        if x.rank < 2:
            raise RuleViolation(
                "DLC204", f"`{self.word}` takes at least 2 axes", found=str(x), expected="f32[batch, ..., d]"
            )
        need_behind_mask(x, self.word)
        return Signature(x.resized(*x.shape[:-1], shifted(x.shape[-1], sum(self.amount))))

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """Zeros on both sides of the last axis."""
        return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [self.amount])
