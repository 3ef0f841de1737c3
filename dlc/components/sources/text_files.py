"""The records of text files: lines, paragraphs or whole files, with the numbers of their lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.components.sources.arrow_text import FIELD_BYTES
from dlc.components.sources.packed import (
    HEAD_BYTES,
    encoding_of,
    lines_of,
    need_fit,
    reported,
    too_large,
    undecodable,
    unpacked,
)
from dlc.components.sources.text_encodings import Encoding
from dlc.language.options import RuleViolation
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Numbered = tuple[int, str]
"""A record, after the number of its first line, from 1."""


def text_lines(path: Path, encoding: Encoding, limit: int | None) -> Iterator[Numbered]:
    r"""The lines of a file. An end of a line, a line feed, a carriage return or both, becomes a line feed.

    Args:
        path: the file, which may be compressed.
        encoding: the declared encoding.
        limit: the most bytes that a compressed file may unpack to; unbounded if it is None.

    Raises:
        RuleViolation: DLC401 when it can't be read, or has another encoding.
    """
    used: str = encoding
    try:
        need_fit(path, limit)
        with reported(path), unpacked(path, limit) as file:
            used = encoding_of(file.peek(HEAD_BYTES), encoding)
            for number, line in enumerate(lines_of(file, used, path), 1):
                bare = line.rstrip("\r\n")
                yield number, bare if len(bare) == len(line) else f"{bare}\n"
    except UnicodeError:
        raise undecodable(path, used, encoding) from None


def records_of(lines: Iterable[Numbered], kind: str, path: Path, limit: int | None) -> Iterator[Numbered]:
    """The records that lines make. Blank ones are left out.

    Args:
        lines: the lines.
        kind: `line`; `paragraph`, lines up to a blank one; or `file`, all of them.
        path: the file, for messages.
        limit: the most characters of a record; unbounded if it is None.

    Raises:
        RuleViolation: DLC401 for a record that is too large.
    """
    first, size, parts = 0, 0, list[str]()
    for number, line in chain(lines, [(0, "")]):
        if parts and (not number or kind == "line" or (kind == "paragraph" and not line.strip())):
            record = "".join(parts)
            if record.strip():
                yield first, record if kind == "file" else record.removesuffix("\n")
            first, size, parts = 0, 0, []
        if kind == "file" or line.strip():
            first = first or number
            size += len(line)
            if limit is not None and size > limit:
                raise too_large(path, limit)
            parts.append(line)


def in_blocks(records: Iterable[Numbered], room: int | None) -> Iterator[list[Numbered]]:
    """Consecutive records that take about `room` bytes in memory; all of them if it is None. At least one block."""
    block, size, whole = list[Numbered](), 0, True
    for record in records:
        block.append(record)
        size += len(record[1]) + FIELD_BYTES
        if room is not None and size >= room:
            yield block
            block, size, whole = [], 0, False
    if block or whole:
        yield block


def as_column(texts: Iterable[str]) -> NDArray[Any]:
    """Strings as a column: (n,)."""
    values = list(texts)
    found = np.empty(len(values), object)
    found[:] = values
    return found


def need_counts(counts: dict[str, int], option: str) -> None:
    """Check that parallel files have equally many lines.

    Raises:
        RuleViolation: DLC401, with the counts.
    """
    if len(set(counts.values())) > 1:
        found = ", ".join(f"`{name}` {count:,}" for name, count in counts.items())
        message = "the parallel files have different numbers of lines"
        hint = "line n of each file belongs to record n: find the line that is missing"
        raise RuleViolation("DLC401", message, found=found, hint=hint, option=option)
