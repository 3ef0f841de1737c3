"""Axes in options: which are meant, and whether a mask survives what is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.ir import MIXED, TensorType, refused_decoding
from dlc.language.options import OptionError, RuleViolation, reject, spell


def axes_list(value: Any) -> Any:
    """The value of an option that holds axes: one integer, a list of them, or nothing."""
    if value is None:
        return None
    parts = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(part, int) and not isinstance(part, bool) for part in parts):
        raise reject(
            OptionError((), "DLC103", "not a valid list of axes", found=spell(value), expected="an integer, or a list")
        )
    if len(set(parts)) != len(parts):
        raise reject(OptionError((), "DLC104", "an axis is named twice", found=spell(value), expected="each axis once"))
    return tuple(parts)


def place_of(axis: int, rank: int, word: str, option: str | None = "axis") -> int:
    """An axis counted from 0, the batch axis; raises DLC104 when there is none, or when it is the batch axis.

    >>> place_of(-1, 3, "concat"), place_of(1, 3, "concat")
    (2, 1)
    """
    place = axis + rank if axis < 0 else axis
    if not 0 < place < rank:
        hint = "axis 0 is the batch" if place == 0 else None
        expected = f"1 to {rank - 1}, or negative from the end" if rank > 1 else "an input with more axes"
        raise RuleViolation("DLC104", f"no axis {axis} for `{word}`", expected=expected, hint=hint, option=option)
    return place


def with_mask(x: TensorType, output: TensorType, kept: bool, word: str, why: str) -> TensorType:
    """An output with the mask of its input where axis 1 stays what it is; raises DLC212 where it does not."""
    if x.mask and not kept:
        hint = "reduce the time axis first: `take: -1` (the last position), `global_avg_pool1d`, `attention`"
        raise RuleViolation("DLC212", f"`{word}` can't honor the mask of its input: {why}", found=str(x), hint=hint)
    return output.masked(x.mask)


def need_positions(word: str, kept: bool, why: str, stepped: Sequence[bool] = (True,)) -> None:
    """Raise DLC213 unless a layer that rearranges axes leaves each position of axis 1 what it is.

    Args:
        word: the layer's name.
        kept: whether it does.
        why: what it does instead, as in "it moves the time axis".
        stepped: for each input, whether it comes position by position.
    """
    if not all(stepped):
        raise refused_decoding(word, MIXED)
    if not kept:
        raise refused_decoding(word, why)
