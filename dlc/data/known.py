"""What is known about data without reading them."""

from __future__ import annotations

from pathlib import Path

from dlc.data.batching import batching_of, split_sizes
from dlc.diagnostics import Diagnostic, SpecError
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation


def known_findings(plan: Plan) -> tuple[Diagnostic, ...]:
    """The findings about a source whose number of records is known: splits and batches that don't fit."""
    data = plan.data
    if data is None or any(feature.span is not None for feature in (*plan.inputs.values(), *plan.targets.values())):
        return ()
    if data.split.column is not None:
        return ()
    try:
        count = data.source.count(Path(plan.folder))
        if count is not None:
            sizes = split_sizes(plan, count)
            if data.split.group is None:  # else the sizes depend on those of the groups
                batching_of(plan, sizes["train"])
    except RuleViolation:
        return ()  # reported when the data are read
    except SpecError as error:
        return error.report.diagnostics
    return ()
