"""Checkpoints: which of them stay, and a damaged one gives way to the one before it."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import dlc
from dlc.data.batching import Batching
from dlc.diagnostics import SpecError
from dlc.frontend.pipeline import check_text
from dlc.frontend.sections import Keep
from dlc.support.files import Log, digest, history_of
from dlc.training import checkpoint as checkpoints
from dlc.training.callbacks.checkpointing import Checkpointing, EpochEnds
from dlc.training.callbacks.progress import Silent
from dlc.training.checkpoint import Policy, Writer, newest
from dlc.training.run_folder import RunFolder, new_run_folder
from dlc.training.train import train as train_spec
from tests.common import SMALL
from tests.training.test_training import same_run

EPOCH_OF = {math.ceil(epoch * 90 / 16): epoch for epoch in range(1, 9)}  # by step, of the small spec


def kept(run: RunFolder) -> list[int]:
    """The epochs of the checkpoints that are there."""
    return [EPOCH_OF[checkpoints.step_of(path)] for path in reversed(checkpoints.found(run))]


def test_the_policy_says_which_stay(tmp_path: Path) -> None:
    sets = ["train.epochs=8", "train.keep_checkpoints={last: 1, best: true, every: 3}", "train.monitor=train/loss"]
    run = RunFolder(tmp_path / "run")
    result = train_spec(dlc.loads(SMALL, sets), run=run)
    assert kept(run) == sorted({3, 6, result.best_epoch, 8})


def test_the_best_epoch_has_one_though_none_was_due(tmp_path: Path) -> None:
    sets = ["train.checkpoint_every=100", "train.keep_checkpoints={last: 1, best: true}"]
    text = SMALL.replace("adam: 0.05", "sgd: 5.0").replace("  - batch_norm: 0.9\n", "")  # gets worse after epoch 1 or 2
    run = RunFolder(tmp_path / "run")
    result = train_spec(dlc.loads(text, sets), run=run)
    assert result.best_epoch < 4
    assert kept(run) == [result.best_epoch, 4]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves by 1 s for each epoch."""
    ticks = itertools.count()
    monkeypatch.setattr(Checkpointing, "clock", staticmethod(lambda: next(ticks)))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("sets", "epochs"),
    [
        ([], [1, 2, 3, 4, 5, 6, 7, 8]),
        (["train.checkpoint_seconds=2.5"], [1, 4, 7, 8]),  # three epochs later
        (["train.checkpoint_seconds=100"], [1, 8]),
        (["train.checkpoint_seconds=100", "train.checkpoint_every=3"], [3, 8]),
        (["train.checkpoint_seconds=100", "train.keep_checkpoints={last: 9, every: 2}"], [1, 2, 4, 6, 8]),
    ],
)
def test_checkpoints_have_a_least_distance_in_time(sets: list[str], epochs: list[int], tmp_path: Path) -> None:
    """The first one that is due and the last one are written in any case."""
    run = RunFolder(tmp_path / "run")
    sets = ["train.epochs=8", "train.keep_checkpoints=9", *sets]
    train_spec(dlc.loads(SMALL, sets), run=run)
    assert kept(run) == epochs


def test_a_run_that_ends_between_checkpoints_goes_on_from_the_last(small_run: RunFolder, tmp_path: Path) -> None:
    """It has only the first epoch's checkpoint, and all lines and the best weights of three epochs."""
    sets, run, three = ["train.checkpoint_seconds=1000"], RunFolder(tmp_path / "run"), RunFolder(tmp_path / "three")
    train_spec(dlc.loads(SMALL, ["train.epochs=3"]), run=three)

    class Fails(Silent):
        def epoch(self, record: Mapping[str, float], seconds: float, is_best: bool) -> None:
            if record["epoch"] == 3:
                raise RuntimeError("the terminal is gone")

    with pytest.raises(RuntimeError, match="the terminal is gone"):
        train_spec(dlc.loads(SMALL, sets), run=run, reporter=Fails())
    assert kept(run) == [1] and not run.finished
    lines = small_run.metrics.read_text().splitlines(keepends=True)
    assert run.metrics.read_text() == "".join(lines[:3])
    best = min(map(json.loads, lines[:3]), key=lambda line: line["validation/loss"])
    assert best["epoch"] > 1, "the checkpoint does not have the best weights"
    assert json.loads(safetensors_metadata(run.weights)["dlc"])["epoch"] == str(best["epoch"])
    assert run.weights.read_bytes() == three.weights.read_bytes()
    train_spec(dlc.loads(SMALL, sets), run=run, resume=True)
    same_run(run, small_run)


@pytest.mark.parametrize("mode", ["stop", "rollback"])
def test_a_run_that_diverges_keeps_its_best_weights_though_no_checkpoint_has_them(mode: str, tmp_path: Path) -> None:
    """The weights become infinite within epoch 4: the best ones, of epoch 3, are written when the run ends."""
    x = np.zeros((40, 1), np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(40, dtype=np.float32)[:, None])
    text = (
        f"data: {{source: {{npz: {tmp_path / 'data.npz'}}}}}\ninputs: {{x: {{tensor: [1]}}}}\n"
        "targets: {y: {tensor: [1]}}\nnetwork: [{dense: 1}]\nloss: mse\n"
        "optimizer: {sgd: {learning_rate: {piecewise: {values: [0.01, 1.0e+38], boundaries: [30]}}}}\n"
        f"train: {{epochs: 9, batch_size: 4, shuffle: false, checkpoint_seconds: 1000, on_nan: {mode}}}\n"
    )
    run = RunFolder(tmp_path / "run")
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(dlc.loads(text), run=run)
    [found] = caught.value.report.diagnostics
    assert found.code == "DLC508"
    assert "keeps the weights of epoch 3 and the checkpoint of epoch 1" in str(found.hint)
    best = json.loads(safetensors_metadata(run.weights)["dlc"])
    assert best["epoch"] == "3"
    if mode == "rollback":  # it went back to epoch 3, which no checkpoint holds
        assert "returned 5 times" in found.message


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file."""
    with safe_open(path, "numpy") as file:
        return dict(file.metadata())


def test_an_older_one_continues_when_the_newer_are_gone(small: dlc.Spec, small_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(small_run.path, run.path)
    run.result.unlink()
    shutil.rmtree(checkpoints.found(run)[0])
    assert kept(run) == [3]
    train_spec(small, run=run, resume=True)
    same_run(run, small_run)


def test_one_of_another_run_is_not_called_damaged(small: dlc.Spec, small_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(small_run.path, run.path)
    with pytest.raises(dlc.SpecError, match="belong to runs of another spec or lowering") as caught:
        checkpoints.newest(run, "another identity")
    assert "damaged" not in caught.value.report.diagnostics[0].message
    (checkpoints.found(run)[0] / "state.safetensors").write_bytes(b"")
    with pytest.raises(dlc.SpecError, match="are damaged or belong to runs of another spec or lowering"):
        checkpoints.newest(run, "another identity")


def test_best_weights_are_written_when_there_are_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of each process restores what may be damaged."""
    epochs: list[str] = []
    best: list[bool] = []
    save = RunFolder.save_weights

    def noted(run: RunFolder, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
        epochs.append(metadata["epoch"])
        save(run, arrays, metadata)

    class Bests(Silent):
        def epoch(self, record: Mapping[str, float], seconds: float, is_best: bool) -> None:
            best.append(is_best)

    monkeypatch.setattr(RunFolder, "save_weights", noted)
    run, sets = RunFolder(tmp_path / "run"), ["train.monitor=train/accuracy"]
    train_spec(dlc.loads(SMALL, [*sets, "train.epochs=8"]), run=run, reporter=Bests())
    assert epochs == [str(number) for number, is_best in enumerate(best, 1) if is_best]
    assert 1 <= len(epochs) < 8
    newest = epochs[-1]
    epochs.clear()
    train_spec(dlc.loads(SMALL, [*sets, "train.epochs=9"]), run=run, resume=True)
    assert epochs in ([newest], [newest, "9"])


def test_surplus() -> None:
    paths = [Path(f"step-{step:010d}") for step in (50, 40, 30, 20, 10)]
    assert Policy(2).surplus(paths, 30) == paths[2:]
    assert Policy(1, best=True).surplus(paths, 30) == [paths[1], *paths[3:]]
    assert Policy(1, best=True, lasting=frozenset({10, 20})).surplus(paths, 50) == paths[1:3]
    assert Policy(9).surplus(paths, 50) == []


def test_a_number_is_short_for_the_newest() -> None:
    spec = dlc.loads(SMALL, ["train.keep_checkpoints=3"])
    assert spec.plan.train.keep_checkpoints == Keep(last=3)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["train.keep_checkpoints={every: 3}", "train.checkpoint_every=2"], "there are no such checkpoints to keep"),
        (["train.keep_checkpoints=0"], "`last` is out of range"),
        (["train.on_nan=ignore"], "unknown value for `on_nan`"),
    ],
)
def test_what_is_wrong_with_a_policy(sets: list[str], message: str) -> None:
    _, report = check_text(SMALL, sets=sets)
    assert [(item.code, item.message) for item in report.diagnostics] == [("DLC104", message)]


def test_two_runs_that_start_at_once_get_two_folders(tmp_path: Path) -> None:
    (tmp_path / "name").symlink_to("nowhere")  # a name that is taken, though nothing exists there
    first, second = new_run_folder("name", tmp_path), new_run_folder("name", tmp_path)
    try:
        assert (first.path.name, second.path.name) == ("name-2", "name-3")
    finally:
        first.unlock()
        second.unlock()
    assert [path.name for path in tmp_path.iterdir()] == ["name"], "folders in which no run began are removed"


def test_nothing_is_written_through_links_of_a_run_folder(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("kept")
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.checkpoints.symlink_to(tmp_path / "outside")
    run.weights.symlink_to(tmp_path / "outside" / "file")
    run.metrics.symlink_to(tmp_path / "outside" / "file")
    (run.path / ".lock").symlink_to(tmp_path / "outside" / "lock")
    with pytest.raises(SpecError, match="DLC507"):
        newest(run, "x")
    with pytest.raises(SpecError, match="DLC507"):
        run.lock()
    with pytest.raises(SpecError, match="DLC507"):
        Log(run.metrics).append({"epoch": 1})
    run.save_weights({"w": np.zeros(1)}, {})
    assert not run.weights.is_symlink()
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["file"]
    assert (tmp_path / "outside" / "file").read_text() == "kept"


def test_lines_of_short_epochs_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first at once, later ones twice per second, and all before a checkpoint refers to them."""
    now = 0.0
    monkeypatch.setattr(Log, "clock", staticmethod(lambda: now))
    log = Log(tmp_path / "metrics.jsonl")

    def written() -> list[int]:
        return [json.loads(line)["epoch"] for line in log.path.read_text().splitlines()]

    seen = []
    for epoch in range(1, 11):
        log.append({"epoch": epoch})
        seen.append(len(written()))
        now += 0.2
    assert seen == [1, 1, 1, 4, 4, 4, 7, 7, 7, 10]
    now -= 0.2
    log.append({"epoch": 11})
    assert len(written()) == 10
    assert log.mark == {"bytes": log.path.stat().st_size, "sha256": digest(log.path.read_bytes())}
    assert written() == list(range(1, 12))


def test_a_checkpoint_has_all_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill can come as soon as it is written."""
    monkeypatch.setattr(Log, "SECONDS", 1000.0)
    lines: list[int] = []
    submit = Writer.submit

    def submitted(writer: Writer, checkpoint: Any, weights: Any) -> None:
        Log(writer.run.metrics).check(checkpoint.metrics, last=True)
        lines.append(len(writer.run.metrics.read_text().splitlines()))
        submit(writer, checkpoint, weights)

    monkeypatch.setattr(Writer, "submit", submitted)
    run = RunFolder(tmp_path / "run")
    train_spec(dlc.loads(SMALL, ["train.checkpoint_every=2", "train.epochs=5"]), run=run)
    assert lines == [2, 4, 5] and len(run.metrics.read_text().splitlines()) == 6


@pytest.mark.parametrize(
    "line",
    [
        *('{"epoch": 2, "step": 1, "train/loss": 1.0}', '{"epoch": 1, "step": 1, "train/loss": "1"}', "[]", "3"),
        *('{"epoch": 1, "step": 1, "train/loss": true}', '{"epoch": 1.0, "step": 1}', '{"epoch": 1, "step": 1e999}'),
        *('{"epoch": 1, "step": 1, "a\\ud800": 1.0}', '{"epoch": 1, "step": 1, "\\u001b[2J": 1.0}', '{"step": 1}'),
    ],
)
def test_a_line_of_the_log_is_numbers_by_name(line: str) -> None:
    with pytest.raises(ValueError, match=r"line 1|epochs are missing|is not a number|out of range|not valid Unicode"):
        history_of(line.encode())


def test_kept_checkpoints_of_a_run_of_any_length() -> None:
    """As the set of all their steps, which for 10^9 epochs does not fit into memory."""
    for examples, size, every in ((10, 4, 1), (10, 4, 3), (7, 7, 2), (100, 3, 5)):
        batching = Batching(examples, size)
        steps = {batching.steps(epoch) for epoch in range(every, 200, every)}
        ends = EpochEnds(batching, every)
        assert {step for step in range(batching.steps(190)) if step in ends} == {
            step for step in steps if step < batching.steps(190)
        }
    assert Batching(1797, 32).steps(10**9) in EpochEnds(Batching(1797, 32), 1)
