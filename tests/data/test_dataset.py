"""Splits and batches: which records, in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlc
from dlc.data.dataset import Dataset, Sampler, load_dataset, padded_batches
from dlc.data.fitted import FittedData, record_digests

IRIS = """
data: {source: iris, split: %s}
inputs: {features: {tensor: {shape: [4], normalize: standard}}}
targets: {species: {category: [setosa, versicolor, virginica]}}
network: [dense: 3]
loss: cross_entropy
"""


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 100), st.integers(0, 20))
def test_batches_do_not_depend_on_how_they_are_asked_for(rows: int, size: int, seed: int, step: int) -> None:
    sampler = Sampler(np.arange(rows, dtype=np.int32), size, seed)
    together = sampler.batches(step, 5)
    single = np.concatenate([sampler.batches(step + iteration, 1) for iteration in range(5)])
    np.testing.assert_array_equal(together, single)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 100))
def test_every_row_comes_once_an_epoch(rows: int, size: int, seed: int) -> None:
    sampler = Sampler(np.arange(rows, dtype=np.int32) + 7, size, seed)
    stream = sampler.batches(0, sampler.steps(3)).reshape(-1)
    for epoch in range(3):
        assert sorted(stream[epoch * rows : (epoch + 1) * rows]) == list(range(7, 7 + rows))
    assert sampler.steps(3) == -(-3 * rows // size)


def test_orders_differ_by_epoch_and_seed() -> None:
    rows = np.arange(50, dtype=np.int32)
    one, other = Sampler(rows, 10, 0), Sampler(rows, 10, 1)
    assert not np.array_equal(one.order(0), one.order(1))
    assert not np.array_equal(one.order(0), other.order(0))
    np.testing.assert_array_equal(Sampler(rows, 10, 0, shuffle=False).order(5), rows)


def test_padding_of_evaluation_is_marked() -> None:
    indices, real = padded_batches(np.arange(7, dtype=np.int32), 3)
    assert indices.shape == real.shape == (3, 3)
    np.testing.assert_array_equal(indices[real], np.arange(7))


def test_splits_are_disjoint_and_do_not_follow_the_run_seed() -> None:
    text = IRIS % "{validation: 0.2, test: 30}"
    data = load_dataset(dlc.loads(text).plan)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 90, "validation": 30, "test": 30}
    assert len(set(np.concatenate(list(data.splits.values())))) == 150
    again = load_dataset(dlc.loads("seed: 5\n" + text).plan)
    np.testing.assert_array_equal(data.splits["test"], again.splits["test"])
    other = load_dataset(dlc.loads(IRIS % "{validation: 0.2, test: 30, seed: 1}").plan)
    assert not np.array_equal(data.splits["test"], other.splits["test"])
    ordered = load_dataset(dlc.loads(IRIS % "{test: 30, shuffle: false}").plan)
    np.testing.assert_array_equal(ordered.splits["test"], np.arange(120, 150))


@pytest.mark.parametrize(("share", "count"), [(0.001, 1), (0.01, 2), (0.016, 2), (0.017, 3)])
def test_a_share_of_records_is_rounded_to_at_least_one(share: float, count: int) -> None:
    data = load_dataset(dlc.loads(IRIS % f"{{test: {share}}}").plan)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 150 - count, "test": count}


def test_statistics_come_from_the_training_split() -> None:
    data = load_dataset(dlc.loads(IRIS % "{test: 0.5}").plan)
    train = data.inputs["features"][data.splits["train"]]
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(0), 1, atol=1e-5)
    assert abs(data.inputs["features"][data.splits["test"]].mean(0)).max() > 1e-3


@pytest.mark.parametrize(("split", "code"), [("{test: 150}", "DLC405"), ("{test: 100, validation: 60}", "DLC405")])
def test_a_split_must_leave_training_data(split: str, code: str) -> None:
    with pytest.raises(dlc.SpecError) as caught:
        load_dataset(dlc.loads(IRIS % split).plan)
    assert caught.value.report.codes == (code,)


def test_splits_may_have_sources_of_their_own(tmp_path) -> None:
    for name, count in (("train", 6), ("test", 3)):
        np.savez(tmp_path / f"{name}.npz", x=np.arange(count, dtype=np.float32), y=np.arange(count) % 2)
    spec_file = tmp_path / "spec.yaml"
    spec_file.write_text(
        "data: {source: {npz: train.npz}, test: {npz: test.npz}}\n"
        "inputs: {x: number}\ntargets: {y: {category: 2}}\nnetwork: [dense: 2]\nloss: cross_entropy\n"
    )
    data = load_dataset(dlc.load(spec_file).plan)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 6, "test": 3}
    np.testing.assert_array_equal(data.inputs["x"][data.splits["test"], 0], [0, 1, 2])


def test_the_fingerprint_is_of_all_columns_whatever_their_names() -> None:
    columns = [np.full((6, 1), place, np.int32) for place in range(3)] + [np.arange(3)]

    def fingerprint(x: Any, train: Any, target: Any, rows: Any) -> int:
        digests = record_digests([x, train, target])
        return Dataset({}, {}, {}, FittedData({}, {}, {"train": digests[rows]}), {}).fingerprint

    columns[0] = np.square(np.arange(6)).reshape(6, 1)
    found = {fingerprint(*columns)}
    for place, column in enumerate(columns):
        found.add(fingerprint(*columns[:place], column + 1, *columns[place + 1 :]))
    assert len(found) == 5


def test_without_shuffling_training_keeps_the_order_of_the_file() -> None:
    for split in ("{test: 30}", "{validation: 0.2, test: 30, seed: 3}"):
        text = IRIS % split + "optimizer: adam\ntrain: {epochs: 1, batch_size: 8, shuffle: false}\n"
        data = load_dataset(dlc.loads(text).plan)
        rows = data.splits["train"]
        np.testing.assert_array_equal(rows, np.sort(rows))
        mixed = load_dataset(dlc.loads(text.replace("shuffle: false", "shuffle: true")).plan)
        assert set(mixed.splits["train"].tolist()) == set(rows.tolist())
