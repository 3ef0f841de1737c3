"""Recurrent layers and attention give what Keras gives: outputs, states and gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference.keras_conformance import conform, keras

layers = keras.layers
SHAPE = (3, 6, 4)
# contiguous real places: Keras' masks may have holes, but a sequence's padding has not
MASK = jnp.arange(6) < jnp.array([6, 3, 1])[:, None]
CELLS = {"rnn": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}
CELL_NAMES = {"rnn": "simple_rnn_cell", "lstm": "lstm_cell", "gru": "gru_cell"}
WEIGHTS = ("kernel", "recurrent_kernel", "bias")


def names(word: str) -> dict[str, str]:
    return {weight: f"{CELL_NAMES[word]}/{weight}" for weight in WEIGHTS}


def both_names(word: str) -> dict[str, str]:
    return {
        f"{way}/{weight}": f"{way}_inner/{CELL_NAMES[word]}/{weight}"
        for way in ("forward", "backward")
        for weight in WEIGHTS
    }


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("word", "options"),
    [
        ("rnn", {"return_sequences": True}),
        ("rnn", {"use_bias": False, "activation": "relu"}),
        ("lstm", {}),
        ("lstm", {"go_backwards": True, "return_sequences": True}),
        ("lstm", {"use_bias": False, "activation": "relu"}),
        ("gru", {"return_sequences": True}),
        ("gru", {"go_backwards": True}),
        ("gru", {"use_bias": False, "activation": "relu"}),
    ],
    ids=str,
)
def test_cells(word: str, options: Mapping[str, Any]) -> None:
    text = ", ".join(f"{key}: {str(value).lower()}" for key, value in options.items())
    conform(f"{word}: {{units: 5, {text}}}", CELLS[word](5, **options), SHAPE, names=names(word))


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("word", "options"),
    [
        ("rnn", {"go_backwards": True}),
        ("lstm", {}),
        ("lstm", {"go_backwards": True}),
        ("gru", {"return_sequences": True}),
    ],
    ids=str,
)
def test_masks(word: str, options: Mapping[str, Any]) -> None:
    """Hidden places leave the state as it is, in either direction."""
    text = ", ".join(f"{key}: {str(value).lower()}" for key, value in options.items())
    reference = CELLS[word](5, **options)
    conform(f"{word}: {{units: 5, {text}}}", reference, SHAPE, names=names(word), masks=[MASK], call={"mask": MASK})


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("word", "merge", "mode"),
    [("lstm", "concat", "concat"), ("gru", "add", "sum"), ("rnn", "multiply", "mul"), ("gru", "average", "ave")],
)
def test_bidirectional(word: str, merge: str, mode: str) -> None:
    sequences = merge != "add"
    inner = CELLS[word](5, return_sequences=sequences, name="inner")
    spec = f"{word}: {{units: 5, bidirectional: true, merge: {merge}, return_sequences: {str(sequences).lower()}}}"
    mask = {"masks": [MASK], "call": {"mask": MASK}} if merge == "concat" else {}
    conform(spec, layers.Bidirectional(inner, merge_mode=mode), SHAPE, names=both_names(word), **mask)


def test_gru_as_in_the_paper() -> None:
    spec = "gru: {units: 5, reset_after: false, recurrent_activation: hard_sigmoid}"
    conform(spec, layers.GRU(5, reset_after=False, recurrent_activation="hard_sigmoid"), SHAPE, names=names("gru"))


@pytest.mark.parametrize("word", CELLS)
def test_initial_state_and_results(word: str) -> None:
    """Keras' last states, side by side with the output, from given first ones."""

    from dlc.ir import Context, TensorType
    from tests.reference.keras_conformance import build, near, random_values

    count = 2 if word == "lstm" else 1
    generator = np.random.default_rng(1)
    inputs = [jnp.asarray(generator.normal(size=shape), jnp.float32) for shape in (SHAPE, *[(3, 5)] * count)]
    layer = build(f"{word}: 5")
    signature = layer.infer(*(TensorType(("batch", *x.shape[1:])) for x in inputs))
    assert [str(kind) for kind in signature.results.values()] == ["f32[batch, 5]"] * count
    weights = random_values(signature.params, generator, state=False)
    made = jax.jit(lambda weights, *xs: layer.apply(weights, *xs, ctx=Context()))(weights, *inputs)
    reference = CELLS[word](5, return_state=True)
    reference.build(SHAPE)
    reference.set_weights([weights[name] for name in WEIGHTS])
    want = reference(inputs[0], initial_state=inputs[1:])
    for got, expected in zip([made.output, *(made.results[name] for name in layer.states)], want, strict=True):
        near(got, expected, word, 1e-5)


ATTENTION = {
    f"{name}/{weight}": f"{'attention_output' if name == 'output' else name}/{weight}"
    for name in ("query", "key", "value", "output")
    for weight in ("kernel", "bias")
}


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("spec", "options", "call"),
    [
        ("attention: {heads: 2}", {}, {}),
        ("attention: {heads: 2, head_size: 3, use_bias: false}", {"key_dim": 3, "use_bias": False}, {}),
        ("attention: {heads: 2, causal: true}", {}, {"use_causal_mask": True}),
        ("attention: {heads: 2, output_size: 5}", {"output_shape": 5}, {}),
    ],
)
def test_attention(spec: str, options: Mapping[str, Any], call: Mapping[str, Any]) -> None:
    class SelfAttention(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="self_attention")
            self.inner = layers.MultiHeadAttention(2, **{"key_dim": 4, **options}, name="inner")

        def call(self, x: Any) -> Any:
            return self.inner(x, x, **call)

    names = {key: f"inner/{name}" for key, name in ATTENTION.items()}
    conform(spec, SelfAttention(), (2, 5, 8), names=names, vanishing=["key/bias"])


def test_cross_attention_with_a_mask() -> None:
    mask = jnp.arange(7) < jnp.array([7, 4])[:, None]

    class CrossAttention(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="cross_attention")
            self.inner = layers.MultiHeadAttention(2, key_dim=4, name="inner")

        def call(self, inputs: Any) -> Any:
            return self.inner(inputs[0], inputs[1], attention_mask=mask[:, None, :])

    names = {key: f"inner/{name}" for key, name in ATTENTION.items()}
    conform(
        "attention: 2", CrossAttention(), (2, 5, 8), (2, 7, 6), names=names, masks=[None, mask], vanishing=["key/bias"]
    )


def test_grouped_heads() -> None:
    class Grouped(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="grouped")
            self.inner = layers.GroupQueryAttention(2, 4, 2, name="inner")

        def call(self, x: Any) -> Any:
            return self.inner(x, x)

    names = {key: f"inner/{name}" for key, name in ATTENTION.items()}
    conform("attention: {heads: 4, kv_heads: 2}", Grouped(), (2, 5, 8), names=names, vanishing=["key/bias"])
