"""Products of two matrices, recognised: every index is a row's, a column's, or summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from symconv.notation.contraction import Access, Contraction, index
from symconv.plan.algorithms import Matrix, Product


def product_of(contraction: Contraction, names: Mapping[str, str]) -> Product | None:
    """Return the matrix product that a contraction is; None if it is none."""
    if len(contraction.reads) != 2 or contraction.coefficient != 1 or contraction.reduce != "sum":
        return None
    for first, second in (contraction.reads, contraction.reads[::-1]):
        found = [_indices(a, contraction) for a in (first, second, contraction.target)]
        if None in found:
            return None
        one, other, result = (indices or [] for indices in found)
        rows = [name for name in result if name in one]
        columns = [name for name in result if name in other]
        summed = [name for name in one if name in other]
        if set(rows) & set(columns) or result != rows + columns or not summed:
            continue
        sides = [
            _matrix(names[access.tensor.name], indices, *kinds, contraction.ranges)
            for access, indices, kinds in (
                (first, one, (rows, summed)),
                (second, other, (summed, columns)),
                (contraction.target, result, (rows, columns)),
            )
        ]
        if all(sides):
            a, b, c = (side for side in sides if side is not None)
            return Product(a, b, c)
    return None


def _indices(access: Access, contraction: Contraction) -> list[str] | None:
    """Return the indices of a whole tensor; None if a subscript is anything else, or one is twice."""
    names = [s.variables[0] for s in access.subscripts if s.variables and s == index(s.variables[0])]
    if len(names) < len(access.subscripts) or len(set(names)) < len(names):
        return None
    if tuple(contraction.ranges[name] for name in names) != access.tensor.sizes:
        return None
    return names


def _matrix(
    name: str,
    indices: Sequence[str],
    rows: Sequence[str],
    columns: Sequence[str],
    sizes: Mapping[str, int],
) -> Matrix | None:
    """Return an array as a matrix, if its axes are the rows' and then the columns', or these first."""
    shape = (prod(sizes[name] for name in rows), prod(sizes[name] for name in columns))
    for transposed in (False, True):
        if [*indices] == ([*columns, *rows] if transposed else [*rows, *columns]):
            return Matrix(name, len(rows) == len(columns) == 1, *shape, transposed)
    return None
