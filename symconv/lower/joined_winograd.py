"""Joined Winograd: minimal filtering along two axes, in bands of tiles whose rows lie end to end.

A tile reads one cell of each of its m·m phases at the tile's own place, and some one place further: so
the cells' phases are planes, and every transform is a sum of runs. What is multiplied is then, product
by product, a matrix of filters by channels and one of channels by tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

import sympy

from symconv.kernel.language import Blocks, Buffer, Call, Do, Extents, Loop, Span, Statement, Table
from symconv.lower.frame import B, C, Frame, G, M, N
from symconv.lower.runs import (
    LANES,
    VECTORS,
    Layout,
    Q,
    R,
    cycles,
    divisor,
    layout_of,
    planes_of,
    rounded_up,
)
from symconv.lower.tiles import Filtered
from symconv.notation.contraction import Access, Contraction, Tensor, index
from symconv.notation.cook_toom import Rows
from symconv.notation.correlation import Correlation
from symconv.notation.graph import Elementwise
from symconv.notation.polynomial import Polynomial

BAND = 1 << 18  # numbers that a band's transforms should need at the most
E, K, Z, S = map(index, "ekzs")  # cell along the second axis, block, product or cell, element of a run


@dataclass(frozen=True)
class JoinedWinograd(Filtered):
    """Minimal filtering F(m, r) along two axes, for some rows of tiles at a time."""

    images: int

    @property
    def products(self) -> int:
        """How many products a tile has."""
        return prod(f.cells for f in self.filtering)

    @property
    def layout(self) -> Layout:
        """How the phases' planes lie."""
        return layout_of(self.tiled, self.images)

    @property
    def tiled(self) -> Correlation:
        """The correlation whose taps are a tile's cells, and whose positions are the tiles."""
        c = self.correlation
        axes = tuple(
            replace(axis, stride=f.outputs, taps=f.cells, positions=count)
            for axis, f, count in zip(c.axes, self.filtering, self.tiles, strict=True)
        )
        return replace(c, axes=axes, result="positions")

    @property
    def rows(self) -> int:
        """How many rows of tiles a band has: those of all images together are one band."""
        most = self.tiles[0]
        if self.images > 1:
            return most
        each = self.products * (self.correlation.channels + self.correlation.filters)
        small = [n for n in range(1, most + 1) if n == 1 or each * self.lanes(n) <= BAND]
        return min(small, key=lambda n: -(-most // n) * (self.lanes(n) + 1))  # 1 for a band's own work

    def lanes(self, rows: int) -> int:
        """How many places a band of so many rows has: whole vectors."""
        if self.images > 1:
            return self.layout.run(self.tiles, LANES)
        return rounded_up((rows - 1) * self.layout.lengths[1] + self.tiles[1], LANES)

    def lower(self) -> Call:
        """Return the kernel: planes of the phases, then transforms and products band by band."""
        return (_gradient if self.correlation.result == "taps" else _positions)(_Bands(self))


def block_for(filters: int, vectors: int) -> int:
    """Return how many filters are computed together, for so many vectors of tiles."""

    def cost(block: int) -> tuple[float, int]:
        columns = divisor(vectors, VECTORS[block])
        return rounded_up(filters, block) * cycles(block, columns), -block

    return min(VECTORS, key=cost)


class _Bands:
    """The sizes and the buffers of an algorithm while its kernel is written."""

    def __init__(self, stage: JoinedWinograd) -> None:
        self.stage, self.c = stage, stage.correlation
        self.frame = Frame(self.c, stage.images)
        self.layout, self.lanes = stage.layout, stage.lanes(stage.rows)
        self.first, self.second = stage.filtering
        self.bands = -(-stage.tiles[0] // stage.rows)
        self.top = index("first") * self.layout.lengths[1] if self.bands > 1 else Polynomial.lift(0)
        self.start = index("first") if self.bands > 1 else Polynomial.lift(0)
        self.buffers: list[Buffer] = []

    def scratch(self, name: str, *sizes: int, zeroed: bool = False) -> Tensor:
        """Add a scratch buffer, and return its tensor."""
        tensor = Tensor(name, sizes)
        self.buffers.append(Buffer(tensor, "zeroed" if zeroed else "scratch"))
        return tensor

    def each_band(self, *body: Statement) -> tuple[Statement, ...]:
        """Return statements for each band, which know how many rows have each output of a tile."""
        if self.bands == 1:
            return body
        m, stage, positions = self.first.outputs, self.stage, self.c.axes[0].positions
        rows = tuple(
            (
                first,
                *(
                    len(range(first * m + i, min((first + stage.rows) * m, positions), m))
                    for i in range(m)
                ),
            )
            for first in range(0, stage.tiles[0], stage.rows)
        )
        said = ("its first row of tiles", *(f"how many rows have output {i}" for i in range(m)))
        table = Table(rows, "bands", "For each band", said)
        return (Loop(("first", *(f"rows{i}" for i in range(m))), table, body),)

    def height(self, output: int) -> Polynomial | int:
        """Return how many rows of tiles of a band have one of their outputs."""
        if self.bands > 1:
            return index(f"rows{output}")
        return len(range(output, self.c.axes[0].positions, self.first.outputs))

    def width(self, output: int) -> int:
        """Return how many tiles of a row have one of their outputs."""
        return len(range(output, self.c.axes[1].positions, self.second.outputs))

    def planes(self) -> tuple[Tensor, tuple[Do, ...]]:
        """Return the planes of the cells' phases, and what fills them."""
        last = int(self.layout.flat(((self.bands - 1) * self.stage.rows, 0))) + self.lanes
        run = max(last, self.layout.run(self.stage.tiles, LANES))
        planes, fill = planes_of(Frame(self.stage.tiled, self.stage.images), self.layout, run)
        self.buffers.append(Buffer(planes, "zeroed"))
        return planes, fill

    def transformed_cells(self, planes: Tensor, cells: Tensor) -> Statement:
        """Transform a band of each channel: along the first axis, then along the second."""
        one, two = self.first, self.second
        half = self.scratch("half_cells", one.cells * two.cells, self.lanes)
        phases = two.outputs
        rows = tuple((e, e % two.outputs, e // two.outputs) for e in range(two.cells))
        said = ("its number", "its phase", "how many tiles further it is")
        table = Table(rows, "columns", "For each cell of a tile's row", said)
        pitch = self.layout.lengths[1]
        sources = [
            planes[
                index("phase") + i % one.outputs * phases,
                C,
                self.top + Q + (index("shift") + i // one.outputs * pitch),
            ]
            for i in range(one.cells)
        ]
        along = _run(
            ("q", self.lanes),
            [_combined(half[E + t * two.cells, Q], row, sources) for t, row in enumerate(one.of_cells)],
        )
        halves = [half[Z * two.cells + i, Q] for i in range(two.cells)]
        across = _run(
            ("q", self.lanes),
            [
                _combined(cells[Z * two.cells + t, C, Q], row, halves)
                for t, row in enumerate(two.of_cells)
            ],
        )
        body = (Loop(("e", "phase", "shift"), table, (along,)), Loop(("z",), Span(one.cells), (across,)))
        return Loop(("c",), Span(self.c.channels), body)


def _run(along: tuple[str, int], statements: Sequence[Statement]) -> Loop:
    """Return statements that are done for every element of a run."""
    name, size = along
    return Loop((name,), Span(size), tuple(statements))


def _combined(target: Access, numbers: Sequence[int], sources: Sequence[Access]) -> Do:
    """Return the statement that adds up multiples."""
    used = [(number, source) for number, source in zip(numbers, sources, strict=True) if number]
    names = [sympy.Symbol(f"a{at:02}", real=True) for at in range(len(used))]
    total = sympy.Add(*(number * name for (number, _), name in zip(used, names, strict=True)))
    arguments = tuple((str(name), source) for name, (_, source) in zip(names, used, strict=True))
    return Do(Elementwise(target, total, arguments, ()))


def _turned(rows: Rows) -> Rows:
    return tuple(zip(*rows, strict=True))


def _positions(bands: _Bands) -> Call:
    stage, c, frame, lanes = bands.stage, bands.c, bands.frame, bands.lanes
    planes, fill = bands.planes()
    block = block_for(c.filters, lanes // LANES)
    blocks = rounded_up(c.filters, block) // block
    kernels = bands.scratch("kernels", blocks, stage.products, c.channels * block)
    cells = bands.scratch("cells", stage.products, c.channels, lanes)
    products = bands.scratch("products", stage.products, blocks * block, lanes)
    extents: Extents = (("k", blocks), ("r", block), ("q", lanes), ("c", c.channels))
    factors = (kernels[K, Z, C * block + R], cells[Z, C, Q])
    multiplied = Do(Contraction(products[Z, K * block + R, Q], factors, extents))
    each = bands.each_band(
        bands.transformed_cells(planes, cells),
        Loop(("z",), Span(stage.products), (multiplied,)),
        _outputs(bands, products),
    )
    images = Loop(("n", "images"), Blocks(c.batch, stage.images), (*fill, *each))
    body = (Loop(("g",), Span(c.groups), (*_kernels(bands, kernels, block), images)),)
    return frame.call("winograd", body, *bands.buffers)


def _kernels(bands: _Bands, kernels: Tensor, block: int) -> list[Statement]:
    """Return the statements that pack filters in blocks, and transform each block."""
    c, frame, one, two = bands.c, bands.frame, bands.first, bands.second
    blocks, _, size = kernels.sizes
    zeroed = blocks * block > c.filters
    packed = bands.scratch("packed", blocks, one.taps * two.taps, size, zeroed=zeroed)
    half = bands.scratch("half_kernels", one.cells * two.taps, size)
    number = Fraction(1, one.divisor * two.divisor)
    found: list[Statement] = []
    names = frame.tap_names
    counts: Extents = tuple(zip(names, (one.taps, two.taps), strict=True))
    tap = index(names[0]) * two.taps + index(names[1])
    for first, count, rows in ((K, c.filters // block, block), (None, 1, c.filters % block)):
        if count and rows:
            at = Polynomial.lift(c.filters // block) if first is None else first
            source = frame.taps[(G, at * block + R, C, *frame.tap_at)]
            own: Extents = () if first is None else (("k", count),)
            where = packed[at, tap, C * block + R]
            extents: Extents = (*own, ("c", c.channels), *counts, ("r", rows))
            found.append(Do(Contraction(where, (source,), extents, number)))
    sources = [packed[K, E + i * two.taps, S] for i in range(one.taps)]
    along = [_combined(half[E + t * two.taps, S], row, sources) for t, row in enumerate(one.of_taps)]
    halves = [half[Z * two.taps + i, S] for i in range(two.taps)]
    across = [
        _combined(kernels[K, Z * two.cells + t, S], row, halves) for t, row in enumerate(two.of_taps)
    ]
    body = (
        Loop(("e",), Span(two.taps), (_run(("s", size), along),)),
        Loop(("z",), Span(one.cells), (_run(("s", size), across),)),
    )
    return [*found, Loop(("k",), Span(blocks), body)]


def _outputs(bands: _Bands, products: Tensor) -> Statement:
    """Return the statement that transforms a band of each filter back, and writes its positions."""
    c, frame, one, two = bands.c, bands.frame, bands.first, bands.second
    half = bands.scratch("half_outputs", one.outputs * two.cells, bands.lanes)
    outputs = bands.scratch("outputs", one.outputs * two.outputs, bands.lanes)
    sources = [products[E + t * two.cells, M, Q] for t in range(one.cells)]
    along = [_combined(half[E + i * two.cells, Q], row, sources) for i, row in enumerate(one.to_outputs)]
    halves = [half[Z * two.cells + t, Q] for t in range(two.cells)]
    across = [
        _combined(outputs[Z * two.outputs + j, Q], row, halves) for j, row in enumerate(two.to_outputs)
    ]
    y, x = map(index, frame.position_names)
    names = frame.position_names
    body: list[Statement] = [
        Loop(("e",), Span(two.cells), (_run(("q", bands.lanes), along),)),
        Loop(("z",), Span(one.outputs), (_run(("q", bands.lanes), across),)),
    ]
    whole = bands.width(two.outputs - 1)
    held = B * bands.layout.plane + bands.layout.flat((y, x))
    for i in range(one.outputs):
        stored = []
        for j in range(two.outputs):
            place = frame.positions[
                (N + B, G, M, (bands.start + y) * one.outputs + i, x * two.outputs + j)
            ]
            source = outputs[Polynomial.lift(i * two.outputs + j), held]
            stored.append((place, source))
        tiles = [Do(Contraction(to, (of,), ())) for to, of in stored]
        cut = sum(bands.width(j) > whole for j in range(two.outputs))
        at_end = {names[1]: Polynomial.lift(whole)}
        last = [
            Do(Contraction(to.substitute(at_end), (of.substitute(at_end),), ()))
            for to, of in stored[:cut]
        ]
        inner: tuple[Statement, ...] = (*([_run((names[1], whole), tiles)] if whole else []), *last)
        rows: Statement = Loop((names[0],), Span(bands.height(i)), inner)
        body.append(Loop(("b",), Span(bands.stage.images), (rows,)))
    return Loop(("o",), Span(c.filters), tuple(body))


def _gradient(bands: _Bands) -> Call:
    stage, c, frame, one, two = bands.stage, bands.c, bands.frame, bands.first, bands.second
    filters = rounded_up(c.filters, LANES)
    planes, fill = bands.planes()
    cells = bands.scratch("cells", stage.products, c.channels, bands.lanes)
    length = bands.lanes * filters
    places = bands.scratch("places", one.outputs * two.outputs, length, zeroed=True)
    half = bands.scratch("half_positions", one.cells * two.outputs, length)
    positions = bands.scratch("positions", stage.products, length)
    sums = bands.scratch("sums", stage.products, c.channels, filters)
    clear = Do(
        Contraction(sums[Z, C, M], (), (("z", stage.products), ("c", c.channels), ("o", filters)), 0)
    )
    y, x = map(index, frame.position_names)
    held = B * bands.layout.plane + bands.layout.flat((y, x))
    given: list[Statement] = []
    if bands.bands > 1 and (stage.tiles[0] % stage.rows or c.axes[0].positions % one.outputs):
        every: Extents = (("e", one.outputs * two.outputs), ("s", length))
        given.append(Do(Contraction(places[E, S], (), every, 0)))
    for i in range(one.outputs):
        for j in range(two.outputs):
            own = (N + B, G, M, (bands.start + y) * one.outputs + i, x * two.outputs + j)
            target = places[Polynomial.lift(i * two.outputs + j), held * filters + M]
            sizes = dict(zip(frame.position_names, (bands.height(i), bands.width(j)), strict=True))
            extents: Extents = (("b", stage.images), *frame.extents("o"), *sizes.items())
            given.append(Do(Contraction(target, (frame.positions[own],), extents)))
    back_one, back_two = _turned(one.to_outputs), _turned(two.to_outputs)
    sources = [places[E + i * two.outputs, S] for i in range(one.outputs)]
    along = [_combined(half[E + t * two.outputs, S], row, sources) for t, row in enumerate(back_one)]
    halves = [half[Z * two.outputs + i, S] for i in range(two.outputs)]
    across = [_combined(positions[Z * two.cells + t, S], row, halves) for t, row in enumerate(back_two)]
    factors = (cells[Z, C, Q], positions[Z, Q * filters + M])
    extents = (("c", c.channels), ("o", filters), ("q", bands.lanes))
    multiplied = Do(Contraction(sums[Z, C, M], factors, extents), "add")
    each = bands.each_band(
        bands.transformed_cells(planes, cells),
        *given,
        Loop(("e",), Span(two.outputs), (_run(("s", length), along),)),
        Loop(("z",), Span(one.cells), (_run(("s", length), across),)),
        Loop(("z",), Span(stage.products), (multiplied,)),
    )
    images = Loop(("n", "images"), Blocks(c.batch, stage.images), (*fill, *each))
    after = _taps(bands, sums, filters)
    body = (Loop(("g",), Span(c.groups), (clear, images, after)),)
    return frame.call("winograd", body, *bands.buffers)


def _taps(bands: _Bands, sums: Tensor, filters: int) -> Statement:
    """Return the statement that transforms each channel's sums to gradients, and writes them."""
    c, frame, one, two = bands.c, bands.frame, bands.first, bands.second
    half = bands.scratch("half_gradients", one.taps * two.cells, filters)
    gradients = bands.scratch("gradients", one.taps * two.taps, filters)
    sources = [sums[E + t * two.cells, C, M] for t in range(one.cells)]
    along = [
        _combined(half[E + i * two.cells, M], row, sources) for i, row in enumerate(_turned(one.of_taps))
    ]
    halves = [half[Z * two.cells + t, M] for t in range(two.cells)]
    across = [
        _combined(gradients[Z * two.taps + j, M], row, halves)
        for j, row in enumerate(_turned(two.of_taps))
    ]
    names = frame.tap_names
    tap = index(names[0]) * two.taps + index(names[1])
    counts = zip(names, (one.taps, two.taps), strict=True)
    stored = Do(
        Contraction(
            frame.taps[(G, M, C, *frame.tap_at)],
            (gradients[tap, M],),
            (*frame.extents("o"), *counts),
            Fraction(1, one.divisor * two.divisor),
        )
    )
    body = (
        Loop(("e",), Span(two.cells), (_run(("o", filters), along),)),
        Loop(("z",), Span(one.taps), (_run(("o", filters), across),)),
        stored,
    )
    return Loop(("c",), Span(c.channels), body)
