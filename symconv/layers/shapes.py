"""Layers that keep every element: flatten, reshape, concatenate; and sums of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from math import prod
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import refuse
from symconv.layers.batch import Shape, is_any_batch
from symconv.layers.layer import Layer, smaller_sizes, with_size
from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import element
from symconv.notation.polynomial import Polynomial

RANKS = (1, 2, 3, 4, 5)
NAMES = "abcdhkmpqrtuvwz"  # of inputs that are all alike


def copied(source: Tensor, names: Sequence[str], target: Access) -> Program:
    """Return the program that copies each element of a tensor to where it is written."""
    extents = tuple(zip(names, source.shape, strict=True))
    return Program((Contraction(target, (source[tuple(map(index, names))],), extents),))


def broadcast(tensor: Tensor, shape: Sequence[int], names: Sequence[str]) -> Access:
    """Return the element of a tensor for each one of a shape; axes are aligned at the last one."""
    own = list(zip(names, shape, strict=True))[len(shape) - len(tensor.shape) :]
    return tensor[
        tuple(index(n) if s == size else 0 for (n, size), s in zip(own, tensor.shape, strict=True))
    ]


def broadcast_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape that shapes have together.

    Raises
    ------
    SymconvError
        If an axis has several sizes other than 1.
    """
    columns = zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1)
    found = [{size for size in column if size != 1} for column in columns]
    if any(len(sizes) > 1 for sizes in found):
        valid = "shapes that broadcast: equal along each axis, counted from the last, or 1"
        raise refuse("input_shapes", tuple(shapes), valid)
    return tuple(reversed([sizes.pop() if sizes else 1 for sizes in found]))


def _flat(names: Sequence[str], sizes: Sequence[int]) -> Polynomial:
    """Return the place of an element in row-major order."""
    place = Polynomial.lift(0)
    for name, size in zip(names, sizes, strict=True):
        place = place * size + index(name)
    return place


@dataclass(frozen=True)
class Flatten(Layer):
    """All axes after the batch merged into one, in row-major order.

    Parameters
    ----------
    input_shape
        Batch, then any sizes.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """

    input_shape: Shape
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "batch and up to four sizes, all positive ints"
        sizes = arguments.shape("input_shape", self.input_shape, RANKS[1:], valid)
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def is_view(self) -> bool:
        """The elements keep their order."""
        return True

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return (self.input_shape[0], prod(self.input_shape[1:]))

    @cached_property
    def graph(self) -> Graph:
        """The copy of every element."""
        n, *names = element(len(self.input_shape))
        place = _flat(names, self.input_shape[1:])
        target = Tensor("O", self.output_shape)[index(n), place]
        return Graph((copied(self.tensors["x"], (n, *names), target),))


@dataclass(frozen=True)
class Reshape(Layer):
    """The same elements, in row-major order, in another shape.

    Parameters
    ----------
    input_shape
        Any shape with one to five axes.
    shape
        The sizes of the output, including the batch. One size may be -1; it is then computed. The first
        is None where the batch is.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, or the numbers of elements differ.
    """

    example: ClassVar[dict[str, object]] = {"input_shape": (1, 4, 16, 16), "shape": (1, -1)}

    input_shape: Shape
    shape: Shape
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "one to five positive ints"
        sizes = arguments.shape("input_shape", self.input_shape, RANKS, valid)
        valid = f"one to five positive ints, of which one may be -1, with {prod(sizes)} elements"
        if not isinstance(self.shape, tuple | list):
            raise refuse("shape", self.shape, valid)
        entries = list(self.shape)
        if is_any_batch(sizes):
            valid = f"None, then sizes of {prod(sizes[1:])} elements, of which one may be -1"
            if not entries or not (entries[0] in (None, "N", -1) or is_any_batch(entries[0])):
                raise refuse("shape", self.shape, valid)
            entries[0] = sizes[0]
        known = [1 if size == -1 else size for size in entries]
        known_sizes = arguments.shape("shape", tuple(known), RANKS, valid)
        missing = prod(sizes) // prod(known_sizes)
        shape = tuple(missing if s == -1 else k for s, k in zip(entries, known_sizes, strict=True))
        if entries.count(-1) > 1 or prod(shape) != prod(sizes):
            raise refuse("shape", self.shape, valid)
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def is_view(self) -> bool:
        """The elements keep their order."""
        return True

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return self.shape

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one size reduced, which the input and the output must share."""
        for axis, size in enumerate(self.input_shape):
            for other, same in enumerate(self.shape):
                for less in smaller_sizes(size) if same == size else ():
                    yield from self._reduced(
                        input_shape=with_size(self.input_shape, axis, less),
                        shape=with_size(self.shape, other, less),
                    )

    @cached_property
    def graph(self) -> Graph:
        """The copy of the input to one row V, and of V to the output."""
        row, output = Tensor("V", (prod(self.shape),)), Tensor("O", self.shape)
        before, after = element(len(self.input_shape)), element(len(self.shape))
        names = tuple(map(index, after))
        into = copied(self.tensors["x"], before, row[_flat(before, self.input_shape)])
        read = row[_flat(after, self.shape)]
        extents = tuple(zip(after, self.shape, strict=True))
        return Graph((into, Program((Contraction(output[names], (read,), extents),))))


@dataclass(frozen=True)
class Several(Layer, common=True):
    """What layers of several inputs have."""

    example: ClassVar[dict[str, object]] = {"input_shapes": ((1, 4, 16, 16), (1, 4, 16, 16))}
    symbols: ClassVar[dict[str, str]] = {name: name.upper() for name in NAMES}
    words: ClassVar[dict[str, str]] = {name: f"input {name}" for name in NAMES}

    input_shapes: tuple[Shape, ...]

    def _validate(self) -> None:
        valid = f"2 to {len(NAMES)} shapes of one to five positive ints"
        given = self.input_shapes
        if not isinstance(given, tuple | list) or not 2 <= len(given) <= len(NAMES):
            raise refuse("input_shapes", given, valid)
        shapes = tuple(arguments.shape("input_shapes", shape, RANKS, valid) for shape in given)
        object.__setattr__(self, "input_shapes", shapes)

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one size of all inputs reduced, or of one input alone."""
        shapes = self.input_shapes
        for axis, size in enumerate(shapes[0]):
            for less in smaller_sizes(size):
                yield from self._reduced(
                    input_shapes=tuple(with_size(shape, axis, less) for shape in shapes)
                )
        for number, shape in enumerate(shapes):
            for axis, size in enumerate(shape):
                for less in smaller_sizes(size):
                    one = with_size(shape, axis, less)
                    yield from self._reduced(input_shapes=(*shapes[:number], one, *shapes[number + 1 :]))

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of ``forward``'s inputs, in order."""
        return dict(zip(NAMES, self.input_shapes, strict=False))


@dataclass(frozen=True)
class Broadcast(Several, common=True):
    """What layers have whose inputs broadcast as in NumPy."""

    dtype: str = "float32"

    def __post_init__(self) -> None:
        self._validate()
        arguments.bounded("output_shape", broadcast_shape(self.input_shapes))
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return broadcast_shape(self.input_shapes)

    def _each(self, factors: Sequence[Tensor]) -> Contraction:
        """Return the products of some inputs, element by element."""
        names = element(len(self.output_shape))
        target = Tensor("O", self.output_shape)[tuple(map(index, names))]
        reads = tuple(broadcast(tensor, self.output_shape, names) for tensor in factors)
        return Contraction(target, reads, tuple(zip(names, self.output_shape, strict=True)))


@dataclass(frozen=True)
class Add(Broadcast):
    """The element-wise sum of tensors, which broadcast as in NumPy.

    Parameters
    ----------
    input_shapes
        The inputs' shapes: along each axis, counted from the last, the same size or 1.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, or the shapes do not broadcast.
    """

    def reads(self, axis: int, at: int, size: int) -> tuple[int, int] | None:
        """Return the same element."""
        return at, at

    @cached_property
    def graph(self) -> Graph:
        """The sum."""
        return Graph((Program(tuple(self._each([tensor]) for tensor in self.tensors.values())),))


@dataclass(frozen=True)
class Concat(Several):
    """The concatenation of tensors along an axis.

    Parameters
    ----------
    input_shapes
        The inputs' shapes, which may differ along one axis only.
    axis
        The axis of the concatenation: 0 is the batch, 1 the channels, -1 the last axis.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, or the shapes differ along another axis.
    """

    axis: int = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        self._validate()
        rank = len(self.input_shapes[0])
        axis = arguments.axis("axis", self.axis, rank)
        if len({(*shape[:axis], *shape[axis + 1 :]) for shape in self.input_shapes}) > 1 or any(
            len(shape) != rank for shape in self.input_shapes
        ):
            raise refuse("input_shapes", self.input_shapes, f"equal except along axis {axis}")
        object.__setattr__(self, "axis", axis)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        first = self.input_shapes[0]
        length = sum(shape[self.axis] for shape in self.input_shapes)
        return (*first[: self.axis], length, *first[self.axis + 1 :])

    def reads(self, axis: int, at: int, size: int) -> tuple[int, int] | None:
        """Return the same element."""
        return at, at

    @cached_property
    def graph(self) -> Graph:
        """A copy of each input, one after the other."""
        output = Tensor("O", self.output_shape)
        names = element(len(self.output_shape))
        contractions: list[Contraction] = []
        start = 0
        for tensor in self.tensors.values():
            places = list(map(index, names))
            places[self.axis] += start
            contractions += copied(tensor, names, output[tuple(places)]).contractions
            start += tensor.sizes[self.axis]
        return Graph((Program(tuple(contractions)),))
