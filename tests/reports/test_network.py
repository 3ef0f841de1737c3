"""The network's picture: every layer is drawn, nothing overlaps, every line leads from a box to a box."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import dlc
from dlc.reports.layout import BAR, PADDING, Box, Drawing, Frame, lay_out
from dlc.reports.network import MOST_BOXES, Picture, flow_of, pictures
from tests.common import ROOT

SPECS = sorted([*(ROOT / "specs").rglob("*.yaml"), *(ROOT / "examples").glob("*/*.yaml")])
NEAR = 0.01


def drawings(drawing: Drawing) -> Iterator[Drawing]:
    """A drawing and those in its frames."""
    yield drawing
    for box in drawing.boxes:
        if isinstance(box, Frame):
            yield from drawings(box.inner)


def inside(box: Box, x: float, y: float) -> bool:
    return box.x + NEAR < x < box.x + box.width - NEAR and box.y + NEAR < y < box.y + box.height - NEAR


def bends(points: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Points along a line as it is drawn: straight down, or a curve whose tangents are vertical at both ends."""
    for (x, y), (across, down) in pairwise(points):
        for part in range(13):
            t = part / 12
            share = 3 * t * t - 2 * t**3  # of the way across: both control points lie above and below the ends
            middle = 3 * (1 - t) ** 2 * t * 0.5 + 3 * (1 - t) * t * t * 0.5 + t**3
            yield x + share * (across - x), y + middle * (down - y)


def check(drawing: Drawing) -> None:
    boxes = list(drawing.boxes)
    for at, one in enumerate(boxes):
        assert one.x >= -NEAR and one.x + one.width <= drawing.width + NEAR
        assert one.y >= -NEAR and one.y + one.height <= drawing.height + NEAR
        for other in boxes[:at]:
            apart = (
                one.x >= other.x + other.width
                or other.x >= one.x + one.width
                or one.y >= other.y + other.height
                or other.y >= one.y + one.height
            )
            assert apart, f"{one.key} lies over {other.key}"
        if isinstance(one, Frame):
            assert one.inner.width + 2 * PADDING <= one.width + NEAR
            assert one.inner.height + 2 * PADDING + BAR <= one.height + NEAR
    known = {box.key: box for box in boxes}
    for line in drawing.lines:
        (x, y), (across, down) = line.points[0], line.points[-1]
        if line.source in known:
            box = known[line.source]
            assert abs(y - box.y - box.height) < NEAR and box.x < x < box.x + box.width
            assert not isinstance(box, Frame) or any(abs(box.x + port - x) < NEAR for port in box.ports.values())
        else:
            assert abs(y + PADDING) < NEAR and abs(drawing.ports[line.source] - x) < NEAR  # the foot of the title bar
        if line.target in known:
            box = known[line.target]
            assert abs(down - box.y) < NEAR and box.x < across < box.x + box.width
        else:
            assert abs(down - drawing.height - PADDING) < NEAR and abs(drawing.ports[line.target] - across) < NEAR
        assert all(upper[1] < lower[1] + NEAR for upper, lower in pairwise(line.points))
        crossed = [box.key for box in boxes for x, y in bends(line.points) if inside(box, x, y)]
        assert not crossed, f"{line.source} to {line.target} crosses {crossed}"


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_geometry(path: Path) -> None:
    spec = dlc.load(path)
    found = pictures(spec.plan)
    for picture in found:
        for drawing in drawings(picture.drawing):
            check(drawing)
        assert len(boxes_of(picture)) <= max(MOST_BOXES + len(spec.graph.inputs) + 2, len(picture.group.members) + 2)
    drawn = {box.key for picture in found for box in boxes_of(picture)}
    layers = {node.path for node, _ in spec.graph.walk()}
    closed = {leaf.key for picture in found for group in picture.closed for leaf in group.leaves()}
    assert layers <= drawn | closed
    if path.stem != "densenet121":  # which has more layers than are drawn
        assert layers <= drawn
    assert {f"={name}" for name in spec.graph.outputs} <= drawn
    assert {f"@{name}" for name in spec.graph.inputs} <= drawn


def boxes_of(picture: Picture) -> list[Box]:
    """The boxes of a picture that are no frames."""
    return [box for drawing in drawings(picture.drawing) for box in drawing.boxes if not isinstance(box, Frame)]


def test_what_a_layer_reads_is_joined_to_it() -> None:
    """From a layer's box, back along the lines and through frames, to the boxes of all that it reads."""
    spec = dlc.load(ROOT / "examples" / "graph" / "graph.yaml")
    (picture,) = pictures(spec.plan)
    whole = [picture.drawing, *(box.inner for drawing in drawings(picture.drawing) for box in frames_of(drawing))]
    around = {id(box.inner): (drawing, box) for drawing in whole for box in frames_of(drawing)}

    def behind(drawing: Drawing, key: str, value: str) -> str:
        (source,) = [name for name, carried in drawing.reads[key] if carried == value]
        assert (source, key) in {(line.source, line.target) for line in drawing.lines}
        for frame in frames_of(drawing):
            if frame.key == source:
                return behind(frame.inner, f"out {value}", value)
        if source.startswith("in "):
            outer, frame = around[id(drawing)]
            return behind(outer, frame.key, value)
        return source

    edges = flow_of(spec.graph).edges
    assert len(edges) == 22
    for drawing in whole:
        for box in drawing.boxes:
            for source, target in edges:
                if target == box.key:
                    assert behind(drawing, box.key, source).removeprefix("@") == source


def frames_of(drawing: Drawing) -> list[Frame]:
    return [box for box in drawing.boxes if isinstance(box, Frame)]


def test_repeats_residuals_and_branches_are_frames() -> None:
    spec = dlc.load(ROOT / "examples" / "graph" / "graph.yaml")
    (picture,) = pictures(spec.plan)
    frames = {box.key for drawing in drawings(picture.drawing) for box in drawing.boxes if isinstance(box, Frame)}
    assert {"parallel/", "stem/", "repeat/*/residual/"} <= frames
    assert "repeat \u203a residual  \u00d7 3" in picture.svg


def test_a_large_network_has_items_with_pictures_of_their_own() -> None:
    found = pictures(dlc.load(ROOT / "specs" / "zoo" / "resnet50.yaml").plan)
    assert len(found) == 9
    assert 'href="#net-' in found[0].svg
    assert sum(len(picture.svg) for picture in found) < 120_000


def test_a_line_passes_layers_beside_their_boxes() -> None:
    boxes = [Box(key, 100, 40) for key in "abcd"]
    drawing = Drawing(boxes, {"b": [("a", "a")], "c": [("b", "b")], "d": [("c", "c"), ("a", "a")]})
    lay_out(drawing)
    check(drawing)
    assert [box.y for box in boxes] == sorted(box.y for box in boxes)
