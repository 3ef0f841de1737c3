"""The initial values of other frameworks, for all weights of a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dlc.components.initializers.initializer import Initializer, Weight, fans
from dlc.ir import ONES, ZEROS, Init, ParamSpec
from dlc.support.lazy import np

if TYPE_CHECKING:
    from dlc.components.initializers.initializer import Generator, Values


def _uniform(fan_in: int) -> Init:
    return Init("uniform", options=(("limit", 1 / math.sqrt(max(fan_in, 1))),))


def _two_uniform(fan_in: int) -> Init:
    """The distribution of the sum of two biases."""
    return Init("triangular", options=(("limit", 2 / math.sqrt(max(fan_in, 1))),))


class Pytorch(Initializer):
    """The defaults of `torch.nn`, for every weight: without a weight's name it also applies to biases and embeddings.

    Kernels and biases of dense layers and convolutions are uniform in +-1 / sqrt(fan_in), those of recurrent layers in
    +-1 / sqrt(units), embeddings are normal with deviation 1, slopes of `prelu` are 0.25. The projections of
    `attention` are Glorot uniform, as one matrix if they have the same inputs, with biases of 0. PyTorch has two biases
    in `rnn` and `lstm`, dlc their sum. As in PyTorch the fan-in of a transposed convolution is that of the convolution
    it transposes. Other weights keep dlc's default.
    """

    word = "pytorch"
    whole = True

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """Uniform in +-1 / sqrt(fan_in)."""
        return (generator.random(shape, np.float32) * 2 - 1) / np.float32(math.sqrt(max(fan_in, 1)))

    def for_weight(self, weight: Weight) -> Init:
        """What `torch.nn` draws this weight from."""
        spec, own, beside = weight.spec, weight.own, weight.beside
        if "recurrent_kernel" in beside:
            units = beside["recurrent_kernel"].shape[0]
            return _two_uniform(units) if own == "bias" and len(spec.shape) == 1 else _uniform(units)
        if own == "embedding" and weight.layer == "embedding":
            return Init("normal", options=(("stddev", 1.0), ("mean", 0.0)))
        if own == "slope":
            return Init("constant", options=(("value", 0.25),))
        if weight.layer == "attention":
            return _attention(weight)
        if own == "bias":
            kernel = beside.get("kernel") or weight.all.get("pointwise/kernel")
            return _uniform(_fan_in(weight, kernel)) if kernel is not None else spec.init
        return _uniform(_fan_in(weight, spec)) if spec.kernel else spec.init


def _fan_in(weight: Weight, kernel: ParamSpec) -> int:
    """The number of inputs of an output, as PyTorch counts it from the shape of its weight."""
    if weight.layer == "einsum_dense":
        return kernel.init.fan_in
    apart = weight.layer.startswith("depthwise") or weight.name.startswith("depthwise/")
    return math.prod(kernel.shape[: -2 if apart else -1])


def _attention(weight: Weight) -> Init:
    """The projections of `MultiheadAttention`: `in_proj_weight` is drawn as one matrix; `out_proj` is a `Linear`."""
    if weight.own == "bias":
        return ZEROS
    inputs, outputs = weight.spec.init.fan_in, weight.spec.init.fan_out
    if weight.name == "output/kernel":
        return _uniform(inputs)
    kernels = [weight.all[f"{name}/kernel"].init for name in ("query", "key", "value")]
    if all(kernel.fan_in == inputs for kernel in kernels):
        outputs = sum(kernel.fan_out for kernel in kernels)
    return Init("uniform", options=(("limit", math.sqrt(6 / (inputs + outputs))),))


class Keras(Initializer):
    """The defaults of `keras.layers`, for every weight: without a weight's name it also applies to biases.

    Kernels are Glorot uniform, recurrent kernels orthogonal, biases 0, but 1 for the forget gate of `lstm`, embeddings
    uniform in +-0.05, scales of norms 1, slopes of `prelu` 0. These are dlc's own defaults.
    """

    word = "keras"
    whole = True

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """Glorot uniform."""
        limit = math.sqrt(6 / max(fan_in + fan_out, 1))
        return (generator.random(shape, np.float32) * 2 - 1) * np.float32(limit)

    def for_weight(self, weight: Weight) -> Init:
        """What `keras.layers` draws this weight from."""
        spec, own = weight.spec, weight.own
        if spec.kernel:
            declared = (spec.init.fan_in, spec.init.fan_out)
            return Init("glorot_uniform", *(declared if declared != (1, 1) else fans(spec.shape)))
        if own == "bias":
            return Init("forget_bias") if weight.layer == "lstm" else ZEROS
        if own == "embedding" and weight.layer == "embedding":
            return Init("uniform", options=(("limit", 0.05),))
        known: Mapping[str, Init] = {"slope": ZEROS, "recurrent_kernel": Init("orthogonal", *fans(spec.shape))}
        return ONES if own == "scale" and weight.layer.endswith("_norm") else known.get(own, spec.init)
