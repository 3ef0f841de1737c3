"""Cross-validation: its files, compared with scikit-learn, and that interruptions change nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

import dlc
from dlc.cli.folds import is_folds_folder, train_folds
from dlc.cli.train import TrainOptions
from dlc.diagnostics import SpecError
from dlc.frontend.folds import fold_settings, of_fold
from dlc.serving.folds import cross_validate
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder

SPEC = """
name: kinds
data: {source: {csv: t.csv}, split: {validation: 0.1, stratify: kind}}
inputs: {x: {number: standard}}
targets:
  kind: {category: {classes: [a, b], missing: drop}}
network: [dense: 2]
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: 0.1}
train: {epochs: 2, batch_size: 8, checkpoint_seconds: 0}
"""
FILES = ("weights.safetensors", "metrics.jsonl", "result.json", "features.json", "splits.safetensors")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec whose third record has no target."""
    rng = np.random.default_rng(0)
    kinds = [kind if row != 2 else "" for row, kind in enumerate(rng.permutation(["a", "b"] * 20))]
    rows = [f"{rng.normal(kind == 'b'):.4f},{kind}" for kind in kinds]
    (tmp_path / "t.csv").write_text("\n".join(["x,kind", *rows, *rows[:3]]) + "\n")  # some records occur twice
    (tmp_path / "s.yaml").write_text(SPEC)
    return tmp_path / "s.yaml"


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def stop_after(calls: int) -> Callable[[], bool]:
    """A stop that is asked for once, after so many chunks."""
    answers = iter([False] * calls + [True])
    return lambda: next(answers, False)


def folded(spec: Path, folder: Path, **facts: Any) -> Any:
    sets = fold_settings(spec, (), 2)
    return cross_validate(dlc.load(spec, sets), RunFolder(folder), **facts)


def test_cross_validation_against_scikit_learn(spec: Path, tmp_path: Path) -> None:
    found = dlc.cross_validate(spec, 2, tmp_path / "runs")
    rows = table(found.out_of_fold)
    data = table(tmp_path / "t.csv")
    assert [int(row["row"]) for row in rows] == [1, 2, *range(4, 43)]  # without those that have no target
    assert [row["true_kind"] for row in rows] == [data[int(row["row"]) - 1]["kind"] for row in rows]
    for fold in (1, 2):
        own = [row for row in rows if row["fold"] == str(fold)]
        truth = [row["true_kind"] for row in own]
        probabilities = np.array([[float(row["kind_a"]), float(row["kind_b"])] for row in own])
        probabilities /= probabilities.sum(1, keepdims=True)
        values = {name: metric.values[fold - 1] for name, metric in found.metrics.items()}
        assert values["accuracy"] == pytest.approx(accuracy_score(truth, [row["kind"] for row in own]))
        assert values["loss"] == pytest.approx(log_loss(truth, probabilities, labels=["a", "b"]), rel=1e-5)
        assert dlc.evaluate(tmp_path / "runs" / f"fold_{fold}").metrics["loss"] == pytest.approx(values["loss"])
    accuracy = found.metrics["accuracy"]
    assert accuracy.mean == pytest.approx(np.mean(accuracy.values))
    assert accuracy.deviation == pytest.approx(np.std(accuracy.values, ddof=1))
    kept = json.loads((tmp_path / "runs" / "folds.json").read_text())
    assert kept["folds"] == 2 and kept["metrics"]["accuracy"]["values"] == list(accuracy.values)


@pytest.mark.parametrize("calls", [pytest.param(0, marks=pytest.mark.slow), 2])  # slow: in the first fold
def test_an_interrupted_cross_validation_continues(spec: Path, tmp_path: Path, calls: int) -> None:
    """It has the files of an uninterrupted one. A changed record is noticed."""
    whole, other = folded(spec, tmp_path / "whole"), tmp_path / "stopped"
    with pytest.raises(Stopped):
        folded(spec, other, stop=stop_after(calls))
    again = folded(spec, other, resume=True)
    assert again.metrics == whole.metrics
    assert again.out_of_fold.read_bytes() == whole.out_of_fold.read_bytes()
    for path in [path for path in (tmp_path / "whole").rglob("*") if path.name in FILES]:
        assert (other / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes(), path
    with pytest.raises(SpecError) as caught:
        folded(spec, tmp_path / "whole")
    assert caught.value.report.codes == ("DLC501",)
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text.replace("\n", "\n9.5,a\n", 1))
    with pytest.raises(SpecError) as caught:
        folded(spec, tmp_path / "whole", resume=True)
    assert caught.value.report.codes == ("DLC504",)


def test_the_command(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert train_folds(spec, TrainOptions(folds=2, quiet=True), ["train.epochs=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["fold", "1", "2", "mean", "deviation"]
    assert lines[0].split() == ["fold", "loss", "accuracy"] and lines[-1] == "run folders runs/kinds"
    assert train_folds(Path("runs/kinds"), TrainOptions(resume=True, json=True), []) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["fold", "fold", "end"]
    assert events[-1]["folds"] == 2 and set(events[-1]["metrics"]) == {"loss", "accuracy"}
    assert train_folds(spec, TrainOptions(folds=2, resume=True, quiet=True), ["train.epochs=1"]) == 0
    assert not (tmp_path / "runs" / "kinds-2").exists()
    assert is_folds_folder(Path("runs/kinds")) and not is_folds_folder(Path("runs/kinds/fold_1"))
    with pytest.raises(SpecError, match="the runs are those of 2 folds"):
        train_folds(Path("runs/kinds"), TrainOptions(resume=True, folds=5), [])
    for options in (TrainOptions(folds=2, dry_run=True), TrainOptions(folds=2, profile=True)):
        with pytest.raises(SpecError) as caught:
            train_folds(spec, options, [])
        assert caught.value.report.codes == ("DLC510",)
    with pytest.raises(SpecError) as caught:
        train_folds(Path("runs/kinds"), TrainOptions(), [])
    assert caught.value.report.codes == ("DLC001",)


@pytest.mark.parametrize(
    "data",
    [
        "iris",
        "{source: iris, split: {test: 0.2, stratify: species}}",
        "{source: iris, test: iris, split: {validation: 0.1}}",
        "{source: iris, split: {stratify: species}}",
    ],
)
def test_folds_replace_the_test_split(tmp_path: Path, data: str) -> None:
    inputs = "inputs: {features: {tensor: [4]}}\ntargets: {species: {category: 3}}\nnetwork: [dense: 3]\n"
    (tmp_path / "s.yaml").write_text(f"data: {data}\n{inputs}loss: cross_entropy\noptimizer: adam\n")
    spec = of_fold(dlc.load(tmp_path / "s.yaml", fold_settings(tmp_path / "s.yaml", (), 4)), 3)
    assert spec.plan.data is not None
    split = spec.plan.data.split
    assert (split.folds, split.fold, split.test, spec.plan.data.test) == (4, 3, 0, None)
    assert split.stratify == ("species" if "stratify" in data else None)
