"""Text files as lines: compression and encoding are recognized by content, and what is unpacked is bounded."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from dlc.diagnostics import listing, reason
from dlc.language.options import RuleViolation

HEAD_BYTES = 1 << 16  # enough to recognize encoding and delimiter
_LONGEST_LINE = 1 << 24  # characters: longer lines are no rows of a table
_DEPTH = 3  # `t.csv.gz` in a zip archive is two

DAMAGE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""Raised while a damaged or unsupported file is unpacked."""


def unpacked_size(count: int) -> str:
    """A number of bytes for a message: decimal, as `data.memory` is written.

    >>> unpacked_size(2_500_000_000)
    '2.5 GB'
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


class Bounded(io.RawIOBase):
    """A stream that is being unpacked. Reading more than `limit` bytes of it is an error.

    Args:
        stream: the stream.
        limit: the most bytes.
        path: the file, for the message.

    Raises:
        RuleViolation: DLC401, when the limit is exceeded; on reading.
    """

    def __init__(self, stream: IO[bytes], limit: int, path: Path) -> None:
        self._stream, self._left, self._limit, self._path = stream, limit, limit, path

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read at most as many bytes as the buffer holds."""
        data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._path, self._limit)
        buffer[: len(data)] = data
        return len(data)


def too_large(path: Path, limit: int) -> RuleViolation:
    """The error of a compressed file that takes too much memory."""
    return RuleViolation(
        "DLC401",
        f"`{path}` unpacks to more than the allowed memory",
        expected=f"at most {unpacked_size(limit)}",
        hint="unpack the file first, or increase `data.memory`",
        option="path",
    )


def _inside_zip(file: IO[bytes], path: Path) -> Any:
    """The only file in an archive.

    Raises:
        RuleViolation: DLC401 when there are several, or none, or when the archive is compressed itself.
    """
    if not file.seekable():  # its directory is at its end
        message, hint = f"`{path}` holds a zip archive that is compressed again", "unpack it, and name the zip archive"
        raise RuleViolation("DLC401", message, hint=hint, option="path")
    archive = zipfile.ZipFile(file)
    hidden = ("__MACOSX/", ".")
    members = [item for item in archive.infolist() if not item.is_dir() and not item.filename.startswith(hidden)]
    names = [member.filename for member in members]
    if members and all(name.endswith(".npy") for name in names):
        message = f"`{path}` is a numpy archive, not a text file"
        raise RuleViolation("DLC401", message, hint=f"read it with `npz: {path.name}`", option="path")
    if len(members) != 1:
        message = f"`{path}` is an archive of {len(members)} files" if members else f"`{path}` is an empty archive"
        found, hint = listing(names, 6) or None, "unpack the archive, and name one of its files"
        raise RuleViolation("DLC401", message, found=found, expected="one file", hint=hint, option="path")
    return archive.open(members[0])


def _gunzipped(file: IO[bytes], path: Path) -> Any:  # noqa: ARG001 - like the others
    return gzip.GzipFile(fileobj=file)


def _bunzipped(file: IO[bytes], path: Path) -> Any:  # noqa: ARG001 - like the others
    return bz2.BZ2File(file)


def _unxzed(file: IO[bytes], path: Path) -> Any:  # noqa: ARG001 - like the others
    return lzma.LZMAFile(file)


_FORMATS: tuple[tuple[bytes, Callable[[IO[bytes], Path], Any]], ...] = (
    (b"\x1f\x8b", _gunzipped),
    (b"BZh", _bunzipped),
    (b"\xfd7zXZ\0", _unxzed),
    (b"PK\3\4", _inside_zip),
    (b"PK\5\6", _inside_zip),
)


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed with gzip, bzip2 or xz."""
    with open(path, "rb") as file:
        head = file.read(8)
    return any(head.startswith(magic) for magic, opener in _FORMATS if opener is not _inside_zip)


_UNREADABLE = (
    (0, b"(\xb5/\xfd", "compressed with Zstandard"),
    (0, b"7z\xbc\xaf'\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\x1f\x9d", "compressed with `compress`"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"\x93NUMPY", "a numpy array"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"%PDF", "a PDF file"),
    (0, b"\xd0\xcf\x11\xe0", "a Microsoft Office file"),
    (257, b"ustar", "a tar archive"),
)


@contextmanager
def unpacked(path: Path, limit: int | None) -> Iterator[io.BufferedReader]:
    """The content of a file, which may be compressed with gzip, bzip2 or xz, or be the only file of a zip archive.

    Args:
        path: the file.
        limit: the most bytes that may come out of a compressed file; unbounded if None.

    Raises:
        RuleViolation: DLC401 for other archives. Reading raises it when the limit is exceeded.
        OSError: and the others of `DAMAGE`, when the file can't be read; reading may raise them as well.
    """
    with ExitStack() as stack:
        file: Any = stack.enter_context(open(path, "rb", HEAD_BYTES))
        for _ in range(_DEPTH):
            head = file.peek(HEAD_BYTES)
            opener = next((opener for magic, opener in _FORMATS if head.startswith(magic)), None)
            if opener is None:
                break
            stream = stack.enter_context(opener(file, path))
            file = io.BufferedReader(Bounded(stream, sys.maxsize if limit is None else limit, path), HEAD_BYTES)
        else:
            if any(file.peek(HEAD_BYTES).startswith(magic) for magic, _ in _FORMATS):
                message = f"`{path}` is compressed more than {_DEPTH} times"
                raise RuleViolation("DLC401", message, hint="unpack it", option="path")
        head = file.peek(HEAD_BYTES)
        for start, magic, what in _UNREADABLE:
            if head[start : start + len(magic)] == magic:
                hint = "unpack it, and name the file with the table" if "archive" in what or "comp" in what else None
                raise RuleViolation("DLC401", f"`{path}` is {what}, not a text file", hint=hint, option="path")
        yield file


def need_fit(path: Path, limit: int | None) -> None:
    """Check that a compressed file unpacks to at most `limit` bytes, before its text is parsed.

    Unpacking takes a tenth of the time of parsing: a small file that unpacks to gigabytes is refused soon. Other
    damage is reported by whoever reads the file.

    Raises:
        RuleViolation: DLC401.
    """
    if limit is None:
        return
    with suppress(*DAMAGE), unpacked(path, limit) as file:
        while isinstance(file.raw, Bounded) and file.read(_PIECE):
            pass


_PIECE = 1 << 20  # bytes that are unpacked at a time
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(head: bytes, declared: str = "auto") -> str:
    """The encoding of a text by its byte order mark; without one, UTF-16 by its zero bytes, else UTF-8.

    Args:
        head: the beginning of the text.
        declared: the option `encoding` of a source.

    >>> encoding_of("a,b".encode("utf-16")), encoding_of("a,b".encode("utf-16-be")), encoding_of(b"a,b")
    ('utf-16', 'utf-16-be', 'utf-8')
    """
    if declared not in ("auto", "utf-16"):
        return "utf-8-sig" if declared == "utf-8" else declared
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if marked is not None:
        return marked
    even, odd, half = head[::2].count(0), head[1::2].count(0), len(head) // 2
    if half and odd > half // 2 > even:
        return "utf-16-le"
    if half and even > half // 2 > odd:
        return "utf-16-be"
    return "utf-16-le" if declared == "utf-16" else "utf-8"


def lines_of(file: io.BufferedReader, encoding: str, path: Path) -> Iterator[str]:
    """The lines of a text with their ends.

    Raises:
        RuleViolation: DLC401 for a line that is too long for a row of a table.
        UnicodeDecodeError: when the text has another encoding.
    """
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        while line := text.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE:
                message = f"`{path}` has a line of more than {_LONGEST_LINE:,} characters"
                raise RuleViolation("DLC401", message, expected="a text with shorter lines", option="path")
            yield line
    finally:
        if not file.closed:  # the caller closes it
            text.detach()


def lines_before(path: Path, position: int) -> int:
    """The number of line ends before a position in the bytes of a text, which may be compressed.

    A line ends with a line feed, a carriage return, or both.
    """
    lines, before = 0, b""
    with unpacked(path, None) as file:
        while position and (data := file.read(min(position, _PIECE))):
            position -= len(data)
            lines += data.count(b"\n") + data.count(b"\r") - (before + data).count(b"\r\n")
            before = data[-1:]
    return lines


def undecodable_line(file: IO[bytes], encoding: str) -> int | None:
    """The number of the first line that is not in an encoding, from 1; None if only the end of the last one is not.

    A line ends with a line feed, a carriage return, or both.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    line, returned = 1, False  # whether the last character was a carriage return
    while chunk := file.read(HEAD_BYTES):
        before = decoder.getstate()
        try:
            texts = iter([decoder.decode(chunk)])
        except UnicodeError:
            decoder.setstate(before)
            texts = (decoder.decode(bytes([byte])) for byte in chunk)
        try:
            for text in texts:
                ends = text.count("\n") + text.count("\r") - text.count("\r\n")
                line += ends - (returned and text.startswith("\n"))
                returned = text.endswith("\r") if text else returned
        except UnicodeError:
            return line
    return None


def undecodable(path: Path, encoding: str, declared: str) -> RuleViolation:
    """The error of a file in another encoding, with the line that shows it.

    Args:
        path: the file.
        encoding: the encoding that it was read with.
        declared: the option `encoding`.
    """
    with reported(path), unpacked(path, None) as file:
        line = undecodable_line(file, encoding)
    where, end = (f"line {line} of ", "") if line is not None else ("", ", or it is incomplete")
    kind = re.sub("-(SIG|LE|BE)$", "", encoding.upper()) if encoding.startswith("utf") else encoding
    message = f"{where}`{path}` is not {kind} text{end}"
    others = "`encoding: cp1252` or `latin-1`" if kind == "UTF-8" else "`encoding: latin-1`"
    hint: str | None = f"set {others}, or remove `encoding`: UTF-8 and UTF-16 are recognized"
    if declared == "auto":
        hint = f"set {others}, or save it as UTF-8" if kind == "UTF-8" else None
    return RuleViolation("DLC401", message, hint=hint, option="path" if declared == "auto" else "encoding")


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Report a file that can't be read or unpacked as DLC401."""
    try:
        yield
    except DAMAGE as error:
        why = reason(error)
        raise RuleViolation("DLC401", f"`{path}` can't be read: {why[:1].lower()}{why[1:]}", option="path") from None
