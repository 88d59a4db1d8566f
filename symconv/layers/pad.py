"""Elements added around a tensor, or cropped from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import Padding, refuse
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.layers.padding import MODES, most, padded_along
from symconv.layers.shapes import RANKS, copied
from symconv.notation.contraction import Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import element


@dataclass(frozen=True)
class Pad(Layer):
    """Elements added before and after each axis.

    Parameters
    ----------
    input_shape
        Any shape with one to five axes.
    padding
        An int for all axes, one per axis, or pairs ``(lo, hi)`` per axis, the first axis first. With
        ``constant``, a negative number crops.
    mode
        ``constant`` adds ``value``; ``reflect`` mirrors the axis at its last element; ``replicate``
        repeats this element; ``circular`` repeats the axis.
    value
        The number that ``constant`` adds.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, or nothing is left.
    """

    example: ClassVar[dict[str, object]] = {
        "input_shape": (1, 4, 16, 16),
        "padding": ((0, 0), (0, 0), (1, 1), (2, 0)),
    }

    input_shape: Shape
    padding: Padding
    mode: str = "constant"
    value: float = 0.0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = arguments.shape("input_shape", self.input_shape, RANKS, "one to five positive ints")
        normal: dict[str, object] = {
            "input_shape": sizes,
            "padding": arguments.padding(self.padding, len(sizes), ()),
            "mode": arguments.choice("mode", self.mode, ("constant", *MODES[1:])),
            "value": arguments.number("value", self.value, "a finite number"),
            "dtype": arguments.dtype(self.dtype),
        }
        for name, given in normal.items():
            object.__setattr__(self, name, given)
        if self.value and self.mode != "constant":
            raise refuse("value", self.value, f"0 where mode is {self.mode!r}")
        if min(self.output_shape) < 1:
            raise refuse("padding", self.padding, f"such that something of {sizes} is left")
        for axis, (size, pair) in enumerate(zip(sizes, self._pads, strict=True)):
            largest = most(self.mode, size)
            if self.mode != "constant" and not (min(pair) >= 0 and max(pair) <= largest):
                valid = f"from 0 to {largest} along axis {axis} where mode is {self.mode!r}"
                raise refuse("padding", self.padding, valid)
        arguments.bounded("output_shape", self.output_shape)

    @property
    def _pads(self) -> list[tuple[int, int]]:
        return [arguments.pair(self.padding, axis) for axis in range(len(self.input_shape))]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return tuple(lo + n + hi for n, (lo, hi) in zip(self.input_shape, self._pads, strict=True))

    @cached_property
    def graph(self) -> Graph:
        """The copy, and the elements around it; other modes pad axis after axis."""
        x, names = self.tensors["x"], element(len(self.input_shape))
        if self.mode == "constant":
            return Graph((Program((self._inside(x), *self._around())),))
        steps: list[Program] = []
        padded = [axis for axis, pair in enumerate(self._pads) if any(pair)]
        for axis in padded:
            name = "O" if axis == padded[-1] else f"X{names[axis]}"
            steps.append(padded_along(x, self.mode, axis, *self._pads[axis], name, names))
            x = steps[-1].target
        if not steps:
            target = Tensor("O", self.output_shape)[tuple(map(index, names))]
            return Graph((copied(x, names, target),))
        return Graph(tuple(steps))

    def _inside(self, x: Tensor) -> Contraction:
        """Return the copy of what is not cropped."""
        names = element(len(self.input_shape))
        cut = [max(0, -lo) for lo, _ in self._pads]
        source = [index(name) + skipped for name, skipped in zip(names, cut, strict=True)]
        target = [index(name) + max(0, lo) for name, (lo, _) in zip(names, self._pads, strict=True)]
        extents = tuple(zip(names, self._kept, strict=True))
        return Contraction(Tensor("O", self.output_shape)[tuple(target)], (x[tuple(source)],), extents)

    @property
    def _kept(self) -> tuple[int, ...]:
        """How much of each axis is not cropped."""
        return tuple(
            n + min(0, lo) + min(0, hi) for n, (lo, hi) in zip(self.input_shape, self._pads, strict=True)
        )

    def _around(self) -> Iterator[Contraction]:
        """Visit the boxes of added elements: before and after each axis, inside those before it."""
        if not self.value:
            return
        names = element(len(self.input_shape))
        output = Tensor("O", self.output_shape)
        starts, sizes = [0] * len(names), list(self.output_shape)
        for axis, (lo, hi) in enumerate(self._pads):
            for start, count in ((0, lo), (self.output_shape[axis] - max(0, hi), hi)):
                if count > 0:
                    first = [*starts[:axis], start, *starts[axis + 1 :]]
                    at = tuple(index(name) + s for name, s in zip(names, first, strict=True))
                    box = (*sizes[:axis], count, *sizes[axis + 1 :])
                    extents = tuple(zip(names, box, strict=True))
                    yield Contraction(output[at], (), extents, Fraction(self.value))
            starts[axis], sizes[axis] = max(0, lo), self._kept[axis]
