"""resolve: steps -> a graph. Every name becomes a reference; containers become nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from itertools import chain

from dlc.diagnostics import Note, Problems, did_you_mean, listing, plural
from dlc.frontend.document import Document
from dlc.frontend.passes.steps import (
    BlockStep,
    BrokenStep,
    LayerStep,
    Name,
    ParallelStep,
    RepeatStep,
    ResidualStep,
    Step,
)
from dlc.ir import CompositeUse, Graph, Layer, Node, Origin, Ref, RepeatNode
from dlc.support.fast_dataclass import fast_dataclass

Nodes = list[Node | RepeatNode]


@fast_dataclass
class _Scope:
    """The names that items may use in a scope.

    Args:
        parent: the enclosing scope.
        names: what each name refers to.
        outside: for a block's body, the scope of its use: not visible, but used for hints.
        later: all names that the list of this scope defines.
        used: names of this scope that were used.
    """

    parent: _Scope | None = None
    names: dict[str, Ref] = field(default_factory=dict)
    outside: _Scope | None = None
    later: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)

    def scopes(self) -> Iterator[_Scope]:
        """This scope and those around it."""
        scope: _Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def find(self, name: str) -> Ref | None:
        """What a name refers to."""
        for scope in self.scopes():
            if name in scope.names:
                scope.used.add(name)
                return scope.names[name]
        return None

    def visible(self) -> list[str]:
        """All names that can be used here."""
        return list(chain.from_iterable(scope.names for scope in self.scopes()))


def resolve(document: Document, steps: tuple[Step, ...], problems: Problems) -> Graph:
    """The graph of a document's steps. Finds DLC201, DLC206 and DLC209 (inputs of blocks)."""
    inputs = {name: feature.value_type() if feature is not None else None for name, feature in document.inputs.items()}
    root = _Scope(names={name: Ref(name) for name in inputs})
    origins = {name: Origin(document.source.key_span(("inputs", name))) for name in inputs}
    first = Ref(next(iter(inputs))) if len(inputs) == 1 else None
    resolver = _Resolver(problems, _all_names(steps))
    nodes: Nodes = []
    # missing inputs were reported: items without an input are not reported again
    last = resolver.sequence(steps, nodes, root, first, "the network has several inputs" if inputs else None)
    outputs: dict[str, Ref] = {}
    spans = {key: document.source.span(("outputs", key)) for key in document.outputs or ()}
    if document.outputs is None:
        outputs = {"output": last} if last is not None else {}
    for key, text in (document.outputs or {}).items():
        ref = last if text == "previous" else resolver.find(Name(text, spans[key]), root, ())
        if ref is not None:
            outputs[key] = ref
    matmul = document.precision.matmul
    return Graph(inputs, tuple(nodes), outputs, origins, spans, matmul, resolver.composites)


def _all_names(steps: Iterable[Step]) -> set[str]:
    """All names of items, for hints."""
    found: set[str] = set()
    for step in steps:
        found |= {step.name} if step.name else set()
        inner: tuple[Step, ...] = ()
        if isinstance(step, ResidualStep):
            inner = (*step.body, *(step.shortcut or ()))
        elif isinstance(step, ParallelStep):
            inner = tuple(item for _, branch in step.branches for item in branch)
        elif isinstance(step, RepeatStep):
            inner = (*step.body, *(step.first or ()))
        elif isinstance(step, BlockStep):
            inner = step.body
        found |= _all_names(inner)
    return found


class _Resolver:
    def __init__(self, problems: Problems, everywhere: set[str]) -> None:
        self.problems = problems
        self.everywhere = everywhere
        self.composites: dict[str, CompositeUse] = {}

    def sequence(
        self, steps: Sequence[Step], nodes: Nodes, scope: _Scope, previous: Ref | None, unclear: str | None = None
    ) -> Ref | None:
        """Append the nodes of a list of steps; returns the reference to its result.

        `unclear` is the reason why there is no `previous`; None if that was reported.
        """
        scope.later = {step.name for step in steps if step.name is not None}
        for step in steps:
            refs = self.inputs(step, scope, previous, unclear)
            previous = self.step(step, refs, nodes, scope)
            if step.name is not None:
                scope.names.setdefault(step.name, previous)
        return previous

    def inputs(self, step: Step, scope: _Scope, previous: Ref | None, unclear: str | None) -> tuple[Ref, ...] | None:
        """The inputs of a step, or None if a name is wrong."""
        uses = step.origin.uses
        if step.inputs is None:
            if isinstance(step, BrokenStep):
                return ()
            if previous is not None:
                return (previous,)
            if unclear is not None:
                message, hint = f"`{step.word}` has no item before it: {unclear}", "set its input: `inputs: NAME`"
                self.problems.add("DLC206", message, step.origin.span, hint=hint, notes=uses)
            return None
        refs = []
        for name in step.inputs:
            ref = previous if name.text == "previous" else self.find(name, scope, uses)
            if ref is None and name.text == "previous" and unclear is not None:
                message = f"there is no item before this one: {unclear}"
                self.problems.add("DLC201", message, name.span, notes=uses)
            refs.append(ref)
        good = [ref for ref in refs if ref is not None]
        return tuple(good) if len(good) == len(refs) else None

    def find(self, name: Name, scope: _Scope, uses: tuple[Note, ...]) -> Ref | None:
        """What a name refers to; `encoder.state` is a result of an item."""
        text, _, result = name.text.partition(".")
        ref = scope.find(text)
        if ref is not None:
            return Ref(ref.source, result or None)
        message = f"no item or input is named `{text}`"
        self.problems.add("DLC201", message, name.span, hint=self.hint(text, scope), notes=uses)
        return None

    def hint(self, text: str, scope: _Scope) -> str:
        """Why a name is not known here, or what was meant."""
        *_, outermost = scope.scopes()
        outside = outermost.outside
        known = scope.visible()
        if text.lstrip("-").isdigit():
            return "give the other item a `name:` and use that"
        if any(text in around.later for around in scope.scopes()):
            return f"`{text}` comes later, so it can't be used here"
        if outside is not None and text in outside.visible():
            return f"a block sees only its own inputs: declare `{text}` in the block's `inputs:`"
        if text in self.everywhere:
            return f"`{text}` is inside another item, so it can't be used here"
        return did_you_mean(text, known) or (
            f"names here: {listing(known)}" if known else "give the other item a `name:`"
        )

    def step(self, step: Step, refs: tuple[Ref, ...] | None, nodes: Nodes, scope: _Scope) -> Ref:
        """Append a step's nodes."""
        if isinstance(step, BrokenStep) or refs is None:
            self.inside(step, scope)
            return self.unknown(step, refs, nodes)
        if isinstance(step, LayerStep):
            layer = step.layer
            if layer is None or not self.fits(step, refs, *layer.arity):
                return self.unknown(step, refs, nodes)
            return self.node(step, step.path, step.weights, layer, refs, nodes)
        count = len(step.names) or 1 if isinstance(step, BlockStep) else 1
        if not self.fits(step, refs, count, count):
            self.inside(step, scope)
            return self.unknown(step, refs, nodes)
        if isinstance(step, BlockStep):
            return self.block(step, refs, nodes, scope)
        if isinstance(step, RepeatStep):
            return self.repeat(step, refs[0], nodes, scope)
        return self.branches(step, refs[0], nodes, scope)

    def inside(self, step: Step, scope: _Scope) -> None:
        """Report wrong names in the lists of a step whose own inputs are wrong."""
        none: Nodes = []  # discarded: only the findings count
        if isinstance(step, ResidualStep):
            self.sequence(step.body, none, _Scope(scope), None)
            self.sequence(step.shortcut or (), none, _Scope(scope), None)
        elif isinstance(step, ParallelStep):
            for _, branch in step.branches:
                self.sequence(branch, none, _Scope(scope), None)
        elif isinstance(step, RepeatStep):
            self.sequence(step.body, none, _Scope(scope), None)
            self.sequence(step.first or (), none, _Scope(scope), None)

    def block(self, step: BlockStep, refs: tuple[Ref, ...], nodes: Nodes, scope: _Scope) -> Ref:
        """A block in use: its body sees its own inputs and nothing else."""
        if step.composite is not None:
            self.composites[step.path] = CompositeUse(step.composite, refs, step.origin)
        inner = _Scope(names=dict(zip(step.names, refs, strict=False)), outside=scope)
        first = refs[0] if len(refs) == 1 else None
        result = self.sequence(step.body, nodes, inner, first, "the block has several inputs")
        for name, span in zip(step.names, step.spans, strict=True):
            if name not in inner.used and len(step.names) > 1:
                message, hint = f"the input `{name}` of the block `{step.block}` is never used", "use it, or remove it"
                self.problems.add("DLC209", message, span, hint=hint)
        return result if result is not None else self.unknown(step, refs, nodes)

    def branches(self, step: Step, source: Ref, nodes: Nodes, scope: _Scope) -> Ref:
        """A residual or parallel step: lists on the same input, then a merge."""
        if isinstance(step, ResidualStep):
            lists = {"layers": step.body, **({"shortcut": step.shortcut} if step.shortcut else {})}
            from dlc.components.layers.merge import ResidualSum  # imported only for specs with residuals

            merge: Layer | None = ResidualSum()
        else:
            assert isinstance(step, ParallelStep)
            lists, merge = dict(step.branches), step.merge
        ends = {key: self.sequence(steps, nodes, _Scope(scope), source) for key, steps in lists.items()}
        refs = tuple(ref for ref in ends.values() if ref is not None)
        labels = tuple(ends)
        if isinstance(step, ResidualStep) and not step.shortcut:
            refs, labels = (*refs, source), (*labels, "input")
        if merge is None:
            return self.unknown(step, refs, nodes)
        result = self.node(step, step.path, step.weights, merge, refs, nodes, labels)
        if isinstance(step, ResidualStep) and step.activation is not None:
            path = f"{step.path}/activation"
            return self.node(step, path, f"{step.weights}/activation", step.activation, (result,), nodes)
        return result

    def repeat(self, step: RepeatStep, source: Ref, nodes: Nodes, scope: _Scope) -> Ref:
        body: Nodes = []
        output = self.sequence(step.body, body, _Scope(scope), Ref(f"{step.path}/*"))
        assert output is not None, "the result of an empty body is its input"
        if step.times == 0:
            self.sequence(step.first or (), [], _Scope(scope), None)  # only for findings
            return source
        start = 0
        if step.first is not None:
            first = self.sequence(step.first, nodes, _Scope(scope), source)
            assert first is not None, "the result of an empty body is its input"
            source, start = first, 1
        if step.times == start or not step.body:
            return source
        path, weights = step.path, step.weights
        left = step.times - start
        nodes.append(RepeatNode(path, left, source, tuple(body), output, step.origin, weights, start, step.unroll))
        return Ref(step.path)

    def fits(self, step: Step, refs: tuple[Ref, ...], least: int, most: int | None) -> bool:
        """Whether a step has a valid number of inputs."""
        if len(refs) >= least and (most is None or len(refs) <= most):
            return True
        hint = None
        if len(refs) < least:
            names = "[previous, other]" if least < 3 else "[previous, other, ...]"
            short = isinstance(step, LayerStep) and step.layer is not None and step.layer.short_form_inputs
            hint = f"set them: `{step.word if short else 'inputs'}: {names}`"
        elif most == 1:
            hint = "merge them first, with `concat` or `add`"
        message = f"wrong number of inputs for `{step.word}`"
        expected = f"at least {plural(least, 'input')}" if most is None else plural(least, "input")
        if most is not None and most > least:
            expected = f"{least} {'or' if most == least + 1 else 'to'} {plural(most, 'input')}"
        found, uses = plural(len(refs), "input"), step.origin.uses
        self.problems.add("DLC206", message, step.origin.span, found=found, expected=expected, hint=hint, notes=uses)
        return False

    def node(
        self,
        step: Step,
        path: str,
        weights: str,
        layer: Layer,
        refs: tuple[Ref, ...],
        nodes: Nodes,
        labels: tuple[str, ...] = (),
    ) -> Ref:
        """Append one node."""
        spans = tuple(name.span for name in step.inputs or ()) if isinstance(step, LayerStep) else ()
        nodes.append(Node(path, layer, refs, step.origin, weights, labels, spans, step.settings))
        return Ref(path)

    def unknown(self, step: Step, refs: tuple[Ref, ...] | None, nodes: Nodes) -> Ref:
        """Append a node of unknown type: its error was reported and must cause no others."""
        nodes.append(Node(step.path, None, refs or (), step.origin, step.weights))
        return Ref(step.path)
