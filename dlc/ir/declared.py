"""Whether the results of a layer have the types that it declared; compared while a network is traced."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from typing import Any

from dlc.ir.graph import TypedNode
from dlc.ir.layer import Outcome
from dlc.ir.types import DTYPES, TensorType
from dlc.language.interpolation import ExpressionError, substitute

_NAMES = {name: short for short, name in DTYPES.items()}
_REAL = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}  # bytes of an element
Sizes = MutableMapping[str, int]


def mismatch(node: TypedNode, inputs: Any, outcome: Outcome, sizes: Sizes, stepped: bool = False) -> str | None:
    """What a layer returned instead of what it declared, or None.

    Args:
        node: the layer.
        inputs: its inputs, which have a shape and an element type.
        outcome: what it returned.
        sizes: the sizes of symbols that are known so far; those that the inputs and the result show are added.
        stepped: whether the layer gets some positions of axis 1 only, so that its length is not the declared one.
    """
    if not all(_fits(value.shape, kind, sizes, stepped) for value, kind in zip(inputs, node.types, strict=True)):
        return None  # a network that was given other inputs than its spec declares
    for name, value, kind in _results(node, outcome):
        what = f"`{name}` as " if name else ""
        if not hasattr(value, "shape") or not hasattr(value, "dtype"):
            return f"returned {what}{_spelled(value)}, but `infer` declared {kind.masked(False)}"
        if not (_fits(value.shape, kind, sizes, stepped) and _holds(value.dtype.name, kind, node.dtype)):
            return f"returned {what}{_spelled(value)}, but `infer` declared {kind.masked(False)}"
    found, declared = set(outcome.results or {}), set(node.signature.results)
    if found != declared:
        return f"returned the results {sorted(found)}, but `infer` declared {sorted(declared)}"
    return None


def _results(node: TypedNode, outcome: Outcome) -> Iterator[tuple[str, Any, TensorType]]:
    yield "", outcome.output, node.signature.output
    for name, kind in node.signature.results.items():
        if name in (outcome.results or {}):
            yield name, (outcome.results or {})[name], kind


def _fits(shape: tuple[int, ...], kind: TensorType, sizes: Sizes, stepped: bool) -> bool:
    """Whether a shape is that of a type. A symbol has one size in all of the network."""
    if len(shape) != kind.rank:
        return False
    for axis, (size, declared) in enumerate(zip(shape, kind.shape, strict=True)):
        if (stepped and axis == 1) or not isinstance(size, int):  # an export has symbols of its own
            continue
        if size != (declared if isinstance(declared, int) else _size(declared, sizes, size)):
            return False
    return True


def _size(symbol: str, sizes: Sizes, seen: int) -> int:
    """The size of a symbol, or of a formula of symbols; the size that was seen if it is not known yet."""
    if symbol not in sizes:
        sizes[symbol] = seen
        if not symbol.isidentifier():
            with suppress(ExpressionError):  # a symbol that no input has shown
                sizes[symbol] = int(substitute(f"$({symbol})", sizes))
    return sizes[symbol]


def _holds(name: str, kind: TensorType, dtype: str) -> bool:
    """Whether an element type is the declared one. In half precision results are cast: any real numbers will do."""
    if not kind.is_float:
        return name == DTYPES[kind.dtype]
    return _REAL.get(name, 0) >= (4 if dtype == "f32" and kind.dtype == "f32" else 2)


def _spelled(value: Any) -> str:
    """The type of a result as messages write types."""
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return "None" if value is None else f"a value of type {type(value).__name__}"
    return f"{_NAMES.get(value.dtype.name, value.dtype.name)}[{', '.join(map(str, value.shape))}]"
