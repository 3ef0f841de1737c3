"""How batches reach the device: all rows stay there when they fit, else each chunk's batches are sent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from dlc.diagnostics import SpecError
from dlc.lower.feed import Feed, Rows
from dlc.pipeline import Spec
from dlc.sources.dataset import Dataset, Sampler, padded_batches

MAX_TURNS = 1024  # steps of one chunk, at most
EVALUATION_BATCH = 256
RESIDENT_BYTES = 2 << 30  # data up to this size stay on the device
STREAM_BYTES = 64 << 20  # batches of one chunk, when they don't


def make_sampler(spec: Spec, data: Dataset) -> Sampler:
    """The sampler of a spec's training split.

    Raises:
        SpecError: DLC405 when a batch is larger than the split.
    """
    train, rows = spec.document.train, data.splits["train"]
    size = len(rows) if train.batch_size == "full" else train.batch_size
    if spec.document.optimizer is not None:
        size *= spec.document.optimizer.keys.accumulate
    if size > len(rows):
        parts = size != train.batch_size
        raise SpecError.of(
            "DLC405",
            f"a batch of {size} is larger than the training split of {len(rows)} examples",
            spec.document.source.span(("train", "batch_size")),
            found=f"`batch_size` {train.batch_size}, `accumulate` {size // int(train.batch_size)}" if parts else None,
            hint="lower `accumulate`" if parts else "lower `batch_size`, or write `batch_size: full`",
        )
    return Sampler(rows, size, spec.document.seed, train.shuffle)


def evaluated_together(spec: Spec) -> int:
    """How many examples are evaluated at once: as many as in training for losses that compare those of a batch."""
    size = spec.document.train.batch_size
    return size if isinstance(size, int) and any(term.loss.in_batch for term in spec.losses) else EVALUATION_BATCH


class Feeder:
    """The feeds of training chunks, and of evaluation: each kind has one shape, so that each compiles once.

    Args:
        rows: all records, encoded: `{"inputs": {name: (n, ...)}, "targets": {name: (n, ...)}}`.
        sampler: the batches of the training split; None when there is nothing to train.
        longest: examples of the longest split that is evaluated.
        together: how many of them are evaluated at once.
    """

    def __init__(self, rows: Rows, sampler: Sampler | None, longest: int, together: int = EVALUATION_BATCH) -> None:
        leaves = jax.tree.leaves(rows)
        nbytes = sum(leaf.nbytes for leaf in leaves)
        self.sampler = sampler
        self.resident = nbytes <= RESIDENT_BYTES
        self.rows: Rows = jax.device_put(rows) if self.resident else rows
        row_bytes = max(1, nbytes // len(leaves[0]))
        self.max_turns = 0
        if sampler is not None:
            self.max_turns = self._fitting(math.ceil(sampler.steps_per_epoch), row_bytes * sampler.batch_size)
        self.evaluation_batch = min(together, longest)
        batches = math.ceil(longest / self.evaluation_batch)
        self.evaluation_turns = self._fitting(batches, row_bytes * self.evaluation_batch)

    def _fitting(self, turns: int, batch_bytes: int) -> int:
        """As many turns as a chunk may have."""
        room = MAX_TURNS if self.resident else STREAM_BYTES // batch_bytes
        return max(1, min(turns, MAX_TURNS, room))

    def training(self, step: int, turns: int) -> Feed:
        """The batches of a chunk of steps."""
        assert self.sampler is not None, "there is nothing to train"
        return self._feed(self.sampler.batches(step, turns), self.max_turns)

    def shapes(self) -> Rows:
        """What a batch of training looks like."""
        assert self.sampler is not None, "there is nothing to train"
        size = self.sampler.batch_size
        shapes: Rows = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape[1:]), leaf.dtype), self.rows)
        return shapes

    def evaluation(self, chosen: NDArray[np.int32]) -> Iterator[tuple[Feed, NDArray[np.bool_], int]]:
        """The chosen rows in chunks: a feed, which examples are no padding, how many turns."""
        indices, real = padded_batches(chosen, self.evaluation_batch)
        for start in range(0, len(indices), self.evaluation_turns):
            part, counted = indices[start : start + self.evaluation_turns], real[start : start + self.evaluation_turns]
            yield self._feed(part, self.evaluation_turns), _padded(counted, self.evaluation_turns), len(part)

    def _feed(self, indices: NDArray[np.int32], turns: int) -> Feed:
        """What lies behind the given batches is padding that is not looked at."""
        indices = _padded(indices, turns)
        if self.resident:
            return Feed(self.rows, indices)
        return Feed(jax.tree.map(lambda leaf: leaf[indices], self.rows), None)


def _padded(array: NDArray[Any], length: int) -> NDArray[Any]:
    if len(array) == length:
        return array
    return np.concatenate([array, np.zeros((length - len(array), *array.shape[1:]), array.dtype)])
