"""Metrics of variances in any unit: their squares leave float32 long before the values do."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import explained_variance_score, r2_score

from tests.components.building import metric, over_split

ORACLES = {
    "r2": r2_score,
    "explained_variance": explained_variance_score,
    "pearson": lambda t, y: np.corrcoef(t.ravel(), y.ravel())[0, 1],
}


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 6e23, 1e36])
@pytest.mark.parametrize("word", ORACLES)
def test_a_ratio_of_variances_does_not_depend_on_the_unit(word: str, scale: float) -> None:
    generator = np.random.default_rng(0)
    target = (generator.normal(3, 1, (40, 1)) * scale).astype(np.float32)
    prediction = (target + generator.normal(0, 0.7, (40, 1)) * scale).astype(np.float32)
    wanted = ORACLES[word](target.astype(np.float64) / scale, prediction.astype(np.float64) / scale)
    assert over_split(metric(word), prediction, target, 7) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("word", ORACLES)
def test_batches_of_different_magnitude_are_merged(word: str) -> None:
    generator = np.random.default_rng(1)
    sizes = np.repeat([1e-30, 1e10, 1.0, 1e25], 8)[:, None]
    target = (generator.normal(1, 1, (32, 1)) * sizes).astype(np.float32)
    prediction = (target * generator.uniform(0.8, 1.2, (32, 1))).astype(np.float32)
    made = metric(word)
    parts = [
        jax.tree.map(
            np.float64, made.statistics(jnp.asarray(prediction[i : i + 8]), jnp.asarray(target[i : i + 8]), jnp.ones(8))
        )
        for i in range(0, 32, 8)
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = made.merge(merged, part)
    wanted = ORACLES[word](target.astype(np.float64), prediction.astype(np.float64))
    assert made.result(merged) == pytest.approx(wanted, rel=1e-4)
    compiled = jax.jit(partial(made.merge, parts[0]))(parts[3])
    assert made.result(jax.tree.map(np.float64, compiled)) == pytest.approx(
        made.result(made.merge(parts[0], parts[3])), rel=1e-4
    )
