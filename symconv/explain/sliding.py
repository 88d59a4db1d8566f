"""The article's pictures: a filter that slides over a tensor, one for the output and each gradient.

Each is the correlation that a theorem claims, drawn from its own sum: where an element of the filter
lands is the subscript that the sum reads at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from symconv.derive.forms import (
    FilterCorrelation,
    FullConvolution,
    filter_correlation,
    full_convolution,
    strided_correlation,
)
from symconv.layers.conv import Conv, ConvLayer
from symconv.layers.layer import Layer
from symconv.layers.pool import PoolLayer
from symconv.layers.roles import correlation
from symconv.notation.backpropagation import gradient_of
from symconv.notation.contraction import Access, Contraction, Program, Tensor
from symconv.notation.evaluate import points, value_at
from symconv.notation.graph import Graph
from symconv.notation.monomials import monomials

Place = tuple[int, ...]  # spatial indices


@dataclass(frozen=True)
class Background:
    """What a filter slides over: a tensor, perhaps with zeros between its elements or with a border.

    Attributes
    ----------
    tensor
        The tensor.
    sources
        The element, counted within a plane, that each place shows. All other places are zeros.
    copies
        Places of a border that a padding mode fills with copies of elements.
    outside
        What is drawn at the places that have no source.
    """

    tensor: Tensor
    sources: dict[Place, int]
    copies: frozenset[Place] = frozenset()
    outside: str = "0"


@dataclass(frozen=True)
class Sliding:
    """A picture of one plane: a filter on a background, and the element that each position gives.

    Attributes
    ----------
    key
        What it shows: ``"output"``, ``"weight"`` or ``"x"`` (their gradients), ``"convolution"`` or
        ``"correlation"`` (of the same tensors, for comparison).
    title, words
        A heading, and what happens in the picture.
    background
        What the filter slides over.
    filter
        The tensor that slides; None where a pool takes the maximum or the average of its window.
    result
        The tensor of which each position gives an element.
    taps, offsets
        Places of the filter's elements, and where each lands relative to the start of a window.
    starts
        Where the window of each place of the result starts.
    """

    key: str
    title: str
    words: str
    background: Background
    filter: Tensor | None
    result: Tensor
    taps: tuple[Place, ...]
    offsets: tuple[Place, ...]
    starts: dict[Place, Place]

    def window(self, place: Place) -> list[Place]:
        """Return where the filter's elements land, for an element of the result."""
        return [_plus(self.starts[place], offset) for offset in self.offsets]

    @property
    def rotated(self) -> bool:
        """Whether the filter is laid on the background last element first."""
        return self.filter is not None and self.offsets[0] > self.offsets[-1]

    @property
    def corners(self) -> tuple[Place, Place]:
        """The first and the last place to draw: every element, and every place that a window meets."""
        landed = [place for at in self.starts for place in self.window(at)]
        axes = list(zip(*self.background.sources, *landed, strict=True))
        return tuple(map(min, axes)), tuple(map(max, axes))


def slidings(layer: Layer) -> tuple[Sliding, ...]:
    """Return the pictures of a layer: up to four of a convolution, one of a pool, else none."""
    if (conv := layer.convolution) is None:
        return (_pool(layer.pooling),) if layer.pooling else ()
    if conv.plain is None:
        return (_full(conv), _weight(conv), _correlation(conv))
    return (_correlation(conv), _other_kind(conv.plain), _weight(conv), _full(conv))


def _correlation(layer: ConvLayer) -> Sliding:
    """Draw O; of a transposed convolution ∂E/∂X."""
    if layer.transposed:
        roles = layer.roles.reading(layer.cotangent)
        key, result, over = "x", gradient_of(layer.tensors["x"]), "G = ∂E/∂O"
        (contraction,) = strided_correlation(roles).contractions
    else:
        roles = layer.roles
        key, result, over = "output", Tensor("O", layer.output_shape), "X"
        contraction = correlation(roles)
    kind = "convolution" if layer.flip else "correlation"
    turned = ", rotated by 180°," if layer.flip else ""
    steps = _steps(
        stride=[w.stride for w in roles.windows], dilation=[w.dilation for w in roles.windows]
    )
    return _sliding(
        key,
        f"{result.name} is the {kind} of {over[0]} with F",
        f"The filter{turned} slides over {over}{steps}. {_SUM.format(result.name)}",
        contraction,
        _extended(layer.plain) if layer.plain else _plain(roles.cells),
        roles.taps,
        result,
    )


def _other_kind(layer: Conv) -> Sliding:
    """Draw the convolution of the same tensors, or the correlation if the layer is a convolution."""
    other = replace(layer, flip=not layer.flip)
    kind, turned = ("correlation", "as it is") if layer.flip else ("convolution", "rotated by 180°")
    return replace(
        _correlation(other),
        key=kind,
        title=f"For comparison: the {kind} of X with F",
        words=f"For a {kind}, the filter is laid on X {turned}. So the convolution with a filter is the "
        "correlation with the rotated filter.",
        result=Tensor("C", layer.output_shape),
    )


def _weight(layer: ConvLayer) -> Sliding:
    roles = layer.roles.reading(layer.cotangent)
    axes = [FilterCorrelation.of(window) for window in roles.windows]
    steps = _steps(stride=[a.stride for a in axes], dilation=[a.dilation for a in axes])
    over, laid = ("G = ∂E/∂O", "X") if roles.transposed else ("X", "G = ∂E/∂O")
    (contraction,) = filter_correlation(roles, axes).contractions
    result = gradient_of(layer.tensors["weight"])
    stored = " The filter is stored rotated, so its gradient is, too." if layer.flip else ""
    return _sliding(
        "weight",
        f"{result.name} is the correlation of {over[0]} with {laid[0]}",
        f"{laid} slides over {over}{steps}. {_SUM.format(result.name)}{stored}",
        contraction,
        _extended(layer.plain) if layer.plain else _plain(roles.cells),
        roles.positions,
        result,
    )


def _full(layer: ConvLayer) -> Sliding:
    """Draw ∂E/∂X; of a transposed convolution O."""
    if layer.transposed:
        roles, key, result = layer.roles, "output", Tensor("O", layer.output_shape)
    else:
        roles, key = layer.roles.reading(layer.cotangent), "x"
        result = gradient_of(roles.cells)
    axes = [FullConvolution.of(window) for window in roles.windows]
    (insert,), (correlate,) = (p.contractions for p in full_convolution(roles, axes).programs)
    over = roles.positions
    inserted = ", with zeros inserted between its elements" if any(a.stuffing > 1 for a in axes) else ""
    steps = _steps(dilation=[a.dilation for a in axes])
    turned = "as it is stored" if layer.flip else "rotated by 180°"
    folded = (
        " Each element of the border is a copy: its gradient is added to that of the element it copies."
        if len(layer.graph.steps) > 1
        else ""
    )
    return _sliding(
        key,
        f"{result.name} is the full convolution of {over.name} with F",
        f"The filter, {turned}{steps}, slides over {over.name}{inserted}, inside a border of zeros. "
        f"{_SUM.format(result.name)}{folded}",
        correlate,
        _written_by(insert, over),
        roles.taps,
        result,
    )


def _pool(layer: PoolLayer) -> Sliding:
    program = layer.graph.steps[-1]
    assert isinstance(program, Program)
    (contraction,) = program.contractions
    does = "the maximum" if contraction.reduce == "max" else "the average"
    return _sliding(
        "output",
        f"O is {does} of each window",
        f"The window slides over X. At each position, {does} of its elements is one element of O.",
        contraction,
        replace(_plain(layer.tensors["x"]), outside="−∞" if contraction.reduce == "max" else "0"),
        None,
        Tensor("O", layer.output_shape),
    )


_SUM = (
    "At each position, multiply the elements that meet and add the products: "
    "the sum is an element of {}."
)


def _sliding(
    key: str,
    title: str,
    words: str,
    contraction: Contraction,
    background: Background,
    filter_: Tensor | None,
    result: Tensor,
) -> Sliding:
    """Read off a sum's subscripts where its filter's elements land, a plane's indices alone."""
    target = contraction.target
    read = next(r for r in contraction.reads if filter_ is None or r.tensor != filter_)
    tap = next((r for r in contraction.reads if r.tensor == filter_), None)
    outer = _ranges(contraction, target)
    inner = {n: size for n, size in _ranges(contraction, read).items() if n not in outer}
    first = dict.fromkeys(contraction.ranges, 0)
    origin = _place(read, first)
    starts = {}
    for point in points(outer):
        place = _place(target, first | point)
        if all(0 <= at < size for at, size in zip(place, result.sizes[2:], strict=True)):  # cropped
            starts[place] = _place(read, first | point)
    taps, offsets = [], []
    for point in points(inner):
        taps.append(_place(tap, first | point) if tap else tuple(point.values()))
        offsets.append(_plus(_place(read, first | point), [-at for at in origin]))
    order = sorted(range(len(taps)), key=lambda at: taps[at])
    return Sliding(
        key,
        title,
        words,
        background,
        filter_,
        result,
        tuple(taps[at] for at in order),
        tuple(offsets[at] for at in order),
        starts,
    )


def _ranges(contraction: Contraction, access: Access) -> dict[str, int]:
    """Return the indices in the spatial subscripts of an access, and their ranges."""
    names = {name for subscript in access.subscripts[2:] for name in subscript.variables}
    return {name: size for name, size in contraction.ranges.items() if name in names}


def _place(access: Access, point: dict[str, int]) -> Place:
    return tuple(value_at(subscript, point) for subscript in access.subscripts[2:])


def _plus(place: Sequence[int], other: Sequence[int]) -> Place:
    return tuple(a + b for a, b in zip(place, other, strict=True))


def _plain(tensor: Tensor) -> Background:
    places = product(*map(range, tensor.sizes[2:]))
    return Background(tensor, {place: at for at, place in enumerate(places)})


def _extended(layer: Conv) -> Background:
    """Return X, with the border that a padding mode fills."""
    x = layer.tensors["x"]
    if len(layer.graph.steps) == 1:
        return _plain(x)
    sources = _sources(Graph(layer.graph.steps[:-1]))
    own = [range(w.lo, w.lo + w.size) for w in layer.windows]
    copies = (p for p in sources if not all(at in of for at, of in zip(p, own, strict=True)))
    return Background(x, sources, frozenset(copies))


def _written_by(insert: Contraction, tensor: Tensor) -> Background:
    """Return a tensor with zeros inserted between its elements."""
    return Background(tensor, _sources(Graph((Program((insert,)),))))


def _sources(graph: Graph) -> dict[Place, int]:
    """Return which element each place of a copy shows, in the first plane."""
    (source,) = graph.inputs.values()
    planes = [math.prod(tensor.sizes[2:]) for tensor in (graph.output, source)]
    places = list(product(*map(range, graph.output.sizes[2:])))
    rows = monomials(graph).tolist()
    return {places[to]: of for to, of in rows if to < planes[0] and of < planes[1]}


def _steps(**settings: Sequence[int]) -> str:
    """Name strides and dilations that are not 1."""
    found = [
        f"{word} {'×'.join(map(str, numbers))}" for word, numbers in settings.items() if max(numbers) > 1
    ]
    return f" with {' and '.join(found)}" if found else ""
