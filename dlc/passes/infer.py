"""infer: a graph -> a typed graph. Every shape is proved; where an input's type is unknown, nothing more is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlc.diagnostics import Note, Problems, Span, did_you_mean, listing
from dlc.ir import (
    Graph,
    Node,
    Origin,
    Ref,
    RepeatNode,
    Signature,
    TensorType,
    TypedGraph,
    TypedNode,
    TypedRepeat,
)
from dlc.options import Wrong
from dlc.passes.expand import MAX_STEPS

MAX_FORMULA = 200

MAX_ELEMENTS = 1 << 31  # of one array: more is a slip of the pen
Types = dict[Ref, TensorType | None]  # None: unknown, because of an error that was reported


def infer(graph: Graph, problems: Problems) -> TypedGraph | None:
    """The typed graph, or None when something does not fit. Finds DLC201 (results), DLC203-DLC207 and DLC211."""
    engine = _Inference(graph, problems)
    types: Types = {Ref(name): kind for name, kind in graph.inputs.items()}
    nodes = engine.nodes(graph.nodes, types, {})
    outputs = {name: engine.follow(ref, {}) for name, ref in graph.outputs.items()}
    kinds = {name: engine.type_of(ref, types, graph.places.get(name)) for name, ref in graph.outputs.items()}
    inputs = {name: kind for name, kind in graph.inputs.items() if kind is not None}
    known = {name: kind for name, kind in kinds.items() if kind is not None}
    if nodes is None or len(known) != len(kinds) or len(inputs) != len(graph.inputs) or not problems.ok:
        return None
    return TypedGraph(inputs, tuple(nodes), outputs, known)


class _Inference:
    def __init__(self, graph: Graph, problems: Problems) -> None:
        self.problems = problems
        self.declared: dict[str, tuple[Signature, Origin]] = {}
        self.origins: dict[str, Origin] = dict(graph.origins)
        self.unrolled_nodes = 0
        self.ends: dict[str, Ref] = {}  # where an unrolled repeat's result is

    def follow(self, ref: Ref, renames: dict[str, Ref]) -> Ref:
        """A reference as the typed graph has it."""
        while ref.source in renames or ref.source in self.ends:
            target = renames.get(ref.source) or self.ends[ref.source]
            ref = Ref(target.source, ref.result or target.result)
        return ref

    def type_of(
        self, ref: Ref, types: Types, place: Span | None = None, uses: tuple[Note, ...] = ()
    ) -> TensorType | None:
        """The type of a value; None when it is unknown, which was or is now reported."""
        if ref in types:
            return types[ref]
        if ref.result is not None and types.get(Ref(ref.source)) is not None:
            results = [item.result for item in types if item.source == ref.source and item.result]
            hint = f"write `{_called(Ref(ref.source))}` for its only result"
            if results:
                hint = did_you_mean(ref.result, results) or f"its results: {listing(results)}"
            message = f"`{_called(Ref(ref.source))}` has no result `{ref.result}`"
            self.problems.add("DLC201", message, place, hint=hint, notes=uses)
        return None

    def nodes(
        self, nodes: Sequence[Node | RepeatNode], types: Types, renames: dict[str, Ref]
    ) -> list[TypedNode | TypedRepeat] | None:
        """The typed nodes of a list, or None when one is wrong. Adds their types."""
        typed: list[TypedNode | TypedRepeat] = []
        good = True
        for node in nodes:
            if isinstance(node, RepeatNode):
                made = self.repeat(node, types, renames)
            else:
                one = self.node(node, types, renames)
                made = None if one is None else [one]
            good = good and made is not None
            typed += made or []
        return typed if good else None

    def node(self, node: Node, types: Types, renames: dict[str, Ref]) -> TypedNode | None:
        self.origins[node.path] = node.origin
        types[Ref(node.path)] = None
        places = node.places or (node.origin.span,) * len(node.inputs)
        given = [
            self.type_of(ref, types, place, node.origin.uses) for ref, place in zip(node.inputs, places, strict=True)
        ]
        inputs = tuple(kind for kind in given if kind is not None)
        if node.layer is None or len(inputs) != len(given):
            return None
        try:
            signature = node.layer.infer(*inputs)
        except Wrong as wrong:
            self.wrong(wrong, node, inputs)
            return None
        if not self.shares(node, signature) or not self.bounded(node, signature):
            return None
        types[Ref(node.path)] = signature.output
        types.update({Ref(node.path, name): kind for name, kind in signature.results.items()})
        refs = tuple(self.follow(ref, renames) for ref in node.inputs)
        return TypedNode(node.path, node.layer, refs, inputs, signature, node.origin, node.weights)

    def wrong(self, wrong: Wrong, node: Node, inputs: tuple[TensorType, ...]) -> None:
        """Report what a shape rule raised, with the inputs by name and origin when there are several."""
        notes: list[Note] = []
        labels = node.labels or tuple(_called(ref) for ref in node.inputs)
        message, found, expected, hint = wrong.message, wrong.found, wrong.expected, wrong.hint
        if len(inputs) > 1:
            found = found or ", ".join(f"`{label}` {kind}" for label, kind in zip(labels, inputs, strict=True))
            for label, ref in dict(zip(labels, node.inputs, strict=True)).items():
                origin = self.origins.get(ref.source)
                notes += [Note(f"`{label}` comes from here", origin.span)] if origin is not None else []
        if wrong.code == "DLC205" and node.labels == ("layers", "input"):
            message, expected = "the body of a residual must keep the shape of its input", f"`layers` {inputs[1]}"
            hint = "let `shortcut:` bring the input to the same shape, or keep the shape in `layers`"
        elif wrong.code == "DLC205" and node.labels == ("layers", "shortcut"):
            message, expected = "the body and the shortcut of a residual must end in one shape", None
        span = node.origin.options.get(wrong.option or "", node.origin.span)
        self.problems.add(
            wrong.code,
            message,
            span,
            found=found,
            expected=expected,
            hint=hint,
            notes=[*notes, *node.origin.uses],
        )

    def bounded(self, node: Node, signature: Signature) -> bool:
        """Whether the sizes are ones to go on with: formulas of symbols may not grow without end."""
        sizes = [spec.size for spec in signature.params.values()] + [signature.output.size]
        if max(sizes) > MAX_ELEMENTS and node.layer is not None:
            message = f"`{node.layer.word}` is too large: one array of {max(sizes):,} numbers"
            expected = f"at most {MAX_ELEMENTS:,}"
            self.problems.add("DLC104", message, node.origin.span, expected=expected, notes=node.origin.uses)
            return False
        long = [size for size in signature.output.shape if isinstance(size, str) and len(size) > MAX_FORMULA]
        if long:
            message = "the size of an axis has become too long a formula"
            found, hint = f"`{long[0][:60]}...`", "declare the size as a number in the input's shape"
            uses = node.origin.uses
            self.problems.add("DLC117", message, node.origin.span, found=found, hint=hint, notes=uses)
        return not long

    def shares(self, node: Node, signature: Signature) -> bool:
        """Whether a node that shares weights declares those of their owner."""
        if node.weights == node.path:
            self.declared[node.path] = (signature, node.origin)
            return True
        owner = self.declared.get(node.weights)
        if owner is not None and owner[0].params == signature.params and owner[0].state == signature.state:
            return True
        expected = _weights(owner[0]) if owner else "the same layers"
        notes = [Note("the weights are declared here", owner[1].span)] if owner else []
        message = f"the weights of `{node.weights}` don't fit here"
        self.problems.add(
            "DLC211",
            message,
            node.origin.span,
            found=_weights(signature),
            expected=expected,
            notes=[*notes, *node.origin.uses],
        )
        return False

    def repeat(self, node: RepeatNode, types: Types, renames: dict[str, Ref]) -> list[TypedNode | TypedRepeat] | None:
        """One scan when the iterations agree; else the iterations one after another, under the same paths."""
        self.origins[node.path] = node.origin
        self.origins[f"{node.path}/*"] = self.origins.get(node.input.source, node.origin)
        types[Ref(node.path)] = None
        start = self.type_of(node.input, types, node.origin.span, node.origin.uses)
        if node.weights in self.ends:  # it shares those of a repeat that was unrolled
            return self.unrolled(node, types, renames)
        inner: Types = {**types, Ref(f"{node.path}/*"): start}
        saved = (dict(self.declared), dict(self.ends))
        body = self.nodes(node.body, inner, renames)
        end = self.type_of(node.output, inner, node.origin.span, node.origin.uses)
        if start is None or body is None or end is None:
            return None
        if end == start and not _outer_state(body, node.weights):
            types.update({ref: kind for ref, kind in inner.items() if ref not in types})
            types[Ref(node.path)] = start
            source = self.follow(node.input, renames)
            output = self.follow(node.output, renames)
            return [TypedRepeat(node.path, node.times, source, tuple(body), output, start, node.origin, node.weights)]
        self.declared, self.ends = saved
        return self.unrolled(node, types, renames)

    def unrolled(self, node: RepeatNode, types: Types, renames: dict[str, Ref]) -> list[TypedNode | TypedRepeat] | None:
        """The iterations one after another: their shapes differ, so they can't share one scan."""
        typed: list[TypedNode | TypedRepeat] = []
        value, kind = self.follow(node.input, renames), self.type_of(node.input, types)
        for index in range(node.times):
            self.unrolled_nodes += len(node.body)
            if self.unrolled_nodes > MAX_STEPS:
                message = f"the network expands to more than {MAX_STEPS:,} layers"
                self.problems.add("DLC117", message, node.origin.span, notes=node.origin.uses)
                return None
            body, output = _iteration(node, index)
            start = f"{node.path}/{index}/*"  # this iteration's input
            types[Ref(start)] = kind
            self.origins[start] = self.origins.get(value.source, node.origin)
            note = Note(f"in iteration {index + 1} of {node.times} of the repeat", node.origin.span)
            made = self.nodes([_noted(item, note) for item in body], types, {**renames, start: value})
            if made is None:
                return None
            typed += made
            kind = self.type_of(output, types)
            value = self.follow(output, {**renames, start: value})
        types[Ref(node.path)] = kind
        self.ends[node.path] = value
        return typed


def _weights(signature: Signature) -> str:
    """The weights and state of a signature, for a message."""
    specs = {**signature.params, **signature.state}
    return ", ".join(f"{name} {list(spec.shape)}" for name, spec in specs.items()) or "no weights"


def _called(ref: Ref) -> str:
    """What a message calls a value: a repeat's own input is not a name that the user gave."""
    return f"the input of {str(ref)[:-2]}" if str(ref).endswith("/*") else str(ref)


def _outer_state(body: Sequence[TypedNode | TypedRepeat], weights: str) -> bool:
    """Whether a body updates state that it shares with a layer outside: a scan can't carry that."""
    for node in body:
        if isinstance(node, TypedRepeat):
            if _outer_state(node.body, weights):
                return True
        elif node.signature.state and not node.weights.startswith(f"{weights}/*/"):
            return True
    return False


def _iteration(node: RepeatNode, index: int) -> tuple[list[Node | RepeatNode], Ref]:
    """The body of one iteration: the repeat's `*` in paths becomes its number."""

    def path(text: str, base: str) -> str:
        if text == f"{base}/*":
            return f"{base}/{index}/*"
        return f"{base}/{index}/{text[len(base) + 3 :]}" if text.startswith(f"{base}/*/") else text

    def ref(item: Ref) -> Ref:
        return Ref(path(item.source, node.path), item.result)

    def move(item: Node | RepeatNode) -> Node | RepeatNode:
        place, weights = path(item.path, node.path), path(item.weights, node.weights)
        if isinstance(item, RepeatNode):
            body = tuple(move(inner) for inner in item.body)
            return replace(item, path=place, weights=weights, input=ref(item.input), body=body, output=ref(item.output))
        return replace(item, path=place, weights=weights, inputs=tuple(ref(value) for value in item.inputs))

    return [move(item) for item in node.body], ref(node.output)


def _noted(item: Node | RepeatNode, note: Note) -> Node | RepeatNode:
    origin = replace(item.origin, uses=(note, *item.origin.uses))
    if isinstance(item, RepeatNode):
        return replace(item, origin=origin, body=tuple(_noted(inner, note) for inner in item.body))
    return replace(item, origin=origin)
