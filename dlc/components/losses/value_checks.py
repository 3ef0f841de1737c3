"""Checks shared by losses: lists of numbers in options, sizes along an axis, values of the data."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from dlc.diagnostics import did_you_mean, plural
from dlc.ir import Dim, TensorType
from dlc.language.options import OptionError, RuleViolation, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


BALANCED = "balanced"
"""The option of weights that make all classes count alike in the training split."""


def read_class_weights(value: Any) -> Any:
    """`read_numbers`, or `balanced`."""
    if isinstance(value, str) and value != BALANCED:
        expected, hint = "a list with one number for each class, or `balanced`", did_you_mean(value, (BALANCED,))
        raise reject(OptionError((), "DLC104", "not valid weights of classes", spell(value), expected, hint))
    return value if value == BALANCED else read_numbers(value)


def read_class_factor(value: Any) -> Any:
    """`read_factor`, or `balanced`."""
    return value if isinstance(value, str) and value == BALANCED else read_factor(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def read_numbers(value: Any) -> Any:
    """A list of numbers of at least 0, not all 0; None passes."""
    if value is None:
        return None
    parts = value if isinstance(value, (list, tuple)) else None
    if parts is None or not all(map(_is_number, parts)):
        hint = "for a factor of the whole loss use `weight` beside it" if _is_number(value) else None
        error = OptionError((), "DLC103", "not a list of numbers", found=spell(value), hint=hint)
        raise reject(error._replace(expected="a list with one number for each class"))
    if not parts or not all(part >= 0 and isfinite(part) for part in parts) or not any(parts):
        expected = "numbers of at least 0, not all 0"
        raise reject(OptionError((), "DLC104", "not valid factors", found=spell(value), expected=expected))
    return tuple(float(part) for part in parts)


def read_factor(value: Any) -> Any:
    """A number above 0, or a list of them; None passes."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    if value is None:
        return None
    if not all(map(_is_number, parts)):
        expected = "a number, or a list of them"
        raise reject(OptionError((), "DLC103", "not a valid factor", found=spell(value), expected=expected))
    if not parts or not all(part > 0 and isfinite(part) for part in parts):
        raise reject(OptionError((), "DLC104", "not a valid factor", found=spell(value), expected="above 0"))
    made = tuple(float(part) for part in parts)
    return made if isinstance(value, (list, tuple)) else made[0]


def need_length(option: str, values: Sequence[float], size: Dim, unit: str) -> None:
    """Raise DLC301 unless an option has `size` numbers; symbolic sizes are not compared."""
    if isinstance(size, int) and len(values) != size:
        found, expected = plural(len(values), "number"), f"{size}, one for each {unit}"
        message = f"`{option}` needs one number for each {unit} of the output"
        raise RuleViolation("DLC301", message, found=found, expected=expected, option=option)


def need_scores_behind_mask(word: str, output: TensorType) -> None:
    """Raise DLC301 when the axis that a loss reduces is the one that holds padding."""
    if output.mask and output.rank < 3:
        message = f"`{word}` would count padding: its last axis is the time axis"
        hint = "reduce the time axis first, or add a last axis"
        raise RuleViolation(
            "DLC301", message, found=f"output {output}", expected="f32[batch, time, n] masked", hint=hint
        )


def need_unmasked(word: str, output: TensorType) -> None:
    """Raise DLC301 when the output of a loss of whole vectors has padding."""
    if output.mask:
        hint = "reduce the time axis first: `global_avg_pool1d`"
        raise RuleViolation("DLC301", f"`{word}` would count padding", found=f"output {output}", hint=hint)


def need_signs(word: str, target: NDArray[Any]) -> None:
    """Raise DLC403 unless targets are 0 and 1, or -1 and 1."""
    values = np.unique(target)
    kinds = set(values[:4].tolist())
    if kinds <= {0.0, 1.0} or kinds <= {-1.0, 1.0}:
        return
    found = ", ".join(f"{value:g}" for value in values[:3].tolist()) + (", ..." if len(values) > 3 else "")
    expected, hint = "0 and 1, or -1 and 1", "declare a `category` of two classes; for real values use `mse`"
    message = f"`{word}` needs a target of two classes, but it has other values"
    raise RuleViolation("DLC403", message, found=found, expected=expected, hint=hint)


def need_distributions(word: str, target: NDArray[Any]) -> None:
    """Raise DLC403 unless rows along the last axis are probabilities that sum to 1, within 0.001."""
    if not target.size:
        return
    sums = target.sum(-1)
    far = sums.flat[np.abs(sums - 1).argmax()]
    if target.min() >= 0 and abs(far - 1) <= 1e-3:
        return
    found = f"a row that sums to {far:g}" if target.min() >= 0 else f"values from {target.min():g}"
    message, expected = (
        f"`{word}` compares distributions, but the target's rows are not",
        "rows of non-negative values that sum to 1",
    )
    raise RuleViolation("DLC403", message, found=found, expected=expected, hint="for real values use `mse`")
