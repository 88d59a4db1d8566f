"""How large integers may be for the sums of a graph to be exact in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from symconv.notation.contraction import Program
from symconv.notation.graph import Constant, Graph, written


def exact_range(graphs: Sequence[Graph], growth: int = 1) -> tuple[int, int, int]:
    """Return how large integers with exact sums may be, what divides them, and the sums' degree.

    ``growth`` is how large the code's own integers get, if these are larger than the sums'.
    """
    longest, divisor = max(map(longest_sum, graphs)), math.lcm(*map(divisor_of, graphs))
    longest = max(longest, growth)
    degree = max(2, *map(degree_of, graphs))
    largest = math.isqrt(2**52 // longest) if degree == 2 else int((2**51 / longest) ** (1 / degree))
    return largest // divisor, divisor, degree


def degree_of(graph: Graph) -> int:
    """Return how many inputs' elements a product has at the most; selections are 0 or 1."""
    degrees: dict[str, int] = {}
    for step in graph.steps:
        if isinstance(step, Program):
            products = (sum(degrees.get(r.tensor.name, 1) for r in c.reads) for c in step.contractions)
            degrees[step.target.name] = max(products, default=0)
        else:
            degrees[written(step).name] = 0
    return degrees[graph.output.name]


def longest_sum(graph: Graph) -> int:
    """Bound the number of products in any one sum of a graph, those with large numbers as so many."""
    bound = 1  # sums of sums: the lengths multiply
    for step in graph.steps:
        longest = 1
        if isinstance(step, Constant):
            longest = max(1, *(math.ceil(abs(Fraction(value))) for value in step.values))
        for c in step.contractions if isinstance(step, Program) else ():
            single = {s.variables[0] for s in c.target.subscripts if len(s.variables) == 1}
            terms = math.prod(size for name, size in c.ranges.items() if name not in single)
            longest += terms * max(1, math.ceil(abs(Fraction(c.number))))
        bound *= longest
    return bound


def divisor_of(graph: Graph) -> int:
    """Return what numbers must be multiples of so that no division of the graph leaves a rest."""
    divisor = 1
    for step in graph.steps:
        if isinstance(step, Constant):
            divisor *= math.lcm(*(Fraction(value).denominator for value in step.values))
        elif isinstance(step, Program):
            divisor *= math.lcm(*(Fraction(c.number).denominator for c in step.contractions))
    return divisor
