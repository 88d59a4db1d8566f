"""Convolution with known coefficients: zeros are skipped, separable filters become passes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from symconv.layers.arguments import Padding, PerAxis, dtype, refuse
from symconv.layers.batch import Shape
from symconv.layers.conv import Conv
from symconv.layers.layer import Layer
from symconv.layers.window import Window
from symconv.notation.backpropagation import gradients
from symconv.notation.contraction import Contraction, Program, Tensor, index
from symconv.notation.graph import Constant, Graph
from symconv.notation.names import CELLS, POSITIONS
from symconv.notation.polynomial import Polynomial
from symconv.notation.separable import (
    Chain,
    Numbers,
    Pass,
    Taps,
    chains,
    difference,
    nearest,
    summed,
)

Nested: TypeAlias = float | Sequence["Nested"] | NDArray[Any]

MOST = 4096  # numbers of a filter: they are printed
Channels: TypeAlias = tuple[int, int]  # an output's, and the input's in its group
PASSES = 64  # more than these, or than taps, are left to an algorithm that multiplies matrices


@dataclass(frozen=True)
class Filter(Layer):
    """A convolution with known coefficients, such as Sobel's; only the input and bias have gradients.

    ``O[n, o, p] = b[o] + Σ_{c,k} X[n, c, s·p + d·k - lo] · F[o, c, k]`` along each spatial axis, as
    in :class:`Conv`.

    Parameters
    ----------
    input_shape
        Batch, channels, then 1, 2 or 3 spatial sizes.
    weight
        The filter F: an array or nested sequences of shape ``(out, in/groups, *kernel)``. Coefficients
        must be finite, and are rounded to ``dtype``.
    stride, dilation
        An int, or one per spatial axis.
    padding
        An int, one per axis, pairs ``(lo, hi)`` per axis, ``"valid"``, ``"full"``, ``"same"`` or
        ``"same_lower"``, as for :class:`Conv`.
    groups
        Number of channel groups; each group is convolved independently of the others.
    bias
        Whether a bias of shape ``(out,)`` is added.
    padding_mode
        ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
    flip
        ``True`` rotates the filter by 180°, as the mathematical convolution does.
    tolerance
        How much each coefficient may change to make the filter separable, relative to the largest
        coefficient of the channel's filter. Use 1e-6 for a sampled Gaussian, whose rounded coefficients
        are not exact products.
    dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    SymconvError
        If an argument is not valid, or no window fits into the padded input.
    """

    example: ClassVar[dict[str, object]] = {
        "input_shape": (1, 1, 16, 16),
        "weight": [[[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]]],
    }

    input_shape: Shape
    weight: Nested
    stride: PerAxis = 1
    padding: Padding = 0
    dilation: PerAxis = 1
    groups: int = 1
    bias: bool = False
    padding_mode: str = "zeros"
    flip: bool = False
    tolerance: float = 0.0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        valid = f"finite numbers of shape (out, in/groups, *kernel), no more than {MOST}"
        try:
            array = np.asarray(self.weight, float)
        except (TypeError, ValueError) as error:
            raise refuse("weight", self.weight, valid) from error
        number = isinstance(self.tolerance, int | float) and not isinstance(self.tolerance, bool)
        if not number or not 0 <= self.tolerance < 1:
            raise refuse("tolerance", self.tolerance, "a number of at least 0 and less than 1")
        object.__setattr__(self, "dtype", dtype(self.dtype))
        if array.ndim < 3 or not 0 < array.size <= MOST:
            raise refuse("weight", f"an array of shape {array.shape}", valid)
        with np.errstate(over="ignore"):
            array = array.astype(self.dtype)
        if not np.isfinite(array).all():
            raise refuse("weight", self.weight, valid)
        object.__setattr__(self, "weight", _nested(array))
        conv = self.conv
        if conv.parameters["weight"] != array.shape:
            shape = f"an array of shape {array.shape}"
            raise refuse("weight", shape, f"of shape {conv.parameters['weight']} for this input")
        for name in ("input_shape", "stride", "padding", "dilation", "groups"):
            object.__setattr__(self, name, getattr(conv, name))

    @property
    def shape(self) -> tuple[int, ...]:
        """The filter's shape: (out, in/groups, *kernel)."""
        return np.asarray(self.weight, float).shape

    @cached_property
    def conv(self) -> Conv:
        """The convolution of the same sizes with an arbitrary filter."""
        shape = self.shape
        return Conv(
            self.input_shape,
            shape[0],
            shape[2:],
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.bias,
            self.padding_mode,
            self.flip,
            self.dtype,
        )

    @property
    def known_weight(self) -> Filter:
        """The layer."""
        return self

    def reads(self, axis: int, at: int, size: int) -> tuple[int, int] | None:
        """Return the window."""
        return self.conv.reads(axis, at, size)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return self.conv.output_shape

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """The shape of ``bias``, if there is one."""
        return {"bias": (self.output_shape[1],)} if self.bias else {}

    @cached_property
    def graph(self) -> Graph:
        """The graph of the convolution, with the filter as a constant."""
        filter_ = self.conv.tensors["weight"]
        values = tuple(self.numbers.get(cell, Fraction(0)) for cell in np.ndindex(filter_.sizes))
        *before, last = self.conv.graph.steps
        return Graph((*before, Constant(filter_, values), last))

    @cached_property
    def forward(self) -> Graph:
        """Passes along the axes, weighted sums of shifted elements; ``graph`` if there are many."""
        return self._passes or self.graph

    @cached_property
    def backward(self) -> Graph:
        """The gradients of ``forward``, by the chain rule."""
        by = [self.tensors[name] for name in self.differentiable]
        return gradients(self.forward, by, self.cotangent)

    @property
    def given(self) -> dict[Taps, Fraction]:
        """The nonzero coefficients of ``weight``, by output channel, input channel and position."""
        return {
            cell: Fraction(float(number))
            for cell, number in np.ndenumerate(np.asarray(self.weight, self.dtype))
            if number
        }

    @cached_property
    def numbers(self) -> dict[Taps, Fraction]:
        """The nonzero coefficients of F: those given, or values within ``tolerance`` of them."""
        if self._passes is None or not self.tolerance:
            return self.given
        alike = range(self.shape[0]) if self._alike else [None]
        return {
            ((cell[0] if o is None else o), *cell[1:], *taps): number
            for o in alike
            for cell, chains_ in self.chains.items()
            for taps, number in summed(chains_).items()
        }

    @property
    def _alike(self) -> bool:
        """Whether every channel has the same filter, and its output one of its own."""
        weight = np.asarray(self.weight, float)
        own = self.groups == weight.shape[0] == self.input_shape[1]
        return own and bool((weight == weight[:1]).all())

    @cached_property
    def chains(self) -> dict[Channels, tuple[Chain, ...]]:
        """The passes that add up to the filter, for each output channel and channel of its group.

        If all channels have the same filter, only those of the first channel.
        """
        kernels: dict[Channels, dict[Taps, Fraction]] = defaultdict(dict)
        for (o, c, *taps), number in self.given.items():
            if o == 0 or not self._alike:
                kernels[o, c][tuple(taps)] = number
        return {channels: self._chains(kernel) for channels, kernel in kernels.items()}

    def _chains(self, kernel: Numbers) -> tuple[Chain, ...]:
        """Return the fewest passes that add up to a filter, or are within the tolerance of it."""
        shape = self.shape[2:]
        exact = chains(kernel, shape)
        if not self.tolerance:
            return exact
        near = nearest(kernel, len(shape), self.dtype)
        most = Fraction(self.tolerance) * max(map(abs, kernel.values()))
        moved = max(map(abs, difference(kernel, [near]).values()), default=0)
        fewer = near.cost < sum(chain.cost for chain in exact)
        return (near,) if fewer and 0 < moved <= most else exact

    @cached_property
    def _passes(self) -> Graph | None:
        """The steps of the passes; None if they are too many, or an output channel has none."""
        cost = sum(chain.cost for each in self.chains.values() for chain in each)
        taps = prod(self.shape[1:]) if self._alike else prod(self.shape)
        written = {o for o, _ in self.chains}
        if cost > min(PASSES, taps) or not (self._alike or len(written) == self.shape[0]):
            return None
        return _passes(self, self._alike)

    @property
    def remark(self) -> str:
        """How much the tolerance has changed the coefficients; empty if it has changed none."""
        zero = Fraction(0)
        cells = self.numbers | self.given
        moved = [abs(self.numbers.get(cell, zero) - self.given.get(cell, zero)) for cell in cells]
        if not any(moved):
            return ""
        return f"No number of F is further than {float(max(moved)):.1e} from the given one."


def with_weight(conv: Conv, weight: Nested) -> Filter:
    """Return a convolution with known coefficients.

    Raises
    ------
    SymconvError
        If the filter does not have the convolution's shape, or is not finite.
    """
    given = conv.arguments
    for name in ("out_channels", "kernel_size"):
        del given[name]
    found, shape = Filter(weight=weight, **given), conv.parameters["weight"]  # type: ignore[arg-type]  # a Conv's own
    if found.shape != shape:
        raise refuse("weight", f"an array of shape {found.shape}", f"of shape {shape}")
    return found


def _nested(array: NDArray[Any]) -> Nested:
    """Return numbers as nested tuples, in the fewest digits that mean them; whole ones as ints."""
    if array.ndim:
        return tuple(map(_nested, array))
    number = float(str(array))
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _passes(layer: Filter, alike: bool) -> Graph | None:
    """Write every filter's chains, one after the other; None if none of them reads a cell.

    ``alike``: the first filter's, for all channels at once.
    """
    roles = layer.conv.roles
    windows, cells, output = roles.windows, roles.cells, roles.positions
    steps: list[Program] = []
    shares: list[Contraction] = []
    for (o_, c_), each in layer.chains.items():
        o: Polynomial | int = index("c") if alike else o_
        c: Polynomial | int = index("c") if alike else o_ // roles.filters * roles.channels + c_
        for chain in each:
            inside = [_inside(p, windows, layer.flip) for p in chain.passes]
            if not all(p.taps for p in inside):
                continue  # it reads zeros only
            source, at, done = cells, c, set[int]()
            for number, p in enumerate(inside, 1):
                done |= set(p.axes)
                last = number == len(inside) and chain.scale == 1
                sizes = [w.outputs if axis in done else w.size for axis, w in enumerate(windows)]
                count = cells.sizes[1] if alike else 1
                between = Tensor(f"S{len(steps) + 1}", (cells.shape[0], count, *sizes))
                target, to = (output, o) if last else (between, c if alike else 0)
                sums = [_share(source, at, target, to, p, done, windows, taps, n) for taps, n in p.taps]
                if last:
                    shares += sums
                else:
                    steps.append(Program(tuple(sums)))
                source, at = target, to
            if chain.scale != 1:
                still = Pass((), (((), chain.scale),))
                shares.append(_share(source, at, output, o, still, done, windows, (), chain.scale))
    if not shares:
        return None
    if layer.bias:
        shares += layer.conv.graph.programs[-1].contractions[1:]
    return Graph((*layer.conv.graph.steps[:-1], *steps, Program(tuple(shares))))


def _inside(p: Pass, windows: Sequence[Window[int]], flip: bool) -> Pass:
    """Return a pass, its taps counted from the window's start, without those that read no cell."""
    kept = []
    for taps, number in p.taps:
        from_start = tuple(
            windows[axis].kernel - 1 - tap if flip else tap
            for axis, tap in zip(p.axes, taps, strict=True)
        )
        cells = zip((windows[axis] for axis in p.axes), from_start, strict=True)
        if all(any(0 <= at < w.size for at in _cells(w, tap)) for w, tap in cells):
            kept.append((from_start, number))
    return Pass(p.axes, tuple(kept))


def _cells(w: Window[int], tap: int) -> range:
    """Return the cell that a tap reads at each position."""
    first = w.dilation * tap - w.lo
    return range(first, first + w.stride * w.outputs, w.stride)


def _share(
    source: Tensor,
    at: Polynomial | int,
    target: Tensor,
    to: Polynomial | int,
    p: Pass,
    done: Collection[int],
    windows: Sequence[Window[int]],
    taps: Taps,
    number: Fraction,
) -> Contraction:
    """Write what one tap of a pass adds: a number times the cells that it reads at every position."""
    rank = len(windows)
    names = [POSITIONS[rank][axis] if axis in done else CELLS[rank][axis] for axis in range(rank)]
    places = list(map(index, names))
    read = list(places)
    for axis, tap in zip(p.axes, taps, strict=True):
        w = windows[axis]
        read[axis] = places[axis] * w.stride + (w.dilation * tap - w.lo)
    extents = {"n": source.sizes[0], "c": source.sizes[1]} | dict(
        zip(names, target.sizes[2:], strict=True)
    )
    if isinstance(to, int):
        del extents["c"]
    return Contraction(
        target[(index("n"), to, *places)],
        (source[(index("n"), at, *read)],),
        tuple(extents.items()),
        number,
    )
