"""The derivation of a function of single elements: SymPy's derivative, then the chain rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from symconv.derive.steps import Check, Formula, Step
from symconv.layers.activation import Activation
from symconv.notation.expression_text import PAPER, expression_text
from symconv.notation.step_text import graph_latex, graph_text
from symconv.notation.text import shape_text

if TYPE_CHECKING:
    import sympy

DIGITS = 40
POINTS = ("-6.7", "-2.3", "-0.9", "-0.4", "0.3", "0.8", "1.9", "5.2", "7.1")


def function_steps(layer: Activation) -> tuple[Step, ...]:
    """Return the derivation of an activation's gradient."""
    slope = layer.slope
    back = layer.gradient("x")
    tried = difference_quotients(layer)
    agrees = bool(tried) and all(agrees for *_, agrees in tried)
    shape = shape_text(layer.input_shape)
    return (
        Step(
            "Differentiate f",
            _function("f", layer.expression),
            _function("f′", slope),
            "SymPy differentiates f by the sum, product and chain rules; where f has cases, f′ is the "
            "derivative of the case that applies at x",
            Check(
                f"equals the difference quotient, to 20 digits, at {len(tried)} numbers from "
                f"{POINTS[0]} to {POINTS[-1]}",
                agrees,
            ),
        ),
        Step(
            "Apply the chain rule for ∂E/∂X",
            Formula(graph_text(layer.graph), graph_latex(layer.graph)),
            Formula(graph_text(back), graph_latex(back)),
            "an element of O depends on one element of X, at the same place; so ∂E/∂X is G = ∂E/∂O "
            "times f′(X), element by element",
            Check(
                f"every element of X is read once, by its own of O: {shape} each",
                back.output.sizes == layer.input_shape and len(layer.graph.inputs) == 1,
            ),
        ),
    )


def _function(name: str, expression: sympy.Expr) -> Formula:
    import sympy

    shown = name.replace("′", "'")
    return Formula(
        f"{name}(x) = {expression_text(expression, {}, PAPER)}",
        f"{shown}(x) &= {sympy.latex(expression)}",
    )


def difference_quotients(layer: Activation) -> list[tuple[str, float, float, bool]]:
    """Return x, f′(x), a difference quotient of f, and whether they agree, where f is real."""
    import mpmath
    import sympy

    x = sympy.Symbol("x", real=True)
    f, slope = (sympy.lambdify(x, e, "mpmath") for e in (layer.expression, layer.slope))
    found = []
    with mpmath.workdps(2 * DIGITS):
        h = mpmath.mpf(10) ** -DIGITS
        for text in POINTS:
            at = mpmath.mpf(text)
            try:
                value, wanted = slope(at), (f(at + h) - f(at - h)) / (2 * h)
                agrees = bool(abs(value - wanted) <= mpmath.mpf(10) ** -20 * (1 + abs(wanted)))
                found.append((text, float(value), float(wanted), agrees))
            except (TypeError, ValueError, ZeroDivisionError):  # complex, or a pole
                continue
    return found
