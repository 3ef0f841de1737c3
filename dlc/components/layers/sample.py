"""Layers that draw from a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from dlc.components.layers.merge import need_one_dtype
from dlc.ir import Context, Example, Layer, Outcome, Signature, TensorType, need_float
from dlc.language.options import RuleViolation, main
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class GaussianSample(Layer):
    """(batch, *axes), (batch, *axes) -> (batch, *axes): a sample by mean and log-variance of a normal distribution.

    In training mean + exp(log_variance / 2) * N(0, 1), through which gradients reach both; in evaluation the mean. To
    the loss of each example it adds the divergence from N(0, 1), kl_weight * 0.5 * sum(exp(log_variance) + mean^2 - 1 -
    log_variance), in evaluation too: the sampling step of the variational autoencoder (Kingma and Welling 2013,
    arXiv:1312.6114).
    """

    word = "gaussian_sample"
    arity: ClassVar[tuple[int, int | None]] = (2, 2)
    random = True
    decoding = "pointwise"  # the mean
    kl_weight: float = main(1.0, ge=0, description="factor of the divergence in the loss")

    examples = (
        Example("gaussian_sample", ("f32[batch, 3]", "f32[batch, 3]"), "f32[batch, 3]"),
        Example("gaussian_sample: 0.1", ("f32[batch, 4, 4, 3]",) * 2, "f32[batch, 4, 4, 3]"),
        Example("gaussian_sample", ("f32[batch, 3]", "f32[batch, 4]"), error="DLC205"),
        Example("gaussian_sample", ("f32[batch, 3]", "i32[batch, 3]"), error="DLC207"),
        Example("gaussian_sample", ("f32[batch, 3]",), error="DLC206"),
        Example("gaussian_sample: -1", ("f32[batch, 3]", "f32[batch, 3]"), error="DLC104"),
    )

    def infer(self, mean: TensorType, log_variance: TensorType) -> Signature:
        """The common shape."""
        need_float(mean, self.word)
        need_float(log_variance, self.word)
        need_one_dtype((mean, log_variance), self.word)
        if mean.shape != log_variance.shape:
            message = "`gaussian_sample` takes a mean and a log-variance of one shape"
            raise RuleViolation("DLC205", message, expected="the same shape for both")
        return Signature(mean, flops=12 * mean.size, penalty=True)

    def apply(self, weights: Mapping[str, Array], mean: Array, log_variance: Array, *, ctx: Context) -> Outcome:
        """The sample, and the divergence as a penalty."""
        m, v = mean.astype(jnp.float32), log_variance.astype(jnp.float32)
        each = 0.5 * (jnp.expm1(v) - v + jnp.square(m))  # expm1: exp(v) - 1 keeps its digits near 0
        penalty = self.kl_weight * each.sum(tuple(range(1, m.ndim)))
        y = m
        if ctx.train:
            assert ctx.key is not None, "a random layer needs a key in training"
            y = m + jnp.exp(v / 2) * jax.random.normal(ctx.key, m.shape)
        return Outcome(y.astype(mean.dtype), penalty=penalty)
