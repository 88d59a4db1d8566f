"""From a layer's arguments to the loop oracles, which know nothing of layers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from symconv import AvgPool, Conv, ConvTranspose, GlobalAvgPool, GlobalMaxPool, MaxPool
from tests.oracles import convolution as oracle
from tests.oracles import pooling

Array = NDArray[Any]
Pool = MaxPool | AvgPool | GlobalMaxPool | GlobalAvgPool


class Expected(NamedTuple):
    """Random inputs of a layer, in forward's order, and what loops make of them."""

    inputs: list[Array]
    cotangent: Array
    output: Array
    gradients: list[Array]


def expected(layer: Conv | ConvTranspose, seed: int = 0) -> Expected:
    """Draw inputs and run the oracles on them; sizes, too, are the oracles' own."""
    rng = np.random.default_rng(seed)
    batch, channels, *_ = layer.input_shape
    kernel = _spread(layer.kernel_size, layer)
    outer = (layer.out_channels, channels // layer.groups)
    if isinstance(layer, ConvTranspose):
        outer = (channels, layer.out_channels // layer.groups)
    x = rng.standard_normal(layer.input_shape)
    weight = rng.standard_normal((*outer, *kernel))
    bias = rng.standard_normal(layer.out_channels) if layer.bias else None
    terms = products(layer)
    shape = (batch, layer.out_channels, *_output_sizes(layer))
    output = oracle.convolution(x, weight, bias, shape, terms)
    cotangent = rng.standard_normal(output.shape)
    gx, gw, gb = oracle.convolution_gradients(cotangent, x, weight, terms)
    biases = [] if bias is None else [bias]
    return Expected([x, weight, *biases], cotangent, output, [gx, gw, gb][: 2 + len(biases)])


def products(layer: Conv | ConvTranspose) -> list[tuple[oracle.Cell, oracle.Cell, oracle.Cell]]:
    """Return the cells of input, filter and output of every product."""
    kernel, stride, dilation, pads = _geometry(layer)
    channels = layer.input_shape[1]
    if isinstance(layer, Conv):
        weight = (layer.out_channels, channels // layer.groups, *kernel)
        return list(
            oracle.convolution_terms(
                layer.input_shape,
                weight,
                stride,
                dilation,
                pads,
                layer.groups,
                layer.padding_mode,
                layer.flip,
            )
        )
    weight = (channels, layer.out_channels // layer.groups, *kernel)
    shape = (layer.input_shape[0], layer.out_channels, *_output_sizes(layer))
    return list(
        oracle.transposed_terms(
            layer.input_shape, weight, shape, stride, dilation, pads, layer.groups, layer.flip
        )
    )


def _geometry(
    layer: Conv | ConvTranspose,
) -> tuple[oracle.Cell, oracle.Cell, oracle.Cell, list[tuple[int, int]]]:
    kernel, stride, dilation = (
        _spread(v, layer) for v in (layer.kernel_size, layer.stride, layer.dilation)
    )
    sizes = layer.input_shape[2:]
    return kernel, stride, dilation, oracle.padding_pairs(layer.padding, sizes, kernel, stride, dilation)


def _output_sizes(layer: Conv | ConvTranspose) -> oracle.Cell:
    kernel, stride, dilation, pads = _geometry(layer)
    sizes = layer.input_shape[2:]
    if isinstance(layer, Conv):
        return oracle.convolution_sizes(sizes, kernel, stride, dilation, pads)
    added = _spread(layer.output_padding, layer)
    return oracle.transposed_sizes(sizes, kernel, stride, dilation, pads, added)


def _spread(value: Any, layer: Conv | ConvTranspose) -> oracle.Cell:
    return (value,) * (len(layer.input_shape) - 2) if isinstance(value, int) else tuple(value)


def close(received: Array, wanted: Array, relative: float = 1e-10) -> bool:
    """Whether two arrays agree, relative to the largest element wanted."""
    limit = relative * max(float(np.abs(wanted).max(initial=0.0)), 1e-30)
    return received.shape == wanted.shape and bool((np.abs(received - wanted) <= limit).all())


def expected_pool(layer: Pool, x: Array, cotangent: Array | None = None) -> Expected:
    """Run the oracles of pooling on an input; sizes, too, are the oracles' own."""
    sizes = x.shape[2:]
    rank = len(sizes)

    def spread(value: Any) -> oracle.Cell:
        return (value,) * rank if isinstance(value, int) else tuple(value)

    if isinstance(layer, GlobalMaxPool | GlobalAvgPool):
        kernel, stride, dilation, pads = sizes, (1,) * rank, (1,) * rank, [(0, 0)] * rank
        outputs = (1,) * rank
    else:
        kernel, dilation = spread(layer.kernel_size), spread(layer.dilation)
        stride = kernel if layer.stride is None else spread(layer.stride)
        pads = oracle.padding_pairs(layer.padding, sizes, kernel, stride, dilation)
        outputs = pooling.pooled_sizes(sizes, kernel, stride, dilation, pads, layer.ceil_mode)
    if cotangent is None:
        cotangent = np.random.default_rng(1).integers(-9, 9, (*x.shape[:2], *outputs)).astype(float)
    geometry = (kernel, stride, dilation, pads)
    if isinstance(layer, MaxPool | GlobalMaxPool):
        output, gradient = pooling.maxima(x, outputs, cotangent, *geometry)
    else:
        counted = isinstance(layer, AvgPool) and layer.count_include_pad
        output, gradient = pooling.averages(x, outputs, cotangent, counted, *geometry)
    return Expected([x], cotangent, output, [gradient])
