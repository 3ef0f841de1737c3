"""TensorBoard events, and what is said when an optional package is missing."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

import dlc
from dlc.training.callbacks.events import Events
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec
from tests.common import SMALL

SETS = ["train.tensorboard=true", "train.epochs=3"]


def figures(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }


def test_events_hold_each_step_once_after_a_resume(tmp_path: Path) -> None:
    spec = dlc.loads(SMALL, SETS)
    run = RunFolder(tmp_path / "run")
    answers = iter([False] * 7 + [True] * 100)
    with pytest.raises(Stopped):
        train_spec(spec, run=run, chunk_iterations=2, stop=lambda: next(answers))
    train_spec(spec, run=run, resume=True)
    records = [json.loads(line) for line in run.metrics.read_text().splitlines()][:3]
    found = figures(run.path / "events")
    assert set(found) == set(records[0]) - {"epoch", "step"}
    for name, values in found.items():
        assert values == [(record["step"], pytest.approx(record[name])) for record in records]


def test_events_that_are_damaged_are_written_anew(tmp_path: Path) -> None:
    spec = dlc.loads(SMALL, SETS)
    run = RunFolder(tmp_path / "run")
    answers = iter([False] * 7 + [True])
    with pytest.raises(Stopped):
        train_spec(spec, run=run, chunk_iterations=2, stop=lambda: next(answers))
    shutil.rmtree(run.path / "events")
    (run.path / "events").write_text("no folder")
    train_spec(spec, run=run, resume=True)
    assert [step for step, _ in figures(run.path / "events")["train/loss"]] == [6, 12, 17]


@pytest.mark.parametrize("at", ["add_scalar", "flush"])
def test_a_full_disk_is_a_diagnostic(tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"tensorboard.summary.Writer.{at}", full)
    events = Events(tmp_path / "events")
    events.begin([])
    with pytest.raises(dlc.SpecError) as caught:
        events.add({"epoch": 1, "step": 6, "train/loss": 0.5})
    assert caught.value.report.codes == ("DLC507",)
    events.close()


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlc.support.optional.find_spec", lambda name: None)
    with pytest.raises(dlc.SpecError) as caught:
        dlc.train(dlc.loads(SMALL, SETS), tmp_path / "run")
    item = caught.value.report.diagnostics[0]
    assert item.code == "DLC506"
    assert item.hint == "run `pip install 'dlc[tensorboard]'`"
    assert not (tmp_path / "run").exists()


def test_without_the_option_there_are_no_events(small_run: RunFolder) -> None:
    assert not (small_run.path / "events").exists()
