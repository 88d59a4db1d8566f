"""Filters of known numbers as sums of products: which taps to add along which axes, exactly.

A chain is passes, one after the other, each along axes of its own, and a scale: a filter's number at a
tap is the sum over chains of ``scale · Π pass[tap along its axes]``. One pass along all axes is the
filter itself; one along each axis is a separable filter.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np

Taps: TypeAlias = tuple[int, ...]
Numbers: TypeAlias = Mapping[Taps, Fraction]  # that are not 0, by tap
LARGEST = 1 << 24  # whole numbers up to it are exact in float32,
SMALLEST = 1 << 100  # and their quotients by powers of two up to this


@dataclass(frozen=True)
class Pass:
    """The taps along some axes, each with the number it is multiplied with."""

    axes: tuple[int, ...]
    taps: tuple[tuple[Taps, Fraction], ...]

    @property
    def cost(self) -> int:
        """How many times all cells are gone through: to add, and to multiply with each number but 1."""
        return len(self.taps) + len({abs(number) for _, number in self.taps} - {1})


@dataclass(frozen=True)
class Chain:
    """Passes one after the other, and what their result is multiplied with."""

    scale: Fraction
    passes: tuple[Pass, ...]

    @property
    def cost(self) -> int:
        """How many times all cells are gone through."""
        return sum(p.cost for p in self.passes) + (self.scale != 1)

    def numbers(self) -> dict[Taps, Fraction]:
        """Return what the chain is for each tap along all axes: products of its passes' numbers."""
        rank = sum(len(p.axes) for p in self.passes)
        found: dict[Taps, Fraction] = {}
        for taps in itertools.product(*(p.taps for p in self.passes)):
            place = [0] * rank
            for p, (along, _) in zip(self.passes, taps, strict=True):
                for axis, tap in zip(p.axes, along, strict=True):
                    place[axis] = tap
            found[tuple(place)] = self.scale * math.prod(number for _, number in taps)
        return found


def chains(numbers: Numbers, shape: Sequence[int]) -> tuple[Chain, ...]:
    """Return the chains of fewest passes whose sum a filter is; none for a filter of zeros."""
    if not numbers:
        return ()
    axes = tuple(range(len(shape)))
    whole = (_scaled(axes, tuple(numbers.items())),)
    apart = _apart(dict(numbers), axes)
    return min((whole, apart), key=_cost) if apart else whole


def nearest(numbers: Numbers, rank: int, dtype: str) -> Chain:
    """Return one pass along each axis that agrees with a filter in the cross through its largest tap."""
    peak = max(numbers, key=lambda tap: abs(numbers[tap]))
    passes = []
    for axis in range(rank):
        line = [tap for tap in numbers if all(a == axis or tap[a] == peak[a] for a in range(rank))]
        passes.append(
            Pass((axis,), tuple(((t[axis],), _rounded(numbers[t] / numbers[peak], dtype)) for t in line))
        )
    return Chain(numbers[peak], tuple(passes))


def _rounded(number: Fraction, dtype: str) -> Fraction:
    return Fraction(float(np.dtype(dtype).type(float(number))))


def difference(numbers: Numbers, found: Sequence[Chain]) -> dict[Taps, Fraction]:
    """Return by how much the sum of chains differs from a filter: nothing, if it is right."""
    rest = {taps: -number for taps, number in summed(found).items()}
    for taps, number in numbers.items():
        rest[taps] = rest.get(taps, Fraction(0)) + number
    return {taps: number for taps, number in rest.items() if number}


def summed(found: Sequence[Chain]) -> dict[Taps, Fraction]:
    """Return the filter that is the sum of chains."""
    total: dict[Taps, Fraction] = {}
    for chain in found:
        for taps, number in chain.numbers().items():
            total[taps] = total.get(taps, Fraction(0)) + number
    return total


def _cost(found: Sequence[Chain]) -> int:
    return sum(chain.cost for chain in found)


def _scaled(axes: tuple[int, ...], taps: tuple[tuple[Taps, Fraction], ...]) -> Chain:
    """Return the chain of one pass, with the scale that leaves the fewest numbers that are not ±1."""
    sizes = dict.fromkeys((Fraction(1), *(abs(number) for _, number in taps)))
    found = [
        Chain(scale, (Pass(axes, tuple((tap, number / scale) for tap, number in taps)),))
        for scale in sizes
        if all(_is_exact(number / scale) for _, number in taps)
    ]
    return min(found, key=lambda chain: chain.cost) if found else Chain(Fraction(1), (Pass(axes, taps),))


def _is_exact(number: Fraction) -> bool:
    """Whether float32 has a number."""
    power_of_two = number.denominator & (number.denominator - 1) == 0
    return power_of_two and abs(number.numerator) <= LARGEST and number.denominator <= SMALLEST


def _apart(numbers: dict[Taps, Fraction], axes: tuple[int, ...]) -> tuple[Chain, ...]:
    """Return chains of a pass along each axis; none if their numbers are not exact."""
    if len(axes) == 1:
        return (_scaled(axes, tuple(numbers.items())),)
    rows: dict[int, dict[Taps, Fraction]] = {}
    for (first, *rest), number in numbers.items():
        rows.setdefault(first, {})[tuple(rest)] = number
    found: list[Chain] = []
    for row, along in _basis(rows):
        column = _scaled(axes[:1], tuple(((first,), number) for first, number in along.items()))
        others = _apart(row, axes[1:])
        if not others:
            return ()
        found += [_joined(column, chain) for chain in others]
    exact = all(_is_exact(n) for c in found for p in c.passes for _, n in (*p.taps, ((), c.scale)))
    return tuple(found) if exact else ()


def _joined(column: Chain, chain: Chain) -> Chain:
    """Return one chain after another; a pass of one tap ±1 goes together with its neighbour."""
    (first,), (second, *more) = column.passes, chain.passes
    passes: tuple[Pass, ...] = (first, second, *more)
    if len(first.taps) == 1 or len(second.taps) == 1:
        taps = tuple(((*one, *other), a * b) for one, a in first.taps for other, b in second.taps)
        passes = (Pass((*first.axes, *second.axes), taps), *more)
    return Chain(column.scale * chain.scale, passes)


def _basis(
    rows: Mapping[int, Numbers],
) -> list[tuple[dict[Taps, Fraction], dict[int, Fraction]]]:
    """Return independent rows, and for each what it is multiplied with in every row."""
    basis: list[dict[Taps, Fraction]] = []
    reduced: list[tuple[Taps, dict[Taps, Fraction], list[Fraction]]] = []  # pivot, row, of the basis
    shares: list[dict[int, Fraction]] = []
    for at, row in rows.items():
        rest, share = dict(row), [Fraction(0)] * len(basis)
        for pivot, other, mix in reduced:
            factor = rest.get(pivot, Fraction(0)) / other[pivot]
            for taps, number in other.items():
                rest[taps] = rest.get(taps, Fraction(0)) - factor * number
            for place, part in enumerate(mix):
                share[place] += factor * part
        rest = {taps: number for taps, number in rest.items() if number}
        if rest:
            reduced.append((next(iter(rest)), rest, [*(-s for s in share), Fraction(1)]))
            basis.append(dict(row))
            shares.append({at: Fraction(1)})
            continue
        for place, part in enumerate(share):
            if part:
                shares[place][at] = part
    return list(zip(basis, shares, strict=True))
