"""Charts as SVG: lines, points and bars. Series differ by dashes and shapes as well as colors."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple
from zlib import crc32

from dlc.diagnostics import plural
from dlc.reports.markup import Markup, coordinate, element, number

WIDTH, HEIGHT = 370, 240
SIDE = 330.0  # of a chart as wide as high
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 26, 38
MOST_POINTS = 240  # of a line; longer lines are thinned


class Series(NamedTuple):
    """A line: its name, and its values, NaN where there is none."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]


class Scale(NamedTuple):
    """A map from values to positions along an axis."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The position of a value."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values along the axis."""
        if self.log:
            decades = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            found = [10.0**power for power in decades][:: max(1, math.ceil(len(decades) / most))]
            if len(found) >= 2:
                return found
        step = nice_step((self.high - self.low) / most)
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def nice_step(raw: float) -> float:
    """The next step of 1, 2 or 5 times a power of ten.

    >>> nice_step(0.3), nice_step(7), nice_step(12)
    (0.5, 10.0, 20.0)
    """
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))


def spread(values: Sequence[float], start: float, end: float, log: bool = False) -> Scale:
    """The scale on which finite values fill an axis, with a small margin."""
    known = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [0.1, 1.0]
    low, high = min(known), max(known)
    if log:
        low, high = (low, high) if high > low else (low / 2, high * 2)
        return Scale(low / (high / low) ** 0.04, high * (high / low) ** 0.04, start, end, True)
    air = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return Scale(low - air, high + air, start, end)


def wide(values: Sequence[float]) -> bool:
    """Whether the range of positive values needs a logarithmic axis."""
    known = [value for value in values if math.isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) / min(known) > 50


def thinned(xs: Sequence[float], ys: Sequence[float], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """About `most` points of a line: the lowest and highest of each section, and both ends.

    >>> thinned([1, 2, 3], [5, 6, 7])
    [(1, 5), (2, 6), (3, 7)]
    >>> len(thinned(range(10_000), [i % 7 for i in range(10_000)])) <= 244
    True
    """
    points = list(zip(xs, ys, strict=True))
    if len(points) <= most:
        return points
    chosen = {0, len(points) - 1}
    shares = most // 2
    for share in range(shares):
        part = range(len(points) * share // shares, len(points) * (share + 1) // shares)
        known = [at for at in part if math.isfinite(points[at][1])] or [part[0]]
        chosen |= {min(known, key=lambda at: points[at][1]), max(known, key=lambda at: points[at][1])}
    return [points[at] for at in sorted(chosen)]


def line_chart(
    title: str,
    series: Sequence[Series],
    x_name: str,
    marker: tuple[float, str] | None = None,
    log: bool = False,
) -> Markup:
    """Lines over a common axis, as a figure.

    Args:
        title: the chart's title.
        series: the lines; the second is dashed, the third dotted.
        x_name: the label of the horizontal axis.
        mark: a position on it, and its label.
        log: whether the vertical axis is logarithmic.
    """
    lines = [(item.name, thinned(item.xs, item.ys)) for item in series]
    ys = [y for _, points in lines for _, y in points]
    xs = [x for _, points in lines for x, _ in points]
    across = Scale(min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1, LEFT, WIDTH - RIGHT)
    up = spread(ys, HEIGHT - BOTTOM, TOP, log)
    whole = all(float(x).is_integer() for x in xs)
    body: list[Markup] = axes(across, up, x_name, whole=whole)
    if marker is not None:
        x = across(marker[0])
        side = "end" if x > WIDTH / 2 else "start"
        near = [up(y) for _, points in lines for at, y in points if abs(at - marker[0]) < 1 and _drawable(y, up)]
        free = TOP + 12.0 if near and min(near) > TOP + 40 else HEIGHT - BOTTOM - 6.0
        body.append(element("path", d=f"M{coordinate(x)} {TOP}V{HEIGHT - BOTTOM}", class_="mark"))
        at = x - 4 if side == "end" else x + 4
        body.append(element("text", marker[1], x=at, y=free, text_anchor=side, class_="small halo"))
    legend, at = [], float(LEFT)
    for index, (name, points) in enumerate(lines):
        body += _line(points, across, up, index)
        legend.append(element("path", d=f"M{coordinate(at)} 12h22", class_=f"line s{index}"))
        legend.append(element("text", name, x=at + 27, y=16.0, class_="small"))
        at += 40 + 6.6 * len(name)
    hover = _hover(lines, across, x_name)
    note = "; ".join(_described(name, points) for name, points in lines)
    return figure(title, f"{title} over {x_name}. {note}.", [*legend, *body], data_points=hover)


def _line(points: Sequence[tuple[float, float]], across: Scale, up: Scale, index: int) -> list[Markup]:
    runs: list[list[str]] = [[]]
    for x, y in points:
        if _drawable(y, up):
            runs[-1].append(f"{coordinate(across(x))} {coordinate(up(y))}")
        elif runs[-1]:
            runs.append([])
    drawn = "".join(f"M{'L'.join(run)}" for run in runs if len(run) > 1)
    dots = "".join(f"M{run[0]}h0" for run in runs if len(run) == 1)
    found = [element("path", d=drawn, class_=f"line s{index}")] if drawn else []
    return [*found, element("path", d=dots, class_=f"dots s{index}")] if dots else found


def _drawable(y: float, up: Scale) -> bool:
    return math.isfinite(y) and (y > 0 or not up.log)


def _hover(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], across: Scale, x_name: str) -> str:
    """For the pointer: positions along the axis, with their labels."""
    labels: dict[float, list[str]] = {}
    for name, points in lines:
        for x, y in points:
            labels.setdefault(x, []).append(f"{name} {number(y)}")
    found = [[round(across(x), 1), f"{x_name} {number(x)}: {', '.join(labels[x])}"] for x in sorted(labels)]
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def _described(name: str, points: Sequence[tuple[float, float]]) -> str:
    known = [y for _, y in points if math.isfinite(y)]
    if not known:
        return f"{name} has no values"
    ends, bounds = f"from {number(known[0])} to {number(known[-1])}", (min(known), max(known))
    return f"{name} {ends}, lowest {number(bounds[0])}, highest {number(bounds[1])}"


def axes(across: Scale, up: Scale, x_name: str, y_name: str | None = None, whole: bool = False) -> list[Markup]:
    """The frame of a chart: grid, ticks, names."""
    found = [
        element(
            "rect",
            x=across.start,
            y=up.end,
            width=across.end - across.start,
            height=up.start - up.end,
            class_="frame",
        )
    ]
    for tick in up.ticks(5):
        y = up(tick)
        found.append(
            element("path", d=f"M{coordinate(across.start)} {coordinate(y)}H{coordinate(across.end)}", class_="grid")
        )
        found.append(element("text", tick_label(tick), x=across.start - 6, y=y + 4, text_anchor="end", class_="small"))
    for tick in across.ticks(6):
        if whole and not float(tick).is_integer():
            continue
        x = across(tick)
        found.append(element("path", d=f"M{coordinate(x)} {coordinate(up.start)}v4", class_="tick"))
        found.append(element("text", tick_label(tick), x=x, y=up.start + 16, text_anchor="middle", class_="small"))
    middle = (across.start + across.end) / 2
    found.append(element("text", x_name, x=middle, y=up.start + 32, text_anchor="middle", class_="small name"))
    if y_name is not None:
        y = (up.start + up.end) / 2
        rotation = f"rotate(-90 12 {coordinate(y)})"
        found.append(
            element("text", y_name, x=12.0, y=y, transform=rotation, text_anchor="middle", class_="small name")
        )
    return found


def tick_label(value: float) -> str:
    """A short label.

    >>> [tick_label(value) for value in (0.30000000000000004, 20000, 1e-05, 2500000, 0)]
    ['0.3', '20k', '1e-05', '2.5M', '0']
    """
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= unit and abs(value) < 1e12:
            return f"{value / min(unit, 1e3 if sign == 'k' else unit):.4g}{sign}"
    return f"{value:.4g}"


def scatter(title: str, truths: Sequence[float], guesses: Sequence[float], unit: str) -> Markup:
    """Predicted over true values, with the line on which they are equal."""
    both = [*truths, *guesses]
    across = spread(both, LEFT + 8, SIDE - RIGHT)
    up = Scale(across.low, across.high, SIDE - BOTTOM - 8, 12.0)
    body = axes(across, up, f"true {unit}", f"predicted {unit}")
    body.append(
        element(
            "path",
            d=f"M{coordinate(across.start)} {coordinate(up.start)}L{coordinate(across.end)} {coordinate(up.end)}",
            class_="mark",
        )
    )
    pairs = zip(truths, guesses, strict=True)
    known = [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
    dots = "".join(f"M{coordinate(across(x))} {coordinate(up(y))}h0" for x, y in known)
    body.append(element("path", d=dots, class_="dots s0 many"))
    description = f"{title}: {plural(len(known), 'point')}; on the diagonal predictions are right."
    return figure(title, description, body, width=SIDE, height=SIDE)


def cloud(title: str, groups: Sequence[tuple[str, Sequence[Sequence[float]]]], axis_names: tuple[str, str]) -> Markup:
    """Points in a plane, in groups with colors and with their names at the median of their points.

    Args:
        title: the chart's title.
        groups: the name of each group, which may be empty, and its points (x, y).
        axis_names: what the axes show.
    """
    across = spread([x for _, points in groups for x, _ in points], LEFT + 8, SIDE - RIGHT)
    up = spread([y for _, points in groups for _, y in points], SIDE - BOTTOM - 8, 12.0)
    body, names = axes(across, up, *axis_names), []
    for at, (name, points) in enumerate(groups):
        dots = "".join(f"M{coordinate(across(x))} {coordinate(up(y))}h0" for x, y in points)
        body.append(element("path", element("title", name or title), d=dots, class_=f"dots many c{at}"))
        if name and len(points):
            x, y = (median(values) for values in zip(*points, strict=True))
            where = {"x": across(x), "y": up(y), "text_anchor": "middle"}
            names.append(element("text", name, **where, class_="small bold halo"))
    count = sum(len(points) for _, points in groups)
    described = f"{title}: {plural(count, 'point')} in {plural(len(groups), 'group')}."
    return figure(title, described, [*body, *names], width=SIDE, height=SIDE)


def histogram(title: str, values: Sequence[float], x_name: str, bins: int = 24) -> Markup:
    """A histogram with bins of equal width."""
    low, high = min(values), max(values)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    across = Scale(low, high, LEFT, WIDTH - RIGHT)
    up = Scale(0.0, max(counts) * 1.05, HEIGHT - BOTTOM, 12.0)
    body = axes(across, up, x_name)
    width = (across.end - across.start) / bins
    for index, many in enumerate(counts):
        if many:
            edges = low + (high - low) * index / bins, low + (high - low) * (index + 1) / bins
            tooltip = element("title", f"{number(edges[0])} to {number(edges[1])}: {many}")
            x, y = across.start + index * width, up(many)
            shape = {"x": x + 0.5, "y": y, "width": width - 1, "height": up.start - y}
            body.append(element("rect", tooltip, **shape, class_="bar"))
    if low < 0 < high:
        body.append(
            element("path", d=f"M{coordinate(across(0))} {coordinate(up.end)}V{coordinate(up.start)}", class_="mark")
        )
    return figure(title, f"{title}: {plural(len(values), 'value')} from {number(low)} to {number(high)}.", body)


def curve_pair(title: str, truth: Sequence[float], guess: Sequence[float]) -> Markup:
    """A small chart of a true and a predicted series."""
    across = Scale(0, max(1, len(truth) - 1), 6.0, 194.0)
    up = spread([*truth, *guess], 84.0, 6.0)
    body = [
        element("rect", x=0.0, y=0.0, width=200.0, height=90.0, class_="frame"),
        _line(thinned(range(len(truth)), truth, 100), across, up, 0),
        _line(thinned(range(len(guess)), guess, 100), across, up, 1),
    ]
    return figure(title, f"{title}: true values solid, predictions dashed.", body, width=200, height=90)


def strips(title: str, rows: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> Markup:
    """Probabilities by label: a row for each, with those of examples that have it above those of the others.

    Args:
        title: the chart's title.
        rows: the label's name, the probabilities where it is true, and where it is not.
    """
    step, left = 26.0, LEFT + 40.0
    height = TOP + step * len(rows) + BOTTOM
    across = Scale(0.0, 1.0, left, WIDTH - RIGHT)
    bottom = TOP + step * len(rows)
    body: list[Markup] = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        line = f"M{coordinate(across(tick))} {TOP}V{coordinate(bottom)}"
        body.append(element("path", d=line, class_="mark" if tick == 0.5 else "grid"))
        body.append(
            element("text", tick_label(tick), x=across(tick), y=bottom + 16, text_anchor="middle", class_="small")
        )
    middle = (across.start + across.end) / 2
    body.append(element("text", "probability", x=middle, y=bottom + 32, text_anchor="middle", class_="small name"))
    for at, name in enumerate(("label is true", "label is false")):
        x = left + 110.0 * at
        body.append(element("path", d=f"M{coordinate(x)} 12h0", class_=f"dots s{at}"))
        body.append(element("text", name, x=x + 8, y=16.0, class_="small"))
    for at, (name, *sides) in enumerate(rows):
        top = TOP + step * at
        shown = name if len(name) <= 14 else f"{name[:13]}\u2026"
        body.append(
            element("text", element("title", name), shown, x=left - 6, y=top + 17, text_anchor="end", class_="small")
        )
        for side, values in enumerate(sides):
            y = coordinate(top + (8 if side == 0 else 18))
            dots = "".join(f"M{coordinate(across(min(1.0, max(0.0, value))))} {y}h0" for value in values)
            body += [element("path", d=dots, class_=f"dots s{side} many")] if dots else []
        body.append(element("path", d=f"M{coordinate(left)} {coordinate(top + step)}H{WIDTH - RIGHT}", class_="grid"))
    description = f"{title}: a row for each of {plural(len(rows), 'label')}, examples that have it above the others."
    return figure(title, description, body, height=height)


def heat_map(title: str, rows: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """Counts by true class, from top to bottom, and predicted class as a grid of shades: for many classes."""
    side = 360.0 / len(rows)
    body = [element("rect", x=0.0, y=0.0, width=360.0, height=360.0, class_="frame")]
    for truth, counts in enumerate(rows):
        total = sum(counts) or 1
        for guess, many in enumerate(counts):
            if many:
                tooltip = element("title", f"{names[truth]} predicted as {names[guess]}: {many}")
                shape = {"x": guess * side, "y": truth * side, "width": side, "height": side}
                shade = max(0.12, many / total)
                body.append(element("rect", tooltip, **shape, class_="heat", fill_opacity=f"{shade:.2f}"))
    return figure(title, f"{title}: rows are true classes, columns predicted classes.", body, width=360, height=360)


def figure(
    title: str,
    description: str,
    body: Sequence[object],
    width: float = WIDTH,
    height: float = HEIGHT,
    **attributes: object,
) -> Markup:
    """A chart with its title, and a description for screen readers."""
    key = f"{crc32(f'{title} {description}'.encode()):08x}"
    svg = element(
        "svg",
        element("title", title, id=f"t{key}"),
        element("desc", description, id=f"d{key}"),
        body,
        viewBox=f"0 0 {coordinate(width)} {coordinate(height)}",
        role="img",
        aria_labelledby=f"t{key} d{key}",
        class_="chart",
        **attributes,
    )
    return element("figure", element("figcaption", title), svg, class_="chart")
