"""Sections and targets that no loss makes use of."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.components.rules.rule import Finding, LintContext, Rule, RuleExample
from dlc.diagnostics import listing

FORMS: dict[str, tuple[type, ...]] = {"optimizer": (dict, str), "augment": (dict, str, list), "train": (dict, str)}


def idle_sections(spec: LintContext) -> list[str]:
    """The sections that only training reads, in a spec without a loss."""
    tree = spec.source.tree
    return [] if "loss" in tree else [name for name, form in FORMS.items() if isinstance(tree.get(name), form)]


class SectionWithoutLoss(Rule):
    """Finds the sections `optimizer`, `augment` and `train` in a spec that has no `loss`.

    Without a loss nothing is trained, so these sections have no effect.
    """

    word = "section_without_loss"
    code = "DLC303"
    examples = (
        RuleExample(
            wrong="inputs: {x: {tensor: [4]}}\nnetwork: [dense: 1]\noptimizer: adam",
            right="inputs: {x: {tensor: [4]}}\ntargets: {y: number}\nnetwork: [dense: 1]\nloss: mse\noptimizer: adam",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for all of them."""
        idle = idle_sections(spec)
        if idle:
            names, have = listing(idle), "has" if len(idle) == 1 else "have"
            span = spec.source.key_span((idle[0],))
            yield Finding(f"{names} {have} no effect without a `loss`", span, hint="declare a `loss:`")


class UnusedTarget(Rule):
    """Finds a target that no loss or metric reads.

    Its column would be required in the data without being used.
    """

    word = "unused_target"
    code = "DLC304"
    examples = (
        RuleExample(
            wrong="inputs: {x: {tensor: [4]}}\ntargets: {y: number, z: number}\nnetwork: [dense: 1]\n"
            "loss: {mse: , target: y}",
            right="inputs: {x: {tensor: [4]}}\ntargets: {y: number, z: number}\nnetwork: [dense: 1]\n"
            "loss: {mse: , target: y}\nmetrics: [{mae: , target: z}]",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for each. Silent when a loss or metric is unknown, or reads a name that doesn't exist."""
        if idle_sections(spec) or not spec.objectives_known:
            return
        names = list(spec.document.targets)
        declared = spec.source.tree.get("outputs", {"output": None})
        others = [*spec.document.inputs, *(declared if isinstance(declared, dict) else ())]
        if any(name and name not in names and name not in others for name in spec.compared):
            return  # a misspelt name was reported
        for name in names:
            if name not in spec.compared and "" not in spec.compared:
                span, hint = (
                    spec.source.key_span(("targets", name)),
                    "compare an output with it in `loss:`, or remove it",
                )
                yield Finding(f"the target `{name}` is never used", span, hint=hint)
