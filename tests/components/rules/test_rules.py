"""Lint rules: the examples of each, and rules of plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

import dlc
from dlc.components.registry import KINDS
from dlc.components.rules.rule import Rule
from dlc.diagnostics.codes import CODES
from tests.frontend.test_plugins import plugins  # noqa: F401 - a fixture

RULES = {word: KINDS["rule"].load(word) for word in KINDS["rule"].table}


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
