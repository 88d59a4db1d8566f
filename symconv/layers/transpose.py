"""Axes in another order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import refuse
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.layers.shapes import RANKS, copied
from symconv.notation.contraction import Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import element


@dataclass(frozen=True)
class Transpose(Layer):
    """The same elements with the axes in another order: axis k of the output is axis ``axes[k]``.

    Parameters
    ----------
    input_shape
        Any shape with one to five axes.
    axes
        Every axis of the input once, in the order of the output; a negative axis is counted from the
        last one.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """

    example: ClassVar[dict[str, object]] = {"input_shape": (1, 4, 16, 16), "axes": (0, 2, 3, 1)}

    input_shape: Shape
    axes: tuple[int, ...]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = arguments.shape("input_shape", self.input_shape, RANKS, "one to five positive ints")
        axes = arguments.axes("axes", self.axes, len(sizes))
        if sorted(axes) != list(range(len(sizes))):
            raise refuse(
                "axes", self.axes, f"each axis of the input once, of which there are {len(sizes)}"
            )
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return tuple(self.input_shape[axis] for axis in self.axes)

    @cached_property
    def graph(self) -> Graph:
        """The copy of every element."""
        names = element(len(self.input_shape))
        target = Tensor("O", self.output_shape)[tuple(index(names[axis]) for axis in self.axes)]
        return Graph((copied(self.tensors["x"], names, target),))
