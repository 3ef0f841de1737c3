"""Test accuracy in half precision beside float32: `python -m benchmarks.precision specs/digits_cnn.yaml 0 1 2 3 4`."""

from __future__ import annotations

import statistics
import sys

import dlc

KINDS = ("float32", "bfloat16", "float16")


def main() -> None:
    """Train once a seed and a precision, and print the test accuracies and the differences of their means."""
    path, *seeds = sys.argv[1:] or ["specs/digits_cnn.yaml"]
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for seed in seeds or ["0", "1", "2", "3", "4"]:
        for kind in KINDS:
            result = dlc.train(dlc.load(path, [f"seed={seed}", f"precision={kind}"]))
            found[kind].append(result.test["accuracy"])
        print(f"seed {seed}: " + ", ".join(f"{kind} {found[kind][-1]:.4f}" for kind in KINDS), flush=True)
    means = {kind: statistics.mean(values) for kind, values in found.items()}
    for kind, mean in means.items():
        print(f"{kind:8}: mean {mean:.4f}, {100 * (mean - means['float32']):+.2f} points")


if __name__ == "__main__":
    main()
