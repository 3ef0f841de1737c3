"""Windows: which rows they hold, which split they are in, and that they reach the program whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import dlc
from dlc.data.dataset import Dataset, load_dataset
from dlc.data.feeder import Feeder, make_sampler
from dlc.diagnostics import SpecError

SPEC = """
inputs: {past: {series: {columns: [a, b], past: 4, normalize: standard}}}
targets: {next: {series: {columns: a, future: 2}}}
network: [flatten, dense: 2, reshape: [2, 1]]
loss: mse
optimizer: {sgd: 0.01}
data: {source: {csv: t.csv}, split: SPLIT, windows: WINDOWS}
train: {epochs: 2, batch_size: 4}
"""


def table(rows: int = 60, stores: tuple[str, ...] = ("x",)) -> str:
    lines = [
        f"{index + 1000 * place},{index % 7},{store}" for place, store in enumerate(stores) for index in range(rows)
    ]
    return "\n".join(["a,b,store", *lines]) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spec(split: str = "{validation: 10, test: 12}", windows: str = "1") -> dlc.Spec:
    return dlc.loads(SPEC.replace("SPLIT", split).replace("WINDOWS", windows))


def loaded(content: str, *options: str) -> Dataset:
    Path("t.csv").write_text(content)
    return load_dataset(spec(*options).plan)


def raw_targets(data: Dataset, split: str) -> Any:
    """The numbers of `a` in the windows of the targets."""
    return np.asarray(data.targets["next"][data.splits[split]])[..., 0]


def test_windows_are_consecutive_rows_before_and_after_a_point_in_time(folder: Path) -> None:
    data = loaded(table())
    np.testing.assert_array_equal(raw_targets(data, "train"), [[row, row + 1] for row in range(4, 37)])
    shift, scale = (data.fitted.stats["past"][key][0] for key in ("shift", "scale"))
    past = np.asarray(data.inputs["past"][data.splits["train"]])[..., 0] * scale + shift
    np.testing.assert_allclose(past, [np.arange(row - 4, row) for row in range(4, 37)], atol=1e-4)
    assert data.inputs["past"].shape == (len(data.inputs["past"]), 4, 2)
    assert data.inputs["past"].nbytes < 60 * 8 + 8 * len(data.inputs["past"])  # rows are stored once


def test_no_window_reaches_over_a_cut(folder: Path) -> None:
    data = loaded(table())
    assert raw_targets(data, "train").max() == 37  # rows 0 to 37 of 60
    np.testing.assert_array_equal(raw_targets(data, "validation"), [[row, row + 1] for row in range(42, 47)])
    np.testing.assert_array_equal(raw_targets(data, "test"), [[row, row + 1] for row in range(52, 59)])


def test_with_history_only_inputs_begin_in_an_earlier_split(folder: Path) -> None:
    data = loaded(table(), "{validation: 10, test: 12}", "{history: true}")
    np.testing.assert_array_equal(raw_targets(data, "train")[-1], [36, 37])
    np.testing.assert_array_equal(raw_targets(data, "validation"), [[row, row + 1] for row in range(38, 47)])
    np.testing.assert_array_equal(raw_targets(data, "test"), [[row, row + 1] for row in range(48, 59)])


def test_strides_of_training_and_evaluation(folder: Path) -> None:
    data = loaded(table(), "{validation: 0, test: 20}", "{stride: 3, evaluation_stride: 2}")
    np.testing.assert_array_equal(raw_targets(data, "train")[:, 0], np.arange(4, 39, 3))
    np.testing.assert_array_equal(raw_targets(data, "test")[:, 0], np.arange(44, 59, 2))


def test_series_are_apart_however_their_rows_are_mixed(folder: Path) -> None:
    whole = table(20, ("x", "y"))
    head, *rows = whole.splitlines()
    mixed = "\n".join([head, *(row for pair in zip(rows[:20], rows[20:], strict=True) for row in pair)]) + "\n"
    one, other = (loaded(content, "{test: 0.3}", "{series: store}") for content in (whole, mixed))
    for split, count in (("train", 14), ("test", 6)):
        found = raw_targets(one, split)
        assert len(found) == 2 * (count - 5)
        assert set(np.diff(found, axis=1).reshape(-1)) == {1.0}
        np.testing.assert_array_equal(found, raw_targets(other, split))
    assert one.fingerprint == other.fingerprint


def test_what_is_learned_depends_on_the_training_rows_only(folder: Path) -> None:
    one = loaded(table())
    lines = table().splitlines()
    other = loaded("\n".join([*lines[:39], *(f"{9 * index},3,x" for index in range(22))]) + "\n")
    for key, value in one.fitted.stats["past"].items():
        np.testing.assert_array_equal(value, other.fitted.stats["past"][key])
    np.testing.assert_allclose(one.fitted.stats["past"]["shift"][0], np.arange(38).mean())  # each row counts once


def test_windows_are_recognized_by_their_content(folder: Path) -> None:
    first = loaded(table())
    assert len(np.unique(first.fitted.splits["train"])) == 33
    again = load_dataset(spec().plan, first.fitted)
    assert again.fingerprint == first.fingerprint
    for split, rows in first.splits.items():
        np.testing.assert_array_equal(again.splits[split], rows)
    Path("t.csv").write_text(table().replace("\n30,", "\n31,"))
    with pytest.raises(SpecError, match="the data changed"):
        load_dataset(spec().plan, first.fitted)


def test_windows_on_the_device_are_those_of_the_host(folder: Path) -> None:
    data = loaded(table())
    plan = spec().plan
    sampler = make_sampler(plan, data.splits["train"], data.targets)
    for memory in (1 << 30, 1):  # on the device, and sent chunk by chunk
        feeder = Feeder(data.rows, sampler, 5, memory=memory)
        assert feeder.portions.resident == (memory > 1)
        feed = feeder.training(3, 1)
        batch = jax.jit(lambda feed: feed.batch(0))(feed)
        chosen = sampler.batches(3, 1)[0]
        for section, values in (("inputs", data.inputs), ("targets", data.targets)):
            for name, value in values.items():
                np.testing.assert_array_equal(batch[section][name], value[chosen])
        feeder.close()


@pytest.mark.parametrize(
    ("split", "windows", "code", "message"),
    [
        ("{validation: 4}", "1", "DLC405", "the validation split has no whole window"),
        ("{validation: 60}", "1", "DLC405", "leave nothing to train on"),
        ("{validation: 10, stratify: a}", "1", "DLC303", "`stratify` has no effect on windows"),
        ("{validation: 10}", "{series: shop}", "DLC402", "no column `shop`"),
    ],
)
def test_what_cannot_be_divided_is_an_error(folder: Path, split: str, windows: str, code: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        loaded(table(), split, windows)
    assert caught.value.report.codes == (code,)
    assert caught.value.report.diagnostics[0].span is not None


def test_records_are_windows_or_rows(folder: Path) -> None:
    Path("t.csv").write_text(table())
    text = (
        SPEC.replace("SPLIT", "{test: 10}")
        .replace("WINDOWS", "1")
        .replace("{series: {columns: a, future: 2}}", "{number: {column: a}}")
    )
    with pytest.raises(SpecError, match="`next` has no window"):
        load_dataset(dlc.loads(text.replace("dense: 2, reshape: [2, 1]", "dense: 1")).plan)


TEXT = """
inputs: {text: {text: {tokens: characters, vocabulary: 30, window: 5}}}
targets: {next: {text: {tokens: characters, vocabulary: 30, window: 5, shift: 1, column: text}}}
network: [embedding: {vocabulary: 30, size: 4}, dense: 30]
loss: cross_entropy
optimizer: {adam: 0.01}
data: {source: {csv: t.csv}, split: {test: 0.25}}
train: {batch_size: 4, steps_per_epoch: 3, epochs: 2}
"""


def test_tokens_of_texts_are_rows(folder: Path) -> None:
    Path("t.csv").write_text("text\nabcdefghij\nklmnopqrstuvwxyzabcdefghijklmn\n")
    plan = dlc.loads(TEXT).plan
    data = load_dataset(plan)
    inputs, targets = (np.asarray(part[:]) for part in (data.inputs["text"], data.targets["next"]))
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    train = inputs[data.splits["train"]]
    assert len(train) == (10 - 5) + (20 - 5)  # of both texts, none over their end
    assert len(data.splits["test"]) == 10 - 5
    assert (inputs[data.splits["test"]] != 0).all(), "the alphabet was seen in the training split"
    sampler = make_sampler(plan, data.splits["train"], data.targets)
    assert (sampler.steps(1), sampler.steps(2)) == (3, 6)
    np.testing.assert_array_equal(np.sort(sampler.batches(0, 5).reshape(-1)), np.sort(data.splits["train"]))


def test_a_vocabulary_is_that_of_the_training_split(folder: Path) -> None:
    Path("t.csv").write_text("text\n" + "ab" * 30 + "xy" * 10 + "\n")
    data = load_dataset(dlc.loads(TEXT).plan)
    assert b'"tokens": ["<unk>", "a", "b"]' in data.fitted.artifacts["text"]
    assert 0 in np.asarray(data.inputs["text"][data.splits["test"]])


def test_windows_without_effect_are_an_error(folder: Path) -> None:
    text = SPEC.replace("SPLIT", "{test: 10}").replace("WINDOWS", "2")
    text = text.replace("{series: {columns: a, future: 2}}", "number").replace("dense: 2, reshape: [2, 1]", "dense: 1")
    text = text.replace("{series: {columns: [a, b], past: 4, normalize: standard}}", "{tensor: [2]}")
    with pytest.raises(SpecError, match="`windows` has no effect"):
        dlc.loads(text)
