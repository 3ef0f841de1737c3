"""The compilation cache: compiled programs on disk, so that later starts don't compile them again.

JAX's own persistent cache, in a folder for each version of jaxlib and kind of CPU: a program of another version or for
another CPU may crash (jax issue 38445, openxla issue 44565). A cache configured for JAX itself takes precedence.
"""

from __future__ import annotations

import hashlib
import os
import platform
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dlc.diagnostics import reason
from dlc.support.cache_folder import VARIABLE, Contents, cache_folder, refused

NAME = "xla"
MOST_BYTES = 2 << 30


def contents(root: Path) -> Contents:
    """Everything in the folder of all versions and kinds of CPU: programs, when JAX used them, and timings."""
    return Contents.of(
        path
        for pattern in ("*-cache", "*-atime", "timings.json", "checked")
        for path in root.glob(f"*/{pattern}")
        if path.is_file() and not path.is_symlink()
    )


class Cache(NamedTuple):
    """The state of the cache.

    Args:
        folder: the folder of programs for this version and CPU, or None if it is disabled.
        reason: why it is disabled, else empty.
    """

    folder: Path | None
    reason: str = ""

    def contents(self) -> tuple[int, int]:
        """The number of programs, and their total bytes."""
        entries = _programs(self.folder) if self.folder is not None and self.folder.is_dir() else []
        return len(entries), sum(entry.stat().st_size for entry in entries)


def enable() -> Cache:
    """Enable JAX's cache of compiled programs, unless configured otherwise; returns its folder, or why it is disabled.

    Errors of the cache never stop a command; they only disable it.
    """
    import jax

    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")  # it then compiles
    there = jax.config.values["jax_compilation_cache_dir"]
    if there:
        return Cache(Path(there))
    try:
        root = cache_folder(NAME)
        if root is None:
            return Cache(None, f"{VARIABLE}={os.environ[VARIABLE]}")
        folder = root / kind()
        why = refused(folder)
        if why is not None:
            return Cache(None, why)
        _prune(root)
        _mend(folder)
    except OSError as error:
        return Cache(None, f"`{error.filename}` can't be used: {reason(error)}")
    except RuntimeError as error:  # there is no home folder
        return Cache(None, str(error))
    from jax.experimental.compilation_cache import compilation_cache

    # Small programs are worth caching: compiling a step of a small network takes as long as starting Python.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    compilation_cache.reset_cache()  # JAX may have decided already that there is no cache
    compilation_cache.set_cache_dir(str(folder))
    return Cache(folder)


def kind() -> str:
    """The key of compatible compiled programs: the version of jaxlib and the CPU's features.

    >>> kind().startswith("jaxlib-")
    True
    """
    from jaxlib.version import __version__

    features = platform.processor()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), features)
    return f"jaxlib-{__version__}-{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:8]}"


def _programs(folder: Path) -> list[os.DirEntry[str]]:
    """The files of compiled programs below a folder."""
    found: list[os.DirEntry[str]] = []
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            found += _programs(Path(entry.path))
        elif entry.name.endswith("-cache"):
            found.append(entry)
    return found


def _prune(root: Path) -> None:
    """Delete the oldest programs when there are too many."""
    entries = []
    for entry in _programs(root):
        with suppress(OSError):  # another process may prune, too
            entries.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    room = MOST_BYTES
    for _, size, path in sorted(entries, reverse=True):
        room -= size
        if room < 0:
            with suppress(OSError):
                Path(path).unlink()


def _mend(folder: Path) -> None:
    """Delete files left incomplete by a kill: JAX would compile such programs again at every start.

    Only files newer than the last check are read. Programs that are not compressed with zlib are kept.
    """
    stamp = folder / "checked"
    since = stamp.stat().st_mtime if stamp.exists() else 0.0
    stamp.touch()
    for entry in _programs(folder):
        with suppress(OSError):
            if entry.stat().st_mtime >= since - 1:
                data = Path(entry.path).read_bytes()
                if not data or (data[0] & 0x0F == 8 and not _whole(data)):
                    Path(entry.path).unlink()


def _whole(data: bytes) -> bool:
    try:
        zlib.decompress(data)
    except zlib.error:
        return False
    return True
