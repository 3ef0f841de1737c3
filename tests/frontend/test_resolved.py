"""The resolved spec is a spec: it checks clean, means the same, and resolves to itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import dlc
from dlc.frontend.resolved import dump, resolve_document, resolved_text
from tests.common import ROOT, SMALL

GRAPH = """
name: graph
seed: 3
vars: {width: 8, text: "a$$b"}
blocks:
  bottleneck:
    params: {units: int, rate: 0.1}
    layers:
      - dense: {units: $(units // 2), activation: {leaky_relu: 0.1}}
      - dropout: $rate
      - dense: $units
  join:
    inputs: [left, right]
    layers: [add: [left, right]]
data: {source: {csv: {path: data.csv, delimiter: ";"}}}
inputs:
  a: {tensor: {shape: [$width], columns: ["x_*"]}}
  b: {category: {classes: [$text, "on", "1e3", "0o17", "1:30", "null"], one_hot: true}}
targets: {y: {number: standard}}
network:
  - dense: $width
    inputs: a
    name: left
  - residual:
      layers: [bottleneck: 8, layer_norm]
      activation: relu
  - repeat: {times: 2, layers: [bottleneck: {units: 8, rate: 0.2}, batch_norm]}
  - parallel: {branches: [[dense: 3], [dense: 4, tanh]], merge: concat}
  - parallel: {branches: {one: [relu], two: [dense: 7]}, merge: add}
  - dense: 8
    name: right
  - join
    inputs: [previous, left]
  - concat: [previous, b]
  - share: right_end
  - dense: 1
outputs: {y: previous}
loss: {mse: {}, weight: 0.5}
metrics: [mae, rmse]
optimizer:
  sgd: {learning_rate: {cosine: {peak: 0.1, end: 0.01, warmup: 2 epochs, length: 80%}}, momentum: 0.9}
  clip_norm: 1
train: {epochs: 7, batch_size: full, early_stopping: {patience: 3}}
""".replace("  - share: right_end\n", "").replace("  - join\n    inputs", "  - join:\n    inputs")

NETWORK = "inputs: {x: {tensor: [time, 4]}}\nnetwork: [dense: 2]\n"


def cases() -> list[tuple[str, str]]:
    files = [*sorted((ROOT / "specs").glob("*.yaml")), *sorted((ROOT / "dlc" / "tasks" / "templates").glob("*.yaml"))]
    return [
        ("small", SMALL),
        ("graph", GRAPH),
        ("network", NETWORK),
        *((path.stem, path.read_text()) for path in files),
    ]


@pytest.mark.parametrize(("name", "text"), cases(), ids=[name for name, _ in cases()])
def test_resolved_is_a_spec_that_resolves_to_itself(name: str, text: str, tmp_path: Path) -> None:
    spec = dlc.loads(text)
    written = dump(resolve_document(spec))
    again = dlc.loads(written)
    assert dump(resolve_document(again)) == written
    assert again.plan.losses == spec.plan.losses
    assert again.plan.metrics == spec.plan.metrics
    assert again.plan.inputs == spec.plan.inputs
    assert again.plan.targets == spec.plan.targets
    assert again.plan.train == spec.plan.train
    assert dlc.show(again) == dlc.show(spec)
    layers = [(node.path, node.layer, times) for node, times in spec.graph.walk()]
    assert [(node.path, node.layer, times) for node, times in again.graph.walk()] == layers


def test_texts_that_look_like_numbers_stay_texts() -> None:
    spec = dlc.loads(dump(resolve_document(dlc.loads(GRAPH))))
    feature = spec.plan.inputs["b"]
    assert feature is not None
    assert feature.names == ["a$b", "on", "1e3", "0o17", "1:30", "null"]  # type: ignore[attr-defined]


def test_every_default_is_filled_in() -> None:
    tree = resolve_document(dlc.loads(SMALL))
    assert tree["optimizer"] == {
        "adam": {
            "learning_rate": 0.05,
            "b1": 0.9,
            "b2": 0.999,
            "eps": 1e-8,
            "eps_root": 0.0,
            "eps_hat": False,
            "nesterov": False,
        },
        "accumulate": 1,
    }
    assert tree["network"][0] == {"dense": {"units": 8, "use_bias": True, "activation": "relu"}}
    assert tree["train"]["batch_size"] == 16
    assert tree["data"]["split"]["seed"] == 0


@pytest.mark.parametrize(
    ("inputs", "network", "loss"),
    [
        ("{tri: {tensor: [3, 6]}}", "[dense: 4]", "{triplet: 0.2}"),
        ("{x: {tensor: [4]}}\ntargets: {y: {category: 2}}", "[dense: 1]", "{binary_focal: {gamma: 0.5, alpha: null}}"),
        ("{x: {tensor: []}}\ntargets: {y: {category: 2}}", "[{expand_dims: 1}, dense: 2]", "cross_entropy"),
    ],
)
def test_forms_that_refuse_defaults_of_others_read_back(inputs: str, network: str, loss: str) -> None:
    spec = dlc.loads(f"inputs: {inputs}\nnetwork: {network}\nloss: {loss}\noptimizer: adam\n")
    again = dlc.loads(resolved_text(spec))
    assert [term.loss for term in again.plan.losses] == [term.loss for term in spec.plan.losses]
