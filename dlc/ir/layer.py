"""The layer contract: what a layer declares, computes, and shows as its examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from dlc.ir.parameters import ParamSpec
from dlc.ir.types import TensorType
from dlc.language.options import Options
from dlc.support.fast_dataclass import fast_dataclass

if TYPE_CHECKING:
    from jax import Array


@fast_dataclass(frozen=True)
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

    arity: ClassVar[tuple[int, int | None]] = (1, 1)  # how many inputs: at least, at most (None: any number)
    random: ClassVar[bool] = False  # whether apply uses its key
    short_form_inputs: ClassVar[bool] = False  # whether the short form names inputs (merges)
    ties_weights: ClassVar[bool] = False  # whether all its weights are another item's: `infer` gets them as `borrowed=`
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
            RuleViolation: when they don't fit.
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


class CompositeBlock(Options):
    """A word that stands for items of a network, as a block of a file does; its options choose them.

    The first line of its docstring is its shape contract, as a layer's.
    """

    names: ClassVar[tuple[str, ...]] = ()  # what its items call its inputs; empty for one that needs no name

    def items(self) -> list[Any]:
        """The items that it stands for, as a plain tree."""
        raise NotImplementedError(f"{type(self).__name__} stands for nothing")
