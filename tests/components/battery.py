"""What a component of each kind must do with each of its examples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlc.backend.network import lower
from dlc.components.augmentations.augmentation import Augmentation, AugmentExample
from dlc.components.augmentations.mixing import Mixing
from dlc.components.callbacks.callback import RunView
from dlc.components.features.feature import FeatureExample, encoded, encoded_on_host, fitted, fitted_types
from dlc.components.initializers.initializer import draw, init_of
from dlc.components.losses.loss import LossExample
from dlc.components.registry import Kind
from dlc.components.rules.rule import RuleExample
from dlc.components.schedules.schedule import Horizon
from dlc.components.sources.source import wrong_columns
from dlc.data.fitted import device_stats
from dlc.diagnostics import Problems
from dlc.frontend.document import parse
from dlc.frontend.passes.augment import augment
from dlc.frontend.passes.expand import expand
from dlc.frontend.passes.infer import infer
from dlc.frontend.passes.lint import context_of
from dlc.frontend.passes.match import match
from dlc.frontend.passes.resolve import resolve
from dlc.frontend.pipeline import check_text
from dlc.frontend.plan import UpdateRule
from dlc.ir import DTYPES, ONES, Example, ParamSpec, TensorType
from dlc.language.loader import source_of
from dlc.language.options import RuleViolation
from dlc.language.source import Source
from dlc.language.yaml_text import parse_yaml
from tests.components.building import built_from, over_split, pair
from tests.components.layer_battery import ROUNDING, check_layer, check_states, close
from tests.components.layer_examples import sizes
from tests.components.layer_examples import value as array_of
from tests.components.value_examples import array, column, has_type, mask_of, spread, types_of

HORIZON = Horizon(200, 20.0)


def check_component(kind: Kind, word: str) -> None:
    """Run all examples of a component.

    Raises:
        AssertionError: what an example does not do.
    """
    cls = kind.load(word)
    assert cls.__dict__.get("__doc__"), f"`{cls.__name__}` has no docstring, whose first line `dlc layers` prints"
    assert cls.examples or kind.name == "initializer", f"`{cls.__name__}` has no `examples`, which the battery runs"
    if kind.name in LAYER_CHECKS:
        LAYER_CHECKS[kind.name](cls)
    else:
        CHECKS[kind.name](kind, cls)


def built(kind: Kind, spec: str) -> Any:
    """The component that an item describes, or its faults, read as a file is read."""
    return built_from(kind.table, spec, kind.name)


def right(kind: Kind, spec: str) -> Any:
    """The component that an item describes, which must be right."""
    made = built(kind, spec)
    assert isinstance(made, kind.base_class()), f"the example `{spec}` is refused: {_refusal(made)}"
    return made


def _refusal(error: Any) -> str:
    """Why a component refused something: the code and the message."""
    if isinstance(error, list):
        return "; ".join(map(_refusal, error))
    return f"{error.code}: {error.message}" if error is not None else "no error"


def agrees(example: Any, error: Any) -> None:
    """Check that a component refused an example, or did not, as the example states.

    Args:
        example: the example.
        error: what refused it, errors of its options or a `RuleViolation`, or None.
    """
    first = error[0] if isinstance(error, list) else error
    code = first.code if first is not None else None
    assert code == example.error, (
        f"the example {example} has error={example.error}, the component gave {_refusal(error)}"
    )


def same(got: Any, want: Any, what: str) -> None:
    """Two results that are equal but for rounding."""
    assert jax.tree.structure(got) == jax.tree.structure(want), what
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        close(one, other, "f32", what)


# ---- layers and blocks ----


def check_layers(cls: type[Any]) -> None:
    """Each example of a layer; a layer with another item's weights is computed with that item, in its own tests."""
    for example in cls.examples:
        check_states(example)
    if not cls.ties_weights:
        check_layer([example for example in cls.examples if example.error is None])


def check_blocks(cls: type[Any]) -> None:
    """Each example of a block as a network: its type and weights, and finite values in each type and mode."""
    for example in cls.examples:
        typed, codes = network_of(cls, example, "f32")
        if example.error is not None:
            assert codes == [example.error], f"{example} gives {codes}"
            continue
        assert typed is not None and codes == [], f"{example} gives {codes}"
        assert str(typed.types["output"]) == example.output, f"{example} gives {typed.types['output']}"
        cases = [(dtype, lower(network_of(cls, example, dtype)[0])) for dtype in ROUNDING]
        inputs = {name: array_of(kind, seed) for seed, (name, kind) in enumerate(typed.inputs.items())}
        variables, key = cases[0][1].init(0), jax.random.key(0)
        params = sum(slot.size for slot in cases[0][1].params.values())
        assert params == example.params, f"{example} has {params} parameters"

        def everything(cases: Any = cases, variables: Any = variables, inputs: Any = inputs, key: Any = key) -> Any:
            return [
                [
                    program.apply(variables, inputs, key=jax.random.key(0), train=train)[0]["output"]
                    for _, program in cases
                ]
                for train in (False, True)
            ]

        evaluated, trained = jax.jit(everything)()
        for (dtype, _), output, moved in zip(cases, evaluated, trained, strict=True):
            assert output.shape == moved.shape == sizes(typed.types["output"])
            assert np.isfinite(output).all() and np.isfinite(moved).all()
            np.testing.assert_allclose(output, evaluated[0], atol=64 * ROUNDING[dtype], err_msg=f"{example} {dtype}")


def network_of(cls: type[Any], example: Example, dtype: str) -> tuple[Any, list[str]]:
    """The typed graph of an example of a block, and the codes of what is wrong."""
    texts = [example.inputs] if isinstance(example.inputs, str) else list(example.inputs)
    types = [TensorType.parse(text) for text in texts]
    names = cls.names if len(types) > 1 and cls.names else tuple(f"x{index}" for index in range(len(types)))
    declared = ", ".join(f"{name}: {{tensor: [1]}}" for name in names)
    item = example.spec if ":" in example.spec else f"{example.spec}:"
    given = f"\n    inputs: [{', '.join(names)}]" if len(names) > 1 else ""
    text = f"inputs: {{{declared}}}\nprecision: {DTYPES[dtype]}\nnetwork:\n  - {item}{given}\n"
    problems = Problems()
    document = parse(parse_yaml(text, "example"), problems)
    graph = resolve(document, expand(document, problems), problems)
    inputs = dict(zip(names, types, strict=True))
    return infer(replace(graph, inputs=inputs), problems), list(problems.report({}).codes)


# ---- losses and metrics ----


def check_losses(kind: Kind, cls: type[Any]) -> None:
    """Each example of a loss: float32 values and gradients, per example, compiled and eager."""
    good = check_pairs(kind, cls)
    made = [right(kind, example.spec) for example in good]
    pairs = [pair(example, seed=2) for example in good]

    def everything() -> Any:
        return [_loss(loss, *values) for loss, values in zip(made, pairs, strict=True)]

    for example, loss, (output, target), found in zip(good, made, pairs, jax.jit(everything)(), strict=True):
        total, score, first, gradient = found
        for part in (score.total, score.weight):
            assert part.shape == (6,) and part.dtype == jnp.float32, (
                f"{example}: the score is {part.dtype} {part.shape}"
            )
            assert np.isfinite(part).all(), f"{example}: the score is {part}"
        assert np.isfinite(gradient).all() and np.any(gradient), f"{example}: a gradient is not finite, or all are 0"
        same(total, score.total.sum(), str(example))
        if first is not None:
            same(score.total[:1], first.total, f"{example}: the loss of an example is its own")
        nothing = None if target is None else target[:0]
        assert jax.eval_shape(loss.apply, output[:0], nothing).total.shape == (0,)
        assert jax.eval_shape(loss.activate, output).shape == output.shape
        assert loss.activations() or loss.activate(output) is output
        if loss is made[0]:
            eager = loss.apply(output, target)
            same([eager.total, eager.weight], [score.total, score.weight], f"{example}, eager")


def _loss(loss: Any, output: Any, target: Any) -> Any:
    """The sum, the score, that of the first example alone, and the gradient."""

    def total(y: Any) -> Any:
        first = None if loss.in_batch else loss.apply(y[:1], None if target is None else target[:1])
        found = loss.apply(y, target)
        return found.total.sum(), (found, first)

    (whole, (found, first)), gradient = jax.value_and_grad(total, has_aux=True)(output)
    return whole, found, first, gradient


def check_pairs(kind: Kind, cls: type[Any]) -> list[LossExample]:
    """The right examples of a loss or metric. There is a wrong one, too, and the docstring says what is compared."""
    summary = cls.__dict__.get("__doc__") or ""
    assert summary.startswith("(batch"), (
        f"the docstring of `{cls.word}` begins with shapes: (batch, ...) with (batch, ...)"
    )
    wrong = [example.error for example in cls.examples if example.error is not None]
    assert cls.code in wrong, f"`{cls.word}` has no example with error={cls.code!r}: types that it refuses"
    good = [example for example in cls.examples if fits(kind, example)]
    assert good, f"`{cls.word}` has no example without an error"
    return good


def fits(kind: Kind, example: LossExample) -> bool:
    """Whether an example of a loss or metric is right; what is wrong must give its code."""
    made = built(kind, example.spec)
    if isinstance(made, list):
        agrees(example, made)
        return False
    types = TensorType.parse(example.output), TensorType.parse(example.target) if example.target else None
    try:
        made.infer(*types)
    except RuleViolation as error:
        agrees(example, error)
        assert error.found, f"{example}: the `RuleViolation` has no `found`"
        return False
    agrees(example, None)
    return True


def check_metrics(kind: Kind, cls: type[Any]) -> None:
    """Each example of a metric: a finite value over batches, from float32 statistics, compiled and eager."""
    for example in check_pairs(kind, cls):
        made, (output, target) = right(kind, example.spec), pair(example, seed=2)
        value = over_split(made, np.asarray(output), np.asarray(target), 4)
        assert math.isfinite(value), f"{example}: the value is {value}"
        if made.collected:
            continue
        empty = jax.eval_shape(made.statistics, output[:0], target[:0], jnp.zeros(0))
        full = jax.eval_shape(made.statistics, output, target, jnp.zeros(6))
        shapes = [jax.tree.map(lambda leaf: leaf.shape, part) for part in (empty, full)]
        assert shapes[0] == shapes[1], (
            f"{example}: the shapes of the statistics depend on the size of the batch: {shapes}"
        )
        dtypes = {leaf.dtype for leaf in jax.tree.leaves(full)}
        assert dtypes == {jnp.dtype("float32")}, f"{example}: the statistics are {dtypes}"
        if example is cls.examples[0]:
            eager = jax.tree.map(np.float64, made.statistics(output, target, jnp.ones(6)))
            assert made.result(eager) == pytest.approx(value, rel=1e-5, abs=1e-6), f"{example}, eager"


# ---- optimizers and schedules ----


def check_optimizers(kind: Kind, cls: type[Any]) -> None:
    """Each example of an optimizer lowers a loss; its updates keep shapes and types, and eager they are the same."""
    start = {"kernel": jnp.full((3, 2), 0.5)}
    rules = [right(kind, text).build(HORIZON) for text in cls.examples]

    def step(rule: Any, carry: Any, _: Any) -> Any:
        weights, state = carry
        updates, state = rule.update({"kernel": 2 * (weights["kernel"] - 1)}, state, weights)
        return (optax.apply_updates(weights, updates), state), None

    def run(rule: Any) -> Any:
        once = step(rule, (start, rule.init(start)), None)[0][0]
        return once, jax.lax.scan(partial(step, rule), (start, rule.init(start)), None, 200)[0][0]

    for text, (once, end) in zip(cls.examples, jax.jit(lambda: [run(rule) for rule in rules])(), strict=True):
        assert once["kernel"].dtype == jnp.float32 and np.isfinite(once["kernel"]).all(), text
        assert np.square(np.asarray(end["kernel"]) - 1).sum() < 0.999 * 6 * 0.25, text
        if text is cls.examples[0]:
            same(step(rules[0], (start, rules[0].init(start)), None)[0][0], once, f"{text}, eager")


def check_schedules(kind: Kind, cls: type[Any]) -> None:
    """Each example of a schedule: a rate for each step, finite and not negative, compiled and eager."""
    steps = jnp.arange(200)
    for text in cls.examples:
        schedule = right(kind, text)
        rate = schedule.build(Horizon(2000, 20.0))
        found = np.asarray(jax.jit(jax.vmap(lambda step, rate=rate: jnp.asarray(rate(step), jnp.float32)))(steps))
        assert np.isfinite(found).all() and (found >= 0).all() and found.max() > 0, text
        eager = [float(rate(jnp.int32(step))) for step in (0, 1, 17)]
        same(np.array(eager, np.float32), found[[0, 1, 17]], f"{text}, eager")


# ---- weights ----


def check_initializers(kind: Kind, cls: type[Any]) -> None:
    """The defaults and each example draw finite float32, the same for the same seed, of any shape."""
    texts = cls.examples or ((cls.word,) if not cls.required_options() else ())
    assert texts, "an initializer with required options needs an example"
    for text in texts:
        thing = right(kind, text)
        for shape in ((4, 8), (3, 3, 2, 8)):
            spec = ParamSpec(shape, ONES)
            drawn = draw(replace(spec, init=init_of(thing, spec)), 1, "kernel")
            again = draw(replace(spec, init=init_of(thing, spec)), 1, "kernel")
            assert drawn.shape == shape and drawn.dtype == np.float32 and np.isfinite(drawn).all(), text
            np.testing.assert_array_equal(drawn, again)


def check_constraints(kind: Kind, cls: type[Any]) -> None:
    """Each example maps weights to allowed ones, which it leaves as they are; compiled and eager."""
    weight = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    for text in cls.examples:
        made = right(kind, text)
        axes = made.over(ParamSpec((4, 3), ONES, ("in", "out")))
        once, twice = jax.jit(lambda w, made=made, axes=axes: (y := made.apply(w, axes), made.apply(y, axes)))(weight)
        assert once.shape == weight.shape and once.dtype == weight.dtype and np.isfinite(once).all(), text
        same(twice, once, f"{text} moves what it allows")
        same(made.apply(weight, axes), once, f"{text}, eager")


# ---- augmentations ----


def check_augmentations(kind: Kind, cls: type[Any]) -> None:
    """Each example: shapes, element types and padding stay; a key gives the same bits each time, others others.

    Nor does what lies in the padding change what does not.
    """
    for example in (item for item in cls.examples if _acts(kind, item)):
        made, types = right(kind, example.spec), types_of(example)
        values, masks = [array(part, seed) for seed, part in enumerate(types)], [mask_of(part) for part in types]
        run = jax.jit(partial(_augmented, made, masks=masks))
        keys = [jax.random.key(seed) for seed in range(6)]
        results = [run(key, values) for key in keys]
        for one, other in zip(jax.tree.leaves(results[0]), jax.tree.leaves(run(keys[0], values)), strict=True):
            assert np.array_equal(one, other)
        assert any(not np.array_equal(results[0][0][0], result[0][0]) for result in results[1:]), example
        far = [
            x if mask is None else jnp.asarray(np.where(spread(mask, x), x, np.asarray(x) + 99))
            for x, mask in zip(values, masks, strict=True)
        ]
        moved = run(keys[0], far)
        for index, (x, part, mask) in enumerate(zip(values, types, masks, strict=True)):
            for result in results:
                y = result[0][index]
                assert (y.shape, y.dtype) == (x.shape, x.dtype) and np.isfinite(np.asarray(y)).all(), example
                if not part.is_float:
                    assert np.isin(y, np.append(np.asarray(x), 3)).all(), "a class that was not there"
            if mask is not None:
                real = np.broadcast_to(spread(mask, x), x.shape)
                assert np.array_equal(np.asarray(results[0][0][index])[~real], np.asarray(x)[~real])
                assert np.array_equal(np.asarray(moved[0][index])[real], np.asarray(results[0][0][index])[real])


def _augmented(made: Augmentation, key: Any, values: Any, masks: Any) -> Any:
    if isinstance(made, Mixing):
        return made.mix(key, *values)
    return made.apply(key, *values, masks=masks), None


def _acts(kind: Kind, example: AugmentExample) -> bool:
    """Whether an example is right; what is wrong must give its code."""
    made = built(kind, example.spec)
    if isinstance(made, list):
        assert len(made) == 1, made
        agrees(example, made)
        return False
    if made.idle() is not None:
        assert example.error == "DLC303", f"{example}: it changes nothing, which is DLC303"
        return False
    try:
        made.infer(*types_of(example))
    except RuleViolation as wrong:
        agrees(example, wrong)
        return False
    agrees(example, None)
    return True


# ---- data ----


def check_features(kind: Kind, cls: type[Any]) -> None:
    """Each example: the declared types, what it reads, and an encoding that is the same inside a program."""
    for example in cls.examples:
        _check_feature(kind, example)


def _check_feature(kind: Kind, example: FeatureExample) -> None:
    made = built(kind, example.spec)
    if isinstance(made, list):
        agrees(example, made)
        return
    assert str(made.value_type()) == example.type, f"{example} says {example.type}, `value_type` {made.value_type()}"
    try:
        raw = made.read([column(example.column)], "x")
    except RuleViolation as error:
        agrees(example, error)
        assert error.found, f"{example}: the `RuleViolation` has no `found`"
        return
    agrees(example, None)
    assert raw.flags.c_contiguous, f"{example}: `read` returned an array that is not contiguous"
    np.testing.assert_array_equal(raw, np.asarray(example.read, raw.dtype))
    record = raw.shape[1:]
    if made.learns:
        raw = made.prepare(raw, made.learn(raw, Path()), "x")
    rows = raw
    if made.span is not None:  # a record is some of the rows
        raw = rows[np.arange(made.span[1] - made.span[0])[None] % len(rows)]
    exported = raw.astype(DTYPES[made.raw_type().dtype])  # what an exported program takes
    np.testing.assert_array_equal(exported, raw)
    has_type(exported, made.raw_type())
    stats = fitted(made, "x", rows)
    assert {name: TensorType(part.shape) for name, part in stats.items()} == fitted_types(made)
    assert all(part.dtype == np.float64 for part in stats.values())
    value = encoded_on_host(made, "x", raw, stats)["x"]
    assert value.dtype == DTYPES[made.value_type().dtype]
    assert np.isfinite(value).all(), f"{example}: the network would get {value}"
    has_type(value, made.value_type())

    def program(raw: Any, stats: Any) -> Any:
        return encoded(made, "x", raw, stats)["x"]

    compiled = jax.jit(program)(jnp.asarray(exported), device_stats({"x": stats})["x"])
    assert compiled.dtype == value.dtype
    np.testing.assert_allclose(compiled, value, rtol=1e-6)
    if made.value_type() == made.raw_type():
        real = made.mask(raw) if made.value_type().mask else slice(None)  # padding is 0, not a number of the data
        np.testing.assert_allclose(made.decode(value, stats)[real], made.filled(raw, stats)[real], rtol=1e-6)
    assert made.read([column(example.column)[:0]], "x").shape == (0, *record)


def check_sources(kind: Kind, cls: type[Any]) -> None:
    """Each example gives the columns that it declares, of one length; one with files reads its own samples."""
    for text in cls.examples:
        made = right(kind, text)
        if not made.locations:
            _check_columns(made, Path(), text)
            continue
        with TemporaryDirectory() as folder:
            base = Path(folder)
            with pytest.raises(RuleViolation) as caught:
                made.load(base)
            assert caught.value.code == "DLC401", f"`{text}`: a missing file is DLC401, not {_refusal(caught.value)}"
            made.write_sample(base)
            made.find(base)
            _check_columns(made, base, text)
            rooted = made.rooted(base)
            for path in rooted.places().values():
                assert Path(path).is_absolute(), f"`{text}`: `rooted` returned the relative path {path}"
            _check_columns(rooted, Path(), text)


def _check_columns(made: Any, base: Path, text: str) -> None:
    columns, declared = made.load(base), made.columns()
    wrong = wrong_columns(columns, declared)
    assert wrong is None, f"`{text}`: {wrong}"
    count = made.count(base)
    assert count in (None, len(next(iter(columns.values())))), f"`{text}`: `count` returned {count}"


# ---- what acts on a run or a spec ----


def check_callbacks(kind: Kind, cls: type[Any]) -> None:
    """Each example goes through a run of two epochs, and through one that is not kept."""
    for text in cls.examples:
        made = right(kind, text)
        with TemporaryDirectory() as folder:
            for place in (Path(folder), None):
                _run_callback(made, place)


def _run_callback(made: Any, folder: Path | None) -> None:
    store: dict[str, Any] = {}
    history: tuple[dict[str, float], ...] = ()
    monitored = made.monitored() or "train/loss"

    def view(epoch: int, metrics: dict[str, float], status: Any = "training") -> RunView:
        return RunView(
            "example", folder, epoch, 2, epoch * 5, 10, metrics, 0.1, history, status, store, str.upper, str.upper
        )

    made.on_begin(view(0, {}))
    for epoch in (1, 2):
        made.on_chunk(view(epoch, {"train/loss": 1.0}))
        metrics = {"epoch": epoch, "step": epoch * 5, "learning_rate": 0.1, "train/loss": 1.0, monitored: 0.5}
        history = (*history, metrics)
        made.on_epoch(view(epoch, metrics))
    made.on_end(view(2, {}, "finished"))


def check_exports(kind: Kind, cls: type[Any]) -> None:
    """Each example is right, and says whether it writes a file or a folder; `tests/serving` writes them."""
    for text in cls.examples:
        assert right(kind, text).default_name


def check_rules(kind: Kind, cls: type[Any]) -> None:
    """Each example: the wrong spec has the rule's findings and no others, the right one is clean."""
    assert cls.examples
    for example in cls.examples:
        found = findings(cls, example)
        assert found and all(item.span is not None for item in found)
        assert {item.code or cls.code for item in found} == {cls.code}
        _, report = check_text(example.wrong, "example.yaml")
        assert [item.message for item in report.diagnostics] == [item.message for item in found]
        spec, report = check_text(example.right, "example.yaml")
        assert spec is not None and not report.diagnostics, report.diagnostics


def findings(cls: type[Any], example: RuleExample) -> list[Any]:
    """What a rule finds in the wrong spec of an example, which has nothing else wrong."""
    problems = Problems()
    source: Source = source_of(example.wrong, "example.yaml")
    document = parse(source, problems)
    graph = resolve(document, expand(document, problems), problems)
    augmented, typed = augment(document, problems), infer(graph, problems)
    objectives = match(document, graph, typed.types if typed else None, problems)
    assert problems.ok, problems.report({}).diagnostics
    update = None
    if document.optimizer is not None:
        update = UpdateRule(document.optimizer.thing, document.optimizer.modifiers)
    return list(cls().check(context_of(document, graph, typed, objectives, augmented, update)))


LAYER_CHECKS: dict[str, Callable[[type[Any]], None]] = {
    "layer": check_layers,
    "activation": check_layers,
    "block": check_blocks,
}

CHECKS: dict[str, Callable[[Kind, type[Any]], None]] = {
    "initializer": check_initializers,
    "constraint": check_constraints,
    "loss": check_losses,
    "metric": check_metrics,
    "optimizer": check_optimizers,
    "schedule": check_schedules,
    "augmentation": check_augmentations,
    "feature": check_features,
    "source": check_sources,
    "callback": check_callbacks,
    "export": check_exports,
    "rule": check_rules,
}
