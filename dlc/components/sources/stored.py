"""Arrays that stay in files: data larger than memory are read from disk, record by record or block by block."""

from __future__ import annotations

import os
import tempfile
import time
import weakref
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dlc.diagnostics import SpecError, reason
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_FAST = 5e-6  # seconds for a run of records that is in the page cache


class Stored:
    """An array in a file, in C order: it is sliced and indexed along its first axis like one in memory.

    Records are read from the file each time. Files are not memory-mapped: a truncated file would end the process, and
    its pages would count as memory of the process.

    Args:
        file: open for reading; it may be closed afterwards.
        offset: where the array starts, in bytes.
        shape: (n, ...).
        dtype: the type of its elements, not objects.
        name: the file's name in messages; None for a scratch file, which nobody else changes.
    """

    def __init__(self, file: IO[bytes], offset: int, shape: tuple[int, ...], dtype: Any, name: str | None) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(dtype), len(shape)
        self.size = prod(shape)
        self.nbytes = self.size * self.dtype.itemsize
        self._offset, self._record = offset, self.nbytes // max(1, shape[0])
        self._name, self._descriptor = name, os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._stamp = self._now()
        self._slow = False  # whether the last records came from disk, not from the page cache

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: Any) -> NDArray[Any]:
        """The records of a slice, or at an array of row numbers.

        Raises:
            SpecError: DLC401 when they can't be read, or the file has changed.
        """
        rows = np.arange(*where.indices(len(self))) if isinstance(where, slice) else np.asarray(where)
        flat = rows.reshape(-1)
        found = np.empty((len(flat), self._record), np.uint8)
        if self._name is not None and self._now() != self._stamp:
            raise self._changed()
        starts = np.flatnonzero(np.diff(flat, prepend=-2) != 1)  # of runs of consecutive records
        ends = np.append(starts, len(flat))[1:]
        offsets = (self._offset + flat[starts].astype(np.int64) * self._record).tolist()
        runs = list(zip(offsets, (starts * self._record).tolist(), (ends * self._record).tolist(), strict=True))
        if self._slow and hasattr(os, "posix_fadvise"):  # request all of them before waiting for the first
            for offset, start, end in runs:
                os.posix_fadvise(self._descriptor, offset, end - start, os.POSIX_FADV_WILLNEED)
        into, began = memoryview(found.reshape(-1).data), time.perf_counter()
        try:
            for offset, start, end in runs:
                if os.preadv(self._descriptor, [into[start:end]], offset) != end - start:
                    self._rest(into[start:end], offset)
        except OSError as error:
            message = f"`{self._name or scratch_folder()}` can't be read: {reason(error)}"
            raise SpecError.of("DLC401", message) from None
        self._slow = time.perf_counter() - began > _FAST * len(runs)
        values: NDArray[Any] = found.view(self.dtype).reshape(*rows.shape, *self.shape[1:])
        return values

    def _rest(self, into: memoryview, offset: int) -> None:
        """Read the rest after a call that returned only a part."""
        done = 0
        while done < len(into):
            count = os.preadv(self._descriptor, [into[done:]], offset + done)
            if not count:
                raise self._changed()
            done += count

    def _now(self) -> tuple[int, int, int]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns  # the last one can't be set

    def _changed(self) -> SpecError:
        hint = "start again with data that no other program writes to"
        return SpecError.of("DLC401", f"`{self._name or 'a scratch file'}` changed while it was read", hint=hint)


def scratch_folder() -> Path:
    """The folder for scratch files: `TMPDIR`, else /var/tmp, which is on disk where /tmp may not be."""
    usual = Path("/var/tmp")  # noqa: S108 - files there get no name
    if "TMPDIR" not in os.environ and os.access(usual, os.W_OK):
        return usual
    return Path(tempfile.gettempdir())


class Scratch:
    """An unnamed file that arrays are appended to. It disappears with the process, however that ends.

    Raises:
        SpecError: DLC507 when it can't be made.
    """

    def __init__(self) -> None:
        self._folder = scratch_folder()
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix="dlc-")  # noqa: SIM115 - lives with its arrays
        except OSError as error:
            raise self._cannot(error) from None
        weakref.finalize(self, self._file.close)

    def append(self, data: NDArray[Any] | bytes) -> None:
        """Add an array, or bytes.

        Raises:
            SpecError: DLC507 when the disk is full.
        """
        try:
            self._file.write(data if isinstance(data, bytes) else np.ascontiguousarray(data).view(np.uint8).data)
        except OSError as error:
            raise self._cannot(error) from None

    def array(self, shape: tuple[int, ...], dtype: Any) -> Stored:
        """All appended data as one array."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._cannot(error) from None
        return Stored(self._file, 0, shape, dtype, None)

    def _cannot(self, error: OSError) -> SpecError:
        return SpecError.of(
            "DLC507",
            f"data that don't fit memory can't be unpacked into `{self._folder}`: {reason(error)}",
            hint="set the environment variable TMPDIR to a folder with enough space, or increase `data.memory`",
        )
