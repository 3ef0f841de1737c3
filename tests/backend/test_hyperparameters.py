"""Hyperparameters are arguments of the compiled program: changing one compiles nothing, and its value counts."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dlc
from dlc.backend.emit import program_text
from dlc.backend.hyperparameters import Hyperparameters, numbers_of, with_numbers
from dlc.backend.network import lower
from dlc.components.initializers.initializer import path_hash
from dlc.components.optimizers import OPTIMIZERS
from dlc.components.schedules.schedule import Horizon
from dlc.ir import Context, TypedNode
from dlc.language.options import build_word, load_class
from dlc.language.yaml_text import parse_yaml
from dlc.training.train import train as train_spec

SPEC = """
data: {source: iris, split: {validation: 0.2}}
inputs: {features: {tensor: {shape: [4], normalize: standard}}}
targets: {species: {category: [setosa, versicolor, virginica]}}
network:
  - {dense: 8, l1: 1e-4}
  - relu
  - dropout: 0.1
  - dense: 3
loss: cross_entropy
optimizer: {adamw: {learning_rate: 1e-2, weight_decay: 1e-3}, clip_norm: 1.0, groups: [{match: dense/*, b1: 0.8}]}
regularization: {l2: 1e-4}
train: {epochs: 2, batch_size: 30}
"""
CHANGES = {
    "a learning rate": "optimizer.adamw.learning_rate=3e-2",
    "a decay": "optimizer.adamw.weight_decay=0.1",
    "a moment's decay": "optimizer.adamw.b2=0.9",
    "a group's option": "optimizer.groups.0.b1=0.7",
    "a clip": "optimizer.clip_norm=0.01",
    "a penalty": "regularization.l2=0.03",
    "a dropout rate": "network.2.dropout=0.6",
    "an item's penalty": "network.0.l1=0.02",
}


@pytest.mark.few(4)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_number_is_the_same_program_with_another_result(change: str) -> None:
    specs = [dlc.loads(SPEC), dlc.loads(SPEC, [CHANGES[change]])]
    first, second = (program_text(spec.plan, "stablehlo", step=True) for spec in specs)
    assert first == second
    losses = [[line["train/loss"] for line in train_spec(spec).history] for spec in specs]
    assert losses[0] != losses[1]


def test_the_factor_of_a_schedule_is_an_argument_and_zero_is_not() -> None:
    def text(*sets: str) -> str:
        return program_text(dlc.loads(SPEC, sets).plan, "stablehlo", step=True)

    cosine = "optimizer.adamw.learning_rate={cosine: {peak: %s, warmup: 25%%}}"
    assert text(cosine % 0.01) == text(cosine % 0.02) != text()
    adam = "optimizer={adam: {learning_rate: 0.01, eps_root: %s}}"
    assert text(adam % 0.1) == text(adam % 0.2) != text(adam % 0.0)


def made(example: str):  # type: ignore[no-untyped-def]
    found = build_word(parse_yaml(f"item:\n  {example}\n", "example").tree["item"], OPTIMIZERS, "optimizer")
    assert not isinstance(found, list)
    return found


EXAMPLES = [example for word in OPTIMIZERS for example in load_class(OPTIMIZERS, word).examples]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_optimizer_with_arguments_is_the_one_with_constants(example: str) -> None:
    """As optax computes it with Python floats, but for the rounding of what the compiler computes with constants."""
    optimizer = made(example)
    numbers = Hyperparameters.of(numbers_of(optimizer, "optimizer"))
    generator = np.random.default_rng(0)
    draw = lambda: {name: jnp.float32(generator.normal(size=size)) for name, size in (("a", (4, 3)), ("b", (3,)))}  # noqa: E731
    weights, gradients = draw(), [draw() for _ in range(3)]

    def run(values, constant):  # type: ignore[no-untyped-def]
        rule = optimizer if constant else with_numbers(optimizer, "optimizer", numbers.bound(values))
        transformation = optax.with_extra_args_support(rule.build(Horizon(2000, 20.0)))
        params, state = weights, transformation.init(weights)
        for gradient in gradients:
            updates, state = transformation.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
        return params, state

    both = jax.jit(lambda values: (run(values, True), run(values, False)))
    constant, argument = both(numbers.values)
    assert jax.tree.structure(constant) == jax.tree.structure(argument)
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, rtol=2e-5, atol=1e-6), constant, argument)
    assert numbers.names or type(optimizer).static, "it has no hyperparameter at all"


def test_differences_to_one_are_those_of_double_precision() -> None:
    number = Hyperparameters.of({"b2": 0.999}).bound(np.float32([[0.999, 1 - 0.999]]))["b2"]
    assert np.float32(1 - number) == np.float32(1 - 0.999) != np.float32(1) - np.float32(0.999)
    assert float(2 - number) == float(np.float32(2) - np.float32(0.999))
    assert float(number * 2) == float(2 * number) and float(1 / number) == float(1 / np.float32(0.999))
    with pytest.raises(TypeError):
        _ = number < 1  # type: ignore[operator]


@pytest.mark.parametrize("decay", [0.1, 0.5, 0.9, 0.999, 0.99999])
def test_powers_are_exact_as_are_their_differences_to_one(decay: float) -> None:
    numbers = Hyperparameters.of({"decay": decay})
    number = numbers.bound(numbers.values)["decay"]
    for exponent in (0.5, 1, 2, 7, 1000):
        power = number ** (jnp.int32(exponent) if exponent >= 1 else exponent)
        assert float(1 - power) == pytest.approx(-math.expm1(exponent * math.log(decay)), rel=3e-7)
        assert float(jnp.asarray(power)) == pytest.approx(decay**exponent, rel=1e-6, abs=1e-30)


def test_a_network_alone_computes_its_penalty() -> None:
    program = lower(dlc.loads(SPEC).graph)
    variables = program.init(0)
    first, second = (variables["params"][name]["kernel"] for name in ("dense", "dense_2"))
    expected = 1e-4 * np.abs(first).sum() + 1e-4 * np.square(first).sum() + 1e-4 * np.square(second).sum()
    assert float(program.penalty(variables)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("item", ["dropout: %s", "spatial_dropout1d: %s", "drop_path: %s", "gaussian_noise: %s"])
@pytest.mark.parametrize("rate", [0.1, 0.25, 0.7])
def test_a_rate_as_an_argument_changes_no_bit(item: str, rate: float) -> None:
    text = f"inputs: {{x: {{tensor: [6, 5]}}}}\nnetwork: [{{{item % rate}}}]\n"
    graph, key = dlc.loads(text).graph, jax.random.key(3)
    program, node = lower(graph), graph.nodes[0]
    assert isinstance(node, TypedNode)
    x = jnp.float32(np.random.default_rng(0).normal(size=(64, 6, 5)))
    ctx = Context("train", jax.random.fold_in(key, path_hash(node.path)))
    expected = jax.jit(lambda x: node.layer.apply({}, x, ctx=ctx))(x)
    found = jax.jit(lambda variables: program.run(variables, {"x": x}, key=key, train=True))(program.init(0))
    np.testing.assert_array_equal(found.outputs["output"], expected)
    assert np.any(np.asarray(expected) != x)


@pytest.mark.parametrize("item", ["attention: {heads: 2, dropout: %s}", "lstm: {units: 3, dropout: %s}"])
def test_rates_within_a_layer_are_arguments(item: str) -> None:
    text = "inputs: {x: {tensor: [6, 4]}}\nnetwork: [{%s}, flatten, dense: 1]\ntargets: {y: number}\nloss: mse\n"
    text += "optimizer: sgd\ndata: {npz: {path: x.npz}}\n".replace("{npz: {path: x.npz}}", "{source: {npz: x.npz}}")
    programs = [program_text(dlc.loads(text % (item % rate)).plan, "stablehlo", step=True) for rate in (0.2, 0.3)]
    assert programs[0] == programs[1]
