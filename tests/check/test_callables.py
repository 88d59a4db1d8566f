"""Anybody's functions, for any layer: those of generated modules pass, planted errors do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from symconv import Activation, MaxPool, SymconvError, check, generate
from symconv.layers import Layer
from symconv.layers.activations import NAMED
from tests.layers import test_composites, test_index_notation, test_network, test_sums

LAYERS: list[Layer] = [
    *test_composites.LAYERS,
    *test_sums.LAYERS,
    *test_index_notation.LAYERS.values(),
    *(Activation((3, 4), function) for function in NAMED),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_right_functions_pass_and_wrong_ones_do_not(layer: Layer) -> None:
    module = generate(layer, "module").load()
    assert check(layer, forward=module.forward, backward=module.backward).passed

    def wrong(*arrays: Any) -> list[Any]:
        gradients = [array.copy() for array in module.backward(*arrays)]
        gradients[-1] = gradients[-1] * np.asarray(1.01, gradients[-1].dtype)
        return gradients

    report = check(layer, backward=wrong)
    assert not report.passed
    assert "Smallest failing case" in report.results[0].detail


def test_a_tie_is_nobodys_fault() -> None:
    """Numbers differ: crediting the last of equal maxima is as good as the first."""
    layer = MaxPool((1, 1, 6), 2)

    def backward(g: Any, x: Any) -> tuple[Any]:
        pairs = x.reshape(1, 1, 3, 2)
        last = 1 - pairs[..., ::-1].argmax(axis=-1)
        gx = np.zeros_like(pairs)
        np.put_along_axis(gx, last[..., None], g[..., None], axis=-1)
        return (gx.reshape(x.shape),)

    def padded(g: Any, x: Any) -> tuple[Any]:
        return (backward(g, np.roll(x, 1, axis=-1))[0],)

    own = check(layer, backward=lambda g, x: backward(g, x))
    assert own.results[0].detail.startswith("equals")
    assert not check(layer, backward=padded).passed


def test_a_kink_far_from_zero_is_seen() -> None:
    report = check(Activation((3, 4), "relu6"), forward=lambda x: np.maximum(x, 0))
    assert not report.passed


def test_the_only_gradient_may_come_alone() -> None:
    layer = Activation((3, 4), "relu")
    assert check(layer, backward=lambda g, x: g * (x > 0)).passed
    assert not check(layer, backward=lambda g, x: g * (x > 1)).passed


def test_imaginary_parts_are_not_dropped() -> None:
    report = check(Activation((3, 4), "relu"), forward=lambda x: np.maximum(x, 0) + 1j)
    assert "has dtype complex" in report.results[0].detail


def test_networks_are_refused() -> None:
    with pytest.raises(SymconvError, match="must be a single layer"):
        check(test_network.LENET, forward=lambda x: x)
