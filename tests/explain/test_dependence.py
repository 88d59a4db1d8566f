"""What each element is made of: the page's terms against SymPy, and against loops."""

from __future__ import annotations

import itertools

import hypothesis
import numpy as np
import pytest
import sympy
from hypothesis import strategies as st

from symconv import AvgPool, Conv, Linear, MaxPool
from symconv.derive.elements import gradient_elements, output_elements
from symconv.explain.dependence import Dependence, Result, element_names, is_drawn_by_elements
from symconv.layers import Layer
from tests.effort import many
from tests.strategies import layers, pools


def expressions(layer: Layer, result: Result) -> list[sympy.Expr]:
    """Return a result's terms as SymPy expressions."""
    tensors = (*layer.tensors.values(), layer.cotangent)
    named = {t.name: [sympy.Symbol(n) for n in element_names(t)] for t in tensors}
    return [
        sympy.Add(
            *(
                sympy.Rational(term.coefficient) * sympy.Mul(*(named[n][at] for n, at in term.elements))
                for term in terms
            )
        )
        for terms in result.terms
    ]


@hypothesis.given(st.one_of(layers(), pools()))
@hypothesis.settings(max_examples=many(200))
def test_terms_are_those_of_sympy(layer: Layer) -> None:
    dependence = Dependence(layer)
    hypothesis.assume(is_drawn_by_elements(layer) and not dependence.output.maximum)
    assert expressions(layer, dependence.output) == output_elements(layer)
    for name, result in dependence.gradients.items():
        assert expressions(layer, result) == gradient_elements(layer, name)


@pytest.mark.parametrize("padding", [0, 1])
def test_a_maximum_sends_its_gradient_to_what_it_compared(padding: int) -> None:
    layer = MaxPool((1, 2, 5, 4), 3, stride=2, padding=padding)
    dependence = Dependence(layer)
    x, o = (np.arange(np.prod(s)).reshape(s) for s in (layer.input_shape, layer.output_shape))
    for c, i, j in itertools.product(range(2), *map(range, layer.output_shape[2:])):
        rows = [r for r in range(2 * i - padding, 2 * i - padding + 3) if 0 <= r < 5]
        columns = [k for k in range(2 * j - padding, 2 * j - padding + 3) if 0 <= k < 4]
        wanted = {int(x[0, c, r, k]) for r in rows for k in columns}
        at = int(o[0, c, i, j])
        assert {cell for term in dependence.output.terms[at] for _, cell in term.elements} == wanted
        routed = {
            cell
            for cell, terms in enumerate(dependence.gradients["x"].terms)
            for term in terms
            if term.elements == (("G", at),)
        }
        assert routed == wanted


def test_averages_have_fractions() -> None:
    terms = Dependence(AvgPool((1, 1, 4, 4), 2)).output.terms[0]
    assert [str(term.coefficient) for term in terms] == ["1/4"] * 4


def test_what_is_too_large_is_not_drawn() -> None:
    assert is_drawn_by_elements(Linear((2, 3), 4))
    assert not is_drawn_by_elements(Conv((8, 64, 56, 56), 64, 3))
