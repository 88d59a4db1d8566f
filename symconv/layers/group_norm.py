"""Normalisation over groups of channels, and over each channel, of every sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from symconv.layers import arguments
from symconv.layers.arguments import refuse
from symconv.layers.batch import Shape
from symconv.layers.layer import Layer, smaller_sizes, with_size
from symconv.layers.layer_norm import PerSample
from symconv.layers.normalisation import RANKS
from symconv.notation.contraction import Access, Tensor, index
from symconv.notation.polynomial import Polynomial


@dataclass(frozen=True)
class GroupNorm(PerSample):
    """Normalisation over groups of neighbouring channels: ``γ (X − A) / √(V + ε) + β``.

    Every sample has a mean and a variance for each group, over its channels and all positions.
    Arguments and defaults are those of PyTorch.

    Parameters
    ----------
    input_shape
        Batch, channels, then up to three sizes.
    num_groups
        The number of groups, which divides the number of channels.
    eps
        The number ε that is added to the variance.
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
    Y. Wu and K. He, Group Normalization, 2018.
    """

    example: ClassVar[dict[str, object]] = {"input_shape": (1, 4, 16, 16), "num_groups": 2}

    input_shape: Shape
    num_groups: int
    eps: float = 1e-5
    affine: bool = True
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "batch, channels, then up to three sizes, all positive ints"
        sizes = arguments.shape("input_shape", self.input_shape, RANKS, valid)
        groups = arguments.integer("num_groups", self.num_groups, 1, "a positive int")
        if sizes[1] % groups:
            raise refuse("num_groups", groups, f"a divisor of the number of channels, {sizes[1]}")
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "num_groups", groups)
        object.__setattr__(self, "eps", arguments.positive("eps", self.eps))
        object.__setattr__(self, "affine", arguments.flag("affine", self.affine))
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    def reductions(self) -> Iterator[Layer]:
        """Visit the layers with one size, or the groups with their channels, reduced."""
        yield from super().reductions()
        for less in smaller_sizes(self.num_groups):
            shape = with_size(self.input_shape, 1, less * self._channels)
            yield from self._reduced(input_shape=shape, num_groups=less)

    @property
    def _channels(self) -> int:
        """How many channels a group has."""
        return int(self.input_shape[1]) // self.num_groups

    @property
    def _count(self) -> int:
        return self._channels * prod(self.input_shape[2:])

    @property
    def _affine(self) -> tuple[int, ...]:
        return (1,) if self.affine else ()

    @property
    def _channel(self) -> Polynomial:
        return index("g") * self._channels + index("c")

    def _like_input(self, name: str) -> Access:
        n, c, *positions = map(index, self._names)
        if name in ("X", "O", "G"):
            return Tensor(name, self.input_shape)[n, self._channel, *positions]
        batch, _, *sizes = self.input_shape  # what is between them has an axis for the groups
        shape = (batch, self.num_groups, self._channels, *sizes)
        return Tensor(name, shape)[n, index("g"), c, *positions]

    def _statistic(self, name: str) -> Access:
        return Tensor(name, (self.input_shape[0], self.num_groups))[index("n"), index("g")]

    def _like_weight(self, name: str) -> Access:
        return Tensor(name, self.input_shape[1:2])[(self._channel,)]


@dataclass(frozen=True)
class InstanceNorm(PerSample):
    """Normalisation of each channel of each sample over its positions: ``γ (X − A) / √(V + ε) + β``.

    Arguments and defaults are those of PyTorch, without running statistics.

    Parameters
    ----------
    input_shape
        Batch, channels, then one to three sizes.
    eps
        The number ε that is added to the variance.
    affine
        Whether each channel has a weight γ and a bias β.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, or a channel has a single value.

    References
    ----------
    D. Ulyanov, A. Vedaldi and V. Lempitsky, Instance Normalization, 2016.
    """

    input_shape: Shape
    eps: float = 1e-5
    affine: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = "batch, channels, then one to three sizes, all positive ints"
        sizes = arguments.shape("input_shape", self.input_shape, RANKS[1:], valid)
        if prod(sizes[2:]) == 1:
            raise refuse("input_shape", sizes, "more than one value per channel and sample")
        object.__setattr__(self, "input_shape", sizes)
        object.__setattr__(self, "eps", arguments.positive("eps", self.eps))
        object.__setattr__(self, "affine", arguments.flag("affine", self.affine))
        object.__setattr__(self, "dtype", arguments.dtype(self.dtype))

    @property
    def _kept(self) -> tuple[int, ...]:
        return (0, 1)

    @property
    def _affine(self) -> tuple[int, ...]:
        return (1,) if self.affine else ()
