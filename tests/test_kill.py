"""Exactness with real processes: trained twice, and killed at random moments, digits_cnn has the same bits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlc.training import checkpoint as checkpoints
from dlc.training.run_folder import RunFolder
from tests.support import ROOT, run_dlc

SPEC = ROOT / "specs" / "digits_cnn.yaml"
KILLS = 10
SHORTER = ["--set", "train.epochs=12"]
"""Fewer epochs than the spec's, so that the test stays short; the epochs that it does are the same work."""


def arguments(run: Path) -> list[str]:
    return ["train", str(SPEC), "--run", str(run), "--resume", *SHORTER]


def start(run: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from dlc.cli import main; main()", *arguments(run)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ})


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, float]:
    """The straight run, and how long its training took after the first line."""
    run = RunFolder(tmp_path_factory.mktemp("straight") / "run")
    process = start(run.path)
    assert process.stdout is not None
    began = 0.0
    for line in process.stdout:
        if "parameters" in line:
            began = time.perf_counter()
    process.stdout.close()
    assert process.wait() == 0
    return run, time.perf_counter() - began


def assert_same(one: RunFolder, other: RunFolder) -> None:
    assert one.weights.read_bytes() == other.weights.read_bytes()
    assert one.metrics.read_bytes() == other.metrics.read_bytes()
    assert one.result.read_bytes() == other.result.read_bytes()


def test_training_twice_gives_the_same_bits(straight: tuple[RunFolder, float], tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    done = run_dlc(arguments(run.path))
    assert done.returncode == 0, done.stderr
    assert_same(run, straight[0])


def test_killed_ten_times_and_resumed_gives_the_same_bits(straight: tuple[RunFolder, float], tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    chance = random.Random(20)
    reached = []
    for _ in range(KILLS):
        process = start(run.path)
        assert process.stdout is not None
        for line in process.stdout:  # the moment counts from the beginning of training, not of the imports
            if "parameters" in line:
                break
        try:
            process.wait(chance.uniform(0.0, 1.1) * straight[1] / 2)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.stdout.close()
        process.wait()
        found = checkpoints.found(run)
        reached.append(int(found[0].name.removeprefix("step-")) if found else 0)
    done = run_dlc(arguments(run.path))
    assert done.returncode == 0, done.stderr
    assert reached == sorted(reached)
    assert len(set(reached)) > 1, "every kill came before the first checkpoint: the test showed nothing"
    assert_same(run, straight[0])


def test_sigterm_writes_a_checkpoint_and_says_resume_me(straight: tuple[RunFolder, float], tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    process = start(run.path)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGTERM)
    lines += process.stdout.readlines()
    process.stdout.close()
    assert process.wait() == 75, "".join(lines)
    assert "--resume" in lines[-1]
    assert checkpoints.found(run)
    done = run_dlc(arguments(run.path))
    assert done.returncode == 0, done.stderr
    assert "resuming after epoch" in done.stderr
    assert_same(run, straight[0])
