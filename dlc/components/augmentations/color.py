"""Changes of colors of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dlc.components.augmentations.augmentation import (
    Amounts,
    Augmentation,
    AugmentExample,
    Bounds,
    Factors,
    Range,
    need_image,
    uniform,
)
from dlc.components.value_ranges import Bounds as OwnRange
from dlc.components.value_ranges import ValueRange
from dlc.ir import TensorType, over
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jax, jnp, np

if TYPE_CHECKING:
    from jax import Array

LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in luma: ITU-R BT.601


def gray(x: Array) -> Array:
    """(*lead, 3) -> (*lead, 1): brightness."""
    return x[..., :1] * LUMA[0] + x[..., 1:2] * LUMA[1] + x[..., 2:3] * LUMA[2]


def blend(x: Array, other: Array, factor: Array) -> Array:
    """Compute other + factor * (x - other), with a factor for each example."""
    return other + over(factor, x) * (x - other)


class Color(Augmentation):
    """An augmentation of colors of images (batch, height, width, channels).

    The lowest value of an image's range is black, the highest full brightness; results are clipped to that range. It is
    that of the feature, from its `value_range`, its `scale` or the training split, unless the augmentation states one
    in the network's values. Without either it is 0..1.
    """

    ranged = True
    rgb: ClassVar[bool] = False  # whether it needs the three channels red, green, blue
    value_range: OwnRange = option(
        None, description="the network's values of black and of full brightness; default: those of the feature"
    )

    def check(self, x: TensorType) -> None:
        """Images of real numbers, with three channels if `rgb`."""
        need_image(x, self.word)
        if self.rgb and x.shape[-1] != 3:
            code = "DLC205" if isinstance(x.shape[-1], int) else "DLC203"
            raise RuleViolation(
                code, f"`{self.word}` changes colors", found=str(x), expected="3 channels: red, green, blue"
            )

    def change(self, x: Array, drawn: Any, mask: Array | None) -> Array:
        """The images with changed colors."""
        low, high = self.value_range or (0.0, 1.0)
        if not isinstance(low, float):  # a number for each channel
            low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
        light = (x.astype(jnp.float32) - low) / (high - low)
        return jnp.clip(self.color(light, drawn), 0.0, 1.0) * (high - low) + low

    def own_range(self) -> ValueRange | None:
        """`value_range`."""
        return ValueRange(*self.value_range) if self.value_range is not None else None

    def within(self, bounds: Bounds) -> Augmentation:
        """The augmentation with another `value_range`, unless it has one."""
        return self if self.value_range is not None else self.model_copy(update={"value_range": bounds})

    def color(self, x: Array, drawn: Any) -> Array:
        """Changed colors of images of 0..1."""
        raise NotImplementedError


class ByFactor(Color):
    """A change of colors by a factor; 1 changes nothing."""

    still: ClassVar[dict[str, Any]] = {"factor": (1.0, 1.0)}
    factor: Factors = main((0.8, 1.2), description="factors: a number a for [1 - a, 1 + a], or [lowest, highest]")

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch,): the factors, drawn uniformly."""
        return uniform(key, x.shape[0], self.factor)


class RandomBrightness(ByFactor):
    """(batch, height, width, channels): brightness times a factor, as in torchvision's `ColorJitter`."""

    word = "random_brightness"
    examples = (
        AugmentExample("random_brightness: 0.3", "f32[batch, 6, 7, 1]"),
        AugmentExample("random_brightness: {factor: [0.5, 1], value_range: [0, 255]}", "f32[batch, height, width, 3]"),
        AugmentExample("random_brightness: 0", "f32[batch, 6, 7, 1]", error="DLC303"),
        AugmentExample("random_brightness: [-1, 1]", "f32[batch, 6, 7, 1]", error="DLC104"),
        AugmentExample("random_brightness: {value_range: [1, 1]}", "f32[batch, 6, 7, 1]", error="DLC104"),
        AugmentExample("random_brightness: [1, 2, 3]", "f32[batch, 6, 7, 1]", error="DLC103"),
        AugmentExample("random_brightness", "i32[batch, 6, 7]<4", error="DLC207"),
        AugmentExample("random_brightness", "f32[batch, 42]", error="DLC204"),
    )

    def color(self, x: Array, drawn: Array) -> Array:
        """Factor * x."""
        return over(drawn, x) * x


class RandomContrast(ByFactor):
    """(batch, height, width, channels): distances from the image's mean brightness times a factor.

    The mean is that of the gray image, as in torchvision's `ColorJitter`; without three channels, that of all channels.
    """

    word = "random_contrast"
    examples = (
        AugmentExample("random_contrast: 0.3", "f32[batch, 6, 7, 3]"),
        AugmentExample("random_contrast: [0.5, 1]", "f32[batch, 6, 7, 1]"),
        AugmentExample("random_contrast: 0", "f32[batch, 6, 7, 1]", error="DLC303"),
        AugmentExample("random_contrast", "f32[batch, 7, 3]", error="DLC204"),
    )

    def color(self, x: Array, drawn: Array) -> Array:
        """Mean + factor * (x - mean)."""
        light = gray(x) if x.shape[-1] == 3 else x
        return blend(x, light.mean((1, 2, 3), keepdims=True), drawn)


class RandomSaturation(ByFactor):
    """(batch, height, width, 3): distances of colors from gray times a factor, as in `ColorJitter` of torchvision."""

    word = "random_saturation"
    rgb: ClassVar[bool] = True
    examples = (
        AugmentExample("random_saturation: 0.3", "f32[batch, 6, 7, 3]"),
        AugmentExample("random_saturation", "f32[batch, 6, 7, 1]", error="DLC205"),
        AugmentExample("random_saturation", "f32[batch, 6, 7, channels]", error="DLC203"),
        AugmentExample("random_saturation: [1, 1]", "f32[batch, 6, 7, 3]", error="DLC303"),
    )

    def color(self, x: Array, drawn: Array) -> Array:
        """Gray + factor * (x - gray)."""
        return blend(x, gray(x), drawn)


def turned(x: Array, turn: Array) -> Array:
    """(batch, height, width, 3) of 0..1: hues rotated by `turn` (batch,), 1 being the whole color circle."""
    high, low = x.max(-1), x.min(-1)
    spread = high - low
    safe = jnp.where(spread == 0, 1.0, spread)
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    sixth = jnp.where(
        high == red,
        (green - blue) / safe,
        jnp.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = sixth + 6 * over(turn, sixth)
    parts = []
    for start in (5, 3, 1):  # red, green, blue: v - v s max(0, min(k, 4 - k, 1)), k = (start + hue) mod 6
        k = (start + hue) % 6
        parts.append(high - spread * jnp.clip(jnp.minimum(k, 4 - k), 0, 1))
    return jnp.stack(parts, -1)


class RandomHue(Color):
    """(batch, height, width, 3): hues rotate on the color circle by a share of a full turn; brightness (HSV) stays."""

    word = "random_hue"
    rgb: ClassVar[bool] = True
    still: ClassVar[dict[str, Any]] = {"turn": (0.0, 0.0)}
    turn: Amounts = main((-0.05, 0.05), description="turns: a number a for [-a, a], or [lowest, highest]")
    examples = (
        AugmentExample("random_hue: 0.1", "f32[batch, 6, 7, 3]"),
        AugmentExample("random_hue: {turn: [0, 0.5], value_range: [-1, 1]}", "f32[batch, height, width, 3]"),
        AugmentExample("random_hue: 0", "f32[batch, 6, 7, 3]", error="DLC303"),
        AugmentExample("random_hue", "f32[batch, 6, 7, 1]", error="DLC205"),
    )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch,): the turns, drawn uniformly."""
        return uniform(key, x.shape[0], self.turn)

    def color(self, x: Array, drawn: Array) -> Array:
        """The rotated hues."""
        return turned(x, drawn)


class Always(Color):
    """A change of colors without random numbers, except whether it happens."""

    def draw(self, key: Array, x: Array, mask: Array | None) -> None:
        """Nothing."""


class RandomGrayscale(Always):
    """(batch, height, width, 3): an image loses its colors with probability `p` (luma of ITU-R BT.601)."""

    word = "random_grayscale"
    rgb: ClassVar[bool] = True
    p: float = main(0.1, ge=0, le=1, description="probability with which an example is changed")
    examples = (
        AugmentExample("random_grayscale: 0.2", "f32[batch, 6, 7, 3]"),
        AugmentExample("random_grayscale: 0", "f32[batch, 6, 7, 3]", error="DLC303"),
        AugmentExample("random_grayscale", "f32[batch, 6, 7, 1]", error="DLC205"),
    )

    def color(self, x: Array, drawn: Any) -> Array:
        """The brightness in each channel."""
        return jnp.broadcast_to(gray(x), x.shape)


class RandomInvert(Always):
    """(batch, height, width, channels): brightness is inverted with probability `p`."""

    word = "random_invert"
    p: float = main(0.5, ge=0, le=1, description="probability with which an example is changed")
    examples = (
        AugmentExample("random_invert", "f32[batch, 6, 7, 1]"),
        AugmentExample("random_invert: {value_range: [-1, 1]}", "f32[batch, height, width, 3]"),
        AugmentExample("random_invert: 1.5", "f32[batch, 6, 7, 1]", error="DLC104"),
    )

    def color(self, x: Array, drawn: Any) -> Array:
        """1 - x."""
        return 1 - x


class RandomSolarize(Color):
    """(batch, height, width, channels): pixels at least as bright as a threshold are inverted.

    The threshold is drawn for each image, from 0 (black) to 1 (full brightness).
    """

    word = "random_solarize"
    threshold: Range = main((0.5, 1.0), description="[lowest, highest] brightness from which pixels are inverted")
    examples = (
        AugmentExample("random_solarize", "f32[batch, 6, 7, 1]"),
        AugmentExample("random_solarize: {threshold: [0, 1], p: 0.2}", "f32[batch, height, width, 3]"),
        AugmentExample("random_solarize: [0.5, 2]", "f32[batch, 6, 7, 1]", error="DLC104"),
    )

    def check(self, x: TensorType) -> None:
        """Images; thresholds from 0 to 1."""
        super().check(x)
        if self.threshold[0] < 0 or self.threshold[1] > 1:
            found = f"[{self.threshold[0]:g}, {self.threshold[1]:g}]"
            message = "`threshold` is out of range"
            raise RuleViolation("DLC104", message, found=found, expected="from 0 to 1", option="threshold")

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch,): the thresholds, drawn uniformly."""
        return uniform(key, x.shape[0], self.threshold)

    def color(self, x: Array, drawn: Array) -> Array:
        """1 - x at or above the threshold."""
        return jnp.where(x >= over(drawn, x), 1 - x, x)


def posterized(x: Array, bits: Array) -> Array:
    """Images of 0..1 as bytes, of which only the highest `bits` (batch,) are kept."""
    step = over(2.0 ** (8 - bits.astype(jnp.float32)), x)
    return jnp.floor(jnp.round(x * 255) / step) * step / 255


class RandomPosterize(Color):
    """(batch, height, width, channels): only the highest bits of each byte are kept.

    Their number is drawn for each image from `bits`.
    """

    word = "random_posterize"
    bits: Range = main((4.0, 7.0), description="[fewest, most] bits, from 1 to 7")
    examples = (
        AugmentExample("random_posterize", "f32[batch, 6, 7, 1]"),
        AugmentExample("random_posterize: [2, 4]", "f32[batch, height, width, 3]"),
        AugmentExample("random_posterize: [0, 8]", "f32[batch, 6, 7, 1]", error="DLC104"),
        AugmentExample("random_posterize: [2, 2.5]", "f32[batch, 6, 7, 1]", error="DLC104"),
    )

    def check(self, x: TensorType) -> None:
        """Images; whole bits from 1 to 7."""
        super().check(x)
        if self.bits[0] < 1 or self.bits[1] > 7 or any(part % 1 for part in self.bits):
            found = f"[{self.bits[0]:g}, {self.bits[1]:g}]"
            raise RuleViolation(
                "DLC104", "`bits` is out of range", found=found, expected="whole, from 1 to 7", option="bits"
            )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch,) int32: the numbers of bits."""
        return jax.random.randint(key, (x.shape[0],), int(self.bits[0]), int(self.bits[1]) + 1)

    def color(self, x: Array, drawn: Array) -> Array:
        """The highest bits."""
        return posterized(x, drawn)
