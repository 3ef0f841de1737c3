"""Noise on values, and scaling of series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from dlc.components.augmentations.augmentation import (
    Amounts,
    Augmentation,
    AugmentExample,
    Range,
    need_real,
    need_series,
    uniform,
)
from dlc.ir import TensorType, over
from dlc.language.options import main, option
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class Jitter(Augmentation):
    """(batch, *axes): x + stddev * N(0, 1), element by element.

    For images, series and rows of a table. Values are those that the network sees: normalized values have deviation 1.
    """

    word = "jitter"
    same_draws: ClassVar[bool] = False
    still: ClassVar[dict[str, Any]] = {"stddev": 0}
    stddev: float = main(0.03, ge=0, description="standard deviation of the noise")

    examples = (
        AugmentExample("jitter: 0.1", "f32[batch, 8]"),
        AugmentExample("jitter", ("f32[batch, time, 3] masked", "f32[batch, 6, 7, 3]")),
        AugmentExample("jitter: {stddev: 0.1, p: 0.5}", "f32[batch]"),
        AugmentExample("jitter: 0", "f32[batch, 8]", error="DLC303"),
        AugmentExample("jitter: -1", "f32[batch, 8]", error="DLC104"),
        AugmentExample("jitter", "i32[batch, 8]<5", error="DLC207"),
    )

    def check(self, x: TensorType) -> None:
        """Real numbers."""
        need_real(x, self.word)

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """N(0, 1) for each element."""
        return jax.random.normal(key, x.shape)

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """X + stddev * noise."""
        return x + self.stddev * drawn


class RandomDrop(Augmentation):
    """(batch, *axes): an element becomes `value` with probability `rate`; the others stay as they are.

    Simulates missing features of a table. `dropout` in the network also scales the remaining values.
    """

    word = "random_drop"
    same_draws: ClassVar[bool] = False
    still: ClassVar[dict[str, Any]] = {"rate": 0}
    rate: float = main(0.1, ge=0, lt=1, description="share of elements that are replaced")
    value: float = option(0.0, description="the value that replaces them")

    examples = (
        AugmentExample("random_drop: 0.2", "f32[batch, 8]"),
        AugmentExample("random_drop: {rate: 0.2, value: -1}", "f32[batch, time, 3] masked"),
        AugmentExample("random_drop: 0", "f32[batch, 8]", error="DLC303"),
        AugmentExample("random_drop: 1.0", "f32[batch, 8]", error="DLC104"),
        AugmentExample("random_drop", "i32[batch, 8]<5", error="DLC207"),
    )

    def check(self, x: TensorType) -> None:
        """Real numbers."""
        need_real(x, self.word)

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """Bool for each element: whether it is replaced."""
        return jax.random.bernoulli(key, self.rate, x.shape)

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """Where(dropped, value, x)."""
        return jnp.where(drawn, jnp.asarray(self.value, x.dtype), x)


class Scaling(Augmentation):
    """(batch, time, channels) or (batch, time): each channel of a series times a factor from N(1, stddev).

    One of the augmentations of Um et al. 2017 (arXiv:1706.00527).
    """

    word = "scaling"
    still: ClassVar[dict[str, Any]] = {"stddev": 0}
    stddev: float = main(0.1, ge=0, description="standard deviation of the factors")

    examples = (
        AugmentExample("scaling: 0.2", "f32[batch, time, 3] masked"),
        AugmentExample("scaling", "f32[batch, 5]"),
        AugmentExample("scaling", "f32[batch]", error="DLC204"),
        AugmentExample("scaling: 0", "f32[batch, 5]", error="DLC303"),
        AugmentExample("scaling", "f32[batch, 1]", error="DLC205"),
    )

    def check(self, x: TensorType) -> None:
        """Series of real numbers."""
        need_series(x, self.word)

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch, 1, *channels): N(0, 1) for each channel."""
        return jax.random.normal(key, (x.shape[0], 1, *x.shape[2:]))

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """X * (1 + stddev * drawn)."""
        return x * (1 + self.stddev * drawn)


class RandomGain(Augmentation):
    """(batch, time, channels) or (batch, time): a series times 10^(gain / 20), a gain in decibels for each example."""

    word = "random_gain"
    still: ClassVar[dict[str, Any]] = {"gain": (0.0, 0.0)}
    gain: Amounts = main((-6.0, 6.0), description="decibels: a number a for [-a, a], or [lowest, highest]")

    examples = (
        AugmentExample("random_gain: 12", "f32[batch, time] masked"),
        AugmentExample("random_gain: [-18, 0]", "f32[batch, time, 2]"),
        AugmentExample("random_gain: 0", "f32[batch, time]", error="DLC303"),
        AugmentExample("random_gain: [6, -6]", "f32[batch, time]", error="DLC104"),
        AugmentExample("random_gain", "i32[batch, time]<5", error="DLC207"),
    )

    def check(self, x: TensorType) -> None:
        """Series of real numbers."""
        need_series(x, self.word)

    def draw(self, key: Array, x: Array, mask: Array | None) -> Array:
        """(batch,): the gains, drawn uniformly."""
        return uniform(key, x.shape[0], self.gain)

    def change(self, x: Array, drawn: Array, mask: Array | None) -> Array:
        """X * 10^(gain / 20)."""
        return x * over(10.0 ** (drawn / 20), x)


class PolarityFlip(Augmentation):
    """(batch, time, channels) or (batch, time): a series changes its sign with probability `p`."""

    word = "polarity_flip"
    p: float = main(0.5, ge=0, le=1, description="probability with which an example is changed")

    examples = (
        AugmentExample("polarity_flip", "f32[batch, time]"),
        AugmentExample("polarity_flip: 0.2", "f32[batch, time, 2] masked"),
        AugmentExample("polarity_flip: 0", "f32[batch, time]", error="DLC303"),
        AugmentExample("polarity_flip", "f32[batch]", error="DLC204"),
    )

    def check(self, x: TensorType) -> None:
        """Series of real numbers."""
        need_series(x, self.word)

    def draw(self, key: Array, x: Array, mask: Array | None) -> None:
        """Nothing."""

    def change(self, x: Array, drawn: None, mask: Array | None) -> Array:
        """-x."""
        return -x


class Noisy(NamedTuple):
    """Noise with its level: N(0, 1) for each element, and signal-to-noise ratios in decibels (batch,)."""

    noise: Any
    snr: Any


class AddNoise(Augmentation):
    """(batch, time, channels) or (batch, time): white noise at a signal-to-noise ratio drawn for each example.

    The noise's deviation is the signal's root mean square, over time and channels without padding, divided by
    10^(snr / 20). Silence stays silent.
    """

    word = "add_noise"
    same_draws: ClassVar[bool] = False
    snr: Range = main((10.0, 30.0), description="[lowest, highest] signal-to-noise ratio in decibels")

    examples = (
        AugmentExample("add_noise", "f32[batch, time]"),
        AugmentExample("add_noise: [0, 20]", "f32[batch, time, 2] masked"),
        AugmentExample("add_noise: 10", "f32[batch, time]", error="DLC103"),
        AugmentExample("add_noise", "f32[batch]", error="DLC204"),
    )

    def check(self, x: TensorType) -> None:
        """Series of real numbers."""
        need_series(x, self.word)

    def draw(self, key: Array, x: Array, mask: Array | None) -> Noisy:
        """The noise and the ratios, drawn uniformly in decibels."""
        first, second = jax.random.split(key)
        return Noisy(jax.random.normal(first, x.shape), uniform(second, x.shape[0], self.snr))

    def change(self, x: Array, drawn: Noisy, mask: Array | None) -> Array:
        """The series x + rms(x) / 10^(snr / 20) * noise."""
        real = jnp.ones(x.shape[:2], bool) if mask is None else mask
        real = jnp.broadcast_to(over(real, x), x.shape)
        axes = tuple(range(1, x.ndim))
        power = jnp.where(real, jnp.square(x.astype(jnp.float32)), 0.0).sum(axes) / jnp.maximum(real.sum(axes), 1)
        deviation: Array = over(jnp.sqrt(power) * 10.0 ** (-drawn.snr / 20), x)
        return x + deviation * jnp.asarray(drawn.noise)
