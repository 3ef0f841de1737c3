"""Damage to a run folder ends in the same bits or in one clear error; `python -m benchmarks.damage` tries more ways."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

import dlc
from benchmarks.damage import SAME, TEXT, WAYS, Bench, Case, cases, well

NAMES = [case.name for case in cases(Path())]
PLAIN = [name for name in NAMES if name.rpartition(": ")[2] not in WAYS]
CHOSEN = [*PLAIN, *[name for name in NAMES if name not in PLAIN][::6]]


class Stand(NamedTuple):
    bench: Bench
    cases: dict[str, Case]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Stand:
    base = tmp_path_factory.mktemp("damage")
    bench = Bench(base)
    bench.stop(base / "other", dlc.loads("seed: 1\n" + TEXT % ""))
    return Stand(bench, {case.name: case for case in cases(base / "other")})


def test_there_are_many_ways() -> None:
    assert len(NAMES) == len(set(NAMES)) > 100
    assert len(CHOSEN) > 50


@pytest.mark.few(16)
@pytest.mark.parametrize("name", CHOSEN)
def test_a_damaged_run_folder(stand: Stand, name: str, tmp_path: Path) -> None:
    outcome = stand.bench.tried(stand.cases[name], tmp_path / "run")
    assert well(stand.cases[name], outcome), outcome


@pytest.mark.parametrize(("calls", "fresh"), [(0, False), (3, False), (7, False), (9, False), (7, True), (13, True)])
def test_a_full_disk_loses_nothing(stand: Stand, calls: int, fresh: bool, tmp_path: Path) -> None:
    outcome = stand.bench.filled(tmp_path / "run", calls, fresh)
    assert outcome.ended == SAME, outcome
    assert "no space left on device" in outcome.said


def test_a_read_only_folder_loses_nothing(stand: Stand, tmp_path: Path) -> None:
    outcome = stand.bench.read_only(tmp_path / "run")
    assert outcome.ended == SAME, outcome
    assert "permission denied" in outcome.said
