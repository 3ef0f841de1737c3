"""Steps that are left out: those whose loss or gradients are infinite or not a number."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

LIMIT = 100  # steps left out in a row after which nothing moves any more, and the run stops


class LeftOut(NamedTuple):
    """How many steps were left out, which a checkpoint keeps.

    Args:
        epoch: int32, since the epoch began.
        row: int32, the newest steps one after the other; from `LIMIT` on all are left out.
    """

    epoch: jax.Array
    row: jax.Array


def start() -> LeftOut:
    """Before the first step."""
    return LeftOut(jnp.int32(0), jnp.int32(0))


def next_state(state: LeftOut, good: jax.Array) -> LeftOut:
    """After a step that was done or left out."""
    return LeftOut(
        (state.epoch + ~good).astype(jnp.int32),
        jnp.where(good, 0, state.row + 1).astype(jnp.int32),
    )
