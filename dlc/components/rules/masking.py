"""Layers that look for padding in values that were changed before."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.components.rules.rule import Finding, LintContext, Rule, RuleExample
from dlc.ir import Node, Ref

_RESHAPING = ("reshape", "permute", "slice", "take", "squeeze", "expand_dims", "concat")
_END = "network: [masking, gru: 4, dense: 1]"
_AUGMENTED = "\ntargets: {y: number}\nloss: mse\noptimizer: adam\naugment: jitter"


class LateMasking(Rule):
    """Finds a layer `masking` whose input was normalized, scaled or augmented, or went through a random layer.

    It compares the changed values with the number that fills the end of shorter series in the data. Padding then
    counts as data, and data may count as padding. `padding` of a `tensor` marks it before anything changes the values.
    """

    word = "late_masking"
    code = "DLC215"
    examples = (
        RuleExample(
            wrong="inputs: {x: {tensor: {shape: [time, 1], normalize: standard}}}\n" + _END,
            right="inputs: {x: {tensor: {shape: [time, 1], normalize: standard, padding: 0}}}\n"
            "network: [gru: 4, dense: 1]",
        ),
        RuleExample(
            wrong="inputs: {x: {tensor: {shape: [time, 1], scale: 10}}}\nnetwork: [masking: -1, gru: 4, dense: 1]",
            right="inputs: {x: {tensor: {shape: [time, 1], scale: 10}}}\n" + _END,
        ),
        RuleExample(
            wrong="inputs: {x: {tensor: [time, 1]}}\n" + _END + _AUGMENTED,
            right="inputs: {x: {tensor: {shape: [time, 1], padding: 0}}}\nnetwork: [gru: 4, dense: 1]" + _AUGMENTED,
        ),
        RuleExample(
            wrong="inputs: {x: {tensor: [time, 1]}}\nnetwork: [gaussian_noise: 0.1, masking, gru: 4, dense: 1]",
            right="inputs: {x: {tensor: [time, 1]}}\nnetwork: [masking, gaussian_noise: 0.1, gru: 4, dense: 1]",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for each layer."""
        nodes = {node.path: node for node in spec.nodes if isinstance(node, Node)}
        for node in nodes.values():
            if node.layer is None or node.layer.word != "masking":
                continue
            value = dict(node.layer)["mask_value"]
            for source in _sources(node, nodes):
                why = _changed(spec, source, value) if isinstance(source, str) else _random(source)
                if why is not None:
                    message, hint = f"`masking` does not find padding: {why}", _hint(spec, source, value)
                    yield Finding(message, node.origin.span, hint=hint)
                    break


def _sources(node: Node, nodes: dict[str, Node]) -> Iterator[Node | str]:
    """Where the elements that a layer reads come from: the names of inputs, and layers that compute."""
    refs: list[Ref] = list(node.inputs)
    while refs:
        source = refs.pop().source
        before = nodes.get(source)
        if before is None:
            yield source
        elif before.layer is not None and before.layer.word in _RESHAPING:
            refs += before.inputs
        else:
            yield before


def _changed(spec: LintContext, name: str, value: float) -> str | None:
    """How the values of an input differ from those of the data."""
    feature = spec.document.inputs.get(name)
    if feature is None or not feature.value_type().is_float:
        return None
    options = dict(feature)
    if options.get("normalize", "none") != "none":
        return f"the values of `{name}` are normalized before it compares them with {value:g}"
    if value and options.get("scale") is not None:
        return f"the values of `{name}` are divided by {options['scale']:g} before it compares them with {value:g}"
    for item in spec.document.augment:
        on = item.modifiers.on
        if name in on if on is not None else len(spec.document.inputs) == 1:
            return f"`{item.thing.word}` changes the values of `{name}` before it compares them with {value:g}"
    return None


def _random(node: Node) -> str | None:
    """What a layer with random numbers does to its values in training."""
    if node.layer is None or not node.layer.random or node.layer.masks == "used":
        return None
    return f"`{node.layer.word}` changes values at random before it compares them"


def _hint(spec: LintContext, source: Node | str, value: float) -> str:
    if isinstance(source, str) and spec.document.inputs[source].value_type().mask:
        return f"remove it: `{source}` declares its padding already"
    if isinstance(source, Node):
        return f"put it before `{source.layer.word if source.layer is not None else source.path}`"
    return f"remove it, and declare the padding of `{source}`: `tensor: {{..., padding: {value:g}}}`"
