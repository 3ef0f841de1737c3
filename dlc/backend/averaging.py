"""Averages of weights over the steps of a run, which often perform better than the last weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dlc.backend.tree import Tree, flatten, nest
from dlc.ir import RunningMean
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

    def shown(self, old: Mapping[str, Any], new: Mapping[str, Any], running: Mapping[str, RunningMean], n: int) -> Tree:
        """The statistics that belong to the weights of a step, to be averaged with the same shares as these.

        An exponential average of running means would lag behind that of the weights, and in a short run still hold
        their initial values. What the batches of the step show does not: it is what moved the running means. An equal
        average takes the running means themselves, since it has few summands.

        Args:
            old: the state before the step.
            new: the state after it.
            running: the running means by path; other state is taken as it is.
            n: the batches of a step.
        """
        if self.decay is None or not running:
            return dict(new)
        before, after = flatten(old), flatten(new)
        for path, mean in running.items():
            kept = mean.momentum**n
            after[path] = jnp.maximum((after[path] - kept * before[path]) / (1 - kept), mean.least)
        return nest(after)

    def moved(self, average: Any, weights: Any, step: Any) -> Any:
        """The average after a step."""
        share = self.share(step)
        return jax.tree.map(lambda mean, w: mean + share.astype(mean.dtype) * (w - mean), average, precise(weights))


def precise(variables: Tree) -> Tree:
    """Variables to be averaged: float32 in place of half precision, in which small steps of an average are lost."""
    half = (jnp.float16, jnp.bfloat16)
    found: Tree = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype in half else leaf, variables)
    return found
