"""Predictions as confusion matrix, plots, images and tables, depending on their kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.diagnostics import plural
from dlc.frontend.plan import Plan
from dlc.reports import charts, codes
from dlc.reports.arrays import arrays, numbers
from dlc.reports.examples import MOST_COLUMNS, SAMPLES, image_input, rows_of
from dlc.reports.images import picture, value_range
from dlc.reports.markup import Markup, element, number, table
from dlc.reports.predictions import Answer, Answers, Classes, Labels, Sequences

MOST_CELLS = 20  # classes of a confusion matrix with counts; larger ones only have shades
MOST_SHADES = 400  # classes of a confusion matrix with shades
MOST_CLASSES = 40  # rows of a table of classes
MOST_MARKS = 150  # examples of a label in a row of probabilities
LONGEST = 40  # tokens of a sequence


def sections(plan: Plan, found: Answers) -> list[Markup]:
    """The sections for each output."""
    parts = []
    for answer in found.answers:
        looked = f"{plural(found.count, 'example')} of the {found.split} split"
        if found.count < found.size:
            looked = f"the first {looked}, which has {found.size:,}"
        parts.append(element("h3", f"{answer.name}: {looked}"))
        parts += _drawn(plan, found, answer)
    return parts if found.codes is None else [*parts, *codes.drawn(found.codes)]


def _drawn(plan: Plan, found: Answers, answer: Answer) -> list[Markup]:
    if isinstance(answer, Classes):
        return _classes(plan, found, answer)
    if isinstance(answer, Labels):
        return _labels(plan, found, answer)
    if isinstance(answer, Sequences):
        return _sequences(plan, found, answer)
    return numbers(plan, found, answer)


# ---- classes ----


def _classes(plan: Plan, found: Answers, answer: Classes) -> list[Markup]:
    counted = answer.there if answer.there is not None else np.ones(answer.guess.shape, bool)
    parts = [element("p", note, class_="note") for note in _notes(answer, counted)]
    if len(answer.classes) > MOST_SHADES:
        parts += confusions(answer, counted)
    elif answer.classes:
        counts = confusion(answer, counted)
        pairs = confusions(answer, counted) if len(counts) > MOST_CELLS else []
        chart = element("div", matrix(answer, counts), pairs)
        parts.append(element("div", chart, by_class(answer.classes, counts), class_="side"))
    if answer.guess.ndim == 1:
        right = (answer.guess == answer.truth) & counted
        wrong = np.flatnonzero(~right & counted)
        if answer.surety is not None:
            wrong = wrong[np.argsort(-answer.surety[wrong], kind="stable")]
        caption = _picked(min(SAMPLES, len(wrong)), len(wrong), "most confident")
        if len(wrong):
            parts += [element("h3", caption), _shown(plan, found, answer, wrong[:SAMPLES])]
        first = np.flatnonzero(counted)[:SAMPLES]
        return [*parts, element("h3", "First examples"), _shown(plan, found, answer, first)]
    return [*parts, element("h3", "First examples"), _maps(plan, found, answer)]


def _picked(shown: int, mistakes: int, which: str) -> str:
    """The heading of some of the mistakes."""
    return "The only mistake" if mistakes == 1 else f"The {shown} {which} of {mistakes:,} mistakes"


def _notes(answer: Classes, counted: NDArray[np.bool_]) -> list[str]:
    """The threshold of the target, and how many predictions are no class."""
    found = []
    if answer.threshold is not None and len(answer.classes) == 2:
        least = number(float(answer.threshold), 4)
        found.append(f"\u201c{answer.classes[1]}\u201d is predicted where its score is above {least}.")
    undefined = int((counted & (answer.guess < 0)).sum())
    if undefined:
        are = "is NaN: it is" if undefined == 1 else "are NaN: they are"
        found.append(f"{plural(undefined, 'prediction')} {are} wrong, and not in the matrix.")
    return found


def confusion(answer: Classes, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Counts by true class (rows) and predicted class (columns)."""
    size = len(answer.classes)
    guess, truth = answer.guess.astype(np.int64), answer.truth.astype(np.int64)
    there = counted & (truth >= 0) & (truth < size) & (guess >= 0)
    return np.bincount(truth[there] * size + guess[there], minlength=size * size).reshape(size, size)


def matrix(answer: Classes, counts: NDArray[np.int64]) -> Markup:
    """The confusion matrix: counts for few classes, shades for many."""
    names = answer.classes
    title = f"Confusion matrix of {answer.name}"
    if len(names) > MOST_CELLS:
        return element("div", charts.heat_map(title, counts.tolist(), names), class_="heat")
    head = [element("span", "true \u2193 predicted \u2192", class_="quiet"), *names]
    rows = []
    for index, (name, row) in enumerate(zip(names, counts.tolist(), strict=True)):
        total = sum(row) or 1
        shades = [min(5, -(-5 * many // total)) for many in row]
        styles = [f"h{shade}{' right' if at == index else ''}" for at, shade in enumerate(shades)]
        cells = [element("td", many or "\u00b7", class_=mark) for many, mark in zip(row, styles, strict=True)]
        rows.append((name, *cells))
    return element("figure", element("figcaption", title), table(head, rows, class_="confusion"))


def confusions(answer: Classes, counted: NDArray[np.bool_]) -> list[Markup]:
    """The pairs of classes that are confused most often; nothing if there is no mistake."""
    wrong = counted & (answer.guess != answer.truth)
    pairs, many = np.unique(np.stack([answer.truth[wrong], answer.guess[wrong]]), axis=1, return_counts=True)
    if not many.size:
        return []
    worst = np.argsort(-many, kind="stable")[:10]
    rows = [(_name(answer, pairs[0, at]), _name(answer, pairs[1, at]), int(many[at])) for at in worst]
    return [element("h3", "Most frequent confusions"), table(("true", "predicted", "examples"), rows)]


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
    note = element("p", plural(more, "more class"), class_="note") if more > 0 else None
    return element("div", table(head, rows, class_="numbers"), note)


def _share(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.3f}"


def _shown(plan: Plan, found: Answers, answer: Classes, rows: NDArray[Any]) -> Markup:
    """Examples with true and predicted class."""
    image = image_input(plan)
    sure = answer.surety
    inside = sure is not None and bool(((sure >= 0) & (sure < 1.001)).all())  # with the rounding of float32
    probable = sure is not None and inside and bool((sure % 1 != 0).any())  # only 0 and 1 are not probabilities
    if image is None:
        caption = [(_name(answer, answer.truth[row]), _guess(answer, row, probable)) for row in rows]
        return rows_of(plan, found, rows, ("true", "predicted"), caption)
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


def _name(answer: Classes, value: Any) -> str:
    names = answer.classes
    if value < 0:
        return "NaN"
    return names[int(value)] if int(value) < len(names) else str(int(value))


def _guess(answer: Classes, row: int, probable: bool) -> str:
    sure = f" ({100 * float(answer.surety[row]):.0f} %)" if probable and answer.surety is not None else ""
    return f"{_name(answer, answer.guess[row])}{sure}"


def _maps(plan: Plan, found: Answers, answer: Classes) -> Markup:
    """Classes of positions: maps as images beside the input, sequences as rows."""
    rows = range(min(SAMPLES, found.count))
    image = image_input(plan)
    if image is not None and answer.guess.ndim == 3:
        classes = (0.0, float(max(1, len(answer.classes) - 1)))
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
    return rows_of(plan, found, np.array(rows), ("true", "predicted"), listed)


def _listed(answer: Classes, values: NDArray[Any]) -> str:
    shown = " ".join(_name(answer, value) for value in values.reshape(-1)[:24])
    return f"{shown} \u2026" if values.size > 24 else shown


# ---- labels ----


def _labels(plan: Plan, found: Answers, answer: Labels) -> list[Markup]:
    """Labels that don't exclude each other: their probabilities, and how often they are right."""
    same = len(set(answer.thresholds.tolist())) == 1
    where = f"{answer.thresholds[0]:.3g}" if same else "its threshold"
    caption = f"Each label is predicted where its probability is above {where}."
    parts = [element("p", caption, class_="note"), _strips(answer), _by_label(answer)]
    heading = element("h3", "First examples")
    if answer.guess.ndim > 2:
        return [*parts, heading, *arrays(plan, found, answer.name, answer.truth, answer.guess, answer.thresholds)]
    rows = range(min(SAMPLES, found.count))
    image = image_input(plan)
    if image is None and len(answer.labels) <= MOST_COLUMNS:
        cells = [tuple(_probability(answer, row, at) for at in range(len(answer.labels))) for row in rows]
        note = element("p", "Probabilities of the labels; \u25cf marks the true ones.", class_="note")
        return [*parts, heading, note, rows_of(plan, found, np.array(rows), answer.labels, cells)]
    sides = [(_true_labels(answer, row), _predicted_labels(answer, row)) for row in rows]
    if image is None:
        return [*parts, heading, rows_of(plan, found, np.array(rows), ("true", "predicted"), sides)]
    limits = value_range(found.inputs[image][: len(rows)])
    items = []
    for row, (truth, guess) in zip(rows, sides, strict=True):
        drawn = picture(found.inputs[image][row], limits, f"{image}, true {truth}, predicted {guess}")
        items.append(element("li", drawn, element("div", guess), element("div", f"true: {truth}")))
    return [*parts, heading, element("ul", items, class_="samples")]


def _strips(answer: Labels) -> Markup:
    """A row of probabilities for each label."""
    names = answer.labels[:MOST_CLASSES]
    rows = []
    for at, name in enumerate(names):
        guess, truth = answer.guess[..., at].reshape(-1), answer.truth[..., at].reshape(-1)
        sides = [guess[(truth == value) & np.isfinite(guess)] for value in (1, 0)]
        rows.append((name, *(side[:: -(-len(side) // MOST_MARKS) or 1].tolist() for side in sides)))
    return charts.strips(f"Probabilities of {answer.name}", rows)


def _by_label(answer: Labels) -> Markup:
    """Precision, recall and mean probabilities of each label."""
    rows = []
    for at, name in enumerate(answer.labels[:MOST_CLASSES]):
        guess, truth = answer.guess[..., at], answer.truth[..., at]
        predicted = guess > answer.thresholds[at]
        hit = int((predicted & (truth == 1)).sum())
        guessed, there = int((predicted & np.isfinite(truth)).sum()), int((truth == 1).sum())
        shares = (hit / guessed if guessed else None, hit / there if there else None)
        means = [_mean(guess[truth == value]) for value in (1, 0)]
        shown = (f"{answer.thresholds[at]:.3g}", *(_share(value) for value in (*shares, *means)), f"{there:,}")
        rows.append((name, *shown))
    head = ("label", "threshold", "precision", "recall", "mean probability where true", "where false", "true")
    more = len(answer.labels) - MOST_CLASSES
    note = element("p", plural(more, "more label"), class_="note") if more > 0 else None
    return element("div", table(head, rows, class_="numbers"), note)


def _mean(values: NDArray[Any]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _probability(answer: Labels, row: int, at: int) -> str:
    mark = "\u25cf " if answer.truth[row, at] == 1 else ""
    return f"{mark}{_share(_finite(answer.guess[row, at]))}"


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _true_labels(answer: Labels, row: int) -> str:
    return _several([name for name, value in zip(answer.labels, answer.truth[row], strict=True) if value == 1])


def _predicted_labels(answer: Labels, row: int) -> str:
    order = np.argsort(-answer.guess[row], kind="stable")
    sure = [at for at in order if answer.guess[row, at] > answer.thresholds[at]] or order[:1]
    return _several([f"{answer.labels[at]} ({100 * float(answer.guess[row, at]):.0f} %)" for at in sure])


def _several(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_COLUMNS]) or "none"
    return f"{shown} \u2026" if len(names) > MOST_COLUMNS else shown


# ---- sequences ----


def _sequences(plan: Plan, found: Answers, answer: Sequences) -> list[Markup]:
    """Decoded sequences beside the true ones."""
    wrong = np.flatnonzero(answer.edits)
    tokens = sum(len(row) for row in answer.truth)
    share = f"{100 * (1 - len(wrong) / max(1, found.count)):.1f} % of the sequences are right"
    rate = f"; {int(answer.edits.sum()):,} edits for {plural(tokens, 'token')}" if tokens else ""
    note = f"{share}{rate}. An edit inserts, deletes or replaces a token."
    parts: list[Markup] = [element("p", note, class_="note")]
    worst = wrong[np.argsort(-answer.edits[wrong], kind="stable")][:SAMPLES]
    for heading, rows in ((_picked(len(worst), len(wrong), "worst"), worst), ("First examples", None)):
        chosen = np.arange(min(SAMPLES, found.count)) if rows is None else rows
        if len(chosen):
            cells = [(_spelt(answer.truth[row]), _spelt(answer.guess[row]), int(answer.edits[row])) for row in chosen]
            parts += [element("h3", heading), rows_of(plan, found, chosen, ("true", "predicted", "edits"), cells)]
    return parts


def _spelt(tokens: Sequence[int]) -> str:
    shown = " ".join(map(str, tokens[:LONGEST])) or "(nothing)"
    return f"{shown} \u2026" if len(tokens) > LONGEST else shown
