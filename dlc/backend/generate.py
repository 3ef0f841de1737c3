"""Generation: a network continues a sequence of tokens in a compiled loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlc.backend.decode import Decoder, DecodeStep
from dlc.backend.network import Program
from dlc.backend.sampling import Sampling, draw

CHUNK = 64  # the most tokens that one call of the compiled loop generates
READ = 256  # the most tokens that one call reads of a prompt
SMALLEST = 64  # positions of the cache of a network without a limit


class State(NamedTuple):
    """What a step of generation needs of the steps before it.

    Args:
        cache: the network's.
        scores: (batch, vocabulary), of the next token.
        offset: the position of the next token.
        index: how many tokens were generated so far.
        seen: bool (batch, vocabulary), the tokens that have occurred.
        finite: whether all scores that tokens were drawn from were numbers.
    """

    cache: Any
    scores: Any
    offset: Any
    index: Any
    seen: Any
    finite: Any


class Generator:
    """A network that continues sequences.

    The network reads a prompt in one pass, or in passes of `READ` tokens or half of its positions, then computes one
    position at a time. When the sequence is as long as the longest that the network can compute, its last half is read
    again as a new prompt; a network without a limit goes on.

    The random numbers of a token depend only on the seed, the number of the sequence and that of the token.

    Args:
        program: the network.
        source: the name of its input, tokens (batch, time).
        scores: the network's outputs for some positions -> (batch, time, vocabulary) or (batch, vocabulary), the scores
            of the next token; -inf for tokens that are never generated.
        vocabulary: how many tokens there are.

    Raises:
        SpecError: DLC213 for each layer that needs later positions.
    """

    def __init__(
        self, program: Program, source: str, scores: Callable[[Mapping[str, Any]], jax.Array], vocabulary: int
    ) -> None:
        self.decoder = Decoder(program, [source])
        self.source, self.scores, self.vocabulary = source, scores, vocabulary
        self._read = jax.jit(self._reading, donate_argnames="state")
        self._advance = jax.jit(self._advancing, donate_argnames="state")
        self._compiled: dict[tuple[str, int, int], Any] = {}

    @property
    def most_positions(self) -> int | None:
        """The length of the longest sequence that the network computes; None if there is no limit."""
        return self.decoder.most_positions

    def prepared(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Variables as the compiled loop takes them, on the device: to prepare them once for several texts."""
        return self.decoder.separated(jax.tree.map(jnp.asarray, variables))

    def positions(self, wanted: int) -> int:
        """The positions of the cache for sequences of a length: few different numbers, as each is a compilation."""
        limit = self.most_positions
        return limit if limit is not None else max(SMALLEST, 1 << (wanted - 1).bit_length())

    def compile(self, variables: Any, batch: int, positions: int) -> None:
        """Compile what `stream` needs for so many sequences and positions, unless it is compiled already."""
        key = (batch, positions)
        if ("read", *key) in self._compiled:
            return
        variables = self.decoder.separated(variables)
        state = jax.eval_shape(partial(self._begin, batch, positions))
        tokens = jax.ShapeDtypeStruct((batch, self._width(positions)), jnp.int32)
        number = jax.ShapeDtypeStruct((), jnp.int32)
        sampling, keys = _arguments(Sampling()), _keys(0, batch)
        read = self._read.lower(variables, state=state, tokens=tokens, count=number)
        advance = self._advance.lower(variables, state=state, steps=number, sampling=sampling, keys=keys)
        self._compiled["read", *key], self._compiled["advance", *key] = read.compile(), advance.compile()

    def stream(
        self,
        variables: Any,
        prompt: Sequence[int],
        length: int,
        sampling: Sampling | None = None,
        batch: int = 1,
        seed: int = 0,
        chunk: Callable[[], int] | int = CHUNK,
    ) -> Iterator[np.ndarray[Any, Any]]:
        """Sequences that continue a prompt, in parts: int32 (batch, n) each, `length` tokens together.

        Args:
            variables: the network's variables.
            prompt: at least one token.
            length: how many tokens are generated.
            sampling: how they are drawn.
            batch: how many sequences.
            seed: the seed of the random numbers.
            chunk: how many tokens a part has at most, or a function that is asked before each part.

        Raises:
            FloatingPointError: when a score is NaN.
        """
        positions = self.positions(len(prompt) + length)
        variables = self.decoder.separated(variables)
        self.compile(variables, batch, positions)
        read, advance = (self._compiled[name, batch, positions] for name in ("read", "advance"))
        arguments = {"sampling": _arguments(sampling or Sampling()), "keys": _keys(seed, batch)}
        width, index = self._width(positions), 0
        recent = np.tile(np.asarray(prompt, np.int32), (batch, 1))
        seen = np.zeros((batch, self.vocabulary), bool)
        seen[:, recent[0]] = True
        state = self._begin(batch, positions)._replace(seen=jnp.asarray(seen))
        while index < length:
            if recent.shape[1] > positions:
                recent = recent[:, -max(1, positions // 2) :]
            offset = recent.shape[1]
            for start in range(0, offset, width):
                part = recent[:, start : start + width]
                tokens = np.pad(part, ((0, 0), (0, width - part.shape[1])))
                state = state._replace(offset=jnp.int32(start))
                state = read(variables, state=state, tokens=tokens, count=np.int32(part.shape[1]))
            while index < length and offset <= positions:
                wanted = chunk if isinstance(chunk, int) else chunk()
                steps = min(wanted, CHUNK, length - index, positions - offset + 1)
                state, tokens = advance(variables, state=state, steps=np.int32(steps), **arguments)
                new = np.asarray(tokens)[:, :steps]
                if not state.finite:
                    raise FloatingPointError("a score of the next token is NaN")
                index, offset = index + steps, offset + steps
                recent = np.concatenate([recent, new], axis=1)[:, -positions - 1 :]
                yield new

    def _width(self, positions: int) -> int:
        """How many tokens are read at once: with a limit not more than are read again when it is reached."""
        return min(READ, positions if self.most_positions is None else max(1, positions // 2))

    def _begin(self, batch: int, positions: int) -> State:
        """The state before the first step."""
        number, kind = jnp.int32(0), (batch, self.vocabulary)
        cache = self.decoder.separated_cache(self.decoder.cache(batch, positions))
        return State(cache, jnp.zeros(kind, jnp.float32), number, number, jnp.zeros(kind, bool), jnp.bool_(True))

    def _reading(self, variables: Any, state: State, tokens: Any, count: Any) -> State:
        """The state after reading the first `count` of some tokens (batch, time)."""
        step = self.decoder.step(variables, {self.source: tokens}, state.cache, state.offset, count)
        return state._replace(cache=step.cache, scores=self._scores(step, count), offset=state.offset + count)

    def _advancing(
        self, variables: Any, state: State, steps: Any, sampling: Sampling, keys: Any
    ) -> tuple[State, jax.Array]:
        """The state after some steps, and their tokens: (batch, CHUNK), of which the first `steps` count.

        The network reads the last token, too. If there is no place for it, the scores are NaN, and the next prompt is
        read before they are used.
        """
        batch = state.scores.shape[0]

        def body(carry: tuple[Any, State, jax.Array]) -> tuple[Any, State, jax.Array]:
            done, state, found = carry
            token = draw(state.scores, state.seen, sampling, jax.vmap(jax.random.fold_in, (0, None))(keys, state.index))
            step = self.decoder.step(variables, {self.source: token[:, None]}, state.cache, state.offset)
            seen = state.seen.at[jnp.arange(batch), token].set(True)
            finite = state.finite & ~jnp.isnan(state.scores).any()
            scores = self._scores(step, 1)
            state = State(step.cache, scores, state.offset + 1, state.index + 1, seen, finite)
            return done + 1, state, jax.lax.dynamic_update_slice_in_dim(found, token[:, None], done, 1)

        found = jnp.zeros((batch, CHUNK), jnp.int32)
        _, state, found = jax.lax.while_loop(lambda carry: carry[0] < steps, body, (jnp.int32(0), state, found))
        return state, found

    def _scores(self, step: DecodeStep, count: Any) -> jax.Array:
        """The scores of the token that follows the first `count` positions of a step."""
        scores = self.scores(step.outputs)
        return scores if scores.ndim == 2 else jax.lax.dynamic_index_in_dim(scores, count - 1, 1, keepdims=False)


def _keys(seed: int, batch: int) -> jax.Array:
    """A random key for each sequence."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(batch))


def _arguments(sampling: Sampling) -> Sampling:
    """Numbers as arguments of compiled functions, so that others need no other compilation."""
    kinds = Sampling(np.float32, np.int32, np.float32, np.float32, np.float32)
    return Sampling(*(kind(value) for kind, value in zip(kinds, sampling, strict=True)))
