"""Stop training or generation on a signal."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from dlc.cli.interrupts import end


class Interruption:
    """SIGTERM and Ctrl-C ask for a stop, which is then near; a second signal ends the process immediately.

    Python runs signal handlers between two of its instructions, and a compilation is one instruction. So a thread reads
    the numbers of signals from a pipe, which the interpreter writes to as they arrive. A process that ends this way
    leaves the same files as one that is killed, which is safe. The thread must not fail or wait when it prints, for
    example to a full pipe, so another thread prints the message about the first signal.

    Args:
        say: prints `first`.
        first: the message about the first signal.
        second: the message about the second signal.
    """

    FAREWELL = 1.0  # seconds to wait at the end for the message to be printed

    def __init__(
        self,
        say: Callable[[str], None],
        first: str = "stopping after this chunk of steps; a second signal stops immediately",
        second: str = "stopped immediately; the newest checkpoint is kept",
    ) -> None:
        self.number: int | None = None  # of the first signal
        self.say, self.first, self.second = say, first, f"{second}\n".encode()
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
            if self.number is not None:
                end(128 + data[0], self.second)
            self.number = data[0]
            self._saying = threading.Thread(target=self.say, args=(self.first,), name="saying", daemon=True)
            self._saying.start()

    def asked(self) -> bool:
        """Whether a stop was asked for."""
        return self.number is not None
