"""Files that are whole or absent: temporary name, fsync, rename; and digests."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from dlc.diagnostics import SpecError, reason
from dlc.support.regular_files import read_whole

unfinished: set[Path] = set()
"""Files that are being written: a process that ends at once removes them first."""


def write_atomic(path: Path, data: bytes, *, follow: bool = False) -> None:
    """Write a file so that a crash leaves the old or the new file, never a partial one.

    Args:
        path: the file.
        data: its content.
        follow: whether to write to where a symbolic link points; otherwise the file replaces the link.

    Raises:
        SpecError: DLC507 when it can't be written.
    """
    try:
        if follow and path.is_symlink():  # a link to itself is replaced
            path = Path(os.path.realpath(path))
        if (follow or not path.is_symlink()) and path.exists() and not path.is_file():
            raise SpecError.of(
                "DLC507", f"can't write `{path}`: it is not a regular file", hint="choose another file name"
            )
        _write_through(path, data)
    except OSError as error:
        raise cannot_write(path, error) from None


def _write_through(path: Path, data: bytes) -> None:
    # The name may have the maximum length, so that of the temporary file is its digest.
    part = path.with_name(f".{digest(os.fsencode(path.name))[:16]}.{os.getpid()}.part")
    unfinished.add(part)
    try:
        with suppress(FileNotFoundError):  # a link of that name would be followed
            part.unlink()
        with open(part, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):  # there may be none
            part.unlink()
        raise
    finally:
        unfinished.discard(part)


class Log:
    """A file of JSON lines that only grows, and the digest of its content.

    Lines that follow each other within `SECONDS` are written together: with epochs of milliseconds, opening the file
    would cost more than what is written.

    Args:
        path: the file; it is created or emptied by `begin`, truncated to an earlier position by `rewind`.
    """

    SECONDS = 0.5
    clock = staticmethod(time.monotonic)

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hash = hashlib.sha256()
        self._length = 0
        self._waiting: list[bytes] = []
        self._at = -math.inf  # when lines were written last

    @property
    def mark(self) -> dict[str, Any]:
        """The position and digest at the end of what is written now, for `rewind`: no line waits.

        Raises:
            SpecError: DLC507 when lines can't be written.
        """
        self.flush()
        return {"bytes": self._length, "sha256": self._hash.hexdigest()}

    def begin(self) -> None:
        """Empty the file."""
        write_atomic(self.path, b"")

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a line. It is written at once, or with the next ones if the last ones were written just now.

        Raises:
            SpecError: DLC507 when it can't be written.
        """
        self._waiting.append((json.dumps(plain(record), allow_nan=False) + "\n").encode())
        if self.clock() - self._at >= self.SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the lines that wait. Those that can't be written are dropped.

        Raises:
            SpecError: DLC507 when they can't be written.
        """
        if not self._waiting:
            return
        lines, self._waiting = b"".join(self._waiting), []
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(self.path, flags, 0o666), "ab") as file:
                file.write(lines)
        except OSError as error:
            raise cannot_write(self.path, error) from None
        self._hash.update(lines)
        self._length += len(lines)
        self._at = self.clock()

    def rewind(self, mark: Mapping[str, Any]) -> list[dict[str, float]]:
        """Truncate the file to an earlier position; returns the records before it.

        Raises:
            SpecError: DLC503 when the content up to there has changed.
        """
        data = self.check(mark)
        write_atomic(self.path, data)
        self._hash, self._length = hashlib.sha256(data), len(data)
        try:
            return history_of(data)
        except ValueError as error:
            raise SpecError.of("DLC503", f"`{self.path}` is damaged: {reason(error)}") from None

    def check(self, mark: Mapping[str, Any], last: bool = False) -> bytes:
        """The content up to an earlier position; with `last`, nothing may follow it.

        Raises:
            SpecError: DLC503 when the content has changed.
        """
        try:
            data = read_whole(self.path)[: None if last else mark["bytes"]]
        except OSError as error:
            raise SpecError.of("DLC503", f"`{self.path}` can't be read: {reason(error)}") from None
        if digest(data) != mark["sha256"]:
            raise SpecError.of(
                "DLC503",
                f"`{self.path}` is damaged: its content has changed since it was written",
                hint="restore the file, or train again in another folder with `--run`",
            )
        return data


def history_of(data: bytes) -> list[dict[str, float]]:
    """The lines of `metrics.jsonl`: numbers by name, NaN for null. Epochs are numbered from 1.

    Raises:
        ValueError: when a line holds anything else.
    """
    found = []
    for number, line in enumerate(data.decode().splitlines(), 1):
        record = from_json(line)
        if not isinstance(record, dict) or not {"epoch", "step"} <= record.keys():
            raise ValueError(f"line {number} is not a record of an epoch")
        for name, value in record.items():
            whole = name in ("epoch", "step")
            if not name.isprintable() or len(name) > 1000:
                raise ValueError(f"line {number} has a name that is not valid")
            if type(value) is not int and (whole or (value is not None and type(value) is not float)):
                raise ValueError(f"`{name}` in line {number} is not a number")
            if value is not None and not abs(value) < (2**53 if whole else math.inf):
                raise ValueError(f"`{name}` in line {number} is out of range")
        found.append(figures(record))
    epochs = [record["epoch"] for record in found if "train/loss" in record]
    if epochs != list(range(1, len(epochs) + 1)):
        raise ValueError("epochs are missing")
    return found


def plain(value: Any) -> Any:
    """A value for JSON: null for numbers that are not finite, such as a metric without a value.

    >>> plain({"loss": 0.5, "roc_auc": float("nan")})
    {'loss': 0.5, 'roc_auc': None}
    """
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def figures(record: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by name, read from JSON: NaN for null."""
    return {name: math.nan if value is None else value for name, value in record.items()}


def sync_folder(path: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_write(path: Path, error: OSError) -> SpecError:
    """The diagnostic for a failed write."""
    hint = "free disk space, or choose another path" if error.errno == errno.ENOSPC else "choose another path"
    return SpecError.of("DLC507", f"can't write `{path}`: {reason(error)}", hint=hint)


def cannot_use(error: OSError, path: Path) -> SpecError:
    """The diagnostic for an unexpected file error; `path` is the folder in use."""
    at = Path(error.filename) if isinstance(error.filename, str) else path
    hint = "check its permissions and the free disk space"
    return SpecError.of("DLC507", f"can't use `{at}`: {reason(error)}", hint=hint)


def digest(data: bytes) -> str:
    """SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def to_json(value: Any) -> bytes:
    """Stable JSON: keys as given, two spaces, a newline at the end; null for numbers that are not finite."""
    return (json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode()


def from_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: when it is not valid JSON, is nested too deeply, or has a string that is not valid Unicode.
    """
    try:
        found = json.loads(text, parse_constant=_no_number)
        if _SURROGATE.search(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")):
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("a string in it is not valid Unicode") from None
    return found


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")  # half of a pair, escaped or as bytes


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"`{text}` is not a number")


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        SpecError: DLC503 when it is not valid JSON, DLC502 when it is missing.
    """
    try:
        return from_json(read_whole(path))
    except FileNotFoundError:
        raise SpecError.of("DLC502", f"`{path}` is missing") from None
    except OSError as error:
        raise SpecError.of("DLC503", f"`{path}` can't be read: {reason(error)}") from None
    except ValueError as error:
        raise SpecError.of("DLC503", f"`{path}` is damaged: {error}") from None


def pack(arrays: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> bytes:
    """Arrays as a safetensors file, the same bytes every time, with a digest that `unpack` checks.

    The arrays are made contiguous: safetensors silently writes others wrongly. The metadata is stored as one JSON
    entry, `dlc`: safetensors writes several entries in an order that changes from run to run.
    """
    import numpy as np
    from safetensors.numpy import save

    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return save(ordered, {"dlc": json.dumps({**(metadata or {}), "sha256": _digest(ordered)})})


def unpack(data: bytes, path: Path) -> dict[str, Any]:
    """The arrays of a safetensors file.

    Raises:
        SpecError: DLC503 when it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        header = from_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
        wanted = from_json(header["__metadata__"]["dlc"])["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise SpecError.of("DLC503", f"`{path}` is damaged: {error}") from None
    if _digest(arrays) != wanted:
        raise SpecError.of("DLC503", f"`{path}` is damaged: its digest differs")
    return arrays


def _digest(arrays: Mapping[str, Any]) -> str:
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        found.update(arrays[name].tobytes())
    return found.hexdigest()
