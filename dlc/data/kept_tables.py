"""The raw values of large tables on disk: what was parsed once is read in later runs.

They are in the folder of decoded files, and count towards the limit of its size (`dlc/data/decoded_files.py`). There is
a segment for each table and the features that read it. It is found by a digest of everything that the values depend on,
such as the options of source and features, and the path, size and times of each file.

A segment is written once and never changed: the arrays, a header in JSON, and its length and checksum. Each array has a
checksum, so nothing must be synchronized with the disk. Of strings, the different ones are kept, one after another, and
the number of each.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dlc._version import __version__
from dlc.components.features.feature import Feature
from dlc.components.sources.files import TableSource
from dlc.components.sources.references import FileEntry
from dlc.components.sources.source import Source
from dlc.components.sources.stored import Stored
from dlc.data.bad_records import BadRecords
from dlc.data.columns import block_slices
from dlc.data.decoded_files import SPARE_BYTES, SUFFIX, cache_size, digest, prune, usable_folder
from dlc.data.decoding import FileReader
from dlc.data.errors import DataErrors
from dlc.data.splits import Labels
from dlc.data.tables import Room, features_of, read_values
from dlc.data.values import FeatureKey
from dlc.diagnostics import human, reason
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation
from dlc.support.files import from_json
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_BYTES = 32 << 20
"""The size of files from which on their values are kept: smaller ones are parsed in about a second."""
_MARK = b"dlc-tab1"
_END = 8 + 4 + len(_MARK)  # the length of the header, its checksum, and the mark
_BLOCK = 16 << 20  # bytes that are read or written at a time

Table = dict[FeatureKey, Any]


def read_table(
    plan: Plan,
    source: Source,
    room: Room,
    columns: dict[str, tuple[str, ...]],
    errors: DataErrors,
    path: tuple[str, ...],
    labels: Sequence[Labels],
    files: FileReader,
    bad: BadRecords | None,
) -> Table:
    """`read_values` of a source, or what an earlier run has kept of it. The values are the same."""
    before = _key_of(plan, source, columns, labels)
    folder = usable_folder() if before is not None else None
    if before is None or not isinstance(folder, Path):
        return read_values(plan, source, room, columns, errors, path, also=labels, files=files, bad=bad)
    target = folder / digest(before.encode()).hex() / f"table{SUFFIX}"
    kept = _read(target, before, room, columns, labels)
    if kept is not None:
        if bad is not None:
            bad.count = len(next(iter(kept.values())))
        return kept
    known = dict(columns)
    found = read_values(plan, source, room, columns, errors, path, also=labels, files=files, bad=bad)
    whole = len(found) == len(features_of(plan)) and not (bad is not None and bad.found)
    if whole and errors.empty and _key_of(plan, source, known, labels) == before:
        why = _keep(target, before, found, columns, labels)
        if why is not None:
            files.notes.append(f"the table of `{path[1]}` is not kept for later runs: {why}")
    return found


def _key_of(plan: Plan, source: Source, columns: Mapping[str, tuple[str, ...]], labels: Sequence[Labels]) -> str | None:
    """All that the values of a table depend on; None if they are not kept."""
    features = features_of(plan)
    if not isinstance(source, TableSource) or not source.parsed or not _keeps(source, features):
        return None
    try:
        files = source.files(Path(plan.folder))
        size = sum(file.stat().st_size for file in files)
    except (RuleViolation, OSError):  # reported when it is read
        return None
    signatures = [FileEntry(str(file), file.name).signature() for file in files]
    if None in signatures or size < LEAST_BYTES:
        return None
    options = [[*key, feature.word, repr(dict(feature))] for key, feature in features.items()]
    names = [label.name for label in labels]
    return json.dumps([__version__, source.word, repr(dict(source)), signatures, options, columns, names])


def _keeps(source: Source, features: Mapping[FeatureKey, Feature]) -> bool:
    """Whether values depend on nothing but the table: classes of plugins may change, and decoded files have a cache."""
    own = all(type(each).__module__.startswith("dlc.") for each in (source, *features.values()))
    return own and not any(feature.reads_files for feature in features.values())


def _keep(
    target: Path, key: str, table: Table, columns: Mapping[str, tuple[str, ...]], labels: Sequence[Labels]
) -> str | None:
    """Write a segment; why that is not possible, None if it is."""
    packed = {key: _packed(values) for key, values in table.items()}
    arrays = [array for parts in packed.values() for array in parts]
    arrays += [np.concatenate(label.parts) for label in labels]
    size, most = sum(array.nbytes for array in arrays), cache_size()
    if isinstance(most, str):
        return most
    if size > most:
        return f"it needs more than the {human(most, 'B', 1024)} of the cache"
    try:
        target.parent.mkdir(exist_ok=True, mode=0o700)
        if shutil.disk_usage(target.parent).free < size + SPARE_BYTES:
            return f"`{target.parent}` has less than {human(SPARE_BYTES, 'B', 1024)} of free space"
        header: dict[str, Any] = {"key": key, "columns": columns, "labels": [list(label.numbers) for label in labels]}
        header["features"] = [[*name, len(parts)] for name, parts in packed.items()]
        _write(target, header, arrays)
    except OSError as error:
        return f"`{target.parent}` can't be written: {reason(error)}"
    prune(target.parent.parent, most)
    return None


def _write(target: Path, header: dict[str, Any], arrays: Sequence[Any]) -> None:
    """Write a segment under a name that nobody looks for, then rename it. A lock shows that its process is alive."""
    handle, name = tempfile.mkstemp(suffix=".part", dir=target.parent)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with open(handle, "wb") as file:
        try:
            about = [_written(file, array) for array in arrays]
            head = json.dumps({**header, "arrays": about}).encode()
            file.write(head + len(head).to_bytes(8, "little") + zlib.crc32(head).to_bytes(4, "little") + _MARK)
            file.flush()
            Path(name).replace(target)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise


def _written(file: IO[bytes], array: Any) -> dict[str, Any]:
    """Write an array; its description."""
    checksum = 0
    for rows in block_slices(len(array), array.nbytes):
        data = np.ascontiguousarray(array[rows]).reshape(-1).view(np.uint8).data
        checksum = zlib.crc32(data, checksum)
        file.write(data)
    return {"shape": list(array.shape), "dtype": array.dtype.str, "checksum": checksum}


def _read(
    target: Path, key: str, room: Room, columns: dict[str, tuple[str, ...]], labels: Sequence[Labels]
) -> Table | None:
    """What a segment holds; None if there is none. A damaged one is deleted.

    Values that don't fit into the room stay on disk.
    """
    try:
        with target.open("rb") as file:
            try:
                header = _header(file, key)
                left = room.limit - room.taken
                lazy = [count == 1 for _, _, count in header["features"] for _ in range(count)]
                arrays = list(_arrays(file, header["arrays"], left, lazy))
                found: Table = {}
                for section, name, count in header["features"]:
                    found[section, name] = (
                        arrays.pop(0) if count == 1 else _unpacked(*(arrays.pop(0) for _ in range(3)))
                    )
                chosen = {name: tuple(own) for name, own in header["columns"].items()}
                texts: list[list[str]] = header["labels"]
            except (ValueError, KeyError, TypeError, OverflowError):
                target.unlink()
                return None
        os.utime(target)  # the time of its last use
    except OSError:
        return None
    for label, own, codes in zip(labels, texts, arrays, strict=True):
        label.numbers |= {text: number for number, text in enumerate(own)}
        label.parts.append(codes)
    columns |= chosen
    room.taken += sum(values.nbytes for values in found.values() if isinstance(values, np.ndarray))
    return found


def _packed(values: Any) -> list[Any]:
    """Values as arrays of numbers; of strings the number of each, the ends of the different ones, and their UTF-8."""
    if values.dtype != object:
        return [values]
    texts = values.tolist()
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    codes = np.fromiter((numbers[text] for text in texts), np.int32, len(texts))
    ends = np.cumsum([len(text) for text in numbers], dtype=np.int64)
    return [codes, ends, np.frombuffer("".join(numbers).encode("utf-8", "surrogatepass"), np.uint8)]


def _unpacked(codes: NDArray[Any], ends: NDArray[Any], data: NDArray[Any]) -> NDArray[Any]:
    """The strings that `_packed` has packed."""
    whole = data.tobytes().decode("utf-8", "surrogatepass")
    found = np.empty(len(ends), object)
    found[:] = [whole[start:end] for start, end in pairwise([0, *ends.tolist()])]
    return np.asarray(found[codes])


def _header(file: IO[bytes], key: str) -> dict[str, Any]:
    """The header of a segment.

    Raises:
        ValueError: when it is damaged, or of another table.
    """
    file.seek(-_END, os.SEEK_END)
    end = file.read(_END)
    length = int.from_bytes(end[:8], "little")
    file.seek(-_END - length, os.SEEK_END)
    head = file.read(length)
    if end[12:] != _MARK or zlib.crc32(head).to_bytes(4, "little") != end[8:12]:
        raise ValueError("damaged")
    found: dict[str, Any] = from_json(head)
    if found["key"] != key:
        raise ValueError("of another table")
    return found


def _arrays(file: IO[bytes], about: Sequence[Mapping[str, Any]], left: int, lazy: Sequence[bool]) -> Iterator[Any]:
    """The arrays of a segment. Those that may be `lazy` stay on disk if they don't fit into the bytes that are left.

    Raises:
        ValueError: when one is damaged.
    """
    offset = 0
    for index, each in enumerate(about):
        shape, kind = tuple(each["shape"]), np.dtype(each["dtype"])
        size = prod(shape) * kind.itemsize
        fits = index >= len(lazy) or not lazy[index] or size <= left
        left -= size if fits else 0
        found = np.empty(size if fits else min(size, _BLOCK), np.uint8)
        file.seek(offset)
        checksum, done = 0, 0
        while done < size:
            start = done if fits else 0
            part = found[start : start + min(_BLOCK, size - done)].data
            count = file.readinto(part)  # type: ignore[attr-defined]
            if not count:
                raise ValueError("truncated")
            checksum = zlib.crc32(part[:count], checksum)
            done += count
        if checksum != each["checksum"]:
            raise ValueError("damaged")
        yield found.view(kind).reshape(shape) if fits else Stored(file, offset, shape, kind, None)
        offset += size
