"""A step with checks: which value of it is the first that is not finite. Compiled only when a run has diverged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlc.backend import statistics
from dlc.backend.batches import unpacked
from dlc.backend.gradients import Gradients
from dlc.backend.loss import PENALTY, Stats
from dlc.backend.network import Program
from dlc.backend.random import root_key
from dlc.backend.train_step import TrainState, Updater, step_gradients
from dlc.backend.tree import flatten, get_in, nest
from dlc.data.feed import Rows
from dlc.diagnostics import Span
from dlc.frontend.plan import Plan
from dlc.ir import Iterations, TypedNode, TypedRepeat, instances


class NonfiniteValue(NamedTuple):
    """The first value of a step that is not finite.

    Args:
        kind: what it is; `update` is a weight whose gradient is finite.
        name: of the input, the layer, the loss or the weight.
        span: where the layer stands in the spec.
    """

    kind: Literal["input", "layer", "loss", "gradient", "update", "weight"]
    name: str
    span: Span | None = None


class NonfiniteTracer:
    """A spec's steps with checks.

    Args:
        plan: a checked spec with losses.
        program: its network.
        updater: how its weights are updated.
    """

    def __init__(self, plan: Plan, program: Program, updater: Updater) -> None:
        self.plan, self.program, self.updater = plan, program, updater
        self.gradients = Gradients(plan, program, updater.accumulate)

    def step(self, state: TrainState, batch: Rows, stats: Stats) -> NonfiniteValue | None:
        """The first value of a step that is not finite: of its weights, inputs, layers, losses or gradients."""
        weight = self.weight(state.variables)
        if weight is not None:
            return weight
        parts, losses, gradient = jax.device_get(jax.jit(self._looked)(state, batch, stats))
        for part in range(self.updater.accumulate):
            found = self._forward(jax.tree.map(lambda flag, part=part: flag[part], parts))
            if found is not None:
                return found
        for name, good in losses.items():
            if not good:
                return NonfiniteValue("loss", name)
        return self._first_gradient(gradient)

    def evaluation(self, variables: Mapping[str, Any], batches: Iterator[Rows], stats: Stats) -> NonfiniteValue | None:
        """The first value that is not finite when batches are evaluated."""

        @jax.jit
        def look(variables: Mapping[str, Any], batch: Rows) -> Any:
            return self._flags(variables, unpacked(self.plan, batch, stats)["inputs"], None, train=False)[0]

        for batch in batches:
            found = self._forward(jax.device_get(look(variables, batch)))
            if found is not None:
                return found
        return None

    def weight(self, variables: Mapping[str, Any]) -> NonfiniteValue | None:
        """The first weight or statistic that is not finite."""
        held = jax.device_get(dict(variables))
        if all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(held)):
            return None
        for name, value in self.program.to_flat(held).items():
            if not np.isfinite(value).all():
                return NonfiniteValue("weight", name)
        return None

    def _looked(self, state: TrainState, batch: Rows, stats: Stats) -> tuple[Any, dict[str, Any], Any]:
        key = jax.random.fold_in(root_key(self.plan.seed, self.program.platform), state.step)
        given = self.gradients.given(batch, key, stats)
        count = self.updater.accumulate
        parts, keys = (
            self.gradients.parts(given, key) if count > 1 else jax.tree.map(lambda leaf: leaf[None], (given, key))
        )

        def look(carry: Any, part: tuple[Any, Any]) -> tuple[Any, Any]:
            given, key = part
            flags, after = self._flags({**state.variables, "state": carry}, given.batch["inputs"], key, train=True)
            return after, flags

        _, flags = jax.lax.scan(look, state.variables["state"], (parts, keys))
        found, gradient = step_gradients(self.updater, self.gradients, state, given, key, stats)
        losses = {name: _finite(score) for name, score in found.batch_statistics[statistics.LOSSES].items()}
        losses[statistics.DECAY] = _finite(found.batch_statistics[statistics.DECAY])
        return flags, losses, nest({path: self._by_iteration(path, gradient) for path in self.program.params})

    def _flags(
        self, variables: Mapping[str, Any], inputs: Mapping[str, Any], key: Any, train: bool
    ) -> tuple[dict[str, Any], Any]:
        results = self.program.run(variables, inputs, key=key, train=train, trace_finite=True)
        flags = {"inputs": {name: _finite(value) for name, value in inputs.items()}, "layers": results.recorded}
        return flags, results.state

    def _by_iteration(self, path: str, gradient: Any) -> jax.Array:
        leaf = get_in(gradient, path)
        depth = len(self.program.params[path].around)
        return jnp.isfinite(leaf).all(axis=tuple(range(depth, leaf.ndim)))

    def _forward(self, flags: Mapping[str, Any]) -> NonfiniteValue | None:
        for name, good in flags["inputs"].items():
            if not good:
                return NonfiniteValue("input", name)
        for node, around, place in _executed(self.program.graph.nodes):
            if not flags["layers"][node.path][place]:
                return NonfiniteValue("layer", dict(instances(node.path, around))[place], node.origin.span)
        return None

    def _first_gradient(self, gradient: Any) -> NonfiniteValue | None:
        """Gradients are computed from the last layer to the first."""
        flat = flatten(gradient)
        for node, around, place in reversed(list(_executed(self.program.graph.nodes))):
            for name, spec in node.signature.params.items():
                path = f"{node.weights}/{name}"
                depth = node.weights.split("/").count("*")
                if spec.trainable and not flat[path][place[:depth]]:
                    named = dict(instances(path, around[:depth]))
                    return NonfiniteValue("gradient", named[place[:depth]], node.origin.span)
        return None


def loss_name(name: str) -> str:
    """What a part of the loss is called in a message."""
    parts = {PENALTY: "what layers add to the loss", statistics.DECAY: "what `l1` and `l2` add to the loss"}
    return parts.get(name, f"the loss `{name}`")


def _finite(tree: Any) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def _executed(
    nodes: Sequence[TypedNode | TypedRepeat], around: Iterations = (), place: tuple[int, ...] = ()
) -> Iterator[tuple[TypedNode, Iterations, tuple[int, ...]]]:
    """The layers in the order in which they run: each with the repeats around it and its place in their stacks."""
    for node in nodes:
        if isinstance(node, TypedRepeat):
            for index in range(node.times):
                yield from _executed(node.body, (*around, node.iterations), (*place, index))
        else:
            yield node, around, place
