"""Segments of a network: runs of nodes whose inner values are recomputed in the backward pass instead of kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from dlc.ir import Ref, Segment, TypedNode, TypedRepeat

Nodes = Sequence[TypedNode | TypedRepeat]


class Part(NamedTuple):
    """Consecutive nodes of one segment.

    Args:
        nodes: the nodes; layers only when there is a segment.
        segment: the segment, or None for nodes outside of segments.
        given: the values of these nodes that are read after them; empty without a segment.
    """

    nodes: Nodes
    segment: Segment | None = None
    given: tuple[Ref, ...] = ()


def cut(nodes: Nodes, wanted: Sequence[Ref], depth: int) -> list[Part]:
    """A list of nodes, cut where the segment changes. A scan is outside of segments; each iteration has its own.

    Args:
        nodes: the nodes.
        wanted: the values that are read after all of them.
        depth: how many segments are open around them.
    """

    def of(node: TypedNode | TypedRepeat) -> Segment | None:
        inner = () if isinstance(node, TypedRepeat) else node.segments[depth:]
        return inner[0] if inner else None

    found: list[Part] = []
    later: dict[str, dict[Ref, None]] = {}
    _note(later, wanted)
    for segment, group in groupby(reversed(nodes), of):
        part = list(group)[::-1]
        given = tuple(ref for node in part for ref in later.get(node.path, ())) if segment is not None else ()
        found.append(Part(part, segment, given))
        _note(later, reads(part))
    return found[::-1]


def _note(later: dict[str, dict[Ref, None]], refs: Sequence[Ref]) -> None:
    for ref in refs:
        later.setdefault(ref.source, {})[ref] = None


def reads(nodes: Nodes) -> tuple[Ref, ...]:
    """The values that nodes read, each once; including values of these nodes."""
    found: dict[Ref, None] = {}
    for node in nodes:
        if isinstance(node, TypedRepeat):
            found |= dict.fromkeys((node.input, *reads(node.body), node.output))
        else:
            found |= dict.fromkeys(node.inputs)
    return tuple(found)
