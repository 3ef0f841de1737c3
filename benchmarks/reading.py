"""Reading a CSV of a gigabyte: dlc's first read and later ones beside pyarrow's.

Each measurement is a process of its own, whose imports don't count; the sides take turns. `raw values` is what pyarrow
does as well: numbers in float64, classes as numbers. `data set` is everything before the first step of a training: also
digests of the records, splits, statistics and encoded values. `later run` is the same from the cache. Processor time is
that of all threads: on a busy machine it says more than the time that passes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.arguments import parser
from benchmarks.timing import machine, ratio, summary

SPEC = """
inputs:
  x: {tensor: {shape: [6], columns: [a, b, c, e, f, g], normalize: standard}}
  d: {category: [u, v, w]}
targets: {y: {category: 2}}
network:
  - {embedding: {vocabulary: 3, size: 2}, inputs: d, name: q}
  - concat: [x, q]
  - dense: 2
loss: cross_entropy
data: {source: {csv: FILE}, split: {test: 0.1}}
"""

MEASURE = """
import json, sys, time
side, file, spec = sys.argv[1:]
import pyarrow.csv
from dlc.components.features.feature import Feature
from dlc.data.dataset import load_dataset
from dlc.data.errors import DataErrors
from dlc.data.tables import Room, read_values
import dlc
plan = dlc.loads(spec.replace("FILE", file)).plan
path = ("data", "source", "csv")
work = {
    "pyarrow": lambda: pyarrow.csv.read_csv(file),
    "raw values": lambda: read_values(plan, plan.data.source, Room(1 << 40), {}, DataErrors(plan), path),
    "data set": lambda: load_dataset(plan),
}[side]
began, used = time.perf_counter(), time.process_time()
kept = work()
took, used = time.perf_counter() - began, time.process_time() - used
peak = open("/proc/self/status").read().split("VmHWM:")[1].split()[0]
print(json.dumps([took, used, int(peak) / 1024]))
"""


def write_table(path: Path, size: int) -> None:
    """A table of about `size` bytes: six columns of numbers, two of classes."""
    rng = np.random.default_rng(0)
    count = 200_000
    numbers = [
        rng.random(count),
        rng.normal(0, 10, count),
        rng.random(count),
        100 * rng.random(count),
        rng.random(count),
    ]
    columns = [[f"{value:.5g}" for value in column.tolist()] for column in numbers]
    columns.insert(2, [str(value) for value in rng.integers(0, 400, count).tolist()])
    columns.insert(3, rng.choice(list("uvw"), count).tolist())
    columns.append([str(value) for value in rng.integers(0, 2, count).tolist()])
    block = "".join(",".join(row) + "\n" for row in zip(*columns, strict=True)).encode()
    with path.open("wb") as file:
        file.write(b"a,b,c,d,e,f,g,y\n")
        for _ in range(-(-size // len(block))):
            file.write(block)


def measured(side: str, file: Path, cache: str) -> list[float]:
    """Seconds, seconds of processor time and peak memory in MB of one process."""
    command = [sys.executable, "-c", MEASURE, side, str(file), SPEC]
    done = subprocess.run(command, env={**os.environ, "DLC_CACHE": cache}, check=True, capture_output=True, text=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {side}: {found[0]:.4g} s, processor {found[1]:.4g} s, peak {found[2]:,.0f} MB", flush=True)
    return found


def main() -> None:
    """Measure, and print."""
    options = parser("reading", __doc__)
    options.add_argument("--megabytes", type=int, default=1000, help="size of the table")
    options.add_argument("--rounds", type=int, default=3, help="rounds of all sides")
    asked = options.parse_args()
    found: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        kept = str(Path(folder, "cache"))
        sides = {"pyarrow": ("pyarrow", "off"), "raw values": ("raw values", "off"), "data set": ("data set", "off")}
        sides["later run"] = ("data set", kept)
        file = Path(folder, "table.csv")
        write_table(file, asked.megabytes * 10**6)
        print(f"{file.stat().st_size / 1e6:,.0f} MB; {machine()}; load {os.getloadavg()[0]:.1f}", flush=True)
        time.sleep(3)  # a table that was written just now is not kept
        print("a run that keeps its values:")
        measured("data set", file, kept)
        for _ in range(asked.rounds):
            for side, (work, cache) in sides.items():
                found.setdefault(side, []).append(measured(work, file, cache))
    theirs = found["pyarrow"]
    for side, rounds in found.items():
        print(f"{side}: {summary([each[0] for each in rounds])}, processor {summary([each[1] for each in rounds])}")
        print(f"    peak memory {summary([each[2] for each in rounds], 'MB')}")
        if side != "pyarrow":
            print(f"    time: {ratio([each[0] for each in rounds], [each[0] for each in theirs])}")
            print(f"    processor: {ratio([each[1] for each in rounds], [each[1] for each in theirs])}")


if __name__ == "__main__":
    main()
