"""Masks: padding never changes a result or a gradient, from the token feature to the loss."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import dlc
from dlc.backend.tree import nest
from dlc.data.dataset import load_dataset
from dlc.frontend.pipeline import Spec, check_text
from dlc.ir import MASK, Context, Outcome, TensorType
from dlc.reports.answers import sections
from dlc.reports.markup import element
from dlc.reports.predictions import predicted
from dlc.serving.model import load_model
from dlc.serving.tables import predict_table, write_table
from dlc.training.run_folder import RunFolder
from tests.reference.keras_conformance import build, random_values

# ---- layers one by one ----

PADDED = [
    "rnn: 4",
    "lstm: {units: 4, return_sequences: true}",
    "lstm: {units: 4, go_backwards: true, return_sequences: true}",
    "lstm: {units: 3, bidirectional: true, return_sequences: true}",
    "gru: {units: 4, bidirectional: true, merge: add}",
    "gru: {units: 4, reset_after: false, go_backwards: true}",
    "attention: 2",
    "attention: {heads: 2, causal: true, window: 2}",
    "attention: {heads: 2, kv_heads: 1, rotary: true}",
]


@cache
def runner(spec: str) -> Any:
    """(weights, x, mask, pull) -> output, its mask, gradients of weights and input; compiled."""
    layer = build(spec)

    def run(weights: Any, x: Any, mask: Any, pull: Any) -> Any:
        def total(weights: Any, x: Any) -> Any:
            made = layer.apply(nest(weights), x, ctx=Context(masks=(mask,)))
            made = made if isinstance(made, Outcome) else Outcome(made)
            shown = mask if made.mask is None else made.mask
            y = jnp.where(shown[:, :, None], made.output, 0.0) if made.output.ndim == 3 else made.output
            return (y * pull[: y.shape[0], : y.shape[1]]).sum() if y.ndim == 2 else (y * pull[:, : y.shape[1]]).sum(), y

        (_, y), gradients = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(weights, x)
        return y, gradients

    return layer, jax.jit(run)


@pytest.mark.parametrize("spec", PADDED)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(1, 4), min_size=2, max_size=2), seed=st.integers(0, 1000))
def test_padding_further_changes_nothing(spec: str, lengths: list[int], seed: int) -> None:
    """Four places or seven, and whatever lies in the padding."""
    layer, run = runner(spec)
    signature = layer.infer(TensorType(("batch", "time", 4), mask=True))
    generator = np.random.default_rng(seed)
    weights = random_values(signature.params, generator, state=False)
    wide = 3 * generator.normal(size=(2, 7, 4)).astype(np.float32)
    count = signature.output.shape[-1]
    assert isinstance(count, int)
    rank = signature.output.rank
    pull = generator.normal(size=(2, 7, count) if rank == 3 else (2, count)).astype(np.float32)
    found = []
    for time in (4, 7):
        mask = np.arange(time) < np.array(lengths)[:, None]
        x = np.where(mask[:, :, None], wide[:, :time], 100.0 * generator.normal(size=(2, time, 4))).astype(np.float32)
        y, (by_weights, by_x) = run(weights, x, mask, pull)
        assert not np.any(np.asarray(by_x)[~mask]), "a gradient reaches the padding"
        found.append((y if rank == 2 else y[:, :4], by_weights, by_x[:, :4]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), *found)


def test_an_example_of_nothing_but_padding_is_finite() -> None:
    for spec in PADDED:
        layer, run = runner(spec)
        signature = layer.infer(TensorType(("batch", "time", 4), mask=True))
        weights = random_values(signature.params, np.random.default_rng(0), state=False)
        rank, count = signature.output.rank, signature.output.shape[-1]
        pull = np.ones((2, 7, count) if rank == 3 else (2, count), np.float32)
        found = run(weights, np.ones((2, 4, 4), np.float32), np.zeros((2, 4), bool), pull)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found)), spec


def test_attention_dropout_is_the_same_attention() -> None:
    """The path with dropout, its rate as good as nothing, gives what `dot_product_attention` gives."""
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(2, 6, 8)), jnp.float32)
    mask = jnp.arange(6) < jnp.array([6, 4])[:, None]
    for options in ("causal: true", "window: 2", "kv_heads: 2", "causal: true, window: 3, rotary: true"):
        layer = build(f"attention: {{heads: 4, dropout: 1.0e-9, {options}}}")
        weights = nest(
            random_values(layer.infer(TensorType(("batch", 6, 8), mask=True)).params, generator, state=False)
        )
        plain = layer.apply(weights, x, ctx=Context(masks=(mask,)))
        dropped = layer.apply(weights, x, ctx=Context("train", jax.random.key(0), masks=(mask,)))
        np.testing.assert_allclose(plain[0], dropped[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(plain[1, :4], dropped[1, :4], rtol=1e-4, atol=1e-5)


def test_a_window_sees_only_what_is_near() -> None:
    """Far places have no gradient."""
    layer = build("attention: {heads: 2, window: 2}")
    causal = build("attention: {heads: 2, window: 2, causal: true}")
    weights = nest(
        random_values(layer.infer(TensorType(("batch", 6, 4))).params, np.random.default_rng(0), state=False)
    )
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 6, 4)), jnp.float32)
    for made, near in ((layer, {2, 3, 4}), (causal, {2, 3})):
        gradient = jax.grad(lambda x, made=made: made.apply(weights, x, ctx=Context())[0, 3].sum())(x)
        assert {place for place in range(6) if np.any(gradient[0, place])} == near


def test_rotary_attention_depends_on_distances_alone() -> None:
    layer = build("attention: {heads: 2, rotary: true, window: 3, causal: true}")
    weights = nest(
        random_values(layer.infer(TensorType(("batch", 9, 8))).params, np.random.default_rng(0), state=False)
    )
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 4, 8)), jnp.float32)
    shifted = jnp.concatenate([jnp.zeros((1, 5, 8)), x], axis=1)
    one = layer.apply(weights, x, ctx=Context())
    other = layer.apply(weights, shifted, ctx=Context())
    np.testing.assert_allclose(one[0, 3], other[0, 8], rtol=1e-4, atol=1e-5)


# ---- ready blocks ----


ENCODER = """
inputs: {{x: {{tensor: [5, 8]}}}}
network:
  {items}
"""
READY = "- transformer_encoder: {size: 8, heads: 2, hidden: 12, activation: gelu}"
PARTS = """- residual: [attention: 2]
  - layer_norm: 1e-5
  - residual:
      - dense: {units: 12, activation: gelu}
      - dense: 8
  - layer_norm: 1e-5"""


def test_an_encoder_is_its_parts() -> None:
    """The same weights in the same order give the same numbers."""
    one, other = (dlc.compile(dlc.loads(ENCODER.format(items=items))) for items in (READY, PARTS))
    first = one.to_flat(one.init(0))
    names = dict(zip(other.shapes(), first, strict=True))
    assert [other.shapes()[name][0] for name in names] == [first[mine].shape for mine in names.values()]
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    second = other.from_flat({name: first[mine] for name, mine in names.items()})
    got, want = one.apply(one.from_flat(first), {"x": x})[0]["output"], other.apply(second, {"x": x})[0]["output"]
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_encoder_against_keras_parts() -> None:
    """Pre-norm and causal, written in Keras' layers."""
    from tests.reference.keras_conformance import keras

    layers = keras.layers
    text = "- transformer_encoder: {size: 8, heads: 2, hidden: 12, norm: pre, causal: true}"
    program = dlc.compile(dlc.loads(ENCODER.format(items=text)))
    generator = np.random.default_rng(0)
    flat = {name: generator.normal(size=shape).astype(np.float32) for name, (shape, _) in program.shapes().items()}
    x = generator.normal(size=(2, 5, 8)).astype(np.float32)
    norm, attention = layers.LayerNormalization(epsilon=1e-5), layers.MultiHeadAttention(2, 4)
    second, wide, narrow = layers.LayerNormalization(epsilon=1e-5), layers.Dense(12, activation="relu"), layers.Dense(8)
    inner = keras.Input((5, 8))
    normed = norm(inner)
    y = inner + attention(normed, normed, use_causal_mask=True)
    y = y + narrow(wide(second(y)))
    model = keras.Model(inner, y)
    at = "transformer_encoder"
    norm.set_weights([flat[f"{at}/attention_norm/{key}"] for key in ("scale", "bias")])
    attention.set_weights(
        [
            flat[f"{at}/attention/{part}/{key}"]
            for part in ("query", "key", "value", "output")
            for key in ("kernel", "bias")
        ]
    )
    second.set_weights([flat[f"{at}/feed_forward_norm/{key}"] for key in ("scale", "bias")])
    wide.set_weights([flat[f"{at}/expand/{key}"] for key in ("kernel", "bias")])
    narrow.set_weights([flat[f"{at}/contract/{key}"] for key in ("kernel", "bias")])
    got = program.apply(program.from_flat(flat), {"x": x})[0]["output"]
    np.testing.assert_allclose(got, np.asarray(model(x)), rtol=1e-5, atol=1e-5)


# ---- from the feature to the loss ----


def tagger(folder: Path, length: int, times: int = 2, epochs: int = 3) -> Spec:
    """A network that gives each token a class, on sequences of 2 to 5 tokens padded to a length."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 6, 24)
    words = np.where(np.arange(5) < lengths[:, None], generator.integers(1, 9, (24, 5)), 0)
    words = np.pad(words, ((0, 0), (0, length - 5)))
    path = folder / f"tags_{length}.npz"
    np.savez(path, words=words, tags=words % 3)
    return dlc.loads(
        f"data: {{source: {{npz: {path}}}, split: {{validation: 8}}}}\n"
        "inputs: {words: {tokens: {vocabulary: 9, padding: 0}}}\n"
        "targets: {tags: {tokens: 3}}\n"
        "network:\n"
        "  - embedding: {vocabulary: 9, size: 4}\n"
        "  - gru: {units: 4, bidirectional: true, return_sequences: true}\n"
        "  - batch_norm: 0.5\n"
        f"  - repeat: {{times: {times}, layers: [transformer_encoder: {{size: 8, heads: 2}}]}}\n"
        "  - dense: 3\n"
        "loss: cross_entropy\nmetrics: [accuracy]\noptimizer: {sgd: 0.2}\n"
        f"train: {{epochs: {epochs}, batch_size: 8}}\n"
    )


@pytest.mark.few(1)
@pytest.mark.parametrize(("times", "epochs"), [(1, 1), (2, 3)])
def test_a_run_on_longer_padding_is_the_same_run(times: int, epochs: int, tmp_path: Path) -> None:
    """Losses, accuracies, weights and predictions: nothing learns from padding."""
    runs = [dlc.train(tagger(tmp_path, length, times, epochs), tmp_path / str(length)) for length in (5, 9)]
    for one, other in zip(runs[0].history, runs[1].history, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), *(run.variables for run in runs))
    words = np.array([[3, 4, 5, 0, 0]])
    short = dlc.predict(tmp_path / "5", {"words": words})
    long = dlc.predict(tmp_path / "9", {"words": np.pad(words, ((0, 0), (0, 4)))})
    np.testing.assert_array_equal(short["tags"][0, :3], long["tags"][0, :3])


def test_the_mask_reaches_the_program_and_may_be_left_out(tmp_path: Path) -> None:
    spec = tagger(tmp_path, 5)
    assert str(spec.graph.inputs["words"]) == "i32[batch, time]<9 masked"
    assert spec.graph.types["output"].mask
    program = dlc.compile(spec)
    variables, words = program.init(0), np.array([[3, 4, 5, 0, 0]], np.int32)
    with_mask = program.run(variables, {"words": words, "words" + MASK: words != 0})
    without = program.run(variables, {"words": words})
    assert set(with_mask.masks) == {"output"} and without.masks == {}
    assert np.any(with_mask.outputs["output"][:, :3] != without.outputs["output"][:, :3])


@pytest.mark.parametrize("layer", ["flatten", "reshape: [-1]", "conv2d: 3", "dense: 2"])
def test_a_layer_that_would_mix_padding_in_is_an_error(layer: str) -> None:
    """`dense` on (batch, time) works along the time axis."""
    embed = "" if layer == "dense: 2" else "{embedding: {vocabulary: 9, size: 4}}, "
    cast = "{masking: 0.0}, " if not embed else ""
    start = "{x: {tensor: [5]}}" if cast else "{x: {tokens: {vocabulary: 9, padding: 0, length: 5}}}"
    _, report = check_text(f"inputs: {start}\nnetwork: [{cast}{embed}{layer}]\n")
    assert report.codes[0] in ("DLC212", "DLC204")


def test_sizes_of_data_are_proved_before_they_run(tmp_path: Path) -> None:
    """Sequences longer than the positions that were declared: a diagnostic, in training and in prediction."""

    def spec_of(length: int) -> Spec:
        words = np.ones((8, length), int)
        np.savez(tmp_path / "words.npz", words=words, tags=words[:, 0])
        return dlc.loads(
            f"data: {{source: {{npz: {tmp_path / 'words.npz'}}}}}\n"
            "inputs: {words: {tokens: 9}}\ntargets: {tags: {category: 2}}\n"
            "network: [embedding: {vocabulary: 9, size: 4}, learned_positions: 6, global_avg_pool1d, dense: 2]\n"
            "loss: cross_entropy\noptimizer: adam\ntrain: {epochs: 1, batch_size: 4}\n"
        )

    with pytest.raises(dlc.SpecError, match=r"DLC406.*fewer positions than its input, for data of time 7"):
        dlc.train(spec_of(7))
    dlc.train(spec_of(6), tmp_path / "run")
    with pytest.raises(dlc.SpecError, match=r"DLC406.*fewer positions than its input, for data of time 8"):
        dlc.predict(tmp_path / "run", {"words": np.ones((2, 8), int)})


def test_splits_of_other_lengths_are_padded(tmp_path: Path) -> None:
    """A test split of longer sequences; without padding it is a diagnostic."""
    generator = np.random.default_rng(0)
    for name, length in (("train", 4), ("test", 6)):
        words = generator.integers(1, 9, (16, length))
        np.savez(tmp_path / f"{name}.npz", words=words, tags=words[:, 0] % 2)
    text = (
        f"data: {{source: {{npz: {tmp_path / 'train.npz'}}}, test: {{npz: {tmp_path / 'test.npz'}}}}}\n"
        "inputs: {words: {tokens: {vocabulary: 9, padding: 0}}}\ntargets: {tags: {category: 2}}\n"
        "network: [embedding: {vocabulary: 9, size: 4}, gru: 4, dense: 2]\n"
        "loss: cross_entropy\noptimizer: adam\ntrain: {epochs: 1, batch_size: 8}\n"
    )
    assert dlc.train(dlc.loads(text)).test["loss"] > 0
    with pytest.raises(dlc.SpecError, match="records of different sizes"):
        dlc.train(dlc.loads(text.replace(", padding: 0", "")))


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("layers", "least"),
    [
        ("conv1d: {filters: 3, kernel: 3}, conv1d: {filters: 3, kernel: 2}, global_avg_pool1d", 4),
        ("conv1d: {filters: 3, kernel: 3, strides: 2}, gru: 3", 3),
        ("take: 4", 5),
        ("max_pool1d: {window: 3, strides: 1}, global_max_pool1d", 3),
        ("crop1d: [2, 0], gru: 3", 3),
        ("attention: 2, take: 0", 1),
    ],
)
def test_a_network_with_windows_over_sequences_is_exported(layers: str, least: int, tmp_path: Path) -> None:
    """One program for every length from the least that the network takes on, masks and all; shorter is refused."""
    generator = np.random.default_rng(0)
    words = np.where(np.arange(7) < generator.integers(6, 8, 16)[:, None], generator.integers(1, 9, (16, 7)), 0)
    np.savez(tmp_path / "words.npz", words=words, tags=words[:, 0] % 2)
    items = ", ".join(f"{{{item}}}" for item in re.split(r", (?=\w+1d|gru|take)", layers))
    text = (
        f"data: {{source: {{npz: {tmp_path / 'words.npz'}}}}}\n"
        "inputs: {words: {tokens: {vocabulary: 9, padding: 0}}}\ntargets: {tags: {category: 2}}\n"
        f"network: [embedding: {{vocabulary: 9, size: 4}}, {items}, dense: 2]\n"
        "loss: cross_entropy\noptimizer: adam\ntrain: {epochs: 1, batch_size: 8}\n"
    )
    dlc.train(dlc.loads(text), tmp_path / "run")
    folder = dlc.export(tmp_path / "run", "stablehlo", tmp_path / "artifact")
    assert json.loads((folder / "signature.json").read_text())["least"] == {"time": least}
    program = jax.export.deserialize(bytearray((folder / "model.stablehlo").read_bytes()))
    weights = load_file(folder / "weights.safetensors")
    for length in (max(least, 6), 11):
        some = np.pad(words[:3], ((0, 0), (0, 4)))[:, :length].astype(np.int32)
        wanted = load_model(RunFolder(tmp_path / "run")).predict({"words": some})
        for name, found in program.call(weights, {"words": some}).items():
            np.testing.assert_allclose(found, wanted[name], rtol=1e-5, atol=1e-6)
    if least > 1:
        with pytest.raises(ValueError, match="refining shapes"):
            program.call(weights, {"words": words[:3, : least - 1].astype(np.int32)})


def test_predict_takes_a_feature_of_many_columns_as_one_array(tmp_path: Path) -> None:
    words = np.random.default_rng(0).integers(1, 9, (16, 3))
    columns = {f"word_{place}": words[:, place] for place in range(3)}
    np.savez(tmp_path / "words.npz", **columns, tags=words[:, 0] % 2)
    dlc.train(
        dlc.loads(
            f"data: {{source: {{npz: {tmp_path / 'words.npz'}}}}}\n"
            "inputs: {words: {tokens: {vocabulary: 9, columns: word_*}}}\ntargets: {tags: {category: 2}}\n"
            "network: [embedding: {vocabulary: 9, size: 4}, gru: 4, dense: 2]\n"
            "loss: cross_entropy\noptimizer: adam\ntrain: {epochs: 1, batch_size: 8}\n"
        ),
        tmp_path / "run",
    )
    one, many = dlc.predict(tmp_path / "run", {"words": words}), dlc.predict(tmp_path / "run", columns)
    np.testing.assert_array_equal(one["tags_0"], many["tags_0"])


# ---- padding of real-valued series ----

SERIES = """
data: {{source: {{npz: {path}}}, split: {{validation: 6}}}}
inputs: {{x: {{tensor: {{shape: [time, 2], normalize: standard, padding: 0}}}}}}
targets:
  y: {{tensor: {{shape: [time, 1], normalize: standard, padding: -999.9}}}}
  w: {{tokens: {{vocabulary: 4, padding: 0}}}}
  z: number
network:
  - {{conv1d: {{filters: 3, kernel: 3, padding: same, activation: tanh}}, name: hidden}}
  - {{dense: 1, name: each}}
  - {{dense: 4, inputs: hidden, name: tokens}}
  - {{take: -1, inputs: hidden}}
  - {{dense: 1, name: last}}
outputs: {{each: each, tokens: tokens, last: last}}
loss:
  - {{mse: , output: each, target: y}}
  - {{cross_entropy: , output: tokens, target: w}}
  - {{mse: , output: last, target: z, name: last_mse}}
metrics: [{{max_error: , output: each, target: y}}]
optimizer: {{adam: 0.1}}
train: {{epochs: 2, batch_size: 8}}
"""


def series(path: Path, length: int) -> dict[str, Any]:
    """Series of 2 to 5 steps, padded to a length. The last real step is the target `z`."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 6, 22)
    real = np.arange(length) < lengths[:, None]
    x = np.zeros((22, length, 2))
    x[:, :5] = generator.normal(50, 10, (22, 5, 2)).round(2)
    w = np.where(real, (x[:, :, 0] % 3 + 1).astype(int), 0)
    x *= real[:, :, None]
    arrays = {"x": x, "y": np.where(real[:, :, None], x[:, :, :1], -999.9), "w": w, "z": x[range(22), lengths - 1, 0]}
    np.savez(path, **arrays)
    return {**arrays, "real": real}


def test_padding_of_series_has_no_part_in_a_run(tmp_path: Path) -> None:
    """What is fitted, metrics, predictions and their tables: five steps with padding or eight."""
    data = [series(tmp_path / f"{length}.npz", length) for length in (5, 8)]
    plan = dlc.loads(SERIES.format(path=tmp_path / "5.npz")).plan
    dlc.train(dlc.loads(SERIES.format(path=tmp_path / "5.npz")), tmp_path / "5")
    short, real = data[0], data[0]["real"]
    fitted = RunFolder(tmp_path / "5").load_fitted(plan)
    train = load_dataset(plan).splits["train"]
    rows = short["x"][train][real[train]]
    np.testing.assert_allclose(fitted.stats["x"]["shift"], rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(fitted.stats["x"]["scale"], rows.std(0), rtol=1e-12)

    found = [dlc.predict(tmp_path / "5", {"x": arrays["x"]}) for arrays in data]
    for name, value in found[0].items():
        np.testing.assert_array_max_ulp(value, found[1][name][:, :5] if name != "z" else found[1][name], 2)
    np.testing.assert_array_equal(np.isnan(found[1]["y"][:, :, 0]), ~data[1]["real"])
    np.testing.assert_array_equal(found[1]["w"] == -1, ~data[1]["real"])
    one, other = (dlc.evaluate(tmp_path / "5", data=tmp_path / f"{length}.npz").metrics for length in (5, 8))
    assert one == pytest.approx(other, rel=1e-6)

    table, notes = predict_table(tmp_path / "5", tmp_path / "5.npz", ())
    assert notes == []
    lines = [json.loads(line) for line in text_of(table, tmp_path / "p.jsonl").splitlines()]
    cells = [line.split(",") for line in text_of(table, tmp_path / "p.csv").splitlines()]
    for row, line in enumerate(lines):
        for step in range(5):
            there = bool(real[row, step])
            for column in (f"y_{step}_0", f"w_{step}"):
                assert (line[column] is not None) == there
                assert (cells[row + 1][cells[0].index(column)] != "") == there


@pytest.mark.slow  # test_padding_of_series_has_no_part_in_a_run trains and predicts the same
def test_a_run_on_longer_series_is_the_same_run(tmp_path: Path) -> None:
    """Losses and metrics, a report and an export, whose program leaves padding empty as well."""
    runs = []
    for length in (5, 8):
        series(tmp_path / f"{length}.npz", length)
        runs.append(dlc.train(dlc.loads(SERIES.format(path=tmp_path / f"{length}.npz")), tmp_path / str(length)))
    for one, other in zip(runs[0].history, runs[1].history, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    assert dlc.evaluate(tmp_path / "5").metrics == pytest.approx(dlc.evaluate(tmp_path / "8").metrics, rel=1e-4)


def test_exports_and_reports_do_not_show_padding(tmp_path: Path) -> None:
    """An exported program gives the same numbers at further padding, and NaN there; a report the same pictures."""
    for length in (5, 8):
        series(tmp_path / f"{length}.npz", length)
    run = tmp_path / "run"
    dlc.train(dlc.loads(SERIES.format(path=tmp_path / "5.npz"), ["train.epochs=1"]), run)
    folder = dlc.export(run, "stablehlo: cpu", tmp_path / "artifact")
    program = jax.export.deserialize(bytearray((folder / "model.stablehlo").read_bytes()))
    weights, raw = load_file(folder / "weights.safetensors"), np.load(tmp_path / "5.npz")["x"][:6].astype(np.float32)
    real = (raw != 0).any(-1)
    short, long = (
        jax.device_get(program.call(weights, {"x": np.pad(raw, ((0, 0), (0, more), (0, 0)))})) for more in (0, 4)
    )
    wanted = dlc.predict(run, {"x": raw})
    np.testing.assert_allclose(short["y"], wanted["y"], rtol=1e-5)
    for name in ("y", "w", "z"):
        np.testing.assert_allclose(long[name][:, :5] if name != "z" else long[name], short[name], rtol=1e-6)
    assert np.isnan(long["y"][:, 5:]).all() and not np.isnan(long["y"][:, :5][real]).any()
    model, drawn = load_model(RunFolder(run)), []
    for length in (5, 8):
        shutil.copy(tmp_path / f"{length}.npz", tmp_path / "now.npz")
        (tmp_path / "now.npz").replace(tmp_path / "5.npz")
        found = predicted(model, load_dataset(model.plan, RunFolder(run).load_fitted(model.plan)))
        drawn.append(str(element("div", sections(model.plan, found))))
        assert "more columns of inputs" in drawn[-1]
    assert drawn[0] == drawn[1] and "nan" not in drawn[0]


def text_of(table: dict[str, Any], path: Path) -> str:
    write_table(table, path)
    return path.read_text()


def test_series_of_other_lengths_are_padded(tmp_path: Path) -> None:
    longer = series(tmp_path / "train.npz", 8)
    series(tmp_path / "test.npz", 5)
    text = SERIES.format(path=tmp_path / "train.npz")
    text = text.replace("split: {validation: 6}", f"test: {{npz: {tmp_path / 'test.npz'}}}")
    data = load_dataset(dlc.loads(text).plan)
    for section, name in (("inputs", "x"), ("targets", "y"), ("targets", "w")):
        values = getattr(data, section)
        np.testing.assert_array_equal(values[name][:22], values[name][22:])
        np.testing.assert_array_equal(values[name + MASK][22:], longer["real"])
