"""Hidden regions and blur of images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dlc.components.augmentations.augmentation import Augmentation, AugmentExample, Range, need_image, uniform
from dlc.ir import TensorType, over
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class Box(NamedTuple):
    """Rectangles of pixels, (batch,) int32 each; the last row and column are exclusive."""

    top: Any
    bottom: Any
    left: Any
    right: Any

    def inside(self, height: int, width: int) -> Array:
        """(batch, height, width, 1) bool."""
        i, j = jnp.arange(height)[None, :, None, None], jnp.arange(width)[None, None, :, None]
        top, bottom, left, right = (part[:, None, None, None] for part in self)
        found: Array = (i >= top) & (i < bottom) & (j >= left) & (j < right)
        return found


class RandomErasing(Augmentation):
    """(batch, height, width, channels): a random rectangle is filled (Zhong et al. 2017).

    Its area is a share of the image drawn from `scale`, its aspect (height / width) uniformly on a logarithmic
    scale from `ratio`; sides longer than the image are clipped (arXiv:1708.04896).
    """

    word = "random_erasing"
    p: float = main(0.5, ge=0, le=1, description="probability with which an example is changed")
    scale: Range = option((0.02, 0.33), description="[smallest, largest] share of the area")
    ratio: Range = option((0.3, 10 / 3), description="[smallest, largest] aspect")
    fill: Literal["value", "noise"] = option("value", description="fill with `value`, or with N(0, 1) for each element")
    value: float = option(0.0, description="the fill value")

    examples = (
        AugmentExample("random_erasing", "f32[batch, 6, 7, 3]"),
        AugmentExample("random_erasing: {p: 0.25, fill: noise}", "f32[batch, height, width, 1]"),
        AugmentExample("random_erasing: {fill: noise, value: 1}", "f32[batch, 6, 7, 3]", error="DLC303"),
        AugmentExample("random_erasing: {scale: [0.1, 2]}", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("random_erasing", "i32[batch, 6, 7]<4", error="DLC207"),
    )

    def check(self, x: TensorType) -> None:
        """Images; shares up to 1, aspects above 0."""
        need_image(x, self.word)
        if self.scale[0] < 0 or self.scale[1] > 1 or self.scale[1] == 0:
            expected, found = "from 0 to 1", f"[{self.scale[0]:g}, {self.scale[1]:g}]"
            raise RuleViolation("DLC104", "`scale` is out of range", found=found, expected=expected, option="scale")
        if self.ratio[0] <= 0:
            raise RuleViolation("DLC104", "`ratio` is out of range", expected="above 0", option="ratio")
        if self.fill == "noise" and self.value:
            raise RuleViolation(
                "DLC303", "`value` has no effect with `fill: noise`", hint="remove one of them", option="value"
            )

    def draw(self, key: Array, x: Array, mask: Array | None) -> tuple[Box, Array]:
        """The rectangles and their fill."""
        keys = jax.random.split(key, 5)
        batch, height, width = x.shape[:3]
        area = uniform(keys[0], batch, self.scale) * (height * width)
        aspect = jnp.exp(uniform(keys[1], batch, (math.log(self.ratio[0]), math.log(self.ratio[1]))))
        tall = jnp.clip(jnp.round(jnp.sqrt(area * aspect)), 1, height).astype(jnp.int32)
        wide = jnp.clip(jnp.round(jnp.sqrt(area / aspect)), 1, width).astype(jnp.int32)
        top = jax.random.randint(keys[2], (batch,), 0, height - tall + 1)
        left = jax.random.randint(keys[3], (batch,), 0, width - wide + 1)
        fill = jax.random.normal(keys[4], x.shape) if self.fill == "noise" else jnp.float32(self.value)
        return Box(top, top + tall, left, left + wide), fill

    def change(self, x: Array, drawn: tuple[Box, Array], mask: Array | None) -> Array:
        """The rectangles filled."""
        box, fill = drawn
        return jnp.where(box.inside(*x.shape[1:3]), fill.astype(x.dtype), x)


class Cutout(Augmentation):
    """(batch, height, width, channels): a square around a random pixel is filled (DeVries & Taylor 2017).

    The square may extend beyond the image (arXiv:1708.04552).
    """

    word = "cutout"
    size: int = main(ge=1, description="side length in pixels")
    value: float = option(0.0, description="the fill value")

    examples = (
        AugmentExample("cutout: 3", "f32[batch, 6, 7, 3]"),
        AugmentExample("cutout: {size: 4, value: 0.5, p: 0.5}", "f32[batch, height, width, 1]"),
        AugmentExample("cutout", "f32[batch, 6, 7, 3]", error="DLC102"),
        AugmentExample("cutout: 0", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("cutout: 2", "f32[batch, 42]", error="DLC204"),
    )

    def check(self, x: TensorType) -> None:
        """Images."""
        need_image(x, self.word)

    def draw(self, key: Array, x: Array, mask: Array | None) -> Box:
        """The squares, centered on any pixel."""
        middle = jax.random.randint(key, (x.shape[0], 2), 0, jnp.array(x.shape[1:3]))
        start = middle - self.size // 2
        return Box(start[:, 0], start[:, 0] + self.size, start[:, 1], start[:, 1] + self.size)

    def change(self, x: Array, drawn: Box, mask: Array | None) -> Array:
        """The squares filled."""
        return jnp.where(drawn.inside(*x.shape[1:3]), jnp.asarray(self.value, x.dtype), x)


class GaussianBlur(Augmentation):
    """(batch, height, width, channels): images are convolved with a Gaussian of random standard deviation.

    The kernel is `kernel` pixels high and wide and sums to 1; edges are reflected, as in torchvision's `GaussianBlur`.
    """

    word = "gaussian_blur"
    sigma: Range = main((0.1, 2.0), description="[lowest, highest] standard deviation in pixels")
    kernel: int = option(5, ge=3, description="height and width of the kernel in pixels, odd")

    examples = (
        AugmentExample("gaussian_blur", "f32[batch, 6, 7, 3]"),
        AugmentExample("gaussian_blur: {sigma: [0.5, 1], kernel: 3, p: 0.5}", "f32[batch, height, width, 1]"),
        AugmentExample("gaussian_blur: {kernel: 4}", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("gaussian_blur: [0, 1]", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("gaussian_blur: {kernel: 15}", "f32[batch, 6, 7, 3]", error="DLC205"),
    )

    def check(self, x: TensorType) -> None:
        """Images larger than half the kernel."""
        need_image(x, self.word)
        if self.kernel % 2 == 0:
            found = f"`{self.kernel}`"
            raise RuleViolation(
                "DLC104", "`kernel` must be odd", found=found, expected="an odd number", option="kernel"
            )
        if self.sigma[0] <= 0:
            raise RuleViolation(
                "DLC104", "`sigma` is out of range", found=f"`{self.sigma[0]:g}`", expected="above 0", option="sigma"
            )
        if any(isinstance(size, int) and size <= self.kernel // 2 for size in x.shape[1:3]):
            expected = f"sizes above {self.kernel // 2}"
            raise RuleViolation(
                "DLC205", "the kernel is too large for the image", found=str(x), expected=expected, option="kernel"
            )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch,): the deviations, drawn uniformly."""
        return uniform(key, x.shape[0], self.sigma)

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """Sum over the kernel of weight * shifted image, along height, then along width."""
        half = self.kernel // 2
        away = jnp.arange(-half, half + 1, dtype=jnp.float32)
        weights = jnp.exp(-0.5 * jnp.square(away / drawn[:, None]))  # (B, kernel)
        weights = weights / weights.sum(-1, keepdims=True)
        for axis in (1, 2):
            pads = [(half, half) if index == axis else (0, 0) for index in range(4)]
            wide, size = jnp.pad(x, pads, mode="reflect"), x.shape[axis]
            parts = [jax.lax.slice_in_dim(wide, at, at + size, axis=axis) for at in range(self.kernel)]
            x = sum((over(weights[:, at], x) * part for at, part in enumerate(parts)), jnp.zeros_like(x))
        return x
