"""Huge pages for training on a CPU.

XLA allocates memory for each chunk of steps, and the kernel maps it in pages of 4 KiB with one page fault each, which
makes a step of ResNet-20 a quarter slower. Linux can map pages of 2 MiB. Where it does so only on request (`madvise`,
the default of most distributions), glibc's `malloc` requests them if an environment variable is set when the process
starts.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["environment", "restart"]

VARIABLE, TUNABLE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
MARK = "DLC_HUGE_PAGES"  # set in a process that was restarted, or that must not be
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def environment(known: Mapping[str, str], setting: Path = _SETTING) -> dict[str, str]:
    """The variables to add to an environment so that memory is allocated in huge pages; none where that can't help.

    Args:
        known: the environment; its own setting of huge pages is kept (`glibc.malloc.hugetlb=0` for none).
        setting: the kernel's setting, for example `always [madvise] never`.
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
    """Whether the C library is glibc 2.35 or newer, which can request huge pages."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        major, minor = version.split(".")[:2]
    except (ValueError, OSError):
        return False
    return name == "glibc" and major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) >= (2, 35)


def restart() -> None:
    """Restart this process with huge pages.

    Only once, and only the command `dlc` itself, which has not done anything yet: a restart would cut off a program
    that calls `main`, or one under a debugger. Return where huge pages are not available.
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
    former = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until `main` runs again
    try:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **more, MARK: "asked"})  # noqa: S606 - itself
    except OSError:  # for example too many arguments: go on without huge pages
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
