"""Training with few compiled programs.

A chunk is many steps in one program: a loop whose number of iterations is an argument. One compilation serves all chunk
lengths, and how a run is split into chunks cannot change a bit of its result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dlc.backend import loss_scale, skipped_steps, statistics
from dlc.backend.averaging import Averaging, precise
from dlc.backend.gradients import Found, Given, Gradients
from dlc.backend.hyperparameters import Hyperparameters
from dlc.backend.loss import Stats
from dlc.backend.loss_scale import LossScale
from dlc.backend.lowering import options
from dlc.backend.network import Program
from dlc.backend.random import root_key
from dlc.backend.skipped_steps import SkippedSteps
from dlc.backend.tree import Tree
from dlc.data.feed import Feed, Rows
from dlc.frontend.plan import Plan
from dlc.support.fast_dataclass import fast_dataclass


class TrainState(NamedTuple):
    """All that training changes, and checkpoints store.

    Args:
        variables: the program's params, state and frozen weights, and the hyperparameters as `numbers`.
        optimizer: optax's state.
        step: steps done, int32.
        sums: the statistics since the start of the epoch.
        average: averaged variables, empty without averaging.
        rate: factor of every update, which a plateau lowers; empty without one.
        scale: scale of the loss for gradients in float16; empty without these.
        skipped: the numbers of skipped steps, if steps may be skipped.
    """

    variables: dict[str, Any]
    optimizer: Any
    step: jax.Array
    sums: dict[str, Any]
    average: dict[str, Any]
    rate: dict[str, jax.Array]
    scale: dict[str, LossScale]
    skipped: SkippedSteps


class Updater(NamedTuple):
    """How gradients change weights.

    Args:
        build: values of `numbers` -> optax's transformation.
        numbers: the hyperparameters of the optimizer and its modifiers.
        evaluated: (its state, params) -> the params to evaluate with.
        accumulate: the number of batches of one step.
        sharpness: the radius of sharpness-aware minimization, or None.
        averaging: how weights are averaged, or None.
        plateau: whether the transformation takes the `factor` of `TrainState.rate`.
        loss_scale: the loss scale for float16: a number, `dynamic`, or None.
        skips: whether steps with a loss or gradients that are not finite are skipped; with a `dynamic` scale always.
    """

    build: Callable[[Any], optax.GradientTransformationExtraArgs]
    numbers: Hyperparameters
    evaluated: Callable[[Any, Any], Any] = lambda _state, params: params
    accumulate: int = 1
    sharpness: float | None = None
    averaging: Averaging | None = None
    plateau: bool = False
    loss_scale: float | Literal["dynamic"] | None = None
    skips: bool = False

    @property
    def may_skip(self) -> bool:
        """Whether steps may be skipped."""
        return self.skips or self.loss_scale == "dynamic"


@fast_dataclass(frozen=True)
class CompiledSteps:
    """The compiled side of a training run.

    Args:
        batch_statistics: (variables, shapes of a batch) -> shapes of a step's statistics, by tracing it.
        start: (variables, shapes of statistics) -> TrainState.
        chunk: (state, feed, iterations, fresh, stats) -> TrainState after `iterations` steps; `fresh` empties the sums
            first. The state's buffers are donated.
        shown: state -> the variables to evaluate and to save.
    """

    batch_statistics: Callable[[dict[str, Any], Any], Any]
    start: Callable[[dict[str, Any], Any], TrainState]
    chunk: Callable[[TrainState, Feed, Any, Any, Stats], TrainState]
    shown: Callable[[TrainState], dict[str, Any]]


def make_compiled_steps(plan: Plan, program: Program, updater: Updater, stats: Stats) -> CompiledSteps:
    """The functions that train a spec. `stats` are the features' statistics, for their shapes."""
    gradients = Gradients(plan, program, updater.accumulate)
    step = _make_step(plan, program, updater, gradients)

    def complete(variables: Tree) -> Tree:
        numbers = {"network": program.numbers.values, "update": updater.numbers.values}
        return {**variables, "numbers": numbers}

    def begin(variables: Tree, shapes: Any) -> TrainState:
        average = _averaged(variables) if updater.averaging is not None else {}
        return TrainState(
            variables,
            updater.build(variables["numbers"]["update"]).init(variables["params"]),
            jnp.zeros((), jnp.int32),
            statistics.empty(plan, shapes),
            jax.tree.map(jnp.copy, precise(average)),
            {"factor": jnp.ones((), jnp.float32)} if updater.plateau else {},
            {"loss": loss_scale.start(updater.loss_scale)} if updater.loss_scale is not None else {},
            skipped_steps.start(),
        )

    def batch_statistics(variables: dict[str, Any], like: Any) -> Any:
        scale = loss_scale.start(updater.loss_scale) if updater.loss_scale is not None else None
        variables = complete(variables)
        return jax.eval_shape(gradients.batch_statistics, variables, like, root_key(0, program.platform), scale, stats)

    def start(variables: dict[str, Any], shapes: Any) -> TrainState:
        begun: TrainState = jax.jit(lambda variables: begin(variables, shapes))(complete(variables))
        return begun

    def chunk(state: TrainState, feed: Feed, iterations: Any, fresh: Any, stats: Stats) -> TrainState:
        sums = jax.tree.map(lambda value: jnp.where(fresh, jnp.zeros_like(value), value), state.sums)
        skipped = state.skipped._replace(epoch=jnp.where(fresh, 0, state.skipped.epoch))
        state = state._replace(sums=sums, skipped=skipped)
        end: TrainState = jax.lax.fori_loop(
            0, iterations, lambda iteration, carry: step(carry, feed.batch(iteration), stats), state
        )
        return end

    def shown(state: TrainState) -> dict[str, Any]:
        if updater.averaging is not None:
            average = jax.tree.map(lambda mean, now: mean.astype(now.dtype), state.average, _averaged(state.variables))
            found = {**state.variables, **average}
        else:
            found = {**state.variables, "params": updater.evaluated(state.optimizer, state.variables["params"])}
        return {**found, "params": program.constrained(found["params"])}  # a mean of unit vectors is not a unit vector

    return CompiledSteps(
        batch_statistics,
        start,
        jax.jit(chunk, donate_argnums=0, compiler_options=options(program.flags)),
        jax.jit(shown),
    )


def _make_step(
    plan: Plan, program: Program, updater: Updater, gradients: Gradients
) -> Callable[[TrainState, Rows, Stats], TrainState]:
    """One step: the state after a batch."""
    root = root_key(plan.seed, program.platform)

    def step(state: TrainState, batch: Rows, stats: Stats) -> TrainState:
        key = jax.random.fold_in(root, state.step)
        found, gradient = step_gradients(updater, gradients, state, gradients.given(batch, key, stats), key, stats)
        new = moved(state, found, gradient)
        if updater.may_skip:
            new = skip_if_nonfinite(state, new, found, gradient)
        return averaged(state, new)

    def moved(state: TrainState, found: Found, gradient: Tree) -> TrainState:
        params = state.variables["params"]
        more = {"factor": state.rate["factor"]} if updater.plateau else {}
        transformation = updater.build(state.variables["numbers"]["update"])
        updates, optimizer = transformation.update(gradient, state.optimizer, params, **more)
        params = program.constrained(optax.apply_updates(params, updates))
        return state._replace(
            variables={**state.variables, "params": params, "state": found.state},
            optimizer=optimizer,
            step=state.step + 1,
            sums=statistics.add(plan, state.sums, found.batch_statistics),
        )

    def skip_if_nonfinite(state: TrainState, new: TrainState, found: Found, gradient: Tree) -> TrainState:
        """Skip a step whose loss or gradients are not finite: only its number is used.

        A finite loss is still counted. After many skipped steps in a row all are skipped, so that the run stops with
        the same weights for all chunk lengths.
        """
        batch_statistics = loss_scale.finite(
            (found.batch_statistics[statistics.LOSSES], found.batch_statistics[statistics.DECAY])
        )
        good = loss_scale.finite(gradient) & batch_statistics
        scale = state.scale
        if updater.loss_scale == "dynamic":
            scale = {"loss": loss_scale.next_state(scale["loss"], good)}
        skipped = skipped_steps.next_state(state.skipped, good & (state.skipped.row < skipped_steps.LIMIT))
        new = new._replace(scale=scale, skipped=skipped)
        kept = loss_scale.select(
            skipped.row == 0, new, state._replace(step=new.step, sums=new.sums, scale=scale, skipped=skipped)
        )
        return kept._replace(sums=loss_scale.select(batch_statistics, new.sums, state.sums))

    running = {path: slot.spec.running for path, slot in program.state.items() if slot.spec.running is not None}

    def averaged(old: TrainState, new: TrainState) -> TrainState:
        if updater.averaging is None:
            return new
        shown = updater.averaging.shown(old.variables["state"], new.variables["state"], running, updater.accumulate)
        now = {"params": new.variables["params"], "state": shown}
        return new._replace(average=updater.averaging.moved(old.average, now, new.step))

    return step


def step_gradients(
    updater: Updater, gradients: Gradients, state: TrainState, given: Given, key: jax.Array, stats: Stats
) -> tuple[Found, Tree]:
    """The results of a step's batch, and the gradients for the update."""
    params, scale = state.variables["params"], state.scale.get("loss")
    found = gradients.of(params, state.variables, given, key, scale, stats)
    if updater.sharpness is None:
        return found, found.gradients
    # the gradients at the worst point nearby, Foret et al. 2020
    radius = updater.numbers.bound(state.variables["numbers"]["update"])["modifiers/sam"]
    size = radius / jnp.maximum(optax.tree.norm(found.gradients), 1e-12)
    worst = jax.tree.map(lambda w, g: w + size * g, params, found.gradients)
    return found, gradients.of(worst, state.variables, given, key, scale, stats).gradients


def _averaged(variables: Tree) -> Tree:
    """The averaged variables: weights and their statistics."""
    return {"params": variables["params"], "state": variables["state"]}
