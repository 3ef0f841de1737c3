"""The compiler's nouns: types, weights, layers, nodes and graphs; and `verify`, which guards every stage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from dlc.diagnostics import Note, Span
from dlc.options import Options, Wrong
from dlc.records import record

if TYPE_CHECKING:
    from jax import Array

    from dlc.constraints.constraint import Constraint

Dim = int | str
MASK = ".mask"  # the mask of a value stands beside it, under its name with this behind it
DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i32": "int32", "u8": "uint8", "bool": "bool"}
_TYPE = re.compile(r"(f32|f16|bf16|i32|u8|bool)(?:\[([^\]]*)\])?(?:<(\d+))?( masked)?\Z")


@record(frozen=True)
class TensorType:
    """The type of a value: sizes, element type, whether a mask travels with it, and for class numbers how many.

    Args:
        shape: sizes with the batch axis first; a text is a symbol whose size is known when the program runs.
        dtype: a key of `DTYPES`.
        mask: whether a mask travels with it, bool[batch, time], time being axis 1: false where the value is padding.
        bound: integers lie in [0, bound), or None when nothing is known.

    >>> TensorType.parse("f32[batch, 8, 8, 1]")
    TensorType(shape=('batch', 8, 8, 1), dtype='f32', mask=False, bound=None)
    >>> str(TensorType(("batch", "time"), "i32", mask=True, bound=10))
    'i32[batch, time]<10 masked'
    """

    shape: tuple[Dim, ...]
    dtype: str = "f32"
    mask: bool = False
    bound: int | None = None

    @classmethod
    def parse(cls, text: str) -> TensorType:
        """The type that `str` of it printed."""
        match = _TYPE.match(text)
        if match is None:
            raise ValueError(f"not a tensor type: {text!r}")
        parts = [part.strip() for part in (match.group(2) or "").split(",") if part.strip()]
        shape = tuple(int(part) if part.isdigit() else part for part in parts)
        bound = int(match.group(3)) if match.group(3) else None
        return cls(shape, match.group(1), match.group(4) is not None, bound)

    def __str__(self) -> str:
        bound = f"<{self.bound}" if self.bound is not None else ""
        mask = " masked" if self.mask else ""
        return f"{self.dtype}[{', '.join(str(dim) for dim in self.shape)}]{bound}{mask}"

    @property
    def rank(self) -> int:
        """How many axes the value has, the batch axis counted."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Elements of one example; symbols count as one."""
        return prod(dim for dim in self.shape if isinstance(dim, int))

    @property
    def is_float(self) -> bool:
        """Whether the elements are real numbers."""
        return self.dtype in ("f32", "f16", "bf16")

    def resized(self, *shape: Dim) -> TensorType:
        """The same elements in another shape; a mask goes with axis 1."""
        kept = self.rank > 1 and len(shape) > 1 and shape[1] == self.shape[1]
        return TensorType(shape, self.dtype, self.mask and kept, self.bound)

    def masked(self, mask: bool) -> TensorType:
        """The same type with or without a mask."""
        return self if mask == self.mask else TensorType(self.shape, self.dtype, mask, self.bound)

    def of(self, dtype: str) -> TensorType:
        """The same type with elements of another kind."""
        return self if dtype == self.dtype else TensorType(self.shape, dtype, self.mask, self.bound)


class Init(NamedTuple):
    """How a weight is drawn: an initializer by name with its options, and fan-in and fan-out where it needs them.

    >>> Init("normal", options=(("stddev", 0.02),)).options
    (('stddev', 0.02),)
    """

    name: str
    fan_in: int = 1
    fan_out: int = 1
    options: tuple[tuple[str, float], ...] = ()


ZEROS, ONES = Init("zeros"), Init("ones")


@record(frozen=True)
class ParamSpec:
    """A declared weight: counted, placed and drawn from this, never sampled to be looked at.

    Args:
        shape: its sizes, all known.
        init: how its first value is drawn.
        axes: what each axis means, for sharding: `in`, `out`, `kernel`, `channels`.
        kernel: whether it multiplies inputs, so that l1, l2 and a bare `initializer:` apply to it.
        dtype: a key of `DTYPES`.
        trainable: whether the optimizer updates it.
        l1: factor of the sum of its absolute values in the loss.
        l2: factor of the sum of its squares in the loss.
        constraint: what it is brought back to after every step, or None.
    """

    shape: tuple[int, ...]
    init: Init = ZEROS
    axes: tuple[str, ...] = ()
    kernel: bool = False
    dtype: str = "f32"
    trainable: bool = True
    l1: float = 0.0
    l2: float = 0.0
    constraint: Constraint | None = None

    @property
    def size(self) -> int:
        """Its number of elements."""
        return prod(self.shape)


@record(frozen=True)
class Signature:
    """What a layer makes of its inputs: its results, weights and state (values that training updates by rule).

    Args:
        output: the main result's type.
        params: weights by name; a name with slashes (`query/kernel`) is nested in what `apply` gets.
        state: state by name.
        results: further results by name, such as a recurrent layer's `state`.
        flops: floating-point operations per example, a multiply and an add counted as two.
        penalty: whether it adds to the loss of each example, as the KL term of a variational autoencoder.

    A layer with state, results, a penalty or a mask of its own returns an `Outcome` from `apply`.
    """

    output: TensorType
    params: Mapping[str, ParamSpec] = field(default_factory=dict)
    state: Mapping[str, ParamSpec] = field(default_factory=dict)
    results: Mapping[str, TensorType] = field(default_factory=dict)
    flops: int = 0
    penalty: bool = False


class Outcome(NamedTuple):
    """What `apply` returns when it gives more than its output.

    Args:
        output: the main result.
        state: the new state, all of it.
        results: the further results by name.
        penalty: (batch,), what is added to the loss of each example.
        mask: bool (batch, time), the output's mask; that of the first input when None.
    """

    output: Any
    state: Mapping[str, Any] | None = None
    results: Mapping[str, Any] | None = None
    penalty: Any = None
    mask: Any = None


Masks = Literal["refused", "elementwise", "pointwise", "used"]


class Example(NamedTuple):
    """A worked use of a layer: the reference page shows it, the battery of tests runs it.

    Args:
        spec: the item as written in a spec.
        inputs: the type of its input, or a tuple of types.
        output: the inferred type, or None when it is an error.
        params: the count of trainable weights.
        state: the count of elements of state.
        error: the code of the diagnostic that it gives instead.
    """

    spec: str
    inputs: str | tuple[str, ...]
    output: str | None = None
    params: int = 0
    state: int = 0
    error: str | None = None


class Layer(Options):
    """A word of a network. A subclass is one layer, whole: options, shape rule, weights, function, cost, examples.

    The first line of its docstring is its shape contract: `(batch, d) -> (batch, units)`.
    """

    takes: ClassVar[tuple[int, int | None]] = (1, 1)  # how many inputs: at least, at most (None: any number)
    random: ClassVar[bool] = False  # whether apply uses its key
    short_form_inputs: ClassVar[bool] = False  # whether the short form names inputs (merges)
    borrows: ClassVar[bool] = False  # whether all its weights are another item's: `infer` gets them as `borrowed=`
    full_precision: ClassVar[bool] = False  # whether weights stay float32 in a layer of another dtype (norms)

    # What happens to a mask (batch, time) that travels with an input of shape (batch, time, ...):
    # refused      a masked input is an error: padding would change the result
    # elementwise  each element is computed by itself: the mask goes on
    # pointwise    each place of the time axis is computed by itself, along the axes behind it: the mask goes on
    # used         `apply` gets `masks=`, one for each input or None, and `infer` says whether the output is masked
    masks: ClassVar[Masks] = "refused"

    # `**` lets a subclass name its own inputs, `infer(self, x)`, without breaking the contract for the type checker.

    def infer(self, *inputs: Any, **context: Any) -> Signature:
        """The signature for these inputs.

        Args:
            inputs: the types of the inputs, as many as the layer takes.
            context: `borrowed`, the other item's weights by name, when the layer borrows.

        Raises:
            Wrong: when they don't fit.
        """
        raise NotImplementedError(f"{type(self).__name__} has no shape rule")

    def apply(self, weights: Mapping[str, Array], *inputs: Any, **context: Any) -> Any:
        """The result for these inputs.

        Args:
            weights: the declared params and state, by name.
            inputs: arrays of the inferred shapes.
            context: `key`, a random key when the layer is `random` and `train` is set, else None; `train`, whether
                this is a training step; and `masks`, when the layer uses them.

        Returns:
            The output, or an `Outcome` when there is more.
        """
        raise NotImplementedError(f"{type(self).__name__} has no function")


class Macro(Options):
    """A word that stands for items of a network, as a block of a file does; its options choose them.

    The first line of its docstring is its shape contract, as a layer's.
    """

    names: ClassVar[tuple[str, ...]] = ()  # what its items call its inputs; empty for one that needs no name

    def items(self) -> list[Any]:
        """The items that it stands for, as a plain tree."""
        raise NotImplementedError(f"{type(self).__name__} stands for nothing")


# ---- graphs ----


class Ref(NamedTuple):
    """A value in a graph: an input's name or a node's path, and which of its results."""

    source: str
    result: str | None = None

    def __str__(self) -> str:
        return f"{self.source}.{self.result}" if self.result else self.source


@record(frozen=True)
class Settings:
    """What one item says of the weights and the arithmetic inside it.

    Args:
        values: by key of the item: `dtype`, `trainable`, `l1`, `l2`, `rematerialize`; `initializer` and `constraint`
            (for kernels), and `initializer.NAME` and `constraint.NAME` for a weight by name.
        spans: where each is written.
        uses: for notes.
        path: the item's; empty when the whole network is meant.
    """

    values: Mapping[str, Any]
    spans: Mapping[str, Span | None] = field(default_factory=dict)
    uses: tuple[Note, ...] = ()
    path: str = ""


class Segment(NamedTuple):
    """Nodes whose inner values are not kept for the backward pass but computed again there.

    Args:
        path: the item that says so.
        keep: what is kept all the same: nothing, or the products of matrices (`dots`).
        iteration: the path of the innermost iteration around it of a repeat that is not scanned: each is on its own.
    """

    path: str
    keep: Literal["nothing", "dots"] = "nothing"
    iteration: str = ""


@record(frozen=True)
class Origin:
    """Where a node comes from: its place in the file, and the uses of blocks that led there, innermost first.

    Args:
        span: the item.
        options: the places of its options.
        uses: one note for each block in whose body the item stands.
    """

    span: Span | None = None
    options: Mapping[str, Span] = field(default_factory=dict)
    uses: tuple[Note, ...] = ()


@record(frozen=True)
class Node:
    """A layer at a path, with its inputs. `weights` is the path that keys its weights: its own unless it shares.

    `layer` is None when its options were wrong: the graph is still resolved, so that all errors come at once.
    """

    path: str
    layer: Layer | None
    inputs: tuple[Ref, ...]
    origin: Origin
    weights: str
    labels: tuple[str, ...] = ()  # what a message calls the inputs; their names when empty
    places: tuple[Span | None, ...] = ()  # where the inputs are named; empty when they are not
    settings: tuple[Settings, ...] = ()  # of the items around it and its own, outermost first


@record(frozen=True)
class RepeatNode:
    """A body that runs `times` times, each feeding the next. Paths inside hold `*` in the place of an iteration.

    The iterations are counted from `start`: a first one of its own may go before.
    """

    path: str
    times: int
    input: Ref
    body: tuple[Node | RepeatNode, ...]
    output: Ref
    origin: Origin
    weights: str
    start: int = 0
    unroll: bool = False


@record(frozen=True)
class Graph:
    """A network whose names are resolved: nodes in the order of the file, each after what it reads.

    Args:
        inputs: their types; None when an input was declared wrongly.
        nodes: the nodes.
        outputs: what each output refers to.
        origins: where the inputs are declared.
        places: where the outputs are named.
        matmul: how float32 matrices are multiplied, as `jax.default_matmul_precision` calls it.
    """

    inputs: Mapping[str, TensorType | None]
    nodes: tuple[Node | RepeatNode, ...]
    outputs: Mapping[str, Ref]
    origins: Mapping[str, Origin] = field(default_factory=dict)
    places: Mapping[str, Span | None] = field(default_factory=dict)
    matmul: str = "default"


@record(frozen=True)
class TypedNode:
    """A node whose shapes are proved."""

    path: str
    layer: Layer
    inputs: tuple[Ref, ...]
    types: tuple[TensorType, ...]
    signature: Signature
    origin: Origin
    weights: str
    dtype: str = "f32"  # in which it computes; its real-valued inputs are cast to it
    frozen: bool = False  # whether its state stays as it is: it computes as in evaluation
    segments: tuple[Segment, ...] = ()  # those that it is part of, outermost first


@record(frozen=True)
class TypedRepeat:
    """A repeat whose iterations agree: it runs as one scan over stacked weights. They are counted from `start`."""

    path: str
    times: int
    input: Ref
    body: tuple[TypedNode | TypedRepeat, ...]
    output: Ref
    type: TensorType
    origin: Origin
    weights: str
    start: int = 0

    @property
    def iterations(self) -> range:
        """The numbers of its iterations."""
        return range(self.start, self.start + self.times)


@record(frozen=True)
class TypedGraph:
    """A checked network. It can't hold an unchecked node.

    Args:
        inputs: their types.
        nodes: the nodes in order.
        outputs: what each output refers to.
        types: the outputs' types.
        matmul: how float32 matrices are multiplied, as `jax.default_matmul_precision` calls it.
    """

    inputs: Mapping[str, TensorType]
    nodes: tuple[TypedNode | TypedRepeat, ...]
    outputs: Mapping[str, Ref]
    types: Mapping[str, TensorType]
    matmul: str = "default"

    def walk(self) -> Iterator[tuple[TypedNode, Iterations]]:
        """Every node once, with the iterations of the repeats around it, outermost first."""
        yield from walk(self.nodes)


Iterations = tuple[range, ...]  # the numbers that stand for the stars of a path


def instances(path: str, around: Iterations) -> list[tuple[tuple[int, ...], str]]:
    """The paths that one with stars stands for, each with its place in the stack.

    >>> instances("a/*/b", (range(1, 3),))
    [((0,), 'a/1/b'), ((1,), 'a/2/b')]
    """
    found = []
    for pairs in product(*(enumerate(numbers) for numbers in around)):
        numbers = iter(number for _, number in pairs)
        name = "/".join(str(next(numbers)) if part == "*" else part for part in path.split("/"))
        found.append((tuple(place for place, _ in pairs), name))
    return found


def walk(nodes: Sequence[TypedNode | TypedRepeat], around: Iterations = ()) -> Iterator[tuple[TypedNode, Iterations]]:
    """Every layer of a list once, with the iterations of the repeats around it, outermost first."""
    for node in nodes:
        if isinstance(node, TypedRepeat):
            yield from walk(node.body, (*around, node.iterations))
        else:
            yield node, around


class InternalError(Exception):
    """dlc itself is wrong: an invariant between two stages does not hold."""


def verify(graph: Graph | TypedGraph) -> None:
    """Check what every later stage relies on.

    Paths are unique; each reference leads to an input or an earlier node in scope; a layer gets as many inputs as it
    takes; every output exists; nodes that share weights declare the same ones.

    Raises:
        InternalError: when something does not hold, which is a bug in dlc.
    """
    paths: set[str] = set()
    declared: dict[str, Any] = {}
    known = set(graph.inputs)
    _verify_nodes(graph.nodes, known, paths, declared)
    for name, ref in graph.outputs.items():
        if ref.source not in known:
            raise InternalError(f"output {name} refers to {ref}, which is no node")
    if isinstance(graph, TypedGraph) and set(graph.types) != set(graph.outputs):
        raise InternalError("the outputs and their types differ")


def _verify_nodes(nodes: Sequence[Any], known: set[str], paths: set[str], declared: dict[str, Any]) -> None:
    for node in nodes:
        if node.path in paths or node.path in known:
            raise InternalError(f"the path {node.path} is used twice")
        paths.add(node.path)
        refs = (node.input,) if isinstance(node, (RepeatNode, TypedRepeat)) else node.inputs
        for ref in refs:
            if ref.source not in known:
                raise InternalError(f"{node.path} reads {ref}, which is not in scope")
        if isinstance(node, (RepeatNode, TypedRepeat)):
            inner = known | {f"{node.path}/*"}  # the body's own input
            _verify_nodes(node.body, inner, paths, declared)
            if node.output.source not in inner:
                raise InternalError(f"{node.path} gives {node.output}, which is not in its body")
        elif node.layer is not None:
            least, most = node.layer.takes
            if len(refs) < least or (most is not None and len(refs) > most):
                raise InternalError(f"{node.path} has {len(refs)} inputs")
            if isinstance(node, TypedNode):
                weights = (dict(node.signature.params), dict(node.signature.state))
                if any(weights) and declared.setdefault(node.weights, weights) != weights:
                    raise InternalError(f"{node.path} shares weights that differ from {node.weights}")
        known.add(node.path)


# ---- checks that shape rules share ----


def need_rank(x: TensorType, rank: int, word: str, axes: str, hint: str | None = None) -> None:
    """Raise DLC204 unless `x` has `rank` axes. `axes` names them: `(batch, height, width, channels)`.

    An image layer that gives no hint of its own gets one.
    """
    if x.rank != rank:
        if hint is None and rank == 4 and x.rank == 3:
            hint = "give the input a channel axis: `shape: [height, width, 1]`"
        elif hint is None and rank == 4 and x.rank == 2:
            hint = f"`{word}` works on images: use it before `flatten`, or make images with `reshape`"
        raise Wrong("DLC204", f"`{word}` takes {rank} axes", found=str(x), expected=axes, hint=hint)


def need_float(x: TensorType, word: str) -> None:
    """Raise DLC207 unless the elements of `x` are real numbers."""
    if not x.is_float:
        hint = "one-hot encode the category: `one_hot: true`" if x.bound is not None else None
        raise Wrong("DLC207", f"`{word}` computes with real numbers", found=str(x), expected="f32[...]", hint=hint)


def need_behind_mask(x: TensorType, word: str) -> None:
    """Raise DLC212 when a layer along the last axis gets that axis masked: padding would change what is not padding."""
    if x.mask and x.rank < 3:
        hint = "bring it to f32[batch, time, channels] first, or reduce the time axis"
        raise Wrong("DLC212", f"`{word}` would mix padding into its result", found=str(x), hint=hint)


def known_size(x: TensorType, axis: int, word: str) -> int:
    """The size of an axis that weights depend on; raises DLC203 when it is a symbol."""
    size = x.shape[axis]
    if not isinstance(size, int):
        raise Wrong(
            "DLC203",
            f"`{word}` must know the size of the axis `{size}`",
            found=str(x),
            expected=f"a number in the place of `{size}`",
            hint=f"declare the size of `{size}` in the input's shape, or reduce the axis first",
        )
    return size
