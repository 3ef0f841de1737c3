"""The evaluator: one walk through a typed graph, for every kind of value that a network can be computed with.

What a value is, how a layer is applied and how a repeat runs is a `Backend`'s business: arrays
(`dlc.backend.array_backend`), or types (`dlc.frontend.summary`). What a network means is not: the order of the layers,
which values and masks they read, the element types of their results, and where errors are reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from dlc.diagnostics import Note, SpecError
from dlc.diagnostics.report import Diagnostic, Report
from dlc.ir.graph import Ref, TypedNode, TypedRepeat
from dlc.ir.guard import ComponentError, described, raised
from dlc.ir.layer import Outcome
from dlc.ir.rematerialization import Part, cut, reads
from dlc.ir.verify import InternalError
from dlc.language.options import RuleViolation

V = TypeVar("V")  # a value
Carry = tuple[Any, Any]  # what an iteration hands to the next one: a value and its mask, or None
Iteration = Callable[[Any, Carry], Carry]  # (backend, carry) -> the next carry
Inside = Callable[[Any, Sequence[Any], Sequence[Any]], tuple[list[Any], list[Any]]]  # (backend, values, masks)


class Backend(Protocol[V]):
    """What an evaluator computes with. The type of its values is `V`."""

    @property
    def segments(self) -> bool:
        """Whether segments are computed by `segment`, and not as if there were none."""

    @property
    def passes(self) -> tuple[type[BaseException], ...]:
        """The exceptions of `apply` that aren't the layer's fault, such as lack of memory."""

    def mismatch(self, node: TypedNode, inputs: Sequence[V], outcome: Outcome) -> str | None:
        """What a layer returned instead of what it declared, or None; see `dlc.ir.declared`."""

    def apply(self, node: TypedNode, inputs: Sequence[V], masks: Sequence[Any]) -> Outcome:
        """The result of a layer.

        Args:
            node: the layer.
            inputs: its inputs, cast to its element type.
            masks: the masks of the inputs, None where there is none.
        """

    def computed(self, node: TypedNode, outcome: Outcome, values: Sequence[V]) -> None:
        """Called after each layer with its result, and with its values cast to its element type."""

    def cast(self, value: V, dtype: str) -> V:
        """A value of real numbers in an element type; integers stay as they are."""

    def joined(self, masks: Sequence[Any]) -> Any:
        """The mask that is true where all of the masks are; None values are left out."""

    def repeat(self, node: TypedRepeat, iteration: Iteration, carry: Carry) -> Carry:
        """The last carry of a repeat; each iteration takes the backend that computes it."""

    def segment(self, part: Part, depth: int, inside: Inside, values: Sequence[V], masks: Sequence[Any]) -> Any:
        """The values and masks that a segment gives: `inside(backend, values, masks)`.

        Args:
            part: the nodes.
            depth: how many segments are open around it.
            inside: computes the nodes.
            values: the values that the nodes read.
            masks: their masks.
        """


class Evaluator(Generic[V]):
    """A walk through a list of nodes.

    Args:
        backend: what computes.
        values: the values so far, at first those of the inputs.
        masks: the masks of those that have one.
    """

    def __init__(self, backend: Backend[V], values: Mapping[Ref, V], masks: Mapping[Ref, Any]) -> None:
        self.backend = backend
        self.values: dict[Ref, V] = dict(values)
        self.masks: dict[Ref, Any] = dict(masks)
        self._passes: tuple[type[BaseException], ...] = (
            SpecError,
            RuleViolation,
            InternalError,
            MemoryError,
            *backend.passes,
        )

    def nodes(self, nodes: Sequence[TypedNode | TypedRepeat], wanted: Sequence[Ref], depth: int = 0) -> None:
        """Compute nodes in order.

        Args:
            nodes: the nodes.
            wanted: the values that are read after them.
            depth: how many segments are open around them.

        Raises:
            SpecError: DLC214 when a layer's `apply` raises, or returns another type than its `infer` declared.
        """
        for part in cut(nodes, wanted, depth) if self.backend.segments else [Part(nodes)]:
            if part.segment is not None:
                self._segment(part, depth)
                continue
            for node in part.nodes:
                if isinstance(node, TypedRepeat):
                    self._repeat(node)
                else:
                    self._node(node)

    def _node(self, node: TypedNode) -> None:
        inputs = [self.backend.cast(self.values[ref], node.dtype) for ref in node.inputs]
        masks = tuple(self.masks.get(ref) for ref in node.inputs)
        try:
            outcome = self.backend.apply(node, inputs, masks)
        except ComponentError as error:
            raise failed(node, error) from error
        except self._passes:
            raise
        except Exception as error:
            raise failed(node, error) from error
        wrong = self.backend.mismatch(node, inputs, outcome)
        if wrong is not None:
            raise failed(node, wrong)
        results = outcome.results or {}
        refs = [Ref(node.path), *(Ref(node.path, name) for name in results)]
        values = [self.backend.cast(value, node.dtype) for value in (outcome.output, *results.values())]
        self.values.update(zip(refs, values, strict=True))
        self.backend.computed(node, outcome, values)
        if node.signature.output.mask:
            mask = outcome.mask
            if mask is None:
                mask = masks[0] if node.layer.masks == "used" else self.backend.joined(masks)
            if mask is not None:
                self.masks[refs[0]] = mask

    def _repeat(self, node: TypedRepeat) -> None:
        start = Ref(f"{node.path}/*")

        def iteration(backend: Backend[V], carry: Carry) -> Carry:
            inner = Evaluator(backend, self.values, self.masks)
            inner.values[start], mask = carry
            if mask is not None:
                inner.masks[start] = mask
            inner.nodes(node.body, (node.output,))
            return inner.values[node.output], inner.masks.get(node.output)

        carry = (self.values[node.input], self.masks.get(node.input) if node.type.mask else None)
        self.values[Ref(node.path)], mask = self.backend.repeat(node, iteration, carry)
        if mask is not None:
            self.masks[Ref(node.path)] = mask

    def _segment(self, part: Part, depth: int) -> None:
        read = [ref for ref in reads(part.nodes) if ref in self.values]

        def inside(backend: Backend[V], values: Sequence[V], masks: Sequence[Any]) -> tuple[list[V], list[Any]]:
            known = {ref: mask for ref, mask in zip(read, masks, strict=True) if mask is not None}
            inner = Evaluator(backend, dict(zip(read, values, strict=True)), known)
            inner.nodes(part.nodes, part.given, depth + 1)
            return [inner.values[ref] for ref in part.given], [inner.masks.get(ref) for ref in part.given]

        values, masks = self.backend.segment(
            part, depth, inside, [self.values[ref] for ref in read], [self.masks.get(ref) for ref in read]
        )
        self.values.update(zip(part.given, values, strict=True))
        self.masks.update({ref: mask for ref, mask in zip(part.given, masks, strict=True) if mask is not None})


def failed(node: TypedNode, error: Exception | str) -> SpecError:
    """The error of a layer: which one, where it is written, and whose code it is.

    Args:
        node: the layer.
        error: what `apply` raised, or what is wrong with the result, as in "returned f32[3]".
    """
    if isinstance(error, str):
        message, found, hint = f"{described(node.layer, 'layer')} {error}", None, None
    else:
        fault = error if isinstance(error, ComponentError) else raised(node.layer, "layer", "apply", error)
        message, found, hint = fault.message, fault.found, _key_hint(node, fault.reason or "") or fault.hint
    types = ", ".join(str(kind) for kind in node.types)
    notes = (Note(f"the layer is `{node.path}`, its input {types}", node.origin.span), *node.origin.uses)
    return SpecError(Report((Diagnostic("DLC214", message, node.origin.span, found, None, hint, notes),)))


def _key_hint(node: TypedNode, text: str) -> str | None:
    """The hint when a layer used a random key and there was none."""
    if "NoneType" not in text or "key" not in text:
        return None
    if not node.layer.random:
        return f"set `random = True` in `{type(node.layer).__name__}`, so that `ctx.key` is a random key in training"
    return "`ctx.key` is a random key in training only: use it where `ctx.train` is true"
