"""What a kernel does, counted on its statements: operations, elements read and written, statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2, prod

from symconv.kernel.language import (
    Blocks,
    Call,
    Do,
    Kernel,
    Loop,
    Span,
    Statement,
    Transform,
    at,
    extents_of,
    rows_of,
    walk,
)
from symconv.notation.contraction import Access, Contraction, Size
from symconv.notation.graph import Elementwise, Selection, reads
from symconv.notation.polynomial import Polynomial


@dataclass(frozen=True)
class Counts:
    """What statements do, one after the other.

    Attributes
    ----------
    flops
        Multiplications, additions, comparisons, and the operations of expressions.
    moved
        How many elements are read and written; an addition also reads its target.
    statements
        How many statements are done.
    """

    flops: int = 0
    moved: int = 0
    statements: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.flops + other.flops, self.moved + other.moved, self.statements + other.statements
        )

    def times(self, number: int) -> Counts:
        """Return what the same statements do when they are repeated."""
        return Counts(self.flops * number, self.moved * number, self.statements * number)


def count(kernel: Kernel, letters: Mapping[str, int] | None = None) -> Counts:
    """Count what a kernel does.

    Parameters
    ----------
    kernel
        The kernel.
    letters
        Values of letters that no loop binds, such as the batch.

    Examples
    --------
    >>> from symconv import Linear
    >>> from symconv.targets.numpy.plan import plan_layer
    >>> count(plan_layer(Linear((4, 3), 2, bias=False)).forward.kernel)
    Counts(flops=48, moved=26, statements=1)
    """
    return _counted(kernel.body, letters or {})


def _counted(statements: Sequence[Statement], letters: Mapping[str, int]) -> Counts:
    total = Counts()
    for statement in statements:
        match statement:
            case Loop() if _sizes(statement.body).isdisjoint(statement.letters):
                once = _counted(statement.body, {**letters, **dict.fromkeys(statement.letters, 0)})
                total += once.times(sum(1 for _ in rows_of(statement.rows, letters)))
            case Loop():
                for row in rows_of(statement.rows, letters):
                    inner = {**letters, **dict(zip(statement.letters, row, strict=True))}
                    total += _counted(statement.body, inner)
            case Call():
                total += _counted(statement.kernel.body, letters)
            case Do():
                total += _of_do(statement, letters)
    return total


def _sizes(statements: Sequence[Statement]) -> set[str]:
    """Return the letters that sizes depend on."""
    found: set[str] = set()
    for statement in walk(statements):
        match statement:
            case Loop(rows=Span(stop=stop) | Blocks(stop=stop)):
                sizes: list[Size] = [stop]
            case Do(meaning=Transform() as transform):
                sizes = [*transform.source.shape, *transform.target.shape]
            case Do(meaning=meaning):
                sizes = [size for _, size in extents_of(meaning)]
            case _:
                continue
        for size in sizes:
            found |= set(size.variables) if isinstance(size, Polynomial) else set()
    return found


def _of_do(do: Do, letters: Mapping[str, int]) -> Counts:
    meaning = do.meaning
    if isinstance(meaning, Transform):
        whole = meaning.source if meaning.inverse else meaning.target
        size = 2 * prod(int(at(n, letters)) for n in whole.shape)
        return Counts(round(5 * size * log2(prod(meaning.lengths))), 2 * size, 1)
    sizes = {name: int(at(size, letters)) for name, size in extents_of(meaning)}
    points = prod(sizes.values())
    match meaning:
        case Contraction():
            adds = bool(meaning.summed) or do.how != "assign"
            scaled = bool(meaning.reads) and meaning.coefficient != 1
            flops = points * (max(len(meaning.reads) - 1, 0) + adds)
            flops += scaled * _elements(meaning.target, sizes)
            accesses = [meaning.target, *meaning.reads]
        case Elementwise():
            flops = points * (int(meaning.expression.count_ops()) + (do.how != "assign"))
            accesses = [meaning.target, *reads(meaning)]
        case Selection(maximum=maximum):
            return Counts(points, points + sum(_elements(r, sizes) for r in maximum.reads), 1)
    if do.how != "assign":
        accesses.append(meaning.target)
    return Counts(flops, sum(_elements(access, sizes) for access in accesses), 1)


def _elements(access: Access, sizes: Mapping[str, int]) -> int:
    """Return how many elements an access addresses."""
    names = {name for subscript in access.subscripts for name in subscript.variables}
    return prod(size for name, size in sizes.items() if name in names)
