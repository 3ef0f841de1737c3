"""Every example of every layer is run; every layer is compared with a plain definition that dlc did not write."""

from __future__ import annotations

import ast
import inspect
import math
import re
import subprocess
import sys
from functools import cache
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from dlc.components.layers import ACTIVATIONS, LAYERS, MERGES
from dlc.ir import DTYPES, Context, Example, Layer, Outcome, TensorType
from dlc.language.interpolation import substitute
from dlc.language.options import RuleViolation, as_options, build_word, load_class, validate
from tests.components.building import layer
from tests.components.layer_examples import GOOD, build, ids, value, weights_of

# ---- the table ----


@pytest.mark.parametrize("word", LAYERS)
def test_a_layer_is_documented(word: str) -> None:
    cls = load_class(LAYERS, word)
    assert issubclass(cls, Layer)
    assert cls.word == word
    assert any(example.error is None for example in cls.examples)
    text = cls.__dict__.get("__doc__")
    assert text, f"`{cls.__name__}` has no docstring, whose first line is the shape contract"
    first = text.splitlines()[0]
    assert re.match(r"\([^()]+\)(, \([^()]+\)(, \.\.\.)?)? -> \([^()]+\)[:.]", first), f"no shape contract: {first}"
    for name, field in cls.model_fields.items():
        assert field.description, f"`{name}` of `{word}` has no description"
    for method in (cls.infer, cls.apply):
        assert method.__doc__


def test_merges_and_activations_are_layers() -> None:
    assert {word: LAYERS[word] for word in ACTIVATIONS} == ACTIVATIONS
    assert set(MERGES) == {word for word in LAYERS if load_class(LAYERS, word).short_form_inputs}


def test_the_checker_needs_no_jax() -> None:
    """All vocabularies are loaded, and every example inferred, without JAX."""
    program = (
        "import sys\n"
        "from dlc.language.options import build_word\n"
        "from dlc.components.registry import KINDS\n"
        "for kind in KINDS.values():\n"
        "    kind.base_class(), kind.modifiers_class(), kind.example_class()\n"
        "    for word in kind.table:\n"
        "        kind.load(word)\n"
        "from dlc.ir import TensorType\n"
        "layer = build_word({'conv2d': {'filters': 4, 'activation': 'relu'}}, KINDS['layer'].table, 'layer')\n"
        "layer.infer(TensorType.parse('f32[batch, 8, 8, 1]'))\n"
        "heavy = {'jax', 'optax', 'numpy', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", sorted({text.partition(":")[0] for text in LAYERS.values()}))
def test_no_module_imports_jax_at_its_top(module: str) -> None:
    body = ast.parse(inspect.getsource(sys.modules[module])).body
    names = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in body if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name.split(".")[0] in ("jax", "optax", "numpy")}


# ---- symbolic sizes ----


SYMBOLIC = [(word, example) for word, example in GOOD if re.search(r", [a-z(]", str(example.inputs))]


@pytest.mark.parametrize(("word", "example"), SYMBOLIC, ids=ids(SYMBOLIC))
def test_an_example_of_symbolic_sizes_exports(word: str, example: Example) -> None:
    """One program for every size: nothing in the function needs a number where the shape rule needs none."""
    layer, types, signature, *_ = build(example)
    assert layer is not None and signature is not None
    names = {
        name for kind in types for dim in kind.shape[1:] if isinstance(dim, str) for name in re.findall("[a-z]+", dim)
    }
    scope = jax.export.SymbolicScope([f"{name} >= 4" for name in names])

    def shape(kind: TensorType) -> Any:
        dims = ", ".join(str(dim) for dim in kind.shape)
        return jax.ShapeDtypeStruct(jax.export.symbolic_shape(dims, scope=scope), DTYPES[kind.dtype])

    weights = jax.tree.map(jnp.asarray, {**weights_of(dict(signature.params)), **weights_of(dict(signature.state))})
    masks = [jax.ShapeDtypeStruct(shape(kind).shape[:2], bool) if kind.mask else None for kind in types]

    def run(masks: Any, *inputs: Any) -> Any:
        more = {"masks": tuple(masks)} if layer.masks == "used" else {}
        result = layer.apply(weights, *inputs, ctx=Context(**more))
        return result.output if isinstance(result, Outcome) else result

    exported = jax.export.export(jax.jit(run))(masks, *(shape(kind) for kind in types))
    assert len(exported.out_avals[0].shape) == signature.output.rank


def test_options_are_named_in_errors() -> None:
    """A wrong size points at its option, so that the editor underlines the number."""
    conv = layer("conv2d: {filters: 4, groups: 2}")
    with pytest.raises(RuleViolation) as caught:
        conv.infer(TensorType.parse("f32[batch, 8, 8, 3]"))
    assert caught.value.option == "groups"
    with pytest.raises(RuleViolation) as caught:
        layer("max_pool2d: {window: 2, padding: 2}").infer(TensorType.parse("f32[batch, 8, 8, 3]"))
    assert caught.value.option == "padding"
    with pytest.raises(RuleViolation) as caught:
        layer("concat: {axis: 3}").infer(*[TensorType.parse("f32[batch, 8]")] * 2)
    assert caught.value.option == "axis"


def test_symbols_keep_their_formula() -> None:
    """Derived sizes are true for every size, not only for the battery's."""
    for spec in (
        "conv2d: {filters: 1, kernel: 3, strides: 3, dilation: 2}",
        "max_pool2d: {window: 3, strides: 2, padding: 1}",
    ):
        made = layer(spec)
        text = made.infer(TensorType.parse("f32[batch, height, 9, 1]")).output.shape[1]
        for height in range(5, 14):
            known = made.infer(TensorType(("batch", height, 9, 1))).output.shape[1]
            assert substitute(f"$({text})", {"height": height}) == known


# ---- values ----


@cache
def compiled(spec: str, train: bool) -> Any:
    """A layer's function as training runs it; eager calls would compile each operation apart, which takes longer."""
    return jax.jit(
        lambda weights, key, *inputs: layer(spec).apply(
            weights, *inputs, ctx=Context("train" if train else "evaluate", key)
        )
    )


def apply(spec: str, *inputs: Any, train: bool = False, key: Any = None, **weights: Any) -> Any:
    arrays = [jnp.asarray(x, jnp.float32) for x in inputs]
    found = compiled(spec, train)({name: jnp.asarray(w, jnp.float32) for name, w in weights.items()}, key, *arrays)
    return found.output if isinstance(found, Outcome) and found.state is None else found


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return scipy.special.ndtr(x)


PLAIN = {
    "linear": lambda x: x,
    "step": lambda x: np.heaviside(x, 1.0),
    "sigmoid": scipy.special.expit,
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.2 * x),
    "leaky_relu: 0.01": lambda x: np.where(x >= 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "elu: 0.5": lambda x: np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0))),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * normal_cdf(x),
    "gelu: {approximate: true}": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * scipy.special.expit(x),
    "hard_silu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "relu: {max_value: 2, negative_slope: 0.1, threshold: 0.5}": lambda x: np.where(
        x >= 2, 2, np.where(x > 0.5, x, 0.1 * (x - 0.5))
    ),
    "celu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "celu: 0.5": lambda x: np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0) / 0.5)),
    "exponential": np.exp,
    "log_sigmoid": scipy.special.log_expit,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "soft_shrink": lambda x: np.where(x > 0.5, x - 0.5, np.where(x < -0.5, x + 0.5, 0)),
    "soft_shrink: 0": lambda x: x,
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "hard_shrink: 2": lambda x: np.where(np.abs(x) > 2, x, 0),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "squareplus: 0.1": lambda x: (x + np.sqrt(x * x + 0.1)) / 2,
    "softmax": lambda x: scipy.special.softmax(x, axis=-1),
    "log_softmax": lambda x: scipy.special.log_softmax(x, axis=-1),
}


def test_every_activation_has_a_plain_definition() -> None:
    assert {spec.partition(":")[0] for spec in PLAIN} == set(ACTIVATIONS)


@pytest.mark.parametrize("spec", PLAIN)
def test_activation_values(spec: str) -> None:
    x = np.concatenate([np.linspace(-12, 12, 97), [0.0, -0.0, 1e-8, -1e-8, 50, -50]]).reshape(1, -1)
    want = PLAIN[spec](x.astype(np.float32).astype(np.float64))
    # float32 against float64: exp and tanh are exact to a few units in the last place
    np.testing.assert_allclose(apply(spec, x), want, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("spec", [spec for spec in PLAIN if spec != "exponential"])
def test_activations_stay_finite_far_out(spec: str) -> None:
    x = jnp.asarray([[-1e4, -90.0, 0.0, 90.0, 1e4]])
    function = layer(spec).function  # type: ignore[attr-defined]
    y, gradient = jax.jit(lambda x: (function(x), jax.grad(lambda x: function(x).sum())(x)))(x)
    assert np.isfinite(y).all() and np.isfinite(gradient).all()


def test_step_is_exact_and_passes_gradients() -> None:
    x = np.array([[0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 0.3, -0.3, 1e8, -1e8, 3e38, -3e38]], np.float32)
    want = np.where(x >= 0, np.float32(1), np.float32(0))
    # XLA counts numbers below 1e-38 as zero, as every accelerator does: -1e-45 may be 0
    normal = (np.abs(x) > 1e-37) | (x == 0) | (x > 0)
    function = layer("step").function  # type: ignore[attr-defined]
    for run in (function, jax.jit(function)):
        y = np.asarray(run(jnp.asarray(x)))
        np.testing.assert_array_equal(y[normal], want[normal])
        assert set(np.unique(y)) <= {0.0, 1.0}
        gradient = jax.grad(lambda x, run=run: (run(x) * jnp.arange(12.0)).sum())(jnp.asarray(x))
        np.testing.assert_array_equal(gradient, np.arange(12.0)[None])


def test_dense_values() -> None:
    generator = np.random.default_rng(1)
    kernel, bias = generator.normal(size=(3, 4)), generator.normal(size=4)
    for shape in ((2, 3), (2, 5, 3), (2, 2, 2, 3)):
        x = generator.normal(size=shape)
        np.testing.assert_allclose(
            apply("dense: 4", x, kernel=kernel, bias=bias), x @ kernel + bias, rtol=1e-5, atol=1e-6
        )
    y = apply("dense: {units: 4, use_bias: false, activation: {leaky_relu: 0.1}}", x, kernel=kernel)
    np.testing.assert_allclose(y, np.where(x @ kernel > 0, x @ kernel, 0.1 * (x @ kernel)), rtol=1e-5, atol=1e-6)


def explicit(padding: Any, size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Padding of one axis in numbers: TensorFlow's rule for `same`, more at the end when it is odd."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        return total // 2, total - total // 2
    return (padding, padding) if isinstance(padding, int) else tuple(padding)


def pads_of(
    padding: Any, x: np.ndarray, kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> list[tuple[int, int]]:
    sides = padding if isinstance(padding, list) else [padding, padding]
    return [(0, 0), *(explicit(sides[a], x.shape[a + 1], kernel[a], strides[a], dilation[a]) for a in (0, 1)), (0, 0)]


def naive_windows(
    x: np.ndarray, kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> np.ndarray:
    """(B, H, W, C) -> (B, H', W', kh, kw, C), by loops."""
    reach = [(kernel[a] - 1) * dilation[a] + 1 for a in (0, 1)]
    rows = range(0, x.shape[1] - reach[0] + 1, strides[0])
    cols = range(0, x.shape[2] - reach[1] + 1, strides[1])
    return np.stack(
        [
            np.stack([x[:, r : r + reach[0] : dilation[0], c : c + reach[1] : dilation[1]] for c in cols], 1)
            for r in rows
        ],
        1,
    )


CONVOLUTIONS = [
    {"kernel": [3, 3]},
    {"kernel": [2, 3], "strides": [2, 1]},
    {"kernel": [3, 3], "strides": [2, 3], "padding": "same"},
    {"kernel": [2, 2], "padding": "same"},
    {"kernel": [3, 2], "dilation": [2, 3]},
    {"kernel": [3, 3], "dilation": [2, 1], "padding": "same"},
    {"kernel": [3, 3], "padding": 1, "strides": [2, 2]},
    {"kernel": [3, 3], "padding": [[2, 0], [1, 3]]},
    {"kernel": [3, 3], "groups": 2},
    {"kernel": [1, 1], "groups": 4, "strides": [2, 2]},
    {"kernel": [3, 3], "groups": 4, "padding": "same", "dilation": [1, 2]},
]


@pytest.mark.few(4)
@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_conv2d_values(options: dict[str, Any]) -> None:
    generator = np.random.default_rng(2)
    x, groups, filters = generator.normal(size=(2, 7, 8, 4)), options.get("groups", 1), 8
    kernel, bias = generator.normal(size=(*options["kernel"], 4 // groups, filters)), generator.normal(size=filters)
    strides, dilation = options.get("strides", (1, 1)), options.get("dilation", (1, 1))
    pads = pads_of(options.get("padding", "valid"), x, options["kernel"], strides, dilation)
    windows = naive_windows(np.pad(x, pads), options["kernel"], strides, dilation)
    parts = [
        np.einsum(
            "bhwijc,ijcf->bhwf",
            windows[..., g * 4 // groups : (g + 1) * 4 // groups],
            kernel[..., g * filters // groups : (g + 1) * filters // groups],
        )
        for g in range(groups)
    ]
    made = validate(
        load_class(LAYERS, "conv2d"), as_options(load_class(LAYERS, "conv2d"), {"filters": filters, **options}, ())[0]
    )
    assert isinstance(made, Layer), made
    weights = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
    y = made.apply(weights, jnp.asarray(x, jnp.float32), ctx=Context())
    signature = made.infer(TensorType(("batch", *x.shape[1:])))
    assert signature.output.shape[1:] == y.shape[1:]
    np.testing.assert_allclose(
        y, np.concatenate(parts, -1) + bias, rtol=1e-4, atol=1e-5
    )  # sums of 36 products in float32
    assert signature.flops == math.prod(y.shape[1:]) * (2 * math.prod(options["kernel"]) * 4 // groups + 1)


POOLS = [
    {},
    {"window": [3, 2]},
    {"window": [2, 2], "strides": [1, 1]},
    {"window": [2, 3], "strides": [3, 1]},
    {"window": [1, 2], "strides": [3, 3], "padding": "same"},
    {"window": [3, 3], "strides": [2, 2], "padding": "same"},
    {"window": [2, 2], "padding": "same"},
    {"window": [3, 3], "strides": [2, 2], "padding": 1},
    {"window": [3, 3], "padding": [[2, 0], [1, 2]]},
]


@pytest.mark.parametrize("options", POOLS, ids=str)
@pytest.mark.parametrize("word", ["max_pool2d", "avg_pool2d"])
def test_pool2d_values(word: str, options: dict[str, Any]) -> None:
    x = np.random.default_rng(3).normal(size=(2, 7, 8, 3))
    window = tuple(options.get("window", (2, 2)))
    strides = tuple(options.get("strides", window))
    pads = pads_of(options.get("padding", "valid"), x, window, strides)
    windows = naive_windows(
        np.pad(x, pads, constant_values=np.nan), window, strides
    )  # a padded place counts for nothing
    want = (np.nanmax if word == "max_pool2d" else np.nanmean)(windows, axis=(3, 4))
    made = validate(load_class(LAYERS, word), options)
    assert isinstance(made, Layer), made
    y, pull = jax.vjp(jax.jit(lambda x: made.apply({}, x, ctx=Context("train"))), jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)
    assert made.infer(TensorType(("batch", *x.shape[1:]))).output.shape[1:] == y.shape[1:]
    gradient = np.asarray(pull(jnp.ones_like(y))[0])
    np.testing.assert_allclose(gradient.sum(), y.size, rtol=1e-5)  # each window hands one unit back
    if word == "max_pool2d":  # to its largest element, as often as windows hold it
        hits = np.zeros_like(x)
        for place, number in zip(*np.unique(want, return_counts=True), strict=True):
            hits[x == place] = number
        np.testing.assert_allclose(gradient, hits, atol=1e-6)


def test_global_pool_values() -> None:
    x = np.random.default_rng(4).normal(size=(2, 5, 3, 4))
    np.testing.assert_allclose(apply("global_max_pool2d", x), x.max((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(apply("global_avg_pool2d", x), x.mean((1, 2)), rtol=1e-5, atol=1e-6)


def test_a_place_taken_from_padding_is_zero() -> None:
    x = np.arange(1.0, 25.0).reshape(2, 4, 3)
    real = jnp.array([[True, True, False, False], [True, True, True, True]])
    made = build_word({"take": 2}, LAYERS, "layer")
    assert isinstance(made, Layer)
    got = made.apply({}, jnp.asarray(x), ctx=Context(masks=(real,)))
    np.testing.assert_array_equal(got, [[0.0, 0.0, 0.0], x[1, 2]])


@pytest.mark.parametrize("index", [-1, -2, -4])
def test_the_last_real_places_are_taken(index: int) -> None:
    """Wherever padding is: the k-th real position from the end, 0 where there are fewer."""
    x = np.random.default_rng(0).normal(size=(6, 5, 2, 3))
    lengths = np.array([5, 4, 3, 2, 1, 0])
    real = np.arange(5) < lengths[:, None]
    real[1] = [True, False, True, True, False]  # a gap
    made = build_word({"take": index}, LAYERS, "layer")
    assert isinstance(made, Layer)
    got = made.apply({}, jnp.asarray(x), ctx=Context(masks=(jnp.asarray(real),)))
    for row in range(6):
        places = np.flatnonzero(real[row])
        want = x[row, places[index]] if len(places) >= -index else np.zeros((2, 3))
        np.testing.assert_allclose(got[row], want, rtol=1e-6)


def test_shape_layers_keep_the_order() -> None:
    x = np.arange(48.0).reshape(2, 2, 3, 4)
    np.testing.assert_array_equal(apply("flatten", x), x.reshape(2, 24))
    np.testing.assert_array_equal(apply("reshape: [-1, 6]", x), x.reshape(2, 4, 6))
    padded = np.concatenate([np.zeros((2, 2, 3, 1)), x, np.zeros((2, 2, 3, 2))], -1)
    np.testing.assert_array_equal(apply("pad_channels: [1, 2]", x), padded)
    np.testing.assert_array_equal(apply("take: -1", x), x[:, -1])
    np.testing.assert_array_equal(apply("take: {index: 1, axis: -2}", x), x[:, :, 1])
    np.testing.assert_array_equal(apply("concat", x, x + 100), np.concatenate([x, x + 100], -1))
    np.testing.assert_array_equal(apply("concat: {axis: 1}", x, x + 100), np.concatenate([x, x + 100], 1))
    np.testing.assert_array_equal(apply("add", x, x, x), 3 * x)


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 5, 6)])
def test_layer_norm_values(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(5)
    x, scale, bias = generator.normal(3, 2, shape), generator.normal(size=6), generator.normal(size=6)
    plain = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(
        apply("layer_norm", x, scale=scale, bias=bias), plain * scale + bias, rtol=1e-4, atol=1e-5
    )
    y = apply("layer_norm: {epsilon: 0.1, center: false, scale: false}", x)
    np.testing.assert_allclose(
        y, (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.1), rtol=1e-4, atol=1e-5
    )


def batch_norm(x: Any, *, train: bool, spec: str = "batch_norm: 0.9", **weights: Any) -> Any:
    channels = np.shape(x)[-1]
    fresh = {
        "mean": np.zeros(channels),
        "variance": np.ones(channels),
        "scale": np.ones(channels),
        "bias": np.zeros(channels),
    }
    found = apply(spec, x, train=train, **{**fresh, **weights})
    return found.output, found.state


@pytest.mark.parametrize("shape", [(16, 3), (4, 5, 3), (4, 3, 2, 3)])
def test_batch_norm_values(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(6)
    x, scale, bias = generator.normal(3, 2, shape), generator.normal(size=3), generator.normal(size=3)
    mean, variance = generator.normal(size=3), generator.uniform(0.5, 2, 3)
    axes = tuple(range(len(shape) - 1))
    given = {"scale": scale, "bias": bias, "mean": mean, "variance": variance}
    y, moved = batch_norm(x, train=True, **given)
    want = (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-3) * scale + bias
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved["mean"], 0.9 * mean + 0.1 * x.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(moved["variance"], 0.9 * variance + 0.1 * x.var(axes), rtol=1e-5)
    y, kept = batch_norm(x, train=False, **given)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-3) * scale + bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(kept["mean"], np.float32(mean))
    np.testing.assert_array_equal(kept["variance"], np.float32(variance))


@pytest.mark.parametrize("mean", [0.0, 1e2, 1e4, -1e5])
def test_batch_norm_keeps_its_digits_beside_a_large_mean(mean: float) -> None:
    """From the first step on, while the running mean is still far away; and in evaluation, when it is near."""
    x = (np.random.default_rng(7).normal(mean, 1, (256, 4))).astype(np.float32)
    wide = x.astype(np.float64)
    want = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-3)
    y, moved = batch_norm(x, train=True, spec="batch_norm: 0")
    # the mean itself is a float32: half a unit of its last place moves every value
    room = 4 * np.spacing(np.float32(abs(mean))) + 1e-5
    np.testing.assert_allclose(y, want, atol=room)
    np.testing.assert_allclose(moved["mean"], wide.mean(0), atol=room, rtol=1e-6)
    np.testing.assert_allclose(moved["variance"], wide.var(0), rtol=1e-4)
    y, _ = batch_norm(x, train=False, mean=moved["mean"], variance=moved["variance"])
    np.testing.assert_allclose(y, want, atol=room)


def test_batch_norm_gradient() -> None:
    """Against the derivative of the textbook formula in float64."""
    generator = np.random.default_rng(8)
    x, pull = generator.normal(2, 3, (12, 3)), generator.normal(size=(12, 3))
    deviation = np.sqrt(x.var(0) + 1e-3)
    z = (x - x.mean(0)) / deviation
    want = (pull - pull.mean(0) - z * (pull * z).mean(0)) / deviation
    got = jax.jit(jax.grad(lambda x: (batch_norm(x, train=True)[0] * pull).sum()))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_batch_norm_of_equal_values_is_the_bias() -> None:
    y, moved = batch_norm(np.full((4, 2), 1e4), train=True, bias=[1.0, 2.0])
    np.testing.assert_array_equal(y, [[1.0, 2.0]] * 4)
    np.testing.assert_allclose(moved["variance"], 0.9)


def test_dropout_in_training_and_evaluation() -> None:
    x = np.ones((200, 500))
    key, other = jax.random.key(1), jax.random.key(2)
    np.testing.assert_array_equal(apply("dropout: 0.25", x), x)
    np.testing.assert_array_equal(apply("dropout: 0.0", x, train=True), x)
    y = np.asarray(apply("dropout: 0.25", x, train=True, key=key))
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    deviation = math.sqrt(0.25 * 0.75 / x.size)  # of the share of zeros
    assert abs((y == 0).mean() - 0.25) < 5 * deviation
    assert abs(y.mean() - 1) < 5 * deviation / 0.75
    np.testing.assert_array_equal(apply("dropout: 0.25", x, train=True, key=key), y)
    assert np.any(apply("dropout: 0.25", x, train=True, key=other) != y)
    for rate, shape in ((0.1, (3, 7, 11)), (0.9, (101,)), (0.5, (1,))):  # an odd count of elements, too
        z = np.asarray(apply(f"dropout: {rate}", np.ones(shape), train=True, key=key))
        assert z.shape == shape
        # 16 bits meet a rate to within 2^-17, which counts most where few elements are kept
        np.testing.assert_allclose(z[z != 0], 1 / (1 - rate), rtol=2**-17 / (1 - rate))
    gradient = jax.jit(jax.grad(lambda x: apply("dropout: 0.25", x, train=True, key=key).sum()))(
        jnp.asarray(x, jnp.float32)
    )
    np.testing.assert_array_equal(gradient, y)


@pytest.mark.parametrize(
    "spec",
    [
        "batch_norm",
        "layer_norm",
        "group_norm: 1",
        "instance_norm",
        "rms_norm",
        "l2_normalize",
        "prelu",
        "relu: {max_value: 1, negative_slope: 0.1, threshold: 0.5}",
        "soft_shrink",
        "squareplus",
        "scale",
        "formula: 'where(x > 0, 1, exp(x) / 2)'",
        "rotary_positions",
        "spatial_dropout2d",
        "drop_path: 0.5",
        "gaussian_noise: 0.5",
        "gaussian_dropout",
        "alpha_dropout",
        "dense: 3",
        "conv2d: {filters: 3, kernel: 1}",
        "max_pool2d: {window: 2, strides: 1}",
        "avg_pool2d: {window: 2, strides: 1}",
        "softmax",
        "dropout: 0.5",
    ],
)
def test_half_precision_stays_half(spec: str) -> None:
    """A bfloat16 value with bfloat16 weights gives bfloat16; statistics stay float32."""
    made = layer(spec)
    kind = TensorType((2, 4, 4, 4), "bf16")
    signature = made.infer(kind)
    weights = {name: w.astype(jnp.bfloat16) for name, w in weights_of(dict(signature.params)).items()}
    state = weights_of(dict(signature.state))
    result = jax.eval_shape(
        lambda x: made.apply({**weights, **state}, x, ctx=Context("train", jax.random.key(0))), value(kind)
    )
    y, moved = (result.output, result.state or {}) if isinstance(result, Outcome) else (result, {})
    assert y.dtype == jnp.bfloat16 and signature.output.dtype == "bf16"
    assert all(leaf.dtype == jnp.float32 for leaf in moved.values())


def test_sums_of_half_precision_do_not_overflow() -> None:
    """65,504 is the largest number of float16: more equal scores than that, and a mean of large numbers."""
    x = jnp.zeros((1, 70_000), jnp.float16)
    for spec, want in (("softmax", 1 / 70_000), ("log_softmax", -math.log(70_000))):
        y = layer(spec).apply({}, x, ctx=Context())
        assert y.dtype == jnp.float16
        np.testing.assert_allclose(np.asarray(y, np.float64), want, rtol=0.01)
    large = [jnp.full((1, 3), value, jnp.float16) for value in (61_440, 40_960)]
    assert layer("average").apply({}, *large, ctx=Context()).tolist() == [[51_200.0] * 3]
