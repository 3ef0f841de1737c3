"""Test accuracy of a spec over seeds: `python -m benchmarks.seeds specs/digits_cnn.yaml 0 1 2 3 4`."""

from __future__ import annotations

import statistics
import sys

import dlc


def main() -> None:
    """Train once a seed and print the test metrics."""
    path, *seeds = sys.argv[1:] or ["specs/digits_cnn.yaml"]
    found: dict[str, list[float]] = {}
    for seed in seeds or ["0", "1", "2", "3", "4"]:
        result = dlc.train(dlc.load(path, [f"seed={seed}"]))
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4f}" for name, value in result.test.items()), flush=True)
        for name, value in result.test.items():
            found.setdefault(name, []).append(value)
    print("mean   : " + ", ".join(f"{name} {statistics.mean(values):.4f}" for name, values in found.items()))


if __name__ == "__main__":
    main()
