"""Parts of a network that nothing uses."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.components.rules.rule import Finding, LintContext, Rule, RuleExample
from dlc.ir import RepeatNode


class UnusedLayer(Rule):
    """Finds an item of the network whose result is never used.

    The item would be computed without being used, and its weights would never be trained. Usually a later item names
    the wrong input. Of an unused chain only the last item is reported.
    """

    word = "unused_layer"
    code = "DLC208"
    examples = (
        RuleExample(
            wrong="inputs: {x: {tensor: [4]}}\nnetwork: [{dense: 8, name: a}, {dense: 2, inputs: x}]",
            right="inputs: {x: {tensor: [4]}}\nnetwork: [{dense: 8, name: a}, {dense: 2, inputs: a}]",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for each."""
        if not spec.outputs_known:
            return
        for node in spec.nodes:
            if node.path not in spec.used:
                hint = "name it and use it elsewhere, list it in `outputs:`, or remove it"
                message = f"the result of `{node.path}` is never used"
                yield Finding(message, node.origin.span, hint=hint, notes=node.origin.uses)


class RepeatWithoutPrevious(Rule):
    """Finds a `repeat` whose iterations don't take the result of the iteration before.

    Only the last iteration would count; the results of the others would not be used.
    """

    word = "repeat_without_previous"
    code = "DLC208"
    examples = (
        RuleExample(
            wrong="inputs: {x: {tensor: [4]}}\nnetwork: [{repeat: {times: 3, layers: [{dense: 4, inputs: x}]}}]",
            right="inputs: {x: {tensor: [4]}}\nnetwork: [{repeat: {times: 3, layers: [dense: 4]}}]",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for each; a `repeat` that is unused as a whole is another rule's."""
        if not spec.outputs_known:
            return
        for node in spec.nodes:
            if isinstance(node, RepeatNode) and node.path in spec.used and f"{node.path}/*" not in spec.used:
                message = "no iteration of this repeat takes the result of the one before: only the last counts"
                hint = "let an item of the body take `previous`"
                yield Finding(message, node.origin.span, hint=hint, notes=node.origin.uses)


class UnusedInput(Rule):
    """Finds an input that no layer, loss or metric reads.

    Its column would be required in the data without being used. Usually an item names the wrong input.
    """

    word = "unused_input"
    code = "DLC209"
    examples = (
        RuleExample(
            wrong="inputs: {x: {tensor: [4]}, y: {tensor: [4]}}\nnetwork: [{dense: 2, inputs: x}]",
            right="inputs: {x: {tensor: [4]}, y: {tensor: [4]}}\nnetwork: [{concat: [x, y]}, dense: 2]",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for each."""
        if not spec.outputs_known:
            return
        for name in spec.document.inputs:
            if name not in spec.used and name not in spec.compared:
                span, hint = spec.source.key_span(("inputs", name)), f"use it with `inputs: {name}`, or remove it"
                yield Finding(f"the input `{name}` is never used", span, hint=hint)
