"""Convolutions, pools and the layers that change sizes, against Keras 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from dlc.ir import Context, TensorType
from tests.reference.keras_conformance import build, conform, keras

K = keras.layers
CHANNELS = 4
PLACES = {1: (7,), 2: (7, 6), 3: (4, 5, 3)}  # odd and even


def text(options: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {list(value) if isinstance(value, tuple) else value}" for key, value in options.items())


RENAMED = {"kernel": "kernel_size", "dilation": "dilation_rate", "window": "pool_size", "keep_dims": "keepdims"}


def check(word: str, cls: Callable[..., Any], time: int = 7, **options: Any) -> None:
    """dlc's layer and Keras', the options given to both by their names."""
    rank = int(next(letter for letter in word if letter.isdigit()))
    theirs = {RENAMED.get(key, key): {"true": True, "false": False}.get(value, value) for key, value in options.items()}
    shape = (2, *(PLACES[rank] if rank > 1 else (time,)), CHANNELS)
    conform(f"{word}: {{{text(options)}}}" if options else word, cls(**theirs), shape)


CONVOLUTIONS: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    ("conv1d", K.Conv1D, {"filters": 3, "kernel": 3, "activation": "relu"}),
    ("conv1d", K.Conv1D, {"filters": 6, "kernel": 4, "strides": 2, "padding": "same", "groups": 2}),
    ("conv1d", K.Conv1D, {"filters": 3, "kernel": 2, "strides": 3, "padding": "causal"}),
    ("conv1d", K.Conv1D, {"filters": 3, "kernel": 3, "dilation": 2, "padding": "causal", "use_bias": "false"}),
    ("conv1d", K.Conv1D, {"filters": 3, "kernel": 3, "dilation": 2, "padding": "same"}),
    ("conv2d", K.Conv2D, {"filters": 3, "kernel": (2, 3), "strides": (2, 1)}),
    ("conv2d", K.Conv2D, {"filters": 6, "kernel": 3, "strides": 2, "padding": "same", "activation": "tanh"}),
    ("conv2d", K.Conv2D, {"filters": 6, "kernel": 3, "dilation": (1, 2), "padding": "same", "groups": 2}),
    ("conv3d", K.Conv3D, {"filters": 2, "kernel": (2, 3, 1)}),
    ("conv3d", K.Conv3D, {"filters": 2, "kernel": 3, "strides": 2, "padding": "same"}),
    ("conv1d_transpose", K.Conv1DTranspose, {"filters": 3, "kernel": 3, "strides": 2}),
    ("conv1d_transpose", K.Conv1DTranspose, {"filters": 3, "kernel": 4, "strides": 2, "padding": "same"}),
    ("conv1d_transpose", K.Conv1DTranspose, {"filters": 3, "kernel": 2, "strides": 3, "activation": "relu"}),
    ("conv1d_transpose", K.Conv1DTranspose, {"filters": 3, "kernel": 3, "dilation": 2, "padding": "same"}),
    ("conv1d_transpose", K.Conv1DTranspose, {"filters": 3, "kernel": 3, "strides": 2, "output_padding": 1}),
    (
        "conv2d_transpose",
        K.Conv2DTranspose,
        {"filters": 3, "kernel": (3, 2), "strides": (2, 3), "padding": "same", "output_padding": (1, 0)},
    ),
    ("conv2d_transpose", K.Conv2DTranspose, {"filters": 3, "kernel": 3, "strides": 2, "padding": "same"}),
    ("conv2d_transpose", K.Conv2DTranspose, {"filters": 3, "kernel": (3, 1), "use_bias": "false"}),
    ("conv3d_transpose", K.Conv3DTranspose, {"filters": 2, "kernel": 2, "strides": (1, 2, 3)}),
    ("conv3d_transpose", K.Conv3DTranspose, {"filters": 2, "kernel": (3, 2, 1), "strides": 2, "padding": "same"}),
    ("depthwise_conv1d", K.DepthwiseConv1D, {"kernel": 3, "depth_multiplier": 2}),
    ("depthwise_conv1d", K.DepthwiseConv1D, {"kernel": 2, "strides": 2, "padding": "same", "activation": "relu"}),
    ("depthwise_conv2d", K.DepthwiseConv2D, {"kernel": 3, "strides": 2, "padding": "same"}),
    ("depthwise_conv2d", K.DepthwiseConv2D, {"kernel": (2, 3), "depth_multiplier": 3, "use_bias": "false"}),
    ("depthwise_conv2d", K.DepthwiseConv2D, {"kernel": 3, "dilation": 2, "padding": "same"}),
    ("separable_conv1d", K.SeparableConv1D, {"filters": 3, "kernel": 3, "depth_multiplier": 2}),
    ("separable_conv1d", K.SeparableConv1D, {"filters": 3, "kernel": 3, "strides": 2, "padding": "same"}),
    ("separable_conv1d", K.SeparableConv1D, {"filters": 3, "kernel": 3, "dilation": 2, "padding": "same"}),
    ("separable_conv2d", K.SeparableConv2D, {"filters": 3, "kernel": 3, "depth_multiplier": 2, "activation": "relu"}),
    ("separable_conv2d", K.SeparableConv2D, {"filters": 3, "kernel": 2, "strides": 2, "padding": "same"}),
]


@pytest.mark.few()
@pytest.mark.parametrize(
    ("word", "cls", "options", "time"),
    [(*case, time) for case in CONVOLUTIONS for time in ((7, 8) if "1d" in case[0] else (7,))],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value),
)
def test_convolutions(word: str, cls: Callable[..., Any], options: dict[str, Any], time: int) -> None:
    check(word, cls, time, **options)


POOLS: list[tuple[str, Callable[..., Any]]] = [
    ("max_pool1d", K.MaxPooling1D),
    ("max_pool2d", K.MaxPooling2D),
    ("max_pool3d", K.MaxPooling3D),
    ("avg_pool1d", K.AveragePooling1D),
    ("avg_pool2d", K.AveragePooling2D),
    ("avg_pool3d", K.AveragePooling3D),
]


@pytest.mark.parametrize(
    "options",
    [
        {"window": 2},
        {"window": 3, "strides": 2},
        {"window": 2, "strides": 1, "padding": "same"},
        {"window": 3, "strides": 2, "padding": "same"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("word", "cls"), POOLS, ids=[word for word, _ in POOLS])
def test_pools(word: str, cls: Callable[..., Any], options: dict[str, Any]) -> None:
    check(word, cls, **options)


@pytest.mark.parametrize("keep_dims", ["false", "true"])
@pytest.mark.parametrize(
    ("word", "cls"),
    [
        ("global_max_pool1d", K.GlobalMaxPooling1D),
        ("global_max_pool2d", K.GlobalMaxPooling2D),
        ("global_max_pool3d", K.GlobalMaxPooling3D),
        ("global_avg_pool1d", K.GlobalAveragePooling1D),
        ("global_avg_pool2d", K.GlobalAveragePooling2D),
        ("global_avg_pool3d", K.GlobalAveragePooling3D),
    ],
)
def test_global_pools(word: str, cls: Callable[..., Any], keep_dims: str) -> None:
    check(word, cls, keep_dims=keep_dims)


def test_global_avg_pool_of_a_masked_sequence() -> None:
    mask = jnp.arange(7) < jnp.array([[7], [3]])
    conform("global_avg_pool1d", K.GlobalAveragePooling1D(), (2, 7, 3), masks=[mask], call={"mask": mask})


@pytest.mark.parametrize(
    ("spec", "made"),
    [
        ("upsample1d", K.UpSampling1D),
        ("upsample1d: 3", lambda: K.UpSampling1D(3)),
        ("upsample2d: [2, 3]", lambda: K.UpSampling2D((2, 3))),
        ("upsample2d: {interpolation: bilinear}", lambda: K.UpSampling2D(interpolation="bilinear")),
        (
            "upsample2d: {size: [1, 3], interpolation: bilinear}",
            lambda: K.UpSampling2D((1, 3), interpolation="bilinear"),
        ),
        ("upsample3d: [1, 2, 3]", lambda: K.UpSampling3D((1, 2, 3))),
        ("resize: [5, 11]", lambda: K.Resizing(5, 11)),
        ("resize: {size: 4, antialias: true}", lambda: K.Resizing(4, 4, antialias=True)),
        ("resize: {size: [3, 9], interpolation: nearest}", lambda: K.Resizing(3, 9, interpolation="nearest")),
        ("resize: {size: [5, 11], interpolation: bicubic}", lambda: K.Resizing(5, 11, interpolation="bicubic")),
        (
            "resize: {size: 4, interpolation: bicubic, antialias: true}",
            lambda: K.Resizing(4, 4, interpolation="bicubic", antialias=True),
        ),
        ("zero_pad1d", K.ZeroPadding1D),
        ("zero_pad1d: [[2, 1]]", lambda: K.ZeroPadding1D((2, 1))),
        ("zero_pad2d: 2", lambda: K.ZeroPadding2D(2)),
        ("zero_pad2d: [[2, 1], [0, 1]]", lambda: K.ZeroPadding2D(((2, 1), (0, 1)))),
        ("zero_pad3d: [[2, 1], [0, 1], [1, 0]]", lambda: K.ZeroPadding3D(((2, 1), (0, 1), (1, 0)))),
        ("crop1d", K.Cropping1D),
        ("crop1d: [[2, 1]]", lambda: K.Cropping1D((2, 1))),
        ("crop2d: [[2, 1], [0, 1]]", lambda: K.Cropping2D(((2, 1), (0, 1)))),
        ("crop3d: [[2, 1], [0, 1], [1, 0]]", lambda: K.Cropping3D(((2, 1), (0, 1), (1, 0)))),
    ],
)
def test_sizes(spec: str, made: Callable[[], Any]) -> None:
    rank = next((int(letter) for letter in spec.partition(":")[0] if letter.isdigit()), 2)
    conform(spec, made(), (2, *PLACES[rank], 3))


@pytest.mark.parametrize(
    ("options", "theirs"),
    [
        ("2", {"size": (2, 2)}),
        ("{size: [3, 2], strides: [1, 2]}", {"size": (3, 2), "strides": (1, 2)}),
        ("{size: 3, strides: 2, padding: same}", {"size": (3, 3), "strides": (2, 2), "padding": "same"}),
    ],
)
def test_patches(options: str, theirs: dict[str, Any]) -> None:
    """Against the function; Keras has no such layer."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 6, 3)), jnp.float32)
    y = build(f"patches: {options}").apply({}, x, ctx=Context())
    np.testing.assert_allclose(y, keras.ops.image.extract_patches(x, **theirs), rtol=1e-6)


@pytest.mark.parametrize(
    ("spec", "made"),
    [
        ("conv2d: 5", lambda: K.Conv2D(5, 3)),
        ("conv2d: {filters: 4, groups: 2}", lambda: K.Conv2D(4, 3, groups=2)),
        ("conv2d_transpose: 5", lambda: K.Conv2DTranspose(5, 3)),
        ("depthwise_conv2d: {depth_multiplier: 3}", lambda: K.DepthwiseConv2D(3, depth_multiplier=3)),
        ("separable_conv2d: {filters: 5, depth_multiplier: 3}", lambda: K.SeparableConv2D(5, 3, depth_multiplier=3)),
    ],
)
def test_first_values_spread_as_in_keras(spec: str, made: Callable[[], Any]) -> None:
    """Glorot uniform, from the fans that Keras takes: the limit is the same."""
    reference = made()
    reference.build((None, 6, 6, CHANNELS))
    signature = build(spec).infer(TensorType.parse(f"f32[batch, 6, 6, {CHANNELS}]"))
    kernels = [param for name, param in signature.params.items() if "kernel" in name]
    variables = [variable for variable in reference.trainable_variables if "kernel" in variable.path]
    for param, variable in zip(kernels, variables, strict=True):
        assert param.init.name == "glorot_uniform"
        limit = (6 / (param.init.fan_in + param.init.fan_out)) ** 0.5
        largest = float(jnp.abs(keras.initializers.GlorotUniform(seed=0)(variable.shape)).max())
        assert 0.9 * limit < largest <= limit
