"""Maxima and minima of cases are those of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from symconv import Activation, generate
from symconv.notation.cases import choose
from tests.effort import many

X = sympy.Symbol("x", real=True)
LEAVES = [X, -X, 2 * X + 1, X**2, X**2 - 2, X**3 - X, 1 - X, sympy.exp(X), sympy.tanh(X)]
LEAVES += [sympy.Integer(n) for n in (-2, 0, 1, 3)]

Tree = Any  # a leaf, or (larger, tree, tree)
TREES = st.recursive(
    st.sampled_from(LEAVES), lambda trees: st.tuples(st.booleans(), trees, trees), max_leaves=5
)


def written(tree: Tree) -> sympy.Expr:
    if isinstance(tree, tuple):
        larger, one, other = tree
        return choose(written(one), written(other), larger)
    return tree


def value(tree: Tree, x: sympy.Rational) -> sympy.Expr:
    if isinstance(tree, tuple):
        larger, one, other = tree
        return (sympy.Max if larger else sympy.Min)(value(one, x), value(other, x))
    return tree.subs(X, x)


@settings(max_examples=many(500))
@given(TREES)
def test_choices_are_maxima_and_minima(tree: Tree) -> None:
    expression = written(tree)
    for x in map(sympy.Rational, (-3, "-3/2", -1, "-1/2", 0, "1/2", 1, "3/2", 2, 3, 4)):
        assert expression.subs(X, x) == value(tree, x), (tree, x)


@pytest.mark.every
@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("min(max(x*x, 1), 4)", lambda x: np.clip(x * x, 1, 4)),
        ("max(min(exp(x), 5), 3)", lambda x: np.clip(np.exp(x), 3, 5)),
        ("max(min(x, x*x), -x)", lambda x: np.maximum(np.minimum(x, x * x), -x)),
        ("min(max(x + 3, 0), 6)", lambda x: np.clip(x + 3, 0, 6)),
    ],
)
def test_generated_code_chooses_alike(text: str, function: Any) -> None:
    x = np.linspace(-8, 8, 65)
    module = generate(Activation(x.shape, text, dtype="float64"), "module").load()
    np.testing.assert_allclose(module.forward(x), function(x), rtol=1e-12)
