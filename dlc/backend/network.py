"""lower: a typed graph -> a `Program`, two pure functions over nested dicts keyed by paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlc.backend.array_backend import ArrayBackend, Pass, Weights, cast, finite, new_cache
from dlc.backend.hyperparameters import Hyperparameters
from dlc.backend.lowering import Lowering, flags_of, platform
from dlc.backend.tree import Tree, flatten, get_in, nest, restack, set_in, stacked, unstack
from dlc.components.initializers.initializer import draw, path_hash
from dlc.ir import (
    DTYPES,
    MASK,
    Iterations,
    ParamSpec,
    Ref,
    TypedGraph,
    instances,
)
from dlc.ir.evaluator import Evaluator
from dlc.kernels.selection import Choices
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
        recorded: what the pass recorded of each layer, by path: with `trace_finite` whether its results are finite, in
            a step of decoding its new cache. For a layer within repeats the iterations are stacked.
    """

    outputs: dict[str, jax.Array]
    state: Tree
    masks: dict[str, jax.Array]
    penalty: Any
    recorded: dict[str, Any]


@fast_dataclass(frozen=True)
class Program:
    """A network as pure functions.

    Variables are nested dicts of three kinds: `params`, the trained weights; `state`, what training updates by rule;
    `frozen`, weights that stay as they are.

    Args:
        graph: what it was made from.
        slots: what is declared, by kind and path.
        init: seed -> variables, nested dicts of numpy arrays.
        run: (variables, inputs, *, key, train, trace_finite) -> `Results`. Inputs and outputs are dicts of arrays with
            the batch axis first; beside an input `x` its mask may be given as `x.mask`. `key` is the step's random key,
            needed only when `train` is set. `trace_finite` records which layers' results are finite.
        step: (variables, inputs, cache, offset, stepped, count) -> `Results`, a step of decoding; see
            `dlc.backend.decode`.
        choices: the variants of its operations; tracing `run` adds to them.
        flags: XLA's flags for the programs that train and evaluate it.
        numbers: the hyperparameters of the network: dropout rates and the factors of l1 and l2 penalties.
    """

    graph: TypedGraph
    slots: Mapping[str, Mapping[str, Slot]]
    init: Callable[[int], Tree]
    run: Callable[..., Results]
    step: Callable[..., Results]
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
    """Names in files leave out whether a value is trained: no layer has a weight and a state of the same name."""
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
    numbers = _numbers(graph, slots["params"])
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
        given = variables.get("numbers", {}).get("network", numbers.values)
        bound = numbers.bound(given) if train else {}
        record = finite if trace_finite else None
        about = Pass(choices, "train" if train else "evaluate", key, record=record, numbers=bound)
        return evaluated(about, variables, inputs, {})

    def step(
        variables: Mapping[str, Any],
        inputs: Arrays,
        cache: Mapping[str, Any],
        offset: Any,
        stepped: frozenset[str],
        count: Any = None,
    ) -> Results:
        about = Pass(choices, "decode", None, offset, stepped, count, new_cache)
        return evaluated(about, variables, inputs, cache)

    def evaluated(about: Pass, variables: Mapping[str, Any], inputs: Arrays, caches: Mapping[str, Any]) -> Results:
        weights = Weights(variables["params"], variables["state"], variables.get("frozen", {}))
        backend = ArrayBackend(about, weights, salts, caches)
        values = {Ref(name): jnp.asarray(inputs[name]) for name in graph.inputs}
        given = {
            Ref(name): jnp.asarray(inputs[name + MASK])
            for name, kind in graph.inputs.items()
            if kind.mask and name + MASK in inputs
        }
        evaluator = Evaluator(backend, values, given)
        with _matmul(graph.matmul):
            evaluator.nodes(graph.nodes, tuple(graph.outputs.values()))
        outputs = {name: cast(evaluator.values[ref], "f32") for name, ref in graph.outputs.items()}
        masks = {name: evaluator.masks[ref] for name, ref in graph.outputs.items() if ref in evaluator.masks}
        return Results(outputs, backend.weights.state, masks, backend.penalty, backend.recorded)

    return Program(graph, slots, init, run, step, choices, flags, numbers)


def _numbers(graph: TypedGraph, params: Mapping[str, Slot]) -> Hyperparameters:
    """The rates of layers by path and option, and the factors of penalties by kind and path."""
    rates = {
        f"{node.path}/{name}": value
        for node, _ in graph.walk()
        for name in node.layer.hyperparameters
        if type(value := getattr(node.layer, name)) is float and value != 0
    }
    factors = {
        f"{kind}/{path}": factor
        for path, slot in params.items()
        for kind, factor in (("l1", slot.spec.l1), ("l2", slot.spec.l2))
        if factor
    }
    return Hyperparameters.of({**rates, **factors})


def _matmul(how: str) -> AbstractContextManager[Any]:
    """The context in which matrices are multiplied in one way; gradients take it over (see also `with_gradient`)."""
    context: AbstractContextManager[Any] = nullcontext() if how == "default" else jax.default_matmul_precision(how)
    return context
