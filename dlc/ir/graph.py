"""Graphs: nodes at paths, before and after their shapes are inferred."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, NamedTuple

from dlc.diagnostics import Note, Span
from dlc.ir.layer import Layer, Signature
from dlc.ir.paths import Iterations
from dlc.ir.types import TensorType
from dlc.support.fast_dataclass import fast_dataclass

MAX_NODES = 20_000  # of a network, the iterations of repeats that are not scanned counted


class Ref(NamedTuple):
    """A value in a graph: an input's name or a node's path, and which of its results."""

    source: str
    result: str | None = None

    def __str__(self) -> str:
        return f"{self.source}.{self.result}" if self.result else self.source


@fast_dataclass(frozen=True)
class Settings:
    """What one item says of the weights and the arithmetic inside it.

    Args:
        values: by key of the item: `dtype`, `trainable`, `l1`, `l2`, `rematerialize`; `initializer` and `constraint`
            (for kernels), and `initializer.NAME` and `constraint.NAME` for a weight by name.
        spans: where each is written.
        uses: for notes.
        path: the item's; empty when the whole network is meant.
    """

    values: Mapping[str, Any]
    spans: Mapping[str, Span | None] = field(default_factory=dict)
    uses: tuple[Note, ...] = ()
    path: str = ""


class Segment(NamedTuple):
    """Nodes whose inner values are not kept for the backward pass but computed again there.

    Args:
        path: the item that says so.
        keep: what is kept all the same: nothing, or the products of matrices (`dots`).
        iteration: the path of the innermost iteration around it of a repeat that is not scanned: each is on its own.
    """

    path: str
    keep: Literal["nothing", "dots"] = "nothing"
    iteration: str = ""


@fast_dataclass(frozen=True)
class Origin:
    """Where a node comes from: its place in the file, and the uses of blocks that led there, innermost first.

    Args:
        span: the item.
        options: the places of its options.
        uses: one note for each block in whose body the item stands.
    """

    span: Span | None = None
    options: Mapping[str, Span] = field(default_factory=dict)
    uses: tuple[Note, ...] = ()


@fast_dataclass(frozen=True)
class Node:
    """A layer at a path, with its inputs. `weights` is the path that keys its weights: its own unless it shares.

    `layer` is None when its options were wrong: the graph is still resolved, so that all errors come at once.
    """

    path: str
    layer: Layer | None
    inputs: tuple[Ref, ...]
    origin: Origin
    weights: str
    labels: tuple[str, ...] = ()  # what a message calls the inputs; their names when empty
    places: tuple[Span | None, ...] = ()  # where the inputs are named; empty when they are not
    settings: tuple[Settings, ...] = ()  # of the items around it and its own, outermost first


@fast_dataclass(frozen=True)
class RepeatNode:
    """A body that runs `times` times, each feeding the next. Paths inside hold `*` in the place of an iteration.

    The iterations are counted from `start`: a first one of its own may go before.
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


@fast_dataclass(frozen=True)
class Graph:
    """A network whose names are resolved: nodes in the order of the file, each after what it reads.

    Args:
        inputs: their types; None when an input was declared wrongly.
        nodes: the nodes.
        outputs: what each output refers to.
        origins: where the inputs are declared.
        places: where the outputs are named.
        matmul: how float32 matrices are multiplied, as `jax.default_matmul_precision` calls it.
    """

    inputs: Mapping[str, TensorType | None]
    nodes: tuple[Node | RepeatNode, ...]
    outputs: Mapping[str, Ref]
    origins: Mapping[str, Origin] = field(default_factory=dict)
    places: Mapping[str, Span | None] = field(default_factory=dict)
    matmul: str = "default"


@fast_dataclass(frozen=True)
class TypedNode:
    """A node whose shapes are proved."""

    path: str
    layer: Layer
    inputs: tuple[Ref, ...]
    types: tuple[TensorType, ...]
    signature: Signature
    origin: Origin
    weights: str
    dtype: str = "f32"  # in which it computes; its real-valued inputs are cast to it
    frozen: bool = False  # whether its state stays as it is: it computes as in evaluation
    segments: tuple[Segment, ...] = ()  # those that it is part of, outermost first


@fast_dataclass(frozen=True)
class TypedRepeat:
    """A repeat whose iterations agree: it runs as one scan over stacked weights. They are counted from `start`."""

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
    """A checked network. It can't hold an unchecked node.

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
