"""The contract of constraints: maps of a weight onto the values that it may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.language.options import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dlc.ir import ParamSpec


class Constraint(Options):
    """What a weight is brought back to after every step of training."""

    def over(self, spec: ParamSpec) -> tuple[int, ...]:
        """The axes that are taken together, counted from the end of the shape; none for what looks at each number.

        Raises:
            RuleViolation: when the weight lacks one that the file names.
        """
        return ()

    def apply(self, weight: Any, axes: Sequence[int]) -> Any:
        """The nearest values that are allowed.

        Args:
            weight: float32, with any axes before those of the declared shape.
            axes: what `over` gave.
        """
        raise NotImplementedError


def input_axes(spec: ParamSpec) -> tuple[int, ...]:
    """The axes over which one output of a weight sums, counted from the end: (-2,) of a dense kernel (in, out).

    They are those up to the last one called `in` or `kernel`, without the outputs'. Of a weight that says nothing of
    its inputs they are all but the last, and of a vector its only one.
    """
    rank = len(spec.shape)
    inner = [place for place, name in enumerate(spec.axes) if name in ("in", "kernel")]
    if inner and len(spec.axes) == rank:
        outputs = ("out", "channels")
        return tuple(place - rank for place in range(inner[-1] + 1) if spec.axes[place] not in outputs)
    return tuple(range(-rank, -1)) if rank > 1 else tuple(range(-rank, 0))
