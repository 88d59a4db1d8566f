"""A convolution of an array in chunks: each tile is a task, and no two tasks write one element."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import delayed

from symconv.dask.tile_functions import run, texts_of
from symconv.errors import SymconvError
from symconv.layers.layer import Layer
from symconv.plan.halo_tiles import Tile, forward_tiles, input_tiles, positions_of

Lengths = Sequence[int]


def forward(
    layer: Layer,
    x: Any,
    weight: Any,
    bias: Any = None,
    target: str | None = None,
    memory: int | None = None,
) -> Any:
    """Return a convolution of a Dask array as a Dask array; nothing is computed yet.

    Each chunk of the output is a task that reads exactly the elements that its windows need. An output
    chunk has the positions whose windows are centred in a chunk of the input.

    Parameters
    ----------
    layer
        The convolution, of the whole array's shape, with zeros as padding.
    x
        The input, a Dask array of shape ``layer.input_shape``.
    weight, bias
        The filter, and the bias if the layer has one: arrays of NumPy, or of Dask.
    target
        ``"numpy"`` or ``"c"``; by default C where there is a compiler.
    memory
        The largest number of bytes that a task may hold: its arguments, its result and its workspace.

    Raises
    ------
    SymconvError
        If an argument does not fit the layer, or a task would hold more: before anything is computed.

    Examples
    --------
    >>> layer = symconv.Conv((1, 1, 8000, 8000), 1, 3, padding=1, bias=False)  # doctest: +SKIP
    >>> y = symconv.dask.forward(layer, x, weight, memory=100_000_000)  # doctest: +SKIP
    """
    given = _parameters(layer, weight, bias)
    tiles = _forward_tiles(layer, _array("x", x, layer.input_shape, layer.dtype))
    _check_memory(layer, tiles, "forward", target, memory)
    blocks = {
        t.place: _task(t, "forward", target, t.layer.output_shape, x[t.read], *given) for t in tiles
    }
    return _assembled(blocks, layer)


def input_gradient(
    layer: Layer,
    grad_output: Any,
    weight: Any,
    chunks: Sequence[Lengths] | None = None,
    target: str | None = None,
    memory: int | None = None,
) -> Any:
    """Return ∂E/∂X as a Dask array: each chunk is gathered from the positions that read it.

    Parameters
    ----------
    layer, target, memory
        As for :func:`forward`.
    grad_output
        ∂E/∂O, a Dask array of shape ``layer.output_shape``.
    weight
        The filter.
    chunks
        The lengths of the result's chunks along the batch and each spatial axis. By default, one chunk
        for each of the upstream gradient.

    Raises
    ------
    SymconvError
        As for :func:`forward`.
    """
    grad = _array("grad_output", grad_output, layer.output_shape, layer.dtype)
    samples, *spatial = chunks or _like(layer, grad)
    tiles = input_tiles(layer, samples, spatial)
    found = [tile for tile in tiles if tile]
    _check_memory(layer, found, "input_gradient", target, memory)
    blocks: dict[tuple[int, ...], Any] = {}
    places = itertools.product(*(range(len(lengths)) for lengths in (samples, *spatial)))
    for place, tile in zip(places, tiles, strict=True):
        if tile is None:
            sizes = [lengths[at] for lengths, at in zip((samples, *spatial), place, strict=True)]
            blocks[place] = da.zeros((sizes[0], layer.input_shape[1], *sizes[1:]), dtype=layer.dtype)
        else:
            part = (grad[tile.written], weight)
            blocks[place] = _task(tile, "input_gradient", target, tile.layer.input_shape, *part)
    return _assembled(blocks, layer)


def weight_gradient(
    layer: Layer, grad_output: Any, x: Any, target: str | None = None, memory: int | None = None
) -> Any:
    """Return ∂E/∂F as a Dask array: the sum over all tiles, two by two in a fixed order.

    Parameters
    ----------
    layer, target, memory
        As for :func:`forward`.
    grad_output, x
        ∂E/∂O and the input, Dask arrays.

    Raises
    ------
    SymconvError
        As for :func:`forward`.
    """
    grad = _array("grad_output", grad_output, layer.output_shape, layer.dtype)
    tiles = _forward_tiles(layer, _array("x", x, layer.input_shape, layer.dtype))
    _check_memory(layer, tiles, "weight_gradient", target, memory)
    shape = layer.parameters["weight"]
    return _sum([_task(t, "weight_gradient", target, shape, grad[t.written], x[t.read]) for t in tiles])


def backward(
    layer: Layer,
    grad_output: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    target: str | None = None,
    memory: int | None = None,
) -> tuple[Any, ...]:
    """Return the gradients with respect to x, weight and, if the layer has one, bias.

    Raises
    ------
    SymconvError
        As for :func:`forward`.
    """
    _parameters(layer, weight, bias)
    chunks = (x.chunks[0], *x.chunks[2:])
    found = [
        input_gradient(layer, grad_output, weight, chunks, target, memory),
        weight_gradient(layer, grad_output, x, target, memory),
    ]
    if "bias" in layer.parameters:
        found.append(grad_output.sum(axis=(0, *range(2, len(layer.output_shape)))))
    return tuple(found)


def _array(name: str, array: Any, shape: tuple[int, ...], dtype: str) -> Any:
    if not isinstance(array, da.Array):
        raise SymconvError(f"{name} = {type(array).__name__}: must be a Dask array")
    if array.shape != shape or array.dtype != dtype:
        said = f"received {array.dtype} {array.shape}"
        raise SymconvError(f"{name}: expected {dtype} {shape}, {said}")
    return array


def _parameters(layer: Layer, weight: Any, bias: Any) -> list[Any]:
    """Return the parameters that a layer has."""
    given = {"weight": weight, "bias": bias}
    for name, array in given.items():
        wanted = layer.parameters.get(name)
        shape = None if array is None else tuple(np.shape(array))
        if shape != wanted:
            raise SymconvError(f"{name}: expected shape {wanted}, received {shape}")
    return [array for array in given.values() if array is not None]


def _forward_tiles(layer: Layer, x: Any) -> list[Tile]:
    """Return the tiles whose windows are centred in the chunks of the input."""
    samples, _, *spatial = x.chunks
    return forward_tiles(layer, samples, positions_of(layer, spatial))


def _like(layer: Layer, grad: Any) -> tuple[Lengths, ...]:
    """Return lengths of the input's chunks, in the proportions of those of the output."""
    samples, _, *spatial = grad.chunks
    found: list[Lengths] = [samples]
    for size, outputs, lengths in zip(layer.input_shape[2:], grad.shape[2:], spatial, strict=True):
        ends = [round(size * end / outputs) for end in itertools.accumulate(lengths)]
        ends = sorted({*ends, size} - {0})
        found.append(tuple(b - a for a, b in zip([0, *ends[:-1]], ends, strict=True)))
    return tuple(found)


def _task(tile: Tile, function: str, target: str | None, shape: tuple[int, ...], *arrays: Any) -> Any:
    """Return the lazy result of a function of a tile."""
    texts, _ = texts_of(tile.layer, target)
    task = delayed(run, pure=True)(texts, function, *arrays)
    return da.from_delayed(task, shape, tile.layer.dtype)


def _check_memory(
    layer: Layer, tiles: Sequence[Tile], function: str, target: str | None, memory: int | None
) -> None:
    """Refuse tasks that would hold more bytes than they may."""
    if memory is None:
        return
    size = np.dtype(layer.dtype).itemsize
    most = max(texts_of(of, target)[1][function] * size for of in {tile.layer for tile in tiles})
    if most > memory:
        raise SymconvError(
            f"memory = {memory}: a task of {function} needs {most} bytes: make the chunks smaller"
        )


def _sum(parts: list[Any]) -> Any:
    """Return a sum, two by two, so that its order depends on nothing but the number of parts."""
    while len(parts) > 1:
        pairs = [parts[at : at + 2] for at in range(0, len(parts), 2)]
        parts = [pair[0] + pair[1] if len(pair) == 2 else pair[0] for pair in pairs]
    return parts[0]


def _assembled(blocks: dict[tuple[int, ...], Any], layer: Layer) -> Any:
    """Return blocks as one array; channels are not cut."""
    counts = [1 + max(column) for column in zip(*blocks, strict=True)]

    def nested(place: tuple[int, ...]) -> Any:
        if len(place) == len(counts):
            return blocks[place]
        inner = [nested((*place, at)) for at in range(counts[len(place)])]
        return [inner] if len(place) == 1 else inner  # the axis of channels

    return da.block([nested((at,)) for at in range(counts[0])])
