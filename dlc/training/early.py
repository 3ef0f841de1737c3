"""The program of training compiled while the records are read, where their sizes are known before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp

from dlc.diagnostics import SpecError
from dlc.lower.feed import Feed, Rows
from dlc.lower.optimizing import make_updater
from dlc.lower.program import Program
from dlc.lower.shapes import batch_shapes, stats_shapes
from dlc.lower.steps import Trainer, make_trainer
from dlc.objectives.schedules import Horizon
from dlc.options import Wrong
from dlc.pipeline import Spec
from dlc.sources.dataset import split_sizes
from dlc.sources.reading import COPIES, allowed_memory
from dlc.training.feeding import Portions, batching_of, horizon_of, portions_of

Known = tuple[Any, ...]  # what the compiled program depends on: shapes of a feed and of statistics, the horizon


class Early:
    """A chunk of steps that is compiled on a thread of its own.

    Args:
        spec: a spec that can be trained.
        program: its network.
    """

    def __init__(self, spec: Spec, program: Program) -> None:
        self._chunk: Future[Callable[..., Any]] | None = None
        self._known = _foreseen(spec)
        if self._known is not None:
            pool = ThreadPoolExecutor(1, "compiler")
            self._chunk = pool.submit(_compiled, spec, program, self._known)
            pool.shutdown(wait=False)

    def instead_of(self, trainer: Trainer, portions: Portions, rows: Rows, stats: Any, horizon: Horizon) -> Any:
        """The chunk that was compiled, if all turned out as foreseen; else the trainer's own, which will be."""
        found = (feed_shapes(portions, rows), jax.tree.map(_shape, stats), horizon)
        chunk, self._chunk = self._chunk, None
        if chunk is None or found != self._known:
            return trainer.chunk

        def compiled(*arguments: Any) -> Any:
            return chunk.result()(*arguments)

        return compiled


def feed_shapes(portions: Portions, rows: Rows) -> Feed:
    """The shapes of a chunk's feed; `rows` are of all records."""
    turns, size = portions.max_turns, portions.batch_size
    count = None if portions.resident else turns * size
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((count or leaf.shape[0], *leaf.shape[1:]), leaf.dtype), rows
    )
    return Feed(shapes, jax.ShapeDtypeStruct((max(turns, 2), size), jnp.int32))


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


def _foreseen(spec: Spec) -> Known | None:
    """What the program will depend on, as far as it can be known; None when it can't."""
    data = spec.document.data
    sources = [source for source in (data.source, data.validation, data.test) if source is not None] if data else []
    kinds = [
        feature.value_type() for feature in (*spec.document.inputs.values(), *spec.document.targets.values()) if feature
    ]
    if any(isinstance(dim, str) for kind in kinds for dim in kind.shape[1:]):
        return None
    try:
        counts = [source.count(spec.document.folder) for source in sources]
        known = [count for count in counts if count is not None]
        if len(known) < len(counts) or not known:
            return None
        batching = batching_of(spec, split_sizes(spec, known[0])["train"])
    except (SpecError, Wrong):  # what is wrong is said when the records are read
        return None
    rows = batch_shapes(spec, sum(known))
    memory = allowed_memory(spec)
    nbytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(rows))
    portions = portions_of(sum(known), nbytes, nbytes <= memory // COPIES, batching, memory)
    return feed_shapes(portions, rows), stats_shapes(spec), horizon_of(spec, batching)


def _compiled(spec: Spec, program: Program, known: Known) -> Callable[..., Any]:
    feed, stats, horizon = known
    trainer = make_trainer(spec, program, make_updater(spec, program, horizon), stats)
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((feed.indices.shape[1], *leaf.shape[1:]), leaf.dtype), feed.rows
    )
    state = jax.eval_shape(lambda variables: trainer.start(variables, like), program.declared())
    jitted: Any = trainer.chunk
    found: Callable[..., Any] = jitted.lower(
        state, feed, jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((), jnp.bool_), stats
    ).compile()
    return found
