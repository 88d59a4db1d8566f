"""Convolutions of Dask's arrays: exactly those of the whole array, whatever the chunks."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from symconv import Conv, SymconvError, generate
from tests.effort import many
from tests.plan.test_halo_tiles import convolutions, cut, integers

da: Any = pytest.importorskip("dask.array", reason="Dask is not installed: pip install 'symconv[dask]'")
symconv_dask: Any = pytest.importorskip("symconv.dask")
tiled: Any = pytest.importorskip("symconv.dask.tiled_layers")


def chunked(array: Any, draw: st.DataObject) -> Any:
    """Return a Dask array in chunks of any lengths; channels are cut too, as Dask's users have them."""
    return da.from_array(array, chunks=tuple(cut(draw, n) for n in array.shape))


@hypothesis.settings(max_examples=many(200))
@hypothesis.given(convolutions(), st.data())
def test_chunks_do_not_matter(layer: Conv, data: st.DataObject) -> None:
    x, weight, bias, grad = integers(layer)
    whole = generate(layer, "whole").load()
    lazy, upstream = chunked(x, data), chunked(grad, data)
    y = symconv_dask.forward(layer, lazy, weight, bias, target="numpy")
    assert y.shape == layer.output_shape
    found = symconv_dask.backward(layer, upstream, lazy, weight, bias, target="numpy")
    wanted = whole.backward(grad, x, weight, bias)
    assert found[0].chunks[2:] == lazy.chunks[2:]
    for one, other in zip((y, *found), (whole.forward(x, weight, bias), *wanted), strict=True):
        assert np.array_equal(one.compute(scheduler="sync"), other)
    alone = symconv_dask.input_gradient(layer, upstream, weight, target="numpy")
    assert np.array_equal(alone.compute(scheduler="sync"), wanted[0])


def test_memory_is_known_before() -> None:
    layer = Conv((1, 1, 400, 400), 2, 3, padding=1, bias=False)
    x = da.zeros(layer.input_shape, chunks=(1, 1, 100, 200), dtype="float32")
    weight = np.ones((2, 1, 3, 3), np.float32)
    with pytest.raises(SymconvError, match=r"memory = 1000: a task of forward needs \d+ bytes"):
        symconv_dask.forward(layer, x, weight, memory=1000)
    assert symconv_dask.forward(layer, x, weight, memory=10**7).chunks[2] == (100,) * 4


def test_few_modules_are_made() -> None:
    """At most three for each axis: the first tile, those inside, and the last."""
    layer = Conv((1, 1, 60, 60), 1, 3, padding=1, bias=False)
    tiles = tiled._forward_tiles(layer, da.zeros(layer.input_shape, chunks=(1, 1, 10, 10), dtype="f4"))
    assert len(tiles) == 36
    assert len({tile.layer for tile in tiles}) == 9


def test_what_is_refused() -> None:
    layer = Conv((1, 1, 8), 1, 3, bias=False)
    x, weight = da.zeros((1, 1, 8), dtype="float32"), np.ones((1, 1, 3), np.float32)
    with pytest.raises(SymconvError, match="x = ndarray: must be a Dask array"):
        symconv_dask.forward(layer, np.zeros((1, 1, 8)), weight)
    with pytest.raises(SymconvError, match="x: expected float32"):
        symconv_dask.forward(layer, x[:, :, :7], weight)
    with pytest.raises(SymconvError, match=r"weight: expected shape \(1, 1, 3\)"):
        symconv_dask.forward(layer, x, weight[:, :, :2])
    with pytest.raises(SymconvError, match="bias: expected shape None"):
        symconv_dask.forward(layer, x, weight, np.ones(1))


def test_a_wrong_tile_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a task reads its neighbour's elements."""
    layer = Conv((1, 1, 12), 1, 3, bias=False, dtype="float64")
    x = np.arange(12.0).reshape(1, 1, 12) ** 2
    weight = np.ones((1, 1, 3))
    own = tiled.run

    def off(texts: Any, function: str, first: Any, *arrays: Any) -> Any:
        return own(texts, function, np.roll(first, 1, -1).copy(), *arrays)

    monkeypatch.setattr(tiled, "run", off)
    y = symconv_dask.forward(layer, da.from_array(x, chunks=(1, 1, 5)), weight, target="numpy")
    wanted = generate(layer, "whole").load().forward(x, weight)
    assert not np.array_equal(y.compute(scheduler="sync"), wanted)
