"""How much a graph computes, before any algorithm is chosen."""

from __future__ import annotations

from math import prod

from symconv.notation.contraction import Contraction, Program
from symconv.notation.graph import Elementwise, Graph, Selection, Step


def flops(graph: Graph) -> int:
    """Count a graph's operations: multiplications, additions and comparisons, those with padding too.

    A convolution's are ``2 · N · C_out · C_in/groups · Π K · Π P``; what only copies has none. An
    elementwise function counts as the operations that its expression is written with.
    """
    return sum(map(_of_step, graph.steps))


def _of_step(step: Step) -> int:
    match step:
        case Program(contractions=contractions):
            return sum(_of_sum(c, alone=len(contractions) == 1) for c in contractions)
        case Selection(maximum=maximum):
            return prod(maximum.ranges.values())
        case Elementwise(expression=expression, extents=extents):
            return int(expression.count_ops()) * prod(int(size) for _, size in extents)
        case _:
            return 0


def _of_sum(contraction: Contraction, alone: bool) -> int:
    """Count the products and additions of a sum; one that moves elements has neither."""
    points = prod(contraction.ranges.values())
    adds = bool(contraction.summed) or not alone
    return points * (max(len(contraction.reads) - 1, 0) + adds)
