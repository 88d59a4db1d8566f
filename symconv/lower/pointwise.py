"""Pointwise: a filter of one element, stride 1: a plain product without any copy."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.kernel.language import Call, Do
from symconv.lower.frame import B, C, Frame, G, M, N
from symconv.notation.contraction import Contraction
from symconv.notation.correlation import Correlation
from symconv.notation.polynomial import Polynomial


@dataclass(frozen=True)
class Pointwise:
    """One tap, stride 1: a plain product without any copy."""

    correlation: Correlation
    images: int

    def lower(self) -> Call:
        """Return the kernel of a product of matrices: filters by channels, channels by positions."""
        c = self.correlation
        frame = Frame(c, self.images)
        at = frame.position_at
        block = frame.positions[(N + B, G, M, *at)]
        cells = frame.cells[(N + B, G, C, *at)]
        kernel = frame.taps[(G, M, C, *(Polynomial.lift(0) for _ in c.axes))]
        extents = frame.extents("bgocp")
        if c.result == "positions":
            return frame.call(
                "product", frame.in_blocks(Do(Contraction(block, (kernel, cells), extents)))
            )
        sums = Contraction(kernel, (block, cells), extents)
        if self.images == c.batch:
            return frame.call("product", frame.in_blocks(Do(sums)))
        clear = Do(Contraction(kernel, (), frame.extents("goc"), 0))
        return frame.call("product", (clear, *frame.in_blocks(Do(sums, "add"))))
