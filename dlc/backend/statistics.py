"""Sums over many batches: each loss's and each metric's, added up without losing digits.

A float32 sum of a million small numbers loses half its digits. So beside every sum its rounding error is carried
(Kahan 1965, doi:10.1145/363707.363723), and the host adds both in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlc.backend.loss import PENALTY, Batch, Stats, metric_statistics
from dlc.backend.network import Results
from dlc.components.metrics.metric import Metric, Statistics
from dlc.frontend.plan import Plan
from dlc.support.fast_dataclass import fast_dataclass

COUNT = "#examples"  # can't be the name of a metric
LOSSES = "#losses"
ADDED = "#added"
DECAY = "#decay"  # what the weights themselves add to the loss


class Layout(NamedTuple):
    """Which numbers of a vector are which leaves of a tree."""

    form: jax.tree_util.PyTreeDef
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, like: Any) -> Layout:
        """The layout of trees whose leaves have these shapes."""
        leaves, form = jax.tree.flatten(like)
        return cls(form, tuple(leaf.shape for leaf in leaves))

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(math.prod(shape) for shape in self.shapes)

    def parts(self, vector: np.ndarray[Any, Any]) -> Any:
        """The tree of a vector on the host."""
        sizes = [math.prod(shape) for shape in self.shapes]
        pieces = np.split(vector, np.cumsum(sizes)[:-1])
        found = [piece.reshape(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]
        return jax.tree.unflatten(self.form, found)


@jax.tree_util.register_dataclass
@fast_dataclass(frozen=True)
class Sum:
    """Sums, and the errors that their rounding made: all numbers of a tree in one vector, so that few kernels add them.

    Args:
        value: (n,) float32.
        error: (n,) float32, what `value` is too large by.
        layout: which number is which.
    """

    value: Any
    error: Any
    layout: Layout = field(metadata={"static": True})

    @classmethod
    def zero(cls, like: Any) -> Sum:
        """The sum of nothing; `like` has the shapes of what is added."""
        layout = Layout.of(like)
        return cls(jnp.zeros(layout.size, jnp.float32), jnp.zeros(layout.size, jnp.float32), layout)

    def plus(self, more: Any) -> Sum:
        """The sum with another tree added."""
        leaves = [jnp.ravel(leaf).astype(jnp.float32) for leaf in self.layout.form.flatten_up_to(more)]
        rest = jnp.concatenate(leaves) - self.error
        value = self.value + rest
        return Sum(value, (value - self.value) - rest, self.layout)

    def exact(self) -> Any:
        """The sums in float64, on the host."""
        return self.layout.parts(np.asarray(self.value, np.float64) - np.asarray(self.error, np.float64))


Tally = Mapping[str, Any]  # under ADDED the sums of what adds; by name what a metric joins otherwise


def batch_statistics(
    plan: Plan, results: Results, batch: Batch, scores: Any, penalty: Any, stats: Stats, real: jax.Array | None = None
) -> dict[str, Any]:
    """What a batch adds: statistics by the name of a metric, and under COUNT, LOSSES and DECAY.

    Args:
        plan: the spec.
        results: of the network.
        batch: what metrics compare with.
        scores: of the losses.
        penalty: what the weights themselves add to the loss.
        stats: what the features fitted.
        real: bool (batch,), false where an example only fills the batch.
    """
    count = next(iter(results.outputs.values())).shape[0] if real is None else real.sum()
    size = jnp.asarray(count, jnp.float32)
    return {COUNT: size, LOSSES: scores, DECAY: size * penalty, **metric_statistics(plan, results, batch, stats, real)}


def empty(plan: Plan, like: Mapping[str, Any]) -> dict[str, Any]:
    """The tally of no examples; `like` has the shapes of what batches add."""
    joining = _joining(plan)
    zeros = {name: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like[name]) for name in joining}
    return {ADDED: Sum.zero({name: tree for name, tree in like.items() if name not in joining}), **zeros}


def add(plan: Plan, tally: Tally, more: Mapping[str, Any]) -> dict[str, Any]:
    """The tally with a batch's statistics."""
    joining = _joining(plan)
    added = tally[ADDED].plus({name: tree for name, tree in more.items() if name not in joining})
    return {ADDED: added, **{name: metric.merge(tally[name], more[name]) for name, metric in joining.items()}}


def to_host(tally: Tally) -> dict[str, Any]:
    """The sums by name in float64, on the host."""
    rest = {name: jax.tree.map(np.float64, tree) for name, tree in tally.items() if name != ADDED}
    return {**tally[ADDED].exact(), **rest}


def merge(plan: Plan, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two tallies without their errors together: settled ones, or statistics of two batches."""
    metrics = _metrics(plan)
    return {
        name: metrics[name].merge(value, second[name])
        if name in metrics
        else jax.tree.map(lambda x, y: x + y, value, second[name])
        for name, value in first.items()
    }


def _metrics(plan: Plan) -> dict[str, Metric]:
    return {term.name: term.metric for term in plan.metrics if not term.metric.collected}


def _joining(plan: Plan) -> dict[str, Metric]:
    """The metrics whose statistics don't simply add."""
    return {name: metric for name, metric in _metrics(plan).items() if type(metric).merge is not Metric.merge}


def values(plan: Plan, sums: Mapping[str, Any]) -> dict[str, float]:
    """Loss and metrics from a settled tally: the loss, its parts when there are several, the metrics.

    A tally of no example gives NaN.
    """
    if not sums[COUNT]:
        names = [*(term.name for term in plan.losses if len(plan.losses) > 1), *_metrics(plan)]
        return dict.fromkeys(["loss", *names], math.nan)
    scores = sums[LOSSES]
    parts = {name: float(total / weight) if weight else 0.0 for name, (total, weight) in scores.items()}
    decay = float(sums[DECAY] / sums[COUNT])
    loss = sum(term.weight * parts[term.name] for term in plan.losses) + parts[PENALTY] + decay
    found = {"loss": loss}
    if len(plan.losses) > 1:
        found |= {term.name: parts[term.name] for term in plan.losses}
    for term in plan.metrics:
        if not term.metric.collected:
            statistics: Statistics = sums[term.name]
            found[term.name] = term.metric.result(statistics)
    return found
