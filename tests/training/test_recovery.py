"""`train.on_nan`: where a run diverged, steps that are left out, and going back; exact whatever interrupts it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dlc
from dlc.backend import skipped_steps
from dlc.training.callbacks import recovery
from dlc.training.callbacks.progress import Silent
from dlc.training.callbacks.timing import read_sessions
from dlc.training.loop import Stopped
from dlc.training.result import Result
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec
from tests.training.test_training import same_run, stop_after

ROWS, HELD_OUT, BATCH = 32, 4, 4


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def spec_of(tmp_path: Path) -> Callable[..., dlc.Spec]:
    """A spec over 32 rows in order, 8 steps an epoch, and 4 held out; x is `value` in the rows `bad`."""

    def make(
        network: str,
        *,
        bad: Sequence[int] = (),
        value: float = 0.0,
        train: str = "",
        optimizer: str = "{sgd: 0.01}",
        more: str = "",
        epochs: int = 3,
    ) -> dlc.Spec:
        generator = np.random.default_rng(0)
        x = generator.uniform(1, 2, (ROWS + HELD_OUT, 3)).astype(np.float32)
        x[list(bad)] = value
        np.savez(tmp_path / "data.npz", x=x, y=x.sum(1, keepdims=True))
        return dlc.loads(
            f"data: {{source: {{npz: {tmp_path / 'data.npz'}}}, split: {{validation: {HELD_OUT}, shuffle: false}}}}\n"
            f"inputs: {{x: {{tensor: [3]}}}}\ntargets: {{y: {{tensor: [1]}}}}\n{more}"
            f"network:\n{network}\nloss: mse\noptimizer: {optimizer}\n"
            f"train: {{epochs: {epochs}, batch_size: {BATCH}, shuffle: false{train}}}\n"
        )

    return make


LOG = "  - {formula: 'log(x)', name: logs}\n  - {dense: 1, name: head}"
"""Of a negative x this is NaN, and so is all that follows."""
ROOT = "  - {dense: {units: 4, use_bias: false}, name: stem}\n  - {formula: 'sqrt(abs(x))'}\n  - {dense: 1, name: head}"
"""Of rows of zeros the loss is finite, the gradient of the first weights is NaN."""


def divergence(spec: dlc.Spec, run: RunFolder | None = None, iterations: int | None = None) -> dlc.Diagnostic:
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(spec, run=run, chunk_iterations=iterations)
    assert caught.value.report.codes == ("DLC508",)
    return caught.value.report.diagnostics[0]


# ---- stop ----


@pytest.mark.parametrize("iterations", [1, 3, None])
def test_the_step_and_the_layer_are_named(spec_of, iterations: int | None, tmp_path: Path) -> None:
    spec = spec_of(LOG, bad=[22], value=-1.0)
    item = divergence(spec, RunFolder(tmp_path / "run"), iterations)
    assert item.message == "training diverged at step 6: the output of `logs` is the first value that is not finite"
    assert item.hint is not None and "no epoch was finished" in item.hint
    assert item.span is not None and item.span.line == 5  # the layer


def test_a_gradient_is_named_at_its_own_step(spec_of) -> None:
    """The loss of step 4 is finite; the weights after it are not, and the loss of step 5 is the first to show it."""
    item = divergence(spec_of(ROOT, bad=[13]))
    assert item.message == (
        "training diverged at step 4: the gradient of `stem/kernel` is the first that is not finite, though the loss is"
    )
    assert item.hint is not None and "`on_nan: skip`" in item.hint


def test_a_gradient_in_the_last_step_of_an_epoch_stops_before_the_epoch_is_kept(spec_of, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    item = divergence(spec_of(ROOT, bad=[31]), run)
    assert "at step 8: the gradient of `stem/kernel`" in item.message
    assert run.metrics.read_text() == "" and not run.weights.exists()


def test_a_first_step_leads_to_the_data_and_the_network(spec_of) -> None:
    item = divergence(spec_of("  - {dense: 4, name: stem}\n  - {formula: 'log(x - x)', name: logs}\n  - dense: 1"))
    assert "at step 1: the output of `logs`" in item.message
    assert item.hint is not None and "look at the data and the network rather than at the learning rate" in item.hint


def test_an_iteration_of_a_repeat_is_named(spec_of) -> None:
    """Each iteration squares: 40 is beyond float32 in the fifth, 2 is not."""
    body = "  - repeat: {times: 5, layers: [{dense: {units: 3}, name: mix}, {formula: 'x * x', name: square}]}\n"
    network = f"{body}    name: body\n    initializer: {{kernel: identity}}\n  - {{dense: 1, name: head}}"
    item = divergence(spec_of(network, bad=[9], value=40.0, optimizer="{sgd: 1.0e-30}"))
    assert "at step 3: the output of `body/4/square`" in item.message


def test_an_update_is_named(spec_of) -> None:
    item = divergence(spec_of("  - {dense: 1, name: head}", optimizer="{sgd: 3.0e38}"))
    assert "at step 1: the update made `head/bias`" in item.message
    assert item.hint is not None and "lower the learning rate" in item.hint


def test_a_part_of_an_accumulated_step_is_found(spec_of) -> None:
    item = divergence(spec_of(LOG, bad=[22], value=-1.0, optimizer="{sgd: 0.01, accumulate: 2}"))
    assert "at step 3: the output of `logs`" in item.message


def test_float16_leads_to_bfloat16(spec_of) -> None:
    """With a fixed scale nothing is left out; 300 * 300 is beyond float16."""
    network = "  - {formula: 'x * x', name: square}\n  - {dense: 1, name: head}"
    more = "precision: {dtype: float16, loss_scale: 8}\n"
    item = divergence(spec_of(network, bad=[9], value=300.0, more=more))
    assert "at step 3: the output of `square`" in item.message
    assert item.hint is not None and "`precision: bfloat16`" in item.hint


class Steps(Silent):
    last = 0

    def moment(self, moment) -> None:
        self.last = moment.step


def test_the_replay_knows_what_a_plateau_did(spec_of, tmp_path: Path) -> None:
    """Weights grow from step to step, as fast as the rate is; no checkpoint holds the rates of the epochs before."""
    optimizer = "{sgd: {learning_rate: {reduce_on_plateau: {value: 0.4, factor: 0.8, patience: 1}}}}"
    spec = spec_of("  - {dense: 1, name: head}", optimizer=optimizer, train=", checkpoint_every: 40", epochs=40)
    steps = Steps()
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(spec, run=RunFolder(tmp_path / "run"), chunk_iterations=1, reporter=steps)
    assert steps.last > 16  # two epochs
    assert f"at step {steps.last + 1}: " in caught.value.report.diagnostics[0].message


def test_a_loss_of_the_validation_split_names_the_layer(spec_of) -> None:
    item = divergence(spec_of(LOG, bad=[33], value=-1.0))
    assert item.message == (
        "training diverged: the loss of the validation split is nan by step 8; "
        "the output of `logs` is the first value that is not finite"
    )


def test_nothing_is_said_of_a_run_that_goes_well(spec_of) -> None:
    notes = Notes()
    train_spec(spec_of(LOG), reporter=notes)
    assert notes.texts == []


# ---- skip ----

SKIP, BACK = ", on_nan: skip", ", on_nan: rollback"


def noted(spec: dlc.Spec, run: RunFolder | None = None, iterations: int | None = None) -> tuple[Result, list[str]]:
    notes = Notes()
    return train_spec(spec, run=run, reporter=notes, chunk_iterations=iterations), notes.texts


def same(one: Result, other: Result) -> None:
    jax.tree.map(np.testing.assert_array_equal, one.variables, other.variables)
    assert repr(one.history) == repr(other.history)  # NaN is NaN


@pytest.mark.parametrize(("network", "value"), [(LOG, -1.0), (ROOT, 0.0)])
def test_a_step_is_left_out_as_if_its_batch_were_not_there(spec_of, network: str, value: float, tmp_path: Path) -> None:
    found, notes = noted(spec_of(network, bad=[21], value=value, train=SKIP, epochs=1))
    assert notes == ["1 step was left out in epoch 1: the loss or gradients were not finite"]
    spec = spec_of(network, bad=[21], value=value, epochs=1)
    data = dict(np.load(tmp_path / "data.npz"))
    np.savez(tmp_path / "data.npz", **{name: np.delete(rows, range(20, 24), 0) for name, rows in data.items()})
    for mine, wanted in zip(*map(jax.tree.leaves, (found.variables, train_spec(spec).variables)), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-6)


@pytest.mark.few(1)
@pytest.mark.parametrize("train", [SKIP, BACK])
def test_chunks_and_interruptions_change_no_bit(spec_of, train: str, tmp_path: Path) -> None:
    """Rows fail in the first, a middle and the last step of epochs; the run is stopped and resumed five times."""
    more = "{adam: 0.01, ema: 0.9}"
    spec = spec_of(ROOT, bad=[1, 14, 31], train=train, optimizer=more)
    straight = RunFolder(tmp_path / "straight")
    result, notes = noted(spec, straight)
    assert len(notes) == (3 if train == SKIP else 10)  # of 9 returns, and of a loss without value
    same(train_spec(spec), result)  # nothing is kept in a folder
    one = RunFolder(tmp_path / "one")
    assert noted(spec, one, 1)[1] == notes
    same_run(one, straight)
    stopped = RunFolder(tmp_path / "stopped")
    for calls in (2, 0, 4, 1, 3):
        with pytest.raises(Stopped):
            train_spec(spec, run=stopped, resume=True, chunk_iterations=1, stop=stop_after(calls))
    train_spec(spec, run=stopped, resume=True)
    same_run(stopped, straight)


@pytest.mark.parametrize("iterations", [1, 7, None])
def test_many_steps_left_out_in_a_row_stop_the_run(
    spec_of, iterations: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skipped_steps, "LIMIT", 4)
    item = divergence(spec_of(LOG, bad=range(9, 28), value=-1.0, train=SKIP), iterations=iterations)
    assert "at step 3: the output of `logs`" in item.message
    assert "from it on were left out" in item.message


@pytest.mark.parametrize("iterations", [1, None])
def test_skipped_steps_that_are_not_in_a_row_do_not_stop_the_run(
    spec_of, iterations: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that is good starts the count of the skipped ones again: 3 of 9 steps are skipped, none after another."""
    monkeypatch.setattr(skipped_steps, "LIMIT", 2)
    spec = spec_of(LOG, bad=[5, 13, 21], value=-1.0, train=SKIP)
    result = train_spec(spec, chunk_iterations=iterations)
    assert len(result.history) == spec.plan.train.epochs
    assert all(math.isfinite(line["train/loss"]) for line in result.history)


def test_the_count_of_skipped_steps_starts_again_after_a_good_one() -> None:
    state, rows = skipped_steps.start(), []
    for good in (False, False, True, False):
        state = skipped_steps.next_state(state, jnp.bool_(good))
        rows.append((int(state.epoch), int(state.row)))
    assert rows == [(1, 1), (2, 2), (2, 0), (3, 1)]


def test_an_epoch_of_steps_left_out_stops_the_run(spec_of) -> None:
    item = divergence(spec_of(LOG, bad=range(36), value=-1.0, train=SKIP))
    assert "at step 1: the output of `logs`" in item.message


def test_float16_without_end_of_overflows_stops(spec_of) -> None:
    network = "  - {formula: 'x * x', name: square}\n  - {dense: 1, name: head}"
    item = divergence(spec_of(network, bad=range(32), value=300.0, more="precision: float16\n"))
    assert "at step 1: the output of `square`" in item.message
    assert item.hint is not None and "`precision: bfloat16`" in item.hint


# ---- rollback ----


def test_a_run_goes_back_and_leaves_out_what_led_there(spec_of, tmp_path: Path) -> None:
    """Step 4 of each epoch fails: the epoch is that of its steps 5 to 8 alone."""
    found, notes = noted(spec_of(ROOT, bad=[14], train=BACK, epochs=1))
    assert notes == [
        "step 4: the gradient of `stem/kernel` is the first that is not finite, though the loss is; "
        "back to the weights of step 0, going on with step 5"
    ]
    spec = spec_of(ROOT, bad=[14], epochs=1)
    data = dict(np.load(tmp_path / "data.npz"))
    np.savez(tmp_path / "data.npz", **{name: rows[16:] for name, rows in data.items()})
    wanted = train_spec(spec)
    for mine, other in zip(*map(jax.tree.leaves, (found.variables, wanted.variables)), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6)
    assert found.history[0]["train/loss"] == pytest.approx(wanted.history[0]["train/loss"], rel=1e-6)


def test_the_steps_of_a_run_that_goes_back_are_timed(spec_of, tmp_path: Path) -> None:
    """Step 7 makes weights that step 8 shows: 8 steps, then the last again."""
    run = RunFolder(tmp_path / "run")
    assert train_spec(spec_of(ROOT, bad=[26], train=BACK, epochs=1), run=run, chunk_iterations=1).steps == 8
    assert [session["examples"] for session in read_sessions(run)] == [9 * BATCH]


def test_a_run_goes_back_only_so_often(spec_of) -> None:
    item = divergence(spec_of(LOG, bad=range(0, 36, 4), value=-1.0, train=BACK))
    assert f"at step {recovery.RETURNS + 1}: " in item.message
    assert f"returned {recovery.RETURNS} times to the same weights" in item.message


def test_an_epoch_whose_last_step_failed_has_no_loss(spec_of) -> None:
    result, notes = noted(spec_of(LOG, bad=[29], value=-1.0, train=BACK, epochs=2))
    assert np.isnan(result.history[0]["train/loss"]) and np.isfinite(result.history[0]["validation/loss"])
    assert any("`train/loss` has no value in epoch 1" in text for text in notes)


def test_a_run_that_stopped_may_go_on_skipping(spec_of, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    train = ", checkpoint_every: 1"
    first = spec_of("  - {dense: 1, name: head}", train=train, epochs=1)
    train_spec(first, run=run)
    text = first.document.source.texts[first.document.source.main]
    assert len(train_spec(dlc.loads(text, ["train.on_nan=skip", "train.epochs=2"]), run=run, resume=True).history) == 2


def test_a_resumed_run_goes_back_as_the_straight_one(spec_of, tmp_path: Path) -> None:
    """Weights grow until they overflow, at a rate that fell since the only good state, which is that of step 0."""
    optimizer = "{sgd: {learning_rate: {reduce_on_plateau: {value: 0.4, factor: 0.8, patience: 1}}}}"
    train = ", checkpoint_every: 40" + BACK
    spec = spec_of("  - {dense: 1, name: head}", optimizer=optimizer, train=train, epochs=40)
    told = []
    for name, calls in (("straight", None), ("stopped", 18)):
        run, notes = RunFolder(tmp_path / name), Notes()
        if calls is not None:
            with pytest.raises(Stopped):
                train_spec(spec, run=run, chunk_iterations=1, stop=stop_after(calls))
        train_spec(spec, run=run, resume=True, reporter=notes)
        told.append([text for text in notes.texts if "back to the weights of step 0" in text])
    assert told[0] and told[0] == told[1]
    same_run(RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "stopped"))
