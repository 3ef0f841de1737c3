"""Values of large tables that later runs read from disk: the same bits, or they are read again."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.components.sources import references
from dlc.data import kept_tables
from dlc.data.dataset import Dataset, load_dataset
from dlc.diagnostics import SpecError

SPEC = """
inputs: {{x: {{tensor: {{columns: ['a*'], shape: [2], missing: mean}}}}, d: {{category: [u, v]}}}}
targets: {{y: {{category: 2}}}}
network: [{{embedding: {{vocabulary: 2, size: 2}}, inputs: d, name: e}}, {{concat: [x, e]}}, dense: 2]
loss: cross_entropy
data: {{source: {{csv: {{path: t.csv{options}}}}}, split: {{test: 0.2, stratify: g}}{more}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table, and an empty cache that keeps small tables as well."""
    monkeypatch.setenv("DLC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_tables, "LEAST_BYTES", 0)
    monkeypatch.setattr(references, "SETTLED_SECONDS", -60.0)
    write(tmp_path, 0)
    return tmp_path


def write(folder: Path, seed: int, count: int = 100, first: str = "0.5") -> None:
    stream = random.Random(seed)
    rows = [f"{first},1,u,0,x"]
    rows += [
        f"{stream.random()},{stream.choice(['', '2'])},{stream.choice('uv')},{index % 2},{stream.choice('xyz')}"
        for index in range(count)
    ]
    (folder / "t.csv").write_text("a1,a2,d,y,g\n" + "\n".join(rows), encoding="utf-8")


def loaded(folder: Path, options: str = "", more: str = "") -> Dataset:
    (folder / "s.yaml").write_text(SPEC.format(options=options, more=more), encoding="utf-8")
    return load_dataset(dlc.load(folder / "s.yaml").plan)


def bits(data: Dataset) -> Any:
    named = {**data.inputs, **data.targets}
    values = {name: (value.dtype.str, value.shape, np.asarray(value[:]).tobytes()) for name, value in named.items()}
    splits = {name: rows.tolist() for name, rows in data.splits.items()}
    return values, splits, data.fitted.columns, data.fingerprint, data.notes, data.bad_records


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "cache" / "decoded").rglob("*.segment"))


def parsing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the table is parsed again")

    monkeypatch.setattr(kept_tables, "read_values", fail)


@pytest.mark.parametrize("more", ["", ", on_bad_record: skip", ", memory: 2 kB"])
def test_a_later_run_reads_the_same_bits_without_parsing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    with monkeypatch.context() as off:
        off.setenv("DLC_CACHE", "off")
        want = bits(loaded(folder, more=more))
    assert bits(loaded(folder, more=more)) == want
    assert len(segments(folder)) == 1
    parsing_fails(monkeypatch)
    assert bits(loaded(folder, more=more)) == want


def test_what_does_not_fit_stays_on_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want = bits(loaded(folder))
    parsing_fails(monkeypatch)
    found = loaded(folder, more=", memory: 300 B")
    assert not all(isinstance(value, np.ndarray) for value in found.inputs.values())
    assert bits(found) == want


def test_strings_are_kept_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "t.csv").write_text("a,b,y\n" + "u, \u00e9 x,0\nv,w,1\nu,\U0001f600 y,1\n" * 9, encoding="utf-8")
    (folder / "s.yaml").write_text(
        """
        inputs: {a: {category: {found: 2}}, b: {text: {tokens: words, vocabulary: 9, length: 3}}}
        targets: {y: {category: 2}}
        network:
          - {embedding: {vocabulary: 3, size: 2}, inputs: a, name: e}
          - {embedding: {vocabulary: 9, size: 2}, inputs: b, name: f}
          - {global_avg_pool1d: {}, inputs: f, name: g}
          - concat: [e, g]
          - dense: 2
        loss: cross_entropy
        data: {source: {csv: t.csv}, split: {test: 0.2}}
        """,
        encoding="utf-8",
    )
    plan = dlc.load(folder / "s.yaml").plan
    data = load_dataset(plan)
    parsing_fails(monkeypatch)
    again = load_dataset(plan)
    assert bits(again) == bits(data)
    assert again.fitted.artifacts == data.fitted.artifacts


@pytest.mark.parametrize("change", ["content", "time", "option", "feature", "labels"])
def test_a_change_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    loaded(folder)
    if change == "content":
        write(folder, 1)
    if change == "time":
        os.utime(folder / "t.csv", (1, 1))
    spec = {
        "option": ("t.csv", "t.csv, missing_values: [q]"),
        "feature": ("[u, v]", "[v, u]"),
        "labels": (" g}", " d}"),
    }
    text = SPEC.replace(*spec.get(change, ("", ""))).format(options="", more="")
    (folder / "s.yaml").write_text(text, encoding="utf-8")
    found = bits(load_dataset(dlc.load(folder / "s.yaml").plan))
    assert len(segments(folder)) == 2
    monkeypatch.setenv("DLC_CACHE", "off")
    assert bits(load_dataset(dlc.load(folder / "s.yaml").plan)) == found


@pytest.mark.parametrize("damage", ["flipped", "truncated", "header", "empty", "other"])
def test_a_damaged_segment_is_parsed_again(folder: Path, damage: str) -> None:
    want = bits(loaded(folder))
    (path,) = segments(folder)
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[5] ^= 1
    if damage == "header":
        data[-40] ^= 1
    if damage == "other":
        data[-3] ^= 1
    path.write_bytes({"truncated": data[100:], "empty": b""}.get(damage, bytes(data)))
    assert bits(loaded(folder)) == want
    assert segments(folder) == [path]
    assert len(path.read_bytes()) == len(data)


def test_tables_with_errors_or_bad_records_are_not_kept(folder: Path) -> None:
    write(folder, 0, first="n/a")
    with pytest.raises(SpecError, match="is not a number"):
        loaded(folder)
    assert len(loaded(folder, more=", on_bad_record: skip").bad_records) == 1
    assert not segments(folder)


def test_small_and_just_changed_tables_are_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_tables, "LEAST_BYTES", 1 << 20)
    loaded(folder)
    monkeypatch.setattr(kept_tables, "LEAST_BYTES", 0)
    monkeypatch.setattr(references, "SETTLED_SECONDS", 60.0)
    loaded(folder)
    assert not segments(folder)


def test_a_cache_that_is_too_small_is_noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CACHE_SIZE", "100 B")
    (note,) = loaded(folder).notes
    assert note.startswith(
        "the table of `source` is not kept for later runs: it needs more than the 100 B of the cache"
    )
    assert not segments(folder)


def test_several_compressed_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (folder / "t.csv").read_bytes()
    (folder / "t.csv").unlink()
    for name in ("1t.csv", "2t.csv"):
        (folder / f"{name}.gz").write_bytes(gzip.compress(text))
    spec = SPEC.replace("t.csv", "'*t.csv.gz'").format(options="", more="")
    (folder / "s.yaml").write_text(spec, encoding="utf-8")
    plan = dlc.load(folder / "s.yaml").plan
    want = bits(load_dataset(plan))
    parsing_fails(monkeypatch)
    assert bits(load_dataset(plan)) == want
    (folder / "3t.csv.gz").write_bytes(gzip.compress(text))
    with pytest.raises(AssertionError, match="parsed again"):
        load_dataset(plan)
