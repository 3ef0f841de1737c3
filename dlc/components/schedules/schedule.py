"""Learning-rate schedules, functions of the step: their base, and lengths of parts of a run."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import BeforeValidator, model_validator

from dlc.components.schedules import SCHEDULES
from dlc.language.options import OptionError, Options, build_word, option, reject, spell
from dlc.support.lazy import jnp, optax

if TYPE_CHECKING:
    from jax import Array

Rate = Callable[[Any], Any]  # step -> learning rate


class Horizon(NamedTuple):
    """The length of a run in steps."""

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
        raise reject(OptionError((), "DLC104", "not a valid length", found=spell(value), expected=expected))
    return Length(float(match.group(1)), unit)


RunLength = Annotated[Length, BeforeValidator(_length)]


class Run(NamedTuple):
    """The length of a run as known from its spec: in epochs, and the steps of an epoch, if known."""

    epochs: float
    steps_per_epoch: float | None = None

    def position(self, length: Length) -> float | None:
        """Where a length ends, in epochs; None if it is in steps and the steps of an epoch are not known."""
        if length.unit == "steps" and length.amount:
            return length.amount / self.steps_per_epoch if self.steps_per_epoch else None
        return length.amount * self.epochs / 100 if length.unit == "%" else length.amount


WHOLE = Length(100, "%")


class Schedule(Options):
    """A learning rate that changes with the step.

    It may start with a warm-up, in which the rate rises linearly from `warmup_from` to the schedule's initial rate.
    A `length` and `boundaries` count from the start of the run, a period (`every`, `period`) from the end of the
    warm-up.
    """

    plateau: ClassVar[bool] = False  # whether the training loop scales it by a validated metric

    warmup: RunLength = option(Length(0, "steps"), description="linear warm-up: steps, `2 epochs` or `10%`")
    warmup_from: float = option(0.0, ge=0, description="the rate at the start of the warm-up")

    @model_validator(mode="after")
    def _check(self) -> Schedule:
        errors = list(self.wrong())
        if not errors and self.warmup.amount:
            errors = list(self._warmup_errors())
        elif not errors and self.warmup_from:
            message, because = "`warmup_from` has no effect without `warmup`", ("warmup",)
            errors = [OptionError(("warmup_from",), "DLC303", message, because=because)]
        if errors:
            raise reject(*errors)
        return self

    def _warmup_errors(self) -> Iterator[OptionError]:
        until, first, start = self.until(), self.first(), self.warmup_from
        if self.warmup.unit == until.unit and self.warmup.amount >= until.amount:
            found, expected = f"a warm-up of {self.warmup}", f"less than {until}"
            yield OptionError(("warmup",), "DLC303", _TOO_WARM, found, expected)
        if start >= first:
            code = "DLC303" if start == first else "DLC104"
            found, expected = f"`warmup_from` {start:g}, an initial rate of {first:g}", "less than the initial rate"
            yield OptionError(("warmup_from",), code, "the rate must rise during the warm-up", found, expected)

    def wrong(self) -> Iterator[OptionError]:
        """Errors of settings that contradict each other or have no effect."""
        yield from ()

    def late(self, run: Run) -> Iterator[OptionError]:
        """Errors of settings that have no effect in a run of this length, as far as it is known."""
        warmup, until = run.position(self.warmup), run.position(self.until())
        if warmup and warmup >= run.epochs:
            message, found = f"the warm-up of {self.warmup} is as long as the run", run_length(run)
            yield OptionError(("warmup",), "DLC303", message, found=found, hint="shorten it, as in `warmup: 10%`")
        elif warmup and until is not None and warmup >= until:
            found, expected = f"a warm-up of {self.warmup}", f"less than {self.until()}"
            yield OptionError(("warmup",), "DLC303", _TOO_WARM, found, expected, "shorten it, as in `warmup: 10%`")

    def unfinished(self, run: Run) -> Iterator[OptionError]:
        """The error of a length that ends before the run, if the rate is 0 from then on.

        A length in steps may be a little shorter than the run. One that is longer is none: short trials of a spec, and
        runs that are to be extended, need it.
        """
        until = self.until()
        end = run.position(until)
        if end is None or next(self.late(run), None) is not None:
            return
        slack = 1e-6 + (1 / run.steps_per_epoch if run.steps_per_epoch else 0.0)
        early = slack + (0.05 * run.epochs if until.unit == "steps" else 0.0)
        hint = "remove `length`, so that the schedule ends with the run"
        if end < run.epochs - early and self.stops():
            message, found = f"the schedule ends after {until}, and the run continues with a rate of 0", run_length(run)
            yield OptionError(("length",), "DLC321", message, found, hint=hint)

    def stops(self) -> bool:
        """Whether nothing is left of the rate at the end of its length."""
        return False

    def first(self) -> float:
        """The rate after the warm-up."""
        raise NotImplementedError

    def monitored(self) -> str | None:
        """The SPLIT/METRIC that it monitors, if one is named."""
        return None

    def until(self) -> Length:
        """Its length, including the warm-up."""
        return WHOLE

    def follows_length(self) -> bool:
        """Whether the rate of a step depends on the length of the run: one of its lengths is a share of the run."""
        values = [getattr(self, name) for name in type(self).model_fields]
        lengths = [item for value in values for item in (value if type(value) is tuple else (value,))]
        return any(isinstance(item, Length) and item.unit == "%" for item in lengths)

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """The rate at a step that counts from the end of a warm-up of `warmup` steps."""
        raise NotImplementedError

    def build(self, horizon: Horizon) -> Rate:
        """The rate at a step, for a run of this length, which may be shorter than the warm-up."""
        run = Run(horizon.steps / horizon.steps_per_epoch, horizon.steps_per_epoch)
        warmup = self.warmup.in_steps(horizon)
        if warmup and (run.position(self.warmup) or 0.0) >= run.epochs:
            rising: Rate = optax.linear_schedule(self.warmup_from, self.first(), warmup)
            return rising
        if warmup:  # it is shorter than the run, but in a run of a few steps both may round up to the same length
            warmup = min(warmup, max(self.until().in_steps(horizon) - 1, 0))
        rate = self.after_warmup(horizon, warmup)
        if not warmup:
            return rate
        rise = optax.linear_schedule(self.warmup_from, self.first(), warmup)
        whole: Rate = optax.join_schedules([rise, rate], [warmup])
        return whole


_TOO_WARM = "the warm-up leaves no time for the schedule"


def run_length(run: Run) -> str:
    """A run's length in messages."""
    steps = f", {run.epochs * run.steps_per_epoch:.0f} steps" if run.steps_per_epoch else ""
    return f"{run.epochs:.3g} epoch{'' if run.epochs == 1 else 's'} in all{steps}"


def need_length(name: str, length: Length) -> Iterator[OptionError]:
    """The error of a length of 0."""
    if not length.amount:
        message = f"`{name}` must be above 0"
        yield OptionError((name,), "DLC104", message, spell(str(length)))


def _rate(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not 0 < value < 1e300:  # also excludes infinity, and integers beyond float
            raise reject(
                OptionError(
                    (), "DLC104", "a learning rate must be positive", found=spell(value), expected="a number above 0"
                )
            )
        return float(value)
    if isinstance(value, dict) or (isinstance(value, str) and value.isidentifier()):
        made = build_word(value, SCHEDULES, "schedule")
        if isinstance(made, list):
            raise reject(*made)
        return made
    raise reject(
        OptionError(
            (), "DLC103", "a learning rate must be a number or a schedule", found=spell(value), expected="a number"
        )
    )


LearningRate = Annotated[float | Schedule, BeforeValidator(_rate)]
"""An option that holds a rate: a number or a schedule."""


def rate_of(value: float | Schedule, horizon: Horizon) -> Rate | float:
    """The learning rate for optax: a number, or a function of the step."""
    return value.build(horizon) if isinstance(value, Schedule) else value


def rate_at(value: float | Schedule, horizon: Horizon, step: int) -> float:
    """The learning rate of a step, as a number to print."""
    if isinstance(value, Schedule):
        rate: Array | float = value.build(horizon)(jnp.asarray(step))
        return float(rate)
    return value
