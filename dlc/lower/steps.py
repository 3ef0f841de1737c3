"""Training and evaluation as few compiled programs.

A chunk is many steps in one program: a loop whose number of turns is an argument. One compilation serves every chunk
length, and how a run is cut into chunks cannot change a bit of its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dlc.lower import loss_scale, tally
from dlc.lower.augment import augmenter
from dlc.lower.averaging import Averaging
from dlc.lower.loss_scale import LossScale
from dlc.lower.objective import Answers, Mixing, Stats, answers_of, combined, loss_scores, metric_statistics
from dlc.lower.program import Program
from dlc.lower.tally import COUNT, DECAY, LOSSES
from dlc.lower.tree import Tree
from dlc.pipeline import Spec

Rows = dict[str, dict[str, Any]]  # {"inputs": {name: (n, ...)}, "targets": {name: (n, ...)}}


class TrainState(NamedTuple):
    """All that training changes; what a checkpoint holds.

    Args:
        variables: the program's params and state.
        optimizer: optax's state.
        step: steps done, int32.
        sums: the tally since the epoch began.
        average: averaged variables, empty when nothing is averaged.
        rate: factor of every update, which a plateau lowers; empty when the schedule has none.
        scale: of the loss, for gradients in float16; empty when there are none.
    """

    variables: dict[str, Any]
    optimizer: Any
    step: jax.Array
    sums: dict[str, Any]
    average: dict[str, Any]
    rate: dict[str, jax.Array]
    scale: dict[str, LossScale]


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


class Updater(NamedTuple):
    """How gradients change weights.

    Args:
        transformation: optax's.
        evaluated: (its state, params) -> the params to evaluate with.
        accumulate: how many batches make one step.
        sharpness: the radius of sharpness-aware minimization, or None.
        averaging: how weights are averaged, or None.
        plateau: whether the transformation takes the `factor` of `TrainState.rate`.
        loss_scale: of gradients in float16: a number, `dynamic`, or None.
    """

    transformation: optax.GradientTransformationExtraArgs
    evaluated: Callable[[Any, Any], Any] = lambda _state, params: params
    accumulate: int = 1
    sharpness: float | None = None
    averaging: Averaging | None = None
    plateau: bool = False
    loss_scale: float | Literal["dynamic"] | None = None


@dataclass(frozen=True)
class Trainer:
    """The compiled side of a training run.

    Args:
        start: (variables, shapes of a batch) -> TrainState.
        chunk: (state, feed, turns, fresh, stats) -> TrainState after `turns` steps; `fresh` empties the sums first.
            The state's buffers are donated.
        shown: state -> the variables to evaluate with and to keep.
        evaluate: (variables, feed, real, turns, stats) -> the tally over the examples, and for each metric that needs
            all answers at once the `Answers`, (batches, batch, ...). `real`, (batches, batch), is false where a batch
            is padded.
    """

    start: Callable[[dict[str, Any], Any], TrainState]
    chunk: Callable[[TrainState, Feed, Any, Any, Stats], TrainState]
    shown: Callable[[TrainState], dict[str, Any]]
    evaluate: Callable[..., tuple[dict[str, Any], dict[str, Any]]]


class _Given(NamedTuple):
    """A batch as the network gets it in training, and what its examples were mixed with."""

    batch: Rows
    mixing: Mixing | None


class _Found(NamedTuple):
    """What a batch gave: its gradients, the new state, what is added to the tally."""

    gradients: Tree
    state: Tree
    told: dict[str, Any]


def make_trainer(spec: Spec, program: Program, updater: Updater, stats: Stats) -> Trainer:
    """The functions that train a spec. `stats` is what its features fitted, for its shapes."""
    root = jax.random.key(spec.document.seed)
    augment = augmenter(spec)

    def measured(results: Any, batch: Rows, scores: Any, penalty: Any, stats: Stats) -> dict[str, Any]:
        size = next(iter(results.outputs.values())).shape[0]
        found = {COUNT: jnp.asarray(size, jnp.float32), LOSSES: scores}
        found[DECAY] = jnp.asarray(penalty * size, jnp.float32)
        return {**found, **metric_statistics(spec, results, batch, stats)}

    def given(batch: Rows, key: Any) -> _Given:
        if not spec.augment:
            return _Given(batch, None)
        changed, mixed = augment(key, batch)
        if mixed is None:
            return _Given(changed, None)
        partners = {name: value[mixed.permutation] for name, value in changed["targets"].items()}
        return _Given(changed, Mixing(partners, mixed.lam))

    def scored(params: Tree, variables: Tree, batch: _Given, key: Any) -> tuple[Any, Any]:
        results = program.run({**variables, "params": params}, batch.batch["inputs"], key=key, train=True)
        return loss_scores(spec, results, batch.batch, mixing=batch.mixing), results

    def judged(batch: _Given) -> Rows:
        """What metrics compare with: the target that an example has most of."""
        if batch.mixing is None:
            return batch.batch
        own, mine = batch.mixing.share >= 0.5, batch.batch["targets"]

        def choose(first: Any, second: Any) -> Any:
            return jnp.where(own.reshape(-1, *(1,) * (first.ndim - 1)), first, second)

        return {**batch.batch, "targets": jax.tree.map(choose, mine, dict(batch.mixing.targets))}

    def found_in(
        params: Tree, variables: Tree, batch: _Given, key: Any, weights: Any, share: float, scale: Any, stats: Stats
    ) -> _Found:
        """The gradients of a batch; of `share` of one when `weights` are those of the whole."""

        def objective(params: Tree) -> tuple[jax.Array, tuple[Any, ...]]:
            scores, results = scored(params, variables, batch, key)
            penalty = program.penalty(params)
            total = combined(spec, scores, weights or {name: found.weight for name, found in scores.items()})
            value = jnp.asarray(total + share * penalty)
            return loss_scale.scaled(scale, value) if scale is not None else value, (scores, results, penalty)

        gradients, (scores, results, penalty) = jax.grad(objective, has_aux=True)(params)
        gradients = loss_scale.unscaled(scale, gradients) if scale is not None else gradients
        return _Found(gradients, results.state, measured(results, judged(batch), scores, penalty, stats))

    def gradients_of(params: Tree, variables: Tree, batch: _Given, key: Any, scale: Any, stats: Stats) -> _Found:
        """The gradients of all batches that make a step: those of one batch of their sizes together."""
        count = updater.accumulate
        if count == 1:
            return found_in(params, variables, batch, key, None, 1.0, scale, stats)
        parts: _Given = jax.tree.map(lambda leaf: leaf.reshape(count, leaf.shape[0] // count, *leaf.shape[1:]), batch)
        keys = jax.vmap(lambda turn: jax.random.fold_in(key, turn))(jnp.arange(count))

        def weigh(part: tuple[_Given, Any]) -> dict[str, jax.Array]:
            # XLA leaves out all that neither a mask nor a weight follows from
            return {name: found.weight for name, found in scored(params, variables, *part)[0].items()}

        weights = jax.tree.map(lambda each: each.sum(0), jax.lax.map(weigh, (parts, keys)))

        def turn(carry: tuple[Tree, Tree], part: tuple[_Given, Any]) -> tuple[tuple[Tree, Tree], Any]:
            total, state = carry
            rows, key = part
            found = found_in(params, {**variables, "state": state}, rows, key, weights, 1 / count, scale, stats)
            return (jax.tree.map(jnp.add, total, found.gradients), found.state), found.told

        zeros = jax.tree.map(jnp.zeros_like, params)
        (gradients, state), told = jax.lax.scan(turn, (zeros, variables["state"]), (parts, keys))
        each = [jax.tree.map(lambda leaf, turn=turn: leaf[turn], told) for turn in range(count)]
        merged = each[0]
        for more in each[1:]:
            merged = tally.joined(spec, merged, more)
        return _Found(gradients, state, merged)

    def step(state: TrainState, batch: Rows, stats: Stats) -> TrainState:
        key = jax.random.fold_in(root, state.step)
        params, scale = state.variables["params"], state.scale.get("loss")
        rows = given(batch, key)
        found = gradients_of(params, state.variables, rows, key, scale, stats)
        gradients = found.gradients
        if updater.sharpness is not None:  # the gradients of the worst place near by, Foret et al. 2020
            size = updater.sharpness / jnp.maximum(optax.tree.norm(gradients), 1e-12)
            worst = jax.tree.map(lambda w, g: w + size * g, params, gradients)
            gradients = gradients_of(worst, state.variables, rows, key, scale, stats).gradients
        more = {"factor": state.rate["factor"]} if updater.plateau else {}
        updates, optimizer = updater.transformation.update(gradients, state.optimizer, params, **more)
        moved = program.constrained(optax.apply_updates(params, updates))
        variables = {**state.variables, "params": moved, "state": found.state}
        sums = tally.add(spec, state.sums, found.told)
        new = TrainState(variables, optimizer, state.step + 1, sums, state.average, state.rate, state.scale)
        if scale is None or updater.loss_scale != "dynamic":
            return averaged(new)
        # A step whose gradients overflow is left out: only its number is used up. One whose loss does is not told of.
        finite = loss_scale.finite(gradients)
        new = new._replace(scale={"loss": loss_scale.next_state(scale, finite)})
        kept = loss_scale.guarded(finite, new, state._replace(step=new.step, sums=sums, scale=new.scale))
        told = loss_scale.guarded(loss_scale.finite(found.told[LOSSES]), sums, state.sums)
        return averaged(kept._replace(sums=told))

    def averaged(state: TrainState) -> TrainState:
        if updater.averaging is None:
            return state
        return state._replace(average=updater.averaging.moved(state.average, _averaged(state.variables), state.step))

    def start(variables: dict[str, Any], like: Any) -> TrainState:
        def told(variables: Tree, batch: Rows, stats: Stats) -> dict[str, Any]:
            scale = loss_scale.start(1.0) if updater.loss_scale is not None else None
            return gradients_of(variables["params"], variables, given(batch, root), root, scale, stats).told

        shapes = jax.eval_shape(told, variables, like, stats)

        def begin(variables: Tree) -> TrainState:
            average = _averaged(variables) if updater.averaging is not None else {}
            return TrainState(
                variables,
                updater.transformation.init(variables["params"]),
                jnp.zeros((), jnp.int32),
                tally.empty(spec, shapes),
                jax.tree.map(jnp.copy, average),
                {"factor": jnp.ones((), jnp.float32)} if updater.plateau else {},
                {"loss": loss_scale.start(updater.loss_scale)} if updater.loss_scale is not None else {},
            )

        begun: TrainState = jax.jit(begin)(variables)
        return begun

    def chunk(state: TrainState, feed: Feed, turns: Any, fresh: Any, stats: Stats) -> TrainState:
        sums = jax.tree.map(lambda value: jnp.where(fresh, jnp.zeros_like(value), value), state.sums)
        state = state._replace(sums=sums)
        end: TrainState = jax.lax.fori_loop(0, turns, lambda turn, carry: step(carry, feed.batch(turn), stats), state)
        return end

    def shown(state: TrainState) -> dict[str, Any]:
        if updater.averaging is not None:
            found = {**state.variables, **state.average}
        else:
            found = {**state.variables, "params": updater.evaluated(state.optimizer, state.variables["params"])}
        return {**found, "params": program.constrained(found["params"])}  # a mean of unit vectors is none

    def evaluate(
        variables: Mapping[str, Any], feed: Feed, real: jax.Array, turns: Any, stats: Stats
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        penalty = program.penalty(variables["params"])

        def of(turn: Any) -> tuple[dict[str, Any], dict[str, Answers]]:
            batch = feed.batch(turn)
            counted = jax.lax.dynamic_index_in_dim(real, turn, keepdims=False)  # (batch,)
            results = program.run(variables, batch["inputs"], train=False)
            size = counted.sum().astype(jnp.float32)
            found = {COUNT: size, LOSSES: loss_scores(spec, results, batch, counted), DECAY: size * penalty}
            answers = {
                term.name: answers_of(spec, term, results, batch, stats, counted)
                for term in spec.metrics
                if term.metric.collected
            }
            return {**found, **metric_statistics(spec, results, batch, stats, counted)}, answers

        def add(turn: Any, carry: tuple[dict[str, Any], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
            sums, kept = carry
            told, answers = of(turn)
            kept = jax.tree.map(lambda all_, new: all_.at[turn].set(new), kept, answers)
            return tally.add(spec, sums, told), kept

        told, answers = jax.eval_shape(of, 0)
        kept = jax.tree.map(lambda leaf: jnp.zeros((real.shape[0], *leaf.shape), leaf.dtype), answers)
        sums: tuple[dict[str, Any], dict[str, Any]] = jax.lax.fori_loop(0, turns, add, (tally.empty(spec, told), kept))
        return sums

    return Trainer(start, jax.jit(chunk, donate_argnums=0), jax.jit(shown), jax.jit(evaluate))


def _averaged(variables: Tree) -> Tree:
    """What is averaged: weights, and the statistics that belong to them."""
    return {"params": variables["params"], "state": variables["state"]}
