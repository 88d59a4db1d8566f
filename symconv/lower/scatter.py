"""Scatter: one product for every filter element's share, then a strided addition for each (col2im)."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.kernel.language import Call, Do, Statement
from symconv.kernel.rewrite import nested
from symconv.lower.frame import B, C, Frame, G, M, N, overlap, scratch
from symconv.notation.contraction import Contraction, index
from symconv.notation.correlation import Correlation


@dataclass(frozen=True)
class Scatter:
    """One product for every tap's share, then a strided addition for each tap (col2im)."""

    correlation: Correlation
    images: int

    def lower(self) -> Call:
        """Return the kernel that adds shares where the cells are written."""
        c = self.correlation
        frame = Frame(c, self.images)
        taps, places = [a.taps for a in c.axes], [a.positions for a in c.axes]
        terms = scratch("terms", self.images, c.groups, c.channels, *taps, *places)
        turned = scratch("matrix", c.groups, c.channels, *taps, c.filters)
        spread = scratch("sums", self.images, c.groups, c.channels, *(a.span for a in c.axes))
        term = terms.tensor[(B, G, C, *frame.tap_at, *frame.position_at)]
        held = turned.tensor[(G, C, *frame.tap_at, M)]
        kernel = frame.taps[(G, M, C, *frame.tap_at)]
        upstream = frame.positions[(N + B, G, M, *frame.position_at)]
        at = [cell - a.offset for cell, a in zip(frame.cell_at, c.axes, strict=True)]
        names = frame.position_names
        cuts = [overlap(a.offset, a.offset + a.span, a.cells) for a in c.axes]
        inside = [index(n) + low for n, (low, _) in zip(names, cuts, strict=True)]
        taken = [i - a.offset for i, a in zip(inside, c.axes, strict=True)]
        counts = {n: count for n, (_, count) in zip(names, cuts, strict=True)}
        cells = dict(zip(names, (a.cells for a in c.axes), strict=True))
        spans = dict(zip(names, (a.span for a in c.axes), strict=True))
        whole = (B, G, C, *frame.position_at)
        zero = Contraction(spread.tensor[whole], (), frame.extents("bgc", **spans), 0)
        added = Contraction(spread.tensor[(B, G, C, *at)], (term,), frame.extents("bgcp"))
        clear: tuple[Statement, ...] = ()
        if counts != cells:
            all_cells = frame.cells[(N, G, C, *frame.position_at)]
            clear = (Do(Contraction(all_cells, (), frame.extents("ngc", **cells), 0)),)
        block = frame.in_blocks(
            Do(Contraction(term, (held, upstream), frame.extents("bgockp"))),
            Do(zero),
            *nested(frame.tap_names, taps, (Do(added, "add"),)),
            Do(
                Contraction(
                    frame.cells[(N + B, G, C, *inside)],
                    (spread.tensor[(B, G, C, *taken)],),
                    frame.extents("bgc", **counts),
                )
            ),
        )
        pack = Do(Contraction(held, (kernel,), frame.extents("gock")))
        return frame.call("scatter", (*clear, pack, *block), terms, turned, spread)
