"""A batch as the network sees it: what the data set holds in its smallest form is encoded in the compiled program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlc.components.features.feature import Stats, encoded
from dlc.data.feed import Rows
from dlc.frontend.plan import Plan


def unpacked(plan: Plan, batch: Mapping[str, Mapping[str, Any]], stats: Mapping[str, Stats]) -> Rows:
    """A batch whose packed values are encoded.

    Args:
        plan: the plan of the spec.
        batch: `{"inputs": {name: (batch, ...)}, "targets": {name: (batch, ...)}}`, as the data set holds them.
        stats: the features' statistics, by name.
    """
    features = {"inputs": plan.inputs, "targets": plan.targets}
    found: Rows = {section: {} for section in batch}
    for section, values in batch.items():
        for name, held in values.items():
            found[section].update(_values(features[section], name, held, stats))
    return found


def _values(features: Mapping[str, Any], name: str, held: Any, stats: Mapping[str, Stats]) -> dict[str, Any]:
    feature = features.get(name)  # none for a mask
    if feature is None or not feature.packed:
        return {name: held}
    return encoded(feature, name, held, stats.get(name, {}))
