"""What values for several sizes have in common: one value, in which numbers depend on a letter.

A number that is different for each size must be an affine function of it, or a quotient of two. An
affine function is found from two sizes, a quotient from all; every size has to agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import sympy

from symconv.errors import KernelError
from symconv.notation.contraction import Contraction
from symconv.notation.graph import Elementwise
from symconv.notation.polynomial import Polynomial
from symconv.notation.ratio import Ratio


def common(members: Mapping[int, Any], letter: str) -> Any:
    """Return the value that is each member at its size, with a letter for the size.

    Parameters
    ----------
    members
        Values of one type for at least four sizes: dataclasses, tuples, numbers, polynomials and
        SymPy expressions.
    letter
        The letter that stands for the size.

    Raises
    ------
    KernelError
        If the values differ in something else than numbers, or a number depends on the size in another
        way.

    Examples
    --------
    >>> common({n: ("rows", n, 2 * n + 1, 5) for n in (3, 4, 5, 7)}, "n")
    ('rows', n, 2*n + 1, 5)
    """
    values = list(members.values())
    first = values[0]
    if all(type(value) is type(first) and value == first for value in values):
        return first
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return _affine(members, letter)
    if any(type(value) is not type(first) for value in values):
        raise _differ(values)
    match first:
        case Polynomial():
            return _polynomial(members, letter)
        case sympy.Basic():
            return _expression(members, letter)
        case tuple():
            return tuple(common(each, letter) for each in _columns(members))
        case dict():
            if any(list(value) != list(first) for value in values):
                raise _differ(values)
            return {key: common({n: v[key] for n, v in members.items()}, letter) for key in first}
        case Contraction():
            alike = {n: dataclasses.replace(c, coefficient=1) for n, c in members.items()}
            found, coefficient = _fields(alike, letter), first.coefficient
            if any(contraction.coefficient != coefficient for contraction in values):
                coefficient = _quotient({n: Fraction(c.number) for n, c in members.items()}, letter)
            return dataclasses.replace(found, coefficient=coefficient)
        case Elementwise():
            step = _fields(members, letter)
            if letter not in map(str, step.expression.free_symbols):
                return step
            given = (*step.arguments, (letter, Polynomial.variable(letter)))
            return dataclasses.replace(step, arguments=given)
    if dataclasses.is_dataclass(first):
        return _fields(members, letter)
    raise _differ(values)


def _differ(values: list[Any]) -> KernelError:
    return KernelError(f"the number of samples changes {values[0]!r} to {values[1]!r}")


def _columns(members: Mapping[int, tuple[Any, ...]]) -> list[dict[int, Any]]:
    """Return, for each place of tuples of one length, what they have there."""
    if len({len(value) for value in members.values()}) > 1:
        raise _differ(list(members.values()))
    return [dict(zip(members, each, strict=True)) for each in zip(*members.values(), strict=True)]


def _fields(members: Mapping[int, Any], letter: str) -> Any:
    kind = type(next(iter(members.values())))
    fields = dataclasses.fields(kind)
    return kind(*(common({n: getattr(v, f.name) for n, v in members.items()}, letter) for f in fields))


def _affine(members: Mapping[int, int], letter: str) -> Polynomial:
    """Return a whole number as an affine function of the size."""
    (n, at_n), (m, at_m), *_ = members.items()
    slope = Fraction(at_m - at_n, m - n)
    found = Polynomial({(letter,): slope, (): at_n - slope * n})
    if any(found.substitute({letter: size}) != value for size, value in members.items()):
        raise KernelError(f"{list(members.values())} is not affine in the number of samples")
    if any(Fraction(factor).denominator != 1 for factor in found.terms.values()):
        raise KernelError(f"{found} counts parts of samples")
    return Polynomial({monomial: int(factor) for monomial, factor in found.terms.items()})


def _polynomial(members: Mapping[int, Polynomial], letter: str) -> Polynomial:
    """Return a polynomial whose coefficients are affine functions of the size."""
    total = Polynomial({})
    for monomial in dict.fromkeys(m for value in members.values() for m in value.terms):
        factors = {size: int(value.terms.get(monomial, 0)) for size, value in members.items()}
        total = total + Polynomial({monomial: 1}) * common(factors, letter)
    return total


def _quotient(members: Mapping[int, Fraction], letter: str) -> Ratio:
    """Return a number as a quotient of affine functions of the size."""
    rows = [[n, 1, -value * n, -value] for n, value in members.items()]
    solutions = sympy.Matrix(rows).nullspace()
    if len(solutions) != 1:
        raise KernelError(
            f"{list(map(str, members.values()))} is not a quotient in the number of samples"
        )
    whole = solutions[0] * sympy.ilcm(*(entry.q for entry in solutions[0]))
    a, b, c, d = (int(entry) for entry in whole / sympy.igcd(*whole))
    sign = -1 if (c, d) < (0, 0) else 1
    return Ratio(
        Polynomial({(letter,): sign * a, (): sign * b}), Polynomial({(letter,): sign * c, (): sign * d})
    )


def _expression(members: Mapping[int, sympy.Basic], letter: str) -> sympy.Basic:
    """Return an expression in which numbers are quotients of affine functions of the size."""
    values = list(members.values())
    first = values[0]
    if all(value == first for value in values):
        return first
    if all(isinstance(value, sympy.Rational) for value in values):
        found = _quotient({n: Fraction(v.p, v.q) for n, v in members.items()}, letter)
        return _symbolic(found.numerator, letter) / _symbolic(found.denominator, letter)
    if any(type(v) is not type(first) for v in values):
        raise _differ(values)
    args = _columns({n: value.args for n, value in members.items()})
    return first.func(*(_expression(each, letter) for each in args))


def _symbolic(polynomial: Polynomial, letter: str) -> sympy.Expr:
    symbol = sympy.Symbol(letter, real=True)
    return polynomial.coefficient(letter) * symbol + polynomial.constant
