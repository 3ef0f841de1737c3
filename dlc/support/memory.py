"""The memory of this machine, and errors that say that it ran out."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_ACCELERATORS = (("/dev", "nvidia[0-9]*"), ("/dev", "accel*"), ("/dev", "kfd"), ("/dev/vfio", "[0-9]*"))


def machine_memory() -> int | None:
    """The bytes that this process may have: the least of the machine, its container and its limit; None if unknown."""
    found = []
    with suppress(ValueError, OSError, AttributeError):  # not available on every system
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    found += [int(text) for path in _GROUPS if (text := _text(path)).isdecimal()]
    try:
        import resource
    except ImportError:  # not available on every system
        return min(found, default=None)
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min([*found, *([space] if space != resource.RLIM_INFINITY else [])], default=None)


def has_accelerator() -> bool:
    """Whether there seems to be a device whose memory is not the machine's; JAX is not asked."""
    wanted = {name.strip() for name in os.environ.get("JAX_PLATFORMS", "").split(",")}
    return wanted != {"cpu"} and any(any(Path(folder).glob(name)) for folder, name in _ACCELERATORS)


def ran_out(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: Python's own, or XLA's.

    >>> ran_out(MemoryError()), ran_out(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"))
    (True, True)
    >>> ran_out(RuntimeError("out of time"))
    False
    """
    said = isinstance(error, RuntimeError) and ("RESOURCE_EXHAUSTED" in str(error) or "bad_alloc" in str(error))
    return said or isinstance(error, MemoryError)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""
