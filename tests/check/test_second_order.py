"""Derivatives of second order: checked as users would, against PyTorch, with planted errors."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from symconv import (
    Activation,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    LayerNorm,
    Linear,
    MaxPool,
    MeanSquaredError,
    Reshape,
    Softmax,
    SoftmaxCrossEntropy,
    SymconvError,
    check,
    generate,
)
from symconv.layers import Layer
from symconv.layers.activations import NAMED
from symconv.unit import Unit
from tests.bridge import close
from tests.effort import many
from tests.strategies import layers

Array = NDArray[Any]
LAYERS: list[Layer] = [
    Conv((1, 2, 5, 5), 3, 3, padding=1),
    Conv((2, 4, 7, 6), 4, (3, 2), stride=2, padding=((0, 1), (2, -1)), groups=2),
    Conv((1, 2, 5, 5), 3, 3, padding=(1, 2), padding_mode="reflect", dtype="float64"),
    Conv((1, 1, 1), 1, 1, stride=2, bias=False, dtype="float64"),  # one element
    Conv((2, 16, 40, 40), 16, 3, padding=1),
    ConvTranspose((1, 2, 5), 3, 3, 2, dtype="float64"),
    ConvTranspose((2, 1, 1), 2, 1, 2, padding=1, output_padding=2, dilation=3),  # zero everywhere
    MaxPool((1, 2, 8, 7), 3, 2, 1),
    AvgPool((2, 3, 9, 8), 3, 2, 1, ceil_mode=True, count_include_pad=False),
    GlobalMaxPool((2, 3, 4)),
    GlobalAvgPool((2, 3, 4, 5)),
    Linear((4, 5), 3),
    Linear((2, 3, 4, 5), 3, bias=False),
    Flatten((2, 3, 4, 5)),
    Reshape((6, 4), (3, -1)),
    Add(((2, 3), (2, 3), (2, 3))),
    Concat(((2, 3, 4), (2, 2, 4), (2, 1, 4))),
    Softmax((4, 6)),
    SoftmaxCrossEntropy((4, 6)),
    MeanSquaredError((3, 4, 2)),
    BatchNorm((4, 3, 5, 5)),
    BatchNorm((4, 3, 5), training=False),
    LayerNorm((4, 3, 5)),
    *(Activation((300,), name) for name in NAMED),
    Activation((300,), "where(x > 0, x, 0.25*x) / (1 + abs(x))"),
    Activation((300,), "max(x, 0)^2"),
]


def second(layer: Layer) -> Unit:
    return generate(layer, "module", order=2)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_layer_has_derivatives_of_second_order(layer: Layer) -> None:
    report = check(second(layer))
    assert report.passed, report
    said = " ".join(result.name for result in report.results)
    assert "jvp" in said
    assert "double_backward" in said


@settings(max_examples=many(60))
@given(layers())
def test_random_convolutions_exactly(layer: Conv | ConvTranspose) -> None:
    report = check(second(layer))
    assert report.passed, report


@pytest.mark.parametrize(
    ("layer", "old", "new", "seen"),
    [
        (Conv((1, 2, 5), 3, 3), "ty\\[0\\] \\+= ty_more", "ty[0] -= ty_more", "jvp"),
        (Conv((1, 2, 5), 3, 3), "gb\\[...\\] = 0", "gb[...] = 1", "double_backward"),
        (Linear((4, 5), 3), "np.matmul\\(grad_output, ggw", "np.matmul(grad_output, weight", "double_"),
        (MaxPool((1, 2, 8), 3, 2), "tx\\[0, :, i : i", "tx[0, :, 1 + i : 1 + i", "jvp"),
        (Activation((300,), "silu"), "gx\\[...\\] = ggx", "gx[...] = 2 * ggx", "double_backward, by x"),
        (Softmax((4, 6)), "texponential / total", "2 * texponential / total", "jvp"),
        (BatchNorm((4, 3, 5)), "gvariance = t2", "gvariance = 2 * t2", "double_backward"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_planted_error_is_seen(layer: Layer, old: str, new: str, seen: str) -> None:
    unit = second(layer)
    start = unit.source.index("def jvp")
    assert re.search(old, unit.source[start:]), unit.source
    wrong = unit.source[:start] + re.sub(old, new, unit.source[start:])
    report = check(Unit(unit.name, wrong, unit.plan))
    assert any(seen in result.name for result in report.results if not result.passed), report


def in_torch(layer: Layer, x: Any, *parameters: Any) -> Any:
    from torch.nn import functional

    F: Any = functional  # its customary name; mypy has no types for arguments that are handed on
    match layer:
        case Conv():
            return F.conv2d(x, *parameters, stride=layer.stride, padding=layer.padding)
        case BatchNorm():
            return F.batch_norm(x, None, None, *parameters, training=True, eps=layer.eps)
        case LayerNorm():
            return F.layer_norm(x, layer.input_shape[1:], *parameters, layer.eps)
        case Softmax():
            return F.softmax(x, layer.axis)
        case MaxPool():
            return F.max_pool2d(x, layer.kernel_size, layer.stride, layer.padding)
        case Activation():
            return {"gelu": F.gelu, "softplus": F.softplus, "tanh": F.tanh}[layer.function](x)
        case _:
            raise AssertionError(layer)


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    "layer",
    [
        Conv((2, 3, 7, 6), 4, 3, stride=2, padding=1, dtype="float64"),
        BatchNorm((4, 3, 5), dtype="float64"),
        LayerNorm((4, 3, 5), dtype="float64"),
        Softmax((4, 6), dtype="float64"),
        MaxPool((1, 2, 8, 7), 3, 2, 1, dtype="float64"),
        Activation((5, 6), "gelu", dtype="float64"),
        Activation((5, 6), "softplus", dtype="float64"),
    ],
    ids=str,
)
def test_pytorch_agrees(layer: Layer) -> None:
    """Its gradient of ⟨its gradients, V⟩ is double_backward, and what it says of G is jvp."""
    import torch

    rng = np.random.default_rng(0)
    names = layer.differentiable
    point = {name: rng.standard_normal(layer.inputs[name]) for name in names}
    ways = {name: rng.standard_normal(layer.inputs[name]) for name in names}
    running = [np.ones(layer.inputs[name]) for name in layer.inputs if name not in names]
    cotangent = rng.standard_normal(layer.output_shape)
    tensors = [torch.tensor(array, requires_grad=True) for array in point.values()]
    g = torch.tensor(cotangent, requires_grad=True)
    output = in_torch(layer, *tensors)
    first = torch.autograd.grad(output, tensors, g, create_graph=True)
    inner = torch.stack([(f * torch.tensor(w)).sum() for f, w in zip(first, ways.values(), strict=True)])
    wanted = torch.autograd.grad(inner.sum(), [g, *tensors], allow_unused=True)
    module = second(layer).load()
    received = module.double_backward(*ways.values(), cotangent, *point.values(), *running)
    for array, tensor in zip(received, wanted, strict=True):
        assert close(array, np.zeros(array.shape) if tensor is None else tensor.numpy(), 1e-9)
    change = module.jvp(*point.values(), *running, *ways.values())
    assert close(change, wanted[0].numpy(), 1e-9)


def test_modules_of_order_one_have_none() -> None:
    assert "jvp" not in generate(Conv((1, 1, 5), 1, 3), "module").source
    with pytest.raises(SymconvError, match="order = 3: must be 1 or 2"):
        generate(Conv((1, 1, 5), 1, 3), "module", order=3)
