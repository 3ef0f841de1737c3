"""The evaluator's backend for arrays: a network computed with JAX, for training, evaluation, decoding and traces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlc.backend.hyperparameters import Hyperparameter, with_numbers
from dlc.backend.iterations import REPEAT, RepeatBody, is_separate, one_by_one
from dlc.backend.tree import Tree, get_in, set_in
from dlc.ir import DTYPES, Context, Mode, Outcome, TypedNode, TypedRepeat, walk
from dlc.ir.declared import mismatch
from dlc.ir.evaluator import Carry, Inside, Iteration
from dlc.ir.rematerialization import Part
from dlc.kernels.selection import Choices, at
from dlc.support.fast_dataclass import fast_dataclass

Record = Callable[[TypedNode, Outcome, Sequence[jax.Array]], Any]


class Weights(NamedTuple):
    """The variables that are within reach."""

    params: Tree
    state: Tree
    frozen: Tree

    def at(self, path: str) -> Tree:
        """All that a layer has."""
        found: Tree = {}
        for tree in self:
            found = _merged(found, get_in(tree, path))
        return found

    def only(self, paths: Iterable[str]) -> Weights:
        """Those at some paths."""
        trees: list[Tree] = [{}, {}, {}]
        for path in paths:
            for place, tree in enumerate(self):
                found = get_in(tree, path)
                trees[place] = set_in(trees[place], path, found) if found else trees[place]
        return Weights(*trees)


def _merged(first: Tree, second: Tree) -> Tree:
    both = {key: _merged(first[key], second[key]) for key in first if key in second}
    return {**first, **second, **both}


@fast_dataclass(frozen=True)
class Pass:
    """What is the same in every layer of a pass through a network.

    Args:
        choices: the variants of operations.
        mode: `train`, `evaluate` or `decode`.
        key: the step's random key, or None.
        offset: in `decode` mode, the position of the first time step.
        stepped: in `decode` mode, the paths of the layers that get the sequence step by step.
        count: in `decode` mode, how many of the positions belong to the sequence; all when None.
        record: (node, outcome, values) -> what is recorded of each layer, or None to record nothing.
        numbers: the hyperparameters that are arguments, by the path of the layer and the name of the option.
        sizes: the sizes of symbols, such as `batch`, that the pass has shown so far.
    """

    choices: Choices
    mode: Mode = "evaluate"
    key: Any = None
    offset: Any = 0
    stepped: frozenset[str] = frozenset()
    count: Any = None
    record: Record | None = None
    numbers: Mapping[str, Hyperparameter] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


@fast_dataclass
class ArrayBackend:
    """Arrays, weights and what a pass changes: the state, penalties and what is recorded.

    Args:
        about: what is the same in all layers.
        weights: the variables within reach.
        salts: the numbers that a random layer's key is made with, by path.
        caches: the caches of decoding, by path.
        penalty: what layers have added to the loss of each example so far.
        looped: whether this is the body of a loop.
        recorded: what was recorded so far, by path.
    """

    about: Pass
    weights: Weights
    salts: Mapping[str, Any]
    caches: Mapping[str, Any] = field(default_factory=dict)
    penalty: Any = 0.0
    looped: bool = False
    recorded: dict[str, Any] = field(default_factory=dict)

    @property
    def segments(self) -> bool:
        """Only training keeps values for a backward pass. What is recorded can't leave a segment."""
        return self.about.mode == "train" and self.about.record is None

    @property
    def passes(self) -> tuple[type[BaseException], ...]:
        """What XLA raises, such as lack of memory."""
        return (jax.errors.JaxRuntimeError,)

    def apply(self, node: TypedNode, inputs: Sequence[jax.Array], masks: Sequence[Any]) -> Outcome:
        """The layer's result; its new state and its penalty are kept."""
        layer, signature = node.layer, node.signature
        if layer.hyperparameters and self.about.numbers:
            layer = with_numbers(layer, node.path, self.about.numbers)
        ctx = self._context(node, masks)
        weights = self.weights.at(node.weights)
        if node.dtype != "f32" and not layer.full_precision:
            weights = {**jax.tree.map(lambda leaf: self.cast(leaf, node.dtype), weights)}
        with jax.named_scope(node.path.replace("/*/", "/each/")), at(self.about.choices, node.path):
            result = layer.apply(weights, *inputs, ctx=ctx)
        outcome = result if isinstance(result, Outcome) else Outcome(result)
        if signature.state and not node.frozen:
            if ctx.train and set(outcome.state or {}) != set(signature.state):
                found = sorted(outcome.state or {})
                raise ValueError(f"`apply` returned the state {found}, but `infer` declared {sorted(signature.state)}")
            self.weights = self.weights._replace(
                state=set_in(self.weights.state, node.weights, dict(outcome.state or {}))
            )
        if signature.penalty:
            self.penalty = self.penalty + outcome.penalty
        return outcome

    def _context(self, node: TypedNode, masks: Sequence[Any]) -> Context:
        about, layer = self.about, node.layer
        used = tuple(masks) if layer.masks == "used" else ()
        if about.mode == "train" and not node.frozen:
            key = None
            if layer.random and about.key is not None:
                key = jax.random.fold_in(about.key, self.salts[node.path])
            return Context("train", key, used)
        if about.mode == "decode" and node.path in about.stepped:
            return Context("decode", None, used, about.offset, self.caches.get(node.path), about.count)
        return Context("evaluate", None, used)

    def mismatch(self, node: TypedNode, inputs: Sequence[jax.Array], outcome: Outcome) -> str | None:
        """What the layer returned instead of what it declared, or None. Costs nothing when the program runs."""
        return mismatch(node, inputs, outcome, self.about.sizes, stepped=self.about.mode == "decode")

    def computed(self, node: TypedNode, outcome: Outcome, values: Sequence[jax.Array]) -> None:
        """Record what the pass asks for."""
        if self.about.record is not None:
            found = self.about.record(node, outcome, values)
            if found is not None:
                self.recorded[node.path] = found

    def cast(self, value: jax.Array, dtype: str) -> jax.Array:
        """Real numbers in another type; integers as they are."""
        return cast(value, dtype)

    def joined(self, masks: Sequence[Any]) -> Any:
        """Where every input that has a mask is real."""
        found = [mask for mask in masks if mask is not None]
        total = found[0] if found else None
        for mask in found[1:]:
            total = total & mask
        return total

    def repeat(self, node: TypedRepeat, iteration: Iteration, carry: Carry) -> Carry:
        """A loop: weights, salts and caches are sliced, and what the iterations change and record is stacked."""
        each = f"{node.weights}/*"
        inside = f"{node.path}/*/"
        salts, caches = (
            {path: value for path, value in values.items() if path.startswith(inside)}
            for values in (self.salts, self.caches)
        )
        slices = (Weights(*(get_in(tree, each) for tree in self.weights)), salts, caches)

        def body(carry: Carry, part: Any) -> tuple[Carry, Any]:
            sliced, salts, caches = part
            weights = Weights(*(set_in(tree, each, item) for tree, item in zip(self.weights, sliced, strict=True)))
            inner = ArrayBackend(self.about, weights, {**self.salts, **salts}, {**self.caches, **caches}, looped=True)
            end = iteration(inner, carry)
            return end, (get_in(inner.weights.state, each), inner.penalty, inner.recorded)

        run = one_by_one if any(map(is_separate, jax.tree.leaves(slices, is_leaf=is_separate))) else REPEAT
        with at(self.about.choices, node.path):
            end, (new, penalties, recorded) = run(RepeatBody(node, body), carry, slices)
        if new:
            self.weights = self.weights._replace(state=set_in(self.weights.state, each, new))
        if any(inner.signature.penalty for inner, _ in walk(node.body)):
            self.penalty = self.penalty + (sum(penalties.values) if is_separate(penalties) else penalties.sum(0))
        self.recorded |= recorded
        last: Carry = end
        return last

    def segment(
        self, part: Part, depth: int, inside: Inside, values: Sequence[jax.Array], masks: Sequence[Any]
    ) -> tuple[Sequence[jax.Array], Sequence[Any]]:
        """A function whose inner values the backward pass computes again (arXiv:1604.06174)."""
        segment, layers = part.segment, [node for node, _ in walk(part.nodes)]
        assert segment is not None, "a part without a segment is computed node by node"
        owners = {node.weights: None for node in layers if node.signature.params or node.signature.state}
        moving = {node.weights: None for node in layers if node.signature.state and not node.frozen}
        adds = any(node.signature.penalty for node in layers)

        def function(weights: Weights, values: Sequence[Any], masks: Sequence[Any]) -> tuple[Any, ...]:
            inner = replace(self, weights=weights, penalty=0.0)
            results, known = inside(inner, values, masks)
            new = [get_in(inner.weights.state, path) for path in moving]
            return results, known, new, inner.penalty if adds else None

        # In a loop the forward and the backward pass are loops of their own, which nothing can merge.
        separate = not self.looped or depth > 0
        policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if segment.keep == "dots" else None
        again = jax.checkpoint(function, prevent_cse=separate, policy=policy)
        results, known, new, penalty = again(self.weights.only(owners), values, masks)
        for path, state in zip(moving, new, strict=True):
            self.weights = self.weights._replace(state=set_in(self.weights.state, path, state))
        if adds:
            self.penalty = self.penalty + penalty
        return results, known


def cast(x: jax.Array, dtype: str) -> jax.Array:
    """Real numbers in another type; integers as they are."""
    return x.astype(DTYPES[dtype]) if jnp.issubdtype(x.dtype, jnp.floating) else x


def finite(_node: TypedNode, _outcome: Outcome, values: Sequence[jax.Array]) -> jax.Array:
    """Recorded to find the first value that is not finite: whether all values of a layer are."""
    return jnp.stack([jnp.isfinite(value).all() for value in values]).all()


def new_cache(node: TypedNode, outcome: Outcome, _values: Sequence[jax.Array]) -> Mapping[str, Any] | None:
    """Recorded in a step of decoding: the new caches."""
    return dict(outcome.cache or {}) if node.signature.cache else None
