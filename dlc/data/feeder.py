"""How batches reach the device: all rows stay there if they fit, else chunks of batches are sent in advance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from dlc.data.batching import Batching, batching_of
from dlc.data.columns import Windows
from dlc.data.dataset import Sampler, padded_batches
from dlc.data.feed import Feed, Gathered, Rows
from dlc.data.prefetch import Prefetcher
from dlc.frontend.plan import Plan
from dlc.support.lazy import jax, np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ITERATIONS = 1024  # steps of one chunk, at most
EVALUATION_BATCH = 256
EVALUATION_ITERATIONS = 4  # batches of one evaluation chunk, at most: it can be stopped between chunks
CHUNK_BYTES = 64 << 20  # batches of one chunk that is sent, at most
PARTS = 12  # chunks per memory for records: one in use, one waiting, one being made, each with copies


def make_sampler(plan: Plan, rows: NDArray[np.int32], targets: Mapping[str, Any]) -> Sampler:
    """The sampler of a spec's training split with the given row numbers.

    Args:
        plan: the plan.
        rows: the row numbers.
        targets: encoded targets of all records by name, which `train.balance` may read.

    Raises:
        SpecError: DLC405 when a batch is larger than the split.
    """
    batching = batching_of(plan, len(rows))
    per_epoch = None if plan.train.steps_per_epoch is None else batching.examples
    classes = None
    if plan.train.balance is not None:
        classes = np.asarray(targets[plan.train.balance][rows])
        classes = classes.argmax(1) if classes.ndim > 1 else classes  # rows of `one_hot`
    return Sampler(rows, batching.batch_size, plan.seed, plan.train.shuffle, per_epoch, classes)


class Portions(NamedTuple):
    """The portions in which records reach the device.

    Args:
        resident: whether all records stay there.
        room: bytes of the batches of one chunk, if they don't.
        batch_size: examples per step; 0 without training.
        max_iterations: the most steps of one chunk.
    """

    resident: bool
    room: int
    batch_size: int
    max_iterations: int

    def fitting(self, iterations: int, batch_bytes: int) -> int:
        """The number of iterations that fit into a chunk."""
        return max(1, min(iterations, MAX_ITERATIONS, MAX_ITERATIONS if self.resident else self.room // batch_bytes))


def portions_of(record_bytes: int, nbytes: int, in_memory: bool, batching: Batching | None, memory: int) -> Portions:
    """The portions for records of `record_bytes` each, a total of `nbytes`, which may take `memory` bytes."""
    resident = in_memory and nbytes <= _room_on_device(memory)
    found = Portions(resident, min(CHUNK_BYTES, memory // PARTS), batching.batch_size if batching else 0, 0)
    if batching is None:
        return found
    batch_bytes = max(1, record_bytes) * batching.batch_size
    return found._replace(max_iterations=found.fitting(math.ceil(batching.steps_per_epoch), batch_bytes))


def evaluated_together(plan: Plan) -> int:
    """The number of examples evaluated at once: the training batch for losses that compare examples of a batch."""
    size = plan.train.batch_size
    return size if isinstance(size, int) and any(term.loss.in_batch for term in plan.losses) else EVALUATION_BATCH


EvaluationChunk = tuple[Feed, "NDArray[np.bool_]", int]


class Feeder:
    """The feeds of training chunks, and of evaluation: each kind has one shape, so that each compiles once.

    Feeds are prepared on a thread that reads, parses, encodes and sends them while the device computes.

    Args:
        rows: all records, encoded: `{"inputs": {name: (n, ...)}, "targets": {name: (n, ...)}}`, as arrays, or as
            objects that are indexed like arrays and stay on disk.
        sampler: the batches of the training split; None without training.
        longest: the number of examples of the longest evaluated split.
        together: the number of examples evaluated at once.
        memory: the memory for records, in bytes.
    """

    def __init__(
        self, rows: Rows, sampler: Sampler | None, longest: int, together: int = EVALUATION_BATCH, *, memory: int
    ) -> None:
        leaves = jax.tree.leaves(rows)
        nbytes = sum(leaf.nbytes for leaf in leaves)
        in_memory = all(
            leaf.in_memory if isinstance(leaf, Windows) else isinstance(leaf, np.ndarray) for leaf in leaves
        )
        record_bytes = sum(math.prod(leaf.shape[1:]) * leaf.dtype.itemsize for leaf in leaves)
        self.sampler = sampler
        batching = None if sampler is None else sampler.batching
        self.portions = portions_of(record_bytes, nbytes, in_memory, batching, memory)
        self.max_iterations = self.portions.max_iterations
        self.rows: Rows = jax.device_put(jax.tree.map(gathered, rows)) if self.portions.resident else rows
        self._records: Rows = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), rows)
        self.evaluation_batch = min(together, longest)
        batches = min(EVALUATION_ITERATIONS, math.ceil(longest / self.evaluation_batch))
        evaluated_bytes = max(1, record_bytes) * self.evaluation_batch
        self.evaluation_iterations = self.portions.fitting(batches, evaluated_bytes)
        self._training: Prefetcher[Feed] = Prefetcher()
        self._evaluation: Prefetcher[EvaluationChunk] = Prefetcher()
        self._kept: tuple[NDArray[np.int32], EvaluationChunk] | None = None  # the chunk of a small split

    @property
    def waited(self) -> float:
        """Seconds that training has waited for batches."""
        return self._training.waited

    def prepare(self, step: int, iterations: int) -> None:
        """Start to prepare the batches of a chunk of steps."""
        self._training.begin(self._chunk, step, iterations)

    def prepared(self, step: int) -> int | None:
        """The number of steps of the chunk that starts at a step, if it is being prepared."""
        return self._training.promised(step)

    def training(self, step: int, iterations: int) -> Feed:
        """The batches of a chunk of steps; prepared ones are used if they match.

        Raises:
            SpecError: DLC401-DLC406 when the records can't be read any more.
        """
        return self._training.take(self._chunk, step, iterations)

    def close(self) -> None:
        """Stop preparing batches."""
        self._training.close()
        self._evaluation.close()

    def _chunk(self, step: int, iterations: int) -> Feed:
        assert self.sampler is not None, "there is nothing to train"
        return self._feed(self.sampler.batches(step, iterations), self.max_iterations)

    def shapes(self) -> Rows:
        """The shapes of a training batch."""
        assert self.sampler is not None, "there is nothing to train"
        size = self.sampler.batch_size
        shapes: Rows = jax.tree.map(lambda kind: jax.ShapeDtypeStruct((size, *kind.shape), kind.dtype), self._records)
        return shapes

    def evaluation(self, chosen: NDArray[np.int32]) -> Iterator[EvaluationChunk]:
        """The chosen rows in chunks: a feed, which examples are not padding, and the number of iterations."""
        if self._kept is not None and self._kept[0] is chosen:
            return iter([self._kept[1]])
        indices, real = padded_batches(chosen, self.evaluation_batch)

        def make(start: int, iterations: int) -> EvaluationChunk:
            part, counted = indices[start : start + iterations], real[start : start + iterations]
            return self._feed(part, iterations), _padded(counted, iterations), len(part)

        if len(indices) > self.evaluation_iterations:
            return self._evaluation.each(make, len(indices), self.evaluation_iterations)
        only = make(0, self.evaluation_iterations)
        if self.portions.resident:  # then it consists of a few indices
            self._kept = chosen, only
        return iter([only])

    def _feed(self, indices: NDArray[np.int32], iterations: int) -> Feed:
        """A feed of the given batches, with padding that is never read."""
        rows, flat, size = self.rows, indices.reshape(-1), indices.shape[1]
        if not self.portions.resident:
            rows = jax.device_put(jax.tree.map(lambda leaf: _sent(leaf, flat, iterations * size), rows))
            indices = np.arange(len(flat), dtype=np.int32).reshape(-1, size)
        # XLA would compile a single iteration to another program, with other bits
        return Feed(rows, jax.device_put(_padded(indices, max(iterations, 2))))


def _room_on_device(memory: int) -> int:
    """The bytes of data that may stay on the device: half of an accelerator's memory."""
    stats = jax.devices()[0].memory_stats() or {}
    return min(memory, int(stats.get("bytes_limit", 2 * memory)) // 2)


def gathered(leaf: Any) -> Any:
    """A value as compiled programs take it."""
    return Gathered(leaf.values, leaf.rows, leaf.offsets) if isinstance(leaf, Windows) else leaf


def _sent(leaf: Any, chosen: NDArray[np.int32], count: int) -> Any:
    """Some records of a value, with padding up to `count` of them."""
    found = _padded(leaf[chosen], count)
    if not isinstance(leaf, Windows):
        return found
    length = len(leaf.offsets)
    starts = np.arange(count, dtype=np.int32) * np.int32(length)
    return Gathered(found.reshape(count * length, *found.shape[2:]), starts, np.arange(length, dtype=np.int32))


def _padded(array: NDArray[Any], length: int) -> NDArray[Any]:
    if len(array) == length:
        return array
    return np.concatenate([array, np.zeros((length - len(array), *array.shape[1:]), array.dtype)])
