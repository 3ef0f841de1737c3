"""Metrics that are means over elements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dlc.ir import TensorType
from dlc.lazy import jnp
from dlc.objectives.fit import need_classes, need_pairs, paired
from dlc.objectives.loss import LossExample
from dlc.objectives.metric import Metric
from dlc.options import Wrong, main

if TYPE_CHECKING:
    from jax import Array


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

    def elements(self, prediction: Array, target: Array) -> Array:
        """1 where the answer is right, else 0."""
        if prediction.shape[-1] == 1:
            answer, target = paired(prediction > self.threshold, target)
        else:
            answer = jnp.argmax(prediction, axis=-1)
            if not jnp.issubdtype(target.dtype, jnp.integer):
                target = jnp.argmax(target, axis=-1)
        right: Array = (answer == target).astype(jnp.float32)
        return right


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

    def elements(self, prediction: Array, target: Array) -> Array:
        """The absolute differences."""
        y, t = paired(prediction, target)
        return jnp.abs(y - t)


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

    def elements(self, prediction: Array, target: Array) -> Array:
        """The squared differences."""
        y, t = paired(prediction, target)
        return jnp.square(y - t)

    def finish(self, mean: float) -> float:
        """The root of the mean."""
        return math.sqrt(mean)
