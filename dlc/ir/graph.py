"""Graphs: nodes at paths, before and after their shapes are inferred."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, NamedTuple

from dlc.diagnostics import Note, Span
from dlc.ir.layer import CompositeBlock, Layer, Signature
from dlc.ir.paths import Iterations
from dlc.ir.types import TensorType
from dlc.support.fast_dataclass import fast_dataclass

MAX_NODES = 20_000  # of a network, including each iteration of repeats that are not scanned


class Ref(NamedTuple):
    """A value in a graph: an input's name or a node's path, and the result's name."""

    source: str
    result: str | None = None

    def __str__(self) -> str:
        return f"{self.source}.{self.result}" if self.result else self.source


@fast_dataclass(frozen=True)
class Settings:
    """What one item sets for the weights and the arithmetic inside it.

    Args:
        values: by key of the item: `dtype`, `trainable`, `l1`, `l2`, `rematerialize`; `initializer` and `constraint`
            (for kernels), and `initializer.NAME` and `constraint.NAME` for a weight by name.
        spans: the span of each.
        uses: for notes.
        path: the item's path; empty for the whole network.
        given: whether the effect depends on values of variables or parameters; such settings may have none.
    """

    values: Mapping[str, Any]
    spans: Mapping[str, Span | None] = field(default_factory=dict)
    uses: tuple[Note, ...] = ()
    path: str = ""
    given: bool = False


class Segment(NamedTuple):
    """Nodes whose inner values are recomputed in the backward pass instead of kept.

    Args:
        path: the path of the item that sets it.
        keep: what is still kept: nothing, or the matrix products (`dots`).
        iteration: the path of the innermost iteration around it of a repeat that is not scanned: each is separate.
    """

    path: str
    keep: Literal["nothing", "dots"] = "nothing"
    iteration: str = ""


@fast_dataclass(frozen=True)
class Origin:
    """Where a node comes from: its span in the file, and the uses of blocks that led there, innermost first.

    Args:
        span: the item.
        options: the spans of its options.
        given: the options whose values come from a variable or a parameter.
        uses: one note for each block whose body contains the item.
    """

    span: Span | None = None
    options: Mapping[str, Span] = field(default_factory=dict)
    uses: tuple[Note, ...] = ()
    given: frozenset[str] = frozenset()


@fast_dataclass(frozen=True)
class Node:
    """A layer at a path, with its inputs. `weights` is the path that keys its weights: its own unless it shares.

    `layer` is None when its options were wrong: the graph is still resolved, so that all errors are reported at once.
    """

    path: str
    layer: Layer | None
    inputs: tuple[Ref, ...]
    origin: Origin
    weights: str
    labels: tuple[str, ...] = ()  # the inputs' names in messages; the signature's if empty
    spans: tuple[Span | None, ...] = ()  # the spans of the inputs' names; empty if not named
    settings: tuple[Settings, ...] = ()  # those of the items around it and its own, outermost first


@fast_dataclass(frozen=True)
class RepeatNode:
    """A body that runs `times` times, each feeding the next. Paths inside have `*` for the iteration.

    Iterations are numbered from `start`: a separate first one may precede them.
    """

    path: str
    times: int
    input: Ref
    body: tuple[Node | RepeatNode, ...]
    output: Ref
    origin: Origin
    weights: str
    start: int = 0
    unroll: bool = False


class CompositeUse(NamedTuple):
    """A use of a composite block: the block, its inputs, and where it stands. Its items are nodes of the graph."""

    block: CompositeBlock
    inputs: tuple[Ref, ...]
    origin: Origin


@fast_dataclass(frozen=True)
class Graph:
    """A network whose names are resolved: nodes in the order of the file, each after those it reads.

    Args:
        inputs: their types; None if an input's declaration is wrong.
        nodes: the nodes.
        outputs: what each output refers to.
        origins: where the inputs are declared.
        spans: the spans of the outputs' names.
        matmul: how float32 matrices are multiplied, as `jax.default_matmul_precision` calls it.
        composites: the uses of composite blocks by their paths, for messages.
    """

    inputs: Mapping[str, TensorType | None]
    nodes: tuple[Node | RepeatNode, ...]
    outputs: Mapping[str, Ref]
    origins: Mapping[str, Origin] = field(default_factory=dict)
    spans: Mapping[str, Span | None] = field(default_factory=dict)
    matmul: str = "default"
    composites: Mapping[str, CompositeUse] = field(default_factory=dict)


@fast_dataclass(frozen=True)
class TypedNode:
    """A node with inferred shapes."""

    path: str
    layer: Layer
    inputs: tuple[Ref, ...]
    types: tuple[TensorType, ...]
    signature: Signature
    origin: Origin
    weights: str
    dtype: str = "f32"  # the dtype it computes in; its real-valued inputs are cast to it
    frozen: bool = False  # whether its state is not updated: it computes as in evaluation
    segments: tuple[Segment, ...] = ()  # the segments it is part of, outermost first


@fast_dataclass(frozen=True)
class TypedRepeat:
    """A repeat whose iterations are the same: it runs as one scan over stacked weights. Numbered from `start`."""

    path: str
    times: int
    input: Ref
    body: tuple[TypedNode | TypedRepeat, ...]
    output: Ref
    type: TensorType
    origin: Origin
    weights: str
    start: int = 0

    @property
    def iterations(self) -> range:
        """The numbers of its iterations."""
        return range(self.start, self.start + self.times)


@fast_dataclass(frozen=True)
class TypedGraph:
    """A checked network; all its nodes are checked.

    Args:
        inputs: their types.
        nodes: the nodes in order.
        outputs: what each output refers to.
        types: the outputs' types.
        matmul: how float32 matrices are multiplied, as `jax.default_matmul_precision` calls it.
    """

    inputs: Mapping[str, TensorType]
    nodes: tuple[TypedNode | TypedRepeat, ...]
    outputs: Mapping[str, Ref]
    types: Mapping[str, TensorType]
    matmul: str = "default"

    def walk(self) -> Iterator[tuple[TypedNode, Iterations]]:
        """Every node once, with the iterations of the repeats around it, outermost first."""
        yield from walk(self.nodes)


def walk(nodes: Sequence[TypedNode | TypedRepeat], around: Iterations = ()) -> Iterator[tuple[TypedNode, Iterations]]:
    """Every layer of a list once, with the iterations of the repeats around it, outermost first."""
    for node in nodes:
        if isinstance(node, TypedRepeat):
            yield from walk(node.body, (*around, node.iterations))
        else:
            yield node, around
