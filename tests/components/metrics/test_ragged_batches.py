"""Metrics add up over batches of any size, and know which way is better."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from dlc.components.losses import LOSSES
from dlc.components.metrics import METRICS
from dlc.language.options import load_class
from tests.components.building import loss, metric, over_split


@pytest.mark.few(2)
@pytest.mark.parametrize("size", [1, 7, 32, 100])
def test_metrics_add_up_over_ragged_batches(size: int) -> None:
    generator = np.random.default_rng(0)
    scores, classes = generator.normal(size=(45, 5)).astype(np.float32), generator.integers(0, 5, 45).astype(np.int32)
    want = sklearn.metrics.accuracy_score(classes, scores.argmax(-1))
    assert over_split(metric("accuracy"), scores, classes, size) == pytest.approx(want)
    assert over_split(metric("accuracy"), scores, np.eye(5, dtype=np.float32)[classes], size) == pytest.approx(want)
    one, truth = generator.uniform(size=(45, 1)).astype(np.float32), generator.integers(0, 2, 45).astype(np.int32)
    for threshold in (0.5, 0.8):
        want = sklearn.metrics.accuracy_score(truth, one[:, 0] > threshold)
        assert over_split(metric(f"accuracy: {threshold}"), one, truth, size) == pytest.approx(want)
    output, target = (
        generator.normal(size=(45, 2)).astype(np.float32),
        generator.normal(size=(45, 2)).astype(np.float32),
    )
    assert over_split(metric("mae"), output, target, size) == pytest.approx(
        sklearn.metrics.mean_absolute_error(target, output), rel=1e-5
    )
    want = sklearn.metrics.root_mean_squared_error(target[:, :1], output[:, :1])
    assert over_split(metric("rmse"), output[:, :1], target[:, :1], size) == pytest.approx(want, rel=1e-5)
    # over several outputs it is the root of the mean over all of them
    want = math.sqrt(sklearn.metrics.mean_squared_error(target, output))
    assert over_split(metric("rmse"), output, target, size) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("word", [word for word in METRICS if load_class(METRICS, word).ranks])
def test_a_metric_that_ranks_sees_only_the_order(word: str) -> None:
    made, logits = (
        metric(load_class(METRICS, word).examples[0].spec),
        jnp.asarray(np.random.default_rng(0).normal(0, 3, (30, 4)), jnp.float32),
    )
    target = jnp.asarray(np.arange(30) % 4)
    want = over_split(made, np.asarray(loss("cross_entropy").activate(logits)), np.asarray(target), 30)
    assert over_split(made, np.asarray(logits), np.asarray(target), 30) == want


def test_which_way_a_metric_is_better() -> None:
    falling = {word for word in METRICS if not load_class(METRICS, word).upward}
    assert falling == {
        *("hamming_loss", "log_loss", "brier", "perplexity", "bits_per_character"),
        *("mae", "mse", "rmse", "mape", "smape", "mase", "median_absolute_error", "max_error", "token_error_rate"),
    }
    assert metric("accuracy").rises and not metric("mae").rises
    formula = "abs(prediction - target)"
    assert not metric(f"formula: '{formula}'").rises
    assert metric(f"formula: {{formula: '{formula}', higher_is_better: true}}").rises
    assert not any(load_class(LOSSES, word).higher_is_better for word in LOSSES)
