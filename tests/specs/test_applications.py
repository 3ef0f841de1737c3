"""The specs of applications: short, with the published numbers of weights; and they fit their data sets."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dlc
from benchmarks import noisy_pictures
from benchmarks.results import TASKS
from dlc.frontend.summary import table
from tests.common import ROOT

FOLDER = ROOT / "specs" / "applications"
SPECS = sorted(FOLDER.glob("*.yaml"))
DATA = Path(os.environ.get("DLC_TEST_DATA", ROOT.parent / "shared" / "data"))
MOST_LINES = 25


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_is_short(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) <= MOST_LINES


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets of the same form with a few records: `mnist`, and `cifar10_small`."""
    folder, generator = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    (folder / "mnist").mkdir()
    for name, count in (("train", 20), ("t10k", 10)):
        pixels = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        images = struct.pack(">HBBIII", 0, 8, 3, *pixels.shape) + pixels.tobytes()
        labels = struct.pack(">HBBI", 0, 8, 1, count) + bytes(number % 10 for number in range(count))
        (folder / "mnist" / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / "mnist" / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    for name in (f"{split}/{kind}" for split in ("train", "test") for kind in names):
        (folder / "cifar10_small" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), (9, 9, 9)).save(folder / "cifar10_small" / name / "1.jpg")
    noisy_pictures.write(folder / "mnist", folder / "noisy")
    return folder


@pytest.mark.parametrize(
    ("name", "data", "weights"),
    [
        ("mnist_convnet", "mnist", 34_826),
        ("mnist_autoencoder", "mnist", 28_353),
        ("mnist_denoising", "noisy", 28_353),
        ("cifar10_resnet", "cifar10_small", 269_722),
        ("cifar10_linear", "cifar10_small", 30_730),
    ],
)
def test_specs_of_pictures_have_the_published_weights(small: Path, name: str, data: str, weights: int) -> None:
    spec = dlc.load(FOLDER / f"{name}.yaml", [f"vars.data={small / data}"])
    assert table(spec.plan).params == weights
    assert TASKS[name].weights in (None, weights)


def test_the_noise_is_clipped(small: Path) -> None:
    """As in Keras' example: deviation 0.4 on pixels from 0 to 1, the same in every run."""
    first = np.load(small / "noisy" / "train.npz")
    noise = (first["noisy"].astype(float) - first["image"]) / 255
    middle = np.abs(first["image"].astype(float) - 127) < 3
    inside = noise[middle][np.abs(noise[middle]) < 0.49]
    assert 0.2 < inside.std() < 0.3  # of a normal distribution that is cut at 0.5: 0.26
    assert first["noisy"].min() == 0 and first["noisy"].max() == 255
    (small / "noisy" / "train.npz").unlink()
    noisy_pictures.write(small / "mnist", small / "noisy")
    np.testing.assert_array_equal(np.load(small / "noisy" / "train.npz")["noisy"], first["noisy"])


@pytest.mark.skipif(not DATA.is_dir(), reason=f"there is no folder of data sets: {DATA} (DLC_TEST_DATA)")
@pytest.mark.parametrize("name", [task.spec for task in TASKS.values() if task.prepare is None])
def test_a_spec_fits_its_data_set(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        pytest.skip(f"there is no `{path}`")
    spec = dlc.load(path, [f"vars.data={DATA / TASKS[name].data}"])
    if (published := TASKS[name].weights) is not None:
        assert table(spec.plan).params == published
