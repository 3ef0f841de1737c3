"""Thresholds that are fitted to predictions: with the best F1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.components.metrics.metric import spread
from dlc.frontend.decisions import START


def best_f1(
    prediction: NDArray[Any], target: NDArray[Any], weights: NDArray[Any], labels: int = 1
) -> NDArray[np.float32]:
    """The threshold with the best F1 of each label: the middle between two scores, the one nearest to 0.5 among equals.

    Args:
        prediction: probabilities, (n, *axes, labels), or (n, *axes, 2) of two classes.
        target: 0 and 1, or rows of them: (n, *axes), or as the prediction.
        weights: of examples, (n,), or positions, (n, time); where they are 0 nothing counts.
        labels: how many labels there are; 1 for two classes.

    Returns:
        (labels,), 0.5 for a label that no example has.
    """
    rows = target[..., -labels:] if target.shape == prediction.shape else target
    there = spread(weights, None, prediction.shape[:-1]).reshape(-1) > 0
    scores = prediction[..., -labels:].reshape(-1, labels)[there].astype(np.float32)
    truth = (rows > 0.5).reshape(-1, labels)[there]
    return np.array([_of_label(scores[:, at], truth[:, at]) for at in range(labels)], np.float32)


def _of_label(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """The threshold of one label, (n,) each. An example whose score is NaN is never predicted to have it."""
    known = ~np.isnan(scores)
    values, at = np.unique(scores[known], return_inverse=True)
    if not truth[known].any():
        return START
    right = np.bincount(at, truth[known], len(values))[::-1].cumsum()[::-1]  # with at least this score
    chosen = np.bincount(at, minlength=len(values))[::-1].cumsum()[::-1]
    f1 = 2 * right / (truth.sum() + chosen)
    lowest = np.float32(0 if values[0] > 0 else values[0] - 1)
    below = np.concatenate([[lowest], values[:-1]])
    middle = below + (values - below) / 2
    limits = np.where(middle < values, middle, below)  # a label is predicted if its score is above the threshold
    best = limits[f1 >= f1.max() * (1 - 1e-12)]
    return float(best[np.abs(best - START).argmin()])
