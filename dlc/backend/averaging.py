"""Averages of weights over the steps of a run, which often perform better than the last weights."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from dlc.support.fast_dataclass import fast_dataclass


@fast_dataclass(frozen=True)
class Averaging:
    """Averaging of weights: the average moves towards the weights by a share that depends on the step.

    Args:
        decay: decay of a bias-corrected exponential moving average, as for Adam's moments (Kingma and Ba 2014,
            section 3), or None.
        start: the first step of an equal average (Izmailov et al. 2018, arXiv:1803.05407); before, it is the weights.
        every: the number of steps between averaged weights.
    """

    decay: float | None = None
    start: int = 1
    every: int = 1

    def share(self, step: Any) -> Any:
        """The share that the average moves after a step, counted from 1."""
        if self.decay is not None:
            # 1 - decay^step; powers in float32 would lose all precision for a decay near 1
            return (1 - self.decay) / -jnp.expm1(jnp.asarray(step, jnp.float32) * math.log(self.decay))
        since = step - self.start
        due = (since >= 0) & (since % self.every == 0)
        share = 1.0 / (since // self.every + 1).astype(jnp.float32)
        return jnp.where(since < 0, 1.0, jnp.where(due, share, 0.0))

    def moved(self, average: Any, weights: Any, step: Any) -> Any:
        """The average after a step."""
        share = self.share(step)
        return jax.tree.map(lambda mean, w: mean + share.astype(mean.dtype) * (w - mean), average, weights)
