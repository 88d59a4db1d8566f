"""A kernel on paper: its buffers, then its statements, indented under their loops."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

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
)
from symconv.notation.contraction import Contraction, Size
from symconv.notation.graph import Elementwise, Selection
from symconv.notation.polynomial import Polynomial
from symconv.notation.step_text import step_text
from symconv.notation.text import access_text, contraction_text, subscript_text

SIGNS = {"assign": "=", "add": "+=", "max": "max="}


def kernel_text(kernel: Kernel, known: Collection[Kernel] = ()) -> str:
    """Return a kernel as text: buffers, and each statement with the extents of its indices.

    What it calls stands inside it, but for kernels that are ``known``.
    """
    lines = [f"kernel {kernel.name}"]
    for buffer in kernel.buffers:
        shape = ", ".join(map(_size, buffer.tensor.shape))
        of = f" of {buffer.of}" if buffer.of else ""
        lines.append(f"    {buffer.role:8} {buffer.tensor.name}[{shape}]{of}")
    lines += [f"    {line}" for line in _lines(kernel.body, known)]
    return "\n".join(lines)


def _lines(statements: Iterable[Statement], known: Collection[Kernel]) -> Iterator[str]:
    for statement in statements:
        match statement:
            case Loop():
                yield f"for {', '.join(statement.letters)} in {_rows(statement)}:"
                yield from (f"    {line}" for line in _lines(statement.body, known))
            case Do():
                yield from _do(statement)
            case Call(kernel=kernel, views=views):
                given = ", ".join(access_text(view.access) for view in views)
                inside = [] if kernel in known else kernel_text(kernel, known).splitlines()[1:]
                yield f"call {kernel.name} on {given}{':' if inside else ''}"
                yield from (f"    {line}" for line in inside)


def _rows(loop: Loop) -> str:
    match loop.rows:
        case Span(stop=stop, start=start):
            return f"{start} … {_size(Polynomial.lift(stop) - 1)}"
        case Blocks(stop=stop, size=size):
            return f"blocks of {size} from 0 to {_size(stop)}"
        case Table(rows=rows):
            return " ".join(map(str, rows))


def _do(do: Do) -> Iterator[str]:
    sign = SIGNS[do.how]
    match do.meaning:
        case Contraction() as contraction:
            target = access_text(contraction.target)
            yield f"{target} {sign} {contraction_text(contraction)}{_over(contraction.extents)}"
        case Elementwise() as meaning:
            text = step_text(meaning).replace(" = ", f" {sign} ", 1)
            yield text + _over(meaning.extents)
        case Selection() as meaning:
            yield from step_text(meaning).splitlines()
        case Transform() as transform:
            kind = "inverse transform" if transform.inverse else "transform"
            lengths = " × ".join(map(str, transform.lengths))
            yield f"{transform.target.name} = {kind} of {transform.source.name}, {lengths}"


def _over(extents: Extents) -> str:
    sizes = ", ".join(f"{name} < {_size(size)}" for name, size in extents)
    return f"   for {sizes}" if sizes else ""


def _size(size: Size) -> str:
    return subscript_text(size) if isinstance(size, Polynomial) else str(size)
