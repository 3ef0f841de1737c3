"""Metrics of classes that are means over elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.components.losses.loss import LossExample, weights_of
from dlc.components.losses.shape_checks import need_classes, need_pairs, paired, rows
from dlc.components.metrics.class_checks import THRESHOLD, answered, need_answers, need_threshold, true_class
from dlc.components.metrics.metric import Metric, Statistics
from dlc.components.value_ranges import PROBABILITIES
from dlc.ir import TensorType
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class Accuracy(Metric):
    """(batch, *axes, classes) scores with (batch, *axes) classes: the share of correct predictions.

    With a single score, (batch, *axes, 1), the prediction is 1 where the probability is above 0.5.
    """

    word = "accuracy"
    bounded = True
    ranks = True
    threshold: float | None = main(None, ge=0, le=1, description=THRESHOLD)
    examples = (
        LossExample("accuracy", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("accuracy", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("accuracy", "f32[batch, 10]", "f32[batch, 10]"),
        LossExample("accuracy", "f32[batch, 4, 4, 1]", "f32[batch, 4, 4, 1]"),
        LossExample("accuracy: 0.9", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("accuracy: 0.9", "f32[batch, 10]", "i32[batch]<10", error="DLC303"),
        LossExample("accuracy: 2", "f32[batch, 1]", "i32[batch]<2", error="DLC104"),
        LossExample("accuracy", "f32[batch, 1]", "f32[batch, 1]", error="DLC302"),
        LossExample("accuracy", "f32[batch, 8]", "i32[batch]<10", error="DLC302"),
    )

    @property
    def picks(self) -> bool:
        """True: the largest score is the prediction."""
        return True

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Scores and classes."""
        need_answers(self.code, self.word, output, target)
        need_threshold(self.threshold, output)

    def elements(self, prediction: Array, target: Array) -> Array:
        """1 where the answer is right, else 0."""
        answer, truth = answered(prediction, target, self.threshold)
        return (answer == truth).astype("float32")


class TopKAccuracy(Metric):
    """(batch, *axes, classes) scores with (batch, *axes) classes: the share of targets among the k largest scores.

    Ties are resolved in favour of the lower class number, as in `accuracy`.
    """

    word = "top_k_accuracy"
    bounded = True
    ranks = True
    k: int = main(5, ge=1, description="how many of the largest scores count")
    examples = (
        LossExample("top_k_accuracy", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("top_k_accuracy: 2", "f32[batch, 4, 3]", "i32[batch, 4]<3"),
        LossExample("top_k_accuracy: 2", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("top_k_accuracy: 3", "f32[batch, 3]", "i32[batch]<3", error="DLC302"),
        LossExample("top_k_accuracy: 0", "f32[batch, 3]", "i32[batch]<3", error="DLC104"),
        LossExample("top_k_accuracy", "f32[batch, 1]", "i32[batch]<2", error="DLC302"),
    )

    @property
    def picks(self) -> bool:
        """True: the largest scores are the answers."""
        return True

    def infer(self, output: TensorType, target: TensorType) -> None:
        """More scores than k, and classes."""
        need_classes(self.code, self.word, output, target)
        count = output.shape[-1]
        if isinstance(count, int) and self.k >= count:
            message = f"with {count} classes every class is among the {self.k} best"
            given = "k" in self.model_fields_set
            hint = None if given else f"write `top_k_accuracy: {max(1, count - 1)}`; without a number `k` is {self.k}"
            expected = f"`k` below {count}"
            raise RuleViolation(self.code, message, found=f"output {output}", expected=expected, hint=hint, option="k")

    def elements(self, prediction: Array, target: Array) -> Array:
        """1 where the target is among the k best, else 0."""
        return (rank(prediction, target) < self.k).astype("float32")


class MeanReciprocalRank(Metric):
    """(batch, *axes, classes) scores with (batch, *axes) classes: the mean of 1 / the target's rank by score, from 1.

    Ties are resolved in favour of the lower class number, as in `accuracy`. Without a rank, where a score is NaN, it is
    0.
    """

    word = "mean_reciprocal_rank"
    bounded = True
    ranks = True
    examples = (
        LossExample("mean_reciprocal_rank", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("mean_reciprocal_rank", "f32[batch, 8]", "i32[batch]<10", error="DLC302"),
    )

    @property
    def picks(self) -> bool:
        """True: the classes are alternatives."""
        return True

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Scores and classes."""
        need_classes(self.code, self.word, output, target)

    def elements(self, prediction: Array, target: Array) -> Array:
        """1 / place; 0 where the target has none."""
        place = rank(prediction, target)
        return jnp.where(place < prediction.shape[-1], 1 / (1 + place).astype("float32"), 0.0)


def rank(prediction: Array, target: Array) -> Array:
    """The number of classes ranked before the target, (batch, *axes); all of them where a score is NaN."""
    classes = true_class(target)[..., None]
    count = prediction.shape[-1]
    numbers = jnp.arange(count, dtype="int32")
    own = jnp.where(classes == numbers, prediction, -jnp.inf).max(-1, keepdims=True)
    before = (prediction > own) | ((prediction == own) & (numbers < classes))
    position: Array = before.sum(-1)
    known = ((classes >= 0) & (classes < count))[..., 0] & ~jnp.isnan(prediction).any(-1)
    return jnp.where(known, position, count)


class ExactMatch(Metric):
    """(batch, *axes, classes) scores with (batch, *axes) classes: the share of examples without a wrong prediction.

    With `multi_label`, (batch, labels) scores with (batch, labels) of 0 and 1: the share of examples whose labels are
    all correct, scikit-learn's `accuracy_score` of label indicators. Masked positions do not count.
    """

    word = "exact_match"
    ranks = True
    multi_label: bool = main(False, description="whether each score is an independent label")
    threshold: float | None = option(None, ge=0, le=1, description=THRESHOLD)
    examples = (
        LossExample("exact_match", "f32[batch, 4, 3]", "i32[batch, 4]<3"),
        LossExample("exact_match: {multi_label: true}", "f32[batch, 5]", "f32[batch, 5]"),
        LossExample("exact_match: {threshold: 0.3}", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("exact_match: {threshold: 0.3}", "f32[batch, 3]", "i32[batch]<3", error="DLC303"),
        LossExample("exact_match: true", "f32[batch, 5]", "i32[batch]<5", error="DLC302"),
    )

    @property
    def picks(self) -> bool:
        """True, unless each score is a label."""
        return not self.multi_label

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Scores and classes, or labels."""
        need_answers(self.code, self.word, output, target, self.multi_label)
        need_threshold(self.threshold, output, self.multi_label)

    def statistics(self, prediction: Array, target: Array, weights: Array, mask: Array | None = None) -> Statistics:
        """The number of right examples, and of all; fully masked examples do not count."""
        answer, truth = answered(prediction, target, self.threshold, self.multi_label)
        right = (answer == truth).astype("float32")
        counted = weights_of(right, mask, None)
        if counted is not None:
            whole = jnp.where(counted > 0, rows(right), 1.0).min(-1, initial=1.0)
            weights = weights * (counted.sum(-1) > 0)
        else:
            whole = rows(right).min(-1, initial=1.0)
        return {"total": (whole * weights).sum(), "weight": weights.sum()}


class HammingLoss(Metric):
    """(batch, *axes, labels) scores with (batch, *axes, labels) of 0 and 1: the share of wrong labels."""

    word = "hamming_loss"
    bounded = True
    upward = False
    threshold: float | None = main(None, ge=0, le=1, description=THRESHOLD)
    examples = (
        LossExample("hamming_loss", "f32[batch, 5]", "f32[batch, 5]"),
        LossExample("hamming_loss: 0.2", "f32[batch, 4, 5]", "f32[batch, 4, 5]"),
        LossExample("hamming_loss", "f32[batch, 5]", "i32[batch]<5", error="DLC302"),
        LossExample("hamming_loss", "f32[batch, 1]", "f32[batch, 1]", error="DLC302"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """A score for each label."""
        if not target.is_float or target.rank < 2 or output.shape != target.shape or output.shape[-1] == 1:
            message = f"`{self.word}` needs a target of 0 and 1 for each of several labels"
            found, expected = f"output {output}, target {target}", "a `tensor` of the output's shape"
            hint = "for classes use `accuracy`: the share of wrong ones is 1 - `accuracy`"
            raise RuleViolation(self.code, message, found=found, expected=expected, hint=hint)
        need_pairs(self.code, self.word, output, target)

    def elements(self, prediction: Array, target: Array) -> Array:
        """1 where a label is wrong, else 0."""
        answer, truth = answered(prediction, target, self.threshold, multi_label=True)
        return (answer != truth).astype("float32")


class LogLoss(Metric):
    """(batch, *axes, classes) scores with (batch, *axes) classes: the mean of -log p(target), the natural logarithm.

    The target may also be rows of probabilities. With a single score, (batch, *axes, 1), and two classes or targets
    between 0 and 1: -(t log p + (1 - t) log(1 - p)). Label smoothing and weights of the loss are not applied.
    """

    word = "log_loss"
    domain = PROBABILITIES
    upward = False
    logs = True
    examples = (
        LossExample("log_loss", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("log_loss", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("log_loss", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("log_loss", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("log_loss", "f32[batch, 8]", "i32[batch]<10", error="DLC302"),
    )

    @property
    def picks(self) -> bool:
        """True: one class holds."""
        return True

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Scores and classes."""
        if output.shape[-1] == 1 and (target.bound == 2 or target.is_float):
            need_pairs(self.code, self.word, output, target)
        else:
            need_classes(self.code, self.word, output, target)

    def elements(self, prediction: Array, target: Array) -> Array:
        """-log p(target)."""
        if prediction.shape[-1] == 1:
            odds, t = paired(prediction, target)
            likely: Array = jnp.maximum(odds, 0) - t * odds + jnp.log1p(jnp.exp(-jnp.abs(odds)))
            return likely.reshape(prediction.shape)
        return surprise(prediction, target)


def surprise(logs: Array, target: Array) -> Array:
    """-log p(target) of log-probabilities (batch, *axes, classes): (batch, *axes); NaN without a class or score."""
    logs = logs.astype("float32")
    defined = ~jnp.isnan(logs).any(-1)
    if not jnp.issubdtype(target.dtype, jnp.integer):
        return -jnp.where(defined, jnp.where(target > 0, logs * target, 0.0).sum(-1), jnp.nan)  # 0 log 0 is 0
    chosen = target[..., None] == jnp.arange(logs.shape[-1], dtype=target.dtype)
    known = (target >= 0) & (target < logs.shape[-1])
    return -jnp.where(known & defined, jnp.where(chosen, logs, 0.0).sum(-1), jnp.nan)


class Brier(Metric):
    """(batch, *axes, classes) scores with (batch, *axes) classes: the mean of sum((p - target)^2), target one-hot.

    With a single score, (batch, *axes, 1), or with two classes, it is (p - target)^2 of the second class, half of the
    above: from 0 to 1, as in scikit-learn's `brier_score_loss` (Brier 1950).
    """

    word = "brier"
    domain = PROBABILITIES
    bounded = True
    upward = False
    examples = (
        LossExample("brier", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("brier", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("brier", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("brier", "f32[batch, 8]", "i32[batch]<10", error="DLC302"),
        LossExample("brier", "f32[batch, 1]", "f32[batch, 1]", error="DLC302"),
    )

    @property
    def picks(self) -> bool:
        """True: one class holds."""
        return True

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Probabilities and classes."""
        need_answers(self.code, self.word, output, target)

    def elements(self, prediction: Array, target: Array) -> Array:
        """The squared distances."""
        if prediction.shape[-1] == 1:
            y, t = paired(prediction, target)
            return jnp.square(y - t).reshape(prediction.shape)
        count = prediction.shape[-1]
        truth = jax.nn.one_hot(target, count) if jnp.issubdtype(target.dtype, jnp.integer) else target
        return jnp.square(prediction - truth).sum(-1) / (2 if count == 2 else 1)
