"""Where the time of a run goes, and the trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import SMALL, run_dlc


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


def test_a_profile_as_json(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    done = run_dlc(["train", "small.yaml", "--run", "run", "--profile", "--json"], cwd=tmp_path)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    profile = next(line for line in told if line["event"] == "profile")
    assert profile["seconds"]["total"] > profile["seconds"]["steps"] > 0
    dry = run_dlc(["train", "small.yaml", "--dry-run", "--profile"], cwd=tmp_path)
    assert dry.returncode == 2
    assert "`--profile` has no effect beside `--dry-run`" in dry.stderr
