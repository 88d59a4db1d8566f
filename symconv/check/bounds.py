"""How far rounding may move a result: running error bounds along a graph, and bounds by norms.

Of a sum of n products, in any order, the error is at most (n + 1) roundings of Σ |terms| (N. J. Higham,
Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). A Fourier or Winograd transform
mixes all elements before it multiplies: its error is relative to the norms of what it transforms
(section 24.2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symconv.notation.arrays import evaluate_arrays, run_arrays
from symconv.notation.contraction import Access, Contraction, Program, Tensor
from symconv.notation.expression import derivative
from symconv.notation.graph import Constant, Elementwise, Graph, Selection, Step, written

Array = NDArray[Any]
Values = Mapping[str, Array]

ERROR = "error"  # what a tensor's error is called in a sum
STAGE = 8  # roundings of one stage of a transform and its inverse
EXACT = 0.25  # that a whole number may be off: another way to compute it may divide


def products_bound(graph: Graph, values: Values, eps: float, whole: bool = False) -> Array:
    """Return, for each element of a graph of sums and maxima of products, what any order may be off.

    Zeros cost nothing: only products of non-zero factors are counted. Sums of ``whole`` numbers that
    the dtype has are exact in any order.
    """
    known = run_arrays(graph, values)
    steps = tuple(step for step in graph.steps if not isinstance(step, Selection))  # as selected here
    rest = replace(graph, steps=steps)
    sizes = evaluate_arrays(_magnitudes(rest), {n: np.abs(a) for n, a in known.items()})
    ones = {n: (a != 0).astype(float) for n, a in known.items()}
    counts = evaluate_arrays(_magnitudes(rest, counted=True), ones)
    found = np.asarray((np.maximum(counts, 0) + 2) * eps * np.maximum(sizes, 0))
    exact = whole and _has_whole_numbers(graph)
    return np.where(sizes * eps < 1, np.minimum(found, EXACT), found) if exact else found


def _has_whole_numbers(graph: Graph) -> bool:
    """Whether all numbers of a graph are whole."""
    numbers = [
        number
        for step in graph.steps
        for number in (
            step.values
            if isinstance(step, Constant)
            else [c.number for c in step.contractions]
            if isinstance(step, Program)
            else []
        )
    ]
    return all(Fraction(number).denominator == 1 for number in numbers)


def transform_bound(graph: Graph, values: Values, eps: float, expected: Array) -> float:
    """Return what a transform of whole tensors may be off, in any element of a sum of products.

    For numbers of random signs its error is relative to the largest element of the whole result, or
    to what such a result has in the mean, where little of it is kept.
    """
    known = run_arrays(graph, values)
    sums = [c for s in graph.steps if isinstance(s, Program) for c in s.contractions]
    largest, most = float(np.abs(expected).max(initial=0.0)), 1
    for contraction in sums:
        size = max(math.prod(read.tensor.sizes) for read in contraction.reads)
        norms = [float(np.linalg.norm(known[read.tensor.name])) for read in contraction.reads]
        mean = math.prod(norms) * abs(float(contraction.number)) / math.sqrt(size)
        largest, most = max(largest, mean), max(most, size)
    return STAGE * (1 + math.log2(most)) * eps * largest


def is_convolution(graph: Graph) -> bool:
    """Whether a graph multiplies two tensors along sliding windows: what transforms compute."""
    programs = [step for step in graph.steps if isinstance(step, Program)]
    others = [step for step in graph.steps if not isinstance(step, Program | Constant)]
    contractions = [c for program in programs for c in program.contractions]
    return (
        not others
        and all(c.reduce == "sum" and len(c.reads) <= 2 for c in contractions)
        and any(len(c.reads) == 2 and _slides(c) for c in contractions)
    )


def _slides(contraction: Contraction) -> bool:
    """Whether a subscript adds two indices."""
    accesses = (contraction.target, *contraction.reads)
    return any(len(subscript.variables) > 1 for access in accesses for subscript in access.subscripts)


def running_bound(graph: Graph, values: Values, eps: float) -> Array:
    """Return how far rounding moves each element of a graph with expressions, step by step.

    What comes in is exact. A sum adds its own roundings to those of its terms, an expression those of
    its operations to its arguments' times its slopes.
    """
    known = run_arrays(graph, values)
    errors: dict[str, Array] = {}
    for step in graph.steps:
        if written(step).name not in graph.held:  # what cancels brings no error
            errors[written(step).name] = _step_error(step, known, errors, eps)
    return errors[graph.output.name]


def terms_scale(graph: Graph, values: Values) -> float:
    """Return how large the terms of a graph's last expression are, of which some may cancel.

    A normalisation of few elements has an input gradient near 0, though its terms are large. For a sum
    this is 0: its terms are compared with their result elsewhere.
    """
    last = graph.steps[-1]
    if not isinstance(last, Elementwise):
        return 0.0
    known = run_arrays(graph, values)
    largest = 0.0
    for read, slope in _slopes(last):
        moved = run_arrays(Graph((slope,)), known)[written(last).name]
        size = float(np.abs(known[read.tensor.name]).max(initial=0.0))
        largest = max(largest, size * float(np.abs(moved).max(initial=0.0)))
    return largest


def _step_error(step: Step, known: Values, errors: Values, eps: float) -> Array:
    target = written(step)
    match step:
        case Program():
            return _sum_error(step, known, errors, eps)
        case Elementwise():
            found = eps * np.abs(known[target.name])
            for read, slope in _slopes(step):
                name = read.tensor.name
                sizes = {n: np.abs(a) for n, a in known.items()}
                slopes = np.abs(run_arrays(Graph((slope,)), known)[target.name])
                moved = np.abs(errors.get(name, np.zeros(()))) + eps * sizes[name]
                moved = np.broadcast_to(moved, read.tensor.sizes)
                at = replace(step, expression=_symbol(step, read), arguments=_only(step, read))
                found = found + slopes * run_arrays(Graph((at,)), {**known, name: moved})[target.name]
            return np.asarray(found)
        case _:
            return np.zeros(target.sizes)


def _sum_error(step: Program, known: Values, errors: Values, eps: float) -> Array:
    """Return the roundings of a sum, √n of them for n terms, and what its factors' errors make."""
    graph = _magnitudes(Graph((step,)))
    sizes = {name: np.abs(array) for name, array in known.items()}
    ones = {name: np.ones(array.shape) for name, array in known.items()}
    counts = evaluate_arrays(_magnitudes(Graph((step,)), counted=True), ones)
    total = np.maximum(evaluate_arrays(graph, sizes), 0)
    found = eps * (np.sqrt(np.maximum(counts, 0)) + 2) * total
    for contraction in graph.programs[0].contractions:
        for at, factor in enumerate(contraction.factors):
            name = factor.tensor.name if isinstance(factor, Access) else ""
            if isinstance(factor, Access) and np.any(errors.get(name, 0)):
                off = replace(factor, tensor=Tensor(ERROR, factor.tensor.shape))
                factors = (*contraction.factors[:at], off, *contraction.factors[at + 1 :])
                moved = Graph((Program((replace(contraction, factors=factors),)),))
                found = found + np.maximum(evaluate_arrays(moved, {**sizes, ERROR: errors[name]}), 0)
    return np.asarray(found)


@cache
def _slopes(step: Elementwise) -> tuple[tuple[Access, Elementwise], ...]:
    """Return each tensor that an expression reads, and the step of the derivative by it."""
    symbols = {symbol.name: symbol for symbol in step.expression.free_symbols}
    return tuple(
        (read, replace(step, expression=derivative(step.expression, symbols[name])))
        for name, read in step.arguments
        if isinstance(read, Access) and name in symbols
    )


def _symbol(step: Elementwise, read: Access) -> Any:
    symbols = {symbol.name: symbol for symbol in step.expression.free_symbols}
    return next(symbols[name] for name, argument in step.arguments if argument == read)


def _only(step: Elementwise, read: Access) -> tuple[tuple[str, Access], ...]:
    name = next(name for name, argument in step.arguments if argument == read)
    return ((name, read),)


@lru_cache(maxsize=512)  # a layer is probed with many numbers
def _magnitudes(graph: Graph, counted: bool = False) -> Graph:
    """Return the graph without the signs of its numbers; or the graph that counts its products."""

    def size(number: Any) -> Fraction | int:
        return 1 if counted else abs(Fraction(number))

    def changed(step: Step) -> Step:
        match step:
            case Program():
                return Program(tuple(map(unsigned, step.contractions)))
            case Constant():
                return replace(step, values=tuple(map(size, step.values)))
            case _:
                return step

    def unsigned(contraction: Contraction) -> Contraction:
        return replace(contraction, coefficient=size(contraction.coefficient))

    return replace(graph, steps=tuple(map(changed, graph.steps)))
