"""Joined: a correlation as runs of joined planes, a block of filters and some vectors at a time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Blocks, Buffer, Call, Loop, Span, Statement
from symconv.lower.frame import Frame
from symconv.lower.runs import (
    LANES,
    channels_together,
    copied_runs,
    group_reads,
    in_stretches,
    layout_of,
    packed_filters,
    planes_of,
    products,
    rounded_up,
    taps_by_phase,
    vectors_of,
)
from symconv.notation.contraction import Tensor
from symconv.notation.correlation import Correlation


@dataclass(frozen=True)
class Joined:
    """Planes, then for each group of filter elements the sums of all positions of some images.

    ``block`` filters are computed together.
    """

    correlation: Correlation
    images: int
    block: int

    def lower(self) -> Call:
        """Return the kernel: filters are packed once, and planes filled for each block of images."""
        c = self.correlation
        frame = Frame(c, self.images)
        groups = [*itertools.product(*map(taps_by_phase, c.axes))]
        layout = layout_of(c, self.images)
        block = self.block
        filters = rounded_up(c.filters, block)
        run = layout.run([axis.positions for axis in c.axes], LANES * vectors_of(block))
        planes, fill = planes_of(frame, layout, run)
        taps = prod(axis.taps for axis in c.axes)
        packed = Tensor("packed", (filters // block, c.channels, taps, block))
        sums = Tensor("sums", (filters, run))
        together = channels_together(c.channels, taps)
        added: list[Statement] = []
        for group in groups:
            read, tap, extents = group_reads(c, layout, group, planes)
            do = products(sums, packed, read, tap, together, extents, "add" if added else "assign")
            added += in_stretches(do, c.channels // together, together)
        stored = copied_runs(frame, layout, sums)
        each = Loop(("n", "images"), Blocks(c.batch, self.images), (*fill, *added, stored))
        body = (Loop(("g",), Span(c.groups), (*packed_filters(frame, packed), each)),)
        return frame.call(
            "joined planes",
            body,
            Buffer(planes, "zeroed"),
            Buffer(packed, "scratch" if filters == c.filters else "zeroed"),
            Buffer(sums, "scratch"),
        )
