"""Optimizers with sums over rows and columns instead of a second moment for each element: adafactor, sm3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc.components.optimizers.optimizer import Momentum, Optimizer, rate
from dlc.components.schedules.schedule import Horizon, LearningRate, rate_of
from dlc.language.options import option
from dlc.support.lazy import optax

if TYPE_CHECKING:
    import optax as optax_types


class Adafactor(Optimizer):
    """Steps scaled by a second moment of rank one, from means of rows and columns (Shazeer and Stern 2018).

    Weights whose two largest axes have size `min_dim_size_to_factor` are factored, others keep the full moment.
    Each weight's step is clipped to `clipping_threshold` times the rate, and multiplied by the weight's root mean
    square (arXiv:1804.04235): a rate of 0.01 moves it by about 1%. `weight_decay_rate` is not multiplied by the rate.
    """

    word = "adafactor"
    per_weight = True
    learning_rate: LearningRate = rate(0.01)
    min_dim_size_to_factor: int = option(128, ge=2, description="size of two axes from which a weight is factored")
    decay_rate: float = option(0.8, gt=0, le=1, description="the second moment decays with 1 - t^-decay_rate")
    decay_offset: int = option(0, ge=0, description="the step from which t counts, for fine-tuning")
    multiply_by_parameter_scale: bool = option(True, description="multiply steps by the weight's root mean square")
    clipping_threshold: float = option(1.0, ge=1, description="the largest root mean square of a scaled gradient")
    momentum: Momentum = option(0.0)
    weight_decay_rate: float = option(0.0, ge=0, description="share of a weight that a step subtracts")
    eps: float = option(1e-30, gt=0, description="added to squared gradients")
    factored: bool = option(True, description="keep only sums over rows and columns")
    examples = ("adafactor", "adafactor: {learning_rate: 1e-3, multiply_by_parameter_scale: false, momentum: 0.9}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.adafactor`."""
        return optax.adafactor(
            rate_of(self.learning_rate, horizon),
            min_dim_size_to_factor=self.min_dim_size_to_factor,
            decay_rate=self.decay_rate,
            decay_offset=self.decay_offset,
            multiply_by_parameter_scale=self.multiply_by_parameter_scale,
            clipping_threshold=self.clipping_threshold,
            momentum=self.momentum or None,
            weight_decay_rate=self.weight_decay_rate or None,
            eps=self.eps,
            factored=self.factored,
        )


class Sm3(Optimizer):
    """adagrad with one sum for each row, column, ...: an element uses the smallest of its sums.

    (Anil et al. 2019, arXiv:1901.11150.)
    """

    word = "sm3"
    per_weight = True
    learning_rate: LearningRate = rate(0.1)
    momentum: float = option(0.9, ge=0, lt=1, description="decay of the mean of scaled gradients")
    examples = ("sm3: 0.1", "sm3: {learning_rate: {constant: {value: 0.1, warmup: 10}}, momentum: 0.95}")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.sm3`, which accepts no schedule, built from its parts."""
        return optax.chain(
            optax.scale_by_sm3(self.momentum), optax.scale_by_learning_rate(rate_of(self.learning_rate, horizon))
        )
