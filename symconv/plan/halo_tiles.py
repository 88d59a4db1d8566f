"""Tiles of a layer with windows: which elements of one array each chunk of the other needs.

Theorem T5 says that a convolution is that of its tiles, whose inputs overlap in a halo; a tile is then a
layer of its own, with the same stride and dilation and the padding that is left at its place. Chunks may
have any lengths, also shorter than the halo.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from symconv.errors import SymconvError
from symconv.layers.arguments import refuse
from symconv.layers.layer import Layer
from symconv.layers.window import Window

Lengths = Sequence[int]


@dataclass(frozen=True)
class Piece:
    """A tile along one axis.

    Attributes
    ----------
    positions
        The first output position and the one behind the last.
    cells
        The first element of the input that is read, and the one behind the last.
    pads
        How many elements are added before and behind those that are read; negative numbers leave some
        out.
    """

    positions: tuple[int, int]
    cells: tuple[int, int]
    pads: tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """A tile: its place, and the layer that it is.

    Attributes
    ----------
    place
        The number of the chunk along each axis that is cut: the batch, then the spatial axes.
    samples
        The first sample and the one behind the last.
    pieces
        The tile along each spatial axis.
    layer
        The layer, for the shape of this tile.
    """

    place: tuple[int, ...]
    samples: tuple[int, int]
    pieces: tuple[Piece, ...]
    layer: Layer

    @property
    def read(self) -> tuple[slice, ...]:
        """The part of the input that the tile reads."""
        return _slices(self.samples, [piece.cells for piece in self.pieces])

    @property
    def written(self) -> tuple[slice, ...]:
        """The part of the output that the tile writes."""
        return _slices(self.samples, [piece.positions for piece in self.pieces])

    @property
    def elements(self) -> int:
        """How many elements the tile's input, output and parameters have together."""
        shapes = (*self.layer.inputs.values(), self.layer.output_shape)
        return sum(prod(shape) for shape in shapes)


def _slices(samples: tuple[int, int], spatial: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    return (slice(*samples), slice(None), *(slice(*pair) for pair in spatial))


def by_positions(window: Window[int], lengths: Lengths) -> tuple[Piece, ...]:
    """Return the tiles of an axis whose output is cut into chunks: each reads its windows' elements.

    Raises
    ------
    SymconvError
        If the lengths do not make up the axis.

    Examples
    --------
    >>> by_positions(Window(10, 3, 2, 1, 1, 1, 5), (2, 3))[1]
    Piece(positions=(2, 5), cells=(3, 10), pads=(0, 0))
    """
    found = []
    for start, stop in _ranges(lengths, window.outputs):
        first = window.stride * start - window.lo
        last = window.stride * (stop - 1) - window.lo + window.reach + 1
        cells = _inside(first, last, window.size)
        found.append(Piece((start, stop), cells, (cells[0] - first, last - cells[1])))
    return tuple(found)


def by_cells(window: Window[int], lengths: Lengths) -> tuple[Piece | None, ...]:
    """Return the tiles of an axis whose input is cut: each has all positions whose windows reach it.

    The gradient with respect to a chunk of the input is that of its tile, from the upstream gradient at
    these positions: no two tiles write one element. It is None where no window reaches, and 0 then.

    Raises
    ------
    SymconvError
        If the lengths do not make up the axis.

    Examples
    --------
    >>> by_cells(Window(10, 3, 2, 1, 1, 1, 5), (4, 6))[0]
    Piece(positions=(0, 3), cells=(0, 4), pads=(1, 2))
    """
    found: list[Piece | None] = []
    for begin, end in _ranges(lengths, window.size):
        start = max(-(-(begin + window.lo - window.reach) // window.stride), 0)
        stop = min((end - 1 + window.lo) // window.stride + 1, window.outputs)
        if start >= stop:
            found.append(None)
            continue
        lo = window.lo + begin - window.stride * start
        hi = window.stride * (stop - start - 1) + window.reach + 1 - lo - (end - begin)
        found.append(Piece((start, stop), (begin, end), (lo, hi)))
    return tuple(found)


def _inside(first: int, last: int, size: int) -> tuple[int, int]:
    """Return the part of a range that is in an axis: one element at least, which padding leaves out."""
    begin, end = min(max(first, 0), size), min(max(last, 0), size)
    if begin < end:
        return begin, end
    return (begin - 1, begin) if begin == size else (begin, begin + 1)


def _ranges(lengths: Lengths, size: int) -> list[tuple[int, int]]:
    if any(length < 1 for length in lengths) or sum(lengths) != size:
        raise refuse("chunks", tuple(lengths), f"positive lengths that make up {size}")
    ends = list(itertools.accumulate(lengths))
    return list(zip([0, *ends[:-1]], ends, strict=True))


def forward_tiles(layer: Layer, samples: Lengths, chunks: Sequence[Lengths]) -> list[Tile]:
    """Return the tiles of a layer whose output is cut into chunks along the batch and each spatial axis.

    Raises
    ------
    SymconvError
        If the layer cannot be cut, or the chunks do not fit it.
    """
    windows = _windows(layer)
    axes = [by_positions(w, lengths) for w, lengths in zip(windows, chunks, strict=True)]
    return _tiles(layer, samples, axes)


def positions_of(layer: Layer, chunks: Sequence[Lengths]) -> list[Lengths]:
    """Return lengths of an output's chunks: positions whose windows are centred in each of the input's.

    Windows centred in the padding belong to the chunk beside it. Chunks without any are left out.

    Raises
    ------
    SymconvError
        If the layer cannot be cut, or the chunks do not fit it.

    Examples
    --------
    >>> from symconv.layers.conv import Conv
    >>> positions_of(Conv((1, 1, 10), 1, 3, stride=2, padding=1), [(4, 6)])
    [(2, 3)]
    """
    found: list[Lengths] = []
    for window, lengths in zip(_windows(layer), chunks, strict=True):
        ends = [
            min(max(-(-(end + window.lo - window.reach // 2) // window.stride), 0), window.outputs)
            for _, end in _ranges(lengths, window.size)
        ]
        ends[-1] = window.outputs
        starts = [0, *ends[:-1]]
        found.append(tuple(b - a for a, b in zip(starts, ends, strict=True) if b > a))
    return found


def input_tiles(layer: Layer, samples: Lengths, chunks: Sequence[Lengths]) -> list[Tile | None]:
    """Return the tiles of a layer whose input is cut; None where no window reaches.

    Raises
    ------
    SymconvError
        If the layer cannot be cut, or the chunks do not fit it.
    """
    windows = _windows(layer)
    axes = [by_cells(w, lengths) for w, lengths in zip(windows, chunks, strict=True)]
    return _tiles(layer, samples, axes)


def _windows(layer: Layer) -> tuple[Window[int], ...]:
    """Return the windows of a layer that can be cut into tiles."""
    conv = layer.convolution
    if conv is None or conv.plain != layer or layer.any_batch:
        raise SymconvError("layer: must be a Conv with a number of samples, to be cut into tiles")
    if conv.plain.padding_mode != "zeros":
        raise refuse("padding_mode", conv.plain.padding_mode, "'zeros', to be cut into tiles")
    return conv.plain.windows


def _tiles(layer: Layer, samples: Lengths, axes: Sequence[Sequence[Piece | None]]) -> list[Any]:
    """Return every combination of pieces, as a layer of its own."""
    found: list[Tile | None] = []
    whole: Any = layer
    ranges = list(enumerate(_ranges(samples, whole.input_shape[0])))
    for (sample, batch), pieces in itertools.product(ranges, itertools.product(*map(enumerate, axes))):
        parts = [part for _, part in pieces if part is not None]
        if len(parts) < len(pieces):
            found.append(None)
            continue
        sizes = [part.cells[1] - part.cells[0] for part in parts]
        own = replace(
            whole,
            input_shape=(batch[1] - batch[0], whole.input_shape[1], *sizes),
            padding=tuple(part.pads for part in parts),
        )
        place = (sample, *(number for number, _ in pieces))
        found.append(Tile(place, batch, tuple(parts), own))
    return found
