"""Polynomials with exact coefficients: subscripts, and the values an exact check computes with."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

Number: TypeAlias = int | Fraction
Monomial: TypeAlias = tuple[str, ...]  # the variables in sorted order, repeated for powers


class Polynomial:
    """A polynomial in named variables, immutable and hashable.

    Parameters
    ----------
    terms
        Coefficient of each monomial; zeros are dropped.
    """

    __slots__ = ("terms",)
    terms: dict[Monomial, Number]

    def __init__(self, terms: Mapping[Monomial, Number]) -> None:
        self.terms = {monomial: factor for monomial, factor in terms.items() if factor}

    @staticmethod
    def variable(name: str) -> Polynomial:
        """Return the polynomial that is one variable."""
        return Polynomial({(name,): 1})

    @staticmethod
    def lift(value: Polynomial | Number) -> Polynomial:
        """Return a number as a constant polynomial, and a polynomial as it is."""
        return value if isinstance(value, Polynomial) else Polynomial({(): value})

    @staticmethod
    def total(values: Iterable[Any]) -> Any:
        """Return the sum of polynomials, or of numbers, in order."""
        terms: dict[Monomial, Number] = {}
        rest: Any = 0
        for value in values:
            if isinstance(value, Polynomial):
                for monomial, factor in value.terms.items():
                    terms[monomial] = terms.get(monomial, 0) + factor
            else:
                rest = rest + value
        return Polynomial(terms) + rest if terms else rest

    @property
    def constant(self) -> Number:
        """The term without variables."""
        return self.terms.get((), 0)

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that occur, in the order they were first written."""
        return tuple(dict.fromkeys(name for monomial in self.terms for name in monomial))

    def coefficient(self, name: str) -> Number:
        """Return the factor of the monomial that is just ``name``."""
        return self.terms.get((name,), 0)

    def substitute(self, values: Mapping[str, Polynomial | Number]) -> Polynomial:
        """Replace variables by polynomials or numbers."""
        total = Polynomial({})
        for monomial, factor in self.terms.items():
            product = Polynomial.lift(factor)
            for name in monomial:
                product = product * values.get(name, Polynomial.variable(name))
            total = total + product
        return total

    def derivatives(self) -> dict[str, Polynomial]:
        """Return the derivative by every variable that occurs, in one pass over the terms."""
        buckets: dict[str, dict[Monomial, Number]] = {}
        for monomial, factor in self.terms.items():
            for position, name in enumerate(monomial):
                rest = monomial[:position] + monomial[position + 1 :]
                bucket = buckets.setdefault(name, {})
                bucket[rest] = bucket.get(rest, 0) + factor
        return {name: Polynomial(bucket) for name, bucket in buckets.items()}

    def __add__(self, other: Polynomial | Number) -> Polynomial:
        if not isinstance(other, Polynomial):
            if not isinstance(other, numbers.Number):
                return NotImplemented  # an array adds itself, element by element
            if not other:
                return self
            other = Polynomial.lift(other)
        terms = dict(self.terms)
        for monomial, factor in other.terms.items():
            terms[monomial] = terms.get(monomial, 0) + factor
        return Polynomial(terms)

    __radd__ = __add__

    def __mul__(self, other: Polynomial | Number) -> Polynomial:
        if not isinstance(other, Polynomial):
            if not isinstance(other, numbers.Number):
                return NotImplemented
            if other == 1:
                return self
            number = Fraction(other) if isinstance(other, float) else other  # exactly what it is
            return Polynomial({m: factor * number for m, factor in self.terms.items()})
        if len(self.terms) == 1 == len(other.terms):  # as nearly always: no factor is zero
            ((left, a),), ((right, b),) = self.terms.items(), other.terms.items()
            product = object.__new__(Polynomial)
            product.terms = {tuple(sorted(left + right)): a * b}
            return product
        terms: dict[Monomial, Number] = {}
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                monomial = tuple(sorted(left + right))
                terms[monomial] = terms.get(monomial, 0) + a * b
        return Polynomial(terms)

    __rmul__ = __mul__

    def __neg__(self) -> Polynomial:
        return self * -1

    def __sub__(self, other: Polynomial | Number) -> Polynomial:
        return self + (-other)

    def __rsub__(self, other: Polynomial | Number) -> Polynomial:
        return -self + other

    def __truediv__(self, other: Number) -> Polynomial:
        return self * (Fraction(1) / other)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int | Fraction):
            other = Polynomial.lift(other)
        return isinstance(other, Polynomial) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __int__(self) -> int:
        if self.variables or Fraction(self.constant).denominator != 1:
            raise TypeError(f"{self} is not an integer")
        return int(self.constant)

    def __repr__(self) -> str:
        terms = [
            "*".join((*([] if factor == 1 and monomial else [str(factor)]), *monomial))
            for monomial, factor in self.terms.items()
        ]
        return " + ".join(terms) or "0"
