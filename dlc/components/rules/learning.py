"""Configurations that leave nothing to learn.

Each rule looks at a `Training`: the typed network, its losses, and the examples that are computed together. `dlc check`
makes it from the spec; a run makes it again when its data are read, with their sizes in place of symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from dlc.components.rules.rule import Finding, LintContext, Rule, RuleExample
from dlc.components.schedules.schedule import Run
from dlc.diagnostics import Note, Span, plural
from dlc.ir import Layer, Ref, TensorType, TypedGraph, TypedNode, TypedRepeat
from dlc.support.fast_dataclass import fast_dataclass

if TYPE_CHECKING:
    from dlc.components.augmentations.augmentation import Augmentation
    from dlc.components.features.feature import Feature
    from dlc.components.losses.loss import Loss
    from dlc.components.schedules.schedule import Schedule

BEGIN = "inputs: {x: {tensor: [4]}}\ntargets: {y: number}\n"
CLASSES = "inputs: {x: {tensor: [4]}}\ntargets: {y: {category: 3}}\n"
END = "loss: mse\noptimizer: {adam: 0.01}\n"


class LossUse(NamedTuple):
    """A loss in a network.

    Args:
        loss: the loss.
        output: the name of the output that it reads.
        compared: the name of the output that it is compared with, or None.
        target: the type of what the output is compared with, or None.
        span: where the loss is written, if known.
    """

    loss: Loss
    output: str
    compared: str | None
    target: TensorType | None
    span: Span | None = None


class AugmentUse(NamedTuple):
    """An augmentation: what it acts on, its path, and where it is written, if known."""

    augmentation: Augmentation
    on: tuple[str, ...]
    path: str
    span: Span | None = None


class ScheduleUse(NamedTuple):
    """A schedule of the optimizer or of a group of weights, and the spans of its settings, if known."""

    schedule: Schedule
    span_of: Callable[[str], Span | None]


@fast_dataclass(frozen=True)
class Training:
    """What is trained.

    Args:
        graph: the network.
        inputs: the features of its inputs.
        losses: the losses; empty if nothing is trained.
        augment: the augmentations.
        schedules: the schedules of rates.
        run: the length of the run, as far as it is known.
        batch: the examples that the network gets at once; None if unknown.
        step: the examples of a step, whose gradients are accumulated; None if unknown.
        evaluated: the number of examples of each split that is evaluated; empty while unknown.
        span: where the batch size is written.
    """

    graph: TypedGraph
    inputs: Mapping[str, Feature]
    losses: Sequence[LossUse] = ()
    augment: Sequence[AugmentUse] = ()
    schedules: Sequence[ScheduleUse] = ()
    run: Run = Run(1.0)
    batch: int | None = None
    step: int | None = None
    evaluated: Mapping[str, int] = field(default_factory=dict)
    span: Span | None = None

    @property
    def nodes(self) -> list[TypedNode]:
        """All layers; one of a repeat stands for all iterations."""
        return [node for node, _ in self.graph.walk()]


class LearningRule(Rule):
    """A rule about a `Training`. It runs on a spec, and again on a run whose data are known."""

    code: ClassVar[str] = "DLC320"

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """Silent while the types or the losses are unknown."""
        if isinstance(spec.training, Training):
            yield from self.learn(spec.training)

    def learn(self, training: Training) -> Iterator[Finding]:
        """Yield what can't be learned."""
        raise NotImplementedError(f"{type(self).__name__} checks nothing")


def _batch_note(training: Training) -> tuple[Note, ...]:
    return (Note("the batch size is set here", training.span),) if training.span is not None else ()


class SingleElement(LearningRule):
    """Finds a layer that normalizes over a single element: a norm, a softmax, or attention to one position.

    Its result does not depend on its input, so that the layers before it have no effect. A batch norm compares the
    examples and positions of a batch: with one example and one position, training sees nothing but its bias.
    """

    word = "single_element"
    code = "DLC217"
    examples = (
        RuleExample(
            wrong=BEGIN + "network: [{dense: {units: 1, activation: softmax}}]\n" + END,
            right=BEGIN + "network: [{dense: {units: 1, activation: sigmoid}}]\n" + END,
        ),
        RuleExample(
            wrong=BEGIN + "network: [dense: 4, batch_norm, dense: 1]\n" + END + "train: {batch_size: 1}",
            right=BEGIN + "network: [dense: 4, batch_norm, dense: 1]\n" + END + "train: {batch_size: 16}",
        ),
    )

    def learn(self, training: Training) -> Iterator[Finding]:
        """One finding for each layer, or activation of a layer."""
        batch = training.batch if training.losses else None
        for node in training.nodes:
            parts = [(node.layer, node.types, node.origin.span)]
            for name, value in node.layer:
                if isinstance(value, Layer):
                    span = node.origin.options.get(name, node.origin.span)
                    parts.append((value, (node.signature.output,), span))
            for layer, types, span in parts:
                found = layer.normalized(*types)
                if found is None or (node.frozen and "batch" in found.sizes):
                    continue
                sizes = [batch if size == "batch" else size for size in found.sizes]
                if all(size == 1 for size in sizes):
                    message = f"`{layer.word}` of a single element is {found.single}"
                    notes = (*(_batch_note(training) if "batch" in found.sizes else ()), *node.origin.uses)
                    shown = str(types[-1]) + (f", `batch_size` {batch}" if "batch" in found.sizes else "")
                    yield Finding(message, span, found=shown, hint=found.hint, notes=notes)


class SmallBatch(LearningRule):
    """Finds a batch with too few examples for a loss or an augmentation that compares or mixes them.

    `triplet` needs three examples, `nt_xent`, `mixup` and `cutmix` need two. The loss of fewer does not depend on the
    weights, and an example would be mixed with itself.
    """

    word = "small_batch"
    examples = (
        RuleExample(
            wrong=CLASSES + "network: [dense: 8]\nloss: triplet\noptimizer: adam\ntrain: {batch_size: 1}",
            right=CLASSES + "network: [dense: 8]\nloss: triplet\noptimizer: adam\ntrain: {batch_size: 32}",
        ),
        RuleExample(
            wrong=BEGIN + "network: [dense: 1]\naugment: mixup\n" + END + "train: {batch_size: 1}",
            right=BEGIN + "network: [dense: 1]\naugment: mixup\n" + END + "train: {batch_size: 32}",
        ),
    )

    def learn(self, training: Training) -> Iterator[Finding]:
        """One finding for each loss and augmentation, and for each split that is too small to evaluate a loss."""
        for use in training.losses:
            word, least = use.loss.word, use.loss.fewest_examples(use.target)
            if training.batch is not None and training.batch < least:
                message = f"`{word}` compares the examples of a batch"
                yield self._too_few(message, training.batch, least, use.span, training)
            for split, count in training.evaluated.items():
                if count < least:
                    message = f"`{word}` compares examples, but the {split} split has only {plural(count, 'example')}"
                    yield Finding(message, use.span, expected=f"at least {least}", hint="enlarge the split")
        for item in training.augment if training.losses else ():
            if item.augmentation.mixes and training.step == 1:
                message = f"`{item.augmentation.word}` mixes the examples of a batch"
                yield self._too_few(message, 1, 2, item.span, training)

    def _too_few(self, message: str, batch: int, least: int, span: Span | None, training: Training) -> Finding:
        found = f"a batch of {plural(batch, 'example')}"
        notes, expected = _batch_note(training), f"at least {least}"
        return Finding(message, span, found=found, expected=expected, hint="raise `batch_size`", notes=notes)


class SameView(LearningRule):
    """Finds a loss or a layer that compares or joins the same value with itself.

    Two towers that share their weights give the same value for the same input, unless they are random: a loss that
    compares the two has nothing to learn.
    """

    word = "same_view"
    examples = (
        RuleExample(
            wrong="inputs: {x: {tensor: [4]}}\n"
            "network: [{dense: 8, name: a}, {share: a, inputs: x, name: b}]\noutputs: {a: a, b: b}\n"
            "loss: {nt_xent: , output: a, target: b}\noptimizer: adam",
            right="inputs: {x: {tensor: [4]}, z: {tensor: {shape: [4], column: x}}}\n"
            "network: [{dense: 8, name: a, inputs: x}, {share: a, inputs: z, name: b}]\noutputs: {a: a, b: b}\n"
            "loss: {nt_xent: , output: a, target: b}\noptimizer: adam\n"
            "augment: [{jitter: 0.1, on: x}, {jitter: 0.1, on: z}]",
        ),
    )

    def learn(self, training: Training) -> Iterator[Finding]:
        """One finding for each loss and each merge layer."""
        if not training.losses:
            return
        values, outputs = _Values(training), training.graph.outputs
        pairs: set[str] = set()  # the merge layers whose inputs a loss compares with each other
        for use in training.losses:
            first, second = outputs.get(use.output), outputs.get(use.compared or "")
            if first is not None and second is not None and values.of(first) == values.of(second):
                message = f"`{use.loss.word}` compares a value with itself: both outputs are the same"
                yield Finding(message, use.span, found=f"outputs `{use.output}` and `{use.compared}`", hint=_TWO_VIEWS)
            if first is not None and use.loss.pairs_views(use.target):
                pairs.add(values.merge_before(first))
        for node in training.nodes:
            if not node.layer.short_form_inputs:
                continue
            compares = node.path in pairs or node.layer.word == "subtract" or node.layer.normalized(*node.types)
            refs = list(node.inputs) if compares else list(dict.fromkeys(node.inputs))  # `add: [a, a]` is meant
            numbers = [values.of(ref) for ref in refs]
            if None not in numbers and len(set(numbers)) < len(numbers):
                message = f"`{node.layer.word}` joins a value with itself: two of its inputs are the same"
                found = "inputs " + " and ".join(f"`{ref}`" for ref in node.inputs)
                yield Finding(message, node.origin.span, found=found, hint=_TWO_VIEWS, notes=node.origin.uses)


_TWO_VIEWS = "declare two inputs that read the same column, and augment each by an item of its own"


class _Values:
    """Numbers of values: two values have the same number if they are the same in every step of training."""

    def __init__(self, training: Training) -> None:
        self.numbers: dict[Any, int] = {}
        self.known: dict[Ref, int] = {}
        self.nodes = {node.path: node for node in training.nodes}
        for name, feature in training.inputs.items():
            options = {key: value for key, value in feature if key not in ("column", "columns")}
            changes = [
                item.path if item.augmentation.same_draws else (item.path, name)
                for item in training.augment
                if name in item.on
            ]
            self.known[Ref(name)] = self.number(
                "input", feature.word, repr(options), feature.reads(name), repr(changes)
            )
        self.walk(training.graph.nodes)

    def number(self, *key: Any) -> int:
        """The number of a value that is computed in a certain way."""
        return self.numbers.setdefault(key, len(self.numbers))

    def of(self, ref: Ref) -> int | None:
        """The number of a value; None if unknown."""
        if ref.result is None or ref in self.known:
            return self.known.get(ref)
        whole = self.known.get(Ref(ref.source))
        return None if whole is None else self.number("result", whole, ref.result)

    def walk(self, nodes: Sequence[TypedNode | TypedRepeat]) -> None:
        """Number the values of nodes."""
        for node in nodes:
            if isinstance(node, TypedRepeat):
                self.known[Ref(f"{node.path}/*")] = self.number("carry", self.of(node.input), node.times)
                self.walk(node.body)
                self.known[Ref(node.path)] = self.number("repeat", node.times, self.of(node.output))
            elif _is_random(node.layer):
                self.known[Ref(node.path)] = self.number("random", node.path)
            else:
                weights = node.weights if node.signature.params or node.signature.state else ""
                options = repr(dict(node.layer))
                inputs = tuple(self.of(ref) for ref in node.inputs)
                self.known[Ref(node.path)] = self.number(node.layer.word, options, weights, node.dtype, inputs)

    def merge_before(self, ref: Ref) -> str:
        """The path of the merge layer that a value comes from through layers of one input; empty if there is none."""
        node = self.nodes.get(ref.source)
        while node is not None and len(node.inputs) == 1 and not _is_random(node.layer):
            node = self.nodes.get(node.inputs[0].source)
        return node.path if node is not None and node.layer.short_form_inputs else ""


def _is_random(layer: Layer) -> bool:
    """Whether a layer uses random numbers in training: not if all of its rates are 0."""
    rates = [getattr(layer, name) for name in layer.hyperparameters]
    return layer.random and (not rates or any(rate != 0 for rate in rates))


class UnfinishedSchedule(LearningRule):
    """Finds a schedule that ends before the run with a rate of 0.

    The rest of the run learns nothing. The schedule of a group may end earlier, if other weights continue to train.
    """

    word = "unfinished_schedule"
    code = "DLC321"
    examples = (
        RuleExample(
            wrong=BEGIN + "network: [dense: 1]\nloss: mse\ntrain: {epochs: 50}\n"
            "optimizer: {adam: {learning_rate: {cosine: {peak: 0.1, length: 10 epochs}}}}",
            right=BEGIN + "network: [dense: 1]\nloss: mse\ntrain: {epochs: 50}\n"
            "optimizer: {adam: {learning_rate: {cosine: 0.1}}}",
        ),
    )

    def learn(self, training: Training) -> Iterator[Finding]:
        """One finding for each, if all weights stop; the schedule itself knows its length."""
        ends = [list(use.schedule.unfinished(training.run)) for use in training.schedules]
        if not all(ends):
            return  # some weights go on, as where layers are frozen one after another
        for use, errors in zip(training.schedules, ends, strict=True):
            for error in errors:
                span = use.span_of(str(error.loc[0]))
                yield Finding(error.message, span, error.found, error.expected, error.hint)


class Untrained(LearningRule):
    """Finds a loss that no trained weight has an effect on, and trained weights that have no effect on any loss.

    Training would change nothing, or leave these weights as they were drawn.
    """

    word = "untrained"
    examples = (
        RuleExample(
            wrong=BEGIN + "network: [{dense: 1, trainable: false}]\n" + END,
            right=BEGIN + "network: [{dense: 1}]\n" + END,
        ),
        RuleExample(
            wrong=BEGIN + "network: [{dense: 4, name: a}, {dense: 1, name: b}, {dense: 3, inputs: a, name: c}]\n"
            "outputs: {y_hat: b, other: c}\nloss: {mse: , output: y_hat, target: y}\noptimizer: adam",
            right=BEGIN + "network: [{dense: 4, name: a}, {dense: 1, name: b}]\n"
            "outputs: {y_hat: b, other: a}\nloss: {mse: , output: y_hat, target: y}\noptimizer: adam",
        ),
    )

    def learn(self, training: Training) -> Iterator[Finding]:
        """One finding for each loss, and for each layer."""
        if not training.losses:
            return
        sources = _sources(training.graph.nodes)
        trained = {node.path for node in training.nodes if _trains(node)}
        penalties = [Ref(node.path) for node in training.nodes if node.signature.penalty]
        read: set[str] = _reach(sources, penalties)
        for use in training.losses:
            names = [name for name in (use.output, use.compared) if name in training.graph.outputs]
            found = _reach(sources, [training.graph.outputs[name] for name in names if name is not None])
            read |= found
            if names and not found & trained:
                message = f"no trained weight has an effect on `{use.loss.word}`"
                hint = "train a layer before its output" + ("" if trained else ": the network has no trained weights")
                yield Finding(message, use.span, hint=hint)
        owners = {node.weights for node in training.nodes if node.path in read}
        for node in training.nodes:
            if node.path in trained and node.weights not in owners and node.weights == node.path:
                message = f"the weights of `{node.path}` are never trained: no loss depends on them"
                hint = "add a loss of an output that depends on them, or freeze them with `trainable: false`"
                yield Finding(message, node.origin.span, hint=hint, notes=node.origin.uses)


def _trains(node: TypedNode) -> bool:
    return any(spec.trainable for spec in node.signature.params.values())


def _sources(nodes: Sequence[TypedNode | TypedRepeat]) -> dict[str, list[Ref]]:
    """What each value is computed from, by its path; a repeat's own input stands for each iteration's."""
    found: dict[str, list[Ref]] = {}
    for node in nodes:
        if isinstance(node, TypedRepeat):
            found |= _sources(node.body)
            found[f"{node.path}/*"] = [node.input, node.output]
            found[node.path] = [node.output]
        else:
            found[node.path] = list(node.inputs)
    return found


def _reach(sources: Mapping[str, Sequence[Ref]], ends: Sequence[Ref]) -> set[str]:
    """The paths that values depend on, with their own."""
    found: set[str] = set()
    left = [ref.source for ref in ends]
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left += [ref.source for ref in sources.get(path, ())]
    return found
