"""The tensors of a layer and their gradients as SymPy objects, one expression an element."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import sympy

from symconv.errors import SymconvError
from symconv.layers.layer import Layer
from symconv.notation.backpropagation import gradient
from symconv.notation.contraction import Access, Program, Tensor
from symconv.notation.evaluate import Values, program_terms
from symconv.notation.graph import Constant, Elementwise, Graph, Selection, folded, written
from symconv.notation.monomials import Columns, columns, term_count

MOST_TERMS = 500_000  # terms of a tensor that are made into SymPy expressions

Elements = list[sympy.Expr]


def symbols(tensor: Tensor) -> Elements:
    """Return a symbol for each element: ``X12`` in a plane, ``X_1_2_3_4`` in a larger tensor."""
    if math.prod(tensor.sizes) > MOST_TERMS:
        raise _too_large(tensor.sizes, math.prod(tensor.sizes))
    shape = plane_shape(tensor.sizes)
    short = len(shape) <= 2 and max(shape, default=0) <= 9
    names = (
        "".join(map(str, cell)) if short else "_" + "_".join(map(str, cell)) for cell in _cells(shape)
    )
    return [sympy.Symbol(tensor.name + name) for name in names]


def plane_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of one plane if the leading axes have size 1, else the shape itself."""
    outer, plane = shape[:2], tuple(shape[2:])
    return plane if tuple(outer) == (1, 1) and 0 < len(plane) <= 2 else tuple(shape)


def _cells(shape: Sequence[int]) -> list[tuple[int, ...]]:
    return [tuple(at + 1 for at in cell) for cell in np.ndindex(*shape)]


def output_elements(layer: Layer) -> Elements:
    """Return the expression of each element of O."""
    return _sums(layer, layer.graph)


def gradient_elements(layer: Layer, name: str) -> Elements:
    """Return the expression of each element of a gradient, in the elements of G = ∂E/∂O."""
    cotangent = layer.cotangent
    return _sums(layer, gradient(layer.graph, layer.tensors[name], cotangent))


def _sums(layer: Layer, graph: Graph) -> Elements:
    """Return each element of what a graph computes: the sum, or the maximum, of its terms."""
    terms = term_count(graph)
    if terms > MOST_TERMS:
        raise _too_large(layer.output_shape, terms)
    tensors = [*layer.tensors.values(), layer.cotangent]
    known = {tensor.name: symbols(tensor) for tensor in tensors}
    if not all(isinstance(s, Program) and s.contractions[0].reduce == "sum" for s in graph.steps):
        return _step_by_step(graph, known)
    sums: list[list[sympy.Expr]] = [[] for _ in range(math.prod(graph.output.sizes))]
    for part in columns(graph):
        for cell, term in _products(part, known):
            sums[cell].append(term)
    return [sympy.Add(*terms) for terms in sums]


def _products(part: Columns, known: Mapping[str, Elements]) -> list[tuple[int, sympy.Expr]]:
    names = sorted(name for name in part if name)
    factors = [[known[name][cell] for cell in part[name].tolist()] for name in names]
    return [
        (cell, sympy.Mul(*term))
        for cell, term in zip(part[""].tolist(), zip(*factors, strict=True), strict=True)
    ]


def _step_by_step(graph: Graph, symbols_: Mapping[str, Elements]) -> Elements:
    """Return each element of what a graph computes; a selection's elements are symbols."""
    known = {
        tensor.name: np.array(symbols_[tensor.name], dtype=object).reshape(tensor.sizes)
        for tensor in graph.inputs.values()
    }
    for step in folded(graph).steps:
        target = written(step)
        if isinstance(step, Selection):
            elements = symbols(target)
        elif isinstance(step, Constant):
            elements = [sympy.Rational(Fraction(value)) for value in step.values]
        elif isinstance(step, Elementwise):
            elements = _of_elements(step, known)
        else:
            terms: list[list[sympy.Expr]] = [[] for _ in range(math.prod(target.sizes))]
            for cell, term in program_terms(step, known):
                terms[int(np.ravel_multi_index(cell, target.sizes)) if cell else 0].append(term)
            greatest = step.contractions[0].reduce == "max"
            elements = [sympy.Max(*of) if greatest else sympy.Add(*of) for of in terms]
        known[target.name] = np.array(elements, dtype=object).reshape(target.sizes)
    return list(known[graph.output.name].flat)


def _of_elements(step: Elementwise, known: Mapping[str, Values]) -> Elements:
    """Return an expression for each element, in the elements at its place."""
    by_name = {symbol.name: symbol for symbol in step.expression.free_symbols}
    columns_ = [
        (by_name[name], known[read.tensor.name].flat)
        for name, read in step.arguments
        if isinstance(read, Access) and name in by_name
    ]
    names = [symbol for symbol, _ in columns_]
    places = zip(*(elements for _, elements in columns_), strict=True)
    return [step.expression.subs(dict(zip(names, place, strict=True))) for place in places]


def _too_large(shape: Sequence[int], terms: int) -> SymconvError:
    return SymconvError(
        f"a tensor of shape {tuple(shape)}: must be smaller for SymPy objects: "
        f"{terms} terms or elements, at most {MOST_TERMS}"
    )


def shaped(elements: Elements, shape: Sequence[int]) -> sympy.Matrix | sympy.Array:
    """Return a Matrix of a plane's elements (a row where there is one axis), else an Array."""
    plane = plane_shape(shape)
    if len(plane) > 2:
        return sympy.ImmutableDenseNDimArray(elements, tuple(shape))
    rows = plane[0] if len(plane) == 2 else 1
    return sympy.Matrix(rows, plane[-1], elements)
