"""Arrays of numpy archives where they lie in the file, for those that don't fit memory."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO, Any

from dlc.lazy import np
from dlc.options import Wrong
from dlc.sources.stored import Scratch, Stored

_PIECE = 1 << 20  # bytes that are read at a time
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # PKWARE's APPNOTE.TXT 4.3.7


def stored_bytes(path: Path) -> int:
    """What the members of an archive take when they are unpacked."""
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


def first_length(path: Path) -> int:
    """How many records the first array of an archive has."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as stream:
                return _header(stream)[0][0]
    raise ValueError("no arrays")


def stored_columns(path: Path) -> dict[str, Any]:
    """The arrays of an archive, none of them in memory. What is compressed is unpacked into a scratch file.

    Raises:
        Wrong: DLC401 for an array in Fortran's order: its records lie scattered over the file.
        OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error: when the archive is damaged or
            holds what can't be mapped.
        SpecError: DLC507 when there is no room to unpack.
    """
    with zipfile.ZipFile(path) as archive:
        columns = {}
        for member in archive.infolist():
            with archive.open(member) as stream:
                shape, dtype, in_order = _header(stream)
                if not in_order:
                    message = f"the array `{member.filename.removesuffix('.npy')}` of `{path}` is not in C order"
                    hint = "save `np.ascontiguousarray(array)`, or raise `data.memory`"
                    raise Wrong("DLC401", f"{message}, and too large to be turned round", hint=hint, option="path")
                begins = stream.tell()
                if member.compress_type == zipfile.ZIP_STORED:
                    for _ in _pieces(stream):  # checks the sum that the archive holds
                        pass
                    column = _in_place(path, member, begins, shape, dtype)
                else:
                    column = _unpacked(stream, shape, dtype)
            columns[member.filename.removesuffix(".npy")] = column
        return columns


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], Any, bool]:
    """Shape, dtype, and whether the array is in C order, from the head of an .npy file."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject or not shape:
        raise ValueError("no array of numbers or texts")
    return shape, dtype, not fortran or len(shape) == 1


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    while piece := stream.read(_PIECE):
        yield piece


def _in_place(path: Path, member: zipfile.ZipInfo, begins: int, shape: tuple[int, ...], dtype: Any) -> Stored:
    if member.file_size - begins < dtype.itemsize * prod(shape):
        raise ValueError("the array is cut off")
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        head = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        data = member.header_offset + _LOCAL_HEADER.size + head[-2] + head[-1]
        return Stored(file, data + begins, shape, dtype, str(path))


def _unpacked(stream: IO[bytes], shape: tuple[int, ...], dtype: Any) -> Stored:
    scratch = Scratch()
    for piece in _pieces(stream):
        scratch.append(piece)
    return scratch.array(shape, dtype)
