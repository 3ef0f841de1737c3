"""Outputs and targets at which losses are compared with other frameworks, computed without random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.components import waves


def wave(start: float, *shape: int) -> np.ndarray:
    """Numbers between -1.5 and 1.5."""
    return waves.wave(start, *shape, height=1.5)


def shares(start: float, *shape: int) -> np.ndarray:
    """Rows of probabilities."""
    found = np.exp(np.float64(wave(start, *shape)))
    return np.float32(found / found.sum(-1, keepdims=True))


CLASSES = np.array([2, 0, 1, 1, 2, 0], np.int32)
BITS = np.array([[1, 0], [0, 0], [1, 1], [0, 1], [1, 0], [0, 1]], np.float32)
SOFT = np.float32(0.5 + wave(0.4, 6, 2) / 3.2)

GIVEN: dict[str, tuple[Any, Any]] = {
    "mse": (wave(0, 6, 2), wave(1, 6, 2)),
    "mae": (wave(0, 6, 2), wave(1, 6, 2)),
    "huber: 0.7": (wave(0, 6, 2), wave(1, 6, 2)),
    "smooth_l1: 0.7": (wave(0, 6, 2), wave(1, 6, 2)),
    "log_cosh": (wave(0, 6, 2), wave(1, 6, 2)),
    "mape": (wave(0, 6, 2), 2 + wave(1, 6, 2)),
    "msle": (2 + wave(0, 6, 2), 2 + wave(1, 6, 2)),
    "quantile: [0.1, 0.5, 0.9]": (wave(0, 6, 3), wave(1, 6, 1)),
    "cross_entropy": (wave(0, 6, 3), CLASSES),
    "cross_entropy: {label_smoothing: 0.1, class_weights: [0.5, 2, 1]}": (wave(0, 6, 3), CLASSES),
    "cross_entropy: {label_smoothing: 0.1, class_weights: [0.5, 2, 1], weighted_mean: false}": (
        wave(0, 6, 3),
        shares(2, 6, 3),
    ),
    "binary_cross_entropy: {pos_weight: 3}": (wave(0, 6, 2), BITS),
    "focal: {gamma: 1.5, alpha: [0.2, 0.3, 0.5]}": (wave(0, 6, 3), CLASSES),
    "binary_focal": (wave(0, 6, 2), SOFT),
    "binary_focal: {alpha: null, gamma: 1.5}": (wave(0, 6, 2), SOFT),
    "binary_focal: {soft_targets: averaged}": (wave(0, 6, 2), SOFT),
    "poly: 1.5": (wave(0, 6, 3), CLASSES),
    "hinge": (wave(0, 6, 2), BITS),
    "squared_hinge": (wave(0, 6, 2), BITS),
    "categorical_hinge": (wave(0, 6, 3), CLASSES),
    "perceptron": (wave(0.1, 6, 2), BITS),
    "cosine": (wave(0, 6, 4), wave(1, 6, 4)),
    "kl_divergence": (wave(0, 6, 3), shares(2, 6, 3)),
    "poisson": (wave(0, 6, 2), np.floor(2 + wave(1, 6, 2))),
    "gaussian_nll: {full: true}": (wave(0, 6, 4), wave(1, 6, 2)),
    "laplace_nll: {full: true}": (wave(0, 6, 4), wave(1, 6, 2)),
    "dice": (wave(0, 2, 4, 3), CLASSES[[0, 1, 2, 3, 2, 3, 4, 5]].reshape(2, 4)),
    "jaccard": (wave(0, 2, 4, 3), CLASSES[[0, 1, 2, 3, 2, 3, 4, 5]].reshape(2, 4)),
    "tversky": (wave(0, 2, 4, 3), CLASSES[[0, 1, 2, 3, 2, 3, 4, 5]].reshape(2, 4)),
    "contrastive: 2": (wave(0, 6, 2, 3), np.array([1, 0, 1, 1, 0, 0], np.int32)),
    "triplet: 2": (wave(0, 6, 3, 4), None),
    "triplet: {mining: hard, margin: 2}": (wave(0, 6, 4), CLASSES),
    "nt_xent: 0.5": (wave(0, 4, 3), wave(1, 4, 3)),
    "ctc": (wave(0, 2, 6, 4), np.array([[1, 2, 2], [3, 1, 2]], np.int32)),
    "ctc: {per_token: true}": (wave(0, 2, 6, 4), np.array([[1, 2, 2], [3, 1, 2]], np.int32)),
    "formula: 'abs(prediction - target) ** 1.5'": (wave(0, 6, 2), wave(1, 6, 2)),
}
"""Outputs and targets, by the loss as in a spec."""
