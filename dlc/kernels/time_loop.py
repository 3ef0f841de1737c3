"""Loops over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from dlc.kernels.products import with_gradient
from dlc.support.lazy import jax, jnp, lax

if TYPE_CHECKING:
    from jax import Array

Weights = Mapping[str, Any]
State = tuple[Any, ...]  # (batch, units) each


class Push(Protocol):
    """A product with the recurrent kernel."""

    def __call__(self, x: Array, columns: slice = ...) -> Array:
        """(batch, units) -> (batch, columns)."""


def loop(step: Callable[..., Any], backwards: bool, kernel: Array, weights: Weights, start: State, parts: Any) -> Any:
    """A loop over time whose steps multiply by one kernel.

    The kernel's gradient is one product after the loop, of all that was multiplied by it. In the loop it would be as
    many small ones, and as many additions to an array of the kernel's size: half of the time of a backward pass.

    Args:
        step: (weights, push, state, part) -> the next state, and what is kept of it.
        backwards: whether the last part comes first.
        kernel: (units, columns).
        weights: what else `step` is given.
        start: the state before.
        parts: for each step, (time, ...).
    """
    columns: list[slice] = []  # of each product of a step

    def count(kernel: Array, weights: Weights, start: State, parts: Any) -> None:
        def push(x: Array, chosen: slice = slice(None)) -> Array:
            columns.append(chosen)
            return x @ kernel[:, chosen]

        step(weights, push, start, jax.tree.map(lambda leaf: leaf[0], parts))

    jax.eval_shape(count, kernel, weights, start, parts)

    def run(kernel: Array, shifts: Any, weights: Weights, start: State, parts: Any) -> Any:
        """The loop, and what was multiplied, (time, batch, units) each; `shifts` are added to the products."""

        def body(state: State, given: Any) -> Any:
            part, shift = given
            pushed: list[Array] = []

            def push(x: Array, chosen: slice = slice(None)) -> Array:
                pushed.append(x)
                y: Array = x @ kernel[:, chosen] + shift[len(pushed) - 1]
                return y

            state, kept = step(weights, push, state, part)
            return state, (kept, pushed)

        end, (kept, pushed) = lax.scan(body, start, (parts, shifts), reverse=backwards)
        return (end, kept), pushed

    def zeros(kernel: Array, start: State, parts: Any) -> list[Array]:
        length, batch = jax.tree.leaves(parts)[0].shape[0], start[0].shape[0]
        return [
            jnp.zeros((length, batch, len(range(*chosen.indices(kernel.shape[1])))), kernel.dtype) for chosen in columns
        ]

    def plain(kernel: Array, weights: Weights, start: State, parts: Any) -> Any:
        return run(kernel, zeros(kernel, start, parts), weights, start, parts)[0]

    def forward(kernel: Array, weights: Weights, start: State, parts: Any) -> Any:
        fixed = lax.stop_gradient(kernel)
        shifts = zeros(kernel, start, parts)
        found, back, pushed = jax.vjp(lambda *rest: run(fixed, *rest), shifts, weights, start, parts, has_aux=True)
        return found, (back, pushed, kernel)

    def backward(residuals: Any, cotangents: Any) -> Any:
        back, pushed, kernel = residuals
        shifts, weights, start, parts = back(cotangents)
        total = jnp.zeros_like(kernel)
        for chosen, x, shift in zip(columns, pushed, shifts, strict=True):
            total = total.at[:, chosen].add(jnp.einsum("tbu,tbc->uc", x, shift))
        return total, weights, start, parts

    return with_gradient(plain, forward, backward)(kernel, weights, start, parts)
