"""How batches reach the device: all rows stay there when they fit, else each chunk's batches are sent."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from dlc.diagnostics import SpecError
from dlc.lower.steps import Feed, Rows
from dlc.pipeline import Spec
from dlc.sources.dataset import Dataset, Sampler

MAX_TURNS = 1024  # steps of one chunk, at most
RESIDENT_BYTES = 2 << 30  # data up to this size stay on the device
STREAM_BYTES = 64 << 20  # batches of one chunk, when they don't


def make_sampler(spec: Spec, data: Dataset) -> Sampler:
    """The sampler of a spec's training split.

    Raises:
        SpecError: DLC405 when a batch is larger than the split.
    """
    train, rows = spec.document.train, data.splits["train"]
    size = len(rows) if train.batch_size == "full" else train.batch_size
    if size > len(rows):
        raise SpecError.of(
            "DLC405",
            f"a batch of {size} is larger than the training split of {len(rows)} examples",
            spec.document.source.span(("train", "batch_size")),
            hint="lower `batch_size`, or write `batch_size: full`",
        )
    return Sampler(rows, size, spec.document.seed, train.shuffle)


class Feeder:
    """The feeds of a run's chunks, all of one shape.

    Args:
        data: the records.
        sampler: the batches of the training split.
    """

    def __init__(self, data: Dataset, sampler: Sampler) -> None:
        self.sampler = sampler
        self.resident = data.nbytes <= RESIDENT_BYTES
        self.rows: Rows = jax.device_put(data.rows) if self.resident else data.rows
        self.max_turns = min(MAX_TURNS, max(1, math.ceil(sampler.steps_per_epoch)))
        if not self.resident:
            row_bytes = data.nbytes / sum(len(split) for split in data.splits.values())
            self.max_turns = max(1, min(self.max_turns, int(STREAM_BYTES / (row_bytes * sampler.batch_size))))

    def feed(self, step: int, turns: int) -> Feed:
        """The batches of a chunk; what lies behind the last turn is padding that is not looked at."""
        indices = self.sampler.batches(step, turns)
        if turns < self.max_turns:
            padding = np.zeros((self.max_turns - turns, self.sampler.batch_size), np.int32)
            indices = np.concatenate([indices, padding])
        if self.resident:
            return Feed(self.rows, jnp.asarray(indices))
        return Feed(jax.tree.map(lambda leaf: leaf[indices], self.rows), None)
