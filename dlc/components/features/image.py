"""Pictures."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator

from dlc.components.features.feature import Feature, FeatureExample, Stats
from dlc.components.features.normalizers import NORMALIZER, denormalized, fit_normalizer, normalized, without_shift
from dlc.components.features.pictures import Target, read_arrays
from dlc.components.value_ranges import ValueRange
from dlc.ir import TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _size(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value, value]
    if len(parts) == 2 and all(isinstance(part, int) and not isinstance(part, bool) and part > 0 for part in parts):
        return tuple(parts)
    expected = "a number of pixels, or `[height, width]`"
    raise reject(OptionError((), "DLC104", "not a valid size", found=spell(value), expected=expected))


def _channels(value: Any) -> Any:
    if value in (1, 3, 4) and not isinstance(value, bool):
        return value
    expected = "1 (gray), 3 (RGB) or 4 (RGB with alpha)"
    raise reject(OptionError((), "DLC104", "not a valid number of channels", found=spell(value), expected=expected))


RANGES = {"unit": ValueRange(0.0, 1.0), "signed": ValueRange(-1.0, 1.0), "none": ValueRange(0.0, 255.0)}
CONSTANTS = {"unit": (0.0, 255.0), "signed": (127.5, 127.5), "none": (0.0, 1.0)}  # shift and scale


class Image(Feature):
    """A picture: (batch, height, width, channels) in float32.

    It reads files of pictures (BMP, GIF, JPEG, PNG, PPM, TIFF, WebP), which the source or a column of the table names,
    or arrays of bytes. Files are turned as their EXIF orientation says, resized and converted to the declared channels.
    Pictures are kept as bytes, in memory and on the device; the compiled program normalizes them.
    """

    word = "image"
    packed = True
    reads_files = True
    size: Annotated[tuple[int, int], BeforeValidator(_size)] = main(
        description="height and width in pixels: one number for both, or `[height, width]`"
    )
    channels: Annotated[int, BeforeValidator(_channels)] = option(3, description="1 (gray), 3 (RGB), 4 (with alpha)")
    resize: Literal["stretch", "crop", "pad"] = option(
        "stretch", description="how pictures of another aspect ratio get the size: `pad` adds black"
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = option(
        "bilinear", description="how pictures are resized; all but `nearest` average when they shrink"
    )
    normalize: Literal["unit", "signed", "standard", "none"] = option(
        "unit",
        description="scale bytes to 0..1 or -1..1, or each channel to mean 0 and deviation 1 by the training split",
    )

    examples = (
        FeatureExample("image: 2", "f32[batch, 2, 2, 3]", [[[[0, 51, 255]] * 2] * 2], [[[[0, 51, 255]] * 2] * 2]),
        FeatureExample(
            "image: {size: [1, 2], channels: 1, normalize: signed}",
            "f32[batch, 1, 2, 1]",
            [[[0, 255]]],
            [[[[0], [255]]]],
        ),
        FeatureExample("image: {size: 2, channels: 1}", "f32[batch, 2, 2, 1]", [[[0, 256], [1, 2]]], error="DLC403"),
        FeatureExample("image: {size: 2, channels: 1}", "f32[batch, 2, 2, 1]", [1], error="DLC406"),
        FeatureExample("image: {size: 2, channels: 2}", "f32[batch, 2, 2, 2]", [[[0, 1], [1, 2]]], error="DLC104"),
        FeatureExample("image: 0", "f32[batch, 2, 2, 2]", [[[0, 1], [1, 2]]], error="DLC104"),
    )

    def value_type(self) -> TensorType:
        """f32[batch, height, width, channels]."""
        return TensorType(("batch", *self.size, self.channels))

    def raw_type(self) -> TensorType:
        """u8[batch, height, width, channels]."""
        return TensorType(("batch", *self.size, self.channels), "u8")

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """Arrays, or what `decoder` made of files, resized: uint8 (n, height, width, channels)."""
        if len(columns) != 1:
            message, found = "an `image` reads one column", f"{len(columns)} columns: {name}"
            hint = "declare columns of pixels as one `tensor: {columns: [...], shape: [...]}`"
            raise RuleViolation("DLC402", message, found=found, hint=hint, option="column")
        return read_arrays(columns[0], self.decoder(), name, first_row)

    def decoder(self) -> Target:
        """The size, and how pictures get it."""
        return Target(*self.size, self.channels, self.resize, self.interpolation)

    def fit(self, raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Shift and scale of each channel."""
        if self.normalize == "standard":
            return fit_normalizer(raw, "standard")
        shift, scale = (np.full(self.channels, value) for value in CONSTANTS[self.normalize])
        return {"shift": shift, "shift_rest": np.zeros_like(shift), "scale": scale}

    def stats_types(self) -> dict[str, TensorType]:
        """The normalizer's vectors."""
        return dict.fromkeys(NORMALIZER, TensorType((self.channels,)))

    def declared_range(self) -> ValueRange | None:
        """0 to 255."""
        return ValueRange(0.0, 255.0)

    def encoded_range(self) -> ValueRange | None:
        """That of `normalize`."""
        return RANGES.get(self.normalize, ValueRange(-inf, inf))

    def encode(self, raw: Any, stats: Stats) -> Any:
        """(raw - shift) / scale."""
        return normalized(raw.astype("float32") if raw.dtype == np.uint8 else raw, stats)

    def decode(self, value: Any, stats: Stats) -> Any:
        """Numbers from 0 to 255."""
        return denormalized(value, stats)

    def centered(self, stats: Stats) -> Stats:
        """Those of a shift of 0."""
        return without_shift(stats)
