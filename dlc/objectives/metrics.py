"""Metrics, computed over a whole split: they add up statistics over batches, and make one number of them at the end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from dlc.ir import TensorType
from dlc.lazy import jnp
from dlc.objectives.fit import averaged, need_classes, need_pairs, paired
from dlc.objectives.losses import LossExample
from dlc.options import Options, Wrong, main

if TYPE_CHECKING:
    from jax import Array


class Metric(Options):
    """A metric. `statistics` gives numbers per example whose weighted sums `result` turns into the value."""

    code: ClassVar[str] = "DLC302"
    higher_is_better: ClassVar[bool] = True
    ranks: ClassVar[bool] = False  # whether only the order of several scores counts, so that logits do as well

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Check that prediction and target fit.

        Raises:
            Wrong: DLC302 when they don't.
        """
        raise NotImplementedError

    def statistics(self, prediction: Array, target: Array, mask: Array | None = None) -> Array:
        """One number per example: (batch,); with a mask (batch, time) of the places that count.

        The prediction is what the loss's `activate` gave.
        """
        raise NotImplementedError

    def result(self, mean: float) -> float:
        """The metric from the mean of the statistics over the split."""
        return mean


class Accuracy(Metric):
    """(batch, *axes, classes) scores with (batch, *axes) classes: the share of right answers.

    With a single score, (batch, 1), the answer is 1 where the probability is above one half.
    """

    word = "accuracy"
    ranks = True
    threshold: float = main(0.5, ge=0, le=1, description="a single probability above it means class 1")
    examples = (
        LossExample("accuracy", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("accuracy", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("accuracy", "f32[batch, 10]", "f32[batch, 10]"),
        LossExample("accuracy: 0.9", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("accuracy: 0.9", "f32[batch, 10]", "i32[batch]<10", error="DLC303"),
        LossExample("accuracy: 2", "f32[batch, 1]", "i32[batch]<2", error="DLC104"),
        LossExample("accuracy", "f32[batch, 1]", "f32[batch, 1]", error="DLC302"),
        LossExample("accuracy", "f32[batch, 8]", "i32[batch]<10", error="DLC302"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Scores and classes."""
        if target.is_float and (target.rank < 2 or target.shape[-1] == 1):
            hint = "use `mae` or `rmse`, or declare the target as a `category`"
            message = f"`{self.word}` needs a target of classes"
            raise Wrong(self.code, message, found=f"target {target}", expected="a `category`", hint=hint)
        if output.shape[-1] == 1 and target.bound == 2:
            need_pairs(self.code, self.word, output, target)
            return
        need_classes(self.code, self.word, output, target)
        if self.threshold != 0.5:
            message = "`threshold` has no effect on several scores: the largest one is the answer"
            raise Wrong("DLC303", message, found=f"output {output}", hint="remove `threshold`", option="threshold")

    def statistics(self, prediction: Array, target: Array, mask: Array | None = None) -> Array:
        """1 where the answer is right, else 0."""
        if prediction.shape[-1] == 1:
            answer, target = paired(prediction > self.threshold, target)
        else:
            answer = jnp.argmax(prediction, axis=-1)
            if not jnp.issubdtype(target.dtype, jnp.integer):
                target = jnp.argmax(target, axis=-1)
        right = (answer == target).astype(jnp.float32)
        return averaged(right, mask)


class MeanAbsoluteError(Metric):
    """(batch, *axes) with (batch, *axes): the mean of |output - target|, in the target's own unit."""

    word = "mae"
    higher_is_better = False
    examples = (
        LossExample("mae", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("mae", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Numbers of one shape."""
        need_pairs(self.code, self.word, output, target)

    def statistics(self, prediction: Array, target: Array, mask: Array | None = None) -> Array:
        """The mean absolute difference of each example."""
        y, t = paired(prediction, target)
        return averaged(jnp.abs(y - t), mask)


class RootMeanSquaredError(Metric):
    """(batch, *axes) with (batch, *axes): sqrt(mean((output - target)^2)) over the split, in the target's own unit."""

    word = "rmse"
    higher_is_better = False
    examples = (
        LossExample("rmse", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("rmse", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Numbers of one shape."""
        need_pairs(self.code, self.word, output, target)

    def statistics(self, prediction: Array, target: Array, mask: Array | None = None) -> Array:
        """The mean squared difference of each example."""
        y, t = paired(prediction, target)
        return averaged(jnp.square(y - t), mask)

    def result(self, mean: float) -> float:
        """The root of the mean."""
        return math.sqrt(mean)
