"""Table: every window at once through a constant table of elements, then one product."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Call, Do
from symconv.lower.frame import B, C, Frame, G, M, N, scratch
from symconv.notation.contraction import Contraction
from symconv.notation.correlation import Correlation
from symconv.notation.polynomial import Polynomial


@dataclass(frozen=True)
class Table:
    """Look up every window at once through a constant table, then compute one product."""

    correlation: Correlation

    def lower(self) -> Call:
        """Return the kernel that looks up every window, all samples together."""
        c = self.correlation
        frame = Frame(c, c.batch)
        source, start, pad = frame.padded()
        taps, places = [a.taps for a in c.axes], [a.positions for a in c.axes]
        windows = scratch("windows", c.batch, c.groups, c.channels * prod(taps), prod(places))
        window = [cell - low for cell, low in zip(frame.cell_at, start, strict=True)]
        row, column = C, Polynomial.lift(0)
        for k, count in zip(frame.tap_at, taps, strict=True):
            row = row * count + k
        for p, count in zip(frame.position_at, places, strict=True):
            column = column * count + p
        held = windows.tensor[(B, G, row, column)]
        copied = Contraction(held, (frame.read(source, *window),), frame.extents("bgckp"))
        block = frame.positions[(N + B, G, M, *frame.position_at)]
        kernel = frame.taps[(G, M, C, *frame.tap_at)]
        target, other = (block, kernel) if c.result == "positions" else (kernel, block)
        product = Contraction(target, (other, held), frame.extents("bgockp"))
        body = frame.in_blocks(*pad, Do(copied, hint="table"), Do(product))
        return frame.call("table", body, windows, padded=source)
