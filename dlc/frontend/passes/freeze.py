"""freeze: weights chosen by their paths stay as they are, as under `trainable: false`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dlc.ir import (
    InternalError,
    Iterations,
    ParamSpec,
    TypedGraph,
    TypedNode,
    TypedRepeat,
    instances,
)

Choice = Callable[[str], bool]


def weight_paths(typed: TypedGraph) -> list[str]:
    """The full path of every trained weight, the iterations of repeats spelled out, in the order of the network."""
    found: dict[str, None] = {}
    for node, around in typed.walk():
        for name, spec in node.signature.params.items():
            if spec.trainable:
                found |= dict.fromkeys(_paths(node, name, around))
    return list(found)


def freeze(typed: TypedGraph, frozen: Choice) -> TypedGraph:
    """The graph with the weights not trained whose full paths `frozen` chooses.

    A layer none of whose weights is trained any more keeps its state, too; one that has state alone does so when all of
    that is chosen.

    Raises:
        InternalError: when iterations of one scan are told apart. `infer` with `marks` lets none be scanned that are.
    """
    return replace(typed, nodes=tuple(_frozen(typed.nodes, (), frozen)))


def _frozen(
    nodes: Sequence[TypedNode | TypedRepeat], around: Iterations, choose: Choice
) -> list[TypedNode | TypedRepeat]:
    made: list[TypedNode | TypedRepeat] = []
    for node in nodes:
        if isinstance(node, TypedRepeat):
            made.append(replace(node, body=tuple(_frozen(node.body, (*around, node.iterations), choose))))
        else:
            made.append(_node(node, around, choose))
    return made


def _node(node: TypedNode, around: Iterations, choose: Choice) -> TypedNode:
    signature = node.signature
    params = {
        name: _still(spec) if spec.trainable and _chosen(node, name, around, choose) else spec
        for name, spec in signature.params.items()
    }
    state = bool(signature.state)
    if params:
        stays = state and not any(spec.trainable for spec in params.values())
    else:
        stays = state and all(_chosen(node, name, around, choose) for name in signature.state)
    return replace(node, signature=replace(signature, params=params), frozen=node.frozen or stays)


def _still(spec: ParamSpec) -> ParamSpec:
    """A weight that is not trained: nothing pulls at it."""
    return replace(spec, trainable=False, l1=0.0, l2=0.0, constraint=None)


def _paths(node: TypedNode, name: str, around: Iterations) -> list[str]:
    stars = around[: node.weights.split("/").count("*")]
    return [path for _, path in instances(f"{node.weights}/{name}", stars)]


def _chosen(node: TypedNode, name: str, around: Iterations, choose: Choice) -> bool:
    found = {choose(path) for path in _paths(node, name, around)}
    if len(found) > 1:
        raise InternalError(f"iterations of {node.weights}/{name} are told apart, and run as one scan")
    return found == {True}
