"""The shapes of what a training program takes, told from the spec alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dlc.data.feed import Rows
from dlc.frontend.pipeline import Spec
from dlc.ir import DTYPES, MASK, TensorType

VARYING = 16  # stands for sizes that vary


def batch_shapes(spec: Spec, batch: int) -> Rows:
    """Inputs and targets of a number of examples, encoded."""
    targets = {name: feature.value_type() for name, feature in spec.document.targets.items() if feature is not None}
    return {"inputs": value_shapes(spec.graph.inputs, batch), "targets": value_shapes(targets, batch)}


def stats_shapes(spec: Spec) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
    """What the features fit."""
    features = {**spec.document.inputs, **spec.document.targets}
    return {
        name: {key: _shape(kind, 1) for key, kind in feature.stats_types().items()}
        for name, feature in features.items()
        if feature is not None
    }


def value_shapes(kinds: Mapping[str, TensorType], batch: int) -> dict[str, Any]:
    """The arrays of a batch of values, each with its mask."""
    found = {name: _shape(kind, batch) for name, kind in kinds.items()}
    masks = {
        name + MASK: jax.ShapeDtypeStruct(found[name].shape[:2], jnp.bool_) for name, kind in kinds.items() if kind.mask
    }
    return {**found, **masks}


def _shape(kind: TensorType, batch: int) -> jax.ShapeDtypeStruct:
    shape = tuple(dim if isinstance(dim, int) else batch if dim == "batch" else VARYING for dim in kind.shape)
    return jax.ShapeDtypeStruct(shape, DTYPES[kind.dtype])
