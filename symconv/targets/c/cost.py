"""The cost model: microseconds that a kernel is expected to take in C, on one core in float32.

It is a fold over the kernel's statements. Only ratios matter for a choice, so the core is a plain one: a
multiplication and addition of vectors of 16 numbers in each of its cycles, of which there are 3 in a
nanosecond.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from symconv.kernel.language import (
    Blocks,
    Call,
    Do,
    Loop,
    Rows,
    Span,
    Statement,
    Table,
    at,
    extents_of,
    largest_letters,
)
from symconv.lower.runs import LANES, cycles
from symconv.notation.contraction import Access, Contraction
from symconv.notation.graph import Elementwise, reads
from symconv.targets.c.register_tiles import neighbours, tile_shape

CYCLES = 3000  # in a microsecond
MOVE = 3.0  # cycles for a number that is copied alone, a vector that is read or written takes 1


def cost(call: Call) -> float:
    """Return the microseconds that a kernel is expected to take."""
    body = call.kernel.body
    return _cycles(body, largest_letters(body), frozenset()) / CYCLES


def _cycles(body: Sequence[Statement], letters: Mapping[str, int], around: frozenset[str]) -> float:
    total = 0.0
    for statement in body:
        match statement:
            case Loop():
                count = _count(statement.rows, letters)
                total += count * _cycles(statement.body, letters, around | {*statement.letters})
            case Do():
                total += _of_do(statement, letters, around)
    return total


def _count(rows: Rows, letters: Mapping[str, int]) -> int:
    """Return how often a loop's body is done; where that changes, the most."""
    match rows:
        case Span(stop=stop, start=start):
            return max(0, int(at(stop, letters)) - start)
        case Blocks(stop=stop, size=size):
            return -(-int(at(stop, letters)) // size)
        case Table(rows=found):
            return len(found)


def _of_do(do: Do, letters: Mapping[str, int], around: frozenset[str]) -> float:
    meaning = do.meaning
    sizes = {name: int(at(size, letters)) for name, size in extents_of(meaning)}
    points = float(prod(sizes.values()))
    if isinstance(meaning, Contraction):
        shape = tile_shape(meaning, do.how)
        if shape:
            return points / LANES * cycles(*shape)
        accesses: list[Access] = [meaning.target, *meaning.reads]
    elif isinstance(meaning, Elementwise):
        accesses = [meaning.target, *reads(meaning)]
    else:
        return points * MOVE
    near = set(sizes if sizes else around)
    for access in accesses:
        near &= {n for n in near if n in neighbours(access) or n not in _names(access)}
    near &= set(neighbours(accesses[0]))
    return points * len(accesses) * (1 / LANES if near else MOVE / 2)


def _names(access: Access) -> set[str]:
    return {name for subscript in access.subscripts for name in subscript.variables}
