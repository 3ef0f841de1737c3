"""All metrics at extremes: overflow, underflow, NaN, infinity, ties, absent classes, few records or none.

The references are scikit-learn and numpy in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics as sk

from dlc.components.metrics import METRICS
from dlc.components.sums import in_units, whole
from tests.components.building import built
from tests.components.metrics.test_metrics import NUMBERS, example_of, values

# ---- numbers of any magnitude ----

SCALES = (1e-30, 1e-21, 1e20, 6e23, 1e37)
FREE = ("r2", "explained_variance", "pearson", "smape")  # of the unit: their references need no extremes
MAGNITUDES: dict[str, Callable[[Any, Any], float]] = {
    **{
        word: (lambda p, t, of=NUMBERS[word]: of(p, t, np.ones(len(t))))
        for word in (*FREE, "mae", "mse", "rmse", "mape", "max_error", "median_absolute_error")
    },
    'formula: "abs(prediction - target)"': lambda p, t: np.abs(p - t).mean(),
    "mase: {scale: 2.0}": lambda p, t: np.abs(p - t).mean() / 2,
}
SERIES = {
    "mase": lambda p, t: np.abs(p - t).mean() / np.abs(t[:, 1:] - t[:, :-1]).mean(),
    "mse": lambda p, t: np.square(p - t).mean(),
}


@pytest.mark.parametrize("scale", SCALES)
def test_sums_neither_overflow_nor_underflow(scale: float) -> None:
    generator = np.random.default_rng(0)
    t = (generator.normal(2, 1, (40, 1)) * scale).astype(np.float32)
    p = (t + generator.normal(0, 0.7, (40, 1)) * scale).astype(np.float32)
    exact = p.astype(np.float64) / scale, t.astype(np.float64) / scale
    whole = p.astype(np.float64), t.astype(np.float64)
    found = values(tuple(MAGNITUDES), p, t, 16)
    for spec, reference in MAGNITUDES.items():
        assert found[spec] == pytest.approx(reference(*(exact if spec in FREE else whole)), rel=1e-4), spec
    x = generator.normal(2, 1, (8, 5)) * scale
    p, t = (x * 1.2).astype(np.float32), x.astype(np.float32)
    found = values(tuple(SERIES), p, t, 16)
    assert found == {
        spec: pytest.approx(of(p.astype(np.float64), t.astype(np.float64)), rel=1e-4) for spec, of in SERIES.items()
    }


def test_magnitudes_are_mixed_in_a_batch() -> None:
    generator = np.random.default_rng(1)
    sizes = np.repeat([1e-30, 1e-3, 1e20, 1e30], 4)[:, None]
    t = (generator.normal(1, 1, (16, 1)) * sizes).astype(np.float32)
    p = (t * generator.uniform(0.5, 1.5, (16, 1))).astype(np.float32)
    words = ("mae", "mse", "rmse", "mape", "smape")
    for rows in (slice(None), slice(0, 8), slice(0, 4)):  # the largest numbers decide
        y, x = p[rows].astype(np.float64), t[rows].astype(np.float64)
        wanted = {word: pytest.approx(NUMBERS[word](y, x, np.ones(len(x))), rel=1e-4) for word in words}
        assert values(words, p[rows], t[rows], 5) == wanted
    zero = np.zeros((4, 1), np.float32)  # relative to 0 the error leaves float32
    large = np.full((4, 1), 3e30, np.float32)
    wanted = sk.mean_absolute_percentage_error(zero.astype(np.float64), large.astype(np.float64))
    assert values(("mape",), large, zero, 4)["mape"] == pytest.approx(wanted, rel=1e-6) and wanted > 1e45
    assert values(("smape",), large * np.float32(1e8), -large * np.float32(1e8), 4)["smape"] == pytest.approx(2.0)


def test_images_of_any_magnitude() -> None:
    scale, generator = 1e25, np.random.default_rng(2)
    t = (generator.uniform(size=(3, 8, 8, 1)) * scale).astype(np.float32)
    p = (t + 1e-3 * scale * generator.normal(size=t.shape)).astype(np.float32)
    error = (np.square(p.astype(np.float64) - t) / scale**2).mean((1, 2, 3))
    ratio = values((f"psnr: {scale}",), p, t, 3)[f"psnr: {scale}"]
    assert ratio == pytest.approx(np.mean(-10 * np.log10(error)), rel=1e-4)
    same = values((f"ssim: {{max_value: {scale}, window: 7}}",), p, t, 3)
    unit = values(("ssim: {window: 7}",), (p / scale).astype(np.float32), (t / scale).astype(np.float32), 3)
    assert list(same.values()) == pytest.approx(list(unit.values()), rel=1e-4)
    near = values(("psnr",), np.full((1, 8, 8, 1), 1e-25, np.float32), np.zeros((1, 8, 8, 1), np.float32), 1)
    assert near["psnr"] == pytest.approx(500)


# ---- scores that are NaN ----

LABELS = range(5)


def averaged(function: Callable[..., float], **options: Any) -> Callable[[Any, Any], float]:
    return lambda t, y: function(t, y, average="macro", labels=LABELS, zero_division=0.0, **options)


def specificity(t: Any, y: Any) -> float:
    return float(np.mean([((t != c) & (y != c) & (y >= 0)).sum() / (t != c).sum() for c in LABELS]))


CLASSES: dict[str, Callable[[Any, Any], float] | None] = {  # of classes, and answers of which -1 is none; None: NaN
    "accuracy": sk.accuracy_score,
    "exact_match": sk.accuracy_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "precision": averaged(sk.precision_score),
    "recall": averaged(sk.recall_score),
    "f1": averaged(sk.f1_score),
    "dice": averaged(sk.f1_score),
    "f_beta: {beta: 2}": averaged(sk.fbeta_score, beta=2),
    "mean_iou": averaged(sk.jaccard_score),
    "iou: 2": lambda t, y: sk.jaccard_score(t == 2, y == 2),
    "specificity": specificity,
    "cohen_kappa": sk.cohen_kappa_score,
    "matthews": sk.matthews_corrcoef,
    **dict.fromkeys(("cohen_kappa: linear", "log_loss", "brier", "perplexity", "bits_per_character"), None),
    **dict.fromkeys(("roc_auc", "pr_auc"), None),
}
WORDS = (*CLASSES, "top_k_accuracy: 2", "mean_reciprocal_rank")  # one program


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_a_score_that_is_nan_is_a_wrong_answer_or_gives_no_value() -> None:
    generator = np.random.default_rng(3)
    p = generator.dirichlet(np.ones(5), 40).astype(np.float32)
    t = np.where(generator.uniform(size=40) < 0.7, p.argmax(-1), generator.integers(0, 5, 40)).astype(np.int32)
    p[:2, 3], p[7:9] = np.nan, np.nan  # one score, and all
    y = np.where(np.isnan(p).any(-1), -1, p.argmax(-1))
    found = values(WORDS, p, t, 4)
    for spec, reference in CLASSES.items():
        wanted = math.nan if reference is None else reference(t, y)
        assert found[spec] == pytest.approx(wanted, rel=1e-5, nan_ok=True), spec
    place = np.where(y < 0, np.inf, (np.argsort(-p, axis=-1, kind="stable") == t[:, None]).argmax(-1))
    assert found["top_k_accuracy: 2"] == pytest.approx((place < 2).mean())
    assert found["mean_reciprocal_rank"] == pytest.approx((1 / (1 + place)).mean())
    nothing = values(WORDS, np.full_like(p[:8], np.nan), t[:8], 4)
    assert all(value == 0 or CLASSES.get(spec, 0) is None for spec, value in nothing.items()), nothing


@pytest.mark.parametrize("truth", [0, 1])
def test_a_single_score_that_is_nan_is_wrong_for_both_classes(truth: int) -> None:
    p, t = np.full((6, 1), np.nan, np.float32), np.full(6, truth, np.int32)
    words = ("accuracy", "balanced_accuracy", "exact_match", "iou", "iou: 0", "f1", "specificity: micro")
    assert values(words, p, t, 6) == dict.fromkeys(words, 0.0)
    undefined = values(("log_loss", "brier", "roc_auc"), p, t, 6)
    assert all(math.isnan(value) for value in undefined.values())


def test_labels_whose_score_is_nan_are_wrong() -> None:
    generator = np.random.default_rng(4)
    t = (generator.uniform(size=(20, 3)) > 0.5).astype(np.float32)
    p = np.clip(t + 0.3 * generator.normal(size=t.shape), 0, 1).astype(np.float32)
    p[:4, 0], p[4, :] = np.nan, np.nan
    y = np.where(np.isnan(p), -1, p > 0.5)
    specs = ("hamming_loss", "exact_match: true", "recall: {multi_label: true}", "specificity: {multi_label: true}")
    found = values(specs, p, t, 8)
    assert found["hamming_loss"] == pytest.approx((y != t).mean())
    assert found["exact_match: true"] == pytest.approx((y == t).all(1).mean())
    assert found[specs[2]] == pytest.approx(np.mean([(y[t[:, i] == 1, i] == 1).mean() for i in range(3)]))
    assert found[specs[3]] == pytest.approx(np.mean([(y[t[:, i] == 0, i] == 0).mean() for i in range(3)]))


@pytest.mark.parametrize("constant", [False, True])
def test_a_number_that_is_nan_gives_no_value(constant: bool) -> None:
    t = np.full((20, 1), 2.0, np.float32) if constant else np.linspace(1, 2, 20, dtype=np.float32)[:, None]
    for place in (0, 19):
        p = t.copy()
        p[place] = np.nan
        found = values(tuple(MAGNITUDES), p, t, 16)
        assert all(math.isnan(value) for value in found.values()), found
    p[place] = np.inf
    found = values(tuple(MAGNITUDES), p, t, 16)
    infinite = {spec for spec in MAGNITUDES if not math.isnan(found[spec])}
    assert all(found[spec] == math.inf for spec in infinite) and {"mae", "mse", "rmse", "max_error"} <= infinite, found
    image = np.zeros((2, 8, 8, 1), np.float32)
    broken = np.where(np.arange(8) == 3, np.nan, image[..., 0])[..., None].astype(np.float32)
    found = values(("psnr", "ssim: {window: 7}"), broken, image, 2)
    assert all(math.isnan(value) for value in found.values()), found


def test_an_infinite_score_is_the_largest() -> None:
    p = np.float32([[0, np.inf, 1], [-np.inf, 0, -1], [2, 1, -np.inf]])
    t = np.int32([1, 1, 0])
    words = ("accuracy", "top_k_accuracy: 1", "f1", "mean_reciprocal_rank")
    assert values(words, p, t, 3) == dict.fromkeys(words, 1.0)


# ---- small splits ----


@pytest.mark.parametrize("word", METRICS)
def test_a_split_in_which_nothing_counts_has_no_value(word: str) -> None:
    spec, p, t = example_of(word)
    assert math.isnan(values((spec,), p, t, len(t), np.zeros(len(t), np.float32))[spec])


def test_one_record() -> None:
    p, t = np.float32([[0.2, 0.7, 0.05, 0.03, 0.02]]), np.int32([1])
    found = values(WORDS, p, t, 4)
    undefined = {
        "cohen_kappa",
        "cohen_kappa: linear",
        "roc_auc",
    }  # of answers of one class, of which there are no others
    none = {"iou: 2", "matthews", "specificity"}  # a class that does not occur, answers of one class, no other examples
    logs = {"log_loss": -math.log(0.7), "perplexity": 1 / 0.7, "bits_per_character": -math.log2(0.7)}
    special = {**dict.fromkeys(undefined, math.nan), **dict.fromkeys(none, 0.0), **logs, "brier": 0.04 + 0.09 + 0.0038}
    for spec, value in found.items():
        assert value == pytest.approx(special.get(spec, 1.0), nan_ok=True), spec
    spelt, tokens = np.int32([[1, -1, 2, 3]]), np.int32([[1, 3]])
    assert values(("token_error_rate",), spelt, tokens, 4) == {"token_error_rate": 0.5}
    y, x = np.float32([[1e25]]), np.float32([[2e25]])
    numbers = values(("mae", "mse", "rmse", "max_error", "median_absolute_error", "r2", "pearson"), y, x, 1)
    error = 1e25
    wanted = {"mse": error**2, **dict.fromkeys(("mae", "rmse", "max_error", "median_absolute_error"), error)}
    assert numbers == pytest.approx({**wanted, "r2": math.nan, "pearson": math.nan}, rel=1e-6, nan_ok=True)


def test_ties_go_to_the_first_class() -> None:
    p, t = np.full((10, 5), 0.2, np.float32), np.repeat(np.arange(5, dtype=np.int32), 2)
    y = np.zeros(10, int)
    found = values(WORDS, p, t, 4)
    for spec, reference in CLASSES.items():
        assert reference is None or found[spec] == pytest.approx(reference(t, y)), spec
    assert found["roc_auc"] == 0.5 and found["pr_auc"] == pytest.approx(0.2)
    half = np.full((4, 1), 0.5, np.float32)  # not above the threshold
    assert values(("accuracy", "recall"), half, np.int32([0, 0, 0, 1]), 4) == {"accuracy": 0.75, "recall": 0.0}


@pytest.mark.parametrize("power", [1, 2])
def test_units_are_exact_in_a_compiled_program(power: int) -> None:
    """XLA joins the constants of products; zeros, subnormal, infinite and undefined numbers among the others."""
    edges = np.float32([0.0, -0.0, 1e-45, 1e-38, 1e-26, -1e-24, 1.0, -3.0, 1e24, -1.3e24, 1e30, 3e38])
    for numbers in (edges, np.zeros(4, np.float32), np.float32([1e-26, 1.0]), np.float32([1e30, 1.0])):
        sums = jax.jit(lambda array: jnp.stack([part.sum() for part in in_units(array, power)]))(numbers)
        normal = np.where(np.abs(numbers) < 2.0**-126, 0, numbers).astype(np.float64)
        np.testing.assert_allclose(whole(sums), (normal**power).sum(), rtol=1e-6)
    for value in (np.inf, np.nan):
        sums = jax.jit(lambda array: jnp.stack([part.sum() for part in in_units(array, power)]))(np.float32([value, 1]))
        np.testing.assert_array_equal(whole(sums), value)


@pytest.mark.parametrize("scale", [1e-30, 1e-21, 1e-20])
def test_moments_of_tiny_numbers_are_merged(scale: float) -> None:
    """Also with those of no examples, with which each split begins."""
    rng = np.random.default_rng(0)
    target = (rng.normal(size=(31, 1)) * scale).astype(np.float32)
    prediction = (target / 2).astype(np.float32)
    made = {"r2": sk.r2_score, "explained_variance": sk.explained_variance_score}
    for word, wanted in made.items():
        metric = built(word, "metric")
        found = metric.statistics(jnp.asarray(prediction), jnp.asarray(target), jnp.ones(31))
        empty = jax.tree.map(jnp.zeros_like, found)
        value = metric.result(jax.tree.map(np.asarray, metric.merge(metric.merge(empty, found), empty)))
        np.testing.assert_allclose(value, wanted(target / scale, prediction / scale), rtol=1e-4)
