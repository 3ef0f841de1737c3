"""The shapes of a training program's arguments, derived only from the spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dlc.backend.loss import input_feature
from dlc.components.features.feature import fitted_types
from dlc.data.feed import Rows
from dlc.frontend.decisions import starting_thresholds, with_thresholds
from dlc.frontend.plan import Plan
from dlc.ir import DTYPES, MASK, TensorType


def batch_shapes(plan: Plan, batch: int, sizes: Mapping[str, int]) -> Rows:
    """The inputs and targets of `batch` examples as a data set holds them, with numbers for symbolic sizes."""
    inputs = {name: input_feature(plan, name).data_type() for name in plan.graph.inputs}
    targets = {name: feature.data_type() for name, feature in plan.targets.items()}
    return {"inputs": value_shapes(inputs, batch, sizes), "targets": value_shapes(targets, batch, sizes)}


def stats_shapes(plan: Plan) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
    """The features' statistics, and the thresholds to fit."""
    features = {**plan.inputs, **plan.targets}
    shapes = {
        name: {key: _shape(kind, 1, {}) for key, kind in fitted_types(feature).items()}
        for name, feature in features.items()
    }
    fitted = {name: jax.ShapeDtypeStruct(value.shape, value.dtype) for name, value in starting_thresholds(plan).items()}
    return with_thresholds(shapes, fitted)


def value_shapes(kinds: Mapping[str, TensorType], batch: int, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The arrays of a batch of values, each with its mask."""
    found = {name: _shape(kind, batch, sizes) for name, kind in kinds.items()}
    masks = {
        name + MASK: jax.ShapeDtypeStruct(found[name].shape[:2], jnp.bool_) for name, kind in kinds.items() if kind.mask
    }
    return {**found, **masks}


def _shape(kind: TensorType, batch: int, sizes: Mapping[str, int]) -> jax.ShapeDtypeStruct:
    numbers = {**sizes, "batch": batch}
    shape = tuple(dim if isinstance(dim, int) else numbers.get(dim, 1) for dim in kind.shape)
    return jax.ShapeDtypeStruct(shape, DTYPES[kind.dtype])
