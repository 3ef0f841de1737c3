"""Entries of columns that stand for the content of files: features decode it, record by record."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.components.wrong_values import WrongValues
from dlc.diagnostics import reason
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import np
from dlc.support.regular_files import open_regular, read_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 1 << 30
"""The most bytes of a file of one record."""
SETTLED_SECONDS = 2.0
"""How long ago a file must have changed for its times to differ after the next change: FAT counts in steps of 2 s."""


class Entry:
    """The content of a file that holds a part of a record, wherever it is.

    Args:
        name: what tables of predictions and messages call it.
    """

    name: str

    def __str__(self) -> str:
        return self.name

    def read(self) -> bytes:
        """The content.

        Raises:
            OSError: when it can't be read, is not a regular file, or is too large.
        """
        raise NotImplementedError

    def signature(self) -> str | None:
        """What differs after every change of the content; None if nothing does for certain."""
        return None


@fast_dataclass(frozen=True)
class FileEntry(Entry):
    """A file.

    Args:
        path: its full path.
        name: its path in a folder, or as a table spells it.
    """

    path: str
    name: str

    def read(self) -> bytes:
        """The content."""
        return read_whole(self.path, MOST_BYTES)

    def signature(self) -> str | None:
        """The file's path, size and times.

        None if it can't be examined, or was changed just now.
        """
        try:
            status = os.stat(self.path)  # noqa: PTH116 - a Path takes longer
        except (OSError, ValueError):
            return None
        if max(status.st_mtime, status.st_ctime) > time.time() - SETTLED_SECONDS:
            return None
        return f"{self.path}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}"


@fast_dataclass(frozen=True)
class ArchiveEntry(FileEntry):
    """A file that is a part of another one: a member of an archive that does not compress.

    Args:
        path: the full path of the archive.
        name: the name of the member, after that of the archive.
        offset: where its content starts in the archive, in bytes.
        size: the length of its content in bytes.
    """

    offset: int
    size: int

    def read(self) -> bytes:
        """The content."""
        if self.size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"it has {self.size:,} bytes; at most {MOST_BYTES:,} are read", self.path)
        file, size = open_regular(self.path)
        with file:
            if self.offset + self.size > size:
                raise OSError(errno.EIO, "the archive is shorter than when it was listed", self.path)
            file.seek(self.offset)
            return file.read(self.size)

    def signature(self) -> str | None:
        """That of the archive, and the place of the content in it."""
        archive = super().signature()
        return None if archive is None else f"{archive}\0{self.offset}\0{self.size}"


@fast_dataclass(frozen=True)
class BytesEntry(Entry):
    """A file whose content is in a table.

    Args:
        data: the content.
        name: the column and the row.
    """

    data: bytes
    name: str

    def read(self) -> bytes:
        """The content."""
        return self.data


def file_entries(column: NDArray[Any], folder: Path, name: str, first_row: int) -> NDArray[Any]:
    """A column of files as entries: (n,).

    Args:
        column: (n,); entries, names of files, or objects of bytes, which are contents.
        folder: relative names start from it.
        name: the column's name.
        first_row: the number of its first record, from 1.

    Raises:
        WrongValues: DLC403 for an empty name, or an empty content.
    """
    found = np.empty(len(column), object)
    for index, value in enumerate(column.reshape(len(column)).tolist()):
        if isinstance(value, Entry):
            found[index] = value
            continue
        if isinstance(value, bytes) and value and column.dtype.kind == "O":
            found[index] = BytesEntry(value, f"the content in row {first_row + index}")
            continue
        text = os.fsdecode(value) if isinstance(value, bytes) else str(value or "").strip()
        if not text or "\0" in text:
            counts = {"an empty field" if not text else repr(text): 1}
            raise WrongValues("DLC403", "is not the name of a file", name, first_row + index, counts)
        found[index] = FileEntry(str(folder / text), text)
    return found


def unreadable(error: Exception) -> str:
    """Why a file can't be read, for a message."""
    why = reason(error)
    return why[:1].lower() + why[1:]
