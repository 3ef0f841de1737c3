"""Generation: which tokens are drawn, and that the compiled loop continues what the whole network computes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

import dlc
from dlc.backend.generate import Generator
from dlc.backend.sampling import Sampling, draw, filtered, penalized
from dlc.diagnostics import SpecError

VOCABULARY = 7
GPT = """
inputs: {words: {tokens: {vocabulary: 7, length: 8}}}
network:
  - embedding: {vocabulary: 7, size: 8}
  - learned_positions: 8
  - residual: [layer_norm, attention: {heads: 2, causal: true}]
  - dense: 7
"""
LSTM = """
inputs: {words: {tokens: {vocabulary: 7}}}
network:
  - embedding: {vocabulary: 7, size: 4}
  - conv1d: {filters: 4, kernel: 3, padding: causal}
  - lstm: {units: 6, return_sequences: true}
  - dense: 7
"""


class Case:
    """A network with weights that make its scores differ, and its generator."""

    def __init__(self, text: str) -> None:
        self.program = dlc.compile(dlc.loads(text))
        generator = np.random.default_rng(3)
        self.variables = jax.tree.map(
            lambda leaf: jnp.asarray(leaf + generator.normal(0, 0.5, leaf.shape), leaf.dtype), self.program.init(0)
        )
        self.generator = Generator(self.program, "words", lambda outputs: outputs["output"], VOCABULARY)
        self.apply = jax.jit(lambda tokens: self.program.apply(self.variables, {"words": tokens})[0]["output"])

    def tokens(self, prompt: list[int], length: int, **options: Any) -> np.ndarray[Any, Any]:
        return np.concatenate(list(self.generator.stream(self.variables, prompt, length, **options)), axis=1)

    def scores(self, tokens: list[int], positions: int) -> np.ndarray[Any, Any]:
        """Those of the token after some tokens, by the whole network on a padded sequence."""
        padded = np.zeros((1, positions), np.int32)
        padded[0, : len(tokens)] = tokens
        return np.asarray(self.apply(padded))[0, len(tokens) - 1]


@pytest.fixture(scope="module")
def gpt() -> Case:
    return Case(GPT)


@pytest.fixture(scope="module")
def lstm() -> Case:
    return Case(LSTM)


# ---- the loop ----


def test_greedy_is_the_argmax_of_the_whole_network(gpt: Case) -> None:
    """When the 8 positions are full, the last 4 tokens are read again."""
    found = gpt.tokens([1, 2, 3], 20, sampling=Sampling(temperature=0))[0]
    window = [1, 2, 3]
    for token in found:
        if len(window) > 8:
            window = window[-4:]
        assert token == gpt.scores(window, 8).argmax()
        window.append(int(token))


@pytest.mark.parametrize("count", [1, 8, 9, 21])
def test_prompts_of_all_lengths(gpt: Case, count: int) -> None:
    """Of one that is too long the last half of the positions is read."""
    prompt = np.random.default_rng(count).integers(0, VOCABULARY, count).tolist()
    read = prompt if count <= 8 else prompt[-4:]
    assert gpt.tokens(prompt, 1, sampling=Sampling(temperature=0))[0, 0] == gpt.scores(read, 8).argmax()
    assert len(gpt.generator._compiled) == 2, "one compilation for prompts of all lengths"


def test_a_network_without_a_limit_goes_on(lstm: Case) -> None:
    assert lstm.generator.most_positions is None
    found = lstm.tokens([1, 2, 3], 40, sampling=Sampling(temperature=0))[0]
    whole = [1, 2, 3, *found.tolist()]
    for index, token in enumerate(found):
        assert token == lstm.scores(whole[: 3 + index], 64).argmax()


def test_a_prompt_may_be_read_in_several_passes(lstm: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = np.random.default_rng(0).integers(0, VOCABULARY, 50).tolist()
    want = lstm.tokens(prompt, 14, seed=2)
    monkeypatch.setattr("dlc.backend.generate.READ", 16)
    other = Case(LSTM)
    np.testing.assert_array_equal(other.tokens(prompt, 14, seed=2), want)


def test_a_seed_gives_one_text_however_it_is_computed(gpt: Case) -> None:
    one = gpt.tokens([1, 2], 40, seed=5)
    np.testing.assert_array_equal(gpt.tokens([1, 2], 40, seed=5, chunk=1), one)
    np.testing.assert_array_equal(gpt.tokens([1, 2], 23, seed=5, chunk=3), one[:, :23])
    three = gpt.tokens([1, 2], 40, seed=5, batch=3, chunk=7)
    np.testing.assert_array_equal(three[:1], one)
    assert len({row.tobytes() for row in three}) == 3
    assert (gpt.tokens([1, 2], 40, seed=6) != one).any()


def test_what_has_occurred_is_penalized_beyond_the_window(gpt: Case) -> None:
    plain, found = (
        gpt.tokens([4], 12, sampling=Sampling(temperature=0, repetition_penalty=penalty))[0] for penalty in (1.0, 3.0)
    )
    assert (plain != found).any()
    window, seen = [4], {4}
    for token in found:
        window = window if len(window) <= 8 else window[-4:]
        scores = np.array(gpt.scores(window, 8))
        for known in seen:
            scores[known] = scores[known] / 3 if scores[known] > 0 else scores[known] * 3
        assert token == scores.argmax()
        window.append(int(token))
        seen.add(int(token))


def test_samples_follow_the_probabilities_of_the_network(gpt: Case) -> None:
    """The first two tokens of many samples, beside the product of their probabilities."""
    found = gpt.tokens([1], 2, batch=4000, seed=1)
    first = np.exp(gpt.scores([1], 8).astype(np.float64))
    first /= first.sum()
    joint = np.empty((VOCABULARY, VOCABULARY))
    for token in range(VOCABULARY):
        then = np.exp(gpt.scores([1, token], 8).astype(np.float64))
        joint[token] = first[token] * then / then.sum()
    counts = np.bincount(found[:, 0] * VOCABULARY + found[:, 1], minlength=VOCABULARY**2)
    often = joint.reshape(-1) * 4000 >= 5
    wanted = [*(joint.reshape(-1) * 4000)[often], (joint.reshape(-1) * 4000)[~often].sum()]
    assert chisquare([*counts[often], counts[~often].sum()], wanted).pvalue > 1e-3


def test_nan_is_an_error(gpt: Case) -> None:
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, gpt.variables)
    with pytest.raises(FloatingPointError):
        list(gpt.generator.stream(broken, [1], 3))


def test_a_layer_that_looks_ahead_is_named() -> None:
    program = dlc.compile(dlc.loads(GPT.replace("causal: true", "causal: false")))
    with pytest.raises(SpecError, match="DLC213"):
        Generator(program, "words", lambda outputs: outputs["output"], VOCABULARY)


# ---- the filters ----

FILTERS = [
    Sampling(),
    Sampling(temperature=0.5),
    Sampling(top_k=3),
    Sampling(top_k=1),
    Sampling(top_k=100),
    Sampling(top_p=0.6),
    Sampling(top_p=1e-6),
    Sampling(min_p=0.3),
    Sampling(min_p=1.0),
    Sampling(temperature=2.0, top_k=5, top_p=0.7, min_p=0.2),
]


def kept(scores: np.ndarray[Any, Any], sampling: Sampling) -> set[int]:
    """The tokens that are drawn, by the definitions."""
    scaled = scores.astype(np.float64) / sampling.temperature
    order = sorted(range(len(scaled)), key=lambda token: -scaled[token])
    if sampling.top_k:
        order = order[: sampling.top_k]
    shares = np.exp(scaled[order] - scaled.max())
    shares /= shares.sum()
    smallest = next(
        size for size in range(1, len(order) + 1) if size == len(order) or shares[:size].sum() >= sampling.top_p
    )
    order, shares = order[:smallest], shares[:smallest]
    return {token for token, share in zip(order, shares, strict=True) if share >= sampling.min_p * shares[0]}


@pytest.mark.parametrize("sampling", FILTERS, ids=str)
def test_filters_keep_the_tokens_of_their_definition(sampling: Sampling) -> None:
    scores = np.random.default_rng(0).normal(0, 2, (20, VOCABULARY)).astype(np.float32)
    found = np.asarray(FILTERED(scores, sampling))
    for row, want in zip(found, scores, strict=True):
        assert set(np.flatnonzero(np.isfinite(row))) == kept(want, sampling)
        real = np.isfinite(row)
        np.testing.assert_allclose(row[real], want[real] / sampling.temperature, rtol=1e-6)


FILTERED = jax.jit(filtered)


def test_tokens_that_are_excluded_are_never_drawn() -> None:
    scores = np.full((500, VOCABULARY), -np.inf, np.float32)
    scores[:, 2:4] = 0
    keys = jax.random.split(jax.random.key(0), 500)
    for sampling in (Sampling(), Sampling(top_k=5), Sampling(top_p=0.99, temperature=9.0), Sampling(temperature=0)):
        found = DRAW(scores, np.zeros(scores.shape, bool), sampling, keys)
        assert set(np.asarray(found).tolist()) <= {2, 3}


DRAW = jax.jit(draw)


def test_draws_follow_the_filtered_probabilities() -> None:
    scores = np.tile(np.array([2.0, 1.5, 1.0, 0.0, -1.0, -2.0, 0.5], np.float32), (6000, 1))
    seen = np.zeros(scores.shape, bool)
    seen[:, 1] = True
    sampling = Sampling(temperature=0.8, top_k=4, repetition_penalty=1.5)
    found = np.asarray(DRAW(scores, seen, sampling, jax.random.split(jax.random.key(1), 6000)))
    left = np.array([2.0, 1.0, 1.0, 0.5]) / 0.8  # tokens 0, 1 (1.5 / 1.5), 2 and 6
    wanted = np.exp(left) / np.exp(left).sum() * 6000
    counts = np.bincount(found, minlength=VOCABULARY)
    assert not counts[[3, 4, 5]].any()
    assert chisquare(counts[[0, 1, 2, 6]], wanted).pvalue > 1e-3


def test_the_penalty_makes_scores_of_both_signs_smaller() -> None:
    scores, seen = np.array([[2.0, -2.0, 3.0]], np.float32), np.array([[True, True, False]])
    np.testing.assert_allclose(penalized(scores, seen, 2.0), [[1.0, -4.0, 3.0]])


def test_a_very_small_temperature_draws_the_most_probable_token() -> None:
    scores = jnp.array([[1.0, 5.0, 2.0]])
    for temperature in (1e-30, 1e-38, 1e-40):
        left = filtered(scores, Sampling(temperature=jnp.float32(temperature)))
        assert int(left.argmax(-1)[0]) == 1 and not bool(jnp.isnan(left).any())
