"""Examples by their inputs: the image among them, and rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.components.features.tensor import Tensor
from dlc.components.features.tokens import Tokens
from dlc.diagnostics import plural
from dlc.frontend.plan import Plan
from dlc.reports.images import pictured
from dlc.reports.markup import Markup, element, number, table
from dlc.reports.predictions import Answers

SAMPLES = 12  # examples shown of each kind
LONGEST = 200  # characters of a text
MOST_COLUMNS = 6  # columns of inputs in a table


def image_input(plan: Plan) -> str | None:
    """The first input that is an image."""
    for name, feature in plan.inputs.items():
        if name in plan.graph.inputs and pictured(feature.value_type()):
            return name
    return None


def rows_of(
    plan: Plan, found: Answers, rows: NDArray[Any], heads: Sequence[str], caption: Sequence[Sequence[object]]
) -> Markup:
    """Examples as rows of a table: the first columns of their inputs, and the given cells."""
    columns: list[tuple[str, NDArray[Any]]] = []
    left = 0
    for name, values in found.inputs.items():
        feature = plan.inputs[name]
        if isinstance(feature, Tokens) or values.dtype == object:
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
    text = f"{plural(left, 'more column')} of inputs {'is' if left == 1 else 'are'} not shown."
    note = element("p", text, class_="note") if left else None
    style = None if any(values.ndim > 1 or values.dtype == object for _, values in columns) else "numbers"
    return element("div", table(("example", *(name for name, _ in columns), *heads), body, class_=style), note)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value if len(value) <= LONGEST else f"{value[:LONGEST]} \u2026"
    if np.ndim(value):
        shown = " ".join(number(float(item)) for item in np.ravel(value)[:16])
        return f"{shown} \u2026" if np.size(value) > 16 else shown
    return number(float(f"{value:.6g}"))  # without the digits added by float32
