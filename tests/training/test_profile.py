"""Where the time of a run goes, and the trace."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import pytest

import dlc
from dlc.frontend.pipeline import Spec
from dlc.training.callbacks.progress import Silent
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec
from tests.common import SMALL, run_dlc


def test_a_profile_tells_where_the_time_went(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    done = run_dlc(["train", "small.yaml", "--run", "run", "--profile"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("data "))
    rows = {line.split()[0]: float(line.split()[1]) for line in lines[start : start + 8]}
    assert list(rows) == ["data", "compile", "steps", "input", "evaluation", "checkpoints", "other", "total"]
    assert sum(seconds for name, seconds in rows.items() if name != "total") == pytest.approx(rows["total"], abs=0.05)
    assert rows["compile"] > 0
    assert rows["other"] < 0.5 * rows["total"]
    assert lines[start + 8] == f"trace {Path('run') / 'profile'}, for TensorBoard or ui.perfetto.dev"
    assert list((tmp_path / "run" / "profile").rglob("*.trace.json.gz"))
    plain = run_dlc(["train", "small.yaml", "--run", "plain"], cwd=tmp_path)
    assert not (tmp_path / "plain" / "profile").exists()
    assert "trace" not in plain.stdout
    for name in ("metrics.jsonl", "weights.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


@pytest.mark.slow  # the same profile is tested as text
def test_a_profile_as_json(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    done = run_dlc(["train", "small.yaml", "--run", "run", "--profile", "--json"], cwd=tmp_path)
    batch_statistics = [json.loads(line) for line in done.stdout.splitlines()]
    profile = next(line for line in batch_statistics if line["event"] == "profile")
    assert profile["seconds"]["total"] > profile["seconds"]["steps"] > 0
    dry = run_dlc(["train", "small.yaml", "--dry-run", "--profile"], cwd=tmp_path)
    assert dry.returncode == 2
    assert "`--profile` can't be used with `--dry-run`" in dry.stderr


@pytest.mark.parametrize(("function", "word"), [("start_trace", "taken"), ("stop_trace", "written")])
def test_a_run_goes_on_without_a_trace(
    small: Spec, small_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, word: str
) -> None:
    notes: list[str] = []

    class Notes(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    def full(*_: object) -> None:
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(jax.profiler, "start_trace", lambda _: None)
    monkeypatch.setattr(jax.profiler, function, full)
    run = RunFolder(tmp_path / "run")
    train_spec(small, run=run, chunk_iterations=2, profile=True, reporter=Notes())
    assert notes == [f"the trace was not {word} (RuntimeError: No space left on device)"]
    assert run.metrics.read_bytes() == small_run.metrics.read_bytes()


def test_what_goes_wrong_at_the_end_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer is closed first, and whatever the others do: it may not work on without the folder's lock."""
    closed: list[str] = []

    def failing(name: str):
        def close(*_: object) -> None:
            closed.append(name)
            raise RuntimeError(name)

        return close

    class Failing(Silent):
        end = failing("reporter")

    monkeypatch.setattr("dlc.training.checkpoint.Writer.close", failing("writer"))
    monkeypatch.setattr("dlc.data.feeder.Feeder.close", failing("feeder"))
    monkeypatch.setattr("dlc.training.callbacks.profile.Profile.end", failing("profile"))
    with pytest.raises(RuntimeError):
        train_spec(dlc.loads(SMALL, ["train.epochs=1"]), run=RunFolder(tmp_path / "run"), reporter=Failing())
    assert closed == ["writer", "profile", "reporter", "feeder"]
