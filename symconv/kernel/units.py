"""Axes and indices of length 1, and loops of one row: kernels without them compute the same."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from symconv.kernel.language import (
    Blocks,
    Call,
    Do,
    Extents,
    Kernel,
    Loop,
    Span,
    Statement,
    Table,
    Transform,
    View,
    substitute,
    walk,
)
from symconv.kernel.rewrite import Values, map_accesses, substituted, transformed
from symconv.notation.contraction import Access, Contraction, Tensor
from symconv.notation.graph import Elementwise, Selection
from symconv.notation.polynomial import Number, Polynomial


def without_single_rows(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Return statements without loops that have one row, and without letters that never change."""
    found: list[Statement] = []
    for statement in statements:
        if not isinstance(statement, Loop):
            found.append(statement)
            continue
        letters, rows = statement.letters, statement.rows
        values: dict[str, Polynomial | Number] = {}
        match rows:
            case Span(stop=stop, start=start) if stop == start + 1:
                values = {letters[0]: start}
            case Blocks(stop=stop, size=size) if stop == size:
                values = dict(zip(letters, (0, size), strict=True))
            case Blocks(stop=stop, size=size) if isinstance(stop, int) and stop % size == 0:
                inner = substituted(statement.body, {letters[1]: size})
                body = without_single_rows(inner)
                if size == 1:
                    found.append(replace(statement, letters=letters[:1], rows=Span(stop), body=body))
                else:
                    found.append(replace(statement, body=body))
                continue
            case Table(rows=table) if len(table) == 1:
                values = dict(zip(letters, table[0], strict=True))
            case Table():
                found.append(_without_constant_columns(statement))
                continue
            case _:
                pass
        body = without_single_rows(substituted(statement.body, values))
        found += body if values else [replace(statement, body=body)]
    return tuple(found)


def _without_constant_columns(loop: Loop) -> Loop:
    """Return a loop over a table without the columns that have the same number in every row."""
    assert isinstance(loop.rows, Table)
    columns = list(zip(*loop.rows.rows, strict=True))
    constant = {
        letter: column[0]
        for letter, column in zip(loop.letters, columns, strict=True)
        if len(set(column)) == 1
    }
    kept = [at_ for at_, letter in enumerate(loop.letters) if letter not in constant]
    rows = tuple(tuple(row[at_] for at_ in kept) for row in loop.rows.rows)
    letters = tuple(loop.letters[at_] for at_ in kept)
    body = without_single_rows(substituted(loop.body, constant))
    said = tuple(loop.rows.columns[at_] for at_ in kept) if loop.rows.columns else ()
    table = replace(loop.rows, rows=rows, columns=said)
    return replace(loop, letters=letters, rows=table, body=body)


def without_unit_axes(call: Call) -> Call:
    """Return a call in which neither a buffer nor a statement has an axis of length 1.

    Those of the caller's own arrays are fixed by the views that are given.
    """
    kernel = replace(call.kernel, body=without_single_rows(call.kernel.body))
    kernel = _with_seen_shapes(kernel)
    kept = _kept_axes(kernel, without_unit_indices(kernel.body))
    views = []
    for buffer, view in zip((*kernel.inputs, *kernel.outputs), call.views, strict=True):
        axes = kept[buffer.tensor.name]
        fixed = {name: 0 for axis, (name, _) in enumerate(view.extents) if axis not in axes}
        left = tuple(pair for axis, pair in enumerate(view.extents) if axis in axes)
        views.append(View(view.access.substitute(fixed), left))
    return Call(_shortened(kernel, {b.tensor.name for b in kernel.buffers}), tuple(views))


def without_unit_scratch(kernel: Kernel) -> Kernel:
    """Return a kernel in which no statement and no scratch has an axis of length 1."""
    kernel = _with_seen_shapes(replace(kernel, body=without_single_rows(kernel.body)))
    placed = kernel.with_role("scratch", "zeroed", "constant")
    own = {b.tensor.name for b in placed if not b.given}
    return _shortened(kernel, own - transformed(kernel))


def _with_seen_shapes(kernel: Kernel) -> Kernel:
    """Return a kernel whose scratch has the shapes with which its statements address it."""
    seen: dict[str, Tensor] = {}

    def access(old: Access) -> Access:
        seen.setdefault(old.tensor.name, old.tensor)
        return old

    def tensor(old: Tensor) -> Tensor:
        seen.setdefault(old.name, old)
        return old

    for statement in kernel.body:
        map_accesses(statement, access, tensor)
    buffers = tuple(
        replace(b, tensor=seen.get(b.tensor.name, b.tensor)) if b.role == "scratch" else b
        for b in kernel.buffers
    )
    return replace(kernel, buffers=buffers)


def _long_axes(tensor: Tensor) -> tuple[int, ...]:
    return tuple(axis for axis, size in enumerate(tensor.shape) if size != 1)


def _shortened(kernel: Kernel, names: Collection[str]) -> Kernel:
    """Drop the axes of length 1 of some buffers, and all indices that have one value."""
    statements = without_unit_indices(kernel.body)
    kept = _kept_axes(kernel, statements)

    def tensor(old: Tensor) -> Tensor:
        if old.name not in names:
            return old
        return replace(old, shape=tuple(old.shape[axis] for axis in kept[old.name]))

    def access(old: Access) -> Access:
        if old.tensor.name not in names:
            return old
        subscripts = tuple(old.subscripts[axis] for axis in kept[old.tensor.name])
        return Access(tensor(old.tensor), subscripts)

    body = tuple(map_accesses(each, access, tensor) for each in statements)
    return replace(
        kernel, buffers=tuple(replace(b, tensor=tensor(b.tensor)) for b in kernel.buffers), body=body
    )


def _kept_axes(kernel: Kernel, statements: Iterable[Statement]) -> dict[str, tuple[int, ...]]:
    """Return the axes of each buffer that are longer than 1, moved along, or transformed."""
    found = {b.tensor.name: set(_long_axes(b.tensor)) for b in kernel.buffers}

    def access(old: Access) -> Access:
        moving = {axis for axis, subscript in enumerate(old.subscripts) if subscript.variables}
        found.setdefault(old.tensor.name, set()).update(moving)
        return old

    for statement in statements:
        map_accesses(statement, access, lambda tensor: tensor)
    for each in walk(tuple(statements)):
        if isinstance(each, Do) and isinstance(each.meaning, Transform):
            for tensor in (each.meaning.source, each.meaning.target):
                rank = len(tensor.shape)
                found[tensor.name].update(range(rank - len(each.meaning.lengths), rank))
    return {name: tuple(sorted(axes)) for name, axes in found.items()}


def without_unit_indices(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Return statements without indices that have one value, and without those that write nothing."""
    found: list[Statement] = []
    for statement in statements:
        match statement:
            case Do(meaning=Contraction() | Elementwise() as meaning) if _writes_nothing(meaning):
                continue
            case Do(meaning=Contraction(extents=extents) | Elementwise(extents=extents)):
                single = _single(extents)
                found.append(replace(statement, meaning=substitute(statement.meaning, single)))
            case Do(meaning=Selection(maximum=Contraction(extents=extents))):
                single = _single(extents)
                found.append(replace(statement, meaning=substitute(statement.meaning, single)))
            case Loop():
                found.append(replace(statement, body=without_unit_indices(statement.body)))
            case _:
                found.append(statement)
    return tuple(found)


def _writes_nothing(meaning: Contraction | Elementwise) -> bool:
    """Whether an index of what is written has no value."""
    empty = {name for name, size in meaning.extents if size == 0}
    return any(empty & set(subscript.variables) for subscript in meaning.target.subscripts)


def _single(extents: Extents) -> Values:
    return {name: 0 for name, size in extents if size == 1}
