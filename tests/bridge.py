"""From a layer's arguments to the loop oracles, which know nothing of layers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from symconv import Conv, ConvTranspose
from tests.oracles import convolution as oracle

Array = NDArray[Any]


class Expected(NamedTuple):
    """Random inputs of a layer, in forward's order, and what loops make of them."""

    inputs: list[Array]
    cotangent: Array
    output: Array
    gradients: list[Array]


def expected(layer: Conv | ConvTranspose, seed: int = 0) -> Expected:
    """Draw inputs and run the oracles on them."""
    rng = np.random.default_rng(seed)
    x, weight = (rng.standard_normal(shape) for shape in (layer.input_shape, layer.parameters["weight"]))
    bias = rng.standard_normal(layer.out_channels) if layer.bias else None
    terms = products(layer)
    output = oracle.convolution(x, weight, bias, layer.output_shape, terms)
    cotangent = rng.standard_normal(output.shape)
    gx, gw, gb = oracle.convolution_gradients(cotangent, x, weight, terms)
    with_bias = bias is not None
    return Expected(
        [x, weight, *([bias] if bias is not None else [])],
        cotangent,
        output,
        [gx, gw, *([gb] if with_bias else [])],
    )


def products(layer: Conv | ConvTranspose) -> list[tuple[oracle.Cell, oracle.Cell, oracle.Cell]]:
    """Return the cells of input, filter and output of every product."""
    rank = len(layer.input_shape) - 2
    kernel, stride, dilation = (
        (v,) * rank if isinstance(v, int) else tuple(v)
        for v in (layer.kernel_size, layer.stride, layer.dilation)
    )
    pads = oracle.padding_pairs(layer.padding, layer.input_shape[2:], kernel, stride, dilation)
    weight = layer.parameters["weight"]
    if isinstance(layer, Conv):
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
    return list(
        oracle.transposed_terms(
            layer.input_shape,
            weight,
            layer.output_shape,
            stride,
            dilation,
            pads,
            layer.groups,
            layer.flip,
        )
    )


def close(received: Array, wanted: Array, relative: float = 1e-10) -> bool:
    """Whether two arrays agree, relative to the largest element wanted."""
    limit = relative * max(float(np.abs(wanted).max(initial=0.0)), 1e-30)
    return received.shape == wanted.shape and bool((np.abs(received - wanted) <= limit).all())
