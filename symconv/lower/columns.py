"""Columns: every filter element's window copied side by side (im2col), then one product."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.kernel.language import Call, Do, Statement
from symconv.kernel.rewrite import nested
from symconv.lower.frame import B, C, Frame, G, M, N, scratch
from symconv.notation.contraction import Contraction
from symconv.notation.correlation import Correlation


@dataclass(frozen=True)
class Columns:
    """Copy each tap's window side by side (im2col), ``images`` at a time, then one product."""

    correlation: Correlation
    images: int

    def lower(self) -> Call:
        """Return the kernel that computes a correlation by columns."""
        c = self.correlation
        frame = Frame(c, self.images)
        taps, places = [a.taps for a in c.axes], [a.positions for a in c.axes]
        source, start, pad = frame.padded()
        columns = scratch("columns", self.images, c.groups, c.channels, *taps, *places)
        matrix = scratch("matrix", c.groups, c.filters, c.channels, *taps)
        window = [cell - low for cell, low in zip(frame.cell_at, start, strict=True)]
        column = columns.tensor[(B, G, C, *frame.tap_at, *frame.position_at)]
        copied = Contraction(column, (frame.read(source, *window),), frame.extents("bgcp"))
        block = frame.positions[(N + B, G, M, *frame.position_at)]
        kernel = frame.taps[(G, M, C, *frame.tap_at)]
        copies = nested(frame.tap_names, taps, (Do(copied),))
        if c.result == "positions":
            held = matrix.tensor[(G, M, C, *frame.tap_at)]
            before: tuple[Statement, ...] = (Do(Contraction(held, (kernel,), frame.extents("gock"))),)
            product = Do(Contraction(block, (held, column), frame.extents("bgockp")))
        else:
            once = self.images == c.batch
            before = () if once else (Do(Contraction(kernel, (), frame.extents("gock"), 0)),)
            sums = Contraction(kernel, (block, column), frame.extents("bgockp"))
            product = Do(sums, "assign" if once else "add")
        body = (*before, *frame.in_blocks(*pad, *copies, product))
        return frame.call("columns", body, columns, matrix, padded=source)
