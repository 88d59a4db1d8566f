"""Copies that change nothing, and zeros that are added: kernels without them compute the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from symconv.kernel.language import (
    Buffer,
    Call,
    Do,
    Kernel,
    Statement,
    View,
    product,
    read_by,
    walk,
    written_by,
)
from symconv.kernel.rewrite import map_accesses, transformed, with_views
from symconv.notation.contraction import Access, Contraction, Tensor
from symconv.notation.polynomial import Polynomial


def without_plain_copies(kernel: Kernel) -> Kernel:
    """Return a kernel that reads a buffer itself where scratch held the same elements in the same order.

    The buffer is an input, or is written by one statement, before the copy.
    """
    kept = {*transformed(kernel)}
    while (found := _plain_copy(kernel, kept)) is not None:
        do, name, view = found
        own = {b.tensor.name: b.tensor.name for b in kernel.buffers}
        body = tuple(with_views(s, {name: view}, own) for s in kernel.body if s is not do)
        kernel = used_buffers(replace(kernel, body=body))
    return kernel


def _plain_copy(kernel: Kernel, kept: Collection[str]) -> tuple[Do, str, View] | None:
    """Return a statement that only copies, what it writes, and the view that it copies."""
    dos = [s for s in walk(kernel.body) if isinstance(s, Do)]
    counts = Counter(written_by(do.meaning).name for do in dos)
    known = {buffer.tensor.name for buffer in kernel.inputs}
    for do in kernel.body:
        if not isinstance(do, Do):
            continue
        match do.meaning:
            case Contraction(factors=(Access() as read,), coefficient=1) as copy if do.how == "assign":
                held = copy.target
                name = held.tensor.name
                plain = kernel.buffer(name).role == "scratch" and counts[name] == 1
                whole = all(
                    len(s.variables) == 1 and s == Polynomial.variable(s.variables[0])
                    for s in held.subscripts
                )
                if (
                    plain
                    and whole
                    and name not in kept
                    and read.tensor.name in known
                    and _in_the_same_order(copy, read)
                ):
                    axes = [s.variables[0] for s in held.subscripts]
                    return do, name, View(read, tuple(zip(axes, held.tensor.shape, strict=True)))
            case _:
                pass
        written = written_by(do.meaning).name
        known |= {written} if counts[written] == 1 else set()
    return None


def _in_the_same_order(copy: Contraction, read: Access) -> bool:
    """Whether a copy has the elements of a whole tensor one after the other, as they are stored."""
    counts = {product(access.tensor.shape) for access in (read, copy.target)}
    return read.address == copy.target.address and len(counts) == 1 and len(dict(copy.extents)) > 0


def without_added_zeros(kernel: Kernel) -> Kernel:
    """Return a kernel without scratch that is filled with zeros, and then only added in sums."""
    places = {buffer.tensor.name for buffer in kernel.with_role("scratch")}
    for statement in walk(kernel.body):
        match statement:
            case Do(meaning=meaning):
                if not _fills_with_zeros(statement):
                    places.discard(written_by(meaning).name)
                added = isinstance(meaning, Contraction) and statement.how == "add"
                if not added or statement not in kernel.body:
                    places -= {tensor.name for tensor in read_by(meaning)}
            case Call(views=views):
                places -= {view.access.tensor.name for view in views}

    def is_idle(statement: Statement) -> bool:
        return isinstance(statement, Do) and any(
            tensor.name in places
            for tensor in (written_by(statement.meaning), *read_by(statement.meaning))
        )

    kept = tuple(statement for statement in kernel.body if not is_idle(statement))
    return used_buffers(replace(kernel, body=kept))


def _fills_with_zeros(do: Do) -> bool:
    meaning = do.meaning
    return do.how == "assign" and isinstance(meaning, Contraction) and meaning.coefficient == 0


def used_buffers(kernel: Kernel) -> Kernel:
    """Return a kernel without the scratch and the constants that no statement mentions."""
    used: set[str] = set()

    def access(old: Access) -> Access:
        used.add(old.tensor.name)
        return old

    def tensor(old: Tensor) -> Tensor:
        used.add(old.name)
        return old

    for statement in kernel.body:
        map_accesses(statement, access, tensor)
    kept: list[Buffer] = [
        b for b in kernel.buffers if b.role in ("input", "output") or b.tensor.name in used
    ]
    return replace(kernel, buffers=tuple(kept))
