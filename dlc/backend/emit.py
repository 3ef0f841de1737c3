"""The program of a spec as text, and its lowering: `dlc show --emit` and `--lowering`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dlc.backend.network import lower
from dlc.backend.shapes import batch_shapes, stats_shapes, value_shapes
from dlc.backend.train_step import make_compiled_steps
from dlc.backend.update import make_updater
from dlc.components.schedules.schedule import Horizon
from dlc.data.feed import Feed
from dlc.data.ranges import with_ranges
from dlc.frontend.passes.sizes import sizes_of
from dlc.frontend.plan import Plan
from dlc.kernels.selection import Site

WHOLE_BATCH = 16  # examples of a batch that holds all of them


def sites_of(plan: Plan, sizes: Mapping[str, int] | None = None) -> dict[str, Site]:
    """The sites of a network: operations with several equivalent variants, by layer and operation.

    `sizes` are numbers for its symbolic sizes, as in `program_text`.
    """
    program, shapes = lower(plan.graph), _value_shapes(plan, sizes)
    jax.eval_shape(program.apply, program.declared(), shapes)
    return program.choices.sites


def program_text(
    plan: Plan, how: str, step: bool, platform: str | None = None, sizes: Mapping[str, int] | None = None
) -> str:
    """The jaxpr, StableHLO or optimized HLO of the forward pass, or of a chunk of training steps.

    Args:
        plan: a checked spec; with loss and optimizer when `step` is set.
        how: `jaxpr`, `stablehlo` or `hlo`.
        step: the training step instead of the forward pass.
        platform: the platform of the StableHLO: `cpu`, `cuda`, `rocm` or `tpu`; this process's if None.
        sizes: numbers for the symbolic sizes; assumed ones if None.

    Raises:
        SpecError: DLC115 when `step` is set and the spec can't be trained.
    """
    function, arguments = training_chunk(plan, platform, sizes) if step else _forward(plan, platform, sizes)
    if how == "jaxpr":
        return str(function.trace(*arguments).jaxpr)
    if platform is not None:
        return str(function.trace(*arguments).lower(lowering_platforms=(platform,)).as_text())
    lowered = function.lower(*arguments)
    return str(lowered.as_text() if how == "stablehlo" else lowered.compile().as_text())


def training_chunk(
    plan: Plan, platform: str | None = None, sizes: Mapping[str, int] | None = None
) -> tuple[Any, tuple[Any, ...]]:
    """The function of a chunk of training steps, and the shapes of its arguments for one batch.

    It is lowered for `platform`, or for that of this process. `sizes` are numbers for the symbolic sizes; if None, they
    are assumed.

    Raises:
        SpecError: DLC115 when the spec can't be trained.
    """
    from dlc.frontend.trainable import need_trainable

    plan = with_ranges(plan, {}, {})
    size = _batch_size(plan) * need_trainable(plan).modifiers.accumulate
    numbers = sizes_of(plan).numbers if sizes is None else sizes
    program, rows, stats = lower(plan.graph, only=platform), batch_shapes(plan, size, numbers), stats_shapes(plan)
    updater = make_updater(plan, program, Horizon(10**9, 1e6))  # longer than any warm-up
    compiled_steps = make_compiled_steps(plan, program, updater, stats)
    shapes = compiled_steps.batch_statistics(program.declared(), rows)
    state = jax.eval_shape(lambda variables: compiled_steps.start(variables, shapes), program.declared())
    feed = Feed(rows, jax.ShapeDtypeStruct((2, size), jnp.int32))
    return compiled_steps.chunk, (state, feed, jnp.int32(1), jnp.bool_(True), stats)


def _forward(plan: Plan, platform: str | None, sizes: Mapping[str, int] | None) -> tuple[Any, tuple[Any, ...]]:
    program = lower(plan.graph, only=platform)
    function = jax.jit(lambda variables, inputs: program.apply(variables, inputs, train=False)[0])
    return function, (program.declared(), _value_shapes(plan, sizes))


def _value_shapes(plan: Plan, sizes: Mapping[str, int] | None) -> dict[str, Any]:
    numbers = sizes_of(plan).numbers if sizes is None else sizes
    return value_shapes(plan.graph.inputs, _batch_size(plan), numbers)


def _batch_size(plan: Plan) -> int:
    size = plan.train.batch_size
    return size if isinstance(size, int) else WHOLE_BATCH
