"""Whole networks of the zoo beside keras.applications: the same weights and images give the same scores.

The weights are random, the running statistics of the normalisations too, so that nothing is hidden by zeros and ones.
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
from dlc.lower.program import Program
from dlc.pipeline import Spec
from tests.support import ROOT

CLASSES, SIZE = 10, 64
Array = np.ndarray[Any, Any]


class Network(NamedTuple):
    """A network of keras.applications, and what must be done to compare ours with it.

    Args:
        build: its constructor.
        order: what the names of its layers are sorted by where ours stand in another order.
        divisor: what Keras divides the images by inside the network.
    """

    build: Callable[..., Any]
    order: Callable[[str], Any] = lambda name: 0
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

    A bias before a normalisation moves the mean that the normalisation takes away: dlc has no such bias.
    """
    arrays: list[Array] = []
    bias: Array | None = None
    for layer, after in zip_longest(layers, layers[1:]):
        values = {weight.name: np.asarray(weight) for weight in layer.weights}
        if isinstance(layer, keras.layers.BatchNormalization):
            mean = values["moving_mean"] - (bias if bias is not None else 0)
            arrays += [values["gamma"], values["beta"], mean, values["moving_variance"]]
            bias = None
            continue
        folded = isinstance(after, keras.layers.BatchNormalization)
        arrays += [value for name, value in values.items() if not (folded and name == "bias")]
        bias = values.get("bias") if folded else None
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
    of_layer: dict[str, list[str]] = {}
    for name in program.shapes():
        of_layer.setdefault(name.rpartition("/")[0], []).append(name)
    return [name for row in dlc.show(spec, expanded=True).rows for name in of_layer.get(row.path, [])]


@pytest.mark.parametrize("name", NETWORKS)
def test_same_scores(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = NETWORKS[name]
    # drawn below; Keras would compile one small program for each shape
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", lambda self, shape, **_: np.zeros(shape))
    model = network.build(weights=None, classes=CLASSES, input_shape=(SIZE, SIZE, 3), classifier_activation=None)
    layers = [layer for layer in model.layers if layer.weights and not isinstance(layer, keras.layers.Normalization)]
    randomise(layers)
    spec = dlc.load(
        ROOT / "specs" / "zoo" / f"{name}.yaml",
        [f"vars.classes={CLASSES}", f"inputs.image.tensor=[{SIZE}, {SIZE}, 3]"],
    )
    program = dlc.compile(spec)
    arrays = dict(zip(names(spec, program), carried(sorted(layers, key=lambda layer: network.order(layer.name)))))
    assert {name: array.shape for name, array in arrays.items()} == {
        name: shape for name, (shape, _) in program.shapes().items()
    }
    variables = program.from_flat(arrays)
    images = np.random.default_rng(1).uniform(-network.divisor, network.divisor, (2, SIZE, SIZE, 3)).astype(np.float32)
    variables_of_keras = [
        [variable.value for variable in kind] for kind in (model.trainable_variables, model.non_trainable_variables)
    ]
    want = np.asarray(jax.jit(partial(model.stateless_call, training=False))(*variables_of_keras, images)[0])
    ours = jax.jit(lambda variables, images: program.apply(variables, {"image": images})[0]["output"])
    got = np.asarray(ours(variables, images / network.divisor))
    assert want.std() > 0.01, "the scores of a dead network prove nothing"
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())
