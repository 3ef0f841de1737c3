"""What depth costs: a transformer of 2 blocks and one of 64, side by side.

Each round starts a process for each, which loads the spec, draws the weights, compiles a training step and does it; the
time is that of the process. Then the lengths of the two programs as StableHLO text. Targets: 1.5 times the time, 1.2
times the text.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import dlc
from benchmarks.arguments import parser
from benchmarks.timing import machine, ratio, summary
from dlc.backend.emit import program_text

DEPTHS = (2, 64)
SPEC = """
data: {{source: {{npz: {data}}}}}
inputs: {{text: {{tokens: {{vocabulary: 100, length: 32}}}}}}
targets: {{next: {{tokens: {{vocabulary: 100, length: 32}}}}}}
network:
  - embedding: {{vocabulary: 100, size: 64}}
  - learned_positions: 32
  - repeat:
      times: {depth}
      layers: [transformer_encoder: {{size: 64, heads: 4, norm: pre, causal: true, dropout: 0.1}}]
  - layer_norm
  - dense: 100
loss: cross_entropy
optimizer: adam
train: {{epochs: 1, batch_size: 8}}
"""
STEP = "import sys, dlc; dlc.train(dlc.load(sys.argv[1]), dry_run=True)"


def seconds(path: Path) -> float:
    """Time of a process that compiles a step and does it."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", STEP, str(path)], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    arguments = parser("depth", __doc__)
    arguments.add_argument("rounds", metavar="ROUNDS", nargs="?", type=int, default=7, help="7 by default")
    rounds = arguments.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "text.npz"
        text = np.random.default_rng(0).integers(0, 100, (64, 33))
        np.savez(data, text=text[:, :-1], next=text[:, 1:])
        paths = {depth: Path(folder) / f"depth_{depth}.yaml" for depth in DEPTHS}
        for depth, path in paths.items():
            path.write_text(SPEC.format(data=data, depth=depth), encoding="utf-8")
        seconds(paths[2])  # files into the page cache
        pairs = [(seconds(paths[64]), seconds(paths[2])) for _ in range(rounds)]
        deep, shallow = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        print(f"{machine()}; {rounds} interleaved rounds; median (smallest to largest)")
        print(f"depth 64, process to first step   {summary(deep)}")
        print(f"depth 2                           {summary(shallow)}")
        print(ratio(deep, shallow))
        low, high = (len(program_text(dlc.load(paths[depth]).plan, "stablehlo", step=True)) for depth in DEPTHS)
        print(f"StableHLO text {low:,} and {high:,} characters, ratio {high / low:.3f}")


if __name__ == "__main__":
    main()
