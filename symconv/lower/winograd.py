"""Winograd: tiles transformed along each axis, fewer products, and the transform back (theorem T8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from symconv.kernel.language import Buffer, Call, Do, Loop, Span, Statement, Table
from symconv.kernel.rewrite import nested
from symconv.lower.frame import C, Frame, G, M, N, scratch
from symconv.lower.tiles import Filtered
from symconv.notation.contraction import Access, Contraction, Size, Tensor, index
from symconv.notation.cook_toom import POINTS, MinimalFiltering
from symconv.notation.polynomial import Polynomial

At = tuple[Polynomial, ...]
Sizes = tuple[tuple[str, Size], ...]


@dataclass(frozen=True)
class Winograd(Filtered):
    """Fewer products, along each axis those of F(m, r), in tiles of m positions; image by image."""

    def lower(self) -> Call:
        """Return the kernel that computes a correlation by minimal filtering, sample by sample."""
        c = self.correlation
        return (_gradient if c.result == "taps" else _positions)(_Tiles(self))


class _Tiles:
    """The indices and the buffers of an algorithm while its kernel is written."""

    def __init__(self, stage: Winograd) -> None:
        self.stage, self.c = stage, stage.correlation
        self.frame = Frame(self.c, 1)
        self.buffers: list[Buffer] = []
        names = self.frame.position_names
        self.products = [f"{name}t" for name in names]  # which product of a tile
        self.tiles = list(names)  # which tile
        self.inner = [f"{name}i" for name in names]  # which element of a tile

    @property
    def axes(self) -> list[tuple[int, MinimalFiltering]]:
        """Each axis and its filtering."""
        return list(enumerate(self.stage.filtering))

    def scratch(self, name: str, *sizes: Size) -> Tensor:
        """Return scratch of its own."""
        buffer = scratch(name, *sizes)
        self.buffers.append(buffer)
        return buffer.tensor

    def matrix(self, name: str, f: MinimalFiltering) -> Tensor:
        """Return one of a filtering's matrices: ``to_outputs``, ``of_taps`` or ``of_cells``."""
        rows = getattr(f, name)
        known = f"{name}_{f.outputs}_{f.taps}"
        tensor = Tensor(known, (len(rows), len(rows[0])))
        values = tuple(value for row in rows for value in row)
        buffer = Buffer(tensor, "constant", values, note=_note(f))
        if buffer not in self.buffers:
            self.buffers.append(buffer)
        return tensor

    def sample(self, role: str, reach: Sequence[int]) -> tuple[Access, tuple[Statement, ...]]:
        """Return what tiles are cut from, and the statements that prepare it."""
        access, statements, buffers = self.frame.sample(role, reach)
        self.buffers += buffers
        return access, statements

    def transformed(
        self, role: str, source: Access, reach: Sequence[int]
    ) -> tuple[Access, list[Statement]]:
        """Cut an image into tiles and transform these, axis after axis."""
        c = self.c
        cells = role == "cells"
        channel, count = (C, c.channels) if cells else (M, c.filters)
        letter = "c" if cells else "o"
        body: list[Statement] = []
        at_source = source
        for at, f in self.axes:
            taken = f.cells if cells else f.outputs
            done, left = self.products[:at], self.frame.position_names[at + 1 :]
            counts = [g.cells for g in self.stage.filtering]
            lead = tuple(map(index, done))
            places = (*map(index, self.tiles[: at + 1]), *map(index, left))
            lengths = (*self.stage.tiles[: at + 1], *reach[at + 1 :])
            name = self.frame.position_names[at]
            cut = self.scratch(f"cut_{role}_{name}", *counts[:at], taken, c.groups, count, *lengths)
            given = self.scratch(f"{role}_{name}", *counts[: at + 1], c.groups, count, *lengths)
            inner, product = self.inner[at], self.products[at]
            element = index(self.tiles[at]) * f.outputs + index(inner)
            read = at_source.substitute({name: element})
            extents: Sizes = (
                *zip(done, counts, strict=False),
                ("g", c.groups),
                (letter, count),
                *zip((*self.tiles[: at + 1], *left), lengths, strict=True),
            )
            held = cut[(*lead, index(inner), G, channel, *places)]
            body.append(Loop((inner,), Span(taken), (Do(Contraction(held, (read,), extents)),)))
            matrix = self.matrix("of_cells" if cells else "to_outputs", f)
            factor = (
                matrix[index(product), index(inner)] if cells else matrix[index(inner), index(product)]
            )
            result = given[(*lead, index(product), G, channel, *places)]
            whole = (*extents, (product, f.cells), (inner, taken))
            body.append(Do(Contraction(result, (factor, held), whole)))
            at_source = result
        return at_source, body

    @property
    def tile_extents(self) -> Sizes:
        """The extents of products and tiles."""
        products = zip(self.products, (f.cells for f in self.stage.filtering), strict=True)
        return (*products, *zip(self.tiles, self.stage.tiles, strict=True))


def _positions(tiles: _Tiles) -> Call:
    stage, c, frame = tiles.stage, tiles.c, tiles.frame
    counts = [f.cells for f in stage.filtering]
    taps = [a.taps for a in c.axes]
    divisor = prod(f.divisor for f in stage.filtering)
    goc: Sizes = frame.extents("goc")
    held = tiles.scratch("kernels", *taps, c.groups, c.filters, c.channels)[(*frame.tap_at, G, M, C)]
    kernel = frame.taps[(G, M, C, *frame.tap_at)]
    before: list[Statement] = [
        Do(Contraction(held, (kernel,), frame.extents("gock"), Fraction(1, divisor)))
    ]
    for at, f in tiles.axes:
        done, left = tiles.products[: at + 1], frame.tap_names[at + 1 :]
        name = frame.position_names[at]
        shape = (*counts[: at + 1], *taps[at + 1 :], c.groups, c.filters, c.channels)
        new = tiles.scratch(f"kernels_{name}", *shape)[(*map(index, done), *map(index, left), G, M, C)]
        factor = tiles.matrix("of_taps", f)[index(done[-1]), index(frame.tap_names[at])]
        extents = (
            *zip(done, counts, strict=False),
            *zip(frame.tap_names[at:], taps[at:], strict=True),
            *goc,
        )
        before.append(Do(Contraction(new, (factor, held), extents)))
        held = new
    source, pad = tiles.sample("cells", stage.reach)
    cells, body = tiles.transformed("cells", source, stage.reach)
    at_tiles = tuple(map(index, tiles.tiles))
    products = tiles.scratch("products", *counts, c.groups, c.filters, *stage.tiles)
    result = products[(*map(index, tiles.products), G, M, *at_tiles)]
    body.append(Do(Contraction(result, (held, cells), (*goc, *tiles.tile_extents))))
    for at, f in tiles.axes:
        inside, rest = tiles.inner[: at + 1], tiles.products[at + 1 :]
        outputs = [g.outputs for g in stage.filtering]
        shape = (*outputs[: at + 1], *counts[at + 1 :], c.groups, c.filters, *stage.tiles)
        name = frame.position_names[at]
        new = tiles.scratch(f"outputs_{name}", *shape)[
            (*map(index, inside), *map(index, rest), G, M, *at_tiles)
        ]
        factor = tiles.matrix("to_outputs", f)[index(inside[-1]), index(tiles.products[at])]
        extents = (
            *zip(inside, outputs, strict=False),
            *zip(tiles.products[at:], counts[at:], strict=True),
            *frame.extents("go"),
            *zip(tiles.tiles, stage.tiles, strict=True),
        )
        body.append(Do(Contraction(new, (factor, result), extents)))
        result = new
    body += _written(tiles, result)
    loop = Loop(("n",), Span(c.batch), (*pad, *body))
    return frame.call("winograd", (*before, loop), *tiles.buffers)


def _written(tiles: _Tiles, result: Access) -> tuple[Statement, ...]:
    """Write each tile's outputs where they belong; those beyond the last position are left out."""
    stage, c, frame = tiles.stage, tiles.c, tiles.frame
    places = [
        index(t) * f.outputs + index(i)
        for t, i, f in zip(tiles.tiles, tiles.inner, stage.filtering, strict=True)
    ]
    cut = any(a.positions % f.outputs for a, f in zip(c.axes, stage.filtering, strict=True))
    lengths: list[Size] = [index(f"{x}n") for x in tiles.tiles] if cut else list(stage.tiles)
    extents = (*frame.extents("go"), *zip(tiles.tiles, lengths, strict=True))
    body: tuple[Statement, ...] = (
        Do(Contraction(frame.positions[(N, G, M, *places)], (result,), extents)),
    )
    if not cut:
        return nested(tiles.inner, [f.outputs for f in stage.filtering], body)
    for axis, f, inner, tile in reversed(
        list(zip(c.axes, stage.filtering, tiles.inner, tiles.tiles, strict=True))
    ):
        rows = tuple((j, len(range(j, axis.positions, f.outputs))) for j in range(f.outputs))
        said = ("its place", "how many tiles have it")
        table = Table(rows, f"outputs_{tile}", "For each output of a tile", said)
        body = (Loop((inner, f"{tile}n"), table, body),)
    return body


def _gradient(tiles: _Tiles) -> Call:
    stage, c, frame = tiles.stage, tiles.c, tiles.frame
    counts = [f.cells for f in stage.filtering]
    taps = [a.taps for a in c.axes]
    divisor = prod(f.divisor for f in stage.filtering)
    goc: Sizes = frame.extents("goc")
    at_products = tuple(map(index, tiles.products))
    sums = tiles.scratch("sums", *counts, c.groups, c.filters, c.channels)[(*at_products, G, M, C)]
    each = (*zip(tiles.products, counts, strict=True), *goc)
    source, pad = tiles.sample("cells", stage.reach)
    cells, body = tiles.transformed("cells", source, stage.reach)
    others, more = tiles.sample("positions", stage.filled)
    positions, body_too = tiles.transformed("positions", others, stage.filled)
    added = Do(Contraction(sums, (positions, cells), (*goc, *tiles.tile_extents)), "add")
    loop = Loop(("n",), Span(c.batch), (*pad, *body, *more, *body_too, added))
    after: list[Statement] = []
    held = sums
    for at, f in tiles.axes:
        done, left = frame.tap_names[: at + 1], tiles.products[at + 1 :]
        name = frame.position_names[at]
        shape = (*taps[: at + 1], *counts[at + 1 :], c.groups, c.filters, c.channels)
        new = tiles.scratch(f"gradients_{name}", *shape)[(*map(index, done), *map(index, left), G, M, C)]
        factor = tiles.matrix("of_taps", f)[index(tiles.products[at]), index(done[-1])]
        extents = (
            *zip(done, taps, strict=False),
            *zip(tiles.products[at:], counts[at:], strict=True),
            *goc,
        )
        after.append(Do(Contraction(new, (factor, held), extents)))
        held = new
    gradient = frame.taps[(G, M, C, *frame.tap_at)]
    after.append(Do(Contraction(gradient, (held,), frame.extents("gock"), Fraction(1, divisor))))
    clear = Do(Contraction(sums, (), each, 0))
    return frame.call("winograd", (clear, loop, *after), *tiles.buffers)


def _note(f: MinimalFiltering) -> str:
    """Say what a filtering's matrices do."""
    points = ", ".join(map(str, POINTS[f.cells - 1]))
    return (
        f"F({f.outputs}, {f.taps}): {f.outputs} outputs of {f.taps} filter elements from {f.cells} "
        f"products, Cook-Toom at {points} and infinity: "
        f"Σ_t A[j, t] · G[t, k] · B[t, i] = {f.divisor} · [i = j + k]."
    )
