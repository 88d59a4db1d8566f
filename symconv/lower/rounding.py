"""How far rounding may move what transformed numbers give: a bound for every input."""

from __future__ import annotations

import math
from fractions import Fraction
from math import prod

from symconv.lower.fourier import Fourier
from symconv.lower.tiles import Filtered
from symconv.notation.correlation import Correlation

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}


def rounding_bound(algorithm: Filtered | Fourier, dtype: str) -> float:
    """Return β: no sum is further than β · max|one factor| · max|the other| from the exact one.

    A term that goes through k roundings is multiplied with at most ``(1 + u)^k``, so the error is at
    most ``γ_k = k·u / (1 - k·u)`` times the sum of the terms' absolute values, if none underflows (N.
    Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1); infinite if k·u ≥ 1.
    """
    if isinstance(algorithm, Fourier):
        return _fourier_bound(algorithm, dtype)
    return _gamma(roundings(algorithm), dtype) * float(_growth(algorithm) * _outer(algorithm))


def _fourier_bound(algorithm: Fourier, dtype: str) -> float:
    """Return β for one block's transforms, and sums over channels, or over blocks and images.

    Three transforms of N numbers, each off by at most ``7u·log2 N`` in the 2-norm (Higham, theorem 24.2,
    of a power of two), and a sum of n products: times √N, and the 2-norms of what is multiplied.
    """
    c = algorithm.correlation
    size, taps = prod(algorithm.lengths), prod(a.taps for a in c.axes)
    terms = c.batch * prod(algorithm.tiles) if c.result == "taps" else c.channels
    off = 21 * math.log2(size) * UNIT[dtype] + _gamma(terms + 3, dtype)
    other = prod(algorithm.steps) if c.result == "taps" else taps
    return off * terms * math.sqrt(size) * math.sqrt(size) * math.sqrt(other)


def plain_bound(c: Correlation, dtype: str) -> float:
    """Return β for a plain sum of n products, added in any order: n roundings each."""
    terms = c.channels * prod(a.taps for a in c.axes)
    if c.result == "taps":
        terms = c.batch * prod(a.positions for a in c.axes)
    return _gamma(terms, dtype) * terms


def roundings(algorithm: Filtered) -> int:
    """Return how many roundings a term goes through at the most: n for each sum of n products.

    Those of the transforms, axis by axis; of a division;
    and of the sum over channels, or over an image's tiles and over the images.
    """
    c, along = algorithm.correlation, algorithm.filtering
    cells = sum(f.cells for f in along)
    if c.result == "taps":
        tiles = prod(algorithm.tiles) + c.batch
        return cells + sum(f.outputs for f in along) + tiles + cells + 1
    return sum(f.taps for f in along) + 1 + cells + c.channels + cells


def integer_growth(algorithm: Filtered) -> int:
    """Return how large integers get, from inputs of 1 and multiples of the divisors."""
    whole = prod(f.divisor for f in algorithm.filtering)
    return int(_growth(algorithm) * _outer(algorithm) * whole)


def _growth(algorithm: Filtered) -> Fraction:
    back = algorithm.correlation.result == "taps"
    return prod((f.growth_back if back else f.growth for f in algorithm.filtering), start=Fraction(1))


def _outer(algorithm: Filtered) -> int:
    """Return how many products are added up between the transforms."""
    c = algorithm.correlation
    return c.batch * prod(algorithm.tiles) if c.result == "taps" else c.channels


def _gamma(count: int, dtype: str) -> float:
    moved = count * UNIT[dtype]
    return moved / (1 - moved) if moved < 1 else math.inf
