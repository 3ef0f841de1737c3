"""Hostile input ends in a diagnostic: a short form of `python -m benchmarks.attacks`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.attack_kinds import KINDS
from tests.common import ROOT


def replayed(count: int, kinds: tuple[str, ...]) -> str:
    """The last line that the replay prints, if nothing failed."""
    options = [part for kind in kinds for part in ("--kind", kind)]
    command = [sys.executable, "-m", "benchmarks.attacks", str(count), "--seed", "3", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_hostile_specs_are_refused() -> None:
    assert replayed(40, CHEAP) == "40 attacks: 40 survived, 0 failed"


@pytest.mark.slow  # the readers of a run's files are tested in tests/support and tests/training
def test_every_kind_of_attack_is_survived() -> None:
    assert replayed(120, tuple(KINDS)).endswith(" 0 failed")
