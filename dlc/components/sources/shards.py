"""Records in tar archives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from dlc.components.sources.blocks import Record, keyed_blocks, limited
from dlc.components.sources.files import TableSource
from dlc.components.sources.folders import IMAGES
from dlc.components.sources.references import ArchiveEntry
from dlc.components.sources.source import Columns
from dlc.language.options import RuleViolation

if TYPE_CHECKING:
    from dlc.components.sources.tar_members import Member

_NUMBERS = ("cls", "cls2", "class", "count", "index", "inx", "id")
_TEXTS = ("txt", "text", "transcript")
_OBJECTS = ("json", "jsn")
_MOST_BYTES = 1 << 26  # of a text, a JSON document or an array
_ENTRY_BYTES = 500  # of a reference in memory
KEY = "__key__"
"""The column of the names of records."""


class Tar(TableSource):
    """Tar archives in the layout of WebDataset: consecutive files whose names differ in their extensions are a record.

    `0001.jpg`, `0001.cls` and `0001.txt` are one. A picture is the column `image`; another file is a column with the
    name of its extension: `cls` and other numbers (`id`, `index`, `count`), `txt` (UTF-8), `npy`. The keys of a `json`
    document are columns, and `__key__` is the name without extensions. `0001.mask.png` is the column `mask.png`.
    Nothing is unpacked: pictures are read from the archive, which must not be compressed.
    """

    word = "tar"
    suffixes = (".tar",)
    empty = "is empty, not a tar archive"
    content = "an archive"
    examples = ("tar: train.tar", "tar: {path: 'shards/*.tar', rows: 1}")

    @classmethod
    def sample(cls) -> bytes:
        """Two records of a picture of one pixel and its class."""
        import io
        import tarfile

        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for key, pixel in (("a", b"\0"), ("b", b"\xff")):
                for name, data in ((f"{key}.pgm", b"P5 1 1 255\n" + pixel), (f"{key}.cls", b"1")):
                    about = tarfile.TarInfo(name)
                    about.size = len(data)
                    archive.addfile(about, io.BytesIO(data))
        return stream.getvalue()

    @classmethod
    def recognizes(cls, head: bytes) -> bool:
        """The mark of the formats after the first ones."""
        return head[257:262] == b"ustar"

    def read(self, base: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The records of all archives, in blocks that have the columns of all of them."""
        return limited(self._blocks(self.files(base), room), self.rows)

    def blocks(self, path: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The records of one archive."""
        return self._blocks([path], room)

    def _blocks(self, files: Sequence[Path], room: int | None) -> Iterator[Columns]:
        def records() -> Iterator[Record]:
            return islice(chain.from_iterable(_records(file) for file in files), self.rows)

        return keyed_blocks(records, room)


def _records(path: Path) -> Iterator[Record]:
    """The records of an archive.

    Raises:
        RuleViolation: DLC401 when it can't be read, or a member can't.
    """
    from dlc.components.sources.tar_members import members_of

    known: str | None = None
    values: dict[str, Any] = {}
    size = 0
    for member in members_of(path):
        key, extension = _parts(member.name)
        if not extension:
            continue
        if key != known:
            if known is not None:
                yield values, size
            known, values, size = key, {KEY: key}, _ENTRY_BYTES
        for name, value in _values(path, member, extension).items():
            if name in values:
                message = f"the record `{key}` of `{path}` has two columns `{name}`"
                raise RuleViolation("DLC401", message, found=f"`{member.name}`", option="path")
            values[name] = value
        size += _ENTRY_BYTES + (0 if isinstance(values.get(extension), ArchiveEntry) else 4 * member.size)
    if known is not None:
        yield values, size


def _parts(name: str) -> tuple[str, str]:
    """The key of a record and the extension of a member, in lower case; hidden files have none.

    >>> _parts("./a/b.c/0001.Mask.PNG"), _parts("a/.hidden")
    (('a/b.c/0001', 'mask.png'), ('a/.hidden', ''))
    """
    path = PurePosixPath(name)
    stem, _, extension = path.name.partition(".")
    if not stem:
        return str(path), ""
    return str(path.parent / stem), extension.lower()


def _values(path: Path, member: Member, extension: str) -> dict[str, Any]:
    """The columns of a member.

    Raises:
        RuleViolation: DLC401 when its content is damaged.
    """
    where = f"`{member.name}` in `{path}`"
    entry = ArchiveEntry(str(path), f"{path.name}/{member.name}", member.offset, member.size)
    if f".{extension}" in IMAGES:
        return {"image": entry}
    kind = extension.rpartition(".")[2]
    if kind not in (*_NUMBERS, *_TEXTS, *_OBJECTS, "npy"):
        return {extension: entry}
    if member.size > _MOST_BYTES:
        message = f"{where} is too large"
        found, expected = f"{member.size:,} bytes", f"at most {_MOST_BYTES:,} bytes"
        raise RuleViolation("DLC401", message, found=found, expected=expected, option="path")
    try:
        data = entry.read()
        if kind == "npy":
            from dlc.components.sources.archives import array_in

            return {extension: array_in(data, where)}
        text = data.decode()
        if kind in _TEXTS:
            return {extension: text.removesuffix("\n").removesuffix("\r")}
        if kind in _NUMBERS:
            return {extension: _number(text.strip())}
        return _document(json.loads(text), extension)
    except UnicodeDecodeError:
        message = f"{where} is not UTF-8 text"
    except (OSError, ValueError, RecursionError) as error:
        message = f"{where} can't be read: {error}"
    raise RuleViolation("DLC401", message, option="path")


def _number(text: str) -> int | str:
    """A number, or the name of a class."""
    return int(text) if text.removeprefix("-").isdecimal() and len(text) < 19 else text


def _document(value: Any, extension: str) -> dict[str, Any]:
    from dlc.components.sources.python_values import flattened

    return flattened(value) if isinstance(value, dict) else {extension: value}
