"""Losses of single elements: the mean squared error, and the cross-entropy of two classes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.activations import NAMED
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.layers.softmax import renamed
from symconv.notation.backpropagation import gradient_of
from symconv.notation.contraction import Access, Program, Tensor, index
from symconv.notation.graph import Graph, Step, each, total
from symconv.notation.names import element

REDUCTIONS = ("mean", "sum")
SOFTPLUS = NAMED["softplus"]


@dataclass(frozen=True)
class _OfElements(Layer, common=True):
    """What losses of single elements have: a target for each, and a mean or a sum."""

    input_shape: Shape
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
    def _count(self) -> int:
        return prod(self.input_shape) if self.reduction == "mean" else 1

    def _place(self) -> Access:
        return self.tensors["x"][tuple(map(index, element(len(self.input_shape))))]

    def _added(self, *factors: Access) -> Program:
        """Return the mean, or the sum, of products."""
        return total(Tensor("O", ())[()], *factors, coefficient=Fraction(1, self._count))


@dataclass(frozen=True)
class MeanSquaredError(_OfElements):
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

    @property
    def reasons(self) -> dict[str, str]:
        """Where the closed form comes from."""
        return {"backward": "∂E/∂D is put where it is read"}

    def _difference(self) -> tuple[Access, Step]:
        x = self._place()
        d = renamed(x, "D")
        return d, each(d, "x - t", x=x, t=renamed(x, "T"))

    @cached_property
    def graph(self) -> Graph:
        """The differences, and the sum of their squares."""
        d, difference = self._difference()
        return Graph((difference, self._added(d, d)))

    @cached_property
    def backward(self) -> Graph:
        """G times twice the differences, averaged or summed like the loss."""
        d, difference = self._difference()
        by = Access(gradient_of(self.tensors["x"]), d.subscripts)
        closed = each(by, "2 * g * d / count", g=self.cotangent[()], d=d, count=self._count)
        return Graph((difference, closed))


@dataclass(frozen=True)
class BinaryCrossEntropyWithLogits(_OfElements):
    """The cross-entropy of two classes, ``log(1 + exp(X)) - X·T``, averaged or summed over all elements.

    The functions are ``forward(x, target)`` and ``backward(grad_output, x, target)``. X is the logarithm
    of the odds; the target, between 0 and 1, has the input's shape and no gradient. The output is a
    scalar. What is computed overflows for no X.

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

    symbols: ClassVar[dict[str, str]] = {"x": "X", "target": "T", "losses": "L"}

    @property
    def reasons(self) -> dict[str, str]:
        """Why it does not overflow, and where the closed form comes from."""
        return {
            "forward": "log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)): no exponential is above 1",
            "backward": "the derivative of log(1 + exp(x)) is 1/(1 + exp(-x)), which is "
            "exp(x)/(1 + exp(x)) where x < 0",
        }

    def _summed(self, text: str) -> Graph:
        x = self._place()
        losses = renamed(x, "L")
        return Graph((each(losses, text, x=x, t=renamed(x, "T")), self._added(losses)))

    @cached_property
    def graph(self) -> Graph:
        """The loss of each element, and their mean or sum."""
        return self._summed(f"{SOFTPLUS.definition} - x*t")

    @cached_property
    def forward(self) -> Graph:
        """The same, in a form that does not overflow."""
        return self._summed(f"{SOFTPLUS.value} - x*t")

    @cached_property
    def backward(self) -> Graph:
        """G times the probability 1/(1 + exp(-X)) minus the target, averaged or summed like the loss."""
        x = self._place()
        by = Access(gradient_of(self.tensors["x"]), x.subscripts)
        text = f"g * ({SOFTPLUS.slope} - t) / count"
        g = self.cotangent[()]
        return Graph((each(by, text, g=g, x=x, t=renamed(x, "T"), count=self._count),))
