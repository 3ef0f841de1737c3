"""The loss and the metrics of a spec as functions of outputs and targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dlc.features.feature import Feature
from dlc.pipeline import Spec

Stats = Mapping[str, Mapping[str, Any]]


def loss_per_example(spec: Spec, outputs: Mapping[str, jax.Array], targets: Mapping[str, jax.Array]) -> jax.Array:
    """The weighted sum of all losses: (batch,)."""
    total: jax.Array | float = 0.0
    for term in spec.losses:
        value = term.loss.apply(outputs[term.output], targets[term.target])
        total = total + (value if term.weight == 1 else term.weight * value)
    return jnp.asarray(total)


def metric_statistics(
    spec: Spec, outputs: Mapping[str, jax.Array], targets: Mapping[str, jax.Array], stats: Stats
) -> dict[str, jax.Array]:
    """Each metric's numbers per example, (batch,), on predictions and targets in the user's units."""
    found = {}
    for term in spec.metrics:
        feature = target_feature(spec, term.target)
        output = outputs[term.output]
        if term.activate is not None and not (term.metric.ranks and output.shape[-1] > 1):
            output = term.activate.activate(output)
        found[term.name] = term.metric.statistics(
            feature.decode(output, stats[term.target]), feature.decode(targets[term.target], stats[term.target])
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
