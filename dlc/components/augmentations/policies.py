"""Policies: several augmentations of images, drawn from a list for each example."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from dlc.components.augmentations.augmentation import AugmentExample
from dlc.components.augmentations.color import Color, blend, gray, posterized
from dlc.ir import over
from dlc.kernels.resampling import Interpolation, affine
from dlc.language.options import main, option
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array

STEPS = 30  # the largest magnitude
OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "saturation",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
)


class Choice(NamedTuple):
    """The operations for each example, and their signs, -1 or 1: (batch, num_ops) each."""

    operation: Any
    sign: Any


def sharpened(x: Array, factor: Array) -> Array:
    """Smooth + factor * (x - smooth): 1 changes nothing; the outermost pixels stay. Pillow's `Sharpness`."""
    height, width = x.shape[1:3]
    if min(height, width) < 3:
        return x
    inner = x[:, 1:-1, 1:-1]
    around = sum(x[:, i : i + height - 2, j : j + width - 2] for i in range(3) for j in range(3))
    smooth = (around + 4 * inner) / 13
    return x.at[:, 1:-1, 1:-1].set(smooth + over(factor, x) * (inner - smooth))


def stretched(x: Array) -> Array:
    """Each channel rescaled so that its darkest and brightest pixel are 0 and 1; unchanged if they are equal."""
    low, high = x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)
    return jnp.where(high > low, (x - low) / jnp.where(high > low, high - low, 1.0), x)


class RandAugment(Color):
    """(batch, height, width, channels): `num_ops` random operations of one strength for each image (Cubuk et al. 2019).

    They are identity, shear and translation along either axis, rotation, brightness, saturation, contrast, sharpness,
    posterize, solarize and autocontrast, with the ranges of torchvision's `RandAugment`; except its `equalize`.
    Pixels from outside the image are black (arXiv:1909.13719).
    """

    word = "rand_augment"
    num_ops: int = option(2, ge=1, description="operations for each image, one after the other")
    magnitude: int = main(9, ge=0, le=STEPS, description=f"strength, up to {STEPS}")
    interpolation: Interpolation = option("bilinear", description="interpolation between pixels")

    still: ClassVar[dict[str, Any]] = {}
    examples = (
        AugmentExample("rand_augment", "f32[batch, 6, 7, 3]"),
        AugmentExample("rand_augment: {num_ops: 1, magnitude: 30}", "f32[batch, height, width, 1]"),
        AugmentExample("rand_augment: 31", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("rand_augment: {num_ops: 0}", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("rand_augment", "f32[batch, 42]", error="DLC204"),
    )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Choice:
        """The operations, drawn uniformly, and their signs."""
        first, second = jax.random.split(key)
        shape = (x.shape[0], self.num_ops)
        sign = jnp.where(jax.random.bernoulli(second, 0.5, shape), 1.0, -1.0)
        return Choice(jax.random.randint(first, shape, 0, len(OPERATIONS)), sign)

    def color(self, x: Array, drawn: Choice) -> Array:
        """The operations one after the other."""
        for iteration in range(self.num_ops):
            x = self.operate(x, drawn.operation[:, iteration], drawn.sign[:, iteration])
        return x

    def operate(self, x: Array, operation: Array, sign: Array) -> Array:
        """One operation for each image. Geometric ones are one affine map; others are all computed, one is selected."""
        strength = self.magnitude / STEPS
        height, width = x.shape[1:3]

        def amount(name: str, most: float) -> Array:
            return jnp.where(operation == OPERATIONS.index(name), sign * most * strength, 0.0)

        angle = amount("rotate", math.pi / 6)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        parts = [cos, sin + amount("shear_y", 0.3), -sin + amount("shear_x", 0.3), cos]
        shift = [amount("translate_y", 150 / 331 * height), amount("translate_x", 150 / 331 * width)]
        x = affine(x, jnp.stack(parts, -1).reshape(-1, 2, 2), jnp.stack(shift, -1), self.interpolation)
        factor = 1 + sign * 0.9 * strength
        light = gray(x) if x.shape[-1] == 3 else x
        bits = jnp.full(sign.shape, 8 - round(4 * strength))
        changed = {
            "brightness": x * over(factor, x),
            "saturation": blend(x, light, factor),
            "contrast": blend(x, light.mean((1, 2, 3), keepdims=True), factor),
            "sharpness": sharpened(x, factor),
            "posterize": posterized(x, bits),
            "solarize": jnp.where(x >= 1 - strength, 1 - x, x),
            "autocontrast": stretched(x),
        }
        result = x
        for name, y in changed.items():
            result = jnp.where(over(operation == OPERATIONS.index(name), x), jnp.clip(y, 0.0, 1.0), result)
        return result
