"""The process's own output, which never ends what the process is at."""

from __future__ import annotations

import io
from typing import Any, TextIO


class Lasting(io.FileIO):
    """A file that is written as long as it can be; what comes after its first error is dropped.

    So a run goes on when the reader of its pipe ends, or the terminal, or the disk of its log is full.

    Args:
        number: the file's descriptor; it stays open.
    """

    error: OSError | None = None
    """What went wrong; of a pipe without a reader `BrokenPipeError`."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)

    def write(self, data: Any) -> int:
        """Write bytes, or drop them; how many were taken."""
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


def lasting(stream: TextIO) -> tuple[TextIO, Lasting | None]:
    """A stream that never fails, and its file; a stream that has none, such as a notebook's, as it is."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream, None
    stream.reconfigure(errors="backslashreplace")  # unable to show a sign: no reason to fail
    try:
        file = Lasting(stream.fileno())
    except io.UnsupportedOperation:
        return stream, None
    stream.flush()
    found = io.TextIOWrapper(
        io.BufferedWriter(file),
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    return found, file
