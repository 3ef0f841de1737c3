"""Random keys: JAX's Threefry, in a variant that is fast on a CPU.

For a CPU, JAX lowers each draw to a loop of five iterations, whose many small operations take longer than the draw
itself. Here the rounds are unrolled and fused into one operation; the bits are the same, those of JAX's default
`jax_threefry_partitionable`.
"""

from __future__ import annotations

from math import prod
from typing import Any

import jax
import jax.extend.random as extended
import jax.numpy as jnp
import numpy as np
from jax import Array

from dlc.kernels.products import fusion_barrier

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def root_key(seed: int, platform: str) -> Array:
    """The key of a run on a platform, scalar: all other keys and draws follow from it."""
    return jax.random.key(seed, impl=_UNROLLED if platform == "cpu" else None)


@jax.jit
def _hash(key: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3)."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY))
    first, second = first + keys[0], second + keys[1]
    for iteration in range(1, 6):
        for shift in _ROTATIONS[1 - iteration % 2]:
            first = first + second
            second = first ^ (second << shift | second >> 32 - shift)
        first, second = first + keys[iteration % 3], second + keys[(iteration + 1) % 3] + jnp.uint32(iteration)
    return first, second


def _positions(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The row-major position of each element of an array, as two halves of 64 bits; fewer than 2^32."""
    position = jnp.zeros(shape, jnp.uint32)
    for axis in range(len(shape)):
        position += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(prod(shape[axis + 1 :]))
    return jnp.zeros(shape, jnp.uint32), position


def _random_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    """An array with `width` random bits in each element."""
    if prod(shape) >= 1 << 32 or width == 64:
        found: Array = extended.threefry_prng_impl.random_bits(key, width, shape)
        return found

    def drawn(key: Array) -> Array:
        found: Array = jnp.bitwise_xor(*_hash(key, *_positions(shape)))
        return found

    like = jax.ShapeDtypeStruct(shape, jnp.uint32)
    bits: Array = (
        fusion_barrier(drawn, like, key) if prod(shape) > 1 else drawn(key)
    )  # else each reader would draw again
    kinds: dict[int, type[np.unsignedinteger[Any]]] = {8: np.uint8, 16: np.uint16, 32: np.uint32}
    return bits.astype(kinds[width])


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return jnp.stack(_hash(key, *_positions(shape)), axis=-1)


def _fold_in(key: Array, data: Array | int) -> Array:
    return jnp.stack(_hash(key, jnp.uint32(0), jnp.asarray(data, jnp.uint32)))


_UNROLLED = extended.define_prng_impl(
    key_shape=(2,),
    seed=extended.threefry_prng_impl.seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32_unrolled",
    tag="unrolled",
)
