"""Records that can't be read: `data.on_bad_record` stops or leaves them out, in training, evaluation and prediction."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dlc
from dlc.data.dataset import Dataset, load_dataset
from dlc.diagnostics import SpecError
from tests.cli.test_commands import dlc_command  # noqa: F401 - a fixture

PICTURES = """
data: {source: {image_folder: pics}, split: {test: 4, stratify: label}, on_bad_record: skip}
inputs: {photo: {image: {size: 5, column: image}}}
targets: {label: {category: [cat, dog]}}
network: [flatten, dense: 2]
loss: cross_entropy
"""
TABLE = """
data: {source: {csv: t.csv}, split: {test: 4, shuffle: false}, on_bad_record: skip}
inputs: {x: {number: standard}, kind: {category: {classes: [a, b], one_hot: true}}}
targets: {y: number}
network: [concat: [x, kind], dense: 1]
loss: mse
optimizer: adam
train: {epochs: 2, batch_size: 4, checkpoint_seconds: 0}
"""
BAD = {3: "abc,a,1", 7: ",b,1", 8: "inf,b,1", 12: "1,c,1", 13: "nan,c,1"}


def dataset(folder: Path, spec: str) -> Dataset:
    (folder / "spec.yaml").write_text(spec)
    return load_dataset(dlc.load(folder / "spec.yaml").plan)


def wrong(folder: Path, spec: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        dataset(folder, spec)
    return caught.value


def write_table(folder: Path, bad: dict[int, str] = BAD, name: str = "t.csv") -> None:
    rows = [bad.get(row, f"{row},{'ab'[row % 2]},{row}") for row in range(1, 21)]
    (folder / name).write_text("\n".join(["x,kind,y", *rows]) + "\n")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve pictures of each class, and six files that can't be read."""
    generator = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "pics" / label).mkdir(parents=True)
        for number in range(12):
            pixels = np.full((5, 5, 3), 10 * number, np.uint8)
            pixels[1:] = generator.integers(0, 256, (4, 5, 3))
            Image.fromarray(pixels).save(tmp_path / "pics" / label / f"{number:02}.png")
    whole = (tmp_path / "pics/cat/00.png").read_bytes()
    folder = tmp_path / "pics" / "dog"
    (folder / "a_truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "b_empty.png").write_bytes(b"")
    (folder / "c_text.jpg").write_text("not a picture")
    (folder / "d_huge.ppm").write_bytes(b"P6 99999 99999 255\n\0")
    (folder / "e_gone.png").symlink_to(folder / "nowhere.png")  # listed by nobody
    corrupt = bytearray(whole)
    corrupt[len(whole) // 2] ^= 0xFF
    (folder / "f_corrupt.png").write_bytes(corrupt)
    return tmp_path


def test_pictures_that_can_not_be_read_are_left_out(pictures: Path) -> None:
    data = dataset(pictures, PICTURES)
    names = ["a_truncated.png", "b_empty.png", "c_text.jpg", "d_huge.ppm", "f_corrupt.png"]
    assert [Path(record.file or "").name for record in data.bad_records] == names
    assert [record.row for record in data.bad_records] == [25, 26, 27, 28, 29]
    assert all(record.file and record.file in record.reason for record in data.bad_records)
    pixels = sorted(data.inputs["photo"][:, 0, 0, 0].tolist())
    assert pixels == sorted(2 * [10 * number for number in range(12)])
    assert np.bincount(data.targets["label"]).tolist() == [12, 12]
    assert np.bincount(data.targets["label"][data.splits["test"]]).tolist() == [2, 2]  # labels and pictures agree
    (note,) = data.notes
    assert note.startswith("5 of 29 records of `source` can't be read and are left out: row 25: `dog/a_truncated.png`")
    assert "and 2 more" in note


def test_the_default_is_to_stop_and_name_them(pictures: Path) -> None:
    error = wrong(pictures, PICTURES.replace(", on_bad_record: skip", ""))
    assert error.report.codes == ("DLC403",)
    assert "`dog/a_truncated.png`: it is damaged" in str(error.report.diagnostics[0].found)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission(pictures: Path) -> None:
    (pictures / "pics/cat/03.png").chmod(0)
    assert "permission denied" in dataset(pictures, PICTURES).bad_records[0].reason


def test_a_table_names_files_that_do_not_exist(pictures: Path) -> None:
    rows = ["image,label", *(f"pics/cat/{number:02}.png,cat" for number in range(14)), ",dog", "pics,dog"]
    (pictures / "names.csv").write_text("\n".join(rows) + "\n")
    spec = PICTURES.replace("{image_folder: pics}", "{csv: names.csv}").replace(
        "{test: 4, stratify: label}", "{test: 4}"
    )
    data = dataset(pictures, spec)
    assert [record.row for record in data.bad_records] == [13, 14, 15, 16]
    assert data.bad_records[0].reason == "`pics/cat/12.png`: no such file or directory"


@pytest.mark.parametrize("memory", ["", ", memory: 2 kB"])
def test_all_features_skip_the_same_rows(tmp_path: Path, memory: str) -> None:
    """Bad values of several columns, in memory and in blocks; the oracle is the csv module."""
    write_table(tmp_path)
    data = dataset(tmp_path, TABLE.replace("on_bad_record: skip", f"on_bad_record: skip{memory}"))
    with (tmp_path / "t.csv").open() as file:
        good = [row for number, row in enumerate(csv.DictReader(file), 1) if number not in BAD]
    assert [record.row for record in data.bad_records] == list(BAD)
    assert [record.column for record in data.bad_records] == ["x", "x", "x", "kind", "x"]
    np.testing.assert_array_equal(np.asarray(data.targets["y"][:]).ravel(), [float(row["y"]) for row in good])
    np.testing.assert_array_equal(np.asarray(data.inputs["kind"][:])[:, 1], [row["kind"] == "b" for row in good])
    x = np.array([float(row["x"]) for row in good])
    train = x[: len(good) - 4]
    np.testing.assert_allclose(np.asarray(data.inputs["x"][:]).ravel(), (x - train.mean()) / train.std(), rtol=1e-6)


@pytest.mark.parametrize("memory", ["", ", memory: 1 kB"])
def test_arrays_are_skipped_by_record(tmp_path: Path, memory: str) -> None:
    x = np.arange(60.0).reshape(20, 3)
    x[[2, 11], 1] = np.nan
    np.savez(tmp_path / "t.npz", x=x, y=np.arange(20.0))
    spec = "inputs: {x: {tensor: [3]}}\ntargets: {y: number}\nnetwork: [dense: 1]\nloss: mse\n"
    data = dataset(tmp_path, f"data: {{source: {{npz: t.npz}}, on_bad_record: skip{memory}}}\n{spec}")
    np.testing.assert_array_equal(data.inputs["x"][:], np.delete(x, [2, 11], 0).astype(np.float32))
    np.testing.assert_array_equal(np.ravel(data.targets["y"][:]), np.delete(np.arange(20.0), [2, 11]))


def test_lists_of_different_lengths_stay_padded(tmp_path: Path) -> None:
    """The parts of a block that are read again have lengths of their own."""
    rows = [{"x": list(range(1, 2 + row % 4)), "y": row} for row in range(12)]
    rows[2]["x"], rows[7]["x"] = "1 2", [1, "a"]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = """
data: {source: {jsonl: t.jsonl}, split: {test: 2}, on_bad_record: skip}
inputs: {x: {tokens: {vocabulary: 9, padding: 0, length: time}}}
targets: {y: number}
network: [embedding: {vocabulary: 9, size: 2}, global_avg_pool1d, dense: 1]
loss: mse
"""
    data = dataset(tmp_path, spec)
    assert [record.row for record in data.bad_records] == [3, 8]
    good = [row["x"] for number, row in enumerate(rows) if number not in (2, 7)]
    np.testing.assert_array_equal(data.inputs["x"], [[*each, *[0] * (4 - len(each))] for each in good])


def test_tables_of_several_files(tmp_path: Path) -> None:
    """Rows count through all files; `dlc check --data` names the file."""
    write_table(tmp_path, {}, "a.csv")
    write_table(tmp_path, name="b.csv")
    data = dataset(tmp_path, TABLE.replace("t.csv", '"*.csv"'))
    assert [record.row for record in data.bad_records] == [20 + row for row in BAD]
    wrong = [item for item in dlc.check(tmp_path / "spec.yaml", data=True).diagnostics if item.code == "DLC403"]
    assert {item.severity for item in wrong} == {"warning"}
    assert wrong[0].message == f"row 3 of `{tmp_path / 'b.csv'}`, column `x`, is not a number"


def test_more_than_half_is_an_error(tmp_path: Path) -> None:
    write_table(tmp_path, dict.fromkeys(range(1, 11), "x,a,1"))
    assert len(dataset(tmp_path, TABLE).bad_records) == 10
    write_table(tmp_path, dict.fromkeys(range(1, 12), "x,a,1"))
    (item,) = wrong(tmp_path, TABLE).report.diagnostics
    assert (item.code, item.message) == ("DLC403", "11 of 20 records can't be read")
    assert item.span is not None and item.span.line == 2
    assert str(item.found).startswith("row 1: `x` is not a number: the string `x`; row 2: ")


def test_what_is_wrong_with_a_column_stops(tmp_path: Path) -> None:
    write_table(tmp_path)
    assert wrong(tmp_path, TABLE.replace("y: number", "z: number")).report.codes == ("DLC402",)


def test_a_run_lists_them_and_resumes_and_predicts(tmp_path: Path, dlc_command, monkeypatch) -> None:  # noqa: F811
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path)
    (tmp_path / "spec.yaml").write_text(TABLE)
    dlc.train("spec.yaml", "run")
    listed = [json.loads(line) for line in (tmp_path / "run/bad_records.jsonl").read_text().splitlines()]
    assert [record["row"] for record in listed] == list(BAD)
    assert listed[0] == {
        "source": "source",
        "row": 3,
        "column": "x",
        "file": "t.csv",
        "reason": "`x` is not a number: the string `abc`",
    }
    assert len(dlc.train(dlc.load("spec.yaml", ["train.epochs=3"]), "run", resume=True).history) == 3

    code, text, err = dlc_command("predict", "run", "t.csv", "--keep", "x")
    rows = list(csv.DictReader(text.splitlines()))
    assert code == 0 and "5 of 20 records of `t.csv` can't be read and have no predictions" in err
    assert [row["x"] for row in rows][:4] == ["1", "2", "abc", "4"]  # the rows of the table, in order
    assert [number for number, row in enumerate(rows, 1) if not row["y"]] == list(BAD)
    write_table(tmp_path, {}, "good.csv")
    whole = dlc.predict("run", "good.csv")["y"]
    found = dlc.predict("run", "t.csv")["y"]
    assert found.dtype == np.float32
    assert np.flatnonzero(np.isnan(found)).tolist() == [row - 1 for row in BAD]
    np.testing.assert_allclose(found[~np.isnan(found)], np.delete(whole, [row - 1 for row in BAD]), rtol=1e-5)

    code, text, err = dlc_command("eval", "run", "--data", "t.csv", "--json")
    assert code == 0 and json.loads(text)["examples"] == 15 and "are left out" in err

    write_table(tmp_path, {**BAD, 5: "x,a,1"})  # a record of the run can no longer be read
    with pytest.raises(SpecError) as caught:
        dlc.train(dlc.load("spec.yaml", ["train.epochs=4"]), "run", resume=True)
    assert caught.value.report.codes == ("DLC504",)
    assert "row 3" in str(caught.value.report.diagnostics[0].found)
