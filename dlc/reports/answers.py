"""Predictions as confusion matrix, plots, images and tables, depending on their kind."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.components.features.decision import limit
from dlc.components.features.tensor import Tensor
from dlc.components.features.tokens import Tokens
from dlc.frontend.plan import Plan
from dlc.reports import charts
from dlc.reports.images import picture, pictured, value_range
from dlc.reports.markup import Markup, element, number, table
from dlc.reports.predictions import Answer, Answers

SAMPLES = 12  # examples shown of each kind
MOST_CELLS = 20  # classes of a confusion matrix with counts; larger ones only have shades
MOST_CLASSES = 40  # rows of a table of classes
MOST_COLUMNS = 6  # columns of inputs in a table
MOST_DOTS = 600  # points of a scatter plot
MOST_CURVES = 6


def sections(plan: Plan, found: Answers) -> list[Markup]:
    """The sections for each output."""
    parts = []
    for answer in found.answers:
        looked = f"{found.count:,} examples of the {found.split} split"
        if found.count < found.size:
            looked = f"the first {looked}, which has {found.size:,}"
        parts.append(element("h3", f"{answer.name}: {looked}"))
        parts += _classes(plan, found, answer) if answer.classes is not None else _numbers(plan, found, answer)
    return parts


# ---- classes ----


def _classes(plan: Plan, found: Answers, answer: Answer) -> list[Markup]:
    assert answer.classes is not None
    counted = answer.there if answer.there is not None else np.ones(answer.guess.shape, bool)
    parts = [element("p", note, class_="note") for note in _notes(answer, counted)]
    if answer.classes:
        counts = confusion(answer, counted)
        parts.append(element("div", matrix(answer, counts), by_class(answer.classes, counts), class_="side"))
    if answer.guess.ndim == 1:
        right = (answer.guess == answer.truth) & counted
        wrong = np.flatnonzero(~right & counted)
        if answer.surety is not None:
            wrong = wrong[np.argsort(-answer.surety[wrong], kind="stable")]
        caption = f"The {min(SAMPLES, len(wrong))} most confident of {len(wrong):,} mistakes"
        if len(wrong):
            parts += [element("h3", caption), _shown(plan, found, answer, wrong[:SAMPLES])]
        first = np.flatnonzero(counted)[:SAMPLES]
        return [*parts, element("h3", "First examples"), _shown(plan, found, answer, first)]
    return [*parts, element("h3", "First examples"), _maps(plan, found, answer)]


def _notes(answer: Answer, counted: NDArray[np.bool_]) -> list[str]:
    """The threshold of the target, and how many predictions are no class."""
    found = []
    if answer.feature.decision is not None and answer.classes is not None and len(answer.classes) == 2:
        least = number(float(limit(answer.feature.decision)), 4)
        found.append(f"\u201c{answer.classes[1]}\u201d is predicted where its score is above {least}.")
    undefined = int((counted & (answer.guess < 0)).sum())
    if undefined:
        found.append(f"{undefined:,} predictions are NaN: they are wrong, and not in the matrix.")
    return found


def confusion(answer: Answer, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Counts by true class (rows) and predicted class (columns)."""
    size = len(answer.classes or ())
    guess, truth = answer.guess.astype(np.int64), answer.truth.astype(np.int64)
    there = counted & (truth >= 0) & (truth < size) & (guess >= 0)
    return np.bincount(truth[there] * size + guess[there], minlength=size * size).reshape(size, size)


def matrix(answer: Answer, counts: NDArray[np.int64]) -> Markup:
    """The confusion matrix: counts for few classes, shades for many."""
    names = answer.classes or []
    title = f"Confusion matrix of {answer.name}"
    if len(names) > MOST_CELLS:
        off = [(int(counts[i, j]), names[i], names[j]) for i, j in zip(*np.nonzero(counts), strict=True) if i != j]
        worst = sorted(off, reverse=True)[:10]
        chart = element("div", charts.heat_map(title, counts.tolist(), names), class_="heat")
        taken = [(truth, guess, many) for many, truth, guess in worst]
        return element(
            "div", chart, element("h3", "Most frequent confusions"), table(("true", "predicted", "examples"), taken)
        )
    head = [element("span", "true \u2193 predicted \u2192", class_="quiet"), *names]
    rows = []
    for index, (name, row) in enumerate(zip(names, counts.tolist(), strict=True)):
        total = sum(row) or 1
        shades = [min(5, -(-5 * many // total)) for many in row]
        styles = [f"h{shade}{' right' if at == index else ''}" for at, shade in enumerate(shades)]
        cells = [element("td", many or "\u00b7", class_=mark) for many, mark in zip(row, styles, strict=True)]
        rows.append((name, *cells))
    return element("figure", element("figcaption", title), table(head, rows, class_="confusion"))


def by_class(names: Sequence[str], counts: NDArray[np.int64]) -> Markup:
    """Precision and recall of each class."""
    rows = []
    for index, name in enumerate(names[:MOST_CLASSES]):
        hit, guessed, there = counts[index, index], counts[:, index].sum(), counts[index].sum()
        precision = hit / guessed if guessed else None
        recall = hit / there if there else None
        rows.append((name, _share(precision), _share(recall), f"{there:,}"))
    head = ("class", "precision", "recall", "examples")
    more = len(names) - MOST_CLASSES
    note = element("p", f"{more} more classes", class_="note") if more > 0 else None
    return element("div", table(head, rows, class_="numbers"), note)


def _share(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.3f}"


def _shown(plan: Plan, found: Answers, answer: Answer, rows: NDArray[Any]) -> Markup:
    """Examples with true and predicted class."""
    image = image_input(plan)
    sure = answer.surety
    inside = sure is not None and bool(((sure >= 0) & (sure < 1.001)).all())  # with the rounding of float32
    probable = sure is not None and inside and bool((sure % 1 != 0).any())  # only 0 and 1 are not probabilities
    if image is None:
        caption = [(_name(answer, answer.truth[row]), _guess(answer, row, probable)) for row in rows]
        return _rows(plan, found, rows, ("true", "predicted"), caption)
    limits = value_range(found.inputs[image][rows])
    items = []
    for row in rows:
        good = answer.guess[row] == answer.truth[row]
        truth, guess = _name(answer, answer.truth[row]), _guess(answer, row, probable)
        drawn = picture(found.inputs[image][row], limits, f"{image}, true {truth}, predicted {guess}")
        verdict = f"\u2713 {guess}" if good else f"\u2717 {guess}"
        text = element("div", element("b", verdict), None if good else element("div", f"true: {truth}"))
        items.append(element("li", drawn, text, class_="right" if good else "wrong"))
    return element("ul", items, class_="samples")


def _name(answer: Answer, value: Any) -> str:
    names = answer.classes or []
    if value < 0:
        return "NaN"
    return names[int(value)] if int(value) < len(names) else str(int(value))


def _guess(answer: Answer, row: int, probable: bool) -> str:
    sure = f" ({100 * float(answer.surety[row]):.0f} %)" if probable and answer.surety is not None else ""
    return f"{_name(answer, answer.guess[row])}{sure}"


def _maps(plan: Plan, found: Answers, answer: Answer) -> Markup:
    """Classes of positions: maps as images beside the input, sequences as rows."""
    rows = range(min(SAMPLES, found.count))
    image = image_input(plan)
    if image is not None and answer.guess.ndim == 3:
        classes = (0.0, float(max(1, len(answer.classes or ()) - 1)))
        limits = value_range(found.inputs[image][: len(rows)])
        items = []
        for row in rows:
            shown = [picture(found.inputs[image][row], limits, image)]
            shown += [picture(answer.truth[row], classes, f"true {answer.name}")]
            shown += [picture(answer.guess[row], classes, f"predicted {answer.name}")]
            share = float((answer.guess[row] == answer.truth[row]).mean())
            items.append(element("li", shown, element("div", f"input, true, predicted; {100 * share:.1f} % agree")))
        return element("ul", items, class_="samples wide triple")
    listed = []
    for row in rows:
        there = answer.there[row] if answer.there is not None else np.ones(answer.guess[row].shape, bool)
        listed.append(tuple(_listed(answer, values[row][there]) for values in (answer.truth, answer.guess)))
    return _rows(plan, found, np.array(rows), ("true", "predicted"), listed)


def _listed(answer: Answer, values: NDArray[Any]) -> str:
    shown = " ".join(_name(answer, value) for value in values.reshape(-1)[:24])
    return f"{shown} \u2026" if values.size > 24 else shown


# ---- numbers ----


def _numbers(plan: Plan, found: Answers, answer: Answer) -> list[Markup]:
    guess, truth = answer.guess, answer.truth
    if guess.shape != truth.shape:
        if guess.size != truth.size:
            caption = f"The output has the shape {list(guess.shape[1:])}, its target {list(truth.shape[1:])}: "
            return [element("p", caption + "they can't be compared element by element.", class_="note")]
        truth = truth.reshape(guess.shape)
    width = prod(guess.shape[1:])
    kind = answer.feature.value_type()
    if pictured(kind):
        return [_restored(plan, found, answer)]
    if width > MOST_CURVES:
        drawn = [
            charts.curve_pair(f"example {row + 1}", truth[row].reshape(-1).tolist(), guess[row].reshape(-1).tolist())
            for row in range(min(SAMPLES, found.count))
        ]
        errors = (guess - truth).reshape(-1)
        note = element("p", "The first examples: true values solid, predictions dashed.", class_="note")
        return [_residuals(answer.name, errors), note, element("div", drawn, class_="charts")]
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
    return [*plots, heading, _rows(plan, found, rows, ("true", "predicted", "error"), beside)]


def _residuals(name: str, errors: NDArray[Any]) -> Markup:
    known = errors[np.isfinite(errors)]
    if not known.size:
        return element("p", "No prediction is finite.", class_="note")
    return charts.histogram(f"Errors of {name}", known[: 1 << 16].tolist(), "predicted \u2212 true")


def _restored(plan: Plan, found: Answers, answer: Answer) -> Markup:
    """Predicted images beside the true ones, and beside the input if it is a different image."""
    rows = range(min(SAMPLES, found.count))
    truth = answer.truth.reshape(answer.guess.shape)
    limits = value_range(truth[: len(rows)])
    image = image_input(plan) if answer.section == "targets" else None
    items = []
    for row in rows:
        shown = (
            []
            if image is None
            else [picture(found.inputs[image][row], value_range(found.inputs[image][: len(rows)]), image)]
        )
        shown.append(picture(truth[row], limits, f"{answer.name}, true"))
        shown.append(picture(answer.guess[row], limits, f"{answer.name}, predicted"))
        error = float(np.sqrt(np.mean(np.square(answer.guess[row].astype(np.float64) - truth[row]))))
        items.append(element("li", shown, element("div", f"rms error {number(error, 3)}")))
    legend = "Input and reconstruction" if answer.section == "inputs" else "True and predicted"
    legend = legend if image is None else "Input, true and predicted"
    style = "samples wide" if image is None else "samples wide triple"
    return element(
        "div", element("p", f"{legend}; the first examples.", class_="note"), element("ul", items, class_=style)
    )


def _vector(values: NDArray[Any]) -> str:
    return ", ".join(number(float(value)) for value in values)


# ---- inputs ----


def image_input(plan: Plan) -> str | None:
    """The first input that is an image."""
    for name, feature in plan.inputs.items():
        if name in plan.graph.inputs and pictured(feature.value_type()):
            return name
    return None


def _rows(
    plan: Plan, found: Answers, rows: NDArray[Any], heads: Sequence[str], caption: Sequence[Sequence[object]]
) -> Markup:
    """Examples as rows of a table: the first columns of their inputs, and the given cells."""
    columns: list[tuple[str, NDArray[Any]]] = []
    left = 0
    for name, values in found.inputs.items():
        feature = plan.inputs[name]
        if isinstance(feature, Tokens):
            columns.append((name, values))
            continue
        flat = values.reshape(len(values), -1)
        names = feature.columns if isinstance(feature, Tensor) and feature.columns else None
        several = names if names and len(names) == flat.shape[1] else [f"{name}_{at}" for at in range(flat.shape[1])]
        labels = several if flat.shape[1] > 1 else [name]
        room = max(1, MOST_COLUMNS - len(columns))
        columns += [(label, flat[:, at]) for at, label in enumerate(labels[:room])]
        left += max(0, len(labels) - room)
    body = [
        (int(row) + 1, *(_cell(values[row]) for _, values in columns), *more)
        for row, more in zip(rows, caption, strict=True)
    ]
    note = element("p", f"{left:,} more columns of inputs are not shown.", class_="note") if left else None
    style = None if any(values.ndim > 1 for _, values in columns) else "numbers"
    return element("div", table(("example", *(name for name, _ in columns), *heads), body, class_=style), note)


def _cell(value: Any) -> str:
    if np.ndim(value):
        shown = " ".join(number(float(item)) for item in np.ravel(value)[:16])
        return f"{shown} \u2026" if np.size(value) > 16 else shown
    return number(float(f"{value:.6g}"))  # without the digits added by float32
