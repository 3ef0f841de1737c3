"""The folder of what can be computed again: compiled programs, and decoded files.

`DLC_CACHE=off` disables all of it, `DLC_CACHE=FOLDER` moves it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

VARIABLE = "DLC_CACHE"
OFF = ("off", "0", "no", "false")


def cache_folder(name: str) -> Path | None:
    """The folder of one kind of entries below that of all; None if caches are disabled.

    Raises:
        RuntimeError: when there is no home folder.
    """
    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen.lower() in OFF:
        return None
    if chosen:
        return Path(chosen).expanduser() / name
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "dlc" / name


def refused(folder: Path) -> str | None:
    """Why a folder of a cache can't be used, None if it can; it is made if there is none.

    Raises:
        OSError: when it can't be made.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    about = folder.stat()
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"`{folder}` can't be written"
    if about.st_uid != os.getuid() or about.st_mode & 0o022:  # others could run code here, or change the data
        return f"others may write to `{folder}`"
    return None


class Contents(NamedTuple):
    """The entries of a cache.

    Args:
        files: the files.
        nbytes: their bytes.
    """

    files: tuple[Path, ...]
    nbytes: int

    @classmethod
    def of(cls, files: Iterable[Path]) -> Contents:
        """Those of some files; files that another process deletes meanwhile don't count."""
        sizes = {}
        for path in files:
            with suppress(OSError):
                sizes[path] = path.stat().st_size
        return cls(tuple(sizes), sum(sizes.values()))

    def delete(self) -> None:
        """Delete the files, and their folders if nothing else is in them.

        Raises:
            OSError: when one can't be deleted.
        """
        for path in self.files:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in self.files}:
            with suppress(OSError):  # it is not empty
                folder.rmdir()
