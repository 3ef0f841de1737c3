"""Loss and metrics of a chunk of batches as one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dlc.backend import statistics
from dlc.backend.batches import unpacked
from dlc.backend.loss import Answers, Stats, answers_of, collected_terms, loss_scores, undefined_counts
from dlc.backend.lowering import options
from dlc.backend.network import Program
from dlc.data.feed import Feed
from dlc.frontend.plan import Plan

Evaluate = Callable[..., tuple[dict[str, Any], dict[str, Answers]]]


def make_evaluate(plan: Plan, program: Program) -> Evaluate:
    """The function that evaluates a chunk.

    Returns:
        (variables, feed, real, iterations, stats) -> the sums over the examples, and for each of `collected_terms`
        the `Answers`, (batches, batch, ...). `real`, bool (batches, batch), is false at padding.
        Batches from number `iterations` on are ignored.
    """

    def evaluate(
        variables: Mapping[str, Any], feed: Feed, real: jax.Array, iterations: Any, stats: Stats
    ) -> tuple[dict[str, Any], dict[str, Answers]]:
        penalty = program.penalty(variables)

        def of(iteration: Any) -> tuple[dict[str, Any], dict[str, Answers]]:
            batch = unpacked(plan, feed.batch(iteration), stats)
            counted = jax.lax.dynamic_index_in_dim(real, iteration, keepdims=False)  # (batch,)
            results = program.run(variables, batch["inputs"], train=False)
            scores = loss_scores(plan, results, batch, counted)
            answers = {
                term.name: answers_of(plan, term, results, batch, stats, counted) for term in collected_terms(plan)
            }
            sums = statistics.batch_statistics(plan, results, batch, scores, penalty, stats, counted)
            return {**sums, statistics.UNDEFINED: undefined_counts(plan, results, counted)}, answers

        def add(iteration: Any, carry: tuple[dict[str, Any], Any]) -> tuple[dict[str, Any], Any]:
            sums, kept = carry
            batch_statistics, answers = of(iteration)
            return statistics.add(plan, sums, batch_statistics), jax.tree.map(
                lambda all_, new: all_.at[iteration].set(new), kept, answers
            )

        batch_statistics, answers = jax.eval_shape(of, 0)
        kept = jax.tree.map(lambda leaf: jnp.zeros((real.shape[0], *leaf.shape), leaf.dtype), answers)
        found: tuple[dict[str, Any], dict[str, Answers]] = jax.lax.fori_loop(
            0, iterations, add, (statistics.empty(plan, batch_statistics), kept)
        )
        return found

    compiled: Evaluate = jax.jit(evaluate, compiler_options=options(program.flags))
    return compiled
