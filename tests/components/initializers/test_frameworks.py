"""The initial values of other frameworks, by layer and weight, and where `pytorch` and `keras` apply."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc.backend.network import lower

DRAWN: dict[tuple[str, str, str], dict[str, tuple[float, float]]] = {
    ("pytorch", "dense: 1000", "f32[batch, 200]"): {
        "kernel": (0.04082, 0.07071),
        "bias": (0.04046, 0.07066),
    },
    ("pytorch", "conv2d: {filters: 1000, kernel: 3, groups: 4}", "f32[batch, 8, 8, 32]"): {
        "kernel": (0.06811, 0.1179),
        "bias": (0.06749, 0.1178),
    },
    ("pytorch", "conv1d_transpose: {filters: 1000, kernel: 5}", "f32[batch, 8, 32]"): {
        "kernel": (0.008163, 0.01414),
        "bias": (0.00807, 0.01414),
    },
    ("pytorch", "depthwise_conv2d: {kernel: 3, depth_multiplier: 2}", "f32[batch, 8, 8, 2000]"): {
        "kernel": (0.1927, 0.3333),
        "bias": (0.1921, 0.3333),
    },
    ("pytorch", "separable_conv1d: {filters: 2000, kernel: 4}", "f32[batch, 8, 1000]"): {
        "depthwise/kernel": (0.2903, 0.4996),
        "pointwise/kernel": (0.01826, 0.03162),
        "bias": (0.01848, 0.0316),
    },
    ("pytorch", "lstm: 300", "f32[batch, 8, 40]"): {
        "kernel": (0.03346, 0.05773),
        "recurrent_kernel": (0.0333, 0.05773),
        "bias": (0.04706, 0.1121),
    },
    ("pytorch", "gru: 300", "f32[batch, 8, 40]"): {
        "kernel": (0.03314, 0.05773),
        "recurrent_kernel": (0.03327, 0.05773),
        "bias": (0.03308, 0.05771),
    },
    ("pytorch", "rnn: {units: 1000, bidirectional: true}", "f32[batch, 8, 40]"): {
        "backward/kernel": (0.01831, 0.03162),
        "backward/recurrent_kernel": (0.01827, 0.03162),
        "backward/bias": (0.02573, 0.06081),
    },
    ("pytorch", "embedding: {vocabulary: 1000, size: 20}", "i32[batch, time]<1000"): {
        "embedding": (0.9977, 4.281),
    },
    ("pytorch", "prelu", "f32[batch, 100]"): {
        "slope": (0, 0.25),
    },
    ("pytorch", "batch_norm", "f32[batch, 4, 4, 100]"): {
        "scale": (0, 1),
        "bias": (0, 0),
    },
    ("pytorch", "layer_norm", "f32[batch, 4, 100]"): {
        "scale": (0, 1),
        "bias": (0, 0),
    },
    ("pytorch", "attention: 4", "f32[batch, 8, 256]"): {
        "query/kernel": (0.04428, 0.07655),
        "key/kernel": (0.04428, 0.07655),
        "value/kernel": (0.04428, 0.07655),
        "query/bias": (0, 0),
        "output/kernel": (0.03605, 0.0625),
        "output/bias": (0, 0),
    },
    ("pytorch", "attention: {heads: 4, memory: true}", "f32[batch, 8, 256], f32[batch, 8, 64]"): {
        "query/kernel": (0.06241, 0.1083),
        "key/kernel": (0.07866, 0.1369),
        "value/kernel": (0.07922, 0.1369),
        "output/kernel": (0.03616, 0.06249),
    },
    ("keras", "dense: 1000", "f32[batch, 200]"): {
        "kernel": (0.04085, 0.07071),
        "bias": (0, 0),
    },
    ("keras", "conv2d: {filters: 1000, kernel: 3, groups: 4}", "f32[batch, 8, 8, 32]"): {
        "kernel": (0.01487, 0.02572),
        "bias": (0, 0),
    },
    ("keras", "conv1d_transpose: {filters: 1000, kernel: 5}", "f32[batch, 8, 32]"): {
        "kernel": (0.01968, 0.0341),
        "bias": (0, 0),
    },
    ("keras", "depthwise_conv2d: {kernel: 3, depth_multiplier: 2}", "f32[batch, 8, 8, 2000]"): {
        "kernel": (0.01057, 0.01825),
        "bias": (0, 0),
    },
    ("keras", "separable_conv1d: {filters: 2000, kernel: 4}", "f32[batch, 8, 1000]"): {
        "depthwise/kernel": (0.02255, 0.03869),
        "pointwise/kernel": (0.02583, 0.04472),
        "bias": (0, 0),
    },
    ("keras", "lstm: 120", "f32[batch, 8, 40]"): {
        "kernel": (0.06218, 0.1074),
        "recurrent_kernel": (0.04564, 0.1951),
        "bias": (0.433, 1),
    },
    ("keras", "gru: 120", "f32[batch, 8, 40]"): {
        "kernel": (0.07073, 0.1225),
        "recurrent_kernel": (0.0527, 0.2271),
        "bias": (0, 0),
    },
    ("keras", "embedding: {vocabulary: 1000, size: 20}", "i32[batch, time]<1000"): {
        "embedding": (0.02899, 0.05),
    },
    ("keras", "prelu", "f32[batch, 100]"): {
        "slope": (0, 0),
    },
    ("keras", "batch_norm", "f32[batch, 4, 4, 100]"): {
        "scale": (0, 1),
        "bias": (0, 0),
    },
    ("keras", "attention: 4", "f32[batch, 8, 256]"): {
        "query/kernel": (0.06227, 0.1083),
        "key/kernel": (0.06241, 0.1083),
        "value/kernel": (0.06232, 0.1083),
        "query/bias": (0, 0),
        "output/kernel": (0.06239, 0.1083),
        "output/bias": (0, 0),
    },
    ("keras", "attention: {heads: 4, memory: true}", "f32[batch, 8, 256], f32[batch, 8, 64]"): {
        "query/kernel": (0.06256, 0.1083),
        "key/kernel": (0.07923, 0.1369),
        "value/kernel": (0.07936, 0.1369),
        "output/kernel": (0.06248, 0.1083),
    },
}
"""The standard deviation and the largest magnitude of weights as PyTorch and Keras draw them:
`python -m benchmarks.pytorch_references` does it again, with its own seed.

Biases of PyTorch's recurrent layers are the sum of `bias_ih` and `bias_hh`, but those of `GRU` a stack of both."""


def weights(item: str, inputs: str, initializer: str) -> dict[str, Any]:
    """The initial weights of one item, by name."""
    first, *memory = inputs.split(", f32")
    size = first[first.index("[") + 1 : -1].split(", ", 1)[1]
    shown = f"{{tensor: [{size}]}}" if first.startswith("f32") else "{tokens: {vocabulary: 1000, length: 5}}"
    more = f", y: {{tensor: [{memory[0].split(', ', 1)[1]}}}" if memory else ""
    chosen = ", inputs: [x, y]" if memory else ""
    text = f"inputs: {{x: {shown}{more}}}\ninitializer: {initializer}\nnetwork: [{{{item}, name: it{chosen}}}]\n"
    return {name.removeprefix("it/"): value for name, value in initial(text.replace(", memory: true", "")).items()}


def initial(text: str) -> dict[str, np.ndarray]:
    """The initial values of a network, by name."""
    program = lower(dlc.loads(text).graph)
    return program.to_flat(program.init(0))


@pytest.mark.parametrize("case", DRAWN, ids=lambda case: f"{case[0]} {case[1]} {case[2]}")
def test_weights_are_drawn_as_in_other_frameworks(case: tuple[str, str, str]) -> None:
    """Deviations within 5%, and largest magnitudes within 2%, or 12% where a distribution has tails."""
    initializer, item, inputs = case
    found = weights(item, inputs, initializer)
    for name, (deviation, most) in DRAWN[case].items():
        value = found[name]
        tails = abs(most - deviation * 3**0.5) > 0.02 * most  # not uniform
        assert value.std() == pytest.approx(deviation, rel=0.05, abs=1e-9), name
        assert np.abs(value).max() == pytest.approx(most, rel=0.12 if tails else 0.02, abs=1e-9), name


def drawn(text: str) -> dict[str, np.ndarray]:
    return initial(f"inputs: {{x: {{tensor: [5, 6]}}}}\n{text}")


def test_dlcs_own_defaults_are_those_of_keras() -> None:
    network = "network: [lstm: {units: 4, return_sequences: true}, attention: 2, layer_norm, prelu, flatten, dense: 3]"
    own, named = drawn(network), drawn(f"initializer: keras\n{network}")
    assert all(np.array_equal(own[name], named[name]) for name in own)


def test_the_innermost_initializer_of_a_weight_counts() -> None:
    found = drawn("""
initializer: pytorch
network:
  - flatten
  - {dense: 9, name: a, initializer: zeros}
  - {dense: 9, name: b, initializer: {bias: ones}}
  - {dense: 9, name: c, initializer: keras}
  - {dense: 9, name: d, initializer: {kernel: keras, bias: pytorch}}
""")
    assert not found["a/kernel"].any() and found["a/bias"].any()  # `zeros` is for kernels
    assert 0 < np.abs(found["b/kernel"]).max() <= 1 / 3 and (found["b/bias"] == 1).all()
    assert 1 / 3 < np.abs(found["c/kernel"]).max() <= (6 / 18) ** 0.5 and not found["c/bias"].any()
    assert 1 / 3 < np.abs(found["d/kernel"]).max() <= (6 / 18) ** 0.5 and 0 < np.abs(found["d/bias"]).max() <= 1 / 3


def test_layers_that_pytorch_lacks_keep_their_initial_values() -> None:
    last = "einsum_dense: {equation: 'ab,bc->ac', output_shape: 4}"
    network = f"network: [class_token, learned_positions: 6, flatten, scale: 0.5, {last}]"
    own, found = drawn(network), drawn(f"initializer: pytorch\n{network}")
    assert all(np.array_equal(own[name], found[name]) for name in own if not name.endswith("kernel"))
    kernel = found["einsum_dense/kernel"]
    assert 0 < np.abs(kernel).max() <= kernel.shape[0] ** -0.5
