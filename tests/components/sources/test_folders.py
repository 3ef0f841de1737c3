"""Folders of pictures and IDX files: their columns, their order, and what is refused."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.components.sources import SOURCES
from dlc.components.sources.folders import ImageFolder
from dlc.language.options import RuleViolation
from tests.components.building import built


def source(text: str) -> Any:
    return built(text, "source")


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P5 1 1 255\n\0")


def refused(made: ImageFolder, base: Path) -> RuleViolation:
    with pytest.raises(RuleViolation) as caught:
        made.load(base)
    assert (caught.value.code, caught.value.option) == ("DLC401", "path")
    return caught.value


# ---- folders ----


def test_pictures_of_class_folders(tmp_path: Path) -> None:
    for name in ("b/2.pgm", "a/x/10.PNG", "a/1.jpeg", "b/.hidden.png", ".git/3.png", "a/notes.txt"):
        picture(tmp_path / "set" / name)
    columns = source("image_folder: set").load(tmp_path)
    assert list(columns) == ["image", "label", "file"]
    assert columns["file"].tolist() == ["a/1.jpeg", "a/x/10.PNG", "b/2.pgm"]
    assert columns["label"].tolist() == ["a", "a", "b"]
    assert [entry.path for entry in columns["image"]] == [str(tmp_path / "set" / name) for name in columns["file"]]
    assert [str(entry) for entry in columns["image"]] == columns["file"].tolist()


def test_pictures_without_classes(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    assert list(source("image_folder: .").load(tmp_path)) == ["image", "file"]
    picture(tmp_path / "cats/2.png")
    wrong = refused(source("image_folder: ."), tmp_path)
    assert "both in subfolders and beside them" in wrong.message and wrong.found == "`1.png`"


def test_links_out_of_the_folder_are_left_out(tmp_path: Path) -> None:
    picture(tmp_path / "secret/1.png")
    picture(tmp_path / "set/a/2.png")
    (tmp_path / "set/a/out.png").symlink_to(tmp_path / "secret/1.png")
    (tmp_path / "set/b").symlink_to(tmp_path / "secret")
    (tmp_path / "set/c").symlink_to(tmp_path / "set")
    (tmp_path / "set/a/inside.png").symlink_to(tmp_path / "set/a/2.png")
    assert source("image_folder: set").load(tmp_path)["file"].tolist() == ["a/2.png", "a/inside.png"]


def test_folders_without_pictures(tmp_path: Path) -> None:
    assert "does not exist" in refused(source("image_folder: none"), tmp_path).message
    (tmp_path / "file").write_text("x")
    assert "is not a directory" in refused(source("image_folder: file"), tmp_path).message
    (tmp_path / "empty").mkdir()
    wrong = refused(source("image_folder: empty"), tmp_path)
    assert "has no pictures" in wrong.message and wrong.found == "no files"
    (tmp_path / "empty/notes.txt").write_text("x")
    assert refused(source("image_folder: empty"), tmp_path).found == "1 other file"
    assert "can't be read" in refused(source(f"image_folder: {'x' * 300}"), tmp_path).message


# ---- IDX ----


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize(
    ("kind", "dtype"), [(8, ">u1"), (9, ">i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
def test_arrays_of_every_type(tmp_path: Path, kind: int, dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 100, (4, 2, 3)).astype(dtype)
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(values, kind)))
    found = source("idx: a.gz").load(tmp_path)["image"]
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, values)


def test_labels_beside_pictures(tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(idx(np.zeros((4, 2, 2), np.uint8)))
    (tmp_path / "labels").write_bytes(idx(np.arange(4, dtype=np.uint8)))
    made = source("idx: {images: images, labels: labels}")
    assert made.columns() == ("image", "label")
    assert made.load(tmp_path)["label"].tolist() == [0, 1, 2, 3]
    (tmp_path / "labels").write_bytes(idx(np.arange(3, dtype=np.uint8)))
    with pytest.raises(RuleViolation, match="different lengths") as caught:
        made.load(tmp_path)
    assert caught.value.option == "labels"
    with pytest.raises(RuleViolation, match="does not exist") as caught:
        source("idx: {images: images, labels: gone}").find(tmp_path)
    assert caught.value.option == "labels"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\3\4", "is not an IDX file|can't be read"),
        (b"\0\0\x08", "is not an IDX file"),
        (b"\0\0\x07\x01\0\0\0\1\0", "is not an IDX file"),
        (b"\0\0\x08\x00", "is not an IDX file"),
        (idx(np.zeros((4, 2), np.uint8))[:-1], "is damaged"),
        (idx(np.zeros((4, 2), np.uint8)) + b"\0", "is damaged"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "is damaged"),
        (gzip.compress(idx(np.zeros((4, 2), np.uint8)))[:-9], "can't be read|is damaged"),
    ],
    ids=["zip", "short", "type", "rank", "cut", "longer", "huge", "gzip"],
)
def test_files_that_are_no_arrays(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(RuleViolation, match=message) as caught:
        source("idx: a").load(tmp_path)
    assert (caught.value.code, caught.value.option) == ("DLC401", "images")


def test_the_registry_has_them() -> None:
    assert {"idx", "image_folder"} <= SOURCES.keys()
