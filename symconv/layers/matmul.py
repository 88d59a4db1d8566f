"""The product of matrices that are both values of a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import refuse
from symconv.layers.layer import Layer, smaller_sizes, with_size
from symconv.layers.shapes import Several, broadcast, broadcast_shape
from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.polynomial import Polynomial


@dataclass(frozen=True)
class MatMul(Several):
    """The product of matrices: ``O[…, i, j] = Σ_k A[…, i, k] · B[…, k, j]``.

    Axes before the last two are batches, which broadcast as in NumPy.

    Parameters
    ----------
    input_shapes
        Two shapes with two to five axes: the rows of the second are the columns of the first.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, or the shapes do not fit.
    """

    example: ClassVar[dict[str, object]] = {"input_shapes": ((8, 16), (16, 4))}

    dtype: str = "float32"

    def __post_init__(self) -> None:
        self._validate()
        shapes = self.input_shapes
        if len(shapes) != 2 or any(len(s) < 2 for s in shapes) or shapes[0][-1] != shapes[1][-2]:
            valid = "two shapes (…, rows, K) and (…, K, columns)"
            raise refuse("input_shapes", shapes, valid)
        arguments.bounded("output_shape", self.output_shape)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        first, second = self.input_shapes
        return (*broadcast_shape((first[:-2], second[:-2])), first[-2], second[-1])

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one size reduced; what is summed over, in both inputs."""
        yield from super().reductions()
        first, second = self.input_shapes
        for less in smaller_sizes(first[-1]):
            shapes = (with_size(first, len(first) - 1, less), with_size(second, len(second) - 2, less))
            yield from self._reduced(input_shapes=shapes)

    @cached_property
    def graph(self) -> Graph:
        """The product."""
        batch = self.output_shape[:-2]
        names = tuple("nabd"[: len(batch)])
        first, second = self.tensors.values()
        i, j, k = map(index, "ijk")

        def read(tensor: Tensor, *last: Polynomial) -> Access:
            alone = Tensor("", tensor.shape[:-2])
            return tensor[(*broadcast(alone, batch, names).subscripts, *last)]

        target = Tensor("O", self.output_shape)[(*map(index, names), i, j)]
        sizes = zip(names, batch, strict=True)
        extents = (*sizes, ("i", first.sizes[-2]), ("j", second.sizes[-1]), ("k", first.sizes[-1]))
        return Graph(
            (Program((Contraction(target, (read(first, i, k), read(second, k, j)), extents),)),)
        )
