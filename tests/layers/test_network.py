"""Networks: all four verbs, random ones, PyTorch's gradients, planted errors, refusals."""

from __future__ import annotations

import dataclasses
import functools
import re
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from symconv import (
    Activation,
    Conv,
    Flatten,
    Linear,
    Network,
    SymconvError,
    check,
    derive,
    generate,
    prove,
)
from symconv.layers import rebuild
from symconv.layers.entries import Entry
from symconv.notation.contraction import Program
from symconv.prove import composition as prove_network
from symconv.unit import Unit
from tests.effort import many

Array = NDArray[Any]


def layer(kind: str, **arguments: object) -> dict[str, object]:
    return {"layer": kind, **arguments}


RELU = layer("Activation", function="relu")
LENET = Network(
    (
        layer("Conv", out_channels=4, kernel_size=3, padding=1),
        RELU,
        layer("MaxPool", kernel_size=2),
        layer("Conv", out_channels=6, kernel_size=3),
        RELU,
        layer("Flatten"),
        layer("Linear", out_features=10),
        layer("SoftmaxCrossEntropy"),
    ),
    input_shape=(4, 1, 8, 8),
)
RESIDUAL = Network(
    (
        ("first", layer("Conv", out_channels=3, kernel_size=3, padding=1)),
        ("norm", layer("BatchNorm")),
        ("act", layer("Activation", function="silu")),
        ("again", layer("Conv", out_channels=3, kernel_size=3, padding=1, groups=3)),
        ("sum", layer("Add"), ("again", "act")),
        ("pooled", layer("MaxPool", kernel_size=2)),
        ("averaged", layer("AvgPool", kernel_size=2), "sum"),
        ("both", layer("Concat"), ("pooled", "averaged")),
        ("mean", layer("GlobalAvgPool")),
        ("out", layer("Flatten")),
        ("loss", layer("MeanSquaredError")),
    ),
    input_shape=(3, 2, 6, 6),
    dtype="float64",
)
GATED = Network(
    (
        ("first", layer("Conv", out_channels=4, kernel_size=3, padding=1)),
        ("norm", layer("GroupNorm", num_groups=2)),
        ("act", layer("PReLU", num_parameters=4)),
        ("pooled", layer("ReduceMean", axes=(2, 3), keepdims=True)),
        ("gate", layer("Activation", function="sigmoid")),
        ("gated", layer("Multiply"), ("act", "gate")),
        ("shuffled", layer("PixelShuffle", upscale_factor=2)),
        ("wide", layer("Upsample", scale_factor=2, mode="bilinear"), "first"),
        ("part", layer("Slice", starts=1, ends=2, axes=1)),
        ("sum", layer("Add"), ("shuffled", "part")),
        ("padded", layer("Pad", padding=((0, 0), (0, 0), (1, 0), (0, 2)), mode="reflect")),
        ("turned", layer("Transpose", axes=(0, 1, 3, 2)), "padded"),
        ("scores", layer("MatMul"), ("padded", "turned")),
        ("out", layer("ReduceMax", axes=(2, 3))),
        ("loss", layer("BinaryCrossEntropyWithLogits")),
    ),
    input_shape=(2, 3, 4, 3),
    dtype="float64",
)
NETWORKS = [
    LENET,
    RESIDUAL,
    Network((Conv((2, 1, 5, 5), 2, 3), RELU, layer("ConvTranspose", out_channels=1, kernel_size=3))),
    Network((Flatten((2, 3, 4)), layer("Linear", out_features=5, bias=False), layer("LayerNorm"))),
    Network((layer("Conv", out_channels=2, kernel_size=2), layer("Flatten"), RELU), (2, 1, 3, 3)),
    Network((Flatten((2, 3, 4)),)),
    Network((Activation((3, 4), "tanh"), layer("MeanSquaredError", reduction="sum"))),
    Network(
        (layer("Flatten"), RELU, layer("Linear", out_features=4), RELU, layer("MeanSquaredError")),
        (3, 5),
    ),
    Network((layer("Linear", out_features=4), layer("Activation", function="log(x)")), (3, 5)),
    Network(
        (
            (
                "y",
                layer(
                    "Contraction",
                    formula="O[n,m] = X[n,c] * F[c,m]",
                    shapes=[["X", [3, 5]], ["F", [5, 4]]],
                ),
            ),
            ("v", RELU),
            ("loss", layer("SoftmaxCrossEntropy")),
        ),
        (3, 5),
    ),
    Network((layer("Contraction", formula="O[] = X[n] * W[n]", shapes=[["X", [4]], ["W", [4]]]),)),
    GATED,
]


def drawn(network: Network, module: Any) -> tuple[dict[str, Array], Array, list[Array]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(network.input_shape).astype(network.dtype)
    labels = [
        rng.integers(0, network.classes[name], shape)
        if name in network.classes
        else rng.standard_normal(shape).astype(network.dtype)
        for name, shape in network.labels.items()
    ]
    return module.init(0), x, labels


def test_slopes_begin_with_what_their_layer_says() -> None:
    params = generate(GATED, "gated").load().init(0)
    assert (params["act.weight"] == 0.25).all()
    assert (params["norm.weight"] == 1).all()
    assert (params["norm.bias"] == 0).all()


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: f"{len(n.nodes)} layers")
def test_all_four_verbs(network: Network) -> None:
    derivation = derive(network)
    assert all(step.check.passed for step in derivation.steps), derivation
    assert "aligned" in derivation.latex()
    proof = prove(network)
    assert proof.holds is True, proof
    assert all(control.refuted for theorem in proof.theorems for control in theorem.controls)
    report = check(generate(network, "module", order=2))
    assert report.passed, report
    assert rebuild(network.as_dict()) == network


@pytest.mark.parametrize("network", [LENET, RESIDUAL], ids=["lenet", "residual"])
def test_a_derivation_has_one_name_for_each_thing(network: Network) -> None:
    """What the chain rule is for is what the formulas give; nothing is called as in the layer alone."""
    first, *back, _ = derive(network).steps
    assert "Conv(X)" in first.after.text
    for step in back:
        assert "∂O/" not in step.after.text
        for line in step.before.text.splitlines():
            cell = line.partition(" = ")[0]
            if " += " not in step.after.text and "MaxPool" not in step.name:
                assert f"{cell} = " in step.after.text
            if "." in cell:  # a parameter
                assert f"{cell} = " in step.after.text


def test_what_is_read_twice_by_one_layer_is_derived() -> None:
    twice = Network(
        (("a", layer("Conv", out_channels=1, kernel_size=2)), ("b", layer("Add"), ("a", "a"))),
        (1, 1, 4, 4),
    )
    assert all(step.check.passed for step in derive(twice).steps)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Draw a chain of layers, some of which also read an earlier value of the same shape."""
    shape: tuple[int, ...] = (2, draw(st.integers(1, 2)), draw(st.integers(3, 6)), 5)
    input_shape = shape
    values: list[tuple[str, tuple[int, ...]]] = []
    nodes: list[Entry] = []
    for number in range(draw(st.integers(1, 6))):
        kinds = [
            layer("Conv", out_channels=draw(st.integers(1, 3)), kernel_size=3, padding=1),
            layer("Activation", function=draw(st.sampled_from(["relu", "silu", "tanh", "leaky_relu"]))),
            layer("BatchNorm"),
            layer("LayerNorm"),
        ]
        if len(shape) == 4 and min(shape[2:]) > 1:
            kinds += [layer("MaxPool", kernel_size=2), layer("AvgPool", kernel_size=2, stride=1)]
        if len(shape) == 2:
            kinds = [layer("Linear", out_features=draw(st.integers(2, 4))), *kinds[1:]]
        else:
            kinds.append(layer("Flatten"))
        same = [name for name, sizes in values[:-1] if sizes == shape]
        name = f"n{number}"
        if same and draw(st.sampled_from([True, False])):
            nodes.append((name, layer("Add"), (values[-1][0], draw(st.sampled_from(same)))))
        else:
            nodes.append((name, draw(st.sampled_from(kinds))))
        shape = Network(tuple(nodes), input_shape).output_shape
        values.append((name, shape))
    loss = draw(st.sampled_from(["MeanSquaredError", ""]))
    return Network((*nodes, *([layer(loss)] if loss else [])), input_shape, "float64")


@settings(max_examples=many(40))
@given(networks())
def test_random_networks(network: Network) -> None:
    report = check(generate(network, "module", order=2))
    assert report.passed, f"{network.as_dict()}\n{report}"


@pytest.mark.needs("torch")
def test_pytorch_agrees() -> None:
    """The same numbers: loss to 1e-6, every gradient to 1e-4 relative."""
    import torch
    from torch.nn import functional as F  # noqa: N812  # its customary name

    module = generate(LENET, "module").load()
    params, x, (labels,) = drawn(LENET, module)
    loss, found = module.loss_and_gradients(params, x, labels)
    p = {name: torch.tensor(array, requires_grad=True) for name, array in params.items()}
    value = F.relu(F.conv2d(torch.tensor(x), p["conv1.weight"], p["conv1.bias"], padding=1))
    value = F.relu(F.conv2d(F.max_pool2d(value, 2), p["conv2.weight"], p["conv2.bias"]))
    logits = F.linear(value.flatten(1), p["linear1.weight"], p["linear1.bias"])
    wanted = F.cross_entropy(logits, torch.tensor(labels))
    torch.autograd.backward(wanted)
    assert abs(loss - wanted.item()) < 1e-6
    assert np.allclose(module.forward(params, x), logits.detach().numpy(), atol=1e-5)
    for name, array in found.items():
        gradient = p[name].grad
        assert gradient is not None
        assert np.abs(array - gradient.numpy()).max() < 1e-4 * np.abs(gradient.numpy()).max()


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        (r"_gradient\(g_relu1, conv1, g_conv1\)", "_gradient(2 * g_relu1, conv1, g_conv1)", "gradients"),
        (
            r"_conv2_bias_gradient\(g_conv2, g\[\"conv2.bias\"\]\)",
            'g["conv2.bias"][...] = 0',
            "gradients",
        ),
        (r"np.matmul\(x, weight.T, out=y\)", "np.matmul(x, 2 * weight.T, out=y)", "linear1"),
        (r"deviation \* rng", "deviation * seed * rng", "the module"),
        (r"momentum, DTYPE\) \* state", "momentum, DTYPE) + state", "sgd_step"),
        (r'h\["linear1.weight"\] \+= ', 'h["linear1.weight"] -= ', "hessian_vector_product"),
        (
            r"_gradient\(tg_relu1, conv1, tg_conv1\)",
            "_gradient(2 * tg_relu1, conv1, tg_conv1)",
            "hessian_vector_product: Taylor slope",
        ),
    ],
)
def test_a_planted_error_is_seen(old: str, new: str, seen: str) -> None:
    unit = generate(LENET, "module", order=2)
    assert re.search(old, unit.source), unit.source
    report = check(Unit(unit.name, re.sub(old, new, unit.source), unit.plan))
    assert any(result.name == seen for result in report.results if not result.passed), report


@pytest.mark.parametrize(
    ("network", "old", "new", "seen"),
    [
        (LENET, r"t_linear1 = ty", "t_linear1 = 2 * ty", "jvp"),
        (LENET, r"_relu1_jvp\(conv1, ", "_relu1_jvp(-conv1, ", "jvp"),
        (NETWORKS[2], r"= ty\n", "= ty.copy()\n", "jvp"),
        (NETWORKS[2], r"= ggo\n", "= 1 * ggo\n", "double_backward"),
        (NETWORKS[8], r"v\[\"linear1.weight\"\]", 'p["linear1.weight"]', "double_backward"),
        (
            NETWORKS[8],
            r"g_linear1 = (.*)\n",
            r"g_linear1 = \1\n    grad_output = 2 * grad_output\n",
            "double_",
        ),
        (NETWORKS[5], r"    gx\[...\] = 0", "    gx[...] = 1", "double_backward"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_planted_error_of_second_order_is_seen(
    network: Network, old: str, new: str, seen: str
) -> None:
    unit = generate(network, "module", order=2)
    start = unit.source.index("def jvp")
    wrong = unit.source[:start] + re.sub(old, new, unit.source[start:])
    assert wrong != unit.source, unit.source[start : start + 6000]
    report = check(Unit(unit.name, wrong, unit.plan))
    assert any(r.name.startswith(seen) for r in report.results if not r.passed), report


@pytest.mark.needs("torch")
def test_pytorch_agrees_on_second_order_without_a_loss() -> None:
    """The gradients of ⟨gradients, V⟩, a network of two layers with curvature."""
    import torch
    from torch.nn import functional as F  # noqa: N812  # its customary name

    network = Network(
        (
            ("conv", layer("Conv", out_channels=3, kernel_size=3, padding=1)),
            ("act", layer("Activation", function="tanh")),
            ("flat", layer("Flatten")),
            ("out", layer("Linear", out_features=4)),
        ),
        (2, 2, 4, 4),
        "float64",
    )
    module: Any = generate(network, "module", order=2).load()
    rng = np.random.default_rng(3)
    params, x, _ = drawn(network, module)
    ways = {name: rng.standard_normal(array.shape) for name, array in params.items()}
    ggx, grad_output = rng.standard_normal(x.shape), rng.standard_normal(network.output_shape)
    p = {name: torch.tensor(array, requires_grad=True) for name, array in params.items()}
    tx, tg = torch.tensor(x, requires_grad=True), torch.tensor(grad_output, requires_grad=True)
    hidden = torch.tanh(F.conv2d(tx, p["conv.weight"], p["conv.bias"], padding=1))
    output = F.linear(hidden.flatten(1), p["out.weight"], p["out.bias"])
    first = torch.autograd.grad(output, [tx, *p.values()], tg, create_graph=True)
    inner = [(f * torch.tensor(w)).sum() for f, w in zip(first, [ggx, *ways.values()], strict=True)]
    wanted = torch.autograd.grad(torch.stack(inner).sum(), [tg, tx, *p.values()], allow_unused=True)
    ggo, gx, found = module.double_backward(params, ggx, ways, grad_output, x)
    for array, tensor in zip([ggo, gx, *found.values()], wanted, strict=True):
        assert np.allclose(array, 0 if tensor is None else tensor.numpy(), atol=1e-10)
    assert np.allclose(module.jvp(params, x, ggx, ways), ggo)


def test_a_planted_error_in_what_is_added_is_false(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = functools.partial(prove_network._in_reverse, together=np.maximum)
    monkeypatch.setattr(prove_network, "_in_reverse", wrong)
    theorem = prove_network._composition(RESIDUAL, rests=True)
    assert theorem.holds is False
    assert theorem.counterexample is not None


def test_a_network_that_is_not_its_layers_is_refuted() -> None:
    network = Network([layer("Linear", out_features=3), RELU], (2, 4), dtype="float64")
    assert prove_network._composition(network, rests=True).status == "proved"
    assert prove_network._composition(network, rests=False).status == "tested"
    (linear, *others) = network.graph.steps
    assert isinstance(linear, Program)
    first, *rest = linear.contractions
    seven = Program((dataclasses.replace(first, coefficient=7), *rest))
    network.__dict__["graph"] = dataclasses.replace(network.graph, steps=(seven, *others))
    assert not prove_network._is_wired(network)
    assert prove_network._composition(network, rests=True).status == "refuted"


def test_what_comes_in_is_checked_and_not_written_to() -> None:
    module = generate(LENET, "module").load()
    params, x, (labels,) = drawn(LENET, module)
    before = {name: array.copy() for name, array in params.items()}
    loss, found = module.loss_and_gradients(params, x, labels)
    again, _ = module.loss_and_gradients(params, x, labels)
    assert loss == again
    assert all(np.array_equal(before[name], array) for name, array in params.items())
    assert not any(
        np.shares_memory(array, other) for array in found.values() for other in params.values()
    )
    with pytest.raises(ValueError, match=r"params: expected .* missing or unknown: conv1.weight"):
        module.forward({name: a for name, a in params.items() if name != "conv1.weight"}, x)
    with pytest.raises(
        ValueError, match=r"params\['conv1.bias'\]: expected shape \(4,\), received \(5,\)"
    ):
        module.forward({**params, "conv1.bias": np.zeros(5, "float32")}, x)
    with pytest.raises(ValueError, match=r"x: expected shape \(4, 1, 8, 8\), received \(0, 1, 8, 8\)"):
        module.forward(params, x[:0])
    with pytest.raises(ValueError, match=r"labels: expected numbers from 0 to 9, received 1\d"):
        module.loss_and_gradients(params, x, labels + 10)
    with pytest.raises(FloatingPointError, match="the loss is nan: so are numbers of x"):
        module.loss_and_gradients(params, np.full_like(x, np.nan), labels)


def test_threads_do_not_share_buffers() -> None:
    module = generate(LENET, "module").load()
    params, x, (labels,) = drawn(LENET, module)
    wanted = [module.loss_and_gradients(params, x * k, labels)[0] for k in range(4)]
    received: dict[int, list[float]] = {}

    def run(k: int) -> None:
        received[k] = [module.loss_and_gradients(params, x * k, labels)[0] for _ in range(20)]

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert received == {k: [wanted[k]] * 20 for k in range(4)}


def test_another_batch() -> None:
    assert LENET.with_batch(7).input_shape == (7, 1, 8, 8)
    assert LENET.with_batch(7).parameters == LENET.parameters


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Network((Conv((1, 1, 5, 5), 2, 3), Linear((1, 7), 3))),
            r"conv1 gives shape \(1, 2, 3, 3\), but linear1 takes \(1, 7\)",
        ),
        (
            lambda: Network((Conv((1, 1, 5), 1, 3), layer("Add", inputs=("conv1", "x")))),
            "layer 2: input_shapes = .*must be shapes that broadcast",
        ),
        (lambda: Network(()), r"layers = \(\): must be a list of at least one layer"),
        (lambda: Network((layer("Conv"),)), "layer 1: input_shape: missing, but Conv requires it"),
        (
            lambda: Network((("x", Flatten((1, 2))),)),
            "name = 'x': must be different from inputs, from the module's own names",
        ),
        (lambda: Network((("t_conv", Flatten((1, 2))),)), "does not begin with g_, t_, tg_"),
        (
            lambda: Network((("loss", Flatten((1, 2))),)),
            "name = 'loss': must be different from inputs, from the module's own names",
        ),
        (lambda: Network((layer("MeanSquaredError"),), (1, 2)), "a loss alone is not a network"),
        (lambda: Network((layer("Flatten", inputs="y"),), (1, 2)), "inputs = 'y': must be one of"),
        (
            lambda: Network((3,)),  # type: ignore[arg-type]  # refused
            "layer 1: 3: must be a layer",
        ),
        (
            lambda: Network((layer("MeanSquaredError"), layer("Flatten", inputs="x")), (2, 3)),
            "mean_squared_error1 is a loss, and must be the last layer",
        ),
        (
            lambda: Network((RELU, layer("Flatten", inputs="x")), (2, 3)),
            "no layer takes the output of relu1",
        ),
        (
            lambda: Network((layer("MeanSquaredError"), layer("Flatten")), (2, 3)),
            "mean_squared_error1 is a loss, and must be the last layer",
        ),
        (lambda: Network((LENET,)), "a Network cannot be a layer of another"),
        (lambda: Network((("A", Flatten((1, 2))),)), "up to 40 lower-case letters"),
        (lambda: Network((layer("Conf"),), (1, 2)), "did you mean 'Conv'"),
        (
            lambda: Network((Flatten((1, 2)), Linear((1, 2), 3, dtype="float64"))),
            "linear1 has dtype float64, but the other layers have float32",
        ),
    ],
)
def test_bad_networks_are_refused(make: Any, said: str) -> None:
    with pytest.raises(SymconvError, match=said):
        make()
