"""The losses and the metrics of a spec as functions of a network's results and a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlc.backend.network import Results
from dlc.components.features.feature import Feature
from dlc.components.losses.loss import Loss, Masks
from dlc.components.metrics.metric import Metric, Statistics
from dlc.components.sums import in_units
from dlc.frontend.decisions import deciding, threshold_of
from dlc.frontend.plan import Against, LossTerm, MetricTerm, Plan
from dlc.frontend.predictions import answers
from dlc.ir import MASK, over

Stats = Mapping[str, Mapping[str, Any]]
Batch = Mapping[str, Mapping[str, Any]]  # {"inputs": {name: (batch, ...)}, "targets": {name: (batch, ...)}}
PENALTY = "#penalty"  # can't be the name of a loss
FITTED = "#fitted/"  # can't begin the name of a metric


class Mixing(NamedTuple):
    """How the examples of a batch were mixed.

    The loss of an example is share * loss(own target) + (1 - share) * loss(partner's target).

    Args:
        targets: those of the partners, by name: (batch, ...).
        share: (batch,) float32, the share of the example itself.
    """

    targets: Mapping[str, Any]
    share: jax.Array


class Totals(NamedTuple):
    """A loss summed over examples. The loss is total / weight.

    Args:
        total: a scalar.
        weight: a scalar.
        parts: (3,), the total as it is reported: see `in_units`.
    """

    total: jax.Array
    weight: jax.Array
    parts: jax.Array


def loss_scores(
    plan: Plan, results: Results, batch: Batch, real: jax.Array | None = None, mixing: Mixing | None = None
) -> dict[str, Totals]:
    """The sums over a batch of each loss by name, and of the layers' additions to the loss. Scalars.

    Args:
        plan: the spec.
        results: the results of the network.
        batch: its batch.
        real: bool (batch,), false where an example only fills the batch.
        mixing: how its examples were mixed.
    """
    counted: Any = 1.0 if real is None else real.astype(jnp.float32)
    found: dict[str, Totals] = {}
    for term in plan.losses:
        total, weight, parts = _weighed(term, results, batch, real)
        if mixing is not None and term.against is not None and term.against.section == "targets":
            more, weights, others = _weighed(term, results, {**batch, "targets": mixing.targets}, real)
            total = mixing.share * total + (1 - mixing.share) * more
            parts = mixing.share * parts + (1 - mixing.share) * others
            weight = mixing.share * weight + (1 - mixing.share) * weights
        found[term.name] = Totals((counted * total).sum(), (counted * weight).sum(), (counted * parts).sum(-1))
    size = next(iter(results.outputs.values())).shape[0]
    penalty = jnp.broadcast_to(jnp.asarray(results.penalty, jnp.float32), (size,))
    penalties, ones = (counted * penalty).sum(), (counted * jnp.ones(size, jnp.float32)).sum()
    found[PENALTY] = Totals(penalties, ones, _reported(in_units(penalties)))
    return found


def _reported(parts: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
    """Three parts along a new first axis, without gradient."""
    return jax.lax.stop_gradient(jnp.stack(parts))


def _weighed(
    term: LossTerm, results: Results, batch: Batch, real: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The total and the weight of each example, (batch,) each, and the total as it is reported, (3, batch)."""
    target = _value(term.against, results, batch) if term.against is not None else None
    masks = _masks(results, batch, term.output, term.against)
    mask = _common(masks) if term.loss.aligned else masks
    output = results.outputs[term.output]
    total, weight, size = term.loss.apply(output, target, mask, real)
    parts = _reported(term.loss.reported(total, output, target, mask))
    if term.reduction == "sum":
        total, weight = total * size, jnp.ones_like(weight)
        parts = parts * size
    if term.sample_weight is not None:
        factor = batch["targets"][term.sample_weight][:, 0]
        total, weight = factor * total, factor * weight
        parts = factor * parts
    return total, weight, parts


def combined(plan: Plan, scores: Mapping[str, Any], weights: Mapping[str, Any]) -> Any:
    """The loss: the weighted sum of sum(total) / sum(weight) of each term, plus the layers' additions."""
    total: Any = 0.0
    for name, factor in [*((term.name, term.weight) for term in plan.losses), (PENALTY, 1.0)]:
        weight = weights[name]
        part = scores[name].total / jnp.where(weight > 0, weight, 1.0)  # avoids 0 / 0 if nothing counts
        total = total + (part if factor == 1 else factor * part)
    return total


def _value(against: Against, results: Results, batch: Batch) -> Any:
    return results.outputs[against.name] if against.section == "outputs" else batch[against.section][against.name]


def _masks(results: Results, batch: Batch, output: str, against: Against | None) -> Masks:
    """The masks of an output and of its target."""
    if against is None:
        return Masks(results.masks.get(output), None)
    other = against.section == "outputs"
    beside = results.masks.get(against.name) if other else batch[against.section].get(against.name + MASK)
    return Masks(results.masks.get(output), beside)


def _common(masks: Masks) -> jax.Array | None:
    """The positions that count: those that both sides have."""
    there = [mask for mask in masks if mask is not None]
    return there[0] & there[1] if len(there) == 2 else there[0] if there else None


class Answers(NamedTuple):
    """The predictions and targets of a metric, for each example of a batch.

    Args:
        prediction: (batch, *axes), in the user's unit; logarithms of probabilities for metrics that take these; tokens
            (batch, time), -1 where there is none, for metrics of sequences.
        target: in the user's unit.
        weights: (batch,) float32, the weight of each example.
        mask: bool (batch, time), false at padding, or None.
        known: bool (batch,), false where an example has no class and so weight 0, or None.
    """

    prediction: jax.Array
    target: jax.Array
    weights: jax.Array
    mask: jax.Array | None
    known: jax.Array | None = None


def answers_of(
    plan: Plan,
    term: MetricTerm,
    results: Results,
    batch: Batch,
    stats: Stats | None,
    real: jax.Array | None = None,
) -> Answers:
    """The predictions and targets of a metric; without `stats` they are not decoded."""
    output, target = results.outputs[term.output], _value(term.against, results, batch)
    ranks = term.metric.ranks and term.metric.picks and output.shape[-1] > 1
    masks = _masks(results, batch, term.output, term.against)
    mask = masks.target if term.metric.sequences else _common(masks)
    if term.metric.sequences:
        assert term.activate is not None, "match found a loss that decodes"
        output = term.activate.decode(term.activate.predict(output, masks.output))
    elif term.metric.logs:
        output = _logarithms(term.activate, output)
    elif term.activate is not None and ranks and threshold_of(plan, term, stats) is None:
        output = _ranked(term.activate, output)
    elif term.activate is not None:
        output = term.activate.activate(output)
    feature = feature_of(plan, term.against)
    weights = jnp.ones(output.shape[0], jnp.float32) if real is None else real.astype(jnp.float32)
    if term.sample_weight is not None:
        weights = weights * batch["targets"][term.sample_weight][:, 0]
    nothing, known = feature.unlabelled if feature is not None else None, None
    if nothing is not None:  # positions without a class do not count
        there = target != nothing
        target = jnp.where(there, target, 0)
        if target.ndim == 1:
            weights, known = weights * there, there
        else:
            mask = there if mask is None else mask & there
    if feature is not None and stats is not None:
        fitted = stats[term.against.name]
        fitted = feature.centered(fitted) if term.metric.shift_invariant else fitted
        output, target = feature.decode(output, fitted), feature.decode(target, fitted)
    return Answers(output, target, weights, mask, known)


def _ranked(loss: Loss, output: jax.Array) -> jax.Array:
    """Scores in the order of their probabilities, whose largest may be equal; NaN where the probabilities are."""
    if "softmax" not in loss.activations():
        return output
    return jnp.where(jnp.isfinite(output.max(-1, keepdims=True)), output, jnp.nan)


def _logarithms(loss: Loss | None, output: jax.Array) -> jax.Array:
    """Log p of several scores, log(p / (1 - p)) of a single one; from logits, which keep precision for large values.

    Probabilities that are 0 count as the smallest normal number, 1.2e-38, those of 1 as 1 - 6e-8.
    """
    applied, wide = loss.activations() if loss is not None else (), output.astype(jnp.float32)
    several = wide.shape[-1] > 1
    if "softmax" in applied and several:
        return jax.nn.log_softmax(wide, axis=-1)
    if "sigmoid" in applied:
        return jax.nn.log_sigmoid(wide) if several else wide
    p = jnp.maximum(loss.activate(wide) if loss is not None else wide, 2.0**-126)
    return jnp.log(p) if p.shape[-1] > 1 else jnp.log(p) - jnp.log1p(-jnp.minimum(p, 1 - 2.0**-24))


def metric_statistics(
    plan: Plan, results: Results, batch: Batch, stats: Stats, real: jax.Array | None = None
) -> dict[str, Statistics]:
    """The statistics of each metric for a batch; metrics that need all predictions at once have none."""
    return {
        term.name: _deciding(term.metric, threshold_of(plan, term, stats)).statistics(
            *answers_of(plan, term, results, batch, stats, real)[:4]
        )
        for term in plan.metrics
        if not term.metric.collected
    }


def _deciding(metric: Metric, threshold: Any) -> Metric:
    """The metric with a threshold, if it has one."""
    return metric.model_copy(update={"threshold": threshold}) if "threshold" in type(metric).model_fields else metric


def undefined_counts(plan: Plan, results: Results, real: jax.Array) -> dict[str, jax.Array]:
    """For each prediction the number of examples in which it is NaN, without padding.

    Args:
        plan: the spec.
        results: the results of the network.
        real: bool (batch,), false where an example only fills the batch.
    """
    found: dict[str, jax.Array] = {}
    for name, answer in answers(plan.losses, plan.graph.outputs).items():
        output, mask = results.outputs[answer.output], results.masks.get(answer.output)
        output = answer.loss.activate(output) if answer.loss is not None else output
        undefined = jnp.isnan(output)
        if mask is not None:
            undefined &= over(mask, undefined)
        found[name] = (undefined.reshape(len(output), -1).any(1) & real).sum()
    return found


def collected_terms(plan: Plan) -> list[MetricTerm]:
    """The metrics that need all predictions at once, and the predictions by which thresholds are fitted."""
    fitted = [
        MetricTerm(FITTED + name, Probabilities(), term.output, term.against, term.loss)
        for name, term in deciding(plan).items()
        if term.against is not None
    ]
    return [*(term for term in plan.metrics if term.metric.collected), *fitted]


class Probabilities(Metric):
    """The predictions as users see them, to fit a threshold."""

    collected = True


def feature_of(plan: Plan, against: Against | None) -> Feature | None:
    """The feature that an output is compared with; None if it is compared with another output."""
    if against is None or against.section == "outputs":
        return None
    return (target_feature if against.section == "targets" else input_feature)(plan, against.name)


def target_feature(plan: Plan, name: str) -> Feature:
    """The feature of a target of a checked spec."""
    return plan.targets[name]


def input_feature(plan: Plan, name: str) -> Feature:
    """The feature of an input of a checked spec."""
    return plan.inputs[name]
