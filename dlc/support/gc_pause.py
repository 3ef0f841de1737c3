"""Garbage collection put off while a program starts."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[Callable[[], None]]:
    """Within, no garbage is collected, until what is yielded is called.

    Importing and tracing make a million objects that stay. Going through them again and again takes a tenth of the time
    to the first step, and finds nothing.
    """
    pending = gc.isenabled()
    gc.disable()

    def resume() -> None:
        nonlocal pending
        if pending:
            pending = False
            gc.enable()

    try:
        yield resume
    finally:
        resume()
