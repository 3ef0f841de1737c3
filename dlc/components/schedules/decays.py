"""Constant and decaying schedules: linear, polynomial, exponential, cosine, inverse square root."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.components.schedules.schedule import (
    WHOLE,
    Horizon,
    Length,
    Rate,
    Run,
    RunLength,
    Schedule,
    need_length,
    run_length,
)
from dlc.language.options import OptionError, main, option
from dlc.support.lazy import jnp, optax


class Constant(Schedule):
    """The same rate at every step."""

    word = "constant"
    value: float = main(gt=0, description="the rate")
    examples = ("constant: 0.1", "constant: {value: 0.1, warmup: 500}")

    def first(self) -> float:
        """The value."""
        return self.value

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """`optax.constant_schedule`."""
        rate: Rate = optax.constant_schedule(self.value)
        return rate


class Linear(Schedule):
    """A straight line from `value` to `end` over `length`; then the rate stays at `end`.

    `end` may lie above `value`: a rising rate shows which rates a network tolerates.
    """

    word = "linear"
    value: float = main(gt=0, description="the initial rate, after the warm-up")
    end: float = option(0.0, ge=0, description="the final rate")
    length: RunLength = option(WHOLE, description="length including the warm-up: steps, `20 epochs` or `100%`")
    examples = ("linear: 0.1", "linear: {value: 1e-3, end: 1e-5, warmup: 10%}")

    def wrong(self) -> Iterator[OptionError]:
        """A constant line, or a length of 0."""
        yield from level(self.value, self.end)
        yield from need_length("length", self.length)

    def first(self) -> float:
        """The value."""
        return self.value

    def until(self) -> Length:
        """The length."""
        return self.length

    def stops(self) -> bool:
        """With an `end` of 0."""
        return self.end == 0

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """`optax.linear_schedule`."""
        steps = self.length.in_steps(horizon) - warmup
        rate: Rate = optax.linear_schedule(self.value, self.end, steps)
        return rate


class Polynomial(Schedule):
    """end + (value - end) * (1 - t / T)^power over `length`; then the rate stays at `end`."""

    word = "polynomial"
    value: float = main(gt=0, description="the initial rate, after the warm-up")
    end: float = option(0.0, ge=0, description="the final rate")
    power: float = option(2.0, gt=0, description="above 1 the rate falls fastest at the start")
    length: RunLength = option(WHOLE, description="length including the warm-up: steps, `20 epochs` or `100%`")
    examples = ("polynomial: 0.1", "polynomial: {value: 0.01, end: 1e-4, power: 0.9, length: 50 epochs}")

    def wrong(self) -> Iterator[OptionError]:
        """A constant curve or a line, or a length of 0."""
        yield from level(self.value, self.end)
        yield from need_length("length", self.length)
        if self.power == 1:
            yield OptionError(("power",), "DLC303", "a power of 1 is a straight line", hint="write `linear`")

    def first(self) -> float:
        """The value."""
        return self.value

    def until(self) -> Length:
        """The length."""
        return self.length

    def stops(self) -> bool:
        """With an `end` of 0."""
        return self.end == 0

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """`optax.polynomial_schedule`."""
        steps = self.length.in_steps(horizon) - warmup
        rate: Rate = optax.polynomial_schedule(self.value, self.end, self.power, steps)
        return rate


class Exponential(Schedule):
    """value * factor^(t / every), t being steps after the warm-up; `staircase` rounds t / every down.

    With `end` the rate stays there after reaching it.
    """

    word = "exponential"
    static = frozenset({"factor", "end"})  # whether the rate falls decides how it is computed
    value: float = main(gt=0, description="the initial rate, after the warm-up")
    factor: float = option(gt=0, description="factor of the rate after each `every`")
    every: RunLength = option(description="the time that one factor takes: steps, `1 epochs` or `10%`")
    staircase: bool = option(False, description="change only after each `every`")
    end: float = option(0.0, ge=0, description="the lower bound of the rate; 0 for none")
    examples = (
        "exponential: {value: 0.1, factor: 0.5, every: 10 epochs}",
        "exponential: {value: 1e-3, factor: 0.97, every: 100, staircase: true, end: 1e-5}",
    )

    def wrong(self) -> Iterator[OptionError]:
        """A factor of 1, or an end that is never reached."""
        yield from factor_errors(self.value, self.factor, self.end)
        yield from need_length("every", self.every)

    def late(self, run: Run) -> Iterator[OptionError]:
        """Stairs longer than the run."""
        yield from super().late(run)
        if self.staircase:
            yield from period_errors(self, "every", self.every, run)

    def first(self) -> float:
        """The value."""
        return self.value

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """`optax.exponential_decay`."""
        steps, end = self.every.in_steps(horizon), self.end or None
        rate: Rate = optax.exponential_decay(self.value, steps, self.factor, staircase=self.staircase, end_value=end)
        return rate


class Cosine(Schedule):
    """Half a cosine from `peak` to `end` over the run: end + (peak - end) * (1 + cos(pi * t / T)) / 2.

    After `length` the rate stays at `end` (Loshchilov and Hutter 2016, arXiv:1608.03983).
    """

    word = "cosine"
    peak: float = main(gt=0, description="the highest rate, reached after the warm-up")
    end: float = option(0.0, ge=0, description="the final rate")
    length: RunLength = option(WHOLE, description="length including the warm-up: steps, `20 epochs` or `100%`")
    examples = ("cosine: 1e-3", "cosine: {peak: 1e-3, end: 1e-5, warmup: 10%}", "cosine: {peak: 0.1, warmup: 2 epochs}")

    def wrong(self) -> Iterator[OptionError]:
        """A rising curve, or a length of 0."""
        yield from must_fall(self.peak, self.end)
        yield from need_length("length", self.length)

    def first(self) -> float:
        """The peak."""
        return self.peak

    def until(self) -> Length:
        """The length."""
        return self.length

    def stops(self) -> bool:
        """With an `end` of 0."""
        return self.end == 0

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """`optax.cosine_decay_schedule`; with a warm-up, `optax.warmup_cosine_decay_schedule`."""
        decay: Rate = optax.cosine_decay_schedule(
            self.peak, self.length.in_steps(horizon) - warmup, self.end / self.peak
        )
        return decay


class InverseSqrt(Schedule):
    """value * sqrt(k / (k + t)), t being steps after the warm-up and k the `timescale`: by default the warm-up.

    With a warm-up of k steps this is value * min(s / k, sqrt(k / s)) at step s of the run (Vaswani et al. 2017,
    arXiv:1706.03762). It has no end, so a run can be extended.
    """

    word = "inverse_sqrt"
    value: float = main(gt=0, description="the initial rate, after the warm-up")
    timescale: RunLength | None = option(None, description="k; default: the length of the warm-up")
    examples = ("inverse_sqrt: {value: 1e-3, warmup: 400}", "inverse_sqrt: {value: 1e-3, timescale: 2 epochs}")

    def wrong(self) -> Iterator[OptionError]:
        """No timescale."""
        if self.timescale is not None:
            yield from need_length("timescale", self.timescale)
        elif not self.warmup.amount:
            hint = "as in `inverse_sqrt: {value: 1e-3, warmup: 400}`"
            yield OptionError((), "DLC102", "`inverse_sqrt` needs `warmup` or `timescale`", hint=hint, at_key=True)

    def first(self) -> float:
        """The value."""
        return self.value

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """The formula."""
        k = max((self.timescale or self.warmup).in_steps(horizon), 1)
        return lambda step: self.value * jnp.sqrt(k / (k + step))


def level(value: float, end: float) -> Iterator[OptionError]:
    """The error of a schedule that ends at its initial rate."""
    if value == end:
        hint = f"write `constant: {value:g}`"
        yield OptionError(
            ("end",), "DLC303", "the rate never changes: `end` is the initial rate", f"`{end:g}`", hint=hint
        )


def must_fall(peak: float, end: float) -> Iterator[OptionError]:
    """The error of a schedule that ends at its peak or above it."""
    yield from level(peak, end)
    if end > peak:
        found, expected = f"`end` {end:g}, `peak` {peak:g}", "a number below `peak`"
        yield OptionError(("end",), "DLC104", "the rate must fall, but `end` is not below `peak`", found, expected)


def factor_errors(value: float, factor: float, end: float) -> Iterator[OptionError]:
    """Errors of a repeated factor: one that changes nothing, or moves away from `end`."""
    if factor == 1:
        hint = f"write `constant: {value:g}`"
        yield OptionError(("factor",), "DLC303", "a factor of 1 has no effect", hint=hint)
    elif end and (end - value) * (factor - 1) <= 0:
        side, moves = ("below", "falls") if factor < 1 else ("above", "rises")
        message = f"the rate {moves}, so `end` must be {side} the initial rate"
        yield OptionError(("end",), "DLC104", message, f"`{end:g}`", f"a number {side} {value:g}")


def period_errors(schedule: Schedule, name: str, period: Length, run: Run) -> Iterator[OptionError]:
    """The error of a period that is as long as the run."""
    position, warmup = run.position(period), run.position(schedule.warmup)
    if position is not None and warmup is not None and position + warmup >= run.epochs > warmup:
        after = f", after a warm-up of {schedule.warmup}" if warmup else ""
        message = f"`{name}` is as long as the run: the rate never changes"
        hint = f"shorten it, or write `constant: {schedule.first():g}`"
        yield OptionError((name,), "DLC303", message, f"{period}{after}", f"less than {run_length(run)}", hint)
