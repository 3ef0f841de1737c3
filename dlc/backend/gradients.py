"""The gradients of a spec's loss on the batches of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlc.backend import loss_scale, statistics
from dlc.backend.augment import augmenter
from dlc.backend.batches import unpacked
from dlc.backend.loss import Mixing, Stats, combined, loss_scores
from dlc.backend.loss_scale import LossScale
from dlc.backend.network import Program
from dlc.backend.tree import Tree
from dlc.data.feed import Rows
from dlc.frontend.plan import Plan


class Given(NamedTuple):
    """A batch after augmentation, and how its examples were mixed."""

    batch: Rows
    mixing: Mixing | None


class Found(NamedTuple):
    """The results of a batch.

    Args:
        gradients: gradients of the trained weights, nested like these.
        state: the network's new state.
        batch_statistics: what is added to the sums.
    """

    gradients: Tree
    state: Tree
    batch_statistics: dict[str, Any]


class Gradients:
    """The gradients of a spec's loss on a batch, as pure functions of it.

    Args:
        plan: a checked spec with losses.
        program: its network.
        accumulate: the number of parts into which the batch of a step is split.
    """

    def __init__(self, plan: Plan, program: Program, accumulate: int) -> None:
        self.plan, self.program, self.accumulate = plan, program, accumulate
        self.augment = augmenter(plan)
        self._traced = jax.jit(self._of)  # traced once, for `batch_statistics` and for the step

    def given(self, batch: Rows, key: jax.Array, stats: Stats) -> Given:
        """A batch as the network sees it, after its augmentations."""
        batch = unpacked(self.plan, batch, stats)
        if not self.plan.augment:
            return Given(batch, None)
        changed, mixed = self.augment(key, batch)
        if mixed is None:
            return Given(changed, None)
        partners = {name: value[mixed.permutation] for name, value in changed["targets"].items()}
        return Given(changed, Mixing(partners, mixed.lam))

    def of(
        self, params: Tree, variables: Mapping[str, Any], batch: Given, key: Any, scale: LossScale | None, stats: Stats
    ) -> Found:
        """The gradients of a step's batch, accumulated over its parts.

        Args:
            params: the weights at which gradients are computed.
            variables: all variables; their `params` are ignored.
            batch: the batch of the step.
            key: the key of the step.
            scale: scale of the loss for gradients in float16, or None.
            stats: the features' statistics.
        """
        found: Found = self._traced(params, variables, batch, key, scale, stats)
        return found

    def _of(
        self, params: Tree, variables: Mapping[str, Any], batch: Given, key: Any, scale: LossScale | None, stats: Stats
    ) -> Found:
        count = self.accumulate
        if count == 1:
            return self._of_part(params, variables, batch, key, None, 1.0, scale, stats)
        parts, keys = self.parts(batch, key)

        def weigh(part: tuple[Given, Any]) -> dict[str, jax.Array]:
            # XLA removes everything that no mask or weight depends on
            return {name: found.weight for name, found in self._scored(params, variables, *part)[0].items()}

        weights = jax.tree.map(lambda each: each.sum(0), jax.lax.map(weigh, (parts, keys)))

        def iteration(carry: tuple[Tree, Tree], part: tuple[Given, Any]) -> tuple[tuple[Tree, Tree], Any]:
            total, state = carry
            found = self._of_part(
                params, {**variables, "state": state}, *part, weights=weights, share=1 / count, scale=scale, stats=stats
            )
            return (jax.tree.map(jnp.add, total, found.gradients), found.state), found.batch_statistics

        zeros = jax.tree.map(jnp.zeros_like, params)
        (gradients, state), batch_statistics = jax.lax.scan(iteration, (zeros, variables["state"]), (parts, keys))
        each = [
            jax.tree.map(lambda leaf, iteration=iteration: leaf[iteration], batch_statistics)
            for iteration in range(count)
        ]
        merged = each[0]
        for more in each[1:]:
            merged = statistics.merge(self.plan, merged, more)
        return Found(gradients, state, merged)

    def parts(self, batch: Given, key: jax.Array) -> tuple[Given, jax.Array]:
        """The batch and key of a step, split into parts along a new first axis."""
        count = self.accumulate
        parts: Given = jax.tree.map(lambda leaf: leaf.reshape(count, leaf.shape[0] // count, *leaf.shape[1:]), batch)
        return parts, jax.vmap(lambda iteration: jax.random.fold_in(key, iteration))(jnp.arange(count))

    def batch_statistics(
        self, variables: Tree, batch: Rows, key: Any, scale: LossScale | None, stats: Stats
    ) -> dict[str, Any]:
        """The statistics of a batch, for their shapes; tracing it includes the gradients."""
        return self.of(
            variables["params"], variables, self.given(batch, key, stats), key, scale, stats
        ).batch_statistics

    def _of_part(
        self,
        params: Tree,
        variables: Mapping[str, Any],
        batch: Given,
        key: Any,
        weights: Mapping[str, Any] | None,
        share: float,
        scale: LossScale | None,
        stats: Stats,
    ) -> Found:
        """The gradients of a part, which is `share` of a batch; `weights` are those of the whole batch by loss."""

        def objective(params: Tree) -> tuple[jax.Array, tuple[Any, ...]]:
            scores, results = self._scored(params, variables, batch, key)
            penalty = self.program.penalty({**variables, "params": params})
            total = combined(self.plan, scores, weights or {name: found.weight for name, found in scores.items()})
            value = jnp.asarray(total + share * penalty)
            return loss_scale.scaled(scale, value) if scale is not None else value, (scores, results, penalty)

        gradients, (scores, results, penalty) = jax.grad(objective, has_aux=True)(params)
        gradients = loss_scale.unscaled(scale, gradients) if scale is not None else gradients
        return Found(
            gradients,
            results.state,
            statistics.batch_statistics(self.plan, results, _judged(batch), scores, penalty, stats),
        )

    def _scored(self, params: Tree, variables: Mapping[str, Any], batch: Given, key: Any) -> tuple[Any, Any]:
        results = self.program.run({**variables, "params": params}, batch.batch["inputs"], key=key, train=True)
        return loss_scores(self.plan, results, batch.batch, mixing=batch.mixing), results


def _judged(batch: Given) -> Rows:
    """The targets for metrics: of mixed examples, the one with the larger share."""
    if batch.mixing is None:
        return batch.batch
    own, mine = batch.mixing.share >= 0.5, batch.batch["targets"]

    def choose(first: Any, second: Any) -> Any:
        return jnp.where(own.reshape(-1, *(1,) * (first.ndim - 1)), first, second)

    return {**batch.batch, "targets": jax.tree.map(choose, mine, dict(batch.mixing.targets))}
