"""freeze: weights selected by path are not trained, as with `trainable: false`."""

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
    """The full path of every trained weight, including all iterations of repeats, in the order of the network."""
    found: dict[str, None] = {}
    for node, around in typed.walk():
        for name, spec in node.signature.params.items():
            if spec.trainable:
                found |= dict.fromkeys(_paths(node, name, around))
    return list(found)


def freeze(typed: TypedGraph, frozen: Choice) -> TypedGraph:
    """The graph in which the weights whose full paths `frozen` selects are not trained.

    A layer without trained weights does not update its state; a layer with only state does not if all of it is
    selected.

    Raises:
        InternalError: when iterations of one scan differ. `infer` with `group_of` does not scan such repeats.
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
    """A weight that is not trained: without penalties and constraint."""
    return replace(spec, trainable=False, l1=0.0, l2=0.0, constraint=None)


def _paths(node: TypedNode, name: str, around: Iterations) -> list[str]:
    stars = around[: node.weights.split("/").count("*")]
    return [path for _, path in instances(f"{node.weights}/{name}", stars)]


def _chosen(node: TypedNode, name: str, around: Iterations, choose: Choice) -> bool:
    found = {choose(path) for path in _paths(node, name, around)}
    if len(found) > 1:
        raise InternalError(f"iterations of {node.weights}/{name} differ, but run as one scan")
    return found == {True}
