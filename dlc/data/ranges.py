"""The ranges of features' values: found in the training split, checked, and given to what depends on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from dlc.components.features.feature import Feature, rows_of, with_filled
from dlc.components.value_ranges import ValueRange, contradicted, mismatch
from dlc.data.errors import DataErrors
from dlc.frontend.plan import AugmentTerm, MetricTerm, Plan
from dlc.language.options import RuleViolation
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dlc.components.augmentations.augmentation import Bounds


def ranged_features(plan: Plan) -> dict[str, tuple[str, Feature]]:
    """The features whose range a metric or augmentation depends on, by name, with their sections."""
    augmented = [name for term in plan.augment if term.augmentation.ranged for name in term.on]
    measured = [term.against.name for term in plan.metrics if term.metric.ranged and term.against.section != "outputs"]
    sections = dict.fromkeys(plan.inputs, "inputs") | dict.fromkeys(plan.targets, "targets")
    return {
        name: (sections[name], {**plan.inputs, **plan.targets}[name]) for name in dict.fromkeys([*augmented, *measured])
    }


def awaits_ranges(plan: Plan) -> bool:
    """Whether something depends on a range that the plan does not have yet."""
    return any(_awaits(term) and set(term.on) - set(term.ranges) for term in plan.augment) or any(
        _awaits(term) for term in plan.metrics
    )


def _awaits(term: AugmentTerm | MetricTerm) -> bool:
    thing = term.augmentation if isinstance(term, AugmentTerm) else term.metric
    return thing.ranged and thing.own_range() is None


def find_ranges(plan: Plan, train: Mapping[str, Any], stats: Mapping[str, Mapping[str, Any]]) -> dict[str, ValueRange]:
    """The ranges that metrics and augmentations depend on, in the user's unit: declared ones, else those of the data.

    Args:
        plan: the plan.
        train: the raw values of the features of `ranged_features` in the training split, by name.
        stats: the features' statistics.

    Raises:
        SpecError: DLC313 when values are in another unit than is stated, for all features.
    """
    errors = DataErrors(plan)
    found: dict[str, ValueRange] = {}
    for name, (section, feature) in ranged_features(plan).items():
        least, most = _extremes(feature, with_filled(feature, train[name], stats[name]))
        held = ValueRange(float(least.min()), float(most.max()))
        found[name] = feature.declared_range() or held
        encoded = [feature.encode(values[None], stats[name]) for values in (least, most)]
        inside = ValueRange(float(encoded[0].min()), float(encoded[1].max()))
        wrong = _wrong(plan, name, feature, held, inside)
        if wrong is not None:
            errors.add((section, name, feature.word), wrong)
    errors.check()
    return found


def _extremes(feature: Feature, raw: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and the largest value of each entry of the last axis, without padding."""
    least, most = np.float64(inf), np.float64(-inf)
    for rows in rows_of(raw, feature.mask if feature.value_type().mask else None):
        least, most = np.minimum(least, rows.min(0)), np.maximum(most, rows.max(0))
    return np.atleast_1d(least), np.atleast_1d(most)


def _wrong(plan: Plan, name: str, feature: Feature, held: ValueRange, encoded: ValueRange) -> RuleViolation | None:
    """What the data contradict: the range of an augmentation or a metric, or that which a `scale` implies."""
    uses = [
        (term.augmentation.word, "value_range", term.augmentation.own_range(), encoded)
        for term in plan.augment
        if term.augmentation.ranged and name in term.on
    ]
    uses += [
        (term.metric.word, "max_value", term.metric.own_range(), held)
        for term in plan.metrics
        if term.metric.ranged and term.against.name == name
    ]
    declared = feature.declared_range()
    for word, option, own, values in uses:
        if own is not None:
            wrong = contradicted(word, option, own, values, name, spread=option == "max_value")
            if wrong is not None:
                return wrong
            continue
        if declared is not None and dict(feature).get("value_range") is None and not declared.fits(held):
            message = (
                f"`{word}` needs the range of `{name}`: its `scale` implies {declared}, but the values "
                + mismatch(declared, held)
            )
            hint = "declare the range of the data, before scaling: `value_range: [lowest, highest]`"
            return RuleViolation("DLC313", message, hint=hint, option="scale")
        if declared is None and not held.span:
            message = f"`{word}` needs the range of `{name}`, but all its values are equal"
            hint = "declare it: `value_range: [lowest, highest]`"
            return RuleViolation("DLC313", message, found=f"only {held.low:g}", hint=hint)
    return None


def with_ranges(plan: Plan, ranges: Mapping[str, ValueRange], stats: Mapping[str, Mapping[str, Any]]) -> Plan:
    """The plan, with the ranges that its metrics and augmentations depend on.

    Args:
        plan: the plan.
        ranges: the ranges of `find_ranges`. While there are none, only the declared ones are added.
        stats: the features' statistics, if they are known.
    """
    if not awaits_ranges(plan):
        return plan
    known: dict[str, tuple[ValueRange, Bounds | None]] = {}
    for name, (_, feature) in ranged_features(plan).items():
        held = ranges.get(name) or feature.declared_range()
        if held is not None:
            encodes = name in stats or not feature.stats_types()
            known[name] = held, _encoded(feature, held, stats.get(name, {})) if encodes else None

    def augmented(term: AugmentTerm) -> AugmentTerm:
        if not _awaits(term):
            return term
        found = {name: known[name][1] for name in term.on if name in known}
        return replace(term, ranges={name: bounds for name, bounds in found.items() if bounds is not None})

    def measured(term: MetricTerm) -> MetricTerm:
        if not _awaits(term) or term.against.name not in known:
            return term
        return replace(term, metric=term.metric.within(known[term.against.name][0]))

    return replace(plan, augment=tuple(map(augmented, plan.augment)), metrics=tuple(map(measured, plan.metrics)))


def _encoded(feature: Feature, held: ValueRange, stats: Mapping[str, Any]) -> Bounds:
    """A range in the network's values: two numbers, or two for each entry of the last axis if it is normalized."""
    low, high = (np.asarray(feature.encode(np.full((1, 1), value), stats), np.float64)[0] for value in held)
    if len(low) == 1:
        return float(low[0]), float(high[0])
    return tuple(low.tolist()), tuple(high.tolist())
