"""What --explain says of a network is measured: memory by tracemalloc, FLOPs by numbers that count."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from symconv import Conv, Linear, Network, generate
from symconv.layers import Layer
from symconv.lower.flops import flops
from symconv.lower.network_plan import NetworkPlan
from symconv.targets.numpy.memory import needs
from symconv.targets.numpy.rationale import rationale
from tests.layers.test_network import RELU, drawn, layer

NETWORKS = [
    Network(
        (
            layer("Conv", out_channels=16, kernel_size=3, padding=1),
            RELU,
            layer("MaxPool", kernel_size=2),
            layer("Conv", out_channels=32, kernel_size=3, padding=1),
            RELU,
            layer("MaxPool", kernel_size=2),
            layer("Flatten"),
            layer("Linear", out_features=64),
            layer("SoftmaxCrossEntropy"),
        ),
        input_shape=(32, 1, 16, 16),
    ),
    Network(
        (
            layer("Conv", out_channels=32, kernel_size=3, padding=1),
            layer("BatchNorm"),
            ("act", layer("Activation", function="silu")),
            ("more", layer("Conv", out_channels=32, kernel_size=3, padding=1, groups=32)),
            ("sum", layer("Add"), ("more", "act")),
            layer("Conv", out_channels=32, kernel_size=3, padding=1, stride=2),
            RELU,
            layer("GlobalAvgPool"),
            layer("Flatten"),
            layer("Linear", out_features=10),
            layer("SoftmaxCrossEntropy"),
        ),
        input_shape=(16, 3, 32, 32),
        dtype="float64",
    ),
]


@pytest.mark.parametrize("network", NETWORKS, ids=["pools", "residual"])
def test_memory_is_what_explain_says(network: Network) -> None:
    unit = generate(network, "module")
    module = unit.load()
    assert isinstance(unit.plan, NetworkPlan)
    said = needs(unit.plan)
    params, x, labels = drawn(network, module)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    results = module.loss_and_gradients(params, x, *labels)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(results) >= 2
    assert after - before == pytest.approx(said.kept + said.gradients, rel=0.03)
    assert peak - before == pytest.approx(said.peak, rel=0.1)
    assert max(row.peak for row in said.rows) <= said.peak
    text = rationale(unit.plan)
    assert "conv1: Conv" in text
    assert f"{sum(row.parameters for row in said.rows):,}" in text


class Counting:
    """A number that counts multiplications."""

    count = 0

    def __mul__(self, other: object) -> Counting:
        Counting.count += 1
        return self

    __rmul__ = __mul__

    def __add__(self, other: object) -> Counting:
        return self

    __radd__ = __add__


@pytest.mark.parametrize(
    "layer_",
    [
        Conv((2, 3, 8, 7), 4, 3, padding=1, bias=False),
        Conv((1, 4, 9), 6, 3, stride=2, groups=2, bias=False),
        Linear((3, 5), 4, bias=False),
    ],
    ids=str,
)
def test_flops_are_what_runs(layer_: Layer) -> None:
    """Each product is a multiplication and an addition."""
    module: Any = generate(layer_, "module").load()
    module.DTYPE = object
    inputs = [np.full(shape, Counting(), object) for shape in layer_.inputs.values()]
    Counting.count = 0
    module.forward(*inputs)
    assert flops(layer_.graph) == 2 * Counting.count
