"""Wherever PyTorch can express a layer, the generated module agrees with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings

from symconv import Conv, ConvTranspose, generate
from tests.bridge import close, expected
from tests.effort import many
from tests.strategies import layers

pytestmark = pytest.mark.needs("torch")


def in_torch(layer: Conv | ConvTranspose, x: Any, weight: Any, bias: Any) -> Any:
    """Compute a layer with PyTorch's functions."""
    from torch.nn import functional as F  # noqa: N812  # its customary name

    rank = len(layer.windows)
    functions: dict[int, Any]
    spatial = tuple(range(2, 2 + rank))
    weight = weight.flip(spatial) if layer.flip else weight
    numbers = {"stride": _each(layer.stride, rank), "dilation": _each(layer.dilation, rank)}
    if isinstance(layer, ConvTranspose):
        functions = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
        pads = [(w.lo, w.hi) for w in layer.windows]
        if all(lo == hi >= 0 for lo, hi in pads) and all(
            a < s or a < d
            for a, s, d in zip(
                _each(layer.output_padding, rank),
                numbers["stride"],
                numbers["dilation"],
                strict=True,
            )
        ):
            return functions[rank](
                x,
                weight,
                bias,
                numbers["stride"],
                [lo for lo, _ in pads],
                _each(layer.output_padding, rank),
                layer.groups,
                numbers["dilation"],
            )
        return None
    mode = {
        "zeros": "constant",
        "reflect": "reflect",
        "replicate": "replicate",
        "circular": "circular",
    }
    around = [n for w in reversed(layer.windows) for n in (w.lo, w.hi)]
    if any(
        -w.lo > w.size or -w.hi > w.size or w.size + min(w.lo, 0) + min(w.hi, 0) < 1
        for w in layer.windows
    ):
        return None  # PyTorch does not crop a whole axis away
    padded = F.pad(x, around, mode[layer.padding_mode]) if any(around) else x
    functions = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
    return functions[rank](padded, weight, bias, numbers["stride"], 0, numbers["dilation"], layer.groups)


def _each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


@settings(max_examples=many(500))
@given(layers())
def test_random_layers(layer: Conv | ConvTranspose) -> None:
    import torch

    want = expected(layer)
    x, weight, *bias = (torch.from_numpy(a.copy()).requires_grad_() for a in want.inputs)
    y = in_torch(layer, x, weight, bias[0] if bias else None)
    assume(y is not None)
    y.backward(torch.from_numpy(want.cotangent))
    module = generate(layer, "module").load()
    assert close(module.forward(*want.inputs), y.detach().numpy())
    received = module.backward(want.cotangent, *want.inputs)
    for found, tensor in zip(received, (x, weight, *bias), strict=True):
        assert close(found, np.asarray(tensor.grad))


def test_padding_words_are_pytorchs() -> None:
    import torch

    layer = Conv((2, 2, 7, 8), 2, (4, 3), padding="same", dilation=(1, 2), dtype="float64")
    want = expected(layer)
    x, weight, bias = map(torch.from_numpy, want.inputs)
    y = torch.nn.functional.conv2d(x, weight, bias, padding="same", dilation=(1, 2))
    assert close(generate(layer, "m").load().forward(*want.inputs), y.numpy())


def test_a_suite_row_in_float32() -> None:
    import torch

    layer = Conv((4, 64, 28, 28), 64, 3, padding=2, dilation=2, bias=False)
    rng = np.random.default_rng(0)
    x, weight = (
        rng.standard_normal(s).astype("float32") for s in (layer.input_shape, layer.parameters["weight"])
    )
    y = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(weight), None, 1, 2, 2)
    assert close(generate(layer, "m").load().forward(x, weight), y.numpy(), 1e-5)
