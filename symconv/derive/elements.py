"""The tensors of a layer and their gradients as SymPy objects, one expression an element."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import sympy

from symconv.derive.forms import swapped
from symconv.errors import SymconvError
from symconv.layers.conv import ConvLayer
from symconv.notation.contraction import Tensor
from symconv.notation.graph import Graph
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


def output_elements(layer: ConvLayer) -> Elements:
    """Return the expression of each element of O."""
    return _sums(layer, layer.graph)


def gradient_elements(layer: ConvLayer, name: str) -> Elements:
    """Return the expression of each element of a gradient, in the elements of G = ∂E/∂O."""
    return _sums(layer, swapped(layer, name))


def _sums(layer: ConvLayer, graph: Graph) -> Elements:
    """Return each element of what a graph computes: the sum of its terms."""
    terms = term_count(graph)
    if terms > MOST_TERMS:
        raise _too_large(layer.input_shape, terms)
    tensors = [*layer.tensors.values(), Tensor("G", layer.output_shape)]
    known = {tensor.name: symbols(tensor) for tensor in tensors}
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


def _too_large(shape: Sequence[int], terms: int) -> SymconvError:
    return SymconvError(
        f"input_shape = {tuple(shape)}: must be smaller for SymPy objects: {terms} terms or elements, "
        f"at most {MOST_TERMS}"
    )


def shaped(elements: Elements, shape: Sequence[int]) -> sympy.Matrix | sympy.Array:
    """Return a Matrix of a plane's elements (a row where there is one axis), else an Array."""
    plane = plane_shape(shape)
    if len(plane) > 2:
        return sympy.ImmutableDenseNDimArray(elements, tuple(shape))
    rows = plane[0] if len(plane) == 2 else 1
    return sympy.Matrix(rows, plane[-1], elements)
