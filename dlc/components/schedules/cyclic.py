"""Cyclic schedules: cosine_restarts, one_cycle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

from dlc.components.schedules.decays import must_fall
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

_PCT_FINAL = 0.85


class CosineRestarts(Schedule):
    """Half cosines from `peak` to `end`, one after another (SGDR: Loshchilov and Hutter 2016, arXiv:1608.03983).

    The first takes `period`; each further one is `growth` times as long, with `factor` times the peak.
    """

    word = "cosine_restarts"
    static = frozenset({"peak", "factor", "growth", "end"})  # the cycles are made of them
    peak: float = main(gt=0, description="the highest rate of the first cycle")
    period: RunLength = option(description="length of the first cycle: steps, `10 epochs` or `10%`")
    growth: int = option(1, ge=1, description="how many times as long each further cycle is")
    factor: float = option(1.0, gt=0, le=1, description="factor of the peak from one cycle to the next")
    end: float = option(0.0, ge=0, description="the final rate of a cycle")
    examples = (
        "cosine_restarts: {peak: 0.1, period: 10 epochs}",
        "cosine_restarts: {peak: 0.1, period: 5%, growth: 2, warmup: 100}",
    )

    def wrong(self) -> Iterator[OptionError]:
        """Cycles that rise, or have length 0."""
        yield from must_fall(self.peak, self.end)
        yield from need_length("period", self.period)

    def late(self, run: Run) -> Iterator[OptionError]:
        """A run that ends before the first restart."""
        yield from super().late(run)
        position, warmup = run.position(self.period), run.position(self.warmup)
        if position is not None and warmup is not None and position + warmup >= run.epochs > warmup:
            message, hint = "the run ends before the first restart", "shorten `period`, or write `cosine`"
            yield OptionError(("period",), "DLC303", message, str(self.period), f"less than {run_length(run)}", hint)

    def first(self) -> float:
        """The peak."""
        return self.peak

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """`optax.sgdr_schedule`; with cycles of one length a single cosine of the step within its cycle."""
        period = self.period.in_steps(horizon)
        if self.growth == 1 and self.factor == 1:
            cycle = optax.cosine_decay_schedule(self.peak, period, self.end / self.peak)
            return lambda step: cycle(step % period)
        if self.growth == 1:
            peaks = optax.exponential_decay(self.peak, period, self.factor, staircase=True, end_value=self.end or None)
            wave = optax.cosine_decay_schedule(1.0, period)
            return lambda step: self.end + (peaks(step) - self.end) * wave(step % period)
        cycles: list[dict[str, float]] = []
        start = 0
        while start < horizon.steps:
            peak = max(self.peak * self.factor ** len(cycles), self.end)
            steps = period * self.growth ** len(cycles)
            cycles.append(
                {"init_value": peak, "peak_value": peak, "warmup_steps": 0, "decay_steps": steps, "end_value": self.end}
            )
            start += steps
        rate: Rate = optax.sgdr_schedule(cycles)
        return rate


class OneCycle(Schedule):
    """A rise to `peak` and a fall below the initial rate (Smith and Topin 2017, arXiv:1708.07120).

    From peak / div_factor to the peak over a share `pct_start` of `length`. `cosine`: then down to peak / (div_factor
    * final_div_factor), both along half cosines. `linear`: back to the initial rate at `pct_final`, then down to
    the final rate.

    As in optax, and as other schedules do, it reaches the final rate at the end of `length`: after the last step.
    With `reach_end: true` the last step has the final rate, and the peak comes one step earlier, as PyTorch's
    `OneCycleLR` does.
    """

    word = "one_cycle"
    static = frozenset({"peak", "pct_start", "pct_final", "div_factor", "final_div_factor"})
    peak: float = main(gt=0, description="the highest rate")
    length: RunLength = option(WHOLE, description="length including the warm-up: steps, `20 epochs` or `100%`")
    anneal: Literal["cosine", "linear"] = option("cosine", description="half cosines, or straight lines")
    pct_start: float = option(0.3, gt=0, lt=1, description="the share of the length in which the rate rises")
    pct_final: float = option(
        _PCT_FINAL, gt=0, lt=1, description="the share after which the initial rate is reached again, with `linear`"
    )
    div_factor: float = option(25.0, gt=1, description="the peak divided by the initial rate")
    final_div_factor: float = option(1e4, ge=1, description="the initial rate divided by the final rate")
    reach_end: bool = option(False, description="reach the final rate in the last step, not after it, as in PyTorch")
    examples = (
        "one_cycle: 0.1",
        "one_cycle: {peak: 0.1, reach_end: true}",
        "one_cycle: {peak: 0.1, anneal: linear, pct_start: 0.45, pct_final: 0.9}",
    )

    def wrong(self) -> Iterator[OptionError]:
        """Phases in the wrong order, or an option of the other `anneal`."""
        yield from need_length("length", self.length)
        if self.anneal == "cosine" and self.pct_final != _PCT_FINAL:
            hint = "write `anneal: linear`, or remove it"
            yield OptionError(("pct_final",), "DLC303", "`pct_final` has no effect with `anneal: cosine`", hint=hint)
        elif self.anneal == "linear" and self.pct_final <= self.pct_start:
            found, expected = f"`{self.pct_final:g}`", f"above `pct_start`, {self.pct_start:g}"
            yield OptionError(("pct_final",), "DLC104", "the rate must rise before it falls", found, expected)

    def first(self) -> float:
        """The initial rate, from which it rises."""
        return self.peak / self.div_factor

    def until(self) -> Length:
        """The length."""
        return self.length

    def stops(self) -> bool:
        """Always: the final rate is a small part of the initial one."""
        return True

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """`optax.cosine_onecycle_schedule` or `optax.linear_onecycle_schedule`, whose phases take at least one step.

        With `reach_end` those of PyTorch, whose positions may be fractions.
        """
        steps = self.length.in_steps(horizon) - warmup
        if self.reach_end:
            last, top, back = steps - 1, self.pct_start * steps - 1, self.pct_final * steps - 1
            final = self.first() / self.final_div_factor
            middle = [] if self.anneal == "cosine" else [(back, self.first())]
            return through([(0, self.first()), (top, self.peak), *middle, (last, final)], self.anneal)
        top = int(self.pct_start * steps)
        if self.anneal == "cosine":
            scales = {top: self.div_factor, max(steps, top + 1): 1 / (self.div_factor * self.final_div_factor)}
        else:
            back = max(int(self.pct_final * steps), top + 1)
            scales = {top: self.div_factor, back: 1 / self.div_factor, max(steps, back + 1): 1 / self.final_div_factor}
        rate: Rate = optax.piecewise_interpolate_schedule(self.anneal, self.first(), scales)
        return rate


def through(points: Sequence[tuple[float, float]], anneal: Literal["cosine", "linear"]) -> Rate:
    """The rate that goes through points (step, rate), along half cosines or straight lines; constant outside.

    A point whose step is not above that of the one before is reached at once.
    """

    def rate(step: Any) -> Any:
        found = jnp.asarray(points[0][1], jnp.float32)
        for (start, one), (end, other) in pairwise(points):
            share = jnp.clip((step - start) / max(end - start, 1e-6), 0.0, 1.0)
            part = 0.5 - 0.5 * jnp.cos(jnp.pi * share) if anneal == "cosine" else share
            found = jnp.where(step >= start, (1 - part) * one + part * other, found)
        return found

    return rate
