"""Channels spread over positions: sub-pixel convolution's last step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import refuse
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer, smaller_sizes, with_size
from symconv.notation.contraction import Contraction, Program, Tensor, index
from symconv.notation.graph import Graph


@dataclass(frozen=True)
class PixelShuffle(Layer):
    """Blocks of r² channels spread over r × r positions.

    ``O[n, c, r·y + i, r·x + j] = X[n, r²·c + r·i + j, y, x]``, where i and j are below r.

    Parameters
    ----------
    input_shape
        Batch, channels, height and width.
    upscale_factor
        The factor r by which both sides grow. The channels must be a multiple of r².
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.

    References
    ----------
    W. Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network, 2016.
    """

    example: ClassVar[dict[str, object]] = {"input_shape": (1, 4, 16, 16), "upscale_factor": 2}

    input_shape: Shape
    upscale_factor: int
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "batch, channels, height and width, all positive ints"
        sizes = arguments.shape("input_shape", self.input_shape, (4,), valid)
        factor = arguments.integer("upscale_factor", self.upscale_factor, 1, "a positive int")
        if sizes[1] % factor**2:
            raise refuse(
                "upscale_factor", factor, f"such that its square divides the {sizes[1]} channels"
            )
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "upscale_factor", factor)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        n, c, *sides = self.input_shape
        return (n, c // self.upscale_factor**2, *(side * self.upscale_factor for side in sides))

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one size, or the factor, reduced."""
        yield from super().reductions()
        channels = self.output_shape[1]
        for less in smaller_sizes(self.upscale_factor):
            shape = with_size(self.input_shape, 1, channels * less**2)
            yield from self._reduced(input_shape=shape, upscale_factor=less)

    @cached_property
    def graph(self) -> Graph:
        """The copy of every element."""
        r = self.upscale_factor
        n, c, y, x, i, j = map(index, "ncyxij")
        output = Tensor("O", self.output_shape)[n, c, y * r + i, x * r + j]
        read = self.tensors["x"][n, c * r**2 + i * r + j, y, x]
        sizes = zip(
            "ncyx", (self.input_shape[0], self.output_shape[1], *self.input_shape[2:]), strict=True
        )
        return Graph((Program((Contraction(output, (read,), (*sizes, ("i", r), ("j", r))),)),))
