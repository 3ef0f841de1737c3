"""Thresholds in features: the probability above which a label, or the second of two classes, is predicted."""

from __future__ import annotations

from typing import Any, Literal

from dlc.language.options import OptionError, reject, spell
from dlc.support.lazy import np

BEST_F1 = "best_f1"
THRESHOLD = (
    "probability above which the second of two classes is predicted; `best_f1`: the one with the best F1 on the"
    " validation split; default: 0.5"
)
Threshold = float | tuple[float, ...] | Literal["best_f1"] | None


def read_threshold(value: Any) -> Any:
    """A number from 0 to 1, a list of them, or `best_f1`; None passes."""
    if value is None or value == BEST_F1:
        return value
    parts = value if isinstance(value, (list, tuple)) and value else [value]
    if all(isinstance(part, (int, float)) and not isinstance(part, bool) and 0 <= part <= 1 for part in parts):
        return tuple(map(float, parts)) if parts is value else float(value)
    expected = "a number from 0 to 1, or `best_f1`"
    raise reject(OptionError((), "DLC104", "not a valid threshold", found=spell(value), expected=expected))


def limit(threshold: Threshold) -> Any:
    """A threshold as it is compared with scores: float32, one number or one for each label; 0.5 until it is known."""
    if threshold is None or threshold == BEST_F1:
        return np.float32(0.5)
    values = np.asarray(threshold, np.float32)
    return values[0] if values.shape == (1,) else values
