"""Values read at other positions: images under affine maps, series at other times, and smooth curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from dlc.ir.masks import over
from dlc.support.lazy import jax, jnp, np

if TYPE_CHECKING:
    from jax import Array

Interpolation = Literal["bilinear", "nearest"]
Mode = Literal["constant", "edge", "reflect", "wrap"]


def _inside(index: Array, size: int, mode: Mode) -> Array:
    """Indices brought into [0, size): as `numpy.pad` with this mode fills what lies outside."""
    if mode == "wrap":
        return index % size
    if mode == "reflect" and size > 1:
        iteration = index % (2 * size - 2)
        return jnp.minimum(iteration, 2 * size - 2 - iteration)
    return jnp.clip(index, 0, size - 1)


def _read(x: Array, rows: Array, columns: Array, mode: Mode, value: float) -> Array:
    """(batch, height, width, channels) at whole positions (batch, height, width) each."""
    batch, height, width, channels = x.shape
    at = _inside(rows, height, mode) * width + _inside(columns, width, mode)
    flat = x.reshape(batch, height * width, channels)
    found: Array = jax.vmap(lambda image, index: image.at[index].get(mode="promise_in_bounds"))(
        flat, at
    )  # (B, H, W, C)
    if mode != "constant":
        return found
    real = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return jnp.where(real[..., None], found, jnp.asarray(value, x.dtype))


def sample(x: Array, rows: Array, columns: Array, interpolation: Interpolation, mode: Mode, value: float) -> Array:
    """Images read at positions between pixels.

    Args:
        x: (batch, height, width, channels).
        rows: (batch, height, width), counted in pixels, pixel 0 being at 0.
        columns: likewise.
        interpolation: `bilinear` between the four neighbours, or the `nearest` pixel; halves go up.
        mode: what lies outside, as `numpy.pad` has it.
        value: what lies outside with the mode `constant`.
    """
    if interpolation == "nearest":
        near = [jnp.floor(places + 0.5).astype(jnp.int32) for places in (rows, columns)]
        return _read(x, near[0], near[1], mode, value)
    top, left = jnp.floor(rows), jnp.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]  # (B, H, W, 1)
    i, j = top.astype(jnp.int32), left.astype(jnp.int32)
    upper = _read(x, i, j, mode, value) * (1 - right) + _read(x, i, j + 1, mode, value) * right
    lower = _read(x, i + 1, j, mode, value) * (1 - right) + _read(x, i + 1, j + 1, mode, value) * right
    return upper * (1 - down) + lower * down


def affine(
    x: Array, matrix: Array, offset: Array, interpolation: Interpolation, mode: Mode = "constant", value: float = 0.0
) -> Array:
    """Images under affine maps: the pixel at z is read from matrix @ (z - c) + c + offset, c the image's centre.

    Args:
        x: (batch, height, width, channels).
        matrix: (batch, 2, 2), rows before columns.
        offset: (batch, 2), in pixels.
        interpolation: see `sample`.
        mode: see `sample`.
        value: see `sample`.
    """
    height, width = x.shape[1:3]
    centre = ((height - 1) / 2, (width - 1) / 2)
    i = (jnp.arange(height, dtype=jnp.float32) - centre[0])[None, :, None]  # (1, H, 1)
    j = (jnp.arange(width, dtype=jnp.float32) - centre[1])[None, None, :]  # (1, 1, W)
    m, at = matrix[:, :, :, None, None], offset[:, :, None, None]
    rows = m[:, 0, 0] * i + m[:, 0, 1] * j + centre[0] + at[:, 0]  # (B, H, W)
    columns = m[:, 1, 0] * i + m[:, 1, 1] * j + centre[1] + at[:, 1]
    return sample(x, rows, columns, interpolation, mode, value)


# ---- along time ----


def lengths(x: Array, mask: Array | None) -> Array:
    """(batch,) int32: how many points of time each series has before its padding."""
    if mask is None:
        return jnp.full((x.shape[0],), x.shape[1], jnp.int32)
    return mask.sum(1, dtype=jnp.int32)


def take_times(x: Array, times: Array) -> Array:
    """(batch, time, *axes) at whole points of time (batch, time), all in range."""
    taken: Array = jax.vmap(lambda series, at: series.at[at].get(mode="promise_in_bounds"))(x, times)
    return taken


def at_times(x: Array, times: Array, length: Array) -> Array:
    """Series read between points of time: linear for real numbers, the nearest point for others.

    Args:
        x: (batch, time, *axes).
        times: (batch, time) float; what lies outside of the series is read from its ends.
        length: (batch,) points before the padding.
    """
    last = jnp.maximum(length - 1, 0)[:, None]  # (B, 1)
    times = jnp.clip(times, 0.0, last.astype(jnp.float32))
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return take_times(x, jnp.minimum(jnp.floor(times + 0.5).astype(jnp.int32), last))
    before = jnp.floor(times)
    share = over(times - before, x)
    i = before.astype(jnp.int32)
    return take_times(x, i) * (1 - share) + take_times(x, jnp.minimum(i + 1, last)) * share


def _curvatures(knots: int) -> Any:
    """(knots, knots): second derivatives of the natural cubic spline through values at 0, 1, ..., knots - 1."""
    left, right = np.eye(knots), np.zeros((knots, knots))
    for row in range(1, knots - 1):
        left[row, row - 1 : row + 2] = (1, 4, 1)
        right[row, row - 1 : row + 2] = (6, -12, 6)
    return np.linalg.solve(left, right).astype(np.float32)


def curve(values: Array, places: Array) -> Array:
    """Smooth curves: natural cubic splines through values at 0, 1, ..., knots - 1.

    Args:
        values: (batch, knots, channels).
        places: (batch, time), from 0 to knots - 1.

    Returns:
        (batch, time, channels).
    """
    knots = values.shape[1]
    before = jnp.clip(jnp.floor(places), 0, knots - 2).astype(jnp.int32)
    b = jnp.clip(places - before, 0.0, 1.0)[..., None]  # (B, T, 1)
    a = 1 - b
    bends = jnp.asarray(_curvatures(knots))
    here, next_ = (before[..., None] == jnp.arange(knots)), (before[..., None] + 1 == jnp.arange(knots))
    weights = a * here + b * next_ + ((a**3 - a) * bends[before] + (b**3 - b) * bends[before + 1]) / 6  # (B, T, knots)
    return jnp.einsum("btk,bkc->btc", weights, values, precision="highest")
