"""The table of `dlc show`: layers with shapes, weights, FLOPs and memory. Counted from declarations, without JAX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from dlc.frontend.plan import Plan
from dlc.ir import Iterations, ParamSpec, Ref, TensorType, TypedNode, TypedRepeat
from dlc.ir.rematerialization import cut
from dlc.support.fast_dataclass import fast_dataclass

BYTES = {"f32": 4, "f16": 2, "bf16": 2, "i32": 4, "u8": 1, "bool": 1}


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


def table(plan: Plan, expanded: bool = False) -> Table:
    """The table of a checked spec; with `expanded`, every iteration of a repeat has its own line."""
    seen: set[str] = set()
    rows = tuple(_rows(plan.graph.nodes, 1, seen))
    weight_bytes = sum(
        _bytes(spec_) * prod(len(numbers) for numbers in around)
        for node, around in _owners(plan)
        for spec_ in (*node.signature.params.values(), *node.signature.state.values())
    )
    activations = _kept(plan.graph.nodes, tuple(plan.graph.outputs.values()), 1)
    shown = tuple(_expanded(plan)) if expanded else rows
    return Table(
        plan.name,
        dict(plan.graph.inputs),
        shown,
        sum(row.params for row in rows),
        sum(row.frozen for row in rows),
        sum(row.state for row in rows),
        sum(row.flops for row in rows),
        weight_bytes,
        activations,
        any(node.segments for node, _ in plan.graph.walk()),
    )


def _owners(plan: Plan) -> Iterator[tuple[TypedNode, Iterations]]:
    seen: set[str] = set()
    for node, around in plan.graph.walk():
        if node.weights not in seen:
            seen.add(node.weights)
            yield node, around[: node.weights.split("/").count("*")]


def _bytes(spec: ParamSpec) -> int:
    return spec.size * BYTES[spec.dtype]


def _kept(nodes: Sequence[TypedNode | TypedRepeat], wanted: Sequence[Ref], times: int) -> int:
    """Bytes of the results kept for the backward pass: of a segment only those read after it."""
    total = 0
    for part in cut(nodes, wanted, 0):
        read = {ref.source for ref in part.given}
        for node in part.nodes:
            if isinstance(node, TypedRepeat):
                total += _kept(node.body, (node.output,), times * node.times)
            elif part.segment is None or node.path in read or (part.segment.keep == "dots" and _multiplies(node)):
                output = node.signature.output
                total += output.size * BYTES[output.dtype] * times
    return total


def _multiplies(node: TypedNode) -> bool:
    return any(item.kernel for item in node.signature.params.values())


def _row(node: TypedNode, path: str, times: int, owned: bool, copies: int) -> Row:
    params = sum(item.size for item in node.signature.params.values() if item.trainable) if owned else 0
    frozen = sum(item.size for item in node.signature.params.values() if not item.trainable) if owned else 0
    state = sum(item.size for item in node.signature.state.values()) if owned else 0
    shares = node.weights if node.weights != node.path and (node.signature.params or node.signature.state) else None
    return Row(
        path,
        node.layer.word,
        node.signature.output,
        params * copies,
        frozen * copies,
        state * copies,
        node.signature.flops * times,
        times,
        shares,
    )


def _rows(nodes: Sequence[TypedNode | TypedRepeat], times: int, seen: set[str]) -> Iterator[Row]:
    for node in nodes:
        if isinstance(node, TypedRepeat):
            yield from _rows(node.body, times * node.times, seen)
        else:
            copies = times if "*" in node.weights else 1
            yield _row(node, node.path, times, node.weights not in seen, copies)
            seen.add(node.weights)


def _expanded(plan: Plan) -> Iterator[Row]:
    """Lines in the order of execution."""

    def walk(nodes: Sequence[TypedNode | TypedRepeat], indices: tuple[int, ...]) -> Iterator[Row]:
        for node in nodes:
            if isinstance(node, TypedRepeat):
                for index in node.iterations:
                    yield from walk(node.body, (*indices, index))
            else:
                path, weights = _numbered(node.path, indices), _numbered(node.weights, indices)
                owned = weights not in seen
                seen.add(weights)
                row = _row(node, path, 1, owned, 1)
                yield row

    seen: set[str] = set()
    yield from walk(plan.graph.nodes, ())


def _numbered(path: str, indices: tuple[int, ...]) -> str:
    numbers = iter(indices)
    return "/".join(str(next(numbers)) if part == "*" else part for part in path.split("/"))


def human(count: float, unit: str = "", step: int = 1000) -> str:
    """A large number in few digits.

    >>> human(1234567), human(2048, "B", 1024)
    ('1.23 M', '2.00 KiB')
    """
    prefixes = ("", "Ki", "Mi", "Gi", "Ti") if step == 1024 else ("", "k", "M", "G", "T", "P")
    index = 0
    while abs(count) >= step and index < len(prefixes) - 1:
        count /= step
        index += 1
    return f"{count:,.0f} {unit}".strip() if index == 0 else f"{count:.2f} {prefixes[index]}{unit}"
