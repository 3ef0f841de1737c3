"""What is noteworthy about data that can be used: notes at the start of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.components.features.feature import Feature
from dlc.support.lazy import np

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
        spread = np.ptp(narrow, 0)
        coarse = (np.spacing(np.abs(narrow).max(0)) * _COARSE > spread) & (np.ptp(wide, 0) > 0)
    notes = []
    for index in np.flatnonzero(coarse).tolist():
        before, after = (len(np.unique(part[:, index])) for part in (wide, narrow))
        if after < before:
            name = columns[index] if len(columns) == width else f"{name_of}[..., {index}]"
            plain = getattr(feature, "normalize", None) == "none"
            advice = "; `normalize: standard` keeps them apart" if plain else ""
            notes.append(f"float32 holds {after:,} of the {before:,} distinct values of `{name}`{advice}")
    return notes


def all_of(notes: Sequence[str], most: int = 5) -> list[str]:
    """The first notes, and how many more there are."""
    more = len(notes) - most
    return [*notes[:most], *([f"and {more} more columns like these"] if more > 0 else [])]
