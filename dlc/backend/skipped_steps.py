"""Steps that are left out: those whose loss or gradients are infinite or not a number."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

LIMIT = 100  # steps left out in a row after which nothing moves any more, and the run stops


class SkippedSteps(NamedTuple):
    """How many steps were left out, which a checkpoint keeps.

    Args:
        epoch: int32, since the epoch began.
        row: int32, the newest steps one after the other; from `LIMIT` on all are left out.
    """

    epoch: jax.Array
    row: jax.Array


def start() -> SkippedSteps:
    """Before the first step."""
    return SkippedSteps(jnp.int32(0), jnp.int32(0))


def next_state(state: SkippedSteps, good: jax.Array) -> SkippedSteps:
    """After a step that was done or left out."""
    return SkippedSteps(
        (state.epoch + ~good).astype(jnp.int32),
        jnp.where(good, 0, state.row + 1).astype(jnp.int32),
    )
