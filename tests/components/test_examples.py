"""Losses, metrics, optimizers and schedules are documented, and their examples give what they state."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlc.components.losses.loss import LossExample
from dlc.ir import TensorType
from dlc.language.options import RuleViolation, load_class
from tests.components.building import TABLES, built, over_split, pair


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind, table in TABLES.items() for word in table])
def test_a_thing_is_documented(kind: str, word: str) -> None:
    cls = load_class(TABLES[kind], word)
    assert cls.word == word
    assert cls.__doc__ and cls.examples
    for name, field in cls.model_fields.items():
        assert field.description, f"`{name}` of `{word}` has no description"
    if kind in ("loss", "metric"):
        assert cls.__doc__.startswith("(batch")
        assert any(example.error is None for example in cls.examples)
        assert any(example.error == cls.code for example in cls.examples)


EXAMPLES = [
    (kind, word, example)
    for kind in ("loss", "metric")
    for word in TABLES[kind]
    for example in load_class(TABLES[kind], word).examples
]


@pytest.mark.parametrize(
    ("kind", "word", "example"), EXAMPLES, ids=[f"{w}: {e.spec} | {e.output} {e.target}" for _, w, e in EXAMPLES]
)
def test_an_example_gives_what_it_states(kind: str, word: str, example: LossExample) -> None:
    made = built(example.spec, kind)
    if isinstance(made, list):
        assert made[0].code == example.error
        return
    types = TensorType.parse(example.output), TensorType.parse(example.target) if example.target else None
    if example.error is not None:
        with pytest.raises(RuleViolation) as caught:
            made.infer(*types)
        assert caught.value.code == example.error
        assert caught.value.found
        return
    made.infer(*types)
    output, target = pair(example, seed=2)
    if kind == "metric":
        assert math.isfinite(over_split(made, np.asarray(output), np.asarray(target), 4))
        if not made.collected:
            empty = jax.eval_shape(made.statistics, output[:0], target[:0], jnp.zeros(0))
            full = jax.eval_shape(made.statistics, output, target, jnp.zeros(6))
            assert jax.tree.map(lambda leaf: leaf.shape, empty) == jax.tree.map(lambda leaf: leaf.shape, full)
            assert {leaf.dtype for leaf in jax.tree.leaves(full)} == {jnp.dtype("float32")}
        return

    def total(y: jax.Array) -> tuple[jax.Array, Any]:
        first = None if made.in_batch else made.apply(y[:1], None if target is None else target[:1])
        found = made.apply(y, target)
        return found.total.sum(), (found, first)

    (value, (found, first)), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(output)
    for part in (found.total, found.weight):
        assert part.shape == (6,) and part.dtype == jnp.float32 and np.isfinite(part).all()
    assert np.isfinite(gradient).all() and np.any(gradient)
    np.testing.assert_allclose(value, found.total.sum(), rtol=1e-6)
    if first is not None:
        np.testing.assert_allclose(found.total[:1], first.total, rtol=1e-6)  # an example's loss is its own
    nothing = None if target is None else target[:0]
    assert jax.eval_shape(made.apply, output[:0], nothing).total.shape == (0,)
    assert jax.eval_shape(made.activate, output).shape == output.shape
    assert made.activations() or made.activate(output) is output
