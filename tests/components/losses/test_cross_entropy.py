"""Cross-entropies and the mean squared error against scikit-learn, optax and plain definitions."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import sklearn.metrics

from dlc.components.losses.loss import Loss, Score
from tests.components.building import loss


@cache
def compiled(made: Loss) -> Any:
    """The loss of each example as training computes it; an eager call would compile each operation apart."""

    def each(*arguments: Any) -> jax.Array:
        found: Score = made.apply(*arguments)
        return found.total / found.weight

    return jax.jit(each)


@pytest.mark.few(1)
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_cross_entropy_against_scikit_learn(classes: int) -> None:
    generator = np.random.default_rng(classes)
    logits = jnp.asarray(generator.normal(0, 5, (40, classes)), jnp.float32)
    target = generator.integers(0, classes, 40).astype(np.int32)
    made = loss("cross_entropy")
    want = sklearn.metrics.log_loss(
        target, scipy.special.softmax(np.asarray(logits, np.float64), -1), labels=range(classes)
    )
    np.testing.assert_allclose(compiled(made)(logits, target).mean(), want, rtol=1e-5)
    np.testing.assert_allclose(
        compiled(made)(logits, target),
        jax.jit(optax.softmax_cross_entropy_with_integer_labels)(logits, target),
        rtol=1e-5,
        atol=1e-6,
    )
    rows = jax.nn.one_hot(target, classes)
    np.testing.assert_allclose(compiled(made)(logits, rows), compiled(made)(logits, target), rtol=1e-6)
    plain = loss("cross_entropy: {from_logits: false}")
    probabilities = made.activate(logits)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    # probabilities are cut at 1e-7, so that far-off answers differ
    near = np.asarray(probabilities)[np.arange(40), target] > 1e-5
    np.testing.assert_allclose(
        compiled(plain)(probabilities, target)[near], compiled(made)(logits, target)[near], rtol=1e-4, atol=1e-6
    )


def test_cross_entropy_of_pixels_is_the_mean_over_them() -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 3, 5)), jnp.float32)
    target = np.random.default_rng(1).integers(0, 5, (4, 2, 3)).astype(np.int32)
    want = jax.jit(optax.softmax_cross_entropy_with_integer_labels)(logits, target).mean((1, 2))
    np.testing.assert_allclose(compiled(loss("cross_entropy"))(logits, target), want, rtol=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_label_smoothing_against_optax(share: float) -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(0, 3, (20, 4)), jnp.float32)
    target = np.random.default_rng(1).integers(0, 4, 20).astype(np.int32)
    want = jax.jit(optax.softmax_cross_entropy)(logits, optax.smooth_labels(jax.nn.one_hot(target, 4), share))
    made = loss(f"cross_entropy: {{label_smoothing: {share}}}")
    np.testing.assert_allclose(compiled(made)(logits, target), want, rtol=1e-5)
    np.testing.assert_allclose(compiled(made)(logits, jax.nn.one_hot(target, 4)), want, rtol=1e-5)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_cross_entropies_stay_finite_far_out(size: float) -> None:
    logits = jnp.asarray([[-size, 0.0, size], [size, size, -size]])
    target = jnp.asarray([0, 1])
    many = loss("cross_entropy: {label_smoothing: 0.1}")
    value, gradient = jax.jit(jax.value_and_grad(lambda y: many.apply(y, target).total.sum()))(logits)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    np.testing.assert_allclose(compiled(loss("cross_entropy"))(logits, target), [2 * size, math.log(2)], rtol=1e-6)
    one = loss("binary_cross_entropy")
    value, gradient = jax.jit(jax.value_and_grad(lambda y: one.apply(y, target).total.sum()))(logits[:, :1])
    assert np.isfinite(value) and np.isfinite(gradient).all()
    np.testing.assert_allclose(
        compiled(one)(jnp.asarray([[-size], [size], [-size], [size]]), jnp.asarray([1, 0, 0, 1])),
        [size, size, 0, 0],
        rtol=1e-6,
    )


def test_probabilities_of_zero_and_one_stay_finite() -> None:
    for spec, output in (
        ("cross_entropy: {from_logits: false}", [[0.0, 1.0], [1.0, 0.0]]),
        ("binary_cross_entropy: {from_logits: false}", [[0.0], [1.0]]),
    ):
        made, y = loss(spec), jnp.asarray(output)
        for target in (jnp.asarray([0, 1]), jnp.asarray([1, 0])):
            total = jax.value_and_grad(lambda y, made=made, target=target: made.apply(y, target).total.sum())
            value, gradient = jax.jit(total)(y)
            assert np.isfinite(value) and np.isfinite(gradient).all()


def test_binary_cross_entropy_against_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    logits = jnp.asarray(generator.normal(0, 3, (50, 1)), jnp.float32)
    target = generator.integers(0, 2, 50).astype(np.int32)
    made = loss("binary_cross_entropy")
    probabilities = made.activate(logits)
    want = sklearn.metrics.log_loss(target, np.asarray(probabilities, np.float64))
    np.testing.assert_allclose(compiled(made)(logits, target).mean(), want, rtol=1e-5)
    np.testing.assert_allclose(
        compiled(made)(logits, target), jax.jit(optax.sigmoid_binary_cross_entropy)(logits[:, 0], target), rtol=1e-5
    )
    np.testing.assert_allclose(
        compiled(loss("binary_cross_entropy: {from_logits: false}"))(probabilities, target).mean(), want, rtol=1e-4
    )
    soft = jnp.asarray(generator.uniform(size=(50, 1)), jnp.float32)  # targets between 0 and 1
    np.testing.assert_allclose(
        compiled(made)(logits, soft), jax.jit(optax.sigmoid_binary_cross_entropy)(logits, soft)[:, 0], rtol=1e-5
    )


def test_two_classes_as_one_score_or_two() -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(10, 1)), jnp.float32)
    target = np.arange(10, dtype=np.int32) % 2
    two = jnp.concatenate([jnp.zeros_like(logits), logits], -1)
    np.testing.assert_allclose(
        compiled(loss("binary_cross_entropy"))(logits, target), compiled(loss("cross_entropy"))(two, target), rtol=1e-5
    )


@pytest.mark.parametrize("shape", [(1, 1), (30, 1), (7, 3), (4, 2, 3)])
def test_mse_against_scikit_learn(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    output, target = generator.normal(size=shape).astype(np.float32), generator.normal(size=shape).astype(np.float32)
    want = sklearn.metrics.mean_squared_error(target.reshape(shape[0], -1), output.reshape(shape[0], -1))
    np.testing.assert_allclose(compiled(loss("mse"))(jnp.asarray(output), jnp.asarray(target)).mean(), want, rtol=1e-5)
    classes = (target > 0).astype(np.int32)
    np.testing.assert_allclose(
        compiled(loss("mse"))(jnp.asarray(output), classes).mean(), ((output - classes) ** 2).mean(), rtol=1e-5
    )


def test_losses_of_half_precision_are_computed_in_float32() -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.bfloat16)
    target = jnp.asarray([0, 1, 2, 0])
    value = compiled(loss("cross_entropy"))(logits, target)
    assert value.dtype == jnp.float32
    np.testing.assert_array_equal(value, compiled(loss("cross_entropy"))(logits.astype(jnp.float32), target))


def test_a_class_too_many_is_seen() -> None:
    """A class number that the checks could not know of gives nan, which stops training, rather than a wrong number."""
    value = compiled(loss("cross_entropy"))(jnp.zeros((4, 3)), jnp.asarray([3, 0, -1, 2]))
    np.testing.assert_array_equal(np.isnan(value), [True, False, True, False])
