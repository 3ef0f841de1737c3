"""Output that can't be written, and signals meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlc.training import checkpoint as checkpoints
from dlc.training.run_folder import RunFolder
from tests.common import SMALL

MAIN = "from dlc.cli import main; main()"


def code_without_reader(*arguments: str) -> int:
    """The exit code of a command whose output nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run([sys.executable, "-c", MAIN, *arguments], stdout=writing, check=False).returncode
    finally:
        os.close(writing)


def test_a_reader_that_ends_is_no_error(tmp_path: Path) -> None:
    """`dlc show ... | head`, through Typer and without it; what was found stays the exit code."""
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "bad.yaml").write_text(SMALL.replace("units: 8", "unit: 8"))
    assert code_without_reader("explain", "DLC205") == 0
    assert code_without_reader("--help") == 0
    assert code_without_reader("check", str(tmp_path / "small.yaml")) == 0
    assert code_without_reader("check", str(tmp_path / "bad.yaml")) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
def test_output_on_a_full_disk_is_an_error() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", MAIN, "explain", "DLC205"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error[DLC507]: can't write to standard output: no space left on device\n"


def test_a_run_goes_on_without_a_reader_and_stops_when_asked(tmp_path: Path) -> None:
    """`dlc train 2>&1 | tee log` and Ctrl-C, which ends `tee`, too."""
    (tmp_path / "small.yaml").write_text(SMALL)
    run = RunFolder(tmp_path / "run")
    command = [sys.executable, "-c", MAIN, "train", "small.yaml", "--run", "run", "--set", "train.epochs=200000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            assert process.stdout is not None
            assert any(line.startswith(b"epoch ") for line in process.stdout)
            process.stdout.close()
            before, ends = reached(run), time.monotonic() + 20
            while reached(run) < before + 30:  # epochs of 6 steps
                assert process.poll() is None and time.monotonic() < ends
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 75
        finally:
            process.kill()


def reached(run: RunFolder) -> int:
    """The step of the newest checkpoint."""
    return max(map(checkpoints.step_of, checkpoints.found(run)), default=0)


WAITING = """
import os, signal, time
from dlc.cli.interruption import Interruption

def say(text):
    os.write(1, b"asked\\n")
    {said}

signal.alarm(20)
with Interruption(say):
    os.write(1, b"ready\\n")
    while True:
        time.sleep(1)
"""


@pytest.mark.parametrize("said", ["os.write(2, b'stopping')", "time.sleep(60)"], ids=["fails", "blocks"])
def test_a_second_signal_ends_the_process_whatever_the_first_says(said: str) -> None:
    """Where what is said can't be written, or waits for a full pipe, the second one is answered, too."""
    reading, writing = os.pipe()
    if "sleep" in said:
        os.set_blocking(writing, False)
        while True:
            try:
                os.write(writing, b" " * 4096)
            except BlockingIOError:
                break
        os.set_blocking(writing, True)
    else:
        os.close(reading)
    command = [sys.executable, "-c", WAITING.format(said=said)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writing)
    os.close(writing)
    assert process.stdout is not None
    for sign in (b"ready\n", b"asked\n"):
        assert process.stdout.readline() == sign
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    process.stdout.close()
    if "sleep" in said:
        os.close(reading)
