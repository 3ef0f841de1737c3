"""lint: what is valid but can't be meant. Each finding comes from a rule of `dlc.components.rules`."""

from __future__ import annotations

from dlc.components.registry import KINDS
from dlc.components.rules.rule import LintContext, Rule
from dlc.diagnostics import Problems
from dlc.frontend.document import Document
from dlc.frontend.passes.match import used_targets
from dlc.ir import Graph


def lint(document: Document, graph: Graph, problems: Problems) -> None:
    """Run all rules. Finds DLC208, DLC209, DLC303, DLC304, DLC305 and the codes of rules of plugins."""
    kind = KINDS["rule"]
    context = LintContext(document, graph, frozenset(used_targets(document)))
    for word in kind.table:
        rule = kind.load(word)()
        assert isinstance(rule, Rule)
        for message, span, found, expected, hint, notes, code in rule.check(context):
            problems.add(code or rule.code, message, span, found=found, expected=expected, hint=hint, notes=notes)
