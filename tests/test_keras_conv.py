"""Convolutions, pools and the layers that resize, against Keras 3."""

from __future__ import annotations

import pytest

from tests.keras_support import conform, keras


def test_conv2d():
    conform(
        "conv2d: {filters: 4, strides: 2, padding: same}",
        keras.layers.Conv2D(4, 3, strides=2, padding="same"),
        (2, 7, 8, 3),
    )
    conform(
        "batch_norm: 0.9",
        keras.layers.BatchNormalization(momentum=0.9),
        (4, 5, 3),
        names={"scale": "gamma", "bias": "beta", "mean": "moving_mean", "variance": "moving_variance"},
    )
    conform("concat", keras.layers.Concatenate(), (4, 5), (4, 3))
    with pytest.raises(AssertionError):
        conform(
            "conv2d: {filters: 4, strides: 2, padding: 1}",
            keras.layers.Conv2D(4, 3, strides=2, padding="same"),
            (2, 7, 8, 3),
        )
