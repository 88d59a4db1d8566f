"""Fusing: what is done to a whole result is done to each block of it while that is in the cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from symconv.kernel.language import (
    Blocks,
    Do,
    Kernel,
    Loop,
    Span,
    Statement,
    read_by,
    substitute,
    walk,
    written_by,
)
from symconv.notation.contraction import Access, Contraction, Size, index
from symconv.notation.graph import Elementwise
from symconv.notation.polynomial import Polynomial


def fused(kernel: Kernel) -> Kernel:
    """Return a kernel that finishes each block of a result in the loop that computes it."""
    return replace(kernel, body=_fused(kernel.body))


def _fused(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    found: list[Statement] = []
    for statement in statements:
        last = found[-1] if found else None
        if isinstance(statement, Do) and isinstance(last, Loop):
            inner = _in_block(last, statement)
            if inner is not None:
                found[-1] = replace(last, body=_fused((*last.body, inner)))
                continue
        found.append(statement)
    return tuple(found)


def _in_block(loop: Loop, do: Do) -> Do | None:
    """Return a statement for the block of one row of a loop; None if it is not done block by block."""
    meaning = do.meaning
    if not isinstance(meaning, Contraction | Elementwise) or do.how == "max":
        return None
    target, axis = meaning.target, _blocked_axis(loop, meaning.target)
    others = [tensor for tensor in read_by(meaning) if tensor != target.tensor]
    written = {written_by(s.meaning).name for s in walk(loop.body) if isinstance(s, Do)}
    if axis is None or any(tensor.name in written for tensor in others):
        return None
    if any(access != target for access in _reads(meaning) if access.tensor == target.tensor):
        return None
    (name, *more) = target.subscripts[axis].variables or ("",)
    whole = target.subscripts[axis] == index(name) if name else False
    if more or not whole or dict(meaning.extents).get(name) != target.tensor.shape[axis]:
        return None
    if isinstance(loop.rows, Span):
        return replace(do, meaning=substitute(meaning, {name: index(loop.letters[0])}))
    first, count = _block(loop)
    taken = {*dict(meaning.extents), *loop.letters}
    inner = next(letter for letter in (*"bdefklmpqr", f"{name}_") if letter not in taken)
    moved = substitute(meaning, {name: first + index(inner)})
    assert isinstance(moved, Contraction | Elementwise)
    return replace(do, meaning=replace(moved, extents=((inner, count), *moved.extents)))


def _block(loop: Loop) -> tuple[Polynomial, Size]:
    """Return the first element of a block, and how many it has."""
    assert isinstance(loop.rows, Blocks)
    even = isinstance(loop.rows.stop, int) and loop.rows.stop % loop.rows.size == 0
    return index(loop.letters[0]), loop.rows.size if even else index(loop.letters[1])


def _blocked_axis(loop: Loop, target: Access) -> int | None:
    """Return the axis of a tensor of which each row of a loop writes its own block, and nothing else."""
    if not isinstance(loop.rows, Span | Blocks) or (isinstance(loop.rows, Span) and loop.rows.start):
        return None
    letter = index(loop.letters[0])
    axes: set[int | None] = set()
    for statement in walk(loop.body):
        if not isinstance(statement, Do) or written_by(statement.meaning).name != target.tensor.name:
            continue
        meaning = statement.meaning
        if not isinstance(meaning, Contraction | Elementwise):
            return None
        axes.add(_axis_with(letter, meaning.target.subscripts, loop, meaning))
    found = axes.pop() if len(axes) == 1 else None
    stop = loop.rows.stop
    return found if found is not None and stop == target.tensor.shape[found] else None


def _axis_with(
    letter: Polynomial, subscripts: Sequence[Polynomial], loop: Loop, meaning: Contraction | Elementwise
) -> int | None:
    """Return the axis at which a letter, or a letter and an index through its block, is."""
    sizes = dict(meaning.extents)
    found: list[int] = []
    for axis, subscript in enumerate(subscripts):
        rest = subscript - letter
        if isinstance(loop.rows, Span):
            if subscript == letter:
                found.append(axis)
            continue
        _, count = _block(loop)
        names = rest.variables
        if len(names) == 1 and rest == index(names[0]) and sizes.get(names[0]) == count:
            found.append(axis)
    return found[0] if len(found) == 1 else None


def _reads(meaning: Contraction | Elementwise) -> tuple[Access, ...]:
    if isinstance(meaning, Contraction):
        return meaning.reads
    return tuple(access for _, access in meaning.arguments if isinstance(access, Access))
