"""The contract of augmentations: what changes the examples of a batch at random, in training alone.

They act on the network's values, that is on what `Feature.encode` gives, on the device, inside the compiled step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import BeforeValidator

from dlc.ir import TensorType
from dlc.language.options import OptionError, Options, RuleViolation, option, reject, spell
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class AugmentExample(NamedTuple):
    """A worked use: the augmentation as written, the types that it acts on, and the code when they don't fit."""

    spec: str
    on: str | tuple[str, ...]
    error: str | None = None


class Augmentation(Options):
    """A change of examples at random. The first line of its docstring says what it acts on: `(batch, *axes): ...`.

    A subclass says which values fit (`check`), draws numbers for each example (`draw`) and makes the change that they
    mean (`change`), which is a function without chance. Every shape and element type stays what it is.
    """

    moves: ClassVar[bool] = False  # whether places move, so that what is aligned with the value must move alike
    mixes: ClassVar[bool] = False  # whether it mixes examples with each other: a `Mixing`
    same_draws: ClassVar[bool] = True  # whether values of the same places get the same draws; noise is each value's own
    chooses: ClassVar[bool] = False  # whether `draw` itself follows `p`
    still: ClassVar[Mapping[str, Any]] = {}  # options with the value that would leave everything as it is

    p: float = option(1.0, ge=0, le=1, description="share of the examples that it acts on")

    def idle(self) -> str | None:
        """The option because of which nothing would change, or None."""
        return next((name for name, value in {"p": 0, **self.still}.items() if getattr(self, name) == value), None)

    def infer(self, *types: TensorType) -> None:
        """Check the types of the values that it acts on.

        Raises:
            RuleViolation: when they don't fit, or not each other.
        """
        for kind in types:
            self.check(kind)

    def check(self, x: TensorType) -> None:
        """Check the type of one value.

        Raises:
            RuleViolation: when it does not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} has no rule")

    def draw(self, key: Array, x: Array, mask: Array | None) -> Any:
        """Random numbers for each example: arrays with the batch axis first.

        Args:
            key: a random key; values that are changed alike get the same.
            x: the value: (batch, *axes).
            mask: bool (batch, time), or None.
        """
        raise NotImplementedError(f"{type(self).__name__} draws nothing")

    def change(self, x: Array, drawn: Any, mask: Array | None) -> Array:
        """The changed value, of the same shape, for the numbers drawn. What lies in padding does not count."""
        raise NotImplementedError(f"{type(self).__name__} has no function")

    def apply(self, key: Array, *values: Array, masks: Sequence[Array | None] = ()) -> tuple[Array, ...]:
        """The changed values. Padding stays as it is, and so do the examples that `p` leaves out.

        Args:
            key: the random key of this item in this step.
            values: (batch, *axes) each.
            masks: bool (batch, time) for each value, or None; without any when left out.
        """
        chosen, rest = jax.random.split(key)
        acts = None
        if self.p < 1 and not self.chooses:
            acts = jax.random.bernoulli(chosen, self.p, (values[0].shape[0],))
        changed = []
        for index, x in enumerate(values):
            mask = masks[index] if masks else None
            drawn = self.draw(rest if self.same_draws else jax.random.fold_in(rest, index), x, mask)
            y = self.change(x, drawn, mask).astype(x.dtype)
            for kept in (mask, acts):
                y = y if kept is None else jnp.where(over(kept, x), y, x)
            changed.append(y)
        return tuple(changed)


def over(x: Array, like: Array) -> Array:
    """(batch,) or (batch, time) with axes of size 1 behind, as many as `like` has axes."""
    return x.reshape(*x.shape, *(1,) * (like.ndim - x.ndim))


# ---- checks ----


def need_real(x: TensorType, word: str) -> None:
    """Raise DLC207 unless the elements are real numbers."""
    if not x.is_float:
        what = "class numbers" if x.bound is not None else "integers"
        raise RuleViolation("DLC207", f"`{word}` changes real numbers, not {what}", found=str(x), expected="f32[...]")


def need_image(x: TensorType, word: str, labels: bool = False) -> None:
    """Raise DLC204, DLC207 or DLC212 unless `x` holds images (batch, height, width, channels).

    With `labels` it may also hold integers, with or without an axis of channels: a class for each pixel.
    """
    ranks = (3, 4) if labels and not x.is_float else (4,)
    if not labels:
        need_real(x, word)
    if x.rank not in ranks:
        flat = x.is_float and x.rank == 3
        hint = "give it a channel axis: `shape: [height, width, 1]`" if flat else None
        expected = "(batch, height, width, channels)"
        raise RuleViolation("DLC204", f"`{word}` changes images", found=str(x), expected=expected, hint=hint)
    if x.mask:
        raise RuleViolation("DLC212", f"`{word}` would mix padding into images", found=str(x))


def need_series(x: TensorType, word: str, labels: bool = False) -> None:
    """Raise DLC204, DLC205 or DLC207 unless `x` holds series (batch, time, *axes); of any elements with `labels`."""
    if not labels:
        need_real(x, word)
    if x.rank < 2:
        expected = "(batch, time) or (batch, time, channels)"
        raise RuleViolation("DLC204", f"`{word}` changes series", found=str(x), expected=expected)
    if x.shape[1] == 1:
        raise RuleViolation("DLC205", f"`{word}` changes series", found=str(x), expected="more than one point in time")


def need_same_axes(types: Sequence[TensorType], axes: Sequence[int], word: str) -> None:
    """Raise DLC205 unless the sizes along `axes` agree, DLC212 when one has a mask and another has none."""
    for kind in types[1:]:
        if [kind.shape[axis] for axis in axes] != [types[0].shape[axis] for axis in axes]:
            message = f"`{word}` moves values alike, and they differ in size"
            raise RuleViolation("DLC205", message, found=f"{types[0]} and {kind}", expected="the same places in each")
        if kind.mask != types[0].mask:
            message = f"`{word}` moves values alike, and only one of them knows its padding"
            raise RuleViolation(
                "DLC212", message, found=f"{types[0]} and {kind}", expected="a mask for both, or for none"
            )


# ---- options ----


def _pair(value: Any, expected: str, least: float | None, single: bool) -> tuple[float, float] | float:
    """A pair of numbers in order, or a number where one is allowed."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    numbers = all(isinstance(part, (int, float)) and not isinstance(part, bool) for part in parts)
    if not numbers or len(parts) != (2 if isinstance(value, (list, tuple)) or not single else 1):
        raise reject(OptionError((), "DLC103", "this is no range", found=spell(value), expected=expected))
    if any(part != part or abs(part) == float("inf") for part in parts):
        raise reject(OptionError((), "DLC104", "a range is finite", found=spell(value), expected=expected))
    if len(parts) == 2 and parts[0] > parts[1]:
        hint = f"write `[{parts[1]}, {parts[0]}]`"
        raise reject(OptionError((), "DLC104", "the range ends before it begins", found=spell(value), hint=hint))
    if (len(parts) == 1 and parts[0] < 0) or (least is not None and parts[0] < least):
        expected = f"at least {least or 0:g}"
        raise reject(OptionError((), "DLC104", "the range is too low", found=spell(value), expected=expected))
    return float(parts[0]) if len(parts) == 1 else (float(parts[0]), float(parts[1]))


def _around_one(value: Any) -> tuple[float, float]:
    found = _pair(value, "a number a for [1 - a, 1 + a], or [lowest, highest]", 0, True)
    return found if isinstance(found, tuple) else (max(0.0, 1 - found), 1 + found)


def _around_zero(value: Any) -> tuple[float, float]:
    found = _pair(value, "a number a for [-a, a], or [lowest, highest]", None, True)
    return found if isinstance(found, tuple) else (0.0 - found, found)  # no -0


def _between(value: Any) -> tuple[float, float]:
    found = _pair(value, "[lowest, highest]", None, False)
    assert isinstance(found, tuple)
    return found


Factors = Annotated[tuple[float, float], BeforeValidator(_around_one)]
"""What factors are drawn from: a number a for [1 - a, 1 + a], nothing below 0, or [lowest, highest]."""

Amounts = Annotated[tuple[float, float], BeforeValidator(_around_zero)]
"""What amounts are drawn from: a number a for [-a, a], or [lowest, highest]."""

Range = Annotated[tuple[float, float], BeforeValidator(_between)]
"""[lowest, highest]."""


def uniform(key: Array, batch: int, bounds: tuple[float, float]) -> Array:
    """(batch,) float32, uniform between two numbers."""
    return jax.random.uniform(key, (batch,), minval=bounds[0], maxval=bounds[1])
