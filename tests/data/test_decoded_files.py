"""Decoded files on disk: found again, noticed when a file changes, harmless when damaged, full or refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.components.sources import references
from dlc.components.sources.references import file_entries
from dlc.components.wrong_values import WrongValues
from dlc.data import decoded_files
from dlc.data.decoding import FileReader
from tests.common import run_dlc

OLD = 1e9  # a time of change long ago


class Bytes:
    """A decoder of files of 4 bytes, which counts what it decodes."""

    key, shape, dtype, wrong, expected = "bytes", (4,), "uint8", "is wrong", "4 bytes"

    def __init__(self) -> None:
        self.decoded: list[bytes] = []

    def decode(self, data: bytes) -> np.ndarray:
        self.decoded.append(data)
        if len(data) != 4:
            raise ValueError("it has another length")
        return np.frombuffer(data, np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 40 files that changed long ago, and a cache that is empty."""
    monkeypatch.setenv("DLC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(references, "SETTLED_SECONDS", -60.0)  # the time of the last change of a status can't be set
    (tmp_path / "files").mkdir()
    for number in range(40):
        (tmp_path / "files" / str(number)).write_bytes(content(number))
    return tmp_path / "files"


def content(number: int) -> bytes:
    return number.to_bytes(4, "big")


def entries(folder: Path, count: int = 40) -> np.ndarray:
    return file_entries(np.array([str(number) for number in range(count)], object), folder, "x", 1)


def read(folder: Path, decoder: Any = None, count: int = 40, workers: int | str = "auto") -> tuple[np.ndarray, int]:
    """What is read with the cache, and how many files were decoded."""
    decoder = decoder or Bytes()
    with FileReader(workers, cached=True) as files:
        found = files.read(decoder, entries(folder, count), "x", 1)
    assert files.notes == []
    return found, len(decoder.decoded)


def segments(folder: Path) -> list[Path]:
    return sorted((folder.parent / "cache").rglob("*.segment"))


def expected(count: int = 40) -> np.ndarray:
    return np.stack([np.frombuffer(content(number), np.uint8) for number in range(count)])


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_files_are_decoded_once_whatever_the_workers(folder: Path, workers: int) -> None:
    for decoded in (40, 0):
        found, count = read(folder, workers=workers)
        np.testing.assert_array_equal(found, expected())
        assert count == decoded
    assert len(segments(folder)) == 1


def test_unchanged_files_are_not_even_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(folder)
    monkeypatch.setattr(references.FileEntry, "read", None)
    np.testing.assert_array_equal(read(folder)[0], expected())


def test_new_and_changed_files_are_decoded(folder: Path) -> None:
    read(folder, count=30)
    assert read(folder)[1] == 10
    (folder / "7").write_bytes(b"abcd")  # of the same size
    found, count = read(folder)
    assert count == 1 and found[7].tobytes() == b"abcd"
    os.utime(folder / "8", (OLD, OLD))
    (folder / "8").write_bytes(b"efgh")
    os.utime(folder / "8", (OLD, OLD))  # of the same size and time
    found, count = read(folder)
    assert count == 1 and found[8].tobytes() == b"efgh"


def test_a_file_that_was_changed_just_now_is_known_by_its_content(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its times may not differ after the next change."""
    monkeypatch.setattr(references, "SETTLED_SECONDS", 60.0)
    assert [entry.signature() for entry in entries(folder)] == [None] * 40
    read(folder)
    stamp = (folder / "3").stat()
    (folder / "3").write_bytes(b"abcd")
    os.utime(folder / "3", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    found, count = read(folder)
    assert count == 1 and found[3].tobytes() == b"abcd"
    np.testing.assert_array_equal(np.delete(found, 3, 0), np.delete(expected(), 3, 0))


def test_moved_files_are_not_decoded_again(folder: Path) -> None:
    read(folder)
    moved = folder.rename(folder.parent / "moved")
    found, count = read(moved)
    assert count == 0
    np.testing.assert_array_equal(found, expected())


def test_each_key_has_records_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reversed(Bytes):
        key = "reversed"

        def decode(self, data: bytes) -> np.ndarray:
            return super().decode(data)[::-1]

    read(folder)
    found, count = read(folder, Reversed())
    assert count == 40
    np.testing.assert_array_equal(found, expected()[:, ::-1])
    monkeypatch.setattr(decoded_files, "__version__", "another")
    assert read(folder)[1] == 40


def truncated(data: bytes) -> bytes:
    return data[:-100]


def shortened_records(data: bytes) -> bytes:
    return data[4:]


def flipped_record(data: bytes) -> bytes:
    return data[:50] + bytes([data[50] ^ 1]) + data[51:]


def flipped_index(data: bytes) -> bytes:
    return data[:170] + bytes([data[170] ^ 1]) + data[171:]


def no_header(data: bytes) -> bytes:
    return data.replace(b'{"key"', b'["key"')


def huge_header(data: bytes) -> bytes:
    return data[:-16] + b"\xff" * 8 + data[-8:]


def nothing(data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize(
    "damage", [truncated, shortened_records, flipped_record, flipped_index, no_header, huge_header, nothing]
)
def test_a_damaged_segment_is_made_again(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    read(folder)
    (path,) = segments(folder)
    path.write_bytes(damage(path.read_bytes()))
    found, count = read(folder)
    np.testing.assert_array_equal(found, expected())
    assert count == 40
    assert read(folder)[1] == 0


def test_what_is_read_by_content_is_checked_too(folder: Path) -> None:
    read(folder)
    (path,) = segments(folder)
    data = path.read_bytes()
    path.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    moved = folder.rename(folder.parent / "moved")
    found, count = read(moved)
    assert count == 1
    np.testing.assert_array_equal(found, expected())


def test_good_files_are_kept_beside_bad_ones(folder: Path) -> None:
    (folder / "5").write_bytes(b"abc")
    with pytest.raises(WrongValues, match="row 6 of column `x` is wrong"):
        read(folder)
    (folder / "5").write_bytes(content(5))
    found, count = read(folder)
    assert count == 1
    np.testing.assert_array_equal(found, expected())


def notes_without(folder: Path) -> list[str]:
    """What is noted by a reading that must not use the cache."""
    with FileReader(cached=True) as files:
        for _ in range(2):
            np.testing.assert_array_equal(files.read(Bytes(), entries(folder), "x", 1), expected())
    assert segments(folder) == []
    return files.notes


def test_a_folder_that_can_not_be_used_is_noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "file").write_text("")
    monkeypatch.setenv("DLC_CACHE", str(folder.parent / "file"))
    (note,) = notes_without(folder)
    assert note.startswith("decoded files are not kept for later runs: ") and "not a directory" in note
    cache = folder.parent / "cache" / "decoded"
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    monkeypatch.setenv("DLC_CACHE", str(folder.parent / "cache"))
    (note,) = notes_without(folder)
    assert "others may write" in note
    with FileReader(cached=True) as files:  # there is nothing to decode
        assert files.notes == []
    monkeypatch.setenv("DLC_CACHE", "off")
    assert notes_without(folder) == []


def test_a_full_disk_is_noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded_files._Writer, "put", full)
    (note,) = notes_without(folder)
    assert "no space left" in note.lower()
    assert not list(folder.parent.rglob("*.part"))
    monkeypatch.undo()
    monkeypatch.setenv("DLC_CACHE", str(folder.parent / "cache"))
    monkeypatch.setattr(decoded_files, "SPARE_BYTES", 1 << 60)
    (note,) = notes_without(folder)
    assert "free space" in note


def test_the_size_is_limited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size, text in (("100 B", "more than the 100 B of the cache"), ("many", "is not an amount such as `20 GB`")):
        monkeypatch.setenv("DLC_CACHE_SIZE", size)
        (note,) = notes_without(folder)
        assert text in note
    monkeypatch.setenv("DLC_CACHE_SIZE", "0")
    assert notes_without(folder) == []
    monkeypatch.delenv("DLC_CACHE_SIZE")
    read(folder)
    (path,) = segments(folder)
    monkeypatch.setenv("DLC_CACHE_SIZE", str(round(2.5 * path.stat().st_size)))
    path.unlink()
    for number, key in enumerate(("a", "b", "a", "c")):
        decoder = Bytes()
        decoder.key = key
        assert read(folder, decoder)[1] == (0 if number == 2 else 40)
        for age, path in enumerate(sorted(segments(folder), key=lambda path: -path.stat().st_mtime_ns)):
            os.utime(path, (OLD - age, OLD - age))  # seconds apart
    for key, count in (("a", 0), ("c", 0), ("b", 40)):  # that of `b` was not used for longest
        decoder = Bytes()
        decoder.key = key
        with FileReader(cached=True) as files:
            files.read(decoder, entries(folder), "x", 1)
        assert len(decoder.decoded) == count


def test_a_killed_process_leaves_nothing_that_is_used(folder: Path) -> None:
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.data.test_decoded_files import Bytes, entries
from dlc.data.decoding import FileReader
with FileReader(cached=True) as files:
    files.read(Bytes(), entries(Path({str(folder)!r})), "x", 1)
    print("read", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "read\n"
        assert len(list(folder.parent.rglob("*.part"))) == 1
        read(folder, count=20)  # does not touch what another process writes
        assert len(list(folder.parent.rglob("*.part"))) == 1
        process.send_signal(signal.SIGKILL)
    found, count = read(folder)
    assert count == 20
    np.testing.assert_array_equal(found, expected())
    assert not list(folder.parent.rglob("*.part"))


def test_the_command_lists_and_deletes(folder: Path) -> None:
    read(folder)
    root = folder.parent / "cache"
    (root / "xla" / "jaxlib-1").mkdir(parents=True)
    (root / "xla" / "jaxlib-1" / "jit_chunk-cache").write_bytes(b"x" * 2048)
    (root / "xla" / "mine.txt").write_text("")
    said = run_dlc(["cache"]).stdout
    assert f"compiled programs  {root / 'xla'}: 1 file, 2.00 KiB of at most 2.00 GiB\n" in said.replace(", of", " of")
    assert f"decoded files      {root / 'decoded'}: 1 file, 1." in said
    said = run_dlc(["cache", "clear"]).stdout
    assert f"decoded files      {root / 'decoded'}: deleted 1 file" in said
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["mine.txt"]
    assert read(folder)[1] == 40
    assert run_dlc(["cache", "empty"]).returncode == 2


def test_a_known_record_costs_no_more_than_reading_it(folder: Path) -> None:
    """Segments that are read often stay, by the time of their last use."""
    read(folder)
    (path,) = segments(folder)
    os.utime(path, (OLD, OLD))
    read(folder)
    assert path.stat().st_mtime > time.time() - 60
