"""Test accuracy in half precision beside float32."""

from __future__ import annotations

import statistics

import dlc
from benchmarks.arguments import parser

KINDS = ("float32", "bfloat16", "float16")


def main() -> None:
    """Train once a seed and a precision, and print the test accuracies and the differences of their means."""
    arguments = parser("precision", __doc__)
    arguments.add_argument("spec", metavar="SPEC", nargs="?", default="specs/digits_cnn.yaml", help="what is trained")
    arguments.add_argument("seeds", metavar="SEED", nargs="*", type=int, help="0 to 4 by default")
    options = arguments.parse_args()
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for seed in options.seeds or range(5):
        for kind in KINDS:
            result = dlc.train(dlc.load(options.spec, [f"seed={seed}", f"precision={kind}"]))
            found[kind].append(result.test["accuracy"])
        print(f"seed {seed}: " + ", ".join(f"{kind} {found[kind][-1]:.4f}" for kind in KINDS), flush=True)
    means = {kind: statistics.mean(values) for kind, values in found.items()}
    for kind, mean in means.items():
        print(f"{kind:8}: mean {mean:.4f}, {100 * (mean - means['float32']):+.2f} points")


if __name__ == "__main__":
    main()
