"""The training step: weights of examples, accumulation, averages of weights, what an output may be compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dlc
from dlc.lower import tally
from dlc.lower.averaging import Averaging
from dlc.lower.optimizing import make_updater
from dlc.lower.program import lower
from dlc.lower.steps import Feed, Trainer, TrainState, make_trainer
from dlc.objectives.schedules import Horizon
from dlc.pipeline import Spec

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


def trained(spec: Spec, batches: Any, steps: int) -> tuple[TrainState, Trainer]:
    """The state after some steps over batches (steps, batch, ...), started from seed 0."""
    program = lower(spec.graph)
    stats: Any = {name: {} for name in (*spec.document.inputs, *spec.document.targets)}
    trainer = make_trainer(spec, program, make_updater(spec, program, Horizon(100, 10.0)), stats)
    kept = {"inputs": batches["inputs"], "targets": {n: batches["targets"][n] for n in spec.document.targets}}
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), kept)
    state = trainer.start(program.init(0), shapes)
    return trainer.chunk(state, Feed(kept, None), np.int32(steps), np.bool_(True), stats), trainer


def close(first: Any, second: Any, rtol: float = 1e-5) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6), first, second)


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
    for turn in range(steps):
        params, state = step(params, state, jax.tree.map(lambda leaf, turn=turn: leaf[turn], batches))
        found.append(params)
    return found


def batched(count: int, size: int, seed: int = 0) -> Any:
    return jax.tree.map(lambda leaf: leaf.reshape(count, size, *leaf.shape[1:]), rows(count * size, seed))


def squared(outputs: Any, batch: Any) -> Any:
    return jnp.square(outputs["output"] - batch["targets"]["y"]).mean()


@pytest.mark.parametrize("count", [2, 4])
def test_small_batches_accumulated_equal_a_large_one(count: int) -> None:
    """Also where examples count differently, so that the mean of the batches' means would be wrong."""
    for loss in ("loss: {mse: , target: y}", "loss: {mse: , target: y, sample_weight: w}"):
        data = batched(3, 8)
        whole, _ = trained(spec_of("{sgd: 0.5}", loss), data, 3)
        parts, _ = trained(spec_of(f"{{sgd: 0.5, accumulate: {count}}}", loss), data, 3)
        close(whole.variables, parts.variables)
        spec = spec_of("{sgd: 0.5}", loss)
        told = [tally.values(spec, tally.settled(jax.device_get(state.sums)))["loss"] for state in (whole, parts)]
        assert told[0] == pytest.approx(told[1], rel=1e-5)


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


def test_sample_weights_are_those_of_a_weighted_mean() -> None:
    data, spec = batched(4, 6), spec_of("{sgd: 0.5}", "loss: {mse: , target: y, sample_weight: w}")

    def weighted(outputs: Any, batch: Any) -> Any:
        each = jnp.square(outputs["output"] - batch["targets"]["y"]).mean(-1)
        return jnp.average(each, weights=batch["targets"]["w"][:, 0])

    close(trained(spec, data, 4)[0].variables["params"], by_hand(spec, data, 4, optax.sgd(0.5), weighted)[-1])


def test_a_sum_over_the_elements_of_an_example() -> None:
    data, spec = batched(3, 6), spec_of("{sgd: 0.1}", "loss: {mse: , target: y, reduction: sum}")

    def summed(outputs: Any, batch: Any) -> Any:
        return jnp.square(outputs["output"] - batch["targets"]["y"]).sum(-1).mean()

    close(trained(spec, data, 3)[0].variables["params"], by_hand(spec, data, 3, optax.sgd(0.1), summed)[-1])


def test_an_exponential_average_is_optax_s() -> None:
    data = batched(5, 6)
    state, trainer = trained(spec_of("{sgd: 0.5, ema: 0.9}"), data, 5)
    history = by_hand(spec_of("{sgd: 0.5}"), data, 5, optax.sgd(0.5), squared)
    average = optax.ema(0.9, debias=True)
    kept = average.init(history[0])
    for params in history:
        mean, kept = average.update(params, kept)
    close(trainer.shown(state)["params"], mean)
    close(state.variables["params"], history[-1])


@pytest.mark.parametrize(("start", "every"), [("2 steps", "1 steps"), ("1 steps", "2 steps"), ("9 steps", "1 steps")])
def test_stochastic_weight_averaging_is_the_mean_of_what_is_due(start: str, every: str) -> None:
    data = batched(6, 6)
    state, trainer = trained(spec_of(f"{{sgd: 0.5, swa: {{start: {start}, every: {every}}}}}"), data, 6)
    history = by_hand(spec_of("{sgd: 0.5}"), data, 6, optax.sgd(0.5), squared)
    due = history[int(start[0]) - 1 :: int(every[0])] or history[-1:]
    close(trainer.shown(state)["params"], jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *due))


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
    for turn in range(4):
        batch = jax.tree.map(lambda leaf, turn=turn: leaf[turn], data)

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
    rebuilt = np.stack([found[f"x_{place}"] for place in range(5)], -1)
    assert 2 < rebuilt.mean() < 4  # in the data's own unit
    assert dlc.evaluate(tmp_path / "run").metrics == pytest.approx(result.test)
    whole = dlc.predict(tmp_path / "run", {"x": data})
    rebuilt = np.stack([whole[f"x_{place}"] for place in range(5)], -1)
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
    told = tally.values(spec, tally.settled(jax.device_get(state.sums)))
    assert list(told) == ["loss", "mse", "rebuilt"]
    assert told["loss"] == pytest.approx(told["mse"] + 0.5 * told["rebuilt"], rel=1e-6)


# ---- sums ----


def test_a_long_sum_loses_no_digits() -> None:
    """A million small numbers: plain float32 sums would be off in the third digit."""

    def run(total: tally.Sum) -> tally.Sum:
        return jax.lax.fori_loop(0, 1_000_000, lambda _, carry: carry.plus({"x": jnp.float32(0.1)}), total)

    zero = {"x": jnp.zeros(())}
    found = jax.device_get(jax.jit(run)(tally.Sum(zero, zero))).exact()
    assert found["x"] == pytest.approx(1_000_000 * float(np.float32(0.1)), rel=1e-9)
