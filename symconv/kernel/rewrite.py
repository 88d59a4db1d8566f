"""Rewrites of kernels: each returns a kernel that computes the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod

from symconv.errors import KernelError
from symconv.kernel.language import (
    Blocks,
    Buffer,
    Call,
    Do,
    Extents,
    Kernel,
    Loop,
    Meaning,
    Span,
    Statement,
    Table,
    Transform,
    View,
    at,
    substitute,
    walk,
    written_by,
)
from symconv.kernel.share import is_alone
from symconv.notation.contraction import Access, Contraction, Tensor
from symconv.notation.graph import Elementwise, Selection
from symconv.notation.polynomial import Number, Polynomial

Values = Mapping[str, Polynomial | Number]


def accumulated(index: str, count: int, do: Do) -> tuple[Statement, ...]:
    """Return statements that do something for each value of an index: first assign, then add."""
    first = replace(do, meaning=substitute(do.meaning, {index: 0}), how="assign")
    if count == 1:
        return (first,)
    return (first, Loop((index,), Span(count, 1), (replace(do, how="add", note=""),)))


def nested(
    letters: Sequence[str], counts: Sequence[int], body: tuple[Statement, ...]
) -> tuple[Statement, ...]:
    """Return loops in one another, the first letter outermost."""
    for letter, count in zip(reversed(letters), reversed(counts), strict=True):
        body = (Loop((letter,), Span(count), body),)
    return body


def inlined(kernel: Kernel, kept: Collection[Kernel] = ()) -> Kernel:
    """Return a kernel that calls only some others: in place of each other call stands what it does."""
    buffers = list(kernel.buffers)
    body: list[Statement] = []
    for statement in kernel.body:
        if isinstance(statement, Call) and statement.kernel in kept and is_alone(kernel, statement):
            body.append(statement)
        elif isinstance(statement, Call):
            inner = inlined(statement.kernel)
            parameters = (*inner.inputs, *inner.outputs)
            views = {b.tensor.name: v for b, v in zip(parameters, statement.views, strict=True)}
            taken = {buffer.tensor.name for buffer in buffers}
            own = [buffer for buffer in inner.buffers if buffer.tensor.name not in views]
            names = {b.tensor.name: fresh_name(b.tensor.name, taken) for b in own}
            buffers += [replace(b, tensor=replace(b.tensor, name=names[b.tensor.name])) for b in own]
            body += [_with_accesses(each, views, names) for each in inner.body]
        elif any(isinstance(each, Call) for each in walk([statement])):
            raise KernelError(f"{kernel.name}: a call in a loop cannot be written out")
        else:
            body.append(statement)
    return replace(kernel, buffers=tuple(buffers), body=tuple(body))


def fresh_name(name: str, taken: set[str]) -> str:
    """Return a name that is not taken, and take it."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}{number}", number + 1
    taken.add(found)
    return found


def _with_accesses(
    statement: Statement, views: Mapping[str, View], names: Mapping[str, str]
) -> Statement:
    """Read and write views' buffers in place of a kernel's own inputs and outputs."""

    def access(old: Access) -> Access:
        name = old.tensor.name
        if name not in views:
            return replace(old, tensor=tensor(old.tensor))
        view = views[name]
        axes = [index for index, _ in view.extents]
        return view.access.substitute(dict(zip(axes, old.subscripts, strict=True)))

    def tensor(old: Tensor) -> Tensor:
        if old.name in views:
            raise KernelError(f"{old.name} must be whole, and cannot be a view")
        return replace(old, name=names.get(old.name, old.name))

    return map_accesses(statement, access, tensor)


def distinct_letters(kernel: Kernel) -> Kernel:
    """Return a kernel whose loops have no letter that a buffer has for its name."""
    taken = {buffer.tensor.name for buffer in kernel.buffers}
    letters = {x for each in walk(kernel.body) if isinstance(each, Loop) for x in each.letters}
    new = {old: Polynomial.variable(fresh_name(old, set(taken))) for old in letters}
    shapes = [tuple(at(size, new) for size in buffer.tensor.shape) for buffer in kernel.buffers]
    buffers = tuple(
        replace(buffer, tensor=replace(buffer.tensor, shape=shape))
        for buffer, shape in zip(kernel.buffers, shapes, strict=True)
    )
    return replace(kernel, buffers=buffers, body=_renamed_letters(kernel.body, taken))


def _renamed_letters(statements: Iterable[Statement], taken: set[str]) -> tuple[Statement, ...]:
    found: list[Statement] = []
    for statement in statements:
        if isinstance(statement, Loop):
            new = {old: fresh_name(old, set(taken)) for old in statement.letters}
            body = _substituted(
                statement.body, {old: Polynomial.variable(name) for old, name in new.items()}
            )
            statement = Loop(
                tuple(new.values()), statement.rows, _renamed_letters(body, taken), statement.note
            )
        found.append(statement)
    return tuple(found)


def map_accesses(
    statement: Statement, access: Callable[[Access], Access], tensor: Callable[[Tensor], Tensor]
) -> Statement:
    """Return a statement with other accesses, and with other tensors where it means whole ones."""

    def meaning(old: Meaning) -> Meaning:
        match old:
            case Contraction():
                factors = tuple(access(f) if isinstance(f, Access) else f for f in old.factors)
                return replace(old, target=access(old.target), factors=factors)
            case Elementwise():
                arguments = tuple(
                    (name, access(a) if isinstance(a, Access) else a) for name, a in old.arguments
                )
                return replace(old, target=access(old.target), arguments=arguments)
            case Selection():
                maximum = meaning(old.maximum)
                assert isinstance(maximum, Contraction)
                return Selection(tensor(old.target), maximum)
            case Transform():
                return replace(old, target=tensor(old.target), source=tensor(old.source))

    match statement:
        case Do():
            return replace(statement, meaning=meaning(statement.meaning))
        case Loop():
            body = tuple(map_accesses(each, access, tensor) for each in statement.body)
            return replace(statement, body=body)
        case Call():
            views = tuple(replace(view, access=access(view.access)) for view in statement.views)
            return replace(statement, views=views)


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
                inner = _substituted(statement.body, {letters[1]: size})
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
        body = without_single_rows(_substituted(statement.body, values))
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
    body = without_single_rows(_substituted(loop.body, constant))
    said = tuple(loop.rows.columns[at_] for at_ in kept) if loop.rows.columns else ()
    table = replace(loop.rows, rows=rows, columns=said)
    return replace(loop, letters=letters, rows=table, body=body)


def _substituted(statements: Iterable[Statement], values: Values) -> tuple[Statement, ...]:
    """Replace letters in statements."""
    found: list[Statement] = []
    for statement in statements:
        match statement:
            case Do():
                found.append(replace(statement, meaning=substitute(statement.meaning, values)))
            case Loop():
                rows = statement.rows
                if isinstance(rows, Span | Blocks):
                    rows = replace(rows, stop=at(rows.stop, values))
                body = _substituted(statement.body, values)
                found.append(replace(statement, rows=rows, body=body))
            case Call():
                views = tuple(_substituted_view(view, values) for view in statement.views)
                found.append(replace(statement, views=views))
    return tuple(found)


def _substituted_view(view: View, values: Values) -> View:
    extents = tuple((n, s if isinstance(s, int) else s.substitute(values)) for n, s in view.extents)
    return View(view.access.substitute(values), extents)


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
    return _shortened(kernel, own - _transformed(kernel))


def _transformed(kernel: Kernel) -> set[str]:
    """Return the names of the buffers that are meant as a whole, with all of their axes."""
    return {
        tensor.name
        for statement in walk(kernel.body)
        if isinstance(statement, Do) and isinstance(statement.meaning, Transform)
        for tensor in (statement.meaning.source, statement.meaning.target)
    }


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


def without_plain_copies(kernel: Kernel) -> Kernel:
    """Return a kernel that reads a buffer itself where scratch held the same elements in the same order.

    The buffer is an input, or is written by one statement, before the copy.
    """
    kept = {*_transformed(kernel)}
    while (found := _plain_copy(kernel, kept)) is not None:
        do, name, view = found
        own = {b.tensor.name: b.tensor.name for b in kernel.buffers}
        body = tuple(_with_accesses(s, {name: view}, own) for s in kernel.body if s is not do)
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
    stored, held = (_address(access) for access in (read, copy.target))
    sizes = (prod(map(int, access.tensor.shape)) for access in (read, copy.target))
    return stored == held and len(set(sizes)) == 1 and len(dict(copy.extents)) > 0


def _address(access: Access) -> Polynomial:
    """Return the place of an element in a contiguous buffer."""
    found = Polynomial.lift(0)
    for subscript, size in zip(access.subscripts, access.tensor.shape, strict=True):
        found = found * size + subscript
    return found


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
