"""The meaning of the language: plain loops, exact numbers. Everything cleverer is compared with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symconv.notation.contraction import Access, Contraction, Kronecker, Program, Solved
from symconv.notation.graph import Constant, Elementwise, Graph, Selection, Step, written
from symconv.notation.polynomial import Number, Polynomial

if TYPE_CHECKING:
    import sympy

Point = dict[str, int]
Values = NDArray[Any]  # exact numbers, floats or polynomials: whatever adds and multiplies


def evaluate(graph: Graph, tensors: Mapping[str, Values]) -> dict[str, Values]:
    """Run a graph on arrays named as its tensors; return these and every tensor it computes."""
    known = dict(tensors)
    for step in graph.steps:
        known[written(step).name] = _evaluate_step(step, known)
    return known


def _evaluate_step(step: Step, tensors: Mapping[str, Values]) -> Values:
    match step:
        case Program():
            return _evaluate_program(step, tensors)
        case Elementwise():
            return _evaluate_elementwise(step, tensors)
        case Selection():
            return _evaluate_selection(step, tensors)
        case Constant():
            return np.array(step.values, dtype=object).reshape(step.target.sizes)


def _evaluate_program(program: Program, tensors: Mapping[str, Values]) -> Values:
    greatest = program.contractions[0].reduce == "max"
    result = np.full(program.target.sizes, -np.inf if greatest else 0, dtype=object)
    terms: dict[tuple[int, ...], list[Any]] = {}
    for cell, term in program_terms(program, tensors):
        terms.setdefault(cell, []).append(term)
    for cell, found in terms.items():
        result[cell] = max(found) if greatest else Polynomial.total(found)
    return result


def program_terms(
    program: Program, tensors: Mapping[str, Values]
) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Visit the terms of a program: the cell that each is written to, and its value."""
    for contraction in program.contractions:
        for point in points(contraction.ranges):
            if not _solve(contraction, point):
                continue
            cell = cell_at(contraction.target, point)
            term = _term_at(contraction, point, tensors)
            if cell is not None and term is not None:
                yield cell, term


def _evaluate_selection(step: Selection, tensors: Mapping[str, Values]) -> Values:
    selected = np.zeros(step.target.sizes, dtype=object)
    greatest: dict[tuple[int, ...], tuple[Any, Point]] = {}
    for point in points(step.maximum.ranges):
        cell = cell_at(step.maximum.target, point)
        term = _term_at(step.maximum, point, tensors)
        if cell is not None and term is not None and (cell not in greatest or term > greatest[cell][0]):
            greatest[cell] = term, point
    for _, point in greatest.values():
        selected[tuple(point.values())] = 1
    return selected


def _evaluate_elementwise(step: Elementwise, tensors: Mapping[str, Values]) -> Values:
    function = _function(tuple(name for name, _ in step.arguments), step.expression)
    result = np.full(step.target.tensor.sizes, 0, dtype=object)
    for point in points({name: int(size) for name, size in step.extents}):
        cell = cell_at(step.target, point)
        arguments = [
            _factor_at(a, point, tensors) if isinstance(a, Access) else value_at(a, point)
            for _, a in step.arguments
        ]
        if cell is not None:
            result[cell] = function(*(0 if a is None else a for a in arguments))
    return result


@cache
def _function(names: tuple[str, ...], expression: sympy.Expr) -> Callable[..., Any]:
    """Return an expression as a function of numbers of any precision."""
    import sympy

    from symconv.notation.operations import MEANING

    function: Callable[..., Any] = sympy.lambdify(names, expression, [MEANING, "mpmath"])
    return function


def points(ranges: Mapping[str, int]) -> Iterator[Point]:
    """Visit a box of indices in row-major order."""
    for values in itertools.product(*map(range, ranges.values())):
        yield dict(zip(ranges, values, strict=True))


def _solve(contraction: Contraction, point: Point) -> bool:
    """Enter the solved indices into a point; False where one is no integer."""
    for solved in contraction.solved:
        point[solved.name], rest = divmod(value_at(solved.numerator, point), int(solved.divisor))
        if rest:
            return False
    return True


def value_at(subscript: Polynomial, point: Point) -> int:
    """Return the value of a subscript at a point."""
    total: Number = 0
    for monomial, factor in subscript.terms.items():
        for name in monomial:
            factor = factor * point[name]
        total += factor
    return int(total)


def cell_at(access: Access, point: Point) -> tuple[int, ...] | None:
    """Return the cell of a tensor that an access means at a point, or None outside the tensor."""
    cell = []
    for subscript, size in zip(access.subscripts, access.tensor.sizes, strict=True):
        at = value_at(subscript, point)
        if not 0 <= at < size:
            return None
        cell.append(at)
    return tuple(cell)


def _term_at(contraction: Contraction, point: Point, tensors: Mapping[str, Values]) -> Any:
    """Return a term's value; None where it reads outside a tensor."""
    term: Any = contraction.coefficient
    for factor in contraction.factors:
        if isinstance(factor, Solved):
            continue
        value = _factor_at(factor, point, tensors)
        if value is None:
            return None
        term = term * value
    return term


def _factor_at(factor: Access | Kronecker, point: Point, tensors: Mapping[str, Values]) -> Any:
    if isinstance(factor, Access):
        cell = cell_at(factor, point)
        return None if cell is None else tensors[factor.tensor.name][cell]
    return 1 if value_at(factor.left, point) == value_at(factor.right, point) else None
