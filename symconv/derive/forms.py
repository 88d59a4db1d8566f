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

from symconv.layers.conv import ConvLayer, ConvTranspose
from symconv.layers.window import Window
from symconv.notation.contraction import Access, Contraction, Program, Tensor, index
from symconv.notation.graph import Graph, gradient, gradient_of
from symconv.notation.names import CELLS, POSITIONS, TAPS
from symconv.notation.polynomial import Polynomial


@dataclass(frozen=True)
class FilterCorrelation:
    """∂E/∂F along one axis: ``cell = stride·k + dilation·p - lo`` for k < taps, cropped."""

    stride: int
    dilation: int
    lo: int
    taps: int
    cropped: bool = True

    @staticmethod
    def of(window: Window) -> FilterCorrelation:
        """Return the right parameters."""
        natural = window.kernel + max(window.remainder, 0) // window.dilation
        return FilterCorrelation(window.dilation, window.stride, window.lo, natural)


@dataclass(frozen=True)
class FullConvolution:
    """∂E/∂X along one axis: a stride-1 correlation of the stuffed cotangent with the rotated filter."""

    stuffing: int
    dilation: int
    lo: int
    hi: int
    rotated: bool = True

    @staticmethod
    def of(window: Window) -> FullConvolution:
        """Return the right parameters."""
        return FullConvolution(
            window.stride,
            window.dilation,
            window.reach - window.lo,
            window.reach - window.hi + window.remainder,
        )


@dataclass(frozen=True)
class Roles:
    """The tensors of a layer's gradients, by the part they play in its sums.

    ``cells`` is what windows read (X, or ∂E/∂O of a transposed convolution), ``positions`` what has a
    number for each window; ``interleaved`` takes channels of the wrong block, which is a pitfall.
    """

    cells: Tensor
    taps: Tensor
    positions: Tensor
    windows: tuple[Window, ...]
    groups: int
    flip: bool
    interleaved: bool = False

    @property
    def letters(self) -> tuple[str, str]:
        """The channel indices of positions and cells: ``c`` is X's, ``o`` the output's."""
        return ("c", "o") if self.positions.name == "X" else ("o", "c")


def roles(layer: ConvLayer) -> Roles:
    """Return the roles; where a padding mode extends X, the cells are the extended ones."""
    x, cotangent = layer.tensors["x"], Tensor("G", layer.output_shape)
    windows = layer.windows
    if isinstance(layer, ConvTranspose):
        cells, positions = cotangent, x
    else:
        cells, positions = x, cotangent
        if len(layer.graph.steps) > 1:
            step = layer.graph.steps[-2]
            assert isinstance(step, Program)  # padding is a program
            cells = step.target
            windows = tuple(replace(w, size=w.size + w.lo + w.hi, lo=0, hi=0) for w in windows)
    return Roles(cells, layer.tensors["weight"], positions, windows, layer.groups, layer.flip)


def filter_correlation(layer: Roles, axes: Sequence[FilterCorrelation]) -> Program:
    """Return ∂E/∂F as a correlation."""
    rank = len(axes)
    n, m, c = _channels(layer)
    taps = [index(name) for name in TAPS[rank]]
    positions = [index(name) for name in POSITIONS[rank]]
    cells = [k * a.stride + p * a.dilation - a.lo for k, p, a in zip(taps, positions, axes, strict=True)]
    shape = [w.kernel if a.cropped else a.taps for w, a in zip(layer.windows, axes, strict=True)]
    target = Tensor(gradient_of(layer.taps).name, (*layer.taps.shape[:2], *shape))
    return Program(
        (
            Contraction(
                target=Access(target, (m, index(layer.letters[1]), *_rotated(layer, taps))),
                factors=(
                    Access(layer.positions, (n, m, *positions)),
                    Access(layer.cells, (n, c, *cells)),
                ),
                extents=_extents(
                    layer,
                    TAPS[rank],
                    [a.taps for a in axes],
                    POSITIONS[rank],
                    layer.positions.shape[2:],
                ),
            ),
        )
    )


def full_convolution(layer: Roles, axes: Sequence[FullConvolution]) -> Graph:
    """Return ∂E/∂(cells): the cotangent stuffed with zeros, then a full convolution."""
    rank = len(axes)
    n, m, c = _channels(layer)
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
            Access(layer.taps, (m, index(layer.letters[1]), *_rotated(layer, counted))),
        ),
        extents=_extents(layer, CELLS[rank], natural, TAPS[rank], [w.kernel for w in layer.windows]),
    )
    return Graph((Program((stuff,)), Program((correlate,))))


def strided_correlation(layer: Roles) -> Program:
    """Return ∂E/∂(positions), the gradient of a transposed convolution: its first P outputs."""
    rank = len(layer.windows)
    n, m, c = _channels(layer)
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
                    Access(layer.taps, (m, index(layer.letters[1]), *_rotated(layer, taps))),
                ),
                extents=_extents(
                    layer,
                    POSITIONS[rank],
                    layer.positions.shape[2:],
                    TAPS[rank],
                    [w.kernel for w in layer.windows],
                ),
            ),
        )
    )


def swapped(layer: ConvLayer, name: str) -> Graph:
    """Return the gradient by an input by its definition in the language: two tensors' roles swapped."""
    graph = gradient(layer.graph, layer.tensors[name], Tensor("G", layer.output_shape))
    # what the forward sum reads padded, the filter's gradient reads padded too
    return Graph((*layer.graph.steps[:-1], *graph.steps)) if name == "weight" else graph


def weight_form(layer: ConvLayer) -> Graph:
    """Return ∂E/∂F as the theorem has it, behind the padding if a mode extends X."""
    parts = roles(layer)
    program = filter_correlation(parts, [FilterCorrelation.of(w) for w in parts.windows])
    return Graph((*layer.graph.steps[:-1], program))


def input_form(layer: ConvLayer) -> Graph:
    """Return ∂E/∂X as the theorem has it, then the fold-back if a mode extends X."""
    parts = roles(layer)
    if isinstance(layer, ConvTranspose):
        return Graph((strided_correlation(parts),))
    full = full_convolution(parts, [FullConvolution.of(w) for w in parts.windows])
    backward = gradient(layer.graph, layer.tensors["x"], Tensor("G", layer.output_shape))
    return Graph((*full.steps, *backward.steps[1:]))


def _channels(layer: Roles) -> tuple[Polynomial, Polynomial, Polynomial]:
    """Return the subscripts of image, position channel and cell channel."""
    n, m, c = map(index, ("n", *layer.letters))
    if layer.groups == 1:
        return n, m, c
    filters = layer.taps.shape[0] // layer.groups
    channels = layer.taps.shape[1]
    if layer.interleaved:
        return n, index("g") * filters + m, c * layer.groups + index("g")
    return n, index("g") * filters + m, index("g") * channels + c


def _rotated(layer: Roles, taps: Sequence[Polynomial]) -> tuple[Polynomial, ...]:
    """Return the stored taps: a flipped layer stores them last to first."""
    if not layer.flip:
        return tuple(taps)
    return tuple(-k + (w.kernel - 1) for k, w in zip(taps, layer.windows, strict=True))


def _extents(
    layer: Roles,
    outer: Sequence[str],
    outer_sizes: Sequence[int],
    inner: Sequence[str],
    inner_sizes: Sequence[int],
) -> tuple[tuple[str, int], ...]:
    extents = {"n": layer.cells.shape[0]}
    if layer.groups > 1:
        extents["g"] = layer.groups
    sizes = (layer.taps.shape[0] // layer.groups, layer.taps.shape[1])
    extents |= dict(zip(layer.letters, sizes, strict=True))
    extents |= dict(zip(outer, outer_sizes, strict=True))
    return tuple((extents | dict(zip(inner, inner_sizes, strict=True))).items())
