"""Smooth activations that few networks use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.components.layers.activations import Elementwise
from dlc.ir import Example
from dlc.language.options import main
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class Mish(Elementwise):
    """(*shape) -> (*shape): f(x) = x * tanh(softplus(x)) (Misra 2019, arXiv:1908.08681)."""

    word = "mish"
    cost = 10
    examples = (Example("mish", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """X * tanh(softplus(x))."""
        return jax.nn.mish(x)


class Softsign(Elementwise):
    """(*shape) -> (*shape): f(x) = x / (1 + |x|)."""

    word = "softsign"
    cost = 3
    examples = (Example("softsign", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """X / (1 + |x|)."""
        return jax.nn.soft_sign(x)


class Celu(Elementwise):
    """(*shape) -> (*shape): f(x) = x where x > 0, else alpha * (exp(x / alpha) - 1) (Barron 2017, arXiv:1704.07483)."""

    word = "celu"
    cost = 4
    alpha: float = main(1.0, gt=0, description="the limit for very negative values is -alpha")
    examples = (
        Example("celu: 0.5", "f32[batch, 3]", "f32[batch, 3]"),
        Example("celu: 0", "f32[batch, 3]", error="DLC104"),
    )

    def function(self, x: Array) -> Array:
        """X where x > 0, else alpha * (exp(x / alpha) - 1)."""
        return jax.nn.celu(x, self.alpha)


class Exponential(Elementwise):
    """(*shape) -> (*shape): f(x) = exp(x)."""

    word = "exponential"
    cost = 3
    examples = (Example("exponential", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """exp(x)."""
        return jnp.exp(x)


class LogSigmoid(Elementwise):
    """(*shape) -> (*shape): f(x) = log(1 / (1 + exp(-x)))."""

    word = "log_sigmoid"
    cost = 4
    examples = (Example("log_sigmoid", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """-softplus(-x)."""
        return jax.nn.log_sigmoid(x)


class TanhShrink(Elementwise):
    """(*shape) -> (*shape): f(x) = x - tanh(x)."""

    word = "tanh_shrink"
    cost = 6
    examples = (Example("tanh_shrink", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """X - tanh(x)."""
        return x - jnp.tanh(x)


class Squareplus(Elementwise):
    """(*shape) -> (*shape): f(x) = (x + sqrt(x^2 + b)) / 2, a softplus without exp (Barron 2021, arXiv:2112.11687)."""

    word = "squareplus"
    cost = 6
    b: float = main(4.0, gt=0, description="how smooth it is; at 0 the value is sqrt(b) / 2")
    examples = (
        Example("squareplus", "f32[batch, 3]", "f32[batch, 3]"),
        Example("squareplus: 0", "f32[batch, 3]", error="DLC104"),
    )

    def function(self, x: Array) -> Array:
        """(x + sqrt(x^2 + b)) / 2."""
        root = jnp.sqrt(x * x + self.b)
        # for negative x the sum would cancel; the same value is b / (2 (sqrt(x^2 + b) - x))
        return jnp.where(x > 0, (x + root) / 2, self.b / 2 / (root + jnp.abs(x)))
