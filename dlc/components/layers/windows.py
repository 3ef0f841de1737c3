"""What layers on (batch, *axes, channels) share: the names of the axes, and windows that slide along them.

One mechanism serves sequences (time), images (height, width) and volumes (depth, height, width).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import reduce
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import field_validator

from dlc.components.layers import LAYERS
from dlc.ir import Context, Dim, Layer, TensorType, known_size, need_float, need_rank, over, refused_decoding
from dlc.language.options import OptionError, RuleViolation, option, read_sizes, reject, spell
from dlc.support.lazy import jax, jnp, lax, np

if TYPE_CHECKING:
    from jax import Array

Pads = tuple[tuple[int, int], ...]
Padding = Literal["valid", "same", "causal"] | Pads

AXES = {1: ("time",), 2: ("height", "width"), 3: ("depth", "height", "width")}
SIDES = {
    1: "[[before, after]]",
    2: "[[top, bottom], [left, right]]",
    3: "[[front, back], [top, bottom], [left, right]]",
}


class Spatial(Layer):
    """A layer on (batch, *axes, channels), of one rank: how many spatial axes there are."""

    rank: ClassVar[int] = 2

    @field_validator("kernel", "window", "strides", "dilation", "size", mode="before", check_fields=False)
    @classmethod
    def read_size(cls, value: Any) -> Any:
        """One integer for all axes, or a list of one for each."""
        return None if value is None else read_sizes(value, cls.rank, 1)

    def need(self, x: TensorType) -> None:
        """Raise DLC204 or DLC207 unless `x` has the layer's axes and holds real numbers."""
        need_rank(x, self.rank + 2, self.word, f"(batch, {', '.join(AXES[self.rank])}, channels)", self._other_rank(x))
        need_float(x, self.word)

    def channels(self, x: TensorType) -> int:
        """The count of channels of a fitting input; DLC203 when it is a symbol."""
        self.need(x)
        return known_size(x, -1, self.word)

    def _other_rank(self, x: TensorType) -> str | None:
        """A hint at the same layer for inputs of another rank."""
        rank = x.rank - 2
        word = self.word.replace(f"{self.rank}d", f"{rank}d")
        if rank not in AXES or word == self.word or word not in LAYERS:
            return None
        other = f"`{word}` for ({', '.join(('batch', *AXES[rank], 'channels'))})"
        if self.rank == 2 and rank == 1:
            return f"give an image a channel axis, `shape: [height, width, 1]`, or use {other}"
        return f"use {other}"


# ---- options ----


def padding_option() -> Any:
    """The option of a layer with a window."""
    return option("valid", description="valid, same, an amount, or [[before, after], ...] for each axis")


def causal_padding_option() -> Any:
    """The option of a convolution."""
    return option(
        "valid", description="valid, same, causal (sequences only), an amount, or [[before, after], ...] for each axis"
    )


def size_option(default: int | None, description: str) -> Any:
    """An option with one integer for all axes or one for each."""
    return option(default, validate_default=True, description=description)


def read_pads(value: Any, rank: int) -> Pads | None:
    """Amounts before and after each axis; None when the value is none: an integer, or a list of pairs.

    >>> read_pads(1, 2), read_pads([2, 0], 1), read_pads([[1, 0], [0, 2]], 2), read_pads([1], 1)
    (((1, 1), (1, 1)), ((2, 0),), ((1, 0), (0, 2)), None)
    """
    if _is_amount(value):
        return ((value, value),) * rank
    if not isinstance(value, (list, tuple)):
        return None
    pairs = [value] if rank == 1 and len(value) == 2 and all(_is_amount(part) for part in value) else value
    rows = [tuple(pair) for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2]
    whole = all(_is_amount(part) for row in rows for part in row)
    return tuple(rows) if len(rows) == len(pairs) == rank and whole else None


def _is_amount(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read_padding(value: Any, rank: int, causal: bool) -> Any:
    """The padding of a window as `Padding`; raises DLC104 for what is none."""
    words = ("valid", "same", "causal") if causal and rank == 1 else ("valid", "same")
    found = value if value in words else read_pads(value, rank)
    if found is not None:
        return found
    from dlc.diagnostics import did_you_mean

    expected = f"{', '.join(f'`{word}`' for word in words)}, an integer, or {SIDES[rank]}"
    hint = did_you_mean(value, words) if isinstance(value, str) else None
    if value == "causal":
        hint = "only a convolution along time can be causal" if causal else "give the amounts: `[[before, after]]`"
    message = "this is not a valid padding"
    raise reject(OptionError((), "DLC104", message, found=spell(value), expected=expected, hint=hint))


# ---- symbolic sizes ----


def shifted(size: Dim, amount: int) -> Dim:
    """A size plus an amount; amounts that follow each other are one.

    >>> shifted(5, -2), shifted("time", 0), shifted("time", -2), shifted("(time - 2)", -2), shifted("(time - 2)", 2)
    (3, 'time', '(time - 2)', '(time - 4)', 'time')
    >>> shifted("((time - 2) * (width - 2))", -2)
    '(((time - 2) * (width - 2)) - 2)'
    """
    if isinstance(size, int):
        return size + amount
    if (match := _SUM.match(size)) and _balanced(inner := match.group(1)):
        total = amount + int(match.group(2) + match.group(3))
        whole = inner.isidentifier() or (inner[0] == "(" and _balanced(inner[1:-1]))
        return f"({inner} {'+' if total > 0 else '-'} {abs(total)})" if total else inner if whole else f"({inner})"
    return f"({size} {'+' if amount > 0 else '-'} {abs(amount)})" if amount else size


_SUM = re.compile(r"\((.+) ([+-]) ([0-9]+)\)\Z")


def _balanced(formula: str) -> bool:
    """Whether each parenthesis of a formula is closed inside it."""
    depth = 0
    for character in formula:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0


def scaled(size: Dim, factor: int, amount: int = 0) -> Dim:
    """A size times a factor plus an amount.

    >>> scaled(5, 2, 1), scaled("time", 1), scaled("time", 2, -1)
    (11, 'time', '(time * 2 - 1)')
    """
    if isinstance(size, int):
        return size * factor + amount
    if factor == 1:
        return shifted(size, amount)
    return f"({size} * {factor} {'+' if amount > 0 else '-'} {abs(amount)})" if amount else f"({size} * {factor})"


def window_size(
    size: Dim, kernel: int, stride: int, dilation: int, padding: str | tuple[int, int], word: str, axis: str
) -> Dim:
    """How many positions a window takes on an axis.

    A symbolic size gives a symbol: itself where the size stays, else the formula.

    Raises:
        RuleViolation: DLC205 when the window is longer than the padded axis.

    >>> window_size(8, 3, 2, 1, "same", "conv2d", "height"), window_size("time", 3, 1, 1, "valid", "conv1d", "time")
    (4, '(time - 2)')
    """
    extent = (kernel - 1) * dilation + 1
    if padding in ("same", "causal"):
        if isinstance(size, int):
            return -(-size // stride)
        return size if stride == 1 else f"(({size} + {stride - 1}) // {stride})"
    extra = 0 if isinstance(padding, str) else sum(padding)
    if isinstance(size, int):
        if extent > size + extra:
            raise RuleViolation(
                "DLC205",
                f"the window of `{word}` is larger than what it slides over",
                found=f"{axis} {size + extra}, window {extent}",
                expected=f"a window of at most {size + extra}",
                hint="use a smaller window or `padding: same`",
            )
        return (size + extra - extent) // stride + 1
    if stride == 1:
        return shifted(size, extra - extent + 1)
    return f"({shifted(size, extra - extent)} // {stride} + 1)"


# ---- windows ----


class Window(NamedTuple):
    """A window that slides along the spatial axes.

    Args:
        size: its elements along each axis.
        strides: its steps.
        dilation: the spacing of its elements.
        padding: `valid`, `same` (the size becomes ceil(size / stride), as TensorFlow pads), `causal` (all before the
            sequence), or amounts before and after each axis.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Padding

    @property
    def extent(self) -> tuple[int, ...]:
        """The positions from its first element to its last."""
        return tuple((size - 1) * step + 1 for size, step in zip(self.size, self.dilation, strict=True))

    @property
    def causal(self) -> bool:
        """Whether a position of the result depends on its own and earlier positions of axis 1 only, one for each."""
        behind = self.extent[0] - 1
        before, after = (behind, 0) if self.padding == "causal" else (0, 0)
        if not isinstance(self.padding, str):
            before, after = self.padding[0]
        return self.strides[0] == 1 and (before, after) == (behind, 0)

    @property
    def unpadded(self) -> Window:
        """The same window for positions of axis 1 that come with what it needs of those before."""
        if self.padding == "causal":
            return self._replace(padding="valid")
        return self if isinstance(self.padding, str) else self._replace(padding=((0, 0), *self.padding[1:]))

    def check_decoding(self, word: str) -> None:
        """Raise DLC213 unless the window is causal."""
        if self.causal:
            return
        reason, hint = "its window covers later positions", "set `padding: causal`"
        if self.strides[0] > 1:
            reason, hint = "it skips positions", "set `strides: 1`"
        elif "conv1d" not in word:
            sides = [[self.extent[0] - 1, 0], *([0, 0] for _ in self.size[1:])]
            hint = f"pad in front only: `padding: {sides}`"
        raise refused_decoding(word, reason, hint=hint)

    def cache(self, x: TensorType) -> dict[str, TensorType]:
        """What decoding keeps of a causal window's input: the positions that the next window needs."""
        behind = self.extent[0] - 1
        return {"past": TensorType((x.shape[0], behind, *x.shape[2:]), x.dtype)} if self.causal and behind else {}

    def output_type(self, x: TensorType, channels: Dim, word: str) -> TensorType:
        """The type of (batch, *axes', channels) that it makes of `x`, masked where `x` is.

        Raises:
            RuleViolation: DLC205 when it is larger than an axis, DLC212 when its positions would shift with the padding
                after a masked sequence.
        """
        if x.mask and self.padding == "same" and max(self.strides) > 1:
            raise RuleViolation(
                "DLC212",
                f"the position of the window of `{word}` would depend on the padding of the sequence",
                found=f"{x}, `padding: same` with strides of {self.strides[0]}",
                hint="use `padding: valid` or explicit amounts" + (", or `causal`" if "conv" in word else ""),
                option="padding",
            )
        places = [
            window_size(
                x.shape[axis + 1],
                self.size[axis],
                self.strides[axis],
                self.dilation[axis],
                self.padding if isinstance(self.padding, str) else self.padding[axis],
                word,
                name,
            )
            for axis, name in enumerate(AXES[len(self.size)])
        ]
        return x.resized(x.shape[0], *places, channels).masked(x.mask)

    def lax_padding(self) -> str | list[tuple[int, int]]:
        """The padding as `jax.lax` takes it."""
        if self.padding == "causal":
            return [(self.extent[0] - 1, 0)]
        return self.padding.upper() if isinstance(self.padding, str) else list(self.padding)

    def pads(self, x: Array) -> Pads:
        """How many positions it needs before and after each axis of `x`."""
        padding = self.lax_padding()
        if isinstance(padding, str):
            padding = lax.padtype_to_pads(x.shape[1:-1], self.extent, self.strides, padding)
        return tuple((int(low), int(high)) for low, high in padding)

    def padded(self, x: Array, value: float = 0.0) -> Array:
        """`x` with a value around its positions."""
        pads = self.pads(x)
        return jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value) if any(map(any, pads)) else x

    def taps(self, x: Array) -> list[Array]:
        """(batch, *axes, channels) -> for each element of the window, what it meets: (batch, *axes', channels)."""
        x = self.padded(x)
        inner = list(zip(x.shape[1:-1], self.extent, self.strides, strict=True))
        spans = [(size - extent) // step * step + 1 for size, extent, step in inner]
        found = []
        for place in product(*map(range, self.size)):
            starts = [index * step for index, step in zip(place, self.dilation, strict=True)]
            ends = [start + span for start, span in zip(starts, spans, strict=True)]
            found.append(lax.slice(x, (0, *starts, 0), (x.shape[0], *ends, x.shape[-1]), (1, *self.strides, 1)))
        return found

    def patches(self, x: Array) -> Array:
        """(batch, *axes, channels) -> (batch, *axes', size * channels): what each window meets, in a row.

        One axis after the other, the last one first: the slices are as many as the sizes' sum, not their product.
        """
        x = self.padded(x)
        for axis in range(len(self.size), 0, -1):
            step, spacing = self.strides[axis - 1], self.dilation[axis - 1]
            found = self._blocks(x) if axis == len(self.size) and spacing == 1 < step else self._slices(x, axis)
            x = jnp.concatenate(found, axis=-1)
        return x

    def _slices(self, x: Array, axis: int) -> list[Array]:
        """What each of the window's elements meets along an axis."""
        size, step, spacing = (values[axis - 1] for values in (self.size, self.strides, self.dilation))
        span = (x.shape[axis] - self.extent[axis - 1]) // step * step + 1
        return [lax.slice_in_dim(x, at * spacing, at * spacing + span, step, axis) for at in range(size)]

    def _blocks(self, x: Array) -> list[Array]:
        """The same along the last axis, as many neighbours at once as the window steps."""
        axis, size, step = len(self.size), self.size[-1], self.strides[-1]
        count = (x.shape[axis] - size) // step + 1
        extent = -(-size // step)
        x = fitted(x, axis, (count - 1 + extent) * step)
        rest = (size - (extent - 1) * step) * x.shape[-1]
        x = x.reshape(*x.shape[:axis], count - 1 + extent, step * x.shape[-1])
        found = [lax.slice_in_dim(x, at, at + count, 1, axis) for at in range(extent)]
        return [*found[:-1], found[-1][..., :rest]]

    def masked(self, mask: Array | None) -> Array | None:
        """The mask of the result: a position is real where the sequence without its padding has a window, too.

        Such a window ends, explicit padding after the sequence taken off, at a real position.
        """
        if mask is None:
            return None
        if self.padding in ("same", "causal"):
            behind = 0
        else:
            behind = self.extent[0] - 1 - (0 if isinstance(self.padding, str) else sum(self.padding[0]))
        mask = shift_mask(mask, behind)
        return lax.slice(mask, (0, 0), mask.shape, (1, self.strides[0]))  # its symbolic size is as a convolution's

    def reduce(self, x: Array, start: float, function: Callable[[Array, Array], Array]) -> Array:
        """Each window's elements combined two by two, along one axis after the other; the padding counts as `start`.

        On a CPU these operations on slices are ten times as fast as `reduce_window` and its gradient. A long window is
        combined from windows of 1, 2, 4, ... elements, so that the program stays small: `function` is associative.
        """
        x = self.padded(x, start)
        for axis, (size, step, spacing) in enumerate(zip(self.size, self.strides, self.dilation, strict=True), 1):
            span = (x.shape[axis] - self.extent[axis - 1]) // step * step + 1
            pieces = covering(size)
            blocks, width = {1: x}, 1  # for each width the function of so many elements, at every position
            while width < max(pieces.values()):
                block, shift = blocks[width], width * spacing
                late = lax.slice_in_dim(block, shift, block.shape[axis], 1, axis)
                early = lax.slice_in_dim(block, 0, late.shape[axis], 1, axis)
                width *= 2
                blocks[width] = function(early, late)
            starts = ((at * spacing, width) for at, width in pieces.items())
            parts = [lax.slice_in_dim(blocks[width], low, low + span, step, axis) for low, width in starts]
            x = reduce(function, parts)
        return x

    def combine(self, x: Array, start: float, function: Callable[..., Array]) -> Array:
        """The same as one operation of XLA, also where sizes are symbols; `function` is one that it knows."""
        padding = self.lax_padding()
        pads = padding if isinstance(padding, str) else [(0, 0), *padding, (0, 0)]
        # A numpy scalar stays a constant inside jit: lax then knows the operation and its gradient.
        first = np.asarray(start, x.dtype)[()]
        result: Array = lax.reduce_window(x, first, function, (1, *self.size, 1), (1, *self.strides, 1), pads)
        return result


def with_past(x: Array, ctx: Context, name: str = "past", start: float = 0.0) -> tuple[Array, Array]:
    """A step of decoding: the positions with those before them, and what the next step needs of both.

    Args:
        x: (batch, time, *axes), the positions of this step.
        ctx: the context, whose cache holds the positions before them, (batch, behind, *axes).
        name: the name in the cache.
        start: the value of positions before the first.
    """
    assert ctx.cache is not None, "decoding needs a cache"
    past = ctx.cache[name]
    past = jnp.where(over(ctx.begins(x.shape[0]), past), jnp.asarray(start, past.dtype), past)
    whole = jnp.concatenate([past, x.astype(past.dtype)], axis=1)
    behind = past.shape[1]
    if ctx.count is None:
        return whole, whole[:, whole.shape[1] - behind :]
    counts = jnp.broadcast_to(jnp.asarray(ctx.count), (x.shape[0],))
    kept = jax.vmap(lambda row, count: lax.dynamic_slice_in_dim(row, count, behind))(whole, counts)
    return whole, kept


def fitted(x: Array, axis: int, size: int) -> Array:
    """`x` with an axis of a size, cut at the end or followed by zeros."""
    if x.shape[axis] >= size:
        return lax.slice_in_dim(x, 0, size, 1, axis)
    return jnp.pad(x, [(0, size - x.shape[axis] if at == axis else 0) for at in range(x.ndim)])


def covering(size: int) -> dict[int, int]:
    """Where the pieces of a window begin and how wide they are: single elements, or powers of two of a long window.

    >>> covering(3), covering(100)
    ({0: 1, 1: 1, 2: 1}, {0: 4, 4: 32, 36: 64})
    """
    if size <= 8:
        return dict.fromkeys(range(size), 1)
    pieces, at = {}, 0
    for width in (1 << bit for bit in range(size.bit_length())):
        if size & width:
            pieces[at] = width
            at += width
    return pieces


def known(x: Array) -> bool:
    """Whether the sizes of (batch, *axes, channels) are numbers, as always but in some exported programs."""
    return all(isinstance(size, int) for size in x.shape[1:-1])


def shift_mask(mask: Array, amount: int) -> Array:
    """The mask of a sequence of which `amount` positions are taken off in front; a negative amount is put there."""
    if amount >= 0:
        return mask[:, amount:]
    return jnp.pad(mask, ((0, 0), (-amount, 0)), constant_values=True)


def real_only(x: Array, mask: Array | None, value: float = 0.0) -> Array:
    """`x` (batch, time, *axes) with `value` in the positions that are padding."""
    return x if mask is None else jnp.where(over(mask, x), x, value)
