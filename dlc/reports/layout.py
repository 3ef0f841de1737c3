"""A layered drawing of a graph, from top to bottom, after Sugiyama et al. 1981 (doi:10.1109/TSMC.1981.4308636).

Boxes are arranged in layers, each below all that it reads. A line that passes a layer has a slot there, so no line
crosses a box. Frames hold drawings: each is laid out separately and is then one box of the enclosing drawing. A line
from outside ends at a port in the frame's title bar, and continues below the bar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from itertools import pairwise

from dlc.support.fast_dataclass import fast_dataclass

GAP_X, GAP_Y = 18.0, 26.0  # between neighbouring boxes, between layers
PADDING, BAR = 12.0, 22.0  # of a frame; height of its title bar
LANE = 10.0  # the width of a line that passes a layer
SWEEPS = 12


@fast_dataclass
class Box:
    """A rectangle with a key; `x` and `y` are its corner, relative to its drawing."""

    key: str
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0


@fast_dataclass
class Frame(Box):
    """A box that holds a drawing.

    Args:
        inner: the drawing.
        ports: for each incoming and outgoing value (`in KEY`, `out KEY`), the distance of its line from the left edge.
    """

    inner: Drawing = field(default_factory=lambda: Drawing([], {}))
    ports: dict[str, float] = field(default_factory=dict)


@fast_dataclass
class Line:
    """A line from one box to another, or to a port at the frame's edge, through points from top to bottom."""

    source: str
    target: str
    points: list[tuple[float, float]]


@fast_dataclass
class Drawing:
    """Boxes and the lines between them.

    Args:
        boxes: the boxes, each after those that it reads.
        reads: for each box, and each outgoing value (`out KEY`), the keys that it reads: of boxes, or of incoming
            values (`in KEY`).
        lines: the lines with their points.
        width: the width of the drawing.
        height: the height of the drawing.
        ports: as in `Frame`.
    """

    boxes: Sequence[Box]
    reads: Mapping[str, Sequence[tuple[str, str]]]  # key -> (key of a box or port, value of the line)
    lines: list[Line] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0
    ports: dict[str, float] = field(default_factory=dict)


@fast_dataclass
class _Spot:
    """A slot in a layer: a box, a port, or a passing line."""

    key: str
    rank: int
    width: float
    box: Box | None = None
    x: float = 0.0  # of its left edge
    above: list[tuple[_Spot, float, float]] = field(
        default_factory=list
    )  # spot, where the line leaves it, where it arrives
    below: list[tuple[_Spot, float, float]] = field(default_factory=list)


def framed(key: str, drawing: Drawing, least: float) -> Frame:
    """A frame around a drawing, at least `least` wide."""
    lay_out(drawing)
    width = max(least, drawing.width + 2 * PADDING)
    shift = (width - drawing.width) / 2
    ports = {name: x + shift for name, x in drawing.ports.items()}
    return Frame(key, width, drawing.height + BAR + 2 * PADDING, inner=drawing, ports=ports)


def lay_out(drawing: Drawing) -> None:
    """Set the positions of the boxes of a drawing and the points of its lines."""
    spots = _ranked(drawing)
    layers = _layers(drawing, spots)
    _order(layers)
    _place(layers)
    _draw(drawing, layers, spots)


def _ranked(drawing: Drawing) -> dict[str, _Spot]:
    """A spot for each box and port: below all that it reads; boxes that read nothing just above their reader."""
    boxes = {box.key: box for box in drawing.boxes}
    into = list(dict.fromkeys(read for reads in drawing.reads.values() for read, _ in reads if read not in boxes))
    ranks = dict.fromkeys(into, 0)
    for key in boxes:
        ranks[key] = 1 + max((ranks[read] for read, _ in drawing.reads.get(key, ())), default=0 if into else -1)
    outs = [key for key in drawing.reads if key not in boxes]
    for key in boxes:
        if not drawing.reads.get(key):
            readers = [ranks[other] for other in boxes if any(read == key for read, _ in drawing.reads.get(other, ()))]
            ranks[key] = max(ranks[key], min(readers, default=1) - 1)
    last = max(ranks.values(), default=-1) + 1
    ranks |= dict.fromkeys(outs, last)
    return {
        key: _Spot(key, rank, boxes[key].width if key in boxes else LANE, boxes.get(key)) for key, rank in ranks.items()
    }


def _layers(drawing: Drawing, spots: Mapping[str, _Spot]) -> list[list[_Spot]]:
    """The layers; a value that passes a layer has one spot in it, for all its readers."""
    layers: list[list[_Spot]] = [[] for _ in range(max((spot.rank for spot in spots.values()), default=-1) + 1)]
    for spot in spots.values():
        layers[spot.rank].append(spot)
    passing: dict[tuple[str, str, int], _Spot] = {}
    for key, reads in drawing.reads.items():
        target = spots[key]
        for read, value in reads:
            at, leave = spots[read], _attach(spots[read], f"out {value}")
            for rank in range(at.rank + 1, target.rank):
                known = passing.get((read, value, rank))
                if known is None:
                    known = passing[read, value, rank] = _Spot(f"{value} at {rank}", rank, LANE)
                    layers[rank].append(known)
                    _join(at, known, leave, LANE / 2)
                at, leave = known, LANE / 2
            _join(at, target, leave, _attach(target, f"in {value}"))
    return layers


def _attach(spot: _Spot, port: str) -> float:
    """The distance from a spot's left edge at which a line meets it."""
    return spot.box.ports[port] if isinstance(spot.box, Frame) and port in spot.box.ports else spot.width / 2


def _join(upper: _Spot, lower: _Spot, leave: float, arrive: float) -> None:
    upper.below.append((lower, leave, arrive))
    lower.above.append((upper, leave, arrive))


def _order(layers: list[list[_Spot]]) -> None:
    """Sort each layer by the mean of its neighbours, alternately down and up; keep the order with fewest crossings."""
    for layer in layers:
        for at, spot in enumerate(layer):
            spot.x = float(at)
    best = _crossings(layers), [list(layer) for layer in layers]
    for sweep in range(SWEEPS):
        if best[0] == 0:
            break
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            wanted = {
                id(spot): _mean([other.x for other, _, _ in (spot.above if down else spot.below)], spot.x)
                for spot in layer
            }
            layer.sort(key=lambda spot: wanted[id(spot)])
            for at, spot in enumerate(layer):
                spot.x = float(at)
        found = _crossings(layers)
        if found < best[0]:
            best = found, [list(layer) for layer in layers]
    layers[:] = best[1]


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _crossings(layers: Sequence[Sequence[_Spot]]) -> int:
    total = 0
    for upper, lower in pairwise(layers):
        positions = {id(spot): at for at, spot in enumerate(lower)}
        ends = [
            (at + leave / 1e4, positions[id(other)] + arrive / 1e4)
            for at, spot in enumerate(upper)
            for other, leave, arrive in spot.below
        ]
        total += sum((a < c and b > d) or (a > c and b < d) for i, (a, b) in enumerate(ends) for c, d in ends[:i])
    return total


def _place(layers: Sequence[Sequence[_Spot]]) -> None:
    """Horizontal positions: each spot near its neighbours, in the order of its layer, without overlap."""
    for layer in layers:
        at = 0.0
        for spot in layer:
            spot.x, at = at, at + spot.width + GAP_X
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else list(reversed(layers)):
            wishes = []
            for spot in layer:
                near = [other.x + leave - arrive for other, leave, arrive in spot.above]
                far = [other.x + arrive - leave for other, leave, arrive in spot.below]
                wishes.append(_mean((near or far) if down else (far or near), spot.x))
            _settle(layer, wishes)
    least = min((spot.x for layer in layers for spot in layer), default=0.0)
    for layer in layers:
        for spot in layer:
            spot.x -= least


def _settle(layer: Sequence[_Spot], wishes: Sequence[float]) -> None:
    """The least-squares positions for the wishes, in order and without overlap: pool adjacent violators."""
    offsets, at = [], 0.0
    for spot in layer:
        offsets.append(at)
        at += spot.width + GAP_X
    pools: list[list[float]] = []  # sum of weighted wishes, weight, count
    for spot, wish, offset in zip(layer, wishes, offsets, strict=True):
        weight = 4.0 if spot.box is None else 1.0  # keeps passing lines straight
        pools.append([weight * (wish - offset), weight, 1.0])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            last = pools.pop()
            pools[-1] = [one + other for one, other in zip(pools[-1], last, strict=True)]
    positions = [total / weight for total, weight, count in pools for _ in range(int(count))]
    for spot, position, offset in zip(layer, positions, offsets, strict=True):
        spot.x = position + offset


def _draw(drawing: Drawing, layers: Sequence[Sequence[_Spot]], spots: Mapping[str, _Spot]) -> None:
    """Vertical positions, and the lines."""
    tops, y = [], 0.0
    heights = [max((spot.box.height for spot in layer if spot.box), default=0.0) for layer in layers]
    first, last = 0, len(layers) - 1
    for rank, height in enumerate(heights):
        tops.append(y)
        y += height + (GAP_Y / 2 if rank == first and not height else GAP_Y if rank != last else 0)
    if len(heights) > 1 and not heights[last]:
        tops[last] = y = y - GAP_Y / 2
    for rank, layer in enumerate(layers):
        for spot in layer:
            if spot.box is not None:
                spot.box.x, spot.box.y = spot.x, tops[rank] + (heights[rank] - spot.box.height) / 2
    drawing.width = max((spot.x + spot.width for layer in layers for spot in layer), default=0.0)
    drawing.height = y
    drawing.ports = {key: spot.x + LANE / 2 for key, spot in spots.items() if spot.box is None}
    drawing.lines = [
        Line(read, key, _points(spots[read], spots[key], value, tops, heights))
        for key, reads in drawing.reads.items()
        for read, value in reads
    ]


def _points(
    source: _Spot, target: _Spot, value: str, tops: Sequence[float], heights: Sequence[float]
) -> list[tuple[float, float]]:
    """Points from the bottom of a box, straight through each passed layer, to the top of the other."""
    path = _path(source, target, value)
    points = []
    for at, (spot, leave, arrive) in enumerate(path):
        top, foot = tops[spot.rank], tops[spot.rank] + heights[spot.rank]
        if at:
            points.append((spot.x + arrive, top))
            if spot.box is not None and spot.box.y > top:
                points.append((spot.x + arrive, spot.box.y))
        if at < len(path) - 1:
            if spot.box is not None and spot.box.y + spot.box.height < foot:
                points.append((spot.x + leave, spot.box.y + spot.box.height))
            points.append((spot.x + leave, foot))
    if source.box is None:  # a port: from the frame's title bar on
        points.insert(0, (points[0][0], points[0][1] - PADDING))
    if target.box is None:  # to the frame's lower edge
        points.append((points[-1][0], points[-1][1] + PADDING))
    return _without_repetition(points)


def _path(source: _Spot, target: _Spot, value: str) -> list[tuple[_Spot, float, float]]:
    """The spots of a line, from its source on, with where it leaves and arrives at each."""
    found: list[tuple[_Spot, float, float]] = []
    spot, leave = target, 0.0
    while True:
        wanted = source if spot.rank == source.rank + 1 else None
        name = f"{value} at {spot.rank - 1}"
        step = next(
            (other, left, came)
            for other, left, came in spot.above
            if (other is source if wanted is not None else other.key == name and other.box is None)
            and (wanted is None or left == _attach(source, f"out {value}"))
        )
        other, left, came = step
        found.append((spot, leave, came))
        spot, leave = other, left
        if other is source:
            found.append((source, leave, 0.0))
            return found[::-1]


def _without_repetition(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for point in points:
        if not found or found[-1] != point:
            found.append(point)
    return found
