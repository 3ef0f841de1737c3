"""Whole networks of the zoo beside keras.applications and keras-io: the same weights and inputs give the same results.

The weights are random, the running statistics of the normalizations too, so that nothing is hidden by zeros and ones.
Weights are matched by order: Keras lists its layers as they are applied, dlc its weights in the order of the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple

os.environ["KERAS_BACKEND"] = "jax"  # read when keras is imported

import jax
import keras
import numpy as np
import pytest

import dlc
from dlc.backend.network import Program
from dlc.frontend.pipeline import Spec
from tests.common import ROOT

CLASSES, SIZE = 10, 64
Array = np.ndarray[Any, Any]


def in_order(name: str) -> int:
    """Layers stay where they are."""
    return 0


class Network(NamedTuple):
    """A network of keras.applications, and what must be done to compare ours with it.

    Args:
        build: its constructor.
        order: what the names of its layers are sorted by where ours stand in another order.
        divisor: what Keras divides the images by inside the network.
    """

    build: Callable[..., Any]
    order: Callable[[str], Any] = in_order
    divisor: float = 1


def by_residual(name: str) -> tuple[bool, list[int]]:
    """ResNet's layers, the shortcut's (number 0) behind the body's."""
    numbers = [int(number) for number in re.findall(r"(?:conv|block|_)(\d+)", name)]
    if len(numbers) == 3:
        numbers[-1] = numbers[-1] or 9
    return name == "predictions", numbers


NETWORKS = {
    "vgg16": Network(keras.applications.VGG16),
    "resnet50": Network(keras.applications.ResNet50, by_residual),
    "mobilenet_v2": Network(keras.applications.MobileNetV2),
    "densenet121": Network(keras.applications.DenseNet121),
    "efficientnet_b0": Network(keras.applications.EfficientNetB0, divisor=255),
}


def carried(layers: Sequence[Any]) -> list[Array]:
    """The arrays of Keras' layers as dlc has them, in Keras' order.

    A bias before a normalization moves the mean that the normalization takes away: dlc has no such bias.
    """
    arrays: list[Array] = []
    bias: Array | None = None
    for layer, after in zip_longest(layers, layers[1:]):
        values = [np.asarray(weight) for weight in layer.weights]
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = values
            arrays += [gamma, beta, mean - (bias if bias is not None else 0), variance]
            bias = None
            continue
        folded = isinstance(after, keras.layers.BatchNormalization)
        bias = values.pop() if folded and len(values) == 2 else None
        arrays += values
    return arrays


def randomise(layers: Iterable[Any]) -> None:
    """Random weights of a size that keeps the signal's, and statistics that are neither 0 nor 1."""
    generator = np.random.default_rng(0)
    for layer in layers:
        for weight in layer.weights:
            shape, name = tuple(weight.shape), weight.name
            if name in ("gamma", "moving_variance"):
                value = generator.uniform(0.5, 1.5, shape)
            elif name in ("beta", "bias", "moving_mean"):
                value = generator.normal(0, 0.2, shape)
            else:
                fan_in = np.prod(shape[:2] if isinstance(layer, keras.layers.DepthwiseConv2D) else shape[:-1])
                value = generator.normal(0, np.sqrt(2 / fan_in), shape)
            weight.assign(value.astype(np.float32))


def names(spec: Spec, program: Program) -> list[str]:
    """The names of our arrays, layer by layer as they are applied."""
    layers = [row.path for row in dlc.show(spec, expanded=True).rows]
    place = {path: number for number, path in enumerate(layers)}

    def layer_of(name: str) -> int:
        while name not in place:
            name = name.rpartition("/")[0]
        return place[name]

    return sorted(program.shapes(), key=layer_of)


def compare(
    name: str, sets: list[str], model: Any, given: Array, order: Callable[[str], Any] = in_order, divisor: float = 1
) -> None:
    """Carry a Keras model's weights into a network of the zoo, and compare what both give."""
    layers = [layer for layer in model.layers if layer.weights and not isinstance(layer, keras.layers.Normalization)]
    randomise(layers)
    spec = dlc.load(ROOT / "specs" / "zoo" / f"{name}.yaml", sets)
    program = dlc.compile(spec)
    values = carried(sorted(layers, key=lambda layer: order(layer.name)))
    arrays = dict(zip(names(spec, program), values, strict=True))
    assert {name: array.shape for name, array in arrays.items()} == {
        name: shape for name, (shape, _) in program.shapes().items()
    }
    kinds = (model.trainable_variables, model.non_trainable_variables)
    of_keras = [[variable.value for variable in kind] for kind in kinds]
    want = np.asarray(jax.jit(partial(model.stateless_call, training=False))(*of_keras, given)[0])
    (input_name,) = spec.graph.inputs
    ours = jax.jit(lambda variables, x: program.apply(variables, {input_name: x})[0]["output"])
    got = np.asarray(ours(program.from_flat(arrays), given / divisor if divisor != 1 else given))
    assert want.std() > 0.01, "the results of a dead network prove nothing"
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


@pytest.fixture
def quick_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras would compile one small program for each shape of a weight, which is drawn anew below."""
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", lambda self, shape, **_: np.zeros(shape))


SLOW = {"vgg16", "densenet121"}  # chains and concatenations: a wrong one shows in the weights, which `test_zoo` counts


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in NETWORKS]
)
def test_same_scores(name: str, quick_keras: None) -> None:
    network = NETWORKS[name]
    model = network.build(weights=None, classes=CLASSES, input_shape=(SIZE, SIZE, 3), classifier_activation=None)
    images = np.random.default_rng(1).uniform(-network.divisor, network.divisor, (2, SIZE, SIZE, 3)).astype(np.float32)
    compare(
        name,
        [f"vars.classes={CLASSES}", f"inputs.image.tensor=[{SIZE}, {SIZE}, 3]"],
        model,
        images,
        network.order,
        network.divisor,
    )


def bidirectional(units: int, more: bool) -> Any:
    return keras.layers.Bidirectional(keras.layers.LSTM(units, return_sequences=more))


def test_bilstm_of_keras_io() -> None:
    layers = [keras.layers.Embedding(50, 128), bidirectional(64, True), bidirectional(64, False), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((9,), dtype="int32"), *layers])
    words = np.random.default_rng(1).integers(0, 50, (3, 9)).astype(np.int32)
    compare("bilstm_classifier", ["vars.vocabulary=50", "vars.length=9"], model, words)


def test_autoencoder_of_keras_io() -> None:
    same: dict[str, Any] = {"activation": "relu", "padding": "same"}
    layers = [
        keras.layers.Conv2D(32, 3, **same),
        keras.layers.MaxPooling2D(2, padding="same"),
        keras.layers.Conv2D(32, 3, **same),
        keras.layers.MaxPooling2D(2, padding="same"),
        keras.layers.Conv2DTranspose(32, 3, strides=2, **same),
        keras.layers.Conv2DTranspose(32, 3, strides=2, **same),
        keras.layers.Conv2D(1, 3, activation="sigmoid", padding="same"),
    ]
    model = keras.Sequential([keras.Input((28, 28, 1)), *layers])
    images = np.random.default_rng(1).uniform(0, 1, (2, 28, 28, 1)).astype(np.float32)
    compare("conv_autoencoder", [], model, images)
