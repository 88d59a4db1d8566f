"""How far rounding may move what an algorithm computes: a bound for every input."""

from __future__ import annotations

from fractions import Fraction
from math import prod

from symconv.notation.correlation import Correlation
from symconv.plan.algorithms import Algorithm, Winograd

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}


def rounding_bound(algorithm: Algorithm, dtype: str) -> float:
    """Return β: no element is further than β · max|one factor| · max|the other| from its sum.

    A term that goes through k roundings is multiplied with at most ``(1 + u)^k``, so the error is at
    most ``γ_k = k·u / (1 - k·u)`` times the sum of the terms' absolute values (N. Higham, Accuracy and
    Stability of Numerical Algorithms, 2002, section 3.1). A sum of n products, added in any order, has n
    roundings. Winograd's has those of its transforms, that of the taps all axes at once, the others
    axis by axis; of a division; and of the sum over channels, or over an image's tiles and the images.
    """
    c = algorithm.correlation
    if not isinstance(algorithm, Winograd):
        terms = _summed(c)
        return _gamma(terms, dtype) * terms
    outer, growth = _outer(algorithm), _growth(algorithm)
    of_cells = sum(f.cells for f in algorithm.filtering)
    if c.result == "taps":
        of_taps = prod(f.cells for f in algorithm.filtering)
        roundings = of_cells + sum(f.outputs for f in algorithm.filtering) + outer + 1 + of_taps + 1
    else:
        roundings = prod(f.taps for f in algorithm.filtering) + 1 + of_cells + outer + of_cells
    return _gamma(roundings, dtype) * float(growth * outer)


def integer_growth(algorithm: Winograd) -> int:
    """Return how large integers get, from inputs of 1 and multiples of the divisors."""
    whole = prod(f.divisor for f in algorithm.filtering)
    return int(_growth(algorithm) * _outer(algorithm) * whole)


def _growth(algorithm: Winograd) -> Fraction:
    back = algorithm.correlation.result == "taps"
    return prod((f.growth_back if back else f.growth for f in algorithm.filtering), start=Fraction(1))


def _outer(algorithm: Winograd) -> int:
    """Return how many products are added up between the transforms."""
    c = algorithm.correlation
    return c.batch * prod(algorithm.tiles) if c.result == "taps" else c.channels


def _summed(c: Correlation) -> int:
    """Return how many terms the longest sum has."""
    if c.result == "taps":
        return c.batch * prod(a.positions for a in c.axes)
    return c.channels * prod(a.taps for a in c.axes)


def _gamma(count: int, dtype: str) -> float:
    return count * UNIT[dtype] / (1 - count * UNIT[dtype])
