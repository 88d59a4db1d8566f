"""Planes: one channel in and out for each group: flattened planes times each filter element, added.

A padded plane is one long row. What a filter element reads at every position is then one run of it, as
long as the plane. The columns at the end of each row hold sums that nothing reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from symconv.kernel.language import Blocks, Buffer, Call, Do, Loop, Span
from symconv.kernel.rewrite import nested
from symconv.lower.frame import C, Frame, M, N, overlap, scratch
from symconv.notation.contraction import Contraction, Size, Tensor, index
from symconv.notation.correlation import Correlation
from symconv.notation.polynomial import Polynomial


@dataclass(frozen=True)
class Planes:
    """Multiply and add flattened planes for each filter element, ``planes`` at a time."""

    correlation: Correlation
    planes: int

    def lower(self) -> Call:
        """Return the kernel that adds shifted planes."""
        c = self.correlation
        frame = Frame(c, 1)
        names = frame.position_names
        rows = [a.span for a in c.axes]
        rows[0] += len(rows) > 1  # the last run reaches into one more row
        padded = Tensor("padded", (self.planes, prod(rows)))
        length = c.axes[0].positions * prod(rows[1:])
        total, term = (scratch(name, self.planes, length) for name in ("total", "term"))
        first, inner = index("top"), index("g")
        cuts = [overlap(a.offset, a.offset + a.span, a.cells) for a in c.axes]
        put = [index(n) + low - a.offset for n, a, (low, _) in zip(names, c.axes, cuts, strict=True)]
        read = [index(n) + low for n, (low, _) in zip(names, cuts, strict=True)]
        planes: Size = index("planes")
        copy = Contraction(
            padded[inner, _flat(put, rows)],
            (frame.cells[(N, first + inner, C, *read)],),
            (("g", planes), ("c", 1), *((n, count) for n, (_, count) in zip(names, cuts, strict=True))),
        )
        whole = dict(zip(names, (c.axes[0].positions, *rows[1:]), strict=True))
        run = (("g", planes), *whole.items())
        place = _flat(frame.position_at, rows)
        reached = _flat(
            [
                p + k * a.dilation
                for p, k, a in zip(frame.position_at, frame.tap_at, c.axes, strict=True)
            ],
            rows,
        )
        kernel = frame.taps[(first + inner, M, C, *frame.tap_at)]
        unit: tuple[tuple[str, Size], ...] = (("o", 1), ("c", 1))
        product = Contraction(term.tensor[inner, place], (padded[inner, reached], kernel), (*run, *unit))
        added = Contraction(total.tensor[inner, place], (term.tensor[inner, place],), run)
        taps = [a.taps for a in c.axes]
        stored = Contraction(
            frame.positions[(N, first + inner, M, *frame.position_at)],
            (total.tensor[inner, place],),
            (("g", planes), ("o", 1), *frame.extents("p")),
        )
        block = (
            Do(copy),
            Do(Contraction(total.tensor[inner, place], (), run, 0)),
            *nested(frame.tap_names, taps, (Do(product), Do(added, "add"))),
            Do(stored),
        )
        loop = Loop(
            ("n",), Span(c.batch), (Loop(("top", "planes"), Blocks(c.groups, self.planes), block),)
        )
        return frame.call("planes", (loop,), Buffer(padded, "zeroed"), total, term)


def _flat(subscripts: list[Polynomial] | tuple[Polynomial, ...], sizes: list[int]) -> Polynomial:
    """Return the place of an element in a flattened plane."""
    found = Polynomial.lift(0)
    for subscript, size in zip(subscripts, sizes, strict=True):
        found = found * size + subscript
    return found
