"""A quotient of two sizes: the share of a sample in a mean over a batch of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from symconv.notation.polynomial import Number, Polynomial


@dataclass(frozen=True)
class Ratio:
    """A number that depends on letters: a quotient of polynomials with integer coefficients."""

    numerator: Polynomial
    denominator: Polynomial

    def substitute(self, values: Mapping[str, Polynomial | Number]) -> Ratio | Fraction:
        """Replace letters; a number where none is left."""
        above, below = self.numerator.substitute(values), self.denominator.substitute(values)
        if above.variables or below.variables:
            return Ratio(above, below)
        return Fraction(above.constant) / Fraction(below.constant)
