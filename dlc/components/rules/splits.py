"""Splits that share their records."""

from __future__ import annotations

from collections.abc import Iterator
from os.path import normpath
from typing import Any

from dlc.components.rules.rule import Finding, LintContext, Rule, RuleExample

REST = "inputs: {x: {tensor: [4]}}\ntargets: {y: number}\nnetwork: [dense: 1]\nloss: mse\noptimizer: {adam: 0.01}\n"


class SharedSource(Rule):
    """Finds a source of the validation or test split that is also the source of another split.

    Its records are in both, so that the metrics of the split don't show how well the network does on new data.
    """

    word = "shared_source"
    code = "DLC322"
    examples = (
        RuleExample(
            wrong="data: {source: {csv: t.csv}, test: {csv: ./t.csv}}\n" + REST,
            right="data: {source: {csv: t.csv}, split: {test: 0.2}}\n" + REST,
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for each split."""
        data = spec.document.data
        if data is None:
            return
        seen = {_identity(data.source): "training"}
        for name in ("validation", "test"):
            source = getattr(data, name)
            if source is None:
                continue
            other = seen.setdefault(_identity(source), name)
            if other != name:
                message = f"the {name} split has the records of the {other} split"
                hint = f"name another source, or hold out a share: `split: {{{name}: 0.2}}`"
                yield Finding(message, spec.source.span(("data", name)), hint=hint)


def _identity(source: Any) -> str:
    """What a source reads: its options, with paths in one form."""
    options = {name: value for name, value in source if name != "path"}
    path = getattr(source, "path", None)
    return repr((source.word, normpath(str(path)) if path is not None else "", options))
