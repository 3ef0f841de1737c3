"""Medians and spreads of interleaved measurements."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence


def summary(values: Sequence[float], unit: str = "s") -> str:
    """Median with the smallest and largest value."""
    return f"{statistics.median(values):.4g} {unit} ({min(values):.4g} to {max(values):.4g})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """The ratio of each round: both sides of a round ran one after the other."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The ratio of the medians, and the spread of the ratios by round."""
    whole = statistics.median(ours) / statistics.median(theirs)
    return f"ratio of medians {whole:.2f}, by round {summary(ratios(ours, theirs), '')}"


def machine() -> str:
    """What this ran on."""
    return f"{platform.machine()}, {os.cpu_count()} cpus, Python {platform.python_version()}"
