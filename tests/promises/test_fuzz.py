"""Specs that were right until something in them was replaced: each gives a spec or a finding, never a traceback."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.diagnostics import render
from dlc.diagnostics.codes import CODES
from dlc.frontend.pipeline import check_text
from dlc.language.yaml_text import parse_yaml
from tests.common import ROOT, examples

RICH = """
dlc: 1
name: rich
seed: 3
vars: {width: 8, rate: 0.25, stem: {filters: 4, kernel: 3, padding: same}, half: $(width / 2)}
data: {source: digits, split: {validation: 0.1, test: 0.1, seed: 1}}
inputs:
  image: {tensor: {shape: [8, 8, 1], scale: 16}}
targets:
  digit: {category: {classes: 10}}
blocks:
  unit:
    params: {filters: int, act: relu}
    layers:
      - residual:
          layers: [{conv2d: {filters: $filters, kernel: 3, padding: same, activation: $act}, name: main}, batch_norm]
          shortcut: [{conv2d: {filters: $filters, kernel: 1}}]
          activation: relu
  join:
    inputs: [left, right]
    layers: [{add: [left, right]}, relu]
network:
  - {conv2d: $stem, name: stem}
  - {unit: $width, name: first}
  - repeat: {times: 2, layers: [{unit: 8}, dropout: $rate]}
  - repeat: {times: 2, layers: [max_pool2d: 2]}
  - parallel:
      branches: {deep: [{unit: {filters: $half, act: gelu}}], wide: [conv2d: {filters: 4, kernel: 1}]}
      merge: concat
  - {flatten: , name: flat}
  - {dense: 16, name: a}
  - {dropout: 0.1, inputs: flat, name: noisy}
  - {dense: 16, inputs: noisy, share: a, name: b}
  - {join: , inputs: [a, b], name: joined}
  - {share: a, inputs: flat}
  - add: [previous, joined]
  - {dense: 10, name: head, dtype: float32, constraint: {max_norm: {value: 3, axis: 0}}, rematerialize: dots}
outputs: {scores: head}
precision: {dtype: float16, matmul: highest, loss_scale: 1024}
loss: {cross_entropy: {label_smoothing: 0.1}, output: scores, target: digit, weight: 2.0}
metrics: [accuracy, {accuracy: , name: again}]
optimizer: {adam: {learning_rate: {cosine: {peak: 1e-3, warmup: 10%}}}, clip_norm: 1.0}
train: {epochs: 20, monitor: validation/accuracy, early_stopping: {monitor: validation/loss, patience: 5}}
"""
SPECS = [RICH, (ROOT / "specs" / "digits_cnn.yaml").read_text(encoding="utf-8")]
TREES = [parse_yaml(text, "f").tree for text in SPECS]

WORDS = [
    *("dense", "conv2d", "flatten", "add", "concat", "residual", "parallel", "repeat", "share", "relu", "unit", "join"),
    *("previous", "image", "digit", "head", "a", "flat", "stem", "name", "inputs", "layers", "times", "scores", "loss"),
    *("digits", "iris", "tensor", "number", "category", "adam", "sgd", "cosine", "mse", "accuracy", "same", "a.state"),
    *(
        "$width",
        "$(width * 2)",
        "$nothing",
        "$(",
        "$stem",
        "$filters",
        "$$",
        "int",
        "*",
        "a/b",
        "",
        " ",
        "²",
        "0",
        "-1",
    ),
    *("validation/loss", "train/loss", "network", "vars", "dlc", "<<", "é", "\n", "\x07", "0.1"),
]
NUMBERS = [0, 1, -1, 2, 3, 10**6, 2**40, 10**30, 0.5, 1.0, -0.0, 1e300, float("inf"), float("nan"), True, False, None]
LEAVES = st.one_of(st.sampled_from(WORDS), st.sampled_from(NUMBERS))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=5,
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def holder(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        tree = tree[key]
    return tree


@st.composite
def mutants(draw: st.DrawFn) -> str:
    tree = copy.deepcopy(draw(st.sampled_from(TREES)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(tree)))
        if not path:
            continue
        parent, key = holder(tree, path), path[-1]
        how = draw(st.sampled_from(["replace", "delete", "add", "rename", "repeat"]))
        if how == "replace":
            parent[key] = draw(VALUES)
        elif how == "delete":
            del parent[key]
        elif isinstance(parent, dict):
            value = parent.pop(key) if how == "rename" else draw(VALUES)
            parent[draw(st.sampled_from(WORDS))] = value
        else:
            parent.insert(
                draw(st.integers(0, len(parent))), copy.deepcopy(parent[key]) if how == "repeat" else draw(VALUES)
            )
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


@pytest.mark.parametrize("text", SPECS)
def test_the_originals_are_right(text: str) -> None:
    spec, report = check_text(text)
    assert spec is not None, render.text(report)


def check(text: str) -> None:
    spec, report = check_text(text)
    assert (spec is not None) == report.ok, text
    for item in report.diagnostics:
        assert item.code in CODES
        assert item.found != "`...`", "a value that was reported is reported again"
        assert "Broken" not in repr(item)
    for form in render.FORMATS.values():
        form(report)


@given(mutants())
@settings(deadline=None, max_examples=examples(100))
def test_mutants(text: str) -> None:
    check(text)


@given(st.sampled_from(SPECS), st.data())
@settings(deadline=None, max_examples=examples(50))
def test_damaged_texts(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = min(len(text), start + data.draw(st.integers(0, 12)))
    noise = data.draw(st.text(st.sampled_from("ab $(){}[],:-#&*!|>'\"\n\t01"), max_size=6))
    check(text[:start] + noise + text[end:])


PATHS = [".".join(map(str, path)) for path in places(TREES[0]) if path and path[0] != "dlc"]


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(WORDS + [str(n) for n in NUMBERS])), max_size=3))
@settings(deadline=None, max_examples=examples(50))
def test_settings(pairs: list[tuple[str, str]]) -> None:
    spec, report = check_text(RICH, sets=[f"{path}={value}" for path, value in pairs])
    assert (spec is not None) == report.ok
