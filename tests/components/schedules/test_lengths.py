"""Schedules against optax; their lengths in steps, epochs and shares; runs of a few steps."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dlc
from dlc.backend.network import lower
from dlc.backend.update import make_updater
from dlc.components.schedules import SCHEDULES
from dlc.components.schedules.schedule import Horizon, Length, Run, Schedule, rate_at, rate_of, run_length
from dlc.diagnostics import SpecError
from dlc.frontend.pipeline import Spec, check_text
from dlc.language.options import load_class
from dlc.training.setup import set_up
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
    assert rates("cosine: {peak: 0.1, warmup: 50}", Horizon(5, 1.0), 5).tolist() == pytest.approx(
        [0.0, 0.002, 0.004, 0.006, 0.008], rel=1e-5
    )


def test_a_warm_up_longer_than_the_run_is_an_error_except_in_a_trial() -> None:
    """Its length in steps is compared with the run when the data are read."""
    text = (
        "data: {source: iris}\ninputs: {features: {tensor: [4]}}\n"
        "targets: {species: {category: [setosa, versicolor, virginica]}}\n"
        "network: [dense: 3]\nloss: cross_entropy\n"
        "optimizer: {adam: {learning_rate: {cosine: {peak: 0.1, warmup: 50}}}, lookahead: {period: 90}}\n"
        "train: {epochs: 20}\n"
    )
    notes: list[str] = []
    set_up(spec_of(text).plan, note=notes.append)
    assert notes == []
    with pytest.raises(SpecError, match="the warm-up of 50 steps is as long as the run"):
        set_up(spec_of(text.replace("epochs: 20", "epochs: 2")).plan)
    set_up(spec_of(text, "train.epochs=2").plan, note=notes.append)
    assert notes == ["the warm-up of 50 steps is as long as the run, 2.13 epochs in all, 10 steps"]


def spec_of(text: str, *sets: str) -> Spec:
    spec, report = check_text(text, sets=sets)
    assert spec is not None, report
    return spec


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


@pytest.mark.parametrize(
    ("text", "steps_per_epoch", "told"),
    [
        ("cosine: {peak: 0.1, length: 10 epochs}", None, "a rate of 0"),
        ("cosine: {peak: 0.1, length: 50%}", None, "a rate of 0"),
        ("linear: {value: 0.1, length: 49 epochs}", None, "a rate of 0"),
        ("polynomial: {value: 0.1, length: 10 epochs}", None, "a rate of 0"),
        ("one_cycle: {peak: 0.1, length: 10 epochs}", None, "a rate of 0"),
        ("one_cycle: {peak: 0.1, length: 60 epochs}", None, None),  # never reaches its end
        ("cosine: {peak: 0.1, length: 51 epochs}", None, None),  # never reaches its end
        ("linear: {value: 0.1, end: 0.01, length: 60 epochs}", None, None),  # never reaches its end
        ("linear: {value: 0.1, end: 0.01, length: 10 epochs}", None, None),  # stays at 0.01
        ("cosine: {peak: 0.1, length: 50 epochs}", None, None),
        ("cosine: {peak: 0.1, length: 100%}", None, None),
        ("cosine: 0.1", None, None),
        ("cosine: {peak: 0.1, length: 100}", None, None),  # the steps of the run are not known
        ("cosine: {peak: 0.1, length: 100}", 10.5, "a rate of 0"),
        ("cosine: {peak: 0.1, length: 520}", 10.5, None),  # of 525: rounded down by hand
        ("cosine: {peak: 0.1, length: 525}", 10.5, None),
        ("cosine: {peak: 0.1, length: 600}", 10.5, None),
        ("cosine: {peak: 0.1, length: 50 epochs}", 10.51, None),  # the last step is a part of a batch
    ],
)
def test_schedules_end_with_the_run(text: str, steps_per_epoch: float | None, told: str | None) -> None:
    """A run of 50 epochs. Where a finding says that the rate is 0, it is, long before the last step."""
    made = built(text, "schedule")
    epochs = 50.0 if steps_per_epoch is None else np.ceil(50 * steps_per_epoch) / steps_per_epoch
    found = [item.message for item in made.unfinished(Run(epochs, steps_per_epoch))]
    assert len(found) == (told is not None) and all(told in message for message in found)
    rate = made.build(Horizon(525, 10.5))
    if steps_per_epoch is None and text.endswith("length: 100}"):
        return  # whether it ends too early shows with the data
    assert (float(rate(515)) < 1e-5 * 0.1) == (told == "a rate of 0")


@pytest.mark.parametrize(
    ("rate", "group", "codes"),
    [
        ("cosine: {peak: 0.1, length: 6 epochs}", "cosine: {peak: 0.1, length: 5 epochs}", ("DLC321", "DLC321")),
        ("cosine: 0.1", "cosine: {peak: 0.1, length: 5 epochs}", ()),
        ("constant: 0.1", "cosine: {peak: 0.1, length: 5 epochs}", ()),
    ],
)
def test_layers_may_be_frozen_one_after_another(rate: str, group: str, codes: tuple[str, ...]) -> None:
    """It is a mistake only if all weights stop."""
    rate = rate.removeprefix("constant: ") if "constant" in rate else f"{{{rate}}}"
    text = (
        "inputs: {x: {tensor: [4]}}\ntargets: {y: number}\nnetwork: [dense: 4, dense: 1]\nloss: mse\n"
        f"optimizer:\n  adam: {{learning_rate: {rate}}}\n"
        f"  groups: [{{match: dense/**, learning_rate: {{{group}}}}}]\n"
    )
    assert check_text(text, "spec.yaml")[1].codes == codes


RESTARTS = (
    "growth: 2, warmup: 1 epochs",
    "factor: 0.5",
    "factor: 0.5, end: 0.001",
    "growth: 2, factor: 0.5, end: 0.001",
)
FALLING = ("exponential: {value: 0.1, every: 1 epochs, factor: 0.5", "step: {value: 0.1, every: 1 epochs, factor: 0.5")
ALL = [
    *(text for word in SCHEDULES for text in load_class(SCHEDULES, word).examples),
    *(f"cosine_restarts: {{peak: 0.1, period: 3 epochs, {more}}}" for more in RESTARTS),
    *(f"{text}{more}}}" for text in FALLING for more in (", end: 0.01", ", warmup: 1 epochs")),
]


def test_the_length_of_a_run_in_words() -> None:
    assert run_length(Run(1, None)) == "1 epoch in all"
    assert run_length(Run(2, None)) == "2 epochs in all"


@pytest.mark.parametrize("text", ALL)
def test_schedules_are_traced_with_hyperparameters_as_arguments(text: str) -> None:
    """As the training step traces them: a number that decides how a rate is computed must be part of the program."""
    spec = (
        "inputs: {x: {tensor: [4]}}\ntargets: {y: number}\nnetwork: [dense: 1]\nloss: mse\ntrain: {epochs: 500}\n"
        "data: {source: {npz: x.npz}, split: {validation: 5}}\n"
    )
    plan = dlc.loads(spec + f"optimizer: {{adam: {{learning_rate: {{{text}}}}}}}\n").plan
    program = lower(plan.graph)
    updater = make_updater(plan, program, Horizon(5250, 10.5))
    weights = program.init(0)["params"]

    def update(numbers: Any, gradients: Any) -> Any:
        built = updater.build(numbers)
        factor = {"factor": jnp.float32(1)} if updater.plateau else {}
        return built.update(gradients, built.init(gradients), gradients, **factor)[0]

    assert jax.tree.structure(jax.eval_shape(update, updater.numbers.values, weights)) == jax.tree.structure(weights)
