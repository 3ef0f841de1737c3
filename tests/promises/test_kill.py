"""Exactness with real processes: trained twice, stopped, and killed at random moments, a network has the same bits.

The storm of `benchmarks/kill_storm.py` over its other specs is here in a short form.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks import kill_storm
from dlc.training import checkpoint as checkpoints
from dlc.training.run_folder import RunFolder
from tests.common import ROOT, run_dlc
from tests.training.test_training import same_run

SPEC = ROOT / "specs" / "digits_cnn.yaml"
SMALLER = ROOT / "specs" / "digits_mlp.yaml"
KILLS = 10
EPOCHS = {SPEC: 20, SMALLER: 100}
"""Few epochs, so that the tests stay short, but enough that a signal after the first one arrives before the last."""


def name_of(spec: Path) -> str:
    return spec.stem


def arguments(run: Path, spec: Path = SPEC) -> list[str]:
    """Each epoch has a checkpoint."""
    shorter = ["--set", f"train.epochs={EPOCHS[spec]}", "--set", "train.checkpoint_seconds=0"]
    return ["train", str(spec), "--run", str(run), "--resume", *shorter]


def start(run: Path, spec: Path = SPEC) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from dlc.cli import main; main()", *arguments(run, spec)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ})


class Straight(NamedTuple):
    """The straight run of a spec, the time it took to its first epoch (it compiles), and from there to its end."""

    spec: Path
    run: RunFolder
    compiling: float
    training: float


@pytest.fixture(scope="module")
def straight(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    """A run that nothing stops: of `SPEC`, or of the spec that a test asks for."""
    spec = getattr(request, "param", SPEC)
    run = RunFolder(tmp_path_factory.mktemp("straight") / "run")
    process = start(run.path, spec)
    wait_for(process, "parameters")
    began = time.perf_counter()
    wait_for(process, "epoch ")
    first = time.perf_counter()
    assert process.stdout is not None
    process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    return Straight(spec, run, first - began, time.perf_counter() - first)


def wait_for(process: subprocess.Popen[str], sign: str) -> str:
    """Read a process's lines up to one that holds the sign; that one, "" when there is none."""
    assert process.stdout is not None
    for line in process.stdout:
        if sign in line and not line.startswith("note"):
            return line
    return ""


def assert_same(one: RunFolder, other: RunFolder) -> None:
    same_run(one, other)
    assert one.result.read_bytes() == other.result.read_bytes()


@pytest.mark.slow  # the test of SIGTERM compares two runs of this spec, too
def test_training_twice_gives_the_same_bits(straight: Straight, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    done = run_dlc(arguments(run.path))
    assert done.returncode == 0, done.stderr
    assert_same(run, straight.run)


@pytest.mark.slow  # a short storm kills, resumes, compares and counts lost epochs, too
def test_killed_ten_times_and_resumed_gives_the_same_bits(straight: Straight, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    chance = random.Random(20)
    reached = []
    for number in range(KILLS):
        process = start(run.path)
        assert process.stdout is not None
        # half of the kills come while it compiles, half between the epochs
        if number % 2:
            line = wait_for(process, "parameters")
            delay = chance.uniform(0.0, straight.compiling)
        else:
            line = wait_for(process, "epoch ")
            delay = chance.uniform(0.0, straight.training / 5)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        told = re.findall(r"^epoch +(\d+)/", line + process.stdout.read(), re.MULTILINE)
        process.stdout.close()
        process.wait()
        found = checkpoints.found(run)
        if told:
            kept = checkpoints.load(found[0]).progress["epoch"] if found else 0
            assert kept >= int(told[-1]) - 1, "more than one checkpoint interval was lost"
        reached.append(int(found[0].name.removeprefix("step-")) if found else 0)
    done = run_dlc(arguments(run.path))
    assert done.returncode == 0, done.stderr
    assert reached == sorted(reached)
    assert len(set(reached)) > 1, "every kill came before the first checkpoint: the test showed nothing"
    assert_same(run, straight.run)


STORMS = [spec for spec in kill_storm.SPECS if Path(spec).stem != SPEC.stem]


@pytest.mark.slow  # .ci/run runs it; `test_sigterm_writes_a_checkpoint_and_says_resume_me` stops and resumes, too
@pytest.mark.parametrize("spec", STORMS)
def test_a_short_storm(spec: str, tmp_path: Path) -> None:
    """The storm's other specs: a kill between epochs, and one while the resumed process starts or soon after."""
    told = kill_storm.storm(str(ROOT / spec), 2, tmp_path, random.Random(9), ["train.epochs=12"])
    assert ": 2 kills (" in told


@pytest.mark.parametrize("straight", [SMALLER, pytest.param(SPEC, marks=pytest.mark.slow)], indirect=True, ids=name_of)
def test_sigterm_writes_a_checkpoint_and_says_resume_me(straight: Straight, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    process = start(run.path, straight.spec)
    assert process.stdout is not None
    wait_for(process, "epoch ")
    process.send_signal(signal.SIGTERM)
    lines = process.stdout.readlines()
    process.stdout.close()
    assert process.wait() == 75, "".join(lines)
    assert "--resume" in lines[-1]
    assert checkpoints.found(run)
    done = run_dlc(arguments(run.path, straight.spec))
    assert done.returncode == 0, done.stderr
    assert "resuming after epoch" in done.stderr
    assert_same(run, straight.run)


@pytest.mark.slow  # the first signal and kills at random moments are tested, too
def test_a_second_signal_ends_the_process_at_once(straight: Straight, tmp_path: Path) -> None:
    """Even while it compiles: no handler of Python's could run then."""
    for number in (signal.SIGINT, signal.SIGTERM):
        run = RunFolder(tmp_path / number.name)
        process = start(run.path)
        assert process.stdout is not None
        wait_for(process, "parameters")
        process.send_signal(number)
        wait_for(process, "a second signal stops immediately")
        process.send_signal(number)
        lines = process.stdout.readlines()
        process.stdout.close()
        assert process.wait() == 128 + number
        assert lines == ["stopped immediately; the newest checkpoint is kept\n"]
    done = run_dlc(arguments(run.path))
    assert done.returncode == 0, done.stderr
    assert_same(run, straight.run)
