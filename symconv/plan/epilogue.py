"""What a correlation does with each block of its result while that is in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, cast, get_args

from symconv.plan.algorithms import (
    Algorithm,
    Epilogue,
    Fourier,
    Fused,
    Move,
    Rows,
    Shift,
    Stage,
    Winograd,
)
from symconv.plan.cost import CACHE

if TYPE_CHECKING:
    import sympy


def with_bias(stages: list[Stage]) -> list[Stage]:
    """Let an algorithm add the bias that is added behind it, block by block, if a block is in cache."""
    if len(stages) != 2 or not isinstance(stages[0], get_args(Algorithm)):
        return stages
    algorithm, bias = stages
    if not isinstance(bias, Move) or bias.coefficient != 1 or len(bias.taken) != 1:
        return stages
    whole = all(cut.whole for cut in (*bias.taken, *bias.put))
    algorithm = cast(Algorithm, algorithm)
    if not whole or bias.taken[0].index != bias.put[1].index or not _takes_one(algorithm):
        return stages
    return [Fused(algorithm, Epilogue(bias.source))]


def with_function(stages: Sequence[Stage], expression: sympy.Expr) -> tuple[Stage, ...] | None:
    """Let an algorithm apply an expression in x at its end, too; None if something else is the end."""
    *before, last = stages
    if isinstance(last, get_args(Algorithm)) and _takes_one(cast(Algorithm, last)):
        last = Fused(cast(Algorithm, last), Epilogue())
    if not isinstance(last, Fused):
        return None
    return (*before, replace(last, epilogue=replace(last.epilogue, function=expression)))


def _takes_one(algorithm: Algorithm) -> bool:
    """Whether a block of the result is final, and in the cache.

    Taps are added up over blocks; further passes over large blocks evict what the next one needs.
    """
    c = algorithm.correlation
    if c.result == "taps":
        return False
    return largest_block(algorithm) <= CACHE


def largest_block(algorithm: Algorithm) -> int:
    """Return how many numbers of the result a block has."""
    c = algorithm.correlation
    channels, sizes = c.filters, [axis.positions for axis in c.axes]
    if c.result == "cells":
        channels, sizes = c.channels, [axis.cells for axis in c.axes]
    elif isinstance(algorithm, Rows | Shift):
        sizes[0] = algorithm.rows
    images = 1 if isinstance(algorithm, Winograd | Fourier) else getattr(algorithm, "images", c.batch)
    return images * c.groups * channels * prod(sizes)
