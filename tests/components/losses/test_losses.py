"""Losses against Keras 3, optax, scikit-learn, scipy and formulas written out in numpy; what is refused; formulas."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics

import dlc
from dlc.backend.loss import combined, loss_scores, metric_statistics
from dlc.backend.predict import predictions_of
from dlc.components.losses import LOSSES
from dlc.components.losses.loss import Masks, Score
from dlc.diagnostics import Report
from dlc.frontend.pipeline import check_text
from dlc.language.options import RuleViolation, build_word
from tests.components.building import loss
from tests.reference.keras_conformance import keras

RANDOM = np.random.default_rng(0)


@cache
def runner(spec: str) -> Any:
    """The score and the gradient of the sum of totals, compiled once for each shape."""
    made = loss(spec)

    def both(output: Any, target: Any, mask: Any, real: Any) -> Any:
        def total(y: Any) -> Any:
            found = made.apply(y, target, mask, real)
            return found.total.sum(), (found.total, found.weight)

        (_, found), gradient = jax.value_and_grad(total, has_aux=True)(output)
        return found, gradient

    return jax.jit(both)


def run(spec: str, output: Any, target: Any = None, mask: Any = None, real: Any = None) -> tuple[Score, np.ndarray]:
    """The score, and the gradient of the sum of totals."""
    found, gradient = runner(spec)(jnp.asarray(output), target, mask, real)
    return Score(*(np.asarray(part, np.float64) for part in found)), np.asarray(gradient, np.float64)


def value(spec: str, output: Any, target: Any = None, mask: Any = None, real: Any = None) -> float:
    """The loss of a batch."""
    found, _ = run(spec, output, target, mask, real)
    counted = np.ones(len(found.total), bool) if real is None else np.asarray(real)
    return float(found.total[counted].sum() / found.weight[counted].sum())


def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
    return RANDOM.normal(0, scale, shape).astype(np.float32)


def chances(*shape: int) -> np.ndarray:
    return scipy.special.softmax(RANDOM.normal(0, 2, shape), -1).astype(np.float32)


# ---- against Keras ----

L = keras.losses
SIGNS = np.where(np.arange(12).reshape(6, 2) % 3 == 0, 1, -1).astype(np.float32)
BITS = (SIGNS > 0).astype(np.float32)
NUMBERS = np.array([2, 0, 1, 1, 2, 0], np.int32)
ROWS = np.eye(3, dtype=np.float32)[NUMBERS]
NEAR, FAR = normal(6, 2), normal(6, 2, scale=3)
POSITIVE = np.abs(normal(6, 2)) + 0.1
SCORES, SHARES = normal(6, 3, scale=2), chances(6, 3)
PAIRS = chances(6, 2)

KERAS: list[tuple[str, Any, Any, Any]] = [
    ("mse", L.MeanSquaredError(), FAR, NEAR),
    ("mae", L.MeanAbsoluteError(), FAR, NEAR),
    ("huber", L.Huber(), FAR, NEAR),
    ("huber: 0.3", L.Huber(0.3), FAR, NEAR),
    ("log_cosh", L.LogCosh(), FAR, NEAR),
    ("mape", L.MeanAbsolutePercentageError(), FAR, NEAR),
    ("msle", L.MeanSquaredLogarithmicError(), POSITIVE, np.abs(NEAR)),
    ("hinge", L.Hinge(), FAR, SIGNS),
    ("hinge", L.Hinge(), FAR, BITS),
    ("squared_hinge", L.SquaredHinge(), FAR, BITS),
    ("categorical_hinge", L.CategoricalHinge(), np.abs(SCORES), ROWS),
    ("poisson: {log_input: false}", L.Poisson(), POSITIVE, np.floor(POSITIVE * 3)),
    ("kl_divergence: {from_logits: false}", L.KLDivergence(), SHARES, chances(6, 3)),
    ("cross_entropy", L.SparseCategoricalCrossentropy(from_logits=True), SCORES, NUMBERS),
    ("cross_entropy: {ignore_index: 1}", L.SparseCategoricalCrossentropy(True, ignore_class=1), SCORES, NUMBERS),
    ("cross_entropy: {label_smoothing: 0.2}", L.CategoricalCrossentropy(True, 0.2), SCORES, ROWS),
    ("binary_cross_entropy", L.BinaryCrossentropy(True), FAR, BITS),
    ("binary_cross_entropy: {label_smoothing: 0.2}", L.BinaryCrossentropy(True, 0.2), FAR, BITS),
    ("binary_cross_entropy: {from_logits: false}", L.BinaryCrossentropy(), PAIRS, BITS),
    ("binary_focal: {alpha: null}", L.BinaryFocalCrossentropy(from_logits=True), FAR, BITS),
    (
        "binary_focal: {alpha: 0.3, gamma: 1.5, from_logits: false}",
        L.BinaryFocalCrossentropy(True, 0.3, 1.5),
        PAIRS,
        BITS,
    ),
    ("focal", L.CategoricalFocalCrossentropy(1.0, 2.0, from_logits=True), SCORES, ROWS),
    (
        "focal: {gamma: 1.5, alpha: [0.2, 0.3, 0.5], from_logits: false}",
        L.CategoricalFocalCrossentropy([0.2, 0.3, 0.5], 1.5),
        SHARES,
        ROWS,
    ),
]


@pytest.mark.few()
@pytest.mark.parametrize(
    ("spec", "reference", "output", "target"), KERAS, ids=[f"{index} {spec}" for index, (spec, *_) in enumerate(KERAS)]
)
def test_against_keras(spec: str, reference: Any, output: Any, target: Any) -> None:
    want = float(reference(target, output))
    assert value(spec, output, target) == pytest.approx(want, rel=2e-5)


def test_cosine_is_keras_plus_one() -> None:
    output, target = normal(5, 4, 3), normal(5, 4, 3)
    assert value("cosine", output, target) == pytest.approx(1 + float(L.CosineSimilarity()(target, output)), rel=1e-5)
    np.testing.assert_allclose(
        run("cosine", output, target)[0].total, optax.losses.cosine_distance(output, target).mean(-1), rtol=1e-5
    )


@pytest.mark.parametrize("axes", [(), (4, 5)], ids=["one place", "places"])
def test_tversky_is_keras_with_its_numbers_swapped(axes: tuple[int, ...]) -> None:
    p, t = chances(1, *axes, 3), np.eye(3, dtype=np.float32)[RANDOM.integers(0, 3, (1, *axes))]
    each = [float(keras.losses.tversky(t[..., index], p[..., index], alpha=0.7, beta=0.3)) for index in range(3)]
    found = value("tversky: {from_logits: false, alpha: 0.3, beta: 0.7, smooth: 1e-7}", p, t)
    assert found == pytest.approx(np.mean(each), rel=1e-4)


# ---- against optax, scikit-learn, scipy and formulas ----


def torch_cross_entropy(logits: np.ndarray, target: np.ndarray, weights: np.ndarray, smoothing: float) -> float:
    """PyTorch's documented formula: -w[y] log p[y], smoothed by -w[c] log p[c] of all c; the weighted mean."""
    logs = scipy.special.log_softmax(logits.astype(np.float64), -1)
    rows = np.arange(len(target))
    own = -(weights[target] * logs[rows, target]).sum()
    spread = -(weights * logs).sum() / logits.shape[1]
    return ((1 - smoothing) * own + smoothing * spread) / weights[target].sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_are_a_weighted_mean(smoothing: float) -> None:
    logits, target, weights = normal(20, 3, scale=2), RANDOM.integers(0, 3, 20).astype(np.int32), [0.5, 2.0, 1.0]
    spec = f"cross_entropy: {{class_weights: [0.5, 2, 1], label_smoothing: {smoothing}}}"
    want = torch_cross_entropy(logits, target, np.array(weights), smoothing)
    assert value(spec, logits, target) == pytest.approx(want, rel=1e-5)
    assert value(spec, logits, np.eye(3, dtype=np.float32)[target]) == pytest.approx(want, rel=1e-5)
    # all of one class: its weight does not matter
    same = np.zeros(20, np.int32)
    assert value("cross_entropy: {class_weights: [0.5, 2, 1]}", logits, same) == pytest.approx(
        value("cross_entropy", logits, same), rel=1e-6
    )


def test_ignored_places_count_for_nothing() -> None:
    logits, target = normal(4, 5, 3), RANDOM.integers(0, 3, (4, 5)).astype(np.int32)
    hidden = target.copy()
    hidden[0, 2:], hidden[2], mask = 255, 255, target < 5
    mask[0, 2:], mask[2] = False, False
    found, gradient = run("cross_entropy: {ignore_index: 255}", logits, hidden)
    assert found.weight.tolist() == pytest.approx([2 / 5, 1, 0, 1])
    assert not gradient[2].any() and not gradient[0, 2:].any() and np.isfinite(gradient).all()
    want = float(optax.softmax_cross_entropy_with_integer_labels(logits[mask], target[mask]).mean())
    assert value("cross_entropy: {ignore_index: 255}", logits, hidden) == pytest.approx(want, rel=1e-5)
    assert value("cross_entropy", logits, target, mask) == pytest.approx(want, rel=1e-5)
    weighted = "cross_entropy: {ignore_index: 255, class_weights: [1, 2, 3]}"
    want = torch_cross_entropy(logits[mask], target[mask], np.array([1.0, 2.0, 3.0]), 0.0)
    assert value(weighted, logits, hidden) == pytest.approx(want, rel=1e-5)
    # another number that is no class is still seen
    wrong = np.where(hidden == 255, 254, hidden)
    assert np.isnan(run(weighted, logits, wrong)[0].total).tolist() == [True, False, True, False]


def test_pos_weight_multiplies_class_one() -> None:
    y, t = normal(6, 3), RANDOM.integers(0, 2, (6, 3)).astype(np.float32)
    p, w = scipy.special.expit(y.astype(np.float64)), np.array([1.0, 2.0, 5.0])
    want = -(w * t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    assert value("binary_cross_entropy: {pos_weight: [1, 2, 5]}", y, t) == pytest.approx(want, rel=1e-5)
    sure = "binary_cross_entropy: {pos_weight: [1, 2, 5], from_logits: false}"
    assert value(sure, p.astype(np.float32), t) == pytest.approx(want, rel=1e-5)
    want = -(3 * t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    assert value("binary_cross_entropy: {pos_weight: 3}", y, t) == pytest.approx(want, rel=1e-5)


def test_focal_losses_against_optax_and_their_limits() -> None:
    y, t = normal(20, 1, scale=3), RANDOM.integers(0, 2, 20).astype(np.int32)
    want = optax.losses.sigmoid_focal_loss(y[:, 0], t, alpha=0.25, gamma=2.0)
    np.testing.assert_allclose(run("binary_focal", y, t)[0].total, want, rtol=1e-4, atol=1e-7)
    logits, target = normal(20, 4), RANDOM.integers(0, 4, 20).astype(np.int32)
    p = scipy.special.softmax(logits.astype(np.float64), -1)[np.arange(20), target]
    np.testing.assert_allclose(run("focal: 3", logits, target)[0].total, -((1 - p) ** 3) * np.log(p), rtol=1e-4)
    want = optax.losses.poly_loss_cross_entropy(logits, np.eye(4)[target], epsilon=1.5)
    np.testing.assert_allclose(run("poly: 1.5", logits, target)[0].total, want, rtol=1e-5)


def test_margins_against_scikit_learn_and_optax() -> None:
    y, t = normal(30, 1, scale=2), RANDOM.integers(0, 2, 30).astype(np.int32)
    assert value("hinge", y, t) == pytest.approx(sklearn.metrics.hinge_loss(t, y[:, 0]), rel=1e-5)
    np.testing.assert_allclose(
        run("perceptron", y, t)[0].total, optax.losses.perceptron_loss(y[:, 0], np.where(t == 0, -1.0, 1.0)), rtol=1e-6
    )
    scores, target = normal(30, 4, scale=2) - 3, RANDOM.integers(0, 4, 30).astype(np.int32)  # most scores are negative
    want = sklearn.metrics.hinge_loss(target, scores, labels=range(4))
    assert value("categorical_hinge", scores, target) == pytest.approx(want, rel=1e-5)
    assert value("categorical_hinge", scores, np.eye(4, dtype=np.float32)[target]) == pytest.approx(want, rel=1e-5)


def test_a_perceptron_of_zeros_begins_to_learn() -> None:
    found, gradient = run("perceptron", np.zeros((2, 1), np.float32), np.array([0, 1], np.int32))
    assert found.total.tolist() == [0, 0] and gradient[:, 0].tolist() == [1, -1]


def test_regression_against_scikit_learn() -> None:
    y, t = normal(30, 2), normal(30, 2)
    assert value("mape", y, t) == pytest.approx(100 * sklearn.metrics.mean_absolute_percentage_error(t, y), rel=1e-4)
    up, to = np.abs(y), np.abs(t)
    assert value("msle", up, to) == pytest.approx(sklearn.metrics.mean_squared_log_error(to, up), rel=1e-4)
    below = np.array([[-5.0, -0.5]], np.float32)  # between -1 and 0 there is a gradient
    _, gradient = run("msle", below, np.zeros((1, 2), np.float32))
    assert gradient[0, 0] == 0 and gradient[0, 1] < 0
    beta = 0.3  # PyTorch's formula
    away = np.abs(y - t)
    want = np.where(away < beta, 0.5 * away**2 / beta, away - 0.5 * beta).mean()
    assert value("smooth_l1: 0.3", y, t) == pytest.approx(want, rel=1e-5)
    levels = [0.1, 0.5, 0.9]
    output, target = normal(30, 3), normal(30, 1)
    each = [sklearn.metrics.mean_pinball_loss(target, output[:, [i]], alpha=q) for i, q in enumerate(levels)]
    assert value("quantile: [0.1, 0.5, 0.9]", output, target) == pytest.approx(np.mean(each), rel=1e-5)
    assert value("quantile: 0.9", output[:, :1], target) == pytest.approx(
        sklearn.metrics.mean_pinball_loss(target, output[:, :1], alpha=0.9), rel=1e-5
    )


def test_quantiles_are_learnt() -> None:
    sample = RANDOM.exponential(size=(4001, 1)).astype(np.float32)
    made = loss("quantile: [0.1, 0.5, 0.9]")

    def step(y: Any, rate: Any) -> Any:
        slope = jax.grad(lambda y: made.apply(jnp.broadcast_to(y, (4001, 3)), jnp.asarray(sample)).total.mean())(y)
        return y - rate * slope, None

    found, _ = jax.jit(lambda: jax.lax.scan(step, jnp.zeros(3), 3.0 * 0.99 ** jnp.arange(600)))()
    np.testing.assert_allclose(found, np.quantile(sample, [0.1, 0.5, 0.9]), atol=0.03)


def test_likelihoods_against_scipy() -> None:
    m, v, t = normal(10, 3), normal(10, 3), normal(10, 3)
    both = np.concatenate([m, v], -1)
    want = -scipy.stats.norm.logpdf(t, m, np.exp(v / 2)).mean()
    assert value("gaussian_nll: {full: true}", both, t) == pytest.approx(want, rel=1e-5)
    assert value("gaussian_nll", both, t) == pytest.approx(want - 0.5 * math.log(2 * math.pi), rel=1e-5)
    want = -scipy.stats.norm.logpdf(t, m, math.sqrt(0.2)).mean()
    assert value("gaussian_nll: {variance: 0.2, full: true}", m, t) == pytest.approx(want, rel=1e-5)
    want = -scipy.stats.laplace.logpdf(t, m, np.exp(v)).mean()
    assert value("laplace_nll: {full: true}", both, t) == pytest.approx(want, rel=1e-5)
    counts = RANDOM.poisson(2, (10, 3)).astype(np.float32)
    want = (-scipy.stats.poisson.logpmf(counts, np.exp(m)) - scipy.special.gammaln(counts + 1)).mean()
    assert value("poisson", m, counts) == pytest.approx(want, rel=1e-5)
    p, q = chances(10, 4), normal(10, 4)
    p[0] = [0, 0.5, 0.5, 0]
    p[1] = [0, 0, 1, 0]
    want = scipy.stats.entropy(p, scipy.special.softmax(q, -1), axis=-1).mean()
    assert value("kl_divergence", q, p) == pytest.approx(want, rel=1e-5)


# ---- overlap ----


def overlap(p: np.ndarray, t: np.ndarray, kind: str, smooth: float) -> np.ndarray:
    """(batch, places, classes) -> (batch,), from the definitions."""
    common, sizes = (p * t).sum(1), (p.sum(1), t.sum(1))
    if kind == "dice":
        return (1 - (2 * common + smooth) / (sum(sizes) + smooth)).mean(-1)
    return (1 - (common + smooth) / (sum(sizes) - common + smooth)).mean(-1)


@pytest.mark.parametrize("kind", ["dice", "jaccard"])
def test_overlaps(kind: str) -> None:
    logits, target = normal(5, 4, 4, 3), RANDOM.integers(0, 3, (5, 4, 4)).astype(np.int32)
    p, rows = scipy.special.softmax(logits, -1).reshape(5, 16, 3), np.eye(3, dtype=np.float32)[target]
    want = overlap(p, rows.reshape(5, 16, 3), kind, 1.0)
    np.testing.assert_allclose(run(kind, logits, target)[0].total, want, rtol=1e-5)
    np.testing.assert_allclose(run(kind, logits, rows)[0].total, want, rtol=1e-5)
    sure = f"{kind}: {{from_logits: false, smooth: 0.1}}"
    np.testing.assert_allclose(
        run(sure, p.reshape(5, 4, 4, 3), target)[0].total, overlap(p, rows.reshape(5, 16, 3), kind, 0.1), rtol=1e-4
    )
    one, bits = normal(5, 4, 4, 1), RANDOM.integers(0, 2, (5, 4, 4, 1)).astype(np.float32)
    want = overlap(scipy.special.expit(one).reshape(5, 16, 1), bits.reshape(5, 16, 1), kind, 1.0)
    np.testing.assert_allclose(run(kind, one, bits)[0].total, want, rtol=1e-5)
    # the batch as one region, of which the last example only fills up
    whole = p[:4].reshape(1, 64, 3), rows[:4].reshape(1, 64, 3)
    real = np.arange(5) < 4
    assert value(f"{kind}: {{per_batch: true}}", logits, target, None, real) == pytest.approx(
        overlap(*whole, kind, 1.0)[0], rel=1e-5
    )


@pytest.mark.parametrize("kind", ["dice", "jaccard", "tversky"])
def test_overlaps_at_the_edges(kind: str) -> None:
    nothing = np.zeros((2, 4, 1), np.float32)
    sure = f"{kind}: {{from_logits: false}}"
    np.testing.assert_allclose(run(sure, nothing, nothing)[0].total, 0, atol=1e-6)  # rightly nothing
    np.testing.assert_allclose(run(sure, nothing + 1, nothing + 1)[0].total, 0, atol=1e-6)
    mask = np.array([[True, True, False, False], [False] * 4])
    y, t = chances(2, 4, 3), np.array([[0, 1, 2, 2], [0, 1, 2, 0]], np.int32)
    found, gradient = run(sure, y, t, mask)
    assert found.weight.tolist() == [1, 0] and found.total[1] == 0 and not gradient[:, 2:].any()
    np.testing.assert_allclose(found.total[:1], run(sure, y[:1, :2], t[:1, :2])[0].total, rtol=1e-6)
    assert np.isnan(run(sure, y, np.full((2, 4), 3, np.int32))[0].total).all()


# ---- embeddings ----


def test_contrastive_losses() -> None:
    pairs, alike = normal(8, 2, 3), np.array([0, 1] * 4, np.int32)
    apart = np.linalg.norm(pairs[:, 0] - pairs[:, 1], axis=-1)
    want = np.where(alike == 1, apart**2, np.maximum(0, 2.0 - apart) ** 2)
    np.testing.assert_allclose(run("contrastive: 2", pairs, alike)[0].total, want, rtol=1e-5)
    np.testing.assert_allclose(run("contrastive: 2", apart[:, None], alike)[0].total, want, rtol=1e-5)
    _, gradient = run("contrastive", np.zeros((2, 2, 3), np.float32), np.array([0, 1], np.int32))
    assert np.isfinite(gradient).all()  # both embeddings are the same


def triplets(y: np.ndarray, t: np.ndarray, mining: str, margin: float, squared: bool = False) -> float:
    """The definitions, with loops."""
    apart = np.linalg.norm(y[:, None] - y[None], axis=-1) ** (2 if squared else 1)
    size, found = range(len(y)), []
    for a in size:
        same = [j for j in size if j != a and t[j] == t[a]]
        other = [j for j in size if t[j] != t[a]]
        if not same or not other:
            continue
        if mining == "all":
            found += [max(0, apart[a, p] - apart[a, n] + margin) for p, n in itertools.product(same, other)]
        elif mining == "hard":
            found.append(max(0, max(apart[a, same]) - min(apart[a, other]) + margin))
        else:
            for p in same:
                further = [apart[a, n] for n in other if apart[a, n] > apart[a, p]]
                found.append(max(0, apart[a, p] - (min(further) if further else max(apart[a, other])) + margin))
    return float(np.mean(found))


@pytest.mark.parametrize("mining", ["semi_hard", "hard", "all"])
def test_triplets_of_a_batch(mining: str) -> None:
    y, t = normal(12, 3), np.array([0, 0, 1, 1, 1, 2, 0, 2, 1, 3, 0, 2], np.int32)
    spec = f"triplet: {{mining: {mining}, margin: 0.5}}"
    assert value(spec, y, t) == pytest.approx(triplets(y, t, mining, 0.5), rel=1e-5)
    squared = f"triplet: {{mining: {mining}, margin: 0.5, distance: squared}}"
    assert value(squared, y, t) == pytest.approx(triplets(y, t, mining, 0.5, True), rel=1e-5)
    real = np.arange(12) < 9
    assert value(spec, y, t, None, real) == pytest.approx(triplets(y[:9], t[:9], mining, 0.5), rel=1e-5)
    for classes in (np.zeros(12, np.int32), np.arange(12, dtype=np.int32)):  # no triplet at all
        found, gradient = run(spec, y, classes)
        assert not found.weight.any() and not found.total.any() and not gradient.any()
    assert run(spec, y[:1], t[:1])[0].weight.tolist() == [0]
    _, gradient = run(spec, np.zeros_like(y), t)  # all in one place
    assert np.isfinite(gradient).all()


def test_triplets_that_are_given() -> None:
    y = normal(6, 3, 4)
    for distance, power in (("euclidean", 1), ("squared", 2)):
        near, far = (np.linalg.norm(y[:, 0] - y[:, index], axis=-1) ** power for index in (1, 2))
        spec = f"triplet: {{margin: 0.2, distance: {distance}}}"
        np.testing.assert_allclose(run(spec, y)[0].total, np.maximum(0, near - far + 0.2), rtol=1e-5, atol=1e-6)
    want = optax.losses.triplet_margin_loss(y[:, 0], y[:, 1], y[:, 2], margin=1.0)
    np.testing.assert_allclose(run("triplet", y)[0].total, want, rtol=1e-4, atol=1e-5)
    angle = [optax.losses.cosine_distance(y[:, 0], y[:, index]) for index in (1, 2)]
    want = np.maximum(0, angle[0] - angle[1] + 1)
    np.testing.assert_allclose(run("triplet: {distance: cosine}", y)[0].total, want, rtol=1e-5)


@pytest.mark.few(1)
@pytest.mark.parametrize("size", [5, 2])
def test_nt_xent_against_optax(size: int) -> None:
    a, b = normal(size, 4), normal(size, 4)
    want = float(optax.losses.ntxent(jnp.concatenate([a, b]), jnp.tile(jnp.arange(size), 2), 0.5))
    assert value("nt_xent: 0.5", a, b) == pytest.approx(want, rel=1e-5, abs=1e-6)
    assert value("nt_xent: 0.5", np.stack([a, b], 1)) == pytest.approx(want, rel=1e-5, abs=1e-6)
    more = [np.concatenate([x, normal(3, 4)]) for x in (a, b)]  # the last three only fill the batch
    assert value("nt_xent: 0.5", *more, None, np.arange(size + 3) < size) == pytest.approx(want, rel=1e-5, abs=1e-6)


# ---- CTC ----


def spelt(logits: np.ndarray, target: list[int], blank: int) -> float:
    """-log of the sum over all paths that spell the target: the definition."""
    logs = scipy.special.log_softmax(logits.astype(np.float64), -1)
    total = -np.inf
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        short = [k for k, _ in itertools.groupby(path) if k != blank]
        if short == target:
            total = np.logaddexp(total, sum(logs[i, k] for i, k in enumerate(path)))
    return -total


@pytest.mark.parametrize("blank", [0, 2])
def test_ctc_is_the_sum_over_paths(blank: int) -> None:
    logits = normal(3, 4, 3)
    there = np.array([[True] * 4, [True] * 4, [True] * 3 + [False]])
    a, b = sorted({0, 1, 2} - {blank})
    target = np.array([[a, b], [b, b], [a, blank]], np.int32)
    known = np.array([[True, True], [True, True], [True, False]])
    found, gradient = run(f"ctc: {blank}", logits, target, Masks(there, known))
    want = [spelt(logits[0], [a, b], blank), spelt(logits[1], [b, b], blank), spelt(logits[2, :3], [a], blank)]
    np.testing.assert_allclose(found.total, want, rtol=1e-4)
    assert found.weight.tolist() == [1, 1, 1] and not gradient[2, 3].any()
    found, _ = run(f"ctc: {blank}", logits[:2], target[:2])
    np.testing.assert_allclose(found.total, want[:2], rtol=1e-4)
    found, gradient = run(f"ctc: {blank}", logits, target, Masks(there & False, known))
    assert not found.weight.any() and not found.total.any() and not gradient.any()


# ---- what all have in common ----

GIVEN: list[tuple[str, tuple[int, ...], Any, str]] = [
    # spec, shape of the output, target, what the output is
    *[
        (spec, (4, 3), np.array([0, 1, 2, 1], np.int32), kind)
        for spec, kind in (
            ("cross_entropy: {label_smoothing: 0.1, class_weights: [1, 2, 3], ignore_index: 1}", "logits"),
            ("cross_entropy: {from_logits: false}", "probabilities"),
            ("focal: {gamma: 0.5}", "logits"),
            ("focal: {gamma: 0.5, from_logits: false}", "probabilities"),
            ("poly", "logits"),
            ("poly: {from_logits: false}", "probabilities"),
            ("categorical_hinge", "logits"),
            ("dice", "logits"),
            ("jaccard: {from_logits: false}", "probabilities"),
            ("tversky", "logits"),
            ("triplet", "logits"),
            ("triplet: {mining: hard, distance: cosine}", "logits"),
            ("triplet: {mining: all, distance: squared}", "logits"),
        )
    ],
    *[
        (spec, (4, 1), np.array([0, 1, 0, 1], np.int32), kind)
        for spec, kind in (
            ("binary_cross_entropy: {pos_weight: 3, label_smoothing: 0.1}", "logits"),
            ("binary_cross_entropy: {from_logits: false}", "probabilities"),
            ("binary_focal: {gamma: 0.5}", "logits"),
            ("binary_focal: {gamma: 0.5, from_logits: false}", "probabilities"),
            ("hinge", "logits"),
            ("squared_hinge", "logits"),
            ("perceptron", "logits"),
            ("contrastive", "logits"),
            ("dice", "logits"),
            ('formula: "softplus(prediction) - target * prediction"', "logits"),
        )
    ],
    *[
        (spec, (4, 2), np.array([[0, 1], [1, 0], [0.5, 0.5], [0, 1]], np.float32), kind)
        for spec, kind in (
            ("mse", "logits"),
            ("mae", "logits"),
            ("huber", "logits"),
            ("smooth_l1", "logits"),
            ("log_cosh", "logits"),
            ("mape", "logits"),
            ("msle", "logits"),
            ("cosine", "logits"),
            ("kl_divergence", "logits"),
            ("kl_divergence: {from_logits: false}", "probabilities"),
            ("poisson", "logits"),
            ("poisson: {log_input: false}", "logits"),
            ("gaussian_nll: 0.1", "logits"),
            ("nt_xent", "logits"),
            ('formula: "mean(abs(prediction - target) ** 1.5)"', "logits"),
        )
    ],
    ("quantile: [0.1, 0.9]", (4, 2), np.array([[0], [1], [2], [3]], np.float32), "logits"),
    ("gaussian_nll", (4, 2), np.array([[0], [1], [2], [3]], np.float32), "logits"),
    ("laplace_nll", (4, 2), np.array([[0], [1], [2], [3]], np.float32), "logits"),
    ("contrastive", (4, 2, 3), np.array([0, 1, 0, 1], np.int32), "logits"),
    ("ctc", (4, 5, 3), np.array([[1, 2], [2, 2], [1, 1], [2, 1]], np.int32), "logits"),
]


def test_every_loss_is_tried_at_its_limits() -> None:
    missing = set(LOSSES) - {spec.partition(":")[0] for spec, *_ in GIVEN}
    assert not missing, f"add outputs and targets for {sorted(missing)} to `GIVEN`, above"


@pytest.mark.few(10)
@pytest.mark.parametrize(
    ("spec", "shape", "target", "kind"), GIVEN, ids=[f"{spec} {shape}" for spec, shape, *_ in GIVEN]
)
def test_extreme_outputs_give_numbers(spec: str, shape: tuple[int, ...], target: Any, kind: str) -> None:
    """Value and gradient at logits of 1e4 in all signs, or at probabilities of 0 and 1, in both precisions."""
    made = loss(spec)
    size = math.prod(shape)
    patterns = [np.resize(signs, size) for signs in ([1.0], [-1.0], [1.0, -1.0], [-1.0, 1.0, 0.0], [0.0])]
    if kind == "logits":
        given = [1e4 * pattern for pattern in patterns]
    elif shape[1] > 1:
        given = [np.eye(shape[1])[(np.arange(shape[0]) + shift) % shape[1]] for shift in range(shape[1])]
    else:
        given = [(pattern > 0).astype(float) for pattern in patterns]

    def both(y: Any) -> Any:
        def total(y: Any) -> Any:
            found = made.apply(y, jnp.asarray(target))
            return found.total.sum(), found

        return jax.value_and_grad(total, has_aux=True)(y)

    outputs = jnp.asarray(np.stack([each.reshape(shape) for each in given]), jnp.float32)
    compiled = jax.jit(jax.vmap(both))
    (_, found), gradient = compiled(outputs)
    assert np.isfinite(found.total).all() and np.isfinite(found.weight).all() and np.isfinite(gradient).all()
    half = outputs.astype(jnp.bfloat16)
    (_, low), slope = compiled(half)
    assert low.total.dtype == jnp.float32 and slope.dtype == jnp.bfloat16
    assert np.isfinite(low.total).all() and np.isfinite(np.asarray(slope, np.float32)).all()
    (_, same), _ = compiled(half.astype(jnp.float32))
    np.testing.assert_allclose(low.total, same.total, rtol=1e-6)  # computed in float32


SEQUENCES = [
    ("cross_entropy", 3, np.int32),
    ("focal", 3, np.int32),
    ("binary_cross_entropy", 1, np.int32),
    ("mse", 2, np.float32),
    ("huber", 2, np.float32),
    ("poisson", 2, np.float32),
    ("cosine", 2, np.float32),
    ("kl_divergence", 2, np.float32),
    ("quantile: [0.2, 0.7]", 2, np.float32),
    ("gaussian_nll", 2, np.float32),
    ("hinge", 1, np.int32),
    ("categorical_hinge", 3, np.int32),
    ('formula: "abs(prediction - target)"', 2, np.float32),
]


@pytest.mark.parametrize(("spec", "width", "kind"), SEQUENCES, ids=[spec for spec, *_ in SEQUENCES])
def test_padding_counts_for_nothing(spec: str, width: int, kind: Any) -> None:
    """The masked mean is the mean of the places that are there, whatever stands behind them; a batch may have none."""
    y = normal(3, 4, width)
    single = spec.startswith(("quantile", "gaussian"))
    if kind is np.int32:
        t = RANDOM.integers(0, max(width, 2), (3, 4)).astype(np.int32)
    else:
        t = np.abs(normal(3, 4, 1)) if single else chances(3, 4, width)
    mask = np.array([[True] * 4, [True, True, False, False], [False] * 4])
    y[~mask] = np.nan
    found, gradient = run(spec, y, t, mask)
    assert np.isfinite(gradient).all() and not gradient[~mask].any()
    np.testing.assert_allclose(found.weight, [1, 0.5, 0])
    assert found.total[2] == 0
    places = [
        run(spec, y[i : i + 1, j : j + 1], t[i : i + 1, j : j + 1])[0] for i, j in zip(*np.nonzero(mask), strict=True)
    ]
    want = np.mean([float(place.total[0]) for place in places])
    assert found.total.sum() / found.weight.sum() == pytest.approx(want, rel=1e-5)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("spec", "target", "hint"),
    [
        ("poisson", [[1.0], [-1.0]], "counts"),
        ("mape", [[1.0], [0.0]], "mae"),
        ("hinge", [[0.0], [2.0]], "category"),
        ("squared_hinge", [[0.0], [1.0], [-1.0]], "category"),
        ("perceptron", [[0.5]], "category"),
        ("msle", [[0.0], [-1.0]], "normalize"),
        ("kl_divergence", [[0.5, 0.6]], "mse"),
        ("kl_divergence", [[1.5, -0.5]], "mse"),
        ("categorical_hinge", [[1.0, 1.0]], "mse"),
        ("contrastive", [[2.0]], None),
        ("focal", [[1.5, 0.0]], "mse"),
        ("binary_focal", [[-1.0]], "mse"),
        ("poly", [[1.5, 0.0]], "mse"),
        ("dice", [[255.0]], "mse"),
        ("cross_entropy", [[1.5, 0.0]], "mse"),
        ("binary_cross_entropy", [[7.0]], "mse"),
    ],
)
def test_targets_that_make_no_sense(spec: str, target: Any, hint: str | None) -> None:
    with pytest.raises(RuleViolation) as caught:
        loss(spec).check_values(np.array(target, np.float32))
    assert caught.value.code == "DLC403" and caught.value.found and caught.value.expected
    assert hint is None or hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("spec", "target"),
    [
        ("poisson", [[0.0], [3.0]]),
        ("hinge", [[0.0], [1.0]]),
        ("hinge", [[-1.0], [1.0]]),
        ("hinge", [[1.0]]),
        ("msle", [[-0.9]]),
        ("mape", [[-5.0], [3.0]]),
        ("kl_divergence", [[0.3333, 0.6667]]),
        ("mse", [[-1e9]]),
    ],
)
def test_targets_that_make_sense(spec: str, target: Any) -> None:
    loss(spec).check_values(np.array(target, np.float32))
    loss(spec).check_values(np.zeros((0, 1), np.float32))


FILE = """
inputs: {{x: {{tensor: [4]}}}}
{targets}
network: {network}
loss: {loss}
"""


def checked(loss: str, targets: str, network: str, more: str = "") -> Any:
    return check_text(FILE.format(targets=f"targets: {targets}" if targets else "", network=network, loss=loss) + more)


def report(loss: str, targets: str = "{y: number}", network: str = "[dense: 1]", more: str = "") -> Report:
    return checked(loss, targets, network, more)[1]


def codes(found: Report) -> list[str]:
    return [item.code for item in found.diagnostics]


def test_a_sum_needs_elements() -> None:
    assert codes(report("{mse: , reduction: sum}")) == []
    for text, targets, network in (
        ("{dice: , reduction: sum}", "{y: {category: 3}}", "[dense: 3]"),
        ("{triplet: , reduction: sum}", "{y: {category: 3}}", "[dense: 8]"),
        ('{formula: "mean(prediction - target)", reduction: sum}', "{y: number}", "[dense: 1]"),
    ):
        (item,) = report(text, targets, network).diagnostics
        assert item.code == "DLC303" and "reduction" in item.message
        assert item.span is not None and item.span.line == 5
    assert codes(report('{formula: "abs(prediction - target)", reduction: sum}')) == []


@pytest.mark.parametrize(
    ("text", "ending", "hint"),
    [
        ("dice", "sigmoid", "from_logits: false"),
        ("binary_focal", "sigmoid", "from_logits: false"),
        ("poisson", "exponential", "log_input: false"),
        ("poisson: {log_input: false}", "exponential", None),
        ("mse", "sigmoid", None),
    ],
)
def test_an_activation_that_the_loss_applies(text: str, ending: str, hint: str | None) -> None:
    target = "{tensor: [1]}" if text == "dice" else "number"
    found = report(
        f"{{{text}}}" if ":" in text else text, f"{{y: {target}}}", f"[dense: {{units: 1, activation: {ending}}}]"
    )
    assert codes(found) == ([] if hint is None else ["DLC301"])
    assert hint is None or hint in (found.diagnostics[0].hint or "")


def test_losses_that_may_do_without_a_target() -> None:
    outputs = "\noutputs: {a: a, b: b}\n"
    views = "[{dense: 4, name: a}, {dense: 4, name: b, inputs: x}]"
    assert codes(report("{nt_xent: , output: a, target: b}", "", views, outputs)) == []
    # a target that is there for another loss is not taken
    both = "[{nt_xent: , output: a}, {cross_entropy: , output: b}]"
    kinds = "{y: {category: 4}}"
    wide = "[{dense: 8}, {reshape: [2, 4], name: a}, {dense: 4, name: b, inputs: x}]"
    spec, found = checked(both, kinds, wide, outputs)
    assert codes(found) == []
    assert spec.plan.losses[0].against is None and spec.plan.losses[1].target == "y"
    penalty = '[{cross_entropy: , output: b}, {formula: "0.1 * mean(abs(prediction))", output: a, name: sparse}]'
    spec, found = checked(penalty, kinds, wide, outputs)
    assert codes(found) == []
    assert [term.name for term in spec.plan.losses] == ["cross_entropy", "sparse"]
    idle = '{formula: "mean(abs(prediction))", target: y}'
    assert codes(report(idle)) == ["DLC303"]
    assert codes(report("{triplet: {mining: hard}}", "", "[{dense: 12}, {reshape: [3, 4]}]")) == ["DLC303"]


def test_a_number_of_no_class_needs_a_loss_that_ignores_it() -> None:
    target, network = "{y: {category: {classes: 3, ignored: 255}}}", "[dense: 3]"
    assert codes(report("{cross_entropy: {ignore_index: 255}}", target, network)) == []
    (item,) = report("cross_entropy", target, network).diagnostics
    assert item.code == "DLC301" and item.hint == "write `cross_entropy: {ignore_index: 255}`"
    (item,) = report("{cross_entropy: {ignore_index: 254}}", target, network).diagnostics
    assert item.code == "DLC301" and item.span is not None and item.span.line == 5
    (item,) = report("focal", target, network).diagnostics
    assert item.code == "DLC301" and "can't ignore positions" in (item.hint or "")
    found = report("{cross_entropy: {ignore_index: 255}}", target, network, "metrics: [accuracy]\n")
    assert codes(found) == []
    text = "inputs: {x: {tokens: {vocabulary: 5, ignored: 9}}}\nnetwork: [{embedding: {vocabulary: 5, size: 2}}]\n"
    (item,) = check_text(text)[1].diagnostics
    assert item.code == "DLC303" and item.span is not None and item.span.column == 38


def test_ignored_numbers_reach_the_loss() -> None:
    data = np.array(["0", "255", "2"], object)
    spec = dlc.loads(
        "inputs: {x: {tensor: [4]}}\ntargets: {y: {category: {classes: 3, ignored: 255}}}\nnetwork: [dense: 3]\n"
        "loss: {cross_entropy: {ignore_index: 255}}\n"
    )
    feature = spec.plan.targets["y"]
    assert feature is not None
    target = feature.encode(feature.read([data], "y"), {})
    y = normal(3, 4)
    program = dlc.compile(spec)
    results = program.run(program.init(0), {"x": y})
    totals = loss_scores(spec.plan, results, {"inputs": {"x": y}, "targets": {"y": target}})["cross_entropy"]
    logs = scipy.special.log_softmax(results.outputs["output"], -1)
    assert float(totals.weight) == 2 and float(totals.total) == pytest.approx(-logs[0, 0] - logs[2, 2], rel=1e-5)


def test_metrics_leave_out_what_has_no_class() -> None:
    """Records without a class, and tokens without one inside a sequence, whose padding does not count either."""
    tail = "loss: {cross_entropy: {ignore_index: -1}}\nmetrics: [accuracy]\n"
    one = dlc.loads(
        "inputs: {x: {tensor: [4]}}\ntargets: {y: {category: {classes: 3, ignored: -1}}}\nnetwork: [dense: 3]\n" + tail
    )
    many = dlc.loads(
        "inputs: {x: {tokens: {vocabulary: 6, padding: 0}}}\ntargets: {y: {tokens: {vocabulary: 3, ignored: -1}}}\n"
        "network: [{embedding: {vocabulary: 6, size: 3}}]\n" + tail
    )
    x, y = normal(5, 4), np.array([0, -1, 2, -1, 1], np.int32)
    words = np.array([[1, 2, 3, 4], [5, 4, 0, 0]], np.int32)
    tags = np.array([[0, -1, 2, 1], [2, 1, 1, 1]], np.int32)
    for spec, inputs, target in ((one, {"x": x}, y), (many, {"x": words, "x.mask": words > 0}, tags)):
        program = dlc.compile(spec)
        results = program.run(program.init(0), inputs)
        batch = {"inputs": inputs, "targets": {"y": target}}
        found = metric_statistics(spec.plan, results, batch, {"x": {}, "y": {}})["accuracy"]
        there = (target >= 0) & inputs.get("x.mask", target >= 0)
        right = (np.asarray(results.outputs["output"]).argmax(-1) == target)[there]
        assert spec.plan.metrics[0].metric.result(found) == pytest.approx(right.mean())


@pytest.mark.parametrize("blank", [0, 3])
def test_ctc_decodes_the_best_path(blank: int) -> None:
    """As Graves et al. 2006 define it: repetitions are joined, then blanks removed; padding spells nothing."""
    logits = normal(40, 7, 4)
    lengths = np.arange(40) % 8
    there = np.arange(7) < lengths[:, None]
    made = loss(f"ctc: {blank}")
    prediction = made.predict(jnp.asarray(logits), jnp.asarray(there))
    wanted = [
        [k for k, _ in itertools.groupby(row[:length].argmax(-1).tolist()) if k != blank]
        for row, length in zip(logits, lengths, strict=True)
    ]
    for decoded in (made.decode(prediction), made.decode(np.asarray(prediction))):
        assert decoded.shape == (40, 7) and decoded.dtype == np.int32
        assert [row[row >= 0].tolist() for row in np.asarray(decoded)] == wanted
    np.testing.assert_allclose(prediction.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(prediction[there], scipy.special.softmax(logits, -1)[there], rtol=1e-5)


def test_a_step_without_numbers_spells_a_wrong_token() -> None:
    prediction = np.float32([[[0.1, 0.9], [np.nan, np.nan], [0.1, 0.9]]])
    assert loss("ctc").decode(prediction).tolist() == [[1, 2, 1]]


def test_ctc_gets_the_masks_of_both_sides() -> None:
    spec = dlc.loads(
        "inputs: {x: {tokens: {vocabulary: 6, padding: 0}}}\n"
        "targets: {y: {tokens: {vocabulary: 3, length: length, padding: 0}}}\n"
        "network: [{embedding: {vocabulary: 6, size: 3}}]\nloss: ctc\n"
    )
    x = np.array([[1, 2, 3, 4], [5, 4, 0, 0]], np.int32)
    y = np.array([[1, 2, 1], [2, 0, 0]], np.int32)
    batch = {"inputs": {"x": x, "x.mask": x > 0}, "targets": {"y": y, "y.mask": y > 0}}
    program = dlc.compile(spec)
    results = program.run(program.init(0), batch["inputs"])
    logits = np.asarray(results.outputs["output"])
    totals = loss_scores(spec.plan, results, batch)["ctc"]
    want = spelt(logits[0], [1, 2, 1], 0) + spelt(logits[1, :2], [2], 0)
    assert float(totals.total) == pytest.approx(want, rel=1e-4) and float(totals.weight) == 2


@pytest.mark.parametrize(
    ("text", "target", "size", "name"),
    [
        ("mse", "{number: standard}", 1, "y"),
        ("{quantile: [0.1, 0.9]}", "{number: standard}", 2, "y"),
        ("{quantile: [0.1, 0.9]}", "{tensor: {shape: [3], normalize: standard}}", 6, "output"),
        ("gaussian_nll", "{number: standard}", 2, "output"),
        ("{gaussian_nll: 0.1}", "{number: standard}", 1, "y"),
        ("laplace_nll", "number", 2, "output"),
        ("triplet", "{category: 3}", 8, "output"),
    ],
)
def test_an_output_that_is_no_prediction_keeps_its_name(text: str, target: str, size: int, name: str) -> None:
    network = f"[dense: {size}]" if size != 6 else "[dense: 6, reshape: [3, 2]]"
    spec, found = checked(text, f"{{y: {target}}}", network)
    assert codes(found) == []
    assert list(predictions_of(spec.plan)) == [name]


# ---- formulas ----


FORMULAS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean(abs(prediction - target) ** 1.5)": lambda y, t: (np.abs(y - t) ** 1.5).mean(1),
    "abs(prediction - target) ** 1.5": lambda y, t: (np.abs(y - t) ** 1.5).mean(1),
    "sum(square(prediction - target)) / (1 + max(abs(target)))": lambda y, t: (
        ((y - t) ** 2).sum(1) / (1 + np.abs(t).max(1))
    ),
    "abs(prediction - target) / (max(target) - min(target))": lambda y, t: (
        np.abs(y - t).mean(1) / (t.max(1) - t.min(1))
    ),
    "square(prediction - mean(prediction)) + mean(2) * sum(sum(target))": lambda y, t: y.var(1) + 2 * t.sum(1),
    "where(prediction > target, 2 * (prediction - target), target - prediction)": lambda y, t: np.where(
        y > t, 2 * (y - t), t - y
    ).mean(1),
}


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas(text: str) -> None:
    y, t = normal(5, 2, 3), normal(5, 2, 3)
    want = FORMULAS[text](y.reshape(5, 6), t.reshape(5, 6))
    found, _ = run(f'formula: "{text}"', y, t)
    np.testing.assert_allclose(found.total, want, rtol=2e-5)
    assert found.weight.tolist() == [1] * 5
    # the first of two places of time: as if the other was not there
    mask = np.array([[True, False]] * 4 + [[False, False]])
    found, gradient = run(f'formula: "{text}"', y, t, mask)
    want = FORMULAS[text](y[:4, 0], t[:4, 0])
    np.testing.assert_allclose((found.total / np.maximum(found.weight, 1e-9))[:4], want, rtol=2e-5)
    assert found.weight[4] == found.total[4] == 0
    assert np.isfinite(gradient).all() and not gradient[:, 1].any()


def test_a_formula_equals_the_loss_of_its_name() -> None:
    y, t = normal(5, 3), normal(5, 3)
    for formula, spec in (
        ("square(prediction - target)", "mse"),
        ("mean(abs(prediction - target))", "mae"),
        ("softplus(2 * abs(prediction - target)) - abs(prediction - target) - log(2)", "log_cosh"),
    ):
        assert value(f'formula: "{formula}"', y, t) == pytest.approx(value(spec, y, t), rel=1e-5)


HOSTILE: list[tuple[str, str]] = [
    ("attribute", "prediction.__class__"),
    ("call of an attribute", "prediction.sum()"),
    ("import", "__import__('os').system('true')"),
    ("import without texts", "__import__(prediction)"),
    ("dunder", "__builtins__ + prediction"),
    ("dunder function", "__subclasshook__(prediction)"),
    ("eval", "eval(prediction)"),
    ("lambda", "lambda: prediction"),
    ("comprehension", "[prediction for prediction in target]"),
    ("f-string", "f'{prediction}'"),
    ("walrus", "(prediction := target)"),
    ("assignment", "prediction = target"),
    ("statement", "prediction; target"),
    ("index", "prediction[0]"),
    ("starred", "max(*prediction)"),
    ("keyword", "mean(x=prediction)"),
    ("huge power", "prediction ** 99999999"),
    ("tower", "9 ** 9 ** 9 ** 9 * prediction"),
    ("power of an array", "prediction ** target"),
    ("power of a power", "prediction ** (9 ** 9)"),
    ("huge number", "1e999 * prediction"),
    ("long number", "1" * 390 + " * prediction"),
    ("deep", "(" * 180 + "prediction" + ")" * 180),
    ("deep signs", "-" * 380 + "prediction"),
    ("deep calls", "abs(" * 90 + "prediction" + ")" * 90),
    ("long", "prediction + " * 100_000 + "prediction"),
    ("long name", "p" * 399),
    ("unknown name", "predicted - target"),
    ("unknown function", "median(prediction)"),
    ("arity", "mean(prediction, target)"),
    ("no argument", "mean()"),
    ("where without comparison", "where(prediction, target, 1)"),
    ("comparison outside", "prediction > target"),
    ("chained comparison", "where(0 < prediction < 1, 1, 0)"),
    ("division by zero", "prediction / 0"),
    ("floor division", "prediction // 2"),
    ("modulo", "prediction % 2"),
    ("bit", "prediction ^ 2"),
    ("matrix product", "prediction @ target"),
    ("logic", "prediction and target"),
    ("complex", "1j * prediction"),
    ("hexadecimal", "0x10 * prediction"),
    ("underscores", "1_000 * prediction"),
    ("non-ASCII name", "prédiction - target"),
    ("non-ASCII look-alike", "\u0440rediction - target"),  # a Cyrillic letter
    ("non-ASCII digit", "٣ * prediction"),
    ("full-width", "\uff50rediction"),
    ("invisible", "pred\u200biction"),
    ("right to left", "\u202eprediction"),
    ("emoji", "prediction * 😀"),
    ("NUL", "prediction\x00 * 2"),
    ("control", "prediction \x1b[31m"),
    ("empty", ""),
    ("blank", "   "),
    ("operators alone", "+-*/"),
    ("no prediction", "target * 2"),
    ("number", "42"),
    ("comment", "# prediction"),
    ("ellipsis", "..."),
    ("star import", "from os import *"),
]


@pytest.mark.parametrize(("kind", "text"), HOSTILE, ids=[kind for kind, _ in HOSTILE])
def test_hostile_formulas(kind: str, text: str) -> None:
    began = time.perf_counter()
    made = build_word({"formula": text}, LOSSES, "loss")
    assert time.perf_counter() - began < 0.5
    assert isinstance(made, list) and [error.code for error in made] == ["DLC108"], made
    error = made[0]
    assert len(error.message) < 500 and "Traceback" not in error.message
    if error.inside is not None:
        assert 0 <= error.inside[1] <= len(text) and error.inside[2] >= 1


def test_a_hostile_formula_in_a_file_points_at_its_place() -> None:
    found = report('{formula: "abs(prediction - tarhet)"}')
    (item,) = found.diagnostics
    assert item.span is not None and (item.span.line, item.span.column) == (
        5,
        7 + len('{formula: "abs(prediction - '),
    )
    assert item.hint == "did you mean `target`?"


# ---- the variational autoencoder ----

VAE = """
inputs: {{image: {{tensor: [6]}}}}
network:
  - dense: {{units: 5, activation: tanh}}
    name: body
  - dense: 2
    name: mean
  - dense: 2
    inputs: body
    name: log_variance
  - gaussian_sample: {beta}
    inputs: [mean, log_variance]
    name: code
  - dense: 6
loss: {{{loss}, target: image, reduction: sum}}
optimizer: adam
"""


@pytest.mark.parametrize(
    ("text", "log_likelihood"),
    [
        ("binary_cross_entropy: ", lambda y, x: x * -np.log1p(np.exp(-y)) - (1 - x) * np.log1p(np.exp(y))),
        ("gaussian_nll: {variance: 0.1, full: true}", lambda y, x: scipy.stats.norm.logpdf(x, y, math.sqrt(0.1))),
        ("mse: ", lambda y, x: -((y - x) ** 2)),
    ],
)
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_the_loss_of_a_variational_autoencoder_is_the_elbo(text: str, log_likelihood: Any, beta: float) -> None:
    """-log p(x | z) summed over pixels, plus the divergence summed over the code; the mean over examples."""
    spec = dlc.loads(VAE.format(loss=text, beta=beta))
    x = RANDOM.uniform(size=(7, 6)).astype(np.float32)
    program = dlc.compile(spec)
    variables = program.init(1)

    @jax.jit
    def total(real: Any) -> tuple[Any, Any]:
        results = program.run(variables, {"image": x})
        totals = loss_scores(spec.plan, results, {"inputs": {"image": x}, "targets": {}}, real)
        return combined(spec.plan, totals, {name: part.weight for name, part in totals.items()}), results.outputs

    real = np.arange(7) < 5  # the last two only fill the batch
    got, outputs = total(real)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    body = np.tanh(x @ weights["body"]["kernel"])
    m, v = (body @ weights[name]["kernel"] for name in ("mean", "log_variance"))  # biases begin at 0
    y = np.asarray(outputs["output"], np.float64)
    divergence = 0.5 * (np.exp(v) + m**2 - 1 - v).sum(1)
    each = -log_likelihood(y, x).sum(1) + beta * divergence
    assert float(got) == pytest.approx(each[:5].mean(), rel=1e-5)
