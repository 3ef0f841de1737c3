"""The interface of losses: the values of a batch's examples, and their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from dlc.components.losses.shape_checks import rows
from dlc.components.sums import in_units
from dlc.components.value_ranges import Domain, need_domain
from dlc.ir import TensorType, where_real
from dlc.language.options import Options
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jax import Array
    from numpy.typing import NDArray


class LossExample(NamedTuple):
    """An example: the loss or metric as written, the types of output and target, and the error code if they don't fit.

    The target is None if there is none.
    """

    spec: str
    output: str
    target: str | None
    error: str | None = None


class Score(NamedTuple):
    """The scores of the examples of a batch; the loss of any set of examples is sum(total) / sum(weight).

    Args:
        total: (batch,) float32, the sum over an example's elements, divided by their number.
        weight: (batch,) float32, the sum of the elements' weights, also divided by their number: 1 if all weigh 1.
        size: the number of elements.
    """

    total: Array
    weight: Array
    size: int = 1


class Masks(NamedTuple):
    """The masks of an output and a target whose time axes differ, bool (batch, time) each, or None."""

    output: Array | None
    target: Array | None


class Loss(Options):
    """A loss. Its docstring's first line specifies the shapes of output and target: (batch, classes) with (batch,).

    A loss of single elements defines `elements` and, for their weights, `importance`. Others define `apply`.
    """

    code: ClassVar[str] = "DLC301"
    higher_is_better: ClassVar[bool] = False
    # whether it needs a target, takes none, or allows both
    compares: ClassVar[Literal["always", "never", "either"]] = "always"
    # the values of real-valued targets for which it is defined
    domain: ClassVar[Domain | None] = None
    # whether output and target share the time axis and its mask; else `apply` gets `Masks`, and no metric of elements
    # can be used. An output that is not aligned is a prediction of its target if the loss defines `decode`.
    aligned: ClassVar[bool] = True

    # the prediction above which a label, or the second of two classes with a single score, is the answer
    boundary: ClassVar[float] = 0.5

    @property
    def default_name(self) -> str:
        """Its name in reports, unless the spec gives it one."""
        return self.word

    @property
    def in_batch(self) -> bool:
        """Whether the loss of an example depends on the others of its batch."""
        return False

    @property
    def balances(self) -> bool:
        """Whether its weights of classes are those that `class_weights_of` finds in the training split."""
        return False

    def class_weights_of(self, blocks: Iterable[NDArray[Any]], size: int) -> tuple[float, ...]:
        """The weights with which all classes count alike.

        Args:
            blocks: the encoded targets of the training split, one block after another.
            size: the last size of the output.
        """
        raise NotImplementedError(f"`{self.word}` has no weights of classes")

    def weighted(self, weights: tuple[float, ...]) -> Loss:
        """The same loss with weights that `class_weights_of` found."""
        raise NotImplementedError(f"`{self.word}` has no weights of classes")

    def fewest_examples(self, target: TensorType | None) -> int:
        """The fewest examples that a batch must have: the loss of fewer is the same for all weights.

        Args:
            target: the type of its target, or None.
        """
        return 1

    def pairs_views(self, target: TensorType | None) -> bool:
        """Whether it compares the values along axis 1 of the output with each other, beside this target."""
        return False

    @property
    def decodes(self) -> bool:
        """Whether predictions are sequences that `decode` reads from the output."""
        return not self.aligned and type(self).decode is not Loss.decode

    def averages(self) -> bool:
        """Whether it is a mean over the elements of an example, which could also be summed."""
        return type(self).elements is not Loss.elements

    def predicts(self, output: TensorType, target: TensorType) -> bool:
        """Whether the output is a prediction of the target, with the target's name and unit."""
        return self.aligned or self.decodes

    def ignores(self, number: int) -> bool:
        """Whether positions with this number in the target do not count."""
        return False

    def infer(self, output: TensorType, target: Any) -> None:
        """Check that output and target, a `TensorType` or None, fit.

        Raises:
            RuleViolation: DLC301 when they don't.
        """
        raise NotImplementedError

    def apply(self, output: Array, target: Any, mask: Any = None, real: Array | None = None) -> Score:
        """The loss of each example.

        Args:
            output: the network's output, (batch, *axes).
            target: its target, of a type that `infer` accepted.
            mask: bool (batch, time), false at padding, which does not count; for a loss that is not `aligned` the
                `Masks` of both sides.
            real: bool (batch,), false where an example only fills the batch; None if none does. Needed by losses
                that compare the examples of a batch.
        """
        shown = output if mask is None else where_real(mask, output)  # padding has no gradient
        return score(self.elements(shown, target), mask, self.importance(target))

    def reported(self, total: Array, output: Array, target: Any, mask: Any = None) -> tuple[Array, Array, Array]:
        """The totals of `apply` as they are reported: in three parts, so that their sums fit into float32.

        Args:
            total: those of `apply`, (batch,).
            output: as `apply` gets it.
            target: as `apply` gets it.
            mask: as `apply` gets it.
        """
        return in_units(total)

    def elements(self, output: Array, target: Array) -> Array:
        """The loss of each element: (batch, *axes)."""
        raise NotImplementedError(f"`{self.word}` defines no loss of elements")

    def importance(self, target: Array) -> Array | None:
        """The weight of each element, in the shape of `elements`; None if all weigh 1."""
        return None

    def wrong_result(self, method: str, inputs: tuple[Any, ...], result: Any) -> str | None:
        """A mean over the batch, for example, would be trained on without a sign of it."""
        if method == "apply" and inputs:
            return wrong_score(result, inputs[0])
        return wrong_elements(result, inputs[0]) if method == "elements" and inputs else None

    def check_values(self, target: NDArray[Any]) -> None:
        """Check the encoded targets of all records, on the host; by default against the `domain`.

        Raises:
            RuleViolation: DLC403 when the loss is not defined for them.
        """
        need_domain(self.word, self.domain, target)

    def activate(self, output: Array) -> Array:
        """The prediction made from an output: probabilities from logits; the output itself by default."""
        return output

    def activations(self) -> tuple[str, ...]:
        """The names of what `activate` may apply."""
        return ()

    def predict(self, output: Array, mask: Array | None = None) -> Array:
        """The prediction made from an output whose padding is false in `mask`, bool (batch, time); as `activate`."""
        return self.activate(output)

    def decode(self, prediction: Any) -> Any:
        """The sequences that predictions spell, for a loss that is not `aligned`.

        Args:
            prediction: what `predict` returned, (batch, ...), as a jax or numpy array.

        Returns:
            Integers (batch, time) from left to right, -1 at steps that add nothing.
        """
        raise NotImplementedError(f"`{self.word}` decodes no sequences")


def wrong_elements(values: Any, output: Any) -> str | None:
    """What is wrong with the values of elements, as in "f32[], ..."; None if they are (batch, *axes)."""
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) > 0 and shape[0] == output.shape[0]:
        return None
    return (
        f"{_shape_of(values)}, but it must be a number for each element: (batch, *axes), here ({output.shape[0]}, ...)"
    )


def wrong_score(found: Any, output: Any) -> str | None:
    """What is wrong with a score; None if it is a `Score` with a total and a weight for each example."""
    if not isinstance(found, Score):
        return f"{_shape_of(found)}, but it must be a `Score`"
    size = output.shape[0]
    for name, value in (("total", found.total), ("weight", found.weight)):
        if getattr(value, "shape", None) != (size,):
            return f"a {name} of {_shape_of(value)}, but it must be a number for each example: (batch,), here ({size},)"
    return None


def _shape_of(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"a value of type {type(value).__name__}" if shape is None else f"an array of shape {tuple(shape)}"


def score(values: Array, mask: Array | None = None, importance: Array | None = None) -> Score:
    """The score of losses of elements.

    Args:
        values: (batch, *axes).
        mask: bool (batch, time), time being axis 1 of the values.
        importance: the weights of the elements, (batch, *axes).
    """
    flat = rows(values).astype("float32")
    weights = weights_of(values, mask, importance)
    if weights is None:
        return Score(flat.mean(-1), jnp.ones(flat.shape[0], "float32"), flat.shape[1])
    total = jnp.where(weights > 0, flat * weights, 0.0)  # elements of weight 0 may be NaN
    return Score(total.mean(-1), weights.mean(-1), flat.shape[1])


def weights_of(values: Array, mask: Array | None, importance: Array | None) -> Array | None:
    """The weights of the elements of (batch, *axes), float32 (batch, n); None if all weigh 1."""
    found = None if importance is None else rows(importance).astype("float32")
    if mask is None:
        return found
    flat = rows(values)
    repeats = flat.shape[1] // mask.shape[1]
    counted = jnp.broadcast_to(mask[:, :, None], (*mask.shape, repeats)).reshape(flat.shape)  # (batch, time * rest)
    weights: Array = counted.astype("float32") if found is None else jnp.where(counted, found, 0.0)
    return weights
