"""Dropout: elements that a mask sets to 0."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.notation.contraction import Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import element


@dataclass(frozen=True)
class Dropout(Layer):
    """Elements set to 0 where a mask is 0; the others are divided by the share that is kept.

    ``O[n, c, …] = X[n, c, …] · M[n, c, …] / (1 - p)`` (N. Srivastava et al., Dropout, 2014). Outside
    training, O is X. Arguments are those of ``torch.nn.Dropout``.

    A generated module takes the mask, so that forward and backward see the same one. Its ``draw_mask``
    returns one that is 1 with probability 1 - p, independently for every element; in a network,
    ``draw_masks`` returns those of all layers.

    Parameters
    ----------
    input_shape
        Any shape with one to five axes.
    p
        The probability that an element is set to 0, from 0 to below 1.
    training
        Whether the mask is applied.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """

    symbols: ClassVar[dict[str, str]] = {"x": "X", "mask": "M"}
    words: ClassVar[dict[str, str]] = {"x": "the input", "mask": "the mask"}

    input_shape: Shape
    p: float = 0.5
    training: bool = True
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "one to five positive ints"
        sizes = arguments.shape("input_shape", self.input_shape, range(1, 6), valid)
        p = arguments.number("p", self.p, "a number from 0 to below 1")
        if not 0 <= p < 1:
            raise arguments.refuse("p", self.p, "a number from 0 to below 1")
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "p", p)
        object.__setattr__(self, "training", arguments.flag("training", self.training))
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    def reads(self, axis: int, at: int, size: int) -> tuple[int, int] | None:
        """Return the same element."""
        return at, at

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return self.input_shape

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The input and, in training, the mask."""
        return {"x": self.input_shape} | dict.fromkeys(self.masks, self.input_shape)

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The input; a mask has no gradient."""
        return ("x",)

    @property
    def masks(self) -> dict[str, float]:
        """The mask, and the share that it keeps."""
        return {"mask": float(1 - Fraction(str(self.p)))} if self.training else {}

    @property
    def inference(self) -> Layer:
        """Outside training nothing is dropped."""
        return replace(self, training=False)

    @property
    def is_view(self) -> bool:
        """Outside training the output is the input."""
        return not self.training

    @cached_property
    def graph(self) -> Graph:
        """The product with the mask, divided by the share that is kept."""
        names = element(len(self.input_shape))
        place = tuple(map(index, names))
        factors = tuple(tensor[place] for tensor in self.tensors.values())
        kept = 1 - Fraction(str(self.p)) if self.training else 1
        extents = tuple(zip(names, self.input_shape, strict=True))
        target = Tensor("O", self.output_shape)[place]
        return Graph((Program((Contraction(target, factors, extents, 1 / Fraction(kept)),)),))
