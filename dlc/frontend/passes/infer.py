"""infer: a graph -> a typed graph. Infers every shape; nodes with an input of unknown type are skipped."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from dlc.components.initializers.initializer import Weight
from dlc.diagnostics import Note, Problems, Span, did_you_mean, listing
from dlc.ir import (
    MAX_NODES,
    Graph,
    Iterations,
    Layer,
    Node,
    Origin,
    ParamSpec,
    Ref,
    RepeatNode,
    Segment,
    Settings,
    Signature,
    TensorType,
    TypedGraph,
    TypedNode,
    TypedRepeat,
    instances,
    need_behind_mask,
    walk,
)
from dlc.language.options import RuleViolation
from dlc.support.fast_dataclass import fast_dataclass

MAX_FORMULA = 200

MAX_ITERATIONS = 1_000_000  # of repeats inside of each other
MAX_ELEMENTS = 1 << 31  # of one array: more is probably a typing error
Types = dict[Ref, TensorType | None]  # None: unknown because of a reported error


def infer(
    graph: Graph,
    problems: Problems,
    group_of: Callable[[str], Hashable] | None = None,
    freezes: Callable[[str], bool] | None = None,
) -> TypedGraph | None:
    """The typed graph, or None after an error.

    Args:
        graph: the network.
        problems: what findings are added to.
        group_of: the group of a trained weight by its full path. A repeat whose iterations have weights of different
            groups is not scanned: it runs as with `unroll: true`, with the same paths and numbers.
        freezes: whether the optimizer freezes a weight by its full path: penalties and constraints don't reach it.

    Finds DLC201 (results), DLC203-DLC207, DLC211, DLC212 and DLC303 (settings of weights that do not exist).
    """
    engine = _Inference(graph, problems, group_of, freezes)
    types: Types = {Ref(name): kind for name, kind in graph.inputs.items()}
    nodes = engine.nodes(graph.nodes, types, {})
    outputs = {name: engine.follow(ref, {}) for name, ref in graph.outputs.items()}
    kinds = {name: engine.type_of(ref, types, graph.spans.get(name)) for name, ref in graph.outputs.items()}
    inputs = {name: kind for name, kind in graph.inputs.items() if kind is not None}
    known = {name: kind.of("f32") if kind.is_float else kind for name, kind in kinds.items() if kind is not None}
    if nodes is None or len(known) != len(kinds) or len(inputs) != len(graph.inputs):
        return None
    engine.idle()
    if not problems.ok:
        return None
    return TypedGraph(inputs, tuple(nodes), outputs, known, graph.matmul)


def _without(wrong: RuleViolation, layer: Layer, given: frozenset[str]) -> Layer | None:
    """The layer without an option that has no effect; None unless that follows from the value of a variable.

    Args:
        wrong: what the layer found: an option without effect, or that the layer as a whole has none.
        layer: the layer.
        given: the options whose values come from a variable or a parameter: for another value, it has an effect.
    """
    if wrong.code != "DLC303" or not given & {wrong.option, *wrong.because}:
        return None
    if wrong.option is None:
        from dlc.components.layers.activations import Linear  # imported only for specs that need it

        return Linear()
    field = type(layer).model_fields[wrong.option]
    return layer.model_copy(update={wrong.option: field.get_default(call_default_factory=True)})


class _Inference:
    def __init__(
        self,
        graph: Graph,
        problems: Problems,
        group_of: Callable[[str], Hashable] | None = None,
        freezes: Callable[[str], bool] | None = None,
    ) -> None:
        self.problems = problems
        self.group_of = group_of
        self.freezes = freezes
        self.around: Iterations = ()  # the iterations of repeats that are being tried as scans
        self.declared: dict[str, _Owner] = {}
        self.settings: dict[tuple[str, Span | None], Settings] = {}  # all settings seen
        self.effective: set[tuple[str, Span | None]] = set()  # settings that had an effect
        self.overridden: set[tuple[str, Span | None]] = set()  # settings that a setting inside of them overrides
        self.peeled: dict[str, int] = {}  # by weights of a repeat: the number of leading iterations outside of the scan
        self.origins: dict[str, Origin] = dict(graph.origins)
        self.composites = graph.composites
        self.unrolled_nodes = 0
        self.ends: dict[str, Ref] = {}  # the results of unrolled repeats

    def follow(self, ref: Ref, renames: dict[str, Ref]) -> Ref:
        """A reference in the typed graph."""
        while ref.source in renames or ref.source in self.ends:
            target = renames.get(ref.source) or self.ends[ref.source]
            ref = Ref(target.source, ref.result or target.result)
        return ref

    def type_of(
        self, ref: Ref, types: Types, span: Span | None = None, uses: tuple[Note, ...] = ()
    ) -> TensorType | None:
        """The type of a value; None if it is unknown, which is reported unless it was before."""
        if ref in types:
            return types[ref]
        if ref.result is not None and types.get(Ref(ref.source)) is not None:
            results = [item.result for item in types if item.source == ref.source and item.result]
            hint = f"write `{_called(Ref(ref.source))}` for its only result"
            if results:
                hint = did_you_mean(ref.result, results) or f"its results: {listing(results)}"
            message = f"`{_called(Ref(ref.source))}` has no result `{ref.result}`"
            self.problems.add("DLC201", message, span, hint=hint, notes=uses)
        return None

    def nodes(
        self, nodes: Sequence[Node | RepeatNode], types: Types, renames: dict[str, Ref]
    ) -> list[TypedNode | TypedRepeat] | None:
        """The typed nodes of a list, or None if one is wrong. Adds their types to `types`."""
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
        spans = node.spans or (node.origin.span,) * len(node.inputs)
        given = [self.type_of(ref, types, span, node.origin.uses) for ref, span in zip(node.inputs, spans, strict=True)]
        known = tuple(kind for kind in given if kind is not None)
        if node.layer is None or len(known) != len(given):
            return None
        dtype = self.setting(node, "dtype", "f32")
        inputs = tuple(kind.of(dtype) if kind.is_float else kind for kind in known)
        layer = node.layer
        try:
            signature = self.signature(node, layer, inputs, dtype)
        except RuleViolation as wrong:
            neutral = _without(wrong, layer, node.origin.given)
            if neutral is None:
                if not self.misused(node, types):
                    self.wrong(wrong, node, inputs)
                return None
            return self.node(replace(node, layer=neutral), types, renames)
        shared = self.shares(node, signature)
        if shared is None or not self.bounded(node, signature):
            return None
        signature = shared
        types[Ref(node.path)] = signature.output
        types.update({Ref(node.path, name): kind for name, kind in signature.results.items()})
        refs = tuple(self.follow(ref, renames) for ref in node.inputs)
        frozen = bool(signature.state) and self.declared[node.weights].frozen
        segments = self.segments(node)
        return TypedNode(node.path, layer, refs, inputs, signature, node.origin, node.weights, dtype, frozen, segments)

    def signature(self, node: Node, layer: Layer, inputs: tuple[TensorType, ...], dtype: str) -> Signature:
        """A layer's signature for its inputs, with the mask and element type of its output."""
        masked = any(x.mask for x in inputs)
        if masked and layer.masks == "refused":
            first = next(x for x in inputs if x.mask)
            hint = "reduce the time axis first, with `global_avg_pool1d`, or `take: -1` for the last position"
            raise RuleViolation(
                "DLC212", f"`{layer.word}` does not support the mask of its input", found=str(first), hint=hint
            )
        if masked and layer.masks == "pointwise":
            for x in inputs:
                need_behind_mask(x, layer.word)
        if layer.ties_weights:
            owner = self.declared.get(node.weights)
            found = layer.infer(*inputs, tied=owner.signature.params if owner else {})
        else:
            found = layer.infer(*inputs)
        output, results = found.output, found.results
        if layer.masks in ("elementwise", "pointwise"):
            output = output.masked(masked and output.rank > 1)
        if dtype != "f32":
            output = output.of(dtype) if output.is_float else output
            results = {name: kind.of(dtype) if kind.is_float else kind for name, kind in results.items()}
        return replace(found, output=output, results=results)

    def setting(self, node: Node, key: str, default: Any) -> Any:
        """The setting of the innermost item around a node that has it, or a default."""
        found = default
        overridden = False
        for level in reversed(node.settings):
            self.see(level, key)
            if key not in level.values:
                continue
            if overridden:
                self.overridden.add((key, level.spans.get(key)))
                continue
            self.effective.add((key, level.spans.get(key)))
            found, overridden = level.values[key], True
        return found

    def see(self, level: Settings, key: str) -> None:
        """Remember a setting; one that depends on variables has an effect for other values of them."""
        place = (key, level.spans.get(key))
        self.settings.setdefault(place, level)
        if level.given:
            self.effective.add(place)

    def configured(self, node: Node, signature: Signature) -> Signature:
        """A signature with the settings of its weights."""
        if not node.settings:
            return signature
        for level in node.settings:
            for key in level.values:
                self.see(level, key)
        trainable = self.setting(node, "trainable", True) if signature.params or signature.state else True
        params = {}
        for name, spec in signature.params.items():
            init, _ = self.by_name(node, "initializer", name, spec)
            moves = trainable and not self.frozen(node, name)  # a frozen weight has no penalty and no constraint
            l1, l2 = (self.setting(node, key, 0.0) if spec.kernel and moves else 0.0 for key in ("l1", "l2"))
            made = spec.init
            if init is not None:
                assert node.layer is not None  # a node with weights is a layer
                made = init.for_weight(Weight(node.layer.word, name, spec, signature.params))
            bound = self.constraint(node, name, spec) if moves else None
            params[name] = replace(spec, init=made, l1=l1, l2=l2, trainable=trainable, constraint=bound)
        return replace(signature, params=params)

    def frozen(self, node: Node, name: str) -> bool:
        """Whether the optimizer freezes a weight of a node, in all iterations of the repeats around it."""
        path = f"{node.weights}/{name}"
        around = self.around[: path.split("/").count("*")]
        return self.freezes is not None and all(self.freezes(full) for _, full in instances(path, around))

    def by_name(self, node: Node, what: str, name: str, spec: ParamSpec) -> tuple[Any, Span | None]:
        """The initializer or constraint set for a weight, by its name, for kernels or all weights, with its span."""
        keys = (f"{what}.{name}", f"{what}.{name.rpartition('/')[2]}", what)
        for level in reversed(node.settings):
            for key in keys:
                if key not in level.values:
                    continue
                if key != what or spec.kernel or (what == "initializer" and level.values[key].whole):
                    self.effective.add((key, level.spans.get(key)))
                    return level.values[key], level.spans.get(key)
        return None, None

    def constraint(self, node: Node, name: str, spec: ParamSpec) -> Any:
        """The constraint of a weight, checked to fit it; None without one."""
        found, span = self.by_name(node, "constraint", name, spec)
        if found is not None:
            try:
                found.over(spec)
            except RuleViolation as wrong:
                message, notes = f"the constraint does not fit `{name}`: {wrong.message}", node.origin.uses
                self.problems.add(wrong.code, message, span, found=wrong.found, expected=wrong.expected, notes=notes)
                return None
        return found

    def segments(self, node: Node) -> tuple[Segment, ...]:
        """The segments of a node: one for each enclosing item that sets it, inside of the last one that sets false."""
        found: list[tuple[Segment, tuple[str, Span | None]]] = []
        for level in node.settings:
            setting = level.values.get("rematerialize")
            if setting is None:
                continue
            key = ("rematerialize", level.spans.get("rematerialize"))
            self.see(level, "rematerialize")
            if setting:
                found.append((Segment(level.path, "dots" if setting == "dots" else "nothing"), key))
            elif found:
                self.effective.add(key)
                found.clear()
        self.effective.update(key for _, key in found)
        return tuple(segment for segment, _ in found)

    def idle(self) -> None:
        """Report settings without effect."""
        for (key, span), level in self.settings.items():
            if key not in level.values or (key, span) in self.effective:
                continue
            what, _, weight = key.partition(".")
            trained = "trained " if what == "constraint" else ""
            message = f"`{what}` has no effect: no {trained}weight here is named `{weight}`"
            if what == "dtype":
                name_ = "dtype" if level.path else "precision"
                message = f"`{name_}` has no effect: every item here has its own `dtype`"
            elif what == "rematerialize":
                message = "`rematerialize: false` has no effect: nothing around it is rematerialized"
                if level.values[key]:
                    message = "`rematerialize` has no effect: every item here sets `rematerialize: false`"
            elif not weight:
                kinds = dict.fromkeys(("l1", "l2", "constraint"), "trained kernel")
                kind = {**kinds, "initializer": "kernel"}.get(what, "weight")
                message = f"`{what}` has no effect: there is no {kind} here"
                if (key, span) in self.overridden:
                    message = f"`{what}` has no effect: every {kind} here has its own `{what}`"
            self.problems.add("DLC303", message, span, hint="remove it", notes=level.uses)

    def misused(self, node: Node, types: Types) -> bool:
        """Report that the inputs of a composite block around a node don't fit; whether that is so."""
        for path, (block, refs, origin) in self.composites.items():
            kinds = [kind for ref in refs if (kind := types.get(ref)) is not None]
            if not node.path.startswith(f"{path}/") or len(kinds) < len(refs):
                continue
            try:
                block.check_inputs(*kinds)
            except RuleViolation as wrong:
                self.wrong(wrong, Node(path, None, refs[:1], origin, path), ())
                return True
        return False

    def wrong(self, wrong: RuleViolation, node: Node, inputs: tuple[TensorType, ...]) -> None:
        """Report a violated shape rule; several inputs are listed with name and origin."""
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
            hint = "use `shortcut:` to give the input the same shape, or keep the shape in `layers`"
        elif wrong.code == "DLC205" and node.labels == ("layers", "shortcut"):
            message, expected = "the body and the shortcut of a residual must have the same output shape", None
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
        """Whether the sizes are within the bounds: formulas of symbols may not grow without limit."""
        sizes = [spec.size for spec in signature.params.values()] + [signature.output.size]
        if max(sizes) > MAX_ELEMENTS and node.layer is not None:
            message = f"`{node.layer.word}` is too large: one array of {max(sizes):,} numbers"
            expected = f"at most {MAX_ELEMENTS:,}"
            self.problems.add("DLC104", message, node.origin.span, expected=expected, notes=node.origin.uses)
            return False
        long = [size for size in signature.output.shape if isinstance(size, str) and len(size) > MAX_FORMULA]
        if long:
            message = "the formula of an axis size is too long"
            found, hint = f"`{long[0][:60]}...`", "declare the size as a number in the input's shape"
            uses = node.origin.uses
            self.problems.add("DLC117", message, node.origin.span, found=found, hint=hint, notes=uses)
        return not long

    def shares(self, node: Node, signature: Signature) -> Signature | None:
        """A node's signature with the settings of its weights; None if it does not fit the weights it shares."""
        if node.weights == node.path:
            configured = self.configured(node, signature)
            frozen = bool(signature.state) and not self.setting(node, "trainable", True)
            self.declared[node.path] = _Owner(signature, configured, node.origin, frozen)
            return configured
        for level in node.settings:
            for key in level.values:
                self.settings.setdefault((key, level.spans.get(key)), level)
        owner = self.declared.get(node.weights)
        if owner is not None:
            declared = owner.signature
            if declared.params == signature.params and declared.state == signature.state:
                return replace(signature, params=owner.configured.params)
        expected = _weights(owner.signature) if owner else "the same layers"
        notes = [Note("the weights are declared here", owner.origin.span)] if owner else []
        message = f"the weights of `{node.weights}` don't fit here"
        self.problems.add(
            "DLC211",
            message,
            node.origin.span,
            found=_weights(signature),
            expected=expected,
            notes=[*notes, *node.origin.uses],
        )
        return None

    def repeat(self, node: RepeatNode, types: Types, renames: dict[str, Ref]) -> list[TypedNode | TypedRepeat] | None:
        """One scan if all iterations, or all after the first, agree; else one after another. Paths stay the same."""
        self.origins[node.path] = node.origin
        types[Ref(node.path)] = None
        value = self.follow(node.input, renames)
        kind = self.type_of(node.input, types, node.origin.span, node.origin.uses)
        alone = self.peeled.get(node.weights) if node.weights != node.path else None  # as in the repeat it shares with
        typed: list[TypedNode | TypedRepeat] = []
        for index in range(node.times):
            self.origins[f"{node.path}/*"] = self.origins.get(value.source, node.origin)
            left = node.times - index
            if not node.unroll and left > 1 and (index < 2 if alone is None else index == alone):
                good, scanned = self.scan(node, index, kind, value, types, renames)
                if not good:
                    return None
                if scanned is not None:
                    self.peeled[node.weights] = index
                    types[Ref(node.path)] = scanned.type
                    return [*typed, scanned]
            done = self.iteration(node, index, kind, value, types, renames)
            if done is None:
                return None
            nodes, value, kind = done
            typed += nodes
        self.peeled[node.weights] = node.times
        types[Ref(node.path)] = kind
        self.ends[node.path] = value
        return typed

    def scan(
        self, node: RepeatNode, index: int, kind: TensorType | None, value: Ref, types: Types, renames: dict[str, Ref]
    ) -> tuple[bool, TypedRepeat | None]:
        """The iterations from `start` as a scan: whether there was no error, and the scan if its types agree.

        Nothing is declared otherwise.
        """
        inner: Types = {**types, Ref(f"{node.path}/*"): kind}
        saved = (dict(self.declared), dict(self.ends), dict(self.peeled))
        around, numbers = self.around, range(node.start + index, node.start + node.times)
        self.around = (*around, numbers)
        total = prod(len(iterations) for iterations in self.around)
        if total > MAX_ITERATIONS:
            message, count = "the repeats around these items run too often", f"{total:,} iterations in all"
            expected, uses = f"at most {MAX_ITERATIONS:,}", node.origin.uses
            self.problems.add("DLC117", message, node.origin.span, found=count, expected=expected, notes=uses)
            return False, None
        body = self.nodes(self.noted(node, node.body, index) if index else node.body, inner, renames)
        self.around = around
        end = self.type_of(node.output, inner, node.origin.span, node.origin.uses)
        if kind is None or body is None or end is None:
            return False, None
        if end != kind or _outer_state(body, node.weights) or not self.same_group(node.weights, numbers, body):
            self.declared, self.ends, self.peeled = saved
            return True, None
        types.update({ref: kind for ref, kind in inner.items() if ref not in types})
        output = self.follow(node.output, renames)
        start = node.start + index
        left = node.times - index
        found = TypedRepeat(node.path, left, value, tuple(body), output, kind, node.origin, node.weights, start)
        return True, found

    def same_group(self, weights: str, numbers: range, body: Sequence[TypedNode | TypedRepeat]) -> bool:
        """Whether all iterations of a repeat are in the same groups of weights."""
        if self.group_of is None:
            return True
        outer = self.around[: weights.split("/").count("*")]
        seen: dict[Any, Hashable] = {}
        for node, inside in walk(body):
            for name, spec in node.signature.params.items():
                path = f"{node.weights}/{name}"
                if not spec.trainable or not path.startswith(f"{weights}/*/"):
                    continue
                around = (*outer, numbers, *inside)[: path.split("/").count("*")]
                for indices, full in instances(path, around):
                    others = (path, *indices[: len(outer)], *indices[len(outer) + 1 :])
                    group_of = self.group_of(full)
                    if seen.setdefault(others, group_of) != group_of:
                        return False
        return True

    def iteration(
        self, node: RepeatNode, index: int, kind: TensorType | None, value: Ref, types: Types, renames: dict[str, Ref]
    ) -> tuple[list[TypedNode | TypedRepeat], Ref, TensorType | None] | None:
        """One separate iteration: its nodes, its result and the result's type."""
        self.unrolled_nodes += len(node.body)
        if self.unrolled_nodes > MAX_NODES:
            message = f"the network expands to more than {MAX_NODES:,} layers"
            self.problems.add("DLC117", message, node.origin.span, notes=node.origin.uses)
            return None
        number = node.start + index
        body, output = _iteration(node, number)
        start = f"{node.path}/{number}/*"  # this iteration's input
        types[Ref(start)] = kind
        self.origins[start] = self.origins.get(value.source, node.origin)
        renamed = {**renames, start: value}
        made = self.nodes(self.noted(node, body, index), types, renamed)
        if made is None:
            return None
        made = [_within(item, f"{node.path}/{number}") for item in made]
        return made, self.follow(output, renamed), self.type_of(output, types)

    def noted(self, node: RepeatNode, body: Sequence[Node | RepeatNode], index: int) -> list[Node | RepeatNode]:
        """A body whose messages name the iteration."""
        number, count = node.start + index + 1, node.start + node.times
        note = Note(f"in iteration {number} of {count} of the repeat", node.origin.span)
        return [_noted(item, note) for item in body]


@fast_dataclass(frozen=True)
class _Owner:
    """The declaration of weights: the layer's signature, the signature with settings, and whether it is frozen."""

    signature: Signature
    configured: Signature
    origin: Origin
    frozen: bool


def _weights(signature: Signature) -> str:
    """The weights and state of a signature, for a message."""
    specs = {**signature.params, **signature.state}
    return ", ".join(f"{name} {list(spec.shape)}" for name, spec in specs.items()) or "no weights"


def _called(ref: Ref) -> str:
    """The name of a value in messages: a repeat's own input has no name in the spec."""
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
        new_path, weights = path(item.path, node.path), path(item.weights, node.weights)
        if isinstance(item, RepeatNode):
            body = tuple(move(inner) for inner in item.body)
            return replace(
                item, path=new_path, weights=weights, input=ref(item.input), body=body, output=ref(item.output)
            )
        return replace(item, path=new_path, weights=weights, inputs=tuple(ref(value) for value in item.inputs))

    return [move(item) for item in node.body], ref(node.output)


def _within(item: TypedNode | TypedRepeat, iteration: str) -> TypedNode | TypedRepeat:
    """A node whose segments are separate from those of other iterations; a scan separates its own."""
    if isinstance(item, TypedRepeat) or not item.segments:
        return item
    named = tuple(part if part.iteration else part._replace(iteration=iteration) for part in item.segments)
    return replace(item, segments=named)


def _noted(item: Node | RepeatNode, note: Note) -> Node | RepeatNode:
    origin = replace(item.origin, uses=(note, *item.origin.uses))
    if isinstance(item, RepeatNode):
        return replace(item, origin=origin, body=tuple(_noted(inner, note) for inner in item.body))
    return replace(item, origin=origin)
