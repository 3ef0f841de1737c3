"""Hidden time spans and frequency bands of spectrograms: SpecAugment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dlc.components.augmentations.augmentation import Augmentation, AugmentExample, need_real, need_series
from dlc.ir import TensorType, over
from dlc.kernels.resampling import lengths
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class Spans(NamedTuple):
    """Spans of an axis: start and length, (batch, count) int32 each."""

    start: Any
    size: Any

    def hidden(self, size: int) -> Array:
        """(batch, size) bool: the positions inside a span."""
        at = jnp.arange(size)[None, :, None]
        start, end = self.start[:, None], (self.start + self.size)[:, None]
        found: Array = ((at >= start) & (at < end)).any(-1)
        return found


def draw_spans(key: Array, count: int, width: Array, length: Array) -> Spans:
    """Draw lengths from 0 to `width` (batch,), and starts so that they fit into `length` (batch,), uniformly."""
    first, second = jax.random.split(key)
    shape = (length.shape[0], count)
    size = jax.random.randint(first, shape, 0, width[:, None] + 1)
    return Spans(jax.random.randint(second, shape, 0, length[:, None] - size + 1), size)


class TimeMask(Augmentation):
    """(batch, time, *axes): `count` spans of up to `width` time steps become `value` (Park et al. 2019).

    A span is at most the share `most` of the series before its padding (arXiv:1904.08779).
    """

    word = "time_mask"
    width: int = main(ge=1, description="longest span in time steps")
    count: int = option(1, ge=1, description="number of spans")
    most: float = option(1.0, gt=0, le=1, description="longest span as a share of the series")
    value: float = option(0.0, description="the fill value")

    examples = (
        AugmentExample("time_mask: 2", "f32[batch, time, 3] masked"),
        AugmentExample("time_mask: {width: 4, count: 2, most: 0.5, value: -1}", "f32[batch, 5]"),
        AugmentExample("time_mask", "f32[batch, 5]", error="DLC102"),
        AugmentExample("time_mask: 0", "f32[batch, 5]", error="DLC104"),
        AugmentExample("time_mask: 2", "i32[batch, 5]<4", error="DLC207"),
        AugmentExample("time_mask: 6", "f32[batch, 5]", error="DLC205"),
    )

    def check(self, x: TensorType) -> None:
        """Series of real numbers, at least as long as the longest span."""
        need_series(x, self.word)
        if isinstance(x.shape[1], int) and self.width > x.shape[1]:
            expected = f"at most {x.shape[1]}"
            found, message = f"`{self.width}`", "the span is longer than the series"
            raise RuleViolation("DLC205", message, found=found, expected=expected, option="width")

    def draw(self, key: Array, x: Array, mask: Array | None) -> Spans:
        """The spans, all before the padding."""
        length = lengths(x, mask)
        limit = jnp.floor(self.most * length).astype(jnp.int32) if self.most < 1 else length
        return draw_spans(key, self.count, jnp.minimum(self.width, limit), length)

    def change(self, x: Array, drawn: Spans, mask: Array | None) -> Array:
        """The series with the spans filled."""
        return jnp.where(over(drawn.hidden(x.shape[1]), x), jnp.asarray(self.value, x.dtype), x)


class FrequencyMask(Augmentation):
    """(batch, time, frequencies): `count` bands of up to `width` frequencies become `value` (Park et al. 2019).

    A band is hidden at all times (arXiv:1904.08779). An axis of channels may follow.
    """

    word = "frequency_mask"
    width: int = main(ge=1, description="widest band in frequencies")
    count: int = option(1, ge=1, description="number of bands")
    value: float = option(0.0, description="the fill value")

    examples = (
        AugmentExample("frequency_mask: 2", "f32[batch, time, 3] masked"),
        AugmentExample("frequency_mask: {width: 1, count: 2, value: -1}", "f32[batch, time, channels]"),
        AugmentExample("frequency_mask: 4", "f32[batch, time, 5, 1]"),
        AugmentExample("frequency_mask", "f32[batch, time, 3]", error="DLC102"),
        AugmentExample("frequency_mask: 4", "f32[batch, time, 3]", error="DLC205"),
        AugmentExample("frequency_mask: 2", "f32[batch, time]", error="DLC204"),
        AugmentExample("frequency_mask: 2", "i32[batch, time, 3]<4", error="DLC207"),
    )

    def check(self, x: TensorType) -> None:
        """Spectrograms with at least as many frequencies as the widest band."""
        need_real(x, self.word)
        if x.rank not in (3, 4):
            expected = "(batch, time, frequencies)"
            raise RuleViolation("DLC204", f"`{self.word}` changes spectrograms", found=str(x), expected=expected)
        if isinstance(x.shape[2], int) and self.width > x.shape[2]:
            found, expected = f"`{self.width}`", f"at most {x.shape[2]}"
            raise RuleViolation(
                "DLC205", "the band is wider than the spectrum", found=found, expected=expected, option="width"
            )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Spans:
        """The bands."""
        whole = jnp.full((x.shape[0],), x.shape[2], jnp.int32)
        return draw_spans(key, self.count, jnp.minimum(self.width, whole), whole)

    def change(self, x: Array, drawn: Spans, mask: Array | None) -> Array:
        """The bands filled."""
        hidden = over(drawn.hidden(x.shape[2])[:, None], x)  # (B, 1, F, ...)
        return jnp.where(hidden, jnp.asarray(self.value, x.dtype), x)
