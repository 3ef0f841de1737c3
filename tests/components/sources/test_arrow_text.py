"""Text tables that Arrow parses: they have the fields that Python's `csv` finds, and the numbers that `float` reads."""

from __future__ import annotations

import csv
import gzip
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dlc
from dlc.components.sources import arrow_text
from dlc.components.sources.arrow_text import Fields
from dlc.data.dataset import Dataset, load_dataset
from dlc.diagnostics import SpecError
from dlc.language.options import RuleViolation
from tests.common import examples
from tests.components.building import built

pytest.importorskip("pyarrow", reason="pyarrow reads large tables")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Arrow reads small files as well, in pieces of a few rows."""
    monkeypatch.setattr(arrow_text, "LEAST_BYTES", 0)
    monkeypatch.setattr(arrow_text, "PIECE_BYTES", 200)
    return monkeypatch


def blocks(folder: Path, spec: str, room: int = 1 << 20) -> list[Any]:
    return list(built(spec, "source").open(folder, room))


def outcome(folder: Path, spec: str, room: int = 16 * 1500) -> tuple[Any, list[bool]]:
    """The columns or the error of a table, and for each block whether Arrow has parsed it."""
    parts: dict[str, list[str]] = {}
    by_arrow: list[bool] = []
    try:
        for block in built(spec, "source").open(folder, room):
            by_arrow.append(any(isinstance(column, Fields) for column in block.values()))
            for name, column in block.items():
                parts.setdefault(name, []).extend(np.asarray(column).tolist())
                if isinstance(column, Fields):
                    values, codes = column.coded()
                    assert values[codes].tolist() == np.asarray(column).tolist()
    except RuleViolation as wrong:
        return (wrong.code, wrong.message, wrong.found, wrong.expected, wrong.hint, wrong.option), by_arrow
    return parts, by_arrow


def by_python(folder: Path, spec: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as without:
        without.setattr(arrow_text, "LEAST_BYTES", 1 << 60)
        found, by_arrow = outcome(folder, spec)
    assert not any(by_arrow)
    return found


PLAIN = st.sampled_from(["1", "2.5", "", "a", "b c", " 1", "7 ", "NA", "-999", "1_000", "nan", "é", "漢", "true", "#c"])
QUOTED = st.sampled_from(['"x"', '"x,y"', '"a""b"', '"a\nb"', '"\r\n"', '""', '""""', '"1"'])
ODD = st.sampled_from(['5" x', '"a"b', '"', "\0", "\ud800"])


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Tables of few columns: quoted and odd fields, empty lines, rows of other lengths, all kinds of line ends."""
    width, delimiter = draw(st.integers(1, 3)), draw(st.sampled_from(",;\t"))
    cells = st.one_of(
        [PLAIN, *([QUOTED] if draw(st.booleans()) else []), *([ODD] if not draw(st.integers(0, 5)) else [])]
    )
    row = st.lists(cells, min_size=width, max_size=width)
    rows = [[f"n{index}" for index in range(width)], *draw(st.lists(row, max_size=25))]
    if not draw(st.integers(0, 5)):
        rows.insert(draw(st.integers(1, len(rows))), draw(st.lists(cells, max_size=4)))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = draw(st.sampled_from(["", "\ufeff"])) + end.join(delimiter.join(cells) for cells in rows)
    return (text + draw(st.sampled_from(["", end, "\n\n"]))).encode("utf-8", "surrogatepass")


@settings(deadline=None, max_examples=examples(150))
@given(
    data=tables(),
    options=st.sampled_from(
        ["", ", rows: 5", ", header: false", ', comment: "#"', ", missing_values: [NA, -999]", ', delimiter: ","']
    ),
    size=st.sampled_from([64, 100, 1 << 20]),
)
def test_both_parsers_find_the_same_fields(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, options: str, size: int
) -> None:
    folder = tmp_path_factory.mktemp("table", numbered=True)
    (folder / "t.csv").write_bytes(data)
    spec = f"csv: {{path: t.csv{options}}}"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(arrow_text, "LEAST_BYTES", 0)
        monkeypatch.setattr(arrow_text, "PIECE_BYTES", size)
        assert outcome(folder, spec)[0] == by_python(folder, spec, monkeypatch)


@pytest.mark.parametrize(
    ("field", "by_arrow"),
    [
        ('"a, ""b""\r\nc"', True),
        ("\u00e9\U0001f600", True),
        ('5" pipe', False),  # a literal quotation mark
        ('"a"b', False),  # an error
        ("a\0b", False),
        ("# a", False),  # no comment, but it could be one
        ("x" * 200_000, False),  # longer than `csv` allows
        ("x" * 100_000, True),
    ],
)
def test_what_the_parsers_read_differently_is_left_to_python(
    tmp_path: Path, small: pytest.MonkeyPatch, field: str, by_arrow: bool
) -> None:
    rows = [f"{index},b{index}" for index in range(400)]
    rows[300] = f"{field},b"
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(rows), encoding="utf-8", newline="")
    spec = 'csv: {path: t.csv, comment: "#"}' if field.startswith("#") else "csv: t.csv"
    small.setattr(arrow_text, "PIECE_BYTES", 1 << 18)
    small.setattr(arrow_text, "_FIRST_BYTES", 1000)
    found, parsed = outcome(tmp_path, spec, 1 << 30)
    assert found == by_python(tmp_path, spec, small)
    assert parsed[0], "Arrow reads the rows before"
    assert (all(parsed) and isinstance(found, dict)) == by_arrow


def test_a_compressed_table_and_several_files(tmp_path: Path, small: pytest.MonkeyPatch) -> None:
    for part in range(2):
        text = "a;b\r\n" + "".join(f'{index},5;"x;{part}"\r\n' for index in range(200))
        (tmp_path / f"t{part}.csv.gz").write_bytes(gzip.compress(text.encode("utf-8-sig")))
    (tmp_path / "t2.csv").write_text("a;b\n" + "1,5;y\n" * 50 + "1,5\n", encoding="utf-8")
    (tmp_path / "t3.csv").write_bytes(b"a;b\n" + b"1,5;y\n" * 5000 + b"1;\xe9\n")
    for pattern in ("t[01].csv.gz", "t*.csv*", "t3.csv", "t0.csv.gz"):
        spec = f"csv: {{path: '{pattern}', decimal: \",\"}}".replace("[01]", "*")
        found, parsed = outcome(tmp_path, spec)
        assert found == by_python(tmp_path, spec, small)
        assert parsed[0]


def numbers(seed: int, count: int) -> list[str]:
    """Finite numbers in all spellings: any bits, any digits, whole ones."""
    stream = random.Random(seed)
    found = []
    while len(found) < count:
        value = struct.unpack("d", stream.randbytes(8))[0]
        digits = "".join(stream.choices("0123456789", k=stream.randint(1, 40)))
        text = stream.choice(
            [
                repr(value),
                f"{value:.{stream.randint(1, 40)}g}",
                f"{digits}.{digits}e{stream.randint(-330, 260)}",
                digits,
            ]
        )
        if np.isfinite(float(text)):
            found.append(text)
    return found


def test_numbers_are_those_of_float(tmp_path: Path, small: pytest.MonkeyPatch) -> None:
    texts = numbers(0, 4000)
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{text},1\n" for text in texts), encoding="utf-8")
    small.setattr(arrow_text, "PIECE_BYTES", 1 << 20)
    found = [block["a"].numbers() for block in blocks(tmp_path, "csv: t.csv", 1 << 30)]
    want = np.array([float(text) for text in texts])
    assert np.concatenate(found).view(np.uint64).tolist() == want.view(np.uint64).tolist()


@pytest.mark.parametrize(
    ("options", "fields", "want"),
    [
        ("", ["1", "", "2.5"], [1, np.nan, 2.5]),
        ("", ["1", " 2", "3 "], [1, 2, 3]),
        ("", ["1", "inf"], None),
        ("", ["1", "nan"], None),
        ("", ["1", "1_000"], None),
        ("", ["1", "+1"], [1, 1]),
        ("", ["1", "+-1"], None),
        ("", ["1", "x"], None),
        (', delimiter: ";", decimal: ","', ["1,5", "2"], [1.5, 2]),
        (', delimiter: ";", decimal: ","', ["1.5", "2"], None),
        (', delimiter: ";", thousands: ","', ["1,500", "2"], None),
        (', delimiter: ";", thousands: ","', ["1500", "2"], [1500, 2]),
        (", missing_values: [NA, -999]", ["1", "NA", "-999.0"], [1, np.nan, np.nan]),
        (', missing_values: ["0"]', ["1", " 0", "00"], None),
    ],
)
def test_columns_of_numbers(
    tmp_path: Path, small: pytest.MonkeyPatch, options: str, fields: list[str], want: list[float] | None
) -> None:
    """Fields that only Python can read are left to it; what it makes of them is tested with the features."""
    (tmp_path / "t.csv").write_text("a;b\n" + "".join(f"{text};1\n" for text in fields), encoding="utf-8")
    (block,) = blocks(tmp_path, f"csv: {{path: t.csv{options}}}")
    found = block["a"].numbers()
    assert found is None if want is None else np.array_equal(found, want, equal_nan=True)
    if '["0"]' not in options:
        assert block["b"].numbers().tolist() == [1] * len(fields)


SPEC = """
inputs: {{x: {{tensor: {{columns: [a, b], shape: [2]{missing}}}}}, d: {{category: [u, v]}}, t: {{date: [year]}}}}
targets: {{y: {{category: 2}}}}
network: [{{embedding: {{vocabulary: 2, size: 2}}, inputs: d, name: e}}, {{concat: [x, t, e]}}, dense: 2]
loss: cross_entropy
data: {{source: {{csv: t.csv}}, split: {{test: 0.2, stratify: y}}, on_bad_record: {bad}}}
"""


def table(**wrong: str) -> str:
    """A table of 300 rows, with wrong fields at `COLUMN_ROW`."""
    stream = random.Random(1)
    rows = []
    for index in range(300):
        row = {"a": f"{stream.random():.6g}", "b": f" {stream.gauss(0, 1e6)!r}", "d": stream.choice(["u", "v "])}
        row |= {"t": f"20{index % 20:02}-01-02", "y": str(stream.randint(0, 1)), "unread": "z"}
        row |= {key.split("_")[0]: text for key, text in wrong.items() if key.endswith(f"_{index}")}
        rows.append(row)
    lines = ["a,b,d,t,y,unread", *(",".join(row.values()) for row in rows)]
    return "\n".join(lines)


def arrays(data: Dataset) -> dict[str, Any]:
    named = {**data.inputs, **data.targets}
    return {name: (value.dtype, value.shape, value.tobytes()) for name, value in named.items()}


@pytest.mark.parametrize(
    ("wrong", "missing", "bad"),
    [
        ({}, "", "stop"),
        ({"a_120": "", "b_200": "nan"}, ", missing: mean", "stop"),
        ({"a_120": "n/a", "b_3": "", "d_299": "w", "y_7": "2", "t_9": "today"}, "", "stop"),
        ({"a_120": "n/a", "b_3": "", "d_299": "w", "t_9": "today"}, "", "skip"),
        ({"a_120": "1_000", "b_4": "+1"}, "", "stop"),
    ],
)
def test_a_data_set_has_the_same_bits(
    tmp_path: Path, small: pytest.MonkeyPatch, wrong: dict[str, str], missing: str, bad: str
) -> None:
    (tmp_path / "t.csv").write_text(table(**wrong), encoding="utf-8")
    (tmp_path / "s.yaml").write_text(SPEC.format(missing=missing, bad=bad), encoding="utf-8")
    plan = dlc.load(tmp_path / "s.yaml").plan
    found: list[Any] = []
    for least in (0, 1 << 60):
        small.setattr(arrow_text, "LEAST_BYTES", least)
        try:
            data = load_dataset(plan)
            found.append((arrays(data), data.fingerprint, data.notes, data.bad_records, data.fitted.stats))
        except SpecError as error:
            found.append([str(item) for item in error.report.diagnostics])
    assert str(found[0]) == str(found[1])


def test_strings_are_read_once_if_they_repeat(tmp_path: Path, small: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "u,1\nv,2\nu,3\n" * 9, encoding="utf-8")
    block = blocks(tmp_path, "csv: t.csv", 1 << 30)[0]
    values, codes = block["a"].coded()
    assert sorted(values.tolist()) == ["u", "v"]
    assert values[codes].tolist() == np.asarray(block["a"]).tolist()
    assert block["a"].tolist()[:2] == ["u", "v"] and block["a"].reshape(-1, 3).shape == (9, 3)  # as arrays have it
    part = block["a"][1:3]
    assert isinstance(part, Fields) and part.shape == (2,) and part[0] == "v" and part[[1, 0]].tolist() == ["u", "v"]


def test_without_arrow_python_reads_all_of_it(tmp_path: Path, small: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    small.setattr(arrow_text, "available", lambda: False)
    assert outcome(tmp_path, "csv: t.csv") == ({"a": ["1"], "b": ["2"]}, [False])


def test_the_limit_of_fields_is_that_of_csv() -> None:
    limit = csv.field_size_limit()
    for size in (limit - 2, limit + 1):
        data = b"1," + b"x" * size + b"\n" + b"1,2\n" * limit
        assert arrow_text._fields_fit(data, np.empty(0, np.intp), ",", limit) == (size < limit)
