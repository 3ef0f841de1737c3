"""Margin losses of classes: how far a score lies on the wrong side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.components.losses.loss import Loss, LossExample
from dlc.components.losses.shape_checks import need_classes, need_pairs, paired
from dlc.components.losses.value_checks import need_distributions, need_scores_behind_mask, need_signs
from dlc.components.value_ranges import PROBABILITIES, SIGNS
from dlc.ir import TensorType
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array
    from numpy.typing import NDArray


def signed(output: Array, target: Array) -> Array:
    """Score times class: (batch, n) float32, positive where the score is on the right side. Class 0 is -1."""
    y, t = paired(output, target)
    return y * jnp.where(t == 0, -1.0, t)


class Hinge(Loss):
    """(batch, 1) scores with (batch,) classes: max(0, 1 - t * output), t being -1 and 1.

    Classes 0 and 1 count as -1 and 1, as Keras does. Also (batch, *axes) with targets of the same shape; the mean
    over the axes. The sign of a score is the class.
    """

    word = "hinge"
    domain = SIGNS
    boundary = 0.0
    examples = (
        LossExample("hinge", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("hinge", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("hinge", "f32[batch, 3]", "i32[batch]<3", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One score per target."""
        need_pairs(self.code, self.word, output, target)

    def check_values(self, target: NDArray[Any]) -> None:
        """Two classes."""
        need_signs(self.word, target)

    def elements(self, output: Array, target: Array) -> Array:
        """max(0, 1 - t * y)."""
        return jnp.maximum(0.0, 1 - signed(output, target))


class SquaredHinge(Loss):
    """(batch, 1) scores with (batch,) classes: max(0, 1 - t * output)^2, t being -1 and 1.

    Classes 0 and 1 count as -1 and 1, as Keras does. Also (batch, *axes) with targets of the same shape; the mean
    over the axes.
    """

    word = "squared_hinge"
    domain = SIGNS
    boundary = 0.0
    examples = (
        LossExample("squared_hinge", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("squared_hinge", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("squared_hinge", "f32[batch, 2]", "f32[batch, 3]", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One score per target."""
        need_pairs(self.code, self.word, output, target)

    def check_values(self, target: NDArray[Any]) -> None:
        """Two classes."""
        need_signs(self.word, target)

    def elements(self, output: Array, target: Array) -> Array:
        """max(0, 1 - t * y)^2."""
        return jnp.square(jnp.maximum(0.0, 1 - signed(output, target)))


class Perceptron(Loss):
    """(batch, 1) scores with (batch,) classes: max(0, -t * output), t being -1 and 1.

    Its gradient is the perceptron rule (Rosenblatt 1958): weights move where the score is on the wrong side or 0.
    Classes 0 and 1 count as -1 and 1. Also (batch, *axes) with targets of the same shape; the mean over the axes.
    """

    word = "perceptron"
    domain = SIGNS
    boundary = 0.0
    examples = (
        LossExample("perceptron", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("perceptron", "f32[batch]", "i32[batch]<2"),
        LossExample("perceptron", "f32[batch, 3]", "i32[batch]<3", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One score per target."""
        need_pairs(self.code, self.word, output, target)

    def check_values(self, target: NDArray[Any]) -> None:
        """Two classes."""
        need_signs(self.word, target)

    def elements(self, output: Array, target: Array) -> Array:
        """max(0, -t * y); at 0 the gradient is that of a mistake, else weights of 0 would never move."""
        right = signed(output, target)
        return jnp.where(right <= 0, -right, 0.0)


class CategoricalHinge(Loss):
    """(batch, *axes, classes) scores with (batch, *axes) classes: max(0, 1 + highest wrong score - right score).

    The mean over the axes (Crammer and Singer 2001; scikit-learn's `hinge_loss`). The target may also be one-hot rows.
    Keras' differs where all wrong scores are negative: it counts them as 0.
    """

    word = "categorical_hinge"
    domain = PROBABILITIES
    examples = (
        LossExample("categorical_hinge", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("categorical_hinge", "f32[batch, 4, 3]", "f32[batch, 4, 3]"),
        LossExample("categorical_hinge", "f32[batch, 1]", "i32[batch]<2", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One score per class."""
        need_scores_behind_mask(self.word, output)
        need_classes(self.code, self.word, output, target)

    def check_values(self, target: NDArray[Any]) -> None:
        """Rows must be one-hot."""
        if target.dtype.kind == "f":
            need_distributions(self.word, target)

    def elements(self, output: Array, target: Array) -> Array:
        """max(0, 1 + the highest wrong score - the right one)."""
        y = output.astype(jnp.float32)
        count = y.shape[-1]
        best = target if jnp.issubdtype(target.dtype, jnp.integer) else target.argmax(-1)
        right = best[..., None] == jnp.arange(count)
        wrong = jnp.where(right, -jnp.inf, y).max(-1)
        known = (best >= 0) & (best < count)
        return jnp.where(known, jnp.maximum(0.0, 1 + wrong - jnp.where(right, y, 0.0).sum(-1)), jnp.nan)
