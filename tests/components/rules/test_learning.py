"""Configurations that leave nothing to learn: what the rules find, and that there is no gradient where they find it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dlc
from dlc.components.registry import KINDS
from dlc.diagnostics import SpecError
from dlc.ir import Context, Outcome, TensorType
from dlc.language.options import build_word
from tests.common import findings

NUMBER = "targets: {y: number}\nloss: mse\noptimizer: {adam: 0.01}\n"
CLASSES = "targets: {y: {category: 3}}\noptimizer: {adam: 0.01}\n"


def network(layers: str, x: str = "[4]", rest: str = NUMBER) -> str:
    return f"inputs: {{x: {{tensor: {x}}}}}\nnetwork: [{layers}]\n{rest}"


@pytest.mark.parametrize(
    ("item", "single", "more"),
    [
        ("softmax", (2, 1), (2, 3)),
        ("log_softmax", (2, 4, 1), (2, 4, 3)),
        ("layer_norm", (2, 1), (2, 3)),
        ("rms_norm", (2, 1), (2, 3)),
        ("l2_normalize", (2, 1), (2, 3)),
        ("l2_normalize: 1", (2, 1, 3), (2, 3, 1)),
        ("group_norm: 3", (2, 3), (2, 2, 3)),
        ("instance_norm", (2, 1, 1, 3), (2, 1, 2, 3)),
        ("batch_norm", (1, 3), (2, 3)),
        ("batch_norm", (1, 1, 1, 3), (1, 2, 1, 3)),
    ],
)
def test_a_single_element_has_no_gradient(item: str, single: tuple[int, ...], more: tuple[int, ...]) -> None:
    """The rule finds a layer exactly where the gradient of its input is zero."""
    word, _, rest = item.partition(": ")
    tree: Any = {word: int(rest)} if rest else word
    layer = build_word(tree, {**KINDS["layer"].table, **KINDS["activation"].table}, "layer")
    assert not isinstance(layer, list)

    def size(shape: tuple[int, ...], factor: jax.Array) -> jax.Array:
        x = jnp.asarray(np.random.default_rng(0).uniform(1, 2, shape), jnp.float32) * factor
        signature = layer.infer(TensorType(("batch", *shape[1:])))
        weights = {name: jnp.ones(spec.shape) for name, spec in {**signature.params, **signature.state}.items()}
        result = layer.apply(weights, x, ctx=Context("train"))
        y = result.output if isinstance(result, Outcome) else result
        return (y * jnp.arange(1.0, 1.0 + y.size).reshape(y.shape)).sum()

    for shape, idle in ((single, True), (more, False)):
        gradient = jax.grad(lambda value: size(shape, value))(jnp.ones(shape))  # noqa: B023 - called at once
        assert (float(jnp.abs(gradient).max()) < 1e-3) == idle
        axes = ", ".join(map(str, shape[1:]))
        spec = network(f"{item}, flatten, dense: 1" if rest == "" else f"{{{item}}}, flatten, dense: 1", f"[{axes}]")
        assert ("DLC217" in dict(findings(f"{spec}train: {{batch_size: {shape[0]}}}"))) == idle


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (network("{dense: {units: 1, activation: softmax}}"), [("DLC217", 2)]),
        (network("{dense: {units: 2, activation: softmax}}, dense: 1"), []),
        (network("{lstm: {units: 1, activation: softmax}}, dense: 1", "[5, 2]"), [("DLC217", 2)]),
        (network("{attention: 2}, flatten, dense: 1", "[1, 4]"), [("DLC217", 2)]),
        (network("{attention: 2}, flatten, dense: 1", "[2, 4]"), []),
        (network("{attention: {heads: 2, window: 1}}, flatten, dense: 1", "[2, 4]"), [("DLC217", 2)]),
        (
            network("{dense: 1, name: a}, {dense: 1, inputs: x, name: b}, {dot: {normalize: true}, inputs: [a, b]}"),
            [("DLC217", 2)],
        ),
        (network("{dense: {units: 2}, constraint: unit_norm}, dense: 1", "[1]"), [("DLC217", 2)]),
        (network("{dense: {units: 2}, constraint: unit_norm}, dense: 1", "[2]"), []),
        (network("dense: 4, batch_norm, dense: 1", rest=f"{NUMBER}train: {{batch_size: full}}"), []),
        # each of the accumulated batches is normalized by itself
        (
            network("dense: 4, batch_norm, dense: 1", rest=NUMBER.replace("0.01", "0.01, accumulate: 8"))
            + "train: {batch_size: 1}",
            [("DLC217", 2)],
        ),
        (network("dense: 4, {batch_norm: , trainable: false}, dense: 1") + "train: {batch_size: 1}", []),
        ("inputs: {x: {tensor: [4]}}\nnetwork: [dense: 4, batch_norm]", []),
        (network("layer_norm, global_avg_pool1d, dense: 1", "[time, 1]"), [("DLC217", 2)]),
        # examples that a loss compares, or an augmentation mixes
        (network("dense: 8", rest=f"{CLASSES}loss: triplet\ntrain: {{batch_size: 2}}"), [("DLC320", 5)]),
        (network("dense: 8", rest=f"{CLASSES}loss: triplet\ntrain: {{batch_size: 3}}"), []),
        (
            network("dense: 6, {reshape: [3, 2]}", rest="loss: triplet\noptimizer: adam\ntrain: {batch_size: 1}"),
            [],
        ),
        (
            network("dense: 6, {reshape: [2, 3]}", rest="loss: nt_xent\noptimizer: adam\ntrain: {batch_size: 1}"),
            [("DLC320", 3)],
        ),
        (network("dense: 1") + "augment: [mixup]\ntrain: {batch_size: 1}", [("DLC320", 6)]),
        (network("flatten, dense: 1", "[4, 4, 3]") + "augment: cutmix\ntrain: {batch_size: 1}", [("DLC320", 6)]),
        # a step mixes all of its accumulated batches
        (
            network("dense: 1", rest=NUMBER.replace("0.01", "0.01, accumulate: 2"))
            + "augment: [mixup]\ntrain: {batch_size: 1}",
            [],
        ),
    ],
)
def test_too_few_to_compare(text: str, want: list[tuple[str, int]]) -> None:
    assert findings(text) == want


TOWERS = """inputs: {x: {tensor: [4]}}
network:
  - {LAYER, name: a, inputs: x}
  - {share: a, inputs: x, name: b}
outputs: {a: a, b: b}
loss: {LOSS: , output: a, target: b}
optimizer: adam
"""

VIEWS = """inputs: {x: {tensor: [4]}, z: {tensor: {shape: [4], column: x}}}
network:
  - {dense: 3, name: a, inputs: x}
  - {share: a, inputs: z, name: b}
  - stack: [a, b]
loss: nt_xent
optimizer: adam
"""


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (TOWERS.replace("LAYER", "dense: 3").replace("LOSS", "nt_xent"), [("DLC320", 6)]),
        (TOWERS.replace("LAYER", "dense: 3").replace("LOSS", "cosine"), [("DLC320", 6)]),
        (
            TOWERS.replace("LAYER", "repeat: {times: 3, layers: [{dense: 4}, relu]}").replace("LOSS", "mse"),
            [("DLC320", 6)],
        ),
        # dropout makes two views of one example (SimCSE, Gao et al. 2021)
        (
            TOWERS.replace("LAYER", "repeat: {times: 3, layers: [{dense: 4}, {dropout: 0.1}]}").replace("LOSS", "mse"),
            [],
        ),
        (
            TOWERS.replace("LAYER", "repeat: {times: 3, layers: [{dense: 4}, {dropout: 0}]}").replace("LOSS", "mse"),
            [("DLC320", 6)],
        ),
        (VIEWS, [("DLC320", 5)]),
        (f"{VIEWS}augment: [{{jitter: 0.1, on: [x, z]}}]\n", []),  # noise is drawn for each
        (f"{VIEWS}augment: [{{polarity_flip: , on: [x, z]}}]\n", [("DLC320", 5)]),  # the same factor for both
        (f"{VIEWS}augment: [{{polarity_flip: , on: x}}]\n", []),
        (VIEWS.replace("shape: [4], column: x", "shape: [4], scale: 2, column: x"), []),
        (network("{dense: 3, name: a}, stack: [a, a]", rest="loss: nt_xent\noptimizer: adam"), [("DLC320", 2)]),
        (
            network("{dense: 3, name: a}, stack: [a, a]", rest="targets: {y: {category: 2}}\nloss: contrastive"),
            [("DLC320", 2)],
        ),
        (network("{dense: 3, name: a}, subtract: [a, a], dense: 1"), [("DLC320", 2)]),
        (network("{dense: 3, name: a}, add: [a, a], dense: 1"), []),
        (network("{dense: 3, name: a}, dot: [a, a]"), []),
        (network("{dense: 3, name: a}, {dot: {normalize: true}, inputs: [a, a]}"), [("DLC320", 2)]),
        (network("{dense: 3, name: a}, {share: a, inputs: x, name: b}, concat: [a, b], dense: 1"), [("DLC320", 2)]),
        (network("{dense: 3, name: a}, {dense: 3, inputs: x, name: b}, concat: [a, b], dense: 1"), []),
    ],
)
def test_two_equal_views(text: str, want: list[tuple[str, int]]) -> None:
    assert findings(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (network("{dense: 1, trainable: false}"), [("DLC320", 4)]),
        (network("flatten", "[2]", "targets: {y: {tensor: [2]}}\nloss: mse\noptimizer: adam"), [("DLC320", 4)]),
        (network("{dense: 4, trainable: false}, dense: 1"), []),
        (network("dense: 4, {dense: 1, trainable: false}"), []),
        (network("{repeat: {times: 2, layers: [dense: 4]}}, take: 0", "[4]"), []),
        (
            network("{dense: 4, name: a}, {dense: 1, name: b}, {dense: 3, inputs: a, name: c}", rest="")
            + "outputs: {p: b, q: c}\ntargets: {y: number}\nloss: {mse: , output: p, target: y}\noptimizer: adam",
            [("DLC320", 2)],
        ),
        # the penalty of a layer is part of the loss
        (
            network("{dense: 2, name: m}, {dense: 2, inputs: x, name: v}, {gaussian_sample: {kl: 1}, inputs: [m, v]}")
            .replace("{gaussian_sample: {kl: 1}, inputs", "{gaussian_sample: , inputs")
            .replace("y: number", "y: {tensor: [2]}"),
            [],
        ),
    ],
)
def test_weights_without_a_loss(text: str, want: list[tuple[str, int]]) -> None:
    assert findings(text) == want


def trained(tmp_path: Path, text: str, **arrays: np.ndarray[Any, Any]) -> list[str]:
    """The codes of what a run of a few records ends with."""
    np.savez(tmp_path / "t.npz", **arrays)
    spec = tmp_path / "spec.yaml"
    spec.write_text(text)
    with pytest.raises(SpecError) as caught:
        dlc.train(spec)
    return list(caught.value.report.codes)


def test_what_only_the_data_show(tmp_path: Path) -> None:
    """Sizes and batches that are symbols in the spec: the rules run again before the first step."""
    series = "data: {source: {npz: t.npz}}\n" + network(
        "instance_norm, global_avg_pool1d, dense: 1", "{shape: [time, 2]}"
    )
    assert dlc.loads(series)
    assert trained(tmp_path, series, x=np.zeros((40, 1, 2), "f4"), y=np.zeros(40, "f4")) == ["DLC217"]
    full = "data: {source: {npz: t.npz}}\n" + network("dense: 4, batch_norm, dense: 1") + "train: {batch_size: full}\n"
    assert trained(tmp_path, full, x=np.zeros((1, 4), "f4"), y=np.zeros(1, "f4")) == ["DLC217"]
    split = "data: {source: {npz: t.npz}, split: {validation: 2}}\n" + network(
        "dense: 4", rest=f"{CLASSES}loss: triplet\ntrain: {{batch_size: 8}}\n"
    )
    assert trained(tmp_path, split, x=np.zeros((40, 4), "f4"), y=np.arange(40) % 3) == ["DLC320"]


def test_a_last_view_without_others_does_not_count() -> None:
    """In evaluation the last batch may hold one example: its loss would be 0, whatever the views."""
    loss = build_word("nt_xent", KINDS["loss"].table, "loss")
    assert not isinstance(loss, list)
    views = [jnp.asarray(np.random.default_rng(seed).normal(size=(4, 3)), jnp.float32) for seed in (0, 1)]
    score = loss.apply(*views, real=jnp.asarray([True, False, False, False]))
    assert float(score.weight[0]) == 0 and float(score.total[0]) == 0
    assert loss.apply(*views, real=jnp.asarray([True, True, False, False])).weight[:2].tolist() == [1, 1]
