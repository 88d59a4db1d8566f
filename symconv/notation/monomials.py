"""A program's terms as a table of integers, to compare sums of products whole."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from symconv.notation.contraction import Access, Contraction, Kronecker, Program
from symconv.notation.graph import Graph
from symconv.notation.polynomial import Polynomial

Table = NDArray[np.int64]  # a row a term: the cell written, then the cell of each tensor read
Columns = dict[str, NDArray[np.int64]]  # the same by the tensor's name; "" is the cell written


def term_count(graph: Graph) -> int:
    """Return the number of points that a graph's largest step visits."""
    programs = (step for step in graph.steps if isinstance(step, Program))
    return max((sum(prod(c.ranges.values()) for c in step.contractions) for step in programs), default=0)


def monomials(graph: Graph) -> Table:
    """Return every term of what a graph of programs computes, sorted.

    A row holds the output's cell and the cells of the graph's inputs, flat, in the order of their
    names. Coefficients are 1. All terms must read the same inputs.
    """
    (table,) = _tables(graph).values()
    return table


def columns(graph: Graph) -> list[Columns]:
    """Return the terms of a graph's output by tensor, a table for each set of inputs that terms read."""
    known: dict[str, list[Columns]] = {}
    for step in graph.programs:
        found = [table for c in step.contractions for table in _joined(_terms(c), known)]
        kinds = dict.fromkeys(frozenset(table) for table in found)
        known[step.target.name] = [
            {
                name: np.concatenate([table[name] for table in found if set(table) == kind])
                for name in next(table for table in found if set(table) == kind)
            }
            for kind in kinds
        ]
    return known[graph.output.name]


def equal(left: Graph, right: Graph) -> bool:
    """Whether two graphs compute the same polynomials, cell by cell: their terms are the same."""
    if left.output.shape != right.output.shape or left.inputs != right.inputs:
        return False
    sides = (_tables(left), _tables(right))
    ours, theirs = ({n: table for n, table in found.items() if len(table)} for found in sides)
    return set(ours) == set(theirs) and all(np.array_equal(ours[n], theirs[n]) for n in ours)


def _tables(graph: Graph) -> dict[tuple[str, ...], Table]:
    """Return the sorted table of the terms that read the same inputs, by these inputs' names."""
    tables = {}
    for found in columns(graph):
        names = tuple(sorted(name for name in found if name))
        rows = np.stack([found[""], *(found[name] for name in names)], axis=1)
        tables[names] = rows[np.lexsort(rows.T[::-1])]
    return tables


def _joined(terms: Columns, known: dict[str, list[Columns]]) -> list[Columns]:
    """Replace each read of a tensor that an earlier step computed by the terms of that step."""
    for name in [name for name in terms if name in known]:
        return [
            table for inner in known[name] for table in _joined(_replaced(terms, name, inner), known)
        ]
    return [terms]


def _replaced(terms: Columns, name: str, inner: Columns) -> Columns:
    """Replace a column of cells by the terms that are written there."""
    order = np.argsort(inner[""], kind="stable")
    cells = inner[""][order]
    first = np.searchsorted(cells, terms[name], "left")
    count = np.searchsorted(cells, terms[name], "right") - first
    outer = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(outer)) - np.repeat(np.cumsum(count) - count, count)
    rows = order[first[outer] + within]
    joined = {other: column[outer] for other, column in terms.items() if other != name}
    return joined | {leaf: column[rows] for leaf, column in inner.items() if leaf}


def _terms(contraction: Contraction) -> Columns:
    if contraction.coefficient != 1:
        raise ValueError("a table of terms counts them: every coefficient must be 1")
    sizes = list(contraction.ranges.values())
    grids = np.unravel_index(np.arange(prod(sizes)), sizes) if sizes else ()
    points = dict(zip((name for name, _ in contraction.extents), grids, strict=True))
    count = prod(sizes)
    inside = np.ones(count, bool)
    for solved in contraction.solved:
        divisor = int(solved.divisor)
        numerator = _values(solved.numerator, points, count)
        points[solved.name] = numerator // divisor
        inside &= numerator % divisor == 0
    for factor in contraction.factors:
        if isinstance(factor, Kronecker):
            inside &= _values(factor.left - factor.right, points, count) == 0
    if len({read.tensor for read in contraction.reads}) < len(contraction.reads):
        raise ValueError("a tensor is read twice: its columns would be one")
    found = {}
    for name, access in [
        ("", contraction.target),
        *((r.tensor.name, r) for r in contraction.reads),
    ]:
        found[name], within = _cells(access, points, count)
        inside &= within
    return {name: column[inside] for name, column in found.items()}


def _cells(
    access: Access, points: dict[str, NDArray[np.int64]], count: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the flat cell of an access at every point, and whether it lies inside the tensor."""
    flat = np.zeros(count, np.int64)
    inside = np.ones(count, bool)
    for subscript, size in zip(access.subscripts, access.tensor.sizes, strict=True):
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
