"""The interface of metrics: a value of a whole split, from additive statistics or from all predictions at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from dlc.components.losses.loss import score, wrong_elements
from dlc.components.sums import in_units, whole
from dlc.components.value_ranges import Domain, ValueRange, need_domain
from dlc.ir import TensorType, over
from dlc.language.options import Options
from dlc.support.lazy import jnp, np

if TYPE_CHECKING:
    from jax import Array
    from numpy.typing import NDArray

Statistics = Mapping[str, Any]  # arrays by name


class Metric(Options):
    """A metric. Most are means over elements: they define `elements` and optionally `finish`.

    Sums of elements neither overflow nor underflow, whatever the unit of the values: each has three parts, in the units
    2^-170, 1 and 2^170. A metric of squares returns the values to be squared from `elements`, and sets `power` to 2.

    Others define `statistics`, which returns sums over a batch, and `result`, which computes the value from their sums
    over the split; a metric whose statistics are not additive also defines `merge`. A metric that needs all answers at
    once sets `collected` and defines `judge`; it has no value on the split that is being trained on.
    """

    code: ClassVar[str] = "DLC302"
    upward: ClassVar[bool] = True  # whether a higher value is better
    # whether only the order of alternatives (`picks`) counts, so that logits suffice
    ranks: ClassVar[bool] = False
    # whether its prediction is logarithms: log p of several scores, log(p / (1 - p)) of a single one
    logs: ClassVar[bool] = False
    collected: ClassVar[bool] = False
    # whether `elements` are about 0 to 1, whatever the unit: their sums have a single part
    bounded: ClassVar[bool] = False
    # the power of `elements` that is averaged
    power: ClassVar[int] = 1
    # whether it compares what a loss decodes: the prediction is then tokens (batch, time), -1 where there is none, in
    # `infer` as well; the target has a length of its own, and the mask is that of the target
    sequences: ClassVar[bool] = False
    # whether it depends on the range of the target's values, in the user's unit: it has an option `max_value`
    ranged: ClassVar[bool] = False
    # the values of real-valued targets, in the user's unit, for which it is defined
    domain: ClassVar[Domain | None] = None
    # whether a constant added to prediction and target changes nothing: it gets values without the offset of their unit
    shift_invariant: ClassVar[bool] = False

    @property
    def default_name(self) -> str:
        """Its name in reports, unless the spec gives it one: `recall@0.2` with a threshold of its own."""
        threshold = getattr(self, "threshold", None)
        return self.word if threshold is None else f"{self.word}@{threshold:g}"

    @property
    def rises(self) -> bool:
        """Whether a higher value is better."""
        return type(self).upward

    @property
    def picks(self) -> bool:
        """Whether several scores are alternatives, one of which holds."""
        return False

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Check that prediction and target fit.

        Raises:
            RuleViolation: DLC302 when they don't.
        """
        raise NotImplementedError

    def check_values(self, target: NDArray[Any]) -> None:
        """Check the targets of all records in the user's unit, on the host; by default against the `domain`.

        Raises:
            RuleViolation: DLC403 when the metric is not defined for them.
        """
        need_domain(self.word, self.domain, target)

    def own_range(self) -> ValueRange | None:
        """The range of values that the options state, if it is `ranged`; None if it is that of the target."""
        return None

    def within(self, values: ValueRange) -> Metric:
        """The metric for targets that lie in a range, in the user's unit."""
        return self

    def statistics(self, prediction: Array, target: Array, weights: Array, mask: Array | None = None) -> Statistics:
        """The sums of a batch, arrays by name; by default of the elements' weighted values and of their weights.

        Args:
            prediction: the output after the loss's `activate`, in the user's unit, (batch, *axes).
            target: in the user's unit.
            weights: (batch,) float32, the weight of each example: 0 for one that only fills the batch.
            mask: bool (batch, time), false at padding.
        """
        importance = self.importance(target)
        parts = [self.elements(prediction, target)] if self.bounded else self.parts(prediction, target)
        scores = [score(part, mask, importance) for part in parts]
        # elements of weight 0 may be infinite
        totals = [jnp.where(weights != 0, found.total * weights, 0.0).sum() for found in scores]
        total = totals[0] if self.bounded else jnp.stack(totals)
        return {"total": total, "weight": (scores[0].weight * weights).sum()}

    def parts(self, prediction: Array, target: Array) -> tuple[Array, Array, Array]:
        """The values that are averaged, in three parts (batch, *axes), of which at most one is not 0."""
        return in_units(self.elements(prediction, target), self.power)

    def elements(self, prediction: Array, target: Array) -> Array:
        """The value of each element: (batch, *axes)."""
        raise NotImplementedError(f"`{self.word}` defines no values of elements")

    def importance(self, target: Array) -> Array | None:
        """The weight of each element, in the shape of `elements`; None if all weigh 1."""
        return None

    def wrong_result(self, method: str, inputs: tuple[Any, ...], result: Any) -> str | None:
        """A mean over the batch, for example, would count as the value of one example."""
        return wrong_elements(result, inputs[0]) if method == "elements" and inputs else None

    def merge(self, first: Statistics, second: Statistics) -> Statistics:
        """The merged statistics of two sets of examples, as jax or numpy arrays; the sums by default."""
        return {name: first[name] + second[name] for name in first}

    def result(self, statistics: Statistics) -> float:
        """The value from the statistics of the split, numpy arrays in float64; NaN without any elements."""
        weight = float(statistics["weight"])
        return self.finish(whole(statistics["total"]) / weight) if weight else float("nan")

    def finish(self, mean: float) -> float:
        """The value from the mean over the elements."""
        return mean

    def judge(self, prediction: NDArray[Any], target: NDArray[Any], weights: NDArray[Any]) -> float:
        """The value of a collected metric.

        Args:
            prediction: the predictions of the whole split, (n, *axes).
            target: the targets of the whole split.
            weights: weights of examples, (n,), or with a mask of positions, (n, time), float64; 0 at padding.
        """
        raise NotImplementedError(f"`{self.word}` defines no value of all answers")


def spread(weights: Any, mask: Any, shape: tuple[int, ...]) -> Any:
    """The weights of the elements of (batch, *axes), in that shape, as jax or numpy arrays.

    Args:
        weights: the weight of each example, (batch,), or of each position, (batch, time).
        mask: bool (batch, time), time being axis 1, or None.
        shape: the shape of the elements.
    """
    arrays = np if isinstance(weights, np.ndarray) else jnp
    found = over(weights, len(shape))
    if mask is not None:
        found = found * over(mask, len(shape))
    return arrays.broadcast_to(found, shape)
