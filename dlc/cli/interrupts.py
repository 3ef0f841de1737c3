"""Ctrl-C ends a command at once: exit code 130, no traceback, no temporary files.

Python's own handler raises `KeyboardInterrupt` wherever the program is. In an import, a finalizer or a callback of a
library that is printed, replaced by another error, or lost. Every file of dlc is written under a temporary name, so a
process may end anywhere.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import sys
from types import FrameType

EXIT_INTERRUPTED = 130
_ending = _thread.allocate_lock()  # held by the one that ends the process


def end_on_interrupt() -> None:
    """From here on an interrupt ends the process. One that arrived while the process started is delivered now.

    Nothing changes where interrupts are ignored, as in a background job of a shell, or handled by the caller.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        try:
            signal.signal(signal.SIGINT, _end)
        except ValueError:  # not the main thread
            return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def listen() -> None:
    """End the process also while the main thread computes or compiles, which takes Python no instruction."""
    if signal.getsignal(signal.SIGINT) is not _end:
        return
    import threading

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(reading,), name="interrupts", daemon=True).start()


def over() -> None:
    """The command is done, and its exit code is known: an interrupt no longer changes it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def end(code: int, message: bytes) -> None:
    """End the process now: remove files that are being written, print a message if standard error takes it."""
    if not _ending.acquire(blocking=False):
        return
    files = sys.modules.get("dlc.support.files")
    for path in list(getattr(files, "unfinished", ())):
        try:  # noqa: SIM105 - an import here could wait for one that was interrupted
            path.unlink()
        except OSError:  # it is done already
            pass
    try:
        if select.select([], [2], [], 0)[1]:
            os.write(2, message)
    except (OSError, ValueError):  # closed
        pass
    os._exit(code)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler of signals
    end(EXIT_INTERRUPTED, b"interrupted\n")


def _listen(reading: int) -> None:
    while data := os.read(reading, 1):
        if data[0] == signal.SIGINT and signal.getsignal(signal.SIGINT) is _end:
            end(EXIT_INTERRUPTED, b"interrupted\n")
