"""Layers that only change the shape."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from dlc.ir import Example, Layer, Signature, TensorType, known_size, need_behind_mask
from dlc.lazy import jnp
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


def _sides(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value] * 2
    whole = all(isinstance(part, int) and not isinstance(part, bool) and part >= 0 for part in parts)
    if len(parts) != 2 or not whole or not any(parts):
        expected = "an integer of at least 1, or [before, after]"
        raise reject(Fault((), "DLC104", "this is not an amount of channels", found=spell(value), expected=expected))
    return tuple(parts)


class PadChannels(Layer):
    """(*lead, channels) -> (*lead, before + channels + after): zeros before and after the channels.

    The shortcut without weights of He et al. 2015, arXiv:1512.03385, option A.
    """

    word = "pad_channels"
    masks = "pointwise"
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
            raise Wrong("DLC204", f"`{self.word}` takes at least 2 axes", found=str(x), expected="f32[batch, ..., d]")
        need_behind_mask(x, self.word)
        channels, more = x.shape[-1], sum(self.amount)
        return Signature(
            x.resized(*x.shape[:-1], f"({channels} + {more})" if isinstance(channels, str) else channels + more)
        )

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """Zeros on both sides of the last axis."""
        return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [self.amount])
