"""The program of a spec as text: `dlc show --emit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dlc.ir import DTYPES, MASK, TensorType
from dlc.lower.feed import Feed
from dlc.lower.optimizing import make_updater
from dlc.lower.program import lower
from dlc.lower.steps import make_trainer
from dlc.objectives.schedules import Horizon
from dlc.pipeline import Spec

VARYING = 16  # stands for sizes that vary


def program_text(spec: Spec, how: str, step: bool) -> str:
    """The jaxpr, StableHLO or optimised HLO of the forward pass, or of a chunk of training steps.

    Args:
        spec: a checked spec; with loss and optimizer when `step` is set.
        how: `jaxpr`, `stablehlo` or `hlo`.
        step: the training step instead of the forward pass.

    Raises:
        SpecError: DLC115 when `step` is set and the spec can't be trained.
    """
    program = lower(spec.graph)
    variables = program.declared()
    batch = spec.document.train.batch_size
    size = batch if isinstance(batch, int) else VARYING
    if step:
        from dlc.training.fit import need_trainable

        size *= need_trainable(spec).keys.accumulate
    inputs = _shapes(spec.graph.inputs, size)
    if step:
        features = {**spec.document.inputs, **spec.document.targets}
        kinds = {name: feature.value_type() for name, feature in spec.document.targets.items() if feature}
        batch_of = {"inputs": inputs, "targets": _shapes(kinds, size)}
        stats = {
            name: {key: _shape(kind, size) for key, kind in feature.stats_types().items()}
            for name, feature in features.items()
            if feature is not None
        }
        updater = make_updater(spec, program, Horizon(10**9, 1e6))  # longer than any warm-up
        trainer = make_trainer(spec, program, updater, stats)
        indices = jax.ShapeDtypeStruct((2, size), jnp.int32)
        state = jax.eval_shape(lambda variables: trainer.start(variables, batch_of), variables)
        function: Any = trainer.chunk
        arguments: tuple[Any, ...] = (state, Feed(batch_of, indices), jnp.int32(1), jnp.bool_(True), stats)
    else:
        function = jax.jit(lambda variables, inputs: program.apply(variables, inputs, train=False)[0])
        arguments = (variables, inputs)
    if how == "jaxpr":
        return str(jax.make_jaxpr(function)(*arguments))
    lowered = function.lower(*arguments)
    return str(lowered.as_text() if how == "stablehlo" else lowered.compile().as_text())


def _shapes(kinds: Mapping[str, TensorType], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The arrays of a batch, each with its mask."""
    found = {name: _shape(kind, batch) for name, kind in kinds.items()}
    masks = {
        name + MASK: jax.ShapeDtypeStruct(found[name].shape[:2], jnp.bool_) for name, kind in kinds.items() if kind.mask
    }
    return {**found, **masks}


def _shape(kind: TensorType, batch: int) -> jax.ShapeDtypeStruct:
    shape = tuple(dim if isinstance(dim, int) else batch if dim == "batch" else VARYING for dim in kind.shape)
    return jax.ShapeDtypeStruct(shape, DTYPES[kind.dtype])
