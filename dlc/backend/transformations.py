"""What stands around an optimizer: clipping, lookahead, groups of weights, and stacked weights of repeats.

Each function gives an optax transformation, and none holds weights of its own: they go in and out.
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
    """Every element of a gradient in [-limit, limit]."""
    return optax.clip(limit)


def clip_norm(limit: float) -> optax.GradientTransformation:
    """All gradients scaled so that their common norm is at most `limit` (Pascanu et al. 2012, arXiv:1211.5063)."""
    return optax.clip_by_global_norm(limit)


def clip_weight_norm(limit: float, depths: Tree = None) -> optax.GradientTransformation:
    """The gradient of each weight scaled so that its own norm is at most `limit`.

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

    (Brock et al. 2021, arXiv:2102.06171.) A unit is what leads to one element of a kernel's last axis; a
    vector is one unit.

    Args:
        limit: the largest share of its norm that a unit's gradient may have.
        eps: the least norm of a unit, so that weights of 0 can move.
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
    """The depths of a tree's leaves; where a group hides leaves, theirs are hidden, too."""
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
    """Every `period` steps the weights go back to slow weights, which have moved the share `slow` of the way.

    (Zhang et al. 2019, arXiv:1907.08610.) The slow weights are those to evaluate with. The numbers are those of
    `optax.lookahead`, which wants pairs of weights in their place.

    Args:
        transformation: the fast optimizer, whose state is kept.
        period: steps from one return to the next, at least 1.
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
    """Updates times `factor`, a scalar that `update` is given: what a plateau has made of the rate."""

    def update(updates: Tree, state: Any, params: Tree = None, *, factor: Any, **extra: Any) -> Updates:  # noqa: ARG001
        return jax.tree.map(lambda step: step * factor, updates), state

    return optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)


# ---- stacked weights and groups ----


def per_iteration(transformation: optax.GradientTransformation, depths: Tree) -> optax.GradientTransformation:
    """A transformation that sees the stacked weights of a repeat one iteration at a time, as if they were not stacked.

    For rules that look at a weight as a whole (`Optimizer.per_weight`): a scanned repeat is then trained as an unrolled
    one. Weights with the same sizes of stacks are one group, mapped over those axes.

    Args:
        transformation: the rule. It must treat weights apart: a norm over all of them would be one over a group.
        depths: for each weight how many leading axes are stacks, as a tree like the weights.
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
    """Another transformation for each group of weights.

    Args:
        transformations: by label; `optax.set_to_zero()` freezes a group.
        labels: the label of each weight, as a tree like the weights or with one label for a whole branch.
    """
    return optax.partition(dict(transformations), labels)


# ---- evaluation ----


def evaluated(state: Any, params: Tree) -> Tree:
    """The weights to evaluate with: slow ones of `lookahead`, averages of schedule-free rules, else the weights.

    Args:
        state: the state of any of these transformations, however they are put together.
        params: the weights that train.
    """
    kinds = (LookaheadState, optax.contrib.ScheduleFreeState)
    for found in jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, kinds)):
        if isinstance(found, LookaheadState):
            params = _shown(found.slow, params, lambda slow, _: slow)
        elif isinstance(found, optax.contrib.ScheduleFreeState):
            params = _shown(found.z, params, lambda z, weight, b1=found.b1: (weight - (1.0 - b1) * z) / b1)
    return params


def _shown(own: Tree, params: Tree, value: Any) -> Tree:
    """`value(own, weight)` of the weights that are no other group's."""
    return jax.tree.map(
        lambda mine, weight: weight if _hidden(mine) else value(mine, weight), own, params, is_leaf=_hidden
    )
