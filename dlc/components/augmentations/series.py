"""Changes of series in time and magnitude. Padding stays in place and never moves into the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dlc.components.augmentations.augmentation import (
    Amounts,
    Augmentation,
    AugmentExample,
    need_same_axes,
    need_series,
    uniform,
)
from dlc.diagnostics import plural
from dlc.ir import TensorType, over
from dlc.kernels.resampling import at_times, curve, lengths, take_times
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class Temporal(Augmentation):
    """An augmentation that moves the points of series (batch, time, *axes), and of their labels for each point.

    For a series with a mask, only points before the padding move. Integers are read at the nearest time step.
    """

    moves: ClassVar[bool] = True

    def infer(self, *types: TensorType) -> None:
        """Series of one length."""
        super().infer(*types)
        need_same_axes(types, (1,), self.word)

    def check(self, x: TensorType) -> None:
        """Series of any elements."""
        need_series(x, self.word, labels=True)


class TimeShift(Temporal):
    """(batch, time, *axes): series move by whole time steps, up to a share of their length in both directions.

    Points that leave at one end return at the other; with `fill: zero` they are replaced by zeros.
    """

    word = "time_shift"
    still: ClassVar[dict[str, Any]] = {"amount": (0.0, 0.0)}
    amount: Amounts = main(
        (-0.1, 0.1), description="shares of the length: a number a for [-a, a], or [lowest, highest]"
    )
    fill: Literal["wrap", "zero"] = option("wrap", description="how the free end is filled")

    examples = (
        AugmentExample("time_shift: 0.5", ("f32[batch, time, 3] masked", "i32[batch, time]<4 masked")),
        AugmentExample("time_shift: {amount: [0, 0.2], fill: zero}", "f32[batch, 5]"),
        AugmentExample("time_shift: 0", "f32[batch, 5]", error="DLC303"),
        AugmentExample("time_shift: 2", "f32[batch, 5]", error="DLC104"),
        AugmentExample("time_shift", ("f32[batch, time, 3]", "i32[batch, steps]<4"), error="DLC205"),
        AugmentExample("time_shift", ("f32[batch, time, 3] masked", "i32[batch, time]<4"), error="DLC212"),
        AugmentExample("time_shift", "f32[batch]", error="DLC204"),
    )

    def check(self, x: TensorType) -> None:
        """Series; shares up to the whole length."""
        super().check(x)
        if max(map(abs, self.amount)) > 1:
            found = f"[{self.amount[0]:g}, {self.amount[1]:g}]"
            message = "`amount` is out of range"
            raise RuleViolation("DLC104", message, found=found, expected="shares from -1 to 1", option="amount")

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch,) int32: the shifts in time steps, positive for later."""
        moved = uniform(key, x.shape[0], self.amount) * lengths(x, mask)
        return jnp.round(moved).astype(jnp.int32)

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """The point at time t is that of t - drawn."""
        length = jnp.maximum(lengths(x, mask), 1)[:, None]
        source = jnp.arange(x.shape[1])[None] - drawn[:, None]  # (B, T)
        y = take_times(x, source % length)
        if self.fill == "wrap":
            return y
        return jnp.where(over((source >= 0) & (source < length), x), y, jnp.zeros((), x.dtype))


def knots_of(key: Array, x: Array, knots: int, stddev: float, channels: int) -> Array:
    """(batch, knots + 2, channels): N(1, stddev), the values of a smooth curve at its knots, including both ends."""
    return 1 + stddev * jax.random.normal(key, (x.shape[0], knots + 2, channels))


def along(x: Array, mask: Array | None, knots: int) -> Array:
    """(batch, time): each point's position on a curve with so many knots: 0 for the first, knots - 1 for the last."""
    last = jnp.maximum(lengths(x, mask) - 1, 1)[:, None]
    return jnp.clip(jnp.arange(x.shape[1])[None] / last, 0.0, 1.0) * (knots - 1)


class MagnitudeWarp(Augmentation):
    """(batch, time, channels) or (batch, time): series times a smooth curve around 1, one for each channel.

    The curve is a natural cubic spline through `knots` + 2 numbers N(1, stddev), evenly spaced from the first point to
    the last (Um et al. 2017, arXiv:1706.00527).
    """

    word = "magnitude_warp"
    still: ClassVar[dict[str, Any]] = {"stddev": 0}
    stddev: float = main(0.2, ge=0, description="standard deviation of the curve's values")
    knots: int = option(4, ge=0, description="knots between the first and the last point")

    examples = (
        AugmentExample("magnitude_warp: 0.1", "f32[batch, time, 3] masked"),
        AugmentExample("magnitude_warp: {stddev: 0.3, knots: 0}", "f32[batch, 5]"),
        AugmentExample("magnitude_warp: 0", "f32[batch, 5]", error="DLC303"),
        AugmentExample("magnitude_warp", "f32[batch, 6, 7, 3]", error="DLC204"),
        AugmentExample("magnitude_warp", "i32[batch, time]<4", error="DLC207"),
    )

    def check(self, x: TensorType) -> None:
        """Series of real numbers, with at most one axis after time."""
        need_series(x, self.word)
        if x.rank > 3:
            expected = "(batch, time) or (batch, time, channels)"
            raise RuleViolation("DLC204", f"`{self.word}` changes series", found=str(x), expected=expected)

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch, knots + 2, channels): the curves at their knots."""
        return knots_of(key, x, self.knots, self.stddev, x.shape[2] if x.ndim == 3 else 1)

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """X * curve."""
        factors = curve(drawn, along(x, mask, drawn.shape[1]))  # (B, T, C)
        return x * factors.reshape(x.shape)


class TimeWarp(Temporal):
    """(batch, time, *axes): time runs faster and slower along a smooth curve; the first and last point stay.

    The speed is a natural cubic spline through `knots` + 2 numbers N(1, stddev), at least 0.1 so that time never runs
    backwards; values are interpolated linearly (Um et al. 2017, arXiv:1706.00527).
    """

    word = "time_warp"
    still: ClassVar[dict[str, Any]] = {"stddev": 0}
    stddev: float = main(0.2, ge=0, description="standard deviation of the speeds")
    knots: int = option(4, ge=0, description="knots between the first and the last point")

    examples = (
        AugmentExample("time_warp: 0.1", ("f32[batch, time, 3] masked", "i32[batch, time]<4 masked")),
        AugmentExample("time_warp: {stddev: 0.3, knots: 2}", "f32[batch, 5]"),
        AugmentExample("time_warp: 0", "f32[batch, 5]", error="DLC303"),
        AugmentExample("time_warp", "f32[batch]", error="DLC204"),
    )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch, knots + 2, 1): the speeds at their knots."""
        return knots_of(key, x, self.knots, self.stddev, 1)

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """The series at the warped times."""
        length = lengths(x, mask)
        speed = jnp.maximum(curve(drawn, along(x, mask, drawn.shape[1]))[..., 0], 0.1)  # (B, T)
        time = jnp.cumsum(speed, 1) - speed[:, :1]
        last = jnp.maximum(length - 1, 0)[:, None]
        whole = jnp.take_along_axis(time, last, 1)  # (B, 1)
        return at_times(x, time * (last / jnp.where(whole == 0, 1.0, whole)), length)


class WindowSlice(Temporal):
    """(batch, time, *axes): a random part of each series, stretched to the whole length.

    Values are interpolated linearly (Le Guennec et al. 2016, halshs-01357973).
    """

    word = "window_slice"
    still: ClassVar[dict[str, Any]] = {"share": 1.0}
    share: float = main(0.9, gt=0, le=1, description="share of the length that is kept")

    examples = (
        AugmentExample("window_slice: 0.8", ("f32[batch, time, 3] masked", "i32[batch, time]<4 masked")),
        AugmentExample("window_slice", "f32[batch, 5]"),
        AugmentExample("window_slice: 1.0", "f32[batch, 5]", error="DLC303"),
        AugmentExample("window_slice: 0", "f32[batch, 5]", error="DLC104"),
    )

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch,): where the part starts, from 0 (at the beginning) to 1 (as late as possible)."""
        return jax.random.uniform(key, (x.shape[0],))

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """The parts, stretched."""
        length = lengths(x, mask)
        last = jnp.maximum(length - 1, 0)[:, None].astype(jnp.float32)
        start = drawn[:, None] * (1 - self.share) * last
        return at_times(x, start + jnp.arange(x.shape[1])[None] * self.share, length)


class Permutation(Temporal):
    """(batch, time, *axes): series are cut into segments of almost equal length, which are shuffled.

    Segment k of n starts at floor(k * length / n) (Um et al. 2017, arXiv:1706.00527).
    """

    word = "permutation"
    segments: int = main(4, ge=2, description="number of segments")

    examples = (
        AugmentExample("permutation: 3", ("f32[batch, time, 3] masked", "i32[batch, time]<4 masked")),
        AugmentExample("permutation", "f32[batch, 5]"),
        AugmentExample("permutation: 1", "f32[batch, 5]", error="DLC104"),
        AugmentExample("permutation: 6", "f32[batch, 5]", error="DLC205"),
    )

    def check(self, x: TensorType) -> None:
        """Series with a point for each segment."""
        super().check(x)
        size = x.shape[1]
        if isinstance(size, int) and size < self.segments:
            expected = f"at most {plural(size, 'segment')}"
            found = f"`{self.segments}`"
            message = "there are more segments than time steps"
            raise RuleViolation("DLC205", message, found=found, expected=expected, option="segments")

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch, segments) int32: the segment at each position."""
        return jnp.argsort(jax.random.uniform(key, (x.shape[0], self.segments)), 1).astype(jnp.int32)

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """The segments in the order drawn."""
        length = lengths(x, mask)[:, None]
        begins = jnp.arange(self.segments + 1)[None] * length // self.segments  # (B, n + 1)
        sizes = jnp.take_along_axis(begins[:, 1:] - begins[:, :-1], drawn, 1)  # (B, n), in the new order
        ends = jnp.cumsum(sizes, 1)
        time = jnp.arange(x.shape[1])[None]  # (1, T)
        which = jnp.minimum((time[..., None] >= ends[:, None]).sum(-1), self.segments - 1)  # (B, T)
        within = time - jnp.take_along_axis(ends - sizes, which, 1)
        source = jnp.take_along_axis(begins, jnp.take_along_axis(drawn, which, 1), 1) + within
        return take_times(x, jnp.clip(source, 0, x.shape[1] - 1))
