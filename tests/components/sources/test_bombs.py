"""Archives that unpack to more than fits into memory are refused before they are unpacked."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.attack_kinds.data import MADE
from dlc.components.sources import archives
from dlc.components.sources.archives import read_columns
from dlc.components.sources.files import Csv, Npz
from dlc.components.sources.text_tables import Dialect
from dlc.language.options import RuleViolation


@pytest.fixture
def zeros(tmp_path: Path) -> Path:
    """Two arrays of 4 GiB of zeros in 8 MB."""
    path = tmp_path / "zeros.npz"
    MADE["npz of 2 x 4 GiB of zeros"](path)
    return path


@pytest.mark.parametrize("room", [1 << 20, 4 << 30, None])
def test_zeros_are_not_unpacked(zeros: Path, room: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpacking(*_: object) -> None:
        raise AssertionError("something was unpacked")

    monkeypatch.setattr(archives, "_pieces", unpacking)
    monkeypatch.setattr(archives, "fitting_bytes", lambda: 6 << 30)
    with pytest.raises(RuleViolation, match="take more than the allowed memory") as caught:
        read_columns(zeros, room)
    assert (caught.value.code, caught.value.found) == ("DLC401", "8.59 GB")


def test_a_long_header_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "header.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\x93NUMPY\2\0" + (3 << 30).to_bytes(4, "little") + bytes(1 << 20))
    with pytest.raises(RuleViolation, match="its header is too long"):
        Npz(path=str(path)).load(tmp_path)


def test_data_that_are_compressed_well_still_stream(tmp_path: Path) -> None:
    path, file = tmp_path / "x.npz", io.BytesIO()
    values = np.arange(100_000) // 50
    np.savez_compressed(file, x=values)
    path.write_bytes(file.getvalue())
    found = read_columns(path, 1000)["x"]
    assert np.array_equal(found[:], values)


def test_a_full_disk_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).integers(0, 1000, 10_000))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(RuleViolation, match="more than the allowed memory") as caught:
        read_columns(path, 1000)
    assert "TMPDIR" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["kmsg", "self/environ", "self/mem"])
def test_files_of_proc_are_no_tables(name: str, tmp_path: Path) -> None:
    path = Path("/proc") / name
    if not path.is_file():
        pytest.skip("there is no such file")
    for source in (Csv(path=str(path)), Npz(path=str(path))):
        with pytest.raises(RuleViolation, match="is empty"):
            source.load(tmp_path)


def test_what_is_too_large_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few megabytes may unpack to gigabytes of rows."""
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"x,y\n" + b"0,0\n" * 500_000))
    monkeypatch.setattr(Dialect, "_begun", lambda *_: pytest.fail("rows were parsed"))
    with pytest.raises(RuleViolation, match="unpacks to more than the allowed memory") as caught:
        next(iter(Csv(path="t.csv.gz").open(tmp_path, 1_000_000)))
    assert caught.value.code == "DLC401" and caught.value.expected == "at most 1 MB"
