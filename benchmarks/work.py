"""Five trainings that are measured beside others: the networks, their data and their batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits

ROOT = Path(__file__).parent.parent
END = "optimizer: {adam: 1e-3}\nmetrics: [accuracy]\n"


class Work(NamedTuple):
    """One training.

    Args:
        name: of the row.
        spec: the text of the spec, but for its data and its `train` section.
        batch: examples of a step.
        steps: steps of an epoch.
        arrays: count -> the columns of the data, drawn at random with a fixed seed.
    """

    name: str
    spec: str
    batch: int
    steps: int
    arrays: Callable[[int], dict[str, Any]]

    def write(self, folder: Path) -> Path:
        """The spec and its data in a folder."""
        np.savez(folder / f"{self.name}.npz", **self.arrays(self.batch * self.steps))
        path = folder / f"{self.name}.yaml"
        path.write_text(
            f"dlc: 1\nname: {self.name}\n{self.spec}data: {{source: {{npz: {self.name}.npz}}}}\n"
            f"train: {{epochs: 1000, batch_size: {self.batch}}}\n",
            encoding="utf-8",
        )
        return path


def images(size: int, channels: int) -> Callable[[int], dict[str, Any]]:
    """Random images of ten classes."""

    def arrays(count: int) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        x = rng.random((count, size, size, channels), np.float32)
        return {"image": x, "digit": rng.integers(0, 10, count)}

    return arrays


def digits(count: int) -> dict[str, Any]:
    """Scikit-learn's digits, 8x8."""
    found = load_digits()
    return {"image": found.images[:count].astype(np.float32), "digit": found.target[:count]}


def texts(count: int) -> dict[str, Any]:
    """Random token numbers of two classes."""
    rng = np.random.default_rng(0)
    return {"text": rng.integers(0, 5000, (count, 100)), "good": rng.integers(0, 2, count)}


def characters(count: int) -> dict[str, Any]:
    """Random characters and those that follow them."""
    text = np.random.default_rng(0).integers(0, 65, (count, 65))
    return {"text": text[:, :-1], "next": text[:, 1:]}


WORK = (
    Work(
        "digits_mlp",  # specs/digits_mlp.yaml, all of the records for training
        "inputs: {image: {tensor: {shape: [8, 8], scale: 16}}}\ntargets: {digit: {category: 10}}\n"
        "network: [flatten, dense: {units: 128, activation: relu}, dropout: 0.2,\n"
        "  dense: {units: 64, activation: relu}, dropout: 0.2, dense: 10]\n"
        f"loss: cross_entropy\n{END}",
        32,
        40,
        digits,
    ),
    Work(
        "mnist_cnn",
        "inputs: {image: {tensor: [28, 28, 1]}}\ntargets: {digit: {category: 10}}\n"
        "network: [conv2d: {filters: 32, activation: relu}, max_pool2d, conv2d: {filters: 64, activation: relu},\n"
        "  max_pool2d, flatten, dropout: 0.5, dense: 10]\n"
        f"loss: cross_entropy\n{END}",
        128,
        4,
        images(28, 1),
    ),
    Work(
        "resnet20",
        f"extends: {ROOT}/specs/zoo/resnet20_cifar.yaml\ntargets: {{digit: {{category: 10}}}}\n"
        f"loss: cross_entropy\n{END}",
        64,
        2,
        images(32, 3),
    ),
    Work(
        "lstm",
        "inputs: {text: {tokens: {vocabulary: 5000, length: 100}}}\ntargets: {good: {category: 2}}\n"
        f"network: [embedding: {{vocabulary: 5000, size: 64}}, lstm: 128, dense: 2]\nloss: cross_entropy\n{END}",
        32,
        6,
        texts,
    ),
    Work(
        "char_gpt",
        f"extends: {ROOT}/specs/zoo/char_gpt.yaml\ntargets: {{next: {{tokens: {{vocabulary: 65, length: 64}}}}}}\n"
        f"loss: cross_entropy\n{END}",
        12,
        6,
        characters,
    ),
)
BY_NAME = {work.name: work for work in WORK}
