"""Kernels as NumPy statements: scratch, loops, and for each ``Do`` the call that computes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from symconv.errors import KernelError
from symconv.kernel.language import (
    Blocks,
    Buffer,
    Call,
    Do,
    Kernel,
    Loop,
    Span,
    Statement,
    Table,
    Transform,
    product,
    read_by,
    walk,
    written_by,
)
from symconv.kernel.simplify import simplified
from symconv.notation.contraction import Contraction
from symconv.notation.graph import Elementwise, Selection
from symconv.notation.polynomial import Polynomial
from symconv.targets.numpy.code import Code, Constant, syntax
from symconv.targets.numpy.contractions import as_array, store, write_contraction
from symconv.targets.numpy.expressions import nested_rows, write_elementwise
from symconv.targets.numpy.legal import legalised
from symconv.targets.numpy.lines import INDENT
from symconv.targets.numpy.syntax import arguments_text, number_text, tuple_text
from symconv.targets.numpy.views import view_text


def written(
    kernel: Kernel,
    label: str,
    shared: Mapping[Kernel, str] = MappingProxyType({}),
    given_views: bool = False,
) -> tuple[list[str], tuple[Constant, ...]]:
    """Return the lines of a kernel for the body of a function, and the constants that they read.

    Parameters
    ----------
    kernel
        The kernel. Its inputs and outputs are variables of the function.
    label
        A name for what is kept from call to call.
    shared
        The names of the functions for kernels that are called.
    given_views
        Whether the inputs may be views of arrays.
    """
    code = Code(legalised(simplified(kernel, shared, given_views)), label, shared)
    lines = _block(code, code.kernel.body, ())
    return lines, tuple(code.constants.values())


def written_calls(kernel: Kernel, shared: Mapping[Kernel, str]) -> list[str]:
    """Return the lines of a kernel of calls, as it is."""
    code = Code(kernel, kernel.name, shared)
    return _block(code, kernel.body, ())


def _block(code: Code, statements: Sequence[Statement], letters: Sequence[str]) -> list[str]:
    """Write statements that are in the same loops, with a scope of their own."""
    code.open(letters)
    for statement in statements:
        if isinstance(statement, Call):
            code.comment(statement.note)
        _allocate(code, statement, letters)
        match statement:
            case Do():
                code.comment(statement.note)
                _do(code, statement)
            case Loop():
                code.comment(statement.note)
                _loop(code, statement, letters)
            case Call():
                _call(code, statement)
    return code.close()


def _call(code: Code, call: Call) -> None:
    """Write a call of another function on views of arrays."""
    given = []
    for view in call.views:
        text = view_text(view.access, dict(view.extents), [[name] for name, _ in view.extents])
        if text is None:
            raise KernelError(f"{call.kernel.name}: cannot be called on {view.access}")
        given.append(as_array(text, view.extents))
    name = code.shared[call.kernel]
    for at, view in enumerate(call.views):
        whole = given[at] == view.access.tensor.name
        if not whole and not code.fits(f"{name}({', '.join(given)})"):
            given[at] = code.bound(given[at], f"{view.access.tensor.name}_part")
    code.add(syntax("call", name=name, arguments=", ".join(given)))


def _allocate(code: Code, statement: Statement, letters: Sequence[str]) -> None:
    """Write where buffers are that this statement is the first to mention."""
    for buffer in _mentioned(statement, code):
        name, shape = buffer.tensor.name, buffer.tensor.shape
        own = {v for size in shape if isinstance(size, Polynomial) for v in size.variables}
        later = not own & code.letters <= set(letters)  # where its letters are bound
        if name in code.allocated or name in code.fresh or later:
            continue
        if buffer.kind != "real" and buffer.role == "scratch":
            continue  # by the statement that fills it
        code.allocated.add(name)
        if buffer.role == "alias":
            _alias(code, buffer)
        elif buffer.role == "zeroed":
            key = f"{code.label} {name}"
            code.add(syntax("scratch", name=name, key=key, shape=tuple_text(shape)))
        elif buffer.role == "scratch":
            code.add(syntax("scratch", name=name, key=name, shape=tuple_text(shape)))
        elif buffer.given:
            entry = "".join(f'["{k}"]' if isinstance(k, str) else f"[{k}]" for k in buffer.given)
            code.add(syntax("given", name=name, entry=entry))
        elif _in_sums(statement, buffer):
            constant = code.constant(name, nested_rows(buffer), buffer.note)
            code.add(syntax("constant", name=name, constant=constant))


def _alias(code: Code, buffer: Buffer) -> None:
    """Write another name for a buffer's memory, after that of the buffer."""
    name, tensor = buffer.tensor.name, buffer.tensor
    owner = code.buffers[buffer.of]
    if owner.role == "scratch":
        code.add(syntax("scratch", name=name, key=owner.tensor.name, shape=tuple_text(tensor.shape)))
        return
    if owner.role == "alias" and owner.tensor.name not in code.allocated:
        code.allocated.add(owner.tensor.name)
        _alias(code, owner)
    source = owner.tensor.name
    if owner.tensor.shape != tensor.shape:
        source += f".reshape{tuple_text(tensor.shape)}"
    elif owner.role != "output":
        source += "  # the same memory"
    code.add(syntax("assign", target=name, source=source))


def _in_sums(statement: Statement, buffer: Buffer) -> bool:
    """Whether a constant is multiplied in sums, as an array of the module's dtype."""
    return any(
        isinstance(each, Do)
        and isinstance(each.meaning, Contraction)
        and buffer.tensor in read_by(each.meaning)
        for each in walk([statement])
    )


def _mentioned(statement: Statement, code: Code) -> Iterable[Buffer]:
    """Return the buffers that a statement reads or writes, in order."""
    found: dict[str, Buffer] = {}
    for each in walk([statement]):
        if isinstance(each, Do):
            tensors = [*read_by(each.meaning), written_by(each.meaning)]
        else:
            tensors = [view.access.tensor for view in each.views] if isinstance(each, Call) else []
        for tensor in tensors:
            if tensor.name in code.buffers:
                found[tensor.name] = code.buffers[tensor.name]
    return found.values()


def _do(code: Code, do: Do) -> None:
    match do.meaning:
        case Contraction():
            write_contraction(code, do, do.meaning)
        case Elementwise():
            write_elementwise(code, do, do.meaning)
        case Selection():
            _selection(code, do, do.meaning)
        case Transform():
            _transform(code, do.meaning)


def _selection(code: Code, do: Do, selection: Selection) -> None:
    """Write 1 for the first element that attains the maximum, by its place among all."""
    maximum = selection.maximum
    sizes = dict(maximum.extents)
    (read,) = maximum.reads
    kept = [name for s in maximum.target.subscripts for name in s.variables]
    over = [name for name in sizes if name not in kept]
    whole = tuple(map(Polynomial.variable, sizes))
    if not over:  # the only element is the largest
        ones = f"np.ones({tuple_text(selection.target.shape)}, bool)"
        store(code, do, selection.target[whole], sizes, ones)
        return
    text = code.read(read, sizes, [*([name] for name in kept), over])
    first = code.names.local("first", kept=False)
    code.add(syntax("assign", target=first, source=syntax("first_maximum", source=text)))
    count = product([sizes[name] for name in over])
    places = f"{first}[..., None] == np.arange({number_text(count)})"
    if len(over) > 1:
        places = f"({places}).reshape({arguments_text(selection.target.shape)})"
    store(code, do, selection.target[whole], sizes, places)


def _transform(code: Code, transform: Transform) -> None:
    axes = tuple_text(range(-len(transform.lengths), 0))
    value = syntax(
        "inverse_transform" if transform.inverse else "transform",
        source=transform.source.name,
        lengths=tuple_text(transform.lengths),
        axes=axes,
    )
    if transform.conjugate:
        value += ".conj()"
    code.add(syntax("assign", target=transform.target.name, source=value))


def _loop(code: Code, loop: Loop, letters: Sequence[str]) -> None:
    """Write a loop; loops that have nothing else in them as one."""
    found = [loop]
    while len(found[-1].body) == 1 and isinstance(loop.rows, Span | Table):
        inner = found[-1].body[0]
        if not (
            isinstance(inner, Loop)
            and type(inner.rows) is type(loop.rows)
            and _apart(found, inner)
            and code.fits(f"for {_bound([*found, inner])} in product(")
        ):
            break
        found.append(inner)
    names = [letter for each in found for letter in each.letters]
    ranges = [_range(code, each) for each in found]
    over = ranges[0] if len(ranges) == 1 else f"product({', '.join(ranges)})"
    bound = loop.letters[0] if isinstance(loop.rows, Blocks) else _bound(found)
    body = _block(code, found[-1].body, [*letters, *names])
    code.add(syntax("loop", letters=bound, rows=over))
    if isinstance(loop.rows, Blocks) and any(loop.letters[1] in line for line in body):
        first, count = loop.letters
        stop = number_text(loop.rows.stop)
        body.insert(0, syntax("block", count=count, size=loop.rows.size, stop=stop, first=first))
    for line in body:
        code.add(INDENT + line)


def _bound(loops: Sequence[Loop]) -> str:
    """Write the letters that loops bind, written as one."""
    rows = [", ".join(each.letters) for each in loops]
    several = len(rows) > 1 and any("," in row for row in rows)
    return ", ".join(f"({row})" if several else row for row in rows)


def _range(code: Code, loop: Loop) -> str:
    match loop.rows:
        case Span(stop=stop, start=0):
            return f"range({number_text(stop)})"
        case Span(stop=stop, start=start):
            return f"range({start}, {number_text(stop)})"
        case Blocks(stop=stop, size=size):
            return f"range(0, {number_text(stop)}, {size})"
        case Table(rows=rows, name=name, note=note, columns=columns):
            return code.constant(name, rows, f"{note}: {', '.join(columns)}." if columns else note)


def _apart(loops: Sequence[Loop], inner: Loop) -> bool:
    """Whether a loop inside others can be written as one with them."""
    stop = inner.rows.stop if isinstance(inner.rows, Span) else 0
    words = set() if isinstance(stop, int) else set(stop.variables)
    return not inner.note and not words & {x for loop in loops for x in loop.letters}
