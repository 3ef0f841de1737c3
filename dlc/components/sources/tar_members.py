"""The members of tar archives, and where in the archive their content is. Nothing is unpacked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from dlc.components.sources.packed import is_compressed
from dlc.diagnostics import reason
from dlc.language.options import RuleViolation
from dlc.support.regular_files import open_regular

_BLOCK = 512
_LONGEST = 1 << 20  # bytes of a long name, or of the further attributes of a member
_FILES, _FOLDER, _LONG_NAME, _LONG_LINK, _ATTRIBUTES, _COMMON = b"\0\x30\x37", b"5", b"L", b"K", b"x", b"g"


class Member(NamedTuple):
    """A regular file in an archive: its name, where its content starts, and its size in bytes."""

    name: str
    offset: int
    size: int


class _DamagedError(ValueError):
    """What is wrong with an archive."""


def members_of(path: Path) -> Iterator[Member]:
    """The regular files of an archive in the formats ustar, GNU and pax. Folders are left out.

    POSIX.1-2001 defines the formats ("pax", section "ustar Interchange Format").

    Raises:
        RuleViolation: DLC401 when it is not an archive, damaged, or holds links, devices or sparse files.
    """
    try:
        file, size = open_regular(path)
        with file:
            yield from _members(file, size)
    except _DamagedError as error:
        what = "is compressed: unpack it" if is_compressed(path) else str(error)
        raise RuleViolation("DLC401", f"`{path}` {what}", option="path") from None
    except OSError as error:
        raise RuleViolation("DLC401", f"`{path}` can't be read: {reason(error)}", option="path") from None


def _members(file: IO[bytes], length: int) -> Iterator[Member]:
    at = 0
    attributes: dict[str, str] = {}  # of the next member
    while at + _BLOCK <= length:
        file.seek(at)
        head = file.read(_BLOCK)
        if not head.strip(b"\0"):
            return
        if not _has_checksum(head):
            raise _DamagedError("is not a tar archive" if not at else f"is damaged at byte {at:,}")
        kind, size = head[156:157], _number(head[124:136])
        if kind in _FILES and "size" in attributes:
            size = _decimal(attributes["size"])
        begins = at + _BLOCK
        if begins + size > length:
            raise _DamagedError(f"is truncated: it has {length:,} of at least {begins + size:,} bytes")
        if kind in (_LONG_NAME, _LONG_LINK, _ATTRIBUTES, _COMMON):
            if size > _LONGEST:
                raise _DamagedError(f"is damaged at byte {at:,}: a name is too long")
            content = file.read(size)
            if kind == _LONG_NAME:
                attributes["path"] = _text(content)
            elif kind == _ATTRIBUTES:
                attributes |= _read_attributes(content)
        else:
            name = attributes.get("path") or _name(head)
            if any(key.startswith("GNU.sparse") for key in attributes) or kind == b"S":
                raise _DamagedError(f"has the sparse file `{name}`, which can't be read in place")
            if kind in _FILES and not name.endswith("/"):
                yield Member(name, begins, size)
            elif kind not in (_FOLDER, *_FILES):
                raise _DamagedError(f"has `{name}`, which is a link or a device, not a file")
            attributes = {}
        at = begins + -(-size // _BLOCK) * _BLOCK
    raise _DamagedError("is truncated: it has no end" if at else "is not a tar archive")


def _has_checksum(head: bytes) -> bool:
    try:
        wanted = _number(head[148:156])
    except _DamagedError:
        return False
    return sum(head[:148]) + 8 * ord(" ") + sum(head[156:]) == wanted


def _number(field: bytes) -> int:
    """A number in octal digits, or in binary if the first bit is set, as GNU writes large ones."""
    if field[0] & 0x80:
        value = int.from_bytes(field, signed=True) & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] == 0xFF:
            raise _DamagedError("is damaged: a size is negative")
        return value
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):  # a sign, too, is no digit
        raise _DamagedError("is damaged: a size is not a number")
    return int(digits or b"0", 8)


def _decimal(text: str) -> int:
    if not text.isdecimal() or len(text) > 20:
        raise _DamagedError("is damaged: a size is not a number")
    return int(text)


def _text(content: bytes) -> str:
    return content.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _name(head: bytes) -> str:
    name, prefix = _text(head[:100]), _text(head[345:500]) if head[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _read_attributes(content: bytes) -> dict[str, str]:
    """The attributes of a member in the pax format: `LENGTH NAME=VALUE` and a line feed each."""
    found, at = {}, 0
    while at < len(content):
        digits, space, _ = content[at : at + 10].partition(b" ")
        if not space or not digits.isdigit():
            break
        end = at + int(digits)
        entry = content[at + len(digits) + 1 : end - 1]
        key, equals, value = entry.partition(b"=")
        if not equals or end <= at or end > len(content):
            raise _DamagedError("is damaged: the attributes of a member can't be read")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        at = end
    return found
