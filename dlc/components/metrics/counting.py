"""Metrics from counts of correct, predicted and true classes.

These three counts are the diagonal and the margins of the confusion matrix. All metrics here follow from them, and they
take far less memory than the matrix, also for maps and large vocabularies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from dlc.components.losses.loss import LossExample
from dlc.components.losses.shape_checks import rows
from dlc.components.metrics.class_checks import THRESHOLD, answered, need_answers, need_threshold
from dlc.components.metrics.metric import Metric, Statistics, spread
from dlc.ir import TensorType
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jnp, np

if TYPE_CHECKING:
    from jax import Array
    from numpy.typing import NDArray

Average = Literal["binary", "macro", "micro", "weighted"] | None
_OVER = "over the classes: `binary` (only class 1), `macro`, `micro` or `weighted`"
_AVERAGE = f"{_OVER}; default: `binary` for two classes, else `macro`"
_LABELS = "whether each score is an independent label"


class Counting(Metric):
    """Shared by metrics of counts: `statistics` are `right`, `answered`, `true` and `undefined`, (classes,) each.

    An answer whose score is NaN is no class: `undefined` counts those whose true class is another one. `weight` is the
    number of positions. Counts are exact within an example and are weighted afterwards.
    """

    ranks = True
    threshold: float | None = option(None, ge=0, le=1, description=THRESHOLD)

    @property
    def labels(self) -> bool:
        """Whether each score is an independent label."""
        return False

    @property
    def picks(self) -> bool:
        """True, unless each score is a label."""
        return not self.labels

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Scores and classes, or labels."""
        self.check(need_answers(self.code, self.word, output, target, self.labels), output)
        need_threshold(self.threshold, output, self.labels)

    def check(self, classes: int, output: TensorType) -> None:
        """Check the options against the number of classes."""

    def statistics(self, prediction: Array, target: Array, weights: Array, mask: Array | None = None) -> Statistics:
        """The counts of a batch."""
        answer, truth = answered(prediction, target, self.threshold, self.labels)
        if self.labels:
            chosen, true = answer > 0, truth > 0  # (batch, *axes, labels)
        else:
            classes = jnp.arange(max(2, prediction.shape[-1]), dtype="int32")
            chosen, true = answer[..., None] == classes, truth[..., None] == classes  # (batch, *axes, classes)
        positions = spread(jnp.ones(weights.shape, "float32"), mask, chosen.shape[:-1])
        counted = rows(positions)[..., None] > 0  # (batch, n, 1)
        shape = (*counted.shape[:-1], chosen.shape[-1])

        def total(here: Array) -> Array:
            within = (here.reshape(shape) & counted).sum(1).astype("float32")  # (batch, classes), whole numbers
            summed: Array = (within * weights[:, None]).sum(0)
            return summed

        return {
            "right": total(chosen & true),
            "answered": total(chosen),
            "true": total(true),
            "undefined": total((answer if self.labels else answer[..., None]) < jnp.where(true, -1, 0)),
            "weight": (rows(positions).sum(-1) * weights).sum(),
        }

    def result(self, statistics: Statistics) -> float:
        """The value from the counts; NaN without any."""
        counts = {name: np.asarray(value, np.float64) for name, value in statistics.items()}
        return float(self.of_counts(counts)) if counts["weight"] else float("nan")

    def of_counts(self, counts: dict[str, NDArray[Any]]) -> float:
        """The value from `right`, `answered`, `true` and `weight`."""
        raise NotImplementedError(f"`{self.word}` defines no value of counts")


class Averaged(Counting):
    """Shared by metrics that average a ratio of counts over the classes."""

    average: Average = main(None, description=_AVERAGE)
    multi_label: bool = option(False, description=_LABELS)

    @property
    def labels(self) -> bool:
        """The option's value."""
        return self.multi_label

    def check(self, classes: int, output: TensorType) -> None:
        """`binary` needs two classes."""
        if self.average == "binary" and (classes != 2 or self.multi_label):
            count = f"{classes} {'labels' if self.multi_label else 'classes'}"
            message, hint = "`average: binary` needs two classes", "write `macro`, `micro` or `weighted`"
            raise RuleViolation(self.code, message, found=f"{count}, output {output}", hint=hint, option="average")

    def ratio(self, counts: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Numerator and denominator of each class."""
        raise NotImplementedError(f"`{self.word}` defines no ratio")

    def of_counts(self, counts: dict[str, NDArray[Any]]) -> float:
        """The average; a ratio with denominator 0 is 0, as in scikit-learn."""
        above, below = self.ratio(counts)
        average = self.average or ("binary" if len(above) == 2 and not self.multi_label else "macro")
        if average == "micro":
            return _share(above.sum(), below.sum())
        values = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
        if average == "binary":
            return float(values[1])
        if average == "weighted":
            return _share((values * counts["true"]).sum(), counts["true"].sum())
        # classes that are never true nor answered are skipped, as in scikit-learn; labels are not
        present = np.full(len(above), True) if self.multi_label else counts["true"] + counts["answered"] > 0
        return float(values[present].mean())


def _share(above: Any, below: Any) -> float:
    return float(above / below) if below > 0 else 0.0


class Precision(Averaged):
    """(batch, *axes, classes) scores with (batch, *axes) classes: correct / predicted, of one class or averaged.

    A single score, (batch, *axes, 1), is valid for two classes. A class that is never predicted counts as 0.
    """

    word = "precision"
    examples = (
        LossExample("precision", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("precision: {threshold: 0.7}", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("precision: micro", "f32[batch, 4, 4, 3]", "i32[batch, 4, 4]<3"),
        LossExample("precision: {multi_label: true}", "f32[batch, 5]", "f32[batch, 5]"),
        LossExample("precision: binary", "f32[batch, 10]", "i32[batch]<10", error="DLC302"),
        LossExample("precision: {threshold: 0.7}", "f32[batch, 10]", "i32[batch]<10", error="DLC303"),
        LossExample("precision: samples", "f32[batch, 10]", "i32[batch]<10", error="DLC104"),
        LossExample("precision", "f32[batch, 1]", "f32[batch, 1]", error="DLC302"),
    )

    def ratio(self, counts: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Right, answered."""
        return counts["right"], counts["answered"]


class Recall(Averaged):
    """(batch, *axes, classes) scores with (batch, *axes) classes: correct / true, of one class or averaged.

    A single score, (batch, *axes, 1), is valid for two classes; it is then the sensitivity. A class that never occurs
    counts as 0.
    """

    word = "recall"
    examples = (
        LossExample("recall", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("recall: {threshold: 0.7}", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("recall: weighted", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("recall: {average: macro, multi_label: true}", "f32[batch, 5]", "f32[batch, 5]"),
        LossExample("recall: {average: binary, multi_label: true}", "f32[batch, 2]", "f32[batch, 2]", error="DLC302"),
        LossExample("recall", "f32[batch, 8]", "i32[batch]<10", error="DLC302"),
    )

    def ratio(self, counts: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Right, true."""
        return counts["right"], counts["true"]


class Specificity(Averaged):
    """(batch, *axes, classes) scores with (batch, *axes) classes: true negatives / all negatives.

    The negatives are the examples of other classes; of one class or averaged over classes. A single score,
    (batch, *axes, 1), is valid for two classes. A class that all examples have counts as 0.
    """

    word = "specificity"
    examples = (
        LossExample("specificity", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("specificity", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("specificity", "f32[batch, 8]", "i32[batch]<10", error="DLC302"),
    )

    def ratio(self, counts: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The true negatives, and all that are not true."""
        others, wrong = counts["weight"] - counts["true"], counts["answered"] - counts["right"]
        return others - wrong - counts["undefined"], others


class FBeta(Averaged):
    """(batch, *axes, classes) scores with (batch, *axes) classes: (1 + beta^2) correct / (beta^2 true + predicted).

    That is the harmonic mean of recall and precision with weights beta^2 and 1 (van Rijsbergen 1979).
    """

    word = "f_beta"
    beta: float = option(description="how many times more recall counts than precision", gt=0)
    examples = (
        LossExample("f_beta: {beta: 2}", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("f_beta: {beta: 0.5, average: macro}", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("f_beta", "f32[batch, 1]", "i32[batch]<2", error="DLC102"),
        LossExample("f_beta: {beta: 0}", "f32[batch, 1]", "i32[batch]<2", error="DLC104"),
        LossExample("f_beta: {beta: 2}", "f32[batch, 8]", "i32[batch]<10", error="DLC302"),
    )

    def ratio(self, counts: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """(1 + beta^2) right, beta^2 true + answered."""
        square = self.beta**2
        return (1 + square) * counts["right"], square * counts["true"] + counts["answered"]


class F1(Averaged):
    """(batch, *axes, classes) scores with (batch, *axes) classes: 2 correct / (true + predicted).

    That is the harmonic mean of precision and recall, of one class or averaged. A single score,
    (batch, *axes, 1), is valid for two classes.
    """

    word = "f1"
    examples = (
        LossExample("f1", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("f1: {threshold: 0.3}", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("f1: macro", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("f1: {average: weighted, multi_label: true}", "f32[batch, 5]", "f32[batch, 5]"),
        LossExample("f1: {multi_label: true}", "f32[batch, 5]", "i32[batch]<5", error="DLC302"),
        LossExample("f1", "f32[batch, 1]", "f32[batch, 1]", error="DLC302"),
    )

    def ratio(self, counts: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """2 right, true + answered."""
        return 2 * counts["right"], counts["true"] + counts["answered"]


class Dice(Averaged):
    """(batch, height, width, classes) scores with (batch, height, width) classes: 2 |A and B| / (|A| + |B|).

    A and B are the pixels that are predicted and true, over the whole split: the Dice coefficient of predicted classes,
    which is `f1` over pixels. Maps of 0 and 1, (batch, height, width, 1), need a single score.
    """

    word = "dice"
    examples = (
        LossExample("dice", "f32[batch, 4, 4, 3]", "i32[batch, 4, 4]<3"),
        LossExample("dice", "f32[batch, 4, 4, 1]", "f32[batch, 4, 4, 1]"),
        LossExample("dice", "f32[batch, 4, 4, 3]", "i32[batch, 4, 4]<4", error="DLC302"),
    )

    def ratio(self, counts: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """2 right, true + answered."""
        return 2 * counts["right"], counts["true"] + counts["answered"]


class MeanIoU(Averaged):
    """(batch, height, width, classes) scores with (batch, height, width) classes: |A and B| / |A or B|, the mean.

    A and B are the pixels that are predicted and true, over the whole split: the Jaccard index of each class, averaged
    over the classes that occur; `macro` by default. Maps of 0 and 1 need a single score.
    """

    word = "mean_iou"
    average: Average = main("macro", description=_OVER)
    examples = (
        LossExample("mean_iou", "f32[batch, 4, 4, 3]", "i32[batch, 4, 4]<3"),
        LossExample("mean_iou", "f32[batch, 4, 4, 1]", "f32[batch, 4, 4, 1]"),
        LossExample("mean_iou: weighted", "f32[batch, 3]", "i32[batch]<3"),
        LossExample("mean_iou", "f32[batch, 4, 4, 3]", "i32[batch, 4, 4]<4", error="DLC302"),
    )

    def ratio(self, counts: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Both, either."""
        return counts["right"], counts["true"] + counts["answered"] - counts["right"]


class IoU(Counting):
    """(batch, height, width, classes) scores with (batch, height, width) classes: |A and B| / |A or B| of one class.

    A and B are the pixels where the class is predicted and true, over the whole split: its Jaccard index, 0 if it does
    not occur. Maps of 0 and 1, (batch, height, width, 1), need a single score.
    """

    word = "iou"
    index: int = main(1, ge=0, description="the number of the class")
    examples = (
        LossExample("iou: 2", "f32[batch, 4, 4, 3]", "i32[batch, 4, 4]<3"),
        LossExample("iou", "f32[batch, 4, 4, 1]", "f32[batch, 4, 4, 1]"),
        LossExample("iou: {index: 0, threshold: 0.3}", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("iou: 3", "f32[batch, 4, 4, 3]", "i32[batch, 4, 4]<3", error="DLC302"),
    )

    def check(self, classes: int, output: TensorType) -> None:
        """The class must exist."""
        if self.index >= classes:
            message, expected = f"there is no class {self.index}", f"a number from 0 to {classes - 1}"
            raise RuleViolation(self.code, message, found=f"output {output}", expected=expected, option="index")

    def of_counts(self, counts: dict[str, NDArray[Any]]) -> float:
        """Both, either."""
        right, true, chosen = (counts[name][self.index] for name in ("right", "true", "answered"))
        return _share(right, true + chosen - right)


class BalancedAccuracy(Counting):
    """(batch, *axes, classes) scores with (batch, *axes) classes: the mean over the true classes of their recall.

    A single score, (batch, *axes, 1), is valid for two classes. Classes that do not occur in the split are skipped.
    """

    word = "balanced_accuracy"
    threshold: float | None = main(None, ge=0, le=1, description=THRESHOLD)
    examples = (
        LossExample("balanced_accuracy", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("balanced_accuracy: 0.3", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("balanced_accuracy", "f32[batch, 1]", "f32[batch, 1]", error="DLC302"),
    )

    def of_counts(self, counts: dict[str, NDArray[Any]]) -> float:
        """The mean of right / true."""
        there = counts["true"] > 0
        return float((counts["right"][there] / counts["true"][there]).mean()) if there.any() else float("nan")


class CohenKappa(Counting):
    """(batch, *axes, classes) scores with (batch, *axes) classes: 1 - observed / expected disagreement (Cohen 1960).

    Expected is the disagreement of random predictions with the same frequencies. With `weights` a wrong prediction
    counts by its distance |i - j| between ordered classes, or its square. Undefined when all predictions and all
    classes are the same.
    """

    word = "cohen_kappa"
    weights: Literal["none", "linear", "quadratic"] = main("none", description="how a wrong prediction counts")
    examples = (
        LossExample("cohen_kappa", "f32[batch, 3]", "i32[batch]<3"),
        LossExample("cohen_kappa: quadratic", "f32[batch, 5]", "i32[batch]<5"),
        LossExample("cohen_kappa: {threshold: 0.3}", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("cohen_kappa: linear", "f32[batch, 1]", "i32[batch]<2", error="DLC303"),
        LossExample("cohen_kappa: cubic", "f32[batch, 5]", "i32[batch]<5", error="DLC104"),
        LossExample("cohen_kappa", "f32[batch, 1]", "f32[batch, 1]", error="DLC302"),
    )

    def check(self, classes: int, output: TensorType) -> None:
        """Distances need at least three classes."""
        if self.weights != "none" and classes == 2:
            message, hint = "`weights` has no effect on two classes", "remove it"
            raise RuleViolation("DLC303", message, found=f"output {output}", hint=hint, option="weights")

    def statistics(self, prediction: Array, target: Array, weights: Array, mask: Array | None = None) -> Statistics:
        """The counts, and the sum of the distances."""
        found = super().statistics(prediction, target, weights, mask)
        answer, truth = answered(prediction, target, self.threshold)
        positions = spread(weights, mask, answer.shape)
        distance = self.distance(answer - truth).astype("float32")
        if self.weights != "none":
            distance = jnp.where(answer < 0, jnp.nan, distance)
        return {**found, "distance": jnp.where(positions > 0, distance * positions, 0.0).sum()}

    def distance(self, difference: Any) -> Any:
        """The weight of an answer that is off by so many classes; an undefined answer has no distance."""
        return {"none": difference != 0, "linear": abs(difference), "quadratic": difference * difference}[self.weights]

    def of_counts(self, counts: dict[str, NDArray[Any]]) -> float:
        """1 - observed / expected."""
        true, chosen = _shares(counts)
        numbers = np.arange(len(true))
        if self.weights == "none":
            expected = 1 - true @ chosen
        else:
            expected = (np.outer(true, chosen) * self.distance(numbers[:, None] - numbers)).sum()
        return float(1 - counts["distance"] / counts["weight"] / expected) if expected > 0 else float("nan")


class Matthews(Counting):
    """(batch, *axes, classes) scores with (batch, *axes) classes: the correlation of predictions and classes, -1 to 1.

    The Matthews coefficient, for several classes as in Gorodkin (2004); 0 when all predictions or all classes are the
    same. A single score, (batch, *axes, 1), is valid for two classes.
    """

    word = "matthews"
    threshold: float | None = main(None, ge=0, le=1, description=THRESHOLD)
    examples = (
        LossExample("matthews", "f32[batch, 3]", "i32[batch]<3"),
        LossExample("matthews: 0.3", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("matthews", "f32[batch, 8]", "i32[batch]<10", error="DLC302"),
    )

    def of_counts(self, counts: dict[str, NDArray[Any]]) -> float:
        """The covariance over the root of the variances."""
        true, chosen = _shares(counts)
        spreads = (1 - chosen @ chosen) * (1 - true @ true)
        together = counts["right"].sum() / counts["true"].sum() - true @ chosen
        return float(together / np.sqrt(spreads)) if spreads > 0 else 0.0


def _shares(counts: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """How often each class is true, and how often answered, with the undefined answers as a class of their own.

    Exactly 1 for the only class.
    """
    true, chosen = counts["true"], counts["answered"]
    answers = np.append(chosen, counts["undefined"].sum() / (len(true) - 1))
    return np.append(true / true.sum(), 0.0), answers / answers.sum()
