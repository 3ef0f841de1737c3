"""Typed records of JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dlc.diagnostics import SpecError
from dlc.support.files import digest, from_json, to_json
from dlc.support.records import MOST_BYTES, Count, Figure, Record, Text, read_record


class Sample(Record):
    """A record."""

    count: Count
    figure: Figure = None
    names: dict[Text, Text] | None = None


@pytest.mark.parametrize(
    "value",
    [
        *(
            {},
            [],
            None,
            3,
            "x",
            {"count": 1, "other": 1},
            {"count": "1"},
            {"count": True},
            {"count": 1.0},
            {"count": -1},
        ),
        *({"count": 2**53}, {"count": 10**400}, {"count": 1, "figure": "0.5"}, {"count": 1, "names": {"a": 1}}),
        *({"count": 1, "names": {"\ud800": "a"}}, {"count": 1, "names": {"a": "\udcff"}}, {"count": 1, "figure": [1]}),
        {"count": 1, "names": {"a": "x" * 100_001}},
    ],
)
def test_anything_but_the_declared_types_is_damage(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    with pytest.raises(SpecError, match=r"DLC503: `.*a.json` is damaged"):
        read_record(path, Sample)


@pytest.mark.parametrize(
    "text",
    [
        *('{"count": 1, "figure": NaN}', '{"count": 1, "figure": 1e999}', '{"count": 1, "figure": -Infinity}'),
        *("[" * 100_000, '{"count": ' + "9" * 5000 + "}", "", "\ufffe", '{"count": 1'),
    ],
)
def test_numbers_are_finite_and_texts_are_json(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"DLC503"):
        read_record(path, Sample)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with open(path, "wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(SpecError, match=r"DLC503: .*it has 67,108,865 bytes"):
        read_record(path, Sample)


def test_the_digest_is_of_all_other_keys(tmp_path: Path) -> None:
    class Signed(Record):
        count: int
        digest: str

    path = tmp_path / "a.json"
    path.write_text(json.dumps({"count": 1, "digest": digest(to_json({"count": 1}))}))
    assert read_record(path, Signed, signed="digest").count == 1
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(SpecError, match="its digest differs"):
        read_record(path, Signed, signed="digest")


def test_a_record_is_read_as_it_was_written() -> None:
    record = Sample.of({"count": 3, "figure": 2})
    assert record.plain() == {"count": 3, "figure": 2.0}
    assert Sample.of(record.plain()) == record


@pytest.mark.parametrize("text", [r'{"a": "\ud800"}', r'["\uDFFF x"]', '{"\udc80": 1}'])
def test_halves_of_pairs_are_not_valid_json(text: str) -> None:
    """They can't be written: an error would come only when a page or a table is."""
    with pytest.raises(ValueError, match="not valid Unicode"):
        from_json(text)
    assert from_json(r'["\ud83d\ude00"]') == ["\U0001f600"]
