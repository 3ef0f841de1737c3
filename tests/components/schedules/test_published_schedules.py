"""Schedules against their formulas in float64 and against PyTorch, over the fifty steps of a run."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlc.components.schedules import SCHEDULES
from dlc.components.schedules.schedule import Horizon, Schedule
from tests.components.building import built

RUN = Horizon(50, 5.0)


def rates(spec: str) -> np.ndarray:
    """The rates of all steps, computed as in a training step: in float32, from an integer."""
    made = built(spec, "schedule")
    assert isinstance(made, Schedule), made
    return np.float64(jax.vmap(lambda step: jnp.asarray(made.build(RUN)(step), jnp.float32))(jnp.arange(50)))


def warmed(warmup: int, first: float, rest: Callable[[int], float], start: float = 0.0) -> Callable[[int], float]:
    """A linear rise, then a schedule that counts from its end."""
    return lambda t: start + (first - start) * t / warmup if t < warmup else rest(t - warmup)


def half_cosine(one: float, other: float, share: float) -> float:
    return other + (one - other) * (1 + math.cos(math.pi * share)) / 2


def restarts(t: int, period: int, growth: int, factor: float, end: float) -> float:
    """Loshchilov and Hutter 2016, equation 5."""
    peak = 0.1
    while t >= period:
        t, period, peak = t - period, period * growth, max(peak * factor, end)
    return half_cosine(peak, end, t / period)


def one_cycle(t: int, linear: bool) -> float:
    """Smith and Topin 2017, with its phases at 30% and 85% of the run."""
    first, last = 0.1 / 25, 0.1 / 25 / 1e4
    if not linear:
        return half_cosine(first, 0.1, t / 15) if t < 15 else half_cosine(0.1, last, (t - 15) / 35)
    return float(np.interp(t, [0, 15, 42, 50], [first, 0.1, first, last]))


FORMULAS: dict[str, Callable[[int], float]] = {
    "constant: 0.1": lambda t: 0.1,
    "constant: {value: 0.1, warmup: 20%}": warmed(10, 0.1, lambda t: 0.1),
    "linear: {value: 0.1, end: 0.01, length: 40}": lambda t: 0.1 - 0.09 * min(t, 40) / 40,
    "linear: {value: 0.1, warmup: 2 epochs, warmup_from: 0.02}": warmed(10, 0.1, lambda t: 0.1 * (1 - t / 40), 0.02),
    "polynomial: {value: 0.1, end: 0.01, power: 3}": lambda t: 0.01 + 0.09 * (1 - t / 50) ** 3,
    "exponential: {value: 0.1, factor: 0.5, every: 2 epochs}": lambda t: 0.1 * 0.5 ** (t / 10),
    "exponential: {value: 0.1, factor: 0.5, every: 2 epochs, staircase: true, end: 0.01}": (
        lambda t: max(0.01, 0.1 * 0.5 ** (t // 10))
    ),
    "step: {value: 0.1, every: 3 epochs, factor: 0.2}": lambda t: 0.1 * 0.2 ** (t // 15),
    "piecewise: {value: 0.1, boundaries: [20%, 6 epochs], factors: [0.5, 0.1]}": (
        lambda t: 0.1 * (1 if t < 10 else 0.5 if t < 30 else 0.05)
    ),
    "piecewise: {values: [0.1, 0.3, 0.001], boundaries: [10, 30]}": lambda t: (
        0.1 if t < 10 else 0.3 if t < 30 else 1e-3
    ),
    "cosine: {peak: 0.1, end: 0.001}": lambda t: half_cosine(0.1, 0.001, t / 50),
    "cosine: {peak: 0.1, warmup: 10}": warmed(10, 0.1, lambda t: half_cosine(0.1, 0, t / 40)),
    "cosine_restarts: {peak: 0.1, period: 12, end: 0.001}": lambda t: restarts(t, 12, 1, 1, 0.001),
    "cosine_restarts: {peak: 0.1, period: 12, factor: 0.5, end: 0.001}": lambda t: restarts(t, 12, 1, 0.5, 0.001),
    "cosine_restarts: {peak: 0.1, period: 7, growth: 2, factor: 0.5}": lambda t: restarts(t, 7, 2, 0.5, 0),
    "one_cycle: 0.1": lambda t: one_cycle(t, False),
    "one_cycle: {peak: 0.1, anneal: linear}": lambda t: one_cycle(t, True),
    "inverse_sqrt: {value: 0.1, warmup: 10}": lambda t: 0.1 * min(t / 10, math.sqrt(10 / max(t, 1))),
    "inverse_sqrt: {value: 0.1, timescale: 5}": lambda t: 0.1 * math.sqrt(5 / (5 + t)),
    "reduce_on_plateau: {value: 0.1, warmup: 10}": warmed(10, 0.1, lambda t: 0.1),
}
"""The rate at each step. What `reduce_on_plateau` multiplies it by is compared with Keras in `test_schedules.py`."""


def test_every_schedule_is_compared() -> None:
    assert {spec.split(":")[0] for spec in FORMULAS} == set(SCHEDULES)


@pytest.mark.few()
@pytest.mark.parametrize("spec", FORMULAS)
def test_a_schedule_follows_its_formula(spec: str) -> None:
    """Within 2e-6, and 1e-7 of the highest rate where it is a difference of larger numbers."""
    want = np.array([FORMULAS[spec](t) for t in range(50)])
    np.testing.assert_allclose(rates(spec), want, rtol=2e-6, atol=1e-7 * want.max())


SHOWN = (0, 1, 9, 14, 28, 40, 49)
TORCH: dict[str, tuple[float, ...]] = {
    "linear: {value: 0.1, end: 0.01}": (0.1, 0.0982, 0.0838, 0.0748, 0.0496, 0.028, 0.0118),
    "polynomial: {value: 0.1, power: 0.9}": (
        0.1,
        0.09819818666,
        0.08364355198,
        0.07440450758,
        0.04776473898,
        0.02349237886,
        0.002957515273,
    ),
    "exponential: {value: 0.1, factor: 0.95, every: 1}": (
        0.1,
        0.095,
        0.06302494097,
        0.04876749791,
        0.02378268853,
        0.01285121566,
        0.008099471082,
    ),
    "step: {value: 0.1, every: 15, factor: 0.5}": (0.1, 0.1, 0.1, 0.1, 0.05, 0.025, 0.0125),
    "piecewise: {value: 0.1, boundaries: [10, 30], factors: [0.1, 0.1]}": (0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001),
    "cosine: {peak: 0.1, end: 0.001}": (
        0.1,
        0.09990232306,
        0.09229423231,
        0.08205248749,
        0.04122462493,
        0.01045365878,
        0.001097676943,
    ),
    "cosine_restarts: {peak: 0.1, period: 12, end: 0.001}": (
        0.1,
        0.0983133284,
        0.01549821433,
        0.09336825749,
        0.07525,
        0.07525,
        0.0983133284,
    ),
    "cosine_restarts: {peak: 0.1, period: 7, growth: 2, end: 0.001}": (
        0.1,
        0.09509795896,
        0.09509795896,
        0.0505,
        0.08550178567,
        0.02416441221,
        0.1,
    ),
    "one_cycle: {peak: 0.1, reach_end: true}": (
        0.004,
        0.005203460215,
        0.07282641948,
        0.1,
        0.06545098792,
        0.01544720576,
        4e-07,
    ),
    "one_cycle: {peak: 0.1, pct_start: 0.25, div_factor: 10, final_div_factor: 100, reach_end: true}": (
        0.01,
        0.01166872207,
        0.08990700808,
        0.09890847266,
        0.05940969666,
        0.01363801706,
        0.0001,
    ),
    "one_cycle: {peak: 0.1, anneal: linear, pct_start: 0.3, pct_final: 0.58, reach_end: true}": (
        0.004,
        0.01085714286,
        0.06571428571,
        0.1,
        0.004,
        0.001714514286,
        4e-07,
    ),
    "constant: {value: 0.1, warmup: 20, warmup_from: 0.01}": (0.01, 0.0145, 0.0505, 0.073, 0.1, 0.1, 0.1),
}
"""The rates at the steps `SHOWN` of PyTorch: `LinearLR`, `PolynomialLR`, `ExponentialLR`, `StepLR`, `MultiStepLR`,
`CosineAnnealingLR`, `CosineAnnealingWarmRestarts`, `OneCycleLR` (with three phases: `anneal: linear`).
`python -m benchmarks.pytorch_references` computes them."""


@pytest.mark.parametrize("spec", TORCH)
def test_a_schedule_is_that_of_pytorch(spec: str) -> None:
    np.testing.assert_allclose(rates(spec)[list(SHOWN)], TORCH[spec], rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("anneal", ["cosine", "linear"])
def test_one_cycle_that_reaches_its_end_in_runs_of_a_few_steps(anneal: str, steps: int) -> None:
    made = built(f"one_cycle: {{peak: 0.1, anneal: {anneal}, reach_end: true}}", "schedule")
    found = np.array([float(made.build(Horizon(steps, 1.0))(step)) for step in range(steps + 2)])
    assert np.isfinite(found).all() and found.min() > 0 and found.max() < 0.1000001
    assert found[steps:] == pytest.approx(0.1 / 25e4)
    assert steps == 1 or found[steps - 1] == pytest.approx(0.1 / 25e4)
