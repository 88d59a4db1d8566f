"""Images made larger: by repeated elements, or linear between them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import PerAxis, refuse
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.layers.pool import IMAGES
from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.graph import Constant, Graph, Step
from symconv.notation.names import CELLS, POSITIONS, TAPS

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}  # by the number of spatial axes


@dataclass(frozen=True)
class Upsample(Layer):
    """Every spatial axis stretched.

    ``nearest`` repeats elements: ``O[n, c, s·x + i] = X[n, c, x]`` for i below the factor s. ``linear``,
    ``bilinear`` and ``trilinear`` are linear between two neighbours along each axis. Arguments and their
    meaning are those of PyTorch.

    Parameters
    ----------
    input_shape
        Batch, channels, then 1, 2 or 3 spatial sizes.
    size
        The spatial sizes of the output; or give ``scale_factor``.
    scale_factor
        The whole factor by which each axis grows: an int, or one per spatial axis.
    mode
        ``nearest``, or, for 1, 2 and 3 spatial axes, ``linear``, ``bilinear`` and ``trilinear``.
    align_corners
        Whether, in the linear modes, the first and the last elements' centres stay in place; otherwise
        the outer edges do.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid; with ``nearest``, if an axis does not grow by a whole factor.
    """

    example: ClassVar[dict[str, object]] = {"input_shape": (1, 4, 16, 16), "scale_factor": 2}
    symbols: ClassVar[dict[str, str]] = {
        "x": "X",
        **{f"weights_{axis}": f"R{axis}" for axis in POSITIONS[3]},
        **{f"stretched_{axis}": f"H{axis}" for axis in POSITIONS[3]},
    }

    input_shape: Shape
    size: PerAxis | None = None
    scale_factor: PerAxis | None = None
    mode: str = "nearest"
    align_corners: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = arguments.shape("input_shape", self.input_shape, (3, 4, 5), IMAGES)
        rank = len(sizes) - 2
        if (self.size is None) == (self.scale_factor is None):
            raise refuse("scale_factor", self.scale_factor, "given, or size, and not both")
        for name in ("size", "scale_factor"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, arguments.per_axis(name, getattr(self, name), rank))
        normal: dict[str, object] = {
            "input_shape": sizes,
            "mode": arguments.choice("mode", self.mode, ("nearest", LINEAR[rank])),
            "align_corners": arguments.flag("align_corners", self.align_corners),
            "dtype": arguments.dtype(self.dtype),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)
        if self.mode == "nearest":
            if self.align_corners:
                raise refuse("align_corners", True, "False where mode is 'nearest'")
            if any(new % old for old, new in zip(sizes[2:], self._sides, strict=True)):
                raise refuse("size", self.size, f"multiples of {sizes[2:]} where mode is 'nearest'")
        arguments.bounded("output_shape", self.output_shape)

    @property
    def _sides(self) -> tuple[int, ...]:
        """The spatial sizes of the output."""
        old = self.input_shape[2:]
        if self.size is not None:
            return arguments.spread(self.size, len(old))
        assert self.scale_factor is not None  # one of them is given
        return tuple(
            n * s for n, s in zip(old, arguments.spread(self.scale_factor, len(old)), strict=True)
        )

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return (*self.input_shape[:2], *self._sides)

    @cached_property
    def graph(self) -> Graph:
        """The repeated elements; or, along each axis, the sum of elements times their weights."""
        return self._repeated() if self.mode == "nearest" else self._interpolated()

    def _repeated(self) -> Graph:
        rank = len(self._sides)
        positions, taps = POSITIONS[rank], TAPS[rank]
        factors = [new // old for old, new in zip(self.input_shape[2:], self._sides, strict=True)]
        places = [index(p) * s + index(k) for p, s, k in zip(positions, factors, taps, strict=True)]
        n, c = index("n"), index("c")
        read = self.tensors["x"][(n, c, *map(index, positions))]
        extents = (
            *zip(("n", "c", *positions), self.input_shape, strict=True),
            *zip(taps, factors, strict=True),
        )
        target = Tensor("O", self.output_shape)[(n, c, *places)]
        return Graph((Program((Contraction(target, (read,), extents),)),))

    def _interpolated(self) -> Graph:
        """Return the axes' weights R, whole numbers over one divisor, and the sums, axis after axis."""
        rank = len(self._sides)
        weights: list[Step] = []
        sums: list[Step] = []
        x, shape = self.tensors["x"], list(self.input_shape)
        for axis, (p, u) in enumerate(zip(POSITIONS[rank], CELLS[rank], strict=True)):
            old, new = shape[2 + axis], self._sides[axis]
            table = Tensor(f"R{p}", (new, old))
            rows = _interpolation(old, new, self.align_corners)
            numbers = [number for row in rows for number in row]
            whole = lcm(*(number.denominator for number in numbers))
            weights.append(Constant(table, tuple(int(number * whole) for number in numbers)))
            shape[2 + axis] = new
            target = Tensor("O" if axis == rank - 1 else f"H{p}", tuple(shape))
            names = ["n", "c", *POSITIONS[rank]]
            read = [index(name) for name in names]
            read[2 + axis] = index(u)
            extents = (*zip(names, shape, strict=True), (u, old))
            factors = (Access(x, tuple(read)), table[index(p), index(u)])
            at = target[tuple(map(index, names))]
            sums.append(Program((Contraction(at, factors, extents, Fraction(1, whole)),)))
            x = target
        return Graph((*weights, *sums))


def _interpolation(old: int, new: int, align_corners: bool) -> list[list[Fraction]]:
    """Return, for each of the new elements of an axis, the weights of the old ones, which sum to 1."""
    rows = []
    for place in range(new):
        if align_corners:
            at = Fraction(place * (old - 1), new - 1) if new > 1 else Fraction(0)
        else:
            at = max(Fraction(0), (place + Fraction(1, 2)) * Fraction(old, new) - Fraction(1, 2))
        low = int(at)
        row = [Fraction(0)] * old
        row[low] += 1 - (at - low)
        row[min(low + 1, old - 1)] += at - low
        rows.append(row)
    return rows
