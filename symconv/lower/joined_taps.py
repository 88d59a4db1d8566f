"""Joined taps: a filter's gradient as sums over runs of joined planes, a stretch of them at a time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Blocks, Buffer, Call, Do, Extents, Loop, Span, Statement
from symconv.lower.frame import C, Frame, G, M, N
from symconv.lower.runs import (
    LANES,
    Q,
    block_of,
    copied_runs,
    flat_tap,
    group_reads,
    layout_of,
    planes_of,
    rounded_up,
    taps_by_phase,
)
from symconv.notation.contraction import Access, Contraction, Tensor, index
from symconv.notation.correlation import Correlation
from symconv.notation.polynomial import Polynomial

STRETCH = 256  # positions whose products are added together: what they read stays near
SHORT = 64  # where the sums are few, and so stay near themselves
FEW = 1 << 15  # sums
LONG = 1024  # positions where each sum has registers of its own


@dataclass(frozen=True)
class JoinedTaps:
    """A filter's gradient: the sums of all positions, some images at a time.

    Where a group has many filters, a vector has the sums of several, and ∂E/∂O is transposed for that,
    some rows at a time. Otherwise a vector has parts of one sum, which are added up at the end of a
    stretch.
    """

    correlation: Correlation
    images: int

    def lower(self) -> Call:
        """Return the kernel: planes of the cells and of the positions, then their products."""
        return self._across() if self.correlation.filters >= LANES else self._along()

    def _across(self) -> Call:
        """Return the kernel whose vectors go through the filters."""
        c = self.correlation
        frame, layout = Frame(c, 1), layout_of(c, 1)
        filters = rounded_up(c.filters, LANES)
        first, *inner = (axis.positions for axis in c.axes)
        pitch = prod(layout.lengths[1:])
        planes, fill = planes_of(frame, layout, first * pitch)
        taps = prod(axis.taps for axis in c.axes)
        sums = Tensor("sums", (c.channels, taps, filters))
        most = SHORT if c.channels * taps * filters <= FEW else STRETCH
        rows = max(n for n in range(1, first + 1) if first % n == 0 and n * pitch <= max(most, pitch))
        joined = Tensor("joined", (rows * pitch, filters))
        top = index("top")
        row, *others = frame.position_at
        put = layout.flat(frame.position_at)
        names = frame.position_names
        own: Extents = ((names[0], rows), ("o", c.filters), *zip(names[1:], inner, strict=True))
        given = Do(Contraction(joined[put, M], (frame.positions[(N, G, M, top + row, *others)],), own))
        added = self._products(
            frame, planes, joined[Q, M], sums[C, index("t"), M], filters, rows * pitch, top * pitch
        )
        band = Loop(("top", "height"), Blocks(first, rows), (given, *added))
        held = sums[C, flat_tap(frame.tap_at, c.axes), M]
        return self._summed(frame, planes, joined, sums, (*fill, band), held)

    def _along(self) -> Call:
        """Return the kernel whose vectors go through the positions."""
        c = self.correlation
        frame, layout = Frame(c, self.images), layout_of(c, self.images)
        filters = rounded_up(c.filters, block_of(c.filters))
        least = layout.run([axis.positions for axis in c.axes], LANES)
        stretch = rounded_up(-(-least // -(-least // LONG)), LANES)
        run = rounded_up(least, stretch)
        planes, fill = planes_of(frame, layout, run)
        taps = prod(axis.taps for axis in c.axes)
        joined, sums = Tensor("joined", (filters, run)), Tensor("sums", (filters, c.channels, taps))
        given = copied_runs(frame, layout, joined, turned=True)
        top = index("top")
        added = self._products(
            frame, planes, joined[M, top + Q], sums[M, C, index("t")], filters, stretch, top
        )
        stretches = Loop(("top", "length"), Blocks(run, stretch), added)
        held = sums[M, C, flat_tap(frame.tap_at, c.axes)]
        return self._summed(frame, planes, joined, sums, (*fill, given, stretches), held)

    def _products(
        self,
        frame: Frame,
        planes: Tensor,
        other: Access,
        target: Access,
        filters: int,
        stretch: int,
        start: Polynomial,
    ) -> tuple[Statement, ...]:
        """Return the products of a stretch for each group of filter elements, of which t is one."""
        c = self.correlation
        layout = layout_of(c, frame.images)
        found: list[Statement] = []
        for group in itertools.product(*map(taps_by_phase, c.axes)):
            read, tap, counts = group_reads(c, layout, group, planes)
            extents: Extents = (("o", filters), ("c", c.channels), *counts, ("q", stretch))
            moved = read.substitute({"q": Q + start})
            found.append(Do(Contraction(target.substitute({"t": tap}), (moved, other), extents), "add"))
        return tuple(found)

    def _summed(
        self,
        frame: Frame,
        planes: Tensor,
        joined: Tensor,
        sums: Tensor,
        body: tuple[Statement, ...],
        held: Access,
    ) -> Call:
        """Return the call of a kernel that clears sums, adds to them image by image, and stores them."""
        c = self.correlation
        places = tuple(zip("abc", sums.sizes, strict=True))
        clear = Do(Contraction(sums[tuple(index(name) for name, _ in places)], (), places, 0))
        each = Loop(("n", "images"), Blocks(c.batch, frame.images), body)
        taken = dict(zip(frame.tap_names, (axis.taps for axis in c.axes), strict=True))
        result = frame.taps[(G, M, C, *frame.tap_at)]
        stored: list[Statement] = []  # as the sums lie: some filters last
        blocks, rest = divmod(c.filters, LANES)
        for first, count, rows in (("k", blocks, LANES), ("", 1, rest)):
            if count and rows:
                start = index(first) * LANES if first else Polynomial.lift(blocks * LANES)
                moved = {"o": start + index("r")}
                outer: Extents = ((first, count),) if first else ()
                extents = (*outer, *frame.extents("c", **taken), ("r", rows))
                copy = Contraction(result.substitute(moved), (held.substitute(moved),), extents)
                stored.append(Do(copy))
        whole = (Loop(("g",), Span(c.groups), (clear, each, *stored)),)
        zeroed = (Buffer(planes, "zeroed"), Buffer(joined, "zeroed"))
        return frame.call("joined taps", whole, *zeroed, Buffer(sums, "scratch"))
