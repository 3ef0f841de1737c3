"""Values for the examples of augmentations and features."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlc.components.augmentations.augmentation import AugmentExample
from dlc.ir import DTYPES, TensorType

SIZES = {"batch": 4, "time": 9, "steps": 5, "height": 6, "width": 7, "channels": 3}


def types_of(example: AugmentExample) -> list[TensorType]:
    return [TensorType.parse(text) for text in ([example.on] if isinstance(example.on, str) else example.on)]


def array(kind: TensorType, seed: int = 0) -> jax.Array:
    """Random values of a type, real ones from 0 to 1."""
    generator = np.random.default_rng(seed)
    shape = tuple(dim if isinstance(dim, int) else SIZES[dim] for dim in kind.shape)
    if kind.is_float:
        return jnp.asarray(generator.uniform(size=shape), DTYPES[kind.dtype])
    return jnp.asarray(generator.integers(0, kind.bound or 200, shape), DTYPES[kind.dtype])


def mask_of(kind: TensorType) -> jax.Array | None:
    """The mask of a masked type: examples of different lengths, one of them empty but for a point."""
    if not kind.mask:
        return None
    lengths = jnp.array([9, 6, 1, 4])
    return jnp.arange(SIZES["time"])[None] < lengths[:, None]


def spread(mask: jax.Array, x: jax.Array) -> np.ndarray[Any, Any]:
    return np.asarray(mask).reshape(*mask.shape, *(1,) * (x.ndim - 2))


def column(values: Any) -> np.ndarray:
    """A column as a source gives it: numbers in their type, all else as objects."""
    if all(isinstance(value, (int, float, list)) for value in values):
        return np.array(values)
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def has_type(found: Any, kind: TensorType) -> None:
    """Check the shape of an array; a size that is a symbol may be any."""
    assert len(found.shape) == kind.rank
    assert all(isinstance(dim, str) or dim == size for dim, size in zip(kind.shape, found.shape, strict=True))
