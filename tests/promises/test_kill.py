"""Exactness with real processes: trained twice, and killed at random moments, digits_cnn has the same bits.

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

SPEC = ROOT / "specs" / "digits_cnn.yaml"
KILLS = 10
SHORTER = ["--set", "train.epochs=20", "--set", "train.checkpoint_seconds=0"]
"""Fewer epochs than the spec's, so that the test stays short; each is the same work, and has a checkpoint."""


def arguments(run: Path) -> list[str]:
    return ["train", str(SPEC), "--run", str(run), "--resume", *SHORTER]


def start(run: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from dlc.cli import main; main()", *arguments(run)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ})


class Straight(NamedTuple):
    """The straight run, the time it took to its first epoch (it compiles), and from there to its end."""

    run: RunFolder
    compiling: float
    training: float


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Straight:
    run = RunFolder(tmp_path_factory.mktemp("straight") / "run")
    process = start(run.path)
    wait_for(process, "parameters")
    began = time.perf_counter()
    wait_for(process, "epoch ")
    first = time.perf_counter()
    assert process.stdout is not None
    process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    return Straight(run, first - began, time.perf_counter() - first)


def wait_for(process: subprocess.Popen[str], sign: str) -> str:
    """Read a process's lines up to one that holds the sign; that one, "" when there is none."""
    assert process.stdout is not None
    for line in process.stdout:
        if sign in line and not line.startswith("note"):
            return line
    return ""


def assert_same(one: RunFolder, other: RunFolder) -> None:
    assert one.weights.read_bytes() == other.weights.read_bytes()
    assert one.metrics.read_bytes() == other.metrics.read_bytes()
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


def test_sigterm_writes_a_checkpoint_and_says_resume_me(straight: Straight, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    process = start(run.path)
    assert process.stdout is not None
    wait_for(process, "epoch ")
    process.send_signal(signal.SIGTERM)
    lines = process.stdout.readlines()
    process.stdout.close()
    assert process.wait() == 75, "".join(lines)
    assert "--resume" in lines[-1]
    assert checkpoints.found(run)
    done = run_dlc(arguments(run.path))
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
