"""lower: a typed graph -> a `Program`, two pure functions over nested dicts keyed by paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlc.backend.hyperparameters import Hyperparameters
from dlc.backend.iterations import REPEAT, RepeatBody
from dlc.backend.lowering import Lowering, flags_of, platform
from dlc.backend.tree import Tree, flatten, get_in, nest, restack, set_in, stacked, unstack
from dlc.components.initializers.initializer import draw, path_hash
from dlc.ir import (
    DTYPES,
    MASK,
    Iterations,
    Outcome,
    ParamSpec,
    Ref,
    Segment,
    TypedGraph,
    TypedNode,
    TypedRepeat,
    instances,
)
from dlc.ir.rematerialization import Part, cut, reads
from dlc.kernels.selection import Choices, at
from dlc.support.fast_dataclass import fast_dataclass

Arrays = Mapping[str, Any]
KINDS = ("params", "state", "frozen")


@fast_dataclass(frozen=True)
class Slot:
    """A declared weight or state and the iterations of the repeats around it."""

    spec: ParamSpec
    around: Iterations

    @property
    def size(self) -> int:
        """Its numbers, all iterations together."""
        return self.spec.size * int(np.prod(stacked(self.around), dtype=np.int64))


class Results(NamedTuple):
    """What a network gives for a batch.

    Args:
        outputs: by name.
        state: the new state.
        masks: bool (batch, time), of the outputs that have one.
        penalty: (batch,) or a number, what layers add to the loss of each example.
        finite: when the network is watched, bool by layer: whether its results are finite; of a layer within repeats
            one for each iteration.
    """

    outputs: dict[str, jax.Array]
    state: Tree
    masks: dict[str, jax.Array]
    penalty: Any
    finite: dict[str, jax.Array]


@fast_dataclass(frozen=True)
class Program:
    """A network as pure functions.

    Variables are nested dicts of three kinds: `params`, the trained weights; `state`, what training updates by rule;
    `frozen`, weights that stay as they are.

    Args:
        graph: what it was made from.
        slots: what is declared, by kind and path.
        init: seed -> variables, nested dicts of numpy arrays.
        run: (variables, inputs, *, key, train, watch) -> `Results`. Inputs and outputs are dicts of arrays with the
            batch axis first; beside an input `x` its mask may stand as `x.mask`. `key` is the step's random key, needed
            only when `train` is set. `watch` asks which layers' results are finite.
        choices: which of several equal forms its operations take; tracing `run` adds to them.
        flags: of XLA, for the programs that train and evaluate it.
        numbers: the hyperparameters of the network: the factors of l1 and l2 penalties.
    """

    graph: TypedGraph
    slots: Mapping[str, Mapping[str, Slot]]
    init: Callable[[int], Tree]
    run: Callable[..., Results]
    choices: Choices
    flags: Mapping[str, str]
    numbers: Hyperparameters

    @property
    def platform(self) -> str:
        """What it is for: one platform that it was asked for, or this process's."""
        return self.choices.only or platform()

    @property
    def lowering(self) -> Lowering:
        """How it is lowered here, once it was traced."""
        return Lowering(platform(), self.choices.variants(platform()), self.flags)

    @property
    def params(self) -> Mapping[str, Slot]:
        """The trained weights."""
        return self.slots["params"]

    @property
    def state(self) -> Mapping[str, Slot]:
        """What training updates by rule."""
        return self.slots["state"]

    def apply(
        self, variables: Mapping[str, Any], inputs: Arrays, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[dict[str, jax.Array], Tree]:
        """The outputs and the new state: the first two of what `run` gives."""
        found = self.run(variables, inputs, key=key, train=train)
        return found.outputs, found.state

    @property
    def stacks(self) -> dict[str, Iterations]:
        """The iterations of every leaf of flattened variables."""
        return {f"{kind}/{path}": slot.around for kind in KINDS for path, slot in self.slots[kind].items()}

    def to_flat(self, variables: Tree) -> dict[str, np.ndarray[Any, Any]]:
        """Variables as contiguous arrays by name, one for each iteration of a repeat: what files hold."""
        split = unstack(flatten({kind: variables.get(kind, {}) for kind in KINDS}), self.stacks)
        return {_file_name(path): np.asarray(value, order="C") for path, value in split.items()}

    def from_flat(self, arrays: Arrays, stack: Any = np.stack) -> Tree:
        """The inverse of `to_flat`.

        Raises:
            KeyError: when an array is missing.
        """
        names = [name for path, around in self.stacks.items() for _, name in instances(path, around)]
        split = {name: arrays[_file_name(name)] for name in names}
        tree = nest(restack(split, self.stacks, stack))
        return {kind: tree.get(kind, {}) for kind in KINDS}

    def shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and dtype of each array of `to_flat`, by name."""
        return {
            name: (slot.spec.shape, DTYPES[slot.spec.dtype])
            for slots in self.slots.values()
            for path, slot in slots.items()
            for _, name in instances(path, slot.around)
        }

    def declared(self) -> Tree:
        """The variables as types alone: what `init` gives, without drawing it."""
        return {
            kind: nest(
                {
                    path: jax.ShapeDtypeStruct((*stacked(slot.around), *slot.spec.shape), DTYPES[slot.spec.dtype])
                    for path, slot in slots.items()
                }
            )
            for kind, slots in self.slots.items()
        }

    def constrained(self, params: Tree) -> Tree:
        """Trained weights brought back to what their constraints allow, as after each update; without any, as given."""
        for path, slot in self.params.items():
            bound = slot.spec.constraint
            if bound is not None:
                params = set_in(params, path, bound.apply(get_in(params, path), bound.over(slot.spec)))
        return params

    def penalty(self, variables: Mapping[str, Any]) -> Any:
        """The l1 and l2 terms of the trained weights: sum(l1 * |w| + l2 * w^2); 0.0 without any.

        Args:
            variables: the program's; the factors are among their `numbers`, where these are given.
        """
        numbers = self.numbers.bound(variables.get("numbers", {}).get("network", self.numbers.values))
        total: Any = 0.0
        for path in self.params:
            l1, l2 = (numbers.get(f"{kind}/{path}") for kind in ("l1", "l2"))
            if l1 or l2:
                weight = get_in(variables["params"], path).astype(jnp.float32)
                total = total + l1 * jnp.abs(weight).sum() if l1 else total
                total = total + l2 * jnp.square(weight).sum() if l2 else total
        return total


def _file_name(path: str) -> str:
    """Names in files leave out whether a value is trained: no layer calls a weight and a state alike."""
    return path.partition("/")[2]


def lower(graph: TypedGraph, lowering: Lowering | None = None, only: str | None = None) -> Program:
    """The program of a typed graph.

    Args:
        graph: the graph.
        lowering: how it was lowered before.
        only: the platform that it is for, which makes it faster to trace; any when None.
    """
    choices = Choices(lowering.variants, lowering.platform, only) if lowering is not None else Choices(only=only)
    flags = lowering.flags if lowering is not None and lowering.platform == platform() else flags_of(graph)
    slots: dict[str, dict[str, Slot]] = {kind: {} for kind in KINDS}
    for node, around in graph.walk():
        stars = around[: node.weights.split("/").count("*")]
        for name, spec in node.signature.params.items():
            slots["params" if spec.trainable else "frozen"].setdefault(f"{node.weights}/{name}", Slot(spec, stars))
        for name, spec in node.signature.state.items():
            slots["state"].setdefault(f"{node.weights}/{name}", Slot(spec, stars))
    salts = {
        node.path: np.array([path_hash(name) for _, name in instances(node.path, around)], np.uint32).reshape(
            stacked(around)
        )
        for node, around in graph.walk()
        if node.layer.random
    }

    def init(seed: int) -> Tree:
        tree: Tree = {}
        for kind, declared in slots.items():
            drawn = {
                name: draw(slot.spec, seed, name)
                for path, slot in declared.items()
                for _, name in instances(path, slot.around)
            }
            tree[kind] = nest(restack(drawn, {path: slot.around for path, slot in declared.items()}))
        return tree

    def run(
        variables: Mapping[str, Any],
        inputs: Arrays,
        *,
        key: jax.Array | None = None,
        train: bool = False,
        trace_finite: bool = False,
    ) -> Results:
        weights = Weights(variables["params"], variables["state"], variables.get("frozen", {}))
        trace = _Run(weights, salts, key, train, choices, finite={} if trace_finite else None)
        for name, kind in graph.inputs.items():
            ref = Ref(name)
            trace.values[ref] = jnp.asarray(inputs[name])
            if kind.mask and name + MASK in inputs:
                trace.masks[ref] = jnp.asarray(inputs[name + MASK])
        with _matmul(graph.matmul):
            trace.nodes(graph.nodes, tuple(graph.outputs.values()))
        outputs = {name: _cast(trace.values[ref], "f32") for name, ref in graph.outputs.items()}
        masks = {name: trace.masks[ref] for name, ref in graph.outputs.items() if ref in trace.masks}
        return Results(outputs, trace.weights.state, masks, trace.penalty, trace.finite or {})

    return Program(graph, slots, init, run, choices, flags, _numbers(slots["params"]))


def _numbers(params: Mapping[str, Slot]) -> Hyperparameters:
    """The factors of the penalties, by kind and path."""
    factors = {
        f"{kind}/{path}": factor
        for path, slot in params.items()
        for kind, factor in (("l1", slot.spec.l1), ("l2", slot.spec.l2))
        if factor
    }
    return Hyperparameters.of(factors)


def _matmul(how: str) -> AbstractContextManager[Any]:
    """The context in which matrices are multiplied in one way; gradients take it over (see also `with_gradient`)."""
    context: AbstractContextManager[Any] = nullcontext() if how == "default" else jax.default_matmul_precision(how)
    return context


class Weights(NamedTuple):
    """The variables in reach."""

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


@fast_dataclass
class _Run:
    """One trace through a list of nodes: the weights in reach, the values and masks so far."""

    weights: Weights
    salts: Mapping[str, Any]
    key: jax.Array | None
    train: bool
    choices: Choices
    values: dict[Ref, Any] = field(default_factory=dict)
    masks: dict[Ref, Any] = field(default_factory=dict)
    penalty: Any = 0.0
    looped: bool = False  # whether this is the body of a loop
    finite: dict[str, Any] | None = None  # by layer, when the network is watched

    def nodes(self, nodes: Sequence[TypedNode | TypedRepeat], wanted: Sequence[Ref], depth: int = 0) -> None:
        """Compute nodes in order.

        Args:
            nodes: the nodes.
            wanted: the values that are read after them.
            depth: how many of their segments are open. Evaluation knows none: it keeps nothing anyway.
        """
        keeps = self.train and self.finite is None
        for part in cut(nodes, wanted, depth) if keeps else [Part(nodes)]:
            if part.segment is not None:
                self.segment(part.segment, part, depth)
                continue
            for node in part.nodes:
                if isinstance(node, TypedRepeat):
                    self.repeat(node)
                else:
                    self.node(node)

    def segment(self, segment: Segment, part: Part, depth: int) -> None:
        """Compute nodes as one function whose inner values the backward pass computes again (arXiv:1604.06174).

        Args:
            segment: their segment.
            part: the nodes.
            depth: how many segments are open around it.
        """
        given, layers = part.given, _layers(part.nodes)
        taken = [ref for ref in reads(part.nodes) if ref in self.values]
        owners = {node.weights: None for node in layers if node.signature.params or node.signature.state}
        moving = {node.weights: None for node in layers if node.signature.state and not node.frozen}
        adds = any(node.signature.penalty for node in layers)

        def inside(weights: Weights, values: Sequence[Any], masks: Sequence[Any]) -> tuple[Any, ...]:
            known = {ref: mask for ref, mask in zip(taken, masks, strict=True) if mask is not None}
            inner = replace(
                self, weights=weights, values=dict(zip(taken, values, strict=True)), masks=known, penalty=0.0
            )
            inner.nodes(part.nodes, given, depth + 1)
            new = [get_in(inner.weights.state, path) for path in moving]
            masks = [inner.masks.get(ref) for ref in given]
            return [inner.values[ref] for ref in given], masks, new, inner.penalty if adds else None

        # In a loop the forward and the backward pass are loops of their own, which nothing can merge.
        separate = not self.looped or depth > 0
        policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if segment.keep == "dots" else None
        again = jax.checkpoint(inside, prevent_cse=separate, policy=policy)
        values, masks, new, penalty = again(
            self.weights.only(owners), [self.values[ref] for ref in taken], [self.masks.get(ref) for ref in taken]
        )
        self.values.update(zip(given, values, strict=True))
        self.masks.update({ref: mask for ref, mask in zip(given, masks, strict=True) if mask is not None})
        for path, state in zip(moving, new, strict=True):
            self.weights = self.weights._replace(state=set_in(self.weights.state, path, state))
        if adds:
            self.penalty = self.penalty + penalty

    def node(self, node: TypedNode) -> None:
        """Compute one layer."""
        layer, signature, ref = node.layer, node.signature, Ref(node.path)
        train = self.train and not node.frozen
        key = None
        if layer.random and train and self.key is not None:
            key = jax.random.fold_in(self.key, self.salts[node.path])
        inputs = [_cast(self.values[value], node.dtype) for value in node.inputs]
        masks = tuple(self.masks.get(value) for value in node.inputs)
        weights = self.weights.at(node.weights)
        if node.dtype != "f32" and not layer.full_precision:
            weights = {**jax.tree.map(lambda leaf: _cast(leaf, node.dtype), weights)}
        more = {"masks": masks} if layer.masks == "used" else {}
        with jax.named_scope(node.path.replace("/*/", "/each/")), at(self.choices, node.path):
            result = layer.apply(weights, *inputs, key=key, train=train, **more)
        if not isinstance(result, Outcome):
            result = Outcome(result)
        if signature.state and not node.frozen:
            self.weights = self.weights._replace(
                state=set_in(self.weights.state, node.weights, dict(result.state or {}))
            )
        if signature.penalty:
            self.penalty = self.penalty + result.penalty
        self.values[ref] = _cast(result.output, node.dtype)
        for name, value in (result.results or {}).items():
            self.values[Ref(node.path, name)] = _cast(value, node.dtype)
        if self.finite is not None:
            results = [self.values[ref], *(self.values[Ref(node.path, name)] for name in result.results or {})]
            self.finite[node.path] = jnp.stack([jnp.isfinite(value).all() for value in results]).all()
        if signature.output.mask:
            mask = result.mask
            if mask is None:
                mask = masks[0] if layer.masks == "used" else _both(masks)
            if mask is not None:
                self.masks[ref] = mask

    def repeat(self, node: TypedRepeat) -> None:
        """Run a repeat: weights, state and salts are sliced, the value is carried, with its mask."""
        each = f"{node.weights}/*"
        own = {path: salt for path, salt in self.salts.items() if path.startswith(f"{node.path}/*/")}
        slices = (Weights(*(get_in(tree, each) for tree in self.weights)), own)
        start = Ref(f"{node.path}/*")

        def body(carry: tuple[Any, Any], part: tuple[Weights, dict[str, Any]]) -> tuple[tuple[Any, Any], Any]:
            sliced, salts = part
            weights = Weights(*(set_in(tree, each, item) for tree, item in zip(self.weights, sliced, strict=True)))
            every = {**self.salts, **salts}
            seen: dict[str, Any] | None = None if self.finite is None else {}
            values, masks = dict(self.values), dict(self.masks)
            inner = _Run(weights, every, self.key, self.train, self.choices, values, masks, looped=True, finite=seen)
            inner.values[start], mask = carry
            if mask is not None:
                inner.masks[start] = mask
            inner.nodes(node.body, (node.output,))
            end = (inner.values[node.output], inner.masks.get(node.output))
            return end, (get_in(inner.weights.state, each), inner.penalty, inner.finite)

        carry = (self.values[node.input], self.masks.get(node.input) if node.type.mask else None)
        with at(self.choices, node.path):
            (end, mask), (new, penalties, finite) = REPEAT(RepeatBody(node, body), carry, slices)
        if new:
            self.weights = self.weights._replace(state=set_in(self.weights.state, each, new))
        if any(inner.signature.penalty for inner in _layers(node.body)):
            self.penalty = self.penalty + penalties.sum(0)
        if self.finite is not None:
            self.finite |= finite
        self.values[Ref(node.path)] = end
        if mask is not None:
            self.masks[Ref(node.path)] = mask


def _layers(nodes: Sequence[TypedNode | TypedRepeat]) -> list[TypedNode]:
    return [inner for node in nodes for inner in (_layers(node.body) if isinstance(node, TypedRepeat) else [node])]


def _both(masks: Sequence[Any]) -> Any:
    """Where every input that has a mask is real."""
    found = [mask for mask in masks if mask is not None]
    total = found[0] if found else None
    for mask in found[1:]:
        total = total & mask
    return total


def _cast(x: Any, dtype: str) -> Any:
    """Real numbers in another type; integers as they are."""
    return x.astype(DTYPES[dtype]) if jnp.issubdtype(x.dtype, jnp.floating) else x
