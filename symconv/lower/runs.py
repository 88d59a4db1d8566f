"""Planes whose rows lie end to end, so that a filter element reads one long run of numbers.

A padded plane is one row. What a filter element reads for all positions is then a run of it, moved by
where the element stands; the places between the rows of positions get sums that nothing reads. With a
stride, each phase of the cells is a plane of its own, in which the positions lie side by side. The runs
are as long as registers want them, and filters are packed in blocks, so that a block of sums stays in
registers while everything that belongs to it is added.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import gcd, prod

from symconv.kernel.language import Do, Extents, How, Loop, Span, Statement, substitute
from symconv.kernel.rewrite import Values
from symconv.lower.frame import B, C, Frame, G, M, N
from symconv.notation.contraction import Access, Contraction, Tensor, index
from symconv.notation.correlation import Axis, Correlation
from symconv.notation.polynomial import Polynomial

LANES = 16  # numbers in the widest vector: runs are multiples of it
VECTORS = {1: 8, 2: 8, 3: 8, 4: 6, 5: 4, 6: 4, 8: 3}  # by how many filters: at most 24 sums
IN_FLIGHT = 8  # sums that keep the multipliers busy
LONGEST = 288  # products that are added one after the other
FEWEST = 8  # channels that are worth a sum of their own
MOST_GROUPS = 9  # of taps with different phases: each is a statement
R, Q = index("r"), index("q")


def block_of(filters: int) -> int:
    """Return how many filters are packed, and computed, together."""

    def cost(block: int) -> tuple[float, int]:
        loads = 1 / block + 1 / VECTORS[block]  # for each product of vectors
        return rounded_up(filters, block) * max(1, loads), -block

    return min(VECTORS, key=cost)


def cycles(rows: int, columns: int) -> float:
    """Return the cycles of a core for each product of a tile: the most of three limits.

    Those of its multipliers, of what is read, and of sums that wait for each other.
    """
    return max(1, 1 / rows + 1 / columns, IN_FLIGHT / (rows * columns))


def vectors_of(block: int) -> int:
    """Return of how many vectors a block of sums is, for each of its filters."""
    return VECTORS[block]


@dataclass(frozen=True)
class Taps:
    """Filter elements along one axis that read the same phase of the cells.

    The element ``first + step·t``, for t below ``count``, reads the plane of ``phase`` at a position's
    own place plus ``shift + stride·t``.
    """

    first: int
    step: int
    count: int
    phase: int
    shift: int
    stride: int

    @property
    def reach(self) -> int:
        """How far beyond a position's own place the last element reads."""
        return self.shift + self.stride * (self.count - 1)


def taps_by_phase(axis: Axis) -> tuple[Taps, ...]:
    """Return the filter elements of an axis by the phase that they read."""
    common = gcd(axis.stride, axis.dilation)
    step = axis.stride // common
    found = []
    for first in range(min(step, axis.taps)):
        count = len(range(first, axis.taps, step))
        shift, phase = divmod(first * axis.dilation, axis.stride)
        found.append(Taps(first, step, count, phase, shift, axis.dilation // common))
    return tuple(found)


@dataclass(frozen=True)
class Layout:
    """Planes whose rows lie end to end: their lengths along each axis, one image after the other."""

    lengths: tuple[int, ...]
    images: int

    @property
    def plane(self) -> int:
        """How many numbers a plane has."""
        return prod(self.lengths)

    def flat(self, places: Sequence[Polynomial | int]) -> Polynomial:
        """Return where a place of a plane is."""
        found = Polynomial.lift(0)
        for place, length in zip(places, self.lengths, strict=True):
            found = found * length + place
        return found

    def run(self, positions: Sequence[int], multiple: int) -> int:
        """Return how long a run is: all positions of all images, up to a multiple of some length."""
        last = int(self.flat([count - 1 for count in positions])) + (self.images - 1) * self.plane
        return rounded_up(last + 1, multiple)


def layout_of(c: Correlation, images: int) -> Layout:
    """Return how a correlation's planes lie."""
    lengths = []
    for axis in c.axes:
        groups = taps_by_phase(axis)
        whole = axis.positions + max(taps.reach for taps in groups)
        filled = [_filled(axis, taps.phase, whole) for taps in groups]
        lengths.append(shared_length(whole, axis.positions, filled))
    return Layout(tuple(lengths), images)


def shared_length(whole: int, positions: int, filled: Sequence[tuple[int, int]]) -> int:
    """Return how far apart rows lie whose borders of zeros overlap.

    ``whole`` is how much of a row is read, for so many positions; ``filled`` from where to where rows
    have cells. What is read behind a row's end is the zeros before the next row's cells.
    """
    first, last = min(start for start, _ in filled), max(stop for _, stop in filled)
    return max(positions, last, whole - first)


def _filled(axis: Axis, phase: int, length: int) -> tuple[int, int]:
    """Return from where to where a row of a phase has cells."""
    start = axis.offset + phase
    low = max(0, -(start // axis.stride))
    return low, max(low, min(length, (axis.cells - 1 - start) // axis.stride + 1))


def planes_of(frame: Frame, layout: Layout, run: int) -> tuple[Tensor, tuple[Do, ...]]:
    """Return a plane for each phase of the cells and each channel, and the copies that fill them."""
    c = frame.correlation
    groups = [*itertools.product(*map(taps_by_phase, c.axes))]
    reach = max(int(layout.flat([taps.reach for taps in group])) for group in groups)
    phases = phases_of(c)
    planes = Tensor("planes", (len(phases), c.channels, run + reach))
    return planes, tuple(plane_of(frame, layout, planes, *each) for each in enumerate(phases))


def phases_of(c: Correlation) -> list[tuple[int, ...]]:
    """Return the phases of the cells that filter elements read, along all axes."""
    groups = itertools.product(*map(taps_by_phase, c.axes))
    return sorted({tuple(taps.phase for taps in group) for group in groups})


def group_reads(
    c: Correlation, layout: Layout, group: Sequence[Taps], planes: Tensor
) -> tuple[Access, Polynomial, Extents]:
    """Return what a group's elements read, which elements they are, and how many."""
    names = Frame(c, 1).tap_names
    number = phases_of(c).index(tuple(taps.phase for taps in group))
    moved = [index(n) * t.stride + t.shift for n, t in zip(names, group, strict=True)]
    tap = flat_tap([index(n) * t.step + t.first for n, t in zip(names, group, strict=True)], c.axes)
    extents = tuple((n, t.count) for n, t in zip(names, group, strict=True))
    return planes[Polynomial.lift(number), C, Q + layout.flat(moved)], tap, extents


def rounded_up(count: int, multiple: int) -> int:
    """Return the smallest multiple that is not less than a count."""
    return -(-count // multiple) * multiple


def divisor(size: int, most: int) -> int:
    """Return the largest divisor of a size up to some number."""
    return max(n for n in range(1, most + 1) if size % n == 0)


def plane_of(frame: Frame, layout: Layout, planes: Tensor, number: int, phase: Sequence[int]) -> Do:
    """Return the statement that copies the cells of a phase into its plane."""
    names = frame.position_names
    put, read, extents = [], [], []
    for name, axis, residue, length in zip(
        names, frame.correlation.axes, phase, layout.lengths, strict=True
    ):
        low, high = _filled(axis, residue, length)
        put.append(index(name) + low)
        read.append((index(name) + low) * axis.stride + axis.offset + residue)
        extents.append((name, high - low))
    target = planes[Polynomial.lift(number), C, B * layout.plane + layout.flat(put)]
    source = frame.cells[(N + B, G, C, *read)]
    return Do(
        Contraction(
            target,
            (source,),
            (("b", layout.images), ("c", frame.correlation.channels), *extents),
        )
    )


def copied_runs(frame: Frame, layout: Layout, runs: Tensor, turned: bool = False) -> Do:
    """Return the statement that copies positions out of runs, or, turned, into them."""
    places = frame.position_at
    own = frame.positions[(N + B, G, M, *places)]
    held = runs[M, B * layout.plane + layout.flat(places)]
    extents: Extents = (("b", layout.images), *frame.extents("op"))
    target, source = (held, own) if turned else (own, held)
    return Do(Contraction(target, (source,), extents))


def packed_filters(frame: Frame, packed: Tensor) -> Iterator[Statement]:
    """Return the statements that pack the filters in blocks."""
    c = frame.correlation
    flat = flat_tap(frame.tap_at, c.axes)
    counts = tuple((k, a.taps) for k, a in zip(frame.tap_names, c.axes, strict=True))
    extents: Extents = (("c", c.channels), *counts)
    given = packed, (C, flat), frame.taps, (M, C), frame.tap_at, extents, c.filters
    yield from in_blocks_of(*given, inside=c.taps_transposed)


def in_blocks_of(
    packed: Tensor,
    inner: tuple[Polynomial, Polynomial],
    taps: Tensor,
    order: tuple[Polynomial, Polynomial],
    tap: Sequence[Polynomial],
    extents: Extents,
    count: int,
    inside: bool,
) -> Iterator[Statement]:
    """Copy filter elements, the index that is blocked last: whole blocks, then what is left.

    ``inner`` is where an element goes within a block, ``order`` the filter's own indices. Blocks go
    ``inside`` the first extent where that is how the filter lies in memory.
    """
    block = packed.sizes[-1]
    blocked = next(name for name in order if name not in inner)
    k = index("k")
    for first, blocks, rows in ((k, count // block, block), (count // block, 1, count % block)):
        if not blocks or not rows:
            continue
        own: Values = {str(blocked): first * block + R}
        source = taps[(G, *order, *tap)].substitute(own)
        where = packed[(first if isinstance(first, Polynomial) else Polynomial.lift(first)), *inner, R]
        own_extents: Extents = (("k", blocks),) if first is k else ()
        front, back = (extents[:1], extents[1:]) if inside else ((), extents)
        whole: Extents = (*front, *own_extents, *back, ("r", rows))
        yield Do(Contraction(where, (source,), whole))


def channels_together(channels: int, taps: int) -> int:
    """Return how many channels are summed at once: of many, a part, for less rounding."""
    most = max(1, LONGEST // taps)
    found = max(n for n in range(1, channels + 1) if channels % n == 0 and n <= most)
    return found if found >= FEWEST else channels


def in_stretches(do: Do, count: int, channels: int) -> tuple[Statement, ...]:
    """Return products for one stretch of channels after the other, from the second on added."""
    if count == 1:
        return (do,)
    meaning = do.meaning
    assert isinstance(meaning, Contraction)
    factors = tuple(
        factor.substitute({"c": index("part") * channels + C}) if isinstance(factor, Access) else factor
        for factor in meaning.factors
    )
    moved = replace(do, meaning=replace(meaning, factors=factors))
    first = replace(do, meaning=substitute(moved.meaning, {"part": 0}))
    return (first, Loop(("part",), Span(count, 1), (replace(moved, how="add"),)))


def products(
    sums: Tensor,
    packed: Tensor,
    read: Access,
    tap: Polynomial,
    channels: int,
    counts: Extents,
    how: How,
) -> Do:
    """Return the products of packed filters with runs."""
    blocks, _, _, block = packed.sizes
    extents: Extents = (
        ("k", blocks),
        ("r", block),
        ("q", sums.sizes[1]),
        ("c", channels),
        *counts,
    )
    target = sums[index("k") * block + R, Q]
    return Do(Contraction(target, (packed[index("k"), C, tap, R], read), extents), how)


def flat_tap(at: Sequence[Polynomial], axes: Sequence[Axis]) -> Polynomial:
    """Return the number of a filter element among all."""
    found = Polynomial.lift(0)
    for place, axis in zip(at, axes, strict=True):
        found = found * axis.taps + place
    return found
