"""Windows along one to three axes against plain definitions, their masks, and what is said of wrong ones."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export, lax

from dlc import loads
from dlc.backend.tree import nest
from dlc.components.initializers.initializer import draw
from dlc.components.layers.conv import by_patches, by_window
from dlc.components.layers.depthwise import by_channels, by_elements
from dlc.components.layers.windows import Window, scaled, shifted, window_size
from dlc.frontend.passes.sizes import least_sizes
from dlc.ir import Context, Outcome, TensorType
from dlc.kernels.maxima import larger
from dlc.language.interpolation import substitute
from dlc.language.options import RuleViolation
from tests.components.building import built, layer


def wrong(spec: str, kind: str) -> RuleViolation:
    with pytest.raises(RuleViolation) as caught:
        layer(spec).infer(TensorType.parse(kind))
    return caught.value


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def run(spec: str, x: Any, **weights: Any) -> np.ndarray:
    arrays = nest({name.replace("__", "/"): jnp.asarray(w, jnp.float32) for name, w in weights.items()})
    function = jax.jit(lambda weights, x: layer(spec).apply(weights, x, ctx=Context()))
    return np.asarray(function(arrays, jnp.asarray(x, jnp.float32)))


# ---- values ----


def amounts(window: Window, sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Padding in numbers: TensorFlow's rule for `same`, more at the end when it is odd."""
    if window.padding == "causal":
        return [(window.extent[0] - 1, 0)]
    if window.padding == "same":
        totals = [
            max((-(-size // step) - 1) * step + extent - size, 0)
            for size, step, extent in zip(sizes, window.strides, window.extent, strict=True)
        ]
        return [(total // 2, total - total // 2) for total in totals]
    return [(0, 0)] * len(sizes) if window.padding == "valid" else list(window.padding)


def plain_windows(x: np.ndarray, window: Window, fill: float = 0.0) -> np.ndarray:
    """(B, *places, C) -> (B, *places', *window, C), by a loop over the places."""
    x = np.pad(x, [(0, 0), *amounts(window, x.shape[1:-1]), (0, 0)], constant_values=fill)
    counts = [
        (size - extent) // step + 1
        for size, extent, step in zip(x.shape[1:-1], window.extent, window.strides, strict=True)
    ]
    found = np.zeros((x.shape[0], *counts, *window.size, x.shape[-1]))
    for place in product(*map(range, counts)):
        cut = tuple(
            slice(index * step, index * step + extent, gap)
            for index, step, extent, gap in zip(place, window.strides, window.extent, window.dilation, strict=True)
        )
        found[:, *place] = x[:, *cut]
    return found


WINDOWS = [
    Window((3,), (1,), (1,), "valid"),
    Window((2,), (3,), (2,), "causal"),
    Window((3,), (2,), (1,), ((2, 1),)),
    Window((2,), (2,), (3,), "same"),
    Window((3, 2), (2, 1), (1, 2), ((1, 0), (0, 2))),
    Window((2, 3), (2, 3), (2, 1), "same"),
    Window((2, 1, 3), (2, 1, 2), (1, 2, 1), ((0, 1), (0, 0), (2, 0))),
    Window((2, 2, 2), (1, 2, 3), (2, 1, 1), "same"),
]
SIZES = {1: (9,), 2: (7, 8), 3: (5, 4, 6)}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_convolution_values(window: Window, groups: int) -> None:
    """Strides and dilation together, too, which Keras does not know."""
    rank = len(window.size)
    x = random(2, *SIZES[rank], 4)
    kernel, bias = random(*window.size, 4 // groups, 6, seed=1), random(6, seed=2)
    windows = plain_windows(x, window)
    cut = [slice(group * 4 // groups, (group + 1) * 4 // groups) for group in range(groups)]
    parts = [
        np.tensordot(
            windows[..., cut[group]], kernel[..., group * 6 // groups : (group + 1) * 6 // groups], axes=rank + 1
        )
        for group in range(groups)
    ]
    cls = type(layer(f"conv{rank}d: 1"))
    conv = cls(
        filters=6,
        kernel=window.size,
        strides=window.strides,
        padding=window.padding,
        dilation=window.dilation,
        groups=groups,
    )
    weights = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
    y = jax.jit(lambda w, x: conv.apply(w, x, ctx=Context()))(weights, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(y, np.concatenate(parts, -1) + bias, rtol=1e-4, atol=1e-5)  # sums of products in float32
    signature = conv.infer(TensorType(("batch", *x.shape[1:])))
    assert signature.output.shape[1:] == y.shape[1:]
    assert signature.flops == np.prod(y.shape[1:]) * (2 * np.prod(window.size) * 4 // groups + 1)


@pytest.mark.few(4)
@pytest.mark.parametrize(("fast", "plain", "out"), [(by_patches, by_window, 4), (by_elements, by_channels, 2)])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_what_a_cpu_runs_is_the_convolution(window: Window, fast: Any, plain: Any, out: int) -> None:
    """What stands in for XLA's convolution gives the same values and gradients."""
    x = jnp.asarray(random(2, *SIZES[len(window.size)], 3), jnp.float32)
    kernel = jnp.asarray(random(*window.size, 3, out, seed=1), jnp.float32)
    results = []
    for function in (fast, plain):

        def both(x: Any, kernel: Any, function: Any = function) -> Any:
            y, back = jax.vjp(lambda x, kernel: function(window, x, kernel), x, kernel)
            return y, back(jnp.cos(y))

        results.append(jax.jit(both)(x, kernel))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *results)


@pytest.mark.parametrize("word", ["max_pool", "avg_pool"])
@pytest.mark.parametrize("window", [window for window in WINDOWS if window.padding not in ("causal",)], ids=str)
def test_pool_values(word: str, window: Window) -> None:
    """Padding does not count."""
    rank = len(window.size)
    size = tuple(max(part, 3) for part in window.size)  # padding must be smaller than the window
    window = window._replace(size=size, dilation=(1,) * rank)
    x = random(2, *SIZES[rank], 3)
    windows = plain_windows(x, window, np.nan)
    axes = tuple(range(rank + 1, 2 * rank + 1))
    want = (np.nanmax if word == "max_pool" else np.nanmean)(windows, axis=axes)
    pool = type(layer(f"{word}{rank}d"))(window=window.size, strides=window.strides, padding=window.padding)
    y = jax.jit(lambda x: pool.apply({}, x, ctx=Context()))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)
    assert pool.infer(TensorType(("batch", *x.shape[1:]))).output.shape[1:] == y.shape[1:]


@pytest.mark.parametrize("causal", [False, True])
def test_depthwise_values(causal: bool) -> None:
    """Causal padding, and strides with dilation, which Keras' layers refuse."""
    window = Window((3,), (2,), (2,), "causal" if causal else ((1, 3),))
    x, kernel = random(2, 9, 2), random(3, 2, 3, seed=1)
    want = np.einsum("btkc,kcm->btcm", plain_windows(x, window), kernel).reshape(2, -1, 6)
    padding = "causal" if causal else "[[1, 3]]"
    options = f"kernel: 3, strides: 2, dilation: 2, depth_multiplier: 3, padding: {padding}, use_bias: false"
    np.testing.assert_allclose(run(f"depthwise_conv1d: {{{options}}}", x, kernel=kernel), want, rtol=1e-4, atol=1e-5)
    pointwise = random(1, 6, 4, seed=2)
    got = run(f"separable_conv1d: {{filters: 4, {options}}}", x, depthwise__kernel=kernel, pointwise__kernel=pointwise)
    np.testing.assert_allclose(got, want @ pointwise[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "places"),
    [((3,), (7,)), ((8,), (3,)), ((2, 3), (6, 7)), ((1, 1), (3, 4)), ((2, 3, 1), (5, 4, 3))],
    ids=str,
)
def test_adaptive_pool_values(size: tuple[int, ...], places: tuple[int, ...]) -> None:
    x = random(2, *places, 3)
    want = np.zeros((2, *size, 3))
    for place in product(*map(range, size)):
        cut = tuple(
            slice(index * length // count, -(-(index + 1) * length // count))
            for index, length, count in zip(place, places, size, strict=True)
        )
        want[:, *place] = x[:, *cut].mean(axis=tuple(range(1, len(size) + 1)))
    y = run(f"adaptive_avg_pool{len(size)}d: {list(size)}", x)
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)


def test_patches_and_dense_are_a_convolution() -> None:
    x, kernel = random(2, 6, 9, 3), random(2, 3, 3, 5, seed=1)
    patches = run("patches: [2, 3]", x)
    np.testing.assert_array_equal(patches[0, 1, 2], x[0, 2:4, 6:9].astype(np.float32).reshape(-1))
    conv = run("conv2d: {filters: 5, kernel: [2, 3], strides: [2, 3], use_bias: false}", x, kernel=kernel)
    np.testing.assert_allclose(patches @ kernel.reshape(-1, 5), conv, rtol=1e-4, atol=1e-5)


def test_pixel_shuffle_makes_squares_of_channels() -> None:
    x = random(2, 3, 4, 18)
    y = run("pixel_shuffle: 3", x)
    for row, column, i, j in product(range(3), range(4), range(3), range(3)):
        square = x[:, row, column].astype(np.float32)[:, (i * 3 + j) * 2 : (i * 3 + j + 1) * 2]
        np.testing.assert_array_equal(y[:, row * 3 + i, column * 3 + j], square)


def test_upsample_repeats() -> None:
    x = random(2, 3, 2, 2, 2).astype(np.float32)
    want = x.repeat(2, 1).repeat(1, 2).repeat(3, 3)
    np.testing.assert_array_equal(run("upsample3d: [2, 1, 3]", x), want)


# ---- types ----


def test_symbols_keep_their_formula() -> None:
    """Derived sizes are true for every size."""
    for spec in (
        "conv1d: {filters: 1, kernel: 2, strides: 3, padding: causal}",
        "conv1d_transpose: {filters: 1, kernel: 2, strides: 3}",
        "conv1d_transpose: {filters: 1, kernel: 3, strides: 2, padding: same, output_padding: 1}",
        "avg_pool1d: {window: 3, strides: 2, padding: 1}",
        "upsample1d: 3",
        "zero_pad1d: [2, 1]",
        "crop1d: [1, 2]",
    ):
        text = layer(spec).infer(TensorType.parse("f32[batch, time, 2]")).output.shape[1]
        for time in range(4, 12):
            known = layer(spec).infer(TensorType(("batch", time, 2))).output.shape[1]
            assert substitute(f"$({text})", {"time": time}) == known
            weights = layer(spec).infer(TensorType(("batch", time, 2))).params
            shapes = nest({name: jax.ShapeDtypeStruct(param.shape, jnp.float32) for name, param in weights.items()})
            x = jax.ShapeDtypeStruct((1, time, 2), jnp.float32)
            run = jax.eval_shape(lambda w, x, spec=spec: layer(spec).apply(w, x, ctx=Context()), shapes, x)
            assert run.shape[1] == known


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "spec",
    [
        "conv1d: {filters: 2, padding: causal, strides: 2}",
        "conv1d: {filters: 2, padding: [[4, 2]], strides: 3}",
        "max_pool1d",
        "max_pool1d: {window: 3, strides: 2, padding: 1}",
        "avg_pool1d: {window: 2, strides: 1, padding: same}",
        "upsample1d",
    ],
)
def test_sequences_of_any_length_are_exported(spec: str) -> None:
    """The mask's symbolic size is that of its sequence, so that the next layer can join them."""
    batch, time = export.symbolic_shape("batch, time", constraints=["time >= 9"])
    first, second = layer(spec), layer("conv1d: {filters: 2, padding: same}")
    kind = TensorType(("batch", "time", 3), mask=True)
    signatures = [first.infer(kind)]
    signatures.append(second.infer(signatures[0].output))
    weights = [nest({name: jnp.asarray(draw(p, 0, name)) for name, p in made.params.items()}) for made in signatures]

    def function(x: Any, mask: Any) -> Any:
        made = first.apply(weights[0], x, ctx=Context(masks=(mask,)))
        return second.apply(weights[1], made.output, ctx=Context(masks=(made.mask,))).output

    exported = export.export(jax.jit(function))(
        jax.ShapeDtypeStruct((batch, time, 3), jnp.float32), jax.ShapeDtypeStruct((batch, time), jnp.bool_)
    )
    for length in (9, 12):
        x, mask = jnp.asarray(random(2, length, 3), jnp.float32), jnp.arange(length) < jnp.array([[length], [7]])
        np.testing.assert_allclose(exported.call(x, mask), jax.jit(function)(x, mask), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("word", ["conv", "depthwise_conv", "separable_conv", "max_pool", "avg_pool", "upsample"])
def test_an_empty_batch_and_half_precision(word: str) -> None:
    spec = {"conv": "conv1d: 3", "separable_conv": "separable_conv1d: 3"}.get(word, f"{word}1d")
    kind = TensorType((0, 8, 3), "bf16")
    signature = layer(spec).infer(kind)
    weights = nest({name: jnp.asarray(draw(param, 0, name), jnp.bfloat16) for name, param in signature.params.items()})
    y = layer(spec).apply(weights, jnp.zeros((0, 8, 3), jnp.bfloat16), ctx=Context("train"))
    assert y.shape == signature.output.shape and y.dtype == jnp.bfloat16


def test_means_of_half_precision_are_summed_in_full() -> None:
    x = jnp.full((1, 1024, 1), 1.0, jnp.bfloat16)  # in bfloat16 a sum of ones stops at 256
    made = layer("avg_pool1d: {window: 1023, strides: 1, padding: same}").apply({}, x, ctx=Context())
    np.testing.assert_array_equal(made.astype(jnp.float32), 1.0)
    mask = jnp.ones((1, 1024), bool)
    for spec in ("avg_pool1d: {window: 1023, strides: 1, padding: same}", "global_avg_pool1d"):
        found = layer(spec).apply({}, x, ctx=Context(masks=(mask,)))
        found = found.output if isinstance(found, Outcome) else found
        np.testing.assert_array_equal(found.astype(jnp.float32), 1.0)


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "window",
    [
        Window((9,), (1,), (1,), "same"),
        Window((13, 2), (3, 1), (1, 2), ((5, 4), (0, 1))),
        Window((10,), (10,), (1,), "valid"),
        Window((31, 11), (2, 4), (2, 1), "valid"),
    ],
)
@pytest.mark.parametrize(("start", "ours", "theirs"), [(0.0, jnp.add, jnp.sum), (-np.inf, larger, jnp.max)])
def test_a_long_window_is_the_function_of_its_elements(window: Window, start: float, ours: Any, theirs: Any) -> None:
    x = jnp.asarray(random(2, *(70 - 3 * axis for axis in range(len(window.size))), 3), jnp.float32)

    def value(x: Any, fold: bool) -> Any:
        if fold:
            y = window.reduce(x, start, ours)
        else:
            y = window.padded(x, start)
            for axis, (size, step, space) in enumerate(zip(*window[:3], strict=True), 1):
                span = y.shape[axis] - (size - 1) * space
                slices = [lax.slice_in_dim(y, at * space, at * space + span, step, axis) for at in range(size)]
                y = theirs(jnp.stack(slices), axis=0)
        return jnp.sum(jnp.sin(y)), y

    run = jax.jit(jax.value_and_grad(value, has_aux=True), static_argnums=1)
    for got, expected in zip(jax.tree.leaves(run(x, True)), jax.tree.leaves(run(x, False)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)  # other sums of 341 values


@pytest.mark.parametrize(
    "spec", ["max_pool1d: {window: 700, strides: 1}", "avg_pool1d: {window: 700, strides: 3, padding: same}",
             "conv1d: {filters: 2, kernel: 700}", "conv1d: {filters: 2, kernel: 700, strides: 700}",
             "depthwise_conv1d: 700", "separable_conv1d: {filters: 2, kernel: 700}"]
)  # fmt: skip
def test_a_long_window_is_a_small_program(spec: str) -> None:
    made = layer(spec).infer(TensorType((2, 1500, 2)))
    weights = nest({name: jnp.asarray(draw(param, 0, name)) for name, param in made.params.items()})
    program = jax.jit(lambda w, x: layer(spec).apply(w, x, ctx=Context())).lower(weights, jnp.ones((2, 1500, 2)))
    assert len(program.as_text().splitlines()) < 200


# ---- masks ----

MASKED = [
    "conv1d: 3",
    "conv1d: {filters: 3, kernel: 2, strides: 2}",
    "conv1d: {filters: 4, padding: same, groups: 2, activation: tanh}",
    "conv1d: {filters: 3, kernel: 4, padding: same}",
    "conv1d: {filters: 3, padding: causal, dilation: 2, strides: 2}",
    "conv1d: {filters: 3, padding: [[1, 3]], strides: 3}",
    "conv1d: {filters: 3, kernel: 2, padding: 3}",
    "depthwise_conv1d: {depth_multiplier: 2, padding: same}",
    "depthwise_conv1d: {kernel: 2, strides: 2}",
    "separable_conv1d: {filters: 3, padding: causal}",
    "separable_conv1d: {filters: 3, kernel: 2, strides: 3, padding: [[0, 1]]}",
    "max_pool1d",
    "max_pool1d: {window: 3, strides: 1}",
    "max_pool1d: {window: 3, strides: 1, padding: same}",
    "max_pool1d: {window: 3, strides: 2, padding: [[1, 2]]}",
    "avg_pool1d: 3",
    "avg_pool1d: {window: 3, strides: 2}",
    "avg_pool1d: {window: 4, strides: 1, padding: same}",
    "avg_pool1d: {window: 3, strides: 2, padding: 1}",
    "global_max_pool1d",
    "global_avg_pool1d: {keep_dims: true}",
    "upsample1d: 3",
    "zero_pad1d: [2, 1]",
    "crop1d: [2, 0]",
]
SHORT, LONG = 7, 11


@cache
def masked_run(spec: str) -> Any:
    """(weights, x, mask) -> output, its mask, gradients for a pull that depends on the place alone; compiled."""

    def function(weights: Any, x: Any, mask: Any) -> Any:
        def forward(weights: Any, x: Any) -> Any:
            made = layer(spec).apply(weights, x, ctx=Context("train", masks=(mask,)))
            return (made.output, made.mask) if isinstance(made, Outcome) else (made, None)

        y, back, real = jax.vjp(forward, weights, x, has_aux=True)
        pull = jnp.cos(jnp.arange(y.shape[1])[:, None] + jnp.arange(y.shape[-1])) if y.ndim == 3 else jnp.cos(y)
        pull = jnp.broadcast_to(pull, y.shape)
        return y, real, back(pull if real is None else jnp.where(real[:, :, None], pull, 0.0))

    return jax.jit(function)


def weights_for(spec: str) -> Any:
    signature = layer(spec).infer(TensorType(("batch", LONG, 2), mask=True))
    return nest({name: jnp.asarray(random(*param.shape), jnp.float32) for name, param in signature.params.items()})


@pytest.mark.few()
@pytest.mark.parametrize("spec", MASKED)
@given(lengths=st.lists(st.integers(0, SHORT), min_size=3, max_size=3), seed=st.integers(0, 9))
@settings(max_examples=6, derandomize=True, deadline=None)
def test_padding_changes_nothing(spec: str, lengths: list[int], seed: int) -> None:
    """Longer padding, whatever it holds: the same outputs at real places, the same gradients of weights and inputs."""
    weights = weights_for(spec)
    x = random(3, LONG, 2, seed=seed).astype(np.float32)
    x[:, SHORT:] *= 1e6
    mask = np.arange(LONG) < np.array(lengths)[:, None]
    short = jax.tree.map(np.asarray, masked_run(spec)(weights, x[:, :SHORT], mask[:, :SHORT]))
    long = jax.tree.map(np.asarray, masked_run(spec)(weights, x, mask))
    if short[1] is None:
        np.testing.assert_allclose(long[0], short[0], rtol=1e-5, atol=1e-6)
    else:
        count = short[1].shape[1]
        np.testing.assert_array_equal(long[1][:, :count], short[1])
        assert not long[1][:, count:].any(), "a place that the shorter batch does not have is real"
        np.testing.assert_allclose(long[0][:, :count][short[1]], short[0][short[1]], rtol=1e-5, atol=1e-5)
    for a, b in zip(jax.tree.leaves(long[2][0]), jax.tree.leaves(short[2][0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(long[2][1][:, :SHORT], short[2][1], rtol=1e-5, atol=1e-5)
    assert not long[2][1][~mask].any(), "padding gets a gradient"
    assert np.isfinite(long[0]).all(), "a later layer would carry this into its gradients"


@pytest.mark.few()
@pytest.mark.parametrize("spec", MASKED)
def test_a_masked_sequence_gives_what_it_gives_alone(spec: str) -> None:
    weights, x = weights_for(spec), random(3, LONG, 2).astype(np.float32)  # as large as above: compiled already
    y, real, _ = masked_run(spec)(weights, x, np.arange(LONG) < np.array([[4], [0], [LONG]]))
    alone = jax.jit(lambda weights, x: layer(spec).apply(weights, x, ctx=Context("train")))(weights, x[:1, :4])
    got = y[0] if real is None else y[0][np.asarray(real[0])]
    np.testing.assert_allclose(got, alone[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("word", ["global_max_pool1d", "global_avg_pool1d"])
def test_a_sequence_of_padding_alone_gives_zero(word: str) -> None:
    x, mask = random(2, SHORT, 2).astype(np.float32), np.array([[True] * SHORT, [False] * SHORT])
    y, _, (_, gradient) = masked_run(word)({}, x, mask)
    np.testing.assert_array_equal(y[1], 0.0)
    assert np.isfinite(gradient).all() and not np.any(gradient[1])


# ---- wrong uses ----


@pytest.mark.parametrize(
    ("spec", "kind", "hint"),
    [
        ("conv1d: 4", "f32[batch, 8, 8, 3]", "use `conv2d` for (batch, height, width, channels)"),
        ("conv3d: 4", "f32[batch, 8, 8, 3]", "use `conv2d` for (batch, height, width, channels)"),
        ("conv2d_transpose: 4", "f32[batch, 8, 3]", "or use `conv1d_transpose` for (batch, time, channels)"),
        ("max_pool2d", "f32[batch, 2, 8, 8, 3]", "use `max_pool3d` for (batch, depth, height, width, channels)"),
        ("conv2d: 4", "f32[batch, 8, 8]", "give an image a channel axis, `shape: [height, width, 1]`, or use `conv1d`"),
        ("conv2d: 4", "f32[batch, 64]", "use it before `flatten`"),
        ("resize: 4", "f32[batch, 8, 8]", "give the input a channel axis"),
    ],
)
def test_a_wrong_rank_names_the_right_layer(spec: str, kind: str, hint: str) -> None:
    found = wrong(spec, kind)
    assert found.code == "DLC204"
    assert hint in str(found.hint)


def test_depthwise_3d_is_not_offered() -> None:
    assert wrong("depthwise_conv2d", "f32[batch, 4, 8, 8, 3]").hint is None


EMPTIED = "{filters: 2, kernel: 2, padding: same, output_padding: 0}"


@pytest.mark.parametrize(
    ("spec", "kind", "code", "option"),
    [
        ("conv1d: {filters: 4, groups: 3}", "f32[batch, 8, 6]", "DLC205", "groups"),
        ("conv3d: {filters: 4, groups: 2}", "f32[batch, 8, 8, 8, 3]", "DLC205", "groups"),
        ("conv2d_transpose: {filters: 4, strides: 2, dilation: [1, 2]}", "f32[batch, 8, 8, 3]", "DLC104", "dilation"),
        ("conv1d_transpose: {filters: 4, output_padding: 1}", "f32[batch, 8, 3]", "DLC104", "output_padding"),
        ("max_pool3d: {padding: [[0, 0], [0, 2], [0, 0]]}", "f32[batch, 8, 8, 8, 3]", "DLC205", "padding"),
        ("conv1d: {filters: 4, padding: same, strides: 2}", "f32[batch, time, 3] masked", "DLC212", "padding"),
        ("crop1d: [0, 1]", "f32[batch, time, 3] masked", "DLC212", "cropping"),
        ("crop2d: [[4, 4], [0, 0]]", "f32[batch, 8, 8, 3]", "DLC205", "cropping"),
        (f"conv2d_transpose: {EMPTIED}", "f32[batch, 2, 1, 3]", "DLC205", "output_padding"),
    ],
)
def test_a_wrong_use_points_at_its_option(spec: str, kind: str, code: str, option: str) -> None:
    found = wrong(spec, kind)
    assert (found.code, found.option) == (code, option)


def test_a_size_that_a_transposed_convolution_makes_nothing_of_is_too_small() -> None:
    spec = loads(f"inputs: {{x: {{tensor: [time, 3]}}}}\nnetwork: [conv1d_transpose: {EMPTIED}, global_avg_pool1d]\n")
    assert least_sizes(spec.plan) == {"time": 2}


@pytest.mark.parametrize(
    ("spec", "expected", "hint"),
    [
        ("conv2d: {filters: 4, padding: causal}", "[[top, bottom], [left, right]]", "along time can be causal"),
        ("max_pool1d: {padding: causal}", "[[before, after]]", "give the amounts"),
        ("conv1d: {filters: 4, padding: casual}", "`valid`, `same`, `causal`, an integer", "did you mean `causal`?"),
        ("conv3d: {filters: 4, padding: [[1, 1]]}", "[[front, back], [top, bottom], [left, right]]", "None"),
        ("conv1d: {filters: 4, kernel: 0}", "an integer of at least 1", "None"),
        ("zero_pad2d: [1, 2]", "an integer, or [[top, bottom], [left, right]]", "None"),
    ],
)
def test_a_wrong_option_says_what_fits(spec: str, expected: str, hint: str) -> None:
    errors = built(spec, "layer")
    assert isinstance(errors, list)
    assert errors[0].code == "DLC104"
    assert expected in str(errors[0].expected)
    assert hint in str(errors[0].hint)


@given(
    st.lists(st.tuples(st.sampled_from(["shift", "scale", "window"]), st.integers(1, 5), st.integers(1, 3)), max_size=6)
)
@settings(deadline=None, max_examples=60)
def test_formulas_of_symbolic_sizes_equal_the_numbers(steps: list[tuple[str, int, int]]) -> None:
    number: int | str = 10**9
    formula: int | str = "time"
    for what, amount, stride in steps:
        if what == "shift":
            number, formula = shifted(number, -amount), shifted(formula, -amount)
        elif what == "scale":
            number, formula = scaled(number, amount, stride), scaled(formula, amount, stride)
        else:
            arguments: Any = (amount, stride, 1, "valid", "conv1d", "time")
            number, formula = window_size(number, *arguments), window_size(formula, *arguments)
    assert substitute(f"$({formula})", {"time": 10**9}) == number


def test_sums_in_a_formula_are_added_up() -> None:
    size: int | str = "time"
    for _ in range(200):
        size = window_size(size, 3, 1, 1, "valid", "conv1d", "time")
    assert size == "(time - 400)"
