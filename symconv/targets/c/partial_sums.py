"""Partial sums: neighbours are added to several sums at once, which a compiler holds in a vector.

A single sum waits for each addition, and a compiler may not change their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from symconv.lower.runs import divisor
from symconv.notation.contraction import Contraction
from symconv.targets.c.nests import Header
from symconv.targets.c.register_tiles import has, neighbours
from symconv.targets.c.wording import loop_over

FEWEST, MOST = 4, 64  # sums, which lie on the stack
REPEATS = 4  # additions to each sum, at least, that make them worth it


@dataclass(frozen=True)
class Stretch:
    """An index along which neighbours are read, its size, and how many are added at once."""

    along: str
    size: int
    count: int

    @property
    def header(self) -> Header:
        """The loop over these neighbours."""
        return loop_over("count", self.along, start=0, stop=self.count)


def partial_sums(contraction: Contraction) -> Stretch | None:
    """Return along which index a sum has several sums; None if it is too short."""
    sizes = {n: s for n, s in contraction.extents if n in contraction.summed and isinstance(s, int)}
    if contraction.reduce != "sum" or len(sizes) < len(contraction.summed):
        return None
    for name in reversed(contraction.summed):
        reads = [read for read in contraction.reads if has(read, name)]
        count = divisor(sizes[name], MOST)
        worth = count >= FEWEST and prod(sizes.values()) >= REPEATS * count
        if reads and worth and all(name in neighbours(read) for read in reads):
            return Stretch(name, sizes[name], count)
    return None
