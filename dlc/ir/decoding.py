"""Which layers of a network are computed step by step when it decodes a sequence, and which can't be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from dlc.diagnostics import Problems
from dlc.ir.graph import Ref, TypedGraph, TypedNode, TypedRepeat
from dlc.language.options import RuleViolation


class Undecodable(NamedTuple):
    """A layer that can't be computed step by step, and why."""

    node: TypedNode
    reason: RuleViolation


class DecodingPlan(NamedTuple):
    """How a network decodes a sequence.

    Args:
        stepped: the paths of the layers that get the sequence step by step; the others are computed as in evaluation.
        undecodable: the layers that can't be computed step by step.
        most_positions: the length of the longest sequence that all layers can decode; None if there is no limit.
    """

    stepped: frozenset[str]
    undecodable: tuple[Undecodable, ...]
    most_positions: int | None


def plan_decoding(graph: TypedGraph, sequences: Collection[str] | None = None) -> DecodingPlan:
    """How a network decodes.

    Args:
        graph: the network.
        sequences: the names of the inputs that come step by step along axis 1, such as the tokens of a text; all inputs
            with a time axis when None. The others are given whole at every step.
    """
    names = graph.inputs if sequences is None else sequences
    planner = _Planner({Ref(name): graph.inputs[name].rank > 1 for name in names})
    planner.nodes(graph.nodes)
    return DecodingPlan(frozenset(planner.stepped), tuple(planner.undecodable), min(planner.limits, default=None))


def report_undecodable(plan: DecodingPlan, problems: Problems) -> None:
    """Add a finding, DLC213, for each layer that can't be computed step by step."""
    for node, reason in plan.undecodable:
        span = node.origin.options.get(reason.option or "", node.origin.span)
        found, expected, hint = reason.found, reason.expected, reason.hint
        message = f"{reason.message} (layer `{node.path}`)"
        problems.add(reason.code, message, span, found=found, expected=expected, hint=hint, notes=node.origin.uses)


class _Planner:
    """A walk through a graph that notes which values come step by step."""

    def __init__(self, sequences: dict[Ref, bool]) -> None:
        self.values = sequences
        self.stepped: list[str] = []
        self.undecodable: list[Undecodable] = []
        self.limits: list[int] = []

    def nodes(self, nodes: Sequence[TypedNode | TypedRepeat]) -> None:
        for node in nodes:
            if isinstance(node, TypedRepeat):
                self.values[Ref(f"{node.path}/*")] = self.values.get(node.input, False)
                self.nodes(node.body)
                self.values[Ref(node.path)] = self.values.get(node.output, False)
            else:
                self.node(node)

    def node(self, node: TypedNode) -> None:
        stepped = [self.values.get(ref, False) for ref in node.inputs]
        if not any(stepped):
            return
        self.stepped.append(node.path)
        try:
            node.layer.check_decoding(node.types, stepped)
        except RuleViolation as reason:
            self.undecodable.append(Undecodable(node, reason))
        limit = node.layer.most_positions(node.types)
        if limit is not None:
            self.limits.append(limit)
        self.values[Ref(node.path)] = node.layer.keeps_time(node.types, node.signature.output)
        for name, kind in node.signature.results.items():
            self.values[Ref(node.path, name)] = node.layer.keeps_time(node.types, kind)
