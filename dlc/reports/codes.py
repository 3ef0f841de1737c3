"""The codes of an autoencoder, or of any network with an item named `code`, as a picture in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlc.components.features.category import Category
from dlc.diagnostics import plural
from dlc.frontend.plan import Plan
from dlc.frontend.predictions import results_of_items
from dlc.ir import Ref, TensorType, TypedGraph
from dlc.reports import charts
from dlc.reports.markup import Markup, element

NAME = "code"
"""The name of an item whose results are drawn in any case."""
MOST_NUMBERS = 1 << 14  # of a code
MOST_CLASSES = 10  # that are told apart


class Codes(NamedTuple):
    """The codes of some examples.

    Args:
        item: the item that gives them.
        values: (n, size).
        name: the target of classes, if there is one.
        classes: its classes.
        numbers: (n,) their classes.
    """

    item: str
    values: NDArray[Any]
    name: str = ""
    classes: tuple[str, ...] = ()
    numbers: NDArray[Any] | None = None


def item_with_code(plan: Plan) -> str | None:
    """The item whose results are the codes: one named `code`, else the narrowest of a network that predicts an input.

    None if there is no such item, or if it is no narrower than the input.
    """
    graph, items = plan.graph, results_of_items(plan.graph)
    if NAME in items:
        return NAME if _size(graph, *items[NAME]) else None
    restored = [term.against.name for term in plan.losses if term.against and term.against.section == "inputs"]
    sizes = {name: size for name, (ref, kind) in items.items() if (size := _size(graph, ref, kind))}
    widest = max((_product(graph.inputs[name].shape[1:]) for name in restored if name in graph.inputs), default=0)
    narrowest = min(sizes, key=lambda name: sizes[name], default=None)
    return narrowest if narrowest is not None and sizes[narrowest] < widest else None


def with_code(graph: TypedGraph, item: str) -> TypedGraph:
    """A graph whose outputs include the results of an item, under its name."""
    ref, kind = results_of_items(graph)[item]
    return replace(graph, outputs={**graph.outputs, item: ref}, types={**graph.types, item: kind})


def _size(graph: TypedGraph, ref: Ref, kind: TensorType) -> int:
    """The numbers of a code; 0 if it can't be drawn, or is an output."""
    size = 0 if kind.mask or not kind.is_float else _product(kind.shape[1:])
    return size if 1 < size <= MOST_NUMBERS and ref not in graph.outputs.values() else 0


def _product(sizes: tuple[Any, ...]) -> int:
    return prod(sizes) if all(isinstance(size, int) for size in sizes) else 0


def plane(codes: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Codes (n, size) in two dimensions (n, 2), and the share of their variance that these show.

    Two numbers stay as they are; of more the first two principal components are shown (Pearson 1901), whose signs are
    such that the entry of a component with the largest magnitude is positive.
    """
    found = codes.astype(np.float64)
    if found.shape[1] == 2:
        return found, 1.0
    centered = found - found.mean(0)
    _, lengths, directions = np.linalg.svd(centered, full_matrices=False)
    first = directions[:2]
    first = first * np.sign(first[np.arange(len(first)), np.abs(first).argmax(1)])[:, None]
    total = float(np.square(lengths).sum())
    return centered @ first.T, float(np.square(lengths[:2]).sum()) / total if total else 1.0


def codes_of(plan: Plan, item: str, values: NDArray[Any], records: Mapping[str, Mapping[str, Any]]) -> Codes:
    """The codes (n, *sizes) that an item gives for some records, and their classes if one target has classes."""
    found = Codes(item, values.reshape(len(values), -1))
    kinds = {name: feature for name, feature in plan.targets.items() if isinstance(feature, Category)}
    if len(kinds) != 1:
        return found
    ((name, feature),) = kinds.items()
    numbers = np.asarray(records["targets"][name])
    if numbers.ndim == 2 and feature.one_hot:
        numbers = numbers.argmax(-1)
    return found._replace(name=name, classes=tuple(feature.names), numbers=numbers) if numbers.ndim == 1 else found


def drawn(codes: Codes) -> list[Markup]:
    """The section of the codes; empty for fewer than three."""
    known = np.isfinite(codes.values).all(1)
    if known.sum() < 3:
        return []
    size = codes.values.shape[1]
    points, share = plane(codes.values[known])
    note = f"The {size:,} numbers that `{codes.item}` gives for each example"
    if size > 2:
        note += f", as their first two principal components, which show {100 * share:.0f} % of the variance"
    groups: list[tuple[str, NDArray[Any]]] = [("", points)]
    if codes.numbers is not None:
        numbers = codes.numbers[known]
        groups = [(name, points[numbers == at]) for at, name in enumerate(codes.classes[:MOST_CLASSES])]
        left = len(codes.classes) - MOST_CLASSES
        note += f", by `{codes.name}`" + (f", without {plural(left, 'more class')}" if left > 0 else "")
    which = "number" if size == 2 else "component"
    cloud = charts.cloud(
        f"Codes of {codes.item}",
        [(name, part.tolist()) for name, part in groups],
        (f"first {which}", f"second {which}"),
    )
    parts = [element("h3", f"{codes.item}: codes"), element("p", f"{note}.", class_="note")]
    return [*parts, element("div", cloud, class_="charts")]
