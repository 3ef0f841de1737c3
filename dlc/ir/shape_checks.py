"""Checks shared by shape rules."""

from __future__ import annotations

from dlc.ir.types import TensorType
from dlc.language.options import RuleViolation


def need_rank(x: TensorType, rank: int, word: str, axes: str, hint: str | None = None) -> None:
    """Raise DLC204 unless `x` has `rank` axes. `axes` names them: `(batch, height, width, channels)`.

    An image layer without a hint of its own gets one.
    """
    if x.rank != rank:
        if hint is None and rank == 4 and x.rank == 3:
            hint = "give the input a channel axis: `shape: [height, width, 1]`"
        elif hint is None and rank == 4 and x.rank == 2:
            hint = f"`{word}` works on images: use it before `flatten`, or make images with `reshape`"
        raise RuleViolation("DLC204", f"`{word}` takes {rank} axes", found=str(x), expected=axes, hint=hint)


def need_float(x: TensorType, word: str) -> None:
    """Raise DLC207 unless the elements of `x` are real numbers."""
    if not x.is_float:
        hint = "one-hot encode the category: `one_hot: true`" if x.bound is not None else None
        raise RuleViolation("DLC207", f"`{word}` requires real numbers", found=str(x), expected="f32[...]", hint=hint)


def need_behind_mask(x: TensorType, word: str) -> None:
    """Raise DLC212 when a layer along the last axis gets that axis masked: padding would leak into the result."""
    if x.mask and x.rank < 3:
        hint = "reshape it to f32[batch, time, channels] first, or reduce the time axis"
        raise RuleViolation("DLC212", f"`{word}` would mix padding into its result", found=str(x), hint=hint)


def known_size(x: TensorType, axis: int, word: str) -> int:
    """The size of an axis that weights depend on; raises DLC203 when it is a symbol."""
    size = x.shape[axis]
    if not isinstance(size, int):
        raise RuleViolation(
            "DLC203",
            f"`{word}` must know the size of the axis `{size}`",
            found=str(x),
            expected=f"a number instead of `{size}`",
            hint=f"declare the size of `{size}` in the input's shape, or reduce the axis first",
        )
    return size
