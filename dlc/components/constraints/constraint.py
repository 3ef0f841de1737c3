"""The interface of constraints: projections of a weight onto its allowed values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.language.options import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dlc.ir import ParamSpec


class Constraint(Options):
    """A projection that is applied to a weight after every training step."""

    def over(self, spec: ParamSpec) -> tuple[int, ...]:
        """The axes that are constrained together, counted from the end of the shape; none for elementwise constraints.

        Raises:
            RuleViolation: when the weight lacks an axis that the spec names.
        """
        return ()

    def apply(self, weight: Any, axes: Sequence[int]) -> Any:
        """The nearest allowed values.

        Args:
            weight: float32, with any axes before those of the declared shape.
            axes: the result of `over`.
        """
        raise NotImplementedError


def input_axes(spec: ParamSpec) -> tuple[int, ...]:
    """The axes over which one output of a weight sums, counted from the end: (-2,) of a dense kernel (in, out).

    They are those up to the last one called `in` or `kernel`, without the outputs'. For a weight without such axes they
    are all but the last; for a vector, its only axis.
    """
    rank = len(spec.shape)
    inner = [index for index, name in enumerate(spec.axes) if name in ("in", "kernel")]
    if inner and len(spec.axes) == rank:
        outputs = ("out", "channels")
        return tuple(index - rank for index in range(inner[-1] + 1) if spec.axes[index] not in outputs)
    return tuple(range(-rank, -1)) if rank > 1 else tuple(range(-rank, 0))
