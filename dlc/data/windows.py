"""Windows: records that are parts of a long series, which is stored once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dlc.components.features.feature import Feature
from dlc.data.batching import rounded_sizes
from dlc.data.errors import wrong_data
from dlc.diagnostics import plural
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FeatureKey = tuple[str, str]  # section and name of a feature

_FACTOR = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64


class Segment(NamedTuple):
    """Consecutive rows of one series that belong to one split.

    Args:
        split: the split.
        start: the first row.
        stop: the row after the last.
        begin: the first row of the series.
    """

    split: str
    start: int
    stop: int
    begin: int


@fast_dataclass(frozen=True)
class Layout:
    """The records of a data set with windows.

    Args:
        rows: the row of each record, int32 (n,): a window of (first, stop) holds the rows from `row + first` up to
            `row + stop`.
        splits: the numbers of the records of each split.
        train: the rows of the training split, each once.
    """

    rows: NDArray[np.int32]
    splits: Mapping[str, NDArray[np.int32]]
    train: NDArray[np.int32]

    def digests(self, rows: NDArray[np.uint64], low: int, high: int) -> NDArray[np.uint64]:
        """A digest of each record, from those of the rows from `row + low` up to `row + high`.

        It is the polynomial of the rows' digests in an odd number modulo 2^64, from differences of sums.
        """
        factor = np.uint64(_FACTOR)
        with np.errstate(over="ignore"):
            powers = np.full(len(rows) + 1, factor, np.uint64)
            powers[0] = 1
            powers = np.multiply.accumulate(powers)
            sums = np.concatenate([np.zeros(1, np.uint64), np.add.accumulate(rows * powers[:-1])])
            inverse = np.full(len(rows) + 1, pow(_FACTOR, -1, 1 << 64), np.uint64)
            inverse[0] = 1
            inverses = np.multiply.accumulate(inverse)
            first, last = self.rows + low, self.rows + high
            found: NDArray[np.uint64] = (sums[last] - sums[first]) * inverses[first]
        return found


def spans(features: Mapping[FeatureKey, Feature]) -> dict[FeatureKey, tuple[int, int]]:
    """The windows of the features; none if they have none. A checked spec has one for each feature, or none."""
    return {key: feature.span for key, feature in features.items() if feature.span is not None}


def sequential(features: Mapping[FeatureKey, Feature]) -> bool:
    """Whether the rows are the tokens of texts."""
    return any(feature.sequential for feature in features.values())


def reach(found: Mapping[FeatureKey, tuple[int, int]], section: str | None = None) -> tuple[int, int]:
    """The first row that windows need, and that after the last; (0, 0) without windows."""
    chosen = [span for key, span in found.items() if section is None or key[0] == section]
    return (min(first for first, _ in chosen), max(stop for _, stop in chosen)) if chosen else (0, 0)


def cut_rows(plan: Plan, series: Sequence[tuple[int, int]]) -> list[Segment]:
    """The segments of the main source: of each series the last rows are held out.

    Args:
        plan: the plan.
        series: the first row of each series, and that after its last.

    Raises:
        SpecError: DLC405 when nothing is left to train on.
    """
    found = []
    for begin, stop in series:
        at = begin
        for name, size in split_rows(plan, stop - begin).items():
            found.append(Segment(name, at, at + size, begin))
            at += size
    return found


def segments_of(plan: Plan, name: str, series: Sequence[tuple[int, int]], start: int) -> list[Segment]:
    """The segments of a source.

    Args:
        plan: the plan.
        name: the option of `data` that names the source: only the main one is divided.
        series: the first row of each series in the source, and that after its last.
        start: the rows of earlier sources.

    Raises:
        SpecError: DLC405 when nothing is left to train on.
    """
    own = cut_rows(plan, series) if name == "source" else [Segment(name, begin, end, begin) for begin, end in series]
    return [Segment(part.split, part.start + start, part.stop + start, part.begin + start) for part in own]


def split_rows(plan: Plan, count: int) -> dict[str, int]:
    """The rows of a series in each split, in the order of time."""
    assert plan.data is not None
    sizes = rounded_sizes(plan, count)
    if sizes["train"] <= 0:
        message = "the splits leave nothing to train on"
        found = f"{sum(sizes.values()) - sizes['train']:,} of {plural(count, 'row')} held out"
        raise wrong_data(plan, RuleViolation("DLC405", message, found=found), ("data", "split"))
    return sizes


def cut_texts(plan: Plan, texts: Sequence[str]) -> list[tuple[str, str]]:
    """The parts of texts with their splits: the last characters of all texts together are held out."""
    total = sum(map(len, texts))
    sizes = split_rows(plan, total)
    found: list[tuple[str, str]] = []
    left = dict(sizes)
    names = list(sizes)
    for text in texts:
        at = 0
        while at < len(text):
            name = names[0]
            part = text[at : at + left[name]]
            found.append((name, part))
            at += len(part)
            left[name] -= len(part)
            if not left[name] and len(names) > 1:
                names.pop(0)
    return found


def layout(plan: Plan, found: Mapping[FeatureKey, tuple[int, int]], segments: Sequence[Segment]) -> Layout:
    """The records of a data set.

    Args:
        plan: the plan.
        found: the windows of its features.
        segments: the segments of all splits.

    Raises:
        SpecError: DLC405 when a split has no whole window.
    """
    assert plan.data is not None
    options = plan.data.windows
    low, high = reach(found)
    compared = {key: span for key, span in found.items() if key[0] == "targets"} or found
    first_compared = reach(compared)[0]
    rows: dict[str, list[NDArray[np.int32]]] = {}
    train: list[NDArray[np.int32]] = []
    for segment in segments:
        begin = segment.start - low
        if options.history and segment.split != "train":
            begin = max(segment.begin - low, segment.start - first_compared)
        stride = options.stride if segment.split == "train" else options.evaluation_stride or options.stride
        own = np.arange(begin, segment.stop - high + 1, stride, dtype=np.int32)
        rows.setdefault(segment.split, []).append(own)
        if segment.split == "train":
            train.append(np.arange(segment.start, segment.stop, dtype=np.int32))
    joined = {name: np.concatenate(parts) for name, parts in rows.items()}
    for name, own in joined.items():
        if not len(own):
            most = max(segment.stop - segment.start for segment in segments if segment.split == name)
            wrong = RuleViolation(
                "DLC405",
                f"the {name} split has no whole window",
                found=f"{plural(most, 'row')} in a row at most",
                expected=f"at least {plural(high - low, 'row')}, as many as a window with all inputs and targets",
                hint="use shorter windows, hold out more, or let windows of later splits begin in earlier ones: "
                "`windows: {history: true}`",
            )
            raise wrong_data(plan, wrong, ("data",))
    ends = np.cumsum([len(own) for own in joined.values()])
    numbers = np.split(np.arange(ends[-1], dtype=np.int32), ends[:-1])
    return Layout(np.concatenate(list(joined.values())), dict(zip(joined, numbers, strict=True)), np.concatenate(train))


def whole_windows(count: int, low: int, high: int) -> NDArray[np.int32]:
    """The records of new data of `count` rows: every row whose windows fit."""
    return np.arange(-low, count - high + 1, dtype=np.int32)
