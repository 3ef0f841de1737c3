"""The table of `dlc show`: layers with shapes, weights, FLOPs and memory. Counted from declarations, without JAX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod

from dlc.frontend.passes.sizes import Sizes, graph_of_sizes, sizes_of, symbols
from dlc.frontend.plan import Plan
from dlc.ir import BYTES, Iterations, ParamSpec, TensorType, TypedGraph, TypedNode
from dlc.ir.rematerialization import Part
from dlc.ir.type_backend import TypeBackend, walk_types
from dlc.support.fast_dataclass import fast_dataclass


@fast_dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        path: the layer's path, with `*` for the iteration.
        word: the layer's name.
        output: the type of its result.
        params: trained numbers, over all iterations; 0 if they belong to another layer.
        frozen: weights that are not trained.
        state: numbers that training updates by rule.
        flops: floating-point operations per example, over all iterations.
        times: the number of iterations of the line.
        shares: the path whose weights it uses, or None.
    """

    path: str
    word: str
    output: TensorType
    params: int
    frozen: int
    state: int
    flops: int
    times: int
    shares: str | None


@fast_dataclass(frozen=True)
class Table:
    """All lines and their sums.

    Args:
        name: the spec's name.
        inputs: the network's inputs.
        rows: one line per layer.
        params: trained numbers.
        frozen: weights that are not trained.
        state: numbers of state.
        flops: floating-point operations per example, forward.
        weight_bytes: bytes of weights and state.
        activation_bytes: bytes of the layers' results for one example that training keeps for the backward pass: all
            except rematerialized ones.
        remade: whether some are rematerialized.
        sizes: the numbers that symbolic sizes count as, in FLOPs and activations.
    """

    name: str
    inputs: dict[str, TensorType]
    rows: tuple[Row, ...]
    params: int
    frozen: int
    state: int
    flops: int
    weight_bytes: int
    activation_bytes: int
    remade: bool = False
    sizes: Sizes = Sizes({})


def table(plan: Plan, expanded: bool = False, sizes: Sizes | None = None) -> Table:
    """The table of a checked spec.

    Args:
        plan: the spec.
        expanded: whether every iteration of a repeat has its own line.
        sizes: numbers for its symbolic sizes; assumed ones if None. Sizes that are assumed stay symbols in the shapes.
    """
    sizes = (sizes or sizes_of(plan)).of(symbols(plan.graph.inputs.values()))
    graph = graph_of_sizes(plan, sizes.numbers)
    rows = tuple(_rows(graph))
    weight_bytes = sum(
        _bytes(spec_) * prod(len(numbers) for numbers in around)
        for node, around in _owners(plan)
        for spec_ in (*node.signature.params.values(), *node.signature.state.values())
    )
    activations = _activations(graph)
    shown = tuple(_expanded(graph)) if expanded else rows
    inputs = graph.inputs
    if sizes.assumed:
        known = {name: size for name, size in sizes.numbers.items() if name not in sizes.assumed}
        symbolic = graph_of_sizes(plan, known)
        shown = _with_outputs(shown, _expanded(symbolic) if expanded else _rows(symbolic))
        inputs = symbolic.inputs
    return Table(
        plan.name,
        dict(inputs),
        shown,
        sum(row.params for row in rows),
        sum(row.frozen for row in rows),
        sum(row.state for row in rows),
        sum(row.flops for row in rows),
        weight_bytes,
        activations,
        any(node.segments for node, _ in plan.graph.walk()),
        sizes,
    )


def _with_outputs(rows: Sequence[Row], others: Sequence[Row]) -> tuple[Row, ...]:
    """Rows with the types of other rows of the same layers; as they are if the layers differ."""
    if [row.path for row in rows] != [other.path for other in others]:
        return tuple(rows)
    return tuple(replace(row, output=other.output) for row, other in zip(rows, others, strict=True))


def _owners(plan: Plan) -> Iterator[tuple[TypedNode, Iterations]]:
    seen: set[str] = set()
    for node, around in plan.graph.walk():
        if node.weights not in seen:
            seen.add(node.weights)
            yield node, around[: node.weights.split("/").count("*")]


def _bytes(spec: ParamSpec) -> int:
    return spec.size * BYTES[spec.dtype]


def _activations(graph: TypedGraph) -> int:
    """Bytes of the results kept for the backward pass: of a segment only those read after it."""
    total = 0

    def visit(node: TypedNode, backend: TypeBackend, output: TensorType) -> None:
        nonlocal total
        if backend.part is None or _kept(node, backend.part):
            total += output.size * BYTES[output.dtype] * backend.times

    walk_types(graph, TypeBackend(visit, segments=True))
    return total


def _kept(node: TypedNode, part: Part) -> bool:
    dots = part.segment is not None and part.segment.keep == "dots" and _multiplies(node)
    return dots or any(ref.source == node.path for ref in part.given)


def _multiplies(node: TypedNode) -> bool:
    return any(item.kernel for item in node.signature.params.values())


def _row(node: TypedNode, path: str, output: TensorType, times: int, owned: bool, copies: int) -> Row:
    params = sum(item.size for item in node.signature.params.values() if item.trainable) if owned else 0
    frozen = sum(item.size for item in node.signature.params.values() if not item.trainable) if owned else 0
    state = sum(item.size for item in node.signature.state.values()) if owned else 0
    shares = node.weights if node.weights != node.path and (node.signature.params or node.signature.state) else None
    return Row(
        path,
        node.layer.word,
        output,
        params * copies,
        frozen * copies,
        state * copies,
        node.signature.flops * times,
        times,
        shares,
    )


def _rows(graph: TypedGraph) -> list[Row]:
    """A row for each layer; that of a layer within repeats stands for all iterations."""
    rows: list[Row] = []
    seen: set[str] = set()

    def visit(node: TypedNode, backend: TypeBackend, output: TensorType) -> None:
        copies = backend.times if "*" in node.weights else 1
        rows.append(_row(node, node.path, output, backend.times, node.weights not in seen, copies))
        seen.add(node.weights)

    walk_types(graph, TypeBackend(visit))
    return rows


def _expanded(graph: TypedGraph) -> list[Row]:
    """A row for each iteration of each layer, in the order of execution."""
    rows: list[Row] = []
    seen: set[str] = set()

    def visit(node: TypedNode, backend: TypeBackend, output: TensorType) -> None:
        path, weights = (_numbered(name, backend.iterations) for name in (node.path, node.weights))
        rows.append(_row(node, path, output, 1, weights not in seen, 1))
        seen.add(weights)

    walk_types(graph, TypeBackend(visit, expanded=True))
    return rows


def _numbered(path: str, indices: tuple[int, ...]) -> str:
    numbers = iter(indices)
    return "/".join(str(next(numbers)) if part == "*" else part for part in path.split("/"))
