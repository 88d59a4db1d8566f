"""Joined taps: a filter's gradient as sums over runs of joined planes, a stretch of them at a time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Blocks, Buffer, Call, Do, Extents, Loop, Span, Statement
from symconv.lower.frame import B, C, Frame, G, M, N
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
from symconv.notation.contraction import Contraction, Tensor, index
from symconv.notation.correlation import Correlation

STRETCH = 64  # positions whose products are added together: what they read stays near
LONG = 1024  # where each sum has a register of its own


@dataclass(frozen=True)
class JoinedTaps:
    """A filter's gradient, for some images at a time.

    Where a group has many filters, a vector has the sums of several; otherwise it has parts of one sum,
    which are added up at the end of a stretch.
    """

    correlation: Correlation
    images: int

    def lower(self) -> Call:
        """Return the kernel: planes of the cells and of the positions, then their products."""
        c = self.correlation
        frame = Frame(c, self.images)
        layout = layout_of(c, self.images)
        across = c.filters >= LANES
        stretch = STRETCH if across else LONG
        filters = rounded_up(c.filters, LANES if across else block_of(c.filters))
        run = layout.run([axis.positions for axis in c.axes], stretch)
        planes, fill = planes_of(frame, layout, run)
        taps = prod(axis.taps for axis in c.axes)
        joined = Tensor("joined", (run, filters) if across else (filters, run))
        sums = Tensor("sums", (c.channels, taps, filters) if across else (filters, c.channels, taps))
        top = index("top")
        added: list[Statement] = []
        for group in itertools.product(*map(taps_by_phase, c.axes)):
            read, tap, counts = group_reads(c, layout, group, planes)
            read = read.substitute({"q": top + Q})
            target = sums[C, tap, M] if across else sums[M, C, tap]
            other = joined[top + Q, M] if across else joined[M, top + Q]
            extents: Extents = (("c", c.channels), *counts, ("o", filters), ("q", stretch))
            added.append(Do(Contraction(target, (read, other), extents), "add"))
        if across:
            places = frame.position_at
            put = B * layout.plane + layout.flat(places)
            names = [*frame.position_names]
            sizes = [axis.positions for axis in c.axes]
            own: Extents = (
                ("b", self.images),
                *zip(names[:-1], sizes[:-1], strict=True),
                ("o", c.filters),
                (names[-1], sizes[-1]),
            )
            given = Do(Contraction(joined[put, M], (frame.positions[(N + B, G, M, *places)],), own))
        else:
            given = copied_runs(frame, layout, joined, turned=True)
        stretches = Loop(("top", "length"), Blocks(run, stretch), tuple(added))
        each = Loop(("n", "images"), Blocks(c.batch, self.images), (*fill, given, stretches))
        names = [*frame.tap_names]
        held = (
            sums[C, flat_tap(frame.tap_at, c.axes), M]
            if across
            else sums[M, C, flat_tap(frame.tap_at, c.axes)]
        )
        whole = frame.extents("oc", **dict(zip(names, (a.taps for a in c.axes), strict=True)))
        stored = Do(Contraction(frame.taps[(G, M, C, *frame.tap_at)], (held,), whole))
        places_ = [("a", sums.sizes[0]), ("b", sums.sizes[1]), ("c", sums.sizes[2])]
        clear = Do(Contraction(sums[tuple(index(name) for name, _ in places_)], (), tuple(places_), 0))
        body = (Loop(("g",), Span(c.groups), (clear, each, stored)),)
        return frame.call(
            "joined taps",
            body,
            Buffer(planes, "zeroed"),
            Buffer(joined, "zeroed"),
            Buffer(sums, "scratch"),
        )
