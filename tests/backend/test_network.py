"""Lowering: init and apply, repeats, sharing, randomness by name."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dlc
from dlc.backend.network import Program, lower
from dlc.backend.tree import flatten

HEAD = "inputs: {x: {tensor: [6]}}\n"

REPEAT = (
    HEAD
    + """
network:
  - repeat:
      times: 3
      layers:
        - residual:
            - dense: {units: 6, activation: tanh}
            - batch_norm: 0.5
            - dropout: 0.3
    name: encoder
  - dense: 2
"""
)

NESTED = (
    HEAD
    + """
network:
  - dense: 6
    name: stem
  - repeat:
      times: 2
      layers:
        - repeat: {times: 3, layers: [{dense: 6}, {dropout: 0.5}]}
        - add: [previous, stem]
"""
)


def x(batch: int = 5, width: int = 6) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((batch, width)).astype(np.float32)


def run(program: Program, variables: dict, value: np.ndarray, train: bool = False) -> tuple[np.ndarray, dict]:
    outputs, state = program.apply(variables, {"x": value}, key=jax.random.key(7), train=train)
    return np.asarray(outputs["output"]), state


def compiled(text: str) -> Program:
    return dlc.compile(dlc.loads(text))


def test_a_dense_network_is_the_formula() -> None:
    program = compiled(HEAD + "network: [{dense: {units: 4, activation: relu}}, dense: 2]\n")
    variables = program.init(3)
    params = variables["params"]
    hidden = np.maximum(x() @ params["dense"]["kernel"] + params["dense"]["bias"], 0)
    wanted = hidden @ params["dense_2"]["kernel"] + params["dense_2"]["bias"]
    np.testing.assert_allclose(run(program, variables, x())[0], wanted, rtol=1e-5)


def test_init_depends_on_seed_and_path_alone() -> None:
    plain = compiled(HEAD + "network: [dense: 4, dense: 2]\n").init(0)
    other = compiled(HEAD + "network: [dense: 4, dropout: 0.5, layer_norm, dense: 2]\n").init(0)
    np.testing.assert_array_equal(plain["params"]["dense_2"]["kernel"], other["params"]["dense_2"]["kernel"])
    again = compiled(HEAD + "network: [dense: 4, dense: 2]\n").init(1)
    assert not np.array_equal(plain["params"]["dense"]["kernel"], again["params"]["dense"]["kernel"])


@pytest.mark.parametrize("text", [REPEAT, NESTED], ids=["state", "nested"])
def test_declared_is_what_init_draws(text: str) -> None:
    program = compiled(text)
    drawn = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), program.init(0))
    assert program.declared() == drawn


def test_a_graph_computes_what_it_says() -> None:
    text = """
inputs: {a: {tensor: [6]}, b: {tensor: [6]}}
network:
  - dense: 6
    inputs: a
    name: left
  - dense: 6
    inputs: b
    share: left
    name: right
  - parallel: {branches: {sum: [{relu: }], same: [{linear: }]}, merge: concat}
  - concat: [previous, left]
outputs: {all: previous, right: right}
"""
    program = compiled(text)
    variables = program.init(0)
    assert set(flatten(variables["params"])) == {"left/kernel", "left/bias"}
    a, b = x(), x() + 1
    outputs, _ = program.apply(variables, {"a": a, "b": b})
    kernel = variables["params"]["left"]["kernel"]
    np.testing.assert_allclose(outputs["right"], b @ kernel, rtol=1e-5, atol=1e-6)
    wanted = np.concatenate([np.maximum(b @ kernel, 0), b @ kernel, a @ kernel], axis=1)
    np.testing.assert_allclose(outputs["all"], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.few(2)
@pytest.mark.parametrize("text", [REPEAT, NESTED], ids=["residual-batchnorm-dropout", "nested"])
@pytest.mark.parametrize("train", [False, True])
def test_a_scanned_repeat_is_the_unrolled_one(text: str, train: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned = compiled(text)
    monkeypatch.setattr("dlc.frontend.passes.infer._outer_state", lambda body, weights: True)  # forces unrolling
    unrolled = compiled(text)
    assert any("*" in path for path in scanned.params)
    assert not any("*" in path for path in unrolled.params)
    flat, plain = scanned.to_flat(scanned.init(0)), unrolled.to_flat(unrolled.init(0))
    assert set(flat) == set(plain)
    for name in flat:
        np.testing.assert_array_equal(flat[name], plain[name])

    def loss(program: Program) -> Callable[[dict], jax.Array]:
        def value(variables: dict) -> jax.Array:
            outputs, _ = program.apply(variables, {"x": x()}, key=jax.random.key(7), train=train)
            return jnp.square(outputs["output"]).sum()

        return value

    first, second = run(scanned, scanned.init(0), x(), train), run(unrolled, unrolled.init(0), x(), train)
    np.testing.assert_allclose(first[0], second[0], rtol=2e-5, atol=1e-6)
    new = scanned.to_flat({"params": scanned.init(0)["params"], "state": first[1]})
    other = unrolled.to_flat({"params": unrolled.init(0)["params"], "state": second[1]})
    for name in new:
        np.testing.assert_allclose(new[name], other[name], rtol=2e-5, atol=1e-6, err_msg=name)
    gradients = scanned.to_flat(jax.tree.map(np.asarray, jax.grad(loss(scanned))(scanned.init(0))))
    others = unrolled.to_flat(jax.tree.map(np.asarray, jax.grad(loss(unrolled))(unrolled.init(0))))
    for name in gradients:
        np.testing.assert_allclose(gradients[name], others[name], rtol=2e-4, atol=2e-5, err_msg=name)


def test_a_repeat_compiles_once() -> None:
    def program_length(times: int) -> int:
        program = compiled(REPEAT.replace("times: 3", f"times: {times}"))
        lowered = jax.jit(lambda v, i: program.apply(v, i, train=False)[0]).lower(program.init(0), {"x": x()})
        return len(lowered.as_text())

    assert program_length(32) < 1.1 * program_length(8)


def test_iterations_of_a_repeat_drop_different_elements() -> None:
    program = compiled(HEAD + "network: [{repeat: {times: 2, layers: [{dropout: 0.5}]}}]\n")
    ones = np.ones((64, 6), np.float32)
    value, _ = run(program, program.init(0), ones, train=True)
    assert 0.15 < np.mean(value != 0) < 0.35  # half of a half: the second mask is another one
    assert set(np.unique(value)) <= {0.0, 4.0}


def test_flat_names_round_trip() -> None:
    program = compiled(NESTED)
    variables = program.init(0)
    flat = program.to_flat(variables)
    assert "repeat/1/repeat/2/dense/kernel" in flat
    assert set(flat) == set(program.shapes())
    for name, (shape, dtype) in program.shapes().items():
        assert flat[name].shape == shape
        assert flat[name].dtype == dtype
    again = program.from_flat(flat)
    for path, value in flatten(variables).items():
        np.testing.assert_array_equal(flatten(again)[path], value)


def test_state_shared_into_a_repeat_is_updated_every_time() -> None:
    text = (
        HEAD
        + """
network:
  - batch_norm: 0.5
    name: norm
  - repeat: {times: 2, layers: [{batch_norm: 0.5, share: norm}]}
"""
    )
    program = compiled(text)
    assert list(program.state) == ["norm/mean", "norm/variance"]
    variables = program.init(0)
    _, state = run(program, variables, x() + 4, train=True)
    mean = (x() + 4).mean(0) * 0.5  # after the first use; later uses see normalized values of mean 0
    np.testing.assert_allclose(state["norm"]["mean"], mean / 4, atol=1e-5)


def test_symbolic_sizes_run_at_any_size() -> None:
    text = """
inputs: {x: {tensor: [height, width, 1]}}
network: [{conv2d: {filters: 2, padding: same}}, global_avg_pool2d, dense: 3]
"""
    program = compiled(text)
    variables = program.init(0)
    for size in (4, 9):
        outputs, _ = program.apply(variables, {"x": np.ones((2, size, size + 1, 1), np.float32)})
        assert outputs["output"].shape == (2, 3)


# ---- what layers add to the loss ----

VAE = """
inputs: {x: {tensor: [4]}}
network:
  - {dense: 3, name: mean, inputs: x}
  - {dense: 3, name: log_variance, inputs: x}
  - {gaussian_sample: 0.5, inputs: [mean, log_variance]}
  - dense: 4
"""


def test_a_sample_adds_its_divergence() -> None:
    program = compiled(VAE)
    variables = program.init(0)
    value = x(5, 4)

    def penalty(params: dict, train: bool) -> jax.Array:
        found = program.run({**variables, "params": params}, {"x": value}, key=jax.random.key(1), train=train)
        return found.penalty

    params = variables["params"]
    mean, log_variance = (value @ params[name]["kernel"] + params[name]["bias"] for name in ("mean", "log_variance"))
    want = 0.25 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1)
    for train in (False, True):
        np.testing.assert_allclose(penalty(params, train), want, rtol=1e-5)
    gradient = jax.grad(lambda params: penalty(params, True).sum())(params)
    np.testing.assert_allclose(gradient["mean"]["kernel"], 0.5 * value.T @ mean, rtol=1e-4, atol=1e-6)
    slope = 0.25 * value.T @ (np.exp(log_variance) - 1)
    np.testing.assert_allclose(gradient["log_variance"]["kernel"], slope, rtol=1e-4, atol=1e-6)
    assert not np.any(gradient["dense"]["kernel"])


@pytest.mark.parametrize("unroll", ["false", "true"])
def test_a_sample_in_a_repeat_adds_each_divergence(unroll: str) -> None:
    body = "[{dense: 4, name: mean}, {gaussian_sample: , inputs: [mean, mean]}]"
    text = f"inputs: {{x: {{tensor: [4]}}}}\nnetwork: [repeat: {{times: 3, unroll: {unroll}, layers: {body}}}]\n"
    program = compiled(text)
    variables = program.init(0)
    value = x(5, 4)
    found = program.run(variables, {"x": value}, train=False)
    flat, want, y = program.to_flat(variables), 0.0, value
    for index in range(3):
        y = y @ flat[f"repeat/{index}/mean/kernel"] + flat[f"repeat/{index}/mean/bias"]
        want = want + 0.5 * (np.exp(y) + y**2 - 1 - y).sum(1)
    np.testing.assert_allclose(found.outputs["output"], y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.penalty, want, rtol=1e-4)
    drawn = program.run(variables, {"x": value}, key=jax.random.key(0), train=True).outputs["output"]
    assert np.any(drawn != found.outputs["output"])


def test_the_mask_of_a_merge_is_where_all_inputs_are_real() -> None:
    spec = dlc.loads(
        "inputs: {a: {tokens: {vocabulary: 3, padding: 0}}, b: {tokens: {vocabulary: 3, padding: 0}}}\n"
        "network:\n"
        "  - {embedding: {vocabulary: 3, size: 2}, inputs: a, name: first}\n"
        "  - {embedding: {vocabulary: 3, size: 2}, inputs: b, name: second}\n"
        "  - {add: , inputs: [first, second]}\n"
    )
    a, b = np.int32([[1, 2, 1, 0]]), np.int32([[1, 2, 0, 0]])
    program = lower(spec.graph)
    for first, second in ((a, b), (b, a)):
        given = {"a": first, "a.mask": first != 0, "b": second, "b.mask": second != 0}
        found = program.run(program.init(0), given, train=False).masks["output"]
        np.testing.assert_array_equal(found, [[True, True, False, False]])
