"""The picture of the network: layers as boxes, containers as frames, larger ones as separate pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import NamedTuple
from zlib import crc32

from dlc.diagnostics import plural
from dlc.frontend.plan import Plan
from dlc.ir import Ref, TensorType, TypedGraph, TypedNode, TypedRepeat
from dlc.reports.layout import BAR, PADDING, Box, Drawing, Frame, Line, framed, lay_out
from dlc.reports.markup import Markup, coordinate, element
from dlc.support.fast_dataclass import fast_dataclass

MOST_BOXES = 26  # of one picture; other items get their own picture below
MOST_DRAWN = 400  # of all pictures; beyond that, repeated pictures are omitted
HEIGHT = 42.0
KINDS = {
    "conv": "convolution", "depthwise": "convolution", "transposed": "convolution", "dense": "dense",
    "pooling": "pooling", "global_pooling": "pooling", "norm": "normalization", "group_norm": "normalization",
    "activations": "activation", "gates": "activation", "merge": "merge", "recurrent": "sequence",
    "attention": "sequence", "embedding": "sequence", "places": "sequence",
}  # fmt: skip


@fast_dataclass
class Leaf:
    """A layer; `key` is its path."""

    key: str
    label: str
    node: TypedNode


@fast_dataclass
class Group:
    """An item that holds others. It runs `times` times, each time with its own weights."""

    key: str
    label: str
    times: int = 1
    members: dict[str, Leaf | Group] = field(default_factory=dict)

    def leaves(self) -> Iterator[Leaf]:
        """All layers inside."""
        for member in self.members.values():
            yield from member.leaves() if isinstance(member, Group) else (member,)


class Flow(NamedTuple):
    """The network as layers and the connections between them.

    Args:
        root: the items of the network.
        edges: pairs of an input's name or a layer's path, and a layer's path; with the result that is read.
        types: the type of each value.
        outputs: the network's outputs and their sources.
    """

    root: Group
    edges: list[tuple[str, str]]
    types: Mapping[str, TensorType]
    outputs: Mapping[str, str]


def flow_of(graph: TypedGraph) -> Flow:
    """The items of a network, and their connections."""
    root, aliases, times = Group("", ""), {}, {}
    nodes: list[TypedNode] = []

    def gather(items: Sequence[TypedNode | TypedRepeat]) -> None:
        for item in items:
            if isinstance(item, TypedRepeat):
                aliases[item.path], aliases[f"{item.path}/*"] = item.output, item.input
                times[f"{item.path}/*"] = item
                gather(item.body)
            else:
                nodes.append(item)
                _put(root, item, times)

    def source(ref: Ref) -> str:
        while ref.source in aliases:
            ref = aliases[ref.source]
        return ref.source

    gather(graph.nodes)
    edges = [(source(ref), node.path) for node in nodes for ref in node.inputs]
    types = {**graph.inputs, **{node.path: node.signature.output for node in nodes}}
    return Flow(_simple(root), edges, types, {name: source(ref) for name, ref in graph.outputs.items()})


def _put(root: Group, node: TypedNode, repeats: Mapping[str, TypedRepeat]) -> None:
    """Insert a layer at its path; a layer at the path of a group is its merge, and goes inside."""
    *around, name = node.path.split("/")
    group, path = root, ""
    for part in around:
        path = f"{path}/{part}" if path else part
        if path not in group.members:
            found = repeats.get(path)
            label = f"iteration {part}" if part.isdecimal() else part
            if found is not None:
                first, last = found.iterations[0], found.iterations[-1]
                label = (
                    "*"
                    if not found.start
                    else f"iterations {first}\u2013{last}"
                    if last > first
                    else f"iteration {first}"
                )
            group.members[path] = Group(path, label, found.times if found is not None else 1)
        below = group.members[path]
        assert isinstance(below, Group), "a layer can't hold others"
        group = below
    same = group.members.get(node.path)
    if isinstance(same, Group):
        group, name = same, node.layer.word
    group.members[node.path] = Leaf(node.path, name, node)


def _simple(group: Group) -> Group:
    """The same items without groups that hold only one."""
    members: dict[str, Leaf | Group] = {}
    for member in group.members.values():
        if isinstance(member, Group):
            inner = _simple(member)
            only = next(iter(inner.members.values())) if len(inner.members) == 1 else None
            if isinstance(only, Group):
                inner = Group(only.key, _chained(inner.label, only.label), inner.times * only.times, only.members)
            if isinstance(only, Leaf) and inner.times == 1:
                members[only.key] = Leaf(only.key, _chained(inner.label, only.label), only.node)
            else:
                members[inner.key] = inner
        else:
            members[member.key] = member
    return Group(group.key, group.label, group.times, members)


def _chained(*labels: str) -> str:
    return " \u203a ".join(label for label in labels if label != "*")


def _shape_of(member: Leaf | Group) -> object:
    """A value that is equal for items with the same picture."""
    if isinstance(member, Leaf):
        return member.node.layer.word
    return tuple(_shape_of(inner) for inner in member.members.values())


def opened(root: Group, most: int = MOST_BOXES) -> set[str]:
    """The groups drawn as frames: the smallest first, those with the same picture together, while there is room."""
    chosen: set[str] = set()
    while True:
        shown = list(_shown(root, chosen))
        closed: dict[object, list[Group]] = {}
        for member in shown:
            if isinstance(member, Group):
                closed.setdefault(_shape_of(member), []).append(member)
        if not closed:
            return chosen
        growth, similar = min(
            ((sum(len(group.members) - 1 for group in groups), groups) for groups in closed.values()),
            key=lambda item: item[0],
        )
        if len(shown) + growth > most and len(shown) > 1:
            return chosen
        chosen |= {group.key for group in similar}


def _shown(group: Group, open_: set[str]) -> Iterator[Leaf | Group]:
    """The members that are boxes of their own."""
    for member in group.members.values():
        if isinstance(member, Group) and member.key in open_:
            yield from _shown(member, open_)
        else:
            yield member


class Picture(NamedTuple):
    """A drawing of a group, and its closed groups."""

    group: Group
    drawing: Drawing
    closed: tuple[Group, ...]
    svg: Markup


def pictures(plan: Plan) -> list[Picture]:
    """The picture of the network, followed by those of items that are closed in an earlier one.

    Beyond `MOST_DRAWN` boxes, repeated pictures are omitted.
    """
    flow = flow_of(plan.graph)
    found: list[Picture] = []
    waiting, shapes, drawn = [flow.root], set(), 0
    while waiting:
        group = waiting.pop(0)
        shape = _shape_of(group)
        if drawn > MOST_DRAWN and shape in shapes:
            continue
        shapes.add(shape)
        picture = draw(plan, flow, group)
        drawn += len(picture.drawing.boxes)
        found.append(picture)
        waiting = [*picture.closed, *waiting]
    return found


def draw(plan: Plan, flow: Flow, group: Group) -> Picture:
    """The picture of a group: its boxes in frames, its inputs, and the network's outputs."""
    open_ = opened(group)
    spots = dict(_spots(group, open_, ()))
    reads: dict[str, dict[str, dict[tuple[str, str], None]]] = {}  # container -> box or port -> keys that it reads
    outside: dict[str, None] = {}
    for source, target in flow.edges:
        if target in spots:
            if source not in spots:
                outside[source] = None
            _connect(reads, spots.get(source, (f"@{source}",)), spots[target], source)
    if not group.key:
        for name, source in flow.outputs.items():
            _connect(reads, spots.get(source, (f"@{source}",)), (f"={name}",), source)
            outside |= {} if source in spots else {source: None}
        outside = {**dict.fromkeys(plan.graph.inputs), **outside}
    labels = {leaf.key: leaf.label for leaf in flow.root.leaves()}
    faces: dict[str, Markup] = {}
    boxes: list[Box] = [_end_box(f"@{key}", labels.get(key, key), flow.types[key], faces) for key in outside]
    boxes += _boxes(group, open_, reads, faces)
    if not group.key:
        boxes += [_end_box(f"={name}", name, flow.types[source], faces) for name, source in flow.outputs.items()]
    drawing = Drawing(boxes, {key: list(found) for key, found in reads.get("", {}).items()})
    lay_out(drawing)
    closed = tuple(member for member in _shown(group, open_) if isinstance(member, Group))
    return Picture(group, drawing, closed, _svg(group, drawing, faces))


def _spots(group: Group, open_: set[str], around: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """For each layer the keys of the frames around its box, and of the box itself."""
    for member in group.members.values():
        if isinstance(member, Leaf):
            yield member.key, (*around, member.key)
        elif member.key in open_:
            yield from _spots(member, open_, (*around, _frame(member)))
        else:
            yield from ((leaf.key, (*around, _frame(member))) for leaf in member.leaves())


def _frame(group: Group) -> str:
    """The key of a group's box; the path itself is the key of its merge."""
    return f"{group.key}/"


def _connect(
    reads: dict[str, dict[str, dict[tuple[str, str], None]]],
    source: tuple[str, ...],
    target: tuple[str, ...],
    value: str,
) -> None:
    """Add a line from one box to another: out of the frames around the first, into those around the second."""
    common = 0
    while common < min(len(source), len(target)) and source[common] == target[common]:
        common += 1
    if common == len(source) or common == len(target):
        return  # inside a closed box
    container = target[common - 1] if common else ""
    reads.setdefault(container, {}).setdefault(target[common], {})[source[common], value] = None
    for at in range(common + 1, len(target)):
        reads.setdefault(target[at - 1], {}).setdefault(target[at], {})[f"in {value}", value] = None
    for at in range(common + 1, len(source)):
        reads.setdefault(source[at - 1], {}).setdefault(f"out {value}", {})[source[at], value] = None


def _boxes(
    group: Group,
    open_: set[str],
    reads: Mapping[str, Mapping[str, Mapping[tuple[str, str], None]]],
    faces: dict[str, Markup],
) -> list[Box]:
    found: list[Box] = []
    for member in group.members.values():
        if isinstance(member, Leaf):
            found.append(_layer_box(member, faces))
        elif member.key in open_:
            inner = Drawing(
                _boxes(member, open_, reads, faces),
                {key: list(values) for key, values in reads.get(_frame(member), {}).items()},
            )
            label = _named(member)
            found.append(framed(_frame(member), inner, text_width(label, 11, bold=True) + 20))
            faces[_frame(member)] = element("text", label, x=8.0, y=15.0, class_="bold small")
        else:
            found.append(_closed_box(member, faces))
    return found


def _named(group: Group) -> str:
    return f"{group.label}  \u00d7 {group.times}" if group.times > 1 else group.label


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The approximate width of a string, with a margin for common screen fonts.

    >>> text_width("dense", 10), text_width("dense", 10, bold=True)
    (31.0, 34.0)
    """
    return round(len(text) * size * (0.68 if bold else 0.62), 1)


def shape_text(kind: TensorType) -> str:
    """The sizes of one example.

    >>> shape_text(TensorType.parse("f32[batch, 8, 8, 16]")), shape_text(TensorType.parse("i32[batch, time]<9"))
    ('8 \u00d7 8 \u00d7 16', 'time \u00b7 i32')
    """
    sizes = " \u00d7 ".join(str(dim) for dim in kind.shape[1:]) or "scalar"
    return sizes if kind.dtype == "f32" else f"{sizes} \u00b7 {kind.dtype}"


def weights_of(node: TypedNode) -> int:
    """The number of weights of a layer, including state."""
    return sum(item.size for item in (*node.signature.params.values(), *node.signature.state.values()))


def _layer_box(leaf: Leaf, faces: dict[str, Markup]) -> Box:
    node, word = leaf.node, leaf.node.layer.word
    shared = node.weights != node.path and bool(weights_of(node))
    count = weights_of(node)
    right = "shared" if shared else f"{count:,} w" if count else ""
    beside = "" if leaf.label.split("_")[0] == word or leaf.label.startswith(word) else word
    kind = KINDS.get(type(node.layer).__module__.rpartition(".")[2], "other")
    details = [f"{node.path}: {word}", f"returns {node.signature.output}"]
    details += [
        f"{name} {list(item.shape)}" for name, item in (*node.signature.params.items(), *node.signature.state.items())
    ]
    details += [f"weights of {node.weights}"] if shared else []
    return _face(
        leaf.key, leaf.label, beside, shape_text(node.signature.output), right, f"layer {kind}", details, faces
    )


def _closed_box(group: Group, faces: dict[str, Markup]) -> Box:
    leaves = list(group.leaves())
    count = sum(weights_of(leaf.node) for leaf in leaves if leaf.node.weights == leaf.node.path)
    details = [f"{group.key}: {plural(len(leaves), 'layer')}, shown below"]
    shape = shape_text(leaves[-1].node.signature.output)
    right = f"{count:,} w{' each' if group.times > 1 else ''}" if count else ""
    box = _face(_frame(group), _named(group), plural(len(leaves), "layer"), shape, right, "closed", details, faces)
    faces[box.key] = element("a", faces[box.key], href=f"#{anchor(group)}")
    return box


def _end_box(key: str, name: str, kind: TensorType, faces: dict[str, Markup]) -> Box:
    what = "output" if key.startswith("=") else "from"
    return _face(key, name, "", shape_text(kind), "", "end", [f"{what} {key[1:]}: {kind}"], faces)


def _face(
    key: str,
    name: str,
    beside: str,
    left: str,
    right: str,
    style: str,
    details: Sequence[str],
    faces: dict[str, Markup],
) -> Box:
    """A box of two lines: name and kind, shape and weights."""
    first = text_width(name, 12, bold=True) + (text_width(beside, 11) + 10 if beside else 0)
    second = text_width(left, 11) + (text_width(right, 11) + 14 if right else 0)
    width = max(120.0, first, second) + 24
    faces[key] = element(
        "g",
        element("title", "\n".join(details)),
        element("rect", width=width, height=HEIGHT, rx=4.0 if style != "end" else HEIGHT / 2, class_="box"),
        element("path", d=f"M1.5 4V{coordinate(HEIGHT - 4)}", class_="stripe") if style.startswith("layer") else None,
        element("text", name, x=12.0, y=17.0, class_="bold"),
        element("text", beside, x=width - 10, y=17.0, text_anchor="end", class_="small") if beside else None,
        element("text", left, x=12.0, y=33.0, class_="small"),
        element("text", right, x=width - 10, y=33.0, text_anchor="end", class_="small") if right else None,
        class_=style,
    )
    return Box(key, width, HEIGHT)


def anchor(group: Group) -> str:
    """The name of a picture on the page."""
    return f"net-{crc32(group.key.encode()):08x}"


def _svg(group: Group, drawing: Drawing, faces: Mapping[str, Markup]) -> Markup:
    title = f"The layers of {group.key or 'the network'}"
    return element(
        "svg",
        element("title", title),
        _drawn(drawing, faces),
        viewBox=f"-2 -2 {coordinate(drawing.width + 4)} {coordinate(drawing.height + 4)}",
        width=drawing.width + 4,
        height=drawing.height + 4,
        role="img",
        aria_label=title,
        class_="network",
    )


def _drawn(drawing: Drawing, faces: Mapping[str, Markup]) -> list[Markup]:
    found = []
    for box in drawing.boxes:
        parts: list[object] = [faces[box.key]]
        if isinstance(box, Frame):
            shift = (box.width - box.inner.width) / 2
            inside = element(
                "g", _drawn(box.inner, faces), transform=f"translate({coordinate(shift)} {coordinate(BAR + PADDING)})"
            )
            bar = element("path", d=f"M0 {coordinate(BAR)}H{coordinate(box.width)}", class_="edge")
            parts = [element("rect", width=box.width, height=box.height, rx=4.0, class_="frame"), bar, *parts, inside]
        found.append(element("g", parts, transform=f"translate({coordinate(box.x)} {coordinate(box.y)})"))
    keys = {box.key for box in drawing.boxes}
    return [*[_line(line, line.target in keys) for line in drawing.lines], *found]


def _line(line: Line, head: bool) -> Markup:
    """A line through its points: straight through layers, bent in between; with an arrowhead at a box."""
    (x, y), *others = line.points
    path = f"M{coordinate(x)} {coordinate(y)}"
    for across, down in others:
        middle = coordinate((y + down) / 2)
        bend = f"C{coordinate(x)} {middle} {coordinate(across)} {middle} {coordinate(across)} {coordinate(down)}"
        path += f"V{coordinate(down)}" if coordinate(across) == coordinate(x) else bend
        x, y = across, down
    arrow = element("path", d=f"M{coordinate(x - 4)} {coordinate(y - 6)}h8l-4 6z", class_="head") if head else None
    return element("g", element("path", d=path, class_="edge"), arrow)
