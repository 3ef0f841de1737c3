"""Texts and windows over series: the same bits however a run is done, and the same answers for the same records."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.serving.tables import predict_table, write_table
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec
from tests.data.test_streaming import same_files, stop_after

SERIES = """
inputs: {past: {series: {columns: [a, b], past: 4, normalize: standard}}}
targets: {next: {series: {columns: [a], future: 2, normalize: standard}}}
network: [flatten, dense: 2, reshape: [2, 1]]
loss: mse
metrics: mae
data: {source: {csv: series.csv}, split: {validation: 0.2, test: 0.2}, windows: {history: true}, memory: MEMORY}
"""
WORDS = """
inputs: {text: {text: {vocabulary: 20}}}
targets: {label: {category: [bad, good]}}
network: [embedding: {vocabulary: 20, size: 4}, gru: 4, dense: 2]
loss: cross_entropy
metrics: accuracy
data: {source: {csv: words.csv}, split: {validation: 0.2, test: 0.2}, memory: MEMORY}
"""
TOKENS = """
inputs: {text: {text: {tokens: characters, vocabulary: 30, window: 6}}}
targets: {next: {text: {tokens: characters, vocabulary: 30, window: 6, shift: 1, column: text}}}
network: [embedding: {vocabulary: 30, size: 4}, gru: {units: 4, return_sequences: true}, dense: 30]
loss: cross_entropy
metrics: accuracy
data: {source: {csv: words.csv}, split: {validation: 0.2, test: 0.2}, windows: 3, memory: MEMORY}
"""
SPECS = {"series": SERIES, "words": WORDS, "tokens": TOKENS}
REST = "optimizer: {adam: 0.01}\ntrain: {epochs: 2, batch_size: 8, checkpoint_seconds: 0}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sequences")
    rows = "".join(f"{math.sin(row / 3)},{row % 5}\n" for row in range(90))
    (made / "series.csv").write_text("a,b\n" + rows)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["text", "label"])
    for row in range(60):
        writer.writerow([f"a {'nice' if row % 3 else 'dull'} film number {row % 7}", "good" if row % 3 else "bad"])
    (made / "words.csv").write_text(table.getvalue())
    return made


def spec(folder: Path, name: str, memory: str = "auto") -> dlc.Spec:
    text = SPECS[name].replace("MEMORY", memory)
    for file in ("series.csv", "words.csv"):
        text = text.replace(file, str(folder / file))
    return dlc.loads(text + REST)


@pytest.fixture(scope="module")
def straight(folder: Path) -> dict[str, RunFolder]:
    runs = {name: RunFolder(folder / f"straight-{name}") for name in SPECS}
    for name, run in runs.items():
        train_spec(spec(folder, name), run=run)
    return runs


@pytest.mark.parametrize("name", SPECS)
def test_a_resumed_run_has_the_bits_of_a_straight_one(
    folder: Path, straight: dict[str, RunFolder], tmp_path: Path, name: str
) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(Stopped):
        train_spec(spec(folder, name), run=run, chunk_iterations=2, stop=stop_after(2))
    train_spec(spec(folder, name), run=run, resume=True)
    same_files(run, straight[name])
    assert run.features.read_bytes() == straight[name].features.read_bytes()


@pytest.mark.parametrize("name", SPECS)
def test_a_run_whose_records_are_sent_in_chunks_has_the_same_bits(
    folder: Path, straight: dict[str, RunFolder], tmp_path: Path, name: str
) -> None:
    run = RunFolder(tmp_path / "run")
    train_spec(spec(folder, name, "300 B"), run=run)
    same_files(run, straight[name])


def test_predictions_of_a_table_are_those_of_its_evaluation(folder: Path, straight: dict[str, RunFolder]) -> None:
    evaluated = dlc.evaluate(straight["series"].path, data=folder / "series.csv")
    columns, _ = predict_table(straight["series"].path, folder / "series.csv", ["b"])
    rows = [float(line.split(",")[0]) for line in (folder / "series.csv").read_text().splitlines()[1:]]
    guess = np.stack([columns["a_1"], columns["a_2"]], axis=1)
    assert guess.shape == (90 - 4 + 1, 2)  # the last forecast is that of rows which are not there yet
    truth = np.array([[rows[at], rows[at + 1]] for at in range(4, 89)])
    assert np.abs(guess[:85] - truth).mean() == pytest.approx(evaluated.metrics["mae"], rel=1e-5)
    np.testing.assert_array_equal(columns["b"], [str((at - 1) % 5) for at in range(4, 91)])  # of the last known row

    evaluated = dlc.evaluate(straight["words"].path, data=folder / "words.csv")
    columns, _ = predict_table(straight["words"].path, folder / "words.csv", ["text"])
    wanted: list[Any] = ["good" if row % 3 else "bad" for row in range(60)]
    assert np.mean(np.array(columns["label"]) == wanted) == pytest.approx(evaluated.metrics["accuracy"])
    assert len(columns["text"]) == 60

    evaluated = dlc.evaluate(straight["tokens"].path, data=folder / "words.csv")
    assert evaluated.examples > 60


def test_new_text_may_hold_unknown_words_and_be_longer(straight: dict[str, RunFolder], tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("text\n" + "a nice unseen " * 20 + "\nx\n")
    columns, _ = predict_table(straight["words"].path, tmp_path / "new.csv", [])
    assert len(columns["label"]) == 2


def test_a_table_that_is_shorter_than_a_window_is_an_error(straight: dict[str, RunFolder], tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("a,b\n1,2\n1,2\n")
    with pytest.raises(dlc.SpecError, match="shorter than a window"):
        predict_table(straight["series"].path, tmp_path / "short.csv", [])


def test_lines_of_a_file_and_of_standard_input_are_texts(
    straight: dict[str, RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "a nice\x0cfilm\u2028too\na dull film\n\n"  # only line feeds end lines, as in files
    (tmp_path / "new.txt").write_text(lines)
    (tmp_path / "new.csv").write_text("text\na nice film too\na dull film\n")
    run = straight["words"].path
    wanted, _ = predict_table(run, tmp_path / "new.csv", [])
    from_file, _ = predict_table(run, tmp_path / "new.txt", [])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    from_input, _ = predict_table(run, "-", [])
    for found in (from_file, from_input):
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values[:2])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n" + b"1,2\n" * 4)))
    assert len(predict_table(straight["series"].path, "-", [])[0]["a_1"]) == 1
    for data, message in ((b" \n", "standard input is empty"), (b"a\n\xff\n", "line 2 of standard input is not UTF-8")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(dlc.SpecError, match=message):
            predict_table(run, "-", [])


def test_a_parquet_file_holds_the_same_table(straight: dict[str, RunFolder], folder: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    columns, _ = predict_table(straight["words"].path, folder / "words.csv", ["text"])
    write_table(columns, tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == list(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(table[name].to_pylist(), np.asarray(values).tolist())
