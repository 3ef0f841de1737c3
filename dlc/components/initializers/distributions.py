"""Initializers by distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from dlc.components.initializers.initializer import Initializer
from dlc.language.options import main, option
from dlc.support.lazy import np

if TYPE_CHECKING:
    from dlc.components.initializers.initializer import Generator, Values


class Zeros(Initializer):
    """All weights are 0."""

    word = "zeros"

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """0."""
        return np.zeros(shape, np.float32)


class Ones(Initializer):
    """All weights are 1."""

    word = "ones"

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """1."""
        return np.ones(shape, np.float32)


class Constant(Initializer):
    """All weights have the same value."""

    word = "constant"
    value: float = main(0.0, description="the value")

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """The value."""
        return np.full(shape, self.value, np.float32)


class Normal(Initializer):
    """Normally distributed."""

    word = "normal"
    stddev: float = main(0.05, gt=0, description="standard deviation")
    mean: float = option(0.0, description="mean")

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """Mean + stddev * N(0, 1)."""
        return _normal(generator, shape, self.stddev) + np.float32(self.mean)


class TruncatedNormal(Initializer):
    """Normally distributed; values beyond two standard deviations are drawn again.

    `stddev` is the deviation before truncation; after it, the deviation is 0.8796 of that.
    """

    word = "truncated_normal"
    stddev: float = main(0.05, gt=0, description="standard deviation before truncation")
    mean: float = option(0.0, description="mean")

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """Mean + stddev * N(0, 1) within two deviations."""
        return _truncated(generator, shape, self.stddev) + np.float32(self.mean)


class Uniform(Initializer):
    """Uniform between -limit and limit."""

    word = "uniform"
    limit: float = main(0.05, gt=0, description="largest distance from 0")

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """Uniform in [-limit, limit)."""
        return _uniform(generator, shape, self.limit)


class Triangular(Initializer):
    """Between -limit and limit, most often near 0: the sum of two uniform numbers.

    Its standard deviation is limit / sqrt(6).
    """

    word = "triangular"
    limit: float = main(0.05, gt=0, description="largest distance from 0")

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """The sum of two uniform numbers."""
        one, other = _uniform(generator, (2, *shape), self.limit / 2)
        total: Values = one + other
        return total


class VarianceScaling(Initializer):
    """Random with variance scale / fan, so that activations or gradients keep their size from layer to layer.

    He et al. 2015 (arXiv:1502.01852) is scale 2 with fan_in, Glorot and Bengio 2010 scale 1 with fan_avg, LeCun et al.
    1998 scale 1 with fan_in. `normal` is truncated at two deviations and rescaled.
    """

    word = "variance_scaling"
    scale: float = main(1.0, gt=0, description="factor of the variance")
    mode: Literal["fan_in", "fan_out", "fan_avg"] = option("fan_in", description="the variance is divided by this")
    distribution: Literal["normal", "uniform"] = option("normal", description="truncated normal, or uniform")

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """Variance scale / fan."""
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            return _uniform(generator, shape, math.sqrt(3.0 * variance))
        return _truncated(generator, shape, math.sqrt(variance) / _CUT)


class _Scaled(Initializer):
    """The named cases of `variance_scaling`."""

    scale: ClassVar[float] = 1.0
    mode: ClassVar[Literal["fan_in", "fan_out", "fan_avg"]] = "fan_in"
    distribution: ClassVar[Literal["normal", "uniform"]] = "normal"

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """`variance_scaling` with the scale, mode and distribution of this class."""
        rule = VarianceScaling(scale=self.scale, mode=self.mode, distribution=self.distribution)
        return rule.draw(generator, shape, fan_in, fan_out)


class GlorotUniform(_Scaled):
    """Uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, proceedings.mlr.press/v9/glorot10a)."""

    word = "glorot_uniform"
    mode = "fan_avg"
    distribution = "uniform"


class GlorotNormal(_Scaled):
    """Truncated normal, variance 2 / (fan_in + fan_out) (Glorot, Bengio 2010, proceedings.mlr.press/v9/glorot10a)."""

    word = "glorot_normal"
    mode = "fan_avg"


class HeUniform(_Scaled):
    """Uniform in +-sqrt(6 / fan_in), for ReLU networks (He et al. 2015, arXiv:1502.01852)."""

    word = "he_uniform"
    scale = 2.0
    distribution = "uniform"


class HeNormal(_Scaled):
    """Truncated normal with variance 2 / fan_in, for ReLU networks (He et al. 2015, arXiv:1502.01852)."""

    word = "he_normal"
    scale = 2.0


class LecunUniform(_Scaled):
    """Uniform in +-sqrt(3 / fan_in) (LeCun et al. 1998, Efficient BackProp)."""

    word = "lecun_uniform"
    distribution = "uniform"


class LecunNormal(_Scaled):
    """Truncated normal with variance 1 / fan_in, for SELU networks (LeCun et al. 1998, Efficient BackProp)."""

    word = "lecun_normal"


class ForgetBias(Initializer):
    """0, but 1 in the second quarter: the bias of an LSTM's forget gate (Jozefowicz et al. 2015)."""

    word = "forget_bias"

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """0, 1, 0, 0."""
        quarter = np.arange(shape[-1]) * 4 // shape[-1]
        return np.broadcast_to((quarter == 1).astype(np.float32), shape)


class Orthogonal(Initializer):
    """A random orthogonal matrix, (product of the first axes, last axis) (Saxe et al. 2013, arXiv:1312.6120)."""

    word = "orthogonal"
    gain: float = main(1.0, gt=0, description="factor of the matrix")

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """Q of a random matrix, signs such that it is uniformly distributed."""
        columns = shape[-1] if shape else 1
        rows = math.prod(shape[:-1])
        tall = generator.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return (self.gain * (q if rows >= columns else q.T)).reshape(shape)


class Identity(Initializer):
    """1 on the diagonal of the last two axes, else 0."""

    word = "identity"
    gain: float = main(1.0, description="factor of the matrix")

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """Gain * I."""
        if len(shape) < 2:
            return np.full(shape, self.gain, np.float32)
        return np.broadcast_to(self.gain * np.eye(*shape[-2:], dtype=np.float32), shape)


_CUT = 0.87962566103423978  # deviation of a standard normal variable truncated at +-2


def _normal(generator: Generator, shape: tuple[int, ...], stddev: float) -> Values:
    return generator.standard_normal(shape, np.float32) * np.float32(stddev)


def _truncated(generator: Generator, shape: tuple[int, ...], stddev: float) -> Values:
    flat = generator.standard_normal(math.prod(shape), np.float32)
    while (far := np.flatnonzero(np.abs(flat) > 2)).size:
        flat[far] = generator.standard_normal(far.size, np.float32)
    return flat.reshape(shape) * np.float32(stddev)


def _uniform(generator: Generator, shape: tuple[int, ...], limit: float) -> Values:
    return (generator.random(shape, np.float32) * 2 - 1) * np.float32(limit)
