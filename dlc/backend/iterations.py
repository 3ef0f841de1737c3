"""The iterations of a repeat: as one loop, or one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlc.ir import TypedNode, TypedRepeat
from dlc.kernels.selection import REST, Operation

FEW = 4  # iterations that are written one after the other


class RepeatBody(NamedTuple):
    """What an iteration does.

    Args:
        node: the repeat.
        body: (carry, slice of the arrays) -> the next carry, what is kept.
    """

    node: TypedRepeat
    body: Callable[[Any, Any], tuple[Any, Any]]


def scan(iteration: RepeatBody, carry: Any, slices: Any) -> Any:
    """The last carry, and what the iterations keep, stacked; `slices` are stacked likewise."""
    return jax.lax.scan(iteration.body, carry, slices, length=iteration.node.times)


def unrolled(iteration: RepeatBody, carry: Any, slices: Any) -> Any:
    """The same, one after the other: for their gradients nothing is copied into arrays of all iterations."""
    leaves, tree = jax.tree.flatten(slices)
    parts = zip(*(jax.lax.split(leaf, (1,) * iteration.node.times) for leaf in leaves), strict=True)
    found, body = [], jax.jit(iteration.body)  # traced once
    for part in parts:
        carry, kept = body(carry, jax.tree.unflatten(tree, [leaf[0] for leaf in part]))
        found.append(kept)
    return carry, jax.tree.map(lambda *kept: jnp.stack(kept), *found)


def _fitting(iteration: RepeatBody, _carry: Any, _slices: Any) -> tuple[str, ...]:
    """One form for each repeat: it decides about compile time and memory, too, which `--autotune` does not measure.

    Unrolled, what is computed again to save memory saves none on a CPU.
    """
    short = iteration.node.times <= FEW and all(
        isinstance(item, TypedNode) and not item.segments for item in iteration.node.body
    )
    return ("unrolled",) if short else ("loop",)


def _table(iteration: RepeatBody, carry: Any, slices: Any) -> dict[str, str]:
    """By measurement, see docs/performance.md: short repeats gain a tenth to a fifth."""
    (variant,) = _fitting(iteration, carry, slices)
    return {REST: variant}


REPEAT = Operation("iterations", {"loop": scan, "unrolled": unrolled}, _fitting, _table)
