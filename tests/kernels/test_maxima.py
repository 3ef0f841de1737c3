"""Maxima and their gradients: each goes to one element, whatever XLA computes twice."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dlc
from dlc.components.losses.embeddings import unit
from dlc.kernels.maxima import larger, largest

X = np.array([[1.0, 5.0, 5.0, -2.0], [0.0, -np.inf, 0.0, -1.0]], np.float32)


def test_the_largest_element_gets_the_gradient_once() -> None:
    value, gradient = jax.vjp(lambda x: largest(x, 1), jnp.asarray(X))
    assert value.tolist() == [[5.0], [0.0]]
    assert gradient(jnp.asarray([[2.0], [3.0]]))[0].tolist() == [[0, 2, 0, 0], [3, 0, 0, 0]]
    assert np.isnan(largest(jnp.asarray([1.0, np.nan, 3.0]), 0)).all()
    assert largest(jnp.full((1, 2), -jnp.inf), 1).tolist() == [[-np.inf]]


def test_the_larger_of_two() -> None:
    a, b = jnp.asarray([1.0, 2.0, np.nan, 4.0]), jnp.asarray([3.0, 2.0, 1.0, np.nan])
    assert np.array_equal(larger(a, b), jnp.maximum(a, b), equal_nan=True)
    assert [grads.tolist() for grads in jax.grad(lambda a, b: larger(a, b)[:2].sum(), (0, 1))(a, b)] == [
        [0, 1, 0, 0],
        [1, 0, 0, 0],
    ]


def compared(jaxpr: Any) -> list[str]:
    """The comparisons of floats in a program that ask for equality."""
    found = []
    for equation in jaxpr.eqns:
        inner = [value for value in equation.params.values() if hasattr(value, "eqns") or hasattr(value, "jaxpr")]
        for value in inner:
            found += compared(getattr(value, "jaxpr", value))
        if equation.primitive.name == "eq" and jnp.issubdtype(equation.invars[0].aval.dtype, jnp.floating):
            found.append(str(equation))
    return found


@pytest.mark.parametrize(
    "network",
    [
        "[tanh, max_pool2d, flatten]",
        "[tanh, max_pool2d: {window: 3, strides: 2, padding: same}, flatten]",
        "[tanh, global_max_pool2d]",
        "[{tanh: , name: a}, {sigmoid: , name: b}, maximum: [a, b], flatten]",
        "[{tanh: , name: a}, {sigmoid: , name: b}, minimum: [a, b], flatten]",
    ],
)
def test_no_gradient_asks_which_element_equals_the_maximum(network: str) -> None:
    """The elements may be computed twice, and rounded in two ways: such a question may have no answer."""
    from dlc.backend.network import lower

    spec = dlc.loads(f"dlc: 1\nname: t\ninputs: {{x: {{tensor: [5, 5, 2]}}}}\nnetwork: {network}\n")
    program = lower(spec.graph)

    def total(x: Any) -> Any:
        return program.apply(program.init(0), {"x": x})[0]["output"].sum()

    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 5, 2)), jnp.float32)
    assert compared(jax.make_jaxpr(jax.grad(total))(x).jaxpr) == []
    assert compared(jax.make_jaxpr(jax.grad(lambda x: x.max()))(x).jaxpr) != []  # what is looked for is found


def test_the_length_of_a_unit_vector_has_the_right_gradient() -> None:
    x, t = jnp.asarray([[0.3, -2.0, 5.0]]), jnp.asarray([[1.0, 2.0, -1.0]])
    plain = jax.grad(lambda x: (x / jnp.sqrt((x * x).sum(-1, keepdims=True)) * t).sum())(x)
    np.testing.assert_allclose(jax.grad(lambda x: (unit(x) * t).sum())(x), plain, atol=1e-6)
