"""Tiles: each output chunk from exactly the elements that it needs, gradients without overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from symconv import Conv, MaxPool, SymconvError, generate
from symconv.layers import Layer
from symconv.plan import halo_tiles
from symconv.plan.halo_tiles import Piece, by_positions, forward_tiles, input_tiles
from symconv.prove import letters
from symconv.prove.instances import put
from symconv.prove.t5_tiles import tiled
from tests.effort import many


@st.composite
def convolutions(draw: st.DrawFn) -> Conv:
    """Draw a convolution of one to three axes."""
    rank = draw(st.integers(1, 3))
    small = {1: 12, 2: 7, 3: 4}[rank]
    groups = draw(st.integers(1, 2))
    sizes = [draw(st.integers(1, small)) for _ in range(rank)]
    try:
        return Conv(
            (draw(st.integers(1, 3)), groups * draw(st.integers(1, 2)), *sizes),
            groups * draw(st.integers(1, 2)),
            tuple(draw(st.integers(1, 3)) for _ in range(rank)),
            stride=tuple(draw(st.integers(1, 3)) for _ in range(rank)),
            padding=tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(rank)),
            dilation=tuple(draw(st.integers(1, 2)) for _ in range(rank)),
            groups=groups,
            dtype="float64",
        )
    except SymconvError:
        hypothesis.reject()


def cut(draw: st.DataObject, size: int) -> tuple[int, ...]:
    """Draw the lengths of chunks."""
    ends = sorted(draw.draw(st.sets(st.integers(1, size - 1), max_size=3))) if size > 1 else []
    return tuple(np.diff([0, *ends, size]).tolist())


def modules(layers: set[Layer]) -> dict[Layer, Any]:
    return {layer: generate(layer, "tile").load() for layer in layers}


def integers(layer: Conv) -> list[Any]:
    """Return a layer's inputs and the gradient of its output, in whole numbers."""
    rng = np.random.default_rng(0)
    shapes = (*layer.inputs.values(), layer.output_shape)
    return [rng.integers(-9, 10, shape).astype(np.float64) for shape in shapes]


@hypothesis.settings(max_examples=many(200))
@hypothesis.given(convolutions(), st.data())
def test_tiles_are_the_whole(layer: Conv, data: st.DataObject) -> None:
    """On integers, whose sums are exact: the output, and both gradients."""
    x, weight, bias, grad = integers(layer)
    whole = generate(layer, "whole").load()
    samples = cut(data, layer.input_shape[0])
    tiles = forward_tiles(layer, samples, [cut(data, n) for n in layer.output_shape[2:]])
    run = modules({tile.layer for tile in tiles})
    y, gw = np.full(layer.output_shape, np.nan), np.zeros(weight.shape)
    for tile in tiles:
        assert np.isnan(y[tile.written]).all()
        y[tile.written] = run[tile.layer].forward(x[tile.read].copy(), weight, bias)
        gw += run[tile.layer].weight_gradient(grad[tile.written].copy(), x[tile.read].copy())
    assert np.array_equal(y, whole.forward(x, weight, bias))
    assert np.array_equal(gw, whole.weight_gradient(grad, x))

    parts = input_tiles(layer, samples, [cut(data, n) for n in layer.input_shape[2:]])
    run = modules({tile.layer for tile in parts if tile})
    gx = np.zeros(x.shape)
    seen = np.zeros(x.shape, int)
    for part in filter(None, parts):
        seen[part.read] += 1
        gx[part.read] = run[part.layer].input_gradient(grad[part.written].copy(), weight)
    assert seen.max(initial=0) <= 1  # no two tasks write one element
    assert np.array_equal(gx, whole.input_gradient(grad, weight))


def reads(tile: int, length: int, layer: Conv) -> Iterator[int]:
    """Visit the elements that the theorem's program reads for a tile, along the last axis."""
    (window,) = layer.windows
    tiles = -(-window.outputs // length)
    sizes = dict.fromkeys(letters.context(1).symbols, 1)
    sizes |= {"H": window.size, "K": window.kernel, "s": window.stride, "d": window.dilation}
    sizes |= {"lo": window.lo, "hi": window.hi, "P": window.outputs, "r": window.remainder}
    sizes |= {"T": length, "B": tiles}
    graph = put(tiled(letters.roles(1)), sizes)
    (cut_up,) = graph.programs[0].contractions
    (read,) = cut_up.reads
    halo = cut_up.target.tensor.sizes[-1]
    names = [subscript.variables[0] for subscript in cut_up.target.subscripts[2:]]
    for cell in range(halo):
        at = read.subscripts[2].substitute({names[0]: tile, names[1]: cell})
        yield int(at)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_plan_is_an_instance_of_the_theorem(length: int) -> None:
    """Each tile reads what the program of T5's certificate reads, within the array."""
    layer = Conv((1, 1, 13), 1, 3, stride=2, padding=((2, 1),), dilation=2)
    (window,) = layer.windows
    full, rest = divmod(window.outputs, length)
    pieces = by_positions(window, [length] * full + [rest] * (rest > 0))
    for number, piece in enumerate(pieces[:full]):
        wanted = [at for at in reads(number, length, layer) if 0 <= at < window.size]
        assert (wanted[0], wanted[-1] + 1) == piece.cells


def test_what_is_refused() -> None:
    layer = Conv((1, 1, 8), 1, 3)
    with pytest.raises(SymconvError, match="positive lengths that make up 6"):
        forward_tiles(layer, [1], [[2, 3]])
    with pytest.raises(SymconvError, match="must be a Conv"):
        forward_tiles(MaxPool((1, 1, 8), 2), [1], [[4]])
    with pytest.raises(SymconvError, match="'zeros', to be cut"):
        input_tiles(Conv((1, 1, 8), 1, 3, padding=1, padding_mode="reflect"), [1], [[8]])


def short(piece: Piece) -> Piece:
    """Return a tile that leaves out the last element it needs."""
    (first, last), (lo, hi) = piece.cells, piece.pads
    return replace(piece, cells=(first, last - 1), pads=(lo, hi + 1))


def test_a_short_halo_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the halo is one element short."""
    layer = Conv((1, 1, 9), 1, 3, stride=2, dtype="float64")
    x, weight, bias, _ = integers(layer)

    def forward() -> Any:
        y = np.full(layer.output_shape, np.nan)
        for tile in forward_tiles(layer, [1], [[2, 2]]):
            run = generate(tile.layer, "tile").load()
            y[tile.written] = run.forward(x[tile.read].copy(), weight, bias)
        return y

    whole = generate(layer, "whole").load().forward(x, weight, bias)
    assert np.array_equal(forward(), whole)
    own = halo_tiles.by_positions
    monkeypatch.setattr(halo_tiles, "by_positions", lambda *given: tuple(map(short, own(*given))))
    assert not np.array_equal(forward(), whole)
