"""Layers that are random in training."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from dlc.ir import Context, Decoding, Example, Layer, Masks, Signature, TensorType, need_float
from dlc.language.options import main
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array

_LEVELS = 1 << 16


def _random16(key: Array, shape: tuple[int, ...]) -> Array:
    """Random numbers below 2^16, two from each 32 random bits: drawing them is what dropout costs on a CPU.

    A rate is met to within 2^-17, and the rest is scaled by the rate that is really used.
    """
    count = prod(shape)
    bits = jax.random.bits(key, ((count + 1) // 2,))  # (count / 2,) uint32
    halves: Array = bits >> jnp.uint32([[0], [16]]) & 0xFFFF  # (2, count / 2)
    return halves.reshape(-1)[:count].reshape(shape)


def kept_places(key: Array, shape: tuple[int, ...], rate: float) -> tuple[Array, Any]:
    """Which elements are kept, and the share of them that the random bits really give: 1 - rate to within 2^-17."""
    if isinstance(rate, float):
        keep: Any = max(1, round((1.0 - rate) * _LEVELS))
    else:  # an argument of the program
        keep = jnp.maximum(1, jnp.round((1 - rate) * _LEVELS)).astype(jnp.uint32)
    return _random16(key, shape) < keep, keep / _LEVELS


class Noise(Layer):
    """What the layers share that change values at random in training, and in evaluation are the identity."""

    masks: ClassVar[Masks] = "elementwise"
    decoding: ClassVar[Decoding] = "pointwise"
    random: ClassVar[bool] = True
    cost: ClassVar[int] = 2  # floating-point operations per element, roughly

    def infer(self, x: TensorType) -> Signature:
        """The shape stays."""
        need_float(x, self.word)
        self.check(x)
        return Signature(x, flops=self.cost * x.size)

    def check(self, x: TensorType) -> None:
        """Raise when the input does not fit."""

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The changed values in training, else the input."""
        if not ctx.train or self.amount() == 0:
            return x
        assert ctx.key is not None, "a random layer needs a key in training"
        return self.change(x, ctx.key)

    def amount(self) -> float:
        """0 where nothing would change."""
        raise NotImplementedError

    def change(self, x: Array, key: Array) -> Array:
        """The changed values."""
        raise NotImplementedError


def drop(x: Array, key: Array, shape: tuple[int, ...], rate: float) -> Array:
    """A share of the parts of `x` becomes 0, the rest keeps the mean; `shape` is 1 along axes that go together."""
    kept, share = kept_places(key, shape, rate)
    return jnp.where(kept, x * jnp.asarray(1.0 / share, x.dtype), jnp.zeros((), x.dtype))


class Dropout(Noise):
    """(*shape) -> (*shape): in training, an element becomes 0 with probability `rate`, or else grows by 1 / (1 - rate).

    In evaluation it is the identity (Srivastava et al. 2014, jmlr.org/papers/v15/srivastava14a.html).
    """

    word = "dropout"
    hyperparameters = ("rate",)
    cost = 1
    rate: float = main(0.5, ge=0, lt=1, description="share of elements that become 0")

    examples = (
        Example("dropout: 0.25", "f32[batch, 8, 8, 3]", "f32[batch, 8, 8, 3]"),
        Example("dropout: 1.0", "f32[batch, 8]", error="DLC104"),
        Example("dropout: half", "f32[batch, 8]", error="DLC103"),
        Example("dropout", "i32[batch, 8]", error="DLC207"),
    )

    def amount(self) -> float:
        """The rate."""
        return self.rate

    def change(self, x: Array, key: Array) -> Array:
        """where(kept, x / (1 - rate), 0)."""
        return drop(x, key, x.shape, self.rate)
