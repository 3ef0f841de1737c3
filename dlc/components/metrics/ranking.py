"""Metrics of how well scores order examples; they need all predictions at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.components.losses.loss import LossExample
from dlc.components.metrics.class_checks import need_answers
from dlc.components.metrics.metric import Metric, spread
from dlc.ir import TensorType
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Ordering(Metric):
    """Shared by metrics of the order of scores: a value for each class against all others, and their mean."""

    logs = True  # probabilities near 1 become equal in float32, their logarithms don't
    collected = True

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Scores and classes, or rows of 0 and 1."""
        need_answers(self.code, self.word, output, target)

    def judge(self, prediction: NDArray[Any], target: NDArray[Any], weights: NDArray[Any]) -> float:
        """The mean over the classes that have a value; NaN if none has."""
        single = prediction.shape[-1] == 1
        shape = prediction.shape[:-1]
        scores = np.asarray(prediction, np.float64).reshape(-1, prediction.shape[-1])
        counted = spread(weights, None, shape).reshape(-1)
        if target.dtype.kind in "iub":
            truth = target.reshape(-1, 1) == (1 if single else np.arange(scores.shape[1]))
        else:
            truth = target.reshape(scores.shape) > 0.5
        scores, truth, counted = scores[counted > 0], truth[counted > 0], counted[counted > 0]
        if np.isnan(scores).any():
            return float("nan")
        scores = np.nan_to_num(scores)  # infinite ones are the largest numbers
        if scores.shape[1] == 2 and (truth[:, 0] != truth[:, 1]).all():  # two classes: one value
            scores, truth = scores[:, 1:], truth[:, 1:]
        values = [self.of_class(truth[:, i], scores[:, i], counted) for i in range(scores.shape[1])]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else float("nan")

    def of_class(self, truth: NDArray[Any], scores: NDArray[Any], weights: NDArray[Any]) -> float | None:
        """The value of a class from arrays (n,) of bool, float64 and float64; None if it has none."""
        raise NotImplementedError(f"`{self.word}` defines no value of a class")


class RocAuc(Ordering):
    """(batch, classes) scores with (batch,) classes: the area under the ROC curve, each class against all others.

    That is the probability that an example of the class has a higher score for it than another one; the mean over the
    classes. Classes that no example has, or every one, are skipped; it has no value if all are. For two classes it is
    that of the second, and a single score, (batch, 1), suffices; rows of 0 and 1 need as many scores, one for each
    class or label.
    """

    word = "roc_auc"
    examples = (
        LossExample("roc_auc", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("roc_auc", "f32[batch, 3]", "i32[batch]<3"),
        LossExample("roc_auc", "f32[batch, 4, 4, 1]", "i32[batch, 4, 4]<2"),
        LossExample("roc_auc", "f32[batch, 1]", "f32[batch, 1]", error="DLC302"),
        LossExample("roc_auc", "f32[batch, 8]", "i32[batch]<10", error="DLC302"),
    )

    def of_class(self, truth: NDArray[Any], scores: NDArray[Any], weights: NDArray[Any]) -> float | None:
        """The area of a class that some examples have and others do not."""
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(truth, scores, sample_weight=weights)) if truth.any() and not truth.all() else None


class PrAuc(Ordering):
    """(batch, classes) scores with (batch,) classes: the average precision, each class against all others.

    The sum over thresholds of precision times the gain in recall, which is the area under the precision-recall curve
    without interpolation; the mean over the classes. Classes that no example has are skipped; it has no value if all
    are. For two classes it is that of the second, and a single score, (batch, 1), suffices; rows of 0 and 1 need as
    many scores, one for each class or label.
    """

    word = "pr_auc"
    examples = (
        LossExample("pr_auc", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("pr_auc", "f32[batch, 3]", "i32[batch]<3"),
        LossExample("pr_auc", "f32[batch, 4, 4, 1]", "f32[batch, 4, 4, 1]"),
        LossExample("pr_auc", "f32[batch, 1]", "f32[batch, 1]", error="DLC302"),
    )

    def of_class(self, truth: NDArray[Any], scores: NDArray[Any], weights: NDArray[Any]) -> float | None:
        """The average precision of a class that some examples have."""
        from sklearn.metrics import average_precision_score

        return float(average_precision_score(truth, scores, sample_weight=weights)) if truth.any() else None
