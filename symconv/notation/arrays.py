"""Graphs on large arrays: the plain evaluator's sums and maxima, as slices and einsum."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symconv.notation.contraction import Access, Contraction, Program, index
from symconv.notation.evaluate import Point, evaluate, points
from symconv.notation.graph import Elementwise, Graph, Selection, Step, written
from symconv.notation.polynomial import Polynomial

if TYPE_CHECKING:
    import sympy

Values = NDArray[Any]  # of float64, or of int64
Places = NDArray[np.int64]

MANY = 20_000  # products from which looking for matrix products pays


def evaluate_arrays(graph: Graph, tensors: Mapping[str, Values]) -> Values:
    """Run a graph on float64 arrays: exact for integers whose sums stay below 2⁵³.

    Sums of products of int64 arrays are taken modulo 2⁶⁴.
    """
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
            largest = step.contractions[0].reduce == "max"
            read = [known[read.tensor.name] for c in step.contractions for read in c.reads]
            whole = bool(read) and not largest and all(a.dtype == np.int64 for a in read)
            kind = np.int64 if whole else np.float64
            result = np.full(step.target.sizes, -np.inf if largest else 0, kind)
            for contraction in step.contractions:
                for target, term, _ in _terms(contraction, known, result):
                    target[...] = np.maximum(target, term) if largest else target + term
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
    largest = np.full(step.maximum.target.tensor.sizes, -np.inf)
    for target, term, _ in _terms(step.maximum, known, largest):
        target[...] = np.maximum(target, term)
    missing = np.ones(largest.shape)
    chosen = step.target[tuple(index(name) for name, _ in step.maximum.extents)]
    for (target, term, point), (open_, _, _) in zip(
        _terms(step.maximum, known, largest), _terms(step.maximum, known, missing), strict=True
    ):
        found = (term == target) & (open_ == 1)
        accesses = (step.maximum.target, *step.maximum.reads)
        parts = [_slices(access, point) for access in accesses]
        ranges = _ranges(parts, step.maximum.ranges, point) or {}
        cut = tuple(part.cut(point, ranges) for part in _slices(chosen, point))
        selected[cut] = found.reshape(selected[cut].shape)
        open_[found] = 0
    return selected


@dataclass(frozen=True)
class _Slice:
    """A subscript as numbers: where it starts, what each fixed index adds, and the index that is left.

    ``name`` is None if none is left; ``step`` is its factor, ``size`` the axis's length.
    """

    constant: int
    fixed: tuple[tuple[str, int], ...]
    name: str | None
    step: int
    size: int

    @staticmethod
    def of(subscript: Polynomial, size: int, fixed: Collection[str]) -> _Slice:
        """Return a subscript in which all indices but one are fixed."""
        factors = [(name, int(subscript.coefficient(name))) for name in subscript.variables]
        left = [(name, factor) for name, factor in factors if name not in fixed]
        name, step = left[0] if left else (None, 0)
        rest = tuple((name, factor) for name, factor in factors if name in fixed)
        return _Slice(int(subscript.constant), rest, name, step, size)

    def start(self, point: Point) -> int:
        """Return the subscript's value where the index that is left is 0."""
        start = self.constant
        for name, factor in self.fixed:
            start += factor * point[name]
        return start

    def cut(self, point: Point, ranges: Mapping[str, tuple[int, int]]) -> int | slice:
        """Return what the subscript addresses for a range of the index that is left."""
        start = self.start(point)
        if self.name is None:
            return start
        low, high = ranges[self.name]
        stop = start + self.step * high
        return slice(start + self.step * low, stop if stop >= 0 else None, self.step)


def _slices(access: Access, fixed: Collection[str]) -> list[_Slice]:
    pairs = zip(access.subscripts, access.tensor.sizes, strict=True)
    return [_Slice.of(subscript, size, fixed) for subscript, size in pairs]


def _terms(
    contraction: Contraction, tensors: Mapping[str, Values], result: Values
) -> Iterator[tuple[Values, Values, Point]]:
    """Fix indices until each subscript has one left, a slice; multiply the slices with einsum.

    Visits the slice of ``result`` that terms belong to, the terms, and the indices that are fixed: all
    that are summed, for a maximum.
    """
    loops = _loops(contraction)
    arrays = [result, *(tensors[read.tensor.name] for read in contraction.reads)]
    for point in points(loops.fixed):
        ranges = _ranges(loops.cuts, loops.extents, point)
        if ranges is None:
            continue
        target, *reads = (
            array[(*(cut.cut(point, ranges) for cut in part), ...)]  # a view, of one cell too
            for array, part in zip(arrays, loops.cuts, strict=True)
        )
        work = math.prod(high - low for low, high in ranges.values())
        factors = reads or [np.ones(())]
        term = np.einsum(loops.subscripts, *factors, optimize=work > MANY)
        broadcast = [size if kept else 1 for size, kept in zip(target.shape, loops.kept, strict=True)]
        yield target, term.reshape(broadcast) * loops.coefficient, point


@dataclass(frozen=True)
class _Loops:
    """How a contraction is computed: the loops that are left, and einsum's subscripts within them.

    ``cuts`` are of what is written and read, ``kept`` are the written axes that the terms have.
    """

    extents: Mapping[str, int]
    fixed: Mapping[str, int]
    cuts: tuple[list[_Slice], ...]
    subscripts: str
    kept: tuple[bool, ...]
    coefficient: int | float


@lru_cache(maxsize=1024)  # a graph is run on many numbers
def _loops(contraction: Contraction) -> _Loops:
    accesses = (contraction.target, *contraction.reads)
    extents = contraction.ranges
    largest = contraction.reduce == "max"
    fixed = _fixed(accesses, extents, contraction.summed if largest else ())
    cuts = tuple(_slices(access, fixed) for access in accesses)
    letters = {name: chr(ord("a") + at) for at, name in enumerate(extents)}
    written_, *read = ["".join(letters[cut.name] for cut in part if cut.name) for part in cuts]
    kept = tuple(letter in "".join(read) for letter in written_)
    number = Fraction(contraction.number)
    result = "".join(letter for letter, is_kept in zip(written_, kept, strict=True) if is_kept)
    return _Loops(
        extents,
        {name: extents[name] for name in extents if name in fixed},
        cuts,
        f"{','.join(read)}->{result}",
        kept,
        int(number) if number.denominator == 1 else float(number),
    )


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
    cuts: Iterable[list[_Slice]], extents: Mapping[str, int], point: Point
) -> dict[str, tuple[int, int]] | None:
    """Return the values of each other index for which every access lies inside; None if none do."""
    ranges = {name: (0, size) for name, size in extents.items() if name not in point}
    for part in cuts:
        for cut in part:
            start = cut.start(point)
            if cut.name is None:
                if not 0 <= start < cut.size:
                    return None
                continue
            low, high = ranges[cut.name]
            if cut.step > 0:
                first, last = -(start // cut.step), (cut.size - 1 - start) // cut.step
            else:
                first, last = -((cut.size - 1 - start) // -cut.step), start // -cut.step
            low, high = max(low, first), min(high, last + 1)
            if low >= high:
                return None
            ranges[cut.name] = (low, high)
    return ranges
