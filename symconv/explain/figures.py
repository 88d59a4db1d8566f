"""The sliding pictures as figures for slides and papers: SVG, TikZ, and frames for Beamer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from symconv.explain.grids import (
    Box,
    Grid,
    Layout,
    background_grid,
    background_layout,
    filter_grid,
    labels,
    tensor_grids,
)
from symconv.explain.miniature import miniature
from symconv.explain.sliding import Place, Sliding, slidings
from symconv.layers.layer import Layer
from symconv.notation.text import prose_latex
from symconv.templating import fill

SIDE = 44  # of a box in an SVG
GAP = 1.2  # between the parts of a figure, in boxes
WIDTH, HEIGHT = 104, 60  # of a slide, in millimetres
LETTER = 1.6  # millimetres that a letter of a label takes in TikZ, those of indices included
SECONDS = 1  # that an animated figure shows each position
NAMES = {"x": "input-gradient", "weight": "weight-gradient"}  # of a figure, if not its picture's key
COLOURS = {"X": "x", "F": "f", "O": "o", "C": "o", "G": "g", "∂E/∂X": "dx", "∂E/∂F": "df"}


@dataclass(frozen=True)
class _Placed:
    """Something at a place of a figure that is counted in boxes."""

    x: float
    y: float

    @property
    def left(self) -> float:
        """Where it is in an SVG, from the left."""
        return round(self.x * SIDE, 1)

    @property
    def top(self) -> float:
        """Where it is in an SVG, from above."""
        return round(self.y * SIDE, 1)


@dataclass(frozen=True)
class Cell(_Placed):
    """A box of a figure: where its corner is, in boxes; what is written in it; its colour."""

    label: str
    colour: str

    @property
    def note(self) -> Note:
        """Its label as a text of its own, a little above the centre."""
        return Note(self.x + 0.5, self.y + 0.42, self.label)

    @property
    def font_size(self) -> float:
        """How large its label is in an SVG, so that it fits."""
        return min(14.0, round(72 / max(len(self.label), 1), 1))


@dataclass(frozen=True)
class Note(_Placed):
    """A text of a figure, centred at a place that is counted in boxes."""

    text: str

    @property
    def right(self) -> float:
        """Where it is in TikZ, from the left."""
        return round(self.x, 3)

    def scale(self, unit: float, letter: float = LETTER) -> float:
        """Return how much smaller it is in TikZ, so that it fits a box of so many millimetres."""
        return round(min(1.0, (unit - 0.6) / (letter * len(self.text))), 2)

    @property
    def down(self) -> float:
        """Where it is in TikZ, from above."""
        return round(self.y, 3)

    @property
    def latex(self) -> str:
        """The text in LaTeX."""
        return _latex(self.text)


@dataclass(frozen=True)
class Position:
    """What is highlighted in one position of the filter, and what lies on it."""

    lit: tuple[Cell, ...]
    notes: tuple[Note, ...]
    number: int


@dataclass(frozen=True)
class Figure:
    """A sliding picture to print or to project.

    Attributes
    ----------
    name
        ``"output"``, ``"convolution"``, ``"weight-gradient"`` or ``"input-gradient"``.
    title, words
        A heading, and what happens in the picture.
    width, height
        The size, in boxes.
    cells, captions
        What does not move.
    positions
        What is highlighted, for each element of the result.
    """

    name: str
    title: str
    words: str
    width: float
    height: float
    cells: tuple[Cell, ...]
    captions: tuple[Note, ...]
    positions: tuple[Position, ...]

    def svg(self, position: int | None = None, animated: bool = False) -> str:
        """Return the figure as SVG: at one position, the middle one if none is given, or animated.

        An animated figure stands still where the reader prefers reduced motion.
        """
        shown = self.positions if animated else (self._at(position),)
        timing = {"seconds": SECONDS * len(shown), "share": round(100 / len(shown), 4)}
        return fill(
            "svg/figure.svg.j2",
            figure=self,
            width=round(self.width * SIDE + 8, 1),
            height=round(self.height * SIDE + 8, 1),
            positions=shown,
            motion=fill("svg/motion.css.j2", **timing) if animated else "",
            side=SIDE,
        )

    def tikz(self, position: int | None = None) -> str:
        """Return the figure as a ``tikzpicture``, at one position; it needs the package tikz."""
        return fill("latex/figure.tex.j2", figure=self, position=self._at(position), unit=self.unit)

    def beamer(self) -> str:
        """Return a frame for Beamer with a slide for each position; it needs the package tikz."""
        title = prose_latex(self.title)
        return fill("latex/frame.tex.j2", figure=self, title=title, unit=self.unit)

    @property
    def unit(self) -> float:
        """The side of a box in millimetres, so that the figure fits a slide."""
        return round(min(9.0, WIDTH / self.width, HEIGHT / self.height), 2)

    def _at(self, position: int | None) -> Position:
        return self.positions[len(self.positions) // 2 if position is None else position]


def figures(layer: Layer) -> tuple[Figure, ...]:
    """Return a layer's pictures as figures; a large layer is drawn smaller, as in its page."""
    drawn = miniature(layer)
    return tuple(figure_of(picture, drawn) for picture in slidings(drawn))


def figure_of(picture: Sliding, layer: Layer) -> Figure:
    """Return a sliding picture as a figure: a background, the filter beside it, and the result."""
    background = background_grid(picture, 0)
    result = tensor_grids(picture.result, layer, "result")[0]
    parts: list[Grid] = [background, *([filter_grid(picture)] if picture.filter else []), result]
    signs = (["⋆", "="] if picture.filter else ["→"]) + [""]
    height = max(part.size[0] for part in parts) + 0.6
    cells: list[Cell] = []
    captions: list[Note] = []
    corners: list[tuple[float, float]] = []
    x = 0.0
    for part, sign in zip(parts, signs, strict=True):
        rows, columns = part.size
        y = 0.6 + (height - 0.6 - rows) / 2
        corners.append((x, y))
        cells += [_cell(box, x, y, part) for row in part.rows for box in row]
        captions.append(Note(x + columns / 2, y - 0.3, part.heading))
        x += columns
        if sign:
            captions.append(Note(x + GAP / 2, y + rows / 2, sign))
            x += GAP
    return Figure(
        NAMES.get(picture.key, picture.key),
        picture.title,
        picture.words,
        x,
        height,
        tuple(cells),
        tuple(captions),
        tuple(
            _position(number, place, picture, result, (corners[0], corners[-1]))
            for number, place in enumerate(sorted(picture.starts), 1)
        ),
    )


def _cell(box: Box, x: float, y: float, part: Grid) -> Cell:
    colour = box.kind if box.kind in ("zero", "copy") else COLOURS.get(part.name, "other")
    return Cell(x + box.column, y + box.row, box.label, colour)


def _position(
    number: int,
    place: Place,
    picture: Sliding,
    result: Grid,
    corners: Sequence[tuple[float, float]],
) -> Position:
    (left, top), (right, above) = corners
    layout, window = background_layout(picture), picture.window(place)
    boxes = {(b.row, b.column): b for row in background_grid(picture, 0).rows for b in row}
    at = [layout.at(landed) for landed in window]
    lit = [Cell(left + column, top + row, boxes[row, column].label, "lit") for row, column in at]
    row, column = Layout.of(picture.result.sizes[2:]).at(place)
    label = next(b.label for line in result.rows for b in line if (b.row, b.column) == (row, column))
    lit.append(Cell(right + column, above + row, label, "lit"))
    notes: Iterable[Note] = ()
    if picture.filter:
        names = labels(picture.filter, 2)
        order = {tap: n for n, tap in enumerate(sorted(picture.taps))}
        notes = (
            Note(left + column + 0.5, top + row + 0.8, names[order[tap]])
            for tap, (row, column) in zip(picture.taps, at, strict=True)
        )
    return Position(tuple(lit), tuple(notes), number)


def _latex(label: str) -> str:
    """Write a label in LaTeX's mathematics: indices below, ∂E/∂X as a slanted fraction."""
    signs = {"⋆": r"$\star$", "=": "$=$", "→": r"$\to$", "0": "$0$", "−∞": r"$-\infty$"}
    if label in signs:
        return signs[label]
    name, _, rest = label.partition(",")
    symbol = name.rstrip("0123456789").split("[")[0]
    below = name[len(symbol) :].strip("[]")
    written = symbol.replace("∂E/∂", r"\partial E/\partial ")
    indices = f"_{{{below}}}" if below else ""
    return f"${written}{indices}${prose_latex(',' + rest) if rest else ''}"
