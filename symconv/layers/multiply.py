"""The element-wise product of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.shapes import Several, broadcast, broadcast_shape
from symconv.notation.contraction import Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import element


@dataclass(frozen=True)
class Multiply(Several):
    """The element-wise product of tensors, which broadcast as in NumPy.

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

    example: ClassVar[dict[str, object]] = {"input_shapes": ((1, 4, 16, 16), (4, 1, 1))}

    dtype: str = "float32"

    def __post_init__(self) -> None:
        self._validate()
        arguments.bounded("output_shape", broadcast_shape(self.input_shapes))
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return broadcast_shape(self.input_shapes)

    @cached_property
    def graph(self) -> Graph:
        """The product."""
        names = element(len(self.output_shape))
        target = Tensor("O", self.output_shape)[tuple(map(index, names))]
        factors = tuple(broadcast(t, self.output_shape, names) for t in self.tensors.values())
        extents = tuple(zip(names, self.output_shape, strict=True))
        return Graph((Program((Contraction(target, factors, extents),)),))
