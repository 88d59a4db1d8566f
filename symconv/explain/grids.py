"""Tensors as grids of labelled boxes: what every picture is drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, TypeAlias

import numpy as np

from symconv.explain.dependence import element_names
from symconv.explain.sliding import Place, Sliding
from symconv.layers.conv import ConvLayer
from symconv.layers.layer import Layer
from symconv.notation.contraction import Tensor

Kind: TypeAlias = Literal["given", "result", "zero", "copy"]
UNIT = 44  # the side of a box in a page
SHORT = 8  # letters of a name that fits into a box
Place2: TypeAlias = tuple[int, int]  # a row and a column


@dataclass(frozen=True)
class Box:
    """A box of a grid.

    Attributes
    ----------
    row, column
        Where it is, in boxes.
    label
        What is written in it.
    kind
        An element that is given or computed, a zero, or a copy that a padding mode makes.
    element
        The tensor's name and the element's place in it, row by row; nothing for a zero.
    note
        What lies on it: an element of the filter.
    lit
        Whether it is highlighted.
    """

    row: int
    column: int
    label: str
    kind: Kind
    element: tuple[str, int] | None = None
    note: str = ""
    lit: bool = False

    @property
    def x(self) -> int:
        """How far right the box is in a page."""
        return UNIT * self.column

    @property
    def y(self) -> int:
        """How far down the box is in a page."""
        return UNIT * self.row

    @property
    def font_size(self) -> float:
        """How large the label is, so that it fits."""
        return min(12.0, round(72 / max(len(self.label), 1), 1))

    @property
    def classes(self) -> str:
        """The classes of the box in a page."""
        return " ".join(["box", self.kind, *(["lit"] if self.lit else [])])

    @property
    def data(self) -> list[tuple[str, object]]:
        """The data attributes of the box in a page: where it is, and which element it shows."""
        named = [("tensor", self.element[0]), ("at", self.element[1])] if self.element else []
        return [("row", self.row), ("column", self.column), *named]


@dataclass(frozen=True)
class Grid:
    """A plane of a tensor, or what a filter slides over, row by row.

    Attributes
    ----------
    name
        The tensor's name.
    plane
        Which plane of the tensor it is.
    heading
        What is written above.
    rows
        The boxes.
    """

    name: str
    plane: int
    heading: str
    rows: tuple[tuple[Box, ...], ...]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns, gaps between slices included."""
        boxes = [box for row in self.rows for box in row]
        return 1 + max(box.row for box in boxes), 1 + max(box.column for box in boxes)

    @property
    def view_box(self) -> str:
        """The part of the plane that the grid takes in a page."""
        rows, columns = self.size
        return f"-2 -2 {UNIT * columns + 4} {UNIT * rows + 4}"

    def marked(self, lit: Iterable[Place2], notes: Mapping[Place2, str] | None = None) -> Grid:
        """Return the grid with some boxes highlighted, and with notes on them."""
        places, written = set(lit), notes or {}
        rows = tuple(
            tuple(
                replace(
                    box,
                    lit=(box.row, box.column) in places,
                    note=written.get((box.row, box.column), ""),
                )
                for box in row
            )
            for row in self.rows
        )
        return replace(self, rows=rows)


@dataclass(frozen=True)
class Layout:
    """Where spatial places are drawn; the slices of three axes stand side by side, with a gap."""

    low: Place
    high: Place

    @property
    def width(self) -> int:
        """How many columns a slice has."""
        return self.high[-1] - self.low[-1] + 1

    @staticmethod
    def of(sizes: Sequence[int]) -> Layout:
        """Return the layout of a plane of these sizes."""
        return Layout((0,) * len(sizes), tuple(size - 1 for size in sizes))

    def at(self, place: Sequence[int]) -> Place2:
        """Return the row and the column of a place."""
        z, y, x = [0] * (3 - len(place)) + [at - low for at, low in zip(place, self.low, strict=True)]
        return y, z * (self.width + 1) + x

    def step(self, offset: Sequence[int]) -> Place2:
        """Return how many rows and columns an offset is."""
        z, y, x = [0] * (3 - len(offset)) + list(offset)
        return y, z * (self.width + 1) + x

    def rows(self) -> list[list[Place]]:
        """Return all places, row by row as they are drawn."""
        axes = [range(low, high + 1) for low, high in zip(self.low, self.high, strict=True)]
        rows: dict[int, list[Place]] = {}
        for place in product(*axes):
            rows.setdefault(self.at(place)[0], []).append(place)
        return list(rows.values())


def outer_axes(tensor: Tensor, layer: Layer) -> int:
    """Return how many axes in front count a tensor's planes; the others are drawn."""
    spatial = getattr(layer, "windows", None)
    if spatial is not None and len(tensor.shape) == 2 + len(spatial):
        return 2
    return max(0, len(tensor.shape) - 2)


def tensor_grids(tensor: Tensor, layer: Layer, kind: Kind) -> tuple[Grid, ...]:
    """Return the planes of a tensor as grids."""
    outer = outer_axes(tensor, layer)
    sizes = tensor.sizes[outer:] or (1,)
    names, layout, count = labels(tensor, outer), Layout.of(sizes), math.prod(sizes)
    grids = []
    for plane in range(math.prod(tensor.sizes[:outer])):
        places = {place: n for n, place in enumerate(product(*map(range, sizes)))}
        rows = tuple(
            tuple(
                Box(*layout.at(p), names[n], kind, (tensor.name, n))
                for p in row
                for n in [plane * count + places[p]]
            )
            for row in layout.rows()
        )
        grids.append(Grid(tensor.name, plane, plane_heading(tensor, outer, plane), rows))
    return tuple(grids)


def plane_heading(tensor: Tensor, outer: int, plane: int) -> str:
    """Return what a plane is called: the tensor, and the plane's indices if there are several."""
    sizes = tensor.sizes[:outer]
    if math.prod(sizes) == 1:
        return tensor.name
    return f"{tensor.name}[{', '.join(str(at + 1) for at in np.unravel_index(plane, sizes))}]"


def labels(tensor: Tensor, outer: int) -> tuple[str, ...]:
    """Return what is written into each element: its name, without the plane's indices if it is long."""
    inner = tensor.sizes[outer:]
    names = element_names(tensor)
    if max(map(len, names)) <= SHORT or max(inner, default=0) > 9:
        return names
    places = ("".join(str(at + 1) for at in place) for place in np.ndindex(*inner))
    within = [tensor.name + place for place in places]
    return tuple(within[at % len(within)] for at in range(len(names)))


def background_grid(picture: Sliding, plane: int) -> Grid:
    """Return what a filter slides over, with zeros around and between its elements."""
    background = picture.background
    tensor, layout = background.tensor, background_layout(picture)
    names = labels(tensor, 2)
    first = plane * math.prod(tensor.sizes[2:])
    rows = []
    for row in layout.rows():
        boxes = []
        for place in row:
            source = background.sources.get(place)
            if source is None:
                boxes.append(Box(*layout.at(place), background.outside, "zero"))
                continue
            kind: Kind = "copy" if place in background.copies else "given"
            at = first + source
            boxes.append(Box(*layout.at(place), names[at], kind, (tensor.name, at)))
        rows.append(tuple(boxes))
    return Grid(tensor.name, plane, plane_heading(tensor, 2, plane), tuple(rows))


def filter_grid(picture: Sliding) -> Grid:
    """Return the filter of a picture as it is laid on the background: rotated, if it is."""
    tensor = picture.filter
    assert tensor
    names = labels(tensor, 2)
    at = {place: n for n, place in enumerate(product(*map(range, tensor.sizes[2:])))}
    layout = Layout.of(tensor.sizes[2:])
    rows = tuple(
        tuple(
            Box(*layout.at(place), names[n], "given", (tensor.name, n))
            for place in row
            for n in [at[laid(picture, place)]]
        )
        for row in layout.rows()
    )
    turned = ", rotated by 180°" if picture.rotated else ""
    return Grid(tensor.name, 0, f"{plane_heading(tensor, 2, 0)}{turned}", rows)


def laid(picture: Sliding, tap: Place) -> Place:
    """Return where an element of the filter is drawn; also which element is drawn at a place."""
    sizes = picture.filter.sizes[2:] if picture.filter else ()
    if not picture.rotated:
        return tap
    return tuple(size - 1 - at for at, size in zip(tap, sizes, strict=True))


def background_layout(picture: Sliding) -> Layout:
    """Return where the places that a filter slides over are drawn."""
    return Layout(*picture.corners)


@dataclass(frozen=True)
class Planes:
    """Which planes are seen together: an output channel and an input channel that it reads."""

    label: str
    shown: dict[str, int]  # the plane of each tensor, by the tensor's name


def plane_choices(layer: Layer, tensors: Sequence[Tensor]) -> tuple[Planes, ...]:
    """Return the planes that can be seen together; of a layer without channels there is one choice."""
    if layer.convolution:
        return tuple(_channel_pairs(layer.convolution, tensors))
    counts = {t.name: math.prod(t.sizes[: outer_axes(t, layer)]) for t in tensors}
    most = max(counts.values(), default=1)
    return tuple(
        Planes(f"plane {at + 1}", {name: at % count for name, count in counts.items()})
        for at in range(most)
    )


def _channel_pairs(layer: ConvLayer, tensors: Sequence[Tensor]) -> Iterable[Planes]:
    first, second = layer.parameters["weight"][:2]
    for a, b in product(range(first), range(second)):
        other = (a // (first // layer.groups)) * second + b  # the channel that the second axis means
        o, c = (other, a) if layer.roles.transposed else (a, other)
        place = {"X": c, "O": o, "G": o, "b": 0, "F": a * second + b}
        shown = {t.name: place[t.name.removeprefix("∂E/∂")] for t in tensors}
        label = f"output channel {o + 1}, input channel {c + 1}"
        yield Planes(label, shown)
