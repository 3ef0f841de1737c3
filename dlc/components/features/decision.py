"""Thresholds in features: the probability above which a label, or the second of two classes, is predicted."""

from __future__ import annotations

from typing import Any, Literal

from dlc.language.options import OptionError, reject, spell
from dlc.support.lazy import np

BEST_F1 = "best_f1"
Threshold = float | Literal["best_f1"] | None
Thresholds = float | tuple[float, ...] | Literal["best_f1"] | None


def read_threshold(value: Any) -> Any:
    """A number from 0 to 1, or `best_f1`; None passes."""
    if value is None or value == BEST_F1:
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    expected = "a number from 0 to 1, or `best_f1`"
    raise reject(OptionError((), "DLC104", "not a valid threshold", found=spell(value), expected=expected))


def read_thresholds(value: Any) -> Any:
    """A number from 0 to 1, a list of them, or `best_f1`; None passes."""
    several = isinstance(value, (list, tuple)) and bool(value) and BEST_F1 not in value
    return tuple(map(read_threshold, value)) if several else read_threshold(value)


def limit(threshold: Thresholds) -> Any:
    """A threshold as it is compared with scores: float32, one number or one for each label; 0.5 until it is known."""
    if threshold is None or threshold == BEST_F1:
        return np.float32(0.5)
    values = np.asarray(threshold, np.float32)
    return values[0] if values.shape == (1,) else values
