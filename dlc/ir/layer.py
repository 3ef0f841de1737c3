"""The layer contract: what a layer declares, what it computes, and its examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from dlc.ir.parameters import ParamSpec
from dlc.ir.types import Dim, TensorType
from dlc.language.options import Options, RuleViolation
from dlc.support.fast_dataclass import fast_dataclass

if TYPE_CHECKING:
    from jax import Array


@fast_dataclass(frozen=True)
class Signature:
    """What a layer declares for given inputs: the types of its results, its weights, its state and its cache.

    Args:
        output: the main result's type.
        params: weights by name; a name with slashes (`query/kernel`) is nested in what `apply` gets.
        state: values that training updates by a rule and not by gradients, by name.
        results: further results by name, such as a recurrent layer's `state`.
        flops: floating-point operations per example, a multiply and an add counted as two.
        penalty: whether it adds to the loss of each example, as the KL term of a variational autoencoder.
        cache: what a step of decoding keeps for the next one, by name, the batch axis first. A size that is a symbol is
            the number of positions that the cache holds.

    A layer with state, results, a penalty, a cache or a mask of its own returns an `Outcome` from `apply`.
    """

    output: TensorType
    params: Mapping[str, ParamSpec] = field(default_factory=dict)
    state: Mapping[str, ParamSpec] = field(default_factory=dict)
    results: Mapping[str, TensorType] = field(default_factory=dict)
    flops: int = 0
    penalty: bool = False
    cache: Mapping[str, TensorType] = field(default_factory=dict)


class Outcome(NamedTuple):
    """What `apply` returns when there is more than its output.

    Args:
        output: the main result.
        state: the new state, all of it.
        results: the further results by name.
        penalty: (batch,), what is added to the loss of each example.
        mask: bool (batch, time), the output's mask; that of the first input when None.
        cache: the new cache, all of it, in `decode` mode.
    """

    output: Any
    state: Mapping[str, Any] | None = None
    results: Mapping[str, Any] | None = None
    penalty: Any = None
    mask: Any = None
    cache: Mapping[str, Any] | None = None


Masks = Literal["refused", "elementwise", "pointwise", "used"]
Decoding = Literal["refused", "pointwise", "cached"]


class Example(NamedTuple):
    """A worked use of a layer: the reference page shows it, the battery of tests runs it.

    Args:
        spec: the item as written in a spec.
        inputs: the type of its input, or a tuple of types.
        output: the inferred type, or None when it is an error.
        params: the number of trainable weights.
        state: the number of elements of its state.
        error: the code of the diagnostic that it gives instead.
    """

    spec: str
    inputs: str | tuple[str, ...]
    output: str | None = None
    params: int = 0
    state: int = 0
    error: str | None = None


class Normalized(NamedTuple):
    """What a layer compares each element of its input with, as a norm or a softmax does.

    Args:
        sizes: the sizes of the axes whose elements are compared; `batch` stands for the examples of a batch.
        single: what is left of a single element, as in "always 1".
        hint: what to do instead.
    """

    sizes: tuple[Dim, ...]
    single: str
    hint: str = "remove it, or give it more than one element"


class Layer(Options):
    """A layer of a network. A subclass defines all of it: options, shape rule, weights, function, cost, examples.

    The first line of its docstring is its shape contract: `(batch, d) -> (batch, units)`.
    """

    arity: ClassVar[tuple[int, int | None]] = (1, 1)  # how many inputs: at least, at most (None: any number)
    random: ClassVar[bool] = False  # whether `apply` uses a random key in training
    short_form_inputs: ClassVar[bool] = False  # whether the short form names inputs (merges)
    ties_weights: ClassVar[bool] = False  # whether all its weights are another item's: `infer` gets them as `tied=`
    full_precision: ClassVar[bool] = False  # whether weights stay float32 in a layer of another dtype (norms)
    hyperparameters: ClassVar[tuple[str, ...]] = ()  # numbers that a training program takes as arguments

    # What happens to a mask (batch, time) that travels with an input of shape (batch, time, ...):
    # refused      a masked input is an error: padding would change the result
    # elementwise  each element is computed by itself: the output has the same mask
    # pointwise    each position of the time axis is computed by itself, along the axes after it: likewise
    # used         `apply` gets the masks in its context, and `infer` decides whether the output is masked
    masks: ClassVar[Masks] = "refused"

    # How a sequence is computed step by step, with axis 1 as the time axis:
    # refused    not at all: a position depends on later ones, or the layer changes the time axis
    # pointwise  each position is computed by itself; its number may count
    # cached     from a cache of earlier positions, which `infer` declares
    decoding: ClassVar[Decoding] = "refused"

    # `**` lets a subclass name its own inputs, `apply(self, weights, x, *, ctx)`, without breaking the contract for the
    # type checker.

    def infer(self, *inputs: Any, **more: Any) -> Signature:
        """The signature for these inputs.

        Args:
            inputs: the types of the inputs, as many as the layer takes.
            more: `tied`, the other item's weights by name, when the layer ties its weights.

        Raises:
            RuleViolation: when they don't fit.
        """
        raise NotImplementedError(f"{type(self).__name__} has no shape rule")

    def apply(self, weights: Mapping[str, Array], *inputs: Any, **context: Any) -> Any:
        """The result for these inputs.

        Args:
            weights: the declared params and state, by name.
            inputs: arrays of the inferred shapes.
            context: `ctx`, the `Context`: the mode, and what belongs to it: a random key, masks, positions, a cache.

        Returns:
            The output, or an `Outcome` when there is more.
        """
        raise NotImplementedError(f"{type(self).__name__} has no function")

    def normalized(self, *inputs: TensorType) -> Normalized | None:
        """What the layer compares each element with; None if it doesn't normalize.

        Args:
            inputs: the types of the inputs.
        """
        return None

    def most_positions(self, inputs: Sequence[TensorType]) -> int | None:
        """How many positions of a sequence the layer can decode at most; None if there is no limit.

        Args:
            inputs: the types of the inputs, the first of which has the time axis.
        """
        return None

    def keeps_time(self, inputs: Sequence[TensorType], result: TensorType) -> bool:
        """Whether a result of decoding has the time axis: the last state of a recurrent layer has none.

        Args:
            inputs: the types of the inputs, the first of which has the time axis.
            result: the type of the output, or of another result.
        """
        return self.decoding == "pointwise" or result.rank > 2

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """Check that the layer can be computed step by step.

        Args:
            inputs: the types of the inputs.
            stepped: for each input, whether it comes position by position; the others are given whole at every step.

        Raises:
            RuleViolation: DLC213 when it can't.
        """
        if self.decoding == "refused":
            raise refused_decoding(self.word, "it needs the whole sequence at once")
        if self.decoding == "pointwise":
            if not all(stepped):
                raise refused_decoding(self.word, MIXED)
            if self.masks != "elementwise":
                need_time_axis(inputs[0], self.word)


MIXED = "it combines a sequence with a value that isn't part of it"  # why a layer of several inputs can't be decoded


def need_time_axis(x: TensorType, word: str) -> None:
    """Raise DLC213 when a layer that computes along the last axis gets a sequence that has only its time axis."""
    if x.rank < 3:
        raise refused_decoding(word, "it would mix the positions", found=str(x))


def refused_decoding(word: str, reason: str, found: str | None = None, hint: str | None = None) -> RuleViolation:
    """The error of a layer that can't be computed step by step."""
    return RuleViolation("DLC213", f"`{word}` can't be decoded step by step: {reason}", found=found, hint=hint)


class CompositeBlock(Options):
    """A component that stands for several items of a network, as a block of a file does; its options choose them.

    The first line of its docstring is its shape contract, as a layer's.
    """

    names: ClassVar[tuple[str, ...]] = ()  # what its items call its inputs; empty for one that needs no name

    def check_inputs(self, *inputs: TensorType) -> None:
        """Check that inputs fit the options: a message about the items inside would name what the user did not write.

        Args:
            inputs: the types of its inputs.

        Raises:
            RuleViolation: when they don't.
        """

    def items(self) -> list[Any]:
        """The items that it stands for, as a plain tree."""
        raise NotImplementedError(f"{type(self).__name__} defines no items")
