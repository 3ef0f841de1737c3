"""Masks: bool (batch, time), true at data and false at padding, applied to values with more axes."""

from __future__ import annotations

from typing import Any, TypeVar

from dlc.support.lazy import jnp, np

T = TypeVar("T")


def over(x: T, like: Any) -> T:
    """(batch,) or (batch, time) with trailing axes of size 1, up to the rank of `like`: an array, or a rank."""
    array: Any = x
    rank = like if isinstance(like, int) else like.ndim
    found: T = array.reshape(*array.shape, *(1,) * (rank - array.ndim))
    return found


def where_real(mask: Any, value: Any) -> Any:
    """A value (batch, time, *axes) with 0 where a mask (batch, time) is false, as numpy or JAX array."""
    arrays = np if isinstance(value, np.ndarray) else jnp
    return arrays.where(over(mask, value), value, 0)
