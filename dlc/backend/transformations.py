"""Transformations around an optimizer: clipping, lookahead, groups of weights, and stacked weights of repeats.

Each function returns an optax transformation without weights of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

Tree = Any  # a pytree
Updates = tuple[Tree, Any]


# ---- clipping ----


def clip_value(limit: float) -> optax.GradientTransformation:
    """Clip every element of a gradient to [-limit, limit]."""
    return optax.clip(limit)


def clip_norm(limit: float) -> optax.GradientTransformation:
    """Scale all gradients so that their global norm is at most `limit` (Pascanu et al. 2012, arXiv:1211.5063)."""
    return optax.clip_by_global_norm(limit)


def clip_weight_norm(limit: float, depths: Tree = None) -> optax.GradientTransformation:
    """Scale the gradient of each weight so that its norm is at most `limit`.

    Args:
        limit: the norm, above 0.
        depths: how many leading axes of each weight are stacks of iterations, each with a norm of its own; None for 0.
    """

    def clip(gradient: jax.Array, depth: int) -> jax.Array:
        axes = tuple(range(depth, gradient.ndim))
        norm = jnp.sqrt(jnp.sum(jnp.square(gradient), axis=axes, keepdims=True))
        return gradient * (limit / jnp.maximum(norm, limit))

    return _for_each(lambda gradient, _, depth: clip(gradient, depth), depths)


def clip_adaptive(limit: float, eps: float = 1e-3, depths: Tree = None) -> optax.GradientTransformation:
    """Adaptive gradient clipping: |g| at most limit * max(|w|, eps), for each unit.

    (Brock et al. 2021, arXiv:2102.06171.) A unit is the slice for one element of a kernel's last axis; a
    vector is one unit.

    Args:
        limit: the largest share of its norm that a unit's gradient may have.
        eps: the minimum norm of a unit, so that weights of 0 can change.
        depths: how many leading axes of each weight are stacks of iterations; None for 0.
    """

    def clip(gradient: jax.Array, weight: jax.Array, depth: int) -> jax.Array:
        axes = tuple(range(depth, gradient.ndim))
        axes = axes[:-1] if len(axes) > 1 else axes
        own = optax.adaptive_grad_clip(limit, eps, axes)
        clipped: jax.Array = own.update(gradient, own.init(weight), weight)[0]
        return clipped

    return _for_each(clip, depths)


def _for_each(clip: Any, depths: Tree) -> optax.GradientTransformation:
    """A transformation without state from (gradient, weight, depth) -> gradient."""

    def update(updates: Tree, state: Any, params: Tree = None) -> Updates:
        weights = updates if params is None else params
        return jax.tree.map(clip, updates, weights, _matched(depths, updates)), state

    return optax.GradientTransformation(lambda _: optax.EmptyState(), update)


def _matched(depths: Tree, tree: Tree) -> Tree:
    """The depths of a tree's leaves; hidden for leaves that a group hides."""
    if depths is None:
        return jax.tree.map(lambda _: 0, tree)
    return jax.tree.map(lambda leaf, depth: leaf if _hidden(leaf) else depth, tree, depths, is_leaf=_hidden)


def _hidden(leaf: Any) -> bool:
    return isinstance(leaf, optax.MaskedNode)


# ---- lookahead ----


class LookaheadState(NamedTuple):
    """The fast optimizer's state, the slow weights, and the steps since both were the same, int32."""

    fast: Any
    slow: Tree
    since: jax.Array


def lookahead(
    transformation: optax.GradientTransformation, period: int, slow: float
) -> optax.GradientTransformationExtraArgs:
    """Every `period` steps, slow weights move the share `slow` of the way, and the weights are reset to them.

    (Zhang et al. 2019, arXiv:1907.08610.) Evaluation uses the slow weights. The numbers are those of
    `optax.lookahead`, which requires pairs of weights.

    Args:
        transformation: the fast optimizer, whose state is kept.
        period: steps between resets, at least 1.
        slow: the share of the way, in (0, 1].
    """
    inner = optax.with_extra_args_support(transformation)

    def init(params: Tree) -> LookaheadState:
        return LookaheadState(inner.init(params), jax.tree.map(jnp.copy, params), jnp.zeros((), jnp.int32))

    def update(updates: Tree, state: LookaheadState, params: Tree = None, **extra: Any) -> Updates:
        updates, fast = inner.update(updates, state.fast, params, **extra)
        back = state.since == period - 1
        way = jax.tree.map(lambda weight, step, slower: weight + step - slower, params, updates, state.slow)
        steps = jax.tree.map(lambda step, all_of_it: step - back * (1 - slow) * all_of_it, updates, way)
        moved = jax.tree.map(lambda weight, all_of_it: weight + slow * back * all_of_it, state.slow, way)
        return steps, LookaheadState(fast, moved, (state.since + 1) % period)

    return optax.GradientTransformationExtraArgs(init, update)


# ---- a factor from outside ----


def scaled() -> optax.GradientTransformationExtraArgs:
    """Updates times `factor`, a scalar argument of `update`: the factor of a plateau."""

    def update(updates: Tree, state: Any, params: Tree = None, *, factor: Any, **extra: Any) -> Updates:  # noqa: ARG001
        return jax.tree.map(lambda step: step * factor, updates), state

    return optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)


# ---- stacked weights and groups ----


def per_iteration(transformation: optax.GradientTransformation, depths: Tree) -> optax.GradientTransformation:
    """Apply a transformation to the stacked weights of a repeat one iteration at a time, as if they were not stacked.

    For rules that depend on a whole weight (`Optimizer.per_weight`): a scanned repeat then trains like an unrolled
    one. Weights with the same stack sizes are one group, mapped over those axes.

    Args:
        transformation: the rule. It must treat weights independently: a norm over all would be one over a group.
        depths: the number of leading stack axes of each weight, as a tree like the weights.
    """

    def parts(tree: Tree) -> optax.GradientTransformationExtraArgs:
        sizes = jax.tree.map(lambda leaf, depth: "x".join(map(str, leaf.shape[:depth])), tree, _matched(depths, tree))
        groups = {label: label.count("x") + 1 if label else 0 for label in jax.tree.leaves(sizes)}
        mapped = {label: _mapped(transformation, depth) for label, depth in sorted(groups.items())}
        return optax.with_extra_args_support(optax.partition(mapped, sizes))

    def init(params: Tree) -> Any:
        return parts(params).init(params)

    def update(updates: Tree, state: Any, params: Tree = None, **extra: Any) -> Updates:
        found: Updates = parts(updates).update(updates, state, params, **extra)
        return found

    return optax.GradientTransformationExtraArgs(init, update)


def _mapped(transformation: optax.GradientTransformation, depth: int) -> optax.GradientTransformation:
    """A transformation over `depth` leading axes of its arrays; its state has them, too."""
    inner = optax.with_extra_args_support(transformation)
    init: Any = inner.init
    for _ in range(depth):
        init = jax.vmap(init)

    def update(updates: Tree, state: Any, params: Tree = None, **extra: Any) -> Updates:
        def once(updates: Tree, state: Any, params: Tree) -> Updates:
            found: Updates = inner.update(updates, state, params, **extra)
            return found

        for _ in range(depth):
            once = jax.vmap(once)
        return once(updates, state, params)

    return optax.GradientTransformationExtraArgs(init, update)


def grouped(transformations: Mapping[str, optax.GradientTransformation], labels: Tree) -> optax.GradientTransformation:
    """Apply a separate transformation to each group of weights.

    Args:
        transformations: by label; `optax.set_to_zero()` freezes a group.
        labels: the label of each weight, as a tree like the weights or with one label for a whole branch.
    """
    return optax.partition(dict(transformations), labels)


# ---- evaluation ----


def evaluated(state: Any, params: Tree) -> Tree:
    """The weights to evaluate with: slow ones of `lookahead`, averages of schedule-free rules, else the weights.

    Args:
        state: the state of any combination of these transformations.
        params: the trained weights.
    """
    kinds = (LookaheadState, optax.contrib.ScheduleFreeState)
    for found in jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, kinds)):
        if isinstance(found, LookaheadState):
            params = _shown(found.slow, params, lambda slow, _: slow)
        elif isinstance(found, optax.contrib.ScheduleFreeState):
            params = _shown(found.z, params, lambda z, weight, b1=found.b1: (weight - (1.0 - b1) * z) / b1)
    return params


def _shown(own: Tree, params: Tree, value: Any) -> Tree:
    """`value(own, weight)` for the weights of this group."""
    return jax.tree.map(
        lambda mine, weight: weight if _hidden(mine) else value(mine, weight), own, params, is_leaf=_hidden
    )
