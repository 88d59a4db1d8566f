"""Wrong rules that were published or released, as graphs that compute what they would.

Each has threads where it happened. They are negative controls, and the names of what a wrong
implementation most likely did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from symconv.derive.forms import (
    FilterCorrelation,
    FullConvolution,
    filter_correlation,
    full_convolution,
    input_form,
    roles,
)
from symconv.derive.rewrites import substituted, sum_of
from symconv.layers.conv import ConvLayer
from symconv.layers.roles import correlation
from symconv.layers.window import Window
from symconv.notation.backpropagation import gradient
from symconv.notation.contraction import Contraction, Factor, Program, Solved, Tensor, index
from symconv.notation.graph import Graph

Sweep = Literal["forward", "x", "weight"]


@dataclass(frozen=True)
class Pitfall:
    """A wrong rule for one sweep: ``wrong`` returns what it computes, None where it is not wrong."""

    name: str
    sweep: Sweep
    seen: str
    wrong: Callable[[ConvLayer], Graph | None]


def _wrong_weight(
    change: Callable[[FilterCorrelation[int], Window[int]], FilterCorrelation[int]],
) -> Callable[[ConvLayer], Graph | None]:
    def wrong(layer: ConvLayer) -> Graph | None:
        parts = roles(layer)
        right = [FilterCorrelation.of(w) for w in parts.windows]
        axes = [change(a, w) for a, w in zip(right, parts.windows, strict=True)]
        if axes == right:
            return None
        return Graph((*layer.graph.steps[:-1], filter_correlation(parts, axes)))

    return wrong


def _wrong_input(
    change: Callable[[FullConvolution[int], Window[int]], FullConvolution[int]],
) -> Callable[[ConvLayer], Graph | None]:
    def wrong(layer: ConvLayer) -> Graph | None:
        if layer.transposed or len(layer.graph.steps) > 1:
            return None
        parts = roles(layer)
        right = [FullConvolution.of(w) for w in parts.windows]
        axes = [change(a, w) for a, w in zip(right, parts.windows, strict=True)]
        return None if axes == right else full_convolution(parts, axes)

    return wrong


def _interleaved(sweep: Sweep) -> Callable[[ConvLayer], Graph | None]:
    def wrong(layer: ConvLayer) -> Graph | None:
        if layer.groups == 1 or layer.transposed:
            return None
        parts = replace(roles(layer), interleaved=True)
        if sweep == "weight":
            axes = [FilterCorrelation.of(w) for w in parts.windows]
            return Graph((*layer.graph.steps[:-1], filter_correlation(parts, axes)))
        full = full_convolution(parts, [FullConvolution.of(w) for w in parts.windows])
        return Graph((*full.steps, *input_form(layer).steps[2:]))

    return wrong


def _cropped(layer: ConvLayer) -> Graph | None:
    """Keep the interior of the extended gradient, and lose what was copied outside."""
    steps = layer.gradient("x").steps
    if len(steps) == 1:
        return None
    crops = tuple(Program(step.contractions[:1]) for step in steps[1:] if isinstance(step, Program))
    return Graph((steps[0], *crops))


def _undivided(layer: ConvLayer) -> Graph | None:
    """Solve s·p + d·k - lo = i for p = (i + lo - d·k)/s, rounded down where s does not divide."""
    if layer.transposed or all(w.stride == 1 for w in layer.windows):
        return None
    (gather,) = sum_of(substituted(layer))[:1]
    factors: list[Factor] = [f for f in gather.factors if not isinstance(f, Solved)]
    rests = [(f"ρ{solved.name}", solved.divisor) for solved in gather.solved]
    for solved, (rest, _) in zip(gather.solved, rests, strict=True):
        factors.append(replace(solved, numerator=solved.numerator - index(rest)))
    wrong = replace(gather, factors=tuple(factors), extents=(*gather.extents, *rests))
    return Graph((Program((wrong,)), *layer.gradient("x").steps[1:]))


def _like(change: Callable[[ConvLayer], ConvLayer | None]) -> Callable[[ConvLayer], Graph | None]:
    """Compute another layer's output in place of this one's."""

    def wrong(layer: ConvLayer) -> Graph | None:
        other = change(layer)
        return None if other is None or other == layer else other.graph

    return wrong


def _same_swapped(layer: ConvLayer) -> ConvLayer | None:
    other = {"same": "same_lower", "same_lower": "same"}
    conv = layer.plain
    if conv and isinstance(conv.padding, str) and conv.padding in other:
        swapped_layer = replace(conv, padding=other[conv.padding])
        return None if swapped_layer.windows == layer.windows else swapped_layer
    return None


def _output_padding_first(layer: ConvLayer) -> ConvLayer | None:
    if not layer.transposed or not layer.transposed.output_padding:
        return None
    added = layer.transposed.output_padding
    extra = [added] * len(layer.windows) if isinstance(added, int) else list(added)
    pads = tuple((w.lo + e, w.hi - e) for w, e in zip(layer.windows, extra, strict=True))
    return replace(layer, padding=pads)


def _split_evenly(layer: ConvLayer) -> ConvLayer | None:
    """Take the sum of both paddings for twice their mean, as output_shape does where none is given."""
    if layer.transposed or len(layer.graph.steps) > 1:
        return None
    totals = [w.lo + w.hi for w in layer.windows]
    split = replace(layer, padding=tuple((total - total // 2, total // 2) for total in totals))
    return None if split.windows == layer.windows else split


def _crosses(window: Window[int]) -> bool:
    """Whether a position of one half of an axis reads an element of the other half."""
    half, middle = -(-window.outputs // 2), -(-window.size // 2)
    return any(
        (p < half) != (cell < middle)
        for p in range(window.outputs)
        for cell in range(
            window.stride * p - window.lo, window.stride * p - window.lo + window.reach + 1
        )
        if 0 <= cell < window.size and (cell - window.stride * p + window.lo) % window.dilation == 0
    )


def _without_halo(layer: ConvLayer) -> Graph | None:
    """Cut input and output in two along an axis; each half adds to its own half of ∂E/∂X alone."""
    (first, *others) = layer.gradient("x").steps
    assert isinstance(first, Program)  # the swap of a sum
    (swap, *rest) = first.contractions
    positions, size = layer.windows[0].outputs, layer.windows[0].size
    if layer.transposed or others or rest or min(positions, size) < 2:
        return None
    if not _crosses(layer.windows[0]):
        return None
    among = swap.reads[0].subscripts[2].variables
    y = next(name for name in swap.target.subscripts[2].variables if name in among)
    parts, copies = [], []
    for name, begin, end, start, stop in (
        ("A", 0, -(-positions // 2), 0, -(-size // 2)),
        ("B", -(-positions // 2), positions, -(-size // 2), size),
    ):
        shape = (*swap.target.tensor.shape[:2], stop - start, *swap.target.tensor.shape[3:])
        half = Tensor(name, shape)
        moved = {y: index(y) + begin}
        at = list(swap.target.substitute(moved).subscripts)
        at[2] = at[2] - start
        reads = tuple(read.substitute(moved) for read in swap.reads)
        sizes = tuple((n, end - begin if n == y else extent) for n, extent in swap.extents)
        parts.append(Program((replace(swap, target=half[tuple(at)], factors=reads, extents=sizes),)))
        names = ("n", "c", "u", "v", "w")[: len(shape)]
        places = [index(n) for n in names]
        target = swap.target.tensor[(*places[:2], places[2] + start, *places[3:])]
        copies.append(Contraction(target, (half[tuple(places)],), tuple(zip(names, shape, strict=True))))
    return Graph((*parts, Program(tuple(copies))))


def _as_input(
    wrong: Callable[[ConvLayer], ConvLayer | None],
) -> Callable[[ConvLayer], Graph | None]:
    """Differentiate another layer in place of this one."""

    def graph(layer: ConvLayer) -> Graph | None:
        other = wrong(layer)
        if other is None or other == layer:
            return None
        return gradient(other.graph, other.tensors["x"], layer.cotangent)

    return graph


def _stride_of_one(layer: ConvLayer) -> Graph | None:
    """Add to the window that begins at cell p - lo, not at s·p - lo."""
    strided = any(w.stride > 1 for w in layer.windows)
    if layer.transposed or len(layer.graph.steps) > 1 or not strided:
        return None
    parts = layer.roles
    windows = tuple(replace(w, stride=1) for w in parts.windows)
    moved = Graph((Program((correlation(replace(parts, windows=windows)),)),))
    return gradient(moved, parts.x, layer.cotangent)


def _of_rotated(layer: ConvLayer) -> Graph | None:
    """Differentiate by the filter of the other of correlation and convolution."""
    other = _unrotated(layer)
    return other.gradient("weight") if other else None


def _unrotated(layer: ConvLayer) -> ConvLayer | None:
    turned = any(w.kernel > 1 for w in layer.windows)
    return replace(layer, flip=not layer.flip) if turned else None


PITFALLS: tuple[Pitfall, ...] = (
    Pitfall(
        "the stride remainder is dropped: ∂E/∂X comes out too short",
        "x",
        "backpack#30, nntrainer PR 1042",
        _wrong_input(lambda a, w: replace(a, hi=a.hi - w.remainder)),
    ),
    Pitfall(
        "the dilation is forgotten in ∂E/∂X: padding K-1-p instead of d(K-1)-p",
        "x",
        "pytorch#13008, Theano PR 4874, jax PR 567",
        _wrong_input(
            lambda a, w: replace(a, lo=w.kernel - 1 - w.lo, hi=w.kernel - 1 - w.hi + w.remainder)
        ),
    ),
    Pitfall(
        "the dilation is forgotten in ∂E/∂X: the filter is laid on without gaps",
        "x",
        "pytorch#13008, pytorch#16012",
        _wrong_input(
            lambda a, w: replace(
                a, dilation=1, lo=w.kernel - 1 - w.lo, hi=w.kernel - 1 - w.hi + w.remainder
            )
        ),
    ),
    Pitfall(
        "the stride is forgotten in ∂E/∂X: windows begin at p, not at s·p",
        "x",
        "enggen#7, Kulbear PR 34",
        _stride_of_one,
    ),
    Pitfall(
        "a stride is solved for without the condition that it divides: p = ⌊(i + lo - d·k)/s⌋",
        "x",
        "sympy#27359, deltasummation",
        _undivided,
    ),
    Pitfall(
        "the filter is not rotated by 180°, or rotated twice",
        "x",
        "DeepLearnToolbox#169",
        _as_input(_unrotated),
    ),
    Pitfall(
        "the padding before the input is off by one",
        "x",
        "a slip of ours",
        _wrong_input(lambda a, w: replace(a, lo=a.lo - 1, hi=a.hi + 1)),
    ),
    Pitfall(
        "the channels of a group are taken from the wrong block",
        "x",
        "pytorch#51430, burn PR 1891, jax#1971",
        _interleaved("x"),
    ),
    Pitfall(
        "the padding mode's adjoint is a crop instead of a fold-back",
        "x",
        "pytorch#37844, pytorch#56263",
        _cropped,
    ),
    Pitfall(
        "SAME puts the extra cell on the wrong side",
        "x",
        "onnxruntime#9370, tensorflow#11092",
        _as_input(_same_swapped),
    ),
    Pitfall(
        "output_padding is added to the wrong side",
        "x",
        "pytorch#8816, tensorflow#2118",
        _as_input(_output_padding_first),
    ),
    Pitfall(
        "asymmetric padding is split evenly, as a transposed convolution with output_shape does",
        "x",
        "onnx-ad 0.3",
        _as_input(_split_evenly),
    ),
    Pitfall(
        "tiles: what a tile's halo gives to its neighbour's part of ∂E/∂X is dropped",
        "x",
        "PyTorch's DTensor, _ring_send_recv_aggregate (by reading)",
        _without_halo,
    ),
    Pitfall(
        "the natural size of ∂E/∂F, K + ⌊r/d⌋, is not cropped to K",
        "weight",
        "opacus PR 245",
        _wrong_weight(lambda a, w: replace(a, cropped=a.taps == w.kernel)),
    ),
    Pitfall(
        "the dilation is forgotten in ∂E/∂F: it is the correlation's stride",
        "weight",
        "pytorch#16012, tvm relax",
        _wrong_weight(
            lambda a, w: replace(a, stride=1, taps=w.kernel) if w.dilation > 1 and w.kernel > 1 else a
        ),
    ),
    Pitfall(
        "the stride is forgotten in ∂E/∂F: it is the correlation's dilation",
        "weight",
        "a slip of ours",
        _wrong_weight(lambda a, w: replace(a, dilation=1, taps=w.kernel) if w.stride > 1 else a),
    ),
    Pitfall(
        "∂E/∂F is rotated by 180°: convolution is taken for correlation",
        "weight",
        "DeepLearnToolbox#169",
        _of_rotated,
    ),
    Pitfall(
        "the channels of a group are taken from the wrong block",
        "weight",
        "pytorch#51430, burn PR 1891",
        _interleaved("weight"),
    ),
    Pitfall(
        "the padding before the input is off by one",
        "weight",
        "a slip of ours",
        _wrong_weight(lambda a, w: replace(a, lo=a.lo + 1, taps=w.kernel)),
    ),
    Pitfall(
        "correlation and convolution are confused: the filter is rotated by 180° in one of them",
        "forward",
        "DeepLearnToolbox#169",
        _like(_unrotated),
    ),
    Pitfall(
        "SAME puts the extra cell on the wrong side",
        "forward",
        "onnxruntime#9370, openvino PR 32608",
        _like(_same_swapped),
    ),
    Pitfall(
        "output_padding is added to the wrong side",
        "forward",
        "mlx#1423, onnx#102",
        _like(_output_padding_first),
    ),
)
