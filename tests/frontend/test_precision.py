"""In what a network computes: half precision of networks and of single items, products of matrices, loss scaling."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import dlc
from dlc.backend import loss_scale
from dlc.backend.network import Program, lower
from dlc.backend.predict import serving
from dlc.components.layers import ACTIVATIONS, LAYERS
from dlc.frontend.pipeline import Spec, check_text
from dlc.frontend.precision import Precision, loss_scale_of
from dlc.frontend.resolved import resolved_text
from dlc.ir import DTYPES, Context, TypedGraph
from dlc.language.options import build_word
from dlc.serving.model import load_model
from dlc.training.run_folder import RunFolder
from tests.common import SMALL

HEAD = "inputs: {x: {tensor: [6]}}\n"
HALF = {"bf16": 2.0**-8, "f16": 2.0**-11}  # the relative rounding error


def codes(network: str, more: str = "") -> list[str]:
    return list(check_text(f"{HEAD}network: {network}\n{more}")[1].codes)


def loads(network: str, more: str = "") -> Spec:
    return dlc.loads(f"{HEAD}network: {network}\n{more}")


# ---- the section ----


def test_every_item_without_a_type_of_its_own_computes_in_it() -> None:
    spec = loads(
        "[dense: 4, {dense: 4, dtype: float32}, {layer_norm: , dtype: float16}, dense: 2]", "precision: bfloat16\n"
    )
    assert [node.dtype for node, _ in spec.graph.walk()] == ["bf16", "f32", "f16", "bf16"]
    assert str(spec.graph.types["output"]) == "f32[batch, 2]"
    program = dlc.compile(spec)
    assert {leaf.dtype for leaf in jax.tree.leaves(program.init(0))} == {np.dtype("float32")}
    assert program.apply(program.init(0), {"x": np.ones((2, 6), np.float32)})[0]["output"].dtype == jnp.float32


def test_the_short_form_is_the_long_one() -> None:
    short, long = (loads("[dense: 4]", f"precision: {form}\n") for form in ("float16", "{dtype: float16}"))
    assert short.plan.precision == long.plan.precision
    assert short.graph == long.graph
    assert loads("[dense: 4]", "precision: float32\n").graph == loads("[dense: 4]").graph


@pytest.mark.parametrize(
    ("network", "precision", "expected"),
    [
        ("[dense: 2]", "float64", ["DLC104"]),
        ("[dense: 2]", "half", ["DLC104"]),
        ("[dense: 2]", "16", ["DLC104"]),
        ("[dense: 2]", "{type: float16}", ["DLC101"]),
        ("[dense: 2]", "{matmul: fast}", ["DLC104"]),
        ("[dense: 2]", "{dtype: float16, loss_scale: 0}", ["DLC104"]),
        ("[dense: 2]", "{dtype: float16, loss_scale: dynamical}", ["DLC104"]),
        ("[dense: 2]", "{dtype: float16, loss_scale: true}", ["DLC104"]),
        ("[dense: 2]", "{dtype: bfloat16, matmul: tensorfloat32}", ["DLC303"]),
        ("[{dense: 2, dtype: float32}, dense: 2]", "{dtype: bfloat16, matmul: highest}", []),
        ("[dense: 2]", "{matmul: highest}", []),
        ("[{dense: 2, dtype: float16}]", "{matmul: highest}", ["DLC303"]),
        ("[dense: 2]", "{dtype: bfloat16, loss_scale: dynamic}", ["DLC303"]),
        ("[dense: 2]", "{dtype: float16, loss_scale: dynamic}", ["DLC303"]),  # nothing is trained
        ("[{dense: 2, dtype: float32}]", "bfloat16", ["DLC303"]),
        ("[{dense: 2, dtype: float32}]", "float32", []),
        ("[{dense: 2, dtype: float32}, dens: 3]", "{dtype: bfloat16, matmul: high}", ["DLC105"]),
        ("[{residual: [{dense: 6, dtype: float16}, {relu: , dtype: float16}], dtype: bfloat16}]", "float32", []),
        ("[{repeat: {times: 2, layers: [{dense: 6, dtype: float16}]}, dtype: bfloat16}]", "float32", ["DLC303"]),
    ],
)
def test_what_is_wrong_with_a_precision(network: str, precision: str, expected: list[str]) -> None:
    assert codes(network, f"precision: {precision}\n") == expected


def test_resolved_says_the_precision() -> None:
    for text in ("float16", "{dtype: bfloat16}", "{dtype: float16, loss_scale: 1024}", "{matmul: highest}"):
        spec = dlc.loads(f"{SMALL}precision: {text}\n")
        again = dlc.loads(resolved_text(spec))
        assert again.plan.precision == spec.plan.precision
        assert again.graph.matmul == spec.graph.matmul
        assert [node.dtype for node, _ in again.graph.walk()] == [node.dtype for node, _ in spec.graph.walk()]
    assert "precision" not in resolved_text(dlc.loads(SMALL))


def test_a_base_file_gives_way() -> None:
    assert dlc.loads(f"{SMALL}precision: bfloat16\n", ["precision=float16"]).plan.precision == Precision(
        dtype="float16"
    )


def test_activations_are_counted_in_their_own_size() -> None:
    whole, half = (dlc.show(dlc.loads(f"{SMALL}{more}")) for more in ("", "precision: float16\n"))
    assert half.activation_bytes * 2 == whole.activation_bytes
    assert half.weight_bytes == whole.weight_bytes


# ---- layers: tests/components/test_battery.py runs every example in each type ----


@pytest.mark.parametrize("dtype", HALF)
def test_activations_keep_the_type(dtype: str) -> None:
    """So that they may stand inside a loop, whose values can't change their type."""
    x = jnp.linspace(-3, 3, 8, dtype=DTYPES[dtype]).reshape(1, 8)
    for word in ACTIVATIONS:
        made = build_word(word, LAYERS, "activation")
        kind = jax.eval_shape(lambda made=made: made.apply({}, x, ctx=Context()))  # type: ignore[union-attr]
        assert kind.dtype == x.dtype, word


def test_scores_of_attention_do_not_overflow_in_float16() -> None:
    """q k^T is 2 * 300^2 = 180,000 > 65,504 before it is divided; with and without dropout."""
    for dropout in ("0.0", "0.5"):
        text = "inputs: {x: {tensor: [2, 2]}}\nprecision: float16\nnetwork: [attention: {heads: 1, dropout: RATE}]\n"
        program = dlc.compile(dlc.loads(text.replace("RATE", dropout)))
        variables = program.init(0)
        for name in ("query", "key", "value", "output"):
            variables["params"]["attention"][name]["kernel"] = np.eye(2, dtype=np.float32).reshape(
                variables["params"]["attention"][name]["kernel"].shape
            )
        x = np.full((1, 2, 2), 300, np.float32)

        @jax.jit
        def run(params: Any, program: Program = program, x: Any = x) -> Any:
            results = program.run({"params": params, "state": {}}, {"x": x}, key=jax.random.key(0), train=True)
            return 0.1 * results.outputs["output"].sum()  # the gradient of 1.0 would overflow for good reason

        found = jax.value_and_grad(run)(variables["params"])
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_tied_weights_in_half_precision() -> None:
    text = (
        "inputs: {words: {tokens: {vocabulary: 9}}}\nprecision: bfloat16\n"
        "network: [{embedding: {vocabulary: 9, size: 4}, name: table}, {gru: {units: 4, return_sequences: true}}, "
        "{tie: table}]\n"
    )
    half = dlc.compile(dlc.loads(text))
    whole = dlc.compile(dlc.loads(text.replace("precision: bfloat16\n", "")))
    variables, words = half.init(0), {"words": np.arange(6).reshape(2, 3) % 9}
    got, want = (program.apply(variables, words)[0]["output"] for program in (half, whole))
    np.testing.assert_allclose(got, want, atol=0.02)
    assert not np.array_equal(got, want)


# ---- products of matrices ----


PRODUCTS = """
inputs: {x: {tensor: [6, 4]}}
network:
  - repeat: {times: 2, layers: [attention: 2]}
  - lstm: {units: 3, return_sequences: true}
  - gru: {units: 8, return_sequences: true}
  - conv1d: 3
  - conv1d_transpose: 8
  - reshape: [6, 8, 1]
  - conv2d: 9
  - conv2d: {filters: 8, padding: same}
  - flatten
  - dense: 2
"""


@pytest.mark.parametrize(("how", "stored"), [("default", None), ("highest", "HIGHEST"), ("tensorfloat32", "HIGH")])
def test_matmul_reaches_every_product_and_its_gradients(how: str, stored: str | None) -> None:
    program = dlc.compile(dlc.loads(f"{PRODUCTS}precision: {{matmul: {how}}}\n"))
    variables, x = program.init(0), np.ones((2, 6, 4), np.float32)

    def loss(params: Any) -> jax.Array:
        return program.run({**variables, "params": params}, {"x": x}, train=True).outputs["output"].sum()

    found = precisions(jax.make_jaxpr(jax.grad(loss))(variables["params"]).jaxpr)
    assert len(found) > 10
    assert found == [stored and (stored, stored)] * len(found)


def precisions(jaxpr: Any) -> list[Any]:
    """What every product of matrices and every convolution of a program says, inner programs included."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            how = equation.params["precision"]
            found.append(how if how is None else tuple(str(part) for part in how))
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            program = getattr(inner, "jaxpr", inner)
            found += precisions(program) if hasattr(program, "eqns") else []
    return found


# ---- training, predicting, exporting ----


@pytest.mark.few(1)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_run_in_half_precision_predicts_and_exports(dtype: str, tmp_path: Path) -> None:
    spec = dlc.loads(SMALL.replace("epochs: 4", "epochs: 2") + f"precision: {dtype}\n")
    run = tmp_path / "run"
    result = dlc.train(spec, run)
    assert all(math.isfinite(value) for record in result.history for value in record.values())
    weights = load_file(run / "weights.safetensors")
    assert {array.dtype for array in weights.values()} == {np.dtype("float32")}
    assert dlc.export(run, "safetensors").exists()
    folder = dlc.export(run, "stablehlo")  # raises when the program's predictions are not the model's
    exported = jax.export.deserialize(bytearray((folder / "model.stablehlo").read_bytes()))
    rows = np.random.default_rng(0).normal(3, 2, (7, 4)).astype(np.float32)
    got = exported.call(load_file(folder / "weights.safetensors"), {"features": rows})["species"]
    wanted = load_model(RunFolder(run)).predict({"features": rows})["species"]
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    plain = load_model(RunFolder(run))
    whole = lower(replace_dtypes(plain.plan.graph))
    exact = serving(plain.plan, whole)(plain.weights, {"features": rows})["species"]
    assert not np.array_equal(wanted, exact)  # it did compute in half precision
    np.testing.assert_allclose(wanted, exact, atol=0.05)


def replace_dtypes(graph: TypedGraph) -> TypedGraph:
    return replace(graph, nodes=tuple(replace(node, dtype="f32") for node in graph.nodes))  # type: ignore[arg-type]


# ---- loss scaling ----


def test_gradients_that_float16_loses_survive_with_a_scale() -> None:
    """The gradient 1e-8 * x is 0 in float16, whose smallest number is 6e-8."""
    state = loss_scale.start("dynamic")
    x = jnp.float16(1.0)

    def loss(w: jax.Array, scale: bool) -> jax.Array:
        value = (w.astype(jnp.float16) * x).astype(jnp.float32) * 1e-8
        return loss_scale.scaled(state, value) if scale else value

    assert jax.grad(loss)(jnp.float32(1.0), False) == 0
    kept = loss_scale.unscaled(state, {"w": jax.grad(loss)(jnp.float32(1.0), True)})["w"]
    assert kept.dtype == jnp.float32
    np.testing.assert_allclose(kept, 1e-8, rtol=2.0**-10)


def test_a_scale_follows_overflows() -> None:
    """Halved at once, not below 1; doubled after 2,000 good steps, not above 2^24."""
    good, bad = jnp.bool_(True), jnp.bool_(False)
    advance = jax.jit(loss_scale.next_state)
    state = advance(loss_scale.start("dynamic"), bad)
    assert (float(state.scale), int(state.good)) == (2.0**14, 0)
    many = jax.jit(
        lambda state, iterations: jax.lax.fori_loop(0, iterations, lambda _, s: loss_scale.next_state(s, good), state)
    )
    state = many(state, 1999)
    assert (float(state.scale), int(state.good)) == (2.0**14, 1999)
    lost = advance(state, bad)
    assert (float(lost.scale), int(lost.good)) == (2.0**13, 0)
    state = advance(state, good)
    assert (float(state.scale), int(state.good)) == (2.0**15, 0)
    assert float(many(state, 40_000).scale) == 2.0**24
    for _ in range(30):
        state = advance(state, bad)
    assert float(state.scale) == 1.0
    assert (state.scale.dtype, state.good.dtype) == (jnp.float32, jnp.int32)
    assert float(loss_scale.start(512.0).scale) == 512.0


def test_finite_looks_at_every_gradient() -> None:
    tree = {"a": jnp.ones(3), "b": {"c": jnp.zeros((2, 2))}}
    assert bool(loss_scale.finite(tree)) and bool(loss_scale.finite({}))
    for wrong in (jnp.inf, -jnp.inf, jnp.nan):
        assert not loss_scale.finite({**tree, "b": {"c": tree["b"]["c"].at[1, 0].set(wrong)}})  # type: ignore[index]


def test_a_step_that_overflows_leaves_everything_as_it_was() -> None:
    """A whole step in float16: with a scale of 2^24 the gradients overflow, and nothing moves but the scale."""
    import optax

    program = dlc.compile(loads("[dense: 4, batch_norm, dense: 1]", "precision: float16\n"))
    variables, adam = program.init(0), optax.adam(0.1)
    x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)

    @jax.jit
    def step(variables: Any, optimizer: Any, scale: loss_scale.LossScale) -> Any:
        def loss(params: Any) -> Any:
            results = program.run({**variables, "params": params}, {"x": x}, key=jax.random.key(0), train=True)
            value = jnp.square(results.outputs["output"] - 3).mean()
            return loss_scale.scaled(scale, value), (value, results.state)

        gradients, (value, state) = jax.grad(loss, has_aux=True)(variables["params"])
        gradients = loss_scale.unscaled(scale, gradients)
        good = loss_scale.finite(gradients)
        updates, moved = adam.update(gradients, optimizer, variables["params"])
        new = ({**variables, "params": optax.apply_updates(variables["params"], updates), "state": state}, moved)
        return (*loss_scale.select(good, new, (variables, optimizer)), loss_scale.next_state(scale, good), value)

    optimizer = adam.init(variables["params"])
    large = loss_scale.LossScale(jnp.float32(2.0**24), jnp.int32(5))
    after, moved, scale, first = step(variables, optimizer, large)
    jax.tree.map(np.testing.assert_array_equal, (after, moved), (variables, optimizer))
    assert float(scale.scale) == 2.0**23
    value = first
    for _ in range(60):
        after, moved, scale, value = step(after, moved, scale)
    assert float(scale.scale) < 2.0**23 and float(value) < 0.5 * float(first)


def test_only_float16_needs_a_scale() -> None:
    def of(network: str, more: str = "") -> float | str | None:
        spec = loads(network, more)
        return loss_scale_of(spec.graph, spec.plan.precision)

    assert of("[dense: 2]") is None
    assert of("[dense: 2]", "precision: bfloat16\n") is None
    assert of("[dense: 2]", "precision: float16\n") == "dynamic"
    assert of("[dense: 2, {dense: 2, dtype: float16}]") == "dynamic"
    fixed = dlc.loads(f"{SMALL}precision: {{dtype: float16, loss_scale: 1024}}\n")
    assert loss_scale_of(fixed.graph, fixed.plan.precision) == 1024.0
