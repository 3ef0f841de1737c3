"""Metrics of language models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dlc.components.losses.loss import LossExample
from dlc.components.losses.shape_checks import need_classes
from dlc.components.metrics.classification import surprise
from dlc.components.metrics.metric import Metric
from dlc.ir import TensorType

if TYPE_CHECKING:
    from jax import Array


class Perplexity(Metric):
    """(batch, time, vocabulary) scores with (batch, time) tokens: exp of the mean of -log p(target) over all tokens.

    Each token of the split counts the same, regardless of the sequence length; padding does not count.
    """

    word = "perplexity"
    upward = False
    logs = True
    examples = (
        LossExample("perplexity", "f32[batch, 6, 50]", "i32[batch, 6]<50"),
        LossExample("perplexity", "f32[batch, 10]", "i32[batch]<10"),
        LossExample("perplexity", "f32[batch, 6, 8]", "i32[batch, 6]<10", error="DLC302"),
    )

    @property
    def picks(self) -> bool:
        """True: one token holds."""
        return True

    def infer(self, output: TensorType, target: TensorType) -> None:
        """A score for each token of the vocabulary."""
        need_classes(self.code, self.word, output, target)

    def elements(self, prediction: Array, target: Array) -> Array:
        """-log p(target)."""
        return surprise(prediction, target)

    def finish(self, mean: float) -> float:
        """The exponential; infinite beyond float64."""
        return math.inf if mean >= 709 else math.exp(mean)


class BitsPerCharacter(Metric):
    """(batch, time, vocabulary) scores with (batch, time) characters: the mean of -log2 p(target) over all of them.

    With tokens of several characters it is bits per token.
    """

    word = "bits_per_character"
    upward = False
    logs = True
    examples = (
        LossExample("bits_per_character", "f32[batch, 6, 50]", "i32[batch, 6]<50"),
        LossExample("bits_per_character", "f32[batch, 6, 8]", "i32[batch, 6]<10", error="DLC302"),
    )

    @property
    def picks(self) -> bool:
        """True: one character holds."""
        return True

    def infer(self, output: TensorType, target: TensorType) -> None:
        """A score for each character."""
        need_classes(self.code, self.word, output, target)

    def elements(self, prediction: Array, target: Array) -> Array:
        """-log p(target)."""
        return surprise(prediction, target)

    def finish(self, mean: float) -> float:
        """From nats to bits."""
        return mean / math.log(2)
