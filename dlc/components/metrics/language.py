"""Metrics of language models and of recognized sequences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dlc.components.losses.loss import LossExample
from dlc.components.losses.shape_checks import need_classes
from dlc.components.metrics.classification import surprise
from dlc.components.metrics.metric import Metric, Statistics
from dlc.ir import TensorType
from dlc.language.options import RuleViolation
from dlc.support.lazy import jnp, lax

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


class TokenErrorRate(Metric):
    """(batch, time) decoded tokens with (batch, length) tokens: edits from predictions to targets, per target token.

    The prediction is the sequence that the loss decodes, such as `ctc`. An edit inserts, deletes or replaces a token;
    the smallest number of edits is the Levenshtein distance. The sum over the split is divided by the number of target
    tokens, without padding, so that it may exceed 1. For characters it is the character error rate, for words the word
    error rate.
    """

    word = "token_error_rate"
    upward = False
    sequences = True
    examples = (
        LossExample("token_error_rate", "i32[batch, 9]<5", "i32[batch, 3]<5"),
        LossExample("token_error_rate", "i32[batch, 9]<5", "i32[batch]<5", error="DLC302"),
        LossExample("token_error_rate", "i32[batch, 9]<5", "f32[batch, 3]", error="DLC302"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Tokens, and tokens."""
        if output.rank != 2 or target.rank != 2 or output.is_float or target.is_float:
            message = f"`{self.word}` compares a decoded sequence with tokens"
            raise RuleViolation(self.code, message, found=f"target {target}", expected="`tokens`")

    def statistics(self, prediction: Array, target: Array, weights: Array, mask: Array | None = None) -> Statistics:
        """The weighted sums of edits and of target tokens."""
        there = jnp.ones(target.shape, bool) if mask is None else mask
        edits, count = edit_distance(prediction, target, there), there.sum(1)
        return {"total": (edits * weights).sum(), "weight": (count * weights).sum()}


def edit_distance(answer: Array, target: Array, there: Array) -> Array:
    """The Levenshtein distance of two sequences (Wagner and Fischer 1974), float32 (batch,).

    Args:
        answer: tokens (batch, time); negative numbers are left out.
        target: tokens (batch, length).
        there: bool (batch, length), false where the target has no token.
    """
    order = jnp.argsort(~there, axis=1, stable=True)  # tokens first, in their order
    target = jnp.take_along_axis(target, order, axis=1)
    places = jnp.arange(target.shape[1] + 1)

    def step(row: Array, token: Array) -> tuple[Array, None]:
        """The distances to each beginning of the target, from those of the answer without its last token."""
        replaced = row[:, :-1] + (target != token[:, None])
        found = jnp.concatenate([row[:, :1] + 1, jnp.minimum(replaced, row[:, 1:] + 1)], axis=1)
        found = lax.cummin(found - places, axis=1) + places  # any number of insertions
        return jnp.where(token[:, None] >= 0, found, row), None

    first = jnp.broadcast_to(places, (target.shape[0], len(places)))
    row, _ = lax.scan(step, first, answer.T)
    ends = there.sum(1)[:, None]
    return jnp.take_along_axis(row, ends, axis=1)[:, 0].astype(jnp.float32)
