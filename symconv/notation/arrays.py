"""Graphs on large arrays: the plain evaluator's sums and maxima, as slices and einsum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from symconv.notation.contraction import Access, Contraction, Program, index
from symconv.notation.evaluate import Point, evaluate, points
from symconv.notation.graph import Elementwise, Graph, Selection, Step, written
from symconv.notation.polynomial import Polynomial

if TYPE_CHECKING:
    import sympy

Values = NDArray[np.float64]
Places = NDArray[np.int64]

MANY = 20_000  # products from which looking for matrix products pays


def evaluate_arrays(graph: Graph, tensors: Mapping[str, Values]) -> Values:
    """Run a graph on float64 arrays: exact for integers whose sums stay below 2⁵³."""
    return run_arrays(graph, tensors)[graph.output.name]


def run_arrays(graph: Graph, tensors: Mapping[str, Values]) -> dict[str, Values]:
    """Run a graph as :func:`evaluate_arrays` does; return every tensor that is known then."""
    known = dict(tensors)
    for step in graph.steps:
        known[written(step).name] = _evaluate(step, known)
    return known


def _evaluate(step: Step, known: Mapping[str, Values]) -> Values:
    match step:
        case Program() if not any(contraction.solved for contraction in step.contractions):
            greatest = step.contractions[0].reduce == "max"
            result = np.full(step.target.sizes, -np.inf if greatest else 0.0)
            for contraction in step.contractions:
                for target, term, _ in _terms(contraction, known, result):
                    target[...] = np.maximum(target, term) if greatest else target + term
            return result
        case Selection():
            return _select(step, known)
        case Elementwise():
            return _apply(step, known)
        case _:  # has no slices
            plain = evaluate(Graph((step,)), known)
            return plain[written(step).name].astype(float)


def _apply(step: Elementwise, known: Mapping[str, Values]) -> Values:
    """Read what each argument is at every point, in arrays that broadcast; then one expression."""
    grids = np.meshgrid(*(np.arange(int(n)) for _, n in step.extents), indexing="ij", sparse=True)
    points_ = dict(zip((name for name, _ in step.extents), grids, strict=True))
    function = _function(tuple(name for name, _ in step.arguments), step.expression)
    given = [
        _read(known[argument.tensor.name], argument, points_)
        if isinstance(argument, Access)
        else _values(argument, points_)
        for _, argument in step.arguments
    ]
    result = np.zeros(step.target.tensor.sizes)
    places = tuple(_values(subscript, points_) for subscript in step.target.subscripts)
    with np.errstate(all="ignore"):  # where a function has no value, the result is no number
        result[places] = function(*given)
    return result


@cache
def _function(names: tuple[str, ...], expression: sympy.Expr) -> Callable[..., Values]:
    """Return an expression as a function of arrays."""
    import sympy

    words = [{"erf": np.vectorize(math.erf), "erfc": np.vectorize(math.erfc)}, "numpy"]
    function: Callable[..., Values] = sympy.lambdify(names, expression, words)
    return function


def _read(array: Values, access: Access, points_: Mapping[str, Places]) -> Values:
    """Return a tensor's elements at every point; 0 outside."""
    places = [_values(subscript, points_) for subscript in access.subscripts]
    sizes = access.tensor.sizes
    inside = [(at >= 0) & (at < size) for at, size in zip(places, sizes, strict=True)]
    cells = tuple(np.clip(at, 0, size - 1) for at, size in zip(places, sizes, strict=True))
    return np.asarray(array[cells] * math.prod(inside), dtype=float)


def _values(subscript: Polynomial, points_: Mapping[str, Places]) -> Places:
    values: Places = np.asarray(int(subscript.constant))
    for name in subscript.variables:
        values = values + int(subscript.coefficient(name)) * points_[name]
    return values


def _select(step: Selection, known: Mapping[str, Values]) -> Values:
    """Go through the terms in order: select one that is greater than those before, and no other."""
    selected = np.zeros(step.target.sizes)
    greatest = np.full(step.maximum.target.tensor.sizes, -np.inf)
    for target, term, _ in _terms(step.maximum, known, greatest):
        target[...] = np.maximum(target, term)
    missing = np.ones(greatest.shape)
    chosen = step.target[tuple(index(name) for name, _ in step.maximum.extents)]
    for (target, term, point), (open_, _, _) in zip(
        _terms(step.maximum, known, greatest), _terms(step.maximum, known, missing), strict=True
    ):
        found = (term == target) & (open_ == 1)
        accesses = (step.maximum.target, *step.maximum.reads)
        cut = _cuts(chosen, point, _ranges(accesses, step.maximum.ranges, point) or {})
        selected[cut] = found.reshape(selected[cut].shape)
        open_[found] = 0
    return selected


def _terms(
    contraction: Contraction, tensors: Mapping[str, Values], result: Values
) -> Iterator[tuple[Values, Values, Point]]:
    """Fix indices until each subscript has one left, a slice; multiply the slices with einsum.

    Visits the slice of ``result`` that terms belong to, the terms, and the indices that are fixed: all
    that are summed, for a maximum.
    """
    accesses = (contraction.target, *contraction.reads)
    extents = contraction.ranges
    greatest = contraction.reduce == "max"
    fixed = _fixed(accesses, extents, contraction.summed if greatest else ())
    letters = {name: chr(ord("a") + at) for at, name in enumerate(extents)}
    for point in points({name: extents[name] for name in extents if name in fixed}):
        ranges = _ranges(accesses, extents, point)
        if ranges is None:
            continue
        views, labels = [], []
        for access in accesses:
            array = result if access is contraction.target else tensors[access.tensor.name]
            views.append(array[(*_cuts(access, point, ranges), ...)])  # a view, of one cell too
            left = [_free(s, point) for s in access.subscripts]
            labels.append("".join(letters[name] for name in left if name))
        target, *reads = views
        kept = [letter for letter in labels[0] if letter in "".join(labels[1:])]
        work = math.prod(high - low for low, high in ranges.values())
        subscripts = f"{','.join(labels[1:])}->{''.join(kept)}"
        term = np.einsum(subscripts, *reads, optimize=work > MANY)
        sizes = dict(zip(labels[0], target.shape, strict=True))
        broadcast = [sizes[letter] if letter in kept else 1 for letter in labels[0]]
        yield target, term.reshape(broadcast) * float(contraction.coefficient), point


def _cuts(access: Access, point: Point, ranges: dict[str, tuple[int, int]]) -> tuple[int | slice, ...]:
    return tuple(_cut(s, point, ranges) for s in access.subscripts)


def _fixed(accesses: tuple[Access, ...], extents: dict[str, int], summed: tuple[str, ...]) -> list[str]:
    """Return the indices to loop over: the summed, of each compound subscript all but the longest.

    One that the target has twice, too: einsum writes no diagonals.
    """
    fixed = list(summed)
    for access in accesses:
        for subscript in access.subscripts:
            names = [name for name in subscript.variables if name not in fixed]
            names.sort(key=lambda name: extents[name])
            fixed += names[:-1]
    left = [name for s in accesses[0].subscripts for name in s.variables if name not in fixed]
    return fixed + [name for name in dict.fromkeys(left) if left.count(name) > 1]


def _ranges(
    accesses: tuple[Access, ...], extents: dict[str, int], point: Point
) -> dict[str, tuple[int, int]] | None:
    """Return the values of each other index for which every access lies inside; None if none do."""
    ranges = {name: (0, size) for name, size in extents.items() if name not in point}
    for access in accesses:
        for subscript, size in zip(access.subscripts, access.tensor.sizes, strict=True):
            start, step = _progression(subscript, point)
            name = _free(subscript, point)
            if name is None:
                if not 0 <= start < size:
                    return None
                continue
            low, high = ranges[name]
            first, last = sorted(((0 - start) / step, (size - 1 - start) / step))
            ranges[name] = (max(low, math.ceil(first)), min(high, math.floor(last) + 1))
            if ranges[name][0] >= ranges[name][1]:
                return None
    return ranges


def _cut(subscript: Polynomial, point: Point, ranges: dict[str, tuple[int, int]]) -> int | slice:
    start, step = _progression(subscript, point)
    name = _free(subscript, point)
    if name is None:
        return start
    low, high = ranges[name]
    first, stop = start + step * low, start + step * high
    return slice(first, stop if stop >= 0 else None, step)


def _progression(subscript: Polynomial, point: Point) -> tuple[int, int]:
    """Return the value of a subscript at 0 of its remaining index, and that index's factor."""
    start = int(subscript.constant)
    step = 0
    for name in subscript.variables:
        factor = int(subscript.coefficient(name))
        if name in point:
            start += factor * point[name]
        else:
            step = factor
    return start, step


def _free(subscript: Polynomial, point: Point) -> str | None:
    return next((name for name in subscript.variables if name not in point), None)
