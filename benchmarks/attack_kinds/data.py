"""Attacks with data: archives and tables that unpack to more than the memory, damaged and odd ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from benchmarks.attack_kinds.attack import TABLE, XY, Attack, Stream, Untouched
from benchmarks.attack_kinds.specs import SPECIAL, special_file

DATA_COMMANDS = ("train", "eval", "predict", "validation")


def tables(random: Random) -> Stream:
    """Data files that are no tables, that have no end, or that unpack to more than fits into memory."""
    while True:
        memory = random.choice(("1 GB", "1 MB", "100 kB", "auto"))
        yield _table(random.choice(DATA_COMMANDS), random.choice((*SPECIAL, *MADE, *MADE)), memory)


def _table(command: str, how: str, memory: str = "1 GB") -> Attack:
    """A command that reads a table; a regular one if `how` is empty."""

    def prepare(folder: Path) -> list[str]:
        kind = "npz" if how.startswith("npz") else "csv"
        path = folder / f"data.{kind}"
        if how in MADE:
            MADE[how](path)
        elif how:
            special_file(path, how)
        else:
            path.write_text(XY)
        (folder / "good.csv").write_text(XY)
        text = TABLE.replace("memory: 1 GB", f"memory: {memory}")
        if command == "validation":
            text = text.replace("data.csv}", f"good.csv}}, validation: {{{kind}: data.{kind}}}")
        (folder / "spec.yaml").write_text(text.replace("csv: data.csv", f"{kind}: data.{kind}"))
        if command == "eval":
            return ["eval", "table", "--data", path.name]
        return ["predict", "table", path.name] if command == "predict" else ["train", "spec.yaml", "--run", "new", "-q"]

    return Attack("tables", f"{command}: {how or 'a table'}", prepare)


def untouched_tables() -> Untouched:
    """Tables of two columns, as text and as an archive."""
    for command in DATA_COMMANDS:
        yield _table(command, ""), "ok"
        yield _table(command, "npz of two arrays"), "ok"


def _npz_of_zeros(path: Path, members: int = 2, size: int = 4 << 30, header: bytes | None = None) -> None:
    """An archive of arrays of zeros; only their compressed form is ever made."""
    import zipfile

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for index in range(members):
            shape = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},), }}".ljust(117) + "\n"
            first = header or b"\x93NUMPY\1\0" + len(shape).to_bytes(2, "little") + shape.encode()
            with archive.open(
                "xy"[index % 2] + (str(index) if index > 1 else "") + ".npy", "w", force_zip64=True
            ) as file:
                file.write(first)
                piece = bytes(1 << 24)
                for _ in range(min(size, 1 << 26) >> 24):  # the header says more than there is
                    file.write(piece)


def _whole_zeros(path: Path) -> None:
    """Two arrays of 4 GiB of zeros, put together from one compressed piece."""
    import struct
    import zlib

    shape = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({4 << 30},), }}".ljust(117) + "\n"
    header = b"\x93NUMPY\1\0" + len(shape).to_bytes(2, "little") + shape.encode()
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    first = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(1 << 22)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = first + piece * 1024 + packer.flush()
    size = len(header) + (4 << 30)
    body, central = b"", b""
    for name in (b"x.npy", b"y.npy"):
        extra = struct.pack("<HHQQ", 1, 16, size, len(data))
        local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 8, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra))
        central += struct.pack(
            "<4s6H3L5H2L",
            b"PK\1\2",
            45,
            45,
            0,
            8,
            0,
            33,
            0,
            0xFFFFFFFF,
            0xFFFFFFFF,
            len(name),
            len(extra),
            0,
            0,
            0,
            0,
            len(body),
        )
        central += name + extra
        body += local + name + extra + data
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(central), len(body), 0)
    path.write_bytes(body + central + end)


def _cell(path: Path) -> None:
    with open(path, "wb") as file:
        file.write(b"x,y\n1,2\n")
        file.truncate(1 << 30)


def _cell(path: Path) -> None:
    with open(path, "wb") as file:
        file.write(b"x,y\n1,2\n")
        file.truncate(1 << 30)


def _gzip(path: Path) -> None:
    """A table in gzip that unpacks to 4 GiB: one compressed piece, many times."""
    import gzip

    piece = gzip.compress(b"0,0\n" * (1 << 22), 9)
    path.write_bytes(gzip.compress(b"x,y\n") + piece * 256)


def _arrays(path: Path) -> None:
    import numpy as np

    np.savez(path, x=np.arange(8.0), y=np.arange(8.0) * 2)


def _as_bytes(data: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(data)

    return make


MADE: dict[str, Callable[[Path], None]] = {
    "npz of two arrays": _arrays,
    "npz of 2 x 4 GiB of zeros": _whole_zeros,
    "npz that says more than it holds": lambda path: _npz_of_zeros(path, 2, 1 << 40),
    "npz with a header of 3 GiB": lambda path: _npz_of_zeros(
        path, 2, 1 << 25, b"\x93NUMPY\2\0" + (3 << 30).to_bytes(4, "little")
    ),
    "npz of 3,000 arrays": lambda path: _npz_of_zeros(path, 3000, 10),
    "npz of random bytes": _as_bytes(b"PK\3\4" + bytes(range(256)) * 20),
    "csv cell of 1 GiB": _cell,
    "csv in gzip of 4 GiB": _gzip,
    "csv of 40,000 columns": _as_bytes((",".join(f"c{i}" for i in range(40_000)) + "\n").encode()),
    "csv of 40,000 further columns": _as_bytes(
        ("x,y," + ",".join(f"c{i}" for i in range(40_000)) + "\n" + ("1," * 40_001 + "2\n") * 4).encode()
    ),
    "csv of NUL": _as_bytes(bytes(1000)),
    "csv of NUL in fields": _as_bytes(b"x,y\n1\0,2\n3,4\0\n" * 3),
    "csv that is not UTF-8": _as_bytes(b"x,y\n\xff\xfe,1\n" * 5),
    "csv with an open quote": _as_bytes(b'x,y\n"1,2\n' + b"3,4\n" * 100_000),
    "csv of infinities": _as_bytes(b"x,y\n1e999,nan\n" + b"inf,-inf\n" * 5),
    "csv of huge numbers": _as_bytes(b"x,y\n" + (b"9" * 5000 + b",1\n") * 4),
    "csv of long numbers": _as_bytes(b"x,y\n" + (b"0." + b"3" * 900_000 + b",1\n") * 4),
    "csv of one record": _as_bytes(b"x,y\n1,2\n"),
    "csv without records": _as_bytes(b"x,y\n"),
    "csv with a column twice": _as_bytes(b"x,x,y\n" + b"1,1,2\n" * 5),
    "csv of the largest numbers": _as_bytes(b"x,y\n" + b"1.7e308,-1.7e308\n-1.7e308,1.7e308\n" * 4),
}
