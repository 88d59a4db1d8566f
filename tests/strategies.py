"""Random layers: every argument of Conv and ConvTranspose, sizes small enough for loops."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import strategies as st

from symconv import (
    AvgPool,
    Conv,
    ConvTranspose,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool,
    SymconvError,
)
from tests.bridge import Pool


@st.composite
def layers(draw: st.DrawFn) -> Conv | ConvTranspose:
    """Draw a valid layer of either kind, in float64."""
    return draw(st.one_of(convs(), transposed()))


@st.composite
def convs(draw: st.DrawFn) -> Conv:
    """Draw a convolution; a draw that does not fit is replaced by one padded to fit."""
    arguments = _common(draw, largest=7)
    rank = len(arguments["input_shape"]) - 2
    mode = draw(st.sampled_from(["zeros", "zeros", "zeros", "reflect", "replicate", "circular"]))
    pairs = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * rank)
    crops = st.tuples(*[st.tuples(st.integers(-2, 3), st.integers(-2, 3))] * rank)
    words = st.sampled_from(["valid", "full", "same", "same_lower"])
    padding = st.one_of(st.integers(0, 2), words, pairs, *([crops] if mode == "zeros" else []))
    try:
        return Conv(**arguments, padding=draw(padding), padding_mode=mode)
    except SymconvError:
        return Conv(**arguments, padding="full")


@st.composite
def transposed(draw: st.DrawFn) -> ConvTranspose:
    """Draw a transposed convolution."""
    arguments = _common(draw, largest=4)
    rank = len(arguments["input_shape"]) - 2
    pairs = st.tuples(*[st.tuples(st.integers(-1, 2), st.integers(-1, 2))] * rank)
    most = max(_least(arguments["stride"]), _least(arguments["dilation"])) - 1
    added = draw(st.integers(0, most))
    padding = draw(st.one_of(st.integers(0, 2), pairs))
    try:
        return ConvTranspose(**arguments, padding=padding, output_padding=added)
    except SymconvError:
        return ConvTranspose(**arguments)


@st.composite
def real_layers(draw: st.DrawFn) -> Conv | ConvTranspose:
    """Draw a layer of a size that networks have, for tests of the text: it is too large to compare."""
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    groups = draw(st.sampled_from([1, 1, 2, 4, 8]))
    channels, filters = (groups * draw(st.sampled_from([1, 2, 8, 16, 32])) for _ in range(2))
    axis = st.sampled_from([14, 28, 57, 112] if rank < 3 else [8, 14, 20])
    sizes = [draw(axis) for _ in range(rank)]
    kinds: list[type[Conv] | type[ConvTranspose]] = [Conv, ConvTranspose]
    return draw(st.sampled_from(kinds))(
        (draw(st.sampled_from([1, 2, 16])), channels, *sizes),
        filters,
        tuple(draw(st.sampled_from([1, 2, 3, 5, 7])) for _ in range(rank)),
        stride=_per_axis(draw, rank, 3),
        padding=tuple(draw(st.integers(0, 2)) for _ in range(rank)) if rank < 3 else 0,
        groups=groups,
        bias=draw(st.booleans()),
    )


def _common(draw: st.DrawFn, largest: int) -> dict[str, Any]:
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    largest = min(largest, {1: 9, 2: 7, 3: 4}[rank])
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels = groups * draw(st.integers(1, 2))
    sizes = [draw(st.integers(1, largest)) for _ in range(rank)]
    return {
        "input_shape": (draw(st.integers(1, 3)), channels, *sizes),
        "out_channels": groups * draw(st.integers(1, 2)),
        "kernel_size": _per_axis(draw, rank, 3 if rank < 3 else 2),
        "stride": _per_axis(draw, rank, 4 if rank < 3 else 3),
        "dilation": _per_axis(draw, rank, 3),
        "groups": groups,
        "bias": draw(st.booleans()),
        "flip": draw(st.booleans()),
        "dtype": "float64",
    }


def _per_axis(draw: st.DrawFn, rank: int, most: int) -> int | tuple[int, ...]:
    one = st.integers(1, most)
    drawn: int | tuple[int, ...] = draw(st.one_of(one, st.tuples(*[one] * rank)))
    return drawn


def _least(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else min(value)


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """Draw a pool of any kind, in float64: ceil_mode with padding and dilation."""
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    largest = {1: 12, 2: 8, 3: 5}[rank]
    sizes = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    shape = (*sizes, *(draw(st.integers(1, largest)) for _ in range(rank)))
    kind = draw(st.sampled_from([MaxPool, MaxPool, AvgPool, AvgPool, GlobalMaxPool, GlobalAvgPool]))
    if kind in (GlobalMaxPool, GlobalAvgPool):
        return cast(Pool, kind(shape, dtype="float64"))
    pairs = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * rank)
    arguments: dict[str, Any] = {
        "kernel_size": _per_axis(draw, rank, 3),
        "stride": draw(st.none() | st.integers(1, 4)),
        "padding": draw(st.one_of(st.integers(0, 1), pairs)),
        "dilation": _per_axis(draw, rank, 2),
        "ceil_mode": draw(st.booleans()),
        "dtype": "float64",
    }
    if kind is AvgPool:
        arguments["count_include_pad"] = draw(st.booleans())
    try:
        return cast(Pool, kind(shape, **arguments))
    except SymconvError:
        return cast(Pool, kind((*sizes, *[largest] * rank), **arguments | {"padding": 0}))
