"""What is noteworthy about data that can be used: notes at the start of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from dlc.components.features.category import Category
from dlc.components.features.feature import Feature
from dlc.data.columns import Chosen, block_slices
from dlc.diagnostics import plural
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FeatureKey = tuple[str, str]  # section and name of a feature

_LONG = 1 << 10  # values that are compared at a time
_COARSE = 2**12  # a column whose spread is fewer float32 steps than this is looked at


def lost_values(feature: Feature, name_of: str, columns: Sequence[str], raw: Any, value: Any) -> list[str]:
    """A note for each column whose distinct values are fewer in float32, because they are close for their size.

    Args:
        feature: the feature.
        name_of: its name.
        columns: the columns that it reads.
        raw: its values as read, (n, ...).
        value: the same values encoded in float32, (n, ...).
    """
    in_memory = isinstance(raw, np.ndarray) and isinstance(value, np.ndarray)
    if in_memory and feature.indicators:
        value = value[..., : -feature.indicators]
    if not in_memory or raw.dtype != np.float64 or value.shape != raw.shape or not raw.size:
        return []
    width = raw.shape[-1] if raw.ndim > 1 else 1
    wide, narrow = raw, value
    if feature.value_type().mask:  # padding is no value
        real = feature.mask(raw)
        wide, narrow = wide[real], narrow[real]
    wide, narrow = wide.reshape(-1, width), narrow.reshape(-1, width)
    if not wide.size:
        return []
    with np.errstate(over="ignore"):
        lowest, highest = extremes(narrow)
        coarse = np.spacing(np.maximum(np.abs(lowest), np.abs(highest))) * _COARSE > highest - lowest
    notes = []
    for index in np.flatnonzero(coarse).tolist():
        exact, rounded = wide[:, index], narrow[:, index]
        before, after = len(np.unique(np.where(np.isnan(exact), rounded, exact))), len(np.unique(rounded))
        if after < before:
            name = columns[index] if len(columns) == width else f"{name_of}[..., {index}]"
            advice = "; `normalize: standard` keeps them apart" if feature.normalization == "none" else ""
            notes.append(f"float32 holds {after:,} of the {before:,} distinct values of `{name}`{advice}")
    return notes


def extremes(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The lowest and the highest value of each column of (n, width), NaN if it has one.

    Rows are compared many at a time: numpy handles a long row faster than many short ones.
    """
    width = values.shape[1]
    many = max(1, _LONG // max(1, width))
    long = values[: len(values) // many * many].reshape(-1, many * width)
    rest = values[len(long) * many :]
    lowest, highest = (
        function(np.concatenate([function(long, 0).reshape(-1, width), rest]) if len(long) else rest, 0)
        for function in (np.minimum.reduce, np.maximum.reduce)
    )
    return lowest, highest


def untrained_classes(
    features: Mapping[FeatureKey, Feature], raws: Mapping[FeatureKey, Any], splits: Mapping[str, NDArray[Any]]
) -> list[str]:
    """A note for each feature with classes that other splits have and the training split lacks.

    Args:
        features: the features by section and name.
        raws: their raw values, (n,) for classes.
        splits: row numbers of each split.
    """
    notes = []
    for key, feature in features.items():
        if not isinstance(feature, Category) or feature.learns or len(splits) < 2:
            continue
        seen = {name: np.unique(raws[key][np.sort(rows)], return_counts=True) for name, rows in splits.items()}
        known = set(seen["train"][0].tolist())
        lacking: dict[int, list[str]] = {}
        for name in list(splits)[1:]:
            for number, count in zip(*(part.tolist() for part in seen[name]), strict=True):
                if number not in known and 0 <= number < feature.count:
                    lacking.setdefault(number, []).append(f"{count:,} in {name}")
        if lacking:
            shown = [f"`{feature.class_name(number)}` ({', '.join(lacking[number])})" for number in sorted(lacking)[:5]]
            more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
            what = "a class" if len(lacking) == 1 else plural(len(lacking), "class")
            advice = "" if key[0] == "inputs" else "; `data.split: {stratify: COLUMN}` divides each class"
            notes.append(f"the training split lacks {what} of `{key[1]}`: {', '.join(shown)}{more}{advice}")
    return notes


def without_absent_targets(
    features: Mapping[FeatureKey, Feature], table: Mapping[FeatureKey, Any]
) -> tuple[dict[FeatureKey, Any], NDArray[np.int32], list[str]]:
    """The records of a table that have all targets, their row numbers, and a note if there are others.

    Args:
        features: the features by section and name.
        table: the raw values of each feature: arrays, or objects that are sliced like arrays.
    """
    values = list(table.values())
    count = len(values[0])
    absent = np.zeros(count, bool)
    lacking = []
    for key, feature in features.items():
        if not feature.drops or key not in table:
            continue
        raw, own = table[key], np.zeros(count, bool)
        for block in block_slices(count, 8 * prod(raw.shape)):
            gaps = np.asarray(feature.absent(raw[block]))
            own[block] = gaps.reshape(len(gaps), prod(gaps.shape[1:])).any(1)
        if own.any():
            lacking.append(f"`{key[1]}`")
            absent |= own
    rows = np.flatnonzero(~absent).astype(np.int32)
    if len(rows) == count:
        return dict(table), rows, []
    left = count - len(rows)
    have, are = ("has", "is") if left == 1 else ("have", "are")
    remain = f"{len(rows):,} {'remains' if len(rows) == 1 else 'remain'}"
    note = f"{plural(left, 'record')} {have} no {' or no '.join(lacking)}, and {are} left out: {remain}"
    return (
        {key: raw[rows] if isinstance(raw, np.ndarray) else Chosen(raw, rows) for key, raw in table.items()},
        rows,
        [note],
    )


def all_of(notes: Sequence[str], most: int = 5) -> list[str]:
    """The first notes, and how many more there are."""
    more = len(notes) - most
    return [*notes[:most], *([f"and {plural(more, 'more column')} like these"] if more > 0 else [])]
