"""Entries of columns that name files: what a feature reads is decoded from them, record by record."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.components.wrong_values import WrongValues
from dlc.diagnostics import reason
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import np
from dlc.support.regular_files import read_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 1 << 30
"""The most bytes of a file of one record."""
SETTLED_SECONDS = 2.0
"""How long ago a file must have changed for its times to differ after the next change: FAT counts in steps of 2 s."""


@fast_dataclass(frozen=True)
class FileEntry:
    """A file that holds a part of a record.

    Args:
        path: its full path.
        name: what tables of predictions and messages call it: its path in the folder, or as a table spells it.
    """

    path: str
    name: str

    def __str__(self) -> str:
        return self.name

    def read(self) -> bytes:
        """The content.

        Raises:
            OSError: when it can't be read, is not a regular file, or is too large.
        """
        return read_whole(self.path, MOST_BYTES)

    def signature(self) -> str | None:
        """What differs after every change of the file: its path, size and times.

        None if that is not certain: when the file can't be examined, or was changed just now.
        """
        try:
            status = os.stat(self.path)  # noqa: PTH116 - a Path takes longer
        except (OSError, ValueError):
            return None
        if max(status.st_mtime, status.st_ctime) > time.time() - SETTLED_SECONDS:
            return None
        return f"{self.path}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}"


def file_entries(column: NDArray[Any], folder: Path, name: str, first_row: int) -> NDArray[Any]:
    """A column of the names of files as entries: (n,).

    Args:
        column: (n,); entries, strings, or bytes in UTF-8.
        folder: relative names start from it.
        name: the column's name.
        first_row: the number of its first record, from 1.

    Raises:
        WrongValues: DLC403 for an empty name.
    """
    found = np.empty(len(column), object)
    for index, value in enumerate(column.reshape(len(column)).tolist()):
        if isinstance(value, FileEntry):
            found[index] = value
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
