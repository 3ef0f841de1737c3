"""Normalizers: how features bring numbers into a range that networks learn from, and predictions back.

A normalizer is fitted to each entry of the last axis in the training split, on the host and in float64. `apply` and
`invert` work on numpy arrays and inside compiled programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from math import inf, isfinite, prod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator

from dlc.components.features.feature import Stats, entries_of, rows_of
from dlc.components.value_ranges import ValueRange
from dlc.components.wrong_values import RecordColumns
from dlc.ir import TensorType, over
from dlc.language.options import OptionError, RuleViolation, reject, spell
from dlc.support.lazy import jax, jnp, np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Mask = Callable[[Any], Any]  # raw values of some records -> bool (n, time), false at padding
Normalization = Literal["none", "standard", "minmax", "robust", "log", "quantile", "quantile_uniform"]

NORMALIZATION = (
    "by the training split: `standard` scales to mean 0 and deviation 1, `minmax` to 0..1, `robust` subtracts the "
    "median and divides by the distance of the quartiles, `log` is `standard` of log(1 + x), `quantile` maps ranks to "
    "a normal distribution, `quantile_uniform` to 0..1"
)
"""The description of the option."""

NORMALIZED = {
    "standard": ValueRange(-inf, inf),
    "minmax": ValueRange(0.0, 1.0),
    "robust": ValueRange(-inf, inf),
    "log": ValueRange(-inf, inf),
    "quantile": ValueRange(-inf, inf),
    "quantile_uniform": ValueRange(0.0, 1.0),
}
"""What the normalized values lie in; infinite for those around 0."""

NORMALIZER = ("shift", "shift_rest", "scale")  # what is fitted for the linear ones
KNOTS = 1000  # quantiles of a column, as many as scikit-learn's QuantileTransformer
TAIL = 1e-7  # ranks closer to 0 or 1 than this are 5.2 deviations from the mean


def fit_normalizer(raw: Any, how: str, mask: Mask | None = None) -> dict[str, NDArray[Any]]:
    """What a normalizer learns from the training split, for each entry of the last axis. Constant entries become 0.

    Args:
        raw: the records of the training split, (n, *axes).
        how: the normalizer, not `none`.
        mask: raw values of some records -> bool (n, time), false at padding, which does not count.

    Raises:
        RuleViolation: DLC405 when there are no values.
    """
    if how in ("quantile", "quantile_uniform"):
        return _fit_quantiles(raw, mask)
    change = np.log1p if how == "log" else None

    def blocks() -> Iterator[NDArray[Any]]:
        found = rows_of(raw, mask)
        return found if change is None else (change(np.asarray(rows, np.float64)) for rows in found)

    count = sum(len(block) for block in blocks()) if mask is not None else len(raw)
    if not count:
        raise RuleViolation("DLC405", "there are no examples to compute the normalisation from")
    least = reduce(np.minimum, (block.min(0) for block in blocks())).astype(np.float64)
    most = reduce(np.maximum, (block.max(0) for block in blocks())).astype(np.float64)
    if how == "minmax":
        shift, scale = least, most - least
    else:
        count = count if mask is not None else prod(raw.shape[:-1]) if raw.ndim > 1 else count
        shift = sum(block.sum(0, dtype=np.float64) for block in blocks()) / count
        scale = np.sqrt(sum(np.square(block - shift).sum(0) for block in blocks()) / count)
    if how == "robust":
        quartiles = np.array([np.percentile(values, (25, 50, 75)) for values in entries_of(raw, mask)])
        shift, spread = quartiles[:, 1], quartiles[:, 2] - quartiles[:, 0]
        scale = np.where(spread > 0, spread, scale)
    constant = least == most
    shift = np.where(constant, least, shift)  # a sum of equal numbers may be rounded
    limits = np.finfo(np.float32)
    scale = np.where(constant, 1.0, np.clip(scale, limits.tiny, limits.max))
    return {"shift": shift, "shift_rest": np.zeros_like(shift), "scale": scale}


def normalizer_types(how: str, width: Any = 1) -> dict[str, TensorType]:
    """The types of the results of `fit_normalizer` for `width` entries of the last axis; none for `none`."""
    if how == "none":
        return {}
    if how in ("quantile", "quantile_uniform"):
        return {"quantiles": TensorType((KNOTS * width,)), "ranks": TensorType((KNOTS * width,))}
    return dict.fromkeys(NORMALIZER, TensorType((width,)))


def normalized(raw: Any, stats: Stats, how: str = "standard") -> Any:
    """The normalized values of raw ones (*axes, width). The rounding error of the shift is subtracted separately."""
    if how in ("quantile", "quantile_uniform"):
        ranks = _by_entry(raw, stats["quantiles"], stats["ranks"])
        return ranks if how == "quantile_uniform" else _normal_quantile(ranks)
    if how == "log":
        arrays = np if isinstance(raw, np.ndarray) else jnp
        raw = arrays.log1p(arrays.maximum(raw, 0))  # padding may be negative
    return ((raw - stats["shift"]) - stats["shift_rest"]) / stats["scale"]


def denormalized(value: Any, stats: Stats, how: str = "standard") -> Any:
    """The inverse of `normalized`."""
    if how in ("quantile", "quantile_uniform"):
        ranks = value if how == "quantile_uniform" else _normal_distribution(value)
        return _by_entry(ranks, stats["ranks"], stats["quantiles"])
    found = (value * stats["scale"] + stats["shift_rest"]) + stats["shift"]
    if how != "log":
        return found
    return np.expm1(found) if isinstance(found, np.ndarray) else jnp.expm1(found)


def without_shift(stats: Stats, how: str = "standard") -> Stats:
    """Statistics with which `denormalized` returns the distance from the shift, if there is a constant one."""
    if "shift" not in stats or how == "log":
        return stats
    zero = 0 * stats["shift"]
    return {**stats, "shift": zero, "shift_rest": zero}


def undefined(
    how: str, values: NDArray[Any], source: RecordColumns, clip: Clip, mask: NDArray[np.bool_] | None = None
) -> list[RuleViolation]:
    """The findings about values (n, *axes) for which a normalizer is not defined, DLC403: negative ones for `log`.

    Args:
        how: the normalizer.
        values: the values of some records.
        source: the columns that they come from.
        clip: the option `clip`.
        mask: (n, time), false at padding.
    """
    clipped = isinstance(clip, tuple) and clip[0] is not None and clip[0] >= 0
    if how != "log" or clipped:
        return []
    bad = values < 0
    if mask is not None:
        bad &= over(mask, bad)
    hint = "use `robust` or `quantile` for skewed numbers of both signs, or limit them with `clip: [0, null]`"
    what, expected = "has a negative value, whose logarithm `log` can't take", "numbers of at least 0"
    return source.wrong(bad, values, "DLC403", what, expected=expected, hint=hint, option="normalize")


# ---- clipping ----

Clip = float | tuple[float | None, float | None] | None


def _clip(value: Any) -> Any:
    if value is None:
        return None
    parts = value if isinstance(value, (list, tuple)) else [value]
    numbers = [part for part in parts if part is not None]
    if all(isinstance(part, (int, float)) and not isinstance(part, bool) and isfinite(part) for part in numbers):
        if parts is not value and numbers[0] > 0:
            return float(value)
        if len(parts) == 2 and (len(numbers) == 1 or (len(numbers) == 2 and numbers[0] < numbers[1])):
            return tuple(None if part is None else float(part) for part in parts)
    expected = "`[lowest, highest]`, one of which may be null, or a positive number of deviations"
    raise reject(OptionError((), "DLC104", "not a valid `clip`", found=spell(value), expected=expected))


Clipping = Annotated[Clip, BeforeValidator(_clip)]
"""The option of limits: `[lowest, highest]` in the data's unit, or how many deviations from the center; or None."""

CLIP = (
    "[lowest, highest] in the data's unit, or a number of deviations from the center: values beyond are set to the "
    "limit; only for inputs"
)
"""The description of the option."""


def check_clip(clip: Clip, how: str, missing: Any) -> None:
    """Check limits against the other options.

    Raises:
        PydanticCustomError: DLC104 or DLC303, as `reject` makes it.
    """
    if isinstance(clip, float) and NORMALIZED.get(how, ValueRange(0.0, 1.0)).high < inf:
        message = f"a `clip` of deviations has no effect with `normalize: {how}`"
        hint = "write `[lowest, highest]`, or use `standard`, `robust`, `log` or `quantile`"
        raise reject(OptionError(("clip",), "DLC303", message, hint=hint, at_key=True, because=("normalize",)))
    limited = isinstance(clip, tuple) and clip[0] is not None
    if how == "log" and isinstance(missing, float) and missing < 0 and not limited:
        message, found = "`missing` is negative, and the logarithm is not defined for it", f"`{missing:g}`"
        raise reject(OptionError(("missing",), "DLC104", message, found=found, expected="a number of at least 0"))
    if isinstance(clip, tuple) and isinstance(missing, float) and not _within(missing, clip):
        message, found = "`missing` lies outside of `clip`", f"`{missing:g}`"
        raise reject(OptionError(("missing",), "DLC104", message, found=found, expected="a number within the limits"))


def clipped_target(clip: Clip) -> RuleViolation | None:
    """What is wrong with limits of a target; None if it has none."""
    if clip is None:
        return None
    message = "a target can't be clipped: metrics would compare predictions with other numbers than those of the data"
    return RuleViolation("DLC104", message, hint="remove `clip`, or use a loss such as `huber`", option="clip")


def _within(value: float, clip: tuple[float | None, float | None]) -> bool:
    low, high = clip
    return (low is None or value >= low) and (high is None or value <= high)


def clip_raw(raw: Any, clip: Clip) -> Any:
    """Raw values limited to `[lowest, highest]`, if that is the option."""
    if not isinstance(clip, tuple):
        return raw
    return (np if isinstance(raw, np.ndarray) else jnp).clip(raw, *clip)


def clip_deviations(value: Any, clip: Clip) -> Any:
    """Normalized values limited to a number of deviations, if that is the option."""
    if not isinstance(clip, float):
        return value
    return (np if isinstance(value, np.ndarray) else jnp).clip(value, -clip, clip)


def clip_range(held: ValueRange | None, clip: Clip) -> ValueRange | None:
    """A declared range after clipping; that of the limits if both are known."""
    if not isinstance(clip, tuple):
        return held
    low, high = (held.low, held.high) if held is not None else (-inf, inf)
    low = low if clip[0] is None else max(low, clip[0])
    high = high if clip[1] is None else min(high, clip[1])
    return ValueRange(low, high) if isfinite(low) and isfinite(high) else None


# ---- quantiles ----


def _fit_quantiles(raw: Any, mask: Mask | None) -> dict[str, NDArray[Any]]:
    """Quantiles of each entry and their ranks from 0 to 1: at most `KNOTS`, and the last one again for fewer values."""
    quantiles, ranks = [], []
    for values in entries_of(raw, mask):
        if not len(values):
            raise RuleViolation("DLC405", "there are no examples to compute the normalisation from")
        count = min(KNOTS, len(values))
        steps = np.linspace(0, 1, count) if count > 1 else np.ones(1)
        knots = np.maximum.accumulate(np.percentile(values, steps * 100))
        quantiles.append(np.pad(knots, (0, KNOTS - count), mode="edge"))
        ranks.append(np.pad(steps, (0, KNOTS - count), mode="edge"))
    return {"quantiles": np.concatenate(quantiles), "ranks": np.concatenate(ranks)}


def _by_entry(values: Any, knots: Any, results: Any) -> Any:
    """Piecewise linear functions, one for each entry of the last axis.

    Args:
        values: (*axes, width), or (*axes, 1) for all entries.
        knots: where the functions are known, ascending: (width * KNOTS,).
        results: the values of the functions there.
    """
    width = knots.shape[0] // KNOTS
    knots, results = knots.reshape(width, KNOTS), results.reshape(width, KNOTS)
    arrays = np if isinstance(values, np.ndarray) else jnp
    if width > 1 and values.shape[-1] == 1:
        values = arrays.broadcast_to(values, (*values.shape[:-1], width))
    flat = values.reshape(-1, width)
    if arrays is np:
        found = np.empty(flat.shape, np.result_type(flat.dtype, np.float64))
        for index in range(width):
            found[:, index] = _interpolated(flat[:, index], knots[index], results[index])
        return found.reshape(values.shape)
    return jax.vmap(_interpolated, in_axes=(1, 0, 0), out_axes=1)(flat, knots, results).reshape(values.shape)


def _interpolated(values: Any, knots: Any, results: Any) -> Any:
    """A piecewise linear function of (n,) values. At equal knots it is the mean of the first and the last result."""
    arrays = np if isinstance(values, np.ndarray) else jnp
    last = len(knots) - 1
    below = arrays.searchsorted(knots, values, side="left")
    above = arrays.searchsorted(knots, values, side="right")
    left, right = arrays.clip(above - 1, 0, last), arrays.clip(above, 0, last)
    step = knots[right] - knots[left]
    share = arrays.clip((values - knots[left]) / arrays.where(step > 0, step, 1), 0, 1)
    between = results[left] + share * (results[right] - results[left])
    return arrays.where(above > below, (results[arrays.clip(below, 0, last)] + results[left]) / 2, between)


def _normal_quantile(ranks: Any) -> Any:
    """Ranks from 0 to 1 as values of a normal distribution of mean 0 and deviation 1, at most 5.2 in size."""
    arrays = np if isinstance(ranks, np.ndarray) else jnp
    lower = arrays.maximum(arrays.minimum(ranks, 1 - ranks), TAIL)  # float32 has more digits close to 0 than to 1
    if isinstance(ranks, np.ndarray):
        from scipy.special import ndtri

        distance = -ndtri(lower)
    else:
        distance = -jax.scipy.special.ndtri(lower)
    return arrays.where(ranks < 0.5, -distance, distance)


def _normal_distribution(values: Any) -> Any:
    """The inverse of `_normal_quantile`: the lowest and the highest values are ranks of 0 and 1."""
    if not isinstance(values, np.ndarray):
        ranks = jax.scipy.special.ndtr(values)
    else:
        from scipy.special import ndtr

        ranks = ndtr(values)
    arrays = np if isinstance(values, np.ndarray) else jnp
    return arrays.where(ranks <= 2 * TAIL, 0.0, arrays.where(ranks >= 1 - 2 * TAIL, 1.0, ranks))
