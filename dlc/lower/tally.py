"""Sums over many batches: each loss's and each metric's, added up without losing digits.

A float32 sum of a million small numbers loses half its digits. So beside every sum its rounding error is carried
(Kahan 1965, doi:10.1145/363707.363723), and the host adds both in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlc.lower.objective import PENALTY
from dlc.objectives.metric import Metric, Statistics
from dlc.pipeline import Spec

COUNT = "#examples"  # can't be the name of a metric
LOSSES = "#losses"
DECAY = "#decay"  # what the weights themselves add to the loss


class Sum(NamedTuple):
    """A tree of sums, and of the errors that their rounding made."""

    value: Any
    error: Any

    def plus(self, more: Any) -> Sum:
        """The sum with another tree added."""
        rest = jax.tree.map(lambda x, error: x - error, more, self.error)
        value = jax.tree.map(lambda total, x: total + x, self.value, rest)
        error = jax.tree.map(lambda new, old, x: (new - old) - x, value, self.value, rest)
        return Sum(value, error)

    def exact(self) -> Any:
        """The sums in float64, on the host."""
        return jax.tree.map(lambda x, error: np.float64(x) - np.float64(error), self.value, self.error)


Tally = Mapping[str, Any]  # sums by the name of a metric, and under COUNT, LOSSES and DECAY


def empty(spec: Spec, like: Mapping[str, Any]) -> dict[str, Any]:
    """The tally of no examples; `like` has the shapes of what is added."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), dict(like))
    adding = _adding(spec)
    return {name: Sum(tree, tree) if adding[name] else tree for name, tree in zeros.items()}


def add(spec: Spec, tally: Tally, more: Mapping[str, Any]) -> dict[str, Any]:
    """The tally with a batch's statistics."""
    metrics = _metrics(spec)
    return {
        name: old.plus(more[name]) if isinstance(old, Sum) else metrics[name].merge(old, more[name])
        for name, old in tally.items()
    }


def settled(tally: Tally) -> dict[str, Any]:
    """The sums in float64, on the host."""
    return {
        name: value.exact() if isinstance(value, Sum) else jax.tree.map(np.float64, value)
        for name, value in tally.items()
    }


def joined(spec: Spec, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two tallies without their errors together: settled ones, or statistics of two batches."""
    metrics = _metrics(spec)
    return {
        name: metrics[name].merge(value, second[name])
        if name in metrics
        else jax.tree.map(lambda x, y: x + y, value, second[name])
        for name, value in first.items()
    }


def _metrics(spec: Spec) -> dict[str, Metric]:
    return {term.name: term.metric for term in spec.metrics if not term.metric.collected}


def _adding(spec: Spec) -> dict[str, bool]:
    """For each name whether its statistics add; sums that `merge` joins otherwise are left to it."""
    plain = dict.fromkeys((COUNT, LOSSES, DECAY), True)
    return {**plain, **{name: type(metric).merge is Metric.merge for name, metric in _metrics(spec).items()}}


def values(spec: Spec, sums: Mapping[str, Any]) -> dict[str, float]:
    """Loss and metrics from a settled tally: the loss, its parts when there are several, the metrics.

    A tally of no example gives NaN.
    """
    if not sums[COUNT]:
        names = [*(term.name for term in spec.losses if len(spec.losses) > 1), *_metrics(spec)]
        return dict.fromkeys(["loss", *names], math.nan)
    scores = sums[LOSSES]
    parts = {name: float(total / weight) if weight else 0.0 for name, (total, weight) in scores.items()}
    decay = float(sums[DECAY] / sums[COUNT])
    loss = sum(term.weight * parts[term.name] for term in spec.losses) + parts[PENALTY] + decay
    found = {"loss": loss}
    if len(spec.losses) > 1:
        found |= {term.name: parts[term.name] for term in spec.losses}
    for term in spec.metrics:
        if not term.metric.collected:
            statistics: Statistics = sums[term.name]
            found[term.name] = term.metric.result(statistics)
    return found
