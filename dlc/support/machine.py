"""The memory that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_LEAST = 512 << 20  # bytes, if the machine's memory is unknown
_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_ACCELERATORS = (("/dev", "nvidia[0-9]*"), ("/dev", "accel*"), ("/dev", "kfd"), ("/dev/vfio", "[0-9]*"))


def fitting_bytes() -> int:
    """The bytes of data that a process may hold in memory: half of what it may use."""
    return (usable_memory() or _LEAST) // 2


def usable_memory() -> int | None:
    """The memory that this process may use, in bytes; None if it is unknown.

    It is that of the machine, of its container, or what the limit of this process leaves (`ulimit -v`).
    """
    found = []
    try:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        found += [int(text) for path in _GROUPS if (text := _text(path)).isdecimal()]
    except (ValueError, OSError, AttributeError):  # not available on every system
        pass
    left = address_space_left()
    return min([*found, *([] if left is None else [left])], default=None)


def address_space_left() -> int | None:
    """The address space that the limit of this process leaves (`ulimit -v`), in bytes; None without a limit."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    pages = _text("/proc/self/statm").split()
    taken = int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else 0
    return max(0, limit - taken)


def has_accelerator() -> bool:
    """Whether there seems to be a device whose memory is not the machine's; JAX is not asked."""
    wanted = {name.strip() for name in os.environ.get("JAX_PLATFORMS", "").split(",")}
    return wanted != {"cpu"} and any(any(Path(folder).glob(name)) for folder, name in _ACCELERATORS)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
