"""Decoding: step by step with a cache, a network gives what it gives for the whole sequence at once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dlc
from dlc.backend.decode import Decoder
from dlc.backend.network import Program
from dlc.diagnostics import SpecError
from dlc.ir.decoding import plan_decoding

TIME = 7
TOKENS = "inputs: {words: {tokens: {vocabulary: 9}}}\n"
VECTORS = "inputs: {x: {tensor: [time, 4]}}\n"

NETWORKS = {
    "transformer": TOKENS
    + """
network:
  - embedding: {vocabulary: 9, size: 8}
  - learned_positions: 16
  - repeat:
      times: 5
      layers:
        - residual: [layer_norm, attention: {heads: 2, causal: true, dropout: 0.1}]
        - residual: [layer_norm, dense: {units: 16, activation: gelu}, dropout: 0.1, dense: 8]
  - layer_norm
  - dense: 9
""",
    "few iterations": TOKENS
    + """
network:
  - embedding: {vocabulary: 9, size: 8}
    name: table
  - repeat:
      times: 2
      layers:
        - residual: [rms_norm, attention: {heads: 4, kv_heads: 2, causal: true, rotary: true}]
        - repeat: {times: 2, layers: [gru: {units: 8, return_sequences: true}]}
  - tie: table
""",
    "window": VECTORS
    + "network: [sinusoidal_positions, attention: {heads: 2, causal: true, window: 3, output_size: 3}, softmax]",
    "lstm": VECTORS + "network: [lstm: {units: 3, return_sequences: true}, batch_norm, dense: 2]",
    "lstm, other activations": VECTORS
    + "network: [lstm: {units: 3, return_sequences: true, recurrent_activation: hard_sigmoid}]",
    "gru": VECTORS + "network: [gru: {units: 3, return_sequences: true}, gru: {units: 4, return_sequences: true}]",
    "rnn": VECTORS + "network: [rnn: {units: 3, return_sequences: true}, rotary_positions: 100]",
    "shared": VECTORS
    + """
network:
  - attention: {heads: 2, causal: true}
    name: first
  - attention: {heads: 2, causal: true}
    share: first
""",
}
NETWORKS["rnn"] = NETWORKS["rnn"].replace("units: 3", "units: 4")


def program_of(text: str) -> tuple[Program, Any, dict[str, Any]]:
    program = dlc.compile(dlc.loads(text))
    generator = np.random.default_rng(0)
    variables = jax.tree.map(  # no zeros among the biases
        lambda leaf: jnp.asarray(leaf + generator.uniform(0.01, 0.2, leaf.shape), leaf.dtype), program.init(0)
    )
    if "words" in text:
        return program, variables, {"words": jnp.asarray(generator.integers(0, 9, (2, TIME)), jnp.int32)}
    return program, variables, {"x": jnp.asarray(generator.normal(size=(2, TIME, 4)), jnp.float32)}


def part(inputs: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    return {name: value[:, start:stop] for name, value in inputs.items()}


@pytest.mark.few(8)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("steps", [[1] * TIME, [4, 1, 2]], ids=["one by one", "several at once"])
def test_step_by_step_is_all_at_once(name: str, steps: list[int]) -> None:
    program, variables, inputs = program_of(NETWORKS[name])
    want = jax.jit(program.apply)(variables, inputs)[0]["output"]
    decoder = Decoder(program)
    step = jax.jit(decoder.step)
    cache, offset, found = decoder.cache(2, TIME + 2), 0, []
    for count in steps:
        made = step(variables, part(inputs, offset, offset + count), cache, jnp.int32(offset))
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), made.cache) == jax.tree.map(
            lambda leaf: (leaf.shape, leaf.dtype), cache
        )
        cache, offset = made.cache, offset + count
        found.append(made.outputs["output"])
    np.testing.assert_allclose(np.concatenate(found, 1), want, rtol=1e-5, atol=1e-5)


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["transformer", "few iterations", "window"])
def test_each_sequence_may_be_at_its_own_position(name: str) -> None:
    program, variables, inputs = program_of(NETWORKS[name])
    want = jax.jit(program.apply)(variables, inputs)[0]["output"]
    decoder = Decoder(program)
    starts = [2, 4]
    rows = []
    for row, start in enumerate(starts):  # prompts of different lengths, each by itself
        one = {name: value[row : row + 1] for name, value in inputs.items()}
        rows.append(decoder.step(variables, part(one, 0, start), decoder.cache(1, TIME), 0).cache)

    def joined(whole: Any, *parts: Any) -> Any:
        """Along the batch axis, which comes after those of the iterations."""
        axis = next(index for index, size in enumerate(parts[0].shape) if size != whole.shape[index])
        return jnp.concatenate(parts, axis)

    cache = jax.tree.map(joined, decoder.cache(2, TIME), *rows)
    following = {
        name: jnp.stack([value[row, start] for row, start in enumerate(starts)])[:, None]
        for name, value in inputs.items()
    }
    made = decoder.step(variables, following, cache, jnp.asarray(starts, jnp.int32))
    for row, start in enumerate(starts):
        np.testing.assert_allclose(made.outputs["output"][row, 0], want[row, start], rtol=1e-5, atol=1e-5)


def test_the_last_state_follows_the_prefix() -> None:
    """A recurrent layer that gives only its last state gives that of the sequence so far."""
    program, variables, inputs = program_of(VECTORS + "network: [lstm: 3, dense: 2]")
    decoder = Decoder(program)
    cache = decoder.cache(2, TIME)
    for time in range(TIME):
        made = decoder.step(variables, part(inputs, time, time + 1), cache, time)
        cache = made.cache
        want, _ = program.apply(variables, part(inputs, 0, time + 1))
        np.testing.assert_allclose(made.outputs["output"], want["output"], rtol=1e-5, atol=1e-5)


def test_padding_stays_hidden() -> None:
    """What a mask hides in a prompt is not attended to in later steps."""
    text = TOKENS.replace("vocabulary: 9", "vocabulary: 9, padding: 0") + (
        "network: [embedding: {vocabulary: 9, size: 4}, attention: {heads: 2, causal: true},"
        " gru: {units: 3, return_sequences: true}]"
    )
    program, variables, inputs = program_of(text)
    mask = jnp.ones((2, TIME), bool).at[:, 2].set(False).at[1, 5].set(False)
    want = program.apply(variables, {**inputs, "words.mask": mask})[0]["output"]
    decoder = Decoder(program)
    cache, found = decoder.cache(2, TIME), []
    for time in range(TIME):
        made = decoder.step(variables, part({**inputs, "words.mask": mask}, time, time + 1), cache, time)
        cache = made.cache
        found.append(made.outputs["output"])
    np.testing.assert_allclose(np.concatenate(found, 1), want, rtol=1e-5, atol=1e-5)


def test_an_initial_state_begins_the_sequence() -> None:
    """And another input that is given whole at every step: cross-attention reads all of it."""
    text = """
inputs: {x: {tensor: [time, 4]}, memory: {tensor: [5, 4]}}
network:
  - {gru: 3, inputs: memory, name: reader}
  - {gru: {units: 3, return_sequences: true}, inputs: [x, reader]}
  - {attention: 1, inputs: [previous, memory]}
"""
    program, variables, inputs = program_of(text)
    inputs["memory"] = jnp.asarray(np.random.default_rng(1).normal(size=(2, 5, 4)), jnp.float32)
    want = program.apply(variables, inputs)[0]["output"]
    decoder = Decoder(program, ["x"])
    cache, found = decoder.cache(2, TIME), []
    for time in range(TIME):
        made = decoder.step(variables, {**inputs, "x": inputs["x"][:, time : time + 1]}, cache, time)
        cache = made.cache
        found.append(made.outputs["output"])
    np.testing.assert_allclose(np.concatenate(found, 1), want, rtol=1e-5, atol=1e-5)
    with pytest.raises(SpecError, match="DLC213"):
        Decoder(program)  # nothing says that the memory is not a part of the sequence


def test_a_full_cache_gives_nan() -> None:
    program, variables, inputs = program_of(VECTORS + "network: [attention: {heads: 1, causal: true}]")
    decoder = Decoder(program)
    made = decoder.step(variables, inputs, decoder.cache(2, 5), 0)
    assert np.isfinite(made.outputs["output"][:, :5]).all()
    assert np.isnan(made.outputs["output"][:, 5:]).all()


def test_half_precision() -> None:
    text = "precision: bfloat16\n" + NETWORKS["transformer"]
    program, variables, inputs = program_of(text)
    decoder = Decoder(program)
    cache = decoder.cache(2, TIME)
    assert {leaf.dtype for leaf in jax.tree.leaves(cache)} == {jnp.dtype(jnp.bfloat16)}
    want = program.apply(variables, inputs)[0]["output"]
    made = decoder.step(variables, inputs, cache, 0)
    np.testing.assert_allclose(made.outputs["output"], want, rtol=0.1, atol=0.1)


# ---- what can't be decoded ----


@pytest.mark.parametrize(
    ("network", "layer", "said"),
    [
        ("[attention: 2]", "attention", "a position attends to later ones"),
        ("[{lstm: {units: 2, bidirectional: true}}]", "lstm", "`bidirectional` reads the sequence from its end"),
        ("[{gru: {units: 2, go_backwards: true}}]", "gru", "`go_backwards` reads the sequence from its end"),
        ("[dense: 3, {conv1d: {filters: 2, kernel: 3}}]", "conv1d", "it needs the whole sequence at once"),
        ("[global_avg_pool1d]", "global_avg_pool1d", "it needs the whole sequence at once"),
        (
            "[{name: a, dense: 4}, {concat: {axis: 1}, inputs: [a, x]}]",
            "concat",
            "it joins its inputs along the time axis",
        ),
    ],
)
def test_what_a_layer_cannot_decode_is_said_at_check_time(network: str, layer: str, said: str) -> None:
    graph = dlc.loads(VECTORS + f"network: {network}").graph
    (found,) = plan_decoding(graph).undecodable
    assert found.node.layer.word == layer
    assert found.reason.code == "DLC213"
    assert found.reason.message == f"`{layer}` can't be decoded step by step: {said}"
    program = dlc.compile(dlc.loads(VECTORS + f"network: {network}"))
    with pytest.raises(SpecError) as caught:
        Decoder(program)
    (item,) = caught.value.report.diagnostics
    assert item.code == "DLC213" and item.span is not None and item.span.line == 2
    assert found.node.path in item.message


def test_a_sequence_of_numbers_is_not_mixed() -> None:
    graph = dlc.loads("inputs: {x: {tensor: [5]}}\nnetwork: [relu, dense: 3]").graph
    (found,) = plan_decoding(graph).undecodable
    assert found.node.path == "dense" and "would mix the positions" in found.reason.message
    assert not plan_decoding(graph, []).undecodable
