"""The kernels of a network's functions compute what its graph means, also with shared memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from symconv import Network, check, generate
from symconv.kernel.language import Call, Kernel
from symconv.kernel.liveness import placed
from symconv.kernel.run import run
from symconv.layers.entries import Entry
from symconv.lower.assembly import GRADIENTS, RESULTS
from symconv.lower.network_plan import network_plan
from symconv.notation.evaluate import evaluate
from symconv.targets.numpy.plan import options
from tests.kernel.kernels import Array, same

RELU = {"layer": "Activation", "function": "relu"}
CONV = {"layer": "Conv", "out_channels": 2, "kernel_size": 3, "padding": 1}
CHAIN: tuple[Entry, ...] = (CONV, RELU, {"layer": "MaxPool", "kernel_size": 2}, {"layer": "Flatten"})
RESIDUAL: tuple[Entry, ...] = (
    ("first", CONV),
    ("act", RELU),
    ("second", CONV),
    ("sum", {"layer": "Add"}, ("second", "act")),
    ("last", RELU),
)
NETWORKS = {
    "chain": Network((*CHAIN, {"layer": "Linear", "out_features": 3}), (2, 1, 4, 4)),
    "loss": Network((*CHAIN, {"layer": "MeanSquaredError"}), (1, 1, 4, 4)),
    "residual": Network(RESIDUAL, (1, 2, 3, 3)),
    "views": Network(({"layer": "Flatten"},), (1, 2, 2)),
    "outputs": Network(RESIDUAL, (1, 2, 3, 3), outputs=("act", "second", "last")),
    "shared": Network(
        (
            {"name": "first", **CONV},
            {"name": "second", "shares": "first", **CONV},
            {"layer": "GlobalAvgPool"},
        ),
        (1, 2, 3, 3),
    ),
}


def numbers(*kernels: Kernel) -> dict[str, Array]:
    """Draw integers for every input; what the chain rule begins with is 1."""
    rng = np.random.default_rng(0)
    inputs = {b.tensor.name: b.tensor.sizes for kernel in kernels for b in kernel.inputs}
    drawn = {name: rng.integers(-4, 5, sizes) for name, sizes in inputs.items()}
    return {n: a.astype(object) for n, a in drawn.items()} | {"given/one": np.ones((), object)}


def expected(network: Network, inputs: dict[str, Array]) -> tuple[list[Array], dict[str, Array]]:
    """Return what the network gives, and its gradients by the names of inputs and parameters."""
    own = {name.removeprefix("params/"): array for name, array in inputs.items()}
    tensors = {t.name: own[name] for name, t in network.tensors.items() if name in own}
    for name, g in network.cotangents.items():
        single = "given/one" if network.loss else "grad_output"
        tensors[g.name] = own[single if len(network.cotangents) == 1 else f"grad_{name}"]
    forward, backward = network.graph, network.backward
    tensors["1"] = np.ones((), object)
    values = evaluate(forward, tensors)
    gradients = evaluate(backward, tensors)
    by = zip(network.differentiated, backward.outputs, strict=True)
    return [values[t.name] for t in forward.outputs], {name: gradients[t.name] for name, t in by}


def agree(network: Network, forward: Kernel, training: Kernel) -> bool:
    """Whether two kernels compute the network and its gradients."""
    inputs = numbers(forward, training)
    results, gradients = expected(network, inputs)
    found = run(training, {b.tensor.name: inputs[b.tensor.name] for b in training.inputs})
    if network.loss:
        if not same(found[f"{RESULTS}loss"], results[0]):
            return False
    else:
        returned = run(forward, {b.tensor.name: inputs[b.tensor.name] for b in forward.inputs})
        if not all(map(same, returned.values(), results)):
            return False
    names = {name: GRADIENTS + name for name in network.parameters}
    names |= {} if network.loss else {name: f"{RESULTS}g{name}" for name in network.values}
    return all(same(found[names[name]], gradients[name]) for name in names)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_networks_kernels_compute_its_graph(name: str) -> None:
    network = NETWORKS[name]
    plan = network_plan(network, 1, options())
    assert agree(network, plan.forward, plan.training)
    assert agree(network, placed(plan.forward), placed(plan.training))


def test_memory_that_is_free_again_is_shared() -> None:
    training = network_plan(NETWORKS["residual"], 1, options()).training
    shared = placed(training)
    held = sum(int(np.prod(b.tensor.sizes)) for b in training.with_role("scratch"))
    assert 0 < sum(int(np.prod(b.tensor.sizes)) for b in shared.with_role("scratch")) < held


def test_a_planted_error_in_the_sharing_is_seen() -> None:
    """Whatever is in use together gets one place."""
    network = NETWORKS["residual"]
    plan = network_plan(network, 1, options())
    shared = placed(plan.training)
    buffers = tuple(
        replace(b, of="buffer 0") if b.of.startswith("buffer") else b for b in shared.buffers
    )
    assert not agree(network, plan.forward, replace(shared, buffers=buffers))


def test_a_planted_error_in_the_order_is_seen() -> None:
    network = NETWORKS["chain"]
    plan = network_plan(network, 1, options())
    calls = [s for s in plan.training.body if isinstance(s, Call)]
    first, *rest = (c for c in calls if c.kernel.name.endswith("bias_gradient"))
    assert rest
    body = tuple(s for s in plan.training.body if s is not first)
    with pytest.raises(Exception, match="unwritten"):
        agree(network, plan.forward, replace(plan.training, body=body))


def test_what_nothing_computes_is_zero() -> None:
    """A bias that nothing behind bends has no second derivative."""
    layers: tuple[Entry, ...] = (CONV, RELU, {"layer": "Flatten"})
    unit = generate(Network(layers, (1, 1, 4, 4)), "bent", order=2)
    assert 'h["conv1.bias"][...] = 0' in unit.source
    assert check(unit)


def test_equal_layers_have_one_function() -> None:
    source = generate(NETWORKS["residual"], "twice").source
    assert source.count("def _act_input_gradient(") == 1
    assert "def _last_input_gradient(" not in source
    assert "\n_last_input_gradient = _act_input_gradient\n" in source
