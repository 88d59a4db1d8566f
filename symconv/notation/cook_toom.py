"""Short correlations of one axis with fewer products: F(m, r), m outputs of r taps from m + r - 1.

``Σ_t A[j,t]·G[t,k]·B[t,i] = D·[i = j + k]`` for all j, k and i. So with cells x and taps w

    Σ_k x[j + k]·w[k] = Σ_t A[j,t] · (Σ_k G[t,k]·w[k] / D) · (Σ_i B[t,i]·x[i])

and, the roles swapped, the taps' gradient is ``Σ_t G[t,k] · (Σ_j A[j,t]·g[j] / D) · (Σ_i B[t,i]·x[i])``.
S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, Fast Algorithms for
Convolutional Neural Networks, 2016.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Rows = tuple[tuple[int, ...], ...]

# where polynomials are evaluated, beside infinity: few and near 1, for little rounding. B. Barabasz et
# al., Error Analysis and Improving the Accuracy of Winograd Convolution, 2020, compare such sets.
POINTS = {
    3: (Fraction(0), Fraction(1), Fraction(-1)),
    5: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)),
}


CELLS = tuple(count + 1 for count in POINTS)  # of a tile along an axis; the last point is infinity


def outputs_by_taps(cells: int) -> dict[int, int]:
    """Return m for each r of the F(m, r) that reads tiles of so many cells."""
    return {taps: cells + 1 - taps for taps in range(2, cells)}


@dataclass(frozen=True)
class MinimalFiltering:
    """The integer matrices of F(m, r), and the divisor D.

    Parameters
    ----------
    outputs, taps
        m and r.
    to_outputs
        A, m rows of m + r - 1.
    of_taps
        G, m + r - 1 rows of r.
    of_cells
        B, m + r - 1 rows of as many.
    divisor
        D.
    """

    outputs: int
    taps: int
    to_outputs: Rows
    of_taps: Rows
    of_cells: Rows
    divisor: int

    @property
    def cells(self) -> int:
        """The number of cells that are read, and of products."""
        return len(self.of_cells)

    def errors(self) -> list[tuple[int, int, int]]:
        """Return every (j, k, i) at which the identity is false; none of a right one."""
        a, g, b = self.to_outputs, self.of_taps, self.of_cells
        return [
            (j, k, i)
            for j in range(self.outputs)
            for k in range(self.taps)
            for i in range(self.cells)
            if sum(a[j][t] * g[t][k] * b[t][i] for t in range(self.cells)) != self.divisor * (i == j + k)
        ]

    @property
    def growth(self) -> Fraction:
        """The most for an output of ``Σ_{t,k,i} |A·G·B|/D``; for a plain sum it would be r.

        Times the largest cell and the largest tap it bounds the sum of the terms' absolute values.
        """
        return self._largest(self.to_outputs, tuple(zip(*self.of_taps, strict=True)))

    @property
    def growth_back(self) -> Fraction:
        """The same for the gradient by a tap, of a plain sum m."""
        return self._largest(tuple(zip(*self.of_taps, strict=True)), self.to_outputs)

    def _largest(self, results: Rows, summed: Rows) -> Fraction:
        """Return the largest sum of absolute values for one of the results."""
        weights = [
            sum(abs(row[t]) for row in summed) * sum(map(abs, b)) for t, b in enumerate(self.of_cells)
        ]
        sums = (sum(abs(a) * w for a, w in zip(row, weights, strict=True)) for row in results)
        return Fraction(max(sums), self.divisor)


def cook_toom(outputs: int, taps: int) -> MinimalFiltering:
    """Return F(m, r): a product of polynomials, from its values at points and at infinity, transposed.

    Each row of B and each column of A are the smallest integers in their proportion.
    """
    points = POINTS[outputs + taps - 2]
    count = len(points)
    others = [[p for p in points if p != point] for point in points]
    evaluated = [[point**j for j in range(outputs)] for point in points]
    evaluated.append([Fraction(int(j == outputs - 1)) for j in range(outputs)])
    scales = [math.prod(point - p for p in rest) for point, rest in zip(points, others, strict=True)]
    of_taps = [[point**k / s for k in range(taps)] for point, s in zip(points, scales, strict=True)]
    of_taps.append([Fraction(int(k == taps - 1)) for k in range(taps)])
    of_cells = [[*_polynomial(rest), *[Fraction(0)] * (count - len(rest))] for rest in others]
    of_cells.append(_polynomial(points))
    a, one = _integers(evaluated)
    b, two = _integers(of_cells)
    scaled = [[entry / (x * y) for entry in row] for row, x, y in zip(of_taps, one, two, strict=True)]
    divisor = math.lcm(*(entry.denominator for row in scaled for entry in row))
    return MinimalFiltering(
        outputs,
        taps,
        tuple(zip(*a, strict=True)),
        tuple(tuple(int(entry * divisor) for entry in row) for row in scaled),
        tuple(map(tuple, b)),
        divisor,
    )


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Return the coefficients, lowest first, of the product of x - root."""
    found = [Fraction(1)]
    for root in roots:
        found = [
            below - root * here
            for below, here in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)
        ]
    return found


def _integers(rows: Sequence[Sequence[Fraction]]) -> tuple[list[list[int]], list[Fraction]]:
    """Return each row as its smallest integers, and what it was multiplied with."""
    scales = []
    for row in rows:
        common = math.lcm(*(entry.denominator for entry in row))
        scales.append(Fraction(common, math.gcd(*(int(entry * common) for entry in row))))
    whole = [[int(entry * s) for entry in row] for row, s in zip(rows, scales, strict=True)]
    return whole, scales
