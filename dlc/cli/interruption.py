"""How a training is stopped by signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


class Interruption:
    """SIGTERM and Ctrl-C ask for a stop at the end of a chunk; a second one ends the process at once.

    Python runs handlers of signals between two of its instructions, and a compilation is a single one. So the numbers
    of signals come through a pipe, which the interpreter writes to at once, to a thread that waits for them. What a
    process that ends leaves is what a kill leaves, and safe for the same reasons.

    Args:
        say: takes what is said about the first.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.wanted, self.say = False, say
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._former = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()

    def _ask(self, number: int, frame: Any) -> None:
        """Nothing: the number comes through the pipe."""

    def _listen(self) -> None:
        while data := os.read(self._reading, 1):
            if data[0] not in self.before:
                continue
            if self.wanted:
                cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar may have hidden it
                os.write(2, f"{cursor}stopped at once; the newest checkpoint is kept\n".encode())
                os._exit(128 + data[0])
            self.wanted = True
            self.say("stopping after this chunk of steps; once more stops at once")

    def asked(self) -> bool:
        """Whether a stop was asked for."""
        return self.wanted

    def restore(self) -> None:
        """Put the signals' former handlers back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former)
        os.close(self._writing)
        self._thread.join()
        os.close(self._reading)
