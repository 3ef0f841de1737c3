"""Matrix products in the forms that compilers do best."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

from dlc.lazy import jax, jnp

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


def with_gradient(
    plain: Callable[..., Any], forward: Callable[..., Any], backward: Callable[..., Any]
) -> Callable[..., Any]:
    """`jax.custom_vjp`, whose backward pass multiplies matrices in the precision of the forward pass.

    JAX traces it where gradients are taken, outside of the context that the forward pass is traced in.
    """
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]  # not in its stubs

    def exact(residuals: Any, slopes: Any) -> Any:
        with jax.default_matmul_precision(precision):
            return backward(residuals, slopes)

    function = jax.custom_vjp(plain)
    function.defvjp(forward, exact)
    found: Callable[..., Any] = function
    return found
