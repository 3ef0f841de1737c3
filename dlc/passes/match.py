"""match: losses and metrics meet their outputs and targets, features their columns. Finds DLC3xx, DLC210 and DLC402."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlc.diagnostics import Note, Problems, did_you_mean, listing
from dlc.ir import Graph, Layer, Node, TensorType
from dlc.items import NAME_RULE, valid_name
from dlc.objectives.losses import Loss
from dlc.objectives.metrics import Metric
from dlc.options import Wrong
from dlc.source import Path
from dlc.sources.source import select
from dlc.spec import Document, Item, LossKeys, MetricKeys


@dataclass(frozen=True)
class LossTerm:
    """A loss between one output and one target, and its factor in the sum."""

    loss: Loss
    output: str
    target: str
    weight: float


@dataclass(frozen=True)
class MetricTerm:
    """A metric between one output and one target; `activate` is the loss that says what the output means, if any."""

    name: str
    metric: Metric
    output: str
    target: str
    activate: Loss | None


@dataclass(frozen=True)
class Objectives:
    """What a network is trained for and judged by."""

    losses: tuple[LossTerm, ...] = ()
    metrics: tuple[MetricTerm, ...] = ()


def match(document: Document, graph: Graph, types: Mapping[str, TensorType] | None, problems: Problems) -> Objectives:
    """Pair losses and metrics with outputs and targets. `types` are the outputs' types, None when they are unknown."""
    declared = document.source.tree.get("outputs")
    outputs = list(declared) if isinstance(declared, dict) else list(graph.outputs)
    matcher = _Matcher(document, outputs, types, problems)
    losses = []
    unfit: set[tuple[str, str]] = set()  # what does not fit a loss will not fit its metrics: one finding is enough
    for item in document.losses:
        pair = matcher.pair(item.keys, item.path, item.thing.word, "loss")
        if pair is None:
            continue
        if matcher.fits(item.thing, pair, item.path):
            losses.append(LossTerm(item.thing, *pair, item.keys.weight))
        else:
            unfit.add(pair)
    metrics: list[MetricTerm] = []
    names: set[str] = set()
    for found in document.metrics:
        pair = matcher.pair(found.keys, found.path, found.thing.word, "metric")
        if pair is None:
            continue
        name = found.thing.word if found.keys.name is None else found.keys.name
        if name == "loss" or name in names:
            message = "`loss` is the name of the loss" if name == "loss" else f"two metrics are called `{name}`"
            at = (*found.path, "name") if found.keys.name else found.path
            hint = "choose another name" if found.keys.name else "give this one a `name:` beside it"
            problems.add("DLC202", message, document.source.span(at), hint=hint)
            continue
        if found.keys.name is not None and not valid_name(found.keys.name):
            at = (*found.path, "name")
            message = f"`{found.keys.name}` can't name a metric"
            problems.add("DLC104", message, document.source.span(at), expected=NAME_RULE)
        names.add(name)
        activate = next((term.loss for term in losses if (term.output, term.target) == pair), None)
        if pair not in unfit and matcher.fits(found.thing, pair, found.path):
            metrics.append(MetricTerm(name, found.thing, *pair, activate))
    for item, term in zip(document.losses, losses, strict=False) if len(losses) == len(document.losses) else ():
        _activated_twice(document, item.path, term, graph, problems)
    for term in losses:
        if term.target in outputs and term.target != term.output:
            message = f"the output `{term.target}` is called like the target of the output `{term.output}`"
            hint = "predictions carry the target's name: rename the output"
            problems.add("DLC202", message, document.source.key_span(("outputs", term.target)), hint=hint)
    _columns(document, problems)
    _splits(document, problems)
    return Objectives(tuple(losses), tuple(metrics))


class _Matcher:
    def __init__(
        self, document: Document, outputs: Sequence[str], types: Mapping[str, TensorType] | None, problems: Problems
    ) -> None:
        self.document, self.outputs, self.types, self.problems = document, outputs, types, problems

    def pair(self, keys: LossKeys | MetricKeys, path: Path, word: str, kind: str) -> tuple[str, str] | None:
        """The output and target that an item means."""
        output = self.one("output", keys.output, self.outputs, path, word)
        target = self.one("target", keys.target, list(self.document.targets), path, word)
        return (output, target) if output is not None and target is not None else None

    def one(self, kind: str, given: str | None, known: Sequence[str], path: Path, word: str) -> str | None:
        source = self.document.source
        if given is not None:
            if given in known or not self.sound(kind):
                return given
            hint = did_you_mean(given, known) or (f"known: {listing(known)}" if known else f"declare `{kind}s:`")
            self.problems.add("DLC210", f"no {kind} is called `{given}`", source.span((*path, kind)), hint=hint)
            return None
        if len(known) == 1:
            return known[0]
        if known:
            hint = f"write `{kind}: {known[0]}` beside `{word}`"
            self.problems.add(
                "DLC210",
                f"`{word}` must say which {kind} it reads",
                source.key_span(path),
                found=f"{kind}s {listing(known)}",
                hint=hint,
            )
        elif kind == "target" and "targets" not in source.tree:
            hint = "for example `targets: {digit: {category: 10}}`"
            self.problems.add("DLC210", f"`{word}` has no target to compare with", source.key_span(path), hint=hint)
        return None

    def sound(self, kind: str) -> bool:
        """Whether the section of outputs or targets could be read: else their names are unknown."""
        return isinstance(self.document.source.tree.get(f"{kind}s", {}), dict)

    def fits(self, thing: Loss | Metric, pair: tuple[str, str], path: Path) -> bool:
        """Whether a loss or metric takes the types of its output and target; True while they are unknown."""
        target = self.document.targets.get(pair[1])
        output = self.types.get(pair[0]) if self.types is not None else None
        if output is None or target is None:
            return True
        try:
            thing.infer(output, target.value_type())
        except Wrong as wrong:
            span = self.document.source.span((*path, thing.word)) if wrong.option else None
            span = span or self.document.source.key_span((*path, thing.word))
            self.problems.add(
                wrong.code, wrong.message, span, found=wrong.found, expected=wrong.expected, hint=wrong.hint
            )
            return False
        return True


def _activated_twice(document: Document, path: Path, term: LossTerm, graph: Graph, problems: Problems) -> None:
    """A network that ends with the activation that its loss applies: the second one would flatten the gradient."""
    word, ref = term.loss.activation(), graph.outputs.get(term.output)
    ends = [node for node in graph.nodes if isinstance(node, Node) and ref is not None and node.path == ref.source]
    node = ends[0] if ends else None
    if node is None or word is None or node.layer is None:
        return
    inside = dict(node.layer).get("activation")
    if word in (node.layer.word, inside.word if isinstance(inside, Layer) else ""):
        span = node.origin.options.get("activation", node.origin.span)
        loss = term.loss.word
        message, hint = (
            f"`{loss}` applies `{word}` itself",
            f"remove it here, or write `{loss}: {{from_logits: false}}`",
        )
        notes = [Note("the loss is here", document.source.span(path)), *node.origin.uses]
        problems.add("DLC301", message, span, found=f"an output that ends with `{word}`", hint=hint, notes=notes)


def _columns(document: Document, problems: Problems) -> None:
    """Features read columns that a source of known columns has."""
    source, data = document.source, document.data
    known = data.source.columns() if data is not None else None
    if known is None:
        return
    for section, features in (("inputs", document.inputs), ("targets", document.targets)):
        for name, feature in features.items():
            for index, column in enumerate(feature.reads(name) if feature is not None else ()):
                try:
                    select((column,), known)
                except Wrong as wrong:
                    options: Path = (section, name, feature.word if feature is not None else "")
                    places = [(*options, "columns", index), (*options, "columns"), (*options, "column")]
                    span = next((source.values[place] for place in places if place in source.values), None)
                    span = span or source.key_span((section, name))
                    problems.add(wrong.code, wrong.message, span, found=wrong.found, hint=wrong.hint)


def _splits(document: Document, problems: Problems) -> None:
    """Divisions that leave nothing to train on, or divide nothing."""
    data, source = document.data, document.source
    path: Path = ("data", "split")
    if data is None or path not in source.values:
        return
    for name, own in (("validation", data.validation), ("test", data.test)):
        if own is not None and getattr(data.split, name):
            message, hint = f"`{name}` has a source of its own, so its share has no effect", "remove one of them"
            problems.add("DLC303", message, source.key_span((*path, name)), hint=hint)
    parts = [part for part in (data.split.validation, data.split.test) if isinstance(part, float)]
    if sum(parts) >= 1:
        message, found = "the splits leave nothing to train on", f"shares that sum to {sum(parts):g}"
        problems.add("DLC104", message, source.span(path), found=found, expected="a sum below 1")
    if not data.split.validation and not data.split.test:
        message, hint = "this `split` divides nothing", "give `validation:` or `test:` a share"
        problems.add("DLC303", message, source.key_span(path), hint=hint)
    elif not data.split.shuffle and (*path, "seed") in source.values:
        message, hint = "`seed` has no effect without `shuffle`", "remove one of them"
        problems.add("DLC303", message, source.key_span((*path, "seed")), hint=hint)


def used_targets(items: Sequence[Item[Loss, LossKeys] | Item[Metric, MetricKeys]], targets: Sequence[str]) -> set[str]:
    """The targets that losses and metrics read, by name or as the only one."""
    return {item.keys.target or (targets[0] if len(targets) == 1 else "") for item in items}
