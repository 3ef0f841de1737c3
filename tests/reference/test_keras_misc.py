"""Norms, noise, activations, merges, shapes, embeddings and dense layers against Keras 3, or against their definitions.

What Keras has is compared in outputs, state and gradients. What it lacks is compared with numpy in float64.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlc.backend.tree import nest
from dlc.ir import Context, Outcome, TensorType
from dlc.kernels.rotary import rotate
from tests.reference.keras_conformance import build, conform, keras

K = keras.layers
A = keras.activations
NORM = {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "variance": "moving_variance"}
MASK = np.array([[True, True, True, False], [True, False, False, False], [True] * 4])


def activation(function: Any, **options: Any) -> Any:
    return K.Activation(lambda x: function(x, **options))


CASES: list[tuple[str, Any, list[tuple[int, ...]], dict[str, str]]] = [
    ("batch_norm", K.BatchNormalization(), [(6, 3)], NORM),
    ("batch_norm: {momentum: 0.8, scale: false}", K.BatchNormalization(momentum=0.8, scale=False), [(3, 4, 3)], NORM),
    (
        "batch_norm: {momentum: 0, epsilon: 0.1, center: false}",
        K.BatchNormalization(momentum=0, epsilon=0.1, center=False),
        [(2, 3, 4, 5)],
        NORM,
    ),
    ("layer_norm", K.LayerNormalization(), [(3, 4, 5)], NORM),
    ("layer_norm: {epsilon: 0.1, center: false}", K.LayerNormalization(epsilon=0.1, center=False), [(3, 5)], NORM),
    ("layer_norm: {scale: false}", K.LayerNormalization(scale=False), [(3, 2, 2, 5)], NORM),
    ("group_norm: 2", K.GroupNormalization(2), [(3, 4, 5, 6)], NORM),
    ("group_norm: {groups: 3, scale: false}", K.GroupNormalization(3, scale=False), [(3, 6)], NORM),
    (
        "group_norm: {groups: 1, epsilon: 0.1, center: false}",
        K.GroupNormalization(1, epsilon=0.1, center=False),
        [(3, 4, 6)],
        NORM,
    ),
    ("group_norm", K.GroupNormalization(), [(2, 3, 64)], NORM),
    ("instance_norm", K.GroupNormalization(-1), [(3, 4, 5, 3)], NORM),
    (
        "instance_norm: {center: false, epsilon: 0.01}",
        K.GroupNormalization(-1, epsilon=0.01, center=False),
        [(3, 4, 3)],
        NORM,
    ),
    ("rms_norm", K.RMSNormalization(), [(3, 4, 5)], {}),
    ("rms_norm: 0.1", K.RMSNormalization(epsilon=0.1), [(3, 5)], {}),
    ("l2_normalize", K.UnitNormalization(), [(3, 4, 5)], {}),
    ("l2_normalize: 1", K.UnitNormalization(axis=1), [(3, 4, 5)], {}),
    ("relu", K.ReLU(), [(3, 7)], {}),
    ("relu: {max_value: 0.5, threshold: 0.2}", K.ReLU(max_value=0.5, threshold=0.2), [(3, 7)], {}),
    ("relu: {negative_slope: 0.3}", K.ReLU(negative_slope=0.3), [(3, 7)], {}),
    ("relu: {max_value: 1, negative_slope: 0.1, threshold: 0.4}", K.ReLU(1.0, 0.1, 0.4), [(3, 7)], {}),
    ("leaky_relu", activation(A.leaky_relu), [(3, 7)], {}),
    ("leaky_relu: 0.01", K.LeakyReLU(negative_slope=0.01), [(3, 7)], {}),
    ("elu: 0.7", K.ELU(0.7), [(3, 7)], {}),
    ("celu", activation(A.celu), [(3, 7)], {}),
    ("celu: 0.3", activation(A.celu, alpha=0.3), [(3, 7)], {}),
    ("soft_shrink", activation(A.soft_shrink), [(3, 7)], {}),
    ("soft_shrink: 0.1", activation(A.soft_shrink, threshold=0.1), [(3, 7)], {}),
    ("hard_shrink", activation(A.hard_shrink), [(3, 7)], {}),
    ("hard_shrink: 0.1", activation(A.hard_shrink, threshold=0.1), [(3, 7)], {}),
    ("squareplus", activation(A.squareplus), [(3, 7)], {}),
    ("squareplus: 0.5", activation(A.squareplus, b=0.5), [(3, 7)], {}),
    ("gelu", activation(A.gelu), [(3, 7)], {}),
    ("gelu: {approximate: true}", activation(A.gelu, approximate=True), [(3, 7)], {}),
    ("glu", activation(A.glu), [(3, 4, 6)], {}),
    ("prelu", K.PReLU(shared_axes=[1, 2]), [(3, 4, 5, 3)], {"slope": "alpha"}),
    ("prelu: {shared_axes: []}", K.PReLU(), [(3, 4, 3)], {"slope": "alpha"}),
    ("prelu: {shared_axes: [1, 3]}", K.PReLU(shared_axes=[1, 3]), [(3, 4, 5, 3)], {"slope": "alpha"}),
    ("add", K.Add(), [(3, 4), (3, 4), (3, 4)], {}),
    ("add", K.Add(), [(3, 4, 5), (3, 1, 5)], {}),
    ("subtract", K.Subtract(), [(3, 4), (3, 4)], {}),
    ("multiply", K.Multiply(), [(3, 4), (3, 4), (3, 4)], {}),
    ("multiply", K.Multiply(), [(3, 1, 1, 5), (3, 2, 4, 5)], {}),
    ("average", K.Average(), [(3, 4), (3, 4), (3, 4)], {}),
    ("maximum", K.Maximum(), [(3, 4), (3, 4), (3, 4)], {}),
    ("minimum", K.Minimum(), [(3, 4), (3, 4)], {}),
    ("concat", K.Concatenate(), [(3, 4), (3, 2)], {}),
    ("concat: {axis: 1}", K.Concatenate(axis=1), [(3, 4, 2), (3, 2, 2), (3, 1, 2)], {}),
    ("dot", K.Dot(-1), [(3, 4), (3, 4)], {}),
    ("dot: {axes: 2}", K.Dot(2), [(3, 4, 5), (3, 2, 5)], {}),
    ("dot: {axes: [1, 2], normalize: true}", K.Dot((1, 2), normalize=True), [(3, 4, 5), (3, 2, 4)], {}),
    ("dot: {axes: [3, 1]}", K.Dot((3, 1)), [(3, 2, 5, 4), (3, 4, 2)], {}),
    ("dot: {axes: 1, normalize: true}", K.Dot(1, normalize=True), [(3, 4), (3, 4, 2)], {}),
    ("flatten", K.Flatten(), [(3, 4, 5)], {}),
    ("reshape: [5, -1, 2]", K.Reshape((5, -1, 2)), [(3, 4, 5)], {}),
    ("permute: [2, 1]", K.Permute((2, 1)), [(3, 4, 5)], {}),
    ("permute: [3, 1, 2]", K.Permute((3, 1, 2)), [(3, 2, 4, 5)], {}),
    ("repeat_vector: 3", K.RepeatVector(3), [(3, 4)], {}),
    ("dense: {units: 4, activation: relu}", K.Dense(4, activation="relu"), [(3, 5)], {}),
    ("dense: {units: 4, use_bias: false}", K.Dense(4, use_bias=False), [(3, 2, 5)], {}),
]
EINSUMS: list[tuple[str, Any, str | None, tuple[int, ...]]] = [
    ("ab,bc->ac", 4, "c", (3, 5)),
    ("abc,cde->abde", [None, 2, 4], "de", (3, 4, 5)),
    ("abc,cde->abde", [None, 2, 4], "e", (3, 4, 5)),
    ("abc,cde->abde", [None, 2, 4], "d", (3, 4, 5)),
    ("abcd,cde->abe", [None, 4], "e", (3, 4, 2, 5)),
    ("...x,xy->...y", 4, "y", (3, 2, 5)),
    ("...xy,yz->...xz", [2, 4], None, (3, 2, 5)),
    ("ab...,bc->ac...", 4, "c", (3, 5, 2)),
    ("abc,bcd->abd", [2, 4], "bd", (3, 2, 5)),  # Keras wants the size of an axis that the kernel has, too
    ("abc,bd->adc", [4, None], "d", (3, 2, 5)),
]


@pytest.mark.few()
@pytest.mark.parametrize(
    ("spec", "reference", "shapes", "names"), CASES, ids=[f"{case[0]} {case[2]}" for case in CASES]
)
def test_keras_agrees(spec: str, reference: Any, shapes: list[tuple[int, ...]], names: dict[str, str]) -> None:
    known = {"scale", "bias"} if spec.partition(":")[0] != "batch_norm" else set(names)
    used = {key: value for key, value in names.items() if key in known or key == "slope"}
    conform(spec, reference, *(shapes or [(3, 4, 3)]), names=used)


PLAIN = """exponential hard_sigmoid hard_silu hard_tanh linear log_sigmoid log_softmax mish relu6 selu sigmoid silu
softmax softplus softsign tanh tanh_shrink"""


def test_activations_agree_with_keras() -> None:
    """Those without options, in one program."""
    layers = {word: build(word) for word in PLAIN.split()}
    generator = np.random.default_rng(12)
    x, pull = (jnp.asarray(generator.normal(size=(3, 50)) * 3, jnp.float32) for _ in range(2))

    def both(functions: Any) -> Any:
        return jax.jit(lambda x: {word: (f(x), jax.vjp(f, x)[1](pull)[0]) for word, f in functions.items()})(x)

    ours = both({word: lambda x, made=made: made.apply({}, x, ctx=Context("train")) for word, made in layers.items()})
    theirs = both({word: getattr(A, word) for word in layers})
    for word in layers:
        for got, want in zip(ours[word], theirs[word], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=word)


@pytest.mark.parametrize(("equation", "shape", "bias", "x"), EINSUMS, ids=[f"{case[0]} {case[2]}" for case in EINSUMS])
def test_einsum_dense_agrees_with_keras(equation: str, shape: Any, bias: str | None, x: tuple[int, ...]) -> None:
    sizes = str([shape] if isinstance(shape, int) else shape).replace("None", "null")
    more = f", bias_axes: {bias}" if bias else ""
    arguments = (equation, shape if isinstance(shape, int) else tuple(shape), "tanh", bias)
    reference = K.EinsumDense(*arguments)
    spec = f"einsum_dense: {{equation: '{equation}', output_shape: {sizes}, activation: tanh{more}}}"
    conform(spec, reference, x)
    # the fans of a first value, which Keras takes from the equation
    init = build(spec).infer(TensorType(("batch", *x[1:]))).params["kernel"].init
    keras.utils.set_random_seed(1)  # eight draws may all be small
    fresh = K.EinsumDense(*arguments)
    fresh.build(x)
    limit = float(np.abs(fresh.kernel).max())
    assert limit <= math.sqrt(6 / (init.fan_in + init.fan_out))
    assert limit > 0.7 * math.sqrt(6 / (init.fan_in + init.fan_out))  # at least ten draws


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5, "epsilon": 0.1}, {"scale": False}], ids=str)
def test_batch_norm_with_a_mask_agrees_with_keras(options: dict[str, Any]) -> None:
    spec = ", ".join(f"{key}: {str(value).lower()}" for key, value in options.items())
    reference = K.BatchNormalization(**options)
    conform(f"batch_norm: {{{spec}}}", reference, (3, 4, 5), names=NORM, masks=[MASK], call={"mask": MASK})


@pytest.mark.parametrize("zero", ["true", "false"])
def test_embedding_agrees_with_keras(zero: str) -> None:
    tokens = np.array([[1, 0, 4, 4], [0, 3, 2, 1]])
    reference = K.Embedding(5, 3, mask_zero=zero == "true")
    spec = f"embedding: {{vocabulary: 5, size: 3, mask_zero: {zero}}}"
    conform(spec, reference, tokens, names={"embedding": "embeddings"}, bound=5)
    found = build(spec).apply({"embedding": jnp.ones((5, 3))}, jnp.asarray(tokens), ctx=Context()).mask
    want = reference.compute_mask(jnp.asarray(tokens))
    assert (found is None) == (want is None)
    if want is not None:
        np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("value", [0.0, -1.5])
def test_masking_agrees_with_keras(value: float) -> None:
    x = np.random.default_rng(1).normal(size=(3, 4, 2)).astype(np.float32)
    x[0, 2:] = x[1, 1] = value
    x[2, 0, 0] = value  # one element of it is no padding
    reference = K.Masking(value)
    conform(f"masking: {value}", reference, x)
    made = build(f"masking: {value}")
    found = made.apply({}, jnp.asarray(x), ctx=Context(masks=(None,)))
    np.testing.assert_array_equal(found.mask, reference.compute_mask(x))
    both = made.apply({}, jnp.asarray(x), ctx=Context(masks=(jnp.asarray(MASK),)))
    np.testing.assert_array_equal(both.mask, np.asarray(found.mask) & MASK)


# ---- what Keras lacks, against definitions ----


def run(spec: str, *inputs: Any, train: bool = False, key: Any = None, **weights: Any) -> Any:
    """A layer's output for float32 inputs, or integers as they are."""
    arrays = [jnp.asarray(x, None if np.issubdtype(np.asarray(x).dtype, np.integer) else jnp.float32) for x in inputs]
    given = nest({name: jnp.asarray(value, jnp.float32) for name, value in weights.items()})
    return np.asarray(compiled(spec, train)(given, key, *arrays))


@cache
def compiled(spec: str, train: bool) -> Any:
    """A layer's output as a compiled function of its weights, a key and its inputs."""
    layer = build(spec)

    def function(weights: Any, key: Any, *inputs: Any) -> Any:
        made = layer.apply(weights, *inputs, ctx=Context("train" if train else "evaluate", key))
        return made.output if isinstance(made, Outcome) else made

    return jax.jit(function)


def test_group_norm_counts_real_places_only() -> None:
    generator = np.random.default_rng(2)
    x, scale = generator.normal(2, 3, (3, 4, 6)), generator.normal(size=6)
    made = build("group_norm: {groups: 2, center: false}")
    got = made.apply(
        {"scale": jnp.asarray(scale, jnp.float32)},
        jnp.asarray(x, jnp.float32),
        ctx=Context("train", masks=(jnp.asarray(MASK),)),
    )
    for row, real in enumerate(MASK):
        for group in (slice(0, 3), slice(3, 6)):
            part = x[row, real, group]
            want = (part - part.mean()) / np.sqrt(part.var() + 1e-3) * scale[group]
            np.testing.assert_allclose(got[row, real, group], want, rtol=1e-4, atol=1e-5)


def test_a_batch_of_padding_moves_no_statistics() -> None:
    weights = {"mean": jnp.full(3, 5.0), "variance": jnp.full(3, 2.0), "scale": jnp.ones(3), "bias": jnp.zeros(3)}
    mask = jnp.zeros((2, 4), bool)
    found = build("batch_norm").apply(weights, jnp.ones((2, 4, 3)), ctx=Context("train", masks=(mask,)))
    np.testing.assert_array_equal(found.state["mean"], weights["mean"])
    np.testing.assert_array_equal(found.state["variance"], weights["variance"])
    assert np.isfinite(found.output).all()


def test_norms_in_half_precision_compute_in_float32() -> None:
    """Squares of 1000 are beyond float16; a bfloat16 sum of 4096 ones would stop at 256."""
    x = np.full((2, 4096), 1000.0, np.float16)
    for spec in ("rms_norm", "rms_norm: {scale: false}", "group_norm: 1", "l2_normalize"):
        weights = {"scale": jnp.ones(4096), "bias": jnp.ones(4096)}
        y = build(spec).apply(weights, jnp.asarray(x), ctx=Context())
        want = {"rms_norm": 1.0, "group_norm": 1.0, "l2_normalize": 1 / 64}[spec.partition(":")[0]]
        assert y.dtype == jnp.float16
        np.testing.assert_allclose(y, want, rtol=2e-3)


def test_gates() -> None:
    x = np.random.default_rng(3).normal(size=(2, 3, 6))
    a, b = x[..., :3], x[..., 3:]
    np.testing.assert_allclose(run("swiglu", x), a / (1 + np.exp(-a)) * b, rtol=1e-5, atol=1e-6)


def test_shapes() -> None:
    x, y = np.random.default_rng(4).normal(size=(2, 2, 4, 1, 3)).astype(np.float32)
    np.testing.assert_array_equal(run("squeeze", x), x[:, :, 0])
    np.testing.assert_array_equal(run("squeeze: -2", x), x[:, :, 0])
    np.testing.assert_array_equal(run("expand_dims: 2", x), x[:, :, None])
    np.testing.assert_array_equal(run("expand_dims: -1", x), x[..., None])
    np.testing.assert_array_equal(run("stack", x, y), np.stack([x, y], 1))
    np.testing.assert_array_equal(run("stack: {axis: -1}", x, y), np.stack([x, y], -1))
    for start, stop in ((0, 1), (1, None), (-1, None), (1, -1), (-3, -1), (1, 3), (-4, 2)):
        text = f"start: {start}" + (f", stop: {stop}" if stop is not None else "")
        np.testing.assert_array_equal(run(f"slice: {{{text}}}", x), x[:, start:stop])
    np.testing.assert_array_equal(run("slice: {axis: -1, start: 1}", x), x[..., 1:])


@pytest.mark.parametrize(("start", "stop"), [(0, 2), (1, None), (-1, None), (1, -1), (-3, -1)])
def test_a_slice_of_a_symbol_is_as_long_as_it_says(start: int, stop: int | None) -> None:
    text = f"start: {start}" + (f", stop: {stop}" if stop is not None else "")
    kind = build(f"slice: {{{text}}}").infer(TensorType(("batch", "time", 2))).output
    for time in (4, 5, 9):
        want = len(range(time)[start:stop])
        size = kind.shape[1]
        assert (size if isinstance(size, int) else eval(size, {"time": time})) == want


def test_positions() -> None:
    generator = np.random.default_rng(5)
    x, table = generator.normal(size=(2, 4, 5)), generator.normal(size=(6, 5))
    np.testing.assert_allclose(run("learned_positions: 6", x, embedding=table), x + table[:4], rtol=1e-6, atol=1e-6)
    for d in (5, 6):
        waves = np.array(
            [
                [
                    (math.sin if entry % 2 == 0 else math.cos)(place / 100 ** (2 * (entry // 2) / d))
                    for entry in range(d)
                ]
                for place in range(4)
            ]
        )
        zero = np.zeros((2, 4, d))
        np.testing.assert_allclose(run("sinusoidal_positions: 100", zero), zero + waves, rtol=1e-5, atol=1e-6)


def test_rotary_positions_iteration_pairs() -> None:
    x = np.random.default_rng(6).normal(size=(2, 5, 3, 8))
    angles = np.arange(5)[:, None] * 50.0 ** (-np.arange(4) * 2 / 8)  # (T, size / 2)
    turned = (x[..., :4] + 1j * x[..., 4:]) * np.exp(1j * angles)[:, None]
    want = np.concatenate([turned.real, turned.imag], -1)
    np.testing.assert_allclose(run("rotary_positions: 50", x), want, rtol=1e-5, atol=1e-5)
    flat = x[:, :, 0]
    np.testing.assert_allclose(run("rotary_positions: 50", flat), want[:, :, 0], rtol=1e-5, atol=1e-5)
    moved = rotate(jnp.asarray(x, jnp.float32), jnp.arange(5) + 7, 50.0)
    each = rotate(jnp.asarray(x, jnp.float32), jnp.stack([jnp.arange(5), jnp.arange(5) + 7]), 50.0)
    np.testing.assert_allclose(each[0], want[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(each[1], moved[1], rtol=1e-6, atol=1e-6)
    # products depend on distances alone
    at = [[np.asarray(value[0, place, 0]) for place in (0, 3)] for value in (want, moved)]
    np.testing.assert_allclose(at[0][0] @ at[0][1], at[1][0] @ at[1][1], rtol=1e-4, atol=1e-5)


def test_tokens() -> None:
    generator = np.random.default_rng(7)
    x, token, table = generator.normal(size=(2, 4, 3)), generator.normal(size=3), generator.normal(size=(5, 3))
    want = np.concatenate([np.broadcast_to(token, (2, 1, 3)), x], 1)
    np.testing.assert_allclose(run("class_token", x, token=token), want, rtol=1e-6)
    found = build("class_token").apply(
        {"token": jnp.ones(2)}, jnp.ones((3, 4, 2)), ctx=Context(masks=(jnp.asarray(MASK),))
    )
    np.testing.assert_array_equal(found.mask, np.concatenate([np.ones((3, 1), bool), MASK], 1))
    np.testing.assert_allclose(run("tie: tokens", x, embedding=table), x @ table.T, rtol=1e-5, atol=1e-6)
    y = run("embedding: {vocabulary: 5, size: 3}", np.array([[4, 5], [-1, 0]]), embedding=table)
    np.testing.assert_array_equal(np.isnan(y).all(-1), [[False, True], [True, False]])  # no wrong row in silence
    np.testing.assert_allclose(y[0, 0], table[4], rtol=1e-6)


def test_scale() -> None:
    x, scale = np.random.default_rng(8).normal(size=(2, 3)), np.array([1.0, -2.0, 3.0])
    np.testing.assert_allclose(run("scale", x, scale=scale), x * scale, rtol=1e-6)
    (spec,) = build("scale: 1e-6").infer(TensorType(("batch", 3))).params.values()
    assert dict(spec.init.options) == {"value": 1e-6}


def test_concat_and_stack_join_masks() -> None:
    a, b, full = jnp.ones((3, 4, 2)), jnp.ones((3, 2, 2)), jnp.ones((3, 4, 5))
    mask = jnp.asarray(MASK)
    other = jnp.asarray(MASK[:, ::-1])
    found = build("concat: {axis: 1}").apply({}, a, b, ctx=Context(masks=(mask, None)))
    np.testing.assert_array_equal(found.mask, np.concatenate([MASK, np.ones((3, 2), bool)], 1))
    found = build("concat").apply({}, a, full, ctx=Context(masks=(mask, other)))
    np.testing.assert_array_equal(found.mask, MASK & MASK[:, ::-1])
    found = build("stack: {axis: 2}").apply({}, a, a, ctx=Context(masks=(None, mask)))
    np.testing.assert_array_equal(found.mask, MASK)
    found = build("slice: {start: 1, stop: 3}").apply({}, a, ctx=Context(masks=(mask,)))
    np.testing.assert_array_equal(found.mask, MASK[:, 1:3])


# ---- noise ----

KEY = jax.random.key(3)
NOISE = [
    "spatial_dropout1d: 0.3",
    "drop_path: 0.3",
    "gaussian_noise: 0.5",
    "gaussian_dropout: 0.3",
    "alpha_dropout: 0.3",
    "dropout: 0.3",
]


@pytest.mark.parametrize("spec", NOISE)
def test_noise_is_the_identity_in_evaluation_and_at_rate_0(spec: str) -> None:
    x = np.random.default_rng(9).normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(run(spec, x), x)
    np.testing.assert_array_equal(run(f"{spec.partition(':')[0]}: 0.0", x, train=True, key=KEY), x)
    first, second = run(spec, x, train=True, key=KEY), run(spec, x, train=True, key=jax.random.key(4))
    np.testing.assert_array_equal(first, run(spec, x, train=True, key=KEY))
    assert np.any(first != second)


@pytest.mark.parametrize(
    ("spec", "shape", "together"),
    [
        ("spatial_dropout1d: 0.3", (300, 4, 50), (1,)),
        ("spatial_dropout2d: 0.3", (300, 3, 2, 50), (1, 2)),
        ("spatial_dropout3d: 0.3", (300, 2, 3, 2, 50), (1, 2, 3)),
        ("drop_path: 0.3", (15000, 2, 3), (1, 2)),
    ],
)
def test_dropout_of_whole_parts(spec: str, shape: tuple[int, ...], together: tuple[int, ...]) -> None:
    y = run(spec, np.ones(shape), train=True, key=KEY)
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-4)
    np.testing.assert_array_equal(y.min(together), y.max(together))
    count = y.min(together).size
    deviation = math.sqrt(0.3 * 0.7 / count)
    assert abs((y.min(together) == 0).mean() - 0.3) < 5 * deviation


def test_noise_has_the_moments_that_it_says() -> None:
    x = np.full((400, 500), 2.0)
    wide = 5 / math.sqrt(x.size)
    y = run("gaussian_noise: 0.5", x, train=True, key=KEY)
    assert abs(y.mean() - 2) < 0.5 * wide and abs(y.std() / 0.5 - 1) < wide
    y = run("gaussian_dropout: 0.2", x, train=True, key=KEY) / 2
    assert abs(y.mean() - 1) < 0.5 * wide and abs(y.std() / 0.5 - 1) < wide
    normal = np.random.default_rng(10).normal(size=x.shape)
    y = run("alpha_dropout: 0.3", normal, train=True, key=KEY)
    assert abs(y.mean()) < wide and abs(y.std() - 1) < wide
    share = 0.7
    limit = -1.7580993408473766  # of selu
    a = (share * (1 + 0.3 * limit**2)) ** -0.5
    dropped = np.isclose(y, a * limit - a * limit * 0.3, atol=1e-4)  # Keras' a and b
    assert abs(dropped.mean() - 0.3) < 0.01
    np.testing.assert_allclose(y[~dropped], (a * normal - a * limit * 0.3)[~dropped], atol=1e-4)


# ---- gaussian_sample ----


def test_gaussian_sample() -> None:
    generator = np.random.default_rng(11)
    mean, log_variance = generator.normal(size=(2, 4, 3, 2))
    divergence = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum((1, 2))
    made = build("gaussian_sample: 0.5")
    arrays = [jnp.asarray(value, jnp.float32) for value in (mean, log_variance)]
    calm = made.apply({}, *arrays, ctx=Context())
    np.testing.assert_allclose(calm.output, mean, rtol=1e-6)
    np.testing.assert_allclose(calm.penalty, 0.5 * divergence, rtol=1e-5)
    drawn = jax.vmap(lambda key: made.apply({}, *arrays, ctx=Context("train", key)).output)(jax.random.split(KEY, 2000))
    np.testing.assert_allclose(np.mean(drawn, 0), mean, atol=0.5)
    np.testing.assert_allclose(np.std(drawn, 0), np.exp(log_variance / 2), rtol=0.12)
    np.testing.assert_allclose(made.apply({}, *arrays, ctx=Context("train", KEY)).penalty, 0.5 * divergence, rtol=1e-5)
    pull = jax.grad(lambda *xs: made.apply({}, *xs, ctx=Context("train", KEY)).output.sum(), argnums=(0, 1))(*arrays)
    noise = (np.asarray(made.apply({}, *arrays, ctx=Context("train", KEY)).output) - mean) / np.exp(log_variance / 2)
    np.testing.assert_allclose(pull[0], np.ones_like(mean), rtol=1e-6)
    np.testing.assert_allclose(pull[1], noise * np.exp(log_variance / 2) / 2, rtol=1e-3, atol=1e-4)
