"""Losses, metrics, optimizers, schedules and first values, against optax, scikit-learn and plain definitions."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import sklearn.metrics

from dlc.components.initializers.initializer import draw, path_hash
from dlc.components.losses import LOSSES
from dlc.components.losses.loss import Loss, LossExample, Score
from dlc.components.metrics import METRICS
from dlc.components.metrics.metric import Metric
from dlc.components.optimizers import OPTIMIZERS
from dlc.components.optimizers.optimizers import Optimizer
from dlc.components.schedules import SCHEDULES
from dlc.components.schedules.schedule import Horizon, Length, Schedule, rate_at, rate_of
from dlc.diagnostics import SpecError
from dlc.ir import DTYPES, ONES, ZEROS, Init, ParamSpec, TensorType
from dlc.language.options import OptionError, RuleViolation, build_word, load_class
from dlc.language.yaml_text import parse_yaml

TABLES = {"loss": LOSSES, "metric": METRICS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}
HORIZON = Horizon(200, 20.0)


def built(spec: str, kind: str) -> Any:
    """The thing that a spec's text describes, or its faults."""
    return build_word(parse_yaml(f"item:\n  {spec}\n", "example").tree["item"], TABLES[kind], kind)


def loss(spec: str) -> Loss:
    made = built(spec, "loss")
    assert isinstance(made, Loss), made
    return made


def metric(spec: str) -> Metric:
    made = built(spec, "metric")
    assert isinstance(made, Metric), made
    return made


def option_error(spec: str, kind: str) -> OptionError:
    made = built(spec, kind)
    assert isinstance(made, list), made
    assert len(made) == 1, made
    return made[0]


# ---- the tables ----


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind, table in TABLES.items() for word in table])
def test_a_thing_is_documented(kind: str, word: str) -> None:
    cls = load_class(TABLES[kind], word)
    assert cls.word == word
    assert cls.__doc__ and cls.examples
    for name, field in cls.model_fields.items():
        assert field.description, f"`{name}` of `{word}` has no description"
    if kind in ("loss", "metric"):
        assert cls.__doc__.startswith("(batch")
        assert any(example.error is None for example in cls.examples)
        assert any(example.error == cls.code for example in cls.examples)


# ---- the examples of losses and metrics ----

EXAMPLES = [
    (kind, word, example)
    for kind in ("loss", "metric")
    for word in TABLES[kind]
    for example in load_class(TABLES[kind], word).examples
]


def pair(example: LossExample, seed: int = 0) -> tuple[jax.Array, Any]:
    """A random output and target.

    Real-valued targets lie in 0..1 and sum to 1 along the last axis; all classes occur.
    """
    generator = np.random.default_rng(seed)
    kinds = [TensorType.parse(text) for text in (example.output, example.target) if text is not None]
    sizes = {"batch": 6, "time": 7, "length": 2}
    shapes = [tuple(dim if isinstance(dim, int) else sizes[dim] for dim in kind.shape) for kind in kinds]
    output = jax.nn.sigmoid(jnp.asarray(generator.normal(size=shapes[0]), jnp.float32))
    if example.target is None:
        return output, None
    if kinds[1].is_float:
        target = jnp.asarray(generator.uniform(0.1, 1, shapes[1]), jnp.float32)
        return output, target / target.sum(-1, keepdims=True)
    classes = generator.permutation(np.arange(math.prod(shapes[1])) % (kinds[1].bound or 3))
    return output, jnp.asarray(classes.reshape(shapes[1]), DTYPES[kinds[1].dtype])


@pytest.mark.parametrize(
    ("kind", "word", "example"), EXAMPLES, ids=[f"{w}: {e.spec} | {e.output} {e.target}" for _, w, e in EXAMPLES]
)
def test_an_example_gives_what_it_states(kind: str, word: str, example: LossExample) -> None:
    made = built(example.spec, kind)
    if isinstance(made, list):
        assert made[0].code == example.error
        return
    types = TensorType.parse(example.output), TensorType.parse(example.target) if example.target else None
    if example.error is not None:
        with pytest.raises(RuleViolation) as caught:
            made.infer(*types)
        assert caught.value.code == example.error
        assert caught.value.found
        return
    made.infer(*types)
    output, target = pair(example, seed=2)
    if kind == "metric":
        assert math.isfinite(over_split(made, np.asarray(output), np.asarray(target), 4))
        if not made.collected:
            empty = jax.eval_shape(made.statistics, output[:0], target[:0], jnp.zeros(0))
            full = jax.eval_shape(made.statistics, output, target, jnp.zeros(6))
            assert jax.tree.map(lambda leaf: leaf.shape, empty) == jax.tree.map(lambda leaf: leaf.shape, full)
            assert {leaf.dtype for leaf in jax.tree.leaves(full)} == {jnp.dtype("float32")}
        return

    def total(y: jax.Array) -> tuple[jax.Array, Any]:
        first = None if made.in_batch else made.apply(y[:1], None if target is None else target[:1])
        found = made.apply(y, target)
        return found.total.sum(), (found, first)

    (value, (found, first)), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(output)
    for part in (found.total, found.weight):
        assert part.shape == (6,) and part.dtype == jnp.float32 and np.isfinite(part).all()
    assert np.isfinite(gradient).all() and np.any(gradient)
    np.testing.assert_allclose(value, found.total.sum(), rtol=1e-6)
    if first is not None:
        np.testing.assert_allclose(found.total[:1], first.total, rtol=1e-6)  # an example's loss is its own
    nothing = None if target is None else target[:0]
    assert jax.eval_shape(made.apply, output[:0], nothing).total.shape == (0,)
    assert jax.eval_shape(made.activate, output).shape == output.shape
    assert made.activations() or made.activate(output) is output


# ---- values of losses ----


@cache
def compiled(made: Loss) -> Any:
    """The loss of each example as training computes it; an eager call would compile each operation apart."""

    def each(*arguments: Any) -> jax.Array:
        found: Score = made.apply(*arguments)
        return found.total / found.weight

    return jax.jit(each)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_cross_entropy_against_scikit_learn(classes: int) -> None:
    generator = np.random.default_rng(classes)
    logits = jnp.asarray(generator.normal(0, 5, (40, classes)), jnp.float32)
    target = generator.integers(0, classes, 40).astype(np.int32)
    made = loss("cross_entropy")
    want = sklearn.metrics.log_loss(
        target, scipy.special.softmax(np.asarray(logits, np.float64), -1), labels=range(classes)
    )
    np.testing.assert_allclose(compiled(made)(logits, target).mean(), want, rtol=1e-5)
    np.testing.assert_allclose(
        compiled(made)(logits, target),
        jax.jit(optax.softmax_cross_entropy_with_integer_labels)(logits, target),
        rtol=1e-5,
        atol=1e-6,
    )
    rows = jax.nn.one_hot(target, classes)
    np.testing.assert_allclose(compiled(made)(logits, rows), compiled(made)(logits, target), rtol=1e-6)
    plain = loss("cross_entropy: {from_logits: false}")
    probabilities = made.activate(logits)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    # probabilities are cut at 1e-7, so that far-off answers differ
    near = np.asarray(probabilities)[np.arange(40), target] > 1e-5
    np.testing.assert_allclose(
        compiled(plain)(probabilities, target)[near], compiled(made)(logits, target)[near], rtol=1e-4, atol=1e-6
    )


def test_cross_entropy_of_pixels_is_the_mean_over_them() -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 3, 5)), jnp.float32)
    target = np.random.default_rng(1).integers(0, 5, (4, 2, 3)).astype(np.int32)
    want = jax.jit(optax.softmax_cross_entropy_with_integer_labels)(logits, target).mean((1, 2))
    np.testing.assert_allclose(compiled(loss("cross_entropy"))(logits, target), want, rtol=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_label_smoothing_against_optax(share: float) -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(0, 3, (20, 4)), jnp.float32)
    target = np.random.default_rng(1).integers(0, 4, 20).astype(np.int32)
    want = jax.jit(optax.softmax_cross_entropy)(logits, optax.smooth_labels(jax.nn.one_hot(target, 4), share))
    made = loss(f"cross_entropy: {{label_smoothing: {share}}}")
    np.testing.assert_allclose(compiled(made)(logits, target), want, rtol=1e-5)
    np.testing.assert_allclose(compiled(made)(logits, jax.nn.one_hot(target, 4)), want, rtol=1e-5)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_cross_entropies_stay_finite_far_out(size: float) -> None:
    logits = jnp.asarray([[-size, 0.0, size], [size, size, -size]])
    target = jnp.asarray([0, 1])
    many = loss("cross_entropy: {label_smoothing: 0.1}")
    value, gradient = jax.jit(jax.value_and_grad(lambda y: many.apply(y, target).total.sum()))(logits)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    np.testing.assert_allclose(compiled(loss("cross_entropy"))(logits, target), [2 * size, math.log(2)], rtol=1e-6)
    one = loss("binary_cross_entropy")
    value, gradient = jax.jit(jax.value_and_grad(lambda y: one.apply(y, target).total.sum()))(logits[:, :1])
    assert np.isfinite(value) and np.isfinite(gradient).all()
    np.testing.assert_allclose(
        compiled(one)(jnp.asarray([[-size], [size], [-size], [size]]), jnp.asarray([1, 0, 0, 1])),
        [size, size, 0, 0],
        rtol=1e-6,
    )


def test_probabilities_of_zero_and_one_stay_finite() -> None:
    for spec, output in (
        ("cross_entropy: {from_logits: false}", [[0.0, 1.0], [1.0, 0.0]]),
        ("binary_cross_entropy: {from_logits: false}", [[0.0], [1.0]]),
    ):
        made, y = loss(spec), jnp.asarray(output)
        for target in (jnp.asarray([0, 1]), jnp.asarray([1, 0])):
            total = jax.value_and_grad(lambda y, made=made, target=target: made.apply(y, target).total.sum())
            value, gradient = jax.jit(total)(y)
            assert np.isfinite(value) and np.isfinite(gradient).all()


def test_binary_cross_entropy_against_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    logits = jnp.asarray(generator.normal(0, 3, (50, 1)), jnp.float32)
    target = generator.integers(0, 2, 50).astype(np.int32)
    made = loss("binary_cross_entropy")
    probabilities = made.activate(logits)
    want = sklearn.metrics.log_loss(target, np.asarray(probabilities, np.float64))
    np.testing.assert_allclose(compiled(made)(logits, target).mean(), want, rtol=1e-5)
    np.testing.assert_allclose(
        compiled(made)(logits, target), jax.jit(optax.sigmoid_binary_cross_entropy)(logits[:, 0], target), rtol=1e-5
    )
    np.testing.assert_allclose(
        compiled(loss("binary_cross_entropy: {from_logits: false}"))(probabilities, target).mean(), want, rtol=1e-4
    )
    soft = jnp.asarray(generator.uniform(size=(50, 1)), jnp.float32)  # targets between 0 and 1
    np.testing.assert_allclose(
        compiled(made)(logits, soft), jax.jit(optax.sigmoid_binary_cross_entropy)(logits, soft)[:, 0], rtol=1e-5
    )


def test_two_classes_as_one_score_or_two() -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(10, 1)), jnp.float32)
    target = np.arange(10, dtype=np.int32) % 2
    two = jnp.concatenate([jnp.zeros_like(logits), logits], -1)
    np.testing.assert_allclose(
        compiled(loss("binary_cross_entropy"))(logits, target), compiled(loss("cross_entropy"))(two, target), rtol=1e-5
    )


@pytest.mark.parametrize("shape", [(1, 1), (30, 1), (7, 3), (4, 2, 3)])
def test_mse_against_scikit_learn(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    output, target = generator.normal(size=shape).astype(np.float32), generator.normal(size=shape).astype(np.float32)
    want = sklearn.metrics.mean_squared_error(target.reshape(shape[0], -1), output.reshape(shape[0], -1))
    np.testing.assert_allclose(compiled(loss("mse"))(jnp.asarray(output), jnp.asarray(target)).mean(), want, rtol=1e-5)
    classes = (target > 0).astype(np.int32)
    np.testing.assert_allclose(
        compiled(loss("mse"))(jnp.asarray(output), classes).mean(), ((output - classes) ** 2).mean(), rtol=1e-5
    )


def test_losses_of_half_precision_are_computed_in_float32() -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.bfloat16)
    target = jnp.asarray([0, 1, 2, 0])
    value = compiled(loss("cross_entropy"))(logits, target)
    assert value.dtype == jnp.float32
    np.testing.assert_array_equal(value, compiled(loss("cross_entropy"))(logits.astype(jnp.float32), target))


def test_a_class_too_many_is_seen() -> None:
    """A class number that the checks could not know of gives nan, which stops training, rather than a wrong number."""
    value = compiled(loss("cross_entropy"))(jnp.zeros((4, 3)), jnp.asarray([3, 0, -1, 2]))
    np.testing.assert_array_equal(np.isnan(value), [True, False, True, False])


# ---- metrics over a split ----


def over_split(made: Metric, prediction: np.ndarray, target: np.ndarray, size: int) -> float:
    """As evaluation does it: statistics of batches, the last one filled up with rows that don't count."""
    if made.collected:
        return made.judge(prediction, target, np.ones(len(target)))
    whole, of_batch = None, jax.jit(made.statistics)
    for start in range(0, len(target), size):
        rows = np.minimum(np.arange(start, start + size), len(target) - 1)
        weights = (np.arange(start, start + size) < len(target)).astype(np.float32)
        found = jax.tree.map(np.float64, of_batch(prediction[rows], target[rows], weights))
        whole = found if whole is None else made.merge(whole, found)
    assert whole is not None
    return made.result(whole)


@pytest.mark.parametrize("size", [1, 7, 32, 100])
def test_metrics_add_up_over_ragged_batches(size: int) -> None:
    generator = np.random.default_rng(0)
    scores, classes = generator.normal(size=(45, 5)).astype(np.float32), generator.integers(0, 5, 45).astype(np.int32)
    want = sklearn.metrics.accuracy_score(classes, scores.argmax(-1))
    assert over_split(metric("accuracy"), scores, classes, size) == pytest.approx(want)
    assert over_split(metric("accuracy"), scores, np.eye(5, dtype=np.float32)[classes], size) == pytest.approx(want)
    one, truth = generator.uniform(size=(45, 1)).astype(np.float32), generator.integers(0, 2, 45).astype(np.int32)
    for threshold in (0.5, 0.8):
        want = sklearn.metrics.accuracy_score(truth, one[:, 0] > threshold)
        assert over_split(metric(f"accuracy: {threshold}"), one, truth, size) == pytest.approx(want)
    output, target = (
        generator.normal(size=(45, 2)).astype(np.float32),
        generator.normal(size=(45, 2)).astype(np.float32),
    )
    assert over_split(metric("mae"), output, target, size) == pytest.approx(
        sklearn.metrics.mean_absolute_error(target, output), rel=1e-5
    )
    want = sklearn.metrics.root_mean_squared_error(target[:, :1], output[:, :1])
    assert over_split(metric("rmse"), output[:, :1], target[:, :1], size) == pytest.approx(want, rel=1e-5)
    # over several outputs it is the root of the mean over all of them
    want = math.sqrt(sklearn.metrics.mean_squared_error(target, output))
    assert over_split(metric("rmse"), output, target, size) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("word", [word for word in METRICS if load_class(METRICS, word).ranks])
def test_a_metric_that_ranks_sees_only_the_order(word: str) -> None:
    made, logits = (
        metric(load_class(METRICS, word).examples[0].spec),
        jnp.asarray(np.random.default_rng(0).normal(0, 3, (30, 4)), jnp.float32),
    )
    target = jnp.asarray(np.arange(30) % 4)
    want = over_split(made, np.asarray(loss("cross_entropy").activate(logits)), np.asarray(target), 30)
    assert over_split(made, np.asarray(logits), np.asarray(target), 30) == want


def test_which_way_a_metric_is_better() -> None:
    falling = {word for word in METRICS if not load_class(METRICS, word).upward}
    assert falling == {
        *("hamming_loss", "log_loss", "brier", "perplexity", "bits_per_character"),
        *("mae", "mse", "rmse", "mape", "smape", "mase", "median_absolute_error", "max_error"),
    }
    assert metric("accuracy").rises and not metric("mae").rises
    formula = "abs(prediction - target)"
    assert not metric(f"formula: '{formula}'").rises
    assert metric(f"formula: {{formula: '{formula}', higher_is_better: true}}").rises
    assert not any(load_class(LOSSES, word).higher_is_better for word in LOSSES)


# ---- optimizers ----

RULES: list[tuple[str, Any]] = [
    ("sgd: {learning_rate: RATE}", optax.sgd),
    ("sgd: {learning_rate: RATE, momentum: 0.9}", lambda rate: optax.sgd(rate, momentum=0.9)),
    (
        "sgd: {learning_rate: RATE, momentum: 0.9, nesterov: true}",
        lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True),
    ),
    ("adam: {learning_rate: RATE}", optax.adam),
    (
        "adam: {learning_rate: RATE, b1: 0.8, b2: 0.99, eps: 1e-5, nesterov: true}",
        lambda rate: optax.adam(rate, b1=0.8, b2=0.99, eps=1e-5, nesterov=True),
    ),
    ("adamw: {learning_rate: RATE}", optax.adamw),
    (
        "adamw: {learning_rate: RATE, weight_decay: 0.1, b2: 0.9}",
        lambda rate: optax.adamw(rate, weight_decay=0.1, b2=0.9),
    ),
]
RATES: list[tuple[str, Any]] = [
    ("0.05", 0.05),
    (
        "{cosine: {peak: 0.1, end: 0.001, warmup: 5%, length: 20%}}",
        optax.warmup_cosine_decay_schedule(0.0, 0.1, 10, 40, 0.001),
    ),
]


def fifty(rule: optax.GradientTransformation) -> list[Any]:
    """The first 50 updates on fixed gradients, in one compiled loop."""
    weights = {"kernel": jnp.linspace(-1, 1, 6).reshape(2, 3), "bias": jnp.ones(3)}
    generator = np.random.default_rng(0)
    gradients = {name: jnp.asarray(generator.normal(size=(50, *w.shape)), jnp.float32) for name, w in weights.items()}

    def step(carry: Any, gradient: Any) -> Any:
        weights, state = carry
        updates, state = rule.update(gradient, state, weights)
        return (optax.apply_updates(weights, updates), state), updates

    _, updates = jax.jit(lambda: jax.lax.scan(step, (weights, rule.init(weights)), gradients))()
    return jax.tree.leaves(updates)


@pytest.mark.parametrize(("text", "rate"), RATES, ids=["constant", "cosine"])
@pytest.mark.parametrize(("spec", "rule"), RULES, ids=[spec for spec, _ in RULES])
def test_an_optimizer_is_optaxs_to_the_bit(spec: str, rule: Any, text: str, rate: Any) -> None:
    made = built(spec.replace("RATE", text), "optimizer")
    assert isinstance(made, Optimizer), made
    for ours, theirs in zip(fifty(made.build(HORIZON)), fifty(rule(rate)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_settings_without_effect_are_errors() -> None:
    found = option_error("sgd: {learning_rate: 0.1, nesterov: true}", "optimizer")
    assert found.code == "DLC303" and found.loc == ("sgd", "nesterov") and "momentum" in (found.hint or "")
    found = option_error("cosine: {peak: 0.1, warmup: 100%}", "schedule")
    assert found.code == "DLC303" and found.loc == ("cosine", "warmup")


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("sgd: {learning_rate: 0}", "DLC104"),
        ("sgd: -0.1", "DLC104"),
        ("sgd: .inf", "DLC104"),
        ("sgd: .nan", "DLC104"),
        (f"sgd: 1{'0' * 310}", "DLC104"),
        ("sgd: '0.1'", "DLC103"),
        ("sgd: true", "DLC103"),
        ("sgd: [0.1]", "DLC103"),
        ("adam: {learning_rate: {cosin: 0.1}}", "DLC105"),
        ("adam: {learning_rate: {cosine: {peak: 0.1, warm: 3}}}", "DLC101"),
        ("adam: {learning_rate: cosine}", "DLC102"),
        ("adam: {beta1: 0.9}", "DLC101"),
        ("adam: {b1: 1}", "DLC104"),
        ("adamw: {weight_decay: -1}", "DLC104"),
    ],
)
def test_wrong_optimizers(spec: str, code: str) -> None:
    assert option_error(spec, "optimizer").code == code


# ---- schedules ----


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


# ---- first values ----


def test_a_path_hashes_to_the_same_everywhere() -> None:
    """Saved runs depend on these numbers."""
    assert path_hash("dense/kernel") == 0x0E2906D9
    assert len({path_hash(f"layer_{index}/kernel") for index in range(2000)}) == 2000


def test_glorot_uniform() -> None:
    spec = ParamSpec((200, 300), Init("glorot_uniform", 200, 300))
    value = draw(spec, 0, "dense/kernel")
    limit = math.sqrt(6 / 500)
    assert value.dtype == np.float32 and value.shape == (200, 300) and value.flags.c_contiguous
    assert np.abs(value).max() <= limit and np.abs(value).max() > 0.999 * limit
    assert value.var() == pytest.approx(2 / 500, rel=0.02)  # 60,000 draws: the deviation of the variance is 0.4%
    assert abs(value.mean()) < 5 * math.sqrt(2 / 500 / value.size)


def test_a_draw_depends_on_seed_path_and_declaration_alone() -> None:
    spec = ParamSpec((3, 4), Init("glorot_uniform", 3, 4))
    first = draw(spec, 7, "a/kernel")
    draw(spec, 8, "b/kernel")
    np.random.default_rng(0).random(5)
    np.testing.assert_array_equal(draw(spec, 7, "a/kernel"), first)
    assert np.any(draw(spec, 8, "a/kernel") != first)
    assert np.any(draw(spec, 7, "b/kernel") != first)
    np.testing.assert_array_equal(draw(spec, 2**32 - 1, "a").shape, (3, 4))


def test_constant_first_values() -> None:
    np.testing.assert_array_equal(draw(ParamSpec((3,), ZEROS), 0, "a"), np.zeros(3, np.float32))
    np.testing.assert_array_equal(draw(ParamSpec((3,), ONES, dtype="i32"), 0, "a"), np.ones(3, np.int32))
