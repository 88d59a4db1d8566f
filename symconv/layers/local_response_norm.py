"""Local response normalisation: each channel over a power of its neighbours' squares."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.notation.contraction import Contraction, Program, Tensor, index
from symconv.notation.graph import Graph, each
from symconv.notation.names import element


@dataclass(frozen=True)
class LocalResponseNorm(Layer):
    """Each element over ``(k + α/size · S)^β``; S sums the squares of ``size`` neighbouring channels.

    Channel c's neighbours are ``c - ⌊size/2⌋ … c + ⌈size/2⌉ - 1``; those outside count as 0. Arguments
    and defaults are those of PyTorch.

    Parameters
    ----------
    input_shape
        Batch, channels, then up to three sizes.
    size
        The number of channels, the own one included.
    alpha, beta, k
        The numbers α, β and k. k must be positive, α not negative.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.

    References
    ----------
    A. Krizhevsky, I. Sutskever and G. E. Hinton, ImageNet Classification with Deep Convolutional Neural
    Networks, 2012.
    """

    example: ClassVar[dict[str, object]] = {"input_shape": (1, 4, 16, 16), "size": 3}
    symbols: ClassVar[dict[str, str]] = {"x": "X", "squares": "S"}

    input_shape: Shape
    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "batch, channels, then up to three sizes, all positive ints"
        not_negative = "a finite number, not negative"
        normal: dict[str, object] = {
            "input_shape": arguments.shape("input_shape", self.input_shape, (2, 3, 4, 5), valid),
            "size": arguments.integer("size", self.size, 1, "a positive int"),
            "alpha": arguments.number("alpha", self.alpha, not_negative),
            "beta": arguments.number("beta", self.beta, "a finite number"),
            "k": arguments.positive("k", self.k),
            "dtype": arguments.dtype(self.dtype),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)
        if self.alpha < 0:
            raise arguments.refuse("alpha", self.alpha, not_negative)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output, which is that of the input."""
        return self.input_shape

    @cached_property
    def graph(self) -> Graph:
        """The sums of squares S, and the quotient."""
        names = element(len(self.input_shape))
        place = tuple(map(index, names))
        x, s = self.tensors["x"][place], Tensor("S", self.input_shape)[place]
        near = (place[0], place[1] + index("k") - self.size // 2, *place[2:])
        read = self.tensors["x"][near]
        extents = (*zip(names, self.input_shape, strict=True), ("k", self.size))
        share = Fraction(self.alpha) / self.size
        squares = Program((Contraction(s, (read, read), extents),))
        text = "x / (k + share*s)^beta"
        given = {"share": float(share), "k": self.k, "beta": self.beta}
        return Graph((squares, each(Tensor("O", self.output_shape)[place], text, x=x, s=s, **given)))
