"""Rotary positions: pairs of numbers rotated by an angle that grows with the position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.support.lazy import jnp, np

if TYPE_CHECKING:
    from jax import Array


def rotate(x: Array, positions: Array, base: float = 10_000.0) -> Array:
    """`x` with the pairs (i, i + size / 2) of its last axis turned by the angle position * base^(-2 i / size).

    The product of two rotated vectors depends on the distance of their positions only. This is the half-split form of
    GPT-NeoX and Llama; the paper's pairs are neighbours (Su et al. 2021, arXiv:2104.09864).

    Args:
        x: (batch, time, heads, size), the size even.
        positions: (time,) or (batch, time), the number of each position.
        base: how slowly the last pair rotates.
    """
    half = x.shape[-1] // 2
    rates = np.asarray(base ** (-np.arange(half) / half), np.float32)  # (size / 2,)
    angles = positions.astype(jnp.float32)[..., None, None] * rates  # (T, 1, size / 2) or (B, T, 1, size / 2)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)
