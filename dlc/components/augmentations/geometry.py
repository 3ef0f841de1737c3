"""Geometric changes of images and their label images: flips and crops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from dlc.components.augmentations.augmentation import Augmentation, AugmentExample, need_image, need_same_axes
from dlc.ir import TensorType, over
from dlc.kernels.resampling import Mode
from dlc.language.options import RuleViolation, main, option, read_sizes
from dlc.support.lazy import jax, jnp, lax

if TYPE_CHECKING:
    from jax import Array


class Geometric(Augmentation):
    """An augmentation that moves the pixels of images (batch, height, width, channels) and of their label images.

    A label image holds integers: (batch, height, width), or with an axis of channels.
    """

    moves: ClassVar[bool] = True

    def infer(self, *types: TensorType) -> None:
        """Images or label images of one size."""
        super().infer(*types)
        need_same_axes(types, (1, 2), self.word)

    def check(self, x: TensorType) -> None:
        """Images, or integers for each pixel."""
        need_image(x, self.word, labels=True)


class Filled(Geometric):
    """A geometric augmentation that may read beyond the image's edges."""

    mode: Mode = option("constant", description="how pixels outside the image are filled, as in numpy.pad")
    value: float = option(0.0, description="the fill value for `mode: constant`")
    label: int = option(0, ge=0, description="the fill class of label images for `mode: constant`")

    def infer(self, *types: TensorType) -> None:
        """Images of one size; `value` and `label` have something to fill."""
        super().infer(*types)
        real = any(kind.is_float for kind in types)
        for name, used in (("value", real), ("label", not all(kind.is_float for kind in types))):
            if getattr(self, name) and self.mode != "constant":
                hint = f"remove `{name}` or `mode`"
                message = f"`{name}` has no effect with `mode: {self.mode}`"
                raise RuleViolation("DLC303", message, hint=hint, option=name)
            if getattr(self, name) and not used:
                what = "real numbers" if name == "value" else "label images"
                raise RuleViolation(
                    "DLC303", f"`{name}` is for {what}, but there are none", hint="remove it", option=name
                )
        for kind in types:
            if not kind.is_float and kind.bound is not None and self.label >= kind.bound:
                expected = f"a class below {kind.bound}"
                raise RuleViolation(
                    "DLC104", "`label` is not a class", found=f"`{self.label}`", expected=expected, option="label"
                )

    def outside(self, x: Array) -> float:
        """The fill value of an image or label image."""
        return self.value if jnp.issubdtype(x.dtype, jnp.floating) else self.label


class RandomFlip(Geometric):
    """(batch, height, width, channels): images are mirrored, with probability `p` along each direction.

    `horizontal` swaps left and right, `vertical` top and bottom, `both` draws each of the two independently.
    """

    word = "random_flip"
    chooses: ClassVar[bool] = True
    p: float = option(0.5, ge=0, le=1, description="probability of mirroring")
    direction: Literal["horizontal", "vertical", "both"] = main("horizontal", description="which sides are swapped")

    examples = (
        AugmentExample("random_flip", "f32[batch, 6, 7, 3]"),
        AugmentExample("random_flip: vertical", ("f32[batch, height, width, 1]", "i32[batch, height, width]<4")),
        AugmentExample("random_flip: {direction: both, p: 0.3}", "u8[batch, 6, 7, 3]"),
        AugmentExample("random_flip", ("f32[batch, 6, 7, 3]", "i32[batch, 7, 6]<4"), error="DLC205"),
        AugmentExample("random_flip", "f32[batch, 6, 7]", error="DLC204"),
        AugmentExample("random_flip", "f32[batch, 6, 7, 3] masked", error="DLC212"),
        AugmentExample("random_flip: sideways", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("random_flip: {p: 0}", "f32[batch, 6, 7, 3]", error="DLC303"),
    )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch, 2) bool: whether to mirror along height, along width."""
        wanted = jnp.array([self.direction != "horizontal", self.direction != "vertical"])
        return jax.random.bernoulli(key, self.p, (x.shape[0], 2)) & wanted

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """The mirror images."""
        for axis, skipped in ((1, "horizontal"), (2, "vertical")):
            if self.direction != skipped:
                x = jnp.where(over(drawn[:, axis - 1], x), jnp.flip(x, axis), x)
        return x


Padding = Annotated[tuple[int, int], BeforeValidator(lambda value: read_sizes(value, 2, 0))]


class RandomCrop(Filled):
    """(batch, height, width, channels): images are padded on all sides and randomly cropped to their size.

    It moves images by up to `padding` whole pixels, the standard augmentation of CIFAR (He et al. 2015,
    arXiv:1512.03385, section 4.2).
    """

    word = "random_crop"
    still: ClassVar[dict[str, Any]] = {"padding": (0, 0)}
    padding: Padding = main((4, 4), description="pixels on each side: one number, or [rows, columns]")

    examples = (
        AugmentExample("random_crop: 2", ("f32[batch, 6, 7, 3]", "i32[batch, 6, 7]<4")),
        AugmentExample("random_crop: {padding: [1, 2], mode: reflect}", "f32[batch, height, width, 3]"),
        AugmentExample(
            "random_crop: {padding: 1, value: 0.5, label: 3}", ("f32[batch, 6, 7, 1]", "i32[batch, 6, 7]<4")
        ),
        AugmentExample("random_crop: 0", "f32[batch, 6, 7, 3]", error="DLC303"),
        AugmentExample("random_crop: -1", "f32[batch, 6, 7, 3]", error="DLC104"),
        AugmentExample("random_crop: {mode: edge, value: 1}", "f32[batch, 6, 7, 3]", error="DLC303"),
        AugmentExample("random_crop: {label: 1}", "f32[batch, 6, 7, 3]", error="DLC303"),
        AugmentExample("random_crop: {label: 4}", "i32[batch, 6, 7]<4", error="DLC104"),
        AugmentExample("random_crop", "f32[batch, 8]", error="DLC204"),
    )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch, 2) int32: where the crop starts in the padded image."""
        ends = jnp.array([2 * size + 1 for size in self.padding])
        return jax.random.randint(key, (x.shape[0], 2), 0, ends)

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """The crops, in whole pixels."""
        pads = [(0, 0), *((size, size) for size in self.padding), *((0, 0),) * (x.ndim - 3)]
        more = {"constant_values": self.outside(x)} if self.mode == "constant" else {}
        wide = jnp.pad(x, pads, mode=self.mode, **more)

        def cut(image: Array, start: Array) -> Array:
            return lax.dynamic_slice(image, (*start, *(0,) * (x.ndim - 3)), x.shape[1:])

        parts: Array = jax.vmap(cut)(wide, drawn)
        return parts
