"""The program of training compiled while the records are read, where their sizes are known before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlc.backend.network import Program
from dlc.backend.shapes import batch_shapes, stats_shapes
from dlc.backend.train_step import CompiledSteps, make_compiled_steps
from dlc.backend.update import make_updater
from dlc.components.schedules.schedule import Horizon
from dlc.data.balance import awaits_class_weights
from dlc.data.batching import batching_of, horizon_of, split_sizes
from dlc.data.columns import Windows
from dlc.data.feed import Feed, Gathered, Rows
from dlc.data.feeder import Portions, portions_of
from dlc.data.ranges import awaits_ranges
from dlc.data.tables import COPIES, allowed_memory
from dlc.diagnostics import SpecError
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation


class Known(NamedTuple):
    """What the compiled program depends on besides the spec.

    Args:
        feed: the shapes of a chunk's feed.
        stats: the shapes of what features fitted.
        horizon: the run's length.
    """

    feed: Feed
    stats: Any
    horizon: Horizon

    @classmethod
    def of(cls, portions: Portions, rows: Rows, stats: Any, horizon: Horizon) -> Known:
        """What is known when all records are read."""
        return cls(feed_shapes(portions, rows), jax.tree.map(_shape, stats), horizon)


class CompileAhead:
    """A chunk of steps that is compiled on a thread of its own.

    Args:
        plan: a spec that can be trained.
        program: its network.
    """

    def __init__(self, plan: Plan, program: Program) -> None:
        self._known = _foreseen(plan)
        self._batch_statistics: Future[Any] = (
            Future()
        )  # the network is traced once: the thread that waits would only slow this one
        self._chunk: Future[Callable[..., Any]] | None = None
        if self._known is not None:
            pool = ThreadPoolExecutor(1, "compiler")
            self._chunk = pool.submit(_compiled, plan, program, self._known, self._batch_statistics)
            pool.shutdown(wait=False)

    def instead_of(self, compiled_steps: CompiledSteps, known: Known) -> CompiledSteps:
        """The trainer with the chunk that was compiled, if all turned out as foreseen; else as it is."""
        chunk, self._chunk = self._chunk, None
        if chunk is None or known != self._known:
            return compiled_steps

        def compiled(*arguments: Any) -> Any:
            return chunk.result()(*arguments)

        return replace(compiled_steps, chunk=compiled, batch_statistics=lambda *_: self._batch_statistics.result())


def feed_shapes(portions: Portions, rows: Rows) -> Feed:
    """The shapes of a chunk's feed; `rows` are of all records."""
    iterations, size = portions.max_iterations, portions.batch_size
    count = None if portions.resident else iterations * size
    shapes = jax.tree.map(lambda leaf: _sent_shape(leaf, count), rows)
    return Feed(shapes, jax.ShapeDtypeStruct((max(iterations, 2), size), jnp.int32))


def _sent_shape(leaf: Any, count: int | None) -> Any:
    """The shape of a value in a feed: of `count` records; of all when None."""
    if not isinstance(leaf, Windows):
        return jax.ShapeDtypeStruct((count or leaf.shape[0], *leaf.shape[1:]), leaf.dtype)
    rows, length = count or len(leaf), leaf.shape[1]
    values = (count * length, *leaf.values.shape[1:]) if count else leaf.values.shape
    index = jnp.int32
    return Gathered(
        jax.ShapeDtypeStruct(values, leaf.dtype),
        jax.ShapeDtypeStruct((rows,), index),
        jax.ShapeDtypeStruct((length,), index),
    )


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


def _foreseen(plan: Plan) -> Known | None:
    """What the program will depend on, as far as it can be known; None when it can't."""
    data = plan.data
    sources = [source for source in (data.source, data.validation, data.test) if source is not None] if data else []
    features = (*plan.inputs.values(), *plan.targets.values())
    by_column = data is not None and data.split.column is not None
    if by_column or any(feature.span is not None for feature in features):  # sizes that only the data tell
        return None
    kinds = [feature.value_type() for feature in features]
    if any(isinstance(dim, str) for kind in kinds for dim in kind.shape[1:]) or awaits_ranges(plan):
        return None
    if awaits_class_weights(plan):
        return None
    try:
        counts = [source.count(Path(plan.folder)) for source in sources]
        known = [count for count in counts if count is not None]
        if len(known) < len(counts) or not known:
            return None
        batching = batching_of(plan, split_sizes(plan, known[0])["train"])
        horizon = horizon_of(plan, batching)
    except (SpecError, RuleViolation):  # the error is reported when the records are read
        return None
    rows = batch_shapes(plan, sum(known), {})
    memory = allowed_memory(plan)
    nbytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(rows))
    portions = portions_of(nbytes // sum(known), nbytes, nbytes <= memory // COPIES, batching, memory)
    return Known(feed_shapes(portions, rows), stats_shapes(plan), horizon)


def _compiled(plan: Plan, program: Program, known: Known, batch_statistics: Future[Any]) -> Callable[..., Any]:
    feed, stats, horizon = known
    compiled_steps = make_compiled_steps(plan, program, make_updater(plan, program, horizon), stats)
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((feed.indices.shape[1], *leaf.shape[1:]), leaf.dtype), feed.rows
    )
    try:
        batch_statistics.set_result(compiled_steps.batch_statistics(program.declared(), like))
    except BaseException as error:
        batch_statistics.set_exception(error)
        raise
    state = jax.eval_shape(
        lambda variables: compiled_steps.start(variables, batch_statistics.result()), program.declared()
    )
    jitted: Any = compiled_steps.chunk
    found: Callable[..., Any] = jitted.lower(
        state, feed, jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((), jnp.bool_), stats
    ).compile()
    return found
