"""Loss scaling: gradients in float16 underflow, so the loss is multiplied and the gradients are divided by a scale.

Micikevicius et al. 2018, arXiv:1710.03740. A dynamic scale is halved when gradients overflow, and the step is skipped.
It is doubled after 2,000 steps without overflow, and stays a power of two, so that it does not change rounding.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

START = 2.0**15
LEAST, MOST = 1.0, 2.0**24
PATIENCE = 2_000  # steps without overflow before the scale grows

T = TypeVar("T")


class LossScale(NamedTuple):
    """The state of a scale, which is part of checkpoints.

    Args:
        scale: float32, factor of the loss.
        good: int32, steps without overflow since the last change of the scale.
    """

    scale: jax.Array
    good: jax.Array


def start(scale: float | Literal["dynamic"]) -> LossScale:
    """The state before the first step. A fixed scale never calls `next_state`."""
    return LossScale(jnp.float32(START if scale == "dynamic" else scale), jnp.int32(0))


def scaled(state: LossScale, loss: jax.Array) -> jax.Array:
    """The scaled loss whose gradients are computed: () float32."""
    return loss.astype(jnp.float32) * state.scale


def unscaled(state: LossScale, gradients: T) -> T:
    """The gradients of the loss itself, in float32."""
    found: T = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) / state.scale, gradients)
    return found


def finite(gradients: Any) -> jax.Array:
    """Whether all gradients are finite: () bool; true without any."""
    leaves = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients)]
    return jnp.stack(leaves).all() if leaves else jnp.bool_(True)


def next_state(state: LossScale, finite: jax.Array) -> LossScale:
    """The state after a step: halved if gradients were not finite, doubled after `PATIENCE` finite steps."""
    good = state.good + 1
    grown = good >= PATIENCE
    larger = jnp.where(grown, jnp.minimum(state.scale * 2, MOST), state.scale)
    smaller = jnp.maximum(state.scale / 2, LEAST)
    return LossScale(
        jnp.where(finite, larger, smaller).astype(jnp.float32),
        jnp.where(finite & ~grown, good, 0).astype(jnp.int32),
    )


def select(finite: jax.Array, new: T, old: T) -> T:
    """The new weights and optimizer state, or the old ones if the step is skipped."""
    kept: T = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)
    return kept
