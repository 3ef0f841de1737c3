"""The memory of a training step: predicted from its traced program, or as planned by XLA."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
from jax.extend.core import Literal

from dlc.backend.emit import training_chunk
from dlc.frontend.plan import Plan
from dlc.support.fast_dataclass import fast_dataclass

# Calls that are inlined: their bodies are part of the enclosing program.
_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"}
_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_RENAMED = {"reshape", "squeeze", "expand_dims", "copy", "stop_gradient"}  # the same bytes with another shape
# Operations that read arrays from memory and write one there. All others are fused into their readers.
_WHOLE = {
    *("dot_general", "conv_general_dilated", "concatenate", "transpose", "rev", "gather", "scatter", "scatter-add"),
    *("select_and_scatter_add", "select_and_gather_add", "reduce_window", "reduce_window_max", "reduce_window_sum"),
    *("cumsum", "cumprod", "cummax", "cumlogsumexp", "sort", "top_k", "scan", "while", "cond"),
    *("random_bits", "threefry2x32"),
}
# Operations that write an array, with their inputs fused into them.
_WRITTEN = {"pad", *(f"reduce_{name}" for name in ("sum", "max", "min", "and", "or", "prod")), "argmax", "argmin"}
# Expensive operations whose result is kept if it is read twice.
_COSTLY = {"exp", "log", "log1p", "expm1", "tanh", "logistic", "erf", "pow", "sin", "cos", "sqrt", "rsqrt", "div"}
_ALIGNED = 64  # bytes that XLA rounds buffers up to; small buffers fit into the gaps of others
_LOOP = 3 * _ALIGNED  # a loop's counter, condition and carry
_POINTER = 8


@fast_dataclass(frozen=True)
class Memory:
    """The memory of a training step in bytes.

    Args:
        batch: examples per step.
        weights: weights and layers' state.
        training: the optimizer's state, averages, sums.
        records: one batch.
        temporaries: activations for the backward pass, gradients, intermediate results.
    """

    batch: int
    weights: int
    training: int
    records: int
    temporaries: int

    @property
    def peak(self) -> int:
        """The total. The state's buffers are donated: new values replace old ones."""
        return self.weights + self.training + self.records + self.temporaries


def predicted(plan: Plan, sizes: Mapping[str, int] | None = None) -> Memory:
    """The predicted memory of a training step of one batch, from its traced program, without compiling.

    `sizes` are numbers for the symbolic sizes; assumed ones if None.

    The model: operations of the kinds above keep their results in memory until they are last read, in the program's
    order; elementwise operations are fused into their readers, so that their inputs stay in memory until then.

    Raises:
        SpecError: DLC115 when the spec can't be trained.
    """
    function, arguments = training_chunk(plan, sizes=sizes)
    state, feed = arguments[0], arguments[1]
    weights = _bytes(state.variables)
    held, count = _bytes(state), len(jax.tree.leaves(arguments))
    lines, _, _ = _lines(function.trace(*arguments).jaxpr.jaxpr)
    loops = [line.body for line in lines if line.body is not None]
    return Memory(
        feed.indices.shape[1],
        weights,
        held - weights + _POINTER * len(jax.tree.leaves(state)),
        _bytes(arguments) - held,
        _peak(loops[-1]) + _LOOP + _POINTER * count,
    )


def planned(plan: Plan, sizes: Mapping[str, int] | None = None) -> tuple[int, int]:
    """XLA's own values for the compiled step in bytes: the peak, and the arguments whose buffers results reuse."""
    function, arguments = training_chunk(plan, sizes=sizes)
    found = function.lower(*arguments).compile().memory_analysis()
    whole = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
    return whole - found.alias_size_in_bytes, found.alias_size_in_bytes


def _bytes(tree: Any) -> int:
    return sum(_size(leaf) for leaf in jax.tree.leaves(tree))


def _size(value: Any) -> int:
    """The bytes of an array or of a variable of a program; random keys are few."""
    kind = getattr(value, "aval", value)
    return int(prod(kind.shape) * getattr(kind.dtype, "itemsize", 0))


@dataclass(frozen=True, eq=False)
class _Value:
    """The result of an operation, with its bytes."""

    size: int


@fast_dataclass(frozen=True)
class _Line:
    """One operation. `body` is the body of a loop."""

    word: str
    read: tuple[_Value, ...]
    written: tuple[_Value, ...]
    body: Any = None


def _walked(program: Any, given: Sequence[Any]) -> Generator[_Line, None, list[Any]]:
    """The operations of a program, with calls inlined and the branch of this platform selected; returns its results.

    A variable is a value, a literal, or the number of a branch.
    """
    known: dict[Any, Any] = dict(zip(program.invars, given, strict=True))
    known.update((variable, _Value(_size(variable))) for variable in program.constvars)
    for line in program.eqns:
        word = line.primitive.name
        read = [value if isinstance(value, Literal) else known[value] for value in line.invars]
        found: Sequence[Any] | None = None
        if word == "platform_index":
            names, here = line.params["platforms"], jax.default_backend()
            found = [next(i for i, part in enumerate(names) if part is None or here in part)]
        elif word in ("convert_element_type", "clamp") and any(isinstance(value, int) for value in read):
            found = [next(value for value in read if isinstance(value, int))]
        elif word == "cond":  # the largest branch, if values decide
            branches = line.params["branches"]
            sizes = [len(branch.jaxpr.eqns) for branch in branches]
            taken = read[0] if isinstance(read[0], int) else sizes.index(max(sizes))
            found = yield from _walked(branches[taken].jaxpr, read[1:])
        elif word in _CALLS:
            inside = next(line.params[name] for name in _BODIES if name in line.params)
            found = yield from _walked(getattr(inside, "jaxpr", inside), read)
        elif word in _RENAMED:
            found = read
        else:
            found = [_Value(_size(variable)) for variable in line.outvars]
            body = line.params.get("body_jaxpr") or (line.params["jaxpr"] if word == "scan" else None)
            values = tuple(value for value in read if isinstance(value, _Value))
            yield _Line(word, values, tuple(found), body.jaxpr if body is not None else None)
        known.update(zip(line.outvars, found, strict=True))
    return [value if isinstance(value, Literal) else known[value] for value in program.outvars]


def _lines(program: Any) -> tuple[list[_Line], set[_Value], set[_Value]]:
    """The operations, inputs and results of a program."""
    given = [_Value(_size(variable)) for variable in program.invars]
    walk, lines = _walked(program, given), []
    while True:
        try:
            lines.append(next(walk))
        except StopIteration as end:
            return lines, set(given), {value for value in end.value if isinstance(value, _Value)}


def _peak(program: Any) -> int:
    """The most bytes that the results of a program's operations take at a time."""
    lines, given, wanted = _lines(program)
    lines = _needed(lines, wanted)
    kept = _kept(lines, given)
    sources: dict[_Value, frozenset[_Value]] = {}
    born: dict[_Value, int] = {}
    last: dict[_Value, int] = {}
    for index, line in enumerate(lines):
        read = frozenset[_Value]().union(*(sources.get(value, frozenset()) for value in line.read))
        if line.word in _WHOLE or any(value in kept for value in line.written):
            last.update(dict.fromkeys(read, index))
        for value in line.written:
            sources[value] = frozenset([value]) if value in kept else read
            if value in kept:
                born[value] = last[value] = index
    for value in wanted:
        last.update(dict.fromkeys(sources.get(value, ()), len(lines)))
    alive = [_peak(line.body) if line.body is not None else 0 for line in lines]
    for value, begin in born.items():
        size = -(-value.size // _ALIGNED) * _ALIGNED if value.size > _ALIGNED else 0
        for index in range(begin, min(last[value] + 1, len(lines))):
            alive[index] += size
    return max(alive, default=0)


def _needed(lines: Sequence[_Line], wanted: set[_Value]) -> list[_Line]:
    """The operations that wanted values depend on."""
    found, needed = [], set(wanted)
    for line in reversed(lines):
        if any(value in needed for value in line.written):
            found.append(line)
            needed.update(line.read)
    return found[::-1]


def _kept(lines: Sequence[_Line], given: set[_Value]) -> set[_Value]:
    """The values that are written to memory; `given` ones are already there."""
    readers = Counter(value for line in lines for value in set(line.read))
    kept: set[_Value] = set()
    for line in lines:
        if line.word in _WHOLE:
            kept.update(line.written, set(line.read) - given)
        elif line.word in _WRITTEN or (line.word in _COSTLY and readers[line.written[0]] > 1):
            kept.update(line.written)
    return kept - {line.written[0] for line in lines if _is_number(line)}


def _is_number(line: _Line) -> bool:
    """Whether all elements are one number or an index: such values are computed where they are read."""
    small = sum(value.size for value in line.read) <= _POINTER
    return line.word == "iota" or (line.word == "broadcast_in_dim" and small)
