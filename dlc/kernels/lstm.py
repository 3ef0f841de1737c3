"""The loop of long short-term memory, as written and with a gradient of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dlc.kernels.products import with_gradient
from dlc.kernels.selection import REST, Operation
from dlc.kernels.time_loop import Push, State, Weights, loop
from dlc.support.lazy import jax, jnp, lax, np

if TYPE_CHECKING:
    from jax import Array

Found = tuple[State, Any]  # the last state and cell, and the states after every step, (time, batch, units), or None


class Reading(NamedTuple):
    """How a sequence is read.

    Args:
        backwards: whether the last step comes first.
        sequence: whether the states after every step are wanted.
    """

    backwards: bool
    sequence: bool


def cell(z: Array, c: Array, gate: Any, activation: Any) -> State:
    """(batch, 4 * units) and the cell -> the new state and cell: c' = f c + i g, h' = o tanh(c')."""
    i, f, g, o = jnp.split(z, 4, axis=-1)
    c = gate(f) * c + gate(i) * activation(g)
    return gate(o) * activation(c), c


def by_rule(reading: Reading, kernel: Array, steps: Array, h: Array, c: Array, real: Array | None = None) -> Found:
    """The steps one after the other; their gradient is JAX's.

    Args:
        reading: how.
        kernel: (units, 4 * units), of the state.
        steps: (time, batch, 4 * units), what the inputs add to the gates i, f, g, o.
        h: (batch, units), the state before.
        c: (batch, units), the cell before.
        real: (time, batch); where it is false the state stays.
    """

    def iteration(_: Weights, push: Push, state: State, part: tuple[Array, Array | None]) -> tuple[State, Any]:
        now, real = part
        new = cell(now + push(state[0]), state[1], jax.nn.sigmoid, jnp.tanh)
        if real is not None:
            new = tuple(jnp.where(real[:, None], a, b) for a, b in zip(new, state, strict=True))
        return new, new[0] if reading.sequence else None

    found: Found = loop(iteration, reading.backwards, kernel, {}, (h, c), (steps, real))
    return found


def by_gates(reading: Reading, kernel: Array, steps: Array, h: Array, c: Array, real: Array | None = None) -> Found:
    """The same with a gradient of its own: the factors of the gradients are computed for all steps at once.

    sigmoid(x) = (1 + tanh(x / 2)) / 2, so that all gates are one tanh.
    """
    units = kernel.shape[0]
    half = np.repeat(np.asarray([0.5, 0.5, 1.0, 0.5], steps.dtype), units)  # i, f, g, o
    shift = np.repeat(np.asarray([0.5, 0.5, 0.0, 0.5], steps.dtype), units)

    def run(kernel: Array, steps: Array, start: State, real: Array | None) -> Any:
        def body(state: State, part: tuple[Array, Array | None]) -> Any:
            now, real = part
            gates = jnp.tanh((now + state[0] @ kernel) * half) * half + shift
            i, f, g, o = jnp.split(gates, 4, axis=-1)
            cell = f * state[1] + i * g
            new: State = (o * jnp.tanh(cell), cell)
            if real is not None:
                new = tuple(jnp.where(real[:, None], a, b) for a, b in zip(new, state, strict=True))
            return new, (gates, *new)

        return lax.scan(body, start, (steps, real), reverse=reading.backwards)

    def plain(kernel: Array, steps: Array, start: State, real: Array | None) -> Found:
        end, (_, states, _) = run(kernel, steps, start, real)
        return end, states if reading.sequence else None

    def forward(kernel: Array, steps: Array, start: State, real: Array | None) -> Any:
        end, kept = run(kernel, steps, start, real)
        return (end, kept[1] if reading.sequence else None), (kept, kernel, start, real)

    def backward(residuals: Any, cotangents: Any) -> Any:
        (gates, states, cells), kernel, start, real = residuals

        def before(after: Array, first: Array) -> Array:
            parts = (after[1:], first[None]) if reading.backwards else (first[None], after[:-1])
            return jnp.concatenate(parts)

        i, f, g, o = jnp.split(gates, 4, axis=-1)
        through = jnp.tanh(cells)
        by_cell = jnp.concatenate([g * i * (1 - i), before(cells, start[1]) * f * (1 - f), i * (1 - g * g)], axis=-1)
        by_state = through * o * (1 - o)
        into_cell = o * (1 - through * through)

        turned = lax.optimization_barrier(kernel.T)

        def body(carry: State, part: Any) -> Any:
            (into, by_cell, by_state, f), real, cotangent = part
            dh, dc = carry if cotangent is None else (carry[0] + cotangent, carry[1])
            kept = (dh, dc)
            if real is not None:
                dh, dc = (jnp.where(real[:, None], part, 0) for part in kept)
            dc = dc + dh * into
            dz = jnp.concatenate([jnp.tile(dc, 3) * by_cell, dh * by_state], axis=-1)
            made: State = (dz @ turned, dc * f)
            if real is not None:
                made = tuple(jnp.where(real[:, None], a, b) for a, b in zip(made, kept, strict=True))
            return made, dz

        parts = ((into_cell, by_cell, by_state, f), real, cotangents[1])
        dstart, dz = lax.scan(body, cotangents[0], parts, reverse=not reading.backwards)
        came = before(states, start[0]).reshape(-1, kernel.shape[0])  # as two axes: three are copied in another order
        return came.T @ dz.reshape(-1, kernel.shape[1]), dz, dstart, None

    found: Found = with_gradient(plain, forward, backward)(kernel, steps, (h, c), real)
    return found


def _fitting(*_: Any) -> tuple[str, ...]:
    return ("rule", "gates")


def _table(*_: Any) -> dict[str, str]:
    """By measurement, see docs/performance.md."""
    return {REST: "gates"}


LSTM = Operation("lstm", {"rule": by_rule, "gates": by_gates}, _fitting, _table)
