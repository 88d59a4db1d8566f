"""Sums of products in plain loops: a formula as data, independent of symconv.

A subscript is a number and a factor for each index; a factor is a tensor's name and its subscripts; a
term a number and factors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Subscript = tuple[int, Mapping[str, int]]
Factor = tuple[str, Sequence[Subscript]]
Term = tuple[Fraction, Sequence[Factor]]
Reads = list[tuple[str, tuple[int, ...]]]


def visited(
    target: Sequence[Subscript],
    terms: Sequence[Term],
    extents: Mapping[str, int],
    shapes: Mapping[str, tuple[int, ...]],
    output: tuple[int, ...],
) -> Iterator[tuple[tuple[int, ...], Fraction, Reads]]:
    """Visit the cell, the number and the reads of every product that lies inside."""
    for number, factors in terms:
        subscripts = [*target, *(s for _, at in factors for s in at)]
        names = sorted({name for _, parts in subscripts for name in parts})
        for values in itertools.product(*(range(extents[name]) for name in names)):
            point = dict(zip(names, values, strict=True))
            cell = _at(target, point)
            reads = [(name, _at(at, point)) for name, at in factors]
            if _inside(cell, output) and all(_inside(at, shapes[name]) for name, at in reads):
                yield cell, number, reads


def _at(subscripts: Sequence[Subscript], point: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(
        start + sum(step * point[n] for n, step in parts.items()) for start, parts in subscripts
    )


def _inside(cell: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return all(0 <= at < size for at, size in zip(cell, shape, strict=True))


def summed(
    products: Sequence[tuple[tuple[int, ...], Fraction, Reads]],
    arrays: Mapping[str, Array],
    output: tuple[int, ...],
) -> Array:
    """Add up the products."""
    result = np.zeros(output)
    for cell, number, reads in products:
        result[cell] += float(number) * np.prod([arrays[name][at] for name, at in reads])
    return result


def gradients(
    products: Sequence[tuple[tuple[int, ...], Fraction, Reads]],
    arrays: Mapping[str, Array],
    cotangent: Array,
) -> dict[str, Array]:
    """Give each read what its product adds to E without it."""
    found = {name: np.zeros(array.shape) for name, array in arrays.items()}
    for cell, number, reads in products:
        for position, (name, at) in enumerate(reads):
            others = [arrays[n][a] for p, (n, a) in enumerate(reads) if p != position]
            found[name][at] += float(number) * cotangent[cell] * np.prod(others)
    return found
