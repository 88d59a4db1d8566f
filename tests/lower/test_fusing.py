"""The bias and the activation behind a correlation are applied to each block that it computes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import symconv
from symconv.files import load_source
from symconv.kernel.language import Do, Loop, read_by
from symconv.kernel.simplify import simplified
from symconv.layers.network import Network
from symconv.lower.scatter import Scatter
from symconv.lower.tuning import with_choice, with_functions
from symconv.targets.numpy.network_module import render_module
from symconv.targets.numpy.plan import plan_layer, plan_network

UPWARDS = {"kernel_size": 3, "stride": 2, "output_padding": 1}  # of a transposed convolution
CONVS: dict[
    str, tuple[tuple[int, ...], dict[str, Any]]
] = {  # one for each algorithm that is chosen for a forward sweep
    "table": ((2, 1, 3, 3), {"out_channels": 2, "kernel_size": 2}),
    "pointwise": ((4, 32, 28, 28), {"out_channels": 48, "kernel_size": 1}),
    "columns": ((2, 3, 9, 9), {"out_channels": 4, "kernel_size": 3, "stride": 2}),
    "grouped": ((2, 4, 9, 9), {"out_channels": 6, "kernel_size": 3, "groups": 2}),
    "rows": ((2, 16, 28, 28), {"out_channels": 8, "kernel_size": 3, "padding": 1}),
    "depthwise": ((1, 8, 30, 30), {"out_channels": 8, "kernel_size": 3, "groups": 8}),
    "shift": ((1, 1, 400_000), {"out_channels": 1, "kernel_size": 5}),
    "scatter": ((2, 3, 9, 9), {"out_channels": 4, "kernel_size": 3, "stride": 2, "output_padding": 1}),
    "phases": (
        (2, 32, 14, 14),
        {"out_channels": 16, "kernel_size": 3, "stride": 2, "output_padding": 1},
    ),
    "volume": ((1, 2, 5, 6, 7), {"out_channels": 3, "kernel_size": 3, "padding": 1}),
    "mode": (
        (1, 2, 6, 7),
        {"out_channels": 3, "kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    ),
}


def _node(name: str, layer: str, source: str, **arguments: object) -> dict[str, Any]:
    return {"name": name, "layer": layer, "inputs": [source], **arguments}


def _network(shape: tuple[int, ...], conv: Mapping[str, Any], function: str, dtype: str) -> Network:
    kind = "ConvTranspose" if "output_padding" in conv else "Conv"
    nodes: list[Any] = [
        _node("first", kind, "x", **conv),
        _node("then", "Activation", "first", function=function),
    ]
    return Network(nodes, input_shape=shape, dtype=dtype)


@pytest.mark.parametrize("function", ["relu", "leaky_relu", "hardtanh"])
@pytest.mark.parametrize("case", CONVS)
def test_a_fused_activation_is_that_of_the_convolution(case: str, function: str) -> None:
    shape, conv = CONVS[case]
    network = _network(shape, conv, function, "float64")
    unit = symconv.generate(network, "fused")
    assert "_then_forward" not in unit.source
    module = unit.load()
    rng = np.random.default_rng(0)
    params = {name: rng.standard_normal(s) for name, s in module.PARAMETERS.items()}
    x = rng.standard_normal(shape)
    layer = network.nodes[0].layer
    alone = symconv.generate(layer, "alone").load().forward(x, *params.values())
    activation = network.nodes[1].layer
    wanted = symconv.generate(activation, "activation").load().forward(alone)
    np.testing.assert_allclose(module.forward(params, x), wanted, rtol=1e-12, atol=1e-12)


def test_each_block_is_finished_in_the_loop_that_computes_it() -> None:
    layer = symconv.Conv((4, 64, 56, 56), 64, 3, padding=1)
    body = simplified(plan_layer(layer).forward.kernel).body
    assert isinstance(body[-1], Loop)
    last = body[-1].body[-1]
    assert isinstance(last, Do)
    assert "bias" in [tensor.name for tensor in read_by(last.meaning)]


@pytest.mark.parametrize("accuracy", ["direct", "fast"])
def test_fused_networks_pass_their_checks_and_a_lost_epilogue_does_not(accuracy: str) -> None:
    shape, conv = (1, 64, 28, 28), {"out_channels": 64, "kernel_size": 3, "padding": 1}
    unit = symconv.generate(_network(shape, conv, "relu", "float32"), "fused", accuracy=accuracy)
    assert symconv.check(unit).passed
    for pattern in (r"np\.maximum\((.+), 0, out=\1\)", r"\S+ \+= bias\[:, None(, None)?\]"):
        broken, count = re.subn(pattern, "pass", unit.source)
        assert count == 1
        assert not symconv.check(type(unit)(unit.name, broken, unit.plan)).passed


def test_a_bias_follows_every_algorithm_that_a_tuning_may_choose() -> None:
    layer = symconv.ConvTranspose((2, 3, 9, 9), 4, 3, dtype="float64")
    plan = plan_layer(layer)
    found = {type(candidate.algorithm) for candidate in plan.forward.candidates}
    assert Scatter in found
    assert len(found) > 1
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.standard_normal(shape) for shape in layer.inputs.values())
    results = []
    for candidate in plan.forward.candidates:
        forward = with_choice(plan.forward, 0, [candidate])
        source = render_module(with_functions(plan, [forward]), "m", "0")
        results.append(load_source("m", source).forward(x, weight, bias))
    wanted = load_source("m", source).forward(x, weight, 0 * bias) + bias[:, None, None]
    for result in results:
        np.testing.assert_allclose(result, wanted, rtol=1e-12, atol=1e-12)


def test_only_activations_of_one_reader_are_fused() -> None:
    nodes: list[Any] = [
        _node("first", "Conv", "x", out_channels=2, kernel_size=3, padding=1),
        _node("then", "Activation", "first", function="relu"),
        {"name": "sum", "layer": "Add", "inputs": ["first", "then"]},
    ]
    plan = plan_network(Network(nodes, input_shape=(1, 2, 6, 6)))
    assert "_then_forward" in [f.name for f in plan.functions]


def test_an_activation_behind_moving_statistics_stays_apart() -> None:
    """In training they are another function than outside: neither may apply it alone."""
    network = Network(
        [{"layer": "BatchNorm"}, {"layer": "Activation", "function": "relu"}], input_shape=(4, 3, 2, 2)
    )
    unit = symconv.generate(network, "m")
    assert symconv.check(unit)
    module = unit.load()
    params = module.init(0)
    assert module.forward(params, -np.ones((4, 3, 2, 2), np.float32)).max() == 0


def test_only_the_first_of_two_activations_is_applied_by_what_is_before() -> None:
    network = Network(
        [
            {"layer": "Conv", "out_channels": 2, "kernel_size": 3},
            {"layer": "Activation", "function": "leaky_relu"},
            {"layer": "Activation", "function": "relu"},
        ],
        input_shape=(2, 1, 6, 6),
    )
    unit = symconv.generate(network, "m")
    assert symconv.check(unit)
    module = unit.load()
    x = np.random.default_rng(0).standard_normal((2, 1, 6, 6)).astype(np.float32)
    assert module.forward(module.init(0), x).min() == 0
