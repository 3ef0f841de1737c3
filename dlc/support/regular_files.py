"""Reading regular files: no pipes, devices or files of `/proc`, and no more than fits into memory."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

from dlc.support.machine import fitting_bytes


def open_regular(path: Path | str) -> tuple[IO[bytes], int]:
    """A regular file, opened for reading, and its size.

    The files of `/proc` have no size: they are read as empty files.

    Raises:
        OSError: when it can't be opened, or is not a regular file: a pipe would block, a device may never end.
    """
    handle, size = _opened(path)
    return open(handle, "rb"), size


def _opened(path: Path | str) -> tuple[int, int]:
    """A descriptor of a regular file, and its size."""
    _need_regular(os.stat(path), path)  # noqa: PTH116 - even opening a device may have an effect; a Path takes longer
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        _need_regular(status, path)
        return handle, status.st_size
    except BaseException:
        os.close(handle)
        raise


def _need_regular(status: os.stat_result, path: Path | str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def read_whole(path: Path | str, most: int | None = None) -> bytes:
    """The bytes of a regular file, no more than it has when it is opened.

    Args:
        path: the file.
        most: the most bytes that it may have; as many as fit into memory when None.

    Raises:
        OSError: when it can't be read, is not a regular file, or is too large.
    """
    handle, size = _opened(path)
    try:
        limit = most if most is not None else fitting_bytes()
        if size > limit:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes; at most {limit:,} are read", str(path))
        found = os.read(handle, size)
        while len(found) < size and (more := os.read(handle, size - len(found))):  # it may return less than asked for
            found += more
        return found
    finally:
        os.close(handle)
