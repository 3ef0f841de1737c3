"""Pictures with noise beside the same without: `python -m benchmarks.noisy_pictures MNIST FOLDER`.

MNIST is the folder of the four files of MNIST. FOLDER gets `train.npz` and `test.npz` with the columns `noisy` and
`image`, as in keras-io's example "Convolutional autoencoder for image denoising": noise with a deviation of 0.4 is
added to pixels from 0 to 1, which are then clipped.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path
from typing import Any

import numpy as np

DEVIATION = 0.4
FILES = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}


def pictures(path: Path) -> np.ndarray[Any, Any]:
    """The pictures of a file of MNIST: uint8 (n, 28, 28)."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)


def write(mnist: Path, folder: Path) -> None:
    """Write both files, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, file) in enumerate(FILES.items()):
        target = folder / f"{name}.npz"
        if target.exists():
            continue
        clean = pictures(mnist / file)
        noise = np.random.default_rng(seed).normal(0, DEVIATION, clean.shape)
        noisy = np.clip(clean / 255 + noise, 0, 1)
        np.savez(target, noisy=np.round(255 * noisy).astype(np.uint8), image=clean)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    write(options.mnist, options.folder)


if __name__ == "__main__":
    main()
