"""Matrix products in the shapes that compilers do best."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

from dlc.support.lazy import jax, jnp, lax

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

    def exact(residuals: Any, cotangents: Any) -> Any:
        with jax.default_matmul_precision(precision):
            return backward(residuals, cotangents)

    function = jax.custom_vjp(plain)
    function.defvjp(forward, exact)
    found: Callable[..., Any] = function
    return found


def fusion_barrier(function: Callable[..., Any], like: Any, *arrays: Array) -> Any:
    """function(*arrays), where XLA computes the arrays before and the results once.

    XLA:CPU fuses what an operation reads into it, to compute it again for every element that is read, in the order in
    which it is read: slow where that is none of the order of memory or reads an element more than once. It removes
    `optimization_barrier` before that, but what goes into and comes out of a branch is kept.

    Args:
        function: what to compute.
        like: its results, as far as shapes and types go.
        arrays: its arguments; at least one, with at least one element.
    """
    first = arrays[0].reshape(-1)[0]
    number = lax.bitcast_convert_type(first, f"uint{8 * first.dtype.itemsize}")

    def never(*_: Array) -> Any:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)

    return lax.cond((number | 1) != 0, function, never, *arrays)  # an odd number is not 0, which XLA doesn't see
