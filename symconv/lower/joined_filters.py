"""Joined filters: a correlation whose vectors go through the filters, some positions at a time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Buffer, Call, Do, Extents, Loop, Span, Statement
from symconv.lower.frame import C, Frame, G, M, N
from symconv.lower.runs import (
    LANES,
    R,
    channels_together,
    divisor,
    group_reads,
    in_stretches,
    layout_of,
    packed_filters,
    planes_of,
    rounded_up,
    taps_by_phase,
)
from symconv.notation.contraction import Contraction, Tensor, index
from symconv.notation.correlation import Correlation

MOST_VECTORS = 3  # of filters that are computed together


@dataclass(frozen=True)
class JoinedFilters:
    """Planes, then for each group of filter elements all sums of an image, filters side by side.

    No sum is computed that nothing reads, but every sum is moved once more, to where it belongs.
    """

    correlation: Correlation

    def lower(self) -> Call:
        """Return the kernel: filters are packed once, and planes filled for each image."""
        c = self.correlation
        frame, layout = Frame(c, 1), layout_of(c, 1)
        filters = rounded_up(c.filters, LANES)
        width = LANES * divisor(filters // LANES, MOST_VECTORS)
        positions = [axis.positions for axis in c.axes]
        planes, fill = planes_of(frame, layout, layout.run(positions, 1))
        taps = prod(axis.taps for axis in c.axes)
        packed = Tensor("packed", (filters // width, c.channels, taps, width))
        sums = Tensor("sums", (*positions, filters))
        at, flat = frame.position_at, layout.flat(frame.position_at)
        target = sums[(*at, index("k") * width + R)]
        together = channels_together(c.channels, taps)
        added: list[Statement] = []
        for group in itertools.product(*map(taps_by_phase, c.axes)):
            read, tap, counts = group_reads(c, layout, group, planes)
            factors = (read.substitute({"q": flat}), packed[index("k"), C, tap, R])
            extents: Extents = (
                ("k", filters // width),
                *frame.extents("p"),
                ("r", width),
                ("c", together),
                *counts,
            )
            do = Do(Contraction(target, factors, extents), "add" if added else "assign")
            added += in_stretches(do, c.channels // together, together)
        stored = self._stored(frame, sums)
        each = Loop(("n",), Span(c.batch), (*fill, *added, *stored))
        body = (Loop(("g",), Span(c.groups), (*packed_filters(frame, packed), each)),)
        return frame.call(
            "joined filters",
            body,
            Buffer(planes, "zeroed"),
            Buffer(packed, "scratch" if filters == c.filters else "zeroed"),
            Buffer(sums, "scratch"),
        )

    def _stored(self, frame: Frame, sums: Tensor) -> list[Statement]:
        """Return the statements that move sums to where they belong, some filters of a row at a time."""
        at = frame.position_at
        *rows, row = frame.extents("p")
        own = frame.positions[(N, G, M, *at)]
        held = sums[(*at, M)]
        found: list[Statement] = []
        blocks, rest = divmod(self.correlation.filters, LANES)
        for first, count, width in ((index("k") * LANES, blocks, LANES), (blocks * LANES, 1, rest)):
            if not count or not width:
                continue
            moved = {"o": first + R}
            outer: Extents = (("k", count),) if width == LANES else ()
            extents = (*outer, *rows, ("r", width), row)
            copy = Contraction(own.substitute(moved), (held.substitute(moved),), extents)
            found.append(Do(copy))
        return found
