"""Arrays as small PNG images, embedded in the page."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.ir import TensorType
from dlc.reports.markup import Markup, element

MOST_PIXELS = 64  # of a side; larger images are scaled down


def pictured(kind: TensorType) -> bool:
    """Whether examples of a type are images: (height, width) or (height, width, channels) of 1, 3 or 4.

    >>> kinds = ("f32[batch, 8, 8]", "f32[batch, 28, 28, 3]", "f32[batch, 100, 4]")
    >>> [pictured(TensorType.parse(text)) for text in kinds]
    [True, True, False]
    """
    sizes = kind.shape[1:]
    if kind.dtype not in ("f32", "f16", "bf16", "u8") or len(sizes) not in (2, 3):
        return False
    height, width = sizes[0], sizes[1]
    if not (isinstance(height, int) and isinstance(width, int)) or (len(sizes) == 3 and sizes[2] not in (1, 3, 4)):
        return False
    return min(height, width) >= 4 and max(height, width) <= 4 * min(height, width)


def gray(kind: TensorType) -> bool:
    """Whether examples are images without an axis of channels; (time, series) rarely has equal sizes.

    >>> [gray(TensorType.parse(text)) for text in ("f32[batch, 8, 8]", "f32[batch, 24, 7]", "f32[batch, 8, 8, 1]")]
    [True, False, False]
    """
    return pictured(kind) and kind.rank == 3 and kind.shape[1] == kind.shape[2]


def value_range(*arrays: NDArray[Any]) -> tuple[float, float]:
    """The darkest and the brightest value of some images; 0 is black if no value is below."""
    known = [array[np.isfinite(array)] for array in arrays]
    low = min((float(array.min()) for array in known if array.size), default=0.0)
    high = max((float(array.max()) for array in known if array.size), default=1.0)
    low = min(low, 0.0)
    return (low, high) if high > low else (low, low + 1.0)


def picture(array: NDArray[Any], limits: tuple[float, float], alt: str) -> Markup:
    """An image (height, width[, channels]) whose values lie between two limits, as an element."""
    low, high = limits
    shades = np.nan_to_num((np.asarray(array, np.float64) - low) / (high - low))
    shades = np.clip(shades, 0, 1)
    if shades.ndim == 2:
        shades = shades[:, :, None]
    shades = smaller(shades)
    data = png(np.round(shades * 255).astype(np.uint8))
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return element("img", src=source, alt=alt, width=shades.shape[1], height=shades.shape[0])


def smaller(shades: NDArray[Any]) -> NDArray[Any]:
    """The image scaled down to sides of at most `MOST_PIXELS`, by means over squares."""
    step = -(-max(shades.shape[:2]) // MOST_PIXELS)
    if step == 1:
        return shades
    height, width = (max(1, size // step) for size in shades.shape[:2])
    whole = shades[: height * step, : width * step]
    if whole.shape[0] < step or whole.shape[1] < step:
        return shades[::step, ::step]
    parts: NDArray[Any] = whole.reshape(height, step, width, step, -1).mean((1, 3))
    return parts


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (height, width, channels) of 1, 3 or 4 as a PNG file (W3C, Portable Network Graphics, second edition)."""
    height, width, channels = pixels.shape
    color = {1: 0, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows, 9)) + part(b"IEND", b"")
