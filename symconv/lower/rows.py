"""Rows: one shifted copy for each filter column, then a product for each filter row."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Blocks, Call, Do, How, Loop, Statement
from symconv.kernel.rewrite import accumulated, nested
from symconv.lower.frame import B, C, Frame, G, M, N, scratch
from symconv.notation.contraction import Contraction, Size, index
from symconv.notation.correlation import Correlation


@dataclass(frozen=True)
class Rows:
    """Copy one shift for each tap of the inner axes, then one product for each tap of the first axis.

    In blocks of images, and of ``rows`` positions of the first axis where an image is large.
    """

    correlation: Correlation
    images: int
    rows: int

    def lower(self) -> Call:
        """Return the kernel that computes a correlation by rows.

        The image's rows are copied once for each filter column, shifted by it. A filter row's products
        then read whole rows of these copies, which are views.
        """
        c = self.correlation
        frame = Frame(c, self.images)
        first, *inner = c.axes
        row, *columns = frame.tap_names
        y, *x = frame.position_names
        source, start, pad = frame.padded()
        shifts = [a.taps for a in inner]
        places = [a.positions for a in inner]
        around = first.span - first.positions
        height = index("height")
        shifted = scratch(
            "shifted", self.images, c.groups, *shifts, c.channels, self.rows + around, *places
        )
        held = "matrices" if c.result == "positions" else "gradients"
        matrices = scratch(held, first.taps, c.groups, c.filters, *shifts, c.channels)
        at = tuple(map(index, columns))
        across = tuple(map(index, x))
        top = index("top")
        window = tuple(cell - low for cell, low in zip(frame.cell_at, start, strict=True))[1:]
        copied = Contraction(
            shifted.tensor[(B, G, *at, C, index("row"), *across)],
            (frame.read(source, top + index("row") + (first.offset - start[0]), *window),),
            frame.extents("bgc", row=height + around, **dict(zip(x, places, strict=True))),
        )
        matrix = matrices.tensor[(index(row), G, M, *at, C)]
        block = frame.positions[(N + B, G, M, top + index(y), *across)]
        rows = shifted.tensor[(B, G, *at, C, index(row) * first.dilation + index(y), *across)]
        summed = dict(zip(columns, shifts, strict=True))
        own: dict[str, Size] = {y: height, **dict(zip(x, places, strict=True))}
        band: tuple[Statement, ...] = nested(columns, shifts, (Do(copied),))
        if c.result == "positions":
            ordered = Contraction(
                matrix,
                (frame.taps[(G, M, C, index(row), *at)],),
                frame.extents("gock"),
            )
            product = Contraction(block, (matrix, rows), frame.extents("bgoc", **own, **summed))
            band += accumulated(row, first.taps, Do(product, names=("total", "", "window")))
            before: tuple[Statement, ...] = (Do(ordered),)
            after: tuple[Statement, ...] = ()
        else:
            product = Contraction(matrix, (block, rows), frame.extents("bgoc", **own, **summed))
            once = self.images == c.batch and self.rows == first.positions
            how: How = "assign" if once else "add"
            band += nested([row], [first.taps], (Do(product, how, ("", "positions", "window")),))
            zero = () if once else (Do(Contraction(matrix, (), frame.extents("gock"), 0)),)
            stored = Contraction(
                frame.taps[(G, M, C, index(row), *at)], (matrix,), frame.extents("gock")
            )
            before, after = zero, (Do(stored),)
        bands = Loop(("top", "height"), Blocks(first.positions, self.rows), band)
        body = (*before, *frame.in_blocks(*pad, bands), *after)
        return frame.call(f"rows of {prod(shifts)} shifts", body, shifted, matrices, padded=source)
