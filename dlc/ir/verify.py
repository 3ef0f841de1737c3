"""`verify` checks the invariants that later stages rely on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.ir.graph import Graph, RepeatNode, TypedGraph, TypedNode, TypedRepeat


class InternalError(Exception):
    """A bug in dlc: an invariant between two stages does not hold."""


def verify(graph: Graph | TypedGraph) -> None:
    """Check the invariants that later stages rely on.

    Paths are unique; each reference leads to an input or an earlier node in scope; a layer gets as many inputs as it
    takes; every output exists; nodes that share weights declare the same ones.

    Raises:
        InternalError: when an invariant does not hold, which is a bug in dlc.
    """
    paths: set[str] = set()
    declared: dict[str, Any] = {}
    known = set(graph.inputs)
    _verify_nodes(graph.nodes, known, paths, declared)
    for name, ref in graph.outputs.items():
        if ref.source not in known:
            raise InternalError(f"output {name} refers to {ref}, which is not a node")
    if isinstance(graph, TypedGraph) and set(graph.types) != set(graph.outputs):
        raise InternalError("the outputs and their types differ")


def _verify_nodes(nodes: Sequence[Any], known: set[str], paths: set[str], declared: dict[str, Any]) -> None:
    for node in nodes:
        if node.path in paths or node.path in known:
            raise InternalError(f"the path {node.path} is used twice")
        paths.add(node.path)
        refs = (node.input,) if isinstance(node, (RepeatNode, TypedRepeat)) else node.inputs
        for ref in refs:
            if ref.source not in known:
                raise InternalError(f"{node.path} reads {ref}, which is not in scope")
        if isinstance(node, (RepeatNode, TypedRepeat)):
            inner = known | {f"{node.path}/*"}  # the body's own input
            _verify_nodes(node.body, inner, paths, declared)
            if node.output.source not in inner:
                raise InternalError(f"{node.path} returns {node.output}, which is not in its body")
        elif node.layer is not None:
            least, most = node.layer.arity
            if len(refs) < least or (most is not None and len(refs) > most):
                raise InternalError(f"{node.path} has {len(refs)} inputs")
            if isinstance(node, TypedNode):
                weights = (dict(node.signature.params), dict(node.signature.state))
                if any(weights) and declared.setdefault(node.weights, weights) != weights:
                    raise InternalError(f"{node.path} shares weights that differ from {node.weights}")
        known.add(node.path)
