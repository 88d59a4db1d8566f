"""The element-wise product of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from symconv.layers.shapes import Broadcast
from symconv.notation.contraction import Program
from symconv.notation.graph import Graph


@dataclass(frozen=True)
class Multiply(Broadcast):
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

    @cached_property
    def graph(self) -> Graph:
        """The product."""
        return Graph((Program((self._each([*self.tensors.values()]),)),))
