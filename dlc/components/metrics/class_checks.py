"""Shared by metrics of classes: which outputs and targets they accept, and the classes of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.components.losses.shape_checks import need_classes, need_pairs, need_real_output
from dlc.ir import TensorType
from dlc.language.options import RuleViolation
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array

THRESHOLD = "a probability above this means class 1, or that a label is present; default: the `threshold` of the target"


def need_answers(code: str, word: str, output: TensorType, target: TensorType, multi_label: bool = False) -> int:
    """The number of classes, 2 for a single score; with `multi_label`, the number of labels.

    Accepts scores (batch, *axes, classes) with classes (batch, *axes) or rows of one probability per class; a single
    score (batch, *axes, 1) with two classes; maps (batch, *axes, 1) of 0 and 1; with `multi_label` scores and targets
    (batch, *axes, labels), each right or wrong by itself.

    Raises:
        RuleViolation: DLC302 for other types.
    """
    if multi_label:
        need_real_output(code, word, output)
        if not target.is_float or target.rank < 2 or output.shape != target.shape or output.shape[-1] == 1:
            message = f"`{word}` with `multi_label` needs a target of 0 and 1 for each label"
            found, expected = f"output {output}, target {target}", "a `tensor` of the output's shape"
            hint = "for one class per example remove `multi_label`"
            raise RuleViolation(code, message, found=found, expected=expected, hint=hint, option="multi_label")
        return _count(code, word, output)
    if target.is_float and (target.rank < 2 or (target.rank == 2 and target.shape[-1] == 1)):
        hint = "use `mae` or `rmse`, or declare the target as a `category`"
        message = f"`{word}` needs a target of classes"
        raise RuleViolation(code, message, found=f"target {target}", expected="a `category`", hint=hint)
    if output.shape[-1] == 1 and (target.bound == 2 or target.is_float):
        need_pairs(code, word, output, target)
        return 2
    need_classes(code, word, output, target)
    return _count(code, word, output)


def _count(code: str, word: str, output: TensorType) -> int:
    count = output.shape[-1]
    if isinstance(count, int):
        return count
    message = f"`{word}` needs a last axis of known size: one score per class"
    raise RuleViolation(code, message, found=f"output {output}")


def need_threshold(threshold: Any, output: TensorType, multi_label: bool = False) -> None:
    """Raise DLC303 when a threshold has no effect."""
    if threshold is not None and output.shape[-1] not in (1, 2) and not multi_label:
        message = "`threshold` has no effect on several scores: the largest score is the prediction"
        raise RuleViolation("DLC303", message, found=f"output {output}", hint="remove `threshold`", option="threshold")


def answered(prediction: Array, target: Array, threshold: Any = None, multi_label: bool = False) -> tuple[Array, Array]:
    """The classes of prediction and target, (batch, *axes) int32 each; with `multi_label` 0 or 1 for each label.

    Args:
        prediction: scores (batch, *axes, classes). A class is -1 where a score is NaN: the answer is wrong, whatever
            the target.
        target: classes, or rows of one probability for each class or label.
        threshold: the probability above which a label, or the second of two classes, is the answer; one for each label
            or for all. By default 0.5, and the largest of several scores.
        multi_label: whether each score is a label of its own.
    """
    if multi_label or prediction.shape[-1] == 1:
        shape = prediction.shape if multi_label else prediction.shape[:-1]
        chosen = (prediction > (0.5 if threshold is None else threshold)).astype("int32")
        answer = jnp.where(jnp.isnan(prediction), -1, chosen)
        truth = target if jnp.issubdtype(target.dtype, jnp.integer) else target > 0.5
        return answer.reshape(shape), truth.astype("int32").reshape(shape)
    best = jnp.argmax(prediction, axis=-1) if threshold is None else prediction[..., 1] > threshold
    return jnp.where(jnp.isnan(prediction).any(-1), -1, best.astype("int32")), true_class(target)


def true_class(target: Array) -> Array:
    """The class numbers of a target of classes or of one-hot rows: (batch, *axes) int32."""
    classes: Array = target if jnp.issubdtype(target.dtype, jnp.integer) else jnp.argmax(target, axis=-1)
    return classes.astype("int32")
