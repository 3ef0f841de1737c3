"""Arrays that stay in files: what does not fit memory is read from the disk, record by record or block by block."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import weakref
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dlc.diagnostics import SpecError
from dlc.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Mapped:
    """An array in a file, in C order: it is sliced and indexed along its first axis like one in memory.

    What it gives is a copy; the pages that were read are let go at once, so that the memory of the process does not
    grow with the file.

    Args:
        file: open for reading; it may be closed afterwards.
        offset: where the array begins, bytes.
        shape: (n, ...).
        dtype: of its elements, no objects.
        name: what messages call the file; None for a file of our own, which nobody else changes.

    Raises:
        OSError: when the file can't be mapped.
    """

    def __init__(self, file: IO[bytes], offset: int, shape: tuple[int, ...], dtype: Any, name: str | None) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(dtype), len(shape)
        self.size = prod(shape)
        self.nbytes = self.size * self.dtype.itemsize
        self._name, self._descriptor = name, os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._stamp = self._now()
        self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        record = self.nbytes // shape[0] if shape[0] else 0
        # bytes are always aligned, and a record is copied in one go
        self._records = np.frombuffer(self._map, np.uint8, self.nbytes, offset).reshape(shape[0], record)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: Any) -> NDArray[Any]:
        """The records of a slice, or at an array of row numbers, as an array of its own.

        Raises:
            SpecError: DLC401 when somebody changed the file.
        """
        if self._name is not None and self._now() != self._stamp:
            raise SpecError.of(
                "DLC401",
                f"`{self._name}` changed while it was read",
                hint="begin anew with data that nothing writes to",
            )
        taken = self._records[where].copy() if isinstance(where, slice) else np.take(self._records, where, axis=0)
        if hasattr(mmap, "MADV_DONTNEED"):
            with contextlib.suppress(OSError):
                self._map.madvise(mmap.MADV_DONTNEED)
        values: NDArray[Any] = taken.view(self.dtype).reshape(*taken.shape[:-1], *self.shape[1:])
        return values

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns


def scratch_folder() -> Path:
    """Where files go that only this process needs: `TMPDIR`, else /var/tmp, which lies on a disk where /tmp may not."""
    usual = Path("/var/tmp")  # noqa: S108 - files there get no name
    if "TMPDIR" not in os.environ and os.access(usual, os.W_OK):
        return usual
    return Path(tempfile.gettempdir())


class Scratch:
    """A file without a name that arrays are appended to. It is gone when the process is, however that ends.

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

    def array(self, shape: tuple[int, ...], dtype: Any) -> Mapped:
        """All that was appended as one array."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._cannot(error) from None
        return Mapped(self._file, 0, shape, dtype, None)

    def _cannot(self, error: OSError) -> SpecError:
        return SpecError.of(
            "DLC507",
            f"data that don't fit memory can't be unpacked into `{self._folder}`: "
            f"{(error.strerror or str(error)).lower()}",
            hint="let the environment variable TMPDIR name a folder with room, or raise `data.memory`",
        )
