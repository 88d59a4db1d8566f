"""Maxima and minima of cases, as cases of one variable's intervals.

Between two neighbouring breakpoints every comparison of linear expressions keeps its answer, so one
point of each interval decides it. SymPy's own sets do the same a hundred times slower.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sympy


def choose(a: sympy.Expr, b: sympy.Expr, larger: bool) -> sympy.Expr:
    """Return the larger of two expressions, or the smaller one, as cases.

    >>> import sympy
    >>> x = sympy.Symbol("x", real=True)
    >>> choose(choose(x + 3, sympy.Integer(0), larger=True), sympy.Integer(6), larger=False)
    Piecewise((0, x <= -3), (6, x >= 3), (x + 3, True))
    """
    import sympy

    if not (a.has(sympy.Piecewise) or b.has(sympy.Piecewise)):
        return sympy.Piecewise((a, a > b if larger else a < b), (b, True))
    found = _by_intervals(a, b, larger)
    if found is not None:
        return found
    pairs = itertools.product(zip(*_branches(a), strict=True), zip(*_branches(b), strict=True))
    cases = []  # the first that holds counts: so the two of a pair stand together
    for (p, c), (q, d) in pairs:
        cases += [(p, sympy.And(c, d, p > q if larger else p < q)), (q, sympy.And(c, d))]
    return sympy.Piecewise(*cases)


def _by_intervals(a: sympy.Expr, b: sympy.Expr, larger: bool) -> sympy.Expr | None:
    """Return the choice as cases of intervals; None if a comparison is not linear in one variable."""
    import sympy

    symbols = a.free_symbols | b.free_symbols
    if len(symbols) != 1:
        return None
    (x,) = symbols
    values = [*_branches(a)[0], *_branches(b)[0]]
    if any(value.has(sympy.Piecewise) for value in values):
        return None
    relations = (a.atoms(sympy.Rel) | b.atoms(sympy.Rel)) - {sympy.true, sympy.false}
    differences = [relation.lhs - relation.rhs for relation in relations]
    differences += [p - q for p in _branches(a)[0] for q in _branches(b)[0]]
    roots = _roots(differences, x)
    if roots is None:
        return None
    if not roots:
        return _at(a, b, larger, x, sympy.Integer(0))
    between = [(p + q) / 2 for p, q in itertools.pairwise(roots)]
    points = [roots[0] - 1, *between, roots[-1] + 1]
    chosen = [_at(a, b, larger, x, point) for point in points]
    ends = [_at(a, b, larger, x, root) for root in roots]
    for at, (end, root) in enumerate(zip(ends, roots, strict=True)):
        if all((end - beside).subs(x, root) != 0 for beside in chosen[at : at + 2]):
            return None  # a value at this point alone
    return _joined(chosen, ends, roots, x)


def _branches(expression: sympy.Expr) -> tuple[list[sympy.Expr], list[sympy.Basic]]:
    """Return an expression's values, and where each holds."""
    import sympy

    folded = sympy.piecewise_fold(expression) if expression.has(sympy.Piecewise) else expression
    if isinstance(folded, sympy.Piecewise):
        values, conditions = zip(*folded.args, strict=True)
        return list(values), list(conditions)
    return [folded], [sympy.true]


def _roots(differences: Sequence[sympy.Expr], x: sympy.Symbol) -> list[sympy.Rational] | None:
    """Return where linear expressions change their signs, in order; None if one is not linear."""
    found = set()
    for difference in differences:
        expanded = difference.expand()
        slope = expanded.coeff(x, 1)
        rest = expanded - slope * x
        if not (slope.is_Rational and rest.expand().is_Rational):
            return None
        if slope != 0:
            found.add(-rest.expand() / slope)
    return sorted(found)


def _at(
    a: sympy.Expr, b: sympy.Expr, larger: bool, x: sympy.Symbol, point: sympy.Rational
) -> sympy.Expr:
    """Return the value that is chosen at a point, as an expression in x."""

    def branch(expression: sympy.Expr) -> sympy.Expr:
        pairs = zip(*_branches(expression), strict=True)
        return next(value for value, condition in pairs if condition.subs(x, point) == True)  # noqa: E712  # SymPy's

    one, other = branch(a), branch(b)
    first = one.subs(x, point) > other.subs(x, point)
    last = one.subs(x, point) < other.subs(x, point)
    return one if (first if larger else last) == True else other  # noqa: E712  # SymPy's


def _joined(
    chosen: list[sympy.Expr], ends: list[sympy.Expr], roots: list[sympy.Rational], x: sympy.Symbol
) -> sympy.Expr:
    """Write the values of neighbouring intervals as cases.

    What varies comes last: every comparison with a value that is not a number is false, and so such a
    value is handed on.
    """
    import sympy

    where: dict[sympy.Expr, list[sympy.Basic]] = {}
    start = 0
    for at, value in enumerate(chosen):
        if at + 1 < len(chosen) and chosen[at + 1] == value:
            continue
        bounds = []
        if start > 0:
            includes = ends[start - 1] == value
            bounds.append(x >= roots[start - 1] if includes else x > roots[start - 1])
        if at < len(roots):
            includes = ends[at] == value
            bounds.append(x <= roots[at] if includes else x < roots[at])
        where.setdefault(value, []).append(sympy.And(*bounds))
        start = at + 1
    ordered = sorted(where.items(), key=lambda pair: pair[0].has(x))
    cases = [(value, sympy.Or(*conditions)) for value, conditions in ordered[:-1]]
    return sympy.Piecewise(*cases, (ordered[-1][0], True))
