"""The iterations of a repeat: as one loop, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlc.ir import TypedNode, TypedRepeat
from dlc.kernels.selection import REST, Operation

FEW = 4  # iterations that are written one after the other


@jax.tree_util.register_pytree_node_class
class Separate:
    """A value for each iteration of a repeat, instead of one array of all.

    A loop around the network would copy the parts of one array again in each of its steps.

    Args:
        values: the values, in the order of the iterations.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = tuple(values)

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        """The values as a JAX tree."""
        return self.values, None

    @classmethod
    def tree_unflatten(cls, _: None, values: Sequence[Any]) -> Separate:
        """The inverse."""
        return cls(values)

    @staticmethod
    def of(tree: Any, times: int) -> Any:
        """A tree of arrays of all iterations with the values of each."""
        return jax.tree.map(lambda leaf: Separate([leaf[index] for index in range(times)]), tree)


def is_separate(value: Any) -> bool:
    """Whether a value is a `Separate`."""
    return isinstance(value, Separate)


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


def one_by_one(iteration: RepeatBody, carry: Any, slices: Any) -> Any:
    """The same for slices some of which are `Separate`; what the iterations keep is that, too."""
    leaves, tree = jax.tree.flatten(slices, is_leaf=is_separate)
    count = iteration.node.times
    parts = [leaf.values if is_separate(leaf) else [leaf[index] for index in range(count)] for leaf in leaves]
    found, body = [], jax.jit(iteration.body)
    for part in zip(*parts, strict=True):
        carry, kept = body(carry, jax.tree.unflatten(tree, part))
        found.append(kept)
    return carry, jax.tree.map(lambda *kept: Separate(kept), *found)


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
