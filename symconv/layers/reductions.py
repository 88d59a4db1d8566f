"""Sums, means and maxima along axes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import ClassVar, Literal

from symconv.layers import arguments
from symconv.layers.arguments import PerAxis
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.layers.shapes import RANKS
from symconv.notation.contraction import Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import element


@dataclass(frozen=True)
class _Reduction(Layer, common=True):
    """What all have: the axes that are gone, or of length 1."""

    _reduce: ClassVar[Literal["sum", "max"]] = "sum"

    input_shape: Shape
    axes: PerAxis | None = None
    keepdims: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = arguments.shape("input_shape", self.input_shape, RANKS, "one to five positive ints")
        axes = tuple(range(len(sizes))) if self.axes is None else self.axes
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "axes", tuple(sorted(arguments.axes("axes", axes, len(sizes)))))
        object.__setattr__(self, "keepdims", arguments.flag("keepdims", self.keepdims))
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def _over(self) -> tuple[int, ...]:
        assert isinstance(self.axes, tuple)  # since it was validated
        return self.axes

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        sizes = enumerate(self.input_shape)
        if self.keepdims:
            return tuple(1 if axis in self._over else size for axis, size in sizes)
        return tuple(size for axis, size in sizes if axis not in self._over)

    @property
    def _coefficient(self) -> Fraction:
        return Fraction(1)

    @cached_property
    def graph(self) -> Graph:
        """The sum, or the maximum, of the elements that differ along these axes only."""
        names = element(len(self.input_shape))
        places = [
            0 if axis in self._over else index(name)
            for axis, name in enumerate(names)
            if self.keepdims or axis not in self._over
        ]
        target = Tensor("O", self.output_shape)[tuple(places)]
        read = self.tensors["x"][tuple(map(index, names))]
        extents = tuple(zip(names, self.input_shape, strict=True))
        return Graph(
            (Program((Contraction(target, (read,), extents, self._coefficient, self._reduce),)),)
        )


@dataclass(frozen=True)
class ReduceSum(_Reduction):
    """The sum along axes.

    Parameters
    ----------
    input_shape
        Any shape with one to five axes.
    axes
        The axes to sum over, or one; if not given, all.
    keepdims
        Whether they stay, with length 1.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """


@dataclass(frozen=True)
class ReduceMean(_Reduction):
    """The mean along axes.

    Parameters
    ----------
    input_shape
        Any shape with one to five axes.
    axes
        The axes to average over, or one; if not given, all.
    keepdims
        Whether they stay, with length 1.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """

    @property
    def _coefficient(self) -> Fraction:
        return Fraction(1, prod(self.input_shape[axis] for axis in self._over))


@dataclass(frozen=True)
class ReduceMax(_Reduction):
    """The maximum along axes. The upstream gradient goes to the first maximum in row-major order.

    Parameters
    ----------
    input_shape
        Any shape with one to five axes.
    axes
        The axes to take the maximum over, or one; if not given, all.
    keepdims
        Whether they stay, with length 1.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """

    _reduce: ClassVar[Literal["sum", "max"]] = "max"
