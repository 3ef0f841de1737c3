"""Training and evaluation as few compiled programs.

A chunk is many steps in one program: a loop whose number of turns is an argument. One compilation serves every chunk
length, and how a run is cut into chunks cannot change a bit of its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dlc.items import Item
from dlc.lower.objective import Stats, loss_per_example, metric_statistics
from dlc.lower.program import Program
from dlc.objectives.optimizers import Optimizer
from dlc.objectives.schedules import Horizon
from dlc.pipeline import Spec
from dlc.spec import OptimizerKeys

COUNT = "#examples"  # can't be the name of a metric
Rows = dict[str, dict[str, Any]]  # {"inputs": {name: (n, ...)}, "targets": {name: (n, ...)}}


class TrainState(NamedTuple):
    """All that training changes; what a checkpoint holds.

    Args:
        variables: the program's params and state.
        optimizer: optax's state.
        step: steps done, int32.
        sums: since the epoch began: loss and metrics' statistics summed over examples, and how many they were.
    """

    variables: dict[str, Any]
    optimizer: Any
    step: jax.Array
    sums: dict[str, jax.Array]


class Feed(NamedTuple):
    """Where a chunk's batches come from: rows on the device and indices into them, or the batches themselves.

    Args:
        rows: all rows, (n, ...), when `indices` is given; else batches, (steps, batch, ...).
        indices: (steps, batch) int32, or None.
    """

    rows: Rows
    indices: Any  # jax.Array | numpy.ndarray | None

    def batch(self, turn: Any) -> Rows:
        """The batch of a turn of the loop."""
        if self.indices is None:
            batch: Rows = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, turn, keepdims=False), self.rows)
            return batch
        return take(self.rows, jax.lax.dynamic_index_in_dim(self.indices, turn, keepdims=False))


def take(rows: Rows, indices: Any) -> Rows:
    """The rows at some indices, all in range."""
    taken: Rows = jax.tree.map(lambda leaf: leaf.at[indices].get(mode="promise_in_bounds"), rows)
    return taken


@dataclass(frozen=True)
class Trainer:
    """The compiled side of a training run.

    Args:
        start: (variables) -> TrainState.
        chunk: (state, feed, turns, fresh, stats) -> TrainState after `turns` steps; `fresh` empties the sums first.
            The state's buffers are donated.
        evaluate: (variables, feed, real, turns, stats) -> sums over the examples. `real`, (batches, batch), is false
            where a batch is padded.
    """

    start: Callable[[dict[str, Any]], TrainState]
    chunk: Callable[[TrainState, Feed, Any, Any, Stats], TrainState]
    evaluate: Callable[..., dict[str, jax.Array]]


def make_transformation(optimizer: Item[Optimizer, OptimizerKeys], horizon: Horizon) -> optax.GradientTransformation:
    """An optimizer with the settings beside it, for a run of this length."""
    transformation = optimizer.thing.build(horizon)
    if optimizer.keys.clip_norm is None:
        return transformation
    return optax.chain(optax.clip_by_global_norm(optimizer.keys.clip_norm), transformation)


def make_trainer(spec: Spec, program: Program, transformation: optax.GradientTransformation) -> Trainer:
    """The functions that train a spec."""
    names = ["loss", *(term.name for term in spec.metrics), COUNT]
    root = jax.random.key(spec.document.seed)

    def zeros() -> dict[str, jax.Array]:
        return {name: jnp.zeros((), jnp.int32 if name == COUNT else jnp.float32) for name in names}

    def start(variables: dict[str, Any]) -> TrainState:
        return TrainState(variables, transformation.init(variables["params"]), jnp.zeros((), jnp.int32), zeros())

    def step(state: TrainState, batch: Rows, stats: Stats) -> TrainState:
        key = jax.random.fold_in(root, state.step)

        def objective(params: Any) -> tuple[jax.Array, tuple[Any, ...]]:
            results = program.run({**state.variables, "params": params}, batch["inputs"], key=key, train=True)
            losses = loss_per_example(spec, results, batch["targets"], program.penalty(params))
            return losses.mean(), (losses, results)

        params = state.variables["params"]
        gradients, (losses, results) = jax.grad(objective, has_aux=True)(params)
        updates, optimizer = transformation.update(gradients, state.optimizer, params)
        found = {"loss": losses, **metric_statistics(spec, results, batch["targets"], stats)}
        sums = {name: state.sums[name] + value.sum() for name, value in found.items()}
        sums[COUNT] = state.sums[COUNT] + losses.shape[0]
        variables = {**state.variables, "params": optax.apply_updates(params, updates), "state": results.state}
        return TrainState(variables, optimizer, state.step + 1, sums)

    def chunk(state: TrainState, feed: Feed, turns: Any, fresh: Any, stats: Stats) -> TrainState:
        sums = jax.tree.map(lambda value: jnp.where(fresh, jnp.zeros_like(value), value), state.sums)
        state = state._replace(sums=sums)
        end: TrainState = jax.lax.fori_loop(0, turns, lambda turn, carry: step(carry, feed.batch(turn), stats), state)
        return end

    def evaluate(
        variables: Mapping[str, Any], feed: Feed, real: jax.Array, turns: Any, stats: Stats
    ) -> dict[str, jax.Array]:
        penalty = program.penalty(variables["params"])

        def add(turn: Any, sums: dict[str, jax.Array]) -> dict[str, jax.Array]:
            batch = feed.batch(turn)
            counted = jax.lax.dynamic_index_in_dim(real, turn, keepdims=False)  # (batch,)
            results = program.run(variables, batch["inputs"], train=False)
            found = {
                "loss": loss_per_example(spec, results, batch["targets"], penalty),
                **metric_statistics(spec, results, batch["targets"], stats),
            }
            new = {name: sums[name] + jnp.where(counted, value, 0.0).sum() for name, value in found.items()}
            return {**new, COUNT: sums[COUNT] + counted.sum()}

        sums: dict[str, jax.Array] = jax.lax.fori_loop(0, turns, add, zeros())
        return sums

    return Trainer(jax.jit(start), jax.jit(chunk, donate_argnums=0), jax.jit(evaluate))
