"""The training step: weights of examples, accumulation, averages of weights, what an output may be compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dlc
from dlc.backend import statistics
from dlc.backend.averaging import Averaging, precise
from dlc.backend.hyperparameters import Hyperparameters
from dlc.backend.network import lower
from dlc.backend.train_step import CompiledSteps, TrainState, make_compiled_steps
from dlc.backend.update import make_updater
from dlc.components.layers.norm import BatchNorm
from dlc.components.schedules.schedule import Horizon
from dlc.data.feed import Feed
from dlc.frontend.pipeline import Spec

HEAD = "inputs: {x: {tensor: [3]}}\ntargets: {y: {tensor: [2]}, w: number}\n"
NET = "network: [dense: {units: 4, activation: tanh}, dense: 2]\n"


def spec_of(optimizer: str, loss: str = "loss: {mse: , target: y}", network: str = NET, head: str = HEAD) -> Spec:
    if "sample_weight" not in loss:
        head = head.replace(", w: number", "")
    return dlc.loads(f"{head}{network}{loss}\noptimizer: {optimizer}\n")


def rows(count: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(count, 3)), generator.normal(size=(count, 2))
    w = generator.integers(0, 4, (count, 1))
    arrays = {"inputs": {"x": x}, "targets": {"y": y, "w": w}}
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), arrays)


def feed_of(batches: Any) -> Feed:
    """Batches (steps, batch, ...) as a chunk's feed."""
    steps, size = jax.tree.leaves(batches)[0].shape[:2]
    flat = jax.tree.map(lambda leaf: leaf.reshape(steps * size, *leaf.shape[2:]), batches)
    return Feed(flat, jnp.arange(steps * size).reshape(steps, size))


def trained(spec: Spec, batches: Any, steps: int) -> tuple[TrainState, CompiledSteps]:
    """The state after some steps over batches (steps, batch, ...), started from seed 0."""
    program = lower(spec.graph)
    stats: Any = {name: {} for name in (*spec.plan.inputs, *spec.plan.targets)}
    compiled_steps = make_compiled_steps(
        spec.plan, program, make_updater(spec.plan, program, Horizon(100, 10.0)), stats
    )
    wanted = {name for target in spec.plan.targets for name in (target, f"{target}.mask")}
    kept = {"inputs": batches["inputs"], "targets": {n: v for n, v in batches["targets"].items() if n in wanted}}
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), kept)
    state = compiled_steps.start(program.init(0), compiled_steps.batch_statistics(program.declared(), shapes))
    return compiled_steps.chunk(state, feed_of(kept), np.int32(steps), np.bool_(True), stats), compiled_steps


def close(first: Any, second: Any, rtol: float = 1e-5) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6), first, second)


def exact(**decays: float) -> Any:
    """Decays as a training step has them, with powers that are exact: `1 - b2**t` of optax is 1.3e-5 off at first."""
    numbers = Hyperparameters.of(decays)
    return numbers.bound(numbers.values)


def by_hand(spec: Spec, batches: Any, steps: int, rule: optax.GradientTransformation, loss: Any) -> list[Any]:
    """The weights after each step of a plain optax loop; `loss` is of (outputs, a batch's targets)."""
    program = lower(spec.graph)
    variables = program.init(0)
    params = jax.tree.map(jnp.asarray, variables["params"])

    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> Any:
        def objective(params: Any) -> Any:
            outputs, _ = program.apply({**variables, "params": params}, batch["inputs"], train=True)
            return loss(outputs, batch)

        updates, state = rule.update(jax.grad(objective)(params), state, params)
        return optax.apply_updates(params, updates), state

    state, found = rule.init(params), []
    for iteration in range(steps):
        params, state = step(params, state, jax.tree.map(lambda leaf, iteration=iteration: leaf[iteration], batches))
        found.append(params)
    return found


def batched(count: int, size: int, seed: int = 0) -> Any:
    return jax.tree.map(lambda leaf: leaf.reshape(count, size, *leaf.shape[1:]), rows(count * size, seed))


def squared(outputs: Any, batch: Any) -> Any:
    return jnp.square(outputs["output"] - batch["targets"]["y"]).mean()


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_a_penalty_counts_once_however_many_batches_make_a_step(penalty: str) -> None:
    data, head = batched(3, 8), f"{HEAD}regularization: {{{penalty}: 0.1}}\n"
    whole, _ = trained(spec_of("{sgd: 0.5}", head=head), data, 3)
    parts, _ = trained(spec_of("{sgd: 0.5, accumulate: 4}", head=head), data, 3)
    close(whole.variables, parts.variables)
    plain, _ = trained(spec_of("{sgd: 0.5}"), data, 3)
    kernels = [state.variables["params"]["dense"]["kernel"] for state in (whole, plain)]
    assert np.abs(np.asarray(kernels[0]) - np.asarray(kernels[1])).max() > 1e-3


def test_a_frozen_batch_norm_normalizes_by_its_statistics_in_training() -> None:
    network = "network: [{batch_norm: , trainable: false, name: norm}, dense: 2]\n"
    program = lower(spec_of("{sgd: 0.5}", network=network).graph)
    variables = program.init(0)
    x = jnp.float32(np.random.default_rng(0).normal(3.0, 2.0, size=(16, 3)))
    trained_, evaluated = (program.run(variables, {"x": x}, train=train) for train in (True, False))
    np.testing.assert_array_equal(trained_.outputs["output"], evaluated.outputs["output"])
    jax.tree.map(np.testing.assert_array_equal, trained_.state, variables["state"])
    free = lower(spec_of("{sgd: 0.5}", network=network.replace(", trainable: false", "")).graph)
    assert np.any(
        np.asarray(free.run(free.init(0), {"x": x}, train=True).outputs["output"]) != evaluated.outputs["output"]
    )


def test_a_frozen_layer_keeps_its_state_whatever_its_code_does(monkeypatch: pytest.MonkeyPatch) -> None:
    network = "network: [{batch_norm: , trainable: false, name: norm}, dense: 2]\n"
    program = lower(spec_of("{sgd: 0.5}", network=network).graph)
    variables = program.init(0)
    apply = BatchNorm.apply
    moved = lambda self, weights, x, *, ctx: apply(self, weights, x, ctx=replace(ctx, mode="train"))  # noqa: E731
    monkeypatch.setattr(BatchNorm, "apply", moved)
    found = program.run(variables, {"x": jnp.ones((16, 3))}, train=True)
    jax.tree.map(np.testing.assert_array_equal, found.state, variables["state"])


@pytest.mark.parametrize("count", [2, 4])
def test_small_batches_accumulated_equal_a_large_one(count: int) -> None:
    """Also where examples count differently, so that the mean of the batches' means would be wrong."""
    for loss in ("loss: {mse: , target: y}", "loss: {mse: , target: y, sample_weight: w}"):
        data = batched(3, 8)
        whole, _ = trained(spec_of("{sgd: 0.5}", loss), data, 3)
        parts, _ = trained(spec_of(f"{{sgd: 0.5, accumulate: {count}}}", loss), data, 3)
        close(whole.variables, parts.variables)
        spec = spec_of("{sgd: 0.5}", loss)
        batch_statistics = [
            statistics.values(spec.plan, statistics.to_host(jax.device_get(state.sums)))["loss"]
            for state in (whole, parts)
        ]
        assert batch_statistics[0] == pytest.approx(batch_statistics[1], rel=1e-5)


def test_accumulation_of_masked_sequences_counts_tokens() -> None:
    head = "inputs: {x: {tokens: {vocabulary: 5, padding: 0}}}\ntargets: {y: {tokens: 3}}\n"
    network = "network: [embedding: {vocabulary: 5, size: 3}, dense: 3]\n"
    generator = np.random.default_rng(0)
    x = np.where(np.arange(6) < generator.integers(1, 7, (2, 8, 1)), generator.integers(1, 5, (2, 8, 6)), 0)
    data = {
        "inputs": {"x": jnp.asarray(x, jnp.int32), "x.mask": jnp.asarray(x != 0)},
        "targets": {"y": jnp.asarray(generator.integers(0, 3, (2, 8, 6)), jnp.int32)},
    }
    states = []
    for more in ("", ", accumulate: 4"):
        spec = spec_of(f"{{sgd: 0.5{more}}}", "loss: cross_entropy", network, head)
        states.append(trained(spec, data, 2)[0])
    close(states[0].variables, states[1].variables)

    def per_token(outputs: Any, batch: Any) -> Any:
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs["output"], batch["targets"]["y"])
        return (losses * batch["inputs"]["x.mask"]).sum() / batch["inputs"]["x.mask"].sum()

    close(states[0].variables["params"], by_hand(spec, data, 2, optax.sgd(0.5), per_token)[-1])


def test_only_positions_that_input_and_target_both_have_count() -> None:
    head = "inputs: {x: {tokens: {vocabulary: 5, padding: 0}}}\ntargets: {y: {tokens: {vocabulary: 4, padding: 0}}}\n"
    network = "network: [embedding: {vocabulary: 5, size: 3}, dense: 4]\n"
    generator = np.random.default_rng(0)

    def tokens(most: int) -> Any:
        lengths = generator.integers(1, 7, (2, 8, 1))
        return np.where(np.arange(6) < lengths, generator.integers(1, most, (2, 8, 6)), 0).astype(np.int32)

    x, y = tokens(5), tokens(4)
    data = {"inputs": {"x": x, "x.mask": x != 0}, "targets": {"y": y, "y.mask": y != 0}}
    assert ((x == 0) & (y != 0)).any() and ((x != 0) & (y == 0)).any()
    spec = spec_of("{sgd: 0.5}", "loss: cross_entropy", network, head)

    def per_token(outputs: Any, batch: Any) -> Any:
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs["output"], batch["targets"]["y"])
        both = batch["inputs"]["x.mask"] & batch["targets"]["y.mask"]
        return (losses * both).sum() / both.sum()

    state = trained(spec, data, 2)[0]
    close(state.variables["params"], by_hand(spec, data, 2, optax.sgd(0.5), per_token)[-1])


def test_each_accumulated_batch_has_its_own_random_numbers() -> None:
    """The gradient of a feature counts in how many of two equal examples, one per part, dropout kept it: 0, 1 or 2."""
    head = "inputs: {x: {tensor: [64]}}\ntargets: {y: {tensor: [1]}}\n"
    network = "network: [dropout: 0.5, {dense: 1, initializer: zeros}]\n"
    data = {"inputs": {"x": jnp.ones((1, 2, 64))}, "targets": {"y": jnp.ones((1, 2, 1))}}
    state, _ = trained(spec_of("{sgd: 0.25, accumulate: 2}", network=network, head=head), data, 1)
    kept = np.asarray(state.variables["params"]["dense"]["kernel"]) * 2
    assert set(kept.ravel().tolist()) == {0.0, 1.0, 2.0}


def test_sample_weights_are_those_of_a_weighted_mean() -> None:
    data, spec = batched(4, 6), spec_of("{sgd: 0.5}", "loss: {mse: , target: y, sample_weight: w}")

    def weighted(outputs: Any, batch: Any) -> Any:
        each = jnp.square(outputs["output"] - batch["targets"]["y"]).mean(-1)
        return jnp.average(each, weights=batch["targets"]["w"][:, 0])

    close(trained(spec, data, 4)[0].variables["params"], by_hand(spec, data, 4, optax.sgd(0.5), weighted)[-1])


def test_losses_count_by_their_weights() -> None:
    losses = "loss: [{mse: , target: y, weight: 0.25}, {mae: , target: y, weight: 3}]"
    data, spec = batched(3, 6), spec_of("{sgd: 0.1}", losses)

    def weighted(outputs: Any, batch: Any) -> Any:
        difference = outputs["output"] - batch["targets"]["y"]
        return 0.25 * jnp.square(difference).mean() + 3 * jnp.abs(difference).mean()

    close(trained(spec, data, 3)[0].variables["params"], by_hand(spec, data, 3, optax.sgd(0.1), weighted)[-1])


def test_a_sum_over_the_elements_of_an_example() -> None:
    data, spec = batched(3, 6), spec_of("{sgd: 0.1}", "loss: {mse: , target: y, reduction: sum}")

    def summed(outputs: Any, batch: Any) -> Any:
        return jnp.square(outputs["output"] - batch["targets"]["y"]).sum(-1).mean()

    close(trained(spec, data, 3)[0].variables["params"], by_hand(spec, data, 3, optax.sgd(0.1), summed)[-1])


def test_an_exponential_average_is_optax_s() -> None:
    data = batched(5, 6)
    state, compiled_steps = trained(spec_of("{sgd: 0.5, ema: 0.9}"), data, 5)
    history = by_hand(spec_of("{sgd: 0.5}"), data, 5, optax.sgd(0.5), squared)
    average = optax.ema(0.9, debias=True)
    kept = average.init(history[0])
    for params in history:
        mean, kept = average.update(params, kept)
    close(compiled_steps.shown(state)["params"], mean)
    close(state.variables["params"], history[-1])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_average_has_the_statistics_of_its_weights(accumulate: int) -> None:
    """Here they depend on no weight: the same average, without bias, of the moments of the batches.

    Running means would still be near their initial values after 5 steps.
    """
    network = "network: [{batch_norm: 0.9, name: norm}, dense: 2]\n"
    data = batched(5, 8)
    more = f", accumulate: {accumulate}" if accumulate > 1 else ""
    state, compiled_steps = trained(spec_of(f"{{sgd: 0.5, ema: 0.8{more}}}", network=network), data, 5)
    x = np.asarray(data["inputs"]["x"], np.float64).reshape(5, accumulate, -1, 3)
    inside = np.array([0.9, 1.0][-accumulate:]) / sum([0.9, 1.0][-accumulate:])  # the batches of a step
    shares = 0.8 ** np.arange(4, -1, -1) * 0.2 / (1 - 0.8**5)
    found = compiled_steps.shown(state)["state"]["norm"]
    for name, moment in (("mean", x.mean(2)), ("variance", x.var(2))):
        want = np.einsum("s,a,sac->c", shares, inside, moment)
        np.testing.assert_allclose(found[name], want, rtol=1e-4, atol=1e-5)
    running = np.asarray(state.variables["state"]["norm"]["variance"])
    assert np.abs(running - found["variance"]).max() > 0.05


def test_the_skipped_steps_of_an_epoch_are_counted_anew() -> None:
    """`fresh` begins an epoch: its first chunk forgets those of the epoch before, later chunks don't."""
    data = batched(3, 4)
    data["targets"]["y"] = data["targets"]["y"].at[1].set(jnp.nan)
    state, compiled_steps = trained(spec_of("{sgd: 0.1}", head=f"{HEAD}train: {{on_nan: skip}}\n"), data, 3)
    assert int(state.skipped.epoch) == 1 and int(state.skipped.row) == 0
    feed = feed_of({"inputs": data["inputs"], "targets": {"y": data["targets"]["y"]}})
    for fresh, want in ((False, 2), (True, 1)):
        state = compiled_steps.chunk(state, feed, np.int32(3), np.bool_(fresh), {"x": {}, "y": {}})
        assert int(state.skipped.epoch) == want


def test_an_average_of_half_precision_moves() -> None:
    """Steps of 0.001 of the distance are lost in bfloat16, whose neighbours of 1 are 0.004 and 0.008 away."""
    averaging = Averaging(decay=0.999)
    narrow, wide = {"w": jnp.zeros(3, jnp.bfloat16)}, {"w": jnp.zeros(3, jnp.float32)}
    averages = [precise(narrow), wide]
    for step in range(1, 41):
        value = 1.0 if step < 3 else 3.0
        averages = [
            averaging.moved(average, jax.tree.map(lambda leaf, value=value: leaf + value, weights), jnp.int32(step))
            for average, weights in zip(averages, (narrow, wide), strict=True)
        ]
    assert float(averages[1]["w"][0]) > 2.8
    close(*averages)


@pytest.mark.parametrize(("start", "every"), [("2 steps", "1 steps"), ("1 steps", "2 steps"), ("9 steps", "1 steps")])
def test_stochastic_weight_averaging_is_the_mean_of_what_is_due(start: str, every: str) -> None:
    data = batched(6, 6)
    state, compiled_steps = trained(spec_of(f"{{sgd: 0.5, swa: {{start: {start}, every: {every}}}}}"), data, 6)
    history = by_hand(spec_of("{sgd: 0.5}"), data, 6, optax.sgd(0.5), squared)
    due = history[int(start[0]) - 1 :: int(every[0])] or history[-1:]
    close(compiled_steps.shown(state)["params"], jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *due))


def test_the_shares_of_an_average() -> None:
    averaging = Averaging(start=3, every=2)
    shares = [float(averaging.share(jnp.int32(step))) for step in range(1, 9)]
    assert shares == pytest.approx([1, 1, 1, 0, 1 / 2, 0, 1 / 3, 0])


def test_sharpness_aware_minimization_is_optax_s() -> None:
    data = batched(4, 6)
    state, _ = trained(spec_of("{sgd: 0.5, sam: 0.05}"), data, 4)
    spec = spec_of("{sgd: 0.5}")
    program = lower(spec.graph)
    variables = program.init(0)
    rule = optax.contrib.sam(optax.sgd(0.5), optax.chain(optax.contrib.normalize(), optax.sgd(0.05)), opaque_mode=True)
    params = jax.tree.map(jnp.asarray, variables["params"])
    kept = rule.init(params)
    for iteration in range(4):
        batch = jax.tree.map(lambda leaf, iteration=iteration: leaf[iteration], data)

        def gradient(params: Any, _: Any = None, batch: Any = batch) -> Any:
            return jax.grad(lambda p: squared(program.apply({**variables, "params": p}, batch["inputs"])[0], batch))(
                params
            )

        updates, kept = jax.jit(rule.update, static_argnames="grad_fn")(
            gradient(params), kept, params, grad_fn=gradient
        )
        params = optax.apply_updates(params, updates)
    close(state.variables["params"], params)


# ---- what an output is compared with ----


def test_an_autoencoder_compares_with_its_input(tmp_path: Path) -> None:
    data = np.random.default_rng(0).uniform(2, 4, (40, 5)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=data)
    spec = dlc.loads(
        f"data: {{source: {{npz: {tmp_path / 'data.npz'}}}, split: {{validation: 8, test: 8}}}}\n"
        "inputs: {x: {tensor: {shape: [5], normalize: standard}}}\n"
        "network: [dense: {units: 3, activation: tanh}, dense: 5]\n"
        "loss: {mse: , target: x}\nmetrics: [{rmse: , target: x}]\noptimizer: {adam: 0.01}\n"
        "train: {epochs: 30, batch_size: 8}\n"
    )
    result = dlc.train(spec, tmp_path / "run")
    assert result.history[-1]["train/loss"] < 0.6 * result.history[0]["train/loss"]
    found = dlc.predict(tmp_path / "run", {"x": data[:4]})
    rebuilt = found["x"]
    assert 2 < rebuilt.mean() < 4  # in the data's own unit
    assert dlc.evaluate(tmp_path / "run").metrics == pytest.approx(result.test)
    whole = dlc.predict(tmp_path / "run", {"x": data})
    rebuilt = whole["x"]
    rows_of = dlc.evaluate(tmp_path / "run", split="train")
    assert rows_of.metrics["rmse"] > 0 and np.sqrt(((rebuilt - data) ** 2).mean()) < 1


def test_two_outputs_compared_with_each_other_both_learn() -> None:
    spec = dlc.loads(
        "inputs: {x: {tensor: [3]}}\nnetwork:\n  - {dense: 2, name: one}\n  - {dense: 2, name: two, inputs: x}\n"
        "outputs: {first: one, second: two}\nloss: {mse: , output: first, target: second}\noptimizer: {sgd: 0.1}\n"
    )
    before = lower(spec.graph).init(0)["params"]
    after = trained(spec, batched(2, 6), 2)[0].variables["params"]
    for name in ("one", "two"):
        assert np.any(np.asarray(before[name]["kernel"]) != np.asarray(after[name]["kernel"]))


def test_each_part_of_a_sum_of_losses_is_told() -> None:
    loss = "loss: [{mse: , target: y}, {mse: , target: x, output: z, weight: 0.5, name: rebuilt}]"
    network = (
        "network: [dense: {units: 4, name: code}, {dense: 2, name: end}, {dense: 3, name: back, inputs: code}]\n"
        "outputs: {output: end, z: back}\n"
    ).replace("dense: {units: 4, name: code}", "{dense: 4, name: code}")
    spec = spec_of("{sgd: 0.1}", loss.replace("{mse: , target: y}", "{mse: , target: y, output: output}"), network)
    state, _ = trained(spec, batched(2, 6), 2)
    batch_statistics = statistics.values(spec.plan, statistics.to_host(jax.device_get(state.sums)))
    assert list(batch_statistics) == ["loss", "mse", "rebuilt"]
    assert batch_statistics["loss"] == pytest.approx(
        batch_statistics["mse"] + 0.5 * batch_statistics["rebuilt"], rel=1e-6
    )


# ---- sums ----


def test_a_long_sum_loses_no_digits() -> None:
    """A million small numbers: plain float32 sums would be off in the third digit."""

    def run(total: statistics.Sum) -> statistics.Sum:
        return jax.lax.fori_loop(0, 1_000_000, lambda _, carry: carry.plus({"x": jnp.float32(0.1)}), total)

    zero = {"x": jnp.zeros(())}
    found = jax.device_get(jax.jit(run)(statistics.Sum.zero(zero))).exact()
    assert found["x"] == pytest.approx(1_000_000 * float(np.float32(0.1)), rel=1e-9)


# ---- groups of weights ----

DEEP = """network:
  - {dense: 3, name: stem}
  - repeat: {times: 3, layers: [dense: {units: 3, activation: tanh}]}
    name: body
  - dense: 2
"""


def moved(before: Any, after: Any) -> set[str]:
    """The paths of the weights that differ."""
    return {path for path, value in after.items() if np.any(np.asarray(before[path]) != np.asarray(value))}


@pytest.mark.parametrize("unroll", ["", ", unroll: true"])
def test_groups_have_options_of_their_own(unroll: str) -> None:
    """Against optax.multi_transform on the weights by name; iterations of a repeat can be told apart."""
    network = DEEP.replace("times: 3", f"times: 3{unroll}")
    groups = "[{match: 'body/0/**', learning_rate: 0.01}, {match: '**/bias', weight_decay: 0}]"
    spec = spec_of(f"{{adamw: {{learning_rate: 0.1, weight_decay: 0.1}}, groups: {groups}}}", network=network)
    program, data = lower(spec.graph), batched(5, 6)
    after = program.to_flat(trained(spec, data, 5)[0].variables)
    rates = {True: 0.01, False: 0.1}

    def label(path: str) -> str:
        return f"{path.startswith('body/0/')} {path.endswith('bias')}"

    start = {path: jnp.asarray(value) for path, value in program.to_flat(program.init(0)).items()}
    rules = {
        f"{early} {bias}": optax.adamw(rates[early], **exact(b1=0.9, b2=0.999), weight_decay=0.0 if bias else 0.1)
        for early in (True, False)
        for bias in (True, False)
    }
    rule = optax.partition(rules, {path: label(path) for path in start})
    state, params = rule.init(start), start
    for iteration in range(5):
        batch = jax.tree.map(lambda leaf, iteration=iteration: leaf[iteration], data)

        def objective(params: Any, batch: Any = batch) -> Any:
            variables = program.from_flat(params, jnp.stack)
            return squared(program.apply(variables, batch["inputs"], train=True)[0], batch)

        updates, state = rule.update(jax.jit(jax.grad(objective))(params), state, params)
        params = optax.apply_updates(params, updates)
    close(after, {path: np.asarray(value) for path, value in params.items()})


def test_frozen_patterns_stay_and_the_rest_moves() -> None:
    spec = spec_of("{adam: 0.1, freeze: ['body/1/**', '**/bias']}", network=DEEP)
    program = lower(spec.graph)
    before = program.to_flat(program.init(0))
    after = program.to_flat(trained(spec, batched(3, 6), 3)[0].variables)
    assert moved(before, after) == {"stem/kernel", "body/0/dense/kernel", "body/2/dense/kernel", "dense/kernel"}


@pytest.mark.few(2)
@pytest.mark.parametrize("rule", ["lamb", "lars", "adafactor", "muon", "novograd"])
def test_stacked_weights_train_as_unstacked_ones(rule: str) -> None:
    """Also in groups, and with clipping and constraints of each weight."""
    more = "clip_weight_norm: 0.1, clip_adaptive: 0.5, groups: [{match: 'stem/**', learning_rate: 0.05}]"
    ends = []
    for unroll in ("", ", unroll: true"):
        spec = spec_of(f"{{{rule}: 0.01, {more}}}", network=DEEP.replace("times: 3", f"times: 3{unroll}"))
        ends.append(lower(spec.graph).to_flat(trained(spec, batched(4, 6), 4)[0].variables))
    close(ends[0], ends[1], rtol=1e-4)


@pytest.mark.parametrize(
    ("keys", "clip"),
    [
        ("clip_norm: 0.05", optax.clip_by_global_norm(0.05)),
        ("clip_value: 0.01", optax.clip(0.01)),
        ("clip_adaptive: 0.01", optax.adaptive_grad_clip(0.01)),
    ],
    ids=["norm", "value", "adaptive"],
)
def test_clipping_is_optax_s(keys: str, clip: optax.GradientTransformation) -> None:
    data = batched(4, 6)
    state, _ = trained(spec_of(f"{{sgd: {{learning_rate: 0.5, momentum: 0.9}}, {keys}}}"), data, 4)
    history = by_hand(spec_of("sgd"), data, 4, optax.chain(clip, optax.sgd(0.5, 0.9)), squared)
    close(state.variables["params"], history[-1])


def test_lookahead_is_optax_s() -> None:
    data = batched(7, 6)
    state, compiled_steps = trained(spec_of("{sgd: 0.5, lookahead: {period: 3, slow: 0.4}}"), data, 7)
    spec = spec_of("sgd")
    program = lower(spec.graph)
    variables = program.init(0)
    rule = optax.lookahead(optax.sgd(0.5), 3, 0.4)
    params = optax.LookaheadParams.init_synced(jax.tree.map(jnp.asarray, variables["params"]))
    kept = rule.init(params)
    for iteration in range(7):
        batch = jax.tree.map(lambda leaf, iteration=iteration: leaf[iteration], data)
        gradients = jax.grad(
            lambda p, batch=batch: squared(program.apply({**variables, "params": p}, batch["inputs"])[0], batch)
        )(params.fast)
        updates, kept = rule.update(gradients, kept, params)
        params = optax.apply_updates(params, updates)
    close(state.variables["params"], params.fast)
    close(compiled_steps.shown(state)["params"], params.slow)


def test_a_rule_that_averages_by_itself_shows_its_averages_in_groups_too() -> None:
    data = batched(5, 6)
    groups = "groups: [{match: '**/bias', learning_rate: 0.05}]"
    state, compiled_steps = trained(spec_of(f"{{schedule_free_adamw: 0.1, {groups}}}"), data, 5)
    shown = compiled_steps.shown(state)["params"]
    bias = jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "bias", shown)
    labels = jax.tree.map(lambda is_bias: "bias" if is_bias else "other", bias)
    made = optax.contrib.schedule_free_adamw
    rules = {name: made(rate, **exact(b2=0.999)) for name, rate in (("bias", 0.05), ("other", 0.1))}
    spec = spec_of("sgd")
    program = lower(spec.graph)
    variables = program.init(0)
    params = jax.tree.map(jnp.asarray, variables["params"])
    rule = optax.partition(rules, labels)
    kept = rule.init(params)
    for iteration in range(5):
        batch = jax.tree.map(lambda leaf, iteration=iteration: leaf[iteration], data)
        gradients = jax.grad(
            lambda p, batch=batch: squared(program.apply({**variables, "params": p}, batch["inputs"])[0], batch)
        )(params)
        updates, kept = rule.update(gradients, kept, params)
        params = optax.apply_updates(params, updates)
    close(state.variables["params"], params)
    for label in rules:
        inner = kept.inner_states[label].inner_state
        own = jax.tree.map(
            lambda leaf, name, label=label: leaf if name == label else optax.MaskedNode(), params, labels
        )
        wanted = optax.contrib.schedule_free_eval_params(inner, own)
        mine = jax.tree.map(
            lambda leaf, name, label=label: leaf if name == label else optax.MaskedNode(), shown, labels
        )
        close(mine, wanted)
    assert np.any(np.asarray(shown["dense"]["kernel"]) != np.asarray(params["dense"]["kernel"]))


def test_weights_stay_within_their_constraints() -> None:
    network = "network:\n  - dense: {units: 4, activation: tanh}\n    constraint: {max_norm: 0.5}\n  - dense: 2\n"
    params = trained(spec_of("{sgd: 1.0}", network=network), batched(4, 6), 4)[0].variables["params"]
    assert np.linalg.norm(params["dense"]["kernel"], axis=0).max() <= 0.5 + 1e-6
    assert np.linalg.norm(params["dense_2"]["kernel"], axis=0).max() > 0.5


# ---- half precision ----


def test_a_step_that_overflows_is_left_out_and_training_goes_on() -> None:
    """The first batch is so large that its gradients overflow in float16 at any scale above 1."""
    network = "precision: float16\n" + NET
    data = batched(6, 6)
    plain, _ = trained(spec_of("{sgd: 0.1}", network=network), data, 6)
    assert np.isfinite(jax.tree.leaves(plain.variables)[0]).all()
    scale = float(plain.scale["loss"].scale)
    large = jax.tree.map(jnp.copy, data)
    large["targets"]["y"] = large["targets"]["y"].at[0].set(1e4)
    state, _ = trained(spec_of("{sgd: 0.1}", network=network), large, 1)
    start = lower(spec_of("sgd", network=network).graph).init(0)
    jax.tree.map(np.testing.assert_array_equal, state.variables["params"], start["params"])
    assert int(state.step) == 1 and float(state.scale["loss"].scale) == 2.0**14
    on, _ = trained(spec_of("{sgd: 0.1}", network=network), large, 6)
    assert moved(
        dict(enumerate(jax.tree.leaves(start["params"]))), dict(enumerate(jax.tree.leaves(on.variables["params"])))
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(on.variables))
    assert scale >= 2.0**14


def test_the_scale_of_the_loss_does_not_change_the_step() -> None:
    data = batched(3, 6)
    single, _ = trained(spec_of("{sgd: 0.1}"), data, 3)
    half, _ = trained(spec_of("{sgd: 0.1}", network="precision: float16\n" + NET), data, 3)
    close(half.variables["params"], single.variables["params"], rtol=1e-2)


def test_a_run_in_float16_survives_an_overflow(tmp_path: Path) -> None:
    """Its first steps overflow; each chunk of one step, so that some chunks tell of no example at all."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 3)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=3000 * x[:, :1])
    text = (
        f"data: {{source: {{npz: {tmp_path / 'data.npz'}}}, split: {{validation: 16}}}}\n"
        "inputs: {x: {tensor: [3]}}\ntargets: {y: {tensor: [1]}}\nprecision: float16\n"
        "network: [dense: {units: 16, activation: relu}, dense: 1]\n"
        "loss: mse\noptimizer: {adam: 0.5}\ntrain: {epochs: 3, batch_size: 8}\n"
    )
    from dlc.training.train import train as train_spec

    one, other = train_spec(dlc.loads(text), chunk_iterations=1), train_spec(dlc.loads(text))
    jax.tree.map(np.testing.assert_array_equal, one.variables, other.variables)
    assert one.history[-1]["validation/loss"] < one.history[0]["validation/loss"]


# ---- a plateau ----


def test_the_rate_falls_when_nothing_improves_and_a_resumed_run_knows(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=generator.normal(size=(32, 3)), y=generator.normal(size=(32, 1)))
    text = (
        f"data: {{source: {{npz: {tmp_path / 'data.npz'}}}, split: {{validation: 8}}}}\n"
        "inputs: {x: {tensor: [3]}}\ntargets: {y: number}\nnetwork: [dense: 1]\nloss: mse\n"
        "optimizer: {sgd: {learning_rate: {reduce_on_plateau: {value: 0.3, factor: 0.5, patience: 1}}}}\n"
        "train: {epochs: EPOCHS, batch_size: 8}\n"
    )
    whole = dlc.train(dlc.loads(text.replace("EPOCHS", "8")), tmp_path / "whole")
    rates = [record["learning_rate"] for record in whole.history]
    assert rates[0] == pytest.approx(0.3) and rates[-1] < 0.3
    for before, record, after in zip(whole.history, whole.history[1:], whole.history[2:], strict=False):
        best = min(r["validation/loss"] for r in whole.history if r["epoch"] <= before["epoch"])
        improved = record["validation/loss"] < best - 1e-4
        assert after["learning_rate"] == pytest.approx(record["learning_rate"] * (1 if improved else 0.5))
    dlc.train(dlc.loads(text.replace("EPOCHS", "4")), tmp_path / "parts")
    parts = dlc.train(dlc.loads(text.replace("EPOCHS", "8")), tmp_path / "parts", resume=True)
    assert parts.history == whole.history
    jax.tree.map(np.testing.assert_array_equal, parts.variables, whole.variables)


# ---- augmentation ----


@pytest.mark.parametrize("accumulate", [1, 3])
def test_mixup_mixes_inputs_and_losses(accumulate: int) -> None:
    """By hand, with the draws that the step makes; in parts the partners are those of the whole batch."""
    from dlc.backend.augment import augmenter

    data = batched(2, 6)
    text = f"augment: [{{mixup: 0.7}}]\noptimizer: {{sgd: 0.5, accumulate: {accumulate}}}\n"
    spec = dlc.loads("inputs: {x: {tensor: [3]}}\ntargets: {y: {tensor: [2]}}\n" + NET + "loss: mse\n" + text)
    state, _ = trained(spec, data, 2)
    plain = lower(spec.graph)
    variables, augment, root = plain.init(0), augmenter(spec.plan), jax.random.key(0)
    params = jax.tree.map(jnp.asarray, variables["params"])
    for iteration in range(2):
        batch = jax.tree.map(lambda leaf, iteration=iteration: leaf[iteration], data)
        changed, mixed = augment(jax.random.fold_in(root, iteration), batch)
        assert mixed is not None and np.any(np.asarray(changed["inputs"]["x"]) != np.asarray(batch["inputs"]["x"]))

        def objective(params: Any, changed: Any = changed, mixed: Any = mixed) -> Any:
            y, t = plain.apply({**variables, "params": params}, changed["inputs"])[0]["output"], changed["targets"]["y"]
            own, other = jnp.square(y - t).mean(-1), jnp.square(y - t[mixed.permutation]).mean(-1)
            return (mixed.lam * own + (1 - mixed.lam) * other).mean()

        params = jax.tree.map(lambda w, g: w - 0.5 * g, params, jax.jit(jax.grad(objective))(params))
    close(state.variables["params"], params)


def test_augmentation_is_for_training_alone(tmp_path: Path) -> None:
    """Evaluation sees the data as they are, and the same seed gives the same bits, however the run is cut."""
    from dlc.training.train import train as train_spec

    generator = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=generator.uniform(size=(40, 6, 6, 1)), y=np.arange(40) % 2)
    text = (
        f"data: {{source: {{npz: {tmp_path / 'data.npz'}}}, split: {{validation: 8}}}}\n"
        "inputs: {x: {tensor: [6, 6, 1]}}\ntargets: {y: {category: 2}}\n"
        "network: [flatten, dense: 2]\nloss: cross_entropy\nmetrics: [accuracy]\noptimizer: {sgd: 0.01}\n"
        "train: {epochs: 2, batch_size: 8}\n"
    )
    words = "augment: [{random_flip: horizontal}, {random_crop: 1}, {mixup: 0.5}]\n"
    one, other, plain = (
        train_spec(dlc.loads(text + words), chunk_iterations=1),
        train_spec(dlc.loads(text + words)),
        train_spec(dlc.loads(text)),
    )
    assert one.history == other.history
    assert one.history[0]["train/loss"] != plain.history[0]["train/loss"]
    still = text.replace("{sgd: 0.01}", "{sgd: 1e-12}")
    assert (
        train_spec(dlc.loads(still + words)).history[0]["validation/loss"]
        == train_spec(dlc.loads(still)).history[0]["validation/loss"]
    )


# ---- what a plateau, a constraint and an average do to each other ----


def test_a_plateau_scales_the_rate_and_not_the_return_to_slow_weights() -> None:
    """With lookahead, at a factor of 0.1: the steps of a tenth of the rate."""
    data = batched(6, 6)
    network = NET + "train: {epochs: 20}\n"
    look = "lookahead: {period: 3, slow: 0.4}"
    spec = spec_of(f"{{sgd: {{learning_rate: {{reduce_on_plateau: 1.0}}}}, {look}}}", network=network)
    program = lower(spec.graph)
    stats: Any = {"x": {}, "y": {}, "w": {}}
    compiled_steps = make_compiled_steps(
        spec.plan, program, make_updater(spec.plan, program, Horizon(200, 10.0)), stats
    )
    kept = {"inputs": data["inputs"], "targets": {n: data["targets"][n] for n in spec.plan.targets}}
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), kept)
    begun = compiled_steps.start(program.init(0), compiled_steps.batch_statistics(program.declared(), shapes))
    state = begun._replace(rate={"factor": jnp.float32(0.1)})
    state = compiled_steps.chunk(state, feed_of(kept), np.int32(6), np.bool_(True), stats)
    plain, other = trained(spec_of(f"{{sgd: 0.1, {look}}}"), data, 6)
    close(state.variables["params"], plain.variables["params"])
    close(compiled_steps.shown(state)["params"], other.shown(plain)["params"])


@pytest.mark.parametrize("more", ["lookahead: 2", "ema: 0.5", "swa: {start: 1, every: 1}"])
def test_kept_weights_obey_their_constraints(more: str) -> None:
    network = "network:\n  - dense: {units: 4, activation: tanh}\n    constraint: unit_norm\n  - dense: 2\n"
    state, compiled_steps = trained(spec_of(f"{{sgd: 1.0, {more}}}", network=network), batched(5, 6), 5)
    norms = np.linalg.norm(compiled_steps.shown(state)["params"]["dense"]["kernel"], axis=0)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)


@pytest.mark.parametrize("decay", [0.9, 0.9999, 0.999999, 0.99999999])
def test_an_average_without_bias_begins_with_the_weights(decay: float) -> None:
    averaging = Averaging(decay=decay)
    for step in (1, 2, 10):
        exact = 1 / sum(decay**power for power in range(step))
        assert float(averaging.share(jnp.int32(step))) == pytest.approx(exact, rel=1e-5)


def test_an_average_moves_though_a_step_is_left_out() -> None:
    network = "precision: float16\n" + NET
    data = batched(4, 6)
    data["targets"]["y"] = data["targets"]["y"].at[1].set(1e4)
    ends = [
        trained(spec_of("{sgd: 0.1}", network=network), jax.tree.map(lambda leaf, n=n: leaf[:n], data), n)[0]
        for n in (1, 2, 3, 4)
    ]
    state, compiled_steps = trained(spec_of("{sgd: 0.1, swa: {start: 1, every: 1}}", network=network), data, 4)
    weights = [end.variables["params"] for end in ends]
    jax.tree.map(np.testing.assert_array_equal, weights[0], weights[1])
    close(compiled_steps.shown(state)["params"], jax.tree.map(lambda *leaves: sum(leaves) / 4, *weights))


def test_an_undefined_value_is_no_improvement_to_a_plateau() -> None:
    from dlc.components.schedules.plateau import Plateau, ReduceOnPlateau

    schedule, state = ReduceOnPlateau(value=0.1, patience=2, factor=0.5), Plateau()
    for value in (float("nan"), 1.0, float("nan"), 0.9, 0.8):
        state = schedule.after(state, value)
    assert state == Plateau(1.0, 0.8, 0, 0)
    assert schedule.after(Plateau(), float("nan")).best is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("lookahead: {period: 101}", "would never change"),
        ("swa: {start: 100, every: 1}", "averages fewer than two steps"),
        ("swa: {start: 1, every: 100}", "averages fewer than two steps"),
    ],
)
def test_what_a_run_is_too_short_for_is_an_error(keys: str, message: str) -> None:
    spec = spec_of(f"{{sgd: 0.1, {keys}}}")
    with pytest.raises(dlc.SpecError, match=message):
        make_updater(spec.plan, lower(spec.graph), Horizon(100, 10.0))


def test_losses_of_a_batch_are_evaluated_in_batches_of_the_training_s_size(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=generator.normal(size=(48, 3)))
    spec = dlc.loads(
        f"data: {{source: {{npz: {tmp_path / 'data.npz'}}}, split: {{validation: 16}}}}\n"
        "inputs: {x: {tensor: [3]}}\nnetwork:\n  - {dense: 2, name: one}\n  - {dense: 2, name: two, inputs: x}\n"
        "outputs: {first: one, second: two}\nloss: {nt_xent: 0.5, output: first, target: second}\n"
        "optimizer: {sgd: 1e-9}\ntrain: {epochs: 1, batch_size: 8}\n"
    )
    record = dlc.train(spec).history[0]
    assert record["validation/loss"] == pytest.approx(record["train/loss"], rel=0.25)  # log 15, not log 31


def test_new_records_are_checked_like_those_of_training(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(24, 2)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(24) % 2, w=np.ones(24))
    spec = dlc.loads(
        f"data: {{source: {{npz: {tmp_path / 'data.npz'}}}, split: {{validation: 8}}}}\n"
        "inputs: {x: {tensor: [2]}}\ntargets: {y: {category: {classes: 2, ignored: -1}}, w: number}\n"
        "network: [dense: 2]\nloss: {cross_entropy: {ignore_index: -1}, sample_weight: w}\noptimizer: adam\n"
        "train: {epochs: 1, batch_size: 8}\n"
    )
    dlc.train(spec, tmp_path / "run")
    np.savez(tmp_path / "new.npz", x=x, y=np.arange(24) % 3 - 1, w=np.ones(24))
    np.savez(tmp_path / "bad.npz", x=x, y=np.arange(24) % 2, w=-np.ones(24))
    found = dlc.evaluate(tmp_path / "run", data=tmp_path / "new.npz")
    assert found.confusion["y"].sum() == 16  # eight have no class
    with pytest.raises(dlc.SpecError, match=r"DLC403.*not a valid `sample_weight`"):
        dlc.evaluate(tmp_path / "run", data=tmp_path / "bad.npz")


def test_targets_without_any_class_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.ones((16, 2)), y=-np.ones(16, int))
    spec = dlc.loads(
        f"data: {{source: {{npz: {tmp_path / 'data.npz'}}}}}\n"
        "inputs: {x: {tensor: [2]}}\ntargets: {y: {category: {classes: 2, ignored: -1}}}\nnetwork: [dense: 2]\n"
        "loss: {cross_entropy: {ignore_index: -1}}\noptimizer: adam\ntrain: {epochs: 1, batch_size: 8}\n"
    )
    with pytest.raises(dlc.SpecError, match=r"DLC403.*no record of `y` has a class"):
        dlc.train(spec)
