"""Every so many-th element of a range along some axes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import PerAxis, refuse
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.layers.shapes import RANKS
from symconv.notation.contraction import Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import element


@dataclass(frozen=True)
class Slice(Layer):
    """A part of a tensor: along some axes, the elements from ``starts`` to before ``ends``.

    ``Slice((2, 8), 1, 7, 1, 2)`` is ``x[:, 1:7:2]``. Arguments are those of ONNX's operator; ranges are
    Python's: negative numbers count from the end, and what reaches beyond it is cut off.

    Parameters
    ----------
    input_shape
        Any shape with one to five axes.
    starts, ends
        For each of the axes, where the range starts, and before which element it ends.
    axes
        The axes; if not given, the first ones.
    steps
        For each of the axes, how far the next element is. Negative numbers go backwards.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, or nothing is left.

    References
    ----------
    ONNX, operator Slice, version 13.
    """

    example: ClassVar[dict[str, object]] = {
        "input_shape": (1, 4, 16, 16),
        "starts": (0, 1),
        "ends": (1, 3),
    }

    input_shape: Shape
    starts: PerAxis
    ends: PerAxis
    axes: PerAxis | None = None
    steps: PerAxis = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = arguments.shape("input_shape", self.input_shape, RANKS, "one to five positive ints")
        starts = arguments.integers("starts", self.starts)
        axes = tuple(range(len(starts))) if self.axes is None else self.axes
        axes = arguments.axes("axes", axes, len(sizes))
        steps = arguments.integers("steps", self.steps)
        steps = steps * len(axes) if len(steps) == 1 else steps
        lists = {"starts": starts, "ends": arguments.integers("ends", self.ends), "steps": steps}
        for name, numbers in lists.items():
            if len(numbers) != len(axes):
                raise refuse(name, getattr(self, name), f"one number for each axis of {axes}")
        if 0 in steps:
            raise refuse("steps", self.steps, "numbers other than 0")
        rows = sorted(zip(axes, *lists.values(), strict=True))  # one spelling for one layer
        axes = tuple(axis for axis, *_ in rows)
        ranges = [range(*slice(*numbers).indices(sizes[axis])) for axis, *numbers in rows]
        for found, axis in zip(ranges, axes, strict=True):
            if not found:
                raise refuse("ends", self.ends, f"such that something is left along axis {axis}")
        ends = [
            r.stop if r.stop >= 0 else -sizes[axis] - 1 for r, axis in zip(ranges, axes, strict=True)
        ]
        normal: dict[str, object] = {
            "input_shape": sizes,
            "starts": tuple(found.start for found in ranges),
            "ends": tuple(ends),
            "axes": axes,
            "steps": tuple(found.step for found in ranges),
            "dtype": arguments.dtype(self.dtype),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)

    @property
    def _ranges(self) -> tuple[range, ...]:
        """The elements that are taken along each axis of the input."""
        found = [range(size) for size in self.input_shape]
        lists = (
            arguments.integers("", each) for each in (self.axes, self.starts, self.ends, self.steps)
        )
        for axis, *numbers in zip(*lists, strict=True):
            found[axis] = range(*slice(*numbers).indices(self.input_shape[axis]))
        return tuple(found)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        pairs = zip(self._ranges, self.input_shape, strict=True)
        return tuple(size if taken == range(size) else len(taken) for taken, size in pairs)

    @cached_property
    def graph(self) -> Graph:
        """The copy of every element that is taken."""
        names = element(len(self.input_shape))
        target = Tensor("O", self.output_shape)[tuple(map(index, names))]
        places = [index(n) * r.step + r.start for n, r in zip(names, self._ranges, strict=True)]
        extents = tuple(zip(names, self.output_shape, strict=True))
        return Graph((Program((Contraction(target, (self.tensors["x"][tuple(places)],), extents),)),))
