"""Constraints of weights, against Keras' own."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import dlc
from dlc.backend.tree import set_in
from dlc.components.constraints import CONSTRAINTS
from dlc.components.constraints.constraint import Constraint, input_axes
from dlc.frontend.pipeline import Spec, check_text
from dlc.frontend.resolved import dump, resolve_document
from dlc.ir import ParamSpec
from dlc.language.options import load_class
from tests.common import SMALL
from tests.components.building import built
from tests.reference.keras_conformance import keras

HEAD = "inputs: {x: {tensor: [6]}}\n"


def loads(network: str) -> Spec:
    return dlc.loads(f"{HEAD}network: {network}\n")


def bounds(spec: Spec) -> dict[str, Constraint]:
    params = dlc.compile(spec).params
    return {path: slot.spec.constraint for path, slot in params.items() if slot.spec.constraint is not None}


def codes(network: str) -> list[str]:
    return list(check_text(f"{HEAD}network: {network}\n")[1].codes)


def word(text: str) -> Constraint:
    made = built(text, "constraint")
    assert isinstance(made, Constraint), made
    return made


@pytest.mark.parametrize("shape", [(6, 5), (3, 3, 4, 5)])
@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("max_norm", keras.constraints.MaxNorm),
        ("{max_norm: 0.5}", lambda axis: keras.constraints.MaxNorm(0.5, axis)),
        ("unit_norm", keras.constraints.UnitNorm),
        ("min_max_norm", lambda axis: keras.constraints.MinMaxNorm(axis=axis)),
        (
            "{min_max_norm: {min_value: 4, max_value: 5, rate: 0.7}}",
            lambda axis: keras.constraints.MinMaxNorm(4.0, 5.0, 0.7, axis),
        ),
        ("non_negative", lambda axis: keras.constraints.NonNeg()),
    ],
    ids=["max", "max-0.5", "unit", "min-max", "min-max-rate", "non-negative"],
)
def test_constraints_are_those_of_keras(text: str, reference: Any, shape: tuple[int, ...]) -> None:
    """With norms below, between and above the bounds, and one unit that is 0."""
    generator = np.random.default_rng(0)
    weight = generator.normal(size=shape).astype(np.float32) * np.array([0.0, 0.1, 0.5, 1.0, 3.0], np.float32)
    spec = ParamSpec(shape, axes=(*("kernel",) * (len(shape) - 2), "in", "out"), kernel=True)
    made = word(text)
    got = made.apply(weight, made.over(spec))
    axes: Any = list(range(len(shape) - 1)) if len(shape) > 2 else 0
    np.testing.assert_allclose(got, reference(axis=axes)(weight), rtol=2e-6, atol=1e-7)


def test_a_norm_within_its_bound_stays_bit_for_bit() -> None:
    """Keras' formula takes 1e-7 off every weight at every step; a weight that is allowed must not drift."""
    spec = ParamSpec((6, 2), axes=("in", "out"), kernel=True)
    made = word("max_norm")
    weight = np.random.default_rng(0).uniform(0.1, 0.2, (6, 2)).astype(np.float32) * np.array([1, 30], np.float32)
    got = np.asarray(made.apply(weight, made.over(spec)))
    np.testing.assert_array_equal(got[:, 0], weight[:, 0])
    np.testing.assert_allclose(np.linalg.norm(got[:, 1]), 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("item", "inputs", "axes"),
    [
        ("dense: 3", "[4]", {"dense/kernel": (-2,)}),
        ("conv2d: 3", "[8, 8, 2]", {"conv2d/kernel": (-4, -3, -2)}),
        ("conv2d_transpose: 3", "[8, 8, 2]", {"conv2d_transpose/kernel": (-4, -3, -1)}),
        ("depthwise_conv2d: 3", "[8, 8, 2]", {"depthwise_conv2d/kernel": (-4, -3)}),
        (
            "attention: 2",
            "[5, 4]",
            {
                "attention/query/kernel": (-3,),
                "attention/key/kernel": (-3,),
                "attention/value/kernel": (-3,),
                "attention/output/kernel": (-3, -2),
            },
        ),
    ],
)
def test_a_norm_is_over_the_inputs_of_one_output(item: str, inputs: str, axes: dict[str, tuple[int, ...]]) -> None:
    spec = dlc.loads(f"inputs: {{x: {{tensor: {inputs}}}}}\nnetwork:\n  - {item}\n    constraint: unit_norm\n")
    slots = dlc.compile(spec).params
    found = {path: slot.spec.constraint.over(slot.spec) for path, slot in slots.items() if slot.spec.constraint}
    assert found == axes


def test_axes_of_what_has_no_inputs() -> None:
    assert input_axes(ParamSpec((5, 3))) == (-2,)
    assert input_axes(ParamSpec((5,), axes=("out",))) == (-1,)


def test_the_inner_item_comes_first_and_names_come_before_kernels() -> None:
    spec = loads(
        "[{residual: [{dense: 6, constraint: unit_norm}, {dense: 6, constraint: {bias: non_negative}}], "
        "constraint: {max_norm: 3}}, dense: 2]"
    )
    assert bounds(spec) == {
        "residual/dense/kernel": word("unit_norm"),
        "residual/dense_2/kernel": word("{max_norm: 3}"),
        "residual/dense_2/bias": word("non_negative"),
    }
    assert bounds(dlc.loads(dump(resolve_document(spec)))) == bounds(spec)


def test_each_iteration_of_a_repeat_is_constrained_by_itself() -> None:
    body = (
        "[{dense: 6, constraint: {max_norm: 0.5}}, {repeat: {times: 2, layers: [{dense: 6, constraint: unit_norm}]}}]"
    )
    program = dlc.compile(loads(f"[repeat: {{times: 3, layers: {body}}}, dense: 2]"))
    variables = program.init(0)
    generator = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: generator.normal(size=leaf.shape).astype(np.float32), variables["params"])
    bound = jax.jit(program.constrained)(params)
    before, after = (program.to_flat({**variables, "params": tree}) for tree in (params, bound))
    for name, value in before.items():
        if name.endswith("dense/kernel") and name.startswith("repeat/"):
            reference = keras.constraints.UnitNorm() if name.count("repeat") == 2 else keras.constraints.MaxNorm(0.5)
            np.testing.assert_allclose(after[name], reference(value), rtol=2e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(after[name], value)


def test_without_constraints_nothing_is_done() -> None:
    program = dlc.compile(loads("[dense: 3]"))
    params = program.init(0)["params"]
    assert program.constrained(params) is params


def test_named_axes() -> None:
    """A row of an embedding is a word: `axis: 1` keeps each at norm 1."""
    spec = dlc.loads(
        "inputs: {words: {tokens: {vocabulary: 9}}}\nnetwork: [{embedding: {vocabulary: 9, size: 4}, "
        "constraint: {embedding: {unit_norm: {axis: 1}}}}]\n"
    )
    program = dlc.compile(spec)
    params = program.constrained(set_in(program.init(0)["params"], "embedding/embedding", np.ones((9, 4), np.float32)))
    np.testing.assert_allclose(np.linalg.norm(params["embedding"]["embedding"], axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("[{dense: 3, constraint: max_nrom}]", ["DLC105"]),
        ("[{dense: 3, constraint: {max_norm: {limit: 3}}}]", ["DLC101"]),
        ("[{dense: 3, constraint: {max_norm: 0}}]", ["DLC104"]),
        ("[{dense: 3, constraint: {max_norm: {axis: 2}}}]", ["DLC104"]),
        ("[{dense: 3, constraint: {max_norm: {axis: [0, 0]}}}]", ["DLC104"]),
        ("[{dense: 3, constraint: {max_norm: {axis: first}}}]", ["DLC103"]),
        ("[{dense: 3, constraint: {min_max_norm: {min_value: 2}}}]", ["DLC104"]),
        ("[dense: 3, {layer_norm: , constraint: unit_norm}]", ["DLC303"]),
        ("[{dense: 3, trainable: false, constraint: unit_norm}, dense: 2]", ["DLC303"]),
        ("[{dense: 3, constraint: {scale: unit_norm}}]", ["DLC303"]),
        ("[{dense: 3, trainable: false, constraint: {bias: non_negative}}, dense: 2]", ["DLC303"]),
        ("[{dense: 6, name: a}, {share: a, constraint: unit_norm}]", ["DLC303"]),
        ("[{dense: {units: 3, constraint: unit_norm}}]", ["DLC101"]),
    ],
)
def test_what_is_wrong_with_a_constraint(network: str, expected: list[str]) -> None:
    assert codes(network) == expected


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_constraint_is_documented(name: str) -> None:
    cls = load_class(CONSTRAINTS, name)
    assert cls.word == name and cls.__doc__ and cls.examples
    for example in cls.examples:
        text = f"{{{example}}}" if ":" in example else example
        assert codes(f"[{{dense: 3, constraint: {text}}}]") == []
    assert all(field.description for field in cls.model_fields.values())


def test_trained_weights_obey_their_constraint() -> None:
    text = SMALL.replace("dense: 3", "{dense: 3, constraint: {kernel: non_negative}}").replace("epochs: 4", "epochs: 1")
    params = dlc.train(dlc.loads(text)).variables["params"]
    assert np.min(params["dense_2"]["kernel"]) >= 0
    assert np.min(params["dense"]["kernel"]) < 0
