"""Rotary positions (Su et al. 2021, arXiv:2104.09864), with the halves paired as in GPT-NeoX and Llama."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.lazy import jnp

if TYPE_CHECKING:
    from jax import Array


def rotate(x: Array, positions: Any, base: float = 10000.0) -> Array:
    """(batch, time, ..., size) -> the same: the pair (x_i, x_{i + size / 2}) turned by position * base^(-2 i / size).

    Args:
        x: size is even.
        positions: (time,), where each place stands.
        base: the longest wave is about 2 pi times it.
    """
    half = x.shape[-1] // 2
    rates = jnp.exp(jnp.arange(half, dtype=jnp.float32) * (-jnp.log(base) / half))
    angles = jnp.asarray(positions, jnp.float32)[:, None] * rates  # (time, size / 2)
    angles = angles.reshape(1, x.shape[1], *(1,) * (x.ndim - 3), half)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    wide = x.astype(jnp.float32)
    first, second = wide[..., :half], wide[..., half:]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)
