"""Where the batches of a chunk come from."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

Rows = dict[str, dict[str, Any]]  # {"inputs": {name: (n, ...)}, "targets": {name: (n, ...)}}


class Feed(NamedTuple):
    """Rows on the device and indices into them, or the batches themselves.

    Args:
        rows: all rows, (n, ...), when `indices` is given; else batches, (turns, batch, ...).
        indices: (turns, batch) int32, or None.
    """

    rows: Rows
    indices: Any  # jax.Array | numpy.ndarray | None

    def batch(self, turn: Any) -> Rows:
        """The batch of a turn of the loop.

        Behind a barrier: whatever reads it is compiled alike for both forms, and gives the same bits.
        """
        if self.indices is None:
            rows = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, turn, keepdims=False), self.rows)
        else:
            rows = take(self.rows, jax.lax.dynamic_index_in_dim(self.indices, turn, keepdims=False))
        batch: Rows = jax.lax.optimization_barrier(rows)
        return batch


def take(rows: Rows, indices: Any) -> Rows:
    """The rows at some indices, all in range."""
    taken: Rows = jax.tree.map(lambda leaf: leaf.at[indices].get(mode="promise_in_bounds"), rows)
    return taken
