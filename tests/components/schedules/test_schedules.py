"""Schedules against optax, to the bit; their lengths, warm-ups and mistakes; the plateau against Keras."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dlc
from dlc.components.schedules import SCHEDULES
from dlc.components.schedules.plateau import Plateau, ReduceOnPlateau
from dlc.components.schedules.schedule import Horizon, Run
from dlc.diagnostics import SpecError
from dlc.frontend.passes.lint import late_settings
from dlc.frontend.pipeline import check_text
from dlc.frontend.resolved import resolved_text
from dlc.language.options import load_class
from tests.common import as_users_do
from tests.components.building import HORIZON, built, schedule

SPEC = """
data: {source: iris, split: {validation: 0.1}}
inputs: {features: {tensor: [4]}}
targets: {species: {category: 3}}
network: [dense: 3]
loss: cross_entropy
"""


def rates(rate: Any, steps: int = 230) -> Any:
    """The rates of the first steps, compiled."""
    return np.asarray(as_users_do(jax.vmap(lambda step: jnp.asarray(rate(step), jnp.float32)))(jnp.arange(steps)))


def joined(rate: Any, value: float, warmup: int, start: float = 0.0) -> Any:
    return optax.join_schedules([optax.linear_schedule(start, value, warmup), rate], [warmup])


def cycles(*lengths: int, factor: float = 1.0) -> Any:
    return optax.sgdr_schedule(
        [
            {
                "init_value": 0.1 * factor**i,
                "peak_value": 0.1 * factor**i,
                "warmup_steps": 0,
                "decay_steps": n,
                "end_value": 0.001,
            }
            for i, n in enumerate(lengths)
        ]
    )


THEIRS: dict[str, Any] = {
    "constant: 0.1": optax.constant_schedule(0.1),
    "constant: {value: 0.1, warmup: 2 epochs}": optax.warmup_constant_schedule(0.0, 0.1, 40),
    "constant: {value: 0.1, warmup: 10%, warmup_from: 0.02}": optax.warmup_constant_schedule(0.02, 0.1, 20),
    "linear: 0.1": optax.linear_schedule(0.1, 0.0, 200),
    "linear: {value: 0.1, end: 0.01, length: 5 epochs}": optax.linear_schedule(0.1, 0.01, 100),
    "linear: {value: 0.1, end: 0.5, length: 50, warmup: 5%}": joined(optax.linear_schedule(0.1, 0.5, 40), 0.1, 10),
    "polynomial: 0.1": optax.polynomial_schedule(0.1, 0.0, 2.0, 200),
    "polynomial: {value: 0.1, end: 0.01, power: 0.5, length: 50%, warmup: 1 epochs, warmup_from: 0.05}": joined(
        optax.polynomial_schedule(0.1, 0.01, 0.5, 80), 0.1, 20, 0.05
    ),
    "exponential: {value: 0.1, factor: 0.5, every: 2 epochs}": optax.exponential_decay(0.1, 40, 0.5),
    "exponential: {value: 0.1, factor: 0.9, every: 5%, staircase: true, end: 0.05}": optax.exponential_decay(
        0.1, 10, 0.9, staircase=True, end_value=0.05
    ),
    "exponential: {value: 0.1, factor: 1.5, every: 30, end: 1.0, warmup: 10%}": (
        optax.warmup_exponential_decay_schedule(0.0, 0.1, 20, 30, 1.5, end_value=1.0)
    ),
    "step: {value: 0.1, every: 3 epochs}": optax.exponential_decay(0.1, 60, 0.1, staircase=True),
    "step: {value: 0.1, every: 25, factor: 0.5, end: 0.02, warmup: 5%}": optax.warmup_exponential_decay_schedule(
        0.0, 0.1, 10, 25, 0.5, staircase=True, end_value=0.02
    ),
    "piecewise: {value: 0.1, boundaries: [3 epochs, 120], factors: [0.1, 0.5]}": optax.piecewise_constant_schedule(
        0.1, {60: 0.1, 120: 0.5}
    ),
    "piecewise: {value: 0.1, boundaries: [30%, 75%], factors: [0.1, 0.5], warmup: 1 epochs}": joined(
        optax.piecewise_constant_schedule(0.1, {40: 0.1, 130: 0.5}), 0.1, 20
    ),
    "piecewise: {values: [0.1, 0.3, 0.001], boundaries: [50%, 170]}": optax.join_schedules(
        [optax.constant_schedule(value) for value in (0.1, 0.3, 0.001)], [100, 170]
    ),
    "cosine: 0.1": optax.cosine_decay_schedule(0.1, 200),
    "cosine: {peak: 0.1, end: 0.001, warmup: 20%}": optax.warmup_cosine_decay_schedule(0.0, 0.1, 40, 200, 0.001),
    "cosine: {peak: 0.1, warmup: 0.5 epochs, warmup_from: 0.01, length: 50%}": optax.warmup_cosine_decay_schedule(
        0.01, 0.1, 10, 100
    ),
    "cosine_restarts: {peak: 0.1, period: 2.5 epochs, end: 0.001}": cycles(50, 50, 50, 50, 50),
    "cosine_restarts: {peak: 0.1, period: 15%, growth: 2, end: 0.001}": cycles(30, 60, 120),
    "cosine_restarts: {peak: 0.1, period: 30, growth: 2, factor: 0.5, end: 0.001}": cycles(30, 60, 120, factor=0.5),
    "cosine_restarts: {peak: 0.1, period: 30, growth: 3, end: 0.001, warmup: 10%}": joined(
        cycles(30, 90, 270), 0.1, 20
    ),
    "one_cycle: 0.1": optax.cosine_onecycle_schedule(200, 0.1),
    "one_cycle: {peak: 0.1, length: 5 epochs, pct_start: 0.4, div_factor: 10, final_div_factor: 100}": (
        optax.cosine_onecycle_schedule(100, 0.1, 0.4, 10.0, 100.0)
    ),
    "one_cycle: {peak: 0.1, anneal: linear}": optax.linear_onecycle_schedule(200, 0.1),
    "one_cycle: {peak: 0.1, anneal: linear, pct_start: 0.4, pct_final: 0.7, div_factor: 10, final_div_factor: 20}": (
        optax.linear_onecycle_schedule(200, 0.1, 0.4, 0.7, 10.0, 20.0)
    ),
    "reduce_on_plateau: 0.1": optax.constant_schedule(0.1),
    "reduce_on_plateau: {value: 0.1, warmup: 10}": optax.warmup_constant_schedule(0.0, 0.1, 10),
}


@pytest.mark.parametrize("text", THEIRS)
def test_a_schedule_is_optaxs_to_the_bit(text: str) -> None:
    np.testing.assert_array_equal(rates(schedule(text).build(HORIZON)), rates(THEIRS[text]))


def test_every_schedule_is_compared() -> None:
    assert {text.split(":")[0] for text in THEIRS} == set(SCHEDULES) - {"inverse_sqrt"}


def test_restarts_of_one_length_from_falling_peaks() -> None:
    """optax multiplies other numbers here: the last bit may differ."""
    text = "cosine_restarts: {peak: 0.1, period: 50, factor: 0.5, end: 0.001}"
    want = rates(cycles(50, 50, 50, 50, 50, factor=0.5))
    np.testing.assert_allclose(rates(schedule(text).build(HORIZON)), want, rtol=3e-6)


def test_restarts_never_rise_within_a_cycle() -> None:
    """A peak that has fallen to the end stays there."""
    for growth in (1, 2):
        text = f"cosine_restarts: {{peak: 0.1, period: 10, factor: 0.1, end: 0.01, growth: {growth}}}"
        made = rates(schedule(text).build(HORIZON))
        assert made.min() == pytest.approx(0.01) and made[11:].max() == pytest.approx(0.01)


def test_inverse_sqrt() -> None:
    """With a warm-up of k steps: value * min(s / k, sqrt(k / s)), as in Vaswani et al. 2017, equation 3."""
    steps = np.arange(1, 230)
    want = 0.1 * np.minimum(steps / 40, np.sqrt(40 / steps))
    np.testing.assert_allclose(
        rates(schedule("inverse_sqrt: {value: 0.1, warmup: 2 epochs}").build(HORIZON))[1:], want, 1e-6
    )
    want = 0.1 / np.sqrt(1 + np.arange(230) / 20)
    np.testing.assert_allclose(rates(schedule("inverse_sqrt: {value: 0.1, timescale: 10%}").build(HORIZON)), want, 1e-6)
    made = rates(schedule("inverse_sqrt: {value: 0.1, timescale: 10%, warmup: 30}").build(HORIZON))
    assert made[0] == 0 and made[30] == np.float32(0.1)
    np.testing.assert_allclose(made[30:], 0.1 / np.sqrt(1 + np.arange(200) / 20), 1e-6)


@pytest.mark.parametrize("word", SCHEDULES)
def test_a_warmup_joins_with_any_schedule(word: str) -> None:
    """Linear from `warmup_from` to the first rate."""
    text = load_class(SCHEDULES, word).examples[0]
    made = schedule(text)
    fields = {name: getattr(made, name) for name in made.model_fields_set if name not in ("warmup", "warmup_from")}
    warmed = type(made).model_validate({**fields, "warmup": 8, "warmup_from": 1e-4})
    long = Horizon(2000, 20.0)
    found = rates(warmed.build(long), 12)
    np.testing.assert_allclose(found[:9], np.linspace(1e-4, made.first(), 9), atol=1e-6 * made.first())
    assert found[8] == pytest.approx(float(rates(warmed.after_warmup(long, 8), 1)[0]))


@pytest.mark.parametrize("word", SCHEDULES)
def test_a_schedule_is_resolved_and_read_back(word: str) -> None:
    for text in load_class(SCHEDULES, word).examples:
        more = "train: {epochs: 100}"
        spec = dlc.loads(f"{SPEC}\noptimizer:\n  sgd:\n    learning_rate:\n      {text}\n{more}\n")
        again = dlc.loads(resolved_text(spec))
        assert again.plan.update.optimizer == spec.plan.update.optimizer  # type: ignore[union-attr]


# ---- lengths ----


@pytest.mark.parametrize(
    ("text", "follows"),
    [
        ("constant: 0.1", False),
        ("constant: {value: 0.1, warmup: 10%}", True),
        ("constant: {value: 0.1, warmup: 2 epochs}", False),
        ("linear: 0.1", True),
        ("linear: {value: 0.1, length: 100}", False),
        ("polynomial: 0.1", True),
        ("cosine: {peak: 0.1, length: 5 epochs}", False),
        ("exponential: {value: 0.1, factor: 0.5, every: 10}", False),
        ("exponential: {value: 0.1, factor: 0.5, every: 10%}", True),
        ("step: {value: 0.1, every: 2 epochs}", False),
        ("piecewise: {value: 0.1, boundaries: [10, 5 epochs], factors: [0.1, 0.1]}", False),
        ("piecewise: {value: 0.1, boundaries: [10, 50%], factors: [0.1, 0.1]}", True),
        ("cosine_restarts: {peak: 0.1, period: 10}", False),
        ("cosine_restarts: {peak: 0.1, period: 10%}", True),
        ("one_cycle: 0.1", True),
        ("one_cycle: {peak: 0.1, length: 100}", False),
        ("inverse_sqrt: {value: 0.1, warmup: 10}", False),
        ("inverse_sqrt: {value: 0.1, timescale: 10%}", True),
        ("reduce_on_plateau: 0.1", False),
    ],
)
def test_what_follows_the_length(text: str, follows: bool) -> None:
    """A schedule follows the length of the run when a longer run has other rates in its first steps."""
    made = schedule(text)
    assert made.follows_length() == follows
    longer = rates(made.build(Horizon(1000, 20.0)), 150)
    assert np.array_equal(rates(made.build(HORIZON), 150), longer) != follows


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "text",
    [
        text
        for text in THEIRS
        if "epochs" not in text and not any(c in text for c in ("25", "30,", " 50", "1[270]0", "120", "170"))
    ],
)
def test_runs_of_a_few_steps(text: str, steps: int) -> None:
    made = schedule(text)
    if made.plateau or any(length.unit == "steps" and length.amount for length in (made.warmup, made.until())):
        return
    found = rates(made.build(Horizon(steps, 1.0)), steps + 2)
    assert np.isfinite(found).all() and (found >= -1e-7).all()
    if "one_cycle" in text and steps > 2:
        assert found.max() == pytest.approx(0.1)


def test_the_whole_run_in_a_loop() -> None:
    """A cycle of one length is found at any step, however long the run."""
    made = schedule("cosine_restarts: {peak: 0.1, period: 100}").build(Horizon(10**9, 1e6))
    assert float(made(jnp.asarray(10**9 - 100))) == np.float32(0.1)


# ---- settings without effect ----


@pytest.mark.parametrize(
    ("text", "loc", "code"),
    [
        ("constant: {value: 0.1, warmup: 100%}", "warmup", "DLC303"),
        ("constant: {value: 0.1, warmup_from: 0.01}", "warmup_from", "DLC303"),
        ("constant: {value: 0.1, warmup: 5, warmup_from: 0.1}", "warmup_from", "DLC303"),
        ("constant: {value: 0.1, warmup: 5, warmup_from: 0.2}", "warmup_from", "DLC104"),
        ("linear: {value: 0.1, end: 0.1}", "end", "DLC303"),
        ("linear: {value: 0.1, length: 0}", "length", "DLC104"),
        ("linear: {value: 0.1, length: 3 epochs, warmup: 3 epochs}", "warmup", "DLC303"),
        ("polynomial: {value: 0.1, power: 1}", "power", "DLC303"),
        ("polynomial: {value: 0.1, power: 0}", "power", "DLC104"),
        ("cosine: {peak: 0.1, end: 0.1}", "end", "DLC303"),
        ("cosine: {peak: 0.1, end: 0.2}", "end", "DLC104"),
        ("exponential: {value: 0.1, factor: 1, every: 10}", "factor", "DLC303"),
        ("exponential: {value: 0.1, factor: 0.5, every: 10, end: 0.2}", "end", "DLC104"),
        ("exponential: {value: 0.1, factor: 2, every: 10, end: 0.05}", "end", "DLC104"),
        ("exponential: {value: 0.1, factor: 0.5}", None, "DLC102"),
        ("step: {value: 0.1, every: 0}", "every", "DLC104"),
        ("step: {value: 0.1, every: 10, factor: 1}", "factor", "DLC303"),
        ("step: {value: 0.1, lr: 3, every: 1}", "lr", "DLC101"),
        ("piecewise: {value: 0.1, boundaries: [5, 5], factors: [0.1, 0.1]}", "boundaries", "DLC104"),
        ("piecewise: {value: 0.1, boundaries: [0], factors: [0.1]}", "boundaries", "DLC303"),
        ("piecewise: {value: 0.1, boundaries: [5], factors: [0.1], warmup: 5}", "boundaries", "DLC303"),
        ("piecewise: {value: 0.1, boundaries: [5], factors: [1]}", "factors", "DLC303"),
        ("piecewise: {value: 0.1, boundaries: [5], factors: [0.1, 0.1]}", "factors", "DLC104"),
        ("piecewise: {value: 0.1, boundaries: [], factors: []}", None, None),
        ("piecewise: {value: 0.1, boundaries: [5]}", None, "DLC102"),
        ("piecewise: {boundaries: [5], factors: [0.1]}", None, "DLC102"),
        ("piecewise: {value: 0.1, boundaries: [5], values: [0.1, 0.2]}", "value", "DLC303"),
        ("piecewise: {boundaries: [5], values: [0.1]}", "values", "DLC104"),
        ("piecewise: {boundaries: [5], values: [0.1, 0.1]}", "values", "DLC303"),
        ("piecewise: {boundaries: 5, values: [0.1, 0.2]}", "boundaries", "DLC103"),
        ("piecewise: {boundaries: [soon], values: [0.1, 0.2]}", "boundaries", "DLC104"),
        ("cosine_restarts: {peak: 0.1, period: 0}", "period", "DLC104"),
        ("cosine_restarts: {peak: 0.1, period: 5, growth: 0}", "growth", "DLC104"),
        ("one_cycle: {peak: 0.1, pct_final: 0.9}", "pct_final", "DLC303"),
        ("one_cycle: {peak: 0.1, anneal: linear, pct_start: 0.9}", "pct_final", "DLC104"),
        ("one_cycle: {peak: 0.1, anneal: cos}", "anneal", "DLC104"),
        ("inverse_sqrt: 0.1", None, "DLC102"),
        ("reduce_on_plateau: {value: 0.1, min_value: 0.1}", "min_value", "DLC303"),
        ("reduce_on_plateau: {value: 0.1, factor: 1}", "factor", "DLC104"),
    ],
)
def test_mistakes(text: str, loc: str | None, code: str | None) -> None:
    made = built(text, "schedule")
    assert isinstance(made, list)
    if code is None:
        assert {item.code for item in made} == {"DLC104"}
        return
    (found,) = made
    assert found.code == code
    assert loc is None or found.loc[1] == loc, found.loc


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("constant: {value: 0.1, warmup: 10 epochs}", "warm-up of 10 epochs"),
        ("linear: {value: 0.1, length: 4 epochs, warmup: 50%}", "no time for the schedule"),
        ("exponential: {value: 0.1, factor: 0.5, every: 10 epochs, staircase: true}", "as long as the run"),
        ("step: {value: 0.1, every: 9 epochs, warmup: 10%}", "as long as the run"),
        ("piecewise: {value: 0.1, boundaries: [5 epochs, 10 epochs], factors: [0.1, 0.1]}", "beyond the end"),
        ("piecewise: {value: 0.1, boundaries: [100%], factors: [0.1]}", "beyond the end"),
        ("piecewise: {value: 0.1, boundaries: [1 epochs], factors: [0.1], warmup: 20%}", "end of the warm-up"),
        ("piecewise: {value: 0.1, boundaries: [50%, 4 epochs], factors: [0.1, 0.1]}", "must increase"),
        ("cosine_restarts: {peak: 0.1, period: 100%}", "before the first restart"),
        ("reduce_on_plateau: {value: 0.1, patience: 10}", "can't be lowered"),
    ],
)
def test_settings_that_a_run_is_too_short_for(text: str, told: str) -> None:
    """`dlc check` says so, and so does the start of a run that is built otherwise."""
    made = schedule(text)
    assert [told in item.message for item in made.late(Run(10.0))] == [True]
    assert list(made.late(Run(1000.0))) == [] or "%" in text
    written = f"{SPEC}\noptimizer:\n  sgd:\n    learning_rate:\n      {text}\n"
    with pytest.raises(SpecError) as checked:
        dlc.loads(written)  # ten epochs
    assert [told in item.message for item in checked.value.report.diagnostics] == [True]
    assert checked.value.report.diagnostics[0].span is not None
    trial, _ = check_text(written, sets=["train.epochs=10"])
    if trial is not None:
        assert not late_settings(trial.plan, Run(1000.0, 10.0)) or "%" in text
        assert told in late_settings(trial.plan, Run(10.0, 10.0))[0]
        assert np.isfinite(rates(made.build(HORIZON), 150)).all()


@pytest.mark.parametrize(
    "text",
    [
        "constant: {value: 0.1, warmup: 200}",
        "cosine: {peak: 0.1, warmup: 200, length: 10 epochs}",
        "step: {value: 0.1, every: 200}",
        "piecewise: {value: 0.1, boundaries: [200], factors: [0.1]}",
        "piecewise: {value: 0.1, boundaries: [40], factors: [0.1], warmup: 2 epochs}",
        "piecewise: {value: 0.1, boundaries: [5 epochs, 60], factors: [0.1, 0.1]}",
        "cosine_restarts: {peak: 0.1, period: 200}",
    ],
)
def test_steps_are_judged_when_the_run_starts(text: str) -> None:
    made = schedule(text)
    assert list(made.late(Run(10.0))) == []
    spec, _ = check_text(f"{SPEC}\noptimizer:\n  sgd:\n    learning_rate:\n      {text}\n")
    assert spec is not None
    with pytest.raises(SpecError) as caught:
        late_settings(spec.plan, Run(HORIZON.steps / HORIZON.steps_per_epoch, HORIZON.steps_per_epoch))
    assert caught.value.report.diagnostics[0].code in ("DLC303", "DLC104")


def test_another_rate_of_an_optimizer_is_checked_too() -> None:
    with pytest.raises(SpecError) as caught:
        dlc.loads(f"{SPEC}\noptimizer:\n  muon: {{adam_learning_rate: {{cosine: {{peak: 0.1, warmup: 20 epochs}}}}}}\n")
    (found,) = caught.value.report.diagnostics
    assert found.code == "DLC303" and found.span is not None


def test_the_monitor_of_a_plateau_must_exist() -> None:
    with pytest.raises(SpecError) as caught:
        dlc.loads(
            f"{SPEC}\noptimizer:\n  sgd: {{learning_rate: {{reduce_on_plateau: {{value: 0.1, monitor: train/los}}}}}}\n"
        )
    (found,) = caught.value.report.diagnostics
    assert found.code == "DLC305" and "train/loss" in (found.hint or "")


# ---- reduce_on_plateau ----


@pytest.mark.parametrize("seed", range(4))
def test_the_plateau_is_that_of_keras(seed: int) -> None:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    generator = np.random.default_rng(seed)
    factor, patience, cooldown = float(generator.uniform(0.3, 0.8)), int(generator.integers(1, 4)), seed % 3
    higher = seed % 2 == 1
    made = ReduceOnPlateau(
        value=0.5, factor=factor, patience=patience, cooldown=cooldown, min_value=0.02, min_delta=0.01
    )
    theirs = keras.callbacks.ReduceLROnPlateau(
        "value", factor, patience, mode="max" if higher else "min", min_delta=0.01, cooldown=cooldown, min_lr=0.02
    )
    model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=0.5))
    theirs._model = model
    theirs.on_train_begin()
    state, seen = Plateau(), set()
    for epoch, value in enumerate(np.round(1.0 + 0.05 * generator.normal(size=60).cumsum() * 0.2, 3)):
        theirs.on_epoch_end(epoch, {"value": float(value)})
        state = made.after(state, float(value), higher)
        seen.add(state.scale)
        assert state.scale * 0.5 == pytest.approx(model.optimizer.learning_rate)
    assert len(seen) > 3


def test_only_the_plateau_is_one() -> None:
    assert [word for word in SCHEDULES if load_class(SCHEDULES, word).plateau] == ["reduce_on_plateau"]
