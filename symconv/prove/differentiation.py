"""The derivative of an expression by the rules of calculus, from a table of our own; equal functions.

SymPy's derivative is compared with it: two derivations that share no code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sympy


def derivative_by_rules(expression: sympy.Expr, x: sympy.Symbol) -> sympy.Expr:
    """Return f′: sum, product and power rule, the chain rule, and a table of functions.

    Cases are differentiated one by one, away from the points where they meet.

    Raises
    ------
    ValueError
        If the table has no entry for a function.
    """
    import sympy

    if x not in expression.free_symbols:
        return sympy.Integer(0)
    if expression == x:
        return sympy.Integer(1)
    if isinstance(expression, sympy.Piecewise):
        return sympy.Piecewise(*((derivative_by_rules(v, x), where) for v, where in expression.args))
    parts = expression.args
    slopes = [derivative_by_rules(part, x) for part in parts]
    if expression.is_Add:
        return sympy.Add(*slopes)
    if expression.is_Mul:
        products = [
            sympy.Mul(*parts[:at], slope, *parts[at + 1 :])
            for at, slope in enumerate(slopes)
            if slope != 0
        ]
        return sympy.Add(*products)
    if expression.is_Pow and slopes[1] == 0:
        base, exponent = parts
        return exponent * base ** (exponent - 1) * slopes[0]
    name = expression.func.__name__
    if name not in _table() or len(parts) != 1:
        raise ValueError(f"the derivative of {name} is not in the table")
    return _table()[name](parts[0]) * slopes[0]


def _table() -> dict[str, Any]:
    """Return the derivative of each function of one argument."""
    import sympy

    return {
        "exp": sympy.exp,
        "log": lambda u: 1 / u,
        "log1p": lambda u: 1 / (1 + u),
        "expm1": sympy.exp,
        "sin": sympy.cos,
        "cos": lambda u: -sympy.sin(u),
        "tan": lambda u: 1 + sympy.tan(u) ** 2,
        "sinh": sympy.cosh,
        "cosh": sympy.sinh,
        "tanh": lambda u: 1 - sympy.tanh(u) ** 2,
        "atan": lambda u: 1 / (1 + u**2),
        "erf": lambda u: 2 * sympy.exp(-(u**2)) / sympy.sqrt(sympy.pi),
        "erfc": lambda u: -2 * sympy.exp(-(u**2)) / sympy.sqrt(sympy.pi),
        "Abs": sympy.sign,
    }


def same_derivative(expression: sympy.Expr, claimed: sympy.Expr, x: sympy.Symbol) -> bool:
    """Whether a derivative is the one that the rules give, for every x; False if it is not seen."""
    import sympy

    try:
        difference = derivative_by_rules(expression, x) - claimed
    except ValueError:
        return False
    if isinstance(difference, sympy.Add) and difference.has(sympy.Piecewise):
        difference = sympy.piecewise_fold(difference)
    values = difference.args if isinstance(difference, sympy.Piecewise) else [(difference, True)]
    return all(_vanishes(value) for value, _ in values)


def _vanishes(value: sympy.Expr) -> bool:
    import sympy

    return bool(sympy.expand(value) == 0 or sympy.simplify(value) == 0)


def same_function(one: sympy.Expr, other: sympy.Expr, x: sympy.Symbol) -> bool:
    """Whether two functions of x are seen to be equal for x > 0, for x < 0 and at 0.

    On each side, their difference is 0, or it is constant and tends to 0 at 0.
    """
    import sympy

    above = sympy.Symbol("x", positive=True)
    if not _is_zero((one - other).subs(x, 0)):
        return False
    sides = (sympy.piecewise_fold((one - other).subs(x, at)) for at in (above, -above))
    return all(
        _is_zero(side) or (_is_zero(side.diff(above)) and _is_zero(side.subs(above, 0)))
        for side in sides
    )


def equal_by_cases(one: sympy.Expr, other: sympy.Expr, x: sympy.Symbol) -> bool:
    """Whether the difference of two expressions simplifies to 0 for x > 0, for x < 0 and at 0."""
    import sympy

    above = sympy.Symbol("x", positive=True)
    return all(
        _is_zero(sympy.piecewise_fold((one - other).subs(x, at)))
        for at in (above, -above, sympy.Integer(0))
    )


def _is_zero(expression: sympy.Expr) -> bool:
    import sympy

    return bool(sympy.simplify(expression.rewrite(sympy.exp).rewrite(sympy.erf)) == 0)
