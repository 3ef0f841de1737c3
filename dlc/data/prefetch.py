"""Work that is done ahead, on a thread of its own, while the device computes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetcher(Generic[Item]):
    """One thread that makes the next thing while the last one is used.

    What goes wrong there is raised where the thing is asked for. The thread ends with `close`, at the latest when the
    interpreter does: it then finishes what it is at.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._next: tuple[int, int, Future[Item]] | None = None
        self.waited = 0.0
        """Seconds that the caller of `take` has waited in all."""

    def promised(self, start: int) -> int | None:
        """How long the thing from `start` is that is being made, or None when none is."""
        return self._next[1] if self._next is not None and self._next[0] == start else None

    def begin(self, make: Callable[[int, int], Item], start: int, length: int) -> None:
        """Have a thing made; what was begun before and not taken is given up."""
        if self._next is not None:
            self._next[2].cancel()
        self._next = (start, length, self._submit(make, start, length))

    def take(self, make: Callable[[int, int], Item], start: int, length: int) -> Item:
        """The thing, when it was begun; else it is made now."""
        if self._next is None or self._next[:2] != (start, length):
            self.begin(make, start, length)
        assert self._next is not None
        future, self._next = self._next[2], None
        began = time.perf_counter()
        try:
            return future.result()
        finally:
            self.waited += time.perf_counter() - began

    def each(self, make: Callable[[int, int], Item], count: int, length: int) -> Iterator[Item]:
        """Things from 0 to `count`, each of a `length`, every one made while the one before is used."""
        starts = range(0, count, length)
        waiting = self._submit(make, 0, length) if count else None
        for start in starts:
            assert waiting is not None
            item = waiting.result()
            if start + length < count:
                waiting = self._submit(make, start + length, length)
            yield item

    def close(self) -> None:
        """Begin nothing more."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = self._next = None

    def _submit(self, make: Callable[[int, int], Item], start: int, length: int) -> Future[Item]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "reader")
        return self._pool.submit(make, start, length)
