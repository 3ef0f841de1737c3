"""Augmentations that mix the examples of a batch, and return how to mix their losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from dlc.components.augmentations.augmentation import (
    Augmentation,
    AugmentExample,
    need_image,
    need_real,
    need_same_axes,
)
from dlc.components.augmentations.regions import Box
from dlc.ir import TensorType, over
from dlc.language.options import RuleViolation, main
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class Mixed(NamedTuple):
    """How a batch was mixed: the loss is lam * loss(target) + (1 - lam) * loss(target[permutation]), for every loss.

    Args:
        permutation: (batch,) int32, the example that each one is mixed with.
        lam: (batch,) float32, the share of the example itself, from 0 to 1.
    """

    permutation: Any
    lam: Any


class Mixing(Augmentation):
    """An augmentation that mixes each example with another one of the batch, by a share drawn from Beta(alpha, alpha).

    All inputs are mixed in the same way, unless `on` names some.
    """

    mixes: ClassVar[bool] = True
    chooses: ClassVar[bool] = True
    still: ClassVar[dict[str, Any]] = {"alpha": 0}
    alpha: float = main(
        0.2, ge=0, description="parameter of Beta(alpha, alpha): 1 is uniform, lower values favour extremes"
    )

    def check(self, x: TensorType) -> None:
        """Real numbers without padding."""
        need_real(x, self.word)
        if x.mask:
            hint = "mixing needs series of equal length"
            raise RuleViolation("DLC212", f"`{self.word}` would mix padding into data", found=str(x), hint=hint)

    def partners(self, key: Array, batch: int) -> Mixed:
        """Partners, and shares drawn from Beta(alpha, alpha): 1 for the examples that `p` does not select."""
        first, second, third = jax.random.split(key, 3)
        alpha = self.alpha
        lam = jax.random.uniform(second, (batch,)) if alpha == 1 else jax.random.beta(second, alpha, alpha, (batch,))
        if self.p < 1:
            lam = jnp.where(jax.random.bernoulli(third, self.p, (batch,)), lam, 1.0)
        return Mixed(jax.random.permutation(first, batch).astype(jnp.int32), lam.astype(jnp.float32))

    def mixed(self, drawn: Any) -> Mixed:
        """How the batch is mixed for the numbers drawn."""
        raise NotImplementedError

    def mix(self, key: Array, *values: Array) -> tuple[tuple[Array, ...], Mixed]:
        """The mixed values, and how they were mixed.

        Args:
            key: the random key of this item in this step.
            values: (batch, *axes) each.
        """
        drawn = self.draw(key, values[0], None)
        return tuple(self.change(x, drawn, None).astype(x.dtype) for x in values), self.mixed(drawn)


class Mixup(Mixing):
    """(batch, *axes): lam * x + (1 - lam) * x', x' another example of the batch (Zhang et al. 2018, arXiv:1710.09412).

    The loss is mixed in the same way, which works with every loss and target.
    """

    word = "mixup"
    examples = (
        AugmentExample("mixup", "f32[batch, 6, 7, 3]"),
        AugmentExample("mixup: {alpha: 1, p: 0.5}", ("f32[batch, 8]", "f32[batch, time, 3]")),
        AugmentExample("mixup: 0", "f32[batch, 8]", error="DLC303"),
        AugmentExample("mixup: -1", "f32[batch, 8]", error="DLC104"),
        AugmentExample("mixup", "i32[batch, time]<9", error="DLC207"),
        AugmentExample("mixup", "f32[batch, time, 3] masked", error="DLC212"),
    )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Mixed:
        """Partners and shares."""
        return self.partners(key, x.shape[0])

    def change(self, x: Array, drawn: Mixed, mask: Array | None) -> Array:
        """The weighted means."""
        lam: Array = drawn.lam
        return over(lam, x) * x + over(1 - lam, x) * x[drawn.permutation]

    def mixed(self, drawn: Mixed) -> Mixed:
        """As drawn."""
        return drawn


class Paste(NamedTuple):
    """Partners, and the rectangles pasted from them."""

    permutation: Any
    box: Box
    lam: Any


class Cutmix(Mixing):
    """(batch, height, width, channels): a rectangle of another example of the batch is pasted in (Yun et al. 2019).

    Its sides are sqrt(1 - lam) of the image's, its centre is anywhere, and it is clipped at the edges; lam is then the
    remaining share of the image's own area (arXiv:1905.04899).
    """

    word = "cutmix"
    alpha: float = main(
        1.0, ge=0, description="parameter of Beta(alpha, alpha): 1 is uniform, lower values favour extremes"
    )
    examples = (
        AugmentExample("cutmix", "f32[batch, 6, 7, 3]"),
        AugmentExample("cutmix: {alpha: 0.5, p: 0.5}", ("f32[batch, 6, 7, 3]", "f32[batch, 6, 7, 1]")),
        AugmentExample("cutmix", ("f32[batch, 6, 7, 3]", "f32[batch, 7, 6, 3]"), error="DLC205"),
        AugmentExample("cutmix: 0", "f32[batch, 6, 7, 3]", error="DLC303"),
        AugmentExample("cutmix", "f32[batch, 8]", error="DLC204"),
        AugmentExample("cutmix", "i32[batch, 6, 7]<4", error="DLC207"),
    )

    def infer(self, *types: TensorType) -> None:
        """Images of one size."""
        super().infer(*types)
        need_same_axes(types, (1, 2), self.word)

    def check(self, x: TensorType) -> None:
        """Images."""
        need_image(x, self.word)

    def draw(self, key: Array, x: Array, mask: Array | None) -> Paste:
        """Partners, and rectangles with the share of the area outside of them."""
        first, second = jax.random.split(key)
        batch, height, width = x.shape[:3]
        permutation, lam = self.partners(first, batch)
        box = boxes(lam, jax.random.uniform(second, (batch, 2)), height, width)
        area = (box.bottom - box.top) * (box.right - box.left)
        return Paste(permutation, box, 1 - area.astype(jnp.float32) / (height * width))

    def change(self, x: Array, drawn: Paste, mask: Array | None) -> Array:
        """The rectangles pasted."""
        return jnp.where(drawn.box.inside(*x.shape[1:3]), x[drawn.permutation], x)

    def mixed(self, drawn: Paste) -> Mixed:
        """The share of each example's own area."""
        return Mixed(drawn.permutation, drawn.lam)


def boxes(lam: Array, centre: Array, height: int, width: int) -> Box:
    """Rectangles of 1 - lam of the area, clipped to the image.

    Args:
        lam: (batch,).
        centre: (batch, 2), shares of the height and width.
        height: in pixels.
        width: in pixels.
    """
    side = jnp.sqrt(1 - lam)
    edges = []
    for size, middle in ((height, centre[:, 0]), (width, centre[:, 1])):
        at, length = jnp.floor(middle * size).astype(jnp.int32), jnp.floor(side * size).astype(jnp.int32)
        start = at - length // 2
        edges += [jnp.clip(start, 0, size), jnp.clip(start + length, 0, size)]
    return Box(*edges)
