"""The weights of classes that losses find in the training split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlc.frontend.plan import LossTerm, Plan
from dlc.ir import MASK
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 1 << 14  # records that are counted at a time


def awaits_class_weights(plan: Plan) -> bool:
    """Whether a loss has weights of classes that are not in the plan yet."""
    return any(term.loss.balances for term in plan.losses)


def find_class_weights(
    plan: Plan, values: Mapping[str, Mapping[str, Any]], rows: NDArray[np.int32]
) -> dict[str, tuple[float, ...]]:
    """The weights of classes of all losses that balance them, by the name of the loss.

    Args:
        plan: the plan.
        values: the encoded inputs and targets of all records.
        rows: the row numbers of the training split.
    """
    found: dict[str, tuple[float, ...]] = {}
    for term in plan.losses:
        if not term.loss.balances or term.against is None or term.against.section == "outputs":
            continue
        compared = values[term.against.section][term.against.name]
        mask = values[term.against.section].get(term.against.name + MASK)
        parts = [np.sort(rows)[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
        blocks = (compared[part] if mask is None else compared[part][mask[part]] for part in parts)
        size = plan.graph.types[term.output].shape[-1]
        found[term.name] = term.loss.class_weights_of(blocks, size if isinstance(size, int) else 1)
    return found


def with_class_weights(plan: Plan, weights: Mapping[str, tuple[float, ...]]) -> Plan:
    """The plan, with the weights of classes that `find_class_weights` found."""
    if not weights:
        return plan

    def weighted(term: LossTerm) -> LossTerm:
        return replace(term, loss=term.loss.weighted(weights[term.name])) if term.name in weights else term

    return replace(plan, losses=tuple(map(weighted, plan.losses)))
