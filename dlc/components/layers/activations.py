"""Activations: layers that act element by element (softmax: along the last axis), also usable as an option."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from dlc.components.layers import ACTIVATIONS, OPTION_ACTIVATIONS
from dlc.ir import Context, Decoding, Example, Layer, Masks, Normalized, Signature, TensorType, need_float
from dlc.language.options import RuleViolation, main, option, word_field
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class Elementwise(Layer):
    """What all activations share: the shape stays."""

    masks: ClassVar[Masks] = "elementwise"
    decoding: ClassVar[Decoding] = "pointwise"
    cost: ClassVar[int] = 1  # floating-point operations per element, roughly

    def infer(self, x: TensorType) -> Signature:
        """(*shape) -> (*shape)."""
        need_float(x, self.word)
        return Signature(x, flops=self.cost * x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The function, element by element."""
        return self.function(x)

    def function(self, x: Array) -> Array:
        """The mathematical function; same shape in and out."""
        raise NotImplementedError


Activation = Annotated[Elementwise | None, word_field(lambda: ChainMap(ACTIVATIONS, OPTION_ACTIVATIONS), "activation")]
"""The type of an option that holds an activation."""


def activated(signature: Signature, activation: Elementwise | None) -> Signature:
    """The signature of a layer whose output goes through an activation."""
    if activation is None:
        return signature
    after = activation.infer(signature.output)
    return replace(signature, output=after.output, flops=signature.flops + after.flops)


class Linear(Elementwise):
    """(*shape) -> (*shape): f(x) = x, to state explicitly that there is no activation."""

    word = "linear"
    cost = 0
    examples = (Example("linear", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """The input itself."""
        return x


class Step(Elementwise):
    """(*shape) -> (*shape): f(x) = 1 where x >= 0, else 0 (Heaviside), the perceptron's activation.

    Its derivative is zero wherever it exists, so no gradient could train through it. In training the gradient passes
    straight through (f'(x) = 1): with the loss `mse` on 0/1 targets the weight update is then the perceptron rule,
    w + rate * (target - output) * x, up to a constant factor (Rosenblatt 1958; straight-through: Bengio et al. 2013,
    arXiv:1308.3432).
    """

    word = "step"
    examples = (Example("step", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """1 where x >= 0, else 0; the gradient of the identity."""
        # a zero with the gradient of x, added to an exact 0 or 1: `x + stop_gradient(f(x) - x)` would round
        return jax.lax.stop_gradient((x >= 0).astype(x.dtype)) + (x - jax.lax.stop_gradient(x))


class Sigmoid(Elementwise):
    """(*shape) -> (*shape): f(x) = 1 / (1 + exp(-x))."""

    word = "sigmoid"
    cost = 4
    examples = (Example("sigmoid", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """1 / (1 + exp(-x))."""
        return jax.nn.sigmoid(x)


class Tanh(Elementwise):
    """(*shape) -> (*shape): f(x) = tanh(x)."""

    word = "tanh"
    cost = 5
    examples = (Example("tanh", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """tanh(x)."""
        return jnp.tanh(x)


class Relu(Elementwise):
    """(*shape) -> (*shape): f(x) = max(x, 0) (Nair and Hinton 2010).

    With the options: x where x > threshold, else negative_slope * (x - threshold); and at most max_value.
    """

    word = "relu"
    max_value: float | None = option(None, gt=0, description="the largest value, if there is one")
    negative_slope: float = option(0.0, ge=0, description="slope below the threshold")
    threshold: float = option(0.0, ge=0, description="where the function leaves 0")
    examples = (
        Example("relu", "f32[batch, 3]", "f32[batch, 3]"),
        Example("relu: {max_value: 3, negative_slope: 0.1, threshold: 1}", "f32[batch, 3]", "f32[batch, 3]"),
        Example("relu", "i32[batch, 3]", error="DLC207"),
        Example("relu: {max_value: -1}", "f32[batch, 3]", error="DLC104"),
    )

    def function(self, x: Array) -> Array:
        """max(x, 0), or as its options specify."""
        if self.threshold == 0 and self.negative_slope == 0:
            y = jax.nn.relu(x)
        else:
            y = jnp.where(x > self.threshold, x, self.negative_slope * (x - self.threshold))
        return y if self.max_value is None else jnp.minimum(y, self.max_value)


class LeakyRelu(Elementwise):
    """(*shape) -> (*shape): f(x) = x where x >= 0, else negative_slope * x (Maas et al. 2013)."""

    word = "leaky_relu"
    cost = 2
    negative_slope: float = main(0.2, ge=0, description="slope for negative values")
    examples = (
        Example("leaky_relu", "f32[batch, 3]", "f32[batch, 3]"),
        Example("leaky_relu: 0.01", "f32[batch, 3]", "f32[batch, 3]"),
        Example("leaky_relu: {slope: 0.1}", "f32[batch, 3]", error="DLC101"),
    )

    def function(self, x: Array) -> Array:
        """X where x >= 0, else negative_slope * x."""
        return jax.nn.leaky_relu(x, self.negative_slope)


class Elu(Elementwise):
    """(*shape) -> (*shape): f(x) = x where x > 0, else alpha * (exp(x) - 1) (Clevert et al. 2015, arXiv:1511.07289)."""

    word = "elu"
    cost = 3
    alpha: float = main(1.0, ge=0, description="the limit for very negative values is -alpha")
    examples = (Example("elu", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """X where x > 0, else alpha * (exp(x) - 1)."""
        return jax.nn.elu(x, self.alpha)


class Selu(Elementwise):
    """(*shape) -> (*shape): the self-normalizing elu, scaled (Klambauer et al. 2017, arXiv:1706.02515)."""

    word = "selu"
    cost = 4
    examples = (Example("selu", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """1.0507 * elu(x, alpha=1.6733)."""
        return jax.nn.selu(x)


class Gelu(Elementwise):
    """(*shape) -> (*shape): f(x) = x * P(X <= x) for a standard normal X.

    Hendrycks and Gimpel 2016, arXiv:1606.08415.
    """

    word = "gelu"
    cost = 8
    approximate: bool = option(False, description="use the tanh approximation, as GPT-2 does")
    examples = (
        Example("gelu", "f32[batch, 3]", "f32[batch, 3]"),
        Example("gelu: {approximate: true}", "f32[batch, 3]", "f32[batch, 3]"),
        Example("gelu: {approximate: on}", "f32[batch, 3]", error="DLC103"),
    )

    def function(self, x: Array) -> Array:
        """X * Phi(x), or its tanh approximation."""
        return jax.nn.gelu(x, self.approximate)


class Silu(Elementwise):
    """(*shape) -> (*shape): f(x) = x * sigmoid(x), also called swish (Ramachandran et al. 2017, arXiv:1710.05941)."""

    word = "silu"
    cost = 5
    examples = (Example("silu", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """X * sigmoid(x)."""
        return jax.nn.silu(x)


class Softplus(Elementwise):
    """(*shape) -> (*shape): f(x) = log(1 + exp(x))."""

    word = "softplus"
    cost = 4
    examples = (Example("softplus", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """log(1 + exp(x))."""
        return jax.nn.softplus(x)


def need_axis(x: TensorType, word: str) -> None:
    """Raise DLC204 unless there is an axis besides the batch."""
    if x.rank < 2:
        raise RuleViolation("DLC204", f"`{word}` takes at least 2 axes", found=str(x), expected="f32[batch, ..., d]")


class AlongLast(Elementwise):
    """What the activations along the last axis share."""

    masks = "pointwise"
    decoding = "pointwise"
    single: ClassVar[str] = "always 1"

    def infer(self, x: TensorType) -> Signature:
        """(*lead, d) -> (*lead, d); without an axis besides the batch it would mix the examples."""
        need_axis(x, self.word)
        return super().infer(x)

    def normalized(self, *inputs: TensorType) -> Normalized:
        """The last axis."""
        hint = "give it a score for each class; for a single probability write `sigmoid`"
        return Normalized(inputs[0].shape[-1:], self.single, hint)


class Softmax(AlongLast):
    """(*lead, d) -> (*lead, d): f(x) = exp(x) / sum(exp(x)) along the last axis.

    The losses work on logits: leave it out at the end of a network that trains with `cross_entropy`.
    """

    word = "softmax"
    cost = 5
    examples = (
        Example("softmax", "f32[batch, 3]", "f32[batch, 3]"),
        Example("softmax", "f32[batch, time, classes]", "f32[batch, time, classes]"),
        Example("softmax", "f32[batch]", error="DLC204"),
    )

    def function(self, x: Array) -> Array:
        """exp(x) / sum(exp(x)), last axis."""
        return jax.nn.softmax(x.astype(jnp.float32), axis=-1).astype(x.dtype)  # the sum may exceed float16


class LogSoftmax(AlongLast):
    """(*lead, d) -> (*lead, d): f(x) = x - log(sum(exp(x))) along the last axis."""

    word = "log_softmax"
    cost = 5
    single = "always 0"
    examples = (
        Example("log_softmax", "f32[batch, 3]", "f32[batch, 3]"),
        Example("log_softmax", "f32[batch]", error="DLC204"),
    )

    def function(self, x: Array) -> Array:
        """X - log(sum(exp(x))), last axis."""
        return jax.nn.log_softmax(x.astype(jnp.float32), axis=-1).astype(x.dtype)
