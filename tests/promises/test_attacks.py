"""Hostile input ends in a diagnostic: short forms of `python -m benchmarks.attacks` and `benchmarks.interrupts`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from benchmarks.attack_kinds import KINDS
from tests.common import ROOT


def replayed(module: str, *arguments: str) -> str:
    """The last line that a replay prints, if nothing failed."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def options(name: str, values: Sequence[str]) -> list[str]:
    """An option with each of some values."""
    return [part for value in values for part in (name, value)]


def test_hostile_specs_are_refused() -> None:
    kinds = options("--kind", [name for name, kind in KINDS.items() if kind.checks])
    assert replayed("attacks", "40", "--seed", "3", *kinds) == "40 attacks: 40 survived, 0 failed"


@pytest.mark.slow  # the readers of a run's files are tested in tests/support and tests/training
def test_every_kind_of_attack_is_survived() -> None:
    assert replayed("attacks", "60", "--seed", "3") == "60 attacks: 60 survived, 0 failed"


@pytest.mark.slow  # one moment of each command is tested in tests/cli/test_interrupts.py
def test_interrupts_at_any_moment_end_quietly() -> None:
    assert replayed("interrupts", "1", "--seed", "3").startswith("0 of ")
