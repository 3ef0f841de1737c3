"""The batches of a chunk."""

from __future__ import annotations

from typing import Any, NamedTuple

from dlc.support.lazy import jax

Rows = dict[str, dict[str, Any]]  # {"inputs": {name: (n, ...)}, "targets": {name: (n, ...)}}


class Gathered(NamedTuple):
    """Windows of values that are stored once.

    Args:
        values: of all rows, (rows, *axes).
        rows: the row of each record, int32 (n,).
        offsets: the rows of a window, relative to the record's: int32 (length,).
    """

    values: Any
    rows: Any
    offsets: Any


class Feed(NamedTuple):
    """Rows on the device and indices into them: all rows, or the consecutive rows of one chunk.

    Both use this one form, so that they compile to the same program with the same bits: the gather is fused into its
    readers.

    Args:
        rows: (n, ...).
        indices: (iterations, batch) int32.
    """

    rows: Rows
    indices: Any  # jax.Array | numpy.ndarray

    def batch(self, iteration: Any) -> Rows:
        """The batch of an iteration of the loop."""
        return take(self.rows, jax.lax.dynamic_index_in_dim(self.indices, iteration, keepdims=False))


def take(rows: Rows, indices: Any) -> Rows:
    """The rows at some indices, all in range."""
    taken: Rows = jax.tree.map(lambda leaf: _taken(leaf, indices), rows, is_leaf=_is_gathered)
    return taken


def _taken(leaf: Any, indices: Any) -> Any:
    if not isinstance(leaf, Gathered):
        return leaf.at[indices].get(mode="promise_in_bounds")
    rows = leaf.rows.at[indices].get(mode="promise_in_bounds")[..., None] + leaf.offsets
    return leaf.values.at[rows].get(mode="promise_in_bounds")


def _is_gathered(leaf: Any) -> bool:
    return isinstance(leaf, Gathered)
