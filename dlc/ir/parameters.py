"""Declared weights: counted, sharded and initialized from their declarations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple, Protocol

from dlc.support.fast_dataclass import fast_dataclass


class Init(NamedTuple):
    """How a weight is initialized: an initializer by name with its options, and fan-in and fan-out if it needs them.

    >>> Init("normal", options=(("stddev", 0.02),)).options
    (('stddev', 0.02),)
    """

    name: str
    fan_in: int = 1
    fan_out: int = 1
    options: tuple[tuple[str, float], ...] = ()


class Constraint(Protocol):
    """A constraint that is applied to a weight after every training step."""

    def over(self, spec: ParamSpec) -> tuple[int, ...]:
        """The axes that are constrained together, counted from the end of the shape."""

    def apply(self, weight: Any, axes: Sequence[int]) -> Any:
        """The nearest allowed values."""


ZEROS, ONES = Init("zeros"), Init("ones")


class RunningMean(NamedTuple):
    """State that is a running mean of what batches show: `momentum * state + (1 - momentum) * batch`.

    Args:
        momentum: the share that a batch keeps.
        least: the lowest value that a batch can show: 0 for a variance.
    """

    momentum: float
    least: float = -math.inf


@fast_dataclass(frozen=True)
class ParamSpec:
    """A declared weight. It is counted, sharded and initialized from this declaration.

    Args:
        shape: its sizes, all known.
        init: how its initial value is drawn.
        axes: what each axis means, for sharding: `in`, `out`, `kernel`, `channels`.
        kernel: whether it multiplies inputs, so that l1, l2 and a bare `initializer:` apply to it.
        dtype: a key of `DTYPES`.
        trainable: whether the optimizer updates it.
        l1: factor of the sum of its absolute values in the loss.
        l2: factor of the sum of its squares in the loss.
        constraint: applied after every step, or None.
        running: for state that is a running mean, how it moves; an average of weights then averages what batches show.
    """

    shape: tuple[int, ...]
    init: Init = ZEROS
    axes: tuple[str, ...] = ()
    kernel: bool = False
    dtype: str = "f32"
    trainable: bool = True
    l1: float = 0.0
    l2: float = 0.0
    constraint: Constraint | None = None
    running: RunningMean | None = None

    @property
    def size(self) -> int:
        """Its number of elements."""
        return prod(self.shape)
