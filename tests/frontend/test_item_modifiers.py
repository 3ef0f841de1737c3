"""What items and sections say of weights: initializers, penalties, frozen parts, element types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import dlc
from dlc.components.initializers import INITIALIZERS
from dlc.components.initializers.initializer import draw, fans
from dlc.frontend.pipeline import Spec, check_text
from dlc.ir import Init, ParamSpec
from tests.reference.keras_conformance import keras

HEAD = "inputs: {x: {tensor: [6]}}\n"


def loads(network: str, more: str = "") -> Spec:
    return dlc.loads(f"{HEAD}network: {network}\n{more}")


def weights(spec: Spec, seed: int = 0) -> dict[str, Any]:
    program = dlc.compile(spec)
    return program.to_flat(program.init(seed))


def codes(network: str, more: str = "") -> list[str]:
    return list(check_text(f"{HEAD}network: {network}\n{more}")[1].codes)


# ---- initializers ----


@pytest.mark.parametrize(
    ("init", "reference"),
    [
        ("glorot_uniform", keras.initializers.GlorotUniform),
        ("glorot_normal", keras.initializers.GlorotNormal),
        ("he_uniform", keras.initializers.HeUniform),
        ("he_normal", keras.initializers.HeNormal),
        ("lecun_uniform", keras.initializers.LecunUniform),
        ("lecun_normal", keras.initializers.LecunNormal),
        ("normal", keras.initializers.RandomNormal),
        ("truncated_normal", keras.initializers.TruncatedNormal),
        ("uniform", keras.initializers.RandomUniform),
    ],
)
def test_random_initializers_are_distributed_as_keras(init: str, reference: Any) -> None:
    """The same deviation and the same quantiles, 1 % to 99 %, from 90,000 draws of each."""
    shape = (3, 3, 100, 100)
    ours = draw(ParamSpec(shape, Init(init, *fans(shape))), 0, "kernel").ravel()
    theirs = np.asarray(reference(seed=0)(shape)).ravel()
    points = np.linspace(0.01, 0.99, 21)
    scale = theirs.std()
    assert ours.std() == pytest.approx(scale, rel=0.01)
    np.testing.assert_allclose(np.quantile(ours, points), np.quantile(theirs, points), atol=0.05 * scale)
    assert np.abs(ours).max() <= np.abs(theirs).max() * (1.001 if "normal" not in init or init != "normal" else 2)


def test_orthogonal() -> None:
    for shape in ((20, 8), (8, 20), (2, 3, 4, 10)):
        value = draw(ParamSpec(shape, Init("orthogonal")), 0, "kernel")
        flat = value.reshape(-1, shape[-1])
        product = flat @ flat.T if flat.shape[0] < flat.shape[1] else flat.T @ flat
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)


def test_fixed_initializers() -> None:
    np.testing.assert_array_equal(
        draw(ParamSpec((2, 3), Init("constant", options=(("value", 0.5),))), 0, "a"), np.full((2, 3), 0.5)
    )
    np.testing.assert_array_equal(draw(ParamSpec((2, 3), Init("identity")), 0, "a"), np.eye(2, 3))
    np.testing.assert_array_equal(draw(ParamSpec((8,), Init("forget_bias")), 0, "a"), [0, 0, 1, 1, 0, 0, 0, 0])


def test_every_initializer_draws() -> None:
    for name in INITIALIZERS:
        value = draw(ParamSpec((4, 8), Init(name, 4, 8)), 1, "kernel")
        assert value.shape == (4, 8) and value.dtype == np.float32 and np.isfinite(value).all()


def test_an_item_names_the_initializer_of_its_kernels() -> None:
    plain, own = loads("[dense: 400]"), loads("[{dense: 400, initializer: he_normal}]")
    assert weights(own)["dense/kernel"].std() == pytest.approx(np.sqrt(2 / 6), rel=0.05)
    assert weights(plain)["dense/kernel"].std() == pytest.approx(np.sqrt(2 / 406), rel=0.05)
    np.testing.assert_array_equal(weights(own)["dense/bias"], 0)


def test_weights_by_name_and_the_whole_network() -> None:
    spec = loads(
        "[{dense: 3, initializer: {bias: {constant: 0.1}}}, {dense: 3, initializer: zeros}, dense: 2]",
        "initializer: {kernel: ones, bias: {constant: 0.7}}\n",
    )
    found = weights(spec)
    np.testing.assert_array_equal(found["dense/kernel"], 1)
    np.testing.assert_allclose(found["dense/bias"], 0.1)
    np.testing.assert_array_equal(found["dense_2/kernel"], 0)  # the inner word comes first
    np.testing.assert_allclose(found["dense_2/bias"], 0.7)
    np.testing.assert_array_equal(found["dense_3/kernel"], 1)


def test_settings_reach_into_blocks_and_repeats() -> None:
    spec = loads("[{repeat: {times: 2, layers: [dense: 6]}, initializer: ones}, {residual: [dense: 6], l2: 0.5}]")
    found = weights(spec)
    assert all((found[f"repeat/{index}/dense/kernel"] == 1).all() for index in range(2))
    assert {path: slot.spec.l2 for path, slot in dlc.compile(spec).params.items() if slot.spec.l2} == {
        "residual/dense/kernel": 0.5
    }


@pytest.mark.parametrize(
    ("network", "more", "expected"),
    [
        ("[{dense: 3, initializer: he_normall}]", "", ["DLC105"]),
        ("[{dense: 3, initializer: {kernel: he_normall}}]", "", ["DLC105"]),
        ("[{dense: 3, initializer: {normal: {std: 1}}}]", "", ["DLC101"]),
        ("[{dense: 3, initializer: {scale: ones}}]", "", ["DLC303"]),
        ("[dense: 3, {relu: , initializer: ones}]", "", ["DLC303"]),
        ("[dense: 3, {relu: , trainable: false}]", "", ["DLC303"]),
        ("[dense: 3, {layer_norm: , l2: 0.1}]", "", ["DLC303"]),
        ("[{dense: 3, trainable: false, l2: 0.1}, dense: 2]", "", ["DLC303"]),
        ("[{dense: 3, l2: -1}]", "", ["DLC104"]),
        ("[{dense: 3, dtype: float64}]", "", ["DLC104"]),
        ("[{dense: {units: 3, l2: 0.1}}]", "", ["DLC101"]),
        ("[layer_norm]", "regularization: {l2: 0.1}\n", ["DLC303"]),
        ("[layer_norm]", "initializer: he_normal\n", ["DLC303"]),
        ("[{dense: 6, name: a}, {share: a, l2: 0.1}]", "", ["DLC303"]),
    ],
)
def test_settings_without_effect_and_wrong_ones(network: str, more: str, expected: list[str]) -> None:
    assert codes(network, more) == expected


# ---- penalties ----


def trained(network: str, more: str = "", **options: Any) -> Spec:
    return dlc.loads(
        "data: {source: iris, split: {validation: 0.2}}\n"
        "inputs: {features: {tensor: [4]}}\ntargets: {species: {category: [setosa, versicolor, virginica]}}\n"
        f"network: {network}\nloss: cross_entropy\noptimizer: {{sgd: {{learning_rate: 0.1}}}}\n"
        f"train: {{epochs: 1, batch_size: full}}\n{more}"
    )


def test_penalties_are_in_the_loss_and_in_the_gradient() -> None:
    """The loss before the first step is larger by l1 sum|w| + l2 sum w^2, and the step takes its gradient off."""
    plain = trained("[dense: 3]")
    heavy = trained("[{dense: 3, l1: 0.01, l2: 0.1}]")
    whole = trained("[dense: 3]", "regularization: {l1: 0.01, l2: 0.1}\n")
    kernel = weights(plain)["dense/kernel"].astype(np.float64)
    extra = 0.01 * np.abs(kernel).sum() + 0.1 * np.square(kernel).sum()
    one, other, third = (dlc.train(spec) for spec in (plain, heavy, whole))
    assert other.history == third.history
    assert other.history[0]["train/loss"] - one.history[0]["train/loss"] == pytest.approx(extra, rel=1e-4)
    ends = [result.variables["params"]["dense"]["kernel"] for result in (one, other)]
    rate = 0.1
    np.testing.assert_allclose(ends[0] - ends[1], rate * (0.01 * np.sign(kernel) + 0.2 * kernel), rtol=1e-3, atol=1e-6)
    heavier = ends[1]
    penalty = 0.01 * np.abs(heavier).sum() + 0.1 * np.square(heavier).sum()
    assert other.history[0]["validation/loss"] > penalty  # evaluation counts it, too


# ---- frozen parts ----


def test_frozen_weights_and_statistics_stay(tmp_path: Path) -> None:
    spec = trained("[{residual: [dense: 4, batch_norm], trainable: false, name: base}, batch_norm, dense: 3]")
    table = dlc.show(spec)
    assert table.params == 8 + 15 and dlc.compile(spec).params.keys() == {
        "batch_norm/scale",
        "batch_norm/bias",
        "dense/kernel",
        "dense/bias",
    }
    assert table.frozen == 20 + 8
    before = weights(spec, spec.plan.seed)
    dlc.train(spec, tmp_path / "run")
    after = load_file(tmp_path / "run" / "weights.safetensors")
    for name, value in before.items():
        moved = np.any(after[name] != value)
        assert moved != name.startswith("base/"), name
    dlc.predict(tmp_path / "run", {"features": np.ones((2, 4))})


# ---- element types ----


def test_a_layer_of_another_type_computes_in_it() -> None:
    spec = loads("[{dense: 4, dtype: bfloat16}, layer_norm, dense: 2]")
    kinds = {node.path: (str(node.signature.output), node.dtype) for node, _ in spec.graph.walk()}
    assert kinds == {
        "dense": ("bf16[batch, 4]", "bf16"),
        "layer_norm": ("f32[batch, 4]", "f32"),
        "dense_2": ("f32[batch, 2]", "f32"),
    }
    program = dlc.compile(spec)
    variables = program.init(0)
    kernel = variables["params"]["dense"]["kernel"]
    assert kernel.dtype == np.float32
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    half = jnp.asarray(x, jnp.bfloat16) @ jnp.asarray(kernel, jnp.bfloat16)
    rest = dlc.compile(dlc.loads("inputs: {x: {tensor: [4]}}\nnetwork: [layer_norm, dense: 2]\n"))
    params = {"layer_norm": variables["params"]["layer_norm"], "dense": variables["params"]["dense_2"]}
    want = rest.apply({"params": params, "state": {}}, {"x": half.astype(jnp.float32)})[0]["output"]
    got = program.apply(variables, {"x": x})[0]["output"]
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_whole_stage_in_half_precision_still_scans() -> None:
    spec = loads("[{repeat: {times: 3, layers: [dense: 6, batch_norm]}, dtype: float16}, dense: 2]")
    program = dlc.compile(spec)
    outputs, state = program.apply(
        program.init(0), {"x": np.ones((4, 6), np.float32)}, key=jax.random.key(0), train=True
    )
    assert outputs["output"].dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state))


def test_what_shares_a_frozen_item_is_frozen_and_keeps_its_type() -> None:
    spec = dlc.loads(
        "inputs: {left: {tensor: [4]}, right: {tensor: [4]}}\n"
        "network:\n"
        "  - residual: [batch_norm: 0.5, dense: 4]\n    inputs: left\n    name: tower\n"
        "    trainable: false\n    dtype: bfloat16\n"
        "  - share: tower\n    inputs: right\n    name: again\n"
        "  - concat: [tower, again]\n  - dense: 1\n"
    )
    assert {node.dtype for node, _ in spec.graph.walk() if node.path.startswith(("tower", "again"))} == {"bf16"}
    program = dlc.compile(spec)
    variables = program.init(0)
    x = np.random.default_rng(0).normal(5, 1, (8, 4)).astype(np.float32)
    _, state = program.apply(variables, {"left": x, "right": x}, key=jax.random.key(0), train=True)
    jax.tree.map(np.testing.assert_array_equal, state, variables["state"])


def test_an_output_is_float32_whatever_its_layer_computes_in() -> None:
    spec = loads("[{dense: 3, dtype: bfloat16}]")
    assert str(spec.graph.types["output"]) == "f32[batch, 3]"
    program = dlc.compile(spec)
    assert program.apply(program.init(0), {"x": np.ones((2, 6), np.float32)})[0]["output"].dtype == jnp.float32
