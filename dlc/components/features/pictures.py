"""Decoding pictures with Pillow: files of any common format as arrays of bytes of one size."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from dlc.components.wrong_values import WrongValues
from dlc.language.options import RuleViolation
from dlc.support.lazy import np
from dlc.support.optional import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""The formats that are read: none of them runs another program, as EPS does."""
DEEP = ("PNG", "PPM")
"""The formats whose pictures of 16 bits Pillow may read as integers of 32 bits, all of them below 65,536."""
MOST_PIXELS = 1 << 27
"""The most pixels of a picture. A small file may declare more than fit into memory."""
METADATA = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
"""Where Pillow looks for the orientation in other files than TIFF; to look takes time even if there is nothing."""
ORIENTATION = 0x0112
"""The tag of the orientation in EXIF."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's modes by the number of channels."""


class Target(NamedTuple):
    """What a picture becomes: the decoder of pictures.

    Args:
        height: in pixels.
        width: in pixels.
        channels: 1, 3 or 4: gray, RGB, or RGB with alpha.
        fit: `stretch` to the size; `crop` the center to its aspect ratio; `pad` with black.
        interpolation: `nearest`, `bilinear`, `bicubic` or `lanczos`; they average when a picture shrinks.
    """

    height: int
    width: int
    channels: int
    fit: str
    interpolation: str

    @property
    def key(self) -> str:
        """The options, and the versions of Pillow and of its decoder of JPEG files."""
        features = require("PIL", "PIL.features")
        versions = f"Pillow {features.version('pil')} {features.version('jpg')}"
        return f"picture {VERSION} {' '.join(map(str, self))}, {versions}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    @property
    def dtype(self) -> str:
        """Bytes."""
        return "uint8"

    @property
    def wrong(self) -> str:
        """What is wrong with a file that can't be decoded."""
        return "is not a picture that can be read"

    @property
    def expected(self) -> str:
        """The formats."""
        return f"a picture ({', '.join(FORMATS)})"

    def decode(self, data: bytes) -> NDArray[Any]:
        """The picture in a file, as by `decoded`."""
        return decoded(data, self)


VERSION = 1
"""The version of the code below: increased when it returns other pixels for some file."""


@cache
def _pillow() -> tuple[Any, Any]:
    """The modules `Image` and `ImageOps`; Pillow's warning of large pictures is off, because `decoded` checks sizes."""
    image_module = require("PIL", "PIL.Image")
    warnings.filterwarnings("ignore", category=image_module.DecompressionBombWarning)
    return image_module, require("PIL", "PIL.ImageOps")


def _opened(data: bytes) -> Any:
    """The picture in a file, not yet decoded."""
    image_module = _pillow()[0]
    try:
        return image_module.open(io.BytesIO(data), formats=FORMATS)
    except image_module.DecompressionBombWarning:  # the program has made warnings errors
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return image_module.open(io.BytesIO(data), formats=FORMATS)


def header(data: bytes) -> tuple[tuple[int, int], str]:
    """Height and width of the picture in a file once it is turned upright, and its mode in Pillow, without decoding it.

    Raises:
        ValueError: when it is not a picture, or its header is damaged; with the reason.
    """
    try:
        with _opened(data) as picture:
            width, height = picture.size
            return ((width, height) if _lies(picture) else (height, width)), str(picture.mode)
    except Exception as error:  # Pillow passes on whatever its decoders raise
        raise _unreadable(error) from None


def _lies(picture: Any) -> bool:
    """Whether height and width change places when it is turned upright; Pillow turns TIFF files itself."""
    return picture.format != "TIFF" and picture.getexif().get(ORIENTATION) in (5, 6, 7, 8)


def _unreadable(error: Exception) -> ValueError:
    """Why a picture can't be read, from what Pillow raised."""
    image_module = _pillow()[0]
    if isinstance(error, image_module.DecompressionBombError):
        return ValueError(f"it has too many pixels; at most {MOST_PIXELS:,} are read")
    if isinstance(error, image_module.UnidentifiedImageError):
        return ValueError("it is not a picture of a known format")
    if isinstance(error, ValueError):
        return error
    return ValueError(f"it is damaged: {str(error)[:200] or type(error).__name__}")


def decoded(data: bytes, target: Target) -> NDArray[Any]:
    """The picture in a file: uint8 (height, width, channels).

    It is turned as its EXIF orientation says. Transparency is dropped unless there are four channels. Of 16 bits the
    upper 8 are kept. JPEG files are decoded at the smallest scale of 1, 1/2, 1/4 and 1/8 that is not below the size.

    Raises:
        ValueError: when it is not a picture, damaged, or too large; with the reason.
    """
    _, image_ops = _pillow()
    try:
        with _opened(data) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise ValueError(f"it has {width:,} x {height:,} pixels; at most {MOST_PIXELS:,} are read")
            if picture.mode == "F" or (picture.mode == "I" and picture.format not in DEEP):
                raise ValueError("it has numbers of 32 bits; only 8 and 16 bits are read")
            described = picture.format == "TIFF" or not METADATA.isdisjoint(picture.info)
            wanted = target.width, target.height
            picture.draft(MODES[min(target.channels, 3)], wanted[::-1] if described and _lies(picture) else wanted)
            return resized(image_ops.exif_transpose(picture) if described else picture, target)
    except Exception as error:  # Pillow passes on whatever its decoders raise
        raise _unreadable(error) from None


def resized(picture: Any, target: Target) -> NDArray[Any]:
    """A picture of Pillow with the size and channels of a target: uint8 (height, width, channels)."""
    image_module, image_ops = _pillow()
    mode = MODES[target.channels]
    if picture.mode.startswith("I"):  # 16 bits: Pillow would clip the numbers above 255
        picture = image_module.fromarray((np.asarray(picture).astype(np.int64) >> 8).astype(np.uint8))
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # Pillow warns when it drops the transparency of a palette
    if picture.mode != mode:
        picture = picture.convert(mode)
    size = (target.width, target.height)
    if picture.size != size:
        method = getattr(image_module.Resampling, target.interpolation.upper())
        if target.fit == "crop":
            picture = image_ops.fit(picture, size, method)
        elif target.fit == "pad":
            picture = image_ops.pad(picture, size, method)
        else:
            picture = picture.resize(size, method)
    found = np.asarray(picture, np.uint8)
    return found.reshape(target.height, target.width, target.channels)


def read_arrays(column: NDArray[Any], target: Target, name: str, first_row: int) -> NDArray[Any]:
    """Pictures from arrays of bytes, (n, height, width) or (n, height, width, channels), with the size of a target.

    Raises:
        RuleViolation: DLC406 for arrays of another shape.
        WrongValues: DLC403 for numbers that are not bytes.
    """
    expected = f"[height, width, {target.channels}]" if target.channels > 1 else "[height, width] or [height, width, 1]"
    shape = column.shape[1:]
    if len(shape) == 2:
        column, shape = column[..., None], (*shape, 1)
    if len(shape) != 3 or shape[2] not in MODES or not all(shape):
        message = f"records of `{name}` are not pictures"
        found = f"arrays of shape {list(column.shape[1:])}" if shape else "single values"
        raise RuleViolation("DLC406", message, found=found, expected=f"arrays of shape {expected}")
    whole = _bytes(column, name, first_row)
    if shape == (target.height, target.width, target.channels):
        return np.ascontiguousarray(whole)
    image_module = _pillow()[0]
    pictures = [image_module.fromarray(record[..., 0] if shape[2] == 1 else record) for record in whole]
    return (
        np.stack([resized(picture, target) for picture in pictures])
        if pictures
        else np.empty((0, target.height, target.width, target.channels), np.uint8)
    )


def _bytes(column: NDArray[Any], name: str, first_row: int) -> NDArray[Any]:
    """Numbers as bytes.

    Raises:
        WrongValues: DLC403, if there are others.
    """
    if column.dtype == np.uint8:
        return column
    if column.dtype.kind not in "fiub":
        raise RuleViolation("DLC403", f"the column `{name}` holds no pictures", found=f"values of type {column.dtype}")
    with np.errstate(invalid="ignore"):
        found = column.astype(np.uint8)
    bad = found != column
    if bad.any():
        rows = np.nonzero(bad.reshape(len(column), -1).any(1))[0]
        counts = Counter(f"`{value:g}`" for value in column[bad].tolist()[:1000])
        hint = "declare arrays of other numbers as a `tensor`"
        what = "is not a picture of bytes"
        row = first_row + int(rows[0])
        raise WrongValues("DLC403", what, name, row, counts, expected="integers from 0 to 255", hint=hint)
    return found
