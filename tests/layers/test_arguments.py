"""What layers refuse, and what they make of their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from symconv import Conv, ConvTranspose, SymconvError
from symconv.layers import rebuild
from symconv.layers.spelling import parse, shell_options, spell
from tests.bridge import expected
from tests.strategies import layers

CONV: dict[str, Any] = {"input_shape": (1, 2, 5, 6), "out_channels": 4, "kernel_size": 3}

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input_shape": (1, 2)}, "input_shape = (1, 2): must be batch, channels"),
    ({"input_shape": (1, 2, 3, 4, 5, 6)}, "input_shape"),
    ({"input_shape": (0, 2, 5, 6)}, "input_shape = (0, 2, 5, 6)"),
    ({"input_shape": (1, 2, 5.0, 6)}, "input_shape"),
    ({"input_shape": "1x2"}, "input_shape = '1x2'"),
    ({"input_shape": (1, 2, 10**12, 6)}, "below 2147483648"),
    ({"input_shape": (1, 2, 10**5, 10**5)}, "at most 2147483648 elements"),
    ({"out_channels": 0}, "out_channels = 0: must be a positive int"),
    ({"out_channels": True}, "out_channels = True"),
    ({"out_channels": 2**30}, "output_shape"),
    (
        {"kernel_size": 0},
        "kernel_size = 0: must be a positive int, or one per spatial axis (2 here)",
    ),
    ({"kernel_size": (3, 3, 3)}, "kernel_size = (3, 3, 3)"),
    ({"kernel_size": 7}, "along axis y it spans 7 elements, but the padded input has 5"),
    ({"kernel_size": None}, "kernel_size = None"),
    ({"stride": 0}, "stride = 0"),
    ({"stride": (1, -1)}, "stride = (1, -1)"),
    ({"dilation": 3}, "along axis y it spans 7 elements"),
    ({"padding": -1}, "padding = -1: must be a non-negative int"),
    ({"padding": "wide"}, "padding = 'wide': must be one of 'valid', 'full', 'same', 'same_lower'"),
    ({"padding": ((1, 2),)}, "a pair (lo, hi) of ints for each spatial axis (2 here)"),
    ({"padding": ((1, 2), (1,))}, "padding"),
    ({"padding": ((-5, 0), (0, 0))}, "kernel_size"),
    ({"groups": 3}, "groups = 3: must be a divisor of 2 input and 4 output channels"),
    ({"bias": 1}, "bias = 1: must be True or False"),
    ({"padding_mode": "mirror"}, "padding_mode = 'mirror': must be one of 'zeros', 'reflect'"),
    ({"padding_mode": "reflect", "padding": 5}, "from 0 to 4 on axis y"),
    ({"padding_mode": "circular", "padding": ((0, 6), (0, 0))}, "from 0 to 5 on axis y"),
    ({"padding_mode": "replicate", "padding": ((-1, 1), (0, 0))}, "from 0 to"),
    ({"flip": "yes"}, "flip = 'yes'"),
    ({"dtype": "float16"}, "dtype = 'float16': must be one of 'float32', 'float64'"),
    ({"dtype": {"X": (3,)}}, "dtype = {'X': (3,)}: must be one of 'float32', 'float64'"),
]

REFUSED_TRANSPOSED: list[tuple[dict[str, Any], str]] = [
    (
        {"output_padding": 1},
        "output_padding = 1: must be less than the larger of stride and dilation (1 here)",
    ),
    ({"output_padding": -1}, "output_padding = -1"),
    ({"padding": 9}, "small enough to leave an output"),
    ({"padding": "same"}, "padding = 'same'"),
    ({"padding_mode": "reflect"}, "padding_mode = 'reflect': must be one of 'zeros'"),
    ({"kernel_size": 10**5, "stride": 10**5}, "output_shape"),
]


@pytest.mark.parametrize(("changed", "message"), REFUSED)
def test_conv_refuses(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SymconvError) as refusal:
        Conv(**CONV | changed)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("changed", "message"), REFUSED_TRANSPOSED)
def test_transposed_refuses(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SymconvError) as refusal:
        ConvTranspose(**CONV | changed)
    assert message in str(refusal.value)


@given(layers())
def test_sizes_are_those_of_the_oracle(layer: Conv | ConvTranspose) -> None:
    want = expected(layer)
    assert layer.output_shape == want.output.shape
    assert [a.shape for a in want.inputs[1:]] == list(layer.parameters.values())


@pytest.mark.parametrize(
    ("padding", "size", "pads"),
    [
        ("same", 6, (0, 1)),
        ("same_lower", 6, (1, 0)),
        ("same", 7, (1, 1)),
        ("valid", 6, (0, 0)),
        ("full", 6, (2, 2)),
    ],
)
def test_padding_words(padding: str, size: int, pads: tuple[int, int]) -> None:
    layer = Conv((1, 1, size), 1, 3, stride=2, padding=padding)
    (window,) = layer.windows
    assert (window.lo, window.hi) == pads
    if padding.startswith("same"):
        assert layer.output_shape[2] == -(-size // 2)


@given(layers())
def test_a_layer_is_rebuilt_from_its_data_and_its_spelling(layer: Conv | ConvTranspose) -> None:
    assert rebuild(layer.as_dict()) == layer
    words = shell_options(layer)[1:]
    assert all(isinstance(word, str) for word in words)
    assert hash(rebuild(layer.as_dict())) == hash(layer)
    read = {
        name: parse(name, spell(name, value)) if isinstance(value, int | tuple) else value
        for name, value in layer.arguments.items()
        if not isinstance(value, bool)
    }
    flags = {name: value for name, value in layer.arguments.items() if isinstance(value, bool)}
    again = rebuild({"layer": type(layer).__name__, **read, **flags})
    assert isinstance(again, Conv | ConvTranspose)
    assert (again.windows, again.parameters) == (layer.windows, layer.parameters)


def test_lists_and_numpy_ints_are_taken() -> None:
    layer = Conv([1, 2, 5, 6], np.int64(4), [3, 3], padding=[[0, 1], [2, 2]])  # type: ignore[arg-type]  # what JSON and NumPy give
    assert layer == Conv((1, 2, 5, 6), 4, (3, 3), padding=((0, 1), (2, 2)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"layer": "Convolution"}, "layer = 'Convolution': must be one of 'Conv', 'ConvTranspose'"),
        ({"layer": "Conv"}, "input_shape: missing"),
        ({"layer": "Conv", **CONV, "kernel": 3}, "kernel: not an argument of Conv"),
        ({}, "layer = None"),
    ],
)
def test_rebuilding_refuses(data: dict[str, Any], message: str) -> None:
    with pytest.raises(SymconvError, match=message.split("'")[0]):
        rebuild(data)
