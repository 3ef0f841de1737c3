"""Sampling: the next token of each sequence, drawn from the scores of a network."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

LEAST_TEMPERATURE = 1e-6
"""Up to it the most probable token is taken: divided by less, several scores would be infinite."""


class Sampling(NamedTuple):
    """How the next token is drawn.

    The filters apply in this order, each to what the one before leaves: `repetition_penalty`, `temperature`, `top_k`,
    `top_p`, `min_p`.

    Args:
        temperature: what the scores are divided by; 0 takes the most probable token.
        top_k: only so many most probable tokens are drawn; 0 for all.
        top_p: only the most probable tokens that together have this probability are drawn (nucleus sampling, Holtzman
            et al. 2019, arXiv:1904.09751); 1 for all.
        min_p: only tokens with at least this share of the largest probability are drawn (Nguyen et al. 2024,
            arXiv:2407.01082); 0 for all.
        repetition_penalty: positive scores of tokens that have occurred are divided by it, negative ones multiplied
            (Keskar et al. 2019, arXiv:1909.05858); 1 for none.
    """

    temperature: Any = 1.0
    top_k: Any = 0
    top_p: Any = 1.0
    min_p: Any = 0.0
    repetition_penalty: Any = 1.0


def penalized(scores: jax.Array, seen: jax.Array, penalty: Any) -> jax.Array:
    """Scores (batch, vocabulary) with those of the tokens that have occurred made smaller."""
    return jnp.where(seen, jnp.where(scores > 0, scores / penalty, scores * penalty), scores)


def filtered(scores: jax.Array, sampling: Sampling) -> jax.Array:
    """Scores (batch, vocabulary), divided by the temperature, and -inf for tokens that are not drawn.

    Tokens as probable as the least probable one that is drawn are drawn, too. A temperature of 0 leaves the scores
    undivided.
    """
    scores = scores / jnp.where(sampling.temperature > LEAST_TEMPERATURE, sampling.temperature, 1.0)
    sorts = (jnp.asarray(sampling.top_k) > 0) | (jnp.asarray(sampling.top_p) < 1)
    scores = jax.lax.cond(sorts, _most_probable, lambda scores, _: scores, scores, sampling)
    least = scores.max(-1, keepdims=True) + jnp.log(sampling.min_p)  # -inf for 0
    return jnp.where(scores >= least, scores, -jnp.inf)


def _most_probable(scores: jax.Array, sampling: Sampling) -> jax.Array:
    """`top_k` and `top_p`, which need the scores in their order."""
    ordered = -jnp.sort(-scores, axis=-1)
    size = ordered.shape[-1]
    count = jnp.where((sampling.top_k > 0) & (sampling.top_k < size), sampling.top_k, size)
    ordered = jnp.where(jnp.arange(size) < count, ordered, -jnp.inf)
    shares = jax.nn.softmax(ordered, axis=-1)
    before = jnp.cumsum(shares, axis=-1) - shares  # the probability of those that are more probable
    drawn = (before < sampling.top_p) & (ordered > -jnp.inf)
    drawn = drawn | (jnp.arange(size) == 0)
    least = jnp.where(drawn, ordered, jnp.inf).min(-1, keepdims=True)
    return jnp.where(scores >= least, scores, -jnp.inf)


def draw(scores: jax.Array, seen: jax.Array, sampling: Sampling, keys: jax.Array) -> jax.Array:
    """The next token of each sequence: (batch,) in int32.

    Args:
        scores: (batch, vocabulary), logits or logarithms of probabilities; -inf for tokens that are never drawn.
        seen: bool (batch, vocabulary), the tokens that have occurred in each sequence.
        sampling: how tokens are drawn.
        keys: (batch,), a random key for each sequence.
    """
    scores = penalized(scores, seen, sampling.repetition_penalty)
    noise = jax.vmap(lambda key: jax.random.gumbel(key, scores.shape[-1:], jnp.float32))(keys)
    drawn = (filtered(scores, sampling) + noise).argmax(-1)
    return jnp.where(sampling.temperature > LEAST_TEMPERATURE, drawn, scores.argmax(-1)).astype(jnp.int32)
