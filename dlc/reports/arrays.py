"""Predicted numbers: points, curves over time, and pictures of images and of the channels of maps."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.components.features.series import Series
from dlc.components.features.tensor import Tensor
from dlc.frontend.plan import Plan
from dlc.reports import charts
from dlc.reports.examples import SAMPLES, image_input, rows_of
from dlc.reports.images import gray, picture, pictured, value_range
from dlc.reports.markup import Markup, element, number
from dlc.reports.predictions import Answers, Numbers

MOST_DOTS = 600  # points of a scatter plot
MOST_CURVES = 6  # numbers that have plots of their own
MOST_SERIES = 6  # series of a target that are drawn, or channels of a map


def numbers(plan: Plan, found: Answers, answer: Numbers) -> list[Markup]:
    """Numbers by their shape: images, arrays of many numbers as curves or pictures, few numbers as points."""
    guess, truth = answer.guess, answer.truth
    if guess.shape != truth.shape:
        caption = f"The output has the shape {list(guess.shape[1:])}, its target {list(truth.shape[1:])}: "
        return [element("p", caption + "they can't be compared element by element.", class_="note")]
    colors = pictured(answer.kind) and answer.kind.shape[-1] in (1, 3)  # four channels would be drawn as transparency
    if guess.shape[1:] == answer.kind.shape[1:] and (gray(answer.kind) or (colors and guess.ndim == 4)):
        return _restored(plan, found, answer)
    if prod(guess.shape[1:]) > MOST_CURVES or answer.kind.mask:  # padding doesn't decide how a series is drawn
        errors = element("div", _all_residuals(plan, answer.name, guess - truth), class_="charts")
        return [errors, *arrays(plan, found, answer.name, truth, guess)]
    width = prod(guess.shape[1:])
    plots: list[Markup] = []
    guesses, truths = guess.reshape(len(guess), -1), truth.reshape(len(truth), -1)
    some = slice(None, None, -(-len(guesses) // MOST_DOTS))
    for at in range(width):
        name = answer.name if width == 1 else f"{answer.name}_{at}"
        dots = charts.scatter(f"Predicted and true {name}", truths[some, at].tolist(), guesses[some, at].tolist(), name)
        plots.append(element("div", dots, _residuals(name, guesses[:, at] - truths[:, at]), class_="charts"))
    rows = np.arange(min(SAMPLES, found.count))
    beside = [tuple(_vector(values[row]) for values in (truths, guesses, guesses - truths)) for row in rows]
    heading = element("h3", "First examples")
    return [*plots, heading, rows_of(plan, found, rows, ("true", "predicted", "error"), beside)]


def series_names(plan: Plan, name: str, count: int) -> list[str]:
    """The names of the series, or channels, of a value: its columns, if there is one for each."""
    feature = {**plan.inputs, **plan.targets}.get(name)
    columns = feature.columns if isinstance(feature, (Series, Tensor)) else None
    if columns is not None and len(columns) == count:
        return list(columns)
    return [name] if count == 1 else [f"{name}_{at}" for at in range(count)]


def _all_residuals(plan: Plan, name: str, errors: NDArray[Any]) -> list[Markup]:
    """The errors of a vector or of images together, those of several series or channels each by itself."""
    if errors.ndim < 3:
        return [_residuals(name, errors.reshape(-1))]
    channels = prod(errors.shape[2:]) if errors.ndim == 3 else errors.shape[-1]
    series = errors.reshape(-1, channels)
    names = series_names(plan, name, series.shape[1])[:MOST_SERIES]
    return [_residuals(label, series[:, at]) for at, label in enumerate(names)]


def _residuals(name: str, errors: NDArray[Any]) -> Markup:
    known = errors[np.isfinite(errors)]
    if not known.size:
        return element("p", "No prediction is finite.", class_="note")
    return charts.histogram(f"Errors of {name}", known[: 1 << 16].tolist(), "predicted \u2212 true")


# ---- arrays: series, maps, volumes ----


def arrays(
    plan: Plan,
    found: Answers,
    name: str,
    truth: NDArray[Any],
    guess: NDArray[Any],
    thresholds: NDArray[Any] | None = None,
) -> list[Markup]:
    """The first examples of arrays (n, *axes): a vector or series as curves, channels of maps as pictures.

    Of a volume (depth, height, width, channels) the slice in the middle is drawn. With `thresholds`, one for each
    channel, values are probabilities: black is 0 and white 1. Otherwise these are the lowest and highest true value.
    """
    if guess.ndim <= 3:
        return _series(plan, found, name, truth, guess)
    notes = []
    while guess.ndim > 4:
        middle = guess.shape[1] // 2
        notes.append(f"slice {middle + 1} of {guess.shape[1]}")
        truth, guess = truth[:, middle], guess[:, middle]
    return _channels(plan, found, name, truth, guess, notes, thresholds)


def _series(plan: Plan, found: Answers, name: str, truth: NDArray[Any], guess: NDArray[Any]) -> list[Markup]:
    """Each series of (n, time[, series]) as a pair of curves over time; a forecast with what precedes it."""
    truths, guesses = (value.reshape(*value.shape[:2], -1) for value in (truth, guess))
    count = guesses.shape[2]
    shown = min(count, MOST_SERIES)
    names, before = series_names(plan, name, count), _past(plan, found, name)
    drawn = []
    for row in _spread(min(max(2, SAMPLES // shown), found.count), found.count, forecasts=bool(before)):
        known = np.flatnonzero((np.isfinite(truths[row]) | np.isfinite(guesses[row])).any(-1))
        end = known[-1] + 1 if known.size else 1  # what follows is padding
        for at in range(shown):
            title = f"example {row + 1}" if count == 1 else f"example {row + 1}, {names[at]}"
            past = before[names[at]][row, -2 * end :].tolist() if names[at] in before else []
            sides = [*past, *truths[row, :end, at].tolist()], [*[nan] * len(past), *guesses[row, :end, at].tolist()]
            drawn.append(charts.curve_pair(title, *sides))
    which = f" The first {shown} of {count} series are shown." if shown < count else ""
    chosen = "Examples, with what precedes them" if before else "The first examples"
    note = element("p", f"{chosen}: true values solid, predictions dashed.{which}", class_="note")
    return [note, element("div", drawn, class_="charts")]


def _past(plan: Plan, found: Answers, name: str) -> dict[str, NDArray[Any]]:
    """The values of the series before a forecast, by column: (n, time)."""
    feature = plan.targets.get(name)
    if not isinstance(feature, Series) or feature.past is not None:
        return {}
    known: dict[str, NDArray[Any]] = {}
    for other, values in found.inputs.items():
        given = plan.inputs[other]
        if isinstance(given, Series) and given.past is not None:
            known |= {column: values[:, :, at] for at, column in enumerate(given.columns or (other,))}
    return {column: known[column] for column in feature.columns or (name,) if column in known}


def _spread(shown: int, count: int, *, forecasts: bool) -> list[int]:
    """The first examples; of forecasts, whose neighbours are almost the same, some from all over the split."""
    return [index * count // shown for index in range(shown)] if forecasts else list(range(shown))


def _channels(
    plan: Plan,
    found: Answers,
    name: str,
    truth: NDArray[Any],
    guess: NDArray[Any],
    notes: Sequence[str],
    thresholds: NDArray[Any] | None,
) -> list[Markup]:
    """Each channel of maps (n, height, width, channels) as pictures beside the input."""
    count = guess.shape[-1]
    shown = min(count, MOST_SERIES)
    rows = range(min(max(2, SAMPLES // shown), found.count))
    image = image_input(plan)
    beside = value_range(found.inputs[image][: len(rows)]) if image is not None else (0.0, 1.0)
    items = []
    for row in rows:
        for at in range(shown):
            label = name if count == 1 else f"{name}_{at}"
            threshold = None if thresholds is None else float(thresholds[at])
            black_white = value_range(truth[: len(rows), ..., at]) if threshold is None else (0.0, 1.0)
            drawn = [] if image is None else [picture(found.inputs[image][row], beside, image)]
            drawn.append(picture(truth[row, ..., at], black_white, f"{label}, true"))
            drawn.append(picture(guess[row, ..., at], black_white, f"{label}, predicted"))
            verdict = _agreement(
                guess[row, ..., at], truth[row, ..., at], None if thresholds is None else thresholds[at]
            )
            items.append(element("li", drawn, element("div", f"{label}: {verdict}")))
    legend = ["True and predicted" if image is None else "Input, true and predicted", *notes]
    if count > 1:
        legend.append("each channel by itself" if shown == count else f"the first {shown} of {count} channels")
    if thresholds is not None:
        legend.append("probabilities from 0 (black) to 1 (white)")
    style = "samples wide" if image is None else "samples wide triple"
    note = element("p", f"{'; '.join(legend)}; the first examples.", class_="note")
    return [note, element("ul", items, class_=style)]


def _agreement(guess: NDArray[Any], truth: NDArray[Any], threshold: float | None) -> str:
    """How well a map agrees with the true one: the share of right labels, or the error of numbers."""
    known = np.isfinite(guess) & np.isfinite(truth)
    if threshold is None or not known.any():
        return f"rms error {_rms(guess - truth)}"
    right = (guess > threshold) == (truth == 1)
    return f"{100 * float(right[known].mean()):.1f} % agree"


def _rms(errors: NDArray[Any]) -> str:
    known = errors[np.isfinite(errors)].astype(np.float64)
    return number(float(np.sqrt(np.mean(np.square(known)))), 3) if known.size else "unknown"


def _restored(plan: Plan, found: Answers, answer: Numbers) -> list[Markup]:
    """Predicted images beside the true ones, and beside the input if it is a different image: the worst, and the first.

    The worst have the largest rms errors.
    """
    errors = np.square(answer.guess.astype(np.float64) - answer.truth).reshape(found.count, -1)
    known = np.flatnonzero(np.isfinite(errors).all(1))
    worst = known[np.argsort(-errors[known].mean(1), kind="stable")][:SAMPLES]
    first = np.arange(min(SAMPLES, found.count))
    parts = (
        [element("h3", "The largest errors"), _beside(plan, found, answer, worst)] if found.count > 2 * SAMPLES else []
    )
    return [*parts, element("h3", "First examples"), _beside(plan, found, answer, first)]


def _beside(plan: Plan, found: Answers, answer: Numbers, rows: NDArray[Any]) -> Markup:
    """Some examples."""
    truth = answer.truth
    limits = value_range(truth[rows])
    image = image_input(plan) if answer.section == "targets" else None
    items = []
    for row in rows:
        shown = (
            [] if image is None else [picture(found.inputs[image][row], value_range(found.inputs[image][rows]), image)]
        )
        shown.append(picture(truth[row], limits, f"{answer.name}, true"))
        shown.append(picture(answer.guess[row], limits, f"{answer.name}, predicted"))
        items.append(element("li", shown, element("div", f"rms error {_rms(answer.guess[row] - truth[row])}")))
    legend = "Input and reconstruction" if answer.section == "inputs" else "True and predicted"
    legend = legend if image is None else "Input, true and predicted"
    style = "samples wide" if image is None else "samples wide triple"
    return element("div", element("p", f"{legend}.", class_="note"), element("ul", items, class_=style))


def _vector(values: NDArray[Any]) -> str:
    return ", ".join(number(float(value)) for value in values)
