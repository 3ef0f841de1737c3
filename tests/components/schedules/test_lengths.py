"""Schedules against optax; their lengths in steps, epochs and shares; runs of a few steps."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlc.components.schedules.schedule import Horizon, Length, Schedule, rate_at, rate_of
from dlc.diagnostics import SpecError
from tests.components.building import HORIZON, built, option_error


def rates(spec: str, horizon: Horizon = HORIZON, steps: int = 230) -> np.ndarray:
    made = built(spec, "schedule")
    assert isinstance(made, Schedule), made
    return np.asarray(jax.vmap(lambda step: jnp.asarray(made.build(horizon)(step), jnp.float32))(jnp.arange(steps)))


def of_optax(schedule: Any, steps: int = 230) -> np.ndarray:
    return np.asarray(jax.vmap(lambda step: jnp.asarray(schedule(step), jnp.float32))(jnp.arange(steps)))


def test_schedules_against_optax() -> None:
    np.testing.assert_array_equal(rates("constant: 0.1"), of_optax(optax.constant_schedule(0.1)))
    np.testing.assert_array_equal(rates("cosine: 0.1"), of_optax(optax.cosine_decay_schedule(0.1, 200)))
    want = of_optax(optax.cosine_decay_schedule(0.1, 100, 0.01))
    np.testing.assert_array_equal(rates("cosine: {peak: 0.1, end: 0.001, length: 50%}"), want)
    want = of_optax(optax.warmup_cosine_decay_schedule(0, 0.1, 40, 200, 0.001))
    for warmup in ("40", "40 steps", "2 epochs", "20%"):
        np.testing.assert_array_equal(rates(f"cosine: {{peak: 0.1, end: 0.001, warmup: {warmup}}}"), want)
    want = of_optax(optax.warmup_cosine_decay_schedule(0, 0.1, 10, 100))
    for length in ("100", "5 epochs", "50%"):
        np.testing.assert_array_equal(rates(f"cosine: {{peak: 0.1, warmup: 0.5 epochs, length: {length}}}"), want)


def test_a_cosine_rises_falls_and_stays() -> None:
    made = rates("cosine: {peak: 0.1, end: 0.001, warmup: 10%}")
    assert made[0] == 0 and made[20] == np.float32(0.1)
    assert (np.diff(made[:21]) > 0).all() and (np.diff(made[20:200]) < 0).all()
    np.testing.assert_allclose(made[200:], 0.001, rtol=1e-5)


def test_lengths_in_steps() -> None:
    assert Length(70, "%").in_steps(Horizon(110, 11.0)) == 77  # 70 * 1.1 is 77.00000000000001 in binary
    assert [
        Length(share, "%").in_steps(Horizon(steps, 1.0)) for share in (1, 29, 70, 100) for steps in (100, 700, 1)
    ] == [
        1,
        7,
        1,
        29,
        203,
        1,
        70,
        490,
        1,
        100,
        700,
        1,
    ]
    assert Length(2, "epochs").in_steps(Horizon(1000, 22.46)) == 45
    assert Length(1.5, "epochs").in_steps(HORIZON) == 30
    assert Length(7, "steps").in_steps(HORIZON) == 7
    assert [str(Length(*parts)) for parts in ((10, "%"), (2, "epochs"), (0.5, "%"))] == ["10%", "2 epochs", "0.5%"]


def test_runs_of_a_few_steps() -> None:
    assert np.isfinite(rates("cosine: {peak: 0.1, warmup: 10%}", Horizon(1, 1.0), 3)).all()
    assert rates("cosine: {peak: 0.1, warmup: 10%}", Horizon(2, 1.0), 3)[1] == np.float32(0.1)
    made = built("cosine: {peak: 0.1, warmup: 50}", "schedule")
    with pytest.raises(SpecError) as caught:
        made.build(Horizon(50, 10.0))
    assert [item.code for item in caught.value.report.diagnostics] == ["DLC303"]


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("cosine: {peak: 0.1, warmup: 10 percent}", "DLC104"),
        ("cosine: {peak: 0.1, warmup: 101%}", "DLC104"),
        ("cosine: {peak: 0.1, warmup: -1}", "DLC104"),
        ("cosine: {peak: 0.1, warmup: true}", "DLC104"),
        ("cosine: {peak: 0.1, length: 0}", "DLC104"),
        ("cosine: {peak: 0.1, end: 0.2}", "DLC104"),
        ("cosine: {peak: 0.1, warmup: 3 epochs, length: 2 epochs}", "DLC303"),
        ("cosine", "DLC102"),
        ("constant: 0", "DLC104"),
    ],
)
def test_wrong_schedules(spec: str, code: str) -> None:
    assert option_error(spec, "schedule").code == code


def test_rates_as_numbers() -> None:
    assert rate_of(0.1, HORIZON) == 0.1 and rate_at(0.1, HORIZON, 7) == 0.1
    made = built("cosine: 0.1", "schedule")
    assert rate_at(made, HORIZON, 0) == pytest.approx(0.1) and rate_at(made, HORIZON, 200) == 0.0
    assert callable(rate_of(made, HORIZON))
