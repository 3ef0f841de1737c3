"""Reading a folder of JPEG files of 256 x 256 pixels as 64 x 64, beside a bare loop of Pillow on the same processors.

The bare loop opens, shrinks (`draft`) and resizes the files in as many processes as there are processors, and keeps
nothing. dlc reads them with different numbers of workers, with an empty cache of decoded files, and from a full one.
Rounds are interleaved; rates are pictures per second, and the processor time that each picture takes.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.arguments import parser
from benchmarks.timing import machine
from dlc.components.features.pictures import Target
from dlc.components.sources.references import FileEntry
from dlc.data.decoding import FileReader

SIZE, SMALL = 256, 64
TARGET = Target(SMALL, SMALL, 3, "stretch", "bilinear")


def write(folder: Path, count: int) -> list[str]:
    """Write pictures of smooth colors with edges and noise; their paths."""
    generator = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((SIZE, SIZE), 3)
        pixels = np.asarray(coarse) + generator.normal(0, 6, (SIZE, SIZE, 3))
        paths.append(str(folder / f"{number:05}.jpg"))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def bare(paths: list[str]) -> None:
    """Pillow alone, in a process for each processor."""
    count = os.cpu_count() or 1
    children = []
    for first in range(count):
        child = os.fork()
        if not child:
            for path in paths[first::count]:
                with Image.open(path) as picture:
                    picture.draft("RGB", (SMALL, SMALL))
                    np.asarray(picture.convert("RGB").resize((SMALL, SMALL), Image.Resampling.BILINEAR))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def read(paths: list[str], workers: int | str, cached: bool) -> None:
    """The same with dlc."""
    column = np.empty(len(paths), object)
    column[:] = [FileEntry(path, path) for path in paths]
    with FileReader(workers, cached) as files:
        files.read(TARGET, column, "image", 1)


def processor_time() -> float:
    """Seconds of this process and its children so far."""
    used = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Measure and print."""
    options = parser("pictures", __doc__)
    options.add_argument("--count", type=int, default=10_000, help="pictures")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DLC_CACHE"] = f"{folder}/cache"
        paths = write(Path(folder), given.count)
        time.sleep(2.1)  # files that changed just now are read again, to see whether their content is known
        cases: dict[str, Callable[[], None]] = {
            "Pillow alone, a process per processor": lambda: bare(paths),
            "dlc, workers: 0": lambda: read(paths, 0, False),
            "dlc, workers: auto": lambda: read(paths, "auto", False),
            "dlc, workers: auto, empty cache": lambda: read(paths, "auto", True),
            "dlc, full cache": lambda: read(paths, "auto", True),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for _ in range(given.rounds):
            for name, work in cases.items():
                if "empty" in name:
                    shutil.rmtree(f"{folder}/cache", ignore_errors=True)
                began, used = time.perf_counter(), processor_time()
                work()
                found[name].append((time.perf_counter() - began, processor_time() - used))
    for name, times in found.items():
        seconds, used = (statistics.median(values) for values in zip(*times, strict=True))
        rate, each = given.count / seconds, 1e6 * used / given.count
        print(f"{name:<38} {rate:7,.0f} per second, {each:5.0f} us of processor time each")


if __name__ == "__main__":
    main()
