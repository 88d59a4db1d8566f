"""Joined phases: a strided write solved, each phase of the cells as runs of joined planes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Blocks, Buffer, Call, Do, Extents, Loop, Span, Statement
from symconv.lower.frame import B, C, Frame, G, M, N, overlap
from symconv.lower.phases import first_tap, tap_step
from symconv.lower.runs import (
    LANES,
    Layout,
    Q,
    R,
    block_of,
    flat_tap,
    in_blocks_of,
    rounded_up,
    shared_length,
    vectors_of,
)
from symconv.notation.contraction import Contraction, Tensor, index
from symconv.notation.correlation import Axis, Correlation


@dataclass(frozen=True)
class JoinedPhases:
    """A strided write solved: for each phase of the cells, a correlation of joined planes.

    ``axes`` holds the phases along each axis; ``covered`` says whether they are all of the cells.
    """

    correlation: Correlation
    axes: tuple[tuple[Axis, ...], ...]
    covered: bool
    images: int

    def lower(self) -> Call:
        """Return the kernel: planes of the positions, then each phase's sums, stored with the stride."""
        c = self.correlation
        frame = Frame(c, self.images)
        low = [min(phase.offset for phase in phases) for phases in self.axes]
        high = [max(phase.offset + phase.span for phase in phases) for phases in self.axes]
        cuts = [overlap(a, b, axis.positions) for a, b, axis in zip(low, high, c.axes, strict=True)]
        most = [max(p.positions for p in phases) for phases in self.axes]
        lengths = [
            shared_length(b - a, count, [(start - a, start - a + number)])
            for a, b, count, (start, number) in zip(low, high, most, cuts, strict=True)
        ]
        layout = Layout(tuple(lengths), self.images)
        block = block_of(c.channels)
        channels = rounded_up(c.channels, block)
        every = [*itertools.product(*self.axes)]
        run = layout.run(most, LANES * vectors_of(block))
        reach = max(
            int(
                layout.flat(
                    [p.offset + p.span - p.positions - a for p, a in zip(phases, low, strict=True)]
                )
            )
            for phases in every
        )
        planes = Tensor("planes", (c.filters, run + reach))
        names = frame.position_names
        firsts = [index(x) + start for x, (start, _) in zip(names, cuts, strict=True)]
        put = layout.flat([place - a for place, a in zip(firsts, low, strict=True)])
        sizes = [(x, count) for x, (_, count) in zip(names, cuts, strict=True)]
        fill = Do(
            Contraction(
                planes[M, B * layout.plane + put],
                (frame.positions[(N + B, G, M, *firsts)],),
                (("b", self.images), ("o", c.filters), *sizes),
            )
        )
        pack: list[Statement] = []
        phases_: list[Statement] = []
        others: list[Buffer] = []
        for number, phases in enumerate(every):
            taps = prod(p.taps for p in phases)
            packed = Tensor(f"packed{number or ''}", (channels // block, c.filters, taps, block))
            sums = Tensor("sums", (channels, run))
            others.append(Buffer(packed, "scratch" if channels == c.channels else "zeroed"))
            turned = [
                first_tap(axis, p) + (p.taps - 1 - index(k)) * tap_step((p,))
                for axis, p, k in zip(c.axes, phases, frame.tap_names, strict=True)
            ]
            counts = tuple((k, p.taps) for k, p in zip(frame.tap_names, phases, strict=True))
            flat = flat_tap(frame.tap_at, phases)
            given = packed, (M, flat), frame.taps, (M, C), turned, (("o", c.filters), *counts)
            pack += in_blocks_of(*given, c.channels, inside=not c.taps_transposed)
            moved = [
                index(k) * p.dilation + p.offset - a
                for k, p, a in zip(frame.tap_names, phases, low, strict=True)
            ]
            read = planes[M, Q + layout.flat(moved)]
            held = packed[index("k"), M, flat, R]
            extents: Extents = (
                ("k", channels // block),
                ("r", block),
                ("q", run),
                ("o", c.filters),
                *counts,
            )
            phases_.append(Do(Contraction(sums[index("k") * block + R, Q], (held, read), extents)))
            written = [
                index(x) * p.position_step + p.position_start for x, p in zip(names, phases, strict=True)
            ]
            own = dict(zip(names, (p.positions for p in phases), strict=True))
            phases_.append(
                Do(
                    Contraction(
                        frame.cells[(N + B, G, C, *written)],
                        (sums[C, B * layout.plane + layout.flat(frame.position_at)],),
                        (("b", self.images), ("c", c.channels), *own.items()),
                    )
                )
            )
        clear: tuple[Statement, ...] = ()
        if not self.covered:
            whole = dict(zip(names, (a.cells for a in c.axes), strict=True))
            cell = frame.cells[(N, G, C, *frame.position_at)]
            clear = (Do(Contraction(cell, (), frame.extents("ngc", **whole), 0)),)
        each = Loop(("n", "images"), Blocks(c.batch, self.images), (fill, *phases_))
        body = (*clear, Loop(("g",), Span(c.groups), (*pack, each)))
        return frame.call(
            "joined planes by phases", body, Buffer(planes, "zeroed"), Buffer(sums, "scratch"), *others
        )
