"""Work done in advance on a separate thread, while the device computes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetcher(Generic[Item]):
    """A thread that makes the next item while the last one is used.

    Its exceptions are raised when the item is requested. The thread ends with `close`, or after the current item when
    the interpreter exits.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._next: tuple[int, int, Future[Item]] | None = None
        self.waited = 0.0
        """Total seconds that callers of `take` have waited."""

    def promised(self, start: int) -> int | None:
        """The length of the item from `start` that is being made, or None."""
        return self._next[1] if self._next is not None and self._next[0] == start else None

    def begin(self, make: Callable[[int, int], Item], start: int, length: int) -> None:
        """Start to make an item; an earlier item that was not taken is discarded."""
        if self._next is not None:
            self._next[2].cancel()
        self._next = (start, length, self._submit(make, start, length))

    def take(self, make: Callable[[int, int], Item], start: int, length: int) -> Item:
        """The item, if it was started; else it is made now."""
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
        """Items from 0 to `count`, each of a `length`, and each made while the previous one is used."""
        starts = range(0, count, length)
        waiting = self._submit(make, 0, length) if count else None
        for start in starts:
            assert waiting is not None
            item = waiting.result()
            if start + length < count:
                waiting = self._submit(make, start + length, length)
            yield item

    def close(self) -> None:
        """Start no further items."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = self._next = None

    def _submit(self, make: Callable[[int, int], Item], start: int, length: int) -> Future[Item]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "reader")
        return self._pool.submit(make, start, length)
