"""The interface of augmentations: random changes of the examples of a batch, only in training.

They act on the network's values, as returned by `Feature.encode`, on the device, inside the compiled step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import BeforeValidator

from dlc.components.value_ranges import ValueRange
from dlc.ir import TensorType, over
from dlc.language.options import OptionError, Options, RuleViolation, option, reject, spell
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


Bounds = tuple[Any, Any]  # the lowest and the highest value: a number, or a number for each entry of the last axis


class AugmentExample(NamedTuple):
    """An example: the augmentation as written, the types that it acts on, and the error code if they don't fit."""

    spec: str
    on: str | tuple[str, ...]
    error: str | None = None


class Augmentation(Options):
    """A random change of examples. The first line of its docstring specifies what it acts on: `(batch, *axes): ...`.

    A subclass checks the values (`check`), draws random numbers for each example (`draw`) and applies the change for
    these numbers deterministically (`change`). Shapes and element types stay the same.
    """

    moves: ClassVar[bool] = False  # whether positions move, so that aligned values must move in the same way
    mixes: ClassVar[bool] = False  # whether it mixes examples with each other: a `Mixing`
    same_draws: ClassVar[bool] = True  # whether aligned values get the same draws; noise is independent
    chooses: ClassVar[bool] = False  # whether `draw` itself follows `p`
    ranged: ClassVar[bool] = False  # whether it depends on the range of the values: it has an option `value_range`
    still: ClassVar[Mapping[str, Any]] = {}  # options with the value that would change nothing

    p: float = option(1.0, ge=0, le=1, description="probability with which an example is changed")

    def idle(self) -> str | None:
        """The option whose value makes the augmentation change nothing, or None."""
        return next((name for name, value in {"p": 0, **self.still}.items() if getattr(self, name) == value), None)

    def infer(self, *types: TensorType) -> None:
        """Check the types of the values that it acts on.

        Raises:
            RuleViolation: when they don't fit the augmentation or each other.
        """
        for kind in types:
            self.check(kind)

    def check(self, x: TensorType) -> None:
        """Check the type of one value.

        Raises:
            RuleViolation: when it does not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no rule")

    def draw(self, key: Array, x: Array, mask: Array | None) -> Any:
        """Random numbers for each example: arrays with the batch axis first.

        Args:
            key: a random key; values that are changed in the same way get the same key.
            x: the value: (batch, *axes).
            mask: bool (batch, time), or None.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no draws")

    def change(self, x: Array, drawn: Any, mask: Array | None) -> Array:
        """The changed value, of the same shape, for the numbers drawn. Values at padding are ignored."""
        raise NotImplementedError(f"{type(self).__name__} defines no change")

    def own_range(self) -> ValueRange | None:
        """The range of values that the options state, if it is `ranged`; None if it is that of the feature."""
        return None

    def within(self, bounds: Bounds) -> Augmentation:
        """The augmentation for values that lie in a range, if it is `ranged`."""
        return self

    def apply(
        self,
        key: Array,
        *values: Array,
        masks: Sequence[Array | None] = (),
        ranges: Sequence[Bounds | None] = (),
    ) -> tuple[Array, ...]:
        """The changed values. Padding, and the examples that `p` does not select, stay the same.

        Args:
            key: the random key of this item in this step.
            values: (batch, *axes) each.
            masks: bool (batch, time) or None for each value; empty if no value has one.
            ranges: the range of each value, or None where it is not known; empty if it doesn't count.
        """
        chosen, rest = jax.random.split(key)
        acts = None
        if self.p < 1 and not self.chooses:
            acts = jax.random.bernoulli(chosen, self.p, (values[0].shape[0],))
        changed = []
        for index, x in enumerate(values):
            mask = masks[index] if masks else None
            drawn = self.draw(rest if self.same_draws else jax.random.fold_in(rest, index), x, mask)
            bounds = ranges[index] if ranges else None
            y = (self if bounds is None else self.within(bounds)).change(x, drawn, mask).astype(x.dtype)
            for kept in (mask, acts):
                y = y if kept is None else jnp.where(over(kept, x), y, x)
            changed.append(y)
        return tuple(changed)


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
            message = f"`{word}` moves several values in the same way, but they differ in size"
            raise RuleViolation("DLC205", message, found=f"{types[0]} and {kind}", expected="the same sizes")
        if kind.mask != types[0].mask:
            message = f"`{word}` moves several values in the same way, but only some have a mask"
            raise RuleViolation(
                "DLC212", message, found=f"{types[0]} and {kind}", expected="a mask for all, or for none"
            )


# ---- options ----


def _pair(value: Any, expected: str, least: float | None, single: bool) -> tuple[float, float] | float:
    """Read an ordered pair of numbers, or a single number if allowed."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    numbers = all(isinstance(part, (int, float)) and not isinstance(part, bool) for part in parts)
    if not numbers or len(parts) != (2 if isinstance(value, (list, tuple)) or not single else 1):
        raise reject(OptionError((), "DLC103", "not a valid range", found=spell(value), expected=expected))
    if any(part != part or abs(part) == float("inf") for part in parts):
        raise reject(OptionError((), "DLC104", "a range must be finite", found=spell(value), expected=expected))
    if len(parts) == 2 and parts[0] > parts[1]:
        hint = f"write `[{parts[1]}, {parts[0]}]`"
        raise reject(OptionError((), "DLC104", "the range ends before it starts", found=spell(value), hint=hint))
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
"""The range of factors: a number a for [1 - a, 1 + a], at least 0, or [lowest, highest]."""

Amounts = Annotated[tuple[float, float], BeforeValidator(_around_zero)]
"""The range of amounts: a number a for [-a, a], or [lowest, highest]."""

Range = Annotated[tuple[float, float], BeforeValidator(_between)]
"""[lowest, highest]."""


def uniform(key: Array, batch: int, bounds: tuple[float, float]) -> Array:
    """(batch,) float32, uniform between two numbers."""
    return jax.random.uniform(key, (batch,), minval=bounds[0], maxval=bounds[1])
