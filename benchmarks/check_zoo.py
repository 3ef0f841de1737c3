"""Time of the check alone for each network of the zoo, in a process that has started: in all, and for each layer.

`--profile NAME` shows what the check of one network spends its time on.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import time
from pathlib import Path

import dlc
from benchmarks.arguments import parser
from benchmarks.timing import machine
from dlc.frontend.pipeline import check_file

ROUNDS = 10
FOLDER = Path("specs") / "zoo"
LAYER, RESNET50 = 2.0, 100.0  # milliseconds: what a layer and ResNet-50 may take


def milliseconds(path: Path) -> float:
    """Of one check."""
    began = time.perf_counter()
    spec, _ = check_file(path)
    assert spec is not None
    return 1e3 * (time.perf_counter() - began)


def profile(path: Path) -> None:
    """Print where the time of a check goes."""
    check_file(path)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(ROUNDS):
        check_file(path)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Measure and print."""
    arguments = parser("check_zoo", __doc__)
    arguments.add_argument("--profile", metavar="NAME", help="a network of the zoo")
    name = arguments.parse_args().profile
    if name is not None:
        profile(FOLDER / f"{name}.yaml")
        return
    paths = sorted(FOLDER.glob("*.yaml"))
    for path in paths:
        check_file(path)  # imports the layers
    rounds = [[milliseconds(path) for path in paths] for _ in range(ROUNDS)]
    print(f"{machine()}; {ROUNDS} rounds; median (smallest to largest), in ms")
    print(f"{'network':<24}{'layers':>8}{'check':>26}{'a layer':>10}")
    slow = []
    for path, times in zip(paths, zip(*rounds, strict=True), strict=True):
        layers, median = len(dlc.show(dlc.load(path), expanded=True).rows), statistics.median(times)
        spread = f"{median:.1f} ({min(times):.1f} to {max(times):.1f})"
        print(f"{path.stem:<24}{layers:>8}{spread:>26}{median / layers:>10.2f}")
        if median / layers > LAYER or (path.stem == "resnet50" and median > RESNET50):
            slow.append(path.stem)
    print(f"over {LAYER:g} ms a layer, or {RESNET50:g} ms for resnet50: {', '.join(slow) or 'none'}")


if __name__ == "__main__":
    main()
