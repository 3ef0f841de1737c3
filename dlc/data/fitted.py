"""What a run learned about its data: the columns of each feature, their statistics, and the records of each split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from hashlib import blake2b
from math import prod
from typing import TYPE_CHECKING, Any

from dlc.components.features.feature import Feature
from dlc.components.value_ranges import ValueRange
from dlc.diagnostics import SpecError, plural
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Stats = dict[str, dict[str, Any]]  # arrays by key, by feature

_STRINGS = 1 << 12  # that are hashed at a time
_FEW = 16  # words of a record that are added column by column
_BLOCK_BYTES = 1 << 19  # of the values that are mixed at a time: they stay in the processor's cache


@fast_dataclass(frozen=True)
class FittedData:
    """What a run learned about its data. It is kept in the run folder, and all later data are read by it.

    Args:
        columns: the columns that each feature reads, in the order in which training read them.
        stats: the features' statistics of the training split, in float64.
        splits: the digests of the records of each split, in its order: uint64.
        ranges: the ranges that metrics and augmentations depend on, by feature, in the user's unit.
        class_weights: those of losses with balanced classes, by the name of the loss.
        artifacts: what features learned before there were numbers, such as a tokenizer: JSON documents, by feature.
    """

    columns: Mapping[str, tuple[str, ...]]
    stats: Stats
    splits: Mapping[str, NDArray[np.uint64]]
    ranges: Mapping[str, ValueRange] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    class_weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def find(self, digests: NDArray[np.uint64], bad: Sequence[str] = ()) -> dict[str, NDArray[np.int32]]:
        """The rows of a data set that hold the records of each split. Each row is used once.

        Args:
            digests: of the records of the data set.
            bad: the records that can't be read, for the message.

        Raises:
            SpecError: DLC504 when some of the records are missing.
        """
        wanted = np.concatenate(list(self.splits.values()))
        rows = _positions(wanted, digests)
        lost = int((rows < 0).sum())
        if lost:
            unread = f"; can't be read: {'; '.join(bad[:3])}" if bad else ""
            raise SpecError.of(
                "DLC504",
                "the data changed since the run began",
                found=f"{lost:,} of its {plural(len(wanted), 'record')} {'is' if lost == 1 else 'are'} missing{unread}",
                hint="restore the data, or evaluate other data with `dlc eval --data FILE`",
            )
        ends = np.cumsum([len(split) for split in self.splits.values()])[:-1]
        return dict(zip(self.splits, np.split(rows, ends), strict=True))


def device_stats(stats: Mapping[str, Mapping[str, Any]]) -> Stats:
    """The features' statistics in float32, as compiled programs take them.

    The rounding error of a statistic `x` is in `x_rest`, if there is one.
    """
    found: Stats = {}
    for name, fitted in stats.items():
        found[name] = {key: np.asarray(value, np.float32) for key, value in fitted.items()}
        for key in [key for key in fitted if f"{key}_rest" in fitted]:
            found[name][f"{key}_rest"] = np.asarray(fitted[key] - found[name][key].astype(np.float64), np.float32)
    return found


def _positions(wanted: NDArray[np.uint64], given: NDArray[np.uint64]) -> NDArray[np.int32]:
    """For each wanted digest the index of an equal one, -1 for none. The k-th equal one gets the k-th index."""
    order = np.argsort(given, kind="stable")
    ordered = given[order]
    first, last = np.searchsorted(ordered, wanted), np.searchsorted(ordered, wanted, side="right")
    at = first + _occurrence(wanted)
    found = at < last
    rows = np.full(len(wanted), -1, np.int32)
    rows[found] = order[at[found]]
    return rows


def _occurrence(values: NDArray[Any]) -> NDArray[Any]:
    """How many equal values precede each value."""
    order = np.argsort(values, kind="stable")
    _, first, counts = np.unique(values[order], return_index=True, return_counts=True)
    before = np.empty(len(values), np.int64)
    before[order] = np.arange(len(values)) - np.repeat(first, counts)
    return before


def record_digests(values: Iterable[Any]) -> NDArray[np.uint64]:
    """A digest of each record, which depends on nothing but its values: not on the types that hold them.

    The values of a record in float32 are read as words of 8 bytes. These are mixed with a key for their position, and
    added. So is what the values in float64 differ from those in float32 by, where they do. Records that differ have the
    same digest with a probability of about 2^-64.

    Args:
        values: for each feature, the decoded values of n records: arrays, or objects that are sliced like arrays.

    Returns:
        (n,).
    """
    digests: NDArray[np.uint64] | None = None
    for feature, value in enumerate(values):
        count = value.shape[0]
        digests = np.zeros(count, np.uint64) if digests is None else digests
        if not count:
            continue
        numbers = max(1, prod(value.shape[1:]))
        positions = np.arange(1, 1 + numbers, dtype=np.uint64) + np.uint64(feature << 48)
        keys, rest_keys = _mixed(positions), _mixed(positions + np.uint64(1 << 63))
        step = max(1, _BLOCK_BYTES // (8 * numbers))
        for start in range(0, count, step):
            given = value[start : start + step]
            block, rest = (given, None) if isinstance(value, Bytes) else _narrowed(given)
            if isinstance(value, Unpadded):
                block, rest = value.without_padding(block, rest, given)
            words = _words(block)
            part = _mixed(words ^ keys[: words.shape[1]])
            if isinstance(value, Unpadded):
                part *= words != 0
            part = _row_sums(part)
            if rest is not None and rest.any():
                part += _row_sums(_mixed(_words(rest) ^ rest_keys) * (rest != 0))
            digests[start : start + step] += part
    assert digests is not None, "a data set has at least one feature"
    return _mixed(digests)


def string_digests(strings: Any) -> NDArray[np.uint64]:
    """A number of 64 bits for each string, of an object array (n,) or an object that is sliced like one."""
    found = np.empty(len(strings), np.uint64)
    for start in range(0, len(strings), _STRINGS):
        block = strings[start : start + _STRINGS].tolist()
        data = b"".join(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in block)
        found[start : start + len(block)] = np.frombuffer(data, np.uint64)
    return found


class Bytes:
    """Raw values that are always bytes, such as those of pictures: 8 of them are a word.

    Args:
        raw: uint8 (n, *axes): an array, or an object that is sliced like one.
    """

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.shape: tuple[int, ...] = raw.shape

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        """The values."""
        found: NDArray[np.uint8] = self.raw[rows]
        return found


class Unpadded:
    """Sequences whose padding does not count: further padding changes no digest.

    Args:
        raw: the decoded values of a feature with a mask, (n, time, *axes): an array, or an object that is sliced like
            one.
        feature: the feature.
    """

    def __init__(self, raw: Any, feature: Feature) -> None:
        self.raw, self.feature = raw, feature
        self.shape: tuple[int, ...] = raw.shape

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """The values."""
        found: NDArray[Any] = self.raw[rows]
        return found

    def without_padding(
        self, block: NDArray[Any], rest: NDArray[np.float64] | None, given: NDArray[Any]
    ) -> tuple[NDArray[np.uint32], NDArray[np.float64] | None]:
        """The `_narrowed` values of some records as integers of at least 1, and 0 at padding; with their errors."""
        mask = np.asarray(self.feature.mask(given))
        real = np.repeat(mask, block.shape[1] // max(1, mask.shape[1]), axis=1)
        bits = np.where(real, block.view(np.uint32) + np.uint32(1), np.uint32(0))
        return bits, None if rest is None else np.where(real, rest, 0.0)


def _narrowed(block: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Numbers that float32 holds in that type, and the rounding errors of float64: (n, numbers). Zeros have no sign."""
    flat = block.reshape(len(block), -1)
    if flat.dtype.kind != "f" and flat.dtype.itemsize > 2:
        return flat, None
    with np.errstate(over="ignore", invalid="ignore"):  # infinite values have no rounding error
        narrow = flat.astype(np.float32) + np.float32(0)  # -0.0 and 0.0 are the same value
        rest = flat - narrow if flat.dtype == np.float64 else None
        gaps = np.isnan(narrow)
        if gaps.any():  # all missing values are the same, whatever their bits
            narrow = np.where(gaps, np.float32(np.nan), narrow)
            rest = None if rest is None else np.where(gaps, 0.0, rest)
        return narrow, rest


def _words(block: NDArray[Any]) -> NDArray[np.uint64]:
    """The bytes of each record as numbers of 8 bytes: (n, words)."""
    flat = np.ascontiguousarray(block).reshape(len(block), -1).view(np.uint8)
    missing = -flat.shape[1] % 8
    if missing:
        flat = np.concatenate([flat, np.zeros((len(flat), missing), np.uint8)], axis=1)
    return flat.view(np.uint64)


def _row_sums(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The sum of each row, modulo 2^64. numpy adds few long columns faster than it adds up many short rows."""
    if words.shape[1] > _FEW:
        return np.asarray(words.sum(1, dtype=np.uint64))
    found = words[:, 0].copy()
    for column in range(1, words.shape[1]):
        found += words[:, column]
    return found


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014), a bijection whose bits all depend on all bits."""
    numbers = numbers ^ (numbers >> np.uint64(30))
    numbers *= np.uint64(0xBF58476D1CE4E5B9)
    numbers ^= numbers >> np.uint64(27)
    numbers *= np.uint64(0x94D049BB133111EB)
    numbers ^= numbers >> np.uint64(31)
    return numbers
