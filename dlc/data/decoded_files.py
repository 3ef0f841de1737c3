"""Decoded files on disk: what was decoded once is read in later runs.

There is a folder for each decoder, with segments. A segment is a file that is written once and never changed: the
arrays of some records, then their index, a header, and the length of the header. The index has for each record a
digest of the signature of its file (path, size, times), a digest of its content, and a checksum of the array. A file
with an unchanged signature is not even read; one with a known content is not decoded.

Segments get their name when they are complete. Truncated ones have another size than their header says, and a damaged
array has another checksum, so nothing must be synchronized with the disk. They are read like other stored arrays
(`dlc/components/sources/stored.py`), not memory-mapped.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from dlc._version import __version__
from dlc.components.features.decoder import Decoder
from dlc.components.sources.stored import Stored
from dlc.diagnostics import SpecError, human, reason
from dlc.support.amounts import bytes_in
from dlc.support.cache_folder import Contents, cache_folder, refused
from dlc.support.files import from_json
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "decoded"
VARIABLE = "DLC_CACHE_SIZE"
MOST_BYTES = 10 << 30
"""The most bytes of all segments, unless `DLC_CACHE_SIZE` is set."""
SPARE_BYTES = 1 << 30
"""The bytes of free disk space that the cache leaves to others."""
MOST_SEGMENTS = 64
"""The most segments of a decoder: all of them are open while records are read."""
DIGEST = 16  # bytes
_MARK = b"dlc-seg1"
SUFFIX = ".segment"


def digest(data: bytes) -> bytes:
    """The digest of the content or signature of a file: the first half of SHA-256, which processors compute fast."""
    return sha256(data).digest()[:DIGEST]


class Segment(NamedTuple):
    """A file of decoded records.

    Args:
        path: the file.
        records: (n, *shape).
        signatures: (n, 2) uint64: the digest of the signature of each file; 0 if it had none.
        contents: (n, 2) uint64: the digest of the content of each file.
        checksums: (n,) uint32: CRC-32 of each array.
    """

    path: Path
    records: Stored
    signatures: NDArray[Any]
    contents: NDArray[Any]
    checksums: NDArray[Any]


class DecodedFiles:
    """What one decoder has decoded, in this run and earlier ones.

    Args:
        folder: the folder of all decoders.
        decoder: the decoder.
        most: the most bytes of all segments.

    Raises:
        OSError: when the folder can't be used.
    """

    def __init__(self, folder: Path, decoder: Decoder, most: int) -> None:
        self.root, self.most = folder, most
        self.key = f"{__version__} {decoder.key}"
        self.folder = folder / digest(self.key.encode()).hex()
        self.shape, self.dtype = decoder.shape, np.dtype(decoder.dtype)
        self._record = prod(self.shape) * self.dtype.itemsize
        self.folder.mkdir(exist_ok=True, mode=0o700)
        self._segments = [found for path in self._newest() if (found := self._opened(path)) is not None]
        self._writer: _Writer | None = None
        self._contents: dict[bytes, tuple[int, int]] | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is known from earlier runs."""
        return not self._segments

    def known(self, signatures: NDArray[Any], into: NDArray[Any]) -> NDArray[np.bool_]:
        """Read the records of files with these signatures, as far as they are known.

        Args:
            signatures: (n, 2) uint64; 0 for none.
            into: (n, *shape), gets the records.

        Returns:
            (n,): which were found.
        """
        found = np.zeros(len(signatures), bool)
        for segment in list(self._segments):
            left = np.flatnonzero(~found & signatures.any(1))
            if not left.size:
                break
            order = np.argsort(segment.signatures[:, 0], kind="stable")
            ordered = segment.signatures[order, 0]
            at = np.minimum(np.searchsorted(ordered, signatures[left, 0]), len(ordered) - 1)
            same = (segment.signatures[order[at]] == signatures[left]).all(1)
            if same.any():
                found[left[same]] = self._take(segment, order[at[same]], left[same], into)
        return found

    def of_content(self, content: bytes) -> NDArray[Any] | None:
        """The record of a file with this digest of its content; None if it is not known."""
        if not self._segments:
            return None
        if self._contents is None:
            self._contents = {
                row.tobytes(): (number, index)
                for number, segment in reversed(list(enumerate(self._segments)))
                for index, row in enumerate(segment.contents)
            }
        place = self._contents.get(content)
        if place is None:
            return None
        segment, row = self._segments[place[0]], place[1]
        with suppress(SpecError):
            found: NDArray[Any] = segment.records[row : row + 1][0]
            if zlib.crc32(found.data) == segment.checksums[row]:
                return found
        return None

    def reserve(self, count: int) -> int | str:
        """Room for so many records: the number of the first for `put`; or why there is none."""
        nbytes = count * self._record
        try:
            self.folder.mkdir(exist_ok=True, mode=0o700)  # another process may delete an empty one
            self._writer = self._writer or _Writer(self.folder, self._record)
            if self._writer.count * self._record + nbytes > self.most:
                return f"they need more than the {human(self.most, 'B', 1024)} of the cache: set `{VARIABLE}`"
            if shutil.disk_usage(self.folder).free < nbytes + SPARE_BYTES:
                return f"`{self.folder}` has less than {human(SPARE_BYTES, 'B', 1024)} of free space"
            return self._writer.reserve(count)
        except OSError as error:
            return f"`{self.folder}` can't be written: {reason(error)}"

    def put(self, slot: int, digests: Sequence[bytes], values: NDArray[Any]) -> None:
        """Keep records. Several threads may do that.

        Args:
            slot: the number of the first, which `reserve` gave.
            digests: of each file: that of its signature, zeros for none, and that of its content; zeros for both if it
                can't be decoded.
            values: (n, *shape), the decoded records.

        Raises:
            OSError: when they can't be written.
        """
        assert self._writer is not None, "it was reserved"
        self._writer.put(slot, digests, values)

    def commit(self) -> None:
        """Give what was added its name, and delete what was not used for longest if there is too much."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            if not writer.used:  # no file could be decoded
                writer.discard()
                return
            writer.finish(self.folder, {"key": self.key, "shape": list(self.shape), "dtype": self.dtype.str})
        except OSError:  # it is decoded again
            writer.discard()
        prune(self.root, self.most)

    def abandon(self) -> None:
        """Forget what was added."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()

    def _newest(self) -> list[Path]:
        """The segments that were used last."""
        return [path for _, _, path in sorted(_segments(self.folder), reverse=True)[:MOST_SEGMENTS]]

    def _opened(self, path: Path) -> Segment | None:
        """A segment; None, and it is deleted, if it is not whole."""
        try:
            with path.open("rb") as file:
                found = _read_segment(file, path, self.key, self.shape, self.dtype)
            if found is None:
                path.unlink()
            else:
                os.utime(path)  # the time of its last use
        except OSError:  # another process may delete it
            return None
        return found

    def _take(
        self, segment: Segment, rows: NDArray[Any], where: NDArray[Any], into: NDArray[Any]
    ) -> NDArray[np.bool_] | bool:
        """Read rows of a segment into other rows; false if they are damaged: the segment is then deleted."""
        step = max(1, (8 << 20) // max(1, self._record))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            try:
                values = segment.records[rows[part]]
            except SpecError:  # it can't be read
                return self._drop(segment)
            wanted = segment.checksums[rows[part]].tolist()
            if [zlib.crc32(value.data) for value in values] != wanted:
                return self._drop(segment)
            into[where[part]] = values
        return True

    def _drop(self, segment: Segment) -> bool:
        self._segments = [other for other in self._segments if other is not segment]
        self._contents = None
        with suppress(OSError):
            segment.path.unlink()
        return False


def _read_segment(file: IO[bytes], path: Path, key: str, shape: tuple[int, ...], dtype: Any) -> Segment | None:
    """A segment of a decoder; None if the file is not a whole one."""
    size = os.fstat(file.fileno()).st_size
    try:
        file.seek(-16, os.SEEK_END)
        end = file.read(16)
        length = int.from_bytes(end[:8], "little")
        file.seek(-16 - length, os.SEEK_END)
        header = from_json(file.read(length))
        count, wanted = header["count"], {"key": key, "shape": list(shape), "dtype": dtype.str}
        if end[8:] != _MARK or {name: header[name] for name in wanted} != wanted or type(count) is not int:
            return None
        kind = _index_type()
        data = count * prod(shape) * dtype.itemsize
        if count < 1 or data + count * kind.itemsize + length + 16 != size:
            return None
        file.seek(data)
        index = file.read(count * kind.itemsize)
        if zlib.crc32(index) != header["index"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    rows = np.frombuffer(index, kind)
    records = Stored(file, 0, (count, *shape), dtype, None)
    return Segment(path, records, rows["signature"], rows["content"], rows["checksum"])


def _index_type() -> Any:
    """The type of an entry of the index of a segment."""
    return np.dtype([("signature", "<u8", 2), ("content", "<u8", 2), ("checksum", "<u4")])


class _Writer:
    """A segment that is being written, under a name that nobody looks for. A lock tells that its process lives.

    Records that were reserved and not put have no signature and no content that a file could have.

    Args:
        folder: its folder.
        record: the bytes of a record.

    Raises:
        OSError: when it can't be made.
    """

    def __init__(self, folder: Path, record: int) -> None:
        self._handle, name = tempfile.mkstemp(suffix=".part", dir=folder)
        self._path, self._record = Path(name), record
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        self._index = bytearray()
        self._entry: int = _index_type().itemsize

    @property
    def used(self) -> bool:
        """Whether there is a record."""
        return any(self._index)

    @property
    def count(self) -> int:
        """The number of records that were reserved."""
        return len(self._index) // self._entry

    def reserve(self, count: int) -> int:
        """Make room for records; the number of the first."""
        first = self.count
        self._index += bytes(count * self._entry)
        return first

    def put(self, slot: int, digests: Sequence[bytes], values: NDArray[Any]) -> None:
        """Write records."""
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
        self._write(data, slot * self._record)
        parts = (data[at * self._record : (at + 1) * self._record] for at in range(len(digests)))
        sums = (zlib.crc32(part).to_bytes(4, "little") for part in parts)
        zero = bytes(self._entry)
        entries = [each + total if any(each) else zero for each, total in zip(digests, sums, strict=True)]
        self._index[slot * self._entry : (slot + len(digests)) * self._entry] = b"".join(entries)

    def finish(self, folder: Path, header: dict[str, Any]) -> None:
        """Write the index, and give the file its name."""
        data = bytes(self._index)
        head = json.dumps({**header, "count": self.count, "index": zlib.crc32(data)}).encode()
        end = head + len(head).to_bytes(8, "little") + _MARK
        self._write(memoryview(data + end), self.count * self._record)
        self._path.replace(folder / f"{digest(data).hex()}{SUFFIX}")
        os.close(self._handle)

    def discard(self) -> None:
        """Delete the file."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._handle)

    def _write(self, data: memoryview, offset: int) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self._handle, data[done:], offset + done)


def _segments(folder: Path) -> list[tuple[float, int, Path]]:
    """The segments in a folder and below: time of the last use, size and path."""
    found = []
    for path in folder.rglob(f"*{SUFFIX}"):
        with suppress(OSError):  # another process may delete it
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    return found


def prune(root: Path, most: int) -> None:
    """Delete the segments that were not used for longest if there are too many, and what killed processes left."""
    room, counts = most, dict[Path, int]()
    for _, size, path in sorted(_segments(root), reverse=True):
        room -= size
        counts[path.parent] = counts.get(path.parent, 0) + 1
        if room < 0 or counts[path.parent] > MOST_SEGMENTS:
            with suppress(OSError):
                path.unlink()
    for path in root.glob("*/*.part"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its process has ended, if that succeeds
            path.unlink()
    for folder in root.glob("*/"):
        with suppress(OSError):  # it is not empty
            folder.rmdir()


def contents(root: Path) -> Contents:
    """The segments of all decoders, and what killed processes left."""
    return Contents.of([*root.glob(f"*/*{SUFFIX}"), *root.glob("*/*.part")])


def cache_size() -> int | str:
    """The most bytes of all segments; a message if `DLC_CACHE_SIZE` is no amount of memory."""
    given = os.environ.get(VARIABLE, "").strip()
    size = int(given) if given.isdecimal() else bytes_in(given) if given else MOST_BYTES
    return f"`{VARIABLE}={given}` is not an amount such as `20 GB`" if size is None else size


def usable_folder() -> Path | str | None:
    """The folder of the cache; why it can't be used; None if it is disabled."""
    try:
        folder = cache_folder(NAME) if cache_size() else None
        return folder if folder is None else refused(folder) or folder
    except OSError as error:
        return f"`{error.filename}` can't be used: {reason(error)}"
    except RuntimeError as error:  # there is no home folder
        return str(error)
