"""The memory of a training step: predicted without compiling, compared with what XLA plans."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import dlc
from dlc.backend.emit import training_chunk
from dlc.backend.memory import _peak, planned, predicted
from dlc.cli.refusals import refused
from dlc.components.optimizers import OPTIMIZERS
from dlc.components.optimizers.optimizer import Optimizer
from dlc.components.schedules.schedule import Horizon
from dlc.diagnostics import SpecError
from dlc.frontend.memory import least_memory
from dlc.language.options import build_word
from tests.common import ROOT, run_dlc

HEAD = "data: {{source: {{npz: x.npz}}}}\ninputs: {{x: {{tensor: {shape}}}}}\ntargets: {{y: {{category: 10}}}}\n"
TAIL = "\nloss: cross_entropy\noptimizer: adamw\ntrain: {batch_size: 16}\n"
NETWORKS = {
    "mlp": ("[784]", "[dense: {units: 128, activation: relu}, batch_norm, dropout: 0.5, dense: 10]"),
    "lenet": (
        "[28, 28, 1]",
        "[conv2d: {filters: 6, kernel: 5, activation: tanh}, avg_pool2d: 2, flatten, dense: 84, dense: 10]",
    ),
    "residual": (
        "[16, 16, 8]",
        "[conv2d: {filters: 8, kernel: 3}, repeat: {times: 2, layers: [residual: [conv2d: {filters: 8, kernel: 3, "
        "padding: same}, batch_norm, relu]]}, global_avg_pool2d, dense: 10]",
    ),
    "transformer": (
        "[16, 32]",
        "[repeat: {times: 3, layers: [transformer_encoder: {size: 32, heads: 2}]}, global_avg_pool1d, dense: 10]",
    ),
}


def step_of(name: str) -> dlc.Spec:
    shape, network = NETWORKS[name]
    return dlc.loads(HEAD.format(shape=shape) + "network: " + network + TAIL)


@pytest.mark.parametrize("path", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda path: path.stem)
def test_predictions_for_the_specs_are_near_what_xla_plans(path: Path) -> None:
    """And what is donated is used: the new state lies where the old one did, all of it."""
    spec = dlc.load(path)
    peak, taken_over = planned(spec.plan)
    assert predicted(spec.plan).peak == pytest.approx(peak, rel=0.25)
    state = training_chunk(spec.plan)[1][0]
    assert taken_over == sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


@pytest.mark.few(2)
@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_for_small_networks_of_the_usual_kinds(name: str) -> None:
    spec = step_of(name)
    assert predicted(spec.plan).peak == pytest.approx(planned(spec.plan)[0], rel=0.25)


def test_what_lives_together_is_added_up() -> None:
    """Definitions by hand: 4 kB each, aligned to 64 bytes."""
    x = jax.ShapeDtypeStruct((32, 32), jnp.float32)

    def peak(function) -> int:
        return _peak(jax.make_jaxpr(function)(x).jaxpr)

    assert peak(lambda x: x + 1) == 0  # fused into whoever reads it
    assert peak(lambda x: x @ x) == 4096
    assert peak(lambda x: (x @ x) @ x) == 2 * 4096
    assert peak(lambda x: ((x @ x) @ x) @ x) == 2 * 4096  # the first is gone
    assert peak(lambda x: ((y := x @ x) @ x) @ y) == 3 * 4096
    assert peak(lambda x: jnp.exp(x @ x) @ x) == 2 * 4096  # a product reads what is in memory: the exponentials are
    assert peak(lambda x: jax.lax.scan(lambda c, _: (c @ c, None), x, length=3)[0]) == 2 * 4096
    assert peak(lambda x: x.sum()) == 0  # a number
    assert peak(lambda x: (jax.nn.relu(x @ x) @ x, jax.nn.relu(x @ x) @ x)) == 3 * 4096


def test_a_call_inlined_twice_is_two_values() -> None:
    inner = jax.jit(lambda x: x @ x)
    x = jax.ShapeDtypeStruct((32, 32), jnp.float32)
    assert _peak(jax.make_jaxpr(lambda x: (inner(x), inner(x + 1)))(x).jaxpr) == 3 * 4096


def test_only_the_branch_of_this_platform_counts() -> None:
    def branches(x: jax.Array) -> jax.Array:
        return jax.lax.platform_dependent(
            x, cuda=lambda x: jnp.concatenate([x] * 9).reshape(9, 32, 32).sum(0) @ x, default=lambda x: x @ x
        )

    program = jax.make_jaxpr(branches)(jax.ShapeDtypeStruct((32, 32), jnp.float32))
    assert _peak(program.jaxpr) == (4096 if jax.default_backend() == "cpu" else 11 * 4096)


def test_of_branches_that_values_decide_the_longest_counts() -> None:
    def branches(x: jax.Array) -> jax.Array:
        return jax.lax.cond(x[0, 0] > 0, lambda x: ((y := x @ x) @ x) @ y, jnp.zeros_like, x)

    x = jax.ShapeDtypeStruct((32, 32), jnp.float32)
    assert _peak(jax.make_jaxpr(branches)(x).jaxpr) == 3 * 4096


def test_show_prints_both_figures() -> None:
    done = run_dlc(["show", str(ROOT / "specs" / "iris_perceptron.yaml"), "--memory", "--compiled"])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "iris-perceptron: a training step of 1 example"
    assert [line.split("  ")[1] for line in lines[-2:]] == ["peak, predicted", "peak, planned by XLA"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--compiled"], "`--compiled` has no effect without `--memory`"),
        (["--memory", "--expanded"], "`--expanded` can't be used with `--memory`"),
        (["--memory", "--emit", "hlo"], "`--emit` can't be used with `--memory`"),
    ],
)
def test_flags_that_do_not_fit_are_errors(flags: list[str], message: str) -> None:
    done = run_dlc(["show", str(ROOT / "specs" / "iris_perceptron.yaml"), *flags])
    assert done.returncode == 2
    assert f"error[DLC510]: {message}" in done.stderr


# ---- the lower bound that `dlc check` uses ----


@pytest.mark.parametrize("name", NETWORKS)
def test_the_lower_bound_is_below_the_prediction(name: str) -> None:
    """It is counted from types alone, and is most of what a step needs."""
    plan = step_of(name).plan
    assert 0.3 * predicted(plan).peak < least_memory(plan).total <= predicted(plan).peak


def test_the_lower_bound_by_hand() -> None:
    spec = dlc.loads(
        HEAD.format(shape="[5]") + "network: [dense: 7, dense: 10]\nloss: cross_entropy\n"
        "optimizer: {adam: 0.01, ema: 0.9}\ntrain: {batch_size: 3}\n"
    )
    weights = 4 * (5 * 7 + 7 + 7 * 10 + 10)
    assert least_memory(spec.plan) == (3, weights, weights, 3 * weights, 4 * 3 * (5 + 7))
    assert least_memory(spec.plan, 6).activations == 4 * 6 * (5 + 7)


@pytest.mark.parametrize("word", OPTIMIZERS)
def test_an_optimizer_keeps_at_least_what_it_declares(word: str) -> None:
    optimizer = build_word({word: {}}, OPTIMIZERS, "optimizer")
    if isinstance(optimizer, list):  # it has an option without a default
        optimizer = build_word({word: {"learning_rate": 0.1, "weight_decay": 0.1}}, OPTIMIZERS, "optimizer")
    assert isinstance(optimizer, Optimizer)
    weights = {"kernel": jnp.zeros((64, 32))}
    state = jax.eval_shape(optimizer.build(Horizon(100, 10.0)).init, weights)
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) >= optimizer.copies * 64 * 32
    assert optimizer.copies or word not in ("adam", "adamw", "lamb", "lion")


def small(more: str = "") -> str:
    return HEAD.format(shape="[50]") + "network: [dense: 70, dense: 10]\nloss: cross_entropy\noptimizer: adam\n" + more


def test_check_compares_it_with_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlc.frontend.memory.has_accelerator", lambda: False)
    path = tmp_path / "spec.yaml"
    path.write_text(small())
    assert dlc.check(path).ok
    monkeypatch.setattr("dlc.frontend.memory.usable_memory", lambda: 70_000)
    absent, found = dlc.check(path).diagnostics
    assert (absent.code, absent.severity) == ("DLC401", "warning")  # its data file
    assert found.code == "DLC218" and found.span is not None and found.span.line == 4
    weights = 4 * (50 * 70 + 70 + 70 * 10 + 10)  # four times: with gradients and both moments of adam
    total = 4 * weights + 4 * 32 * (50 + 70)  # and the values that the 32 examples of a step keep
    assert total == 83_840 and "needs at least 81.88 KiB of memory, and this machine has 68.36 KiB" in found.message
    assert dlc.check(path, ["train.memory=1 GB"]).ok  # it is for another machine
    dlc.load(path)  # a network that can't be trained here can be shown, and a trained one evaluated
    with pytest.raises(SpecError) as caught:
        dlc.train(path)
    assert caught.value.report.codes == ("DLC218",)
    monkeypatch.setattr("dlc.frontend.memory.usable_memory", lambda: None)
    assert dlc.check(path).ok
    assert dlc.check(path, ["train.memory=10 kB"]).codes == ("DLC401", "DLC218")
    monkeypatch.setattr("dlc.frontend.memory.usable_memory", lambda: 70_000)
    monkeypatch.setattr("dlc.frontend.memory.has_accelerator", lambda: True)  # its memory is not the machine's
    assert dlc.check(path).ok


@pytest.mark.parametrize(
    "error",
    [MemoryError("Unable to allocate 8.00 GiB"), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")],
    ids=["python", "xla"],
)
def test_running_out_of_memory_is_a_diagnostic(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what training needs, where it is known; on the command line never as a bug in dlc."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("dlc.training.train.set_up", fail)
    spec = dlc.loads(small())
    with pytest.raises(SpecError) as caught:
        dlc.train(spec)
    (item,) = caught.value.report.diagnostics
    assert item.code == "DLC512" and item.expected is not None and "weights" in item.expected
    found = refused(error)
    assert found is not None and found.report.codes == ("DLC512",)
    assert refused(RuntimeError("something else")) is None
