"""Rewrites of kernels: each returns a kernel that computes the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from symconv.errors import KernelError
from symconv.kernel.language import (
    Blocks,
    Call,
    Do,
    Kernel,
    Loop,
    Meaning,
    Span,
    Statement,
    Transform,
    View,
    at,
    substitute,
    walk,
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
            body += [with_views(each, views, names) for each in inner.body]
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


def with_views(statement: Statement, views: Mapping[str, View], names: Mapping[str, str]) -> Statement:
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
            body = substituted(
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


def substituted(statements: Iterable[Statement], values: Values) -> tuple[Statement, ...]:
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
                body = substituted(statement.body, values)
                found.append(replace(statement, rows=rows, body=body))
            case Call():
                views = tuple(_substituted_view(view, values) for view in statement.views)
                found.append(replace(statement, views=views))
    return tuple(found)


def _substituted_view(view: View, values: Values) -> View:
    extents = tuple((n, s if isinstance(s, int) else s.substitute(values)) for n, s in view.extents)
    return View(view.access.substitute(values), extents)


def transformed(kernel: Kernel) -> set[str]:
    """Return the names of the buffers that are meant as a whole, with all of their axes."""
    return {
        tensor.name
        for statement in walk(kernel.body)
        if isinstance(statement, Do) and isinstance(statement.meaning, Transform)
        for tensor in (statement.meaning.source, statement.meaning.target)
    }
