"""Pools: loops over a window's elements, on slices of the input and of the output's positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

from symconv.kernel.language import Buffer, Do, Extents, Loop, Span, Statement, Table, substitute
from symconv.lower.frame import scratch
from symconv.lower.lowered import Lowered
from symconv.notation.contraction import Access, Contraction, Size, Tensor, index
from symconv.notation.correlation import Axis
from symconv.notation.graph import Elementwise, Selection
from symconv.notation.names import POSITIONS, TAPS
from symconv.notation.polynomial import Polynomial

NOTE = "For each element of a window"
COLUMNS = ("the first position at which it exists", "how many positions", "what the first one reads")
WRITTEN_OUT = 16  # elements of a window, at most, so that the code stays short
DIVISORS = "How many elements count in each window."
At = tuple[Polynomial, ...]


@dataclass(frozen=True)
class Windows:
    """The windows of a pool: batch and channels, then each axis with its windows.

    Parameters
    ----------
    axes
        Every axis, as a correlation has them; the first two have windows of one element.
    """

    axes: tuple[Axis, ...]

    @property
    def spatial(self) -> tuple[Axis, ...]:
        """The axes with windows."""
        return self.axes[2:]

    @property
    def names(self) -> tuple[str, ...]:
        """The positions' indices."""
        return POSITIONS[len(self.spatial)]

    @property
    def inside(self) -> bool:
        """Whether no window reaches outside the input."""
        return all(axis.inside for axis in self.spatial)

    @property
    def is_whole(self) -> bool:
        """Whether there is one window: the whole input."""
        return all(
            a.positions == 1 and a.inside and (a.taps, a.dilation if a.taps > 1 else 1) == (a.cells, 1)
            for a in self.spatial
        )

    @property
    def disjoint(self) -> bool:
        """Whether no element is in two windows."""
        return all(a.positions == 1 or (a.taps - 1) * a.dilation < a.stride for a in self.spatial)

    @property
    def elements(self) -> int:
        """How many elements a window has."""
        return prod(axis.taps for axis in self.spatial)

    @property
    def positions(self) -> tuple[int, ...]:
        """The output's shape."""
        return tuple(axis.positions for axis in self.axes)

    def over(self, *statements: Statement) -> tuple[Statement, ...]:
        """Return statements that are done for each element of the window."""
        body = statements
        taps = TAPS[len(self.spatial)]
        for k, p, axis in reversed(list(zip(taps, self.names, self.spatial, strict=True))):
            if self.inside:
                body = (Loop((k,), Span(axis.taps), body),)
            else:
                letters = (f"{p}0", f"{p}n", f"{k}0")
                body = (Loop(letters, Table(_rows(axis), f"windows_{p}", NOTE, COLUMNS), body),)
        return body

    def position(self, tensor: Tensor) -> Access:
        """Return the positions at which an element of the window exists."""
        at = [index(p) if self.inside else index(p) + index(f"{p}0") for p in self.names]
        return tensor[(index("n"), index("c"), *at)]

    def cell(self, tensor: Tensor) -> Access:
        """Return what these positions read with an element of the window."""
        places = []
        for k, p, axis in zip(TAPS[len(self.spatial)], self.names, self.spatial, strict=True):
            first = index(k) * axis.dilation + axis.offset if self.inside else index(f"{k}0")
            places.append(index(p) * axis.stride + first)
        return tensor[(index("n"), index("c"), *places)]

    @property
    def extents(self) -> tuple[tuple[str, Size], ...]:
        """The extents of the positions at which an element of the window exists."""
        sizes: list[Size] = [
            axis.positions if self.inside else index(f"{p}n")
            for p, axis in zip(self.names, self.spatial, strict=True)
        ]
        lead = zip("nc", self.positions[:2], strict=True)
        return (*lead, *zip(self.names, sizes, strict=True))


def _rows(axis: Axis) -> tuple[tuple[int, ...], ...]:
    """Return, for each element of a window, where it is read: first position, count, first cell."""
    found = []
    for k in range(axis.taps):
        start = axis.dilation * k + axis.offset
        inside = [p for p in range(axis.positions) if 0 <= axis.stride * p + start < axis.cells]
        if inside:
            found.append((inside[0], len(inside), axis.stride * inside[0] + start))
    return tuple(found)


def window_sum(
    windows: Windows, source: Tensor, target: Tensor, number: int, along: Mapping[int, Sequence[int]]
) -> Lowered:
    """Add up each window, then divide: by a number, and along some axes by one for each position."""
    if windows.is_whole and not along:
        cell, position, extents = _everything(source, target)
        return Lowered((Do(Contraction(position, (cell,), extents, Fraction(1, number))),))
    added = Do(Contraction(windows.position(target), (windows.cell(source),), windows.extents), "add")
    clear = filled(target, 0)
    return Lowered((clear, *windows.over(added))) + _divided(target, target, number, along)


def window_spread(
    windows: Windows, source: Tensor, target: Tensor, number: int, along: Mapping[int, Sequence[int]]
) -> Lowered:
    """Add each position's share to the elements of its window."""
    if windows.is_whole and not along:
        cell, position, extents = _everything(target, source)
        return Lowered((Do(Contraction(cell, (position,), extents, Fraction(1, number))),))
    share = source
    divided = Lowered(())
    if number != 1 or along:
        share = Tensor("share", source.shape)
        divided = _divided(source, share, number, along) + Lowered((), (Buffer(share, "scratch"),))
    added = Do(Contraction(windows.cell(target), (windows.position(share),), windows.extents), "add")
    return divided + Lowered((filled(target, 0), *windows.over(added)))


def _everything(cells: Tensor, positions: Tensor) -> tuple[Access, Access, Extents]:
    """Return every element of the only window, its position, and their extents."""
    names = _names(cells)
    own = tuple(map(index, names))
    at = (*own[:2], *(Polynomial.lift(0) for _ in own[2:]))
    return cells[own], positions[at], tuple(zip(names, cells.sizes, strict=True))


def _divided(source: Tensor, target: Tensor, number: int, along: Mapping[int, Sequence[int]]) -> Lowered:
    """Divide every element of a tensor."""
    if number == 1 and not along:
        return Lowered(())
    names = _names(target)
    at = tuple(map(index, names))
    extents = tuple(zip(names, target.sizes, strict=True))
    if not along:
        return Lowered((Do(Contraction(target[at], (source[at],), extents, Fraction(1, number))),))
    import sympy

    axes = tuple(sorted(along))
    sizes = tuple(target.sizes[axis] for axis in axes)
    counts = [
        number * prod(along[a][i] for a, i in zip(axes, at_, strict=True)) for at_ in _ndindex(sizes)
    ]
    divisors = Buffer(Tensor("divisors", sizes), "constant", tuple(counts), note=DIVISORS)
    value, count = sympy.symbols("value count", real=True)
    quotient = Elementwise(
        target[at],
        value / count,
        (("value", source[at]), ("count", divisors.tensor[tuple(at[axis] for axis in axes)])),
        extents,
    )
    return Lowered((Do(quotient),), (divisors,))


def _ndindex(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    import itertools

    return list(itertools.product(*map(range, sizes)))


def _names(tensor: Tensor) -> tuple[str, ...]:
    rank = len(tensor.shape)
    return ("n", "c", *POSITIONS[rank - 2]) if 3 <= rank <= 5 else tuple("ncabdefgh"[:rank])


def filled(tensor: Tensor, number: int) -> Do:
    """Set every element of a tensor to a number."""
    names = _names(tensor)
    extents = tuple(zip(names, tensor.sizes, strict=True))
    return Do(Contraction(tensor[tuple(map(index, names))], (), extents, number))


def window_maximum(windows: Windows, source: Tensor, target: Tensor) -> Lowered:
    """Return the largest element of each window."""
    import sympy

    names = _names(target)
    extents: Extents = tuple(zip(names, target.sizes, strict=True))
    lowest = Elementwise(target[tuple(map(index, names))], -sympy.oo, (), extents)
    larger = Do(
        Contraction(windows.position(target), (windows.cell(source),), windows.extents),
        "max",
        names=("best",),
    )
    if windows.is_whole:
        cell, position, extents = _everything(source, target)
        return Lowered((Do(Contraction(position, (cell,), extents, reduce="max")),))
    return Lowered((Do(lowest), *windows.over(larger)))


def maximum_by_axes(windows: Windows, source: Tensor, target: Tensor) -> Lowered:
    """Return the largest element of each window, along one axis after the other.

    Neighbours stay neighbours along the last axis. No window may reach outside the input.
    """
    names = ("n", "c", *windows.names)
    lowered = Lowered(())
    for number, axis in enumerate(windows.spatial):
        done = number + 1 == len(windows.spatial)
        sizes = (*windows.positions[: number + 3], *(a.cells for a in windows.spatial[number + 1 :]))
        place = target if done else Tensor(f"largest{number or ''}", sizes)
        extents: Extents = tuple(zip(names, sizes, strict=True))
        at = [index(name) for name in names]
        read = list(at)
        read[number + 2] = at[number + 2] * axis.stride + index("k") * axis.dilation + axis.offset
        copied = Do(Contraction(place[tuple(at)], (source[tuple(read)],), extents))
        first = replace(copied, meaning=substitute(copied.meaning, {"k": 0}))
        rest = Loop(("k",), Span(axis.taps, 1), (replace(copied, how="max"),))
        own = () if done else (Buffer(place, "scratch"),)
        lowered += Lowered((first, rest) if axis.taps > 1 else (first,), own)
        source = place
    return lowered


def window_select(
    windows: Windows, cells: Tensor, source: Tensor, target: Tensor, picks: bool, by_axes: bool = False
) -> Lowered:
    """Pass each position's number to the first element that attains its window's maximum.

    With ``picks`` the other way: each position takes the number of ``source`` that stands there. With
    ``by_axes`` the maxima are found along one axis after the other.
    """
    if windows.is_whole:
        return _whole_select(cells, source, target, picks)
    if by_axes and not picks and windows.disjoint and windows.elements <= WRITTEN_OUT:
        return _handed_on(windows, cells, source, target)
    import sympy

    from symconv.notation.operations import FIRST, STILL, WHERE

    greatest = Tensor("greatest", windows.positions)
    waiting = Tensor("waiting", windows.positions)
    first = Tensor("first", tuple(size for _, size in windows.extents))
    here = first[tuple(index(name) for name, _ in windows.extents)]
    still, cell, most, one, value = sympy.symbols("still cell most one value", real=True)
    everywhere = tuple(map(index, _names(waiting)))
    extents = tuple(zip(_names(waiting), waiting.sizes, strict=True))
    at = windows.position(waiting)
    found = Elementwise(
        here,
        FIRST(still, cell, most),
        (("still", at), ("cell", windows.cell(cells)), ("most", windows.position(greatest))),
        windows.extents,
    )
    put, read = windows.cell(target), windows.position(source)
    if picks:
        put, read = windows.position(target), windows.cell(source)
    passed = Elementwise(put, WHERE(one, value), (("one", here), ("value", read)), windows.extents)
    left = Elementwise(at, STILL(still, one), (("still", at), ("one", here)), windows.extents)
    maximum = (maximum_by_axes if by_axes else window_maximum)(windows, cells, greatest)
    each = (Do(found, names=("", "still", "cells", "")), Do(passed, "add"), Do(left))
    body = (
        filled(target, 0),
        Do(
            Elementwise(waiting[everywhere], sympy.Integer(1), (), extents),
            note="windows whose maximum has not been met yet",
        ),
        *windows.over(*each),
    )
    own = (
        scratch("greatest", *windows.positions),
        Buffer(waiting, "scratch", kind="truth"),
        Buffer(first, "scratch", kind="truth"),
    )
    return maximum + Lowered(body, own)


def _handed_on(windows: Windows, cells: Tensor, source: Tensor, target: Tensor) -> Lowered:
    """Hand each position's number on, from element to element, until one attains the maximum.

    The elements of a window are written out, so that a compiler keeps what is left in registers, for
    several windows at once. No window may reach outside the input.
    """
    import sympy

    from symconv.notation.operations import ATTAINS, WHERE

    shape = windows.positions
    greatest, left, first = (Tensor(name, shape) for name in ("greatest", "left", "first"))
    extents = windows.extents
    here = tuple(index(name) for name, _ in extents)
    cell, most, one, value = sympy.symbols("cell most one value", real=True)
    chosen = (("one", first[here]), ("value", left[here]))
    found = Elementwise(
        first[here],
        ATTAINS(cell, most),
        (("cell", windows.cell(cells)), ("most", greatest[here])),
        extents,
    )
    taken = Elementwise(windows.cell(target), WHERE(one, value), chosen, extents)
    kept = Elementwise(left[here], WHERE(1 - one, value), chosen, extents)
    each = (Do(found), Do(taken, "add"), Do(kept))
    taps = TAPS[len(windows.spatial)]
    places = _ndindex([axis.taps for axis in windows.spatial])
    written_out = [
        replace(do, meaning=substitute(do.meaning, dict(zip(taps, place, strict=True))))
        for place in places
        for do in each
    ]
    start = Do(Contraction(left[here], (source[here],), extents))
    own = (
        Buffer(greatest, "scratch"),
        Buffer(left, "scratch"),
        Buffer(first, "scratch", kind="truth"),
    )
    body = (filled(target, 0), start, *written_out)
    return maximum_by_axes(windows, cells, greatest) + Lowered(body, own)


def _whole_select(cells: Tensor, source: Tensor, target: Tensor, picks: bool) -> Lowered:
    """Select the first maximum of a whole input, then multiply."""
    names = _names(cells)
    own = tuple(map(index, names))
    rank = len(names) - 2
    selected = Tensor("selected", cells.shape)
    greatest = Tensor("", (*cells.shape[:2],))
    extents = tuple(zip(names, cells.sizes, strict=True))
    maximum = Contraction(greatest[own[:2]], (cells[own],), extents, reduce="max")
    place = (*own[:2], *(Polynomial.lift(0) for _ in range(rank)))
    chosen = selected[own]
    if picks:
        product = Contraction(target[place], (chosen, source[own]), extents)
    else:
        product = Contraction(target[own], (chosen, source[place]), extents)
    body = (Do(Selection(selected, maximum)), Do(product))
    return Lowered(body, (Buffer(selected, "scratch"),))
