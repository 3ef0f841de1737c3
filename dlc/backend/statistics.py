"""Sums over many batches, of each loss and metric, without loss of precision.

A float32 sum of a million small numbers loses half its digits. Therefore each sum also carries its rounding error
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
from dlc.components.sums import in_units, whole
from dlc.frontend.plan import Plan
from dlc.support.fast_dataclass import fast_dataclass

COUNT = "#examples"  # can't be the name of a metric
LOSSES = "#losses"
ADDED = "#added"
DECAY = "#decay"  # the loss of the weights themselves
UNDEFINED = "#undefined"  # examples whose prediction is NaN, in evaluations


class Layout(NamedTuple):
    """The positions of a tree's leaves in a vector."""

    structure: jax.tree_util.PyTreeDef
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, like: Any) -> Layout:
        """The layout of trees whose leaves have these shapes."""
        leaves, structure = jax.tree.flatten(like)
        return cls(structure, tuple(leaf.shape for leaf in leaves))

    @property
    def size(self) -> int:
        """The number of elements."""
        return sum(math.prod(shape) for shape in self.shapes)

    def parts(self, vector: np.ndarray[Any, Any]) -> Any:
        """The tree of a vector on the host."""
        sizes = [math.prod(shape) for shape in self.shapes]
        pieces = np.split(vector, np.cumsum(sizes)[:-1])
        found = [piece.reshape(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]
        return jax.tree.unflatten(self.structure, found)


@jax.tree_util.register_dataclass
@fast_dataclass(frozen=True)
class Sum:
    """Sums and their rounding errors: all numbers of a tree in one vector, so that few kernels add them.

    Args:
        value: (n,) float32.
        error: (n,) float32, by how much `value` is too large.
        layout: the positions of the leaves.
    """

    value: Any
    error: Any
    layout: Layout = field(metadata={"static": True})

    @classmethod
    def zero(cls, like: Any) -> Sum:
        """The empty sum; `like` has the shapes of the summands."""
        layout = Layout.of(like)
        return cls(jnp.zeros(layout.size, jnp.float32), jnp.zeros(layout.size, jnp.float32), layout)

    def plus(self, more: Any) -> Sum:
        """The sum with another tree added."""
        leaves = [jnp.ravel(leaf).astype(jnp.float32) for leaf in self.layout.structure.flatten_up_to(more)]
        rest = jnp.concatenate(leaves) - self.error
        value = self.value + rest
        return Sum(value, (value - self.value) - rest, self.layout)

    def exact(self) -> Any:
        """The sums in float64, on the host."""
        return self.layout.parts(np.asarray(self.value, np.float64) - np.asarray(self.error, np.float64))


Sums = Mapping[str, Any]  # under ADDED all plain sums; by name the statistics that a metric merges itself


def batch_statistics(
    plan: Plan, results: Results, batch: Batch, scores: Any, penalty: Any, stats: Stats, real: jax.Array | None = None
) -> dict[str, Any]:
    """The statistics of a batch: by metric, and under COUNT, LOSSES and DECAY.

    Args:
        plan: the spec.
        results: the results of the network.
        batch: the batch with the targets of metrics.
        scores: the scores of the losses.
        penalty: the loss of the weights themselves.
        stats: the features' statistics.
        real: bool (batch,), false where an example only fills the batch.
    """
    count = next(iter(results.outputs.values())).shape[0] if real is None else real.sum()
    size = jnp.asarray(count, jnp.float32)
    losses = {name: (found.parts, found.weight) for name, found in scores.items()}
    decay = jnp.stack(in_units(size * penalty))
    return {COUNT: size, LOSSES: losses, DECAY: decay, **metric_statistics(plan, results, batch, stats, real)}


def empty(plan: Plan, like: Mapping[str, Any]) -> dict[str, Any]:
    """The sums of no examples; `like` has the shapes of a batch's statistics."""
    merging = _merging(plan)
    zeros = {name: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like[name]) for name in merging}
    return {ADDED: Sum.zero({name: tree for name, tree in like.items() if name not in merging}), **zeros}


def add(plan: Plan, sums: Sums, more: Mapping[str, Any]) -> dict[str, Any]:
    """The sums with a batch's statistics added."""
    merging = _merging(plan)
    added = sums[ADDED].plus({name: tree for name, tree in more.items() if name not in merging})
    return {ADDED: added, **{name: metric.merge(sums[name], more[name]) for name, metric in merging.items()}}


def to_host(sums: Sums) -> dict[str, Any]:
    """The sums by name in float64, on the host."""
    rest = {name: jax.tree.map(np.float64, tree) for name, tree in sums.items() if name != ADDED}
    return {**sums[ADDED].exact(), **rest}


def merge(plan: Plan, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two sums without rounding errors, merged: of the host, or the statistics of two batches."""
    metrics = _metrics(plan)
    return {
        name: metrics[name].merge(value, second[name])
        if name in metrics
        else jax.tree.map(lambda x, y: x + y, value, second[name])
        for name, value in first.items()
    }


def _metrics(plan: Plan) -> dict[str, Metric]:
    return {term.name: term.metric for term in plan.metrics if not term.metric.collected}


def _merging(plan: Plan) -> dict[str, Metric]:
    """The metrics whose statistics are not additive."""
    return {name: metric for name, metric in _metrics(plan).items() if type(metric).merge is not Metric.merge}


def values(plan: Plan, sums: Mapping[str, Any]) -> dict[str, float]:
    """Loss and metrics from sums on the host: the loss, its parts if there are several, the metrics.

    Without examples they are NaN.
    """
    if not sums[COUNT]:
        names = [*(term.name for term in plan.losses if len(plan.losses) > 1), *_metrics(plan)]
        return dict.fromkeys(["loss", *names], math.nan)
    scores = sums[LOSSES]
    parts = {name: whole(total) / float(weight) if weight else 0.0 for name, (total, weight) in scores.items()}
    decay = whole(sums[DECAY]) / float(sums[COUNT])
    loss = sum(term.weight * parts[term.name] for term in plan.losses) + parts[PENALTY] + decay
    found = {"loss": loss}
    if len(plan.losses) > 1:
        found |= {term.name: parts[term.name] for term in plan.losses}
    for term in plan.metrics:
        if not term.metric.collected:
            statistics: Statistics = sums[term.name]
            found[term.name] = term.metric.result(statistics)
    return found
