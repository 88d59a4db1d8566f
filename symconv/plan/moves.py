"""Sums that read one tensor: copies, views, sums along axes, and windows; recognised as stages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import prod

from symconv.errors import NotRecognisedError
from symconv.notation.contraction import Access, Contraction, index
from symconv.notation.correlation import Axis
from symconv.notation.graph import Constant
from symconv.notation.polynomial import Polynomial
from symconv.plan.algorithms import Cut, Divisors, Move, Stage, View, WindowSpread, WindowSum


def one_read(contraction: Contraction, constants: Mapping[str, Constant]) -> bool:
    """Whether a contraction reads one tensor, besides constants that divide it."""
    return len([r for r in contraction.reads if r.tensor.name not in constants]) == 1


def move(
    contraction: Contraction, names: Mapping[str, str], constants: Mapping[str, Constant], adds: bool
) -> Stage:
    """Return the stage that computes a sum of one tensor.

    Raises
    ------
    NotRecognisedError
        If it is none of those that are recognised.
    """
    contraction = merged(contraction)
    (read,) = (r for r in contraction.reads if r.tensor.name not in constants)
    target, source = names[contraction.target.tensor.name], names[read.tensor.name]
    if _is_view(contraction):
        return View(source, target, contraction.target.tensor.sizes, adds)
    if is_window(contraction.target) or is_window(read):
        cells, positions = (read, contraction.target)
        kind: type[WindowSum | WindowSpread] = WindowSum
        if is_window(contraction.target):
            cells, positions, kind = contraction.target, read, WindowSpread
        axes = window_axes(cells, positions, contraction.ranges)
        return kind(source, target, axes, _divisors(contraction, positions, constants))
    if len(contraction.reads) > 1:
        raise NotRecognisedError("multiplies with numbers where there are no windows")
    for access in (contraction.target, read):
        used = [name for subscript in access.subscripts for name in subscript.variables]
        fixed = [int(s.constant) for s in access.subscripts if not s.variables]
        sizes = [size for s, size in _sized(access) if not s.variables]
        outside = any(not 0 <= at < size for at, size in zip(fixed, sizes, strict=True))
        if len(set(used)) < len(used) or outside:
            raise NotRecognisedError("a diagonal, or nothing")
    ranges = _inside(contraction)
    if not all(ranges.values()):
        raise NotRecognisedError("nothing is read inside")
    free = [_cut(s, ranges, size) for s, size in _sized(contraction.target)]
    taken = [_cut(s, ranges, size) for s, size in _sized(read)]
    return Move(source, target, tuple(taken), tuple(free), Fraction(contraction.coefficient), adds)


def merged(contraction: Contraction) -> Contraction:
    """Take indices that occur only together, as the digits of a number, for one index: g·M + o."""
    accesses = (contraction.target, *contraction.reads)
    plain = {s for access in accesses for s in access.subscripts if len(s.variables) == 1}
    alone = {n: 0 for n, size in contraction.ranges.items() if size == 1 and index(n) not in plain}
    contraction = replace(
        contraction,
        target=contraction.target.substitute(alone),
        factors=tuple(read.substitute(alone) for read in contraction.reads),
        extents=tuple((name, size) for name, size in contraction.extents if name not in alone),
    )
    accesses = (contraction.target, *contraction.reads)
    subscripts = [s for access in accesses for s in access.subscripts]
    for compound in dict.fromkeys(s for s in subscripts if len(s.variables) > 1):
        inside = set(compound.variables)
        if any(s != compound and inside & set(s.variables) for s in subscripts):
            continue
        digits = sorted(inside, key=compound.coefficient)
        sizes = [contraction.ranges[name] for name in digits]
        places = [prod(sizes[:at]) for at in range(len(sizes))]
        if [compound.coefficient(name) for name in digits] != places or compound.constant:
            continue
        whole = digits[0]

        def put(access: Access, old: Polynomial = compound, name: str = whole) -> Access:
            return replace(
                access, subscripts=tuple(index(name) if s == old else s for s in access.subscripts)
            )

        extents = [(n, size) for n, size in contraction.extents if n not in inside]
        contraction = replace(
            contraction,
            target=put(contraction.target),
            factors=tuple(map(put, contraction.reads)),
            extents=(*extents, (whole, prod(sizes))),
        )
    return contraction


def is_window(access: Access) -> bool:
    """Whether a tensor is addressed along a position and a tap."""
    return any(len(s.variables) > 1 for s in access.subscripts)


def is_pool(maximum: Contraction) -> bool:
    """Whether a maximum is that of each window of one tensor, each with a cell inside."""
    if len(maximum.factors) != 1 or maximum.coefficient != 1 or not is_window(maximum.reads[0]):
        return False
    try:
        axes = window_axes(maximum.reads[0], maximum.target, maximum.ranges)
    except NotRecognisedError:
        return False
    return all(axis.meets for axis in axes)


def window_axes(cells: Access, positions: Access, ranges: Mapping[str, int]) -> tuple[Axis, ...]:
    """Return the windows along each axis that cells and positions share, in order.

    Images and channels, the first two axes, have no windows; taps are in the order of the axes.

    Raises
    ------
    NotRecognisedError
        If the cells are not addressed by windows of whole positions, axis by axis.
    """
    axes: list[Axis] = []
    order: list[str] = []
    one_each = all(len(position.variables) == 1 for position in positions.subscripts)
    if len(cells.subscripts) != len(positions.subscripts) or not one_each:
        raise NotRecognisedError("positions have other axes than the cells")
    for cell, position, size in zip(
        cells.subscripts, positions.subscripts, cells.tensor.sizes, strict=True
    ):
        (p,) = position.variables
        if position != index(p) or p not in cell.variables or len(cell.variables) > 2:
            raise NotRecognisedError(f"no window of positions: {cell} for {position}")
        taps = [name for name in cell.variables if name != p]
        k = taps[0] if taps else None
        order += taps
        if min(map(int, (cell.coefficient(name) for name in cell.variables))) < 1:
            raise NotRecognisedError(f"goes backwards: {cell}")
        axes.append(
            Axis(
                cells=size,
                taps=ranges[k] if k else 1,
                positions=ranges[p],
                stride=int(cell.coefficient(p)),
                dilation=int(cell.coefficient(k)) if k else 1,
                offset=int(cell.constant),
            )
        )
    whole = tuple(axis.positions for axis in axes) == positions.tensor.sizes
    alone = all((a.taps, a.stride, a.offset, a.cells) == (1, 1, 0, a.positions) for a in axes[:2])
    if len(axes) < 3 or not whole or not alone or order != [n for n in ranges if n in order]:
        raise NotRecognisedError("no windows of images")
    if set(order) | {v for s in positions.subscripts for v in s.variables} != set(ranges):
        raise NotRecognisedError("another index is summed over")
    return tuple(axes)


def _divisors(
    contraction: Contraction, positions: Access, constants: Mapping[str, Constant]
) -> Divisors:
    """Return what the sum is divided by: a number for all positions, and more along some axes."""
    whole = Fraction(contraction.coefficient)
    if whole.numerator != 1:
        raise NotRecognisedError("multiplies with another number than that of equal shares")
    along: list[tuple[int, tuple[int, ...]]] = []
    for read in contraction.reads:
        constant = constants.get(read.tensor.name)
        if constant is not None:
            if len(read.subscripts) != 1 or read.subscripts[0] not in positions.subscripts:
                raise NotRecognisedError("multiplies with a filter")
            (position,) = read.subscripts
            axis = positions.subscripts.index(position)
            values = [Fraction(value) for value in constant.values]
            if any(value.numerator != 1 for value in values):
                raise NotRecognisedError("multiplies with other numbers than those of equal shares")
            along.append((axis, tuple(value.denominator for value in values)))
    return Divisors(whole.denominator, tuple(along))


def _is_view(contraction: Contraction) -> bool:
    """Whether both tensors have the same elements, row by row, in different shapes."""
    if contraction.coefficient != 1 or len(contraction.reads) > 1:
        return False
    places = []
    accesses = (contraction.target, *contraction.reads)
    if accesses[0].tensor.shape == accesses[1].tensor.shape:
        return False  # a plain copy
    for access in accesses:
        place = Polynomial.lift(0)
        for subscript, size in _sized(access):
            place = place * size + subscript
        places.append(place)
    count = prod(contraction.ranges.values())
    return places[0] == places[1] and all(prod(a.tensor.sizes) == count for a in accesses)


def _sized(access: Access) -> list[tuple[Polynomial, int]]:
    return list(zip(access.subscripts, access.tensor.sizes, strict=True))


def _inside(contraction: Contraction) -> dict[str, range]:
    """Return the values of each index for which no subscript is outside its tensor."""
    ranges = {name: range(size) for name, size in contraction.ranges.items()}
    for access in (contraction.target, *contraction.reads):
        for subscript, size in _sized(access):
            if len(subscript.variables) > 1:
                raise NotRecognisedError(f"no slice: {subscript}")
            for name in subscript.variables:
                step, start = int(subscript.coefficient(name)), int(subscript.constant)
                first, last = sorted((-start / step, (size - 1 - start) / step))
                values = ranges[name]
                ranges[name] = range(
                    max(values.start, math.ceil(first)), min(values.stop, math.floor(last) + 1)
                )
    return ranges


def _cut(subscript: Polynomial, ranges: Mapping[str, range], size: int) -> Cut:
    start = int(subscript.constant)
    if not subscript.variables:
        return Cut("", start, 1, 1, size)
    (name,) = subscript.variables
    step = int(subscript.coefficient(name))
    return Cut(name, start + step * ranges[name].start, step, len(ranges[name]), size)
