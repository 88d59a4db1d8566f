"""Linear, Flatten, Reshape, Add and Concat against NumPy; all four verbs on every such layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from symconv import (
    Add,
    AvgPool,
    Concat,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    Linear,
    MaxPool,
    Reshape,
    SymconvError,
    check,
    derive,
    generate,
    prove,
)
from symconv.derive import graph_view
from symconv.layers import Layer, rebuild
from symconv.notation.backpropagation import gradient
from symconv.notation.contraction import Program, Tensor
from symconv.notation.graph import Graph
from symconv.prove import swaps
from symconv.prove.instances import proved
from symconv.unit import Unit
from tests.bridge import close

Array = NDArray[Any]
LAYERS: list[Layer] = [
    MaxPool((1, 2, 6, 5), 3, 2, 1),
    AvgPool((2, 3, 9, 8), 3, 2, 1, ceil_mode=True, count_include_pad=False),
    AvgPool((1, 1, 3, 4, 5), 2, 1, dtype="float64"),
    GlobalMaxPool((2, 3, 4)),
    GlobalAvgPool((2, 3, 4, 5)),
    Linear((4, 5), 3),
    Linear((2, 3, 4, 5), 3, bias=False, dtype="float64"),
    Flatten((2, 3, 4, 5)),
    Reshape((6, 4), (3, -1)),
    Reshape((2, 3, 4), (24,)),
    Add(((2, 3), (2, 3), (2, 3))),
    Concat(((2, 3, 4), (2, 2, 4), (2, 1, 4))),
    Concat(((2, 3), (1, 3)), axis=0),
]


def drawn(layer: Layer) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(layer.dtype) for shape in layer.inputs.values()]


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (Linear((4, 5), 3, dtype="float64"), lambda x, w, b: x @ w.T + b),
        (Linear((2, 3, 5), 4, bias=False, dtype="float64"), lambda x, w: x @ w.T),
        (Flatten((2, 3, 4, 5), dtype="float64"), lambda x: x.reshape(2, 60)),
        (Reshape((6, 4), (3, -1), dtype="float64"), lambda x: x.reshape(3, 8)),
        (Add(((2, 3), (2, 3), (2, 3)), dtype="float64"), lambda a, b, c: a + b + c),
        (
            Concat(((2, 3, 4), (2, 2, 4), (2, 1, 4)), dtype="float64"),
            lambda *parts: np.concatenate(parts, 1),
        ),
        (Concat(((2, 3), (1, 3)), axis=0, dtype="float64"), lambda *parts: np.concatenate(parts)),
    ],
    ids=lambda value: str(value) if isinstance(value, Layer) else "",
)
def test_modules_are_numpys(layer: Layer, function: Any) -> None:
    """Each of these is linear in each input: differences of NumPy's function are its derivative."""
    module = generate(layer, "module").load()
    inputs = drawn(layer)
    output = module.forward(*inputs)
    assert output.shape == layer.output_shape
    assert close(output, function(*inputs))
    cotangent = np.random.default_rng(1).standard_normal(output.shape)
    for at, found in enumerate(module.backward(cotangent, *inputs)):
        wanted = np.empty(inputs[at].shape)
        for cell in np.ndindex(wanted.shape):
            moved = [array.copy() for array in inputs]
            moved[at][cell] += 1
            wanted[cell] = ((function(*moved) - function(*inputs)) * cotangent).sum()
        assert close(found, wanted)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_all_four_verbs(layer: Layer) -> None:
    derivation = derive(layer)
    assert len(derivation.steps) == 1 + len(layer.inputs)
    assert all(step.check.passed for step in derivation.steps)
    assert derivation.latex()
    proof = prove(layer)
    assert proof.holds is True
    assert all(theorem.counterexample is None for theorem in proof.theorems)
    controls = [control for theorem in proof.theorems for control in theorem.controls]
    assert controls
    assert all(control.refuted for control in controls)
    report = check(generate(layer, "module"))
    assert report.passed, report
    assert rebuild(layer.as_dict()) == layer


@pytest.mark.parametrize(
    ("layer", "old", "new"),
    [
        (MaxPool((1, 2, 8, 8), 2), "-np.inf", "0"),
        (MaxPool((1, 2, 8, 8), 3, 2), "waiting &= ~first", "pass"),
        (MaxPool((1, 2, 8, 8), 3, 2, 1), "(1, 3, 1)", "(1, 3, 0)"),
        (AvgPool((1, 2, 8, 8), 3, 2, 1, count_include_pad=False), "[4, 6, 6, 6]", "[6, 6, 6, 6]"),
        (AvgPool((1, 2, 8, 8), 2), "(grad_output[0]) / 4", "(grad_output[0]) / 2"),
        (GlobalMaxPool((1, 2, 4)), ".argmax(", ".argmin("),
        (Linear((4, 5), 3), "weight.T", "weight[::-1].T"),
        (Linear((4, 5), 3), "axis=0, out=gb", "axis=0, out=gb[::-1]"),
        (Concat(((2, 3), (2, 3))), "grad_output[:, 3:]", "grad_output[:, :3]"),
        (Add(((2, 3), (2, 3))), "y += b", "y += a"),
        (Flatten((2, 3, 4)), "x.reshape(2, 12)", "x.swapaxes(1, 2).reshape(2, 12)"),
    ],
    ids=str,
)
def test_planted_errors_are_caught(layer: Layer, old: str, new: str) -> None:
    unit = generate(layer, "module")
    assert old in unit.source, unit.source
    wrong = Unit(unit.name, unit.source.replace(old, new), unit.plan)
    assert not check(wrong).passed


def test_a_wrong_swap_is_seen_by_derive_and_prove(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted error: what a window reads, written a cell further."""
    layer = AvgPool((1, 2, 8), 2, padding=((1, 0),))

    def wrong(graph: Graph, by: Tensor, cotangent: Tensor) -> Graph:
        *before, last = gradient(graph, by, cotangent).steps
        assert isinstance(last, Program)
        (swap,) = last.contractions
        places = swap.target.subscripts
        target = replace(swap.target, subscripts=(*places[:-1], places[-1] + 1))
        return Graph((*before, Program((replace(swap, target=target),))))

    monkeypatch.setattr(graph_view, "gradient", wrong)
    assert not all(step.check.passed for step in derive(layer).steps)
    monkeypatch.setattr(swaps, "gradient", wrong)
    proved.cache_clear()
    try:
        proof = prove(layer)
    finally:
        proved.cache_clear()  # what was proved of the wrong one
    assert proof.holds is False
    assert "refuted" in proof.text()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Linear((5,), 3), "input_shape = (5,)"),
        (lambda: Linear((4, 5), 0), "out_features = 0"),
        (lambda: Flatten((4,)), "input_shape = (4,)"),
        (lambda: Reshape((6, 4), (5, -1)), "with 24 elements"),
        (lambda: Reshape((6, 4), (-1, -1)), "one may be -1"),
        (lambda: Reshape((6, 4), "x"), "shape = 'x'"),  # type: ignore[arg-type]  # refused
        (lambda: Add(((2, 3), (3, 2))), "shapes that broadcast"),
        (lambda: Add(((2, 3),)), "2 to 15 shapes"),
        (lambda: Concat(((2, 3), (3, 3))), "equal except along axis 1"),
        (lambda: Concat(((2, 3), (2, 3, 1))), "equal except along axis 1"),
        (lambda: Concat(((2, 3), (2, 3)), axis=2), "from -2 to 1"),
        (lambda: derive(Flatten((2, 3)), "matrix"), "must be 'index' for Flatten"),
        (lambda: derive(Flatten((2, 3))).weight, "weight: not an input of this layer"),
    ],
)
def test_what_is_refused(make: Any, text: str) -> None:
    with pytest.raises(SymconvError) as error:
        make()
    assert text in str(error.value)
