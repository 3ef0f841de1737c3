"""Resources that run out: memory, address space, threads and file descriptors."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from dlc.diagnostics import Report, SpecError
from dlc.support.machine import address_space_left

_MEMORY = re.compile(
    r"RESOURCE_EXHAUSTED|[Oo]ut of memory|bad_alloc|[Cc]annot allocate memory|failed to map segment"
    r"|Encountered an error while initializing the extension|Unable to allocate"
)
_THREADS = re.compile(r"can't start new thread|Resource temporarily unavailable|pthread_create")
_HINTS = {
    "memory": "use a smaller network or batch, or raise the memory limit (`ulimit -v`, the container's limit)",
    "threads": "raise the limit of processes and threads (`ulimit -u`)",
    "files": "raise the limit of open files (`ulimit -n`)",
}


def exhausted(error: BaseException) -> SpecError | None:
    """The diagnostic of an error, or of its cause, that means that a resource ran out; None for any other: DLC512."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        kind = _kind(found)
        if kind is not None:
            return _told(kind, found)
        found = found.__cause__ or found.__context__
    return None


@contextmanager
def noticing_exhaustion(need: Callable[[], str] | None = None) -> Iterator[None]:
    """Report that a resource ran out inside the context as DLC512.

    Args:
        need: describes how much memory is needed at least.
    """
    try:
        yield
    except Exception as error:
        found = None if isinstance(error, SpecError) else exhausted(error)
        if found is None:
            raise
        item = found.report.diagnostics[0]
        if need is not None and item.message.endswith("memory"):
            found = SpecError(Report((replace(item, expected=need()),)))
        raise found from error


def _kind(error: BaseException) -> str | None:
    """Which resource ran out: `memory`, `threads` or `files`."""
    if isinstance(error, MemoryError):
        return "memory"
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EMFILE, errno.ENFILE) or "Too many open files" in str(error):
        return "files"
    if number == errno.ENOMEM:
        return "memory"
    if number == errno.EAGAIN and isinstance(error, BlockingIOError) and error.filename is None:
        return "threads"
    if not isinstance(error, (RuntimeError, ImportError, SystemError, OSError)):
        return None
    message = str(error)
    return "memory" if _MEMORY.search(message) else "threads" if _THREADS.search(message) else None


def _told(kind: str, error: BaseException) -> SpecError:
    asked = re.search(r"(?:allocate|allocating)\s+([\d.]+\s*(?:[KMGTPE]i?B|bytes))", str(error))
    found = f"a request for {asked[1]}" if asked else None
    left = address_space_left()
    if kind == "memory" and left is not None:
        found = f"{found or 'a memory limit'}, {left / 2**30:.2f} GiB of address space left"
    what = {"memory": "memory", "threads": "threads", "files": "file descriptors"}[kind]
    return SpecError.of("DLC512", f"the process ran out of {what}", found=found, hint=_HINTS[kind])
