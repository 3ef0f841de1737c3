"""Update rules against optax, to the bit, over fifty steps; wrong options."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlc.components.optimizers.optimizers import Optimizer
from tests.components.building import HORIZON, built, option_error

RULES: list[tuple[str, Any]] = [
    ("sgd: {learning_rate: RATE}", optax.sgd),
    ("sgd: {learning_rate: RATE, momentum: 0.9}", lambda rate: optax.sgd(rate, momentum=0.9)),
    (
        "sgd: {learning_rate: RATE, momentum: 0.9, nesterov: true}",
        lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True),
    ),
    ("adam: {learning_rate: RATE}", optax.adam),
    (
        "adam: {learning_rate: RATE, b1: 0.8, b2: 0.99, eps: 1e-5, nesterov: true}",
        lambda rate: optax.adam(rate, b1=0.8, b2=0.99, eps=1e-5, nesterov=True),
    ),
    ("adamw: {learning_rate: RATE}", optax.adamw),
    (
        "adamw: {learning_rate: RATE, weight_decay: 0.1, b2: 0.9}",
        lambda rate: optax.adamw(rate, weight_decay=0.1, b2=0.9),
    ),
]
RATES: list[tuple[str, Any]] = [
    ("0.05", 0.05),
    (
        "{cosine: {peak: 0.1, end: 0.001, warmup: 5%, length: 20%}}",
        optax.warmup_cosine_decay_schedule(0.0, 0.1, 10, 40, 0.001),
    ),
]


def fifty(rule: optax.GradientTransformation) -> list[Any]:
    """The first 50 updates on fixed gradients, in one compiled loop."""
    weights = {"kernel": jnp.linspace(-1, 1, 6).reshape(2, 3), "bias": jnp.ones(3)}
    generator = np.random.default_rng(0)
    gradients = {name: jnp.asarray(generator.normal(size=(50, *w.shape)), jnp.float32) for name, w in weights.items()}

    def step(carry: Any, gradient: Any) -> Any:
        weights, state = carry
        updates, state = rule.update(gradient, state, weights)
        return (optax.apply_updates(weights, updates), state), updates

    _, updates = jax.jit(lambda: jax.lax.scan(step, (weights, rule.init(weights)), gradients))()
    return jax.tree.leaves(updates)


@pytest.mark.parametrize(("text", "rate"), RATES, ids=["constant", "cosine"])
@pytest.mark.parametrize(("spec", "rule"), RULES, ids=[spec for spec, _ in RULES])
def test_an_optimizer_is_optaxs_to_the_bit(spec: str, rule: Any, text: str, rate: Any) -> None:
    made = built(spec.replace("RATE", text), "optimizer")
    assert isinstance(made, Optimizer), made
    for ours, theirs in zip(fifty(made.build(HORIZON)), fifty(rule(rate)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_settings_without_effect_are_errors() -> None:
    found = option_error("sgd: {learning_rate: 0.1, nesterov: true}", "optimizer")
    assert found.code == "DLC303" and found.loc == ("sgd", "nesterov") and "momentum" in (found.hint or "")
    found = option_error("cosine: {peak: 0.1, warmup: 100%}", "schedule")
    assert found.code == "DLC303" and found.loc == ("cosine", "warmup")


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("sgd: {learning_rate: 0}", "DLC104"),
        ("sgd: -0.1", "DLC104"),
        ("sgd: .inf", "DLC104"),
        ("sgd: .nan", "DLC104"),
        (f"sgd: 1{'0' * 310}", "DLC104"),
        ("sgd: '0.1'", "DLC103"),
        ("sgd: true", "DLC103"),
        ("sgd: [0.1]", "DLC103"),
        ("adam: {learning_rate: {cosin: 0.1}}", "DLC105"),
        ("adam: {learning_rate: {cosine: {peak: 0.1, warm: 3}}}", "DLC101"),
        ("adam: {learning_rate: cosine}", "DLC102"),
        ("adam: {beta1: 0.9}", "DLC101"),
        ("adam: {b1: 1}", "DLC104"),
        ("adamw: {weight_decay: -1}", "DLC104"),
    ],
)
def test_wrong_optimizers(spec: str, code: str) -> None:
    assert option_error(spec, "optimizer").code == code
