"""Layers, and networks, that take any number of samples: the same numbers as for a given one."""

from __future__ import annotations

import dataclasses
import re
import types
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import symconv
from symconv import SymconvError
from symconv.check.modules import check_module
from symconv.files import load_source
from symconv.kernel.run import run
from symconv.layers import Layer, rebuild
from symconv.layers.random_labels import labels_of
from symconv.lower.any_batch import LETTER
from symconv.notation.evaluate import evaluate
from symconv.targets.numpy.plan import plan_layer
from tests.shell.command import run as run_command

Array = NDArray[Any]
N: Any = None  # any number of samples

LAYERS: list[Layer] = [
    symconv.Conv((N, 2, 6, 6), 3, 3, padding=1),
    symconv.Conv((N, 4, 7, 7), 4, 3, stride=2, groups=2, padding_mode="reflect", padding=1),
    symconv.Conv((N, 1, 12), 2, 3, dilation=2),
    symconv.Conv((N, 4, 6, 6), 4, 3, groups=4),
    symconv.Conv((N, 6, 3, 3), 4, 3),
    symconv.Conv((N, 4, 4, 4), 4, 3, stride=2),
    symconv.ConvTranspose((N, 2, 4, 4), 3, 3, stride=2, output_padding=1),
    symconv.MaxPool((N, 2, 6, 6), 3, 2, padding=1),
    symconv.AvgPool((N, 2, 6, 6), 3, 2, padding=1, ceil_mode=True, count_include_pad=False),
    symconv.GlobalAvgPool((N, 3, 4, 4)),
    symconv.GlobalMaxPool((N, 3, 4, 4)),
    symconv.Linear((N, 5), 4),
    symconv.Linear((N, 3, 5), 4),
    symconv.Activation((N, 7), "gelu"),
    symconv.BatchNorm((N, 3, 2, 2)),
    symconv.BatchNorm((N, 3)),
    symconv.BatchNorm((N, 3, 2, 2), training=False),
    symconv.LayerNorm((N, 3, 4)),
    symconv.GroupNorm((N, 4, 3, 3), 2),
    symconv.InstanceNorm((N, 3, 4, 4)),
    symconv.LocalResponseNorm((N, 5, 3, 3), 3),
    symconv.PReLU((N, 3, 2, 2), 3),
    symconv.Softmax((N, 6)),
    symconv.Flatten((N, 2, 3)),
    symconv.Reshape((N, 12), (N, 3, -1)),
    symconv.Transpose((N, 2, 3), (2, 0, 1)),
    symconv.Slice((N, 6, 4), starts=(1, 0), ends=(5, 4), steps=(2, 1), axes=(1, 2)),
    symconv.Pad((N, 2, 4, 4), ((0, 0), (0, 0), (1, 2), (0, 1)), mode="reflect"),
    symconv.Upsample((N, 2, 3, 3), 2, mode="bilinear"),
    symconv.PixelShuffle((N, 8, 3, 3), 2),
    symconv.ReduceMean((N, 3, 4), axes=(1,)),
    symconv.ReduceMax((N, 3, 4), axes=(2,), keepdims=True),
    symconv.Add(((N, 3, 4), (N, 1, 4))),
    symconv.Multiply(((N, 3, 4), (N, 3, 1))),
    symconv.MatMul(((N, 3, 4), (N, 4, 2))),
    symconv.Concat(((N, 3, 4), (N, 2, 4))),
    symconv.SoftmaxCrossEntropy((N, 5)),
    symconv.MeanSquaredError((N, 5)),
    symconv.BinaryCrossEntropyWithLogits((N, 5)),
    symconv.Contraction("O[n,o] = X[n,c] * W[o,c] + X[n,o] * 1/2", (("X", (N, 4)), ("W", (4, 4)))),
]
NAMES = [f"{type(each).__name__}-{at}" for at, each in enumerate(LAYERS)]


def _drawn(layer: Layer, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [
        labels_of(layer, name, rng)
        if name in layer.classes
        else rng.uniform(0.5, 1.5, shape).astype(layer.dtype)
        for name, shape in layer.inputs.items()
    ]


def _tuple(value: object) -> tuple[Array, ...]:
    return value if isinstance(value, tuple) else (np.asarray(value),)


def _same(layer: Layer, module: types.ModuleType, alone: types.ModuleType, order: int) -> None:
    """Compare what two modules of a layer compute."""
    inputs = _drawn(layer)
    grad = np.random.default_rng(1).standard_normal(layer.output_shape).astype(layer.dtype)
    moved = [a for a, n in zip(_drawn(layer, 2), layer.inputs, strict=True) if n in layer.differentiable]
    calls: list[tuple[str, list[Array]]] = [("forward", inputs), ("backward", [grad, *inputs])]
    if order == 2:
        calls += [("jvp", [*inputs, *moved]), ("double_backward", [*moved, grad, *inputs])]
    for name, given in calls:
        found, wanted = (_tuple(getattr(of, name)(*given)) for of in (module, alone))
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5 * (1 + np.abs(b).max()))


@pytest.mark.parametrize("layer", LAYERS, ids=NAMES)
def test_any_number_of_samples_gives_the_same_numbers(layer: Layer) -> None:
    module = symconv.generate(layer, "m", order=2).load()
    for samples in (1, 2, 5, 33, 70):
        if samples < layer.fewest:
            continue
        alone = layer.with_batch(samples)
        _same(alone, module, symconv.generate(alone, "alone", order=2).load(), 2)


@pytest.mark.parametrize("layer", LAYERS, ids=NAMES)
def test_every_kind_passes_every_verb(layer: Layer) -> None:
    report = symconv.check(symconv.generate(layer, "m"))
    assert report.passed, report.text()
    assert symconv.prove(layer).holds
    assert symconv.derive(layer).text().startswith("The number of samples, N, may be any.")
    assert rebuild(layer.as_dict()) == layer
    assert hash(rebuild(layer.as_dict())) == hash(layer)


@pytest.mark.parametrize("layer", [LAYERS[0], LAYERS[1], LAYERS[6], LAYERS[11]], ids=str)
def test_kernels_of_any_size_are_their_graphs(layer: Layer) -> None:
    """The kernel with a letter, run for sizes that it was not made from, is the graph's evaluator."""
    plan = plan_layer(layer)
    for samples in (1, 3):
        alone = layer.with_batch(samples)
        rng = np.random.default_rng(0)
        values = {
            t.name: rng.integers(-5, 6, t.sizes).astype(object)
            for t in (*alone.tensors.values(), alone.cotangent)
        }
        for function in plan.functions:
            names = {array: tensor for tensor, array in function.source.names.items()}
            given = {array.name: values[names[array.name]] for array in function.inputs}
            found = run(function.kernel, given, {LETTER: samples})
            graph = alone.backward_by(function.by[0]) if function.by else alone.forward
            wanted = evaluate(graph, {n: values[n] for n in graph.inputs})[graph.output.name]
            assert (found[function.results[0].name] == wanted).all()


NETWORK: dict[str, Any] = {
    "layer": "Network",
    "input_shape": (N, 1, 8, 8),
    "layers": (
        {"layer": "Conv", "out_channels": 4, "kernel_size": 3},
        {"layer": "BatchNorm"},
        {"layer": "Activation", "function": "relu"},
        {"layer": "MaxPool", "kernel_size": 2},
        {"layer": "Reshape", "shape": (N, 36)},
        {"layer": "Linear", "out_features": 5},
        {"layer": "SoftmaxCrossEntropy"},
    ),
}


def test_a_network_trains_and_infers_on_any_batch() -> None:
    network = rebuild(NETWORK)
    unit = symconv.generate(network, "m", order=2)
    assert symconv.check(unit)
    module = unit.load()
    params = module.init(0)
    rng = np.random.default_rng(0)
    state: dict[str, Array] = {}
    for samples in (70, 2, 33):
        x = rng.standard_normal((samples, 1, 8, 8)).astype(np.float32)
        labels = rng.integers(0, 5, samples)
        alone = symconv.generate(network.with_batch(samples), "alone", order=2).load()
        found, wanted = (of.loss_and_gradients(params, x, labels) for of in (module, alone))
        assert found[0] == pytest.approx(wanted[0], rel=1e-5)
        for name, gradient in wanted[1].items():
            np.testing.assert_allclose(found[1][name], gradient, rtol=1e-3, atol=1e-6)
        for name, statistic in wanted[2].items():
            np.testing.assert_allclose(found[2][name], statistic, rtol=1e-5)
        v = {name: rng.standard_normal(a.shape).astype(np.float32) for name, a in wanted[1].items()}
        curved, expected = (of.hessian_vector_product(params, x, labels, v) for of in (module, alone))
        for name, product in expected.items():
            np.testing.assert_allclose(curved[name], product, rtol=1e-2, atol=1e-4)
        np.testing.assert_allclose(module.forward(params, x), alone.forward(params, x), atol=1e-5)
        params, state = module.sgd_step(params | found[2], found[1], state, 0.1)
    assert module.forward(params, x[:1]).shape == (1, 5)  # one image, whatever it was trained with
    with pytest.raises(ValueError, match="labels: expected shape"):
        module.loss_and_gradients(params, x, labels[:2])


PLANTED = {
    "a mean over a fixed batch": ("BatchNorm", r"\(4 \* samples\)", "12"),
    "a last block that is too long": ("Conv", r"min\((\d+), samples - n\)", r"\1"),
    "a last block that is left out": ("Conv", r"range\(0, samples, ", "range(0, samples - 1, "),
    "no samples are taken": ("Conv", r"shape\[axis\] < least", "False"),
    "another batch is taken": ("Linear", r'= _checked\("x", x, \(samples, 5\)\)', "= x"),
    "a larger batch leaves traces": ("MaxPool", r"waiting = np\.ones\(", "waiting = _kept("),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_errors_are_found(name: str) -> None:
    kind, old, new = PLANTED[name]
    layer = next(each for each in LAYERS if type(each).__name__ == kind)
    source = symconv.generate(layer, "m").source
    wrong, count = re.subn(old, new, source)
    assert count
    if "_kept(" in wrong:  # what was left there is seen again
        wrong += '\n\ndef _kept(shape, kind):\n    found = _scratch("kept", shape)\n    found += 1\n'
        wrong += "    return found == 1\n"

    def load(dtype: object) -> types.ModuleType:
        module = load_source("m", wrong)
        module.__dict__["DTYPE"] = module.__dict__["DTYPE"] if dtype is None else dtype
        return module

    assert not check_module("m", layer, load)


STRIDED = symconv.Contraction("O[p,o] = X[2*p+k,c] * F[o,k,c]", (("X", (N, 3)), ("F", (2, 2, 3))))
FORMULA: Any = ("O[n] = X[n,c] * F[c]", (("X", (2, 3)), ("F", (3,))))


def _over(kind: str, **arguments: Any) -> object:
    """Generate a network of one layer that changes the batch, and another."""
    layers: Any = [{"layer": kind, **arguments}, {"layer": "Linear", "out_features": 2}]
    return symconv.generate(symconv.Network(layers, input_shape=(N, 3)), "m")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: symconv.Conv((3, N, 8, 8), 1, 3), "input_shape"),
        (lambda: symconv.Conv((N, 1, 8, 8), N, 3), "out_channels = None"),
        (lambda: symconv.Reshape((N, 12), (6, -1)), "must be None, then sizes of 12 elements"),
        (lambda: symconv.generate(symconv.ReduceSum((N, 3)), "m"), "cannot tell it from what it takes"),
        (lambda: symconv.generate(symconv.Concat(((N, 3), (N, 3)), axis=0), "m"), "another way"),
        (lambda: symconv.Add(((N, 3), (2, 3))), "broadcast"),
        (lambda: symconv.Softmax(symconv.Transpose((N, 12), (1, 0)).output_shape), "(12, None)"),
        (lambda: symconv.prove(STRIDED), "output's shape depends on it in another way"),
        (lambda: _over("Slice", starts=0, ends=10, axes=0), "Slice needs a number of samples"),
        (lambda: _over("Pad", padding=((1, 1), (0, 0))), "Pad needs a number of samples"),
        (lambda: symconv.Contraction(*FORMULA).with_batch(3), "give None"),
        (lambda: symconv.tune(symconv.Linear((N, 3), 2)), "a number of samples to be tuned"),
        (
            lambda: symconv.Network([symconv.Conv((4, 1, 8, 8), 2, 3)], input_shape=(N, 1, 8, 8)),
            "the input x has shape",
        ),
    ],
)
def test_what_needs_a_number_is_refused(make: Any, said: str) -> None:
    with pytest.raises(SymconvError) as refused:
        make()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_shell_and_files_name_any_batch(tmp_path: Any) -> None:
    words = ["conv", "--input-shape", "Nx1x4x4", "--out-channels", "2", "--kernel-size", "3"]
    run_command("generate", *words, "--name", "m", "-o", str(tmp_path))
    source = (tmp_path / "m.py").read_text(encoding="utf-8")
    assert "--input-shape Nx1x4x4" in source
    assert '"input_shape": (None, 1, 4, 4)' in source
    run_command("check", str(tmp_path / "m.py"))
    config = tmp_path / "symconv.toml"
    config.write_text(
        '[[module]]\nname = "m"\nlayer = "Conv"\ninput_shape = ["N", 1, 4, 4]\nout_channels = 2\n'
        "kernel_size = 3\n"
    )
    run_command("generate", "--config", str(config), "--check")


def test_a_given_batch_becomes_another() -> None:
    """Only sizes that count samples change."""
    assert symconv.Add(((8, 3), (1, 3))).with_batch(7).inputs == {"a": (7, 3), "b": (1, 3)}
    assert symconv.MatMul(((2, 3, 4), (4, 5))).with_batch(7).output_shape == (7, 3, 5)
    assert symconv.Linear((2, 3), 4).with_batch(7).input_shape == (7, 3)


def test_one_sample_is_inferred_where_training_needs_two() -> None:
    layers: Any = [{"layer": "Linear", "out_features": 3}, {"layer": "BatchNorm"}]
    module = symconv.generate(symconv.Network(layers, input_shape=(N, 4)), "m").load()
    params, x = module.init(0), np.ones((1, 4), np.float32)
    assert module.forward(params, x).shape == (1, 3)
    with pytest.raises(ValueError, match="a batch of at least 2"):
        module.backward(params, np.ones((1, 3), np.float32), x)


def test_what_depends_on_the_batch_is_not_called_proved() -> None:
    """Theorems of sums hold for a letter N; means over the batch are compared for two N."""
    for layer in (LAYERS[11], LAYERS[29], symconv.Dropout((N, 3)), LAYERS[35]):
        assert {theorem.status for theorem in symconv.prove(layer).theorems} == {"proved"}
    for layer in (symconv.BatchNorm((N, 3, 2, 2)), symconv.SoftmaxCrossEntropy((N, 5))):
        assert "compared" in {theorem.status for theorem in symconv.prove(layer).theorems}


def test_functions_of_ones_own_are_tried_with_several_samples() -> None:
    layer = symconv.Linear((N, 3), 2)

    def backward(g: Array, x: Array, w: Array, b: Array) -> tuple[Array, ...]:
        return g @ w, g.T @ x, g.sum(axis=0)

    assert symconv.check(layer, backward=backward)
    wrong = symconv.check(layer, backward=lambda g, x, w, b: (g @ w, g.T @ x / len(x), g.sum(axis=0)))
    assert "the gradient is divided by the batch" in wrong.text()


def test_any_batch_equals_itself_alone() -> None:
    layer = symconv.Linear((N, 3), 2)
    assert layer == symconv.Linear((N, 3), 2)
    assert layer != layer.with_batch(2)
    assert layer.any_batch
    assert not layer.with_batch(2).any_batch
    assert repr(layer).startswith("Linear(input_shape=(None, 3)")
    assert dataclasses.replace(layer, out_features=4).any_batch
