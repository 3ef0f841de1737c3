"""Only regular files are read, and no more of them than they have."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dlc.support.regular_files import open_regular, read_whole


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null", "/dev/random", "/dev/stdin"])
def test_devices_are_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place)
    for path in (Path(place), tmp_path / "link"):
        if not path.is_file():  # standard input may be a file
            with pytest.raises(OSError, match="not a regular file"):
                read_whole(path)


def test_pipes_sockets_and_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for name in ("pipe", "socket"):
            with pytest.raises(OSError, match="not a regular file"):
                open_regular(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        read_whole(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
@pytest.mark.parametrize("name", ["kmsg", "self/environ", "self/mem", "self/maps"])
def test_files_of_proc_are_empty(name: str) -> None:
    """They say that they have no size: reading `kmsg` never ends."""
    assert read_whole(Path("/proc") / name) == b""


def test_the_size_is_looked_at_first(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(OSError, match="it has 4,398,046,511,104 bytes; at most 1,000 are read"):
        read_whole(path, 1000)
    with pytest.raises(OSError, match="at most"):
        read_whole(path)
