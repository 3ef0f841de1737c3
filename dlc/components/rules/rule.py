"""The contract of lint rules: what is valid but can't be meant, found in a checked spec."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol

from dlc.diagnostics import Note, Span
from dlc.ir import Graph, Node, Ref, RepeatNode
from dlc.language.options import OptionError
from dlc.language.source import Path, Source, Tree
from dlc.support.fast_dataclass import fast_dataclass


class RuleExample(NamedTuple):
    """Two specs: the first breaks the rule, the second shows how it should be written."""

    wrong: str
    right: str


class Finding(NamedTuple):
    """What a rule found.

    Args:
        message: one lower-case sentence.
        span: where.
        found: what was found.
        expected: what would fit.
        hint: the likely fix.
        notes: further places.
        code: the code, where it is not the rule's.
        because: the paths of the values that make a setting have no effect. If one of them comes from a variable or
            from `--set`, the finding is what the rule's `otherwise` says.
    """

    message: str
    span: Span | None = None
    found: str | None = None
    expected: str | None = None
    hint: str | None = None
    notes: tuple[Note, ...] = ()
    code: str | None = None
    because: tuple[Path, ...] = ()


class Placed(Protocol):
    """An item of a section: the component, the keys beside it, and its path in the source."""

    @property
    def thing(self) -> Any:
        """The component, with its options."""

    @property
    def modifiers(self) -> Any:
        """The keys beside it."""

    @property
    def path(self) -> Path:
        """Where it stands."""


class CheckedDocument(Protocol):
    """The sections of a spec. A section or an item that was wrong is missing."""

    @property
    def source(self) -> Source:
        """The spec as written, with the position of every value."""

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The features of the inputs by name; None when a feature was wrong."""

    @property
    def targets(self) -> Mapping[str, Any]:
        """The features of the targets by name; None when a feature was wrong."""

    @property
    def losses(self) -> Sequence[Placed]:
        """The losses."""

    @property
    def metrics(self) -> Sequence[Placed]:
        """The metrics."""

    @property
    def augment(self) -> Sequence[Placed]:
        """The augmentations."""

    @property
    def optimizer(self) -> Placed | None:
        """The optimizer."""

    @property
    def data(self) -> Any:
        """The section `data`."""

    @property
    def train(self) -> Any:
        """The section `train`, with its defaults."""

    @property
    def precision(self) -> Any:
        """The section `precision`, with its defaults."""


@fast_dataclass(frozen=True)
class LintContext:
    """What a rule looks at.

    Args:
        document: the sections.
        graph: the network, its names resolved. A layer that was wrong is None.
        compared: the names that losses and metrics read; the empty name where one reads a target that it doesn't name.
        training: the `Training` of `dlc.components.rules.learning`; None while its types or losses are unknown.
    """

    document: CheckedDocument
    graph: Graph
    compared: Collection[str]
    training: Any = None

    @property
    def source(self) -> Source:
        """The spec as written."""
        return self.document.source

    @cached_property
    def nodes(self) -> list[Node | RepeatNode]:
        """All nodes, those inside of repeats before the repeat."""
        return list(_flat(self.graph.nodes))

    @cached_property
    def used(self) -> set[str]:
        """The names of inputs and the paths of items that an output or another item reads."""
        used = {ref.source for ref in self.graph.outputs.values()}
        return used | {ref.source for node in self.nodes for ref in _reads(node)}

    @cached_property
    def layers_known(self) -> bool:
        """Whether every layer could be read: otherwise the unknown one might use what seems unused."""
        return all(not isinstance(node, Node) or node.layer is not None for node in self.nodes)

    @property
    def outputs_known(self) -> bool:
        """Whether every output and every layer could be read."""
        declared = self.source.tree.get("outputs", {"output": None})
        return isinstance(declared, dict) and len(self.graph.outputs) == len(declared) and self.layers_known

    @property
    def objectives_known(self) -> bool:
        """Whether every loss and metric could be read."""
        tree, document = self.source.tree, self.document
        return complete(tree.get("loss"), len(document.losses)) and complete(tree.get("metrics"), len(document.metrics))


class Rule:
    """A lint rule.

    The first line of its docstring says what it finds, the rest why that is bad. A rule stays silent where an earlier
    mistake leaves the spec partly unknown.
    """

    word: ClassVar[str] = ""
    code: ClassVar[str] = ""  # of its findings
    fix: ClassVar[str | None] = None  # the edit that fixes it, if there is only one
    otherwise: ClassVar[str | None] = None  # the severity of a finding that follows from a variable; None for none
    examples: ClassVar[tuple[RuleExample, ...]] = ()

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """Yield what is wrong."""
        raise NotImplementedError(f"{type(self).__name__} checks nothing")


def _flat(nodes: Iterable[Node | RepeatNode]) -> Iterator[Node | RepeatNode]:
    for node in nodes:
        if isinstance(node, RepeatNode):
            yield from _flat(node.body)
        yield node


def _reads(node: Node | RepeatNode) -> tuple[Ref, ...]:
    """The values that a node reads."""
    return (node.input, node.output) if isinstance(node, RepeatNode) else node.inputs


def complete(tree: Tree, read: int) -> bool:
    """Whether every item of a section could be read."""
    items = tree if isinstance(tree, list) else [] if tree is None else [tree]
    return len(items) == read


def findings_of(errors: Iterable[OptionError], source: Source, path: Path) -> Iterator[Finding]:
    """Errors of options as findings; `path` leads to the value that their locations start from."""
    for error in errors:
        place = (*path, *error.loc)
        span = source.key_span(place) if error.at_key else source.span(place)
        notes = tuple(source.notes(place))
        yield Finding(error.message, span, error.found, error.expected, error.hint, notes, error.code)


def key_or_value(source: Source, path: Path, key: str) -> Span | None:
    """The position of an option's value, or of the key of what has the option when its default holds."""
    return source.span((*path, key)) if (*path, key) in source.values else source.key_span(path)
