"""The memory that training a spec needs at least, counted from its types: what `dlc check` compares with the machine's.

`dlc.backend.memory` predicts the memory of a step from its traced program, which needs JAX. This is a lower bound of
it: what no compiler can leave out.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from dlc.diagnostics import Diagnostic, Span, SpecError, human, plural
from dlc.diagnostics.report import Report
from dlc.frontend.plan import Plan
from dlc.ir import BYTES, Iterations, Ref, TensorType, TypedGraph, TypedNode
from dlc.ir.type_backend import TypeBackend, walk_types
from dlc.support.machine import has_accelerator, usable_memory


class Need(NamedTuple):
    """The memory that training needs at least, in bytes.

    Args:
        batch: the examples of a batch that were counted.
        weights: weights and layers' state.
        gradients: of the trained weights.
        optimizer: what the optimizer and averages keep for each trained weight.
        activations: the inputs of a batch, and the values that the gradients of kernels need.
    """

    batch: int
    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            f"activations of {plural(self.batch, 'example')}": self.activations,
        }
        return ", ".join(f"{name} {human(size, 'B', 1024)}" for name, size in parts.items() if size)


def least_memory(plan: Plan, batch: int | None = None) -> Need:
    """The memory that training a spec needs at least.

    Args:
        plan: the plan of a spec.
        batch: the examples of a batch; `train.batch_size` when None, and 1 for one that only the data show.
    """
    size = plan.train.batch_size
    batch = batch or (size if isinstance(size, int) else 1)
    weights, trained = 0, 0
    for node, around in _owners(plan.graph):
        times = prod(len(numbers) for numbers in around)
        specs = (*node.signature.params.values(), *node.signature.state.values())
        weights += times * sum(spec.size * BYTES[spec.dtype] for spec in specs)
        trained += times * sum(spec.size * BYTES[spec.dtype] for spec in specs if spec.trainable)
    copies = 0
    if plan.update is not None:
        keys = plan.update.modifiers
        copies = plan.update.optimizer.copies + sum(
            value is not None for value in (keys.ema or keys.swa, keys.lookahead)
        )
    trains = plan.update is not None and bool(plan.losses)
    kept = batch * (_kept(plan.graph) if trains else 0)
    inputs = batch * sum(_bytes(kind) for kind in plan.graph.inputs.values())
    return Need(batch, weights, trained if trains else 0, copies * trained, inputs + kept)


def _owners(graph: TypedGraph) -> Iterator[tuple[TypedNode, Iterations]]:
    """The layers that declare weights, each once, with the iterations of these weights."""
    seen: set[str] = set()
    for node, around in graph.walk():
        if node.weights not in seen:
            seen.add(node.weights)
            yield node, around[: node.weights.split("/").count("*")]


def _bytes(kind: TensorType) -> int:
    """The bytes of a value of one example; sizes that are symbols count as one."""
    return kind.size * BYTES[kind.dtype]


def _kept(graph: TypedGraph) -> int:
    """The bytes of one example's values that are multiplied by trained kernels: their gradients need them.

    Values that are rematerialized, and the inputs of the network, are left out.
    """
    found: dict[Ref, int] = {}

    def visit(node: TypedNode, backend: TypeBackend, output: TensorType) -> None:  # noqa: ARG001 - a visitor
        trains = any(spec.kernel and spec.trainable for spec in node.signature.params.values())
        if not trains or node.segments:
            return
        for ref, kind in zip(node.inputs, node.types, strict=True):
            if kind.is_float and ref.source not in graph.inputs:
                found[ref] = max(found.get(ref, 0), _bytes(kind) * backend.times)

    walk_types(graph, TypeBackend(visit))
    return sum(found.values())


def too_large(plan: Plan, limit: int | None = None, batch: int | None = None) -> Diagnostic | None:
    """The finding when training can't fit into memory, or None.

    Args:
        plan: the plan of a spec.
        limit: the memory of the device in bytes; that of this machine when None, unless it has an accelerator.
            `train.memory` replaces both.
        batch: the examples of a batch, where `train.batch_size` doesn't say it.
    """
    asked = plan.train.memory
    if isinstance(asked, int):
        limit = asked
    elif limit is None and not has_accelerator():
        limit = usable_memory()
    if limit is None or plan.update is None:
        return None
    need = least_memory(plan, batch)
    if need.total <= limit:
        return None
    allowed = "`train.memory` allows" if isinstance(asked, int) else "this machine has"
    least, most = (human(size, "B", 1024) for size in (need.total, limit))
    message = f"training needs at least {least} of memory, and {allowed} {most}"
    hint = "make the network smaller or lower `batch_size`"
    if not isinstance(asked, int):
        hint += f"; if it is for another machine, state its memory: `train: {{memory: {_suggested(need.total)} GiB}}`"
    return Diagnostic("DLC218", message, _largest(plan, need), found=str(need), hint=hint)


def _suggested(size: int) -> int:
    """A round number of GiB that is enough."""
    return max(1, 1 << (size * 5 // 4 >> 30).bit_length())


def _largest(plan: Plan, need: Need) -> Span | None:
    """Where most of the memory is asked for: the layer with the most weights, or the batch size."""
    span = plan.places.span(("train", "batch_size"))
    if need.activations > need.total // 2 and span is not None:
        return span
    sizes = [
        (prod(len(numbers) for numbers in around) * sum(spec.size for spec in node.signature.params.values()), node)
        for node, around in _owners(plan.graph)
    ]
    return max(sizes, key=lambda pair: pair[0])[1].origin.span if sizes else span


def need_memory(plan: Plan, limit: int | None, batch: int | None = None) -> None:
    """Check that training may fit into memory; the arguments are those of `too_large`.

    Raises:
        SpecError: DLC218.
    """
    found = too_large(plan, limit, batch)
    if found is not None:
        raise SpecError(Report((found,)))
