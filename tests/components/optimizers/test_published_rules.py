"""Optimizers against their published rules in float64 and against PyTorch, over fifty steps, as training runs them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlc.backend.hyperparameters import Hyperparameters, numbers_of, with_numbers
from dlc.components.optimizers import OPTIMIZERS
from dlc.components.optimizers.optimizer import Optimizer
from tests.components.building import HORIZON, optimizer
from tests.components.optimizers.published_rules import MISSING, RULES, SHAPES, SPECS, START, gradient
from tests.reference.keras_conformance import keras


def options_of(made: Optimizer) -> Any:
    """The options, with the rate as a number."""
    options = {**MISSING, **{name: getattr(made, name) for name in type(made).model_fields}}
    return SimpleNamespace(**options, rate=options["learning_rate"])


def published(spec: str, steps: int = 50) -> list[dict[str, np.ndarray]]:
    """The updates of each step in float64."""
    made = optimizer(spec)
    rule, options, state = RULES[made.word], options_of(made), {}
    weights, updates = {name: value.astype(np.float64) for name, value in START.items()}, []
    for t in range(1, steps + 1):
        moved = rule(options, weights, {k: v.astype(np.float64) for k, v in gradient(t).items()}, state, t)
        updates.append({name: moved[name] - weights[name] for name in weights})
        weights = moved
    return updates


def trained(spec: str, steps: int = 50) -> list[dict[str, np.ndarray]]:
    """The updates of each step of dlc, with hyperparameters as arguments, as in a training step."""
    made = optimizer(spec)
    numbers = Hyperparameters.of(numbers_of(made, "optimizer"))

    def rule(values: Any) -> Any:
        return optax.with_extra_args_support(with_numbers(made, "optimizer", numbers.bound(values)).build(HORIZON))

    def step(carry: Any, given: Any) -> Any:
        weights, state = carry
        updates, state = rule(numbers.values).update(given, state, weights)
        return (optax.apply_updates(weights, updates), state), updates

    @jax.jit
    def run(values: Any, weights: Any, gradients: Any) -> Any:
        _, updates = jax.lax.scan(step, (weights, rule(values).init(weights)), gradients)
        return updates

    given = [gradient(t) for t in range(1, steps + 1)]
    gradients = {name: jnp.asarray([part[name] for part in given]) for name in SHAPES}
    found = jax.device_get(run(numbers.values, jax.tree.map(jnp.asarray, START), gradients))
    return [{name: np.float64(found[name][t]) for name in found} for t in range(steps)]


DIFFERENCES = ("fromage", "muon", "schedule_free_adamw", "schedule_free_sgd", "madgrad", "dog", "cocob")
"""Rules whose updates are differences of weights, and therefore have their rounding: 8 units in the last place of 1,
the largest weight. Muon's iteration amplifies the rounding of its matrix."""
ESTIMATES = ("prodigy", "dadapt_adamw")
"""Rules whose rate is a quotient of sums that cancel: ten times the tolerance."""


@pytest.mark.few()
@pytest.mark.parametrize("spec", SPECS)
def test_an_optimizer_follows_its_published_rule(spec: str) -> None:
    """Every update is within the rounding of float32: 2e-6 of the largest one of the step."""
    word = spec.split(":")[0]
    units = 8 * 2.0**-24 if word in DIFFERENCES else 0.0
    share = 2e-5 if word in ESTIMATES else 2e-6
    for found, wanted in zip(trained(spec), published(spec), strict=True):
        for name, want in wanted.items():
            np.testing.assert_allclose(found[name], want, rtol=0, atol=share * np.abs(want).max() + units)


def test_every_optimizer_has_a_published_rule() -> None:
    assert set(RULES) == set(OPTIMIZERS) == {spec.split(":")[0] for spec in SPECS}


def test_the_bias_of_first_steps_is_corrected_exactly() -> None:
    """With a float32 power, as in optax, Adam's first step is 6.4e-6 short."""
    for found, want in zip(trained("adam", 3), published("adam", 3), strict=True):
        np.testing.assert_allclose(found["bias"], want["bias"], rtol=5e-7)
    optaxs = optax.adam(1e-3)
    weights = jax.tree.map(jnp.asarray, START)
    first = optaxs.update(jax.tree.map(jnp.asarray, gradient(1)), optaxs.init(weights))[0]
    assert np.abs(np.float64(first["bias"]) / published("adam", 1)[0]["bias"] - 1).max() > 5e-6


# ---- PyTorch and Keras ----

TORCH: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "sgd: 0.05": (
        (0.9968556419015, 0.06251307073981, -0.2938975989819),
        (0.9184945970308, 0.08042556010187, -0.7384293139912),
    ),
    "sgd: {learning_rate: 0.05, momentum: 0.9}": (
        (0.9968556419015, 0.06251307073981, -0.2938975989819),
        (0.5693077422775, 0.4819048674098, -2.742838324088),
    ),
    "sgd: {learning_rate: 0.05, momentum: 0.9, nesterov: true}": (
        (0.9940257196128, 0.1147917062417, -0.3334054380655),
        (0.5308715650806, 0.5101568126067, -2.981983805671),
    ),
    "rprop: 0.1": (
        (0.9, 0.10442569796, -0.35),
        (0.7782861053951, 2.624088430959, -38.3763887948),
    ),
    "adagrad: {learning_rate: 0.1, initial_accumulator_value: 0, eps: 1e-10, eps_in_sqrt: false}": (
        (0.900000000159, 0.1044256979514, -0.3499999999886),
        (0.6749818525294, 0.09385126634293, -0.6087127145872),
    ),
    "adadelta: {weight_decay: 0.1}": (
        (0.9968383181029, 0.007587963896148, -0.2531622559273),
        (0.9304340878711, 0.008506064546849, -0.2751956610815),
    ),
    "rmsprop: {decay: 0.99, eps_in_sqrt: false}": (
        (0.9900000159015, 0.01442569709919, -0.259999998861),
        (0.967075141423, 0.01344371906964, -0.286608163938),
    ),
    "rmsprop: {decay: 0.99, eps_in_sqrt: false, centered: true, momentum: 0.9}": (
        (0.9899496379095, 0.01447607524308, -0.2600503770021),
        (0.7148190442605, 0.0863716893045, -0.5543978226761),
    ),
    "adam": (
        (0.999000000159, 0.005425697951352, -0.2509999999886),
        (0.9918465819842, 0.008674652639309, -0.2593918613256),
    ),
    "adamw: {weight_decay: 0.1}": (
        (0.998900000159, 0.005425255381556, -0.2509749999886),
        (0.9868943573934, 0.008637283329562, -0.258105973205),
    ),
    "nadam: {momentum_decay: 0.004}": (
        (0.9989435483767, 0.005482149742201, -0.2510564517793),
        (0.9940993920033, 0.005747286731803, -0.2567952729145),
    ),
    "nadamw: {weight_decay: 0.1, momentum_decay: 0.5}": (
        (0.9988403933533, 0.005484862196279, -0.2510346068032),
        (0.9897046436366, 0.005688440405976, -0.2546867173977),
    ),
    "amsgrad: {b2: 0.9, correction: after}": (
        (0.999000000159, 0.005425697951352, -0.2509999999886),
        (0.9921199192891, 0.008839411661786, -0.2592604344941),
    ),
    "radam: {b2: 0.99, eps: 1e-3, eps_hat: true}": (
        (0.999937112838, 0.005587445415556, -0.2508779519796),
        (0.9988063761629, 0.009539541503966, -0.2569564967006),
    ),
    "adamax": (
        (0.999000000159, 0.005425697951352, -0.2509999999886),
        (0.9948787066618, 0.008314286911514, -0.2576352180257),
    ),
    "adafactor: {min_dim_size_to_factor: 2}": (
        (0.9866484776507, 0.01092958320139, -0.2566143782777),
        (0.9437471847393, 0.01574562645223, -0.2964792343613),
    ),
}
"""The first and the last element of the kernel and the second of the bias, after 1 and 50 steps of PyTorch's float64:
`SGD`, `Rprop`, `Adagrad`, `Adadelta`, `RMSprop`, `Adam` (with `amsgrad`), `AdamW`, `NAdam`, `RAdam`, `Adamax`,
`Adafactor`. `python -m benchmarks.pytorch_references` computes them."""


def after(spec: str, steps: int) -> np.ndarray:
    """The weights that `TORCH` lists, after some steps of the published rule."""
    moved = published(spec, steps)
    ends = {name: START[name].astype(np.float64) + sum(update[name] for update in moved) for name in SHAPES}
    return np.array([ends["kernel"][0, 0], ends["kernel"][3, 2], ends["bias"][1]])


@pytest.mark.parametrize("spec", TORCH)
def test_the_published_rules_are_those_of_pytorch(spec: str) -> None:
    """PyTorch keeps the product of nadam's momentum in float32."""
    rtol = 1e-8 if spec.startswith("nadam") else 1e-11
    for steps, want in zip((1, 50), TORCH[spec], strict=True):
        np.testing.assert_allclose(after(spec, steps), want, rtol=rtol)


AFTER_100_STEPS: dict[str, tuple[tuple[float, ...], ...]] = {
    "adam": (
        (0.9907742153305, 0.5350860071836, -0.412812176392),
        (-0.9815041955203, -0.6469710558676, 0.282339470433),
        (0.9479128636526, 0.746737741404, -0.1452163030963),
        (-0.8984444696352, -0.8304563672371, 0.006001215161556),
        (0.4923028396362, -0.2594039971462, 0.9977957851563),
    ),
    "adamw: {weight_decay: 0.1}": (
        (0.9809009200782, 0.5297636501509, -0.4086848995438),
        (-0.9717206765671, -0.6405323570179, 0.2795125778743),
        (0.9384600316487, 0.7393034578736, -0.1437553203297),
        (-0.8894818606188, -0.8221857510346, 0.005927909355052),
        (0.4873817470768, -0.2568323920867, 0.9878783288832),
    ),
    "sgd: {learning_rate: 0.05, momentum: 0.9}": (
        (0.4339185797064, 0.3638114730193, 0.361142404172),
        (0.3088649509564, -0.01177774559525, -0.6271016282255),
        (-0.9116720311374, -0.3354398883343, 0.9317728602559),
        (1.693172185045, 0.9943703247432, -0.8825137991863),
        (-2.561158827183, -2.738037792437, 1.669315517452),
    ),
}
"""The rows of the kernel and the bias after 100 steps of PyTorch's float64.
`python -m benchmarks.pytorch_references` computes them."""


@pytest.mark.parametrize("spec", AFTER_100_STEPS)
def test_long_runs_stay_with_pytorch(spec: str) -> None:
    """The steps of 100 updates, as training computes them in float32, add up to the weights of PyTorch's float64."""
    steps = trained(spec, 100)
    start, moved = (
        np.vstack([part["kernel"], part["bias"]])
        for part in (START, {name: sum(step[name] for step in steps) for name in SHAPES})
    )
    found, wanted = start.astype(np.float64) + moved, np.array(AFTER_100_STEPS[spec])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * np.abs(moved).max())


KERAS = {
    "adam: {eps: 1e-3, eps_hat: true}": ("Adam", {"epsilon": 1e-3}),
    "amsgrad: {b2: 0.9, correction: after, eps: 1e-3, eps_hat: true}": (
        "Adam",
        {"epsilon": 1e-3, "beta_2": 0.9, "amsgrad": True},
    ),
    "nadam: {momentum_decay: 1}": ("Nadam", {"epsilon": 1e-8}),
    "lion: {learning_rate: 1e-3, weight_decay: 0.1}": ("Lion", {"weight_decay": 0.1}),
    "lamb": ("Lamb", {"epsilon": 1e-6}),
    "muon: {learning_rate: 1e-3, nesterov: false, consistent_rms: 0.2}": (
        "Muon",
        {"nesterov": False, "weight_decay": None, "adam_weight_decay": None, "epsilon": 1e-8},
    ),
    "muon: {learning_rate: 1e-3, bias_correction: false, consistent_rms: 0.2}": (
        "Muon",
        {"weight_decay": None, "adam_weight_decay": None, "epsilon": 1e-8},
    ),
    "schedule_free_adamw: {learning_rate: 1e-3}": ("ScheduleFreeAdamW", {}),
}


@pytest.mark.parametrize("spec", KERAS)
def test_the_published_rules_are_those_of_keras(spec: str) -> None:
    name, options = KERAS[spec]
    made = getattr(keras.optimizers, name)(1e-3, **options)
    weights = [keras.Variable(START["kernel"]), keras.Variable(START["bias"])]
    for t in range(1, 6):
        made.apply([jnp.asarray(gradient(t)[name]) for name in SHAPES], weights)
    kernel, bias = (np.asarray(part.value) for part in weights)
    found = np.array([kernel[0, 0], kernel[3, 2], bias[1]])
    np.testing.assert_allclose(found, after(spec, 5), rtol=2e-6, atol=1e-7)
