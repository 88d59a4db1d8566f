"""The mean squared error."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.layer import Layer
from symconv.layers.softmax import renamed
from symconv.notation.backpropagation import gradient_of
from symconv.notation.contraction import Access, Tensor, index
from symconv.notation.graph import Graph, Step, each, total
from symconv.notation.names import element

REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class MeanSquaredError(Layer):
    """The loss ``(X − T)²``, averaged or summed over all elements.

    The functions are ``forward(x, target)`` and ``backward(grad_output, x, target)``. The target has
    the input's shape and no gradient. The output is a scalar.

    Parameters
    ----------
    input_shape
        Any shape with one to five axes.
    reduction
        ``"mean"`` over all elements, or ``"sum"``.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """

    symbols: ClassVar[dict[str, str]] = {"x": "X", "target": "T", "difference": "D"}

    input_shape: tuple[int, ...]
    reduction: str = "mean"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = arguments.shape(
            "input_shape", self.input_shape, (1, 2, 3, 4, 5), "one to five positive ints"
        )
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "reduction", arguments.choice("reduction", self.reduction, REDUCTIONS))
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output, which is a scalar."""
        return ()

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of ``forward``'s inputs."""
        return {"x": self.input_shape, "target": self.input_shape}

    @property
    def label_names(self) -> tuple[str, ...]:
        """The target."""
        return ("target",)

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The input; the target has no gradient."""
        return ("x",)

    @property
    def reasons(self) -> dict[str, str]:
        """Where the closed form comes from."""
        return {"backward": "∂E/∂D is put where it is read"}

    @property
    def _count(self) -> int:
        return prod(self.input_shape) if self.reduction == "mean" else 1

    def _difference(self) -> tuple[Access, Step]:
        x = self.tensors["x"][tuple(map(index, element(len(self.input_shape))))]
        d = renamed(x, "D")
        return d, each(d, "x - t", x=x, t=renamed(x, "T"))

    @cached_property
    def graph(self) -> Graph:
        """The differences, and the sum of their squares."""
        d, difference = self._difference()
        return Graph(
            (difference, total(Tensor("O", ())[()], d, d, coefficient=Fraction(1, self._count)))
        )

    @cached_property
    def backward(self) -> Graph:
        """G times twice the differences, averaged or summed like the loss."""
        d, difference = self._difference()
        by = Access(gradient_of(self.tensors["x"]), d.subscripts)
        closed = each(by, "2 * g * d / count", g=self.cotangent[()], d=d, count=self._count)
        return Graph((difference, closed))
