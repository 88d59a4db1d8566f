"""Hoisting: statements that treat every sample alike, done for one sample after the other.

What lies between them is then small: it stays near the registers, and needs no memory for all samples.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from symconv.kernel.language import (
    Do,
    Extents,
    Kernel,
    Loop,
    Span,
    Statement,
    extents_of,
    substitute,
    tensors_read,
    tensors_written,
    walk,
)
from symconv.kernel.rewrite import fresh_name, map_accesses
from symconv.notation.contraction import Access, Contraction, Size, Tensor
from symconv.notation.graph import Elementwise
from symconv.notation.polynomial import Polynomial

Own: TypeAlias = Callable[[Do], Collection[str]]  # the indices that a statement keeps to itself


def hoisted(kernel: Kernel, reserved: Collection[str] = (), own: Own = lambda do: ()) -> Kernel:
    """Return a kernel in which statements that go through the same axes share loops over them.

    Scratch that only they use is then of one sample, channel, …, down to a single number. No loop has a
    letter that is ``reserved``, and none takes an index that a statement keeps as its ``own``.
    """
    work = _Hoisting(kernel, reserved, own)
    body = work.block(kernel.body, set())
    return replace(kernel, buffers=tuple(work.buffers.values()), body=body)


class _Hoisting:
    """A kernel's buffers, and the letters that are taken, while statements are hoisted."""

    def __init__(self, kernel: Kernel, reserved: Collection[str], own: Own) -> None:
        self.own = own
        self.buffers = {buffer.tensor.name: buffer for buffer in kernel.buffers}
        statements = list(walk(kernel.body))
        self.taken = {*self.buffers, *reserved}
        self.taken |= {letter for s in statements if isinstance(s, Loop) for letter in s.letters}

    def block(self, statements: Sequence[Statement], outside: set[str]) -> tuple[Statement, ...]:
        """Return statements, runs of them in common loops; ``outside`` are buffers that others use."""
        found: list[Statement] = []
        start = 0
        while start < len(statements):
            ends = range(start + 1, len(statements) + 1)
            stop = max((n for n in ends if _along(statements[start:n], self.own)), default=start)
            if stop == start:
                found.append(statements[start])
                start += 1
                continue
            rest = (*statements[:start], *statements[stop:])
            others = outside | {name for statement in rest for name in _used(statement)}
            found.append(self._looped(statements[start:stop], others))
            start = stop
        return tuple(found)

    def _looped(self, run: Sequence[Statement], outside: set[str]) -> Loop:
        """Return a run of statements in a loop over the axis that they have in common."""
        along = _along(run, self.own)
        assert along is not None  # a run is what has one
        size, names = along
        dos = [statement for statement in walk(run) if isinstance(statement, Do)]
        leads = [_lead(*_written(do)) for do in dos]
        own = {
            n
            for do, lead in zip(dos, leads, strict=True)
            for n, _ in extents_of(do.meaning)
            if n != lead
        }
        letter = fresh_name(leads[0], self.taken | own)
        self.taken.add(letter)
        roles = ("scratch", "zeroed")
        shorter = {n for n in names - outside if self.buffers[n].role in roles}  # whose axes go
        inner = _for_each(run, letter, shorter)
        for name in shorter:
            tensor = self.buffers[name].tensor
            shape = replace(tensor, shape=tensor.shape[1:])
            self.buffers[name] = replace(self.buffers[name], tensor=shape)
        loop = Loop((letter,), Span(size), self.block(inner, outside))
        self.taken.discard(letter)
        return loop


def _used(statement: Statement) -> set[str]:
    return {tensor.name for tensor in (*tensors_read(statement), *tensors_written(statement))}


def _along(run: Sequence[Statement], own: Own) -> tuple[int, frozenset[str]] | None:
    """Return the axis that all statements go through: its size, and the buffers that begin with it."""
    statements = list(walk(run))
    dos = [statement for statement in statements if isinstance(statement, Do)]
    if len(dos) < 2 or not all(isinstance(s, Do | Loop) for s in statements) or not _connected(run):
        return None
    if not all(isinstance(do.meaning, Contraction | Elementwise) for do in dos):
        return None
    repeats = any(isinstance(s, Loop) for s in statements)  # whose innermost axis is a run of vectors
    written = {_written(do)[0].tensor.name for do in dos}
    read = {access.tensor.name for do in dos for access in _read(do)}
    sizes: set[Size] = set()
    places: dict[str, int] = {}  # the axis of each buffer
    across: set[str] = set()
    for do in dos:
        target, extents = _written(do)
        name = _lead(target, extents)
        if not name or name in own(do):
            return None
        left = {v for s in target.subscripts for v in s.variables if v in dict(extents)} - {name}
        if repeats and not left:
            return None
        sizes.add(dict(extents)[name])
        for access in (target, *_read(do)):
            place = _place(access, name, extents)
            if place is None or places.setdefault(access.tensor.name, place) != place:
                across.add(access.tensor.name)
    collected = across - read  # whatever is added to an element, from wherever
    assigned = {_written(do)[0].tensor.name for do in dos if do.how != "add"}
    size = sizes.pop()
    if sizes or not isinstance(size, int) or written & across - (collected - assigned):
        return None
    return size, frozenset(name for name, place in places.items() if place == 0) - across


def _connected(run: Sequence[Statement]) -> bool:
    """Whether statements are linked by what they write: each with another, and all together."""
    groups: list[tuple[set[str], set[str]]] = []  # what is written, and all that is used
    for statement in run:
        written = {tensor.name for tensor in tensors_written(statement)}
        used = _used(statement)
        linked = [g for g in groups if g[0] & used or written & g[1]]
        groups = [g for g in groups if g not in linked]
        groups.append((written.union(*(w for w, _ in linked)), used.union(*(u for _, u in linked))))
    return len(groups) == 1


def _written(do: Do) -> tuple[Access, Extents]:
    assert isinstance(do.meaning, Contraction | Elementwise)
    return do.meaning.target, do.meaning.extents


def _read(do: Do) -> Iterator[Access]:
    """Visit what a statement reads."""
    meaning = do.meaning
    assert isinstance(meaning, Contraction | Elementwise)
    if isinstance(meaning, Contraction):
        yield from meaning.reads
    else:
        yield from (argument for _, argument in meaning.arguments if isinstance(argument, Access))


def _lead(access: Access, extents: Extents) -> str:
    """Return the index by which the first axis that is not fixed is addressed; "" if it is a sum."""
    for subscript in access.subscripts:
        own = [name for name in subscript.variables if name in dict(extents)]
        if own:
            return own[0] if len(own) == 1 else ""
    return ""


def _place(access: Access, name: str, extents: Extents) -> int | None:
    """Return the axis that is the first to move, if it is addressed by an index itself."""
    sizes = dict(extents)
    for place, subscript in enumerate(access.subscripts):
        if any(variable in sizes for variable in subscript.variables):
            return place if subscript == Polynomial.variable(name) else None
    return None


def _for_each(run: Sequence[Statement], letter: str, shorter: set[str]) -> tuple[Statement, ...]:
    """Return statements for one element of the first axis, which some buffers do not have any more."""

    def tensor(old: Tensor) -> Tensor:
        return replace(old, shape=old.shape[1:]) if old.name in shorter else old

    def access(old: Access) -> Access:
        if old.tensor.name not in shorter:
            return old
        return Access(tensor(old.tensor), old.subscripts[1:])

    def each(statement: Statement) -> Statement:
        if isinstance(statement, Loop):
            return replace(statement, body=tuple(map(each, statement.body)))
        assert isinstance(statement, Do)
        fixed = {_lead(*_written(statement)): Polynomial.variable(letter)}
        return replace(statement, meaning=substitute(statement.meaning, fixed))

    return tuple(map_accesses(each(statement), access, tensor) for statement in run)
