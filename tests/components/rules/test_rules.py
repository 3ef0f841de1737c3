"""Lint rules: the examples of each, and rules of plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

import dlc
from dlc.components.registry import KINDS
from dlc.components.rules.rule import Rule
from dlc.diagnostics.codes import CODES
from dlc.frontend.pipeline import check_text
from dlc.frontend.resolved import resolved_text
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


DIABETES = (
    "data: {source: diabetes, split: {validation: 0.2}}\ninputs: {features: {tensor: [10]}}\n"
    "targets: {progression: number}\nnetwork: [dense: 4, dense: 1]\nloss: mse\n"
)
LATE = (
    "optimizer: {adam: {learning_rate: {cosine: {peak: 0.1, warmup: 2 epochs}}}, swa: 3 epochs, "
    "groups: [{match: dense/**, learning_rate: {cosine: {peak: 0.2, warmup: 2 epochs}}}]}\n"
    "train: {epochs: EPOCHS, early_stopping: {patience: 2}}\n"
)


def severities(text: str, *sets: str) -> list[tuple[str, str]]:
    """The code and the severity of each finding."""
    _, report = check_text(text, sets=sets)
    return [(item.code, item.severity) for item in report.diagnostics]


def test_what_takes_effect_after_a_shortened_run_is_a_warning() -> None:
    """`--set train.epochs=1` is a way to try a spec."""
    whole = DIABETES + LATE.replace("EPOCHS", "10")
    assert severities(whole) == []
    assert severities(DIABETES + LATE.replace("EPOCHS", "1")) == [("DLC303", "error")] * 4
    assert severities(whole, "train.epochs=1") == [("DLC303", "warning")] * 4
    assert severities(f"vars: {{n: 1}}\n{DIABETES}{LATE.replace('EPOCHS', '$n')}") == [("DLC303", "warning")] * 4
    spec, _ = check_text(whole, sets=["train.epochs=1"])
    assert spec is not None
    again, report = check_text(resolved_text(spec), "resolved.yaml", resolved=True)
    assert again is not None
    assert report.ok
    assert again.plan.update == spec.plan.update
    assert again.plan.train == spec.plan.train


@pytest.mark.parametrize(
    ("rest", "variable"),
    [
        ("optimizer: {adam: 0.01}\ntrain: {batch_size: VALUE, shuffle: false}\n", "full"),
        ("optimizer: {adam: 0.01, accumulate: 2}\ntrain: {batch_size: VALUE}\n", "full"),
        ("optimizer: {adam: 0.01, groups: [{match: dense/**, learning_rate: VALUE}]}\n", "0.01"),
    ],
    ids=["shuffle", "accumulate", "groups"],
)
def test_a_setting_without_effect_is_an_error_only_if_that_is_written(rest: str, variable: str) -> None:
    assert severities(DIABETES + rest.replace("VALUE", variable)) == [("DLC303", "error")]
    assert severities(f"vars: {{v: {variable}}}\n{DIABETES}{rest.replace('VALUE', '$v')}") == []


def test_penalties_of_weights_that_a_variable_freezes_are_no_error() -> None:
    network = "network: [{dense: 3, trainable: VALUE, l2: 0.1, constraint: unit_norm}, dense: 1]\n"
    text = f"inputs: {{x: {{tensor: [4]}}}}\n{network}"
    assert severities(text.replace("VALUE", "false")) == [("DLC303", "error")] * 2
    assert severities(f"vars: {{t: false}}\n{text.replace('VALUE', '$t')}") == []


def test_a_setting_that_every_kernel_overrides() -> None:
    network = "network: [{dense: 3, l2: 0.1}, {dense: 1, l2: 0.2}]\nregularization: {l2: 0.01}\n"
    _, report = check_text(f"inputs: {{x: {{tensor: [4]}}}}\n{network}")
    assert [item.message for item in report.diagnostics] == [
        "`l2` has no effect: every trained kernel here has its own `l2`"
    ]
