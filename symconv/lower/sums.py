"""Sums that no other algorithm takes: copies, sums along axes, products, and any sum of products.

A statement of the kernel language computes each of them directly. What has to be arranged is where they
reach outside a tensor, and where terms that are written to the same element must take turns.
"""

from __future__ import annotations

import math
from dataclasses import replace

from symconv.kernel.language import Buffer, Do, Extents, How, Loop, Span, Statement
from symconv.kernel.rewrite import fresh_name
from symconv.lower.frame import scratch
from symconv.lower.lowered import Lowered
from symconv.lower.pools import filled
from symconv.notation.contraction import Access, Contraction, Tensor, index
from symconv.notation.graph import Elementwise, Selection
from symconv.notation.polynomial import Polynomial


def moved(contraction: Contraction) -> Contraction | None:
    """Return a sum of one tensor, its indices cut to where nothing reaches outside.

    None if they cannot be cut: a diagonal, or a subscript that adds several indices up; or if it adds
    several terms to an element that it writes.
    """
    if _shared(contraction):
        return None
    ranges = {name: range(size) for name, size in contraction.ranges.items()}
    for access in (contraction.target, *contraction.reads):
        used = [name for subscript in access.subscripts for name in subscript.variables]
        if len(set(used)) < len(used):
            return None
        for subscript, size in zip(access.subscripts, access.tensor.sizes, strict=True):
            if len(subscript.variables) > 1:
                if _reach(subscript, contraction.ranges, size) != (0, 0):
                    return None
                continue
            if not subscript.variables and not 0 <= int(subscript.constant) < size:
                return None
            for name in subscript.variables:
                step, start = int(subscript.coefficient(name)), int(subscript.constant)
                first, last = sorted((-start / step, (size - 1 - start) / step))
                values = ranges[name]
                ranges[name] = range(
                    max(values.start, math.ceil(first)), min(values.stop, math.floor(last) + 1)
                )
    if not all(ranges.values()):
        return None
    return cut(contraction, ranges)


def cut(contraction: Contraction, ranges: dict[str, range]) -> Contraction:
    """Return a contraction over parts of its indices' ranges, counted from 0."""
    starts = {name: index(name) + values.start for name, values in ranges.items() if values.start}
    return replace(
        contraction,
        target=contraction.target.substitute(starts),
        factors=tuple(read.substitute(starts) for read in contraction.reads),
        extents=tuple((name, len(values)) for name, values in ranges.items()),
    )


def lower(contraction: Contraction, how: How) -> Lowered:
    """Return the statements of any contraction of affine reads and an affine write."""
    if contraction.reduce == "max":
        terms, names, lowered = _terms(contraction)
        read = terms[tuple(map(index, names))]
        extents = tuple((name, contraction.ranges[name]) for name in names)
        maximum = Contraction(contraction.target, (read,), extents, reduce="max")
        return lowered + Lowered((Do(maximum, how),))
    inside, lowered = _inside(contraction)
    loops = _shared(contraction)
    target = contraction.target
    lows, highs = _bounds(target, contraction)
    if not loops and not any(lows) and not any(highs):
        if how == "assign" and not _covers(target, contraction):
            lowered += Lowered((filled(target.tensor, 0),))
        return lowered + Lowered((Do(inside, how),))
    sizes = [n + a + b for n, a, b in zip(target.tensor.sizes, lows, highs, strict=True)]
    total = scratch("total", *sizes)
    at = tuple(s + low for s, low in zip(target.subscripts, lows, strict=True))
    kept = tuple((name, size) for name, size in inside.extents if name not in loops)
    body: tuple[Statement, ...] = (
        Do(replace(inside, target=total.tensor[at], coefficient=1, extents=kept), "add"),
    )
    for name in reversed(loops):
        body = (Loop((name,), Span(contraction.ranges[name]), body),)
    names = [f"a{axis}" for axis in range(len(sizes))]
    whole = tuple(map(index, names))
    clear = Do(Contraction(total.tensor[whole], (), tuple(zip(names, sizes, strict=True)), 0))
    taken = tuple(s + low for s, low in zip(whole, lows, strict=True))
    extents = tuple(zip(names, target.tensor.sizes, strict=True))
    stored = Contraction(target.tensor[whole], (total.tensor[taken],), extents, contraction.coefficient)
    return lowered + Lowered((clear, *body, Do(stored, how)), (total,))


def _shared(contraction: Contraction) -> list[str]:
    """Return the indices to loop over, so that no two points left write to the same element.

    Of those that a subscript of the target adds up, all except the longest, unless they are the digits
    of one count.
    """
    looped: list[str] = []
    ranges = contraction.ranges
    for subscript in contraction.target.subscripts:
        left = [name for name in subscript.variables if name not in looped]
        if not _is_count(subscript, contraction):
            looped += sorted(left, key=lambda name: ranges[name])[:-1]
    return looped


def _covers(target: Access, contraction: Contraction) -> bool:
    """Whether every element of the target is written: each axis by a count of its own."""
    used = [name for subscript in target.subscripts for name in subscript.variables]
    if len(set(used)) < len(used):
        return False
    for subscript, size in zip(target.subscripts, target.tensor.sizes, strict=True):
        names = sorted(subscript.variables, key=lambda name: abs(int(subscript.coefficient(name))))
        step = 1
        for name in names:
            if abs(int(subscript.coefficient(name))) != step:
                return False
            step *= contraction.ranges[name]
        if step != size:
            return False
    return True


def _is_count(subscript: Polynomial, contraction: Contraction) -> bool:
    """Whether different indices always give different places: each moves past all smaller ones."""
    reach = 0
    moving = [name for name in subscript.variables if contraction.ranges[name] > 1]
    for name in sorted(moving, key=lambda name: abs(int(subscript.coefficient(name)))):
        step = abs(int(subscript.coefficient(name)))
        if step <= reach:
            return False
        reach += step * (contraction.ranges[name] - 1)
    return True


def _reach(subscript: Polynomial, ranges: dict[str, int], size: int) -> tuple[int, int]:
    """Return how far a subscript reaches before an axis, and behind it."""
    moves = [int(subscript.coefficient(n)) * (ranges[n] - 1) for n in subscript.variables]
    start = int(subscript.constant)
    low, high = start + sum(m for m in moves if m < 0), start + sum(m for m in moves if m > 0)
    return max(0, -low), max(0, high - size + 1)


def _bounds(access: Access, contraction: Contraction) -> tuple[list[int], list[int]]:
    """Return how far an access reaches outside its tensor, before and behind each axis."""
    pairs = [
        _reach(subscript, contraction.ranges, size)
        for subscript, size in zip(access.subscripts, access.tensor.sizes, strict=True)
    ]
    return [low for low, _ in pairs], [high for _, high in pairs]


def _inside(contraction: Contraction) -> tuple[Contraction, Lowered]:
    """Return a contraction that reads padded copies where it would reach outside, and these copies."""
    factors: list[Access] = []
    lowered = Lowered(())
    padded: dict[tuple[Tensor, tuple[int, ...], tuple[int, ...]], Tensor] = {}
    taken: set[str] = set()
    for read in contraction.reads:
        lows, highs = _bounds(read, contraction)
        if not any(lows) and not any(highs):
            factors.append(read)
            continue
        tensor = read.tensor
        sizes = [n + a + b for n, a, b in zip(tensor.sizes, lows, highs, strict=True)]
        key = (tensor, tuple(lows), tuple(highs))
        names = [f"a{axis}" for axis in range(len(sizes))]
        put = tuple(index(a) + low for a, low in zip(names, lows, strict=True))
        extents = tuple(zip(names, tensor.sizes, strict=True))
        if key not in padded:
            place = Tensor(fresh_name(f"padded_{tensor.name}", taken), tuple(sizes))
            padded[key] = place
            copy = Contraction(place[put], (tensor[tuple(map(index, names))],), extents)
            lowered += Lowered((Do(copy),), (Buffer(place, "zeroed"),))
        at = tuple(s + low for s, low in zip(read.subscripts, lows, strict=True))
        factors.append(padded[key][at])
    return replace(contraction, factors=tuple(factors)), lowered


def _terms(contraction: Contraction) -> tuple[Tensor, list[str], Lowered]:
    """Write every term of a maximum, kept indices first; those that read outside a tensor as -∞.

    Returns the scratch, the indices that address it, and what fills it.
    """
    import sympy

    shown = list(dict.fromkeys(n for s in contraction.target.subscripts for n in s.variables))
    names = [*shown, *(n for n, _ in contraction.extents if n not in shown)]
    ranges = contraction.ranges
    inside, lowered = _inside(contraction)
    target = Tensor("terms", tuple(ranges[name] for name in names))
    held = target[tuple(map(index, names))]
    extents: Extents = tuple((name, ranges[name]) for name in names)
    outside = [
        (subscript, size)
        for read in contraction.reads
        for subscript, size in zip(read.subscripts, read.tensor.sizes, strict=True)
        if _reach(subscript, ranges, size) != (0, 0)
    ]
    if not outside:
        product = replace(inside, target=held, extents=extents, reduce="sum")
        return target, names, lowered + Lowered((Do(product),), (Buffer(target, "scratch"),))
    arguments: list[tuple[str, Access | Polynomial]] = []
    value: sympy.Expr = sympy.Rational(contraction.coefficient)
    for number, read in enumerate(inside.reads):
        symbol = sympy.Symbol(f"r{number}", real=True)
        value *= symbol
        arguments.append((symbol.name, read))
    conditions = []
    for number, (subscript, size) in enumerate(outside):
        symbol = sympy.Symbol(f"s{number}", real=True)
        arguments.append((symbol.name, subscript))
        conditions += [symbol >= 0, symbol < size]
    expression = sympy.Piecewise((value, sympy.And(*conditions)), (-sympy.oo, True))
    term = Elementwise(held, expression, tuple(arguments), extents)
    return target, names, lowered + Lowered((Do(term),), (Buffer(target, "scratch"),))


def select(selection: Selection) -> Lowered:
    """Mark the first term of each element's maximum."""
    maximum = selection.maximum
    terms, names, lowered = _terms(maximum)
    read = terms[tuple(map(index, names))]
    order = [name for name, _ in maximum.extents]
    extents = tuple((name, maximum.ranges[name]) for name in names)
    shown = [name for s in maximum.target.subscripts for name in s.variables]
    kept = Tensor("", tuple(maximum.ranges[name] for name in shown))
    ordered = Contraction(
        kept[tuple(map(index, shown))],
        (read,),
        tuple((n, maximum.ranges[n]) for n in order),
        reduce="max",
    )
    if names == order:
        return lowered + Lowered((Do(Selection(selection.target, ordered)),))
    selected = Tensor("selected", terms.shape)
    turned = replace(ordered, extents=extents)
    back = Contraction(
        selection.target[tuple(map(index, order))],
        (selected[tuple(map(index, names))],),
        extents,
    )
    body = (Do(Selection(selected, turned)), Do(back))
    return lowered + Lowered(body, (Buffer(selected, "scratch"),))
