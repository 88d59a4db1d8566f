"""Layers whose definition is PyTorch's: values, gradients and second order; all four verbs on each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from symconv import (
    Add,
    BinaryCrossEntropyWithLogits,
    GroupNorm,
    InstanceNorm,
    LocalResponseNorm,
    MatMul,
    Multiply,
    Pad,
    PixelShuffle,
    PReLU,
    ReduceMax,
    ReduceMean,
    ReduceSum,
    Slice,
    SymconvError,
    Transpose,
    Upsample,
    check,
    derive,
    generate,
    prove,
)
from symconv.layers import Layer, rebuild
from symconv.notation.expression import parse_expression
from symconv.notation.graph import Elementwise, Graph
from symconv.prove.formal import same
from tests.bridge import close

Array = NDArray[Any]
Function = Callable[..., Any]  # of PyTorch's tensors, and of torch itself first
X = (2, 4, 5, 6)
REAL: dict[str, Any] = {"dtype": "float64"}


def _pad(mode: str, *around: int) -> Function:
    return lambda torch, x: torch.nn.functional.pad(x, around, mode)


def _stretched(**how: Any) -> Function:
    return lambda torch, x: torch.nn.functional.interpolate(x, **how)


CASES: dict[str, tuple[Layer, Function]] = {
    "transpose": (Transpose(X, (0, 2, 3, 1), **REAL), lambda _, x: x.permute(0, 2, 3, 1)),
    "slice": (
        Slice(X, (1, 4), (4, 0), (1, -1), (2, -1), **REAL),
        lambda _, x: x[:, 1:4:2, :, 1:5].flip(3),
    ),
    "pixel shuffle": (
        PixelShuffle(X, 2, **REAL),
        lambda torch, x: torch.nn.functional.pixel_shuffle(x, 2),
    ),
    "add": (Add((X, (4, 1, 1), (6,)), **REAL), lambda _, a, b, c: a + b + c),
    "multiply": (Multiply((X, (4, 1, 1)), **REAL), lambda _, a, b: a * b),
    "three factors": (Multiply(((2, 3), (3,), (2, 1)), **REAL), lambda _, a, b, c: a * b * c),
    "matmul": (MatMul(((3, 4), (4, 5)), **REAL), lambda _, a, b: a @ b),
    "batches": (MatMul(((2, 1, 3, 4), (5, 4, 2)), **REAL), lambda _, a, b: a @ b),
    "sum": (ReduceSum(X, (1, 3), **REAL), lambda _, x: x.sum((1, 3))),
    "sum of all": (ReduceSum(X, **REAL), lambda _, x: x.sum()),
    "mean": (ReduceMean(X, -1, keepdims=True, **REAL), lambda _, x: x.mean(-1, keepdim=True)),
    "max": (ReduceMax(X, 2, **REAL), lambda _, x: x.amax(2)),
    "max along two": (
        ReduceMax(X, (0, 2), keepdims=True, **REAL),
        lambda _, x: x.amax((0, 2), keepdim=True),
    ),
    "prelu": (PReLU(X, **REAL), lambda torch, x, w: torch.nn.functional.prelu(x, w)),
    "slopes": (PReLU(X, 4, **REAL), lambda torch, x, w: torch.nn.functional.prelu(x, w)),
    "group norm": (
        GroupNorm(X, 2, **REAL),
        lambda torch, x, w, b: torch.nn.functional.group_norm(x, 2, w, b),
    ),
    "instance norm": (
        InstanceNorm(X, eps=0.01, **REAL),
        lambda torch, x: torch.nn.functional.instance_norm(x, eps=0.01),
    ),
    "local response": (
        LocalResponseNorm(X, 4, 0.5, 0.75, 2.0, **REAL),
        lambda torch, x: torch.nn.functional.local_response_norm(x, 4, 0.5, 0.75, 2.0),
    ),
    "pad": (Pad(X, ((0, 0), (0, 0), (1, 2), (0, 3)), **REAL), _pad("constant", 0, 3, 1, 2)),
    "a number around": (
        Pad(X, ((0, 0), (1, 0), (-1, 2), (2, 0)), value=0.3, **REAL),
        lambda torch, x: torch.nn.functional.pad(x, (2, 0, -1, 2, 1, 0), "constant", 0.3),
    ),
    "reflect": (
        Pad(X, ((0, 0), (0, 0), (4, 2), (0, 3)), "reflect", **REAL),
        _pad("reflect", 0, 3, 4, 2),
    ),
    "replicate": (
        Pad(X, ((0, 0), (0, 0), (7, 2), (0, 3)), "replicate", **REAL),
        _pad("replicate", 0, 3, 7, 2),
    ),
    "circular": (
        Pad(X, ((0, 0), (0, 0), (5, 2), (0, 3)), "circular", **REAL),
        _pad("circular", 0, 3, 5, 2),
    ),
    "nearest": (Upsample(X, scale_factor=(2, 3), **REAL), _stretched(scale_factor=(2, 3))),
    "bilinear": (
        Upsample(X, scale_factor=(2, 3), mode="bilinear", **REAL),
        _stretched(scale_factor=(2, 3), mode="bilinear"),
    ),
    "corners": (
        Upsample(X, size=(7, 11), mode="bilinear", align_corners=True, **REAL),
        _stretched(size=(7, 11), mode="bilinear", align_corners=True),
    ),
    "smaller": (
        Upsample((1, 2, 9), size=4, mode="linear", **REAL),
        _stretched(size=4, mode="linear"),
    ),
    "trilinear": (
        Upsample((1, 2, 2, 3, 2), scale_factor=2, mode="trilinear", **REAL),
        _stretched(scale_factor=2, mode="trilinear"),
    ),
    "two classes": (
        BinaryCrossEntropyWithLogits((3, 4), **REAL),
        lambda torch, x, t: torch.nn.functional.binary_cross_entropy_with_logits(x, t),
    ),
}


def drawn(layer: Layer) -> list[Array]:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in layer.inputs.values()]
    return [
        abs(a) % 1 if name in layer.label_names else a
        for name, a in zip(layer.inputs, arrays, strict=True)
    ]


@pytest.mark.every
@pytest.mark.needs("torch")
@pytest.mark.parametrize("case", CASES)
def test_values_and_derivatives_are_pytorchs(case: str) -> None:
    import torch

    layer, function = CASES[case]
    module = generate(layer, "module", order=2).load()
    inputs = drawn(layer)
    tensors = [torch.from_numpy(array).requires_grad_() for array in inputs]
    output = function(torch, *tensors)
    assert close(module.forward(*inputs), output.detach().numpy())
    assert tuple(output.shape) == layer.output_shape
    names = list(layer.inputs)
    by = [tensors[names.index(name)] for name in layer.differentiable]
    rng = np.random.default_rng(1)
    cotangent = torch.from_numpy(np.asarray(rng.standard_normal(layer.output_shape))).requires_grad_()
    gradients = torch.autograd.grad(output, by, cotangent, create_graph=True)
    received = module.backward(cotangent.detach().numpy(), *inputs)
    for found, wanted in zip(received, gradients, strict=True):
        assert close(found, wanted.detach().numpy())
    changes = [torch.from_numpy(np.asarray(rng.standard_normal(tensor.shape))) for tensor in by]
    second = torch.autograd.grad(gradients, (cotangent, *by), changes, allow_unused=True)
    received = module.double_backward(
        *(change.numpy() for change in changes), cotangent.detach().numpy(), *inputs
    )
    for found, wanted in zip(received, second, strict=True):
        assert close(found, np.zeros_like(found) if wanted is None else wanted.detach().numpy())


@pytest.mark.parametrize("case", CASES)
def test_all_four_verbs(case: str) -> None:
    layer, _ = CASES[case]
    derivation = derive(layer)
    assert all(step.check.passed for step in derivation.steps)
    assert derivation.latex()
    proof = prove(layer)
    assert proof.holds is True, proof
    assert all(c.refuted for theorem in proof.theorems for c in theorem.controls)
    report = check(generate(layer, "module", order=2))
    assert report.passed, report
    assert rebuild(layer.as_dict()) == layer


@pytest.mark.every
@pytest.mark.parametrize(
    ("case", "old", "new"),
    [
        ("slice", "x[:, 1::2", "x[:, ::2"),
        ("multiply", "np.multiply(a, b,", "np.multiply(a, a,"),
        ("slopes", "x > 0", "x > 1"),
        ("group norm", "/ 60", "/ 59"),
        ("a number around", "= 0.3", "= 0.25"),
        ("corners", "/ 3", "/ 2"),
        ("two classes", "- target", "+ target"),
        ("max", ".argmax(", ".argmin("),
    ],
)
def test_planted_errors_are_seen(case: str, old: str, new: str) -> None:
    unit = generate(CASES[case][0], "module")
    assert old in unit.source
    report = check(type(unit)(unit.name, unit.source.replace(old, new), unit.plan))
    assert not report.passed


@pytest.mark.every
@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("max(x, 0) - x*t + log1p(exp(-abs(x)))", True),
        ("max(x, 0) - x*t + log1p(exp(abs(x)))", False),
        ("max(x, 0) + x*t + log1p(exp(-abs(x)))", False),
        ("max(x, 0) - x*t + log1p(exp(-abs(x))) + where(x > 0, 1, 0)", False),
    ],
)
def test_forms_by_cases_are_compared(text: str, right: bool) -> None:
    layer = BinaryCrossEntropyWithLogits((2, 3))
    losses, total = layer.graph.steps
    assert isinstance(losses, Elementwise)
    other = replace(losses, expression=parse_expression(text, ["x", "t"], {}))
    assert same(layer.graph, Graph((other, total))) is right


@pytest.mark.every
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Transpose((2, 3), (0,)), "each axis of the input once"),
        (lambda: Transpose((2, 3), (0, 0)), "different axes"),
        (lambda: Slice((2, 3), 1, 1), "something is left"),
        (lambda: Slice((2, 3), (0, 0), 1), "one number for each axis"),
        (lambda: Slice((2, 3), 0, 1, steps=0), "other than 0"),
        (lambda: PixelShuffle((1, 6, 2, 2), 2), "divides the 6 channels"),
        (lambda: Multiply(((2, 3), (2,))), "shapes that broadcast"),
        (lambda: MatMul(((2, 3), (2, 3))), "(…, K, columns)"),
        (lambda: MatMul(((2, 3), (3, 4), (4, 5))), "two shapes"),
        (lambda: ReduceSum((2, 3), 2), "from -2 to 1"),
        (lambda: PReLU((2, 3), 2), "1 or the number of channels, 3"),
        (lambda: GroupNorm((2, 3), 2), "a divisor of the number of channels"),
        (lambda: InstanceNorm((2, 3, 1)), "more than one value"),
        (lambda: LocalResponseNorm((2, 3), 2, k=0.0), "positive"),
        (lambda: Pad((2, 3), ((0, 0), (-3, 0))), "is left"),
        (lambda: Pad((2, 3), ((0, 0), (3, 0)), "reflect"), "from 0 to 2 along axis 1"),
        (lambda: Pad((2, 3), 1, "circular", 0.5), "0 where mode is 'circular'"),
        (lambda: Upsample((1, 1, 3)), "or size, and not both"),
        (lambda: Upsample((1, 1, 3), size=4), "multiples of (3,)"),
        (lambda: Upsample((1, 1, 3), size=6, mode="bilinear"), "'nearest', 'linear'"),
    ],
)
def test_what_is_refused(make: Callable[[], Layer], said: str) -> None:
    with pytest.raises(SymconvError) as error:
        make()
    assert said in str(error.value)
