"""The evaluator's backend for types: what a network computes, without computing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from dlc.ir.evaluator import Carry, Evaluator, Inside, Iteration
from dlc.ir.graph import Ref, TypedGraph, TypedNode, TypedRepeat
from dlc.ir.layer import Outcome
from dlc.ir.rematerialization import Part
from dlc.ir.types import TensorType
from dlc.support.fast_dataclass import fast_dataclass


@fast_dataclass(frozen=True)
class TypeBackend:
    """Values are types: the result of a layer is what its signature declares.

    Args:
        visit: called for each layer with the backend that computes it and the type of its result.
        expanded: whether a repeat is walked once for each of its iterations, and not once for all.
        segments: whether segments are noted in `part`.
        times: how many iterations this walk stands for.
        iterations: the numbers of the iterations around it, outermost first, when `expanded` is set.
        part: the outermost segment around it, or None.
    """

    visit: Callable[[TypedNode, TypeBackend, TensorType], None]
    expanded: bool = False
    segments: bool = False
    times: int = 1
    iterations: tuple[int, ...] = ()
    part: Part | None = None

    passes = ()

    def apply(self, node: TypedNode, inputs: Sequence[TensorType], masks: Sequence[Any]) -> Outcome:
        """The declared types."""
        return Outcome(node.signature.output, results=node.signature.results)

    def mismatch(self, node: TypedNode, inputs: Sequence[TensorType], outcome: Outcome) -> str | None:
        """None: the results are the declared types."""

    def computed(self, node: TypedNode, outcome: Outcome, values: Sequence[TensorType]) -> None:
        """Visit the layer."""
        self.visit(node, self, values[0])

    def cast(self, value: TensorType, dtype: str) -> TensorType:
        """The type with elements of another kind, if it is one of real numbers."""
        return value.of(dtype) if value.is_float else value

    def joined(self, masks: Sequence[Any]) -> Any:
        """None: whether there is a mask is part of the type."""

    def repeat(self, node: TypedRepeat, iteration: Iteration, carry: Carry) -> Carry:
        """One walk through the body for all iterations, or one for each."""
        if not self.expanded:
            return iteration(replace(self, times=self.times * node.times), carry)
        for number in node.iterations:
            carry = iteration(replace(self, iterations=(*self.iterations, number)), carry)
        return carry

    def segment(
        self, part: Part, depth: int, inside: Inside, values: Sequence[TensorType], masks: Sequence[Any]
    ) -> tuple[Sequence[TensorType], Sequence[Any]]:
        """Walk through the segment, with the outermost one noted."""
        return inside(replace(self, part=self.part or part), values, masks)


def walk_types(graph: TypedGraph, backend: TypeBackend) -> dict[str, TensorType]:
    """Walk through a graph; the types of its outputs."""
    evaluator = Evaluator(backend, {Ref(name): kind for name, kind in graph.inputs.items()}, {})
    evaluator.nodes(graph.nodes, tuple(graph.outputs.values()))
    return {name: evaluator.values[ref] for name, ref in graph.outputs.items()}
