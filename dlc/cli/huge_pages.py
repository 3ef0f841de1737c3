"""Huge pages for training on a CPU.

XLA takes the memory of a chunk of steps anew for each chunk, and the kernel hands it out in pages of 4 KiB, one fault
each: with them a step of ResNet-20 takes a quarter longer. Linux can hand out 2 MiB at a time, but where it does so
only on request (`madvise`, the default of most distributions), glibc's `malloc` has to ask, which it does when the
environment says so as a process begins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["environment", "restart"]

VARIABLE, TUNABLE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
MARK = "DLC_HUGE_PAGES"  # in the environment of the process that began again, and of one that shall not
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def environment(known: Mapping[str, str], setting: Path = _SETTING) -> dict[str, str]:
    """What to add to an environment so that memory comes in huge pages; nothing where it can't or wouldn't help.

    Args:
        known: the environment; what it says of huge pages stands (`GLIBC_TUNABLES=glibc.malloc.hugetlb=0` for none).
        setting: the kernel's, as in `always [madvise] never`.
    """
    tunables = known.get(VARIABLE, "")
    if sys.platform != "linux" or TUNABLE in tunables or not _glibc_asks():
        return {}
    try:
        chosen = "[madvise]" in setting.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return {}
    return {VARIABLE: f"{tunables}:{TUNABLE}=1".lstrip(":")} if chosen else {}


def _glibc_asks() -> bool:
    """Whether the C library is glibc 2.35 or newer, which can ask for huge pages."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        major, minor = version.split(".")[:2]
    except (ValueError, OSError):
        return False
    return name == "glibc" and major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) >= (2, 35)


def restart() -> None:
    """Begin this process again, as it was called, with huge pages.

    Only once, and only the command `dlc` itself, which has done nothing yet: a program that calls `main`, or one that
    a debugger watches, would be cut off. Return where there are no huge pages to be had.
    """
    given = sys.argv[1:]
    alone = sys.gettrace() is None and sys.getprofile() is None
    if MARK in os.environ or not given or not alone or not sys.executable:
        return
    said = sys.orig_argv[-len(given) - 1 :]
    if said[1:] != given or Path(said[0]).name != "dlc":
        return
    more = environment(os.environ)
    if not more:
        return
    try:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **more, MARK: "asked"})  # noqa: S606 - itself
    except OSError:  # for example too many arguments: it goes without
        return
