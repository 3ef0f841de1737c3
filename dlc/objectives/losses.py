"""Losses of classes and of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.ir import TensorType
from dlc.lazy import jax, jnp, optax
from dlc.objectives.fit import need_classes, need_pairs, need_probabilities, paired
from dlc.objectives.loss import Loss, LossExample
from dlc.options import main, option

if TYPE_CHECKING:
    from jax import Array
    from numpy.typing import NDArray


class CrossEntropy(Loss):
    """(batch, *axes, classes) logits with (batch, *axes) classes: -log softmax(output)[target], the mean over the axes.

    The target may also be rows of probabilities in the output's shape: -sum(target * log softmax(output)).
    """

    word = "cross_entropy"
    from_logits: bool = main(True, description="whether the network ends without softmax")
    label_smoothing: float = option(0.0, ge=0, lt=1, description="share of probability spread over all classes")

    examples = (
        LossExample("cross_entropy", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("cross_entropy: {from_logits: false}", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("cross_entropy: {label_smoothing: 0.1}", "f32[batch, 4, 5, 3]", "i32[batch, 4, 5]<3"),
        LossExample("cross_entropy", "f32[batch, 8]", "i32[batch]<10", error="DLC301"),
        LossExample("cross_entropy", "f32[batch, 1]", "f32[batch, 1, 1]", error="DLC301"),
        LossExample("cross_entropy", "f32[batch, 1]", "f32[batch, 1]", error="DLC301"),
        LossExample("cross_entropy", "f32[batch, 1]", "i32[batch]<2", error="DLC301"),
        LossExample("cross_entropy", "i32[batch, 3]", "i32[batch]<3", error="DLC301"),
        LossExample("cross_entropy: {label_smoothing: 1}", "f32[batch, 3]", "i32[batch]<3", error="DLC104"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One score per class."""
        need_classes(self.code, self.word, output, target)

    def check_values(self, target: NDArray[Any]) -> None:
        """Probabilities lie between 0 and 1."""
        need_probabilities(self.word, target)

    def elements(self, output: Array, target: Array) -> Array:
        """-log p(target), from logits in a stable form."""
        wide = output.astype(jnp.float32)
        logs = jax.nn.log_softmax(wide, axis=-1) if self.from_logits else jnp.log(jnp.clip(wide, 1e-7, 1.0))
        if jnp.issubdtype(target.dtype, jnp.integer):
            # a comparison, not a gather: its gradient is no scatter, which is slow on a CPU and inexact on a GPU
            chosen = target[..., None] == jnp.arange(logs.shape[-1], dtype=target.dtype)
            known = (target >= 0) & (target < logs.shape[-1])
            wanted = jnp.where(known, jnp.where(chosen, logs, 0.0).sum(-1), jnp.nan)  # no class, no loss: it would be 0
        else:
            wanted = (logs * target).sum(-1)
        if self.label_smoothing:
            wanted = (1 - self.label_smoothing) * wanted + self.label_smoothing * logs.mean(-1)
        return -wanted

    def activate(self, output: Array) -> Array:
        """Probabilities."""
        return jax.nn.softmax(output, axis=-1) if self.from_logits else output

    def activation(self) -> str | None:
        """Softmax, unless the network ends with its own."""
        return "softmax" if self.from_logits else None


class BinaryCrossEntropy(Loss):
    """(batch, 1) logits with (batch,) classes 0 and 1: -log p(target), p = sigmoid(output).

    Also (batch, *axes) with targets of the same shape between 0 and 1; the mean over the axes.
    """

    word = "binary_cross_entropy"
    from_logits: bool = main(True, description="whether the network ends without sigmoid")

    examples = (
        LossExample("binary_cross_entropy", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("binary_cross_entropy", "f32[batch, 4, 4]", "f32[batch, 4, 4]"),
        LossExample("binary_cross_entropy: {from_logits: false}", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("binary_cross_entropy", "f32[batch, 1]", "i32[batch]<3", error="DLC301"),
        LossExample("binary_cross_entropy", "f32[batch, 2]", "i32[batch]<2", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One logit per 0/1 target."""
        need_pairs(self.code, self.word, output, target)

    def check_values(self, target: NDArray[Any]) -> None:
        """Probabilities lie between 0 and 1."""
        need_probabilities(self.word, target)

    def elements(self, output: Array, target: Array) -> Array:
        """-(t log p + (1 - t) log(1 - p)), from logits in a stable form."""
        y, t = paired(output, target)
        if self.from_logits:
            loss: Array = optax.sigmoid_binary_cross_entropy(y, t)
            return loss
        p = jnp.clip(y, 1e-7, 1 - 1e-7)
        return -(t * jnp.log(p) + (1 - t) * jnp.log1p(-p))

    def activate(self, output: Array) -> Array:
        """Probabilities of class 1."""
        return jax.nn.sigmoid(output) if self.from_logits else output

    def activation(self) -> str | None:
        """Sigmoid, unless the network ends with its own."""
        return "sigmoid" if self.from_logits else None


class MeanSquaredError(Loss):
    """(batch, *axes) with (batch, *axes): the mean of (output - target)^2."""

    word = "mse"
    examples = (
        LossExample("mse", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("mse", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("mse", "f32[batch, 2]", "f32[batch, 1]", error="DLC301"),
        LossExample("mse", "f32[batch, 1]", "i32[batch]<10", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Numbers of one shape."""
        need_pairs(self.code, self.word, output, target)

    def elements(self, output: Array, target: Array) -> Array:
        """The squared differences."""
        y, t = paired(output, target)
        return jnp.square(y - t)
