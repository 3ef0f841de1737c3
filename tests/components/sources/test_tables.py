"""Parquet, Arrow files, saved data sets and JSON lines: their columns, and what is said of wrong ones."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dlc.components.sources.python_values import column_of
from dlc.components.sources.source import Columns
from dlc.language.options import RuleViolation
from tests.components.building import built


def source(spec: str) -> Any:
    return built(spec, "source")


def plain(columns: Columns) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in columns.items()}


def wrong(folder: Path, spec: str) -> RuleViolation:
    with pytest.raises(RuleViolation) as caught:
        source(spec).load(folder)
    assert caught.value.code == "DLC401"
    return caught.value


def write(table: pa.Table, path: Path, form: str) -> None:
    if form == "parquet":
        pq.write_table(table, path, row_group_size=2)
        return
    new = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
    with new(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


SUMMER = dt.datetime(2020, 7, 1, 12)
TYPES: dict[str, tuple[pa.Array, Any, str]] = {
    "integers": (pa.array([1, 2, 3], pa.int16()), [1, 2, 3], "i"),
    "integers and null": (pa.array([2**60 + 1, None, 3]), [2**60 + 1, None, 3], "O"),
    "floats": (pa.array([1.5, None, 2], pa.float32()), [1.5, np.nan, 2], "f"),
    "half floats": (pa.array([1.5, 2, 3], pa.float16()), [1.5, 2, 3], "f"),
    "booleans": (pa.array([True, False, True]), [True, False, True], "b"),
    "booleans and null": (pa.array([True, None, False]), [True, None, False], "O"),
    "strings": (pa.array(["a", None, ""]), ["a", "", ""], "O"),
    "views": (pa.array(["a", None, "b"], pa.string_view()), ["a", "", "b"], "O"),
    "categories": (pa.array(["u", "v", None]).dictionary_encode(), ["u", "v", ""], "O"),
    "dates": (pa.array([dt.date(2020, 1, 2), None, dt.date(1999, 12, 31)]), ["2020-01-02", "", "1999-12-31"], "O"),
    "times": (pa.array([SUMMER, None, SUMMER]), ["2020-07-01T12:00:00", "", "2020-07-01T12:00:00"], "O"),
    "parts of seconds": (
        pa.array([SUMMER, SUMMER.replace(microsecond=5000), None], pa.timestamp("ms")),
        ["2020-07-01T12:00:00", "2020-07-01T12:00:00.005", ""],
        "O",
    ),
    "time zones": (
        pa.array([SUMMER, None, dt.datetime(2020, 1, 1, 12)], pa.timestamp("us", "America/St_Johns")),
        ["2020-07-01T09:30:00-02:30", "", "2020-01-01T08:30:00-03:30"],
        "O",
    ),
    "durations": (pa.array([dt.timedelta(seconds=1.5), None, dt.timedelta(days=1)]), [1.5, np.nan, 86400], "f"),
    "decimals": (pa.array([decimal.Decimal("1.25"), None, decimal.Decimal("-3.50")]), [1.25, np.nan, -3.5], "f"),
    "lists": (pa.array([[1, 2], [3, 4], [5, 6]]), [[1, 2], [3, 4], [5, 6]], "i"),
    "fixed lists": (pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.float32(), 2)), [[1, 2], [3, 4], [5, 6]], "f"),
    "nested lists": (pa.array([[[1], [2]], [[3], [4]], [[5], [6]]]), [[[1], [2]], [[3], [4]], [[5], [6]]], "i"),
    "lists and null": (pa.array([[1, 2], None, [5, 6]]), [[1, 2], [np.nan, np.nan], [5, 6]], "f"),
    "lists of other lengths": (pa.array([[1], [2, 3], []]), [[1], [2, 3], []], "O"),
    "lists of strings": (pa.array([["a"], ["b"], ["c"]]), [["a"], ["b"], ["c"]], "O"),
    "bytes": (pa.array([b"\0a", None, b"c"]), [b"\0a", None, b"c"], "O"),
    "nothing": (pa.nulls(3), ["", "", ""], "O"),
}


@pytest.mark.parametrize("kind", TYPES)
def test_types(tmp_path: Path, kind: str) -> None:
    array, wanted, letter = TYPES[kind]
    write(pa.table({"x": array}), tmp_path / "t.arrow", "file")
    found = source("arrow: t.arrow").load(tmp_path)["x"]
    assert found.dtype.kind == letter and len(found) == 3
    if letter in "iufb":
        np.testing.assert_array_equal(found, wanted)
    else:
        assert found.tolist() == wanted


@pytest.mark.parametrize("form", ["parquet", "file", "stream"])
def test_every_form_has_the_same_columns(tmp_path: Path, form: str) -> None:
    arrays = {f"c{index}": array for index, (array, _, _) in enumerate(TYPES.values())}
    arrays = {name: array for name, array in arrays.items() if form != "parquet" or array.type != pa.string_view()}
    write(pa.table(arrays), tmp_path / "t", form)
    made = source("parquet: t" if form == "parquet" else "arrow: t")
    whole = made.load(tmp_path)
    assert list(whole) == list(arrays)
    write(pa.table(arrays), tmp_path / "one.arrow", "file")
    one = source("arrow: one.arrow").load(tmp_path)
    for name in whole:
        np.testing.assert_equal(whole[name].tolist(), one[name].tolist())
    blocks = list(made.open(tmp_path, 16))
    assert [len(block["c0"]) for block in blocks] == [1, 1, 1]
    assert [block["c6"].tolist() for block in blocks] == [["a"], [""], [""]]
    assert made.count(tmp_path) in (None, 3)
    first = source(f"{made.word}: {{path: t, rows: 2}}")
    assert first.load(tmp_path)["c0"].tolist() == [1, 2] and first.count(tmp_path) in (None, 2)


def test_structs_and_pictures(tmp_path: Path) -> None:
    content = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "user": [{"age": 3, "name": {"first": "A"}}, {"age": None, "name": None}],
            "image": pa.array([{"bytes": b"P5", "path": "1.png"}, {"bytes": None, "path": "2.png"}], content),
            "__index_level_0__": [5, 6],
        }
    )
    write(table, tmp_path / "t.parquet", "parquet")
    assert plain(source("parquet: t.parquet").load(tmp_path)) == {
        "user.age": [3, None],
        "user.name.first": ["A", ""],
        "image": [b"P5", "2.png"],
    }


def test_classes_of_hugging_face_are_named(tmp_path: Path) -> None:
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1]})
    write(table.replace_schema_metadata(about), tmp_path / "t.parquet", "parquet")
    assert source("parquet: t.parquet").load(tmp_path)["label"].tolist() == ["pos", "neg", ""]


def saved(folder: Path, **state: Any) -> None:
    """A data set as `save_to_disk` writes it."""
    folder.mkdir(parents=True)
    names = ["data-00001-of-00002.arrow", "data-00000-of-00002.arrow"]
    for index, name in enumerate(names):
        write(pa.table({"x": [2 * index, 2 * index + 1], "label": [0, 1]}), folder / name, "stream")
    listed = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "1"} | state
    (folder / "state.json").write_text(json.dumps(listed))
    features = {"x": {"_type": "Value"}, "label": {"names": ["no", "yes"], "_type": "ClassLabel"}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))


def test_data_sets_that_hugging_face_saved(tmp_path: Path) -> None:
    saved(tmp_path / "set/train")
    made = source("arrow: set/train")
    assert plain(made.load(tmp_path)) == {"x": [0, 1, 2, 3], "label": ["no", "yes", "no", "yes"]}
    assert type(made).recognizes_folder(tmp_path / "set/train")
    (tmp_path / "set/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    found = wrong(tmp_path, "arrow: set")
    assert "holds several data sets" in found.message and "arrow: set/train" in (found.hint or "")
    (tmp_path / "empty").mkdir()
    assert "is not a data set" in wrong(tmp_path, "arrow: empty").message


@pytest.mark.parametrize("name", ["../t.arrow", "/etc/passwd", "", "..", "a/b.arrow", "link.arrow"])
def test_a_data_set_names_only_files_of_its_folder(tmp_path: Path, name: Any) -> None:
    saved(tmp_path / "set", _data_files=[{"filename": name}])
    write(pa.table({"x": [1]}), tmp_path / "t.arrow", "stream")
    (tmp_path / "set/link.arrow").symlink_to(tmp_path / "t.arrow")
    assert "names a file outside of its folder" in wrong(tmp_path, "arrow: set").message


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"_data_files": []}, "has no records"),
        ({"_data_files": 5}, "has no records"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "is incomplete"),
        ({"_indices_data_files": [{"filename": "indices.arrow"}]}, "is a selection of other records"),
    ],
)
def test_data_sets_that_are_not_whole(tmp_path: Path, state: dict[str, Any], said: str) -> None:
    saved(tmp_path / "set", **state)
    assert said in wrong(tmp_path, "arrow: set").message
    (tmp_path / "set/state.json").write_text("[" * 100_000)
    assert "can't be read" in wrong(tmp_path, "arrow: set").message


def test_damaged_files(tmp_path: Path) -> None:
    table = pa.table({"x": list(range(100)), "y": ["text"] * 100})
    for form, word in (("parquet", "parquet"), ("file", "arrow"), ("stream", "arrow")):
        write(table, tmp_path / "good", form)
        good = (tmp_path / "good").read_bytes()
        for end in (1, 7, len(good) // 2, len(good) - 9):
            (tmp_path / "t").write_bytes(good[:end])
            if form != "stream" or end < len(good) // 2:  # a stream may end after any batch
                assert f"`{tmp_path / 't'}` can't be read" in wrong(tmp_path, f"{word}: t").message
        for position in range(0, len(good), 61):
            (tmp_path / "t").write_bytes(good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :])
            try:
                source(f"{word}: t").load(tmp_path)
            except RuleViolation as found:
                assert found.code == "DLC401"
    (tmp_path / "t").write_bytes(gzip.compress(good))
    assert "is compressed: unpack it" in wrong(tmp_path, "parquet: t").message


def test_a_small_file_that_becomes_a_large_table_is_refused(tmp_path: Path) -> None:
    zeros = pa.table({"x": pa.array(np.zeros(20_000_000, np.int8))})
    pq.write_table(zeros, tmp_path / "t.parquet", compression="zstd")
    assert (tmp_path / "t.parquet").stat().st_size < 100_000
    with pytest.raises(RuleViolation, match="unpacks to more than the allowed memory"):
        next(iter(source("parquet: t.parquet").open(tmp_path, 1 << 20)))
    assert next(iter(source("parquet: t.parquet").open(tmp_path, 1 << 30)))["x"].sum() == 0


def test_several_files(tmp_path: Path) -> None:
    for index in range(3):
        write(pa.table({"x": [index, index], "y": ["a", "b"]}), tmp_path / f"{index}.parquet", "parquet")
    made = source("parquet: '*.parquet'")
    assert plain(made.load(tmp_path)) == {"x": [0, 0, 1, 1, 2, 2], "y": ["a", "b"] * 3}
    assert made.count(tmp_path) == 6 and made.origin(tmp_path, 4) == (tmp_path / "1.parquet", 2)
    write(pa.table({"x": [1]}), tmp_path / "3.parquet", "parquet")
    assert wrong(tmp_path, "parquet: '*.parquet'").found == "no column `y`"


def test_duplicate_columns(tmp_path: Path) -> None:
    write(pa.table([pa.array([1]), pa.array([2])], ["x", "x"]), tmp_path / "t.arrow", "file")
    assert "duplicate column names" in wrong(tmp_path, "arrow: t.arrow").message


# ---- JSON lines ----


def lines(folder: Path, *records: Any, name: str = "t.jsonl") -> None:
    texts = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / name).write_text("\n".join(texts), encoding="utf-8")


def test_json_lines(tmp_path: Path) -> None:
    lines(
        tmp_path,
        {"n": 1, "f": 1, "s": "größe", "b": True, "l": [1, 2], "user": {"age": 3}, "mixed": 1, "r": [1]},
        "",
        {"n": 2, "f": 2.5, "s": None, "b": False, "l": [3, 4], "user": {"age": 4}, "mixed": "a", "r": []},
        {"n": 3, "f": None, "b": True, "l": [5, 6.5], "user": None, "new": 2**70},
    )
    found = source("jsonl: t.jsonl").load(tmp_path)
    kinds = {name: column.dtype.kind for name, column in found.items()}
    assert {name: kind for name, kind in kinds.items() if kind != "O"} == {"n": "i", "f": "f", "b": "b", "l": "f"}
    assert {name for name in kinds if kinds[name] == "O"} == {"s", "user.age", "mixed", "r", "user", "new"}
    np.testing.assert_array_equal(found["f"], [1, 2.5, np.nan])
    np.testing.assert_array_equal(found["l"], [[1, 2], [3, 4], [5, 6.5]])
    assert found["s"].tolist() == ["größe", "", ""] and found["mixed"].tolist() == [1, "a", None]
    assert found["user.age"].tolist() == [3, 4, None] and found["new"].tolist() == [None, None, 2**70]


def test_blocks_of_json_lines_have_all_keys(tmp_path: Path) -> None:
    lines(tmp_path, {"a": 1}, {"a": 2}, {"b": "x"})
    lines(tmp_path, {"a": 4, "c": 5}, name="u.jsonl")
    made = source("jsonl: '*.jsonl'")
    assert plain(made.load(tmp_path)) == {"a": [1, 2, None, 4], "b": ["", "", "x", ""], "c": [None, None, None, 5]}
    blocks = [plain(block) for block in made.open(tmp_path, 16)]
    assert len(blocks) == 4 and all(set(block) == {"a", "b", "c"} for block in blocks)
    assert [block["a"] for block in blocks] == [[1], [2], [""], [4]]
    assert made.origin(tmp_path, 4) == (tmp_path / "u.jsonl", 1)
    assert plain(source("jsonl: {path: '*.jsonl', rows: 2}").load(tmp_path)) == {"a": [1, 2]}
    assert plain(next(iter(source("jsonl: {path: '*.jsonl', rows: 2}").open(tmp_path, 16)))) == {"a": [1]}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1, 2]", "line 3 of `PATH` is not a JSON object"),
        ("3", "line 3 of `PATH` is not a JSON object"),
        ('{"a": 1,}', "line 3 of `PATH` is not valid JSON: "),
        ('{"a": 1', "line 3 of `PATH` is not valid JSON: "),
        ("a,b", "at column 1"),
        ('{"a": ' + "9" * 5000 + "}", "line 3 of `PATH` can't be read"),
        ('{"a": ' * 50_000, "line 3 of `PATH` can't be read"),
        ('{"a": "\xe9"}', "line 3 of `PATH` is not UTF-8"),
    ],
    ids=["list", "number", "comma", "open", "csv", "digits", "deep", "bytes"],
)
def test_lines_that_are_no_objects(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'{"a": 1}\n\n' + line.encode("latin-1"))
    assert said.replace("PATH", str(tmp_path / "t.jsonl")) in wrong(tmp_path, "jsonl: t.jsonl").message


def test_a_json_file_is_no_table_of_lines(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps([{"a": 1}], indent=1))
    assert "a line of its own" in (wrong(tmp_path, "jsonl: t.jsonl").hint or "")
    (tmp_path / "t.jsonl").write_bytes(gzip.compress(b'{"a": 1}\n'))
    assert plain(source("jsonl: t.jsonl").load(tmp_path)) == {"a": [1]}


def test_values_of_python() -> None:
    values = [dt.datetime(2020, 1, 2, 3), dt.date(2020, 1, 2), None]
    assert column_of(values).tolist() == ["2020-01-02T03:00:00", "2020-01-02", ""]
    assert column_of([decimal.Decimal("1.5"), memoryview(b"a"), dt.timedelta(hours=1)]).tolist() == [1.5, b"a", 3600]
    assert column_of([2**53 + 1, 0.5]).tolist() == [2**53 + 1, 0.5]
    assert column_of([]).shape == (0,) and column_of([None]).tolist() == [""]


@pytest.mark.parametrize("line", ['{"a.b": 1, "a": {"b": 2}}', '{"a": 1, "a": 2}', '{"\u00e9": 1, "e\u0301": 2}'])
def test_two_values_of_one_name_are_an_error(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(RuleViolation, match="two values have the name"):
        dict(built("jsonl: t.jsonl", "source").load(tmp_path))


def test_half_of_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "cut \\ud83d", "whole": "\\ud83d\\ude00"}\n', encoding="utf-8")
    columns = built("jsonl: t.jsonl", "source").load(tmp_path)
    assert columns["text"].tolist() == ["cut \ufffd"] and columns["whole"].tolist() == ["\U0001f600"]


def test_a_time_is_spelled_the_same_in_every_block(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    times = arrow.array([0, 1_500_000], arrow.timestamp("us"))
    parquet.write_table(arrow.table({"t": times}), tmp_path / "t.parquet")
    found = built("parquet: t.parquet", "source").load(tmp_path)["t"].tolist()
    assert found == ["1970-01-01T00:00:00", "1970-01-01T00:00:01.500000"]
