"""New data for a run: every source, every format of a file, and the same answers from all of them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import sqlite3
import unicodedata
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_iris

import dlc
from dlc.components.sources import archives
from dlc.components.sources.files import Csv
from dlc.diagnostics import SpecError
from dlc.serving.model import load_model
from dlc.serving.sources import source_for, source_of
from dlc.training.run_folder import RunFolder
from tests.frontend.test_plugins import plugins  # noqa: F401 - a fixture
from tests.test_contributing import GUIDES

SPEC = """
data: {source: {csv: {path: train.csv, missing_values: [NA]}}, validation: {csv: {path: train.tsv, missing_values: NA}}}
inputs:
  size: {number: {column: größe, missing: median, missing_indicator: true, normalize: standard}}
  kind: {category: {classes: [u, v], one_hot: true, missing: most_frequent}}
targets: {y: {number: {missing: drop}}}
network: [concat: [size, kind], dense: 1]
loss: mse
metrics: [mae]
optimizer: adam
train: {epochs: 1, batch_size: 8}
"""


def text_of(separator: str = ",", decimal: str = ".") -> str:
    rows = [["größe", "kind", "y"]]
    for i in range(30):
        size, y = (str(value).replace(".", decimal) for value in (5e5 + i / 8, i / 4))
        rows.append(["NA" if i % 7 == 3 else size, "" if i % 9 == 2 else "uv"[i % 2], "" if i == 4 else y])
    return "".join(separator.join(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, and its records in several formats."""
    folder = tmp_path_factory.mktemp("project")
    plain = text_of().encode()
    files = {
        "train.csv": plain,
        "train.tsv": text_of("\t").encode(),
        "semicolons.csv": text_of(";").encode("utf-8-sig"),
        "wide.csv": text_of("|").encode("utf-16"),
        "packed.csv.gz": gzip.compress(plain),
        "packed.csv.xz": lzma.compress(plain),
        "packed.bin": bz2.compress(text_of("\t").encode()),
        "decomposed.csv": unicodedata.normalize("NFD", text_of()).encode(),
        "german.txt": text_of(";", ",").encode("windows-1252"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(folder / "packed.zip", "w") as archive:
        archive.writestr("in/train.csv", plain)
    columns = [line.split(",") for line in text_of().splitlines()]
    sizes, kinds, ys = (np.array(column, object) for column in zip(*columns[1:], strict=True))
    numbers = {"größe": np.where(sizes == "NA", "nan", sizes).astype(float), "kind": kinds.astype(str)}
    np.savez(folder / "arrays.npz", **numbers, y=np.where(ys == "", "nan", ys).astype(float))
    (folder / "arrays.csv").write_bytes((folder / "arrays.npz").read_bytes())
    write_tables(folder, {**numbers, "y": np.where(ys == "", "nan", ys).astype(float)}, plain)
    (folder / "s.yaml").write_text(SPEC, encoding="utf-8")
    dlc.train(folder / "s.yaml", folder / "run")
    return folder


def write_tables(folder: Path, columns: dict[str, np.ndarray[Any, Any]], text: bytes) -> None:
    """The records as Parquet, Arrow, JSON lines and SQLite, and in parts."""
    rows = [
        {name: None if str(value) in ("", "nan") else value for name, value in zip(columns, row, strict=True)}
        for row in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, folder / "rows.parquet", row_group_size=7)
    pq.write_table(table, folder / "parquet.bin")
    with pa.ipc.new_file(folder / "rows.feather", table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    (folder / "saved").mkdir()
    with pa.ipc.new_stream(folder / "saved" / "data.arrow", table.schema) as stream:
        stream.write_table(table)
    (folder / "saved" / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    lines = "".join(json.dumps({key: value for key, value in row.items() if value is not None}) + "\n" for row in rows)
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    with closing(sqlite3.connect(folder / "rows.db")) as database:
        database.execute('create table people ("größe" real, kind text, y real)')
        database.executemany("insert into people values (?, ?, ?)", [tuple(row.values()) for row in rows])
        database.commit()
    head, *rest = text.splitlines(keepends=True)
    for index in range(3):
        (folder / f"part-{index}.csv").write_bytes(head + b"".join(rest[10 * index : 10 * (index + 1)]))


GIVEN = [
    "train.csv",
    "train.tsv",
    "semicolons.csv",
    "wide.csv",
    "packed.csv.gz",
    "packed.csv.xz",
    "packed.bin",
    "packed.zip",
    "decomposed.csv",
    "arrays.npz",
    "arrays.csv",
    "rows.parquet",
    "parquet.bin",
    "rows.feather",
    "saved",
    "rows.jsonl.gz",
    "rows.db",
    "part-*.csv",
    'csv: {path: PATH/german.txt, decimal: ",", missing_values: NA, encoding: windows-1252}',
    "npz: PATH/arrays.npz",
]


@pytest.fixture(scope="module")
def wanted(project: Path) -> tuple[dict[str, float], dict[str, np.ndarray[Any, Any]]]:
    metrics = dict(dlc.evaluate(project / "run", "train").metrics)
    columns = np.load(project / "arrays.npz")
    return metrics, dlc.predict(project / "run", {name: columns[name] for name in columns})


@pytest.mark.parametrize("given", GIVEN)
def test_the_same_records_give_the_same_answers(project: Path, given: str, wanted: Any) -> None:
    data = given.replace("PATH", str(project)) if "PATH" in given else project / given
    found = dlc.evaluate(project / "run", data=data)
    assert found.examples == 29 and found.notes == ("1 record has no `y`, and is left out: 29 remain",)
    assert found.metrics == pytest.approx(wanted[0], rel=1e-6)
    predicted = dlc.predict(project / "run", data)
    np.testing.assert_array_equal(predicted["y"], wanted[1]["y"])
    assert len(predicted["y"]) == 30 and np.isfinite(predicted["y"]).all()


def test_the_values_that_replace_missing_ones_are_those_of_training(project: Path) -> None:
    model = load_model(RunFolder(project / "run"))
    known = [5e5 + i / 8 for i in range(30) if i % 7 != 3 and i != 4]
    np.testing.assert_array_equal(model.fitted.stats["size"]["fill"], [np.median(known)])
    kinds = ["uv"[i % 2] for i in range(30) if i % 9 != 2 and i != 4]
    found = dlc.predict(project / "run", {"größe": [None, 5e5], "kind": ["", "v"]})["y"]
    values = np.array([5e5 + i / 8 if i % 7 != 3 else np.median(known) for i in range(30) if i != 4])
    sizes = (np.array([np.median(known), 5e5]) - values.mean()) / values.std()
    most = int(kinds.count("v") > kinds.count("u"))  # the most frequent class
    rows = np.stack([sizes, [1, 0], np.eye(2)[[most, 1], 0], np.eye(2)[[most, 1], 1]], axis=1)
    weights = RunFolder(project / "run").load_weights()
    np.testing.assert_allclose(found, (rows @ weights["dense/kernel"] + weights["dense/bias"])[:, 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("nothing.csv", "DLC401", "does not exist"),
        ("nothing.dat", "DLC510", "unknown file type"),
        ("csv: {path: train.csv, delimeter: x}", "DLC101", "delimeter"),
        ("csvs: train.csv", "DLC105", "csvs"),
        ("iris", "DLC402", "which training read"),
    ],
)
def test_wrong_sources(project: Path, given: str, code: str, said: str) -> None:
    for function in (lambda: dlc.evaluate(project / "run", data=given), lambda: dlc.predict(project / "run", given)):
        with pytest.raises(dlc.SpecError) as caught:
            function()
        items = caught.value.report.diagnostics
        assert {item.code for item in items} == {code} and said in items[0].message


def test_records_that_ship_with_dlc_are_a_source(small_run: RunFolder) -> None:
    found, table = dlc.evaluate(small_run.path, data="iris"), dlc.predict(small_run.path, "iris")
    data = load_iris()
    names = data.target_names[data.target]
    assert found.examples == 150 and found.metrics["accuracy"] == pytest.approx((table["species"] == names).mean())
    again = dlc.predict(small_run.path, {"features": data.data})
    np.testing.assert_array_equal(table["species_setosa"], again["species_setosa"])


@pytest.mark.parametrize("module", ["wave", "levels"])
def test_sources_of_plugins(module: str, plugins: Path) -> None:  # noqa: F811
    """One that computes records, and one that reads files."""
    guide = next(guide for guide in GUIDES if guide.module == module)
    (plugins / f"{module}.py").write_text(guide.code, encoding="utf-8")
    (plugins / "spec.yaml").write_text(guide.spec, encoding="utf-8")
    (plugins / "levels.txt").write_text("".join(f"{i} {2 * i}\n" for i in range(9)))
    dlc.train(dlc.load(plugins / "spec.yaml"), plugins / "run")
    x, y = np.float32([3, 4, 5]), np.float32([1, 2, 4])
    (plugins / "other.txt").write_text("".join(f"{a} {b}\n" for a, b in zip(x, y, strict=True)))
    given: Any = f"levels: {plugins / 'other.txt'}"
    if module == "wave":
        x = np.linspace(0, 1, 7, dtype=np.float32)
        y, given = np.sin(2 * np.pi * x), "wave: 7"
    wanted = dlc.predict(plugins / "run", {"x": x})["y"]
    for data in (given, plugins / "other.txt") if module == "levels" else (given,):
        np.testing.assert_array_equal(dlc.predict(plugins / "run", data)["y"], wanted)
        found = dlc.evaluate(plugins / "run", data=data)
        assert found.examples == len(x)
        assert found.metrics["loss"] == pytest.approx(np.square(wanted - y).mean(), rel=1e-5)


def test_the_format_of_the_spec_holds_for_other_files(project: Path, tmp_path: Path) -> None:
    model = load_model(RunFolder(project / "run"))
    for name in ("x.csv", "x.tsv.gz", "x.bin"):
        (tmp_path / name).write_text("a\n")
        assert source_of(model, tmp_path / name).missing_values == ("NA",)  # type: ignore[attr-defined]


def test_the_kind_of_a_file_is_not_found_by_reading_what_may_block(tmp_path: Path) -> None:
    """A file of `/proc` has no size, a pipe no end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/proc/kmsg"), Path("/dev/zero")):
        with pytest.raises(SpecError) as caught:
            source_for(path)
        assert caught.value.report.codes == ("DLC510",)


BOUNDED = """
data: {source: {csv: good.csv}, memory: 200 kB}
inputs: {x: {number: standard}}
targets: {y: {number: standard}}
network: [dense: 1]
loss: mse
optimizer: sgd
train: {epochs: 1, batch_size: 2}
"""


def zeros_in_little(path: Path) -> None:
    np.savez_compressed(path, x=np.zeros(1_000_000), y=np.zeros(1_000_000))


def header_of_three_gigabytes(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, b"\x93NUMPY\2\0" + (3 << 30).to_bytes(4, "little") + bytes(1 << 20))


def more_said_than_held(path: Path) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({1 << 40},), }}".ljust(117) + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + bytes(99))


def holes(path: Path) -> None:
    with open(path, "wb") as file:
        file.write(b"x,y\n1,2\n")
        file.truncate(1 << 40)


def one_long_cell(path: Path) -> None:
    path.write_bytes(b'x,y\n1,"' + b"2" * 4_000_000 + b'"\n')


def zeros_in_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(b"x,y\n" + b"0,0\n" * 4_000_000))


BOMBS = {
    zeros_in_little: ("npz", "allowed memory"),
    header_of_three_gigabytes: ("npz", "its header is too long|allowed memory"),
    more_said_than_held: ("npz", r"needs 1099511627776 bytes|allowed memory"),
    holes: ("csv", "NUL|too long|allowed memory|more than"),
    one_long_cell: ("csv", "field larger than field limit"),
    zeros_in_gzip: ("csv", "allowed memory"),
}


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with little memory for records."""
    folder = tmp_path_factory.mktemp("bounded")
    (folder / "good.csv").write_text("x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(8)))
    (folder / "s.yaml").write_text(BOUNDED)
    dlc.train(folder / "s.yaml", folder / "run")
    return folder


@pytest.mark.parametrize("make", BOMBS)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of the memory is unknown")
def test_bombs_are_refused_by_every_command(
    make: Any, bounded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, message = BOMBS[make]
    monkeypatch.setattr(archives, "_HARMLESS", 1_000_000)  # bytes that may always be unpacked into a scratch file
    path = tmp_path / f"data.{kind}"
    make(path)
    (tmp_path / "good.csv").write_bytes((bounded / "good.csv").read_bytes())
    trained = BOUNDED.replace("csv: good.csv", f"{kind}: data.{kind}")
    validated = BOUNDED.replace("csv: good.csv}", f"csv: good.csv}}, validation: {{{kind}: data.{kind}}}")
    for name, text in (("train", trained), ("validation", validated)):
        (tmp_path / f"{name}.yaml").write_text(text)
    before = peak_bytes()
    for command in (
        lambda: dlc.train(tmp_path / "train.yaml"),
        lambda: dlc.train(tmp_path / "validation.yaml"),
        lambda: dlc.evaluate(bounded / "run", data=path),
        lambda: dlc.predict(bounded / "run", path),
    ):
        with pytest.raises(SpecError) as caught:
            command()
        assert set(caught.value.report.codes) <= {"DLC401", "DLC403"}
        assert re.search(message, caught.value.report.diagnostics[0].message), caught.value
    assert peak_bytes() - before < 64 << 20


def peak_bytes() -> int:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def test_a_source_may_be_written_at_length() -> None:
    """It is longer than the name of a file may be."""
    marks = ", ".join(f"mark_{number}" for number in range(60))
    source = source_for(f"csv: {{path: t.csv, missing_values: [{marks}]}}")
    assert isinstance(source, Csv)
    assert len(source.missing_values) == 60
