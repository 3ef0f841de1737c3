"""The promise of masks: a batch that is padded further gives the same values at real places, and the same gradients."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.backend.tree import nest
from dlc.components.layers import ACTIVATIONS, LAYERS
from dlc.ir import Context, Outcome, TensorType
from dlc.language.options import load_class
from tests.components.building import layer

FLOATS = "f32[batch, time, 4] masked"
MODULES = (
    "activations",
    "dense",
    "dropouts",
    "embedding",
    "formula",
    "gates",
    "group_norm",
    "merge",
    "noise",
    "norm",
)
MODULES += ("piecewise", "places", "shape", "smooth")

# a layer, the types of its inputs, and where it matters whether it trains
CASES: list[tuple[str, tuple[str, ...]]] = [
    ("batch_norm", (FLOATS,)),
    ("batch_norm: {scale: false}", ("f32[batch, time, 2, 3] masked",)),
    ("layer_norm", (FLOATS,)),
    ("group_norm: 2", (FLOATS,)),
    ("group_norm: 1", ("f32[batch, time, 2, 3] masked",)),
    ("instance_norm", (FLOATS,)),
    ("rms_norm", (FLOATS,)),
    ("l2_normalize", (FLOATS,)),
    ("scale", (FLOATS,)),
    ("dense: {units: 3, activation: tanh}", (FLOATS,)),
    ("einsum_dense: {equation: 'abc,cde->abde', output_shape: [null, 2, 3], bias_axes: e}", (FLOATS,)),
    ("einsum_dense: {equation: '...c,cd->...d', output_shape: 3}", (FLOATS,)),
    ("softmax", (FLOATS,)),
    ("log_softmax", (FLOATS,)),
    ("prelu", (FLOATS,)),
    ("glu", (FLOATS,)),
    ("swiglu", (FLOATS,)),
    ("formula: 'x1 * sigmoid(x2)'", (FLOATS, FLOATS)),
    ("dropout", (FLOATS,)),
    ("spatial_dropout1d", (FLOATS,)),
    ("spatial_dropout2d", ("f32[batch, time, 2, 3] masked",)),
    ("spatial_dropout3d", ("f32[batch, time, 2, 2, 3] masked",)),
    ("drop_path: 0.4", (FLOATS,)),
    ("gaussian_noise: 1", (FLOATS,)),
    ("gaussian_dropout", (FLOATS,)),
    ("alpha_dropout", (FLOATS,)),
    ("add", (FLOATS, "f32[batch, 1, 4]")),
    ("subtract", (FLOATS, FLOATS)),
    ("multiply", ("f32[batch, 1, 4]", FLOATS)),
    ("average", (FLOATS, FLOATS, FLOATS)),
    ("maximum", (FLOATS, FLOATS)),
    ("minimum", (FLOATS, FLOATS)),
    ("concat", (FLOATS, FLOATS)),
    ("concat: {axis: 1}", (FLOATS, "f32[batch, 2, 4]", FLOATS)),
    ("stack: {axis: 2}", (FLOATS, FLOATS)),
    ("reshape: [-1, 2, 2]", (FLOATS,)),
    ("permute: [1, 3, 2]", ("f32[batch, time, 2, 3] masked",)),
    ("take: {index: -1, axis: 2}", (FLOATS,)),
    ("pad_channels: [1, 2]", (FLOATS,)),
    ("slice: {axis: 2, start: 1, stop: -1}", (FLOATS,)),
    ("slice: {start: 1}", (FLOATS,)),
    ("squeeze: 2", ("f32[batch, time, 1, 3] masked",)),
    ("expand_dims: 2", (FLOATS,)),
    ("masking", (FLOATS,)),
    ("embedding: {vocabulary: 6, size: 3}", ("i32[batch, time]<6 masked",)),
    ("embedding: {vocabulary: 6, size: 3, mask_zero: true}", ("i32[batch, time]<6 masked",)),
    ("learned_positions: 9", (FLOATS,)),
    ("sinusoidal_positions", (FLOATS,)),
    ("rotary_positions", (FLOATS,)),
    ("rotary_positions", ("f32[batch, time, 2, 4] masked",)),
    ("class_token", (FLOATS,)),
]
DEPENDS_ON_PLACE = ("dropout", "gaussian_noise", "gaussian_dropout", "alpha_dropout")  # what they draw: evaluation only
TIME, FURTHER, BATCH = 4, 3, 3


def test_every_layer_that_takes_masks_is_here() -> None:
    here = {word for word, path in LAYERS.items() if path.split(":")[0].split(".")[-1] in MODULES}
    masked = {word for word in here if load_class(LAYERS, word).masks != "refused"}
    tested = {layer(spec).word for spec, _ in CASES}
    elementwise = {word for word in ACTIVATIONS if load_class(LAYERS, word).masks == "elementwise"}
    assert masked - elementwise - tested == {"tie"}  # a product by the last axis alone; it needs another's weights


@cache
def compiled(spec: str, inputs: tuple[str, ...]) -> Any:
    """(params, state, floats, integers, masks, weight) -> output, mask, state and gradients; compiled."""
    made = layer(spec)
    train = made.word not in DEPENDS_ON_PLACE

    def run(params: Any, floats: Any, state: Any, integers: Any, masks: Any) -> tuple[Any, Any]:
        more = {"masks": masks} if made.masks == "used" else {}
        key = jax.random.key(5) if made.random and train else None
        found = made.apply(
            nest({**params, **state}), *(floats or integers), ctx=Context("train" if train else "evaluate", key, **more)
        )
        found = found if isinstance(found, Outcome) else Outcome(found)
        mask = found.mask
        if mask is None:
            given = [mask for mask in masks if mask is not None]
            mask = given[0] if made.masks == "used" else jnp.stack(given).all(0)
        y = found.output
        shown = mask.reshape(*mask.shape, *(1,) * (y.ndim - 2))
        # what a loss takes: real places, each channel and place by a weight of its own
        weight = jnp.cos(jnp.arange(float(np.prod(y.shape[2:], dtype=int)))).reshape(y.shape[2:])
        order = jnp.cumsum(mask, 1).reshape(shown.shape)
        total = jnp.where(shown, y * weight * jnp.sin(order), 0.0).sum()
        return total, (y, mask, found.state or {})

    return jax.jit(jax.value_and_grad(run, argnums=(0, 1), has_aux=True))


@pytest.mark.few(20)
@pytest.mark.parametrize(("spec", "inputs"), CASES, ids=[f"{spec} | {', '.join(kinds)}" for spec, kinds in CASES])
@settings(max_examples=4, derandomize=True, deadline=None, database=None)
@given(lengths=st.lists(st.integers(1, TIME), min_size=BATCH, max_size=BATCH), seed=st.integers(0, 1000))
def test_padding_changes_nothing(spec: str, inputs: tuple[str, ...], lengths: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    kinds = [TensorType.parse(text) for text in inputs]
    signature = layer(spec).infer(*kinds)
    assert signature.output.mask
    params = {name: jnp.asarray(generator.normal(size=p.shape), jnp.float32) for name, p in signature.params.items()}
    state = {name: jnp.asarray(generator.uniform(1, 2, p.shape), jnp.float32) for name, p in signature.state.items()}

    def drawn(kind: TensorType) -> tuple[np.ndarray, np.ndarray]:
        """An input, and the same padded further, with other values in the padding."""
        time = TIME if kind.mask else kind.shape[1]
        shape = (BATCH, *(time if axis == 1 else size for axis, size in enumerate(kind.shape) if axis))
        more = (BATCH, FURTHER, *shape[2:])
        if kind.is_float:
            short, rest = generator.normal(size=shape), generator.normal(5, 3, more)
        else:
            short, rest = generator.integers(0, kind.bound, shape), generator.integers(0, kind.bound, more)
        if not kind.mask:
            return short, short
        long = np.concatenate([short, rest], 1)
        for row, length in enumerate(lengths):
            long[row, length:TIME] = long[row, length:TIME][::-1] + (1 if kind.is_float else 0)
        return short, long

    pairs = [drawn(kind) for kind in kinds]

    def result(which: int, time: int) -> Any:
        types = [jnp.float32 if kind.is_float else jnp.int32 for kind in kinds]
        arrays = [jnp.asarray(pair[which], dtype) for pair, dtype in zip(pairs, types, strict=True)]
        real = jnp.arange(time) < jnp.asarray(lengths)[:, None]
        masks = tuple(real if kind.mask else None for kind in kinds)
        floats, integers = (arrays, ()) if kinds[0].is_float else ((), arrays)
        (total, (y, mask, moved)), (pull, floats) = compiled(spec, inputs)(params, floats, state, integers, masks)
        return total, np.asarray(y)[np.asarray(mask)], moved, pull, floats, real

    short, long = result(0, TIME), result(1, TIME + FURTHER)
    np.testing.assert_allclose(short[1], long[1], rtol=1e-5, atol=1e-6)
    for one, other in zip(jax.tree.leaves(short[2:4]), jax.tree.leaves(long[2:4]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)  # sums in another order
    for kind, one, other in zip(kinds, short[4], long[4], strict=False):
        if kind.mask:
            real, further = np.asarray(short[5]), np.asarray(long[5])
            np.testing.assert_allclose(one[real], other[further], rtol=1e-4, atol=1e-5)
            assert not np.any(one[~real]) and not np.any(other[~further]), "padding gets a gradient"
        else:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_activations_take_each_element_by_itself() -> None:
    made = [layer(word) for word in ACTIVATIONS if load_class(LAYERS, word).masks == "elementwise"]
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5)), jnp.float32)
    run = jax.jit(lambda x: [one.apply({}, x, ctx=Context("train")) for one in made])
    for y, cut in zip(run(x), run(x[:, :3]), strict=True):
        np.testing.assert_array_equal(y[:, :3], cut)


@pytest.mark.parametrize("spec", ["batch_norm", "group_norm: 2", "gaussian_noise: 1", "learned_positions: 5", "concat"])
def test_empty_batches(spec: str) -> None:
    made = layer(spec)
    x, mask = jnp.ones((0, TIME, 4)), jnp.ones((0, TIME), bool)
    count = made.arity[0]
    signature = made.infer(*[TensorType(("batch", TIME, 4), mask=True)] * count)
    weights = {name: jnp.ones(p.shape) for name, p in {**signature.params, **signature.state}.items()}
    more = {"masks": (mask,) * count} if made.masks == "used" else {}
    found = made.apply(weights, *[x] * count, ctx=Context("train", jax.random.key(0), **more))
    y = found.output if isinstance(found, Outcome) else found
    assert y.shape == (0, *signature.output.shape[1:])
    if isinstance(found, Outcome) and found.state:
        assert all(np.isfinite(leaf).all() for leaf in found.state.values())


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "spec",
    [
        "batch_norm",
        "group_norm: 2",
        "reshape: [-1, 2]",
        "slice: {start: 2}",
        "slice: {start: 1, stop: -1}",
        "slice: {stop: 1}",
        "slice: {start: -1}",
        "learned_positions: 9",
        "sinusoidal_positions",
        "rotary_positions",
        "class_token",
        "einsum_dense: {equation: 'abc,cd->abd', output_shape: [null, 3]}",
    ],
)
def test_symbolic_sizes_can_be_exported(spec: str) -> None:
    """One program for every length, with the values that a program for one length gives."""
    made = layer(spec)
    signature = made.infer(TensorType(("batch", "time", 4)))
    generator = np.random.default_rng(0)
    weights = {
        name: jnp.asarray(generator.uniform(1, 2, p.shape), jnp.float32)
        for name, p in {**signature.params, **signature.state}.items()
    }

    def run(x: Any) -> Any:
        found = made.apply(weights, x, ctx=Context())
        return found.output if isinstance(found, Outcome) else found

    batch, time = jax.export.symbolic_shape("b, t")
    program = jax.export.export(jax.jit(run))(jax.ShapeDtypeStruct((batch, time, 4), jnp.float32))
    x = jnp.asarray(generator.normal(size=(2, 6, 4)), jnp.float32)
    np.testing.assert_allclose(program.call(x), run(x), rtol=1e-6, atol=1e-6)
