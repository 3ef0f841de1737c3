"""Maxima whose gradients never compare an element with a stored maximum.

JAX's gradient of a maximum goes to the elements that equal it, divided by their count. For that XLA may compute the
elements a second time, fused with other work and rounded otherwise: none equals the maximum then, and the gradient is
0 / 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.support.lazy import jnp, lax

if TYPE_CHECKING:
    from jax import Array


def larger(a: Array, b: Array) -> Array:
    """The larger of two arrays, element by element; of equals the first, which gets all of the gradient. NaN wins."""
    return jnp.where((b > a) | (b != b), b, a)


def largest(x: Array, axis: int) -> Array:
    """The largest element along an axis, (..., 1, ...): of equals the first, which gets all of the gradient.

    Of none it is minus infinity.
    """
    if x.shape[axis] == 0:
        return x.max(axis, keepdims=True, initial=-jnp.inf)
    first = jnp.argmax(x, axis=axis, keepdims=True)
    chosen = lax.broadcasted_iota(first.dtype, x.shape, axis % x.ndim) == first
    return jnp.where(chosen, x, 0).sum(axis, keepdims=True)
