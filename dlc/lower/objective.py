"""The loss and the metrics of a spec as functions of outputs and targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dlc.features.feature import Feature
from dlc.ir import MASK
from dlc.lower.program import Results
from dlc.pipeline import Spec

Stats = Mapping[str, Mapping[str, Any]]


def loss_per_example(spec: Spec, results: Results, targets: Mapping[str, jax.Array], penalty: Any = 0.0) -> jax.Array:
    """The weighted sum of all losses, with what layers add and a penalty for the weights: (batch,)."""
    total: Any = results.penalty + penalty
    for term in spec.losses:
        mask = _mask(results, targets, term.output, term.target)
        value = term.loss.apply(results.outputs[term.output], targets[term.target], mask)
        total = total + (value if term.weight == 1 else term.weight * value)
    return jnp.asarray(total)


def _mask(results: Results, targets: Mapping[str, jax.Array], output: str, target: str) -> jax.Array | None:
    """Which places of the time axis count: those that both output and target have."""
    masks = [mask for mask in (results.masks.get(output), targets.get(target + MASK)) if mask is not None]
    return masks[0] & masks[1] if len(masks) == 2 else masks[0] if masks else None


def metric_statistics(
    spec: Spec, results: Results, targets: Mapping[str, jax.Array], stats: Stats
) -> dict[str, jax.Array]:
    """Each metric's numbers per example, (batch,), on predictions and targets in the user's units."""
    found = {}
    for term in spec.metrics:
        feature = target_feature(spec, term.target)
        output = results.outputs[term.output]
        if term.activate is not None and not (term.metric.ranks and output.shape[-1] > 1):
            output = term.activate.activate(output)
        found[term.name] = term.metric.statistics(
            feature.decode(output, stats[term.target]),
            feature.decode(targets[term.target], stats[term.target]),
            _mask(results, targets, term.output, term.target),
        )
    return found


def target_feature(spec: Spec, name: str) -> Feature:
    """The feature of a target of a checked spec."""
    feature = spec.document.targets[name]
    assert feature is not None
    return feature


def input_feature(spec: Spec, name: str) -> Feature:
    """The feature of an input of a checked spec."""
    feature = spec.document.inputs[name]
    assert feature is not None
    return feature
