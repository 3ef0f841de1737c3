"""lower: a typed graph -> a `Program`, two pure functions over nested dicts keyed by paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlc.ir import DTYPES, InternalError, ParamSpec, Ref, TypedGraph, TypedNode, TypedRepeat
from dlc.lower.tree import Tree, flatten, get_in, instances, nest, restack, set_in, unstack
from dlc.objectives.initializers import draw, path_hash

Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class Slot:
    """A declared weight or state and the times of the repeats around it."""

    spec: ParamSpec
    times: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A network as pure functions.

    Args:
        graph: what it was made from.
        params: the trained weights: path -> slot.
        state: what training updates by rule.
        init: seed -> variables `{"params": ..., "state": ...}`, nested dicts of numpy arrays.
        apply: (variables, inputs, *, key, train) -> (outputs, new state). Inputs and outputs are dicts of arrays with
            the batch axis first; `key` is the step's random key, needed only when `train` is set.
    """

    graph: TypedGraph
    params: Mapping[str, Slot]
    state: Mapping[str, Slot]
    init: Callable[[int], Tree]
    apply: Callable[..., tuple[dict[str, jax.Array], Tree]]

    @property
    def stacks(self) -> dict[str, tuple[int, ...]]:
        """The times of every leaf of flattened variables."""
        slots = {**{f"params/{path}": slot for path, slot in self.params.items()}}
        slots.update({f"state/{path}": slot for path, slot in self.state.items()})
        return {path: slot.times for path, slot in slots.items()}

    def to_flat(self, variables: Tree) -> dict[str, np.ndarray[Any, Any]]:
        """Variables as contiguous arrays by name, one for each iteration of a repeat: what files hold."""
        split = unstack(flatten(variables), self.stacks)
        return {_file_name(path): np.asarray(value, order="C") for path, value in split.items()}

    def from_flat(self, arrays: Arrays, stack: Any = np.stack) -> Tree:
        """The inverse of `to_flat`.

        Raises:
            KeyError: when an array is missing.
        """
        split = {
            name: arrays[_file_name(name)] for path, times in self.stacks.items() for _, name in instances(path, times)
        }
        tree = nest(restack(split, self.stacks, stack))
        return {"params": tree.get("params", {}), "state": tree.get("state", {})}

    def shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and dtype of each array of `to_flat`, by name."""
        return {
            name: (slot.spec.shape, DTYPES[slot.spec.dtype])
            for slots in (self.params, self.state)
            for path, slot in slots.items()
            for _, name in instances(path, slot.times)
        }


def _file_name(path: str) -> str:
    """Names in files leave out whether a value is trained: no layer calls a weight and a state alike."""
    return path.partition("/")[2]


def lower(graph: TypedGraph) -> Program:
    """The program of a typed graph."""
    params: dict[str, Slot] = {}
    state: dict[str, Slot] = {}
    for node, times in graph.walk():
        for slots, declared in ((params, node.signature.params), (state, node.signature.state)):
            for name, spec in declared.items():
                stars = times[: node.weights.split("/").count("*")]
                slots.setdefault(f"{node.weights}/{name}", Slot(spec, stars))
    salts = {
        node.path: np.array([path_hash(name) for _, name in instances(node.path, times)], np.uint32).reshape(times)
        for node, times in graph.walk()
        if node.layer.random
    }

    def init(seed: int) -> Tree:
        tree: Tree = {"params": {}, "state": {}}
        for kind, slots in (("params", params), ("state", state)):
            drawn = {
                name: draw(slot.spec, seed, name)
                for path, slot in slots.items()
                for _, name in instances(path, slot.times)
            }
            tree[kind] = nest(restack(drawn, {path: slot.times for path, slot in slots.items()}))
        return tree

    def apply(
        variables: Mapping[str, Any], inputs: Arrays, *, key: jax.Array | None = None, train: bool = False
    ) -> tuple[dict[str, jax.Array], Tree]:
        run = _Run(variables["params"], variables["state"], salts, key, train)
        values: dict[Ref, Any] = {Ref(name): jnp.asarray(inputs[name]) for name in graph.inputs}
        run.nodes(graph.nodes, values)
        return {name: values[ref] for name, ref in graph.outputs.items()}, run.state

    return Program(graph, params, state, init, apply)


class _Run:
    """One trace through a list of nodes: the weights in reach, the state as it changes, the values so far."""

    def __init__(self, params: Tree, state: Tree, salts: Mapping[str, Any], key: jax.Array | None, train: bool) -> None:
        self.params, self.state, self.salts, self.key, self.train = params, state, salts, key, train

    def nodes(self, nodes: Sequence[TypedNode | TypedRepeat], values: dict[Ref, Any]) -> None:
        """Compute nodes in order; their results are added to `values`."""
        for node in nodes:
            if isinstance(node, TypedRepeat):
                values[Ref(node.path)] = self.repeat(node, values)
            else:
                self.node(node, values)

    def node(self, node: TypedNode, values: dict[Ref, Any]) -> None:
        """Compute one layer."""
        weights = {**get_in(self.params, node.weights), **get_in(self.state, node.weights)}
        key = None
        if node.layer.random and self.train and self.key is not None:
            key = jax.random.fold_in(self.key, self.salts[node.path])
        with jax.named_scope(node.path.replace("/*/", "/each/")):
            result = node.layer.apply(weights, *(values[ref] for ref in node.inputs), key=key, train=self.train)
        if node.signature.state:
            result, new = result
            self.state = set_in(self.state, node.weights, new)
        if node.signature.results:
            values[Ref(node.path)] = result["output"]
            values.update({Ref(node.path, name): result[name] for name in node.signature.results})
        else:
            values[Ref(node.path)] = result

    def repeat(self, node: TypedRepeat, values: dict[Ref, Any]) -> jax.Array:
        """Run a repeat as one scan: weights, state and salts are sliced, the value is carried."""
        each = f"{node.weights}/*"
        own = {path: salt for path, salt in self.salts.items() if path.startswith(f"{node.path}/*/")}
        slices = (get_in(self.params, each), get_in(self.state, each), own)

        def body(carry: jax.Array, part: tuple[Tree, Tree, dict[str, Any]]) -> tuple[jax.Array, Tree]:
            params, state, salts = part
            inner = _Run(
                set_in(self.params, each, params),
                set_in(self.state, each, state),
                {**self.salts, **salts},
                self.key,
                self.train,
            )
            local = {**values, Ref(f"{node.path}/*"): carry}
            inner.nodes(node.body, local)
            return local[node.output], get_in(inner.state, each)

        end, new = jax.lax.scan(body, values[node.input], slices, length=node.times)
        if new:
            self.state = set_in(self.state, each, new)
        if not isinstance(end, jax.Array):
            raise InternalError(f"the repeat {node.path} carries more than one value")
        return end
