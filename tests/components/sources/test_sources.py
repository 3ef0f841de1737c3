"""Sources: the bundled sets as declared, and every way in which a file can be wrong."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import zipfile
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.components.sources import SOURCES, packed
from dlc.components.sources.archives import same_length
from dlc.components.sources.bundled import Bundled
from dlc.components.sources.packed import HEAD_BYTES, undecodable_line
from dlc.components.sources.source import Columns, Source, select
from dlc.language.options import Options, RuleViolation, build_word, load_class
from dlc.language.yaml_text import parse_yaml


def source(spec: str) -> Source:
    made = build_word(parse_yaml(f"item:\n  {spec}\n", "example").tree["item"], SOURCES, "source")
    assert isinstance(made, Source), made
    return made


def wrong(spec: str, base: Path, option: str = "path") -> RuleViolation:
    with pytest.raises(RuleViolation) as caught:
        source(spec).load(base)
    assert caught.value.code == "DLC401" and caught.value.option == option
    return caught.value


@pytest.mark.parametrize("word", SOURCES)
def test_a_source_is_documented(word: str) -> None:
    cls = load_class(SOURCES, word)
    assert issubclass(cls, Options) and cls.word == word and cls.__doc__ and cls.examples
    for name, field in cls.model_fields.items():
        assert field.description, f"`{name}` of `{word}` has no description"
    for example in cls.examples:
        source(example)


# ---- bundled sets ----

SETS = {
    "digits": (1797, {"image": (8, 8), "digit": ()}),
    "iris": (150, {"features": (4,), "species": ()}),
    "wine": (178, {"features": (13,), "cultivar": ()}),
    "breast_cancer": (569, {"features": (30,), "diagnosis": ()}),
    "diabetes": (442, {"features": (10,), "progression": ()}),
}


@pytest.mark.parametrize("word", SETS)
def test_a_bundled_set_is_as_declared(word: str) -> None:
    count, shapes = SETS[word]
    made = source(word)
    columns = made.load(Path())
    assert tuple(columns) == made.columns()
    assert all(len(column) == count for column in columns.values())
    for name, shape in shapes.items():
        assert columns[name].shape == (count, *shape)
    for name, column in columns.items():
        assert f"`{name}`" in (type(made).__doc__ or "") or name in getattr(made, "names", ())
        if column.dtype.kind == "f":
            assert np.isfinite(column).all()
    if isinstance(made, Bundled) and made.names:
        np.testing.assert_array_equal(np.stack([columns[name] for name in made.names], 1), columns["features"])


def test_names_of_bundled_columns_are_scikit_learns() -> None:
    from sklearn import datasets

    def plain(name: str) -> str:
        return re.sub(r"[^a-z0-9]+", "_", name.lower().replace("(cm)", "").strip()).strip("_")

    assert list(source("iris").names) == [plain(name) for name in datasets.load_iris().feature_names]  # type: ignore[attr-defined]
    wine = [
        plain(name).replace("od280_od315_of_diluted_wines", "od280_od315")
        for name in datasets.load_wine().feature_names
    ]
    assert list(source("wine").names) == wine  # type: ignore[attr-defined]
    cancer = [plain(name) for name in datasets.load_breast_cancer().feature_names]
    moved = [f"error_{name.removesuffix('_error')}" if name.endswith("_error") else name for name in cancer]
    assert list(source("breast_cancer").names) == moved  # type: ignore[attr-defined]
    assert list(source("diabetes").names) == datasets.load_diabetes().feature_names  # type: ignore[attr-defined]


def test_targets_of_bundled_sets() -> None:
    assert set(source("iris").load(Path())["species"]) == {"setosa", "versicolor", "virginica"}
    assert set(source("wine").load(Path())["cultivar"]) == {"class_0", "class_1", "class_2"}
    diagnosis = source("breast_cancer").load(Path())["diagnosis"]
    assert {name: int((diagnosis == name).sum()) for name in set(diagnosis)} == {"malignant": 212, "benign": 357}
    progression = source("diabetes").load(Path())["progression"]
    assert (progression.min(), progression.max()) == (25, 346)
    for word, (_, shapes) in SETS.items():
        made, target = source(word), next(name for name, shape in shapes.items() if not shape)
        known = made.classes(target)
        assert (known is None) == (word == "diabetes") and made.classes("features") is None
        assert known is None or set(known) == set(map(str, made.load(Path())[target].tolist()))
    digits = source("digits").load(Path())
    assert digits["image"].min() == 0 and digits["image"].max() == 16 and set(digits["digit"]) == set(range(10))


# ---- csv ----


def table(folder: Path, text: str | bytes, spec: str = "csv: t.csv") -> Columns:
    (folder / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return source(spec).load(folder)


def plain(columns: Columns) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in columns.items()}


@pytest.mark.parametrize(
    ("text", "spec", "want"),
    [
        ("a,b\n1,x\n2,y\n", "csv: t.csv", {"a": ["1", "2"], "b": ["x", "y"]}),
        ("\ufeffa,b\r\n1,x\r\n", "csv: t.csv", {"a": ["1"], "b": ["x"]}),
        (
            'a,b\n"1,5","he said ""no"""\n"two\nlines",""\n',
            "csv: t.csv",
            {"a": ["1,5", "two\nlines"], "b": ['he said "no"', ""]},
        ),
        ("a;b\n1,5;x\n", "csv: {path: t.csv, delimiter: ;}", {"a": ["1,5"], "b": ["x"]}),
        ("a\tb\n1\tx\n", 'csv: {path: t.csv, delimiter: "\\t"}', {"a": ["1"], "b": ["x"]}),
        ("1,x\n2,y\n", "csv: {path: t.csv, header: false}", {"column_0": ["1", "2"], "column_1": ["x", "y"]}),
        ("\n a , b \n\n1,x\n\n\n2,y", "csv: t.csv", {"a": ["1", "2"], "b": ["x", "y"]}),
        ("only\n1\n2\n", "csv: t.csv", {"only": ["1", "2"]}),
        ("größe,名前\n1,é\n", "csv: t.csv", {"größe": ["1"], "名前": ["é"]}),
        ("a,b\n", "csv: t.csv", {"a": [], "b": []}),
        ("a;b\n1,5;x\n", "csv: t.csv", {"a": ["1,5"], "b": ["x"]}),
        ("a\tb\n1,5\t2,5\n", "csv: t.csv", {"a": ["1,5"], "b": ["2,5"]}),
        ("a|b\n1|x, y\n", "csv: t.csv", {"a": ["1"], "b": ["x, y"]}),
        ('"a;b",c\n"1;2",3\n', "csv: t.csv", {"a;b": ["1"], "c": ["3"]} | {"a;b": ["1;2"]}),
        ("a;b,c\n1;2,3\n", 'csv: {path: t.csv, decimal: ","}', {"a": ["1"], "b,c": ["2,3"]}),
        ("e\u0301,b\n1,2\n", "csv: t.csv", {"\u00e9": ["1"], "b": ["2"]}),
        (
            "a,b\n NA,?\n-999.0,x\nnone,NAN\n",
            "csv: {path: t.csv, missing_values: [NA, -999, none]}",
            {"a": ["", "", ""], "b": ["?", "x", "NAN"]},
        ),
        ("a,b\n?,1\n", "csv: {path: t.csv, missing_values: '?'}", {"a": [""], "b": ["1"]}),
        (
            "1,x\n2,y\n",
            "csv: {path: t.csv, header: false, names: [n, e\u0301]}",
            {"n": ["1", "2"], "\u00e9": ["x", "y"]},
        ),
        ("1,x\n2,y\n", "csv: {path: t.csv, names: [n, w]}", {"n": ["2"], "w": ["y"]}),
        ("a,a\n1,x\n", "csv: {path: t.csv, names: [n, w]}", {"n": ["1"], "w": ["x"]}),
        ("a,b\n1,2\n3,4\nwrong\n", "csv: {path: t.csv, rows: 2}", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("1,2\n3,4\n", "csv: {path: t.csv, header: false, rows: 1}", {"column_0": ["1"], "column_1": ["2"]}),
        (
            '# by hand; x\n# 2\na,b\n1,"x\n# y"\n#3,4\n 5,#6\n',
            "csv: {path: t.csv, comment: '#'}",
            {"a": ["1", " 5"], "b": ["x\n# y", "#6"]},
        ),
    ],
)
def test_csv_tables(tmp_path: Path, text: str, spec: str, want: dict[str, list[str]]) -> None:
    columns = table(tmp_path, text, spec)
    assert plain(columns) == want
    assert all(column.ndim == 1 for column in columns.values())


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


TABLE = "gr\u00f6\u00dfe,b\n1,\u20ac\n2,x\n".encode()


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(TABLE),
        bz2.compress(TABLE),
        lzma.compress(TABLE),
        zipped(**{"folder/t.csv": TABLE, "__MACOSX/t.csv": b"x", ".hidden": b"x"}),
        zipped(**{"t.csv.gz": gzip.compress(TABLE)}),
        *(TABLE.decode().encode(name) for name in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")),
        gzip.compress(TABLE.decode().encode("utf-16")),
    ],
)
def test_compression_and_encoding_are_recognized_by_content(tmp_path: Path, data: bytes) -> None:
    wanted = {"gr\u00f6\u00dfe": ["1", "2"], "b": ["\u20ac", "x"]}
    assert plain(table(tmp_path, data)) == wanted
    blocks = [plain(block) for block in source("csv: t.csv").open(tmp_path, 4000)]
    assert {name: [value for block in blocks for value in block[name]] for name in wanted} == wanted
    assert all(list(block) == list(wanted) for block in blocks)


def test_declared_encodings(tmp_path: Path) -> None:
    for name in ("latin-1", "windows-1252", "utf-16", "utf-8"):
        data = "a,b\n1,\u00e9\n".encode(name)
        assert plain(table(tmp_path, data, f"csv: {{path: t.csv, encoding: {name}}}"))["b"] == ["\u00e9"]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, lambda data: zipped(t=data)])
def test_what_unpacks_to_more_than_the_memory_is_refused(tmp_path: Path, compress: Any) -> None:
    """It stops while it unpacks: the end of the file, which is damaged, is never reached."""
    data = compress(b"a,b\n" + b"1,2\n" * 10**5)
    (tmp_path / "t.csv").write_bytes(data if data.startswith(b"PK") else data[:-4])
    with pytest.raises(RuleViolation, match="unpacks to more than the allowed memory") as caught:
        for _ in source("csv: t.csv").open(tmp_path, 10**5):
            pass
    assert caught.value.expected == "at most 100 kB" and "data.memory" in (caught.value.hint or "")


def test_decimal_commas(tmp_path: Path) -> None:
    made = source('csv: {path: t.csv, decimal: ","}')
    fields = np.array(["1,5", " -2,25e3", "3", "", "x,y", "1,2,3"], dtype=object)
    assert made.numbers(fields, "a", 1).tolist() == ["1.5", "-2.25e3", "3", "", "x.y", "1,2,3"]
    with pytest.raises(RuleViolation) as caught:
        made.numbers(np.array(["1,5", "1.234", "1.234,5", "31.12.2020"], dtype=object), "a", 11)
    assert caught.value.code == "DLC403" and "row 12 of column `a`" in caught.value.message
    assert (
        caught.value.found == "the string `1.234` (once), the string `1.234,5` (once), the string `31.12.2020` (once)"
    )


@pytest.mark.parametrize(
    ("options", "fields", "want"),
    [
        (
            'thousands: ","',
            ["1,234", "-12,345,678.5e3", " 1,000 ", "12,34", "1,2345", "5", ""],
            [1234, -12345678500, 1000],
        ),
        ('thousands: ".", decimal: ","', ["1.234,5", "1.234.567", "7,25"], [1234.5, 1234567, 7.25]),
        ("thousands: ' '", ["1 234", "1\u00a0234", "1\u202f234.5"], [1234, 1234, 1234.5]),
        ('thousands: "\'"', ["1'234'567.25"], [1234567.25]),
        ("thousands: _", ["1_234"], [1234]),
    ],
)
def test_groups_of_digits(options: str, fields: list[str], want: list[float]) -> None:
    made = source(f"csv: {{path: t.csv, {options}}}")
    found = made.numbers(np.array(fields, dtype=object), "a", 1).tolist()
    assert [float(field) for field in found[: len(want)]] == want
    assert found[len(want) :] == fields[len(want) :]  # what is not in groups of three is no such number


def test_comments_do_not_move_the_lines_of_messages(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("# 1\na;b\n# 3\n1;2\n3\n")
    assert "line 5 of" in wrong("csv: {path: t.csv, comment: '#'}", tmp_path).message


def test_names_fit_the_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1,2\n")
    found = wrong("csv: {path: t.csv, header: false, names: [a, b, c]}", tmp_path, "names")
    assert "3 names" in found.message and found.found == "2 columns: `1`, `2`"


def test_rows_are_counted_before_they_are_checked(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n5,6\n7,8\n")
    assert "line 3 of" in wrong("csv: {path: t.csv, rows: 2}", tmp_path).message
    assert plain(source("csv: {path: t.csv, rows: 1}").load(tmp_path)) == {"a": ["1"], "b": ["2"]}


def test_several_files(tmp_path: Path) -> None:
    for name, text in {"a": "x,y\n1,2\n3,4\n", "b": "y;x\n6;5\n", "c": "x,y\n"}.items():
        (tmp_path / f"{name}.csv").write_text(text)
    made = source("csv: '*.csv'")
    wanted = {"x": ["1", "3", "5"], "y": ["2", "4", "6"]}
    assert plain(made.load(tmp_path)) == wanted
    blocks = [plain(block) for block in made.open(tmp_path, 4000)]  # type: ignore[union-attr]
    assert {name: [value for block in blocks for value in block[name]] for name in wanted} == wanted
    assert plain(source("csv: {path: '*.csv', rows: 2}").load(tmp_path)) == {"x": ["1", "3"], "y": ["2", "4"]}
    assert made.origin(tmp_path, 2) == (tmp_path / "a.csv", 2)
    assert made.origin(tmp_path, 3) == (tmp_path / "b.csv", 1)
    assert source("csv: a.csv").origin(tmp_path, 1) is None
    (tmp_path / "d.csv").write_text("x,z\n1,2\n")
    found = wrong("csv: '*.csv'", tmp_path)
    assert f"`{tmp_path / 'd.csv'}` has other columns than" in found.message
    assert found.found == "no column `y`, also `z`"
    (tmp_path / "d.csv").write_text("")
    assert f"`{tmp_path / 'd.csv'}` is empty" in wrong("csv: '*.csv'", tmp_path).message
    assert "no file matches" in wrong("csv: 'gone-*.csv'", tmp_path).message


def test_a_name_that_only_looks_the_same_has_a_hint(tmp_path: Path) -> None:
    columns = tuple(table(tmp_path, "gro\u0308\u00dfe,a\u00a0b,c\u200bd\n1,2,3\n"))
    assert select(("gr\u00f6\u00dfe", "gro\u0308*"), columns) == ["gr\u00f6\u00dfe", "gr\u00f6\u00dfe"]
    for name in ("a b", "cd"):
        with pytest.raises(RuleViolation) as caught:
            select((name,), columns)
        assert "differs only in the form of its characters" in (caught.value.hint or "")


def test_a_missing_file_has_a_hint(tmp_path: Path) -> None:
    (tmp_path / "titanic.csv").write_text("a\n1\n")
    assert wrong("csv: titanik.csv", tmp_path).hint == "did you mean `titanic.csv`?"


@pytest.mark.parametrize(
    "option",
    [
        "missing_values: [[1]]",
        "decimal: ;",
        "encoding: rot13",
        "thousands: ;",
        "thousands: .",
        "rows: 0",
        "names: []",
        "names: [a, a]",
        "names: a",
        "comment: ''",
    ],
)
def test_wrong_options(option: str) -> None:
    made = build_word(parse_yaml(f"csv: {{path: t.csv, {option}}}", "example").tree, SOURCES, "source")
    assert isinstance(made, list) and [error.code for error in made] == ["DLC104"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "is empty", None),
        ("\n\n", "is empty", None),
        ("a,b\n1,2\n3\n", "line 3 of .* has 1 field", "delimiter"),
        ("a,b\n1,2\n\n\n1,2,3\n1\n", "line 5 of .* has 3 fields", None),
        ('a,b\n"x\ny",2\n1,2,3\n', "line 4 of .* has 3 fields", None),
        ("a;b\n1;2\n3\n", "line 3 of .* has 1 field", "delimiter"),
        ("a;b,c\n1;2,3\n", "the delimiter of .* is ambiguous", "delimiter: "),
        ("e\u0301,\u00e9\n1,2\n", "has duplicate column names", "NFC"),
        (b"PAR1\x15\x04", "is a Parquet file", None),
        (b"(\xb5/\xfd\0", "compressed with Zstandard", "unpack"),
        ("a,b\n1,2\n".encode("utf-16")[:-1], "is not UTF-16 text", None),
        ("a,b\n1,\u00e9".encode()[:-1], "t.csv` is not UTF-8 text, or it is incomplete", "UTF-8"),
        (b"a,b\r\n1,2\r\n3,\xe9\r\n", "line 3 of .* is not UTF-8", "UTF-8"),
        (("a\n" + "\u20ac," * 40_000 + "\n").encode() + b"\xe9\n", "line 3 of .* is not UTF-8", "UTF-8"),
        ("a,b\n1,2\n".encode("utf-16") + b"\0\xd8,\0\n\0", "line 3 of .* is not UTF-16 text", None),
        (gzip.compress(zipped(t=b"a\n1\n")), "holds a zip archive that is compressed again", "unpack"),
        (bz2.compress(zipped(t=b"a\n1\n")), "holds a zip archive that is compressed again", "unpack"),
        (lzma.compress(zipped(t=b"a\n1\n")), "holds a zip archive that is compressed again", "unpack"),
        (zipped(t=zipped(t=b"a\n1\n")), "holds a zip archive that is compressed again", "unpack"),
        (reduce(lambda data, _: gzip.compress(data), range(4), b"a\n1\n"), "compressed more than 3 times", "unpack"),
        (gzip.compress(b"a,b\n1,2\n")[:-8], "can't be read: compressed file ended", None),
        (gzip.compress(b"a,b\n1,2\n")[:10] + b"\0" * 9, "can't be read", None),
        (zipped(**{"a.csv": b"a\n1\n", "b.csv": b"b\n1\n"}), "is an archive of 2 files", "unpack"),
        (zipped(), "is an empty archive", "unpack"),
        (zipped(**{"a.npy": b"", "b.npy": b""}), "is a numpy archive", "npz"),
        (b"\0" * (1 << 24), "has a line of more than", None),
        ("a,b,a\n1,2,3\n", "has duplicate column names", "names: [...]"),
        ("1,1\n2,3\n", "holds numbers instead of column names", "header: false"),
        ('a,b\n1,"open\n', "line 2 of .* is malformed", None),
        ('a,b\n1,"x"y\n', "line 2 of .* is malformed", None),
        ("a,b\n1,é\n".encode("latin-1"), "line 2 of .* is not UTF-8", "UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not UTF-8", "UTF-8"),
        (f"a\n{'x' * 200_000}\n", "line 2 of .* is malformed", None),
    ],
)
def test_wrong_csv_tables(tmp_path: Path, text: str | bytes, message: str, hint: str | None) -> None:
    (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    found = wrong("csv: t.csv", tmp_path)
    assert re.search(message, found.message), found.message
    assert str(tmp_path / "t.csv") in found.message
    assert (hint is None) == (found.hint is None) and (hint or "") in (found.hint or "")


@pytest.mark.parametrize(
    ("encoding", "data", "message"),
    [
        ("windows-1252", b"a,b\n1,\x81\n", "line 2 of .* is not windows-1252 text$"),
        ("utf-8", b"a,b\n1,\xe9\n", "line 2 of .* is not UTF-8 text$"),
        ("utf-16", b"a,b\n1,2\n3", "is not UTF-16 text, or it is incomplete$"),
    ],
)
def test_text_in_another_than_the_declared_encoding(tmp_path: Path, encoding: str, data: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    found = wrong(f"csv: {{path: t.csv, encoding: {encoding}}}", tmp_path, "encoding")
    assert re.search(message, found.message), found.message
    assert "remove `encoding`" in (found.hint or "")


@pytest.mark.parametrize("size", [1, 3, HEAD_BYTES])
def test_the_line_that_is_not_text(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line ends and characters that two blocks share are counted once."""
    monkeypatch.setattr(packed, "HEAD_BYTES", size)
    text = "a\r\nb\nc\rd\r\n\u20ac\r\r\n".encode()
    for ends, line in ((text, 7), (text[:2], 2), (text[:3], 2), (text + b"x", 7)):
        assert undecodable_line(io.BytesIO(ends + b"\xff"), "utf-8-sig") == line
    assert undecodable_line(io.BytesIO(text), "utf-8") is None


@pytest.mark.parametrize("delimiter", ["''", ";;", "'\"'", "tab", "3"])
def test_wrong_delimiters(delimiter: str) -> None:
    made = build_word(
        {"csv": {"path": "t.csv", "delimiter": parse_yaml(f"d: {delimiter}", "example").tree["d"]}}, SOURCES, "source"
    )
    assert (
        isinstance(made, list) and [error.code for error in made] == ["DLC104"] and made[0].loc == ("csv", "delimiter")
    )


@pytest.mark.parametrize("word", ["csv", "npz"])
def test_paths(tmp_path: Path, word: str) -> None:
    assert "is a directory" in wrong(f"{word}: .", tmp_path).message
    assert "does not exist" in wrong(f"{word}: missing", tmp_path).message
    assert "does not exist" in wrong(f"{word}: ~nobody-of-this-name/x", tmp_path).message
    wrong(f"{word}: {'x' * 5000}", tmp_path)
    rooted = source(f"{word}: sub/../t.csv").rooted(tmp_path)
    assert rooted.path == str((tmp_path / "t.csv").resolve())  # type: ignore[attr-defined]
    absolute = source(f"{word}: {tmp_path}/t.csv").rooted(Path("/elsewhere"))
    assert absolute.path == str((tmp_path / "t.csv").resolve())  # type: ignore[attr-defined]
    link = tmp_path / "circle"
    link.symlink_to(link)
    wrong(f"{word}: circle", tmp_path)
    assert source(f"{word}: circle").rooted(tmp_path)
    made = build_word({word: ""}, SOURCES, "source")
    assert isinstance(made, list) and made[0].code == "DLC104"


def test_a_large_table_is_read_in_reasonable_time(tmp_path: Path) -> None:
    """Linear in rows and columns: 5,000 columns are no 25 million comparisons."""
    with open(tmp_path / "t.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"pixel_{index}" for index in range(5000)])
        writer.writerows([["1"] * 5000] * 20)
    columns = source("csv: t.csv").load(tmp_path)
    assert len(columns) == 5000 and len(columns["pixel_7"]) == 20
    assert len(select(tuple(columns), tuple(columns))) == 5000


# ---- npz ----


def test_npz_archives(tmp_path: Path) -> None:
    image, label = np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.array(["a", "b"])
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "t.npz", image=image, label=label)
        columns = source("npz: t.npz").load(tmp_path)
        assert list(columns) == ["image", "label"]
        np.testing.assert_array_equal(columns["image"], image)
        np.testing.assert_array_equal(columns["label"], label)
        assert columns["image"].dtype == np.uint8


def test_wrong_npz_archives(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"

    def message(spec: str = "npz: t.npz") -> str:
        found = wrong(spec, tmp_path)
        return f"{found.message} {found.found} {found.hint}"

    np.savez(path, x=np.array([{"a": 1}, None], dtype=object))
    assert "the array `x`" in message() and "Python objects" in message()
    np.savez(path, x=np.zeros(3), y=np.zeros(4))
    assert "different lengths" in message() and "`x` 3, `y` 4" in message()
    np.savez(path, x=np.zeros(3), y=np.array(4))
    assert "`y` a single value" in message()
    np.savez(path)
    assert "no arrays" in message()
    np.savez(path, x=np.zeros(3))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("x.npy", archive.read("x.npy"))
    assert "has duplicate array names `x`" in message()
    with pytest.raises(RuleViolation, match="has duplicate array names"):
        source("npz: t.npz").open(tmp_path, 0)
    np.save(tmp_path / "t.npy", np.zeros(3))
    assert "single array" in message("npz: t.npy")
    path.write_text("a,b\n1,2\n")
    assert "not a numpy archive" in message()
    path.write_bytes(gzip.compress(b"PK"))
    assert "is compressed" in message() and "unpack it" in message()
    path.write_bytes(b"")
    assert "not a numpy archive" in message()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert "`notes.txt`" in message() and "not an array" in message()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00")
    assert "`x`" in message() and "can't be read" in message()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_archive_is_never_read_as_numbers(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "t.npz"
    save(path, x=np.random.default_rng(0).normal(size=200))
    good = path.read_bytes()
    for position in range(0, len(good), 97):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :])
        try:
            columns = source("npz: t.npz").load(tmp_path)
        except RuleViolation as found:
            assert found.code == "DLC401"
        else:  # what is no content may be damaged: a date, a name
            assert all(
                column.tobytes() in (np.random.default_rng(0).normal(size=200).tobytes(),)
                for column in columns.values()
            )
    for end in (0, 10, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:end])
        assert wrong("npz: t.npz", tmp_path)


def test_npy_files(tmp_path: Path) -> None:
    x, y = np.arange(24, dtype=np.uint8).reshape(4, 3, 2), np.array(["a", "b", "c", "d"])
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    np.testing.assert_array_equal(source("npy: x.npy").load(tmp_path)["array"], x)
    made = source("npy: {path: {image: x.npy, label: y.npy}}")
    for columns in (made.load(tmp_path), made.open(tmp_path, 1)):
        assert list(columns) == ["image", "label"] == list(made.columns() or ())  # type: ignore[call-overload]
        np.testing.assert_array_equal(columns["image"][:], x)  # type: ignore[index]
        np.testing.assert_array_equal(columns["label"][np.array([2, 0])], ["c", "a"])  # type: ignore[index]
    assert made.count(tmp_path) == 4
    assert made.for_file(Path("new.npy")).columns() == ("image",)  # type: ignore[attr-defined]
    np.save(tmp_path / "y.npy", y[:3])
    assert "different lengths" in wrong("npy: {path: {image: x.npy, label: y.npy}}", tmp_path).message
    assert wrong("npy: {path: {image: x.npy, label: gone.npy}}", tmp_path).part == ("label",)


def test_wrong_npy_files(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([{}, None], dtype=object))
    assert "holds Python objects" in wrong("npy: x.npy", tmp_path).message
    np.save(path, np.array(3))
    assert "a single value" in (wrong("npy: x.npy", tmp_path).found or "")
    np.save(path, np.arange(100.0))
    good = path.read_bytes()
    for end in (3, 9, 50, len(good) - 1):
        path.write_bytes(good[:end])
        assert re.search("can't be read|is not an array", wrong("npy: x.npy", tmp_path).message)
    path.write_bytes(gzip.compress(good))
    assert "is compressed" in wrong("npy: x.npy", tmp_path).message
    path.write_text("a,b")
    assert "is not an array" in wrong("npy: x.npy", tmp_path).message
    np.save(path, np.asfortranarray(np.ones((50, 50))))
    with pytest.raises(RuleViolation, match="not in C order"):
        source("npy: x.npy").open(tmp_path, 100)


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
HEADERS = {
    "as numpy writes it": (HEADER, None),
    "not closed": (HEADER[:-1] + " ", "its header is damaged"),
    "nested": (HEADER.replace("(2, 3)", "(" * 9000), "its header is damaged"),
    "nested lists": (HEADER.replace("'<f4'", "[" * 4000 + "]" * 4000), "its header is damaged"),
    "keys of two kinds": ("{1: 2, 'a': 3}", "its header is damaged"),
    "a negative size": (HEADER.replace("(2, 3)", "(-2, 3)"), "its shape (-2, 3) needs -24 bytes"),
    "two negative sizes": (HEADER.replace("(2, 3)", "(-2, -3)"), "its header is damaged"),
    "one record more": (HEADER.replace("(2,", "(3,"), "its shape (3, 3) needs 36 bytes, but it holds 24"),
    "more than memory": (HEADER.replace("(2,", f"({10**12},"), "but it holds 24"),
    "more than 64 bits": (HEADER.replace("(2,", f"({10**28},"), "but it holds 24"),
    "none of too many": (HEADER.replace("(2, 3)", f"(0, {10**28})"), "its header is damaged"),
    "records of nothing": (HEADER.replace("(2, 3)", f"({10**12}, 0)"), "are empty"),
    "texts of nothing": (HEADER.replace("(2, 3)", f"({10**12},)").replace("<f4", "<U0"), "are empty"),
}


def with_header(path: Path, header: str, compression: int, version: bytes = b"\2\0") -> None:
    """An archive of a single array `x`, six numbers behind the header."""
    text = header.encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        data = np.arange(6, dtype=np.float32).tobytes()
        archive.writestr("x.npy", b"\x93NUMPY" + version + len(text).to_bytes(4, "little") + text + data)


@pytest.mark.parametrize("room", [None, 0])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("case", HEADERS)
def test_damaged_headers(tmp_path: Path, case: str, compression: int, room: int | None) -> None:
    header, said = HEADERS[case]
    with_header(tmp_path / "t.npz", header, compression)
    made = source("npz: t.npz")

    def opened() -> Any:
        return made.load(tmp_path) if room is None else made.open(tmp_path, room)

    if said is None:
        assert made.count(tmp_path) == 2
        np.testing.assert_array_equal(opened()["x"][:], np.arange(6, dtype=np.float32).reshape(2, 3))
        return
    with pytest.raises(RuleViolation) as caught:
        opened()
    assert caught.value.code == "DLC401"
    assert said in caught.value.message
    if said != "are empty":
        with pytest.raises(RuleViolation, match=re.escape(said)):
            made.count(tmp_path)


@pytest.mark.parametrize("room", [None, 0])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_array_shorter_than_the_archive_says(tmp_path: Path, compression: int, room: int | None) -> None:
    path = tmp_path / "t.npz"
    with_header(path, HEADER.replace("(2,", "(900,"), compression)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + 24  # the size of the member in the central directory
    data[at : at + 4] = (20_000).to_bytes(4, "little")
    path.write_bytes(data)
    made = source("npz: t.npz")
    with pytest.raises(
        RuleViolation, match=r"the array `x` of .* can't be read: its shape .* needs 10800 bytes, but it holds 24"
    ):
        made.load(tmp_path) if room is None else made.open(tmp_path, room)


def test_same_length() -> None:
    columns = {"a": np.zeros(2), "b": np.zeros((2, 3))}
    assert same_length(columns, Path("x")) is columns
    with pytest.raises(RuleViolation, match="different lengths") as caught:
        same_length({f"c{index}": np.zeros(index) for index in range(20)}, Path("x"))
    assert caught.value.found is not None and caught.value.found.endswith("and 8 more")


# ---- select ----


def test_select() -> None:
    known = ("label", "pixel_0", "pixel_1", "pixel_10", "a[0]", "a[1]", "a0", "*")
    assert select(("pixel_1",), known) == ["pixel_1"]
    assert select(("pixel_*",), known) == ["pixel_0", "pixel_1", "pixel_10"]
    assert select(("pixel_1*", "label"), known) == ["pixel_1", "pixel_10", "label"]
    assert select(("a[*",), known) == ["a[0]", "a[1]"]
    assert select(("*_1*",), known) == ["pixel_1", "pixel_10"]
    assert select(("*",), known) == ["*"]  # a column of that very name
    assert select(("*",), known[:-1]) == list(known[:-1])
    for missing in ("Label", "pixel_?", "a[01]*", "x*", ""):
        with pytest.raises(RuleViolation) as caught:
            select((missing,), known)
        assert caught.value.code == "DLC402" and f"`{missing}`" in caught.value.message
    with pytest.raises(RuleViolation) as caught:
        select(("lable",), known)
    assert caught.value.hint == "did you mean `label`?"


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("*", ["abab", "aab", "b"]),
        ("a*", ["abab", "aab"]),
        ("*b", ["abab", "aab", "b"]),
        ("a*b*b", ["abab"]),
        ("a*a*b", ["abab", "aab"]),
        ("*aa*", ["aab"]),
        ("**b", ["abab", "aab", "b"]),
        ("ab*ab", ["abab"]),
    ],
)
def test_patterns(pattern: str, chosen: list[str]) -> None:
    assert select((pattern,), ("abab", "aab", "b")) == chosen


def test_a_pattern_with_many_wildcards_is_quick() -> None:
    with pytest.raises(RuleViolation, match="no column"):
        select(("*a" * 200 + "b",), tuple("a" * size for size in range(2000, 2100)))
