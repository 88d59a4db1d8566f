"""Softmax, losses and normalisations: against PyTorch's definitions, and all four verbs on each."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from symconv import (
    BatchNorm,
    LayerNorm,
    MeanSquaredError,
    Softmax,
    SoftmaxCrossEntropy,
    SymconvError,
    check,
    derive,
    generate,
    prove,
)
from symconv.layers import Layer, rebuild
from symconv.notation.graph import Elementwise, Graph, each
from symconv.prove.composites import composite_theorems
from symconv.unit import Unit
from tests.bridge import close
from tests.effort import many

Array = NDArray[Any]
LAYERS: list[Layer] = [
    Softmax((4, 6)),
    Softmax((2, 3, 4, 5), axis=2, dtype="float64"),
    SoftmaxCrossEntropy((4, 6)),
    SoftmaxCrossEntropy((4, 6, 3), reduction="sum", dtype="float64"),
    MeanSquaredError((3, 4, 2)),
    MeanSquaredError((7,), reduction="sum"),
    BatchNorm((4, 3, 5, 5)),
    BatchNorm((4, 3), momentum=0.3, affine=False, dtype="float64"),
    BatchNorm((4, 3, 5), training=False),
    LayerNorm((4, 3, 5)),
    LayerNorm((4, 3, 5), normalized_shape=(5,), eps=0.1),
    LayerNorm((4, 3, 5), elementwise_affine=False, dtype="float64"),
]


def drawn(layer: Layer) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(0, layer.classes[name], shape)
        if name in layer.classes
        else rng.uniform(0.5, 2, shape).astype(layer.dtype)
        for name, shape in layer.inputs.items()
    }


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_all_four_verbs(layer: Layer) -> None:
    derivation = derive(layer)
    assert all(step.check.passed for step in derivation.steps), derivation
    assert "aligned" in derivation.latex()
    proof = prove(layer)
    assert proof.holds is True, proof
    assert all(control.refuted for theorem in proof.theorems for control in theorem.controls)
    report = check(generate(layer, "module"))
    assert report.passed, report
    assert rebuild(layer.as_dict()) == layer


def in_torch(layer: Layer, given: dict[str, Any]) -> Any:
    """Compute a layer with PyTorch's functions."""
    from torch.nn import functional as F  # noqa: N812  # its customary name

    x = given["x"]
    match layer:
        case Softmax(axis=axis):
            return F.softmax(x, axis)
        case SoftmaxCrossEntropy(reduction=reduction):
            return F.cross_entropy(x, given["labels"], reduction=reduction)
        case MeanSquaredError(reduction=reduction):
            return F.mse_loss(x, given["target"], reduction=reduction)
        case BatchNorm():
            return F.batch_norm(
                x,
                given["running_mean"],
                given["running_var"],
                given.get("weight"),
                given.get("bias"),
                layer.training,
                layer.momentum,
                layer.eps,
            )
        case LayerNorm():
            shape = layer.normalized_shape or layer.input_shape[1:]
            return F.layer_norm(x, shape, given.get("weight"), given.get("bias"), layer.eps)
        case _:
            raise AssertionError(layer)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_pytorch_agrees(layer: Layer) -> None:
    import torch

    layer = rebuild({**layer.as_dict(), "dtype": "float64"})
    numbers = drawn(layer)
    given_ = {name: torch.tensor(array) for name, array in numbers.items()}
    for name in layer.differentiable:
        given_[name].requires_grad_()
    output = in_torch(layer, given_)
    cotangent = np.asarray(np.random.default_rng(1).standard_normal(layer.output_shape))
    output.backward(torch.tensor(cotangent))
    module = generate(layer, "module").load()
    received = module.forward(*numbers.values())
    outputs = received if layer.updates else (received,)
    assert close(outputs[0], output.detach().numpy())
    for name, array in zip(layer.updates, outputs[1:], strict=True):
        moved = given_[name.replace("new", "running")]  # PyTorch moves them in place
        assert close(array, moved.numpy())
    for name, gradient in zip(
        layer.differentiable, module.backward(cotangent, *numbers.values()), strict=True
    ):
        wanted = given_[name].grad
        assert wanted is not None
        assert close(gradient, wanted.numpy()), name


@settings(max_examples=many(40))
@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=4),
    st.data(),
)
def test_softmax_of_any_shape(sizes: list[int], data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(sizes) - 1))
    layer = Softmax(tuple(sizes), axis=axis, dtype="float64")
    module = generate(layer, "module").load()
    x = 300 * np.random.default_rng(0).standard_normal(sizes)
    exponential = np.exp(x - x.max(axis=axis, keepdims=True))
    wanted = exponential / exponential.sum(axis=axis, keepdims=True)
    assert close(module.forward(x), wanted)
    g = np.random.default_rng(1).standard_normal(sizes)
    jacobian = wanted * (g - (g * wanted).sum(axis=axis, keepdims=True))
    assert close(module.backward(g, x)[0], jacobian)


def test_what_many_wrote_wrongly_is_refuted() -> None:
    """Statistics and sums are no constants."""
    for layer in (Softmax((4, 6)), BatchNorm((4, 3, 5)), LayerNorm((4, 3, 5))):
        controls = composite_theorems(layer)[1].controls
        assert len(controls) == 1
        assert controls[0].refuted


@pytest.mark.parametrize(
    "layer",
    [Softmax((4, 6)), SoftmaxCrossEntropy((4, 6)), BatchNorm((4, 3, 5)), LayerNorm((4, 3, 5))],
    ids=str,
)
def test_a_planted_error_in_a_closed_form_is_refuted(
    layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the closed form is false, said with numbers; its derivation and its code fail, too."""
    closed_form = inspect.getattr_static(layer, "backward").func

    def wrong(layer: Layer) -> Graph:
        right: Graph = closed_form(layer)
        last = right.steps[-1]
        assert isinstance(last, Elementwise)
        of = last.target
        half = replace(last, target=replace(of, tensor=replace(of.tensor, name="half")))
        twice = each(of, "2*h", h=half.target)
        return Graph((*right.steps[:-1], half, twice), right.results)

    monkeypatch.setattr(type(layer), "backward", property(wrong))
    proof = prove(layer)
    assert proof.holds is False
    assert not all(step.check.passed for step in derive(layer).steps)
    report = check(generate(layer, "module"))
    assert {"input_gradient", "Taylor slope"} <= {r.name for r in report.results if not r.passed}


@pytest.mark.parametrize(
    ("layer", "old", "new", "seen"),
    [
        (Softmax((4, 6)), r"x - greatest\[:, None\]", "x", "X times 1000"),
        (Softmax((4, 6)), "exponential / total", "1.001 * exponential / total", "forward"),
        (SoftmaxCrossEntropy((4, 6)), r"\.sum\(axis=0\) / 4", ".sum(axis=0)", "forward"),
        (SoftmaxCrossEntropy((4, 6)), r"- one_hot\)", "+ one_hot)", "Taylor slope"),
        (MeanSquaredError((3, 4)), "grad_output / 6", "grad_output / 12", "input_gradient"),
        (BatchNorm((4, 3, 5)), r"0\.9 \* running_mean", "0.8 * running_mean", "new_mean"),
        (BatchNorm((4, 3, 5)), r"- along\[:, None\] \* normalised", "", "input_gradient"),
        (
            LayerNorm((4, 3, 5)),
            r'variance = np.einsum\("ncx,ncx->n", deviation, deviation\) / 15',
            "variance = (x * x).sum(axis=(1, 2)) / 15 - mean * mean",
            "X plus 1000",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_planted_error_in_the_code_is_seen(layer: Layer, old: str, new: str, seen: str) -> None:
    unit = generate(layer, "module")
    assert re.search(old, unit.source), unit.source
    wrong = Unit(unit.name, re.sub(old, new, unit.source), unit.plan)
    assert seen in {r.name for r in check(wrong).results if not r.passed}


@pytest.mark.parametrize(
    "layer", [BatchNorm((2, 3)), BatchNorm((1, 3, 1, 2)), LayerNorm((2, 2))], ids=str
)
def test_few_numbers_are_normalised_without_a_false_failure(layer: Layer) -> None:
    """The gradient by the input of two numbers is nearly 0, its terms are not: they cancel."""
    report = check(generate(layer, "m"))
    assert report.passed, report.text()


def test_labels_are_checked() -> None:
    module = generate(SoftmaxCrossEntropy((3, 4)), "module").load()
    x = np.zeros((3, 4), np.float32)
    for labels, said in (
        (np.array([0, 4, 1]), "labels: expected numbers from 0 to 3, received 4"),
        (np.array([0, -1, 1]), "labels: expected numbers from 0 to 3, received -1"),
        (np.array([[0, 1, 2]]), r"labels: expected shape \(3,\), received \(1, 3\)"),
    ):
        with pytest.raises(ValueError, match=said):
            module.forward(x, labels)
    with pytest.raises(TypeError, match="labels: expected integers, received float64"):
        module.forward(x, np.array([0.0, 1.0, 2.0]))
    for kind in ("uint8", ">i4", "int64"):
        assert np.isclose(module.forward(x, np.array([0, 1, 2]).astype(kind)), np.log(4))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: BatchNorm((1, 3)), "more than one value per channel in training"),
        (lambda: BatchNorm((2, 3), eps=0), "eps = 0: must be a positive number"),
        (lambda: BatchNorm((2, 3), momentum=2), "momentum = 2: must be a number from 0 to 1"),
        (lambda: LayerNorm((2, 3, 4), normalized_shape=(3,)), "must be the last sizes of the input"),
        (lambda: Softmax((2, 3), axis=2), "axis = 2: must be an axis of the input, from -2 to 1"),
        (lambda: SoftmaxCrossEntropy((2, 3), reduction="max"), "must be one of 'mean', 'sum', 'none'"),
        (lambda: SoftmaxCrossEntropy((2, 3), weight=(1, 2)), "weight = .*one for each class"),
        (lambda: SoftmaxCrossEntropy((2, 3), label_smoothing=2), "a number from 0 to 1"),
        (lambda: SoftmaxCrossEntropy((0, 3)), "all positive ints"),
    ],
)
def test_bad_arguments_are_refused(make: Any, said: str) -> None:
    with pytest.raises(SymconvError, match=said):
        make()
