"""Test accuracy of a spec over seeds."""

from __future__ import annotations

import statistics

import dlc
from benchmarks.arguments import parser


def main() -> None:
    """Train once a seed and print the test metrics."""
    arguments = parser("seeds", __doc__)
    arguments.add_argument("spec", metavar="SPEC", nargs="?", default="specs/digits_cnn.yaml", help="what is trained")
    arguments.add_argument("seeds", metavar="SEED", nargs="*", type=int, help="0 to 4 by default")
    options = arguments.parse_args()
    found: dict[str, list[float]] = {}
    for seed in options.seeds or range(5):
        result = dlc.train(dlc.load(options.spec, [f"seed={seed}"]))
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4f}" for name, value in result.test.items()), flush=True)
        for name, value in result.test.items():
            found.setdefault(name, []).append(value)
    print("mean   : " + ", ".join(f"{name} {statistics.mean(values):.4f}" for name, values in found.items()))


if __name__ == "__main__":
    main()
