"""Decisions: the probability above which a label, or the second of two classes, is predicted, for each target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlc.components.features.decision import BEST_F1, limit
from dlc.components.features.feature import Feature
from dlc.components.losses.loss import Loss
from dlc.frontend.plan import LossTerm, MetricTerm, Plan
from dlc.ir import TensorType
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

START = 0.5  # of a threshold that is fitted, before the first evaluation
THRESHOLDS = "thresholds/"  # where the best weights keep those that were fitted


def decided_labels(loss: Loss, output: TensorType, feature: Feature) -> int | None:
    """How many labels a threshold decides about: 1 for two classes; None if it has no effect.

    Args:
        loss: the loss that interprets the output.
        output: the type of the output.
        feature: the target.
    """
    size, kinds = output.shape[-1], _activations(loss)
    if feature.categorical:
        two = feature.raw_type().bound == 2
        return 1 if two and (size == 1 or (size == 2 and "softmax" in kinds)) else None
    if "sigmoid" not in kinds or not feature.value_type().is_float:
        return None
    if size == 1:
        return 1
    return (
        size if isinstance(size, int) and output.shape == feature.value_type().shape and kinds == ("sigmoid",) else None
    )


def _activations(loss: Loss) -> tuple[str, ...]:
    """What makes probabilities of logits, also for a loss that takes probabilities."""
    if getattr(loss, "from_logits", None) is False:
        return loss.model_copy(update={"from_logits": True}).activations()
    return loss.activations()


def deciding(plan: Plan) -> dict[str, LossTerm]:
    """The losses of the targets whose threshold is fitted, by target."""
    found: dict[str, LossTerm] = {}
    for term in plan.losses:
        name = term.target
        if name in plan.targets and name is not None and plan.targets[name].decision == BEST_F1:
            found.setdefault(name, term)
    return found


def starting_thresholds(plan: Plan) -> dict[str, NDArray[Any]]:
    """The thresholds to fit, before they are: float32 (labels,) by target."""
    sizes = {
        name: decided_labels(term.loss, plan.graph.types[term.output], plan.targets[name])
        for name, term in deciding(plan).items()
    }
    return {name: np.full(size or 1, START, np.float32) for name, size in sizes.items()}


def with_thresholds(stats: Mapping[str, Any], thresholds: Mapping[str, Any]) -> dict[str, Any]:
    """The statistics of the features, with the thresholds of targets."""
    return {
        name: {**own, **({"threshold": thresholds[name]} if name in thresholds else {})} for name, own in stats.items()
    }


def kept_thresholds(thresholds: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Thresholds by target as they are kept beside the weights that they were fitted to."""
    return {THRESHOLDS + name: np.asarray(values, np.float32) for name, values in thresholds.items()}


def read_thresholds(plan: Plan, weights: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The thresholds of the targets for which they are fitted, of the arrays beside weights.

    Raises:
        KeyError: when one is missing.
        ValueError: when one is damaged.
    """
    found = {name: weights[THRESHOLDS + name] for name in deciding(plan)}
    for name, start in starting_thresholds(plan).items():
        if found[name].shape != start.shape or found[name].dtype != start.dtype or np.isnan(found[name]).any():
            raise ValueError(name)
    return found


def decided(plan: Plan, thresholds: Mapping[str, Any]) -> Plan:
    """The plan with a number as the threshold of each target that has one.

    Args:
        plan: the plan.
        thresholds: those that the run fitted, by target.
    """
    found: dict[str, Any] = {
        name: float(values[0]) if len(values) == 1 else tuple(float(value) for value in values)
        for name, values in thresholds.items()
    }
    for term in plan.losses:
        feature = plan.targets.get(term.target or "")
        margin = term.loss.boundary != START and plan.graph.types[term.output].shape[-1] == 1
        if margin and feature is not None and feature.categorical and feature.decision is None:
            found.setdefault(term.target or "", term.loss.boundary)
    changed = {name: plan.targets[name].model_copy(update={"threshold": value}) for name, value in found.items()}
    return replace(plan, targets={**plan.targets, **changed}) if changed else plan


def threshold_of(plan: Plan, term: MetricTerm, stats: Mapping[str, Any] | None = None) -> Any:
    """The threshold by which a metric of a target decides: its own, the target's, or that of the loss.

    Args:
        plan: the plan.
        term: the metric.
        stats: the statistics of the features, which hold the thresholds that are fitted.

    Returns:
        A number, an array of one for each label, or None where the largest score is the prediction.
    """
    own = getattr(term.metric, "threshold", None)
    if own is not None:
        return own
    scores = plan.graph.types[term.output].shape[-1]
    picks = term.metric.picks and scores != 1
    feature = plan.targets.get(term.against.name) if term.against.section == "targets" else None
    rule = feature.decision if feature is not None else None
    if rule is not None and (not picks or scores == 2):
        return stats[term.against.name]["threshold"] if rule == BEST_F1 and stats is not None else limit(rule)
    return None if picks or term.activate is None else term.activate.boundary
