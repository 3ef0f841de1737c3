"""What a loss is: the values of a batch's examples, and how much each counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from dlc.components.losses.shape_checks import rows
from dlc.ir import TensorType
from dlc.language.options import Options
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array
    from numpy.typing import NDArray


class LossExample(NamedTuple):
    """A worked use: the loss or metric as written, the types of output and target, and the code when they don't fit.

    The target is None where there is none.
    """

    spec: str
    output: str
    target: str | None
    error: str | None = None


class Score(NamedTuple):
    """What a loss gives for each example of a batch; the loss of any set of examples is sum(total) / sum(weight).

    Args:
        total: (batch,) float32, the sum over an example's elements, divided by their number.
        weight: (batch,) float32, what the elements weigh, divided likewise: 1 when all count alike.
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
    """A loss. Its docstring's first line says what it compares: (batch, classes) with (batch,).

    A loss of elements defines `elements`; what an element weighs, `importance`. Another defines `apply`.
    """

    code: ClassVar[str] = "DLC301"
    higher_is_better: ClassVar[bool] = False
    # whether it compares an output with a target, with nothing, or with either
    compares: ClassVar[Literal["always", "never", "either"]] = "always"
    # whether output and target have one time axis, so that one mask holds for both; else `apply` gets `Masks`
    aligned: ClassVar[bool] = True

    @property
    def in_batch(self) -> bool:
        """Whether the loss of an example depends on the others of its batch."""
        return False

    def averages(self) -> bool:
        """Whether it is a mean over the elements of an example, so that it could be their sum."""
        return type(self).elements is not Loss.elements

    def predicts(self, output: TensorType, target: TensorType) -> bool:
        """Whether the output is a prediction of the target, so that it goes by its name and in its unit."""
        return True

    def ignores(self, number: int) -> bool:
        """Whether places with this number in the target count for nothing."""
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
            output: the network's, (batch, *axes).
            target: what it is compared with, of a type that `infer` took.
            mask: bool (batch, time), false where a place is padding and counts for nothing; of a loss that is not
                `aligned` the `Masks` of both sides.
            real: bool (batch,), false where an example only fills the batch; None when none does. It matters to losses
                that compare the examples of a batch.
        """
        shown = output if mask is None else where_there(output, mask)
        return score(self.elements(shown, target), mask, self.importance(target))

    def elements(self, output: Array, target: Array) -> Array:
        """The loss of each element: (batch, *axes)."""
        raise NotImplementedError(f"`{self.word}` has no loss of elements")

    def importance(self, target: Array) -> Array | None:
        """What each element weighs, in the shape of `elements`; None when all weigh 1."""
        return None

    def check_values(self, target: NDArray[Any]) -> None:
        """Check the encoded targets of all records, on the host.

        Raises:
            RuleViolation: DLC403 when the loss makes no sense of them.
        """

    def activate(self, output: Array) -> Array:
        """The prediction that an output means: probabilities from logits; the output itself by default."""
        return output

    def activations(self) -> tuple[str, ...]:
        """The names of what `activate` may apply."""
        return ()


def where_there(output: Array, mask: Array) -> Array:
    """An output with zeros where it is padding: whatever stands there, no gradient comes of it."""
    return jnp.where(mask.reshape(*mask.shape, *(1,) * (output.ndim - 2)), output, 0)


def score(values: Array, mask: Array | None = None, importance: Array | None = None) -> Score:
    """The score of losses of elements.

    Args:
        values: (batch, *axes).
        mask: bool (batch, time), time being axis 1 of the values.
        importance: what the elements weigh, (batch, *axes).
    """
    flat = rows(values).astype("float32")
    weights = weights_of(values, mask, importance)
    if weights is None:
        return Score(flat.mean(-1), jnp.ones(flat.shape[0], "float32"), flat.shape[1])
    total = jnp.where(weights > 0, flat * weights, 0.0)  # what does not count may be NaN
    return Score(total.mean(-1), weights.mean(-1), flat.shape[1])


def weights_of(values: Array, mask: Array | None, importance: Array | None) -> Array | None:
    """What the elements of (batch, *axes) weigh, float32 (batch, n); None when all weigh 1."""
    found = None if importance is None else rows(importance).astype("float32")
    if mask is None:
        return found
    flat = rows(values)
    repeats = flat.shape[1] // mask.shape[1]
    counted = jnp.broadcast_to(mask[:, :, None], (*mask.shape, repeats)).reshape(flat.shape)  # (batch, time * rest)
    weights: Array = counted.astype("float32") if found is None else jnp.where(counted, found, 0.0)
    return weights
