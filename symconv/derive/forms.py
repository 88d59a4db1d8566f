"""The forms that gradients are recognised as, written out from their parameters alone.

With r the cells that the stride leaves over:

- ∂E/∂F is the correlation of the cells with the cotangent: stride d, dilation s, the same padding;
  its natural size K + ⌊r/d⌋ is cropped to K.
- ∂E/∂X is the full convolution: the cotangent stuffed to s(P - 1) + 1 cells and padded by
  (d(K - 1) - lo, d(K - 1) - hi + r), with the filter rotated by 180°, dilation d, stride 1.

A transposed convolution has the two tensors' roles exchanged. Wrong parameters give the wrong rules
that are known as pitfalls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, cast

from symconv.layers.conv import ConvLayer
from symconv.layers.roles import Roles
from symconv.layers.window import S, Window
from symconv.notation.backpropagation import gradient_of
from symconv.notation.contraction import Access, Contraction, Program, Size, Tensor, index
from symconv.notation.graph import Graph
from symconv.notation.names import CELLS, POSITIONS, TAPS
from symconv.notation.substitution import Substitution


@dataclass(frozen=True)
class FilterCorrelation(Generic[S]):
    """∂E/∂F along one axis: ``cell = stride·k + dilation·p - lo`` for k < taps, cropped."""

    stride: S
    dilation: S
    lo: S
    taps: S
    cropped: bool = True

    @staticmethod
    def of(window: Window[int]) -> FilterCorrelation[int]:
        """Return the right parameters."""
        natural = window.kernel + max(window.remainder, 0) // window.dilation
        return FilterCorrelation(window.dilation, window.stride, window.lo, natural)


@dataclass(frozen=True)
class FullConvolution(Generic[S]):
    """∂E/∂X along one axis: a stride-1 correlation of the stuffed cotangent with the rotated filter."""

    stuffing: S
    dilation: S
    lo: S
    hi: S
    rotated: bool = True

    @staticmethod
    def of(window: Window[S]) -> FullConvolution[S]:
        """Return the right parameters."""
        reach: Size = window.reach
        return FullConvolution(
            window.stride,
            window.dilation,
            cast(S, reach - window.lo),
            cast(S, reach - window.hi + window.remainder),
        )


def roles(layer: ConvLayer) -> Roles[int]:
    """Return a layer's roles in its gradients: the cotangent G stands for the output."""
    return layer.roles.reading(layer.cotangent)


def filter_correlation(layer: Roles[Size], axes: Sequence[FilterCorrelation[Size]]) -> Program:
    """Return ∂E/∂F as a correlation."""
    rank = len(axes)
    n, m, c = layer.channel_subscripts()
    taps = [index(name) for name in TAPS[rank]]
    positions = [index(name) for name in POSITIONS[rank]]
    cells = [k * a.stride + p * a.dilation - a.lo for k, p, a in zip(taps, positions, axes, strict=True)]
    shape = [w.kernel if a.cropped else a.taps for w, a in zip(layer.windows, axes, strict=True)]
    target = Tensor(gradient_of(layer.taps).name, (*layer.taps.shape[:2], *shape))
    return Program(
        (
            Contraction(
                target=replace(layer.tap(taps), tensor=target),
                factors=(
                    Access(layer.positions, (n, m, *positions)),
                    Access(layer.cells, (n, c, *cells)),
                ),
                extents=layer.extents(
                    TAPS[rank],
                    [a.taps for a in axes],
                    POSITIONS[rank],
                    layer.positions.shape[2:],
                ),
            ),
        )
    )


def full_convolution(layer: Roles[Size], axes: Sequence[FullConvolution[Size]]) -> Graph:
    """Return ∂E/∂(cells): the cotangent stuffed with zeros, then a full convolution."""
    rank = len(axes)
    n, m, c = layer.channel_subscripts()
    sizes = layer.positions.shape[2:]
    stuffed_sizes = [a.stuffing * (p - 1) + 1 for a, p in zip(axes, sizes, strict=True)]
    stuffed = Tensor(f"{layer.positions.name}s", (*layer.positions.shape[:2], *stuffed_sizes))
    positions = [index(name) for name in POSITIONS[rank]]
    outer = [index("n"), index(layer.letters[0])]
    stuff = Contraction(
        target=Access(
            stuffed, (*outer, *(p * a.stuffing for p, a in zip(positions, axes, strict=True)))
        ),
        factors=(Access(layer.positions, (*outer, *positions)),),
        extents=tuple(
            zip(("n", layer.letters[0], *POSITIONS[rank]), layer.positions.shape, strict=True)
        ),
    )
    cells = [index(name) for name in CELLS[rank]]
    taps = [index(name) for name in TAPS[rank]]
    natural = [
        size + a.lo + a.hi - a.dilation * (w.kernel - 1)
        for size, a, w in zip(stuffed_sizes, axes, layer.windows, strict=True)
    ]
    target = Tensor(gradient_of(layer.cells).name, (*layer.cells.shape[:2], *natural))
    counted = [
        -k + (w.kernel - 1) if a.rotated else k
        for k, w, a in zip(taps, layer.windows, axes, strict=True)
    ]
    correlate = Contraction(
        target=Access(target, (n, c, *cells)),
        factors=(
            Access(
                stuffed,
                (
                    n,
                    m,
                    *(u + k * a.dilation - a.lo for u, k, a in zip(cells, taps, axes, strict=True)),
                ),
            ),
            layer.tap(counted),
        ),
        extents=layer.extents(CELLS[rank], natural, TAPS[rank], [w.kernel for w in layer.windows]),
    )
    return Graph((Program((stuff,)), Program((correlate,))))


def full_convolution_substitutions(layer: Roles[Size]) -> tuple[Substitution, Substitution]:
    """Return how the swapped sum's terms are those of the full convolution, there and back.

    A term at position p and tap k is found at cell s·p + d·k - lo, where the rotated filter has the tap
    K - 1 - k and the stuffed cotangent, at s·p, the element p. (Primed indices are those of stuffing.)
    """
    rank = layer.rank
    n, m, _ = layer.channel_subscripts()
    there = {"n'": n, f"{layer.letters[0]}'": m}
    back = {}
    for u, k, p, w in zip(CELLS[rank], TAPS[rank], POSITIONS[rank], layer.windows, strict=True):
        there |= {u: index(p) * w.stride + index(k) * w.dilation - w.lo, f"{p}'": index(p)}
        there[k] = back[k] = -index(k) + (w.kernel - 1)
        back[p] = index(f"{p}'")
    return Substitution(there), Substitution(back)


def strided_correlation(layer: Roles[Size]) -> Program:
    """Return ∂E/∂(positions), the gradient of a transposed convolution: its first P outputs."""
    rank = len(layer.windows)
    n, m, c = layer.channel_subscripts()
    taps = [index(name) for name in TAPS[rank]]
    positions = [index(name) for name in POSITIONS[rank]]
    cells = [
        p * w.stride + k * w.dilation - w.lo
        for p, k, w in zip(positions, taps, layer.windows, strict=True)
    ]
    return Program(
        (
            Contraction(
                target=Access(gradient_of(layer.positions), (n, m, *positions)),
                factors=(
                    Access(layer.cells, (n, c, *cells)),
                    layer.tap(taps),
                ),
                extents=layer.extents(
                    POSITIONS[rank],
                    layer.positions.shape[2:],
                    TAPS[rank],
                    [w.kernel for w in layer.windows],
                ),
            ),
        )
    )


def weight_form(layer: ConvLayer) -> Graph:
    """Return ∂E/∂F as the theorem has it, behind the padding if a mode extends X."""
    parts = roles(layer)
    program = filter_correlation(parts, [FilterCorrelation.of(w) for w in parts.windows])
    return Graph((*layer.graph.steps[:-1], program))


def input_form(layer: ConvLayer) -> Graph:
    """Return ∂E/∂X as the theorem has it, then the fold-back if a mode extends X."""
    parts = roles(layer)
    if layer.transposed:
        return Graph((strided_correlation(parts),))
    full = full_convolution(parts, [FullConvolution.of(w) for w in parts.windows])
    backward = layer.gradient("x")
    return Graph((*full.steps, *backward.steps[1:]))
