"""Layers of every kind, what their functions compute, and random inputs for their kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import symconv
from symconv.kernel.language import Kernel
from symconv.layers.layer import Layer
from symconv.layers.normalisation import Normalisation
from symconv.lower.layer_plan import Function
from symconv.notation.evaluate import evaluate
from symconv.targets.numpy.plan import plan_layer

Array = NDArray[Any]
LAYERS: list[Layer] = [
    symconv.Conv((2, 3, 5, 4), 2, 3, padding=1),
    symconv.Conv((2, 4, 5, 6), 6, (3, 2), groups=2, padding=((0, 1), (2, 0))),
    symconv.Conv((2, 2, 6, 6), 2, 3, padding=1, padding_mode="reflect"),
    symconv.Conv((1, 2, 5), 2, 3, padding=2, padding_mode="circular", stride=2),
    symconv.Conv((1, 1, 5), 1, 3, padding=2, padding_mode="replicate", flip=True),
    symconv.ConvTranspose((2, 2, 4, 4), 3, 3, stride=2, output_padding=1),
    symconv.MaxPool((2, 2, 6, 6), 2),
    symconv.MaxPool((1, 2, 5, 5), 3, stride=2, padding=1),
    symconv.AvgPool((1, 1, 5, 5), 3, stride=2, padding=1, count_include_pad=False),
    symconv.GlobalAvgPool((2, 3, 4, 4)),
    symconv.GlobalMaxPool((2, 3, 3, 3)),
    symconv.Linear((3, 4), 5),
    symconv.Softmax((3, 4)),
    symconv.SoftmaxCrossEntropy((3, 4)),
    symconv.BatchNorm((2, 3, 4)),
    symconv.LayerNorm((2, 3, 4), (3, 4)),
    symconv.Activation((2, 3), function="gelu"),
    symconv.Flatten((2, 3, 4)),
    symconv.Concat(((2, 3, 2), (2, 1, 2)), axis=1),
    symconv.MeanSquaredError((2, 3)),
    symconv.BinaryCrossEntropyWithLogits((2, 3)),
    symconv.MatMul(((2, 1, 2, 3), (2, 3, 2))),
    symconv.Multiply(((2, 3), (3,), (2, 1))),
    symconv.Transpose((2, 3, 2), (2, 0, 1)),
    symconv.Slice((4, 5), (3, 0), (0, 5), steps=(-1, 2)),
    symconv.PixelShuffle((1, 8, 2, 3), 2),
    symconv.Pad((2, 3), ((1, 0), (-1, 2)), value=0.5),
    symconv.Pad((2, 3), ((1, 0), (1, 2)), "circular"),
    symconv.Upsample((1, 2, 2, 3), scale_factor=2),
    symconv.Upsample((1, 1, 2, 3), size=(3, 5), mode="bilinear", align_corners=True),
    symconv.ReduceMean((2, 3, 2), (0, 2), keepdims=True),
    symconv.ReduceMax((2, 3, 2), 1),
    symconv.PReLU((2, 3), 3),
    symconv.GroupNorm((2, 4, 3), 2),
    symconv.InstanceNorm((2, 2, 3)),
    symconv.LocalResponseNorm((1, 4, 2), 3),
    symconv.Contraction("O[n,i+k] = X[n,i] * F[k]", shapes=(("X", (2, 6)), ("F", (3,)))),
    symconv.Contraction("O[i] max= X[2*i+k-1] * F[k]", shapes=(("X", (8,)), ("F", (3,)))),
    symconv.Filter((1, 1, 8, 8), weight=[[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]], padding=1),
]


def functions(layer: Layer, accuracy: str = "direct") -> Iterator[Function]:
    """Visit the functions of a layer's module."""
    yield from plan_layer(layer, accuracy=accuracy).functions


def drawn(kernel: Kernel, layer: Layer) -> dict[str, Array]:
    """Return integers for a kernel's inputs; floats where a layer has roots."""
    rng = np.random.default_rng(0)
    found = {}
    for buffer in kernel.inputs:
        name, sizes = buffer.tensor.name, buffer.tensor.sizes
        low, high = (0, 3) if name == "labels" else (1, 6) if name == "running_var" else (-5, 6)
        exact = object if not isinstance(layer, Normalisation | symconv.LocalResponseNorm) else float
        found[name] = rng.integers(low, high, sizes).astype(exact)
    return found


def wanted(function: Function, inputs: dict[str, Array]) -> list[Array]:
    """Return what a function's graph means, by the plain evaluator."""
    graph, names = function.source.graph, function.source.names
    values = evaluate(graph, {tensor: inputs[names[tensor]] for tensor in graph.inputs})
    return [values[tensor.name] for tensor in graph.outputs]


def same(received: Array, expected: Array) -> bool:
    """Whether numbers are the same: exactly, or floats but for their rounding."""
    if all(isinstance(value, int) for value in (*received.flat, *expected.flat)):
        return bool((received == expected).all())
    return np.allclose(received.astype(float), expected.astype(float), rtol=1e-9, atol=1e-9)
