"""Layers that are random in training."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

from dlc.ir import Example, Layer, Signature, TensorType, need_float
from dlc.lazy import jax, jnp
from dlc.options import main

if TYPE_CHECKING:
    from jax import Array

_LEVELS = 1 << 16


def _random16(key: Array, shape: tuple[int, ...]) -> Array:
    """Random numbers below 2^16, two from each 32 random bits: drawing them is what dropout costs on a CPU.

    A rate is met to within 2^-17, and the rest is scaled by the rate that is really used.
    """
    count = prod(shape)
    bits = jax.random.bits(key, ((count + 1) // 2,))  # (count / 2,) uint32
    halves = jnp.stack([bits & 0xFFFF, bits >> 16])  # (2, count / 2)
    return halves.reshape(-1)[:count].reshape(shape)


class Dropout(Layer):
    """(*shape) -> (*shape): in training, an element becomes 0 with probability `rate`, or else grows by 1 / (1 - rate).

    In evaluation it is the identity (Srivastava et al. 2014, jmlr.org/papers/v15/srivastava14a.html).
    """

    word = "dropout"
    masks = "elementwise"
    random = True
    rate: float = main(0.5, ge=0, lt=1, description="share of elements that become 0")

    examples = (
        Example("dropout: 0.25", "f32[batch, 8, 8, 3]", "f32[batch, 8, 8, 3]"),
        Example("dropout: 1.0", "f32[batch, 8]", error="DLC104"),
        Example("dropout: half", "f32[batch, 8]", error="DLC103"),
        Example("dropout", "i32[batch, 8]", error="DLC207"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays."""
        need_float(x, self.word)
        return Signature(x, flops=x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """where(kept, x / (1 - rate), 0) in training."""
        if not train or self.rate == 0:
            return x
        assert key is not None, "a random layer needs a key in training"
        keep = max(1, round((1.0 - self.rate) * _LEVELS))
        return jnp.where(_random16(key, x.shape) < keep, x * (_LEVELS / keep), jnp.zeros((), x.dtype))
