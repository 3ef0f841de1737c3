"""Decoding the files that columns name, on several threads, or reading what was decoded before."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from dlc.components.features.decoder import Decoder
from dlc.components.sources.references import unreadable
from dlc.components.wrong_values import WrongValues
from dlc.data.decoded_files import DIGEST, DecodedFiles, cache_size, digest, usable_folder
from dlc.diagnostics import reason
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 16
"""The files that a thread decodes before it takes others.

Handing over and writing each by itself would take a tenth of the time.
"""


class FileReader:
    """Reads the files that the columns of a table name.

    Args:
        workers: the number of threads that decode; 0 for the thread that calls, `auto` for one per processor.
        cached: whether what is decoded is kept on disk, and read from there.
    """

    def __init__(self, workers: int | str = "auto", cached: bool = False) -> None:
        self.threads = workers if isinstance(workers, int) else os.cpu_count() or 1
        self.notes: list[str] = []
        """What is noteworthy about the cache."""
        self._cached = cached
        self._caches: dict[str, DecodedFiles] = {}

    def read(self, decoder: Decoder, column: NDArray[Any], name: str, first_row: int) -> NDArray[Any]:
        """The arrays of a column of files: (n, *shape).

        Args:
            decoder: how a file becomes an array.
            column: (n,) of `FileEntry`.
            name: the column's name.
            first_row: the number of its first record, from 1.

        Raises:
            WrongValues: DLC403, with all files that can't be decoded.
        """
        entries = column.tolist()
        found = np.empty((len(entries), *decoder.shape), decoder.dtype)
        reasons: dict[int, str] = {}
        cache = self._cache(decoder)
        if cache is None:
            self._each(range(len(entries)), _decoding(decoder, entries, found, reasons))
        else:
            self._read_cached(cache, decoder, entries, found, reasons)
        if reasons:
            wrong = {f"`{entries[index]}`: {why}": 1 for index, why in sorted(reasons.items())}
            raise WrongValues("DLC403", decoder.wrong, name, first_row + min(reasons), wrong, expected=decoder.expected)
        return found

    def _read_cached(
        self,
        cache: DecodedFiles,
        decoder: Decoder,
        entries: Sequence[Any],
        found: NDArray[Any],
        reasons: dict[int, str],
    ) -> None:
        """Read what is known, and decode and keep the rest."""
        missing = list(range(len(entries)))
        if not cache.empty:
            digests = b"".join(map(_signature, entries))
            missing = np.flatnonzero(~cache.known(np.frombuffer(digests, np.uint64).reshape(-1, 2), found)).tolist()
        if not missing:
            return
        first = cache.reserve(len(missing))
        if isinstance(first, str):
            self._not_kept(first)
            self._each(missing, _decoding(decoder, entries, found, reasons))
            return
        failed: list[OSError] = []
        slots = {index: first + at for at, index in enumerate(missing)}
        self._each(missing, _keeping(cache, decoder, entries, found, reasons, slots, failed))
        if failed:
            self._not_kept(f"`{cache.folder}` can't be written: {reason(failed[0])}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what was decoded, also if the reading was interrupted."""
        for cache in self._caches.values():
            cache.commit()
        self._caches.clear()

    def _cache(self, decoder: Decoder) -> DecodedFiles | None:
        """What the decoder has decoded; None if it is not kept."""
        if self._cached and decoder.key not in self._caches:
            folder, size = usable_folder(), cache_size()
            if folder is None:
                self._cached = False
            elif isinstance(folder, str) or isinstance(size, str):
                self._not_kept(folder if isinstance(folder, str) else str(size))
            else:
                try:
                    self._caches[decoder.key] = DecodedFiles(folder, decoder, size)
                except OSError as error:
                    self._not_kept(f"`{folder}` can't be used: {reason(error)}")
        return self._caches.get(decoder.key) if self._cached else None

    def _not_kept(self, why: str) -> None:
        """Go on without the cache."""
        self.notes.append(f"decoded files are not kept for later runs: {why}")
        self._cached = False
        for cache in self._caches.values():
            cache.abandon()
        self._caches.clear()

    def _each(self, indices: Sequence[int], work: Callable[[Sequence[int]], None]) -> None:
        """Do the work for all indices, some at a time."""
        size = max(1, min(CHUNK, len(indices) // (2 * max(1, self.threads))))
        parts = [indices[start : start + size] for start in range(0, len(indices), size)]
        if not self.threads or len(parts) == 1:
            for part in parts:
                work(part)
            return
        with ThreadPoolExecutor(self.threads, "decoder") as pool:
            list(pool.map(work, parts))


def _signature(entry: Any) -> bytes:
    """The digest of the signature of a file; zeros if it has none."""
    text = entry.signature()
    return bytes(DIGEST) if text is None else digest(os.fsencode(text))


Work = Callable[[Sequence[int]], None]


def _decoding(decoder: Decoder, entries: Sequence[Any], found: NDArray[Any], reasons: dict[int, str]) -> Work:
    """The function that decodes the files at some indices into `found`, or into `reasons` why they can't be decoded."""

    def work(indices: Sequence[int]) -> None:
        for index in indices:
            try:
                found[index] = decoder.decode(entries[index].read())
            except OSError as error:
                reasons[index] = unreadable(error)
            except ValueError as error:
                reasons[index] = str(error)

    return work


def _keeping(
    cache: DecodedFiles,
    decoder: Decoder,
    entries: Sequence[Any],
    found: NDArray[Any],
    reasons: dict[int, str],
    slots: Mapping[int, int],
    failed: list[OSError],
) -> Work:
    """Like `_decoding`; a file whose content is known is not decoded, and the records are kept.

    Args:
        cache: where records are kept.
        decoder: decodes files.
        entries: the files.
        found: gets the records.
        reasons: gets why files can't be decoded.
        slots: the number of each record for `DecodedFiles.put`, in the order of the indices.
        failed: gets why records can't be kept.
    """

    def one(index: int) -> bytes:
        """Decode a file; the digests of its signature and content."""
        try:
            signature = _signature(entries[index])  # before it is read: it may change meanwhile
            data = entries[index].read()
            content = digest(data)
            known = cache.of_content(content)
            found[index] = decoder.decode(data) if known is None else known
            return signature + content
        except OSError as error:
            reasons[index] = unreadable(error)
        except ValueError as error:
            reasons[index] = str(error)
        found[index] = 0
        return bytes(2 * DIGEST)

    def work(indices: Sequence[int]) -> None:
        digests = [one(index) for index in indices]
        first, last = indices[0], indices[-1]
        values = found[first : last + 1] if last - first + 1 == len(indices) else found[list(indices)]
        try:
            if not failed:
                cache.put(slots[first], digests, values)
        except OSError as error:
            failed.append(error)

    return work
