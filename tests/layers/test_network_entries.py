"""What a network's layers are given: several values, numbers, labels, running statistics."""

from __future__ import annotations

import re

import numpy as np
import pytest

from symconv import Network, check, derive, generate, prove
from symconv.files import compiler
from symconv.unit import Unit
from tests.layers.test_network import layer


def test_a_formula_may_multiply_what_two_layers_give() -> None:
    """A gate: the second is a product of a value, a value of another layer and a parameter."""
    sizes = {"A": (1, 2, 4), "B": (1, 2, 4)}
    gate = layer("Contraction", formula="O[n,c,t] = A[n,c,t]*B[n,c,t]", shapes=sizes)
    text = "O[n,c,t] = A[n,c,t]*B[n,c,t]*V[c]"
    scaled = layer("Contraction", formula=text, shapes={**sizes, "V": (2,)})
    conv = layer("Conv", out_channels=2, kernel_size=1, bias=False)
    network = Network(
        [("a", conv), ("b", conv, "x"), ("gate", gate, ("a", "b")), ("s", scaled, ("gate", "a"))],
        (1, 2, 4),
        dtype="float64",
    )
    assert set(network.parameters) == {"a.weight", "b.weight", "s.v"}
    assert prove(network).holds
    assert all(step.check.passed for step in derive(network).steps)
    unit = generate(network, "module", order=2)
    assert check(unit)
    params = unit.load().init(seed=0)
    x = np.random.default_rng(0).standard_normal(network.input_shape)
    a, b = (np.einsum("oi,nit->not", params[name][..., 0], x) for name in ("a.weight", "b.weight"))
    np.testing.assert_allclose(unit.load().forward(params, x), a * b * a * params["s.v"][:, None])


def test_numbers_that_a_layer_is_given_are_its_own() -> None:
    """Two filters, each with its own."""
    filters = [layer("Filter", weight=weight) for weight in ([[[1, 2, 1.5]]], [[[1, -1]]])]
    network = Network(filters, (2, 1, 9), dtype="float64")
    unit = generate(network, "module", order=2)
    assert check(unit)
    assert prove(network).holds
    x = np.random.default_rng(0).standard_normal((2, 1, 9))
    first = np.lib.stride_tricks.sliding_window_view(x, 3, 2) @ [1, 2, 1.5]
    np.testing.assert_allclose(unit.load().forward({}, x), first[..., :-1] - first[..., 1:])


def test_labels_may_be_ignored() -> None:
    loss = layer("SoftmaxCrossEntropy", ignore_index=-100, weight=(1, 2, 3), label_smoothing=0.1)
    network = Network([layer("Linear", out_features=3), loss], (4, 2), dtype="float64")
    assert prove(network).holds
    assert all(step.check.passed for step in derive(network).steps)
    unit = generate(network, "module", order=2)
    assert check(unit)
    params, x = unit.load().init(seed=0), np.ones((4, 2))
    some = unit.load().loss_and_gradients(params, x, np.array([2, -100, 1, -100]))
    two = generate(Network([layer("Linear", out_features=3), loss], (2, 2), dtype="float64"), "m").load()
    rest = two.loss_and_gradients(params, x[:2], np.array([2, 1]))
    np.testing.assert_allclose(some[0], rest[0])
    np.testing.assert_allclose(some[1]["linear1.weight"], rest[1]["linear1.weight"])


STATISTICS = Network(
    (
        ("moving", layer("BatchNorm")),
        ("still", layer("BatchNorm", training=False)),
        ("flat", layer("Flatten")),
    ),
    (4, 3, 2, 2),
    dtype="float64",
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"s = \{name: p\[name\]\.copy\(\)", "s = {name: p[name] * 0"),
        (r's\["moving\.running_mean"\]', 's["still.running_mean"]'),
    ],
)
def test_wrong_running_statistics_are_seen(old: str, new: str) -> None:
    """Those that a layer in training moves, and those that stay as they were."""
    unit = generate(STATISTICS, "module")
    report = check(unit)
    assert report.passed, report
    assert "running statistics" in [result.name for result in report.results]
    assert re.search(old, unit.source), unit.source
    report = check(Unit(unit.name, re.sub(old, new, unit.source), unit.plan))
    assert [r.name for r in report.results if not r.passed] == ["running statistics"], report


def test_statistics_that_nothing_moves_stay_as_they_were() -> None:
    last = [{"layer": "Flatten"}, {"layer": "SoftmaxCrossEntropy"}]
    network = Network([{"layer": "BatchNorm", "training": False}, *last], (2, 3, 1, 1))
    module = generate(network, "module").load()
    params = module.init(seed=0)
    params["batch_norm1.running_mean"] += 3
    x = np.ones(network.input_shape, np.float32)
    _, _, statistics = module.loss_and_gradients(params, x, np.array([0, 2]))
    assert set(statistics) == {"batch_norm1.running_mean", "batch_norm1.running_var"}
    for name, array in statistics.items():
        np.testing.assert_array_equal(array, params[name])
        assert array is not params[name]


@pytest.mark.every
@pytest.mark.parametrize("target", ["numpy", "c"])
def test_the_gradient_of_an_output_is_not_added_to(target: str) -> None:
    """An output is a view of a value whose gradient is a sum, which the caller's array must not take."""
    network = Network(
        [
            ("a", {"layer": "Activation", "function": "tanh"}, "x"),
            ("c", {"layer": "Activation", "function": "exp(x)"}, "a"),
            ("f", {"layer": "Flatten"}, "a"),
        ],
        input_shape=(2, 3, 4),
        outputs=("c", "f"),
    )
    if target == "numpy" or compiler():
        assert check(generate(network, "model", order=2, target=target)).passed
