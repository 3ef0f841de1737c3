"""Decoding: step by step with a cache, a network gives what it gives for the whole sequence at once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

import dlc
from dlc.backend.decode import Decoder
from dlc.backend.network import Program
from dlc.components.layers import LAYERS
from dlc.diagnostics import SpecError
from dlc.ir.decoding import plan_decoding
from dlc.language.options import load_class
from tests.common import ROOT
from tests.components.layer_battery import Case, can_decode, case_of
from tests.components.layer_examples import GOOD

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
    "convolutions": VECTORS
    + """
network:
  - residual: [conv1d: {filters: 4, kernel: 2, padding: causal, dilation: 2, activation: relu}]
  - repeat:
      times: 4
      layers:
        - residual: [conv1d: {filters: 4, kernel: 3, padding: [[2, 0]], groups: 2}]
  - depthwise_conv1d: {kernel: 3, padding: causal, depth_multiplier: 2}
  - separable_conv1d: {filters: 3, kernel: 2, padding: causal}
  - {conv1d: {filters: 2, kernel: 1, activation: tanh}}
  - max_pool1d: {window: 3, strides: 1, padding: [[2, 0]]}
  - avg_pool1d: {window: 2, strides: 1, padding: [[1, 0]]}
""",
    "axes": VECTORS
    + """
network:
  - reshape: [null, 2, 2]
  - permute: [1, 3, 2]
  - conv2d: {filters: 2, kernel: 2, padding: [[1, 0], [0, 1]]}
  - expand_dims: 3
  - squeeze
  - {name: a, take: {index: 0, axis: 3}}
  - {name: b, slice: {axis: 2, stop: 1}, inputs: a}
  - stack: {axis: -1}
    inputs: [a, a]
  - einsum_dense: {equation: "abcd,cde->abe", output_shape: [null, 3], bias_axes: e}
  - concat: [previous, b]
""",
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


@pytest.mark.few(3)
@pytest.mark.parametrize("name", ["transformer", "convolutions", "few iterations", "window", "lstm", "gru", "axes"])
def test_a_step_may_have_more_positions_than_the_sequence(name: str) -> None:
    """So that prompts of all lengths are read by one program: what fills them up changes nothing."""
    program, variables, inputs = program_of(NETWORKS[name])
    want = jax.jit(program.apply)(variables, inputs)[0]["output"]
    decoder = Decoder(program)
    step = jax.jit(decoder.step)
    counts, cache = np.array([3, 2]), decoder.cache(2, TIME)
    made = step(variables, part(inputs, 0, 4), cache, jnp.zeros(2, jnp.int32), jnp.asarray(counts))
    for row, count in enumerate(counts):
        np.testing.assert_allclose(made.outputs["output"][row, :count], want[row, :count], rtol=1e-5, atol=1e-5)
    following = {
        name: np.stack([value[row, at : at + 4] for row, at in enumerate(counts)]) for name, value in inputs.items()
    }
    made = step(variables, following, made.cache, jnp.asarray(counts), jnp.array([4, 4]))
    for row, at in enumerate(counts):
        np.testing.assert_allclose(made.outputs["output"][row], want[row, at : at + 4], rtol=1e-5, atol=1e-5)


def test_separate_iterations_are_stacked_ones() -> None:
    """As the loop of generation takes weights and caches: the same values, and no copies of weights in a step."""
    program, variables, inputs = program_of(NETWORKS["few iterations"])
    decoder = Decoder(program)
    separate, caches = decoder.separated(variables), decoder.separated_cache(decoder.cache(2, TIME))
    assert jax.tree.structure(decoder.separated(separate)) == jax.tree.structure(separate)
    assert len(jax.tree.leaves(separate)) > len(jax.tree.leaves(variables))
    step = jax.jit(decoder.step)
    made = step(separate, part(inputs, 0, 4), caches, jnp.int32(0))
    assert jax.tree.structure(made.cache) == jax.tree.structure(caches)
    last = step(separate, part(inputs, 4, TIME), made.cache, jnp.int32(4))
    want = jax.jit(program.apply)(variables, inputs)[0]["output"]
    found = np.concatenate([made.outputs["output"], last.outputs["output"]], 1)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


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


@pytest.mark.parametrize("network", ["[lstm: 3]", "[attention: {heads: 2, causal: true}, take: -1, dense: 2]"])
def test_the_last_state_follows_the_prefix(network: str) -> None:
    """What gives only the last state or position gives that of the sequence so far."""
    program, variables, inputs = program_of(VECTORS + f"network: {network}")
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
        ("[dense: 3, {conv1d: {filters: 2, kernel: 3}}]", "conv1d", "its window covers later positions"),
        ("[{conv1d: {filters: 2, padding: same}}]", "conv1d", "its window covers later positions"),
        ("[{conv1d: {filters: 2, padding: causal, strides: 2}}]", "conv1d", "it skips positions"),
        ("[{max_pool1d: {window: 2, strides: 1, padding: same}}]", "max_pool1d", "its window covers later positions"),
        ("[{reshape: [-1, 2]}]", "reshape", "it changes the size of axis 1"),
        ("[{permute: [2, 1]}]", "permute", "it moves the time axis"),
        ("[{slice: {start: 1}}]", "slice", "it takes a part of the time axis"),
        ("[{take: 0}]", "take", "it takes a certain position"),
        ("[{expand_dims: 1}]", "expand_dims", "the new axis replaces the time axis"),
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


# ---- all layers, and the networks of the zoo ----


def time_axis(case: Case) -> bool:
    """Whether an example maps positions of axis 1 to as many positions."""
    first, output = case.node.types[0], case.node.signature.output
    return first.rank > 2 and output.rank > 2 and first.shape[1] == output.shape[1]


def looks_ahead(case: Case) -> Any:
    """How far the results before the last position depend on what comes after them."""

    def before(last: Any) -> Any:
        inputs = {
            name: jnp.concatenate([x[:, :-1], last[name]], 1) if name in last else x for name, x in case.inputs.items()
        }
        return case.program.run(case.variables, inputs, train=False).outputs["output"][:, :-1]

    time = case.inputs["x0"].shape[1]
    last = {name: x[:, -1:] for name, x in case.inputs.items() if x.shape[1:2] == (time,) and x.dtype == jnp.float32}
    changed = {name: x + 3.0 + jnp.arange(x.size).reshape(x.shape) for name, x in last.items()}
    return jnp.abs(before(changed) - before(last)).max()


def test_what_is_refused_looks_ahead() -> None:
    """Every layer that computes each position from earlier ones can be decoded: those that can't do look ahead."""
    alone = [example for word, example in GOOD if not load_class(LAYERS, word).ties_weights]
    cases = [case for example in alone if (case := case_of(example, "f32")) is not None and time_axis(case)]
    refused = [case for case in cases if not can_decode(case)]
    found = jax.jit(lambda: [looks_ahead(case) for case in refused])()
    wrong = [case.example.spec for case, distance in zip(refused, found, strict=True) if distance == 0]
    assert wrong == [
        "einsum_dense: {equation: 'abc,bcd->abd', output_shape: [null, 2]}",  # weights for each position
        "prelu: {shared_axes: []}",
    ]


SMALL = {"width": 16, "heads": 2, "layers": 2, "hidden": 24, "length": 8, "characters": 11, "vocabulary": 11}
SMALL |= {"source_words": 11, "target_words": 11}
SEQUENCES = {"char_gpt": "text", "gpt2_small": "tokens", "lstm_language_model": "words", "gru_seq2seq": "target"}
SEQUENCES["transformer_base"] = "target"


@pytest.mark.few(2)
@pytest.mark.parametrize("name", SEQUENCES)
def test_the_zoo_is_decoded(name: str) -> None:
    """The causal networks at a smaller size; those of two sequences read the source as a whole."""
    file = ROOT / "specs" / "zoo" / f"{name}.yaml"
    known = yaml.safe_load(file.read_text())["vars"]
    spec = dlc.load(file, [f"vars.{key}={value}" for key, value in SMALL.items() if key in known])
    program, stepped = dlc.compile(spec), SEQUENCES[name]
    generator = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(leaf + generator.uniform(0.01, 0.2, leaf.shape), leaf.dtype), program.init(0)
    )
    inputs = {key: jnp.asarray(generator.integers(1, 11, (3, 8)), jnp.int32) for key in spec.graph.inputs}
    want = jax.jit(program.apply)(variables, inputs)[0]["output"]
    decoder, found, offset = Decoder(program, [stepped]), [], 0
    cache, step = decoder.cache(3, 8), jax.jit(decoder.step)
    for count in (3, 1, 3, 1):
        now = {**inputs, stepped: inputs[stepped][:, offset : offset + count]}
        made = step(variables, now, cache, jnp.int32(offset))
        cache, offset = made.cache, offset + count
        found.append(made.outputs["output"])
    np.testing.assert_allclose(np.concatenate(found, 1), want, rtol=1e-5, atol=1e-5)


def test_the_other_networks_of_the_zoo_name_the_layer_that_looks_ahead() -> None:
    for file in sorted((ROOT / "specs" / "zoo").glob("*.yaml")):
        if file.stem not in SEQUENCES:
            spec = dlc.load(file)
            sequences = [name for name, kind in spec.graph.inputs.items() if kind.rank > 1]
            found = plan_decoding(spec.graph, sequences).undecodable
            assert found and all(item.reason.code == "DLC213" for item in found), file.stem
