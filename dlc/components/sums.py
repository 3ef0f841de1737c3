"""Sums in float32 of values of any magnitude: in three parts, each in a unit of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.support.lazy import jax, jnp, np

if TYPE_CHECKING:
    from jax import Array

UNITS = (2.0**-170, 1.0, 2.0**170)
"""The units of the parts."""

_EDGE, _FACTOR = 80, 85  # exponents: the middle part holds values from 2^-80 to 2^80; the root of a unit is 2^85
_SMALLEST = 2.0**-126  # normal number; smaller ones count as 0


def in_units(values: Array, power: int = 1) -> tuple[Array, Array, Array]:
    """Powers of values in three parts, so that their sums fit into float32.

    Args:
        values: in float32, of any magnitude. Infinite and undefined ones stay what they are.
        power: 1 or 2.

    Returns:
        Three arrays in `UNITS`, of which at most one is not 0 at each position.
    """
    values = values.astype("float32")
    edge = 2.0 ** (_EDGE / power)
    size = jnp.abs(values)
    small, large = size < 1 / edge, (size >= edge) & jnp.isfinite(values)
    exponent = 2 * _FACTOR // power
    low = jnp.where(small & (size >= _SMALLEST), _scaled(values, exponent), 0.0)
    high = jnp.where(large, _scaled(values, -exponent), 0.0)
    middle = jnp.where(small | large, 0.0, values)
    return low**power, middle**power, high**power


def _scaled(values: Array, exponent: int) -> Array:
    """Normal values times 2^exponent, where the result is normal as well.

    The exponent is added to the bits. XLA would join the constants of two products, and 2^170 is infinite in float32.
    """
    bits = jax.lax.bitcast_convert_type(values, jnp.int32)
    scaled: Array = jax.lax.bitcast_convert_type(bits + (exponent << 23), jnp.float32)
    return scaled


def whole(total: Any) -> float:
    """A sum on the host, in float64: of three parts in `UNITS`, or one number."""
    parts = np.asarray(total, np.float64)
    return float(parts @ np.asarray(UNITS)) if parts.ndim else float(parts)
