"""Likelihoods of distributions, and the divergence of two."""

from __future__ import annotations

from math import log, pi
from typing import TYPE_CHECKING, Any

from dlc.components.losses.loss import Loss, LossExample
from dlc.components.losses.shape_checks import need_classes, need_pairs, need_real_output, paired
from dlc.components.losses.value_checks import need_distributions, need_scores_behind_mask
from dlc.components.value_ranges import PROBABILITIES, Domain
from dlc.ir import TensorType
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array
    from numpy.typing import NDArray


class KLDivergence(Loss):
    """(batch, *axes, classes) logits with (batch, *axes, classes) distributions: sum(t * log(t / softmax(output))).

    The mean over the axes. It is the cross-entropy minus the entropy of the target, as Keras' `KLDivergence` of
    probabilities; PyTorch's `KLDivLoss` takes log-probabilities.
    """

    word = "kl_divergence"
    domain = PROBABILITIES
    from_logits: bool = main(True, description="whether the output is logits, without softmax")
    examples = (
        LossExample("kl_divergence", "f32[batch, 3]", "f32[batch, 3]"),
        LossExample("kl_divergence: {from_logits: false}", "f32[batch, 4, 3]", "f32[batch, 4, 3]"),
        LossExample("kl_divergence", "f32[batch, 3]", "i32[batch]<3", error="DLC301"),
        LossExample("kl_divergence", "f32[batch, 1]", "f32[batch, 1]", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Two distributions over the same classes."""
        need_scores_behind_mask(self.word, output)
        if not target.is_float:
            message = f"`{self.word}` needs a distribution as target, not a class"
            found = f"output {output}, target {target}"
            hint = "for classes use `cross_entropy`"
            raise RuleViolation(self.code, message, found=found, expected=f"a target {output}", hint=hint)
        need_classes(self.code, self.word, output, target)

    def check_values(self, target: NDArray[Any]) -> None:
        """Rows must sum to 1."""
        need_distributions(self.word, target)

    def elements(self, output: Array, target: Array) -> Array:
        """sum(t * (log t - log p)), where 0 * log 0 is 0."""
        y, t = output.astype(jnp.float32), target.astype(jnp.float32)
        logs = jax.nn.log_softmax(y, axis=-1) if self.from_logits else jnp.log(jnp.clip(y, 1e-7, 1.0))
        own = jnp.where(t > 0, t * jnp.log(jnp.where(t > 0, t, 1.0)), 0.0)
        return (own - t * logs).sum(-1)

    def activate(self, output: Array) -> Array:
        """Probabilities."""
        return jax.nn.softmax(output, axis=-1) if self.from_logits else output

    def activations(self) -> tuple[str, ...]:
        """Softmax, unless the network applies it."""
        return ("softmax",) if self.from_logits else ()


class Poisson(Loss):
    """(batch, *axes) log rates with (batch, *axes) counts: the mean of exp(output) - target * output.

    The negative log-likelihood without log(target!), which is constant (PyTorch's `PoissonNLLLoss`). With
    `log_input: false` the output is the rate: output - target * log(output + 1e-7), as Keras' `Poisson`. Predictions
    are rates. Above 60, exp continues as a straight line to avoid overflow.
    """

    word = "poisson"
    domain = Domain(0.0, hint="do not normalize counts; `mse` accepts any values")
    log_input: bool = main(True, description="whether the output is the logarithm of the rate")
    examples = (
        LossExample("poisson", "f32[batch, 1]", "f32[batch, 1]"),
        LossExample("poisson: {log_input: false}", "f32[batch, 4]", "f32[batch, 4]"),
        LossExample("poisson", "f32[batch, 2]", "f32[batch, 1]", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """One rate per count."""
        need_pairs(self.code, self.word, output, target)

    def elements(self, output: Array, target: Array) -> Array:
        """The rate minus target * log(rate)."""
        y, t = paired(output, target)
        if self.log_input:
            low = jnp.minimum(y, 60.0)
            return jnp.exp(low) * (1 + (y - low)) - t * y
        rate = jnp.maximum(y, 0.0)
        return rate - t * jnp.log(rate + 1e-7)

    def activate(self, output: Array) -> Array:
        """The rate."""
        return jnp.exp(output) if self.log_input else output

    def activations(self) -> tuple[str, ...]:
        """The exponential, unless the network outputs rates."""
        return ("exponential",) if self.log_input else ()


def _need_parts(word: str, known: bool, output: TensorType, target: TensorType, spread: str) -> None:
    """Check an output: two numbers along its last axis for each number of the target, or one with `known`."""
    if known:
        need_pairs("DLC301", word, output, target)
        return
    need_real_output("DLC301", word, output)
    need_scores_behind_mask(word, output)
    last = target.shape[-1] if target.rank > 1 else 1
    lead = target.shape[:-1] if target.rank > 1 else target.shape
    wanted = (*lead, 2 * last if isinstance(last, int) else last)
    if not target.is_float or output.shape != wanted or not isinstance(last, int):
        message = f"`{word}` takes a mean and a logarithm of the {spread} for each number of the target"
        found, expected = f"output {output}, target {target}", f"an output f32[{', '.join(map(str, wanted))}]"
        hint = f"end the network with `dense: {wanted[-1]}`" if target.is_float and target.rank == 2 else None
        raise RuleViolation("DLC301", message, found=found, expected=expected, hint=hint)


def _halves(output: Array, target: Array) -> tuple[Array, Array, Array]:
    """Means, logarithms of spread, and targets, (batch, *axes, d) float32 each."""
    mean, spread = jnp.split(output.astype(jnp.float32), 2, axis=-1)
    return mean, spread, target.astype(jnp.float32).reshape(mean.shape)


class GaussianNLL(Loss):
    """(batch, *axes, 2d) with (batch, *axes, d): 0.5 * (v + (target - m)^2 / exp(v)), a normal distribution's -log p.

    The first d numbers of the output are the means m, the others the logarithms v of the variances; the mean over all d
    and axes (Nix and Weigend 1994; PyTorch's `GaussianNLLLoss`, whose output is the variance itself). With `variance`,
    which is then the same everywhere, the output has the target's shape and is the mean: the reconstruction term of a
    variational autoencoder. Predictions that include v are the unchanged output, under its own name.
    """

    word = "gaussian_nll"
    variance: float | None = main(None, gt=0, description="a fixed variance, if the network does not predict it")
    full: bool = option(False, description="add the constant 0.5 * log(2 * pi)")
    eps: float = option(1e-6, gt=0, description="the smallest variance; below it v has no gradient")
    examples = (
        LossExample("gaussian_nll", "f32[batch, 2]", "f32[batch, 1]"),
        LossExample("gaussian_nll: {full: true}", "f32[batch, 4, 6]", "f32[batch, 4, 3]"),
        LossExample("gaussian_nll: 0.5", "f32[batch, 4, 3]", "f32[batch, 4, 3]"),
        LossExample("gaussian_nll", "f32[batch, 1]", "f32[batch, 1]", error="DLC301"),
        LossExample("gaussian_nll: 0.5", "f32[batch, 2]", "f32[batch, 1]", error="DLC301"),
        LossExample("gaussian_nll: 0", "f32[batch, 1]", "f32[batch, 1]", error="DLC104"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """A mean and a log-variance per number, or only a mean."""
        _need_parts(self.word, self.variance is not None, output, target, "variance")

    def predicts(self, output: TensorType, target: TensorType) -> bool:
        """Whether the output is only the mean."""
        return self.variance is not None

    def elements(self, output: Array, target: Array) -> Array:
        """-log p."""
        constant = 0.5 * log(2 * pi) if self.full else 0.0
        if self.variance is not None:
            y, t = paired(output, target)
            return 0.5 * (log(self.variance) + jnp.square(t - y) / self.variance) + constant
        mean, spread, t = _halves(output, target)
        v = jnp.maximum(spread, log(self.eps))
        return 0.5 * (v + jnp.square(t - mean) * jnp.exp(-v)) + constant


class LaplaceNLL(Loss):
    """(batch, *axes, 2d) with (batch, *axes, d): s + |target - m| / exp(s), a Laplace distribution's -log p.

    The first d numbers of the output are the medians m, the others the logarithms s of the scales; the mean over all d
    and axes. Predictions are the unchanged output, under its own name.
    """

    word = "laplace_nll"
    full: bool = option(False, description="add the constant log(2)")
    eps: float = option(1e-6, gt=0, description="the smallest scale; below it s has no gradient")
    examples = (
        LossExample("laplace_nll", "f32[batch, 2]", "f32[batch, 1]"),
        LossExample("laplace_nll: {full: true}", "f32[batch, 4, 6]", "f32[batch, 4, 3]"),
        LossExample("laplace_nll", "f32[batch, 1]", "f32[batch, 1]", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """A median and a log-scale per number."""
        _need_parts(self.word, False, output, target, "scale")

    def predicts(self, output: TensorType, target: TensorType) -> bool:
        """Never: half of the output is not in the unit of the target."""
        return False

    def elements(self, output: Array, target: Array) -> Array:
        """-log p."""
        median, spread, t = _halves(output, target)
        s = jnp.maximum(spread, log(self.eps))
        return s + jnp.abs(t - median) * jnp.exp(-s) + (log(2) if self.full else 0.0)
