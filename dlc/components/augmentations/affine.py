"""Random affine maps of images and their label images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BeforeValidator

from dlc.components.augmentations.augmentation import Amounts, AugmentExample, Factors, Range, uniform
from dlc.components.augmentations.geometry import Filled, Geometric
from dlc.ir import TensorType
from dlc.kernels.resampling import Interpolation, affine
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class Map(NamedTuple):
    """Where pixels are read from: matrix (batch, 2, 2) and offset (batch, 2) of `sampling.affine`."""

    matrix: Any
    offset: Any


def diagonal(rows: Array, columns: Array) -> Array:
    """(batch, 2, 2): matrices that scale rows and columns independently."""
    zero = jnp.zeros_like(rows)
    return jnp.stack([rows, zero, zero, columns], -1).reshape(-1, 2, 2)


class Affine(Filled):
    """A geometric augmentation by an affine map; label images are read at the nearest pixel."""

    interpolation: Interpolation = option(
        "bilinear", description="interpolation between pixels; label images use the nearest"
    )

    def change(self, x: Array, drawn: Map, mask: Array | None) -> Array:
        """The images under the maps."""
        real = jnp.issubdtype(x.dtype, jnp.floating)
        images = x if x.ndim == 4 else x[..., None]
        how: Interpolation = self.interpolation if real else "nearest"
        return affine(images, drawn.matrix, drawn.offset, how, self.mode, self.outside(x)).reshape(x.shape)


def _shares(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value, value]
    good = all(isinstance(part, (int, float)) and not isinstance(part, bool) and 0 <= part <= 1 for part in parts)
    if len(parts) != 2 or not good:
        expected = "a share from 0 to 1, or a list of two"
        raise reject(OptionError((), "DLC104", "not a valid share of the size", found=spell(value), expected=expected))
    return tuple(float(part) for part in parts)


class RandomTranslate(Affine):
    """(batch, height, width, channels): images move by up to a share of their size, also by fractions of pixels.

    As `RandomTranslation` of Keras.
    """

    word = "random_translate"
    still: ClassVar[dict[str, Any]] = {"amount": (0.0, 0.0)}
    amount: Annotated[tuple[float, float], BeforeValidator(_shares)] = main(
        (0.1, 0.1), description="largest share of the size in both directions: one number, or [height, width]"
    )

    examples = (
        AugmentExample("random_translate: 0.2", ("f32[batch, 6, 7, 3]", "i32[batch, 6, 7]<4")),
        AugmentExample("random_translate: {amount: [0, 0.3], mode: wrap}", "f32[batch, height, width, 3]"),
        AugmentExample("random_translate: 2", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("random_translate: 0", "f32[batch, 6, 7, 3]", error="DLC303"),
    )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Map:
        """Offsets, uniform up to the share of the size."""
        most = jnp.array([share * size for share, size in zip(self.amount, x.shape[1:3], strict=True)])
        offset = jax.random.uniform(key, (x.shape[0], 2), minval=-most, maxval=most)
        return Map(jnp.broadcast_to(jnp.eye(2), (x.shape[0], 2, 2)), offset)


class RandomRotate(Affine):
    """(batch, height, width, channels): images rotate around their centre by a uniformly drawn angle."""

    word = "random_rotate"
    still: ClassVar[dict[str, Any]] = {"degrees": (0.0, 0.0)}
    degrees: Amounts = main(
        (-15.0, 15.0), description="angles in degrees: a number a for [-a, a], or [lowest, highest]"
    )

    examples = (
        AugmentExample("random_rotate: 20", ("f32[batch, 6, 7, 3]", "i32[batch, 6, 7, 1]<4")),
        AugmentExample("random_rotate: {degrees: [0, 90], mode: edge, interpolation: nearest}", "f32[batch, 6, 7, 1]"),
        AugmentExample("random_rotate: 0", "f32[batch, 6, 7, 3]", error="DLC303"),
        AugmentExample("random_rotate: [90, 0]", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("random_rotate: left", "f32[batch, 6, 7, 3]", error="DLC103"),
        AugmentExample("random_rotate", "f32[batch, time, 3]", error="DLC204"),
    )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Map:
        """Rotations; a positive angle rotates the image counterclockwise."""
        angle = uniform(key, x.shape[0], self.degrees) * (math.pi / 180)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        return Map(jnp.stack([cos, sin, -sin, cos], -1).reshape(-1, 2, 2), jnp.zeros((x.shape[0], 2)))


class RandomShear(Affine):
    """(batch, height, width, channels): rows are shifted horizontally, or columns vertically.

    A pixel moves by the tangent of the angle times its distance from the centre.
    """

    word = "random_shear"
    still: ClassVar[dict[str, Any]] = {"degrees": (0.0, 0.0)}
    degrees: Amounts = main(
        (-10.0, 10.0), description="angles in degrees: a number a for [-a, a], or [lowest, highest]"
    )
    direction: Literal["horizontal", "vertical"] = option(
        "horizontal", description="the direction in which pixels move"
    )

    examples = (
        AugmentExample("random_shear: 20", ("f32[batch, 6, 7, 3]", "i32[batch, 6, 7]<4")),
        AugmentExample("random_shear: {degrees: [0, 30], direction: vertical}", "f32[batch, height, width, 3]"),
        AugmentExample("random_shear: 90", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("random_shear: 0", "f32[batch, 6, 7, 3]", error="DLC303"),
    )

    def check(self, x: TensorType) -> None:
        """Images, and angles below a right one."""
        super().check(x)
        if max(map(abs, self.degrees)) >= 90:
            found = f"[{self.degrees[0]:g}, {self.degrees[1]:g}]"
            message = "`degrees` is out of range"
            raise RuleViolation("DLC104", message, found=found, expected="angles below 90", option="degrees")

    def draw(self, key: Array, x: Array, mask: Array | None) -> Map:
        """Shears."""
        tangent = jnp.tan(uniform(key, x.shape[0], self.degrees) * (math.pi / 180))
        one, zero = jnp.ones_like(tangent), jnp.zeros_like(tangent)
        parts = [one, zero, tangent, one] if self.direction == "horizontal" else [one, tangent, zero, one]
        return Map(jnp.stack(parts, -1).reshape(-1, 2, 2), jnp.zeros((x.shape[0], 2)))


class RandomZoom(Affine):
    """(batch, height, width, channels): images grow or shrink around their centre by a factor; the size stays.

    A factor above 1 magnifies the image, one below 1 shrinks it and fills the border.
    """

    word = "random_zoom"
    still: ClassVar[dict[str, Any]] = {"factor": (1.0, 1.0)}
    factor: Factors = main((0.8, 1.2), description="factors: a number a for [1 - a, 1 + a], or [lowest, highest]")

    examples = (
        AugmentExample("random_zoom: 0.1", ("f32[batch, 6, 7, 3]", "i32[batch, 6, 7]<4")),
        AugmentExample("random_zoom: {factor: [1, 1.5], mode: reflect}", "f32[batch, height, width, 3]"),
        AugmentExample("random_zoom: 0", "f32[batch, 6, 7, 3]", error="DLC303"),
        AugmentExample("random_zoom: [0, 1]", "f32[batch, 6, 7, 3]", error="DLC104"),
    )

    def check(self, x: TensorType) -> None:
        """Images, and factors above 0."""
        super().check(x)
        if self.factor[0] <= 0:
            found = f"[{self.factor[0]:g}, {self.factor[1]:g}]"
            raise RuleViolation("DLC104", "`factor` is out of range", found=found, expected="above 0", option="factor")

    def draw(self, key: Array, x: Array, mask: Array | None) -> Map:
        """The inverse factors along both axes."""
        small = 1 / uniform(key, x.shape[0], self.factor)
        return Map(diagonal(small, small), jnp.zeros((x.shape[0], 2)))


class RandomResizedCrop(Geometric):
    """(batch, height, width, channels): a crop of random area and aspect is resized to the whole image.

    The area is a share of the image drawn from `scale`, the aspect (width / height, 1 being the image's own)
    uniformly on a logarithmic scale from `ratio`; larger crops are clipped to the image (Szegedy et al. 2014,
    arXiv:1409.4842, section 6). The crop may start anywhere, also between pixels.
    """

    word = "random_resized_crop"
    still: ClassVar[dict[str, Any]] = {"scale": (1.0, 1.0)}
    scale: Range = main((0.08, 1.0), description="[smallest, largest] share of the area")
    ratio: Range = option((0.75, 4 / 3), description="[smallest, largest] aspect")
    interpolation: Interpolation = option(
        "bilinear", description="interpolation between pixels; label images use the nearest"
    )

    examples = (
        AugmentExample("random_resized_crop", ("f32[batch, 6, 7, 3]", "i32[batch, 6, 7]<4")),
        AugmentExample("random_resized_crop: [0.5, 1]", "f32[batch, height, width, 3]"),
        AugmentExample("random_resized_crop: [0, 1]", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("random_resized_crop: {ratio: [0, 1]}", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("random_resized_crop: 0.5", "f32[batch, 6, 7, 3]", error="DLC103"),
        AugmentExample("random_resized_crop: {scale: [1, 1], ratio: [1, 1]}", "f32[batch, 6, 7, 3]", error="DLC303"),
    )

    def check(self, x: TensorType) -> None:
        """Images; shares up to 1, aspects above 0."""
        super().check(x)
        for name, most in (("scale", 1.0), ("ratio", math.inf)):
            low, high = getattr(self, name)
            if low <= 0 or high > most:
                expected = "above 0" + (" and at most 1" if most == 1 else "")
                found = f"[{low:g}, {high:g}]"
                raise RuleViolation("DLC104", f"`{name}` is out of range", found=found, expected=expected, option=name)

    def idle(self) -> str | None:
        """The whole image at its own aspect changes nothing."""
        name = super().idle()
        return None if name == "scale" and self.ratio != (1.0, 1.0) else name

    def draw(self, key: Array, x: Array, mask: Array | None) -> Map:
        """The crops: height and width as shares of the image's, and centres."""
        first, second, third = jax.random.split(key, 3)
        batch, sizes = x.shape[0], jnp.array(x.shape[1:3], jnp.float32)
        area = uniform(first, batch, self.scale)
        aspect = jnp.exp(uniform(second, batch, (math.log(self.ratio[0]), math.log(self.ratio[1]))))
        shares = jnp.minimum(jnp.stack([jnp.sqrt(area / aspect), jnp.sqrt(area * aspect)], -1), 1.0)  # (B, 2)
        room = (1 - shares) * sizes
        return Map(diagonal(shares[:, 0], shares[:, 1]), (jax.random.uniform(third, (batch, 2)) - 0.5) * room)

    def change(self, x: Array, drawn: Map, mask: Array | None) -> Array:
        """The crops at the size of the image."""
        real = jnp.issubdtype(x.dtype, jnp.floating)
        images = x if x.ndim == 4 else x[..., None]
        how: Interpolation = self.interpolation if real else "nearest"
        return affine(images, drawn.matrix, drawn.offset, how, "edge").reshape(x.shape)
