"""The rectifier whose slope below 0 is learnt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import refuse
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer, smaller_sizes, with_size
from symconv.notation.contraction import Tensor, index
from symconv.notation.graph import Graph, each
from symconv.notation.names import element


@dataclass(frozen=True)
class PReLU(Layer):
    """The rectifier with a slope below 0: X where X > 0, else α · X.

    At 0 the derivative is the slope α. Arguments are those of PyTorch.

    Parameters
    ----------
    input_shape
        Batch, channels, then up to three sizes.
    num_parameters
        1, a slope for all channels; or the number of channels, a slope for each.
    init
        What the slopes begin with in a network.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, Delving Deep into Rectifiers, 2015.
    """

    symbols: ClassVar[dict[str, str]] = {"x": "X", "weight": "α"}
    words: ClassVar[dict[str, str]] = {"x": "the input", "weight": "the slope"}

    input_shape: Shape
    num_parameters: int = 1
    init: float = 0.25
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "batch, channels, then up to three sizes, all positive ints"
        sizes = arguments.shape("input_shape", self.input_shape, (2, 3, 4, 5), valid)
        valid = f"1 or the number of channels, {sizes[1]}"
        number = arguments.integer("num_parameters", self.num_parameters, 1, valid)
        if number not in (1, sizes[1]):
            raise refuse("num_parameters", number, valid)
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "num_parameters", number)
        object.__setattr__(self, "init", arguments.number("init", self.init, "a finite number"))
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    def reads(self, axis: int, at: int, size: int) -> tuple[int, int] | None:
        """Return the same element."""
        return at, at

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output, which is that of the input."""
        return self.input_shape

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Shape of ``weight``, the slope."""
        return {"weight": (self.num_parameters,)}

    @property
    def initial(self) -> dict[str, float]:
        """The slopes begin with ``init``."""
        return {"weight": self.init}

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one size reduced; the channels together with their slopes."""
        yield from super().reductions()
        for less in smaller_sizes(self.input_shape[1]) if self.num_parameters > 1 else ():
            shape = with_size(self.input_shape, 1, less)
            yield from self._reduced(input_shape=shape, num_parameters=less)

    @cached_property
    def graph(self) -> Graph:
        """The function of every element."""
        names = element(len(self.input_shape))
        x = self.tensors["x"][tuple(map(index, names))]
        slope = self.tensors["weight"][index("c") if self.num_parameters > 1 else 0]
        target = Tensor("O", self.output_shape)[x.subscripts]
        return Graph((each(target, "where(x > 0, x, w*x)", x=x, w=slope),))
