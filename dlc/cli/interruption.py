"""How a training is stopped by signals."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable
from typing import Any


class Interruption:
    """SIGTERM and Ctrl-C ask for a stop at the end of a chunk; a second one ends the process at once.

    Python runs handlers of signals between two of its instructions, and a compilation is a single one. So the numbers
    of signals come through a pipe, which the interpreter writes to at once, to a thread that waits for them. What a
    process that ends leaves is what a kill leaves, and safe for the same reasons. That thread writes nothing that it
    could fail at or have to wait for, as for a pipe that is full: the first signal is told of by one more thread.

    Args:
        say: takes what is said about the first.
    """

    FAREWELL = 1.0  # seconds that the end waits for what is being said

    def __init__(self, say: Callable[[str], None]) -> None:
        self.wanted, self.say = False, say
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._former = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        self._saying: threading.Thread | None = None
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()

    def __enter__(self) -> Interruption:
        return self

    def __exit__(self, *_: object) -> None:
        """Put the signals' former handlers back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former)
        os.close(self._writing)
        self._thread.join()
        os.close(self._reading)
        if self._saying is not None:
            self._saying.join(self.FAREWELL)

    def _ask(self, number: int, frame: Any) -> None:
        """Nothing: the number comes through the pipe."""

    def _listen(self) -> None:
        while data := os.read(self._reading, 1):
            if data[0] not in self.before:
                continue
            if self.wanted:
                with contextlib.suppress(OSError):
                    if select.select([], [2], [], 0)[1]:
                        os.write(2, b"stopped at once; the newest checkpoint is kept\n")
                os._exit(128 + data[0])
            self.wanted = True
            message = "stopping after this chunk of steps; once more stops at once"
            self._saying = threading.Thread(target=self.say, args=(message,), name="saying", daemon=True)
            self._saying.start()

    def asked(self) -> bool:
        """Whether a stop was asked for."""
        return self.wanted
