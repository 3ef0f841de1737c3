"""resolve: steps -> a graph. Every name becomes a reference; containers become the nodes that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dlc.diagnostics import Note, Problems, did_you_mean, listing, plural
from dlc.ir import Graph, Layer, Node, Ref, RepeatNode, TensorType
from dlc.layers.merge import Add
from dlc.passes.steps import (
    BlockStep,
    BrokenStep,
    LayerStep,
    Name,
    ParallelStep,
    RepeatStep,
    ResidualStep,
    Step,
)
from dlc.spec import Document

Nodes = list[Node | RepeatNode]


@dataclass
class _Scope:
    parent: _Scope | None = None
    names: dict[str, Ref] = field(default_factory=dict)

    def find(self, name: str) -> Ref | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None

    def visible(self) -> list[str]:
        return [*self.names, *(self.parent.visible() if self.parent else ())]


def resolve(document: Document, steps: tuple[Step, ...], problems: Problems) -> Graph:
    """The graph of a document's steps. Finds DLC201, DLC202, DLC206 and DLC210."""
    inputs: dict[str, TensorType] = {}
    for name, feature in document.inputs.items():
        if feature is not None:
            inputs[name] = feature.value_type()
    root = _Scope(names={name: Ref(name) for name in document.inputs})
    first = Ref(next(iter(document.inputs))) if len(document.inputs) == 1 else None
    resolver = _Resolver(problems, _all_names(steps))
    nodes: Nodes = []
    last = resolver.sequence(steps, nodes, root, first, "the network has several inputs")
    outputs: dict[str, Ref] = {}
    if document.outputs is None:
        if last is not None:
            outputs = {"output": last}
    else:
        for key, text in document.outputs.items():
            name = Name(text, document.source.span(("outputs", key)))
            ref = last if text == "previous" else resolver.find(name, root, ())
            if ref is not None:
                outputs[key] = ref
    return Graph(inputs, tuple(nodes), outputs)


def _all_names(steps: Iterable[Step]) -> dict[str, Step]:
    """Every named item, wherever it stands: for hints."""
    found: dict[str, Step] = {}
    for step in steps:
        if step.name:
            found.setdefault(step.name, step)
        inner: list[Step] = []
        if isinstance(step, ResidualStep):
            inner = [*step.body, *(step.shortcut or ())]
        elif isinstance(step, ParallelStep):
            inner = [item for _, branch in step.branches for item in branch]
        elif isinstance(step, (RepeatStep, BlockStep)):
            inner = list(step.body)
        for name, item in _all_names(inner).items():
            found.setdefault(name, item)
    return found


class _Resolver:
    def __init__(self, problems: Problems, everywhere: dict[str, Step]) -> None:
        self.problems = problems
        self.everywhere = everywhere

    def sequence(
        self, steps: Sequence[Step], nodes: Nodes, scope: _Scope, previous: Ref | None, unclear: str
    ) -> Ref | None:
        """Append the nodes of a list of steps; the reference to its result."""
        for step in steps:
            if step.name is not None and step.name in scope.visible() and step.name not in scope.names:
                hint = "an item inside can't hide one outside; choose another name"
                self.problems.add(
                    "DLC202",
                    f"the name `{step.name}` is given outside already",
                    step.origin.span,
                    hint=hint,
                    notes=step.origin.uses,
                )
            elif (
                step.name is not None
                and scope.parent is None
                and step.name in scope.names
                and scope.names[step.name].source == step.name
            ):
                hint = "choose another name for the item"
                self.problems.add(
                    "DLC202",
                    f"`{step.name}` names an input of the network",
                    step.origin.span,
                    hint=hint,
                    notes=step.origin.uses,
                )
            refs = self.inputs(step, scope, previous, unclear)
            previous = self.step(step, refs, nodes, scope)
            if step.name is not None:
                scope.names[step.name] = previous
        return previous

    def inputs(self, step: Step, scope: _Scope, previous: Ref | None, unclear: str) -> tuple[Ref, ...] | None:
        """The references that a step takes, or None when a name is wrong."""
        if step.inputs is None:
            if isinstance(step, BrokenStep):
                return ()
            if previous is None:
                self.problems.add(
                    "DLC206",
                    f"`{step.word}` has no item before it: {unclear}",
                    step.origin.span,
                    hint="say which it takes: `inputs: NAME`",
                    notes=step.origin.uses,
                )
                return None
            return (previous,)
        refs = []
        for name in step.inputs:
            ref = previous if name.text == "previous" else self.find(name, scope, step.origin.uses)
            if ref is None and name.text == "previous":
                self.problems.add("DLC201", "there is no item before this one", name.span, notes=step.origin.uses)
            refs.append(ref)
        good = [ref for ref in refs if ref is not None]
        return tuple(good) if len(good) == len(refs) else None

    def find(self, name: Name, scope: _Scope, uses: tuple[Note, ...]) -> Ref | None:
        """What a name refers to; `encoder.state` is a result of an item."""
        text, _, result = name.text.partition(".")
        ref = scope.find(text)
        if ref is not None:
            return Ref(ref.source, result or None)
        known = scope.visible()
        hint = did_you_mean(text, known)
        if text.isdigit():
            hint = "name the other item with `name:` and use that"
        elif text in self.everywhere:
            span = self.everywhere[text].origin.span
            later = span is not None and name.span is not None and span.line > name.span.line
            where = "stands later" if later else "is inside another item"
            hint = f"`{text}` {where}, so it can't be used here"
        elif hint is None:
            hint = f"known here: {listing(known)}" if known else "give the other item a `name:`"
        self.problems.add("DLC201", f"no item or input is called `{text}`", name.span, hint=hint, notes=uses)
        return None

    def step(self, step: Step, refs: tuple[Ref, ...] | None, nodes: Nodes, scope: _Scope) -> Ref:
        """Append a step's nodes."""
        if isinstance(step, LayerStep):
            layer = step.layer
            least, most = layer.takes if layer is not None else (0, None)
            if layer is None or refs is None or not self.fits(step, refs, least, most):
                return self.unknown(step, refs, nodes)
            return self.node(step, step.path, step.weights, layer, refs, nodes)
        if isinstance(step, BrokenStep) or refs is None:
            return self.unknown(step, refs, nodes)
        count = len(step.names) or 1 if isinstance(step, BlockStep) else 1
        if not self.fits(step, refs, count, count):
            return self.unknown(step, refs, nodes)
        if isinstance(step, BlockStep):
            inner = _Scope(names=dict(zip(step.names, refs, strict=False)))
            result = self.sequence(step.body, nodes, inner, refs[0], "the block")
            return result if result is not None else self.unknown(step, refs, nodes)
        if isinstance(step, RepeatStep):
            return self.repeat(step, refs[0], nodes, scope)
        return self.branches(step, refs[0], nodes, scope)

    def branches(self, step: Step, source: Ref, nodes: Nodes, scope: _Scope) -> Ref:
        """A residual or parallel step: lists on the same input, then a merge."""
        if isinstance(step, ResidualStep):
            lists = {"layers": step.body, **({"shortcut": step.shortcut} if step.shortcut else {})}
            merge: Layer | None = Add()
        else:
            assert isinstance(step, ParallelStep)
            lists, merge = dict(step.branches), step.merge
        ends = {key: self.sequence(steps, nodes, _Scope(scope), source, "") for key, steps in lists.items()}
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
        output = self.sequence(step.body, body, _Scope(scope), Ref(f"{step.path}/*"), "")
        assert output is not None
        nodes.append(RepeatNode(step.path, step.times, source, tuple(body), output, step.origin, step.weights))
        return Ref(step.path)

    def fits(self, step: Step, refs: tuple[Ref, ...], least: int, most: int | None) -> bool:
        """Whether a step gets as many inputs as it takes."""
        if len(refs) >= least and (most is None or len(refs) <= most):
            return True
        takes = f"at least {plural(least, 'input')}" if most is None else plural(least, "input")
        hint = "name them: `[previous, other]`" if len(refs) < least else None
        if len(refs) > 1 and most == 1:
            hint = "merge them first, with `concat` or `add`"
        self.problems.add(
            "DLC206",
            f"`{step.word}` takes {takes}",
            step.origin.span,
            found=plural(len(refs), "input"),
            expected=takes,
            hint=hint,
            notes=step.origin.uses,
        )
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
        nodes.append(Node(path, layer, refs, step.origin, weights, labels))
        return Ref(path)

    def unknown(self, step: Step, refs: tuple[Ref, ...] | None, nodes: Nodes) -> Ref:
        """A node of unknown type: what was wrong with it is reported, nothing follows from it."""
        nodes.append(Node(step.path, None, refs or (), step.origin, step.weights))
        return Ref(step.path)
