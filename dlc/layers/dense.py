"""Dense layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dlc.ir import ZEROS, Example, Init, Layer, ParamSpec, Signature, TensorType, known_size, need_float
from dlc.layers.activations import Activation, activated
from dlc.lazy import jnp
from dlc.options import Wrong, main, option

if TYPE_CHECKING:
    from jax import Array


class Dense(Layer):
    """(*lead, d) -> (*lead, units): an affine map of the last axis, x W + b, then the activation.

    The kernel is (d, units), drawn Glorot uniform (Glorot and Bengio 2010); the bias begins at zero.
    """

    word = "dense"
    masks = "pointwise"
    units: int = main(ge=1, description="size of the new last axis")
    use_bias: bool = option(True, description="add a learned vector to the result")
    activation: Activation = option(None, description="what follows the affine map")

    examples = (
        Example("dense: 4", "f32[batch, 3]", "f32[batch, 4]", params=16),
        Example("dense: {units: 4, use_bias: false}", "f32[batch, time, 3]", "f32[batch, time, 4]", params=12),
        Example("dense: {units: 2, activation: {leaky_relu: 0.1}}", "f32[batch, 3]", "f32[batch, 2]", params=8),
        Example("dense: 4", "f32[batch, width]", error="DLC203"),
        Example("dense: 4", "i32[batch, 3]", error="DLC207"),
        Example("dense: 4", "f32[batch]", error="DLC204"),
        Example("dense", "f32[batch, 3]", error="DLC102"),
        Example("dense: 0", "f32[batch, 3]", error="DLC104"),
        Example("dense: {units: 4, activaton: relu}", "f32[batch, 3]", error="DLC101"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The last axis becomes `units` long."""
        need_float(x, self.word)
        if x.rank < 2:
            raise Wrong("DLC204", "`dense` takes at least 2 axes", found=str(x), expected="f32[batch, ..., d]")
        d = known_size(x, -1, self.word)
        params = {
            "kernel": ParamSpec((d, self.units), Init("glorot_uniform", d, self.units), ("in", "out"), kernel=True)
        }
        if self.use_bias:
            params["bias"] = ParamSpec((self.units,), ZEROS, ("out",))
        output = x.resized(*x.shape[:-1], self.units)
        flops = 2 * x.size * self.units + (output.size if self.use_bias else 0)
        return activated(Signature(output, params, flops=flops), self.activation)

    def apply(self, weights: Mapping[str, Array], x: Array, *, key: Array | None, train: bool) -> Array:
        """activation(x @ kernel + bias)."""
        y = jnp.matmul(x, weights["kernel"])
        if self.use_bias:
            y = y + weights["bias"]
        return y if self.activation is None else self.activation.function(y)
