"""Arrays of numpy archives, in memory or, if they don't fit, left in the file."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from dlc.components.sources.packed import is_compressed
from dlc.components.sources.source import Columns
from dlc.components.sources.stored import Scratch, Stored, scratch_folder
from dlc.diagnostics import listing, reason
from dlc.language.options import RuleViolation
from dlc.support.lazy import np
from dlc.support.machine import fitting_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PIECE = 1 << 20  # bytes that are read at a time
_HEADER = 10_000  # bytes of the header of an array, at most: the limit of numpy
_HARMLESS = 64 << 20  # bytes that any archive may unpack to
MOST_GROWTH = 200
"""How many times its size an archive may grow when it is unpacked. Zeros grow 1,000 times."""
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # PKWARE's APPNOTE.TXT 4.3.7
_DAMAGE = (
    OSError,
    ValueError,
    OverflowError,
    EOFError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)  # raised while reading a member of an archive


class Head(NamedTuple):
    """The header of an array: its shape and dtype, and whether its elements are in C order."""

    shape: tuple[int, ...]
    dtype: Any
    in_order: bool

    @property
    def nbytes(self) -> int:
        """The size of the elements in bytes."""
        return int(self.dtype.itemsize) * prod(self.shape)


def first_length(path: Path) -> int | None:
    """The number of records of the first array of an archive; None without arrays, or for a single value.

    Raises:
        RuleViolation: DLC401 when the archive or the array is damaged.
    """
    with _opened(path) as archive:
        for member in archive.infolist():
            with _member(archive, member, path) as (_, head):
                return head.shape[0] if head.shape else None
    return None


def read_archive(path: Path, room: int | None) -> Columns:
    """The arrays of an archive, with one entry per record; `read_columns` says where they are.

    Raises:
        RuleViolation: DLC401 when it is no archive of such arrays.
    """
    try:
        if not zipfile.is_zipfile(path):
            with open(path, "rb") as file:
                single = file.read(6) == b"\x93NUMPY"
            what = "holds a single array, not an archive" if single else "is not a numpy archive"
            hint = "write one with `np.savez(path, image=..., label=...)`"
            hint = f"read it with `npy: {path.name}`" if single else hint
            if is_compressed(path):
                what = "is compressed"
                hint = "unpack it; `np.savez_compressed` writes an archive that is compressed itself"
            raise RuleViolation(
                "DLC401", f"`{path}` {what}", expected="a file written by np.savez", hint=hint, option="path"
            )
    except OSError as error:
        raise RuleViolation("DLC401", f"`{path}` is not a numpy archive: {reason(error)}", option="path") from None
    return same_length(read_columns(path, room), path)


def same_length(columns: dict[str, Any], path: Path | str) -> Columns:
    """The columns, if all have one entry per record and records are not empty.

    Raises:
        RuleViolation: DLC401 when they don't.
    """
    lengths = {name: column.shape[0] if column.ndim else None for name, column in columns.items()}
    if not columns or len(set(lengths.values())) != 1 or None in lengths.values():
        spelt = [f"`{name}` {'a single value' if count is None else count}" for name, count in lengths.items()]
        found = ", ".join(spelt[:12]) + (f" and {len(spelt) - 12} more" if len(spelt) > 12 else "")
        message = f"the arrays of `{path}` have different lengths"
        raise RuleViolation(
            "DLC401", message, found=found or "no arrays", expected="one entry per record", option="path"
        )
    if any(lengths.values()) and not any(column.nbytes for column in columns.values()):
        raise RuleViolation("DLC401", f"the records of `{path}` are empty", option="path")
    return columns


def read_columns(path: Path, room: int | None) -> dict[str, Any]:
    """The arrays of an archive.

    In memory if all of them take at most `room` bytes, or it is None; else they stay in the file, and compressed ones
    are unpacked into a scratch file.

    Raises:
        RuleViolation: DLC401 when the archive is damaged, when it holds anything but arrays of numbers and strings, and
            for an array in Fortran order that is not read into memory: its records are scattered over the file.
        SpecError: DLC507 when there is no room to unpack.
    """
    columns: dict[str, Any] = {}
    column: Any
    with _opened(path) as archive:
        members = archive.infolist()
        _need_once(members, path)
        size = sum(member.file_size for member in members)
        in_memory = room is None or size <= room
        _need_room(members, size, path, room)
        for member in members:
            with _member(archive, member, path) as (stream, head):
                if in_memory or not head.shape:
                    column = _loaded(stream, head)
                elif not head.in_order:
                    raise _scattered(f"the array `{_name(member)}` of `{path}`")
                elif member.compress_type == zipfile.ZIP_STORED:
                    column = _in_place(stream, head, path, member)
                else:
                    column = _unpacked(stream, head)
            columns[_name(member)] = column
    return columns


def _need_room(members: Sequence[zipfile.ZipInfo], size: int, path: Path, room: int | None) -> None:
    """Check, before anything is unpacked, that the arrays fit where they go: into memory, or into a scratch file.

    An archive that grows many times when it is unpacked is not data that somebody wants to train on.

    Raises:
        RuleViolation: DLC401.
    """
    packed = [member for member in members if member.compress_type != zipfile.ZIP_STORED]
    unpacked = sum(member.file_size for member in packed)
    most, hint = room, "save them with `np.savez`, which does not compress, or increase `data.memory`"
    if room is None:
        most, hint = fitting_bytes(), "use a part of the records"
    elif size <= room or unpacked <= max(_HARMLESS, MOST_GROWTH * sum(member.compress_size for member in packed)):
        free = shutil.disk_usage(scratch_folder()).free
        if size <= room or unpacked <= free:
            return
        most, hint = free, "set the environment variable TMPDIR to a folder with enough space"
    if most is not None and size > most:
        message = f"the arrays of `{path}` take more than the allowed memory"
        found, expected = f"{size / 10**9:.3g} GB", f"at most {most / 10**9:.3g} GB"
        raise RuleViolation("DLC401", message, found=found, expected=expected, hint=hint, option="path")


def _need_once(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    """Check that no two arrays have the same name.

    Raises:
        RuleViolation: DLC401, naming the duplicates.
    """
    twice = [name for name, count in Counter(map(_name, members)).items() if count > 1]
    if twice:
        raise RuleViolation("DLC401", f"`{path}` has duplicate array names", found=listing(twice, 8), option="path")


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with _reported(f"`{path}` is not a numpy archive"), zipfile.ZipFile(path) as archive:
        yield archive


@contextmanager
def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Iterator[tuple[IO[bytes], Head]]:
    """One array of an archive: its stream, positioned at the first element, and its header."""
    what = f"the array `{_name(member)}` of `{path}`"
    with _reported(f"{what} can't be read"), archive.open(member) as stream:
        yield stream, _head(stream, member.file_size, what, f"`{_name(member)}` in `{path}`", "np.savez")


@contextmanager
def _reported(message: str) -> Iterator[None]:
    """Report errors inside the context as DLC401."""
    try:
        yield
    except _DAMAGE as error:
        raise RuleViolation("DLC401", f"{message}: {reason(error)}", option="path") from None


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def read_array(path: Path, room: int | None) -> Any:
    """The array of an .npy file: in memory if it takes at most `room` bytes or that is None, else left in the file.

    Raises:
        RuleViolation: DLC401 when it is no such file, or damaged; for an array in Fortran order as by `read_columns`.
    """
    with _reported(f"`{path}` can't be read"), open(path, "rb") as file:
        if is_compressed(path):
            raise RuleViolation("DLC401", f"`{path}` is compressed", hint="unpack it", option="path")
        size = os.fstat(file.fileno()).st_size
        head = _head(file, size, f"`{path}`", f"`{path}`", "np.save")
        if room is None or size <= room or not head.shape:
            return _loaded(file, head)
        if not head.in_order:
            raise _scattered(f"the array in `{path}`")
        return Stored(file, file.tell(), head.shape, head.dtype, str(path))


def array_in(data: bytes, where: str) -> NDArray[Any]:
    """The array of the content of an .npy file.

    Args:
        data: the content.
        where: what messages call the file.

    Raises:
        RuleViolation: DLC401 when it is none, or damaged.
    """
    with _reported(f"{where} can't be read"):
        stream = io.BytesIO(data)
        return _loaded(stream, _head(stream, len(data), where, where, "np.save"))


def array_length(path: Path) -> int | None:
    """The number of records of the array of an .npy file; None for a single value.

    Raises:
        RuleViolation: DLC401 when it is no such file, or damaged.
    """
    with _reported(f"`{path}` can't be read"), open(path, "rb") as file:
        shape = _head(file, os.fstat(file.fileno()).st_size, f"`{path}`", f"`{path}`", "np.save").shape
        return shape[0] if shape else None


def _scattered(what: str) -> RuleViolation:
    """The error of an array whose records are scattered over the file."""
    hint = "save `np.ascontiguousarray(array)`, or increase `data.memory`"
    message = f"{what} is not in C order, and too large to reorder in memory"
    return RuleViolation("DLC401", message, hint=hint, option="path")


def _head(stream: IO[bytes], size: int, what: str, where: str, writer: str) -> Head:
    """The header of an .npy file.

    Args:
        stream: the file.
        size: its length in bytes.
        what: what messages call the array.
        where: what they call the file.
        writer: the function that writes such files.

    Raises:
        RuleViolation: DLC401 when it is not an .npy file, or the array holds Python objects.
        ValueError: when it is damaged, or declares more elements than there are.
    """
    magic = stream.read(np.lib.format.MAGIC_LEN)
    if not magic.startswith(np.lib.format.MAGIC_PREFIX):
        message, expected = f"{where} is not an array", f"a file written by {writer}"
        raise RuleViolation("DLC401", message, expected=expected, option="path")
    old = magic[-2:] == b"\1\0"
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    length = stream.read(2 if old else 4)
    if int.from_bytes(length, "little") > _HEADER:
        raise ValueError("its header is too long")
    try:
        shape, fortran, dtype = read(io.BytesIO(length + stream.read(int.from_bytes(length, "little"))))
        np.empty((0, *shape[1:]), dtype)  # raises if such records can't exist
    except Exception:  # a header is a Python literal: numpy passes on any parsing error
        raise ValueError("its header is damaged") from None
    if dtype.hasobject:
        hint = "save strings as `array.astype(str)`, numbers as `array.astype(float)`"
        message = f"{what} holds Python objects"
        raise RuleViolation("DLC401", message, expected="numbers or strings", hint=hint, option="path")
    head = Head(shape, dtype, not fortran or len(shape) == 1)
    _whole(head, size - stream.tell())
    return head


def _whole(head: Head, held: int) -> None:
    """Check that the file has enough bytes for the array."""
    if not 0 <= head.nbytes <= held:
        raise ValueError(f"its shape {head.shape} needs {head.nbytes} bytes, but it holds {max(0, held)}")


def _pieces(stream: IO[bytes], head: Head) -> Iterator[bytes]:
    """The rest of the stream; at its end the archive's checksum is verified."""
    held = 0
    while piece := stream.read(_PIECE):
        held += len(piece)
        yield piece
    _whole(head, held)


def _loaded(stream: IO[bytes], head: Head) -> NDArray[Any]:
    data, start = np.empty(head.nbytes, np.uint8), 0
    for piece in _pieces(stream, head):
        part = data[start : start + len(piece)]
        part[:] = np.frombuffer(piece, np.uint8, len(part))
        start += len(part)
    return np.ndarray(head.shape, head.dtype, data, order="C" if head.in_order else "F")


def _in_place(stream: IO[bytes], head: Head, path: Path, member: zipfile.ZipInfo) -> Stored:
    begins = stream.tell()
    for _ in _pieces(stream, head):
        pass
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        local = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        data = member.header_offset + _LOCAL_HEADER.size + local[-2] + local[-1]
        return Stored(file, data + begins, head.shape, head.dtype, str(path))


def _unpacked(stream: IO[bytes], head: Head) -> Stored:
    scratch = Scratch()
    for piece in _pieces(stream, head):
        scratch.append(piece)
    return scratch.array(head.shape, head.dtype)
