"""Repeats: first iterations of their own, scans and unrolled ones: the same numbers and the same paths either way."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dlc
from dlc.backend.network import Program
from dlc.frontend.pipeline import Spec, check_text
from dlc.ir import TypedNode, TypedRepeat

HEAD = "inputs: {x: {tensor: [6, 6, 3]}}\n"
STAGE = """
blocks:
  unit:
    params: {filters: int, stride: 1, shortcut: []}
    layers:
      - residual:
          layers:
            - conv2d: {filters: $filters, kernel: 3, strides: $stride, padding: same, use_bias: false}
            - batch_norm: 0.9
            - relu
            - dropout: 0.2
          shortcut: $shortcut
network:
  - repeat:
      times: 4
      first: {stride: 2, shortcut: [conv2d: {filters: 4, kernel: 1, strides: 2}]}
      UNROLL
      layers: [unit: {filters: 4}]
    name: stage
  - global_avg_pool2d
"""
NESTED = """
network:
  - repeat:
      times: 3
      UNROLL
      layers:
        - conv2d: {filters: 3, padding: same}
        - repeat: {times: 2, UNROLL layers: [batch_norm, dropout: 0.5, conv2d: {filters: 3, kernel: 1}]}
  - global_avg_pool2d
"""


def spec_of(text: str, unroll: bool) -> Spec:
    nested = "{times: 2, UNROLL" in text
    text = text.replace("{times: 2, UNROLL", "{times: 2, unroll: true," if unroll else "{times: 2,")
    text = text.replace("UNROLL", "unroll: true" if unroll else "")
    assert nested or "UNROLL" not in text
    return dlc.loads(HEAD + text)


def kinds(spec: Spec) -> list[str]:
    return [
        f"{node.path}[{node.start}:{node.start + node.times}]"
        for node in spec.graph.nodes
        if isinstance(node, TypedRepeat)
    ]


def values(program: Program, flat: Any) -> tuple[Any, Any, Any]:
    """Outputs, new state by name and gradients by name of a training step."""
    variables = program.from_flat(flat)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 6, 3)), jnp.float32)
    pull = jnp.asarray(np.random.default_rng(1).normal(size=(2, 8)), jnp.float32)

    @jax.jit
    def step(variables: Any) -> Any:
        def total(params: Any) -> Any:
            outputs, state = program.apply({**variables, "params": params}, {"x": x}, key=jax.random.key(0), train=True)
            y = outputs["output"]
            return (y * pull[:, : y.shape[1]]).sum(), (y, state)

        (_, (y, state)), gradient = jax.value_and_grad(total, has_aux=True)(variables["params"])
        return y, state, gradient

    y, state, gradient = step(variables)
    return y, program.to_flat({**variables, "state": state}), program.to_flat({**variables, "params": gradient})


@pytest.mark.parametrize(
    ("text", "scans"), [(STAGE, ["stage[1:4]"]), (NESTED, ["repeat[0:3]"])], ids=["first", "nested"]
)
def test_scanned_or_unrolled_is_the_same(text: str, scans: list[str]) -> None:
    """Paths, first values, outputs, statistics and gradients, with batch norm and dropout inside."""
    scanned, unrolled = spec_of(text, unroll=False), spec_of(text, unroll=True)
    assert kinds(scanned) == scans and kinds(unrolled) == []
    first, second = dlc.compile(scanned), dlc.compile(unrolled)
    flat, plain = first.to_flat(first.init(3)), second.to_flat(second.init(3))
    assert set(flat) == set(plain)
    for name in flat:
        np.testing.assert_array_equal(flat[name], plain[name], err_msg=name)
    for one, other in zip(values(first, flat), values(second, plain), strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), one, other)
    assert dlc.show(scanned).params == dlc.show(unrolled).params


def test_the_first_iteration_has_options_of_its_own() -> None:
    graph = spec_of(STAGE, unroll=False).graph
    strides = {node.path: dict(node.layer)["strides"] for node, _ in graph.walk() if node.layer.word == "conv2d"}
    assert strides == {
        "stage/0/unit/residual/conv2d": (2, 2),
        "stage/0/unit/residual/shortcut/conv2d": (2, 2),
        "stage/*/unit/residual/conv2d": (1, 1),
    }
    names = set(dlc.compile(dlc.loads(HEAD + STAGE.replace("UNROLL", ""))).shapes())
    assert {f"stage/{index}/unit/residual/conv2d/kernel" for index in range(4)} <= names


def test_a_first_iteration_of_other_items() -> None:
    spec = dlc.loads(
        "inputs: {x: {tensor: [5]}}\n"
        "network: [{repeat: {times: 3, first: [dense: 4, relu], layers: [dense: 4, tanh]}}, dense: 2]\n"
    )
    words = [(node.path, node.layer.word) for node, _ in spec.graph.walk()]
    assert words == [
        ("repeat/0/dense", "dense"),
        ("repeat/0/relu", "relu"),
        ("repeat/*/dense", "dense"),
        ("repeat/*/tanh", "tanh"),
        ("dense", "dense"),
    ]


def test_only_the_first_iteration_changes_the_shape() -> None:
    """Without a word from the user: it runs alone, the rest is one loop."""
    spec = dlc.loads("inputs: {x: {tensor: [5]}}\nnetwork: [repeat: {times: 20, layers: [dense: 4]}]\n")
    assert [type(node) for node in spec.graph.nodes] == [TypedNode, TypedRepeat]
    assert kinds(spec) == ["repeat[1:20]"]
    assert dlc.show(spec).params == 24 + 19 * 20


def test_a_single_iteration_with_first() -> None:
    spec = dlc.loads(
        "inputs: {x: {tensor: [5]}}\nnetwork: [repeat: {times: 1, first: [dense: 4], layers: [dense: 3]}]\n"
    )
    assert [node.path for node, _ in spec.graph.walk()] == ["repeat/0/dense"]
    assert str(spec.graph.types["output"]) == "f32[batch, 4]"


def test_sharing_a_peeled_repeat() -> None:
    """Both uses have the same weights, those of the first iteration too."""
    spec = dlc.loads(
        "inputs: {x: {tensor: [5]}}\n"
        "network:\n"
        "  - repeat: {times: 3, layers: [dense: 4]}\n    name: tower\n    inputs: x\n"
        "  - share: tower\n    name: again\n    inputs: x\n"
        "  - add: [tower, again]\n"
    )
    assert dlc.show(spec).params == 24 + 2 * 20
    program = dlc.compile(spec)
    variables = program.init(0)
    y = program.apply(variables, {"x": np.ones((1, 5), np.float32)})[0]["output"]
    alone = dlc.loads(
        "inputs: {x: {tensor: [5]}}\nnetwork:\n  - repeat: {times: 3, layers: [dense: 4]}\n    name: tower\n"
    )
    single = dlc.compile(alone)
    half = single.apply(single.init(0), {"x": np.ones((1, 5), np.float32)})[0]["output"]
    np.testing.assert_allclose(y, 2 * half, rtol=1e-6)


@pytest.mark.parametrize(
    ("repeat", "code"),
    [
        ("{times: 2, first: {units: 3}, layers: [dense: {units: 4}, relu]}", "DLC106"),
        ("{times: 2, first: {units: 3}, layers: [dense: 4]}", "DLC106"),
        ("{times: 2, first: {units: 4}, layers: [dense: {units: 4}]}", "DLC303"),
        ("{times: 2, first: {unit: 4}, layers: [dense: {units: 4}]}", "DLC101"),
        ("{times: 2, first: {}, layers: [dense: 4]}", "DLC104"),
        ("{times: 1, unroll: true, layers: [dense: 4]}", "DLC303"),
    ],
)
def test_wrong_first_iterations(repeat: str, code: str) -> None:
    spec, report = check_text(f"inputs: {{x: {{tensor: [5]}}}}\nnetwork: [repeat: {repeat}]\n")
    assert (spec is None and report.codes == (code,)) or list(report.codes) == [code]
