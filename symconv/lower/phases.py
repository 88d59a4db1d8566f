"""Phases: a strided write solved (the polyphase form): one plain correlation for each phase."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Buffer, Call, Do, Loop, Span, Statement, Table
from symconv.lower.frame import B, C, Frame, G, M, N, overlap, scratch
from symconv.notation.contraction import Contraction, Size, Tensor, index
from symconv.notation.correlation import Axis, Correlation
from symconv.notation.names import CELLS

LENGTHS = {1: ("width",), 2: ("height", "width"), 3: ("depth", "height", "width")}
NOTE = "For each phase"
COLUMNS = (
    "its first element",
    "how many it has",
    "its first filter element",
    "how many it has",
    "the first position that is read",
)
COUNTS = {1: ("columns",), 2: ("rows", "columns"), 3: ("slices", "rows", "columns")}


@dataclass(frozen=True)
class Phases:
    """A strided write solved: one plain correlation per phase of the cells.

    ``correlation`` is the one whose cells are sought; ``axes`` holds the phases along each axis, whose
    positions are these cells; ``covered`` says whether they are all of them.
    """

    correlation: Correlation
    axes: tuple[tuple[Axis, ...], ...]
    covered: bool
    images: int

    def lower(self) -> Call:
        """Return the kernel that computes the cells of each phase by columns.

        Along each axis a table has a row for each phase: its first cell, how many cells it has, its
        first filter element, how many it has, and the first position that is read.
        """
        c = self.correlation
        rank = len(c.axes)
        frame = Frame(c, self.images)
        cells, lengths, counts = CELLS[rank], LENGTHS[rank], COUNTS[rank]
        taps, places = frame.tap_names, frame.position_names
        firsts = [f"{name}0" for name in taps]
        starts = [f"{name}0" for name in places]
        low = [min((p.offset for p in phases), default=0) for phases in self.axes]
        high = [max((p.offset + p.span for p in phases), default=1) for phases in self.axes]
        padded = Tensor(
            "padded",
            (self.images, c.groups, c.filters, *(b - a for a, b in zip(low, high, strict=True))),
        )
        cuts = [overlap(a, b, axis.positions) for a, b, axis in zip(low, high, c.axes, strict=True)]
        put = [index(n) + first - a for n, a, (first, _) in zip(places, low, cuts, strict=True)]
        read = [index(n) + first for n, (first, _) in zip(places, cuts, strict=True)]
        pad = Contraction(
            padded[(B, G, M, *put)],
            (frame.positions[(N + B, G, M, *read)],),
            frame.extents("bgo", **{n: count for n, (_, count) in zip(places, cuts, strict=True)}),
        )
        sizes: dict[str, Size] = {n: index(length) for n, length in zip(places, lengths, strict=True)}
        reached: dict[str, Size] = {k: index(count) for k, count in zip(taps, counts, strict=True)}
        columns = scratch(
            "windows", self.images, c.groups, c.filters, *reached.values(), *sizes.values()
        )
        matrix = scratch("matrix", c.groups, c.channels, c.filters, *reached.values())
        phase = scratch("phase", self.images, c.groups, c.channels, *sizes.values())
        dilations = [phases[0].dilation if phases else 1 for phases in self.axes]
        steps = [tap_step(phases) for phases in self.axes]
        window = [
            index(s) + index(p) + index(k) * d
            for s, p, k, d in zip(starts, places, taps, dilations, strict=True)
        ]
        turned = [
            index(f) + (index(n) - index(k) - 1) * step  # the last one first
            for f, k, n, step in zip(firsts, taps, counts, steps, strict=True)
        ]
        column = columns.tensor[(B, G, M, *frame.tap_at, *frame.position_at)]
        held = matrix.tensor[(G, C, M, *frame.tap_at)]
        result = phase.tensor[(B, G, C, *frame.position_at)]
        written = [index(u) + index(p) * a.stride for u, p, a in zip(cells, places, c.axes, strict=True)]
        copies: tuple[Statement, ...] = (
            Do(Contraction(column, (padded[(B, G, M, *window)],), frame.extents("bgo", **sizes))),
        )
        for k, count in zip(reversed(taps), reversed(counts), strict=True):
            copies = (Loop((k,), Span(index(count)), copies),)
        body: tuple[Statement, ...] = (
            Do(Contraction(held, (frame.taps[(G, M, C, *turned)],), frame.extents("gco", **reached))),
            *copies,
            Do(Contraction(result, (held, column), frame.extents("bgoc", **reached, **sizes))),
            Do(
                Contraction(
                    frame.cells[(N + B, G, C, *written)], (result,), frame.extents("bgc", **sizes)
                )
            ),
        )
        letters = zip(cells, lengths, firsts, counts, starts, strict=True)
        each_axis = zip(letters, c.axes, self.axes, places, low, strict=True)
        for own, axis, phases, place, start in reversed(list(each_axis)):
            rows = tuple(
                (p.position_start, p.positions, first_tap(axis, p), p.taps, p.offset - start)
                for p in phases
            )
            body = (Loop(own, Table(rows, f"phases_{place}", NOTE, COLUMNS), body),)
        clear: tuple[Statement, ...] = ()
        if not self.covered:
            whole = [index(name) for name in places]
            each = dict(zip(places, (a.cells for a in c.axes), strict=True))
            extents = frame.extents("ngc", **each)
            clear = (Do(Contraction(frame.cells[(N, G, C, *whole)], (), extents, 0)),)
        if not prod(map(len, self.axes)):
            return frame.call("phases", clear)
        return frame.call(
            "phases",
            (*clear, *frame.in_blocks(Do(pad), *body)),
            Buffer(padded, "zeroed"),
            columns,
            matrix,
            phase,
        )


def tap_step(phases: tuple[Axis, ...]) -> int:
    """Return how far apart the filter elements of a phase are; the same for all with more than one."""
    return next((abs(p.tap_step) for p in phases if p.taps > 1), 1)


def first_tap(axis: Axis, phase: Axis) -> int:
    """Return the first filter element of a phase, in the order in which the axis counts them."""
    last = phase.tap_start + phase.tap_step * (phase.taps - 1)
    return min((at - axis.tap_start) // axis.tap_step for at in (phase.tap_start, last))
