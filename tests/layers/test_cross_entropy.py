"""Cross-entropy with weights, ignored labels and smoothing: its definition in loops, and PyTorch."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from symconv import SoftmaxCrossEntropy, check, generate, prove
from symconv.unit import Unit
from tests.effort import many

Array = NDArray[Any]


@st.composite
def losses(draw: st.DrawFn) -> SoftmaxCrossEntropy:
    count = draw(st.integers(2, 5))
    weights = st.tuples(*[st.sampled_from([0.25, 1.0, 3.0])] * count)
    return SoftmaxCrossEntropy(
        (draw(st.integers(1, 4)), count, *draw(st.lists(st.integers(1, 3), max_size=2))),
        reduction=draw(st.sampled_from(["mean", "sum", "none"])),
        weight=draw(st.none() | weights),
        ignore_index=draw(st.none() | st.just(-100) | st.integers(0, count - 1)),
        label_smoothing=draw(st.sampled_from([0.0, 0.1, 0.75])),
        dtype="float64",
    )


def drawn(loss: SoftmaxCrossEntropy, seed: int) -> tuple[Array, Array, Array]:
    """Return logits, labels of which one is ignored and one is not, and the output's gradient."""
    rng = np.random.default_rng(seed)
    count = loss.input_shape[1]
    labels = rng.integers(0, count, loss.inputs["labels"])
    if loss.ignore_index is not None:
        labels.flat[-1] = loss.ignore_index
        labels.flat[0] = (max(loss.ignore_index, 0) + 1) % count
    return rng.standard_normal(loss.input_shape), labels, rng.standard_normal(loss.output_shape)


def in_loops(loss: SoftmaxCrossEntropy, x: Array, labels: Array) -> Array:
    """Compute the definition, one sample after the other."""
    count = loss.input_shape[1]
    weight = loss.weight or (1.0,) * count
    each, total = np.zeros(labels.shape), 0.0
    for at in itertools.product(*map(range, labels.shape)):
        if labels[at] == loss.ignore_index:
            continue
        logits = [x[(at[0], c, *at[1:])] for c in range(count)]
        normaliser = math.log(sum(map(math.exp, logits)))
        costs = [w * (normaliser - a) for w, a in zip(weight, logits, strict=True)]
        smoothing = loss.label_smoothing
        each[at] = (1 - smoothing) * costs[labels[at]] + smoothing * sum(costs) / count
        total += weight[labels[at]]
    if loss.reduction == "none":
        return each
    return np.asarray(each.sum() / (total if loss.reduction == "mean" else 1))


@settings(max_examples=many(200))
@given(losses(), st.integers(0, 9))
def test_the_definition(loss: SoftmaxCrossEntropy, seed: int) -> None:
    x, labels, _ = drawn(loss, seed)
    unit = generate(loss, "module")
    np.testing.assert_allclose(unit.load().forward(x, labels), in_loops(loss, x, labels), atol=1e-12)
    assert check(unit)
    assert prove(loss).holds


@pytest.mark.needs("torch")
@settings(max_examples=many(200))
@given(losses(), st.integers(0, 9))
def test_pytorch_agrees(loss: SoftmaxCrossEntropy, seed: int) -> None:
    import torch

    x, labels, g = drawn(loss, seed)
    given_x = torch.tensor(x, requires_grad=True)
    weight = None if loss.weight is None else torch.tensor(loss.weight, dtype=torch.float64)
    y = torch.nn.functional.cross_entropy(
        given_x,
        torch.tensor(labels),
        weight=weight,
        ignore_index=-100 if loss.ignore_index is None else loss.ignore_index,
        label_smoothing=loss.label_smoothing,
        reduction=loss.reduction,
    )
    (gx,) = torch.autograd.grad(y, given_x, torch.tensor(g))
    module = generate(loss, "module").load()
    np.testing.assert_allclose(module.forward(x, labels), y.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(module.backward(g, x, labels)[0], gx.numpy(), atol=1e-12)


ALL = SoftmaxCrossEntropy((3, 4), weight=(1, 2.5, 0.5, 3), ignore_index=-100, label_smoothing=0.1)


@pytest.mark.every
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.9 * one_hot", "0.8 * one_hot"),
        ("[:, None] / 40", "[:, None] / 36"),
        ("known[:, None] / 40", "1 / 40"),  # what is ignored is smoothed all the same
        ("loss_sum / label_weight", "loss_sum / 3"),
        ("[-100]", "[-99]"),
    ],
)
def test_a_planted_error_is_seen(old: str, new: str) -> None:
    unit = generate(ALL, "module")
    assert old in unit.source, unit.source
    assert not check(Unit(unit.name, unit.source.replace(old, new), unit.plan))
