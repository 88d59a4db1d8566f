"""A program's terms as a table of integers, to compare sums of products whole."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from symconv.notation.contraction import Access, Contraction, Kronecker, Program, Solved
from symconv.notation.polynomial import Polynomial

Table = NDArray[np.int64]  # a row a term: the cell written, then the cell of each tensor read


def term_count(program: Program) -> int:
    """Return the number of points that a program visits."""
    return sum(prod(size for _, size in c.extents) for c in program.contractions)


def monomials(program: Program) -> Table:
    """Return every term of a program, sorted: its target's cell and the cells it reads, flat.

    The tensors read stand in the order of their names, so that two programs are equal for all tensors
    if and only if their tables are. Every coefficient must be 1.
    """
    rows = np.concatenate([_terms(c) for c in program.contractions])
    return rows[np.lexsort(rows.T[::-1])]


def equal(left: Program, right: Program) -> bool:
    """Whether two programs are the same polynomials, cell by cell."""
    return left.target.shape == right.target.shape and np.array_equal(
        monomials(left), monomials(right)
    )


def _terms(contraction: Contraction) -> Table:
    if contraction.coefficient != 1:
        raise ValueError("a table of terms counts them: every coefficient must be 1")
    sizes = [size for _, size in contraction.extents]
    grids = np.unravel_index(np.arange(prod(sizes)), sizes)
    points = dict(zip((name for name, _ in contraction.extents), grids, strict=True))
    reads = sorted(contraction.reads, key=lambda read: read.tensor.name)

    count = prod(sizes)
    inside = np.ones(count, bool)
    for factor in contraction.factors:
        if isinstance(factor, Kronecker):
            inside &= _values(factor.left - factor.right, points, count) == 0
        elif isinstance(factor, Solved):
            inside &= factor.divisor * points[factor.name] == _values(
                factor.numerator, points, count
            )
    columns = []
    for access in (contraction.target, *reads):
        cells, within = _cells(access, points, count)
        inside &= within
        columns.append(cells)
    return np.stack(columns, axis=1)[inside]


def _cells(
    access: Access, points: dict[str, NDArray[np.int64]], count: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the flat cell of an access at every point, and whether it lies inside the tensor."""
    flat = np.zeros(count, np.int64)
    inside = np.ones(count, bool)
    for subscript, size in zip(access.subscripts, access.tensor.shape, strict=True):
        values = _values(subscript, points, count)
        inside &= (values >= 0) & (values < size)
        flat = flat * size + values
    return flat, inside


def _values(
    subscript: Polynomial, points: dict[str, NDArray[np.int64]], count: int
) -> NDArray[np.int64]:
    values = np.full(count, int(subscript.constant), np.int64)
    for name in subscript.variables:
        values = values + int(subscript.coefficient(name)) * points[name]
    return values
