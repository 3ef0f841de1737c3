"""What a metric is: a value of a whole split, from statistics that add up, or from all answers at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from dlc.components.losses.loss import score
from dlc.ir import TensorType
from dlc.language.options import Options
from dlc.support.lazy import jnp, np

if TYPE_CHECKING:
    from jax import Array
    from numpy.typing import NDArray

Statistics = Mapping[str, Any]  # arrays by name


class Metric(Options):
    """A metric. Most are means over elements, and define `elements` and, to end with, `finish`.

    Others define `statistics`, which gives sums over a batch that add up over batches, and `result`, which makes the
    value of their sums over the split; a metric whose statistics don't add defines `merge`, too. One that needs all
    answers at once sets `collected` and defines `judge`; it has no value on the split that is being trained on.
    """

    code: ClassVar[str] = "DLC302"
    upward: ClassVar[bool] = True  # whether a higher value is better
    # whether only the order of alternatives (`picks`) counts, so that logits do as well
    ranks: ClassVar[bool] = False
    # whether its prediction is logarithms: log p of several scores, log(p / (1 - p)) of a single one
    logs: ClassVar[bool] = False
    collected: ClassVar[bool] = False

    @property
    def rises(self) -> bool:
        """Whether a higher value is better."""
        return type(self).upward

    @property
    def picks(self) -> bool:
        """Whether it takes several scores as alternatives, of which one holds."""
        return False

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Check that prediction and target fit.

        Raises:
            RuleViolation: DLC302 when they don't.
        """
        raise NotImplementedError

    def statistics(self, prediction: Array, target: Array, weights: Array, mask: Array | None = None) -> Statistics:
        """The sums of a batch, arrays by name; the default: of the elements' values and of what they weigh.

        Args:
            prediction: what the loss's `activate` made of the output, in the user's unit, (batch, *axes).
            target: in the user's unit.
            weights: (batch,) float32, what each example counts: 0 for one that only fills the batch.
            mask: bool (batch, time), false where a place is padding.
        """
        found = score(self.elements(prediction, target), mask, self.importance(target))
        total = jnp.where(weights != 0, found.total * weights, 0.0)  # what does not count may be infinite
        return {"total": total.sum(), "weight": (found.weight * weights).sum()}

    def elements(self, prediction: Array, target: Array) -> Array:
        """The value of each element: (batch, *axes)."""
        raise NotImplementedError(f"`{self.word}` has no value of elements")

    def importance(self, target: Array) -> Array | None:
        """What each element weighs, in the shape of `elements`; None when all weigh 1."""
        return None

    def merge(self, first: Statistics, second: Statistics) -> Statistics:
        """The statistics of two sets of examples together, of jax's or numpy's arrays; the sums by default."""
        return {name: first[name] + second[name] for name in first}

    def result(self, statistics: Statistics) -> float:
        """The value from the statistics of the split, numpy's arrays in float64; NaN when nothing counted."""
        weight = float(statistics["weight"])
        return self.finish(float(statistics["total"]) / weight) if weight else float("nan")

    def finish(self, mean: float) -> float:
        """The value from the mean over the elements."""
        return mean

    def judge(self, prediction: NDArray[Any], target: NDArray[Any], weights: NDArray[Any]) -> float:
        """The value of a collected metric.

        Args:
            prediction: of the whole split, (n, *axes).
            target: likewise.
            weights: what each example counts, (n,), or with a mask each place, (n, time); 0 for padding. float64.
        """
        raise NotImplementedError(f"`{self.word}` judges nothing")


def spread(weights: Any, mask: Any, shape: tuple[int, ...]) -> Any:
    """What the elements of (batch, *axes) weigh, in that shape; of jax's or numpy's arrays.

    Args:
        weights: what each example counts, (batch,), or each place, (batch, time).
        mask: bool (batch, time), time being axis 1, or None.
        shape: of the elements.
    """
    arrays = np if isinstance(weights, np.ndarray) else jnp
    found = weights.reshape(*weights.shape, *(1,) * (len(shape) - weights.ndim))
    if mask is not None:
        found = found * mask.reshape(*mask.shape, *(1,) * (len(shape) - mask.ndim))
    return arrays.broadcast_to(found, shape)
