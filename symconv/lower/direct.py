"""Direct: the sum itself, read from the cells or their padded copy, for a language with fast loops."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.kernel.language import Blocks, Call, Do, Loop
from symconv.lower.frame import B, C, Frame, G, M, N
from symconv.notation.contraction import Contraction
from symconv.notation.correlation import Correlation


@dataclass(frozen=True)
class Direct:
    """The sum itself, for one sample after the other."""

    correlation: Correlation

    def lower(self) -> Call:
        """Return the kernel: a padded copy where windows reach outside, then the sum."""
        c = self.correlation
        positions = c.result == "positions"
        images = 1 if positions else c.batch
        frame = Frame(c, images)
        source, start, pad = frame.padded()
        at = [cell - low for cell, low in zip(frame.cell_at, start, strict=True)]
        read = frame.read(source, *at)
        block = frame.positions[(N + B, G, M, *frame.position_at)]
        taps = frame.taps[(G, M, C, *frame.tap_at)]
        extents = frame.extents("bgocpk")
        target, factor = (block, taps) if positions else (taps, block)
        body = (*pad, Do(Contraction(target, (factor, read), extents)))
        loop = Loop(("n", "images"), Blocks(c.batch, images), body)
        return frame.call("direct", (loop,), padded=source)
