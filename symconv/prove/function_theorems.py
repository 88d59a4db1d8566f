"""What is shown of a function of single elements: its derivative, and what is computed for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from symconv.derive.function_view import difference_quotients
from symconv.layers.activation import Activation
from symconv.layers.activations import NAMED
from symconv.notation.expression_text import PAPER, expression_text
from symconv.prove.claims import Counterexample
from symconv.prove.differentiation import equal_by_cases, same_derivative, same_function
from symconv.prove.theorems import Control, Theorem

if TYPE_CHECKING:
    import sympy


BY_RULES = (
    "SymPy's derivative of f is the one that the sum, product and chain rules give with a table of "
    "our own, case by case"
)


def function_theorems(layer: Activation) -> tuple[Theorem, ...]:
    """Return what is found about an activation."""
    found = [_derivative(layer)]
    if layer.function in NAMED:
        found.append(_computed(layer, *layer.computed))
    return tuple(found)


def _derivative(layer: Activation) -> Theorem:
    """Compare SymPy's derivative with that by the rules, and with difference quotients of f."""
    (x,) = layer.expression.free_symbols
    by_rules = same_derivative(layer.expression, layer.slope, x)
    tried = difference_quotients(layer)
    wrong = next((one for one in tried if not one[-1]), None)
    counterexample = None
    if wrong:
        at, right, claimed = wrong[0], wrong[2], wrong[1]
        counterexample = _counterexample(
            f"f′({at}) = {right:g}, but the claim gives {claimed:g}", right, claimed
        )
    return Theorem(
        "D1",
        "∂E/∂X is G · f′(X), element by element, where "
        f"f′(x) = {expression_text(layer.slope, {}, PAPER)}",
        "refuted" if wrong else "proved" if by_rules else "tested" if tried else "open",
        (
            *([("symbolic", BY_RULES)] if by_rules else []),
            ("numeric", f"difference quotients of f agree to 20 digits at {len(tried)} numbers"),
        ),
        counterexample,
        _controls(layer),
    )


def _controls(layer: Activation) -> tuple[Control, ...]:
    """Refute that f′ is f: but for the exponential function, some number shows it."""
    import sympy

    x = sympy.Symbol("x", real=True)
    for text in ("0.5", "1.5", "-0.5"):
        right, claimed = (
            e.subs(x, sympy.Rational(text)).evalf() for e in (layer.slope, layer.expression)
        )
        if right.is_real and claimed.is_real and abs(right - claimed) > 1e-6:
            shown = f"f′({text}) = {float(right):g}, but the claim gives {float(claimed):g}"
            return (Control("f′ is f", _counterexample(shown, float(right), float(claimed))),)
    return ()


def _counterexample(text: str, right: float, wrong: float) -> Counterexample:
    return Counterexample("one element", text, np.array([right]), np.array([wrong]))


def _computed(layer: Activation, value: sympy.Expr, slope: sympy.Expr, curvature: sympy.Expr) -> Theorem:
    """Show that what is computed equals the function and its derivatives, beside 0 and there."""
    (x,) = layer.expression.free_symbols
    derivatives = ((layer.slope, slope), (layer.curvature, curvature))
    same_derivatives = all(equal_by_cases(defined, used, x) for defined, used in derivatives)
    same = same_function(layer.expression, value, x)
    return Theorem(
        "D2",
        f"what is computed equals f, f′ and f″: {expression_text(value, {}, PAPER)}, "
        f"{expression_text(slope, {}, PAPER)}, and {expression_text(curvature, {}, PAPER)}",
        "proved" if same and same_derivatives else "open",
        (("symbolic", "the differences simplify to 0 for x > 0, for x < 0 and at 0"),)
        if same and same_derivatives
        else (("symbolic", "SymPy does not simplify the differences to 0"),),
        None,
        (),
    )
