"""What users write elsewhere is taken here: every spelling of a layer is the same layer."""

# mypy: disable-error-code="arg-type"
# what users pass is wider than the hints say

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import sympy

from symconv import (
    Activation,
    AvgPool,
    BatchNorm,
    Contraction,
    Conv,
    ConvTranspose,
    Filter,
    Flatten,
    LayerNorm,
    Linear,
    MaxPool,
    Pad,
    ReduceMax,
    ReduceSum,
    Slice,
    Softmax,
    SymconvError,
    Transpose,
    Upsample,
    generate,
)
from symconv.layers import Layer, rebuild

X = (2, 4, 6, 6)
SAME: list[tuple[Layer, ...]] = [
    (
        Conv(X, 4, 3, padding=1),
        Conv(list(X), 4, (3, 3), (1, 1), [1, 1]),
        Conv(X, 4, [3, 3], padding=((1, 1), (1, 1))),
        Conv(X, np.int64(4), 3, padding=1),
    ),
    (ConvTranspose(X, 2, 2, stride=2), ConvTranspose(X, 2, (2, 2), stride=[2, 2])),
    (MaxPool(X, 2), MaxPool(X, (2, 2), stride=2), MaxPool(X, [2, 2], None, padding=(0, 0))),
    (Softmax(X), Softmax(X, 1), Softmax(X, axis=-3)),
    (LayerNorm(X, 6), LayerNorm(X, (6,)), LayerNorm(X, [6])),
    (Flatten(X), Flatten(list(X))),
    (Linear([2, 3], 4), Linear((2, np.int32(3)), 4)),
    (Activation((4,), "x/2"), Activation((4,), sympy.Symbol("x") / 2)),
    (BatchNorm((2, 3), eps=1e-3), BatchNorm([2, 3], eps=np.float64(1e-3))),
    (
        Slice(X, (0, 1), (2, 3)),
        Slice(X, [0, -3], [9, -1], steps=1),
        Slice(X, (1, 0), (3, 99), (1, -4), (1, 1)),
    ),
    (ReduceSum(X, (2, 3)), ReduceSum(X, [3, 2]), ReduceSum(X, (-1, -2))),
    (ReduceMax(X, 1), ReduceMax(X, (1,)), ReduceMax(X, -3)),
    (Pad(X, 1), Pad(X, ((1, 1), (1, 1), (1, 1), (1, 1))), Pad(X, [1, 1, 1, 1])),
    (Upsample(X, scale_factor=2), Upsample(X, None, (2, 2)), Upsample(X, scale_factor=[2, 2])),
    (Transpose(X, (0, 2, 3, 1)), Transpose(list(X), [0, -2, -1, 1])),
    (Filter((1, 1, 5), [[[1, 2, 1]]]), Filter((1, 1, 5), np.array([[[1.0, 2.0, 1.0]]]))),
]


@pytest.mark.every
@pytest.mark.parametrize("layers", SAME, ids=lambda layers: str(layers[0]))
def test_spellings_of_a_layer_are_equal(layers: tuple[Layer, ...]) -> None:
    first, *others = layers
    for other in others:
        assert other == first
        assert hash(other) == hash(first)
        assert repr(other) == repr(first)
        assert generate(other, "module").source == generate(first, "module").source


@pytest.mark.every
@pytest.mark.parametrize(
    ("word", "padding"), [("valid", 0), ("same", 1), ("same_lower", 1), ("full", 2)]
)
@pytest.mark.parametrize("make", [MaxPool, AvgPool, partial(Conv, X, 4)], ids=str)
def test_words_for_padding(make: Any, word: str, padding: int) -> None:
    shape = () if isinstance(make, partial) else (X,)
    named, counted = (make(*shape, 3, stride=1, padding=p) for p in (word, padding))
    assert named.windows == counted.windows
    assert named.output_shape == counted.output_shape


def test_numbers_of_sympy_may_be_decimals() -> None:
    x = np.linspace(-2, 2, 5, dtype=np.float32)
    symbol = sympy.Symbol("x", real=True)
    for function in (symbol * 0.5, sympy.Float("0.5") * symbol, "0.5*x", "x/2"):
        np.testing.assert_array_equal(generate(Activation((5,), function), "m").load().forward(x), x / 2)


@pytest.mark.every
@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("O[n,x] = 0.5*X[n,x] + 0.25*X[n,x+1]", "O[n,x] = X[n,x]/2 + X[n,x+1]/4"),
        ("O[n,x] = X[n,x+1]*0.125 - X[n,x]/4", "O[n,x] = X[n,x+1]/8 - 0.25*X[n,x]"),
    ],
)
def test_numbers_of_a_formula_may_be_decimals_or_fractions(text: str, same: str) -> None:
    x = np.arange(10, dtype=np.float32).reshape(2, 5) ** 2
    first, other = (Contraction.parse(formula, X=(2, 5), x=4) for formula in (text, same))
    found, expected = (generate(layer, "module").load().forward(x) for layer in (first, other))
    np.testing.assert_array_equal(found, expected)
    assert found.any()


def test_expressions_name_activations() -> None:
    x = np.linspace(-3, 3, 7, dtype=np.float32)
    swish = generate(Activation((7,), "x*sigmoid(x)"), "module").load()
    silu = generate(Activation((7,), "silu"), "module").load()
    np.testing.assert_allclose(swish.forward(x), silu.forward(x), rtol=1e-6)
    hard = generate(Activation((7,), "x*relu6(x+3)/6"), "module").load()
    np.testing.assert_allclose(hard.forward(x), x * np.clip(x + 3, 0, 6) / 6, rtol=1e-6)


@pytest.mark.every
@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: Activation((4,), "rellu"), "did you mean 'relu'"),
        (lambda: rebuild({"layer": "MaxPol", "input_shape": [1, 1, 4], "kernel_size": 2}), "MaxPool"),
        (
            lambda: rebuild({"layer": "Conv", "input_shape": [1, 1, 4], "out_channels": 1, "kernel": 2}),
            "kernel_size",
        ),
        (lambda: Conv(X, 4, 3, padding="smae"), "one of 'valid', 'full', 'same', 'same_lower'"),
    ],
)
def test_what_was_meant_is_said(make: Any, hint: str) -> None:
    with pytest.raises(SymconvError, match=hint):
        make()


def test_no_dtype_is_refused() -> None:
    with pytest.raises(SymconvError, match="dtype = None"):
        Conv(X, 4, 3, dtype=None)
