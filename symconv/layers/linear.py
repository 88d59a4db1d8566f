"""A matrix product along the last axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer, smaller_sizes
from symconv.layers.torch_call import torch_call
from symconv.notation.contraction import Contraction, Program, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import element


@dataclass(frozen=True)
class Linear(Layer):
    """A fully connected layer.

    ``O[n, o] = b[o] + Σ_c X[n, c] · F[o, c]``. Weight layout ``(out, in)`` and sizes are PyTorch's.

    Parameters
    ----------
    input_shape
        Batch first and features last; axes between them are kept.
    out_features
        Number of output features.
    bias
        Whether a bias of shape ``(out,)`` is added.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.
    """

    example: ClassVar[dict[str, object]] = {"input_shape": (1, 4, 16, 16), "out_features": 10}
    words: ClassVar[dict[str, str]] = Layer.words | {"weight": "the weight"}

    input_shape: Shape
    out_features: int
    bias: bool = True
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "batch, up to three axes, and features, all positive ints"
        normal: dict[str, object] = {
            "input_shape": arguments.shape("input_shape", self.input_shape, (2, 3, 4, 5), valid),
            "out_features": arguments.integer("out_features", self.out_features, 1, "a positive int"),
            "bias": arguments.flag("bias", self.bias),
            "dtype": arguments.dtype(self.dtype),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)
        arguments.bounded("output_shape", self.output_shape)
        arguments.bounded("weight", self.parameters["weight"])

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return (*self.input_shape[:-1], self.out_features)

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Shapes of ``weight`` and, with a bias, of ``bias``."""
        weight = (self.out_features, self.input_shape[-1])
        return {"weight": weight} | ({"bias": (self.out_features,)} if self.bias else {})

    @property
    def pytorch(self) -> str:
        """The call that makes the layer in ``torch.nn``."""
        return torch_call("Linear", [self.input_shape[-1], self.out_features], {"bias": self.bias})

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one size reduced."""
        yield from super().reductions()
        for features in smaller_sizes(self.out_features):
            yield from self._reduced(out_features=features)

    @cached_property
    def graph(self) -> Graph:
        """The product and its bias."""
        n, _, *between = element(len(self.input_shape))
        rows = dict(zip((n, *between), self.input_shape[:-1], strict=True))
        kept = tuple(map(index, rows))
        target = Tensor("O", self.output_shape)[(*kept, index("o"))]
        sizes = {**rows, "o": self.out_features, "c": self.input_shape[-1]}
        product = Contraction(
            target,
            (self.tensors["x"][(*kept, index("c"))], self.tensors["weight"][index("o"), index("c")]),
            tuple(sizes.items()),
        )
        if not self.bias:
            return Graph((Program((product,)),))
        added = Contraction(target, (self.tensors["bias"][index("o")],), product.extents[:-1])
        return Graph((Program((product, added)),))
