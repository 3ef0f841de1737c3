"""`verify` accepts valid graphs and refuses others, typed and untyped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dlc.components.layers.dense import Dense
from dlc.components.layers.merge import Add
from dlc.diagnostics import Problems
from dlc.frontend.passes.infer import infer
from dlc.ir import (
    Graph,
    InternalError,
    Node,
    Origin,
    ParamSpec,
    Ref,
    RepeatNode,
    Signature,
    TensorType,
    TypedGraph,
    TypedNode,
    verify,
)


def valid() -> Graph:
    dense = Dense(units=4)
    nodes = (
        Node("a", dense, (Ref("x"),), Origin(), "a"),
        RepeatNode(
            "r", 2, Ref("a"), (Node("r/*/d", dense, (Ref("r/*"),), Origin(), "r/*/d"),), Ref("r/*/d"), Origin(), "r"
        ),
        Node("sum", Add(), (Ref("a"), Ref("r")), Origin(), "sum"),
    )
    return Graph({"x": TensorType(("batch", 4))}, nodes, {"output": Ref("sum")})


def typed() -> TypedGraph:
    graph = infer(valid(), Problems())
    assert graph is not None
    return graph


def test_verify_accepts_valid_graphs() -> None:
    verify(valid())
    verify(typed())


def change(graph: Any, index: int, **fields: Any) -> Any:
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **fields)
    return replace(graph, nodes=tuple(nodes))


BREAKS: dict[str, Callable[[Any], Any]] = {
    "path twice": lambda graph: change(graph, 2, path="a"),
    "path of an input": lambda graph: change(graph, 0, path="x"),
    "unknown name": lambda graph: change(graph, 0, inputs=(Ref("nothing"),)),
    "later name": lambda graph: change(graph, 0, inputs=(Ref("sum"),)),
    "inside of a repeat": lambda graph: change(graph, 2, inputs=(Ref("a"), Ref("r/*/d"))),
    "too few inputs": lambda graph: change(graph, 2, inputs=(Ref("a"),)),
    "too many inputs": lambda graph: change(graph, 0, inputs=(Ref("x"), Ref("x"))),
    "unknown output": lambda graph: replace(graph, outputs={"output": Ref("nothing")}),
    "repeat without input": lambda graph: change(graph, 1, input=Ref("nothing")),
    "repeat gives what is outside": lambda graph: change(graph, 1, output=Ref("nothing")),
}


@pytest.mark.parametrize("make", [valid, typed])
@pytest.mark.parametrize("how", BREAKS)
def test_verify_refuses(make: Callable[[], Any], how: str) -> None:
    with pytest.raises(InternalError):
        verify(BREAKS[how](make()))


def test_verify_refuses_untyped_outputs_and_differing_weights() -> None:
    graph = typed()
    with pytest.raises(InternalError):
        verify(replace(graph, types={}))
    other = Signature(TensorType(("batch", 4)), {"kernel": ParamSpec((9, 9))})
    node = graph.nodes[0]
    assert isinstance(node, TypedNode)
    twin = replace(node, path="twin", signature=other)
    with pytest.raises(InternalError):
        verify(replace(graph, nodes=(*graph.nodes, twin)))
