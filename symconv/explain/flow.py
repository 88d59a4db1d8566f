"""A layer's steps, or a network's layers, as a graph: boxes in ranks, an arrow for each tensor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from symconv.layers.layer import Layer
from symconv.layers.network import Network
from symconv.notation.graph import Constant, Elementwise, Selection, reads, written
from symconv.notation.text import shape_text

NARROWEST, HEIGHT, ACROSS, DOWN = 150, 58, 24, 36  # of boxes, and between them, in units of an SVG
LETTER = 7.4  # how wide a letter is, in the same units


@dataclass(frozen=True)
class Box:
    """A box: its lines, the boxes that it takes from, and where a click on it leads."""

    name: str
    lines: tuple[str, ...]
    sources: tuple[str, ...]
    target: str = "derivation"


@dataclass(frozen=True)
class Placed:
    """A box with its corner."""

    box: Box
    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        """Where its lines are centred."""
        return self.x + self.width / 2

    @property
    def texts(self) -> list[tuple[float, str]]:
        """Its lines, and how far down each is."""
        first = self.y + HEIGHT / 2 - 9 * (len(self.box.lines) - 1)
        return [(first + 18 * at, line) for at, line in enumerate(self.box.lines)]


@dataclass(frozen=True)
class Flow:
    """A graph that is laid out: boxes, and arrows as paths."""

    boxes: tuple[Placed, ...]
    arrows: tuple[str, ...]
    width: float
    height: float
    side: tuple[float, int]


def layer_boxes(layer: Layer) -> list[Box]:
    """Return a box for each tensor of a layer's definition."""
    found = [Box(t.name, (t.name, shape_text(t.sizes)), ()) for t in layer.tensors.values()]
    for step in layer.graph.steps:
        target = written(step)
        kind = {Elementwise: "element by element", Constant: "numbers", Selection: "selection"}
        what = kind.get(type(step), "sums of products")
        sources = tuple(dict.fromkeys(access.tensor.name for access in reads(step)))
        found.append(Box(target.name, (f"{target.name}: {what}", shape_text(target.sizes)), sources))
    return found


def network_boxes(network: Network, drawn: Collection[str]) -> list[Box]:
    """Return a box for each layer of a network; those that are drawn lead to their part of the page."""
    found = [
        Box(name, (f"{network.tensors[name].name}, the input", shape_text(sizes)), ())
        for name, sizes in network.values.items()
    ]
    for node in network.nodes:
        lines = (f"{node.name}: {type(node.layer).__name__}", shape_text(node.layer.output_shape))
        box = Box(node.name, lines, tuple(node.sources))
        found.append(replace(box, target=f"layer-{node.name}") if node.name in drawn else box)
    return found


def laid_out(boxes: Sequence[Box]) -> Flow:
    """Return boxes in ranks: each below all that it takes from."""
    ranks: dict[str, int] = {}
    for box in boxes:
        ranks[box.name] = 1 + max((ranks[name] for name in box.sources), default=-1)
    rows: dict[int, list[Box]] = {}
    for box in boxes:
        rows.setdefault(ranks[box.name], []).append(box)
    letters = max(len(line) for box in boxes for line in box.lines)
    side = max(NARROWEST, round(letters * LETTER + 20))
    width = max(map(len, rows.values())) * (side + ACROSS) - ACROSS
    placed: dict[str, Placed] = {}
    for rank, row in rows.items():
        left = (width - len(row) * (side + ACROSS) + ACROSS) / 2
        for at, box in enumerate(row):
            x = left + at * (side + ACROSS)
            placed[box.name] = Placed(box, x, rank * (HEIGHT + DOWN), side)
    arrows = [_arrow(placed[name], placed[box.name], ranks) for box in boxes for name in box.sources]
    height = (max(rows) + 1) * (HEIGHT + DOWN) - DOWN
    return Flow(tuple(placed.values()), tuple(arrows), width, height, (side, HEIGHT))


def _arrow(start: Placed, end: Placed, ranks: Mapping[str, int]) -> str:
    """Return a line from a box's lower side to another's upper side, bent around those between."""
    x, y, to, down = start.middle, start.y + HEIGHT, end.middle, end.y
    if ranks[end.box.name] - ranks[start.box.name] == 1:
        return f"M{x:g} {y:g}L{to:g} {down:g}"
    beside = max(x, to) + start.width / 2 + ACROSS / 2
    return f"M{x:g} {y:g}C{beside:g} {y + DOWN:g} {beside:g} {down - DOWN:g} {to:g} {down:g}"
