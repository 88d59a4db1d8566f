"""Normalisation of each sample by its own mean and variance; that of layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import refuse
from symconv.layers.layer import Layer, smaller_sizes, with_size
from symconv.layers.normalisation import RANKS, Normalisation
from symconv.layers.torch_call import torch_call
from symconv.notation.backpropagation import gradient_of
from symconv.notation.contraction import Access
from symconv.notation.graph import Graph, Step, each, total


class PerSample(Normalisation, common=True):
    """What normalisations without running statistics have: ``γ (X − A) / √(V + ε) + β``."""

    symbols: ClassVar[dict[str, str]] = Normalisation.symbols | {"weighted": "H"}

    eps: float

    @cached_property
    def graph(self) -> Graph:
        """The statistics, then γ D / √(V + ε) + β."""
        o, d, v = self._like_input("O"), self._like_input("D"), self._statistic("V")
        w, b = self._weights()
        out = each(o, "w*d/sqrt(v + eps) + b", d=d, v=v, eps=self.eps, w=w, b=b)
        return Graph((*self._statistics(), out))

    def _inverse(self) -> Step:
        r, v = self._statistic("R"), self._statistic("V")
        return each(r, "1/sqrt(v + eps)", v=v, eps=self.eps)

    @cached_property
    def forward(self) -> Graph:
        """The same, with one factor R for each mean."""
        o, d, r = self._like_input("O"), self._like_input("D"), self._statistic("R")
        w, b = self._weights()
        return Graph((*self._statistics(), self._inverse(), each(o, "w*d*r + b", d=d, r=r, w=w, b=b)))

    @cached_property
    def backward(self) -> Graph:
        """R times H = γ G without its mean P and its part Q along Y."""
        x, d, y, g = (self._like_input(name) for name in ("X", "D", "Y", "G"))
        h = self._like_input("H") if self._affine else g
        r, p, q = (self._statistic(name) for name in ("R", "P", "Q"))
        gw, gb = (self._like_weight(name) for name in ("∂E/∂γ", "∂E/∂β"))
        w, _ = self._weights()
        share = Fraction(1, self._count)
        by = Access(gradient_of(x.tensor), x.subscripts)
        weighted: list[Step] = [total(gb, g), total(gw, g, y), each(h, "w*g", w=w, g=g)]
        steps: list[Step] = [
            *self._statistics(),
            self._inverse(),
            each(y, "d*r", d=d, r=r),
            *(weighted if self._affine else ()),
            total(p, h, coefficient=share),
            total(q, h, y, coefficient=share),
            each(by, "r*(h - p - y*q)", r=r, h=h, p=p, y=y, q=q),
        ]
        return self._gradients(steps)


@dataclass(frozen=True)
class LayerNorm(PerSample):
    """Layer normalisation over the last axes: ``γ (X − A) / √(V + ε) + β``.

    Arguments and defaults are those of PyTorch.

    Parameters
    ----------
    input_shape
        Any shape with two to five axes, the batch first.
    normalized_shape
        The last sizes of the input, over which the statistics are computed; by default, all sizes
        except the batch.
    eps
        The number ε that is added to the variance.
    elementwise_affine
        Whether there are a weight γ and a bias β of shape ``normalized_shape``.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.

    References
    ----------
    J. L. Ba, J. R. Kiros and G. E. Hinton, Layer Normalization, 2016.
    """

    normalized_shape: tuple[int, ...] | None = None
    eps: float = 1e-5
    elementwise_affine: bool = True
    dtype: str = "float32"

    def __post_init__(self) -> None:
        sizes = arguments.shape("input_shape", self.input_shape, RANKS, "two to five positive ints")
        last = self.normalized_shape
        valid = f"the last sizes of the input, such as {sizes[1:]}"
        if last is not None:
            last = (last,) if isinstance(last, int) else last
            last = arguments.shape("normalized_shape", last, range(1, len(sizes) + 1), valid)
            if last != sizes[-len(last) :]:
                raise refuse("normalized_shape", self.normalized_shape, valid)
            last = None if last == sizes[1:] else last  # one spelling for one layer
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "normalized_shape", last)
        object.__setattr__(self, "eps", arguments.positive("eps", self.eps))
        affine = arguments.flag("elementwise_affine", self.elementwise_affine)
        object.__setattr__(self, "elementwise_affine", affine)
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one size reduced."""
        for axis, size in enumerate(self.input_shape):
            for less in smaller_sizes(size):
                shape = with_size(self.input_shape, axis, less)
                last = self.normalized_shape
                yield from self._reduced(
                    input_shape=shape, normalized_shape=last and shape[-len(last) :]
                )

    @property
    def pytorch(self) -> str:
        """The call that makes the layer in ``torch.nn``."""
        options = {"eps": self.eps, "elementwise_affine": self.elementwise_affine}
        shape = self.parameters.get("weight") or self.normalized_shape or self.input_shape[1:]
        return torch_call("LayerNorm", [shape], options)

    @property
    def _normalised(self) -> tuple[int, ...]:
        rank = len(self.input_shape)
        count = rank - 1 if self.normalized_shape is None else len(self.normalized_shape)
        return tuple(range(rank - count, rank))

    @property
    def _kept(self) -> tuple[int, ...]:
        return tuple(range(len(self.input_shape) - len(self._normalised)))

    @property
    def _affine(self) -> tuple[int, ...]:
        return self._normalised if self.elementwise_affine else ()
