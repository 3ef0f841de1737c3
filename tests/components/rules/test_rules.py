"""Lint rules: the examples of each, and rules of plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

import dlc
from dlc.components.registry import KINDS
from dlc.components.rules.rule import Finding, LintContext, Rule, RuleExample
from dlc.diagnostics import Problems
from dlc.diagnostics.codes import CODES
from dlc.frontend.document import parse
from dlc.frontend.passes.expand import expand
from dlc.frontend.passes.match import used_targets
from dlc.frontend.passes.resolve import resolve
from dlc.frontend.pipeline import check_text
from dlc.language.loader import source_of
from tests.frontend.test_plugins import plugins  # noqa: F401 - a fixture

RULES = {word: KINDS["rule"].load(word) for word in KINDS["rule"].table}
EXAMPLES = [(rule, example) for rule in RULES.values() for example in rule.examples]


def findings(rule: type[Rule], text: str) -> list[Finding]:
    """What one rule finds in a spec."""
    problems = Problems()
    document = parse(source_of(text, "example.yaml"), problems)
    graph = resolve(document, expand(document, problems), problems)
    assert problems.ok, problems.report({}).diagnostics
    return list(rule().check(LintContext(document, graph, used_targets(document))))


@pytest.mark.parametrize(("rule", "example"), EXAMPLES, ids=[rule.word for rule, _ in EXAMPLES])
def test_an_example_shows_the_rule(rule: type[Rule], example: RuleExample) -> None:
    """The wrong spec has the finding, and nothing else is wrong; the right one is clean."""
    found = findings(rule, example.wrong)
    assert found and all(item.span is not None for item in found)
    assert {item.code or rule.code for item in found} == {rule.code}
    _, report = check_text(example.wrong, "example.yaml")
    assert set(report.codes) == {rule.code}
    assert [item.message for item in report.diagnostics] == [item.message for item in found]
    spec, report = check_text(example.right, "example.yaml")
    assert spec is not None and not report.diagnostics


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_is_documented(rule: type[Rule]) -> None:
    summary, blank, *why = (rule.__doc__ or "").split("\n")
    assert summary.startswith("Finds ") and summary.endswith(".") and not blank and why[0].strip()
    assert rule.code in CODES
    assert rule.fix is None or (rule.fix[0].islower() and not rule.fix.endswith("."))


PLUGIN = """
from dlc.components.rules.rule import Finding, Rule, RuleExample
from dlc.ir import Node


class WideDense(Rule):
    \"\"\"Finds dense layers with more than 100 units.\"\"\"

    word = "wide_dense"
    code = "LAB001"
    examples = (RuleExample("network: [dense: 200]", "network: [dense: 20]"),)

    def check(self, spec):
        for node in spec.nodes:
            if isinstance(node, Node) and node.layer.word == "dense" and node.layer.units > 100:
                yield Finding(f"`{node.path}` is too wide", node.origin.span, hint="narrow it")


RULES = {"wide_dense": "lab_rules:WideDense"}
"""


def test_a_plugin_may_bring_a_rule(plugins: Path) -> None:  # noqa: F811
    (plugins / "lab_rules.py").write_text(PLUGIN)
    spec = plugins / "spec.yaml"
    spec.write_text("plugins: lab_rules\ninputs: {x: {tensor: [4]}}\nnetwork: [dense: 200, dense: 3]\n")
    report = dlc.check(spec)
    (item,) = report.diagnostics
    assert (item.code, item.message, item.hint) == ("LAB001", "`dense` is too wide", "narrow it")
    assert item.span is not None and item.span.line == 3
    for form in ("text", "json", "sarif", "github"):
        from dlc.diagnostics import render

        assert "LAB001" in render.FORMATS[form](report)
    spec.write_text("plugins: lab_rules\ninputs: {x: {tensor: [4]}}\nnetwork: [dense: 20, dense: 3]\n")
    assert dlc.check(spec).ok
    assert "wide_dense" not in KINDS["rule"].table
