"""Activations: layers that act element by element (softmax: along the last axis), also usable as an option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BeforeValidator

from dlc.ir import ZEROS, Example, Layer, Masks, ParamSpec, Signature, TensorType, known_size, need_float
from dlc.layers import ACTIVATIONS
from dlc.layers.axes import axes_list
from dlc.lazy import jax, jnp
from dlc.options import Wrong, main, option, word_field

if TYPE_CHECKING:
    from jax import Array


class Elementwise(Layer):
    """What all activations share: the shape stays."""

    masks: ClassVar[Masks] = "elementwise"
    cost: ClassVar[int] = 1  # floating-point operations per element, roughly

    def infer(self, x: TensorType) -> Signature:
        """(*shape) -> (*shape)."""
        need_float(x, self.word)
        return Signature(x, flops=self.cost * x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """The function, element by element."""
        return self.function(x)

    def function(self, x: Array) -> Array:
        """The mathematical function; same shape in and out."""
        raise NotImplementedError


Activation = Annotated[Elementwise | None, word_field(lambda: ACTIVATIONS, "activation")]
"""The type of an option that holds an activation."""


def activated(signature: Signature, activation: Elementwise | None) -> Signature:
    """The signature of a layer whose output goes through an activation."""
    if activation is None:
        return signature
    after = activation.infer(signature.output)
    return replace(signature, output=after.output, flops=signature.flops + after.flops)


class Linear(Elementwise):
    """(*shape) -> (*shape): f(x) = x, for saying in the file that no activation is meant."""

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


class HardSigmoid(Elementwise):
    """(*shape) -> (*shape): f(x) = relu6(x + 3) / 6, a piecewise linear sigmoid."""

    word = "hard_sigmoid"
    cost = 3
    examples = (Example("hard_sigmoid", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """relu6(x + 3) / 6."""
        return jax.nn.hard_sigmoid(x)


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
    max_value: float | None = option(None, ge=0, description="the largest value, if there is one")
    negative_slope: float = option(0.0, ge=0, description="slope below the threshold")
    threshold: float = option(0.0, ge=0, description="where the function leaves 0")
    examples = (
        Example("relu", "f32[batch, 3]", "f32[batch, 3]"),
        Example("relu: {max_value: 3, negative_slope: 0.1, threshold: 1}", "f32[batch, 3]", "f32[batch, 3]"),
        Example("relu", "i32[batch, 3]", error="DLC207"),
        Example("relu: {max_value: -1}", "f32[batch, 3]", error="DLC104"),
    )

    def function(self, x: Array) -> Array:
        """max(x, 0), or as the options say."""
        if self.threshold == 0 and self.negative_slope == 0:
            y = jax.nn.relu(x)
        else:
            y = jnp.where(x > self.threshold, x, self.negative_slope * (x - self.threshold))
        return y if self.max_value is None else jnp.minimum(y, self.max_value)


class Relu6(Elementwise):
    """(*shape) -> (*shape): f(x) = min(max(x, 0), 6)."""

    word = "relu6"
    cost = 2
    examples = (Example("relu6", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """min(max(x, 0), 6)."""
        return jax.nn.relu6(x)


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
    """(*shape) -> (*shape): the self-normalising elu, scaled (Klambauer et al. 2017, arXiv:1706.02515)."""

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


class Mish(Elementwise):
    """(*shape) -> (*shape): f(x) = x * tanh(softplus(x)) (Misra 2019, arXiv:1908.08681)."""

    word = "mish"
    cost = 10
    examples = (Example("mish", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """X * tanh(softplus(x))."""
        return jax.nn.mish(x)


class Softplus(Elementwise):
    """(*shape) -> (*shape): f(x) = log(1 + exp(x))."""

    word = "softplus"
    cost = 4
    examples = (Example("softplus", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """log(1 + exp(x))."""
        return jax.nn.softplus(x)


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


class HardTanh(Elementwise):
    """(*shape) -> (*shape): f(x) = min(max(x, -1), 1), a piecewise linear tanh."""

    word = "hard_tanh"
    cost = 2
    examples = (Example("hard_tanh", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """min(max(x, -1), 1)."""
        return jax.nn.hard_tanh(x)


class TanhShrink(Elementwise):
    """(*shape) -> (*shape): f(x) = x - tanh(x)."""

    word = "tanh_shrink"
    cost = 6
    examples = (Example("tanh_shrink", "f32[batch, 3]", "f32[batch, 3]"),)

    def function(self, x: Array) -> Array:
        """X - tanh(x)."""
        return x - jnp.tanh(x)


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


def _need_axis(x: TensorType, word: str) -> None:
    """Raise DLC204 unless there is an axis besides the batch."""
    if x.rank < 2:
        raise Wrong("DLC204", f"`{word}` takes at least 2 axes", found=str(x), expected="f32[batch, ..., d]")


class AlongLast(Elementwise):
    """What the activations along the last axis share."""

    masks = "pointwise"

    def infer(self, x: TensorType) -> Signature:
        """(*lead, d) -> (*lead, d); without an axis besides the batch it would mix the examples."""
        _need_axis(x, self.word)
        return super().infer(x)


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
        return jax.nn.softmax(x, axis=-1)


class LogSoftmax(AlongLast):
    """(*lead, d) -> (*lead, d): f(x) = x - log(sum(exp(x))) along the last axis."""

    word = "log_softmax"
    cost = 5
    examples = (
        Example("log_softmax", "f32[batch, 3]", "f32[batch, 3]"),
        Example("log_softmax", "f32[batch]", error="DLC204"),
    )

    def function(self, x: Array) -> Array:
        """X - log(sum(exp(x))), last axis."""
        return jax.nn.log_softmax(x, axis=-1)


class PRelu(Layer):
    """(batch, *axes, channels) -> (batch, *axes, channels): f(x) = x where x >= 0, else slope * x, the slope learned.

    Each channel has one slope, as in the paper (He et al. 2015, arXiv:1502.01852), and it begins at 0. `shared_axes`
    chooses otherwise: `[]` gives each element of an example its own, which is what Keras does by default.
    """

    word = "prelu"
    masks = "elementwise"
    shared_axes: Annotated[tuple[int, ...] | None, BeforeValidator(axes_list)] = main(
        None,
        description="axes along which one slope serves, the batch axis counted as 0; all but the last if none",
    )

    examples = (
        Example("prelu", "f32[batch, height, width, 3]", "f32[batch, height, width, 3]", params=3),
        Example("prelu: {shared_axes: [1]}", "f32[batch, 4, 5, 3]", "f32[batch, 4, 5, 3]", params=15),
        Example("prelu: {shared_axes: []}", "f32[batch, 4, 3]", "f32[batch, 4, 3]", params=12),
        Example("prelu: [1, 2]", "f32[batch, time, 3]", "f32[batch, time, 3]", params=1),
        Example("prelu: {shared_axes: []}", "f32[batch, time, 3]", error="DLC203"),
        Example("prelu: 3", "f32[batch, 4, 3]", error="DLC104"),
        Example("prelu: 0", "f32[batch, 4, 3]", error="DLC104"),
        Example("prelu: all", "f32[batch, 4, 3]", error="DLC103"),
        Example("prelu", "f32[batch, width]", error="DLC203"),
        Example("prelu", "f32[batch]", error="DLC204"),
        Example("prelu", "i32[batch, 3]", error="DLC207"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays; a slope for each element along the axes that don't share."""
        need_float(x, self.word)
        _need_axis(x, self.word)
        wrong = [axis for axis in self.shared_axes or () if not 0 < axis < x.rank]
        if wrong:
            hint = "axis 0 is the batch, which always shares" if wrong[0] == 0 else None
            message, expected = f"no axis {wrong[0]} to share along", f"1 to {x.rank - 1}"
            raise Wrong("DLC104", message, found=str(x), expected=expected, hint=hint, option="shared_axes")
        shared = range(1, x.rank - 1) if self.shared_axes is None else self.shared_axes
        shape = tuple(1 if axis in shared else known_size(x, axis, self.word) for axis in range(1, x.rank))
        return Signature(x, {"slope": ParamSpec(shape, ZEROS)}, flops=2 * x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """X where x >= 0, else slope * x."""
        return jnp.where(x >= 0, x, weights["slope"] * x)


class Gate(Layer):
    """What the gated units share: the last axis is split in two halves."""

    masks: ClassVar[Masks] = "pointwise"

    def infer(self, x: TensorType) -> Signature:
        """The last axis becomes half as long."""
        need_float(x, self.word)
        _need_axis(x, self.word)
        size = known_size(x, -1, self.word)
        if size % 2:
            found, expected = str(x), "an even last axis"
            raise Wrong("DLC205", f"`{self.word}` splits the last axis in two halves", found=found, expected=expected)
        return Signature(x.resized(*x.shape[:-1], size // 2), flops=3 * x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """The first half a and the second half b as one."""
        a, b = jnp.split(x, 2, axis=-1)
        return self.gated(a, b)

    def gated(self, a: Array, b: Array) -> Array:
        """What becomes of the halves."""
        raise NotImplementedError


class Glu(Gate):
    """(*lead, 2 d) -> (*lead, d): a * sigmoid(b) of the halves a and b of the last axis.

    Dauphin et al. 2016, arXiv:1612.08083.
    """

    word = "glu"
    examples = (
        Example("glu", "f32[batch, time, 6]", "f32[batch, time, 3]"),
        Example("glu", "f32[batch, 5]", error="DLC205"),
        Example("glu", "f32[batch, width]", error="DLC203"),
        Example("glu", "f32[batch]", error="DLC204"),
        Example("glu", "i32[batch, 4]", error="DLC207"),
    )

    def gated(self, a: Array, b: Array) -> Array:
        """The product a * sigmoid(b)."""
        return a * jax.nn.sigmoid(b)


class SwiGlu(Gate):
    """(*lead, 2 d) -> (*lead, d): silu(a) * b of the halves a and b of the last axis.

    Shazeer 2020, arXiv:2002.05202.
    """

    word = "swiglu"
    examples = (
        Example("swiglu", "f32[batch, time, 6]", "f32[batch, time, 3]"),
        Example("swiglu", "f32[batch, 5]", error="DLC205"),
    )

    def gated(self, a: Array, b: Array) -> Array:
        """silu(a) * b."""
        return jax.nn.silu(a) * b
