"""SIGKILLs at random moments of trainings.

Without specs: an MLP, a convolutional network with batch norm, an LSTM with averaged weights and a plateau. Every run
that was killed and resumed must end in the bits of the straight one, must hold no epoch twice in `metrics.jsonl` and in
the events of TensorBoard. Half of the processes write a checkpoint after each epoch: no kill may lose more than one
that is finished. The others write one every `SECONDS`: no kill may lose more than that, the time of an epoch, and the
time that writing takes.
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.arguments import parser
from benchmarks.timing import machine

SPECS = ("specs/digits_mlp.yaml", "specs/digits_cnn.yaml", "benchmarks/kill_specs/lstm_ema_plateau.yaml")
SECONDS, WRITING = 0.3, 1.0
COMPARED = ("weights.safetensors", "metrics.jsonl", "result.json")
EPOCH = re.compile(r"epoch +(\d+)/")


class Process:
    """A training in a process of its own, which resumes what is there; `ends` holds when it finished each epoch."""

    def __init__(self, spec: str, run: Path, sets: Sequence[str] = (), seconds: float = 0.0) -> None:
        sets = (f"train.checkpoint_seconds={seconds}", *sets)
        arguments = ["train", spec, "--run", str(run), "--resume"]
        arguments += [part for text in ("train.tensorboard=true", *sets) for part in ("--set", text)]
        command = [sys.executable, "-c", "from dlc.cli import main; main()", *arguments]
        self.lines: list[str] = []
        self.ends: dict[int, float] = {}
        self.closed = False
        self.moved = threading.Condition()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                found = EPOCH.match(line)
                with self.moved:
                    self.lines.append(line)
                    if found:
                        self.ends[int(found[1])] = time.perf_counter()
                    self.moved.notify_all()
        with self.moved:
            self.closed = True
            self.moved.notify_all()

    @property
    def epochs(self) -> int:
        """The epochs that it says to have finished."""
        return max(self.ends, default=0)

    def lost(self, kept: int) -> float:
        """The seconds that the finished epochs after a checkpoint took."""
        later = [at for epoch, at in self.ends.items() if epoch > kept]
        return max(later) - self.ends.get(kept, min(later)) if later else 0.0

    def wait_for_epoch(self) -> None:
        """Wait until it has finished an epoch, or ended."""
        with self.moved:
            self.moved.wait_for(lambda: self.epochs or self.closed)

    def end(self, seconds: float | None) -> bool:
        """Let it run so long; whether it came to its end before it was killed."""
        try:
            self.process.wait(seconds)
            killed = False
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            killed = True
        self.reader.join()
        return not killed


class Straight(NamedTuple):
    """The straight run, its epochs, the seconds to the end of its first and those of each other."""

    run: Path
    epochs: int
    first: float
    each: float


def straight(spec: str, run: Path, sets: Sequence[str]) -> Straight:
    """Train without interruption."""
    began = time.perf_counter()
    process = Process(spec, run, sets)
    process.wait_for_epoch()
    first = time.perf_counter() - began
    process.end(None)
    if process.process.returncode:
        sys.exit("".join(process.lines))
    return Straight(run, process.epochs, first, (time.perf_counter() - began - first) / process.epochs)


def kept_epoch(run: Path) -> int:
    """The epoch of the newest checkpoint; 0 without one."""
    found = sorted(run.glob("checkpoints/step-*/checkpoint.json"))
    return int(json.loads(found[-1].read_bytes())["progress"]["epoch"]) if found else 0


def steps_twice(run: Path) -> list[str]:
    """What holds a step twice: `metrics.jsonl`, or a figure of TensorBoard's."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "events"), {"tensors": 0})  # 0 for all
    events.Reload()
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    wanted = [record["step"] for record in records if "train/loss" in record]
    steps = {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}
    wrong = [name for name, found in steps.items() if found != wanted]
    return [*wrong, *(["metrics.jsonl"] if len(set(wanted)) != len(wanted) or not steps else [])]


def storm(spec: str, kills: int, folder: Path, chance: random.Random, sets: Sequence[str] = ()) -> str:
    """Kill runs of a spec, with `sets` as `--set` has them, resume and compare; a line that says how it went."""
    whole = straight(spec, folder / "straight", sets)
    done = rounds = lost = compiling = 0
    longest = 0.0
    while done < kills:
        run = folder / f"run-{rounds}"
        rounds += 1
        while True:
            seconds = chance.choice((0.0, SECONDS))
            process = Process(spec, run, sets, seconds)
            before = kept_epoch(run)
            if done >= kills:
                ended = process.end(None)
            elif chance.random() < 0.3:  # while it starts, reads, compiles
                ended = process.end(chance.uniform(0.0, whole.first))
            else:
                process.wait_for_epoch()
                ended = process.end(chance.uniform(0.0, whole.each * whole.epochs / 3))
            if ended:
                break
            done += 1
            finished, kept = max(process.epochs, before), kept_epoch(run)
            compiling += not process.epochs
            if seconds:
                longest = max(longest, process.lost(kept))
                if process.lost(kept) > seconds + whole.each + WRITING:
                    sys.exit(f"kill {done} of {spec} lost epochs of {process.lost(kept):.1f} s")
                continue
            lost = max(lost, finished - kept)
            if finished - kept > 1:
                sys.exit(f"kill {done} of {spec} lost {finished - kept} finished epochs")
        if process.process.returncode:
            sys.exit(f"round {rounds} of {spec}: {''.join(process.lines)}")
        wrong = [name for name in COMPARED if (run / name).read_bytes() != (whole.run / name).read_bytes()]
        if wrong or steps_twice(run):
            sys.exit(f"round {rounds} of {spec}: other bits in {wrong}, a step twice in {steps_twice(run)}")
    return (
        f"{spec}: {done} kills ({compiling} before an epoch was done) over {rounds} runs, all with the bits of the "
        f"straight one; a kill lost {lost} finished epochs at most, or {longest:.1f} s of them with "
        f"`checkpoint_seconds: {SECONDS}`"
    )


def main() -> None:
    """Kill until the number of kills is reached, finish, compare; print how it went."""
    arguments = parser("kill_storm", __doc__)
    arguments.add_argument("kills", metavar="KILLS", nargs="?", type=int, default=100, help="in all; 100 by default")
    arguments.add_argument("specs", metavar="SPEC", nargs="*", help="what is trained")
    options = arguments.parse_args()
    kills, specs = options.kills, options.specs or SPECS
    chance = random.Random(0)
    print(machine())
    for number, spec in enumerate(specs):
        share = kills * (number + 1) // len(specs) - kills * number // len(specs)
        with tempfile.TemporaryDirectory() as folder:
            print(storm(spec, share, Path(folder), chance), flush=True)


if __name__ == "__main__":
    main()
