"""Records that don't fit the memory they may take: read while training, to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.sources import mapped
from dlc.sources.dataset import Sampler, load_dataset
from dlc.sources.mapped import Mapped
from dlc.sources.records import Encoded, Parsed
from dlc.training.ahead import Ahead
from dlc.training.fit import Stopped, fit
from dlc.training.run_folder import RunFolder
from tests.support import ROOT

RECORDS = 600

SPEC = """
name: stream
data: {source: {SOURCE}, split: {validation: 0.2}, test: {TEST}, memory: MEMORY}
inputs:
  image: {tensor: {shape: [4, 4], scale: 16, normalize: standard}}
  words: {tokens: {vocabulary: 9, length: time, padding: 0}}
targets:
  kind: {category: {classes: [a, b, c], one_hot: true}}
  size: {number: standard}
network:
  - {flatten: , inputs: image, name: flat}
  - {embedding: {vocabulary: 9, size: 4}, inputs: words, name: embedded}
  - {global_avg_pool1d: , name: mean}
  - concat: [flat, mean]
  - dense: {units: 8, activation: relu}
  - batch_norm: 0.9
  - {dropout: 0.2, name: body}
  - {dense: 3, name: kind_logits}
  - {dense: 1, inputs: body, name: size_guess}
outputs: {kind: kind_logits, size: size_guess}
loss:
  - {cross_entropy: , output: kind, target: kind}
  - {mse: , output: size, target: size}
optimizer: {adam: 0.01}
train: {epochs: 2, batch_size: 32}
"""


def records(count: int, seed: int, longest: int) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    words = rng.integers(1, 9, (count, longest))
    words[np.arange(longest) >= rng.integers(1, longest + 1, (count, 1))] = 0
    return {
        "image": rng.integers(0, 17, (count, 16)).astype(np.uint8),
        "words": words,
        "kind": np.array(["a", "b", "c"])[rng.integers(0, 3, count)],
        "size": rng.normal(3, 2, count),
    }


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same records as an archive, a compressed one and a text, and others to test on, whose words are fewer."""
    folder = tmp_path_factory.mktemp("tables")
    for name, given in (("train", records(RECORDS, 0, 5)), ("test", records(90, 1, 3))):
        np.savez(folder / f"{name}.npz", **given)
        np.savez_compressed(folder / f"{name}_small.npz", **given)
        columns = {}
        for key, values in given.items():
            flat = values.reshape(len(values), -1)
            columns |= {key if flat.shape[1] == 1 else f"{key}_{i}": flat[:, i] for i in range(flat.shape[1])}
        rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    return folder


def spec_of(folder: Path, form: str, memory: str) -> dlc.Spec:
    file = {"npz": "%s.npz", "compressed": "%s_small.npz", "csv": "%s.csv"}[form]
    word = "csv" if form == "csv" else "npz"
    text = SPEC.replace("{SOURCE}", f"{{{word}: {folder / (file % 'train')}}}").replace(
        "{TEST}", f"{{{word}: {folder / (file % 'test')}}}"
    )
    if form == "csv":
        text = text.replace("shape: [4, 4]", "shape: [4, 4], columns: ['image_*']").replace(
            "length: time", "length: time, columns: ['words_*']"
        )
    return dlc.loads(text.replace("MEMORY", memory))


def same_files(one: RunFolder, other: RunFolder) -> None:
    for path in ("weights.safetensors", "metrics.jsonl", "features.json", "result.json"):
        assert (one.path / path).read_bytes() == (other.path / path).read_bytes(), path


@pytest.fixture(scope="module")
def resident(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Trained with all records in memory."""
    run = RunFolder(tmp_path_factory.mktemp("resident") / "run")
    fit(spec_of(tables, "npz", "auto"), run=run)
    return run


@pytest.mark.parametrize("form", ["npz", "compressed", "csv"])
def test_streamed_records_are_those_in_memory(tables: Path, form: str) -> None:
    whole, kept = load_dataset(spec_of(tables, form, "auto")), load_dataset(spec_of(tables, form, "20 kB"))
    assert all(isinstance(value, np.ndarray) for value in whole.inputs.values())
    assert kept.fingerprint == whole.fingerprint
    rows = np.array([[3, 3, 689], [600, 0, 599]])
    for section in ("inputs", "targets"):
        for name, value in getattr(kept, section).items():
            wanted = getattr(whole, section)[name]
            assert isinstance(value, Encoded)
            assert (value.shape, value.dtype, value.nbytes) == (wanted.shape, wanted.dtype, wanted.nbytes)
            np.testing.assert_array_equal(value[rows], wanted[rows])
            np.testing.assert_array_equal(value[590:650], wanted[590:650])
    assert {name: list(fitted) for name, fitted in kept.stats.items()}["size"] == ["shift", "scale"]
    for name, fitted in whole.stats.items():
        for key, value in fitted.items():
            np.testing.assert_array_equal(kept.stats[name][key], value)


def test_where_they_stay_is_the_sources_choice(tables: Path) -> None:
    """What can be read anywhere is parsed when it is needed; a text is parsed once; a part may still be in memory."""
    raw = load_dataset(spec_of(tables, "npz", "20 kB")).inputs["image"].raw
    assert isinstance(raw.parts[0], Parsed)
    assert isinstance(raw.parts[0].columns["image"], Mapped)
    assert raw.parts[0].columns["image"].dtype == np.uint8
    raw = load_dataset(spec_of(tables, "csv", "20 kB")).inputs["image"].raw
    assert isinstance(raw.parts[0], Mapped)
    assert raw.parts[0].dtype == np.float32


@pytest.mark.parametrize("form", ["npz", "compressed", "csv"])
def test_streamed_training_has_the_same_bits(tables: Path, resident: RunFolder, tmp_path: Path, form: str) -> None:
    run = RunFolder(tmp_path / "run")
    result = fit(spec_of(tables, form, "20 kB"), run=run)
    same_files(run, resident)
    assert 0 <= result.input_seconds <= result.seconds
