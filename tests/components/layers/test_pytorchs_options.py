"""Layers whose options follow PyTorch where it defines them otherwise than Keras: resizing, transposed convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.components.layers.test_layers import apply
from tests.components.waves import wave


def summary(y: Any) -> list[float]:
    """The first two elements, one in the middle and the last, their sum and that of their squares."""
    flat = np.asarray(y, np.float64).ravel()
    return [flat[0], flat[1 % flat.size], flat[flat.size // 2], flat[-1], flat.sum(), (flat**2).sum()]


RESIZED = {
    "resize: {size: [5, 7], align_corners: true}": (0, 0.481779099, 0.606831655, 0.986771941, 5.38346693, 13.1220889),
    "resize: {size: [2, 1], align_corners: true}": (0, -0.82782644, -0.82782644, -0.82782644, -0.82782644, 0.685296615),
    "resize: {size: [5, 7], interpolation: bicubic, align_corners: true}": (
        0,
        0.523784425,
        0.773520996,
        0.986771941,
        6.12527779,
        15.882818,
    ),
    "resize: {size: [5, 7], interpolation: bicubic, cubic_a: -0.75}": (
        -0.00950319348,
        0.443546125,
        0.773520996,
        1.1189535,
        3.86811938,
        17.2675479,
    ),
    "resize: {size: [2, 3], interpolation: bicubic, cubic_a: -0.75}": (
        -0.0510457762,
        0.939199998,
        -0.847484281,
        0.847161632,
        0.56428487,
        2.42582086,
    ),
    "upsample2d: {size: [2, 3], interpolation: bilinear, align_corners: true}": (
        0,
        0.262788599,
        -0.872329032,
        0.986771941,
        12.5844123,
        23.9093261,
    ),
    "upsample2d: {interpolation: bicubic, align_corners: true}": (
        0,
        0.439795669,
        -0.95847576,
        0.986771941,
        8.9927383,
        21.5351547,
    ),
    "resize: [5, 7]": (0, 0.344127928, 0.606831655, 0.986771941, 3.95840461, 12.907846),
}
"""PyTorch's `interpolate` of (1, 3, 4, 1), in float64. `python -m benchmarks.pytorch_references` computes it."""


@pytest.mark.parametrize("spec", RESIZED)
def test_images_are_resized_as_in_pytorch(spec: str) -> None:
    np.testing.assert_allclose(summary(apply(spec, wave(0, 1, 3, 4, 1))), RESIZED[spec], rtol=2e-6, atol=2e-6)


def test_corners_that_are_aligned_keep_their_values() -> None:
    """And bilinear interpolation is exact for linear functions, up to the edges."""
    rows, columns = np.mgrid[0:4, 0:3]
    x = np.float32(2 * rows - 3 * columns)[None, :, :, None]
    rows, columns = np.meshgrid(np.linspace(0, 3, 10), np.linspace(0, 2, 9), indexing="ij")
    want = (2 * rows - 3 * columns)[None, :, :, None]
    y = apply("resize: {size: [10, 9], align_corners: true}", x)
    np.testing.assert_allclose(y, want, atol=1e-5)
    curved = np.asarray(apply("resize: {size: [10, 9], interpolation: bicubic, align_corners: true}", x))
    np.testing.assert_allclose(
        curved[:, [0, 0, -1, -1], [0, -1, 0, -1]], want[:, [0, 0, -1, -1], [0, -1, 0, -1]], atol=1e-5
    )
    assert np.abs(np.asarray(apply("resize: [10, 9]", x)) - want).max() > 0.1


TRANSPOSED: dict[str, tuple[tuple[int, int], tuple[float, ...]]] = {
    "conv2d_transpose: {filters: 3, strides: 2, padding: 1, output_padding: 1}": (
        (6, 8),
        (0.939394091, -0.763171963, 1.12166272, -0.248142043, 29.1687924, 310.572946),
    ),
    "conv2d_transpose: {filters: 3, kernel: 4, strides: 2, padding: 1}": (
        (6, 8),
        (-0.327161467, 0.12079139, 0.174000425, 0.738836267, 29.1022467, 141.468479),
    ),
    "conv2d_transpose: {filters: 3, kernel: 4, strides: [2, 3], padding: [[2, 2], [1, 1]], output_padding: [0, 2]}": (
        (4, 13),
        (-0.140108526, 0.576408487, 0.174000425, 0.3, 31.9826104, 57.7347388),
    ),
    "conv2d_transpose: {filters: 3, padding: 2, dilation: 2}": (
        (3, 4),
        (3.51572171, -3.63220745, -0.912329032, -3.46497253, 7.20259376, 204.888178),
    ),
    "conv2d_transpose: {filters: 3, kernel: 1, strides: 2, output_padding: 1}": (
        (6, 8),
        (0.818530346, -0.746650286, 0.1, 0.3, 28.8433052, 30.0791033),
    ),
}
"""The height and width, and the summary, of PyTorch's `conv_transpose2d` of (1, 3, 4, 2), in float64.
`python -m benchmarks.pytorch_references` computes them."""


@pytest.mark.parametrize("spec", TRANSPOSED)
def test_transposed_convolutions_with_amounts_of_padding_are_pytorchs(spec: str) -> None:
    size, want = TRANSPOSED[spec]
    kernel = 4 if "kernel: 4" in spec else 1 if "kernel: 1" in spec else 3
    y = apply(spec, wave(0, 1, 3, 4, 2), kernel=wave(1, kernel, kernel, 3, 2), bias=np.float32([0.1, 0.2, 0.3]))
    assert y.shape[1:3] == size
    np.testing.assert_allclose(summary(y), want, rtol=1e-5, atol=1e-5)
