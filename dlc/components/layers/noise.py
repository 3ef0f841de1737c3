"""Dropout of channels and paths, and noise."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, ClassVar

from dlc.components.layers.dropout import Noise, drop, kept_places
from dlc.ir import Example, TensorType, need_rank
from dlc.language.options import main
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class SpatialDropout(Noise):
    """What the spatial dropouts share: a channel of an example is kept or becomes 0 as a whole.

    Neighbouring positions of a channel are alike, so that dropping single ones would hide little (Tompson et al. 2014,
    arXiv:1411.4280).
    """

    cost: ClassVar[int] = 1
    axes: ClassVar[tuple[str, ...]] = ()
    hyperparameters: ClassVar[tuple[str, ...]] = ("rate",)
    rate: float = main(0.5, ge=0, lt=1, description="share of channels that become 0")

    def check(self, x: TensorType) -> None:
        """As many axes as the layer's name specifies."""
        need_rank(x, len(self.axes) + 2, self.word, f"(batch, {', '.join(self.axes)}, channels)")

    def amount(self) -> float:
        """The rate."""
        return self.rate

    def change(self, x: Array, key: Array) -> Array:
        """where(kept, x / (1 - rate), 0), one draw for each channel."""
        return drop(x, key, (x.shape[0], *(1,) * len(self.axes), x.shape[-1]), self.rate)


class SpatialDropout1D(SpatialDropout):
    """(batch, time, channels) -> (batch, time, channels): in training, whole channels become 0, the others grow."""

    word = "spatial_dropout1d"
    axes = ("time",)
    examples = (
        Example("spatial_dropout1d: 0.2", "f32[batch, time, 3]", "f32[batch, time, 3]"),
        Example("spatial_dropout1d", "f32[batch, 3]", error="DLC204"),
        Example("spatial_dropout1d: 1.0", "f32[batch, 4, 3]", error="DLC104"),
        Example("spatial_dropout1d", "i32[batch, 4, 3]", error="DLC207"),
    )


class SpatialDropout2D(SpatialDropout):
    """(batch, height, width, channels) -> (batch, height, width, channels): in training, whole channels become 0."""

    word = "spatial_dropout2d"
    axes = ("height", "width")
    examples = (
        Example("spatial_dropout2d: 0.2", "f32[batch, height, width, 3]", "f32[batch, height, width, 3]"),
        Example("spatial_dropout2d", "f32[batch, 8, 3]", error="DLC204"),
    )


class SpatialDropout3D(SpatialDropout):
    """(batch, depth, height, width, channels) -> (batch, depth, height, width, channels): whole channels become 0."""

    word = "spatial_dropout3d"
    axes = ("depth", "height", "width")
    examples = (
        Example("spatial_dropout3d: 0.2", "f32[batch, 4, 4, 4, 3]", "f32[batch, 4, 4, 4, 3]"),
        Example("spatial_dropout3d", "f32[batch, 4, 4, 3]", error="DLC204"),
    )


class DropPath(Noise):
    """(batch, *axes) -> (batch, *axes): in training, an example becomes 0 as a whole, or else grows by 1 / (1 - rate).

    At the end of a residual's body it skips the body for some of the examples: stochastic depth (Huang et al. 2016,
    arXiv:1603.09382).
    """

    word = "drop_path"
    hyperparameters = ("rate",)
    cost = 1
    rate: float = main(ge=0, lt=1, description="share of examples that become 0")
    examples = (
        Example("drop_path: 0.1", "f32[batch, 8, 8, 3]", "f32[batch, 8, 8, 3]"),
        Example("drop_path", "f32[batch, 8]", error="DLC102"),
        Example("drop_path: 1.0", "f32[batch, 8]", error="DLC104"),
        Example("drop_path: 0.1", "i32[batch, 8]", error="DLC207"),
    )

    def amount(self) -> float:
        """The rate."""
        return self.rate

    def change(self, x: Array, key: Array) -> Array:
        """where(kept, x / (1 - rate), 0), one draw for each example."""
        return drop(x, key, (x.shape[0], *(1,) * (x.ndim - 1)), self.rate)


class GaussianNoise(Noise):
    """(*shape) -> (*shape): in training, x + stddev * N(0, 1), element by element."""

    word = "gaussian_noise"
    hyperparameters = ("stddev",)
    stddev: float = main(ge=0, description="standard deviation of the noise")
    examples = (
        Example("gaussian_noise: 0.1", "f32[batch, 8]", "f32[batch, 8]"),
        Example("gaussian_noise: -1", "f32[batch, 8]", error="DLC104"),
        Example("gaussian_noise", "f32[batch, 8]", error="DLC102"),
        Example("gaussian_noise: 0.1", "i32[batch, 8]", error="DLC207"),
    )

    def amount(self) -> float:
        """The deviation."""
        return self.stddev

    def change(self, x: Array, key: Array) -> Array:
        """X + stddev * N(0, 1)."""
        return x + (self.stddev * jax.random.normal(key, x.shape)).astype(x.dtype)


class GaussianDropout(Noise):
    """(*shape) -> (*shape): in training, x * N(1, rate / (1 - rate)), element by element.

    The noise has the mean and the variance of dropout's (Srivastava et al. 2014,
    jmlr.org/papers/v15/srivastava14a.html, section 10).
    """

    word = "gaussian_dropout"
    rate: float = main(0.5, ge=0, lt=1, description="the dropout rate whose variance the noise has")
    examples = (
        Example("gaussian_dropout: 0.25", "f32[batch, 8]", "f32[batch, 8]"),
        Example("gaussian_dropout: 1.0", "f32[batch, 8]", error="DLC104"),
        Example("gaussian_dropout", "i32[batch, 8]", error="DLC207"),
    )

    def amount(self) -> float:
        """The rate."""
        return self.rate

    def change(self, x: Array, key: Array) -> Array:
        """X * (1 + sqrt(rate / (1 - rate)) * N(0, 1))."""
        stddev = sqrt(self.rate / (1.0 - self.rate))
        return x * (1.0 + stddev * jax.random.normal(key, x.shape)).astype(x.dtype)


class AlphaDropout(Noise):
    """(*shape) -> (*shape): in training, an element becomes selu's lower limit with probability `rate`.

    All are then scaled and shifted so that values of mean 0 and variance 1 keep both, as the networks of `selu` need
    (Klambauer et al. 2017, arXiv:1706.02515).
    """

    word = "alpha_dropout"
    cost = 3
    rate: float = main(0.5, ge=0, lt=1, description="share of elements that are dropped")
    examples = (
        Example("alpha_dropout: 0.1", "f32[batch, 8]", "f32[batch, 8]"),
        Example("alpha_dropout: 1.0", "f32[batch, 8]", error="DLC104"),
        Example("alpha_dropout", "i32[batch, 8]", error="DLC207"),
    )

    def amount(self) -> float:
        """The rate."""
        return self.rate

    def change(self, x: Array, key: Array) -> Array:
        """The affine map a * where(kept, x, limit) + b, with a and b from the rate."""
        kept, share = kept_places(key, x.shape, self.rate)
        limit = -1.7580993408473766  # selu's for very negative values: -scale * alpha
        a = (share * (1.0 + (1.0 - share) * limit**2)) ** -0.5
        b = -a * limit * (1.0 - share)
        y: Array = a * jnp.where(kept, x, jnp.full((), limit, x.dtype)) + b
        return y
