"""Decoding: a network computes a sequence step by step, and a cache carries what the next step needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlc.backend.iterations import Separate, is_separate
from dlc.backend.network import KINDS, Arrays, Program
from dlc.backend.tree import get_in, set_in, stacked
from dlc.diagnostics import Problems, SpecError
from dlc.ir import DTYPES, TensorType, TypedRepeat
from dlc.ir.decoding import plan_decoding, report_undecodable

MOST_SEPARATE = 12  # iterations whose weights and caches are separate: each is compiled by itself


class DecodeStep(NamedTuple):
    """What a step of decoding gives.

    Args:
        outputs: by name, for the positions of this step.
        cache: what the next step needs.
    """

    outputs: dict[str, jax.Array]
    cache: dict[str, Any]


class Decoder:
    """A network that computes its sequences step by step.

    Args:
        program: the network.
        sequences: the names of the inputs that come step by step; all inputs with a time axis when None.

    Its attribute `most_positions` is the length of the longest sequence that it computes, None if there is no limit.

    Raises:
        SpecError: DLC213 for each layer that can't be computed step by step.

    Example:
        decoder = Decoder(program)
        first = decoder.step(variables, {"tokens": prompt}, decoder.cache(batch=1, length=64), 0)
        second = decoder.step(variables, {"tokens": token}, first.cache, prompt.shape[1])
    """

    def __init__(self, program: Program, sequences: Collection[str] | None = None) -> None:
        plan, problems = plan_decoding(program.graph, sequences), Problems()
        report_undecodable(plan, problems)
        if not problems.ok:
            raise SpecError(problems.report({}))
        self.program, self.stepped, self.most_positions = program, plan.stepped, plan.most_positions

    def cache(self, batch: int, length: int) -> dict[str, dict[str, jax.Array]]:
        """The cache before the first step.

        Args:
            batch: the number of sequences.
            length: the number of positions that the cache holds, where the network's inputs don't fix it.
        """
        return {
            node.path: {
                name: jnp.zeros((*stacked(around), *_shape(kind, batch, length)), DTYPES[kind.dtype])
                for name, kind in node.signature.cache.items()
            }
            for node, around in self.program.graph.walk()
            if node.signature.cache and node.path in self.stepped
        }

    def separated(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Variables with those of each iteration of short repeats as `Separate` values, for loops of steps.

        A compiled loop then reads weights where they are, instead of copying those of an iteration in each step.
        """
        found = dict(variables)
        for repeat in self._short_repeats():
            for kind in KINDS:
                part = get_in(found.get(kind, {}), f"{repeat.weights}/*")
                if part and not any(map(is_separate, jax.tree.leaves(part, is_leaf=is_separate))):
                    found[kind] = set_in(found[kind], f"{repeat.weights}/*", Separate.of(part, repeat.times))
        return found

    def separated_cache(self, cache: Mapping[str, Any]) -> dict[str, Any]:
        """A cache that goes with separated variables."""
        found = dict(cache)
        for repeat in self._short_repeats():
            inside = [path for path in found if path.startswith(f"{repeat.path}/*/")]
            found |= {path: Separate.of(found[path], repeat.times) for path in inside}
        return found

    def _short_repeats(self) -> Iterator[TypedRepeat]:
        for node in self.program.graph.nodes:
            if isinstance(node, TypedRepeat) and node.times <= MOST_SEPARATE:
                yield node

    def step(
        self,
        variables: Mapping[str, Any],
        inputs: Arrays,
        cache: Mapping[str, Any],
        offset: Any,
        count: Any = None,
    ) -> DecodeStep:
        """The outputs for the next positions.

        Args:
            variables: the network's variables.
            inputs: the next positions of the sequences, one or more; other inputs whole.
            cache: that of the step before.
            offset: the position of the first of them, from 0: an integer, or int32 (batch,) for each sequence. From the
                position on that the cache doesn't hold, the outputs of attention are NaN.
            count: how many of the positions belong to the sequences, at least 1: an integer, or int32 (batch,) for each
                sequence; all when None. The cache doesn't depend on those after them, and their outputs are
                meaningless: prompts of all lengths can be read by one compiled program.
        """
        results = self.program.step(variables, inputs, cache, offset, self.stepped, count)
        return DecodeStep(results.outputs, results.recorded)


def _shape(kind: TensorType, batch: int, length: int) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else batch if dim == "batch" else length for dim in kind.shape)
