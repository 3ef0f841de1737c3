"""match: pairs losses and metrics with outputs and targets, features with columns. Finds DLC3xx, DLC210 and DLC402."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from unicodedata import normalize

from dlc.components.features.category import Category
from dlc.components.features.decision import BEST_F1
from dlc.components.features.feature import Feature
from dlc.components.features.number import Number
from dlc.components.losses.loss import Loss
from dlc.components.metrics.metric import Metric
from dlc.components.modifiers import LossModifiers, MetricModifiers
from dlc.components.sources.source import missing_column, select
from dlc.components.value_ranges import contradicted, mismatch
from dlc.diagnostics import Note, Problems, did_you_mean, listing
from dlc.frontend.decisions import decided_labels
from dlc.frontend.document import Document, Item
from dlc.frontend.plan import Against, LossTerm, MetricTerm
from dlc.frontend.predictions import ambiguous, answers
from dlc.ir import Graph, Layer, Node, TensorType
from dlc.language.item_syntax import NAME_RULE, valid_name
from dlc.language.options import OptionError, RuleViolation, judged
from dlc.language.source import Path
from dlc.support.fast_dataclass import fast_dataclass


@fast_dataclass(frozen=True)
class Objectives:
    """The losses and metrics of a network."""

    losses: tuple[LossTerm, ...] = ()
    metrics: tuple[MetricTerm, ...] = ()


def match(document: Document, graph: Graph, types: Mapping[str, TensorType] | None, problems: Problems) -> Objectives:
    """Pair losses and metrics with outputs and targets. `types` are the outputs' types, None if unknown."""
    declared = document.source.tree.get("outputs")
    outputs = list(declared) if isinstance(declared, dict) else list(graph.outputs)
    matcher = _Matcher(document, outputs, types, problems)
    losses: list[LossTerm] = []
    unfit: set[_Pair] = set()  # pairs that don't fit a loss: their metrics are not reported again
    for item in document.losses:
        pair = matcher.pair(item.modifiers, item.path, item.thing.word, item.thing.compares, item.thing)
        if pair is None:
            continue
        loss = matcher.settled(item.thing, pair, item.path)
        if not matcher.fits(loss, pair, item.path):
            unfit.add(pair)
            continue
        name = matcher.name(item, loss, [term.name for term in losses])
        matcher.weighs(item)
        matcher.sums(item)
        matcher.counts(loss, pair, item.path)
        keys = item.modifiers
        predicts = matcher.predicts(loss, pair)
        losses.append(LossTerm(name, loss, *pair, keys.weight, keys.sample_weight, keys.reduction, predicts))
    several = [term.name for term in losses] if len(document.losses) > 1 else []
    metrics: list[MetricTerm] = []
    for found in document.metrics:
        pair = matcher.pair(found.modifiers, found.path, found.thing.word, "always")
        if pair is None or pair.against is None:
            continue
        metric = matcher.settled(found.thing, pair, found.path)
        name = matcher.name(found, metric, [*several, *(term.name for term in metrics)])
        matcher.weighs(found)
        of_pair = [term.loss for term in losses if (term.output, term.against) == pair]
        activate = next((loss for loss in of_pair if loss.aligned != found.thing.sequences), None)
        if pair in unfit or not matcher.aligns(found.thing, of_pair, activate, found.path):
            continue
        if matcher.fits(metric, pair, found.path) and matcher.agrees(metric, pair, activate, found.path):
            metrics.append(MetricTerm(name, metric, pair.output, pair.against, activate, found.modifiers.sample_weight))
    for item, term in zip(document.losses, losses, strict=False) if len(losses) == len(document.losses) else ():
        _activated_twice(document, item.path, term, graph, problems)
    for term in losses:
        if term.target is not None and term.target in outputs and term.target != term.output:
            message = f"the output `{term.target}` has the name of the target of the output `{term.output}`"
            hint = "predictions have the target's name: rename the output"
            problems.add("DLC202", message, document.source.key_span(("outputs", term.target)), hint=hint)
    if types is not None and len(losses) == len(document.losses) and set(types) == set(outputs):
        _prediction_columns(document, losses, types, problems)
        _thresholds(document, losses, types, problems)
    _ignored(document, problems)
    _missing(document, problems)
    _unfit_targets(document, problems)
    _columns(document, problems)
    _splits(document, problems)
    _windows(document, problems)
    _balance(document, problems)
    return Objectives(tuple(losses), tuple(metrics))


def _prediction_columns(
    document: Document, losses: Sequence[LossTerm], types: Mapping[str, TensorType], problems: Problems
) -> None:
    """Check that a table of predictions has one column of each name."""
    features = {
        name: feature for name, feature in {**document.inputs, **document.targets}.items() if feature is not None
    }
    found = ambiguous(answers(losses, types), features, types)
    if found is not None:
        column, first, second = found
        message = f"the predictions `{first}` and `{second}` both have a column `{column}`"
        key = ("targets", second) if second in document.targets else ("outputs", second)
        target = second in document.targets
        hint = f"rename `{second}`" + (f", and name its column with `column: {second}`" if target else "")
        problems.add("DLC202", message, document.source.key_span(key), hint=hint)


Objective = TypeVar("Objective", Loss, Metric)


class _Pair(NamedTuple):
    output: str
    against: Against | None


class _Matcher:
    def __init__(
        self, document: Document, outputs: Sequence[str], types: Mapping[str, TensorType] | None, problems: Problems
    ) -> None:
        self.document, self.outputs, self.types, self.problems = document, outputs, types, problems

    def pair(
        self, keys: LossModifiers | MetricModifiers, path: Path, word: str, compares: str, thing: Loss | None = None
    ) -> _Pair | None:
        """The output and target of an item; `thing` is a loss that may not need a target."""
        source = self.document.source
        output = self.one("output", keys.output, self.outputs, path, word)
        if compares == "never":
            if keys.target is not None:
                message = f"`target` has no effect: `{word}` takes no target"
                self.problems.add("DLC303", message, source.key_span((*path, "target")), hint="remove it")
            return _Pair(output, None) if output is not None else None
        if keys.target is None:
            targets = free_targets(self.document)
            if compares == "either" and (len(targets) != 1 or self.stands_alone(thing, output)):
                return _Pair(output, None) if output is not None else None
            if not targets and self.document.targets:
                name = next(iter(self.document.targets))
                message, hint = (
                    f"`{word}` has no target",
                    f"`{name}` is used as `sample_weight`; use another target",
                )
                self.problems.add("DLC210", message, source.key_span(path), hint=hint)
                return None
            target = self.one("target", None, targets, path, word)
            return _Pair(output, Against("targets", target)) if output is not None and target is not None else None
        against = self.against(keys.target)
        if against is None:
            known = [*self.document.targets, *self.document.inputs, *self.outputs]
            if all(self.sound(kind) for kind in ("target", "input", "output")):
                hint = did_you_mean(keys.target, known) or f"known: {listing(known)}"
                message = f"no target, input or output is named `{keys.target}`"
                self.problems.add("DLC210", message, source.span((*path, "target")), hint=hint)
            return None
        if against == ("outputs", output):
            message = f"`{word}` compares the output `{output}` with itself"
            self.problems.add("DLC303", message, source.span((*path, "target")), hint="set another `target`")
            return None
        return _Pair(output, against) if output is not None else None

    def stands_alone(self, thing: Loss | None, output: str | None) -> bool:
        """Whether a loss takes an output without a target."""
        kind = self.types.get(output or "") if self.types is not None else None
        if thing is None or kind is None:
            return False
        try:
            thing.infer(kind, None)
        except RuleViolation as wrong:
            return wrong.code == "DLC303"  # a setting without effect, which `fits` reports
        return True

    def against(self, name: str) -> Against | None:
        """The value with a name: a target, else an input, else an output."""
        if name in self.document.targets:
            return Against("targets", name)
        if name in self.document.inputs:
            return Against("inputs", name)
        return Against("outputs", name) if name in self.outputs else None

    def one(self, kind: str, given: str | None, known: Sequence[str], path: Path, word: str) -> str | None:
        source = self.document.source
        if given is not None:
            if given in known or not self.sound(kind):
                return given
            hint = did_you_mean(given, known) or (f"known: {listing(known)}" if known else f"declare `{kind}s:`")
            self.problems.add("DLC210", f"no {kind} is named `{given}`", source.span((*path, kind)), hint=hint)
            return None
        if len(known) == 1:
            return known[0]
        if known:
            hint = f"write `{kind}: {known[0]}` beside `{word}`"
            self.problems.add(
                "DLC210",
                f"`{word}` needs `{kind}`: there are several",
                source.key_span(path),
                found=f"{kind}s {listing(known)}",
                hint=hint,
            )
        elif kind == "target" and "targets" not in source.tree:
            hint = "for example `targets: {digit: {category: 10}}`"
            if len(self.document.inputs) == 1:
                name = next(iter(self.document.inputs))
                hint += f"; for an autoencoder set `target: {name}` beside the loss"
            self.problems.add("DLC210", f"`{word}` has no target", source.key_span(path), hint=hint)
        return None

    def sound(self, kind: str) -> bool:
        """Whether a section was read without errors: else its names are unknown."""
        return isinstance(self.document.source.tree.get(f"{kind}s", {}), dict)

    def name(
        self,
        item: Item[Loss, LossModifiers] | Item[Metric, MetricModifiers],
        thing: Loss | Metric,
        taken: Sequence[str],
    ) -> str:
        """The name of an item, which describes `thing`, in reports."""
        source, given, word = self.document.source, item.modifiers.name, thing.word
        name = thing.default_name if given is None else given
        at = (*item.path, "name") if given is not None else item.path
        if name == "loss" or name in taken:
            message = "`loss` is the name of the total loss" if name == "loss" else f"two values are named `{name}`"
            hint = "choose another name" if given else "set `name:` beside this one"
            self.problems.add("DLC202", message, source.span(at), hint=hint)
        elif not valid_name(word if given is None else given):
            message = f"`{name}` is not a valid name of a loss or metric"
            self.problems.add("DLC104", message, source.span(at), expected=NAME_RULE)
        return name

    def weighs(self, item: Item[Loss, LossModifiers] | Item[Metric, MetricModifiers]) -> None:
        """Check the target that an item's `sample_weight` names."""
        name, targets = item.modifiers.sample_weight, self.document.targets
        if name is None or not self.sound("target"):
            return
        feature = targets.get(name)
        if name in targets and (feature is None or _is_weight(feature)):
            return
        span = self.document.source.span((*item.path, "sample_weight"))
        if name not in targets:
            hint = did_you_mean(name, targets) or f"declare it: `targets: {{{name}: number}}`"
            self.problems.add("DLC210", f"no target is named `{name}`", span, hint=hint)
        else:
            message, hint = f"`{name}` can't be used as `sample_weight`", f"declare it as `{name}: number`"
            self.problems.add("DLC301", message, span, found=_described(feature), expected="a `number`", hint=hint)

    def predicts(self, thing: Loss, pair: _Pair) -> bool:
        """Whether an output is a prediction of the target of a loss."""
        output = self.types.get(pair.output) if self.types is not None else None
        target = self.type_of(pair.against)
        return output is not None and target is not None and thing.predicts(output, target)

    def counts(self, thing: Loss, pair: _Pair, path: Path) -> None:
        """Report a loss that would count the number for no class as a class. Metrics skip such positions."""
        name = pair.against.name if pair.against is not None else ""
        feature = self.document.targets.get(name)
        number = feature.unlabelled if feature is not None else None
        if number is None or thing.ignores(number):
            return
        message = f"`{name}` is {number} where there is no class, but `{thing.word}` would count it"
        able = "ignore_index" in type(thing).model_fields
        hint = f"write `{thing.word}: {{ignore_index: {number}}}`" if able else f"`{thing.word}` can't ignore positions"
        self.problems.add(thing.code, message, self.document.source.key_span((*path, thing.word)), hint=hint)

    def sums(self, item: Item[Loss, LossModifiers]) -> None:
        """Report a `reduction` without effect."""
        if item.modifiers.reduction == "sum" and not item.thing.averages():
            message = f"`reduction` has no effect: `{item.thing.word}` is not a mean over elements"
            hint = "remove it; `weight` multiplies the whole loss"
            self.problems.add("DLC303", message, self.document.source.key_span((*item.path, "reduction")), hint=hint)

    def type_of(self, against: Against | None) -> TensorType | None:
        """The type of a value that an output is compared with; None while it is unknown."""
        if against is None:
            return None
        if against.section == "outputs":
            return self.types.get(against.name) if self.types is not None else None
        feature = getattr(self.document, against.section)[against.name]
        return feature.value_type() if feature is not None else None

    def kinds(self, pair: _Pair) -> tuple[Any, Any]:
        """The types of an output and of what it is compared with; None while they are unknown."""
        return self.types.get(pair.output) if self.types is not None else None, self.type_of(pair.against)

    def unfit(self, thing: Loss | Metric, pair: _Pair) -> RuleViolation | None:
        """Why a loss or metric does not accept the types of its output and target; None while they are unknown."""
        output, target = self.kinds(pair)
        if output is None or (target is None and pair.against is not None):
            return None
        if isinstance(thing, Metric) and thing.sequences:
            output = TensorType(output.shape[:2], "i32")  # what the loss decodes
        try:
            thing.infer(output, target)
        except RuleViolation as wrong:
            return wrong
        return None

    def settled(self, thing: Objective, pair: _Pair, path: Path) -> Objective:
        """A loss or metric without the options that have no effect only for the value that a variable has."""
        wrong = self.unfit(thing, pair)
        while wrong is not None and wrong.code == "DLC303" and wrong.option is not None:
            error = OptionError((wrong.option,), "DLC303", wrong.message, because=wrong.because)
            if judged(error, self.document.source, (*path, thing.word)):
                break
            default = type(thing).model_fields[wrong.option].get_default(call_default_factory=True)
            thing = thing.model_copy(update={wrong.option: default})
            wrong = self.unfit(thing, pair)
        return thing

    def fits(self, thing: Loss | Metric, pair: _Pair, path: Path) -> bool:
        """Whether a loss or metric accepts its output and target; True while their types are unknown."""
        wrong = self.unfit(thing, pair)
        if wrong is not None:
            source = self.document.source
            locations: list[Path] = [(*path, thing.word, wrong.option), (*path, thing.word)] if wrong.option else []
            span = next((source.values[location] for location in locations if location in source.values), None)
            span = span or source.key_span((*path, thing.word))
            self.problems.add(
                wrong.code, wrong.message, span, found=wrong.found, expected=wrong.expected, hint=wrong.hint
            )
            return False
        known = None not in self.kinds(pair)
        wrong = self.out_of_range(thing, pair.against) if pair.against is not None and known else None
        if wrong is not None:
            span = self.document.source.key_span((*path, thing.word))
            self.problems.add(wrong.code, wrong.message, span, expected=wrong.expected, hint=wrong.hint)
        return wrong is None

    def feature_of(self, against: Against | None) -> Feature | None:
        """The feature of a target or input; None if it is an output, or unknown."""
        if against is None or against.section == "outputs":
            return None
        found: Feature | None = getattr(self.document, against.section)[against.name]
        return found

    def out_of_range(self, thing: Loss | Metric, against: Against) -> RuleViolation | None:
        """Why the values of a target are not those that a loss or metric needs, as far as it is known without data."""
        feature, name = self.feature_of(against), against.name
        if isinstance(thing, Metric) and thing.ranged and thing.own_range() is None and against.section == "outputs":
            message, hint = f"`{thing.word}` needs the range of `{name}`, which is an output", "set `max_value`"
            return RuleViolation("DLC313", message, hint=hint)
        if feature is None or not feature.value_type().is_float:
            return None
        held = feature.declared_range() if isinstance(thing, Metric) else feature.encoded_range()
        if held is None:
            return None
        if thing.domain is not None and not thing.domain.holds(held):
            message = f"`{thing.word}` is not defined for the values of `{name}`, which {mismatch(held, held)}"
            return RuleViolation("DLC313", message, expected=str(thing.domain), hint=thing.domain.hint)
        own = thing.own_range() if isinstance(thing, Metric) else None
        return contradicted(thing.word, "max_value", own, held, name, spread=True)

    def aligns(self, metric: Metric, losses: Sequence[Loss], chosen: Loss | None, path: Path) -> bool:
        """Whether a metric of elements reads an output that is aligned with its target, one of sequences a decoded one.

        Args:
            metric: the metric.
            losses: the losses of its output and target.
            chosen: the first of them that suits the metric, if there is one.
            path: the item.
        """
        if metric.sequences:
            if (chosen is not None and chosen.decodes) or not _all_read(self.document):
                return True
            message = f"`{metric.word}` compares sequences that a loss decodes, such as `ctc`"
            found = f"the loss `{losses[0].word}`" if losses else "no loss of this output and target"
            hint = "for one class per position use `accuracy` or `exact_match`"
        else:
            if chosen is not None or not losses:
                return True
            message = (
                f"`{metric.word}` compares elements, but `{losses[0].word}` doesn't align the output with its target"
            )
            found = None
            hint = "use `token_error_rate`" if losses[0].decodes else "remove it"
        span = self.document.source.key_span((*path, metric.word))
        self.problems.add(metric.code, message, span, found=found, hint=hint)
        return False

    def agrees(self, metric: Metric, pair: _Pair, loss: Loss | None, path: Path) -> bool:
        """Whether a metric treats scores as the loss does: as alternatives, or as independent labels."""
        output, target = self.types.get(pair.output) if self.types is not None else None, self.type_of(pair.against)
        if output is None or target is None or loss is None or not metric.picks:
            return True
        feature = self.document.targets.get(pair.against.name) if pair.against is not None else None
        if loss.activations() != ("sigmoid",) or not target.is_float or output.shape[-1] == 1:
            return True
        if feature is not None and feature.categorical:  # its rows hold one class each, whatever the loss
            return True
        labels = "multi_label" in type(metric).model_fields
        hint = f"write `{metric.word}: {{multi_label: true}}`" if labels else "use `hamming_loss`, `f1` or `roc_auc`"
        message = (
            f"`{metric.word}` takes one score as the prediction, but `{loss.word}` treats each as an independent label"
        )
        span = self.document.source.key_span((*path, metric.word))
        self.problems.add(metric.code, message, span, found=f"output {output}, target {target}", hint=hint)
        return False


def _is_weight(feature: Feature) -> bool:
    return isinstance(feature, Number) and feature.normalize == "none"


def _described(feature: Feature | None) -> str:
    normalized = isinstance(feature, Number) and feature.normalize != "none"
    return f"a `{feature.word}`{' that is normalized' if normalized else ''}" if feature is not None else "nothing"


def _all_read(document: Document) -> bool:
    """Whether every loss was read without errors."""
    written = document.source.tree.get("loss", [])
    return len(document.losses) == (len(written) if isinstance(written, list) else 1)


def free_targets(document: Document) -> list[str]:
    """The targets that are not used as `sample_weight`."""
    weights = {item.modifiers.sample_weight for item in document.objectives}
    return [name for name in document.targets if name not in weights]


def _activated_twice(document: Document, path: Path, term: LossTerm, graph: Graph, problems: Problems) -> None:
    """Report a network that ends with the activation its loss applies: applied twice, it would flatten the gradient."""
    words, ref = term.loss.activations(), graph.outputs.get(term.output)
    ends = [node for node in graph.nodes if isinstance(node, Node) and ref is not None and node.path == ref.source]
    node = ends[0] if ends else None
    if node is None or node.layer is None:
        return
    inside = dict(node.layer).get("activation")
    ending = {node.layer.word, inside.word if isinstance(inside, Layer) else ""}
    for word in [word for word in words if word in ending]:
        span = node.origin.options.get("activation", node.origin.span)
        loss = term.loss.word
        switch = next((name for name in type(term.loss).model_fields if name in ("from_logits", "log_input")), None)
        message, hint = f"`{loss}` applies `{word}` itself", "remove it here"
        hint += f", or write `{loss}: {{{switch}: false}}`" if switch else ""
        notes = [Note("the loss is here", document.source.span(path)), *node.origin.uses]
        problems.add("DLC301", message, span, found=f"an output that ends with `{word}`", hint=hint, notes=notes)


def _ignored(document: Document, problems: Problems) -> None:
    """Report `ignored` outside of targets: only losses use it."""
    for name, feature in document.inputs.items():
        if feature is not None and feature.unlabelled is not None:
            message, hint = "`ignored` has no effect in an input", "make missing values a class"
            span = document.source.key_span(("inputs", name, feature.word, "ignored"))
            problems.add("DLC303", message, span, hint=hint)


def _unfit_targets(document: Document, problems: Problems) -> None:
    """Report features that can't be a target."""
    for name, feature in document.targets.items():
        wrong = feature.unfit_target() if feature is not None else None
        if feature is not None and wrong is not None:
            path: Path = ("targets", name, feature.word)
            span = document.source.key_span((*path, wrong.option) if wrong.option else path)
            problems.add(wrong.code, wrong.message, span, expected=wrong.expected, hint=wrong.hint)


def _missing(document: Document, problems: Problems) -> None:
    """Report targets that would be filled, and inputs that would leave out records."""
    for section, features in (("inputs", document.inputs), ("targets", document.targets)):
        for name, feature in features.items():
            if feature is None or not (feature.fills if section == "targets" else feature.drops):
                continue
            span = document.source.span((section, name, feature.word, "missing"))
            if section == "targets":
                message, hint = f"the target `{name}` can't be filled: the network would learn invented values", None
                expected = "`drop`, which leaves out records without the target"
            else:
                message, expected = "`missing: drop` is only for targets", "a value for the missing ones"
                hint = "a prediction is made for each record; remove the others from the data"
            problems.add("DLC104", message, span, expected=expected, hint=hint)


def _thresholds(
    document: Document, losses: Sequence[LossTerm], types: Mapping[str, TensorType], problems: Problems
) -> None:
    """Report thresholds of targets that have no effect or can't be fitted. Those of inputs never have an effect."""
    for section, features in (("inputs", document.inputs), ("targets", document.targets)):
        for name, feature in features.items():
            if feature is None or feature.decision is None:
                continue
            span = document.source.key_span((section, name, feature.word, "threshold"))
            term = next((term for term in losses if term.target == name and section == "targets"), None)
            labels = decided_labels(term.loss, types[term.output], feature) if term is not None else None
            if term is None or labels is None:
                why = "it is an input" if section == "inputs" else f"no loss predicts `{name}`"
                found = None
                if term is not None:
                    kinds = "the probability of one of two classes or of independent labels"
                    why, found = f"`{term.loss.word}` does not predict {kinds}", f"output {types[term.output]}"
                problems.add("DLC303", f"`threshold` has no effect: {why}", span, found=found, hint="remove it")
            elif isinstance(feature.decision, tuple) and len(feature.decision) not in (1, labels):
                message, found = "one threshold for each label is needed", f"{len(feature.decision)} thresholds"
                problems.add("DLC104", message, span, found=found, expected=f"{labels}, or a single number")
            elif feature.decision == BEST_F1 and document.data and "validation" not in document.data.splits():
                message = f"the threshold of `{name}` is fitted on the validation split, but there is none"
                hint = "add `split: {validation: 0.2}` to `data`, or set a number"
                problems.add("DLC317", message, span, hint=hint)


def _columns(document: Document, problems: Problems) -> None:
    """Check that features read existing columns with their classes, if the source's columns are known."""
    source, data = document.source, document.data
    known = data.source.columns() if data is not None else None
    if known is None or data is None:
        return
    for option in ("stratify", "group"):
        column = getattr(data.split, option)
        if column is not None and normalize("NFC", column) not in known:
            wrong, span = missing_column(column, known), source.span(("data", "split", option))
            problems.add(wrong.code, wrong.message, span, found=wrong.found, hint=wrong.hint)
    for section, features in (("inputs", document.inputs), ("targets", document.targets)):
        for name, feature in features.items():
            for index, column in enumerate(feature.reads(name) if feature is not None else ()):
                try:
                    select((column,), known)
                except RuleViolation as wrong:
                    options: Path = (section, name, feature.word if feature is not None else "")
                    within = [("columns", index), ("columns",), ("column",), ("numbers", index), ("numbers", 0)]
                    within += [("categories", column), ("dates", column)]
                    locations = [(*options, *location) for location in within]
                    span = next((source.values[location] for location in locations if location in source.values), None)
                    span = span or source.key_span((section, name))
                    problems.add(wrong.code, wrong.message, span, found=wrong.found, hint=wrong.hint)
            if feature is not None:
                _classes(document, section, name, feature, problems)


def _classes(document: Document, section: str, name: str, feature: Feature, problems: Problems) -> None:
    """Check that a feature declares all classes of its column, if they are known."""
    column = feature.reads(name)[0]
    known = document.data.source.classes(column) if document.data is not None else None
    wrong = feature.undeclared(known) if known is not None else None
    if wrong is not None:
        message = f"the column `{column}` has classes that `{name}` does not declare"
        path = (section, name, feature.word)
        at = next((found for found in ((*path, "classes"), path) if found in document.source.values), path)
        span = document.source.span((*at, *wrong.part))
        problems.add(wrong.code, message, span, found=wrong.found, expected=wrong.expected, hint=wrong.hint)


def _balance(document: Document, problems: Problems) -> None:
    """Report a `train.balance` that names no target of classes, one for each record."""
    name, path = document.train.balance, ("train", "balance")
    if name is None:
        return
    span = document.source.span(path)
    if name not in document.targets:
        hint = did_you_mean(name, list(document.targets))
        problems.add("DLC201", f"no target is named `{name}`", span, hint=hint)
    elif (feature := document.targets[name]) is not None and not isinstance(feature, Category):
        message, hint = f"`balance` needs a target of classes, but `{name}` is a `{feature.word}`", "remove it"
        problems.add("DLC104", message, span, expected="a `category`", hint=hint)
    elif feature is not None and feature.unlabelled is not None:
        message, hint = f"`balance` would count `ignored` of `{name}` as a class", "leave such records out of the data"
        problems.add("DLC104", message, span, hint=hint)


def _splits(document: Document, problems: Problems) -> None:
    """Report splits that leave nothing to train on, or have no effect."""
    data, source = document.data, document.source
    path: Path = ("data", "split")
    if data is None or path not in source.values:
        return
    split = data.split
    held = {"validation": split.validation, "test": split.test, "folds": split.folds}
    owners = {"validation": data.validation, "test": data.test, "folds": data.test}
    for option in [option for option, own in owners.items() if own is not None and held[option]]:
        what = "`test` has its own source, so `folds` has no effect"
        message = what if option == "folds" else f"`{option}` has its own source, so its share has no effect"
        problems.add("DLC303", message, source.key_span((*path, option)), hint="remove one of them")
    parts = [part for part in (split.validation, split.test) if isinstance(part, float) and split.column is None]
    parts += [1 / split.folds] if split.folds is not None else []
    if sum(parts) >= 1:
        message, found = "the splits leave nothing to train on", f"shares that sum to {sum(parts):g}"
        problems.add("DLC104", message, source.span(path), found=found, expected="a sum below 1")
    if not any(held.values()):
        message, hint = "`split` has no effect", "give `validation:` or `test:` a share, or train with `--folds`"
        problems.add("DLC303", message, source.key_span(path), hint=hint)
    for option in ("stratify", "group") if not data.split.shuffle else ():
        if getattr(data.split, option) is not None:
            message, hint = f"`{option}` has no effect without `shuffle`", "remove one of them"
            problems.add("DLC303", message, source.key_span((*path, option)), hint=hint)
    if split.column is not None or split.time is not None:
        rule = "column" if split.column is not None else "time"
        for option in [option for option in ("seed", "shuffle") if (*path, option) in source.values]:
            if getattr(split, option) != type(split).model_fields[option].default:
                message, hint = f"`{option}` has no effect with `{rule}`", "remove it"
                problems.add("DLC303", message, source.key_span((*path, option)), hint=hint)
    elif not data.split.shuffle and (*path, "seed") in source.values and any(held.values()):
        message, hint = "`seed` has no effect without `shuffle`", "remove one of them"
        problems.add("DLC303", message, source.key_span((*path, "seed")), hint=hint)


def _windows(document: Document, problems: Problems) -> None:
    """Report features without a window beside others with one, and settings of windows without such features."""
    data, source = document.data, document.source
    features = {**document.inputs, **document.targets}
    spans = {name: feature.span for name, feature in features.items() if feature is not None}
    if data is None or len(spans) < len(features):
        return
    if all(span is None for span in spans.values()):
        if ("data", "windows") in source.values:
            message, hint = "`windows` has no effect: no feature reads several rows", "remove it, or use `series`"
            problems.add("DLC303", message, source.key_span(("data", "windows")), hint=hint)
        return
    single = next((name for name, span in spans.items() if span is None), None)
    if single is not None:
        section = "inputs" if single in document.inputs else "targets"
        other = next(name for name, span in spans.items() if span is not None)
        message = f"`{single}` has no window, but `{other}` has one"
        hint = "records are windows or rows: give each input and target a window (`series`, or `text` with `window`)"
        problems.add("DLC406", message, source.key_span((section, single)), hint=hint)
    for option in ("stratify", "group", "column", "time", "folds"):
        if getattr(data.split, option) is not None:
            message = f"`{option}` has no effect on windows: they are divided by time"
            hint = "remove it; `windows: {series: COLUMN}` names the column of several series"
            problems.add("DLC303", message, source.key_span(("data", "split", option)), hint=hint)
    if data.on_bad_record == "skip":
        message = "rows of windows can't be left out: those around a missing one don't follow each other"
        hint = "remove `on_bad_record`; `missing` of a `series` fills gaps"
        problems.add("DLC303", message, source.key_span(("data", "on_bad_record")), hint=hint)


def used_targets(document: Document) -> set[str]:
    """The names of values that losses and metrics read; "" if one of them names no target."""
    items = document.objectives
    free = free_targets(document)
    only = free[0] if len(free) == 1 else ""
    read = {item.modifiers.target or only for item in items if getattr(item.thing, "compares", "always") != "never"}
    return read | {item.modifiers.sample_weight for item in items if item.modifiers.sample_weight}
