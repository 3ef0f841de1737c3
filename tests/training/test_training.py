"""Training in one process: exactness, resuming, best weights, early stopping, diagnostics."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

import dlc
from dlc.data.dataset import Sampler, load_dataset
from dlc.frontend.pipeline import Spec
from dlc.training import checkpoint as checkpoints
from dlc.training.callbacks.progress import Silent
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec
from tests.common import SMALL, run_dlc


def weights_of(run: RunFolder) -> dict[str, np.ndarray]:
    return run.load_weights()


def same_run(one: RunFolder, other: RunFolder) -> None:
    """The same bits: weights, metrics, and the newest checkpoint's state."""
    assert one.weights.read_bytes() == other.weights.read_bytes()
    assert one.metrics.read_bytes() == other.metrics.read_bytes()
    states = [checkpoints.load(checkpoints.found(run)[0]).state for run in (one, other)]
    assert set(states[0]) == set(states[1])
    for name in states[0]:
        np.testing.assert_array_equal(states[0][name], states[1][name], err_msg=name)


def stop_after(calls: int):
    """A stop function that says yes at the given call."""
    left = iter([False] * calls + [True] * 1000)
    return lambda: next(left)


def test_a_run_folder_holds_what_the_design_says(small_run: RunFolder) -> None:
    names = {path.name for path in small_run.path.iterdir() if path.name != ".lock"}
    assert names == {
        "spec.yaml",
        "resolved.yaml",
        "environment.json",
        "features.json",
        "splits.safetensors",
        "locations.json",
        "lowering.json",
        "numerics.json",
        "metrics.jsonl",
        "checkpoints",
        "weights.safetensors",
        "result.json",
        "timing.json",
    }
    lines = [json.loads(line) for line in small_run.metrics.read_text().splitlines()]
    assert [line["epoch"] for line in lines[:-1]] == [1, 2, 3, 4]
    assert set(lines[0]) == {
        "epoch",
        "step",
        "learning_rate",
        "train/loss",
        "train/accuracy",
        "validation/loss",
        "validation/accuracy",
    }
    assert {"test/loss", "test/accuracy"} < set(lines[-1])
    assert small_run.load_fitted(small_run.load_spec().plan).stats["features"]["shift"].shape == (4,)


def test_training_is_the_textbook_loop(small: Spec) -> None:
    """Plain optax, step by step, on the same batches gives the same weights."""
    spec = dlc.loads(SMALL.replace("  - dropout: 0.2\n", "").replace("epochs: 4", "epochs: 2"))
    data = load_dataset(spec.plan)
    program = dlc.compile(spec)
    variables = program.init(0)
    params, state = variables["params"], variables["state"]
    optimizer = optax.adam(0.05)
    moments = optimizer.init(params)
    sampler = Sampler(data.splits["train"], 16, 0)

    @jax.jit
    def loss(params, state, x, y):
        outputs, new = program.apply({"params": params, "state": state}, {"features": x}, train=True)
        return optax.softmax_cross_entropy_with_integer_labels(outputs["output"], y).mean(), new

    for step in range(sampler.steps(2)):
        rows = sampler.batches(step, 1)[0]
        (_, state), gradients = jax.value_and_grad(loss, has_aux=True)(
            params, state, data.inputs["features"][rows], data.targets["species"][rows]
        )
        updates, moments = optimizer.update(gradients, moments, params)
        params = optax.apply_updates(params, updates)
    result = train_spec(spec)
    assert result.steps == sampler.steps(2)
    if result.best_epoch == 2:
        for name, value in program.to_flat({"params": params, "state": state}).items():
            np.testing.assert_allclose(program.to_flat(result.variables)[name], value, rtol=2e-4, atol=2e-5)
    assert result.best_epoch == 2  # the comparison above must have happened


@pytest.mark.parametrize("iterations", [1, 3])
def test_chunk_length_changes_no_bit(small: Spec, small_run: RunFolder, tmp_path: Path, iterations: int) -> None:
    run = RunFolder(tmp_path / "run")
    train_spec(small, run=run, chunk_iterations=iterations)
    same_run(run, small_run)


def test_streamed_data_trains_alike(small_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    train_spec(dlc.loads(SMALL, ["data.memory=4 kB"]), run=run)
    same_run(run, small_run)


@pytest.mark.parametrize("calls", [0, 1, 4, 7, 10])
def test_stopped_and_resumed_is_never_stopped(small: Spec, small_run: RunFolder, tmp_path: Path, calls: int) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(Stopped):
        train_spec(small, run=run, chunk_iterations=2, stop=stop_after(calls))
    assert not run.finished
    train_spec(small, run=run, resume=True)
    same_run(run, small_run)


@pytest.mark.parametrize("mode", ["stop", "rollback"])
def test_evaluation_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """In the first epoch, there again, in the last epoch, and on the test split, each of 4 chunks."""
    monkeypatch.setattr("dlc.data.feeder.EVALUATION_BATCH", 2)
    spec = dlc.loads(SMALL, [f"train.on_nan={mode}"])
    straight, run = RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "run")
    train_spec(spec, run=straight)
    for calls, epoch, step in ((1, 0, 6), (0, 0, 6), (13, 3, 23), (4, 4, 23)):
        with pytest.raises(Stopped):
            train_spec(spec, run=run, resume=True, chunk_iterations=100, stop=stop_after(calls))
        newest = checkpoints.load(checkpoints.found(run)[0])
        assert (newest.progress["epoch"], newest.step) == (epoch, step)
    train_spec(spec, run=run, resume=True)
    same_run(run, straight)
    assert run.result.read_bytes() == straight.result.read_bytes()


def test_a_damaged_checkpoint_is_set_aside(small: Spec, small_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(Stopped):
        train_spec(small, run=run, chunk_iterations=2, stop=stop_after(10))
    newest = checkpoints.found(run)[0]
    data = bytearray((newest / "state.safetensors").read_bytes())
    data[-3] ^= 1
    (newest / "state.safetensors").write_bytes(data)
    notes: list[str] = []

    class Notes(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    train_spec(small, run=run, resume=True, reporter=Notes())
    assert "state.safetensors" in notes[0]
    assert "digest" in notes[0]
    same_run(run, small_run)


def test_all_checkpoints_damaged_is_an_error(small: Spec, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(Stopped):
        train_spec(small, run=run, chunk_iterations=2, stop=stop_after(6))
    for path in checkpoints.found(run):
        (path / "checkpoint.json").write_text("{")
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(small, run=run, resume=True)
    assert caught.value.report.codes == ("DLC503",)


def test_best_weights_are_those_of_the_best_epoch(small_run: RunFolder) -> None:
    lines = [json.loads(line) for line in small_run.metrics.read_text().splitlines()][:-1]
    best = min(lines, key=lambda line: line["validation/loss"])
    assert json.loads(small_run.result.read_text())["best_epoch"] == best["epoch"]
    found = dlc.evaluate(small_run.path, "validation")
    assert found.metrics["loss"] == pytest.approx(best["validation/loss"], rel=1e-5)
    assert found.metrics["accuracy"] == best["validation/accuracy"]


def test_the_monitor_decides_which_weights_are_best(tmp_path: Path) -> None:
    text = SMALL.replace("epochs: 4", "epochs: 4, monitor: train/accuracy")
    result = dlc.train(dlc.loads(text))
    values = [record["train/accuracy"] for record in result.history]
    assert values[result.best_epoch - 1] == max(values)


def test_early_stopping_stops_and_resumes_alike(tmp_path: Path) -> None:
    text = SMALL.replace("epochs: 4", "epochs: 30, early_stopping: {monitor: validation/accuracy, patience: 2}")
    spec = dlc.loads(text)
    run = RunFolder(tmp_path / "run")
    result = train_spec(spec, run=run)
    epochs = len(result.history)
    assert epochs < 30
    values = [record["validation/accuracy"] for record in result.history]
    assert max(values[:-2]) >= max(values[-2:])
    other = RunFolder(tmp_path / "other")
    with pytest.raises(Stopped):
        train_spec(spec, run=other, chunk_iterations=3, stop=stop_after(2 * (epochs - 2)))
    train_spec(spec, run=other, resume=True)
    same_run(run, other)
    assert train_spec(spec, run=run, resume=True).best_epoch == result.best_epoch  # finished: nothing more happens


def test_a_finished_run_can_be_extended(small: Spec, small_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(small_run.path, run.path)
    longer = dlc.loads(SMALL, ["train.epochs=6"])
    result = train_spec(longer, run=run, resume=True)
    assert [record["epoch"] for record in result.history] == [1, 2, 3, 4, 5, 6]
    straight = RunFolder(tmp_path / "straight")
    train_spec(longer, run=straight)
    same_run(run, straight)


def test_a_changed_spec_is_refused_with_the_difference(small_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(small_run.path, run.path)
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(dlc.loads(SMALL.replace("units: 8", "units: 9")), run=run, resume=True)
    item = caught.value.report.diagnostics[0]
    assert item.code == "DLC504"
    assert item.found == "`network.0.dense.units` was 8, is 9"


def test_a_used_folder_is_refused(small: Spec, small_run: RunFolder) -> None:
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(small, run=RunFolder(small_run.path))
    assert caught.value.report.codes == ("DLC501",)


def test_a_locked_folder_is_refused(small: Spec, tmp_path: Path) -> None:
    holder = RunFolder(tmp_path / "run")
    holder.lock()
    try:
        with pytest.raises(dlc.SpecError) as caught:
            train_spec(small, run=RunFolder(tmp_path / "run"))
        assert caught.value.report.codes == ("DLC505",)
    finally:
        holder.unlock()


def test_a_folder_locked_by_another_process_is_refused(small_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(small_run.path, run.path)
    run.lock()
    try:
        done = run_dlc(["train", str(run.path), "--resume"])
    finally:
        run.unlock()
    assert (done.returncode, "error[DLC505]" in done.stderr) == (1, True), done.stderr


def test_a_folder_where_nothing_can_be_locked_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(dlc.SpecError) as caught:
        RunFolder(tmp_path / "run").lock()
    assert caught.value.report.codes == ("DLC507",)


def test_an_unwritable_folder_is_a_diagnostic(small: Spec, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(small, run=RunFolder(tmp_path / "file" / "run"))
    assert caught.value.report.codes == ("DLC507",)


def test_divergence_is_a_diagnostic_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    text = SMALL.replace("adam: 0.05", "sgd: 1e18").replace("  - batch_norm: 0.9\n", "")
    run = RunFolder(tmp_path / "run")
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(dlc.loads(text), run=run)
    assert caught.value.report.codes == ("DLC508",)


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("data", SMALL.replace("data: {source: iris, split: {validation: 0.2, test: 0.2}}\n", "")),
        ("loss", SMALL.partition("targets:")[0] + "network: [dense: 3]\n"),
        ("optimizer", SMALL.replace("optimizer: {adam: 0.05}\n", "")),
    ],
)
def test_training_needs_its_sections(section: str, text: str) -> None:
    with pytest.raises(dlc.SpecError) as caught:
        dlc.train(dlc.loads(text))
    assert caught.value.report.codes == ("DLC115",)
    assert f"`{section}`" in caught.value.report.diagnostics[0].message


def test_a_batch_larger_than_the_data_is_a_diagnostic() -> None:
    with pytest.raises(dlc.SpecError) as caught:
        dlc.train(dlc.loads(SMALL, ["train.batch_size=1000"]))
    item = caught.value.report.diagnostics[0]
    assert item.code == "DLC405"
    assert item.span is not None
    assert item.span.file == "--set"


def test_full_batches_and_gradient_clipping() -> None:
    result = dlc.train(dlc.loads(SMALL, ["train.batch_size=full", "optimizer.clip_norm=0.001", "train.epochs=2"]))
    assert result.steps == 2


def test_a_dry_run_does_one_step_and_writes_nothing(small: Spec, tmp_path: Path) -> None:
    result = dlc.train(small, tmp_path / "run", dry_run=True)
    assert result.steps == 1
    assert not (tmp_path / "run").exists()


def test_several_outputs_and_losses() -> None:
    text = """
data: {source: iris, split: {test: 0.2}}
inputs: {sepal_length: {number: standard}, sepal_width: {number: standard}}
targets:
  species: {category: [setosa, versicolor, virginica]}
  petal_length: {number: standard}
network:
  - concat: [sepal_length, sepal_width]
  - dense: {units: 8, activation: tanh}
    name: trunk
  - dense: 3
    name: kind
  - dense: 1
    inputs: trunk
    name: length
outputs: {kind: kind, length: length}
loss:
  - cross_entropy:
    output: kind
    target: species
  - mse:
    output: length
    target: petal_length
    weight: 0.5
metrics:
  - accuracy:
    output: kind
    target: species
  - mae:
    output: length
    target: petal_length
optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}
train: {epochs: 3}
"""
    result = dlc.train(dlc.loads(text))
    assert result.test["accuracy"] > 0.5
    assert 0 < result.test["mae"] < 3  # in cm, not in deviations


def test_stochastic_layers_draw_anew_every_step() -> None:
    """Two steps of the same batch must not drop the same elements: the loss of a frozen network changes."""
    text = (
        SMALL.replace("adam: 0.05", "sgd: 1e-30")
        .replace("batch_size: 16", "batch_size: full")
        .replace("dropout: 0.2", "dropout: 0.9")
    )
    losses = [record["train/loss"] for record in dlc.train(dlc.loads(text)).history]
    assert len(set(losses)) == len(losses)


def test_the_reported_loss_holds_the_divergence_of_a_sample() -> None:
    """The same run with the divergence weighed 0 and 1: before a step, the losses differ by the divergence alone."""
    text = """
seed: 3
data: {source: iris, split: {validation: 0.2}}
inputs: {features: {tensor: {shape: [4], normalize: standard}}}
targets: {species: {category: [setosa, versicolor, virginica]}}
network:
  - {dense: 2, name: mean, inputs: features}
  - {dense: 2, name: log_variance, inputs: features}
  - {gaussian_sample: WEIGHT, inputs: [mean, log_variance]}
  - dense: 3
loss: cross_entropy
optimizer: {sgd: 1e-9}  # nothing moves
train: {epochs: 1, batch_size: 40}
"""

    def run(weight: float) -> Any:
        return dlc.train(dlc.loads(text.replace("WEIGHT", str(weight))))

    losses = {weight: run(weight).history[-1] for weight in (0.0, 1.0, 3.0)}
    for split in ("train/loss", "validation/loss"):
        one = losses[1.0][split] - losses[0.0][split]
        assert one > 0.1
        np.testing.assert_allclose(losses[3.0][split] - losses[0.0][split], 3 * one, rtol=1e-3)
