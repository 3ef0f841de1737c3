"""Matrix products in the forms that compilers do best."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from dlc.lazy import jnp

if TYPE_CHECKING:
    from jax import Array


def product(x: Array, kernel: Array) -> Array:
    """(..., d) times (d, *units): (..., *units).

    As a product of two matrices: with more axes XLA:CPU copies what the kernel's gradient is made of, which takes as
    long as the products themselves.
    """
    lead, units = x.shape[:-1], kernel.shape[1:]
    kernel = kernel.reshape(kernel.shape[0], prod(units))
    if not all(isinstance(size, int) for size in lead):
        return jnp.matmul(x, kernel).reshape(*lead, *units)
    return jnp.matmul(x.reshape(prod(lead), x.shape[-1]), kernel).reshape(*lead, *units)
