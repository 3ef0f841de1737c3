"""What stands around an optimizer, against optax, Keras and formulas; stacked weights against unstacked ones."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlc.backend import transformations
from dlc.components.optimizers import OPTIMIZERS
from dlc.components.optimizers.optimizers import Optimizer
from dlc.components.schedules.schedule import Horizon
from dlc.language.options import build_word
from dlc.language.yaml_text import parse_yaml

HORIZON = Horizon(200, 20.0)
SHAPES = {"kernel": (5, 4), "bias": (4,), "conv": {"kernel": (2, 2, 3, 4)}}


def drawn(shapes: Any, seed: int, *lead: int) -> Any:
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: jnp.asarray(generator.normal(size=(*lead, *shape)), jnp.float32),
        shapes,
        is_leaf=lambda node: isinstance(node, tuple),
    )


def run(rule: optax.GradientTransformation, params: Any, gradients: Any) -> Any:
    """All updates on gradients (steps, ...), in one compiled loop, with the last weights and state."""

    def step(carry: Any, gradient: Any) -> Any:
        params, state = carry
        found, state = rule.update(gradient, state, params)
        return (optax.apply_updates(params, found), state), found

    end, found = jax.jit(lambda p, g: jax.lax.scan(step, (p, rule.init(p)), g))(params, gradients)
    return found, end


def built(text: str) -> Optimizer:
    made = build_word(parse_yaml(f"item:\n  {text}\n", "example").tree["item"], OPTIMIZERS, "optimizer")
    assert isinstance(made, Optimizer), made
    return made


def same(ours: Any, theirs: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def close(ours: Any, theirs: Any, rtol: float = 1e-5) -> None:
    """Equal to rounding, measured by the largest element of each array."""

    def check(one: Any, two: Any) -> None:
        np.testing.assert_allclose(one, two, rtol=0, atol=rtol * float(np.abs(two).max()))

    jax.tree.map(check, ours, theirs)


def once(rule: optax.GradientTransformation, gradients: Any, params: Any) -> Any:
    return jax.jit(lambda g, p: rule.update(g, rule.init(p), p)[0])(gradients, params)


# ---- clipping ----


def test_clipped_values_and_the_common_norm_are_optaxs() -> None:
    params, gradients = drawn(SHAPES, 0), drawn(SHAPES, 1)
    same(once(transformations.clip_value(0.5), gradients, params), once(optax.clip(0.5), gradients, params))
    same(
        once(transformations.clip_norm(0.5), gradients, params), once(optax.clip_by_global_norm(0.5), gradients, params)
    )
    norm = np.sqrt(
        sum(np.square(leaf).sum() for leaf in jax.tree.leaves(once(transformations.clip_norm(0.5), gradients, params)))
    )
    assert norm == pytest.approx(0.5)


def test_the_norm_of_each_weight_is_clipped_as_in_keras() -> None:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    gradients = drawn(SHAPES, 1)
    gradients["bias"] = gradients["bias"] * 0.01  # below the limit
    ours = once(transformations.clip_weight_norm(1.5), gradients, gradients)
    same(ours["bias"], gradients["bias"])
    leaves = keras.optimizers.SGD(clipnorm=1.5)._clip_gradients(jax.tree.leaves(gradients))
    for one, two in zip(jax.tree.leaves(ours), leaves, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
    assert np.linalg.norm(np.asarray(ours["conv"]["kernel"]).ravel()) == pytest.approx(1.5)


def test_a_zero_gradient_is_clipped_to_zero() -> None:
    zero = {"kernel": jnp.zeros((2, 3))}
    same(once(transformations.clip_weight_norm(1.0), zero, zero), zero)
    same(once(transformations.clip_adaptive(0.1), zero, zero), zero)


def test_adaptive_clipping_is_optaxs() -> None:
    """Kernels of 2 and 4 axes and vectors; of 3 axes optax takes the weight as one unit, dlc each output channel."""
    params, gradients = drawn(SHAPES, 0), drawn(SHAPES, 1)
    params["kernel"] = params["kernel"].at[:, 0].set(0.0)  # the least norm
    same(
        once(transformations.clip_adaptive(0.1, 1e-2), gradients, params),
        once(optax.adaptive_grad_clip(0.1, 1e-2), gradients, params),
    )
    w, g = drawn({"kernel": (3, 2, 4)}, 0), drawn({"kernel": (3, 2, 4)}, 1)
    most = 0.1 * np.maximum(np.sqrt(np.square(w["kernel"]).sum((0, 1))), 1e-3)
    norm = np.sqrt(np.square(g["kernel"]).sum((0, 1)))
    want = g["kernel"] * np.minimum(1, most / norm)
    np.testing.assert_allclose(once(transformations.clip_adaptive(0.1), g, w)["kernel"], want, rtol=1e-5)


@pytest.mark.parametrize("name", ["clip_weight_norm", "clip_adaptive"])
def test_clipping_of_stacked_weights_is_that_of_each_iteration(name: str) -> None:
    rule = getattr(transformations, name)
    params, gradients = stacked_tree(drawn(LAYER, 0, 2, 3)), stacked_tree(drawn(LAYER, 1, 2, 3))
    ours = once(rule(0.3, depths=DEPTHS), gradients, params)
    theirs = once(rule(0.3), unstacked(gradients), unstacked(params))
    close(unstacked(ours), theirs, 1e-6)


# ---- lookahead ----


@pytest.mark.parametrize(
    ("text", "period", "slow"), [("sgd: 0.1", 5, 0.5), ("adam: 0.05", 3, 0.8), ("sgd: 0.1", 1, 0.5)]
)
def test_lookahead_is_optaxs(text: str, period: int, slow: float) -> None:
    fast = built(text).build(HORIZON)
    params, gradients = drawn(SHAPES, 0), drawn(SHAPES, 1, 50)
    ours, (ends, state) = run(transformations.lookahead(fast, period, slow), params, gradients)
    theirs = optax.lookahead(fast, period, slow)

    def step(carry: Any, gradient: Any) -> Any:
        pair, state = carry
        found, state = theirs.update(gradient, state, pair)
        return (optax.apply_updates(pair, found), state), found.fast

    start = optax.LookaheadParams.init_synced(params)
    (pair, _), want = jax.jit(lambda p, g: jax.lax.scan(step, (p, theirs.init(p)), g))(start, gradients)
    same(ours, want)
    same(ends, pair.fast)
    same(transformations.evaluated(state, ends), pair.slow)
    assert period == 1 or np.any(pair.slow["bias"] != ends["bias"])


# ---- stacked weights ----

LAYER = {"kernel": (4, 6), "bias": (6,), "conv": {"kernel": (2, 2, 3, 4)}, "query": {"kernel": (4, 2, 3)}}
DEPTHS = {
    "head": {"kernel": 0, "bias": 0},
    "repeat": {"kernel": 1, "bias": 1, "conv": {"kernel": 1}, "query": {"kernel": 1}},
    "nested": {"kernel": 2, "bias": 2, "conv": {"kernel": 2}, "query": {"kernel": 2}},
}


def stacked_tree(nested: Any) -> Any:
    """Weights outside of repeats, in a repeat of 2, and in a repeat of 3 within one of 2, from one stack of (2, 3)."""
    first = jax.tree.map(lambda leaf: leaf[:, 0] * 2, nested)
    head = {"kernel": nested["kernel"][0, 0] * 3, "bias": nested["bias"][1, 1] * 3}
    return {"head": head, "repeat": first, "nested": nested}


def unstacked(tree: Any, depths: Any = None) -> Any:
    """The same with each iteration a branch of its own."""
    two = {f"repeat/{i}": jax.tree.map(lambda leaf, i=i: leaf[i], tree["repeat"]) for i in range(2)}
    six = {
        f"nested/{i}/{j}": jax.tree.map(lambda leaf, i=i, j=j: leaf[i, j], tree["nested"])
        for i in range(2)
        for j in range(3)
    }
    return {"head": tree["head"], **two, **six}


def over_steps(tree: Any) -> Any:
    """`unstacked` of arrays (steps, ...)."""
    return jax.vmap(unstacked)(tree)


@cache
def stacks() -> tuple[Any, Any]:
    params, gradients = stacked_tree(drawn(LAYER, 0, 2, 3)), jax.vmap(stacked_tree)(drawn(LAYER, 1, 10, 2, 3))
    return params, gradients


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "text",
    [
        "lamb: {learning_rate: 0.1, weight_decay: 0.01}",
        "lars: {learning_rate: 1.0, weight_decay: 0.01}",
        "adafactor: {learning_rate: 0.1, min_dim_size_to_factor: 3}",
        "novograd: {learning_rate: {linear: {value: 0.1, length: 20}}}",
        "sm3",
        "fromage",
        "muon: {adam_learning_rate: 0.01}",
    ],
)
def test_stacked_weights_are_updated_as_unstacked_ones(text: str) -> None:
    made = built(text)
    rule = made.build(HORIZON)
    params, gradients = stacks()
    ours, (ends, _) = run(transformations.per_iteration(rule, DEPTHS), params, gradients)
    theirs, (others, _) = run(rule, unstacked(params), over_steps(gradients))
    assert made.per_weight
    # sums over stacked axes are added in another order; muon's iteration makes more of it
    tolerance = 1e-4 if "muon" in text else 1e-5
    close(over_steps(ours), theirs, tolerance)
    close(unstacked(ends), others, tolerance)


def test_every_rule_that_looks_at_whole_weights_differs_without() -> None:
    """What `per_iteration` is for: a stack taken as one weight is updated otherwise."""
    rule = built("lamb: 0.1").build(HORIZON)
    params, gradients = stacks()
    ours, _ = run(rule, params, gradients)
    theirs, _ = run(transformations.per_iteration(rule, DEPTHS), params, gradients)
    same(ours["head"], theirs["head"])
    gap = np.abs(ours["repeat"]["kernel"] - theirs["repeat"]["kernel"]).max()
    assert gap > 1e-3


def test_a_rule_of_elements_is_the_same_either_way() -> None:
    rule = built("adam: 0.1").build(HORIZON)
    params, gradients = stacks()
    close(run(transformations.per_iteration(rule, DEPTHS), params, gradients)[0], run(rule, params, gradients)[0], 1e-6)


# ---- groups ----


def test_groups_have_rules_of_their_own() -> None:
    """Stacked or not: a group's per-weight rule and clipping see its own weights only."""
    lamb, sgd = built("lamb: 0.1").build(HORIZON), built("sgd: 0.1").build(HORIZON)
    params, gradients = stacks()
    labels = {
        "head": "slow",
        "repeat": {"kernel": "fast", "bias": "off", "conv": "fast", "query": "fast"},
        "nested": "fast",
    }
    fast = optax.chain(transformations.clip_weight_norm(0.5, DEPTHS), transformations.per_iteration(lamb, DEPTHS))
    rule = transformations.grouped(
        {"fast": fast, "slow": transformations.lookahead(sgd, 2, 0.5), "off": optax.set_to_zero()}, labels
    )
    ours, (ends, state) = run(rule, params, gradients)
    alone, _ = run(optax.chain(transformations.clip_weight_norm(0.5), lamb), unstacked(params), over_steps(gradients))
    close(over_steps(ours)["nested/1/2"], alone["nested/1/2"])
    close(over_steps(ours)["repeat/1"]["kernel"], alone["repeat/1"]["kernel"])
    assert not np.any(ours["repeat"]["bias"])
    slow, (_, inner) = run(transformations.lookahead(sgd, 2, 0.5), params["head"], gradients["head"])
    same(ours["head"], slow)
    shown = transformations.evaluated(state, ends)
    same(shown["head"], inner.slow)
    same(shown["nested"], ends["nested"])


# ---- evaluation ----


@pytest.mark.parametrize("word", ["schedule_free_adamw", "schedule_free_sgd"])
def test_averages_are_found_in_any_state(word: str) -> None:
    made = built(f"{word}: 0.1")
    params, gradients = drawn(SHAPES, 0), drawn(SHAPES, 1, 10)
    rule = optax.chain(transformations.clip_value(0.5), made.build(HORIZON))
    _, (ends, state) = run(rule, params, gradients)
    want = optax.contrib.schedule_free_eval_params(state[1], ends)
    same(transformations.evaluated(state, ends), want)
    same(made.evaluated(state[1], ends), want)
    labels = {"kernel": "a", "bias": "b", "conv": "a"}
    rule = transformations.grouped({"a": made.build(HORIZON), "b": built("adam: 0.1").build(HORIZON)}, labels)
    _, (ends, state) = run(rule, params, gradients)
    shown = transformations.evaluated(state, ends)
    same(shown["bias"], ends["bias"])
    assert all(np.any(shown[name] != ends[name]) for name in ("kernel",))
    _, (alone, own) = run(made.build(HORIZON), {"kernel": params["kernel"]}, {"kernel": gradients["kernel"]})
    close(shown["kernel"], made.evaluated(own, alone)["kernel"])


def test_other_weights_are_evaluated_as_they_are() -> None:
    params = drawn(SHAPES, 0)
    state = optax.chain(transformations.clip_norm(1.0), optax.adam(0.1)).init(params)
    assert transformations.evaluated(state, params) is params
