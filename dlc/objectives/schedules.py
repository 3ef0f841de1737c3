"""Learning-rate schedules: functions of the step."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BeforeValidator, model_validator

from dlc.diagnostics import SpecError
from dlc.lazy import jnp, optax
from dlc.objectives import SCHEDULES
from dlc.options import Fault, Options, build_word, main, option, reject, spell

if TYPE_CHECKING:
    from jax import Array

Rate = Callable[[Any], Any]  # step -> learning rate


class Horizon(NamedTuple):
    """How long a run is, in steps."""

    steps: int
    steps_per_epoch: float


class Length(NamedTuple):
    """A part of a run: a number of steps or epochs, or a share of the run."""

    amount: float
    unit: str  # steps, epochs, %

    def in_steps(self, horizon: Horizon) -> int:
        """The length in steps of a given run."""
        exact = {
            "steps": self.amount,
            "epochs": self.amount * horizon.steps_per_epoch,
            "%": self.amount * horizon.steps / 100,
        }[self.unit]
        return math.ceil(round(exact, 6))  # 110 steps * 70% is 77, not the 77.00000000000001 of binary fractions

    def __str__(self) -> str:
        return f"{self.amount:g}%" if self.unit == "%" else f"{self.amount:g} {self.unit}"


_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(steps?|epochs?|%)\Z")


def _length(value: Any) -> Any:
    if isinstance(value, Length):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Length(value, "steps")
    match = _LENGTH.match(value.strip()) if isinstance(value, str) else None
    unit = match.group(2) if match else ""
    unit = unit if unit == "%" else unit.rstrip("s") + "s"
    if match is None or (unit == "%" and float(match.group(1)) > 100):
        expected = "a number of steps, `2 epochs`, or a share of the run such as `10%`"
        raise reject(Fault((), "DLC104", "this is not a length", found=spell(value), expected=expected))
    return Length(float(match.group(1)), unit)


RunLength = Annotated[Length, BeforeValidator(_length)]


class Schedule(Options):
    """A learning rate that changes with the step."""

    def follows_length(self) -> bool:
        """Whether the rate of a step depends on the length of the whole run."""
        return False

    def build(self, horizon: Horizon) -> Rate:
        """The rate at a step, for a run of this length."""
        raise NotImplementedError


class Constant(Schedule):
    """The same rate at every step."""

    word = "constant"
    value: float = main(gt=0, description="the rate")
    examples = ("constant: 0.1",)

    def build(self, horizon: Horizon) -> Rate:
        """The value."""
        return lambda _step: self.value


_TOO_WARM = "the warm-up leaves no time for the schedule: its peak would never be reached"


class Cosine(Schedule):
    """Half a cosine from `peak` to `end` over the run, after a linear warm-up from zero.

    After `length` the rate stays at `end` (Loshchilov and Hutter 2016, arXiv:1608.03983).
    """

    word = "cosine"
    peak: float = main(gt=0, description="the highest rate, reached after the warm-up")
    end: float = option(0.0, ge=0, description="the last rate")
    warmup: RunLength = option(Length(0, "steps"), description="linear warm-up: steps, `2 epochs` or `10%`")
    length: RunLength = option(Length(100, "%"), description="length with the warm-up: steps, `20 epochs` or `100%`")
    examples = ("cosine: 1e-3", "cosine: {peak: 1e-3, end: 1e-5, warmup: 10%}", "cosine: {peak: 0.1, warmup: 2 epochs}")

    @model_validator(mode="after")
    def _check(self) -> Cosine:
        if self.end > self.peak:
            found, expected = f"`end` {self.end:g}, `peak` {self.peak:g}", "a number up to `peak`"
            raise reject(Fault(("end",), "DLC104", "the rate must fall, and `end` is above `peak`", found, expected))
        if not self.length.amount:
            raise reject(Fault(("length",), "DLC104", "a schedule must have a length", spell(str(self.length))))
        if self.warmup.unit == self.length.unit and self.warmup.amount >= self.length.amount:
            found, expected = f"a warm-up of {self.warmup}", f"less than {self.length}"
            raise reject(Fault(("warmup",), "DLC303", _TOO_WARM, found, expected))
        return self

    def follows_length(self) -> bool:
        """When a part of it is a share of the run."""
        return "%" in (self.warmup.unit, self.length.unit)

    def build(self, horizon: Horizon) -> Rate:
        """Optax's `warmup_cosine_decay_schedule`, or `cosine_decay_schedule` without warm-up.

        Raises:
            SpecError: DLC303 when the warm-up is as long as the schedule in a run of this length.
        """
        warmup, length = self.warmup.in_steps(horizon), self.length.in_steps(horizon)
        if self.warmup.unit == self.length.unit:
            warmup = min(warmup, length - 1)  # checked above; in a run of a few steps both may round up to the same
        if warmup and warmup >= length:
            found, expected = f"a warm-up of {warmup} steps", f"less than {length} steps"
            hint = "shorten it, as in `warmup: 10%`"
            raise SpecError.of("DLC303", _TOO_WARM, found=found, expected=expected, hint=hint)
        if warmup:
            rate: Rate = optax.warmup_cosine_decay_schedule(0.0, self.peak, warmup, length, self.end)
            return rate
        decay: Rate = optax.cosine_decay_schedule(self.peak, length, self.end / self.peak)
        return decay


def _rate(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not 0 < value < 1e300:  # also what YAML reads as infinity, and integers that no float holds
            raise reject(
                Fault((), "DLC104", "a learning rate must be positive", found=spell(value), expected="a number above 0")
            )
        return float(value)
    if isinstance(value, dict) or (isinstance(value, str) and value.isidentifier()):
        made = build_word(value, SCHEDULES, "schedule")
        if isinstance(made, list):
            raise reject(*made)
        return made
    raise reject(
        Fault((), "DLC103", "a learning rate is a number or a schedule", found=spell(value), expected="a number")
    )


LearningRate = Annotated[float | Schedule, BeforeValidator(_rate)]
"""An option that holds a rate: a number or a schedule."""


def rate_of(value: float | Schedule, horizon: Horizon) -> Rate | float:
    """What optax takes as a learning rate."""
    return value.build(horizon) if isinstance(value, Schedule) else value


def rate_at(value: float | Schedule, horizon: Horizon, step: int) -> float:
    """The learning rate of a step, as a number to print."""
    if isinstance(value, Schedule):
        rate: Array | float = value.build(horizon)(jnp.asarray(step))
        return float(rate)
    return value
