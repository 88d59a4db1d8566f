"""Shift: one channel in and out, along one axis: the shifted signal times each filter element, added."""

from __future__ import annotations

from dataclasses import dataclass

from symconv.kernel.language import Blocks, Call, Do, Loop
from symconv.kernel.rewrite import accumulated, nested
from symconv.lower.frame import B, C, Frame, G, M, N
from symconv.notation.contraction import Contraction, index
from symconv.notation.correlation import Correlation


@dataclass(frozen=True)
class Shift:
    """One axis, one channel in and out: multiply and add the shifted signal for each tap.

    In blocks of images, and of ``rows`` positions where a signal is long.
    """

    correlation: Correlation
    images: int
    rows: int

    def lower(self) -> Call:
        """Return the kernel that adds shifted signals, in blocks of samples and bands of positions."""
        c = self.correlation
        frame = Frame(c, self.images)
        (axis,), (tap,), (place,) = c.axes, frame.tap_names, frame.position_names
        source, (start,), pad = frame.padded()
        top, height = index("top"), index("height")
        at = top + index(place)
        read = frame.read(source, at * axis.stride + index(tap) * axis.dilation + axis.offset - start)
        block = frame.positions[(N + B, G, M, at)]
        kernel = frame.taps[(G, M, C, index(tap))]
        extents = frame.extents("bgoc", **{place: height})
        if c.result == "positions":
            sums = accumulated(
                tap, axis.taps, Do(Contraction(block, (read, kernel), extents), names=("total",))
            )
            bands = Loop(("top", "height"), Blocks(axis.positions, self.rows), sums)
            return frame.call("shift", frame.in_blocks(*pad, bands), padded=source)
        once = (self.images, self.rows) == (c.batch, axis.positions)
        product = Contraction(kernel, (block, read), extents)
        sums = nested(
            [tap], [axis.taps], (Do(product, "assign" if once else "add", ("", "positions", "")),)
        )
        bands = Loop(("top", "height"), Blocks(axis.positions, self.rows), sums)
        clear = () if once else (Do(Contraction(kernel, (), frame.extents("gock"), 0)),)
        return frame.call("shift", (*clear, *frame.in_blocks(*pad, bands)), padded=source)
