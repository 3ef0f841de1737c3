"""Training on a data set four times the memory that its records may take, beside the same data in memory.

Throughput: one process, interleaved rounds; of a convnet, whose steps take longer than reading their
batches, and of a network so small that reading takes longer. Peak memory: processes of their own, over that of one with
a small data set.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import parser
from benchmarks.timing import machine, ratio, summary

ROUNDS, CHUNKS = 15, 10  # a round: so many chunks, of as many steps as the streamed side does at once
CAP, RECORDS = 16, 21_000  # CAP in MB; records of 784 float32

SPEC = """
name: streaming
data: {{source: {{{word}: {file}}}, memory: {memory}}}
inputs: {{image: {{tensor: {{shape: [28, 28, 1], scale: 255}}}}}}
targets: {{digit: {{category: 10}}}}
network: NETWORK
loss: cross_entropy
metrics: [accuracy]
optimizer: adam
train: {{epochs: {epochs}, batch_size: 128}}
"""

NETWORKS = {
    "Keras' MNIST convnet, 34,826 weights": """
  - conv2d: {filters: 32, kernel: 3, activation: relu}
  - max_pool2d: 2
  - conv2d: {filters: 64, kernel: 3, activation: relu}
  - max_pool2d: 2
  - flatten
  - dropout: 0.5
  - dense: 10""",
    "an MLP of 64 units": """
  - flatten
  - dense: {units: 64, activation: relu}
  - dense: 10""",
}

PEAK = """
import sys
import dlc
dlc.train(dlc.loads(sys.argv[1]))
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def write_records(path: Path, count: int, compress: bool = False) -> None:
    """Images of noise with classes."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (count, 28, 28)).astype(np.float32)
    (np.savez_compressed if compress else np.savez)(path, image=image, digit=rng.integers(0, 10, count))


def text_of(network: str, file: Path, memory: str, epochs: int) -> str:
    """A spec."""
    return SPEC.format(word="npz", file=file, memory=memory, epochs=epochs).replace("NETWORK", network)


def throughput(network: str, file: Path) -> dict[str, tuple[list[float], list[float], str]]:
    """Examples a second and shares of waiting by round, and the digest of the weights, in memory and streamed."""
    import jax

    import dlc
    from dlc.training.chunks import Chunks
    from dlc.training.setup import initial_state, set_up

    sides: dict[str, list[Any]] = {}
    for name, memory in (("in memory", "4 GB"), ("streamed", f"{CAP} MB")):
        spec = dlc.loads(text_of(network, file, memory, 10))
        setup = set_up(spec.plan)
        sides[name] = [Chunks(setup, time.perf_counter()), initial_state(setup)]
    found: dict[str, tuple[list[float], list[float], str]] = {name: ([], [], "") for name in sides}
    iterations = sides["streamed"][0].setup.feeder.max_iterations
    for number in range(ROUNDS + 1):
        for name in list(sides)[:: 1 if number % 2 else -1]:  # neither side always comes first
            side = sides[name]
            chunks, state = side
            step = number * iterations * CHUNKS
            # anew: what was read while the other side ran is not given to it
            chunks.setup.feeder.prepare(step, iterations)
            began, waited = time.perf_counter(), chunks.setup.feeder.waited
            for _ in range(CHUNKS):
                state = chunks.run(state, step, iterations)
                step += iterations
            seconds = time.perf_counter() - began
            side[1] = state
            found[name][0].append(iterations * CHUNKS * chunks.setup.sampler.batch_size / seconds)
            found[name][1].append((chunks.setup.feeder.waited - waited) / seconds)
    for name, (chunks, state) in sides.items():
        chunks.setup.feeder.close()
        weights = jax.tree.leaves(jax.device_get(state.variables))
        digest = hashlib.sha256(b"".join(leaf.tobytes() for leaf in weights)).hexdigest()
        found[name] = (found[name][0][1:], found[name][1][1:], digest)  # the first round compiles
    return found


def peak(network: str, file: Path, memory: str, epochs: int) -> float:
    """Peak resident memory of a process that trains, MB."""
    text = text_of(network, file, memory, epochs)
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}  # else what the allocator keeps is most of the difference
    command = [sys.executable, "-c", PEAK, text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) * 1024 / 1e6


def main() -> None:
    """Measure and print."""
    parser("streaming", __doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large.npz", Path(folder) / "small.npz"
        write_records(large, RECORDS)
        write_records(small, 256)
        size = large.stat().st_size / 1e6
        print(f"{machine()}; {size:.0f} MB of records, {CAP} MB allowed; median (smallest to largest)")
        for name, network in NETWORKS.items():
            print(name)
            base = peak(network, small, "4 GB", 20)
            streamed, kept = peak(network, large, f"{CAP} MB", 1), peak(network, large, "4 GB", 1)
            more = f"streamed {streamed - base:.1f} MB, in memory {kept - base:.1f} MB"
            print(f"  peak memory over a small data set's ({base:.0f} MB): {more}")
            sides = throughput(network, large)
            ours, theirs = sides["streamed"], sides["in memory"]
            print(f"  streamed {summary(ours[0], 'examples/s')}, in memory {summary(theirs[0], 'examples/s')}")
            print(f"  {ratio(ours[0], theirs[0])}")
            print(f"  waiting for records: streamed {max(ours[1]):.1%}, in memory {max(theirs[1]):.1%}, at most")
            print(f"  weights {'equal, bit for bit' if ours[2] == theirs[2] else 'DIFFER'}")


if __name__ == "__main__":
    main()
