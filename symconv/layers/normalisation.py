"""Normalisation: deviations from a mean over their standard deviation; that of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import refuse
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer
from symconv.layers.torch_call import torch_call
from symconv.notation.backpropagation import gradient_of
from symconv.notation.contraction import Access, Tensor, index
from symconv.notation.graph import Graph, Step, each, needed, total
from symconv.notation.names import element

RANKS = (2, 3, 4, 5)


@dataclass(frozen=True)
class Normalisation(Layer, common=True):
    """What all have: for each of some cells, the mean and the variance of M elements."""

    symbols: ClassVar[dict[str, str]] = {
        "x": "X",
        "weight": "γ",
        "bias": "β",
        "mean": "A",
        "deviation": "D",
        "variance": "V",
        "inverse": "R",
        "scale": "K",
        "normalised": "Y",
        "mean_gradient": "P",
        "along": "Q",
    }
    words: ClassVar[dict[str, str]] = Layer.words | {"weight": "the weight"}

    input_shape: Shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output, which is that of the input."""
        return self.input_shape

    @property
    def normalisation(self) -> Normalisation:
        """The layer."""
        return self

    @property
    def share(self) -> float:
        """The batch's share in the new running statistics; 0 without any."""
        return 0.0

    @property
    def reasons(self) -> dict[str, str]:
        """Why fewer operations are enough, and where the closed form comes from."""
        return {
            "forward": "what does not depend on every index is computed once for all",
            "backward": "with Y = D · R, what comes through the mean A is the mean of the gradient, "
            "what comes through the variance V its mean along Y; the deviations' own mean is 0",
        }

    @property
    def initial(self) -> dict[str, float]:
        """Weights and running variances are 1."""
        return {"weight": 1.0, "running_var": 1.0}

    @property
    def _names(self) -> tuple[str, ...]:
        return element(len(self.input_shape))

    @property
    def _kept(self) -> tuple[int, ...]:
        """The axes that each have a mean of their own."""
        raise NotImplementedError

    @property
    def _count(self) -> int:
        """How many elements a mean is of."""
        return prod(n for axis, n in enumerate(self.input_shape) if axis not in self._kept)

    def _like_input(self, name: str) -> Access:
        return Tensor(name, self.input_shape)[tuple(map(index, self._names))]

    def _statistic(self, name: str) -> Access:
        """Return the element of a tensor that has one for each mean."""
        return self._along(name, self._kept)

    def _like_weight(self, name: str) -> Access:
        """Return the element of a tensor that is like the weight γ."""
        return self._along(name, self._affine)

    def _along(self, name: str, axes: Sequence[int]) -> Access:
        sizes = tuple(self.input_shape[axis] for axis in axes)
        return Tensor(name, sizes)[tuple(index(self._names[axis]) for axis in axes)]

    def _statistics(self) -> list[Step]:
        """Return the mean A, the deviations D and the variance V, biased."""
        x, d = self._like_input("X"), self._like_input("D")
        a, v = self._statistic("A"), self._statistic("V")
        share = Fraction(1, self._count)
        return [
            total(a, x, coefficient=share),
            each(d, "x - a", x=x, a=a),
            total(v, d, d, coefficient=share),
        ]

    @property
    def _affine(self) -> tuple[int, ...]:
        """The axes that the weight γ and the bias β have; none if there are none."""
        raise NotImplementedError

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Shapes of ``weight`` and ``bias``, if there are any."""
        shape = tuple(self.input_shape[axis] for axis in self._affine)
        return {"weight": shape, "bias": shape} if self._affine else {}

    def _weights(self) -> tuple[Access | float, Access | float]:
        """Return γ and β, or the numbers that change nothing."""
        return (self._like_weight("γ"), self._like_weight("β")) if self._affine else (1, 0)

    def _gradients(self, steps: list[Step]) -> Graph:
        """Return the graph of the gradients by the inputs that have one."""
        results = tuple(gradient_of(self.tensors[name]).name for name in self.differentiable)
        return needed(Graph(tuple(steps), results))


@dataclass(frozen=True)
class BatchNorm(Normalisation):
    """Batch normalisation of each channel: ``γ (X − A) / √(V + ε) + β``.

    In training, A and V are the mean and the biased variance of the batch. The running statistics move
    towards this mean and the unbiased variance: ``forward(x, weight, bias, running_mean, running_var)``
    returns ``(y, new_mean, new_var)``. Otherwise, A and V are the running statistics, and ``forward``
    returns ``y``. Running statistics have no gradient. Sizes and defaults are those of PyTorch.

    Parameters
    ----------
    input_shape
        Batch, channels, then up to three sizes.
    eps
        The number ε that is added to the variance.
    momentum
        The batch's share in the new running statistics, from 0 to 1.
    training
        Whether the statistics of the batch are used, instead of the running statistics.
    affine
        Whether each channel has a weight γ and a bias β.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid.

    References
    ----------
    S. Ioffe and C. Szegedy, Batch Normalization, 2015.
    """

    symbols: ClassVar[dict[str, str]] = Normalisation.symbols | {
        "running_mean": "μ",
        "running_var": "σ²",
        "new_mean": "μ′",
        "new_var": "σ²′",
    }
    words: ClassVar[dict[str, str]] = Normalisation.words | {
        "new_mean": "the new running mean",
        "new_var": "the new running variance",
    }

    eps: float = 1e-5
    momentum: float = 0.1
    training: bool = True
    affine: bool = True
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "batch, channels, then up to three sizes, all positive ints"
        sizes = arguments.shape("input_shape", self.input_shape, RANKS, valid)
        momentum = self.momentum
        if isinstance(momentum, bool) or not isinstance(momentum, int | float) or not 0 <= momentum <= 1:
            raise refuse("momentum", momentum, "a number from 0 to 1")
        normal: dict[str, object] = {
            "input_shape": sizes,
            "eps": arguments.positive("eps", self.eps),
            "momentum": float(momentum),
            "training": arguments.flag("training", self.training),
            "affine": arguments.flag("affine", self.affine),
            "dtype": arguments.dtype(self.dtype),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)
        if self.training and self._count == 1:
            raise refuse("input_shape", sizes, "more than one value per channel in training")

    @property
    def pytorch(self) -> str:
        """The call that makes the layer in ``torch.nn``."""
        rank = {2: 1, 3: 1, 4: 2, 5: 3}.get(len(self.input_shape))
        options = {"eps": self.eps, "momentum": self.momentum, "affine": self.affine}
        return torch_call(f"BatchNorm{rank}d", [self.input_shape[1]], options) if rank else ""

    @property
    def share(self) -> float:
        """The batch's share in the new running statistics."""
        return self.momentum

    @property
    def _kept(self) -> tuple[int, ...]:
        return (1,)

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of ``forward``'s inputs: the running statistics come last."""
        channels = self.input_shape[1:2]
        running = {"running_mean": channels, "running_var": channels}
        return {"x": self.input_shape} | self.parameters | running

    @property
    def inference(self) -> Layer:
        """The layer with the running statistics in place of the batch's."""
        return replace(self, training=False)

    @property
    def statistic_names(self) -> tuple[str, ...]:
        """The running mean and variance."""
        return ("running_mean", "running_var")

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The input and the parameters; running statistics have no gradient."""
        return ("x", *self.parameters)

    @property
    def updates(self) -> tuple[str, ...]:
        """In training, the new running statistics."""
        return ("new_mean", "new_var") if self.training else ()

    @property
    def _affine(self) -> tuple[int, ...]:
        return (1,) if self.affine else ()

    def _deviations(self) -> tuple[list[Step], Access]:
        """Return the steps to the deviations D, and where the variance is."""
        if self.training:
            return self._statistics(), self._along("V", (1,))
        x, mean = self._like_input("X"), self._along("μ", (1,))
        return [each(self._like_input("D"), "x - a", x=x, a=mean)], self._along("σ²", (1,))

    def _with_moved(self, *steps: Step) -> Graph:
        """Return the output's graph; in training, with the new running statistics."""
        if not self.training:
            return Graph(steps)
        m, count = self.momentum, self._count
        mean, new_mean, of_batch = (self._along(name, (1,)) for name in ("μ", "μ′", "A"))
        var, new_var, biased = (self._along(name, (1,)) for name in ("σ²", "σ²′", "V"))
        moved = (
            each(new_mean, "(1 - m)*r + m*a", r=mean, a=of_batch, m=m),
            each(new_var, "(1 - m)*r + m*count/(count - 1)*v", r=var, v=biased, m=m, count=count),
        )
        return Graph((*steps, *moved), ("O", "μ′", "σ²′"))

    @cached_property
    def graph(self) -> Graph:
        """The statistics, then γ D / √(V + ε) + β; in training, the new running statistics."""
        steps, v = self._deviations()
        o, d = self._like_input("O"), self._like_input("D")
        w, b = self._weights()
        return self._with_moved(
            *steps, each(o, "w*d/sqrt(v + eps) + b", d=d, v=v, eps=self.eps, w=w, b=b)
        )

    @cached_property
    def forward(self) -> Graph:
        """The same, with one factor K for each channel."""
        steps, v = self._deviations()
        k, o, d = self._along("K", (1,)), self._like_input("O"), self._like_input("D")
        w, b = self._weights()
        factor = each(k, "w/sqrt(v + eps)", v=v, w=w, eps=self.eps)
        return self._with_moved(*steps, factor, each(o, "k*d + b", k=k, d=d, b=b))

    @cached_property
    def backward(self) -> Graph:
        """In training, K times G without its mean and its part along Y; otherwise K times G."""
        steps, v = self._deviations()
        x, d, y, g = (self._like_input(name) for name in ("X", "D", "Y", "G"))
        r, k, p, q, gw, gb = (self._along(name, (1,)) for name in ("R", "K", "P", "Q", "∂E/∂γ", "∂E/∂β"))
        w, _ = self._weights()
        by = Access(gradient_of(x.tensor), x.subscripts)
        closed = each(by, "k*(g - p - y*q)", k=k, g=g, p=p, y=y, q=q)
        steps += [
            each(r, "1/sqrt(v + eps)", v=v, eps=self.eps),
            each(y, "d*r", d=d, r=r),
            total(gb, g),
            total(gw, g, y),
            each(k, "w*r", w=w, r=r),
            each(p, "gb/count", gb=gb, count=self._count),
            each(q, "gw/count", gw=gw, count=self._count),
            closed if self.training else each(by, "k*g", k=k, g=g),
        ]
        return self._gradients(steps)
