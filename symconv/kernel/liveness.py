"""Liveness: statements that compute nothing that is wanted, and memory that is free again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from symconv.kernel.language import (
    Buffer,
    Kernel,
    Statement,
    at,
    product,
    tensors_read,
    tensors_written,
)
from symconv.notation.contraction import Size, Tensor
from symconv.notation.polynomial import Polynomial

ARENA = "buffer {}"  # what memory that several buffers have in turn is called


def without_unread(kernel: Kernel) -> Kernel:
    """Return a kernel without statements whose results nothing reads, and without unused buffers."""
    wanted = {buffer.tensor.name for buffer in kernel.outputs}
    body: list[Statement] = []
    for statement in reversed(kernel.body):
        if wanted & _owners(kernel, tensors_written(statement)):
            wanted |= _owners(kernel, tensors_read(statement))
            body.append(statement)
    body.reverse()
    named = {t.name for s in body for t in (*tensors_read(s), *tensors_written(s))}
    for name in sorted(named):
        while kernel.buffer(name).role == "alias":
            name = kernel.buffer(name).of
            named.add(name)
    kept = [b for b in kernel.buffers if b.tensor.name in named or b.role == "output"]
    return replace(kernel, buffers=tuple(kept), body=tuple(body))


def _owners(kernel: Kernel, tensors: Iterable[Tensor]) -> set[str]:
    """Return the names of the buffers whose memory tensors lie in."""
    return {kernel.owner(tensor.name).tensor.name for tensor in tensors}


@dataclass(frozen=True)
class Lifetimes:
    """For each scratch buffer, the first and the last of a kernel's statements that use it."""

    first: Mapping[str, int]
    last: Mapping[str, int]

    def at(self, place: int) -> tuple[str, ...]:
        """Return the buffers that are in use at a statement."""
        return tuple(name for name in self.first if self.first[name] <= place <= self.last[name])


def lifetimes(kernel: Kernel) -> Lifetimes:
    """Return from when to when each scratch buffer is used, under its own name or an alias."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for place, statement in enumerate(kernel.body):
        for tensor in (*tensors_written(statement), *tensors_read(statement)):
            owner = kernel.owner(tensor.name)
            if owner.role == "scratch":
                first.setdefault(owner.tensor.name, place)
                last[owner.tensor.name] = place
    return Lifetimes(first, last)


def placed(kernel: Kernel, letters: Mapping[str, int] = MappingProxyType({})) -> Kernel:
    """Return a kernel whose scratch buffers share memory where they are never in use together.

    Each becomes an alias of a buffer ``buffer 0``, ``buffer 1``, … that is as large as the largest of
    its aliases.

    Parameters
    ----------
    kernel
        The kernel.
    letters
        For which values of the letters in shapes the memory is to be small.
    """
    lives = lifetimes(kernel)
    sizes = {name: product(kernel.buffer(name).tensor.shape) for name in lives.first}
    numbers = {name: int(at(size, letters)) for name, size in sizes.items()}
    homes: dict[str, int] = {}
    arenas: list[int] = []
    free: set[int] = set()
    for place in range(len(kernel.body)):
        for name in lives.first:
            if lives.first[name] == place:
                homes[name] = _home(numbers[name], arenas, free)
        free |= {homes[name] for name in lives.first if lives.last[name] == place}
    tenants = [[sizes[name] for name in homes if homes[name] == home] for home in range(len(arenas))]
    shared = [
        Buffer(Tensor(ARENA.format(home), (_largest(own),)), "scratch")
        for home, own in enumerate(tenants)
    ]
    buffers = tuple(
        replace(b, role="alias", of=ARENA.format(homes[b.tensor.name])) if b.tensor.name in homes else b
        for b in kernel.buffers
    )
    return replace(kernel, buffers=(*buffers, *shared))


def _home(size: int, arenas: list[int], free: set[int]) -> int:
    """Take the free memory that fits best, or enlarge the largest, or add some."""
    fitting = [home for home in free if arenas[home] >= size]
    if fitting:
        home = min(fitting, key=lambda n: (arenas[n], n))
    elif free:
        home = max(free, key=lambda n: (arenas[n], -n))
        arenas[home] = size
    else:
        home = len(arenas)
        arenas.append(size)
    free.discard(home)
    return home


def _largest(sizes: Iterable[Size]) -> Size:
    """Return a size that none of several exceeds, whatever their letters are: none is negative."""
    terms: dict[tuple[str, ...], int] = {}
    for size in sizes:
        for letters, factor in Polynomial.lift(size).terms.items():
            terms[letters] = max(int(factor), terms.get(letters, 0))
    return at(Polynomial(terms), {})
