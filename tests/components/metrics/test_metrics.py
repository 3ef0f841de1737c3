"""Metrics over splits against scikit-learn, Keras 3 and the formulas, on ordinary and on awkward answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.special
import scipy.stats
import sklearn.metrics as sk

from dlc.components.metrics import METRICS
from dlc.language.options import load_class
from tests.components.building import metric

Reference = Callable[[Any, Any, Any], float]  # of predictions, targets and weights, float64 (n, ...), (n,), (n,)
SIZES = (1, 7, 32, 100)


@cache
def compiled(specs: tuple[str, ...]) -> Any:
    """The statistics of a batch, of all metrics in one program."""

    def of(given: Mapping[bool, Any], target: Any, weights: Any, mask: Any) -> dict[str, Any]:
        return {
            spec: metric(spec).statistics(given[metric(spec).logs], target, weights, mask)
            for spec in specs
            if not metric(spec).collected
        }

    return jax.jit(of)


def logarithms(p: np.ndarray) -> np.ndarray:
    """As `answers_of` makes them of probabilities."""
    p = p.astype(np.float64)
    return np.asarray(np.log(p) - np.log1p(-p) if p.shape[-1] == 1 else np.log(p), np.float32)


def values(
    specs: tuple[str, ...],
    prediction: np.ndarray,
    target: np.ndarray,
    size: int,
    weights: np.ndarray | None = None,
    mask: np.ndarray | None = None,
) -> dict[str, float]:
    """Each metric over a split as evaluation does it: in batches, the last one filled up with rows that don't count."""
    logs = any(metric(spec).logs for spec in specs)
    given = {False: prediction, True: logarithms(prediction) if logs else prediction}
    weights = np.ones(len(target), np.float32) if weights is None else weights
    whole: dict[str, Any] = {}
    for start in range(0, len(target), size):
        rows = np.minimum(np.arange(start, start + size), len(target) - 1)
        counted = np.where(np.arange(start, start + size) < len(target), weights[rows], 0).astype(np.float32)
        batch = {logs: value[rows] for logs, value in given.items()}
        told = compiled(specs)(batch, target[rows], counted, None if mask is None else mask[rows])
        told = jax.tree.map(np.float64, told)
        whole = {spec: metric(spec).merge(whole[spec], told[spec]) for spec in told} if whole else told
    found = {spec: metric(spec).result(sums) for spec, sums in whole.items()}
    for spec in specs:
        if metric(spec).collected:
            places = weights.astype(np.float64) if mask is None else weights[:, None] * mask.astype(np.float64)
            found[spec] = metric(spec).judge(given[metric(spec).logs], target, places)
    return found


def compare(
    references: Mapping[str, Reference], prediction: Any, target: Any, weights: Any = None, sizes: Any = SIZES
) -> None:
    """Every metric is its reference, in batches of every size."""
    p, t = prediction.astype(np.float64), target.astype(np.float64) if target.dtype.kind == "f" else target
    w = np.ones(len(target)) if weights is None else weights.astype(np.float64)
    wanted = {spec: float(reference(p, t, w)) for spec, reference in references.items()}
    for size in sizes:
        found = values(tuple(references), prediction, target, size, weights)
        for spec in references:
            assert found[spec] == pytest.approx(wanted[spec], rel=2e-5, abs=2e-6, nan_ok=True), (spec, size)


def softmax(generator: np.random.Generator, shape: tuple[int, ...], spread: float = 2.0) -> np.ndarray:
    return np.asarray(scipy.special.softmax(generator.normal(0, spread, shape), -1), np.float32)


def weighted(generator: np.random.Generator, count: int) -> np.ndarray:
    """Weights of examples; some count nothing."""
    return np.asarray(generator.uniform(0, 2, count) * (generator.uniform(size=count) > 0.2), np.float32)


def specificity(t: Any, y: Any, w: Any, classes: int) -> list[float]:
    matrices = sk.multilabel_confusion_matrix(t, y, sample_weight=w, labels=range(classes))
    return [matrix[0, 0] / matrix[0].sum() for matrix in matrices]


def rank_of(p: Any, t: Any) -> Any:
    order = np.argsort(-p, axis=-1, kind="stable")
    return (order == t[:, None]).argmax(-1)


def averaged(name: str, **options: Any) -> dict[str, Reference]:
    """A metric of scikit-learn with each average, of several classes."""
    function = getattr(sk, f"{name}_score")
    word, inside = {
        "fbeta": ("f_beta", f", beta: {options.get('beta')}"),
        "jaccard": ("mean_iou", ""),
    }.get(name, (name, ""))

    def reference(average: str) -> Reference:
        return lambda p, t, w: function(t, p.argmax(-1), average=average, sample_weight=w, zero_division=0.0, **options)

    return {f"{word}: {{average: {average}{inside}}}": reference(average) for average in ("macro", "micro", "weighted")}


CLASSES: dict[str, Reference] = {
    "accuracy": lambda p, t, w: sk.accuracy_score(t, p.argmax(-1), sample_weight=w),
    "balanced_accuracy": lambda p, t, w: sk.balanced_accuracy_score(t, p.argmax(-1), sample_weight=w),
    "top_k_accuracy: 2": lambda p, t, w: sk.top_k_accuracy_score(t, p, k=2, sample_weight=w, labels=range(5)),
    "mean_reciprocal_rank": lambda p, t, w: np.average(1 / (1 + rank_of(p, t)), weights=w),
    "exact_match": lambda p, t, w: sk.accuracy_score(t, p.argmax(-1), sample_weight=w),
    "log_loss": lambda p, t, w: sk.log_loss(t, p / p.sum(-1, keepdims=True), sample_weight=w, labels=range(5)),
    "perplexity": lambda p, t, w: math.exp(np.average(-np.log(p[np.arange(len(t)), t]), weights=w)),
    "bits_per_character": lambda p, t, w: np.average(-np.log2(p[np.arange(len(t)), t]), weights=w),
    "brier": lambda p, t, w: sk.brier_score_loss(
        t, p / p.sum(-1, keepdims=True), sample_weight=w, labels=range(5), scale_by_half=False
    ),
    **averaged("precision"),
    **averaged("recall"),
    **averaged("f1"),
    **averaged("fbeta", beta=2.0),
    **averaged("jaccard"),
    "precision": lambda p, t, w: sk.precision_score(
        t, p.argmax(-1), average="macro", sample_weight=w, zero_division=0.0
    ),
    "f1": lambda p, t, w: sk.f1_score(t, p.argmax(-1), average="macro", sample_weight=w),
    "dice": lambda p, t, w: sk.f1_score(t, p.argmax(-1), average="macro", sample_weight=w),
    "mean_iou": lambda p, t, w: sk.jaccard_score(t, p.argmax(-1), average="macro", sample_weight=w),
    "iou: 2": lambda p, t, w: sk.jaccard_score(t == 2, p.argmax(-1) == 2, sample_weight=w, zero_division=0.0),
    "cohen_kappa": lambda p, t, w: sk.cohen_kappa_score(t, p.argmax(-1), sample_weight=w),
    "cohen_kappa: linear": lambda p, t, w: sk.cohen_kappa_score(
        t, p.argmax(-1), weights="linear", sample_weight=w, labels=range(5)
    ),
    "cohen_kappa: quadratic": lambda p, t, w: sk.cohen_kappa_score(
        t, p.argmax(-1), weights="quadratic", sample_weight=w, labels=range(5)
    ),
    "matthews": lambda p, t, w: sk.matthews_corrcoef(t, p.argmax(-1), sample_weight=w),
}
MACRO: dict[str, Reference] = {
    "specificity": lambda p, t, w: float(np.mean(specificity(t, p.argmax(-1), w, 5))),
    "roc_auc": lambda p, t, w: sk.roc_auc_score(np.eye(5)[t], np.log(p), average="macro", sample_weight=w),
    "pr_auc": lambda p, t, w: sk.average_precision_score(np.eye(5)[t], np.log(p), average="macro", sample_weight=w),
}


def test_metrics_of_classes() -> None:
    generator = np.random.default_rng(0)
    p, t = softmax(generator, (45, 5)), generator.integers(0, 5, 45).astype(np.int32)
    compare(CLASSES | MACRO, p, t)
    compare(CLASSES | MACRO, p, t, weighted(generator, 45), sizes=(7,))
    rows = np.eye(5, dtype=np.float32)[t]  # one-hot targets are the same classes
    words = tuple(CLASSES | MACRO)
    assert values(words, p, rows, 7) == pytest.approx(values(words, p, t, 7), rel=1e-6)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_classes_that_the_split_lacks() -> None:
    """As scikit-learn, which knows only the classes that occur."""
    generator = np.random.default_rng(1)
    p, t = softmax(generator, (20, 5), 1.0), generator.integers(0, 2, 20).astype(np.int32)
    p[:, 4] = 1e-6  # never true and never answered
    references = {spec: CLASSES[spec] for spec in CLASSES if not spec.startswith(("log_loss", "brier"))}
    compare(references, p, t, sizes=(7,))
    known = values(("roc_auc", "pr_auc"), p, t, 7)
    assert known["roc_auc"] == pytest.approx(np.mean([sk.roc_auc_score(t == i, p[:, i]) for i in range(2)]))
    assert known["pr_auc"] == pytest.approx(np.mean([sk.average_precision_score(t == i, p[:, i]) for i in range(2)]))


@pytest.mark.filterwarnings("ignore:A single label was found", "ignore:invalid value encountered")
def test_answers_that_are_all_one_class() -> None:
    p, t = np.tile(np.float32([0.1, 0.6, 0.1, 0.1, 0.1]), (9, 1)), np.full(9, 1, np.int32)
    found = values(tuple(CLASSES | MACRO), p, t, 7)
    undefined = {spec for spec, value in found.items() if math.isnan(value)}
    assert undefined == {spec for spec in found if spec.startswith("cohen_kappa") or spec == "roc_auc"}
    assert found["accuracy"] == found["f1"] == found["mean_iou"] == found["pr_auc"] == 1.0
    assert found["matthews"] == 0.0 == sk.matthews_corrcoef(t, p.argmax(-1))
    wrong = values(tuple(CLASSES | MACRO), p, np.full(9, 3, np.int32), 7)
    assert wrong["accuracy"] == wrong["f1"] == wrong["mean_iou"] == wrong["recall: {average: macro}"] == 0.0
    assert wrong["cohen_kappa"] == 0.0 == sk.cohen_kappa_score(np.full(9, 3), p.argmax(-1))


def positive(name: str, threshold: float = 0.5, **options: Any) -> Reference:
    function = getattr(sk, name)
    return lambda p, t, w: function(t.ravel(), p[:, 0] > threshold, sample_weight=w, **options)


SINGLE: dict[str, Reference] = {
    "accuracy": positive("accuracy_score"),
    "accuracy: 0.7": positive("accuracy_score", 0.7),
    "balanced_accuracy: 0.7": positive("balanced_accuracy_score", 0.7),
    "precision": positive("precision_score", zero_division=0.0),
    "precision: {threshold: 0.7}": positive("precision_score", 0.7, zero_division=0.0),
    "precision: macro": positive("precision_score", average="macro", zero_division=0.0),
    "recall": positive("recall_score"),
    "f1": positive("f1_score"),
    "f1: micro": positive("f1_score", average="micro"),
    "f1: weighted": positive("f1_score", average="weighted"),
    "f_beta: {beta: 0.5}": positive("fbeta_score", beta=0.5),
    "specificity": positive("recall_score", pos_label=0),
    "specificity: micro": positive("accuracy_score"),
    "iou": positive("jaccard_score"),
    "iou: 0": positive("jaccard_score", pos_label=0),
    "dice": positive("f1_score"),
    "mean_iou": positive("jaccard_score", average="macro"),
    "cohen_kappa": positive("cohen_kappa_score"),
    "matthews: 0.7": positive("matthews_corrcoef", 0.7),
    "roc_auc": lambda p, t, w: sk.roc_auc_score(t.ravel(), p[:, 0], sample_weight=w),
    "pr_auc": lambda p, t, w: sk.average_precision_score(t.ravel(), p[:, 0], sample_weight=w),
    "log_loss": lambda p, t, w: sk.log_loss(t.ravel(), p[:, 0], sample_weight=w),
    "brier": lambda p, t, w: sk.brier_score_loss(t.ravel(), p[:, 0], sample_weight=w),
}


def test_metrics_of_a_single_score() -> None:
    generator = np.random.default_rng(2)
    p, t = generator.uniform(size=(45, 1)).astype(np.float32), generator.integers(0, 2, 45).astype(np.int32)
    compare(SINGLE, p, t)
    compare(SINGLE, p, t, weighted(generator, 45), sizes=(7,))
    # two scores are the same question
    same = tuple(spec for spec in SINGLE if "0." not in spec or "beta" in spec)
    both = np.concatenate([1 - p, p], -1)
    for spec, value in values(same, both, t, 7).items():
        assert value == pytest.approx(values(same, p, t, 7)[spec], rel=1e-5), spec


def test_metrics_of_maps_count_places() -> None:
    generator = np.random.default_rng(3)
    p, t = softmax(generator, (9, 4, 3, 5), 1.0), generator.integers(0, 5, (9, 4, 3)).astype(np.int32)
    specs = tuple(spec for spec in CLASSES | MACRO if not spec.startswith("exact"))
    flat = values(specs, p.reshape(-1, 5), t.reshape(-1), 100)
    weights = weighted(generator, 9)
    of_places = values(specs, p.reshape(-1, 5), t.reshape(-1), 100, np.repeat(weights, 12))
    for size in (1, 4):
        assert values(specs, p, t, size) == pytest.approx(flat, rel=1e-5, abs=1e-6)
    assert values(specs, p, t, 4, weights) == pytest.approx(of_places, rel=1e-5, abs=1e-6)
    single, truth = p[..., :1], (t[..., None] == 0).astype(np.float32)  # maps of 0 and 1
    specs = tuple(SINGLE)
    flat = values(specs, single.reshape(-1, 1), (t == 0).astype(np.int32).reshape(-1), 100)
    assert values(specs, single, truth, 4) == pytest.approx(flat, rel=1e-5, abs=1e-6)


def test_masks_leave_places_out() -> None:
    """A masked split is the split of its places; what stands in the others, even nan, changes nothing."""
    generator = np.random.default_rng(4)
    p, t = softmax(generator, (9, 6, 5), 1.0), generator.integers(0, 5, (9, 6)).astype(np.int32)
    mask = np.arange(6) < generator.integers(0, 7, 9)[:, None]
    mask[0] = False  # an example of padding alone
    assert 0 < mask.sum() < mask.size
    specs = tuple(spec for spec in CLASSES | MACRO if not spec.startswith("exact"))
    wanted = values(specs, p[mask], t[mask], 100)
    p[~mask], t[~mask] = np.nan, 0
    for size in (1, 7):
        assert values(specs, p, t, size, mask=mask) == pytest.approx(wanted, rel=1e-5)
    nothing = values((*specs, "exact_match"), p, t, 7, mask=np.zeros_like(mask))
    assert all(math.isnan(value) for value in nothing.values()), nothing
    whole = ((np.nan_to_num(p).argmax(-1) == t) | ~mask).all(1)[mask.any(1)].mean()
    assert values(("exact_match",), p, t, 7, mask=mask)["exact_match"] == pytest.approx(whole)


LABELS: dict[str, Reference] = {
    "hamming_loss": lambda p, t, w: sk.hamming_loss(t, p > 0.5, sample_weight=w),
    "hamming_loss: 0.3": lambda p, t, w: sk.hamming_loss(t, p > 0.3, sample_weight=w),
    "exact_match: {multi_label: true, threshold: 0.4}": lambda p, t, w: sk.accuracy_score(t, p > 0.4, sample_weight=w),
    "roc_auc": lambda p, t, w: sk.roc_auc_score(t, p, average="macro", sample_weight=w),
    "pr_auc": lambda p, t, w: sk.average_precision_score(t, p, average="macro", sample_weight=w),
    "specificity: {multi_label: true}": lambda p, t, w: np.mean(
        [sk.recall_score(t[:, i], p[:, i] > 0.5, pos_label=0, sample_weight=w) for i in range(4)]
    ),
}


def labelled(word: str, function: Callable[..., float], average: str) -> dict[str, Reference]:
    return {
        f"{word}: {{average: {average}, multi_label: true}}": lambda p, t, w: function(
            t, p > 0.5, average=average, sample_weight=w, zero_division=0.0
        )
    }


for _word, _function in (
    *(("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)),
    *(("mean_iou", sk.jaccard_score), ("dice", sk.f1_score)),
):
    for _average in ("macro", "micro", "weighted"):
        LABELS |= labelled(_word, _function, _average)


def test_metrics_of_labels() -> None:
    generator = np.random.default_rng(5)
    t = (generator.uniform(size=(45, 4)) > 0.6).astype(np.float32)
    p = np.clip(0.6 * generator.uniform(size=(45, 4)) + 0.3 * t, 0.01, 0.99).astype(np.float32)
    compare(LABELS, p, t)
    compare(LABELS, p, t, weighted(generator, 45), sizes=(7,))
    t[:, 2] = 0  # a label that never holds counts as 0, as in scikit-learn
    compare({spec: LABELS[spec] for spec in LABELS if "multi_label" in spec}, p, t, sizes=(32,))


NUMBERS: dict[str, Reference] = {
    "mae": lambda p, t, w: sk.mean_absolute_error(t, p, sample_weight=w),
    "mse": lambda p, t, w: sk.mean_squared_error(t, p, sample_weight=w),
    "rmse": lambda p, t, w: math.sqrt(sk.mean_squared_error(t, p, sample_weight=w)),
    "mape": lambda p, t, w: sk.mean_absolute_percentage_error(t, p, sample_weight=w),
    "smape": lambda p, t, w: np.average((2 * np.abs(p - t) / (np.abs(p) + np.abs(t))).mean(-1), weights=w),
    "max_error": lambda p, t, w: np.abs(p - t)[w > 0].max(),
    "median_absolute_error": lambda p, t, w: sk.median_absolute_error(
        t, p, sample_weight=None if (w == 1).all() else w
    ),
    "r2": lambda p, t, w: sk.r2_score(t, p, sample_weight=w),
    "explained_variance": lambda p, t, w: sk.explained_variance_score(t, p, sample_weight=w),
    "pearson": lambda p, t, w: np.mean([correlation(p[:, i], t[:, i], w) for i in range(p.shape[1])]),
    "mase: {scale: 2.5}": lambda p, t, w: sk.mean_absolute_error(t, p, sample_weight=w) / 2.5,
    'formula: "abs(prediction - target) ** 1.5"': lambda p, t, w: np.average(
        (np.abs(p - t) ** 1.5).mean(-1), weights=w
    ),
    'formula: "sqrt(mean((prediction - target) ** 2))"': lambda p, t, w: np.average(
        np.sqrt(((p - t) ** 2).mean(-1)), weights=w
    ),
    'formula: "max(prediction) + min(target) - sum(prediction * target)"': lambda p, t, w: np.average(
        p.max(-1) + t.min(-1) - (p * t).sum(-1), weights=w
    ),
}


def correlation(p: Any, t: Any, w: Any) -> float:
    matrix = np.cov(p, t, aweights=w)
    return float(matrix[0, 1] / np.sqrt(matrix[0, 0] * matrix[1, 1]))


@pytest.mark.parametrize("outputs", [1, 3])
def test_metrics_of_numbers(outputs: int) -> None:
    generator = np.random.default_rng(6)
    t = generator.normal(size=(45, outputs)).astype(np.float32)
    p = (0.7 * t + 0.5 * generator.normal(size=t.shape)).astype(np.float32)
    compare(NUMBERS, p, t)
    compare(NUMBERS, p, t, weighted(generator, 45), sizes=(7,))
    assert values(("pearson",), p[:, :1], t[:, :1], 7)["pearson"] == pytest.approx(
        scipy.stats.pearsonr(p[:, 0], t[:, 0]).statistic, rel=1e-5
    )


def test_numbers_far_from_zero_lose_nothing() -> None:
    """Sums of squares in float32 would leave nothing of a deviation of 1 around 3e5."""
    generator = np.random.default_rng(7)
    t = (generator.normal(size=(500, 2)) + 3e5).astype(np.float32)
    p = (t + 0.3 * generator.normal(size=t.shape)).astype(np.float32)
    words = ("r2", "explained_variance", "pearson")
    compare({word: NUMBERS[word] for word in words}, p, t, sizes=(1, 32))
    # and so when the device joins the batches in float32, as it does while training
    batches = [
        compiled(words)({False: p[i : i + 20]}, t[i : i + 20], np.ones(20, np.float32), None) for i in range(0, 500, 20)
    ]
    whole = jax.tree.map(jnp.zeros_like, batches[0])  # what a tally begins with
    join = jax.jit(lambda one, two: {word: metric(word).merge(one[word], two[word]) for word in words})
    for batch in batches:
        whole = join(whole, batch)
    for word in words:
        found = metric(word).result(jax.tree.map(np.float64, whole[word]))
        assert found == pytest.approx(NUMBERS[word](p.astype(float), t.astype(float), np.ones(500)), rel=1e-5), word


def test_targets_that_never_change() -> None:
    """As scikit-learn has it: 1 when they are met, else 0; a correlation there is none."""
    t, p = np.full((9, 1), 0.1, np.float32), np.linspace(0, 1, 9, dtype=np.float32)[:, None]
    for size in (4, 100):
        assert values(("r2", "explained_variance"), p, t, size) == {"r2": 0.0, "explained_variance": 0.0}
        assert values(("r2", "explained_variance"), t, t, size) == {"r2": 1.0, "explained_variance": 1.0}
        assert math.isnan(values(("pearson",), p, t, size)["pearson"])
        # of several outputs the mean
        half = np.full_like(t, 0.5)  # scikit-learn does not see that 0.1 in float32 never changes
        found = values(("r2",), np.hstack([p, p]), np.hstack([half, p]), size)["r2"]
        assert found == sk.r2_score(np.hstack([half, p]), np.hstack([p, p])) == 0.5


@pytest.mark.filterwarnings("ignore")
def test_a_single_example() -> None:
    p, t = np.float32([[0.2, 0.7, 0.1]]), np.int32([1])
    words = ("accuracy", "f1", "matthews", "roc_auc", "pr_auc", "log_loss", "mean_iou")
    assert values(words, p, t, 4) == pytest.approx(
        {
            **dict.fromkeys(("accuracy", "f1", "mean_iou", "pr_auc"), 1.0),
            "matthews": 0.0,
            "roc_auc": math.nan,
            "log_loss": -math.log(0.7),
        },
        nan_ok=True,
    )
    y, x = np.float32([[2.0]]), np.float32([[1.5]])
    found = values(("mae", "r2", "pearson", "median_absolute_error", "max_error"), y, x, 4)
    assert math.isnan(found["r2"]) and math.isnan(sk.r2_score(x, y)) and math.isnan(found["pearson"])
    assert found["mae"] == found["median_absolute_error"] == found["max_error"] == 0.5


def example_of(word: str, rows: int = 6) -> tuple[str, np.ndarray, np.ndarray]:
    """A metric with answers that it takes."""
    from tests.components.building import pair

    example = load_class(METRICS, word).examples[0]
    output, target = pair(example, seed=2)
    return example.spec, np.asarray(output), np.asarray(target)


@pytest.mark.parametrize("word", METRICS)
def test_where_nothing_counts_there_is_no_value(word: str) -> None:
    spec, output, target = example_of(word)
    found = values((spec,), output, target, 6, weights=np.zeros(6, np.float32))[spec]
    assert math.isnan(found)
    # and a batch that counts nothing changes nothing, whichever comes first
    once = values((spec,), output, target, 6)[spec]
    for rows in (np.r_[np.arange(6), np.zeros(6, int)], np.r_[np.zeros(6, int), np.arange(6)]):
        weights = (rows[::-1].cumsum()[::-1] > 0) if rows[0] == 0 and rows[-1] else np.arange(12) < 6
        weights = np.where(np.arange(12) < 6, 1, 0) if rows[-1] == 0 else np.where(np.arange(12) < 6, 0, 1)
        assert values((spec,), output[rows], target[rows], 6, weights.astype(np.float32))[spec] == pytest.approx(once)


def edits(answer: list[int], target: list[int]) -> int:
    """The Levenshtein distance as Wagner and Fischer define it."""
    row = list(range(len(target) + 1))
    for i, token in enumerate(answer, 1):
        last, row = row, [i]
        for j, wanted in enumerate(target, 1):
            row.append(min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (token != wanted)))
    return row[-1]


def test_token_error_rate() -> None:
    """Known distances, then random sequences with gaps in answers and masks of targets."""
    words = [("kitten", "sitting", 3), ("sunday", "saturday", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2)]
    longest = 8
    of = [[[ord(c) for c in word.ljust(longest, "\0")] for word in side] for side in list(zip(*words, strict=True))[:2]]
    answer, target = (np.array(side, np.int32) for side in of)
    for index, (first, second, distance) in enumerate(words):
        assert edits([*map(ord, first)], [*map(ord, second)]) == distance
        one = slice(index, index + 1)
        told = metric("token_error_rate").statistics(
            jnp.where(answer[one] > 0, answer[one], -1), target[one], jnp.ones(1), target[one] > 0
        )
        assert (float(told["total"]), float(told["weight"])) == (distance, len(second))
    generator = np.random.default_rng(10)
    p = generator.integers(-1, 4, (30, 9)).astype(np.int32)
    t = generator.integers(0, 4, (30, 6)).astype(np.int32)
    mask = generator.random((30, 6)) < 0.7  # of targets with ignored places, too
    weights = weighted(generator, 30)
    pairs = [(row[row >= 0].tolist(), truth[there].tolist()) for row, truth, there in zip(p, t, mask, strict=True)]
    counts = np.array([(edits(*pair), len(pair[1])) for pair in pairs])
    for size in (1, 7, 100):
        found = values(("token_error_rate",), p, t, size, weights, mask)["token_error_rate"]
        assert found == pytest.approx((counts[:, 0] * weights).sum() / (counts[:, 1] * weights).sum())


def naive(t: Any, season: int) -> Any:
    return np.abs(t[:, season:] - t[:, :-season])


def test_scaled_errors_of_series() -> None:
    generator = np.random.default_rng(8)
    t = generator.normal(size=(9, 12, 2)).cumsum(1).astype(np.float32)
    p = (t + generator.normal(size=t.shape)).astype(np.float32)
    for season in (1, 4):
        spec = f"mase: {season}"
        want = np.abs(p - t).mean() / naive(t, season).mean()
        for size in (1, 4):
            assert values((spec,), p, t, size)[spec] == pytest.approx(want, rel=1e-5)
        mask = np.arange(12) < np.array([12, 11, 10, 9, 8, 7, 6, 5, 3])[:, None]
        want = np.abs(p - t)[mask].mean() / naive(t, season)[mask[:, season:]].mean()
        assert values((spec,), p, t, 4, mask=mask)[spec] == pytest.approx(want, rel=1e-5)
    flat = np.ones((4, 6), np.float32)
    assert math.isnan(values(("mase",), 2 * flat, flat, 4)["mase"])  # the naive forecast has no error


def test_smape_of_zeros_is_none() -> None:
    found = values(("smape",), np.float32([[0], [0], [1]]), np.float32([[0], [2], [1]]), 3)["smape"]
    assert found == pytest.approx(2 / 3)


def test_masked_numbers() -> None:
    generator = np.random.default_rng(9)
    t = generator.normal(size=(9, 6, 2)).astype(np.float32)
    p = (t + generator.normal(size=t.shape)).astype(np.float32)
    mask = np.arange(6) < generator.integers(1, 7, 9)[:, None]
    specs = tuple(spec for spec in NUMBERS if "sum" not in spec and "sqrt" not in spec)
    wanted = values(specs, p[mask], t[mask], 100)
    p[~mask] = np.nan
    for size in (1, 4):
        assert values(specs, p, t, size, mask=mask) == pytest.approx(wanted, rel=1e-5)
    each = [math.sqrt(np.square(y[m] - x[m]).mean()) for y, x, m in zip(p, t, mask, strict=True)]
    spec = 'formula: "sqrt(mean((prediction - target) ** 2))"'
    assert values((spec,), p, t, 4, mask=mask)[spec] == pytest.approx(np.mean(each), rel=1e-5)
    # a series without an axis of its own for outputs
    narrow = values(("r2", "median_absolute_error"), p[..., 0], t[..., 0], 4, mask=mask)
    assert narrow["r2"] == pytest.approx(sk.r2_score(t[..., 0][mask], p[..., 0][mask]), rel=1e-5)
    assert narrow["median_absolute_error"] == pytest.approx(np.median(np.abs(p - t)[..., 0][mask]), rel=1e-5)


def similarity(x: Any, y: Any, top: float, window: int) -> float:
    """Wang et al. 2004 as it is written, of one channel."""
    far = np.arange(window) - (window - 1) / 2
    bell = np.exp(-(far**2) / (2 * 1.5**2))
    bell = np.outer(bell, bell) / np.outer(bell, bell).sum()
    mean = lambda image: scipy.signal.convolve2d(image, bell, mode="valid")  # noqa: E731
    mx, my = mean(x), mean(y)
    vx, vy, together = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * top) ** 2, (0.03 * top) ** 2
    found = (2 * mx * my + c1) * (2 * together + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(found.mean())


@pytest.mark.parametrize(("top", "window"), [(1, 11), (255, 7)])
def test_metrics_of_images(top: int, window: int) -> None:
    generator = np.random.default_rng(10)
    t = (top * generator.uniform(size=(7, 14, 13, 3))).astype(np.float32)
    p = np.clip(t + 0.1 * top * generator.normal(size=t.shape), 0, top).astype(np.float32)
    ssim, psnr = f"ssim: {{max_value: {top}, window: {window}}}", f"psnr: {top}"
    x, y = p.astype(np.float64), t.astype(np.float64)
    want = np.mean([similarity(x[i, ..., c], y[i, ..., c], top, window) for i in range(7) for c in range(3)])
    for size in (1, 4):
        found = values((ssim, psnr), p, t, size)
        assert found[ssim] == pytest.approx(want, rel=1e-5)
        ratios = [10 * math.log10(top**2 / np.square(a - b).mean()) for a, b in zip(x, y, strict=True)]
        assert found[psnr] == pytest.approx(np.mean(ratios), rel=1e-5)
    grey = values((ssim, psnr), p[..., 0], t[..., :1], 4)
    assert grey[ssim] == pytest.approx(np.mean([similarity(x[i, ..., 0], y[i, ..., 0], top, window) for i in range(7)]))
    same = values((ssim, psnr), t, t, 4)
    assert same[ssim] == pytest.approx(1) and math.isinf(same[psnr])
    partly = values((psnr,), np.concatenate([t, p]), np.concatenate([t, t]), 14, np.repeat(np.float32([0, 1]), 7))
    assert partly[psnr] == pytest.approx(found[psnr]), "an image that does not count may be met exactly"


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")  # Keras counts in int64
def test_metrics_that_keras_has() -> None:
    from tests.reference.keras_conformance import keras

    generator = np.random.default_rng(11)
    p, t = softmax(generator, (40, 5)), generator.integers(0, 5, 40).astype(np.int32)
    whole = values(("top_k_accuracy: 3", "mean_iou", "f1: macro", "f1: weighted"), p, t, 7)
    for spec, theirs, truth, answers in (
        ("top_k_accuracy: 3", keras.metrics.SparseTopKCategoricalAccuracy(3), t, p),
        ("mean_iou", keras.metrics.MeanIoU(5), t, p.argmax(-1)),
        ("f1: macro", keras.metrics.F1Score("macro"), np.eye(5)[t], p),
        ("f1: weighted", keras.metrics.F1Score("weighted"), np.eye(5)[t], p),
    ):
        theirs.update_state(truth, answers)
        assert whole[spec] == pytest.approx(float(np.asarray(theirs.result())), rel=1e-5), spec
    y, x = generator.normal(size=(40, 2)).astype(np.float32), generator.normal(size=(40, 2)).astype(np.float32)
    theirs = keras.metrics.R2Score()
    theirs.update_state(x, y)
    assert values(("r2",), y, x, 7)["r2"] == pytest.approx(float(np.asarray(theirs.result())), rel=1e-5)


def test_equal_scores_come_in_order() -> None:
    p, t = np.float32([[0.25, 0.25, 0.25, 0.25]] * 4), np.arange(4, dtype=np.int32)
    found = values(("top_k_accuracy: 2", "mean_reciprocal_rank", "accuracy"), p, t, 4)
    assert found == {
        "top_k_accuracy: 2": 0.5,
        "mean_reciprocal_rank": pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4),
        "accuracy": 0.25,
    }
    broken = values(("top_k_accuracy: 2", "mean_reciprocal_rank"), np.full_like(p, np.nan), t, 4)
    assert broken == {"top_k_accuracy: 2": 0.0, "mean_reciprocal_rank": 0.0}


def test_counts_of_large_maps_are_exact() -> None:
    """Float32 stops counting by ones at 2^24; sums of a million places stay exact."""
    p = np.zeros((3, 1 << 20, 1), np.float32)
    p[:, :3] = 1
    counted = compiled(("iou: 0",))({False: p}, np.zeros((3, 1 << 20, 1), np.float32), np.ones(3, np.float32), None)
    assert counted["iou: 0"]["true"].tolist() == [3 * 2**20, 0]
    assert counted["iou: 0"]["right"].tolist() == [3 * (2**20 - 3), 0]
