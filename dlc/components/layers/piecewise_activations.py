"""Activations made of straight pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.components.layers.activations import Elementwise
from dlc.ir import Example
from dlc.language.options import main
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class HardSigmoid(Elementwise):
    """(*shape) -> (*shape): f(x) = relu6(x + 3) / 6, a piecewise linear sigmoid."""

    word = "hard_sigmoid"
    cost = 3
    examples = (Example("hard_sigmoid", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """relu6(x + 3) / 6."""
        return jax.nn.hard_sigmoid(x)


class Relu6(Elementwise):
    """(*shape) -> (*shape): f(x) = min(max(x, 0), 6)."""

    word = "relu6"
    cost = 2
    examples = (Example("relu6", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """min(max(x, 0), 6)."""
        return jax.nn.relu6(x)


class HardSilu(Elementwise):
    """(*shape) -> (*shape): f(x) = x * hard_sigmoid(x), also called hard swish.

    Howard et al. 2019, arXiv:1905.02244.
    """

    word = "hard_silu"
    cost = 4
    examples = (Example("hard_silu", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """X * relu6(x + 3) / 6."""
        return jax.nn.hard_silu(x)


class HardTanh(Elementwise):
    """(*shape) -> (*shape): f(x) = min(max(x, -1), 1), a piecewise linear tanh."""

    word = "hard_tanh"
    cost = 2
    examples = (Example("hard_tanh", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """min(max(x, -1), 1)."""
        return jax.nn.hard_tanh(x)


class SoftShrink(Elementwise):
    """(*shape) -> (*shape): f(x) = sign(x) * max(|x| - threshold, 0), soft thresholding."""

    word = "soft_shrink"
    cost = 4
    threshold: float = main(0.5, ge=0, description="how much the values shrink")
    examples = (
        Example("soft_shrink: 0.1", "f32[batch, 3]", "f32[batch, 3]"),
        Example("soft_shrink: -1", "f32[batch, 3]", error="DLC104"),
    )

    def function(self, x: Array) -> Array:
        """X - threshold above the threshold, x + threshold below its negative, else 0."""
        return jnp.where(jnp.abs(x) > self.threshold, x - jnp.sign(x) * self.threshold, 0.0).astype(x.dtype)


class HardShrink(Elementwise):
    """(*shape) -> (*shape): f(x) = x where |x| > threshold, else 0, hard thresholding."""

    word = "hard_shrink"
    cost = 2
    threshold: float = main(0.5, ge=0, description="the largest magnitude that becomes 0")
    examples = (
        Example("hard_shrink: 0.1", "f32[batch, 3]", "f32[batch, 3]"),
        Example("hard_shrink: -1", "f32[batch, 3]", error="DLC104"),
    )

    def function(self, x: Array) -> Array:
        """X where |x| > threshold, else 0."""
        return jnp.where(jnp.abs(x) > self.threshold, x, 0.0).astype(x.dtype)
