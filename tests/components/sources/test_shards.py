"""Tar archives in WebDataset's layout: their records, references into them, and archives that are refused."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.components.sources.references import ArchiveEntry, BytesEntry, file_entries
from dlc.components.sources.tar_members import _number, members_of
from dlc.components.wrong_values import WrongValues
from dlc.language.options import RuleViolation
from tests.components.building import built

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def source(spec: str) -> Any:
    return built(spec, "source")


def packed(path: Path, files: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return path


def wrong(path: Path) -> str:
    with pytest.raises(RuleViolation) as caught:
        source(f"tar: {path}").load(path.parent)
    assert caught.value.code == "DLC401"
    return caught.value.message


@pytest.mark.parametrize("form", FORMATS)
def test_members_are_those_that_tarfile_finds(tmp_path: Path, form: str) -> None:
    long = "a" * 90 + "/" + "b" * 60 + ".txt"
    names = ["a.txt", "folder/b.png", "empty.txt", "größe.txt", long]
    names += ["x/" * 150 + "c.txt"] if form != "ustar" else []
    files = {name: name.encode() * 300 if name != "empty.txt" else b"" for name in names}
    path = packed(tmp_path / "t.tar", files, FORMATS[form])
    with tarfile.open(path) as archive:
        wanted = [(member.name, member.offset_data, member.size) for member in archive]
    assert [tuple(member) for member in members_of(path)] == wanted
    for member in members_of(path):
        assert ArchiveEntry(str(path), "x", member.offset, member.size).read() == files[member.name]


def test_records(tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.arange(3))
    packed(
        tmp_path / "shards/0.tar",
        {
            "./a/001.JPG": b"one",
            "a/001.cls": b"7\n",
            "a/001.txt": "größe\n".encode(),
            "a/001.json": json.dumps({"score": 1.5, "by": {"name": "x"}}).encode(),
            "a/001.mask.png": b"mask",
            "a/001.npy": array.getvalue(),
            "a/002.png": b"two",
            "a/002.cls": b"-1",
            "a/002.npy": array.getvalue(),
            "a/.hidden.txt": b"x",
        },
    )
    packed(tmp_path / "shards/1.tar", {"b.png": b"three", "b.cls": b"12", "b.wav": b"sound", "b.npy": array.getvalue()})
    made = source("tar: 'shards/*.tar'")
    found = made.load(tmp_path)
    assert found["__key__"].tolist() == ["a/001", "a/002", "b"]
    assert [entry.read() for entry in found["image"]] == [b"one", b"two", b"three"]
    assert str(found["image"][0]) == "0.tar/./a/001.JPG"
    assert found["cls"].dtype == np.int64 and found["cls"].tolist() == [7, -1, 12]
    assert found["txt"].tolist() == ["größe", "", ""] and found["by.name"].tolist() == ["x", "", ""]
    np.testing.assert_array_equal(found["score"], [1.5, np.nan, np.nan])
    assert found["npy"].shape == (3, 3)
    assert found["mask.png"][0].read() == b"mask" and found["mask.png"].tolist()[1:] == [None, None]
    assert found["wav"][2].read() == b"sound"
    blocks = list(made.open(tmp_path, 16))
    assert [len(block["cls"]) for block in blocks] == [1, 1, 1] and set(blocks[0]) == set(found)
    assert made.origin(tmp_path, 3) == (tmp_path / "shards/1.tar", 1)
    assert source("tar: {path: 'shards/*.tar', rows: 2}").load(tmp_path)["cls"].tolist() == [7, -1]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["0.tar", "1.tar", "shards"]  # nothing was unpacked


def test_names_that_lead_out_of_the_archive_stay_names(tmp_path: Path) -> None:
    path = packed(tmp_path / "in/t.tar", {"../../evil.txt": b"x", "/etc/evil.png": b"y"})
    found = source(f"tar: {path}").load(tmp_path)
    assert found["__key__"].tolist() == ["../../evil", "/etc/evil"] and found["image"][1].read() == b"y"
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["t.tar"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        about = tarfile.TarInfo("a.png")
        about.type, about.linkname = kind, "/etc/passwd"
        archive.addfile(about)
    assert "`a.png`, which is a link or a device" in wrong(tmp_path / "t.tar")


def test_folders_are_left_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        about = tarfile.TarInfo("a.b")
        about.type = tarfile.DIRTYPE
        archive.addfile(about)
        archive.addfile(tarfile.TarInfo("a.b/c.txt"))
    assert source("tar: t.tar").load(tmp_path)["__key__"].tolist() == ["a.b/c"]


def changed(data: bytes, at: int, new: bytes) -> bytes:
    """An archive with another first header, whose checksum is right."""
    head = bytearray(data[:512])
    head[at : at + len(new)] = new
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data[512:]


def test_damaged_archives(tmp_path: Path) -> None:
    path = packed(tmp_path / "t.tar", {"a.txt": b"x" * 600, "b.txt": b"y"})
    good = path.read_bytes()
    cases = {
        b"x,y\n1,2\n": "is not a tar archive",
        b"z" * 2000: "is not a tar archive",
        good[:700]: "is truncated: it has 700",
        good[:1536]: "is truncated: it has no end",
        good[:512] + good[512:1536] + b"junk" * 128 + good[2048:]: "is damaged at byte 1,536",
        gzip.compress(good): "is compressed: unpack it",
        changed(good, 124, b"77777777777\0"): "is truncated",
        changed(good, 124, b"\xff" + b"\xff" * 11): "a size is negative",
        changed(good, 124, b"\x80" + b"\xff" * 11): "is truncated",
        changed(good, 124, b"9z\0"): "a size is not a number",
        changed(good, 156, b"S"): "has the sparse file `a.txt`",
    }
    for data, said in cases.items():
        path.write_bytes(data)
        assert said in wrong(path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.txt": b"\xe9"}, "`a.txt` in `PATH` is not UTF-8 text"),
        ({"a.json": b"{"}, "`a.json` in `PATH` can't be read"),
        ({"a.npy": b"x"}, "`a.npy` in `PATH` is not an array"),
        ({"a.png": b"1", "a.jpg": b"2"}, "has two columns `image`"),
        ({"a.cls": b"1", "a.json": b'{"cls": 2}'}, "has two columns `cls`"),
        ({"a.cls": b"1", "./a.cls": b"2"}, "has two columns `cls`"),
    ],
)
def test_members_that_are_wrong(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    path = packed(tmp_path / "t.tar", files)
    assert said.replace("PATH", str(path)) in wrong(path)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    path = packed(tmp_path / "t.tar", {"a.pickle": b"cos\nsystem\n(S'touch evil'\ntR.", "a.cls": b"1"})
    assert isinstance(source(f"tar: {path}").load(tmp_path)["pickle"][0], ArchiveEntry)


def test_an_archive_that_became_shorter(tmp_path: Path) -> None:
    path = packed(tmp_path / "t.tar", {"a.png": b"x" * 600})
    entry = source(f"tar: {path}").load(tmp_path)["image"][0]
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(OSError, match="shorter than when it was listed"):
        entry.read()


def test_contents_in_tables_are_entries(tmp_path: Path) -> None:
    column = np.empty(3, object)
    column[:] = [b"\x89PNG", "a.png", ArchiveEntry("t.tar", "b.png", 0, 3)]
    found = file_entries(column, tmp_path, "image", 5)
    assert isinstance(found[0], BytesEntry) and found[0].read() == b"\x89PNG" and "row 5" in str(found[0])
    assert found[1].path == str(tmp_path / "a.png") and found[2] is column[2]
    names = file_entries(np.array([b"a.png"]), tmp_path, "image", 1)
    assert names[0].path == str(tmp_path / "a.png")
    with pytest.raises(WrongValues, match="row 6"):
        file_entries(np.array(["a", None], object), tmp_path, "image", 5)


def test_a_size_with_a_sign_is_damage() -> None:
    for field in (b"-2000\0", b"+10\0", b"0o17\0", b"1_0\0"):
        with pytest.raises(Exception, match="a size is not a number"):
            _number(field)
    assert _number(b" 0000017\0 ") == 15
