"""Softmax, and what it has in common with its cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.notation.backpropagation import gradient_of
from symconv.notation.contraction import Access, Tensor, index
from symconv.notation.graph import Graph, Step, each, total
from symconv.notation.names import element

RANKS = (2, 3, 4, 5)


@dataclass(frozen=True)
class _Exponential(Layer, common=True):
    """What softmax and its cross-entropy have in common: exponentials along an axis, and their sum.

    ``M`` is their greatest argument. It is taken off before, so that none overflows, and cancels.
    """

    symbols: ClassVar[dict[str, str]] = {
        "x": "X",
        "greatest": "M",
        "shifted": "D",
        "exponential": "U",
        "total": "S",
    }

    _because: ClassVar[str]
    input_shape: Shape

    @property
    def has_shares(self) -> bool:
        """Whether exponentials are divided by their sum."""
        return True

    @property
    def _class_axis(self) -> int:
        return 1

    @property
    def reasons(self) -> dict[str, str]:
        """Why the maximum may be subtracted, and where the closed form comes from."""
        return {
            "forward": "exp(X - M) = exp(X)/exp(M), and exp(M) cancels; none overflows, one is 1",
            "backward": self._because,
        }

    def _places(self) -> tuple[Access, Access]:
        """Return a place of the input, and the same without the classes' index."""
        names = element(len(self.input_shape))
        x = self.tensors["x"]
        rows = [name for axis, name in enumerate(names) if axis != self._class_axis]
        sizes = [size for axis, size in enumerate(self.input_shape) if axis != self._class_axis]
        return x[tuple(map(index, names))], Tensor("", tuple(sizes))[tuple(map(index, rows))]

    def _defined(self) -> list[Step]:
        """Return U = exp(X) and its sum S."""
        x, row = self._places()
        u, s = renamed(x, "U"), renamed(row, "S")
        return [each(u, "exp(x)", x=x), total(s, u)]

    def _computed(self) -> list[Step]:
        """Return U = exp(X − M) and its sum S: M cancels in U/S."""
        x, row = self._places()
        m, d, u, s = renamed(row, "M"), renamed(x, "D"), renamed(x, "U"), renamed(row, "S")
        return [
            total(m, x, reduce="max"),
            each(d, "x - m", x=x, m=m),
            each(u, "exp(d)", d=d),
            total(s, u),
        ]


def renamed(access: Access, name: str) -> Access:
    """Return the same place in another tensor of the same shape."""
    return Access(Tensor(name, access.tensor.shape), access.subscripts)


@dataclass(frozen=True)
class Softmax(_Exponential):
    """Softmax along an axis: ``O[n, c] = exp(X[n, c]) / Σ_k exp(X[n, k])``.

    The gradient is ``∂E/∂X = O · (G - Σ_k G[n, k] · O[n, k])``.

    Parameters
    ----------
    input_shape
        Any shape with two to five axes.
    axis
        The axis along which elements sum to 1: 0 is the batch, 1 the channels, -1 the last axis.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """

    symbols: ClassVar[dict[str, str]] = _Exponential.symbols | {"y": "O", "along": "P"}
    _because: ClassVar[str] = "U/S is O, and through S the same comes to all: the sum P of G · O"

    axis: int = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = arguments.shape("input_shape", self.input_shape, RANKS, "two to five positive ints")
        axis = arguments.axis("axis", self.axis, len(sizes))
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "axis", axis)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def pytorch(self) -> str:
        """The call that makes the layer in ``torch.nn``."""
        return f"Softmax(dim={self.axis})"

    @property
    def _class_axis(self) -> int:
        return self.axis

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output, which is that of the input."""
        return self.input_shape

    def _shares(self) -> Step:
        x, row = self._places()
        return each(renamed(x, "O"), "u / s", u=renamed(x, "U"), s=renamed(row, "S"))

    @cached_property
    def graph(self) -> Graph:
        """The exponentials, their sum, and their quotient."""
        return Graph((*self._defined(), self._shares()))

    @cached_property
    def forward(self) -> Graph:
        """The same after subtracting the maximum along the axis, which cancels."""
        return Graph((*self._computed(), self._shares()), held=("M",))

    @cached_property
    def backward(self) -> Graph:
        """The output again, then O · (G − P), where P is the sum of G · O."""
        x, row = self._places()
        o, g, p = renamed(x, "O"), renamed(x, "G"), renamed(row, "P")
        by = Access(gradient_of(x.tensor), x.subscripts)
        closed = each(by, "o * (g - p)", o=o, g=g, p=p)
        return Graph((*self.forward.steps, total(p, g, o), closed), (by.tensor.name,))
