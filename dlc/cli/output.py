"""Standard output and standard error that never fail: a process goes on when nobody reads them."""

from __future__ import annotations

import io
from typing import Any, TextIO


class Lasting(io.FileIO):
    """A file that drops everything after its first error.

    So a run goes on when the reader of its pipe or the terminal is closed, or the disk of its log is full.

    Args:
        number: the file descriptor; it stays open.
    """

    error: OSError | None = None
    """The first error; `BrokenPipeError` for a pipe without a reader."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)

    def write(self, data: Any) -> int:
        """Write bytes, or drop them; the number of bytes."""
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


def lasting(stream: TextIO) -> tuple[TextIO, Lasting | None]:
    """A stream that never fails, and its file; a stream without a file, such as a notebook's, is returned unchanged."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream, None
    stream.reconfigure(errors="backslashreplace")  # a character that can't be shown is no reason to fail
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
