"""Skipped steps: those whose loss or gradients are infinite or not a number."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

LIMIT = 100  # skipped steps in a row after which all further steps are skipped and the run stops


class SkippedSteps(NamedTuple):
    """The numbers of skipped steps, which are part of checkpoints.

    Args:
        epoch: int32, since the start of the epoch.
        row: int32, consecutive ones up to now; from `LIMIT` on all steps are skipped.
    """

    epoch: jax.Array
    row: jax.Array


def start() -> SkippedSteps:
    """The state before the first step."""
    return SkippedSteps(jnp.int32(0), jnp.int32(0))


def next_state(state: SkippedSteps, good: jax.Array) -> SkippedSteps:
    """The state after a step that was done or skipped."""
    return SkippedSteps(
        (state.epoch + ~good).astype(jnp.int32),
        jnp.where(good, 0, state.row + 1).astype(jnp.int32),
    )
