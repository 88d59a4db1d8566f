"""Substitutions: what one sum's indices are in another's, so that both have the same terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from symconv.notation.polynomial import Polynomial


@dataclass(frozen=True)
class Division:
    """``of = by · quotient + remainder`` with ``0 ≤ remainder < by``: two names for two integers."""

    quotient: str
    remainder: str
    of: Polynomial
    by: Polynomial


@dataclass(frozen=True)
class Substitution:
    """The values of another sum's indices, and of the quotients and remainders it is divided into.

    Parameters
    ----------
    values
        A polynomial for each name; a name that both sums have stands for itself where it is left out.
    divisions
        Quotients and remainders that the values are written with.
    """

    values: Mapping[str, Polynomial] = field(default_factory=dict)
    divisions: tuple[Division, ...] = ()

    def value(self, name: str) -> Polynomial:
        """Return what a name stands for."""
        return self.values.get(name, Polynomial.variable(name))
