"""What NumPy cannot do in one call, in several: products go to scratch before they are added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from symconv.kernel.language import (
    Buffer,
    Do,
    Kernel,
    Kind,
    Loop,
    Statement,
    at,
    largest_letters,
)
from symconv.kernel.rewrite import fresh_name
from symconv.notation.contraction import Access, Contraction, Size, Tensor, index
from symconv.notation.polynomial import Polynomial
from symconv.targets.numpy.products import matrix_product, summed_indices
from symconv.targets.numpy.views import sliced


def legalised(kernel: Kernel) -> Kernel:
    """Return a kernel whose every statement is one of NumPy's calls, or an assignment."""
    largest = largest_letters(kernel.body)
    kinds = {buffer.tensor.name: buffer.kind for buffer in kernel.buffers}
    partials = _Partials(set(kinds))

    def each(statements: Iterable[Statement]) -> tuple[Statement, ...]:
        found: list[Statement] = []
        for statement in statements:
            match statement:
                case Loop():
                    found.append(replace(statement, body=each(statement.body)))
                case Do(meaning=Contraction()):
                    found += _split(statement, largest, partials, kinds)
                case _:
                    found.append(statement)
        return tuple(found)

    body = each(kernel.body)
    return replace(kernel, buffers=(*kernel.buffers, *partials.buffers), body=body)


class _Partials:
    """Scratch for partial results, one for each shape."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = taken
        self.found: dict[tuple[str, tuple[Size, ...], Kind], Tensor] = {}

    @property
    def buffers(self) -> list[Buffer]:
        """The scratch."""
        return [Buffer(tensor, "scratch", kind=kind) for (*_, kind), tensor in self.found.items()]

    def place(self, name: str, shape: tuple[Size, ...], kind: Kind) -> Tensor:
        """Return scratch of a shape."""
        if (name, shape, kind) not in self.found:
            free = fresh_name(name, self.taken)
            self.found[name, shape, kind] = Tensor(free, shape)
        return self.found[name, shape, kind]


def _split(
    do: Do, largest: Mapping[str, int], partials: _Partials, kinds: Mapping[str, Kind]
) -> tuple[Do, ...]:
    """Split a statement into a product, and a sum of it or an addition."""
    contraction = do.meaning
    assert isinstance(contraction, Contraction)
    if len(contraction.reads) != 2 or contraction.reduce != "sum":
        return (do,)
    product = matrix_product(replace(contraction, coefficient=1))
    later: tuple[str, ...] = ()
    summed = summed_indices(contraction)
    if product is None and summed:
        later = _summed_later(contraction, summed)
        if not later and do.how == "assign":
            return (do,)
    if not later and do.how == "assign" and contraction.coefficient == 1:
        return (do,)
    target = sliced(contraction.target, dict(contraction.extents))
    if target is None:
        return (do,)
    sizes = dict(contraction.extents)
    met = {n for read in contraction.reads for s in read.subscripts for n in s.variables}
    order = (*later, *(name for name in target.order if name in met))
    axes = [[name] for name in order]
    if later:
        product = matrix_product(_longer(contraction, later))
    if product is not None:
        axes = [*([name] for name in product.outer), list(product.rows), list(product.columns)]
    counts = [counted(axis, sizes) for axis in axes if axis]
    shape = tuple(at(size, largest) for _, size in counts)
    has_complex = any(kinds[read.tensor.name] == "complex" for read in contraction.reads)
    kind: Kind = "complex" if has_complex else "real"
    tensor = partials.place("products" if summed else "term", shape, kind)
    held = tensor[tuple(subscript for subscript, _ in counts)]
    names = ("", *do.names[1:])
    extents = tuple((name, size) for name, size in contraction.extents if name in met)
    alone = replace(contraction, target=held, extents=extents, coefficient=1)
    first = Do(alone, "assign", names, do.note, do.hint)
    kept = tuple((name, sizes[name]) for name in (*later, *target.order))
    rest = Contraction(contraction.target, (held,), kept, contraction.coefficient)
    return first, Do(rest, do.how, do.names[:1])


def _summed_later(contraction: Contraction, summed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the outermost summed indices without which the rest is a product of matrices."""
    for count in range(1, len(summed)):
        if matrix_product(_longer(contraction, summed[:count])) is not None:
            return summed[:count]
    return ()


def _longer(contraction: Contraction, later: tuple[str, ...]) -> Contraction:
    """Return a contraction that keeps some of its summed indices, in front."""
    tensor, sizes = contraction.target.tensor, dict(contraction.extents)
    longer = Tensor("", (*(sizes[name] for name in later), *tensor.shape))
    target = Access(longer, (*map(index, later), *contraction.target.subscripts))
    return replace(contraction, target=target, coefficient=1)


def counted(names: Sequence[str], sizes: Mapping[str, Size]) -> tuple[Polynomial, Size]:
    """Return how several indices count through one axis, the last one fastest, and how long it is."""
    place, length = Polynomial.lift(0), Polynomial.lift(1)
    for name in names:
        place, length = place * sizes[name] + index(name), length * sizes[name]
    return place, at(length, {})
