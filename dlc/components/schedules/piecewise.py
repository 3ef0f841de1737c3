"""Schedules that change in jumps: step, piecewise."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from dlc.components.schedules.decays import factor_errors, period_errors
from dlc.components.schedules.schedule import Horizon, Rate, Run, RunLength, Schedule, need_length, run_length
from dlc.language.options import OptionError, main, option
from dlc.support.lazy import optax


class Step(Schedule):
    """value * factor^n after n periods of `every`; with `end` the rate stays there after reaching it."""

    word = "step"
    static = frozenset({"factor", "end"})  # whether the rate falls decides how it is computed
    value: float = main(gt=0, description="the initial rate, after the warm-up")
    every: RunLength = option(description="time between two changes: steps, `30 epochs` or `30%`")
    factor: float = option(0.1, gt=0, description="factor of the rate at each change")
    end: float = option(0.0, ge=0, description="the lower bound of the rate; 0 for none")
    examples = ("step: {value: 0.1, every: 30 epochs}", "step: {value: 0.1, every: 25%, factor: 0.5}")

    def wrong(self) -> Iterator[OptionError]:
        """A factor of 1, or an end that is never reached."""
        yield from factor_errors(self.value, self.factor, self.end)
        yield from need_length("every", self.every)

    def late(self, run: Run) -> Iterator[OptionError]:
        """A period that is as long as the run."""
        yield from super().late(run)
        yield from period_errors(self, "every", self.every, run)

    def first(self) -> float:
        """The value."""
        return self.value

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """`optax.exponential_decay` with `staircase`."""
        steps, end = self.every.in_steps(horizon), self.end or None
        rate: Rate = optax.exponential_decay(self.value, steps, self.factor, staircase=True, end_value=end)
        return rate


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Boundaries = Annotated[tuple[RunLength, ...], BeforeValidator(_listed), Field(min_length=1)]
Rates = Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_listed), Field(min_length=1)]


class Piecewise(Schedule):
    """A rate for each part of the run: one of `values`, or `value` times the `factors` of all passed boundaries.

    Boundaries count from the start of the run, including a warm-up.
    """

    word = "piecewise"
    value: float | None = main(None, gt=0, description="the initial rate, with `factors`")
    boundaries: Boundaries = option(description="where the rate changes: steps, `30 epochs` or `50%`")
    factors: Rates | None = option(None, description="factors of the rate, one for each boundary")
    values: Rates | None = option(None, description="the rates, one more than the boundaries")
    examples = (
        "piecewise: {value: 0.1, boundaries: [30 epochs, 60 epochs], factors: [0.1, 0.1]}",
        "piecewise: {values: [0.1, 0.02, 0.001], boundaries: [50%, 75%]}",
    )

    def wrong(self) -> Iterator[OptionError]:
        """Lists of inconsistent lengths, boundaries that don't increase, boundaries without a change."""
        yield from self._consistent()
        for index, (one, two) in enumerate(pairwise(self.boundaries)):
            if one.unit == two.unit and one.amount >= two.amount:
                yield OptionError(("boundaries", index + 1), "DLC104", "boundaries must increase", f"{two} after {one}")
        for index, length in enumerate(self.boundaries):
            if not length.amount or (length.unit == self.warmup.unit and length.amount <= self.warmup.amount):
                message = "this boundary lies before the end of the warm-up"
                message = message if self.warmup.amount else "this boundary is the start of the run"
                found, expected = str(length), f"more than {self.warmup}"
                yield OptionError(("boundaries", index), "DLC303", message, found, expected)

    def _consistent(self) -> Iterator[OptionError]:
        count = len(self.boundaries)
        if self.values is not None:
            for name, given in (("value", self.value), ("factors", self.factors)):
                if given is not None:
                    hint = "set either `value` and `factors`, or `values`"
                    yield OptionError(
                        (name,), "DLC303", f"`{name}` has no effect with `values`", hint=hint, at_key=True
                    )
            if len(self.values) != count + 1:
                expected = f"{count + 1}, one more than the boundaries"
                yield OptionError(("values",), "DLC104", "wrong number of values", f"{len(self.values)}", expected)
            for index, (one, two) in enumerate(pairwise(self.values)):
                if one == two:
                    message = "the rate does not change at this boundary"
                    yield OptionError(("values", index + 1), "DLC303", message, f"`{two:g}` after `{one:g}`")
            return
        missing = [name for name in ("value", "factors") if getattr(self, name) is None]
        if missing:
            hint = "or set `values`, one more than the boundaries"
            yield OptionError((), "DLC102", f"`piecewise` needs `{missing[0]}`", hint=hint, at_key=True)
        for index, factor in enumerate(self.factors or ()):
            if factor == 1:
                yield OptionError(("factors", index), "DLC303", "a factor of 1 has no effect")
        if self.factors is not None and len(self.factors) != count:
            found, expected = f"{len(self.factors)}", f"{count}, one for each boundary"
            yield OptionError(("factors",), "DLC104", "wrong number of factors", found, expected)

    def late(self, run: Run) -> Iterator[OptionError]:
        """Boundaries within the warm-up or beyond the end."""
        yield from super().late(run)
        warmup = run.position(self.warmup)
        positions = [run.position(length) for length in self.boundaries]
        for index, (length, position) in enumerate(zip(self.boundaries, positions, strict=True)):
            if position is not None and position >= run.epochs:
                message = "this boundary lies beyond the end of the run"
                yield OptionError(
                    ("boundaries", index), "DLC303", message, str(length), f"before the end: {run_length(run)}"
                )
            if position is not None and warmup and position <= warmup < run.epochs and length.unit != self.warmup.unit:
                message = "this boundary lies before the end of the warm-up"
                yield OptionError(("boundaries", index), "DLC303", message, str(length), f"more than {self.warmup}")
            before = positions[index - 1] if index else None
            mixed = index and length.unit != self.boundaries[index - 1].unit
            if mixed and position is not None and before is not None and before >= position:
                found = f"{length} after {self.boundaries[index - 1]}"
                yield OptionError(("boundaries", index), "DLC104", "boundaries must increase", found)

    def first(self) -> float:
        """The initial rate."""
        first = self.values[0] if self.values is not None else self.value
        assert first is not None
        return first

    def after_warmup(self, horizon: Horizon, warmup: int) -> Rate:
        """`optax.piecewise_constant_schedule` with factors, joined constants with values."""
        bounds = [max(length.in_steps(horizon) - warmup, 0) for length in self.boundaries]
        if self.values is not None:
            parts = [optax.constant_schedule(value) for value in self.values]
            whole: Rate = optax.join_schedules(parts, bounds)
            return whole
        assert self.factors is not None
        scales: dict[int, float] = {}
        for bound, factor in zip(bounds, self.factors, strict=True):
            scales[bound] = scales.get(bound, 1.0) * factor  # in a run of a few steps boundaries may coincide
        rate: Rate = optax.piecewise_constant_schedule(self.first(), scales)
        return rate
