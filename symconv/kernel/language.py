"""The kernel language: the notation's own statements, with buffers, loops and views.

A kernel is a list of statements. ``Do`` computes one contraction, elementwise expression, selection
or transform; every index of it that no loop around it fixes is done in this one statement. ``Loop``
binds letters to the rows of a range, of blocks or of a table, one after the other. ``Call`` runs
another kernel on views of buffers. Subscripts, extents and shapes may contain the letters of the loops
around them.

Unlike in the notation, every read and every write lies within its buffer: padding has a place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, TypeAlias

from symconv.errors import KernelError
from symconv.notation.contraction import Access, Contraction, Size, Tensor
from symconv.notation.graph import Elementwise, Selection, reads
from symconv.notation.polynomial import Number, Polynomial
from symconv.notation.ratio import Ratio

Role: TypeAlias = Literal["input", "output", "scratch", "zeroed", "constant", "alias"]
Kind: TypeAlias = Literal["real", "truth", "complex"]
How: TypeAlias = Literal["assign", "add", "max"]
Extents: TypeAlias = tuple[tuple[str, Size], ...]


@dataclass(frozen=True)
class Buffer:
    """A place for a tensor.

    Parameters
    ----------
    tensor
        Its name and shape.
    role
        ``input`` is read only. ``output`` is written completely. ``scratch`` is undefined at first.
        ``zeroed`` is zero when it is allocated and keeps its content from call to call: elements that
        no statement writes are zero. ``constant`` has ``values``. ``alias`` is the beginning of another
        buffer's memory: in another shape, or written over.
    values
        A constant's numbers, row by row.
    kind
        What its elements are: numbers, truth values or complex numbers.
    note
        What a reader should know of a constant.
    given
        Where the module's own description of its layer has a constant's values.
    of
        The buffer whose memory an alias is.
    """

    tensor: Tensor
    role: Role
    values: tuple[Number, ...] = ()
    kind: Kind = "real"
    note: str = ""
    given: tuple[str | int, ...] = ()
    of: str = ""


@dataclass(frozen=True)
class Transform:
    """The discrete Fourier transform of real numbers along the last axes, or its inverse.

    The last axis of the transform has half the length and one (as that of ``numpy.fft.rfftn``).

    Parameters
    ----------
    target, source
        Whole buffers.
    lengths
        The lengths of the transform along the last axes; a shorter source is continued by zeros.
    inverse
        Whether it goes from the transform to real numbers.
    conjugate
        Whether the transform is conjugated: products then correlate.
    """

    target: Tensor
    source: Tensor
    lengths: tuple[int, ...]
    inverse: bool = False
    conjugate: bool = False


Meaning: TypeAlias = Contraction | Elementwise | Selection | Transform


@dataclass(frozen=True)
class Do:
    """One statement.

    Parameters
    ----------
    meaning
        What is computed: it addresses buffers by their tensors.
    how
        Whether the result is assigned, added to what is there, or the larger of both is kept.
    names
        What a target language may call the view that is written, and those that are read; empty where
        it needs none.
    note
        What a reader should know.
    hint
        ``table``: look the elements up through a constant table.
    """

    meaning: Meaning
    how: How = "assign"
    names: tuple[str, ...] = ()
    note: str = ""
    hint: Literal["", "table"] = ""


@dataclass(frozen=True)
class Span:
    """The numbers from ``start`` to before ``stop``."""

    stop: Size
    start: int = 0


@dataclass(frozen=True)
class Blocks:
    """The first number, and how many there are, of blocks of a size; the last block may be shorter."""

    stop: Size
    size: int


@dataclass(frozen=True)
class Table:
    """Rows of numbers, with a name, and what a reader should know of the rows and of each column."""

    rows: tuple[tuple[int, ...], ...]
    name: str = "rows"
    note: str = ""
    columns: tuple[str, ...] = ()


Rows: TypeAlias = Span | Blocks | Table


@dataclass(frozen=True)
class Loop:
    """Statements that are repeated for every row, the letters bound to its numbers."""

    letters: tuple[str, ...]
    rows: Rows
    body: tuple[Statement, ...]
    note: str = ""


@dataclass(frozen=True)
class View:
    """A part of a buffer as a tensor of its own: axis by axis, the indices that address it."""

    access: Access
    extents: Extents


@dataclass(frozen=True)
class Call:
    """A kernel run on views: one for each of its inputs, and one for each of its outputs.

    A view that is written may be of the memory of one that is read if the kernel is one expression, or
    one after the other, of single elements.
    """

    kernel: Kernel
    views: tuple[View, ...]
    note: str = ""


Statement: TypeAlias = Do | Loop | Call


@dataclass(frozen=True)
class Kernel:
    """A program with places.

    Parameters
    ----------
    name
        What it does, in a word or two.
    buffers
        Its inputs, then its outputs, then the others.
    body
        What is done, in order.

    Raises
    ------
    KernelError
        If two buffers have one name.
    """

    name: str
    buffers: tuple[Buffer, ...]
    body: tuple[Statement, ...]

    def __post_init__(self) -> None:
        names = [buffer.tensor.name for buffer in self.buffers]
        for name in names:
            if names.count(name) > 1:
                raise KernelError(f"{self.name}: two buffers are called {name}")

    @property
    def inputs(self) -> tuple[Buffer, ...]:
        """What is read only."""
        return self.with_role("input")

    @property
    def outputs(self) -> tuple[Buffer, ...]:
        """What is written for the caller."""
        return self.with_role("output")

    def with_role(self, *roles: Role) -> tuple[Buffer, ...]:
        """Return the buffers of some roles."""
        return tuple(buffer for buffer in self.buffers if buffer.role in roles)

    def buffer(self, name: str) -> Buffer:
        """Return the buffer of a name."""
        return next(buffer for buffer in self.buffers if buffer.tensor.name == name)

    def owner(self, name: str) -> Buffer:
        """Return the buffer whose memory that of a name is: itself, or what it is an alias of."""
        buffer = self.buffer(name)
        return self.owner(buffer.of) if buffer.role == "alias" else buffer


def whole(tensor: Tensor, names: Sequence[str]) -> View:
    """Return a whole tensor as a view, its axes addressed by these indices."""
    subscripts = tuple(Polynomial.variable(name) for name in names)
    return View(Access(tensor, subscripts), tuple(zip(names, tensor.shape, strict=True)))


def written_by(meaning: Meaning) -> Tensor:
    """Return the tensor that a statement writes."""
    if isinstance(meaning, Contraction | Elementwise):
        return meaning.target.tensor
    return meaning.target


def read_by(meaning: Meaning) -> tuple[Tensor, ...]:
    """Return the tensors that a statement reads."""
    match meaning:
        case Contraction():
            return tuple(read.tensor for read in meaning.reads)
        case Transform():
            return (meaning.source,)
        case _:
            return tuple(read.tensor for read in reads(meaning))


def extents_of(meaning: Meaning) -> Extents:
    """Return the indices that a statement goes through; a transform has none."""
    if isinstance(meaning, Transform):
        return ()
    return meaning.maximum.extents if isinstance(meaning, Selection) else meaning.extents


def tensors_read(statement: Statement) -> tuple[Tensor, ...]:
    """Return what a statement reads, also within loops; what is added to counts as read."""
    match statement:
        case Do(meaning=meaning, how=how):
            return (*read_by(meaning), *((written_by(meaning),) if how != "assign" else ()))
        case Call(kernel=kernel, views=views):
            return tuple(view.access.tensor for view in views[: len(kernel.inputs)])
        case Loop(body=body):
            return tuple(tensor for each in body for tensor in tensors_read(each))


def tensors_written(statement: Statement) -> tuple[Tensor, ...]:
    """Return what a statement writes, and loops' statements in turn."""
    match statement:
        case Do(meaning=meaning):
            return (written_by(meaning),)
        case Call(kernel=kernel, views=views):
            return tuple(view.access.tensor for view in views[len(kernel.inputs) :])
        case Loop(body=body):
            return tuple(tensor for each in body for tensor in tensors_written(each))


def at(size: Size, values: Mapping[str, Polynomial | Number]) -> Size:
    """Return a size with letters replaced; a number where none is left."""
    if isinstance(size, int):
        return size
    found = size.substitute(values)
    return found if found.variables else int(found)


def product(sizes: Sequence[Size]) -> Size:
    """Return the product of sizes."""
    number = prod(size for size in sizes if isinstance(size, int))
    letters = [size for size in sizes if not isinstance(size, int)]
    if not letters:
        return number
    found = Polynomial.lift(number)
    for size in letters:
        found = found * size
    return at(found, {})


def substitute(meaning: Meaning, values: Mapping[str, Polynomial | Number]) -> Meaning:
    """Replace letters, or indices, in what a statement computes."""

    def sized(extents: Extents) -> Extents:
        return tuple((name, at(size, values)) for name, size in extents if name not in values)

    def placed(access: Access) -> Access:
        tensor = replace(access.tensor, shape=tuple(at(s, values) for s in access.tensor.shape))
        return Access(tensor, access.substitute(values).subscripts)

    match meaning:
        case Contraction():
            factors = tuple(placed(f) if isinstance(f, Access) else f for f in meaning.factors)
            number = meaning.coefficient
            number = number.substitute(values) if isinstance(number, Ratio) else number
            return replace(
                meaning,
                target=placed(meaning.target),
                factors=factors,
                extents=sized(meaning.extents),
                coefficient=number,
            )
        case Elementwise():
            arguments = tuple(
                (name, placed(a) if isinstance(a, Access) else a.substitute(values))
                for name, a in meaning.arguments
            )
            return replace(
                meaning,
                target=placed(meaning.target),
                arguments=arguments,
                extents=sized(meaning.extents),
            )
        case Selection(target=target):
            maximum = substitute(meaning.maximum, values)
            assert isinstance(maximum, Contraction)
            return Selection(replace(target, shape=tuple(at(s, values) for s in target.shape)), maximum)
        case Transform():
            return meaning


def rows_of(rows: Rows, values: Mapping[str, int]) -> Iterator[tuple[int, ...]]:
    """Visit the rows of a loop."""
    match rows:
        case Span(stop=stop, start=start):
            yield from ((row,) for row in range(start, int(at(stop, values))))
        case Blocks(stop=stop, size=size):
            last = int(at(stop, values))
            yield from ((first, min(size, last - first)) for first in range(0, last, size))
        case Table(rows=found):
            yield from found


def walk(statements: Sequence[Statement]) -> Iterator[Statement]:
    """Visit every statement, loops before what is in them."""
    for statement in statements:
        yield statement
        if isinstance(statement, Loop):
            yield from walk(statement.body)


def largest_letters(statements: Sequence[Statement]) -> dict[str, int]:
    """Return the largest value of each letter that loops bind."""
    found: dict[str, int] = {}
    for statement in walk(statements):
        if not isinstance(statement, Loop):
            continue
        match statement.rows:
            case Span(stop=int(stop)):
                rows: Sequence[tuple[int, ...]] = [(stop - 1,)]
                letters = statement.letters
            case Blocks(size=size):
                rows, letters = [(size,)], statement.letters[1:]
            case Table(rows=rows):
                letters = statement.letters
            case _:
                continue
        for row in rows:
            for letter, number in zip(letters, row, strict=True):
                found[letter] = max(number, found.get(letter, 0))
    return found


def calls(kernel: Kernel) -> Iterator[Kernel]:
    """Visit the kernels that a kernel calls, each before those that call it."""
    for statement in walk(kernel.body):
        if isinstance(statement, Call):
            yield from calls(statement.kernel)
            yield statement.kernel
