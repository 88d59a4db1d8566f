"""Which scratch needs no place of its own: small arrays that one statement computes whole."""

from __future__ import annotations

from collections.abc import Iterable

from symconv.kernel.language import (
    Do,
    Kernel,
    Loop,
    Statement,
    Transform,
    at,
    largest_letters,
    product,
    written_by,
)
from symconv.notation.contraction import Contraction
from symconv.notation.graph import Elementwise, Selection
from symconv.targets.numpy.views import sliced

SMALL = 1 << 14  # elements of an array that is as cheap to allocate anew as to keep


def fresh_buffers(kernel: Kernel) -> set[str]:
    """Return the names of the scratch that is allocated by the statement that computes it.

    Truth values and complex numbers always are, if they can be.
    """
    writes: dict[str, list[Do]] = {}
    _collect(kernel.body, writes)
    letters = largest_letters(kernel.body)
    found = set()
    for buffer in kernel.with_role("scratch"):
        name, shape = buffer.tensor.name, buffer.tensor.shape
        dos = writes.get(name, [])
        count = at(product(shape), letters)
        small = isinstance(count, int) and count <= SMALL
        if len(dos) == 1 and (small or buffer.kind != "real") and _is_whole(dos[0], name):
            found.add(name)
        if dos and isinstance(dos[0].meaning, Transform):
            found.add(name)
    return found


def _collect(statements: Iterable[Statement], writes: dict[str, list[Do]]) -> None:
    for statement in statements:
        if isinstance(statement, Loop):
            _collect(statement.body, writes)
        elif isinstance(statement, Do):
            writes.setdefault(written_by(statement.meaning).name, []).append(statement)


def _is_whole(do: Do, name: str) -> bool:
    """Whether a statement assigns every element of a buffer."""
    meaning = do.meaning
    if do.how != "assign":
        return False
    if isinstance(meaning, Selection | Transform):
        return True
    assert isinstance(meaning, Contraction | Elementwise)
    view = sliced(meaning.target, dict(meaning.extents))
    return view is not None and view.text == name
