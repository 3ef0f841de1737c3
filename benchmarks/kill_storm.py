"""SIGKILLs at random moments of a training: `python -m benchmarks.kill_storm specs/digits_cnn.yaml 30`."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def start(spec: str, run: Path) -> subprocess.Popen[str]:
    """Train in a process of its own, resuming what is there."""
    command = [sys.executable, "-c", "from dlc.cli import main; main()", "train", spec, "--run", str(run), "--resume"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def files(run: Path) -> dict[str, bytes]:
    """What must be the same, bit for bit."""
    return {name: (run / name).read_bytes() for name in ("weights.safetensors", "metrics.jsonl", "result.json")}


def main() -> None:
    """Kill until the number of kills is reached, finish, compare; print how it went."""
    spec = sys.argv[1] if len(sys.argv) > 1 else "specs/digits_cnn.yaml"
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        straight = Path(folder) / "straight"
        began = time.perf_counter()
        if start(spec, straight).wait() != 0:
            sys.exit("the straight run failed")
        whole = time.perf_counter() - began
        done = rounds = 0
        while done < kills:
            run = Path(folder) / f"run-{rounds}"
            rounds += 1
            while True:
                process = start(spec, run)
                try:
                    process.wait(chance.uniform(0.2, 1.0) * whole if done < kills else None)
                    break  # it came to its end
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    done += 1
            if process.returncode != 0 or files(run) != files(straight):
                sys.exit(f"round {rounds}: the resumed run differs (exit code {process.returncode})")
        print(f"{done} kills over {rounds} runs of {spec}: every resumed run has the bits of the straight one")


if __name__ == "__main__":
    main()
