"""Data files that a spec names and that do not exist: a warning, since a spec may be checked where its data are not."""

from __future__ import annotations

from pathlib import Path

from dlc.diagnostics import Diagnostic, Report
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation


def absent_files(plan: Plan) -> Report:
    """A warning for each source whose file does not exist."""
    data = plan.data
    sources = {"source": data.source, "validation": data.validation, "test": data.test} if data is not None else {}
    items = []
    for key, source in sources.items():
        if source is None:
            continue
        try:
            source.find(Path(plan.folder))
        except RuleViolation as wrong:
            path = ("data", key, source.word)
            span = plan.places.span_of((*path, wrong.option or "path", *wrong.part), path)
            items.append(Diagnostic(wrong.code, wrong.message, span, hint=wrong.hint, severity="warning"))
    return Report(tuple(items))
